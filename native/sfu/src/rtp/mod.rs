//! RTP headers (RFC 3550 §5.1) with their extensions (RFC 8285).

mod reception;

pub use reception::Reception;

use crate::drops::Drop;

/// RFC 8285 §4.2.
const ONE_BYTE: u16 = 0xBEDE;
/// RFC 8285 §4.3: the upper 12 bits; the lower four are the application's.
const TWO_BYTE: u16 = 0x1000;
const TWO_BYTE_MASK: u16 = 0xFFF0;
const FIXED_LEN: usize = 12;

/// A parsed header. It borrows nothing: what needs the packet is given it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Meaning by profile; in audio, the first packet after silence.
    pub marker: bool,
    /// 7 bits.
    pub payload_type: u8,
    /// Increases by one a packet, modulo 2^16.
    pub sequence: u16,
    /// In the units of the payload's clock, modulo 2^32.
    pub timestamp: u32,
    /// Who sends.
    pub ssrc: u32,
    /// Bytes of the whole header, CSRCs and extension included.
    pub len: usize,
    /// The last byte of the packet says how many of the last are padding.
    pub padding: bool,
    /// 0 to 15.
    pub csrc_count: usize,
    /// The extension's profile, and where its elements begin; they end with the header.
    extension: Option<(u16, usize)>,
}

impl Header {
    /// Never panics, on any input.
    pub fn parse(packet: &[u8]) -> Result<Self, Drop> {
        let fixed: &[u8; FIXED_LEN] = packet.first_chunk().ok_or(Drop::Short)?;
        if fixed[0] >> 6 != 2 {
            return Err(Drop::Malformed);
        }
        let csrc_count = usize::from(fixed[0] & 0x0F);
        let mut len = FIXED_LEN + 4 * csrc_count;
        let mut extension = None;
        if fixed[0] & 0x10 != 0 {
            let head: &[u8; 4] = packet.get(len..).and_then(|rest| rest.first_chunk()).ok_or(Drop::Short)?;
            let words = usize::from(u16::from_be_bytes([head[2], head[3]]));
            extension = Some((u16::from_be_bytes([head[0], head[1]]), len + 4));
            len += 4 + 4 * words;
        }
        if packet.len() < len {
            return Err(Drop::Short);
        }
        Ok(Self {
            marker: fixed[1] & 0x80 != 0,
            payload_type: fixed[1] & 0x7F,
            sequence: u16::from_be_bytes([fixed[2], fixed[3]]),
            timestamp: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
            ssrc: u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]),
            len,
            padding: fixed[0] & 0x20 != 0,
            csrc_count,
            extension,
        })
    }

    /// The contributing sources. `packet` is the one that was parsed.
    pub fn csrcs<'a>(&self, packet: &'a [u8]) -> impl Iterator<Item = u32> + 'a {
        let list = packet.get(FIXED_LEN..FIXED_LEN + 4 * self.csrc_count).unwrap_or_default();
        list.chunks_exact(4).map(|each| u32::from_be_bytes([each[0], each[1], each[2], each[3]]))
    }

    /// The element `id` of the extension, one- or two-byte. `packet` is the one that was parsed.
    pub fn extension<'a>(&self, packet: &'a [u8], id: u8) -> Option<&'a [u8]> {
        let (profile, start) = self.extension?;
        let two_byte = match profile {
            ONE_BYTE => false,
            profile if profile & TWO_BYTE_MASK == TWO_BYTE => true,
            _ => return None,
        };
        let mut rest = packet.get(start..self.len)?;
        loop {
            let (&first, after) = rest.split_first()?;
            if first == 0 {
                rest = after; // padding
                continue;
            }
            let (found, len, after) = if two_byte {
                let (&len, after) = after.split_first()?;
                (first, usize::from(len), after)
            } else if first >> 4 == 15 {
                return None; // RFC 8285 §4.2: reserved, stop here
            } else {
                (first >> 4, usize::from(first & 0x0F) + 1, after)
            };
            let value = after.get(..len)?;
            if found == id {
                return Some(value);
            }
            rest = &after[len..];
        }
    }

    /// Bytes of payload in the plaintext `packet`, its padding left out.
    pub fn payload_len(&self, packet: &[u8]) -> Result<usize, Drop> {
        let len = packet.len().checked_sub(self.len).ok_or(Drop::Short)?;
        if !self.padding {
            return Ok(len);
        }
        let padding = packet.last().map_or(0, |last| usize::from(*last));
        if padding == 0 || padding > len {
            return Err(Drop::Malformed);
        }
        Ok(len - padding)
    }
}

/// RFC 6464: how loud a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudioLevel {
    /// The sender believes that it is speech.
    pub voice: bool,
    /// 0 (loudest) to 127 (silence), -dBov.
    pub level: u8,
}

impl AudioLevel {
    /// The element's value, one byte; the two-byte form may pad it (RFC 6464 §3).
    pub fn parse(value: &[u8]) -> Option<Self> {
        value.first().map(|byte| Self { voice: byte & 0x80 != 0, level: byte & 0x7F })
    }

    /// As it is sent.
    pub(crate) fn byte(self) -> u8 {
        u8::from(self.voice) << 7 | self.level & 0x7F
    }
}

