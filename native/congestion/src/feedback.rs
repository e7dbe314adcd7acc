//! Transport-wide feedback, read (draft-holmer-rmcat-transport-wide-cc-extensions-01 §3.1).

use thiserror::Error;

use crate::history::HISTORY;

/// The unit of deltas, in microseconds (§3.1.5).
pub(crate) const TICK: i64 = 250;
/// The unit of the reference time, in ticks: 64 ms.
pub(crate) const REFERENCE: i64 = 256;

/// Feedback that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Malformed {
    /// It ends within its header, its chunks or its deltas.
    #[error("too short")]
    Short,
    /// It speaks of no packet, or of more than a sender ever waits for.
    #[error("an impossible number of packets")]
    Count,
    /// The reserved symbol.
    #[error("a reserved packet status")]
    Status,
}

/// One packet of a feedback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Its transport-wide sequence number.
    pub sequence: u16,
    /// When it came, in ticks of 250 µs after the feedback's reference time; None: it has not come.
    pub arrival: Option<i64>,
}

/// A feedback that is well formed.
#[derive(Clone, Copy, Debug)]
pub struct Feedback<'a> {
    base: u16,
    count: u16,
    /// In units of 64 ms, 24 bits.
    reference: u32,
    number: u8,
    chunks: &'a [u8],
    deltas: &'a [u8],
}

impl<'a> Feedback<'a> {
    /// Read what follows the two SSRCs of the RTCP packet. What comes after the last delta is padding. Never panics, on any
    /// input, and looks at a bounded number of packets.
    pub fn parse(fci: &'a [u8]) -> Result<Self, Malformed> {
        let (header, rest) = fci.split_first_chunk::<8>().ok_or(Malformed::Short)?;
        let [b0, b1, c0, c1, r0, r1, r2, number] = *header;
        let count = u16::from_be_bytes([c0, c1]);
        if count == 0 || usize::from(count) > HISTORY {
            return Err(Malformed::Count);
        }
        let (mut left, mut chunks, mut deltas) = (usize::from(count), 0, 0);
        while left > 0 {
            let chunk = Chunk::read(rest.get(chunks..).unwrap_or_default())?;
            chunks += 2;
            let covered = chunk.len.min(left);
            for index in 0..covered {
                deltas += chunk.symbol(index).delta_len()?;
            }
            left -= covered;
        }
        let (chunks, rest) = rest.split_at_checked(chunks).ok_or(Malformed::Short)?;
        let deltas = rest.get(..deltas).ok_or(Malformed::Short)?;
        let reference = u32::from_be_bytes([0, r0, r1, r2]);
        Ok(Self { base: u16::from_be_bytes([b0, b1]), count, reference, number, chunks, deltas })
    }

    /// Counts the feedbacks of a receiver, modulo 256.
    pub fn number(&self) -> u8 {
        self.number
    }

    /// In ticks of 250 µs, modulo 2³².
    pub fn reference(&self) -> u32 {
        self.reference << 8
    }

    /// Every packet, in order of sequence numbers.
    pub fn reports(&self) -> impl Iterator<Item = Report> + use<'a> {
        let Self { base, count, chunks, deltas, .. } = *self;
        let symbols = chunks.chunks_exact(2).filter_map(|bytes| Chunk::read(bytes).ok());
        let symbols = symbols.flat_map(|chunk| (0..chunk.len).map(move |index| chunk.symbol(index)));
        let mut deltas = deltas;
        let mut arrival = 0;
        symbols.take(usize::from(count)).zip(0..).map(move |(symbol, offset)| {
            let came = match symbol {
                Symbol::Small => deltas.split_off_first().map(|delta| i64::from(*delta)),
                Symbol::Large => deltas.split_first_chunk().map(|(delta, rest)| {
                    deltas = rest;
                    i64::from(i16::from_be_bytes(*delta))
                }),
                Symbol::Missing | Symbol::Reserved => None,
            };
            arrival += came.unwrap_or_default();
            Report { sequence: base.wrapping_add(offset), arrival: came.map(|_| arrival) }
        })
    }
}