/// A header as we send them.
#[derive(Clone, Copy, Debug)]
pub struct OutgoingHeader {
    /// 7 bits.
    pub payload_type: u8,
    /// The content begins here.
    pub marker: bool,
    /// The stream's.
    pub sequence: u16,
    /// The stream's.
    pub timestamp: u32,
    /// The stream's.
    pub ssrc: u32,
    /// Who is heard.
    pub csrc: Option<u32>,
    /// The receiver's extension id (1 to 14) and the level.
    pub level: Option<(u8, AudioLevel)>,
}

impl OutgoingHeader {
    /// Bytes of the longest.
    pub const MAX_LEN: usize = FIXED_LEN + 4 + 8;

    /// Write into `out`, which holds at least [`Self::MAX_LEN`] bytes. Returns the length.
    pub fn write(&self, out: &mut [u8]) -> usize {
        out[0] = 0x80 | u8::from(self.level.is_some()) << 4 | u8::from(self.csrc.is_some());
        out[1] = u8::from(self.marker) << 7 | self.payload_type & 0x7F;
        out[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        out[4..8].copy_from_slice(&self.timestamp.to_be_bytes());
        out[8..12].copy_from_slice(&self.ssrc.to_be_bytes());
        let mut len = FIXED_LEN;
        if let Some(csrc) = self.csrc {
            out[len..len + 4].copy_from_slice(&csrc.to_be_bytes());
            len += 4;
        }
        if let Some((id, level)) = self.level {
            let [high, low] = ONE_BYTE.to_be_bytes();
            out[len..len + 8].copy_from_slice(&[high, low, 0, 1, id << 4, level.byte(), 0, 0]);
            len += 8;
        }
        len
    }
}

/// The 48-bit index (ROC and sequence number) nearest to `highest` whose lower half is `sequence` (RFC 3711 §3.3.1).
pub fn extend_sequence(highest: u64, sequence: u16) -> u64 {
    let distance = sequence.wrapping_sub(highest as u16) as i16;
    let index = highest as i64 + i64::from(distance);
    // Before the first rollover there is nothing to go back to.
    if index < 0 { index as u64 & 0xFFFF } else { index as u64 & 0xFFFF_FFFF_FFFF }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), id: u8) {
            if let Ok(header) = Header::parse(&bytes) {
                prop_assert!(header.len <= bytes.len());
                let _ = header.extension(&bytes, id);
                let _ = header.payload_len(&bytes);
                prop_assert_eq!(header.csrcs(&bytes).count(), header.csrc_count);
            }
        }

        #[test]
        fn what_is_written_is_read(
            payload_type in 0u8..128, marker: bool, sequence: u16, timestamp: u32, ssrc: u32,
            csrc: Option<u32>, id in 1u8..15, voice: bool, level in proptest::option::of(0u8..128),
        ) {
            let level = level.map(|level| AudioLevel { voice, level });
            let written = OutgoingHeader {
                payload_type, marker, sequence, timestamp, ssrc, csrc, level: level.map(|level| (id, level)),
            };
            let mut out = [0u8; OutgoingHeader::MAX_LEN];
            let len = written.write(&mut out);
            let header = Header::parse(&out[..len]).unwrap();
            prop_assert_eq!(header.len, len);
            prop_assert_eq!((header.payload_type, header.marker), (payload_type, marker));
            prop_assert_eq!((header.sequence, header.timestamp, header.ssrc), (sequence, timestamp, ssrc));
            prop_assert_eq!(header.csrcs(&out).next(), csrc);
            prop_assert_eq!(header.extension(&out, id).and_then(AudioLevel::parse), level);
        }

        #[test]
        fn an_index_is_recovered_from_its_lower_half(highest in 0u64..1 << 47, distance in -32_000i64..32_000) {
            let index = highest as i64 + distance;
            prop_assume!(index >= 0);
            prop_assert_eq!(extend_sequence(highest, index as u16), index as u64);
        }
    }

    #[test]
    fn one_and_two_byte_extensions_are_read() {
        let mut packet = vec![0x90, 111, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
        packet.extend([0xBE, 0xDE, 0, 2, 0x10, 0xAA, 0, 0x31, 0xBB, 0xCC, 0, 0]);
        let header = Header::parse(&packet).unwrap();
        assert_eq!(header.extension(&packet, 1), Some(&[0xAA][..]));
        assert_eq!(header.extension(&packet, 3), Some(&[0xBB, 0xCC][..]));
        assert_eq!(header.extension(&packet, 2), None);

        let mut packet = vec![0x90, 111, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
        packet.extend([0x10, 0x05, 0, 2, 20, 0, 0, 4, 3, 1, 2, 3]);
        let header = Header::parse(&packet).unwrap();
        assert_eq!(header.extension(&packet, 20), Some(&[][..]));
        assert_eq!(header.extension(&packet, 4), Some(&[1, 2, 3][..]));
    }

    #[test]
    fn an_extension_that_runs_over_its_end_is_not_there() {
        let mut packet = vec![0x90, 111, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
        packet.extend([0xBE, 0xDE, 0, 1, 0x1F, 1, 2, 3, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9]);
        let header = Header::parse(&packet).unwrap();
        assert_eq!(header.extension(&packet, 1), None);
    }

    #[test]
    fn padding_that_cannot_be_is_malformed() {
        let packet = [0xA0, 111, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 7, 2];
        let header = Header::parse(&packet).unwrap();
        assert_eq!(header.payload_len(&packet), Ok(0));
        for last in [0, 3, 255] {
            let packet = [0xA0, 111, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 7, last];
            assert_eq!(header.payload_len(&packet), Err(Drop::Malformed));
        }
    }
}