/// What became of a packet (§3.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Symbol {
    Missing = 0,
    Small = 1,
    Large = 2,
    Reserved = 3,
}

impl Symbol {
    fn new(bits: u16) -> Self {
        match bits & 3 {
            0 => Self::Missing,
            1 => Self::Small,
            2 => Self::Large,
            _ => Self::Reserved,
        }
    }

    fn delta_len(self) -> Result<usize, Malformed> {
        match self {
            Self::Missing => Ok(0),
            Self::Small => Ok(1),
            Self::Large => Ok(2),
            Self::Reserved => Err(Malformed::Status),
        }
    }
}

/// A packet status chunk (§3.1.2 to §3.1.4).
#[derive(Clone, Copy, Debug)]
struct Chunk {
    bits: u16,
    len: usize,
}

impl Chunk {
    fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let bits = u16::from_be_bytes(*bytes.first_chunk().ok_or(Malformed::Short)?);
        let len = match bits >> 14 {
            0 | 1 => usize::from(bits & 0x1FFF),
            2 => 14,
            _ => 7,
        };
        Ok(Self { bits, len })
    }

    fn symbol(self, index: usize) -> Symbol {
        match self.bits >> 14 {
            0 | 1 => Symbol::new(self.bits >> 13),
            2 => Symbol::new(self.bits >> (13 - index.min(13)) & 1),
            _ => Symbol::new(self.bits >> (12 - 2 * index.min(6))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reports(fci: &[u8]) -> Vec<(u16, Option<i64>)> {
        let feedback = Feedback::parse(fci).unwrap();
        feedback.reports().map(|report| (report.sequence, report.arrival)).collect()
    }

    #[test]
    fn run_lengths_and_both_vectors_are_read() {
        // 3 small by run length; then 1-bit: 1, 0, 1 of 14; count says that the vector has 3.
        let fci = [0xFF, 0xFE, 0, 6, 0, 0, 1, 9, 0x20, 3, 0xA8, 0, 4, 8, 0, 1, 2];
        let feedback = Feedback::parse(&fci).unwrap();
        assert_eq!((feedback.reference(), feedback.number()), (256, 9));
        let expected = [(65534, Some(4)), (65535, Some(12)), (0, Some(12)), (1, Some(13)), (2, None), (3, Some(15))];
        assert_eq!(reports(&fci), expected);
        // 2-bit: large negative, missing, small.
        let fci = [0, 1, 0, 3, 0, 0, 0, 0, 0b1110_0001, 0, 0xFF, 0xFE, 7, 0, 0, 0];
        assert_eq!(reports(&fci), [(1, Some(-2)), (2, None), (3, Some(5))]);
    }

    #[test]
    fn what_is_cut_off_reserved_or_beyond_reason_is_refused() {
        let fci = [0, 1, 0, 3, 0, 0, 0, 0, 0b1110_0001, 0, 0xFF, 0xFE, 7];
        for len in 0..fci.len() {
            assert_eq!(Feedback::parse(&fci[..len]).unwrap_err(), Malformed::Short);
        }
        assert_eq!(Feedback::parse(&[0, 1, 0, 0, 0, 0, 0, 0, 0, 0]).unwrap_err(), Malformed::Count);
        assert_eq!(Feedback::parse(&[0, 1, 0xFF, 0, 0, 0, 0, 0, 0x1F, 0xFF]).unwrap_err(), Malformed::Count);
        assert_eq!(Feedback::parse(&[0, 1, 0, 3, 0, 0, 0, 0, 0x60, 3, 0, 0]).unwrap_err(), Malformed::Status);
    }

    #[test]
    fn empty_chunks_are_no_way_to_keep_a_reader_busy() {
        let mut fci = vec![0, 1, 0, 1, 0, 0, 0, 0];
        fci.extend([0; 1400]);
        assert_eq!(Feedback::parse(&fci).unwrap_err(), Malformed::Short);
    }
}
