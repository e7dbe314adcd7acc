//! RTCP (RFC 3550 §6): compound packets read and written, reduced-size ones (RFC 5506) included.

use crate::drops::Drop;

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const SDES: u8 = 202;
const BYE: u8 = 203;
const TRANSPORT_FEEDBACK: u8 = 205;
const PAYLOAD_FEEDBACK: u8 = 206;
/// RFC 4585 §6.2.1: generic NACK, of transport feedback.
pub const NACK: u8 = 1;
/// draft-holmer-rmcat-transport-wide-cc-extensions-01 §3.1, of transport feedback.
pub const TRANSPORT_CC: u8 = 15;
/// RFC 4585 §6.3.1: picture loss, of payload feedback.
pub const PLI: u8 = 1;
/// RFC 5104 §4.3.1: full intra request, of payload feedback.
pub const FIR: u8 = 4;
/// draft-alvestrand-rmcat-remb-03: application layer feedback, of payload feedback.
pub const REMB: u8 = 15;
const CNAME: u8 = 1;
const BLOCK_LEN: usize = 24;

/// How a source says that it is doing (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderInfo {
    /// 32.32 fixed point seconds since 1900.
    pub ntp: u64,
    /// The same instant in the stream's timeline.
    pub rtp_timestamp: u32,
    /// Sent so far.
    pub packets: u32,
    /// Payload bytes sent so far.
    pub octets: u32,
}

/// How a source is received (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReportBlock {
    /// Of the source.
    pub ssrc: u32,
    /// Since the last report, in 1/256.
    pub fraction_lost: u8,
    /// 24 bits, signed.
    pub cumulative_lost: i32,
    /// With the count of rollovers above.
    pub highest_sequence: u32,
    /// In ticks of the stream's clock.
    pub jitter: u32,
    /// The middle of the NTP time of the last sender report; 0 before there is one.
    pub last_sender_report: u32,
    /// In 1/65536 s.
    pub delay_since_last_sender_report: u32,
}

/// The report blocks of one packet.
#[derive(Clone, Debug)]
pub struct Blocks<'a>(&'a [u8]);

impl Iterator for Blocks<'_> {
    type Item = ReportBlock;

    fn next(&mut self) -> Option<ReportBlock> {
        let (block, rest): (&[u8; BLOCK_LEN], _) = self.0.split_first_chunk()?;
        self.0 = rest;
        let word = |at: usize| u32::from_be_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]]);
        Some(ReportBlock {
            ssrc: word(0),
            fraction_lost: block[4],
            cumulative_lost: (word(4) << 8) as i32 >> 8,
            highest_sequence: word(8),
            jitter: word(12),
            last_sender_report: word(16),
            delay_since_last_sender_report: word(20),
        })
    }
}

/// A list of SSRCs.
#[derive(Clone, Debug)]
pub struct Ssrcs<'a>(&'a [u8]);

impl Iterator for Ssrcs<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let (ssrc, rest): (&[u8; 4], _) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*ssrc))
    }
}

/// One packet of a compound.
#[derive(Clone, Debug)]
pub enum Packet<'a> {
    /// RFC 3550 §6.4.1.
    SenderReport {
        /// Of the sender.
        ssrc: u32,
        /// About its own stream.
        info: SenderInfo,
        /// About those it receives.
        blocks: Blocks<'a>,
    },
    /// RFC 3550 §6.4.2.
    ReceiverReport {
        /// Of the reporter.
        ssrc: u32,
        /// About those it receives.
        blocks: Blocks<'a>,
    },
    /// RFC 3550 §6.5.
    Sdes {
        /// Of the first chunk.
        ssrc: u32,
        /// Its CNAME, if that is the first item.
        cname: Option<&'a [u8]>,
    },
    /// RFC 3550 §6.6.
    Bye {
        /// Who leaves.
        ssrcs: Ssrcs<'a>,
    },
    /// RFC 4585 §6.1.
    Feedback {
        /// PSFB rather than RTPFB.
        payload_specific: bool,
        /// FMT.
        format: u8,
        /// Of the reporter.
        sender: u32,
        /// Of the stream it is about.
        media: u32,
        /// Feedback control information.
        information: &'a [u8],
    },
    /// Of another type: to be ignored (RFC 3550 §6.1).
    Other {
        /// PT.
        packet_type: u8,
    },
}

/// Every packet of a plaintext compound, in order; ends after the first that is malformed. Never panics.
pub fn packets(compound: &[u8]) -> Packets<'_> {
    Packets { rest: compound }
}

/// See [`packets`].
pub struct Packets<'a> {
    rest: &'a [u8],
}

impl<'a> Packets<'a> {
    fn step(&mut self) -> Result<Packet<'a>, Drop> {
        let head: &[u8; 4] = self.rest.first_chunk().ok_or(Drop::Short)?;
        if head[0] >> 6 != 2 {
            return Err(Drop::Malformed);
        }
        let len = 4 * (usize::from(u16::from_be_bytes([head[2], head[3]])) + 1);
        let (packet, rest) = self.rest.split_at_checked(len).ok_or(Drop::Short)?;
        self.rest = rest;
        let mut body = &packet[4..];
        if head[0] & 0x20 != 0 {
            // Padding: only in the last packet, counted by its last byte (RFC 3550 §6.4.1).
            let padding = body.last().map_or(0, |last| usize::from(*last));
            let keep = body.len().checked_sub(padding).filter(|_| padding > 0).ok_or(Drop::Malformed)?;
            body = &body[..keep];
        }
        parse(head[0] & 0x1F, head[1], body)
    }
}

impl<'a> Iterator for Packets<'a> {
    type Item = Result<Packet<'a>, Drop>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let packet = self.step();
        if packet.is_err() {
            self.rest = &[];
        }
        Some(packet)
    }
}

fn parse(count: u8, packet_type: u8, body: &[u8]) -> Result<Packet<'_>, Drop> {
    let blocks = |at: usize| {
        let end = at + BLOCK_LEN * usize::from(count);
        body.get(at..end).map(Blocks).ok_or(Drop::Malformed)
    };
    let word = |at: usize| -> Result<u32, Drop> {
        let bytes = body.get(at..).and_then(|rest| rest.first_chunk::<4>()).ok_or(Drop::Malformed)?;
        Ok(u32::from_be_bytes(*bytes))
    };
    Ok(match packet_type {
        SENDER_REPORT => Packet::SenderReport {
            ssrc: word(0)?,
            info: SenderInfo {
                ntp: u64::from(word(4)?) << 32 | u64::from(word(8)?),
                rtp_timestamp: word(12)?,
                packets: word(16)?,
                octets: word(20)?,
            },
            blocks: blocks(24)?,
        },
        RECEIVER_REPORT => Packet::ReceiverReport { ssrc: word(0)?, blocks: blocks(4)? },
        SDES if count > 0 => {
            let cname = match body.get(4..).unwrap_or_default() {
                [CNAME, len, rest @ ..] => Some(rest.get(..usize::from(*len)).ok_or(Drop::Malformed)?),
                _ => None,
            };
            Packet::Sdes { ssrc: word(0)?, cname }
        }
        BYE => Packet::Bye { ssrcs: Ssrcs(body.get(..4 * usize::from(count)).ok_or(Drop::Malformed)?) },
        TRANSPORT_FEEDBACK | PAYLOAD_FEEDBACK => Packet::Feedback {
            payload_specific: packet_type == PAYLOAD_FEEDBACK,
            format: count,
            sender: word(0)?,
            media: word(4)?,
            information: &body[8..],
        },
        packet_type => Packet::Other { packet_type },
    })
}

/// There is no room for the packet; nothing of it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// Writes a compound into a buffer and never over its end. Leaves room for SRTCP's index and tag.
pub struct Writer<'a> {
    out: &'a mut [u8],
    len: usize,
}

/// What SRTCP appends at most: index (4) and a 16-byte tag (RFC 3711 §3.4, RFC 7714 §9).
const SEAL: usize = 20;

impl<'a> Writer<'a> {
    /// Begins an empty compound.
    pub fn new(out: &'a mut [u8]) -> Self {
        Self { out, len: 0 }
    }

    /// The place for a packet of `len` bytes with its header written.
    fn packet(&mut self, count: usize, packet_type: u8, len: usize) -> Result<&mut [u8], Full> {
        let end = self.len + len;
        if end + SEAL > self.out.len() || count > 31 {
            return Err(Full);
        }
        let packet = &mut self.out[self.len..end];
        packet[0] = 0x80 | count as u8;
        packet[1] = packet_type;
        packet[2..4].copy_from_slice(&((len / 4 - 1) as u16).to_be_bytes());
        self.len = end;
        Ok(&mut packet[4..])
    }

    /// RFC 3550 §6.4.1; at most 31 blocks.
    pub fn sender_report(&mut self, ssrc: u32, info: SenderInfo, blocks: &[ReportBlock]) -> Result<(), Full> {
        let body = self.packet(blocks.len(), SENDER_REPORT, 28 + BLOCK_LEN * blocks.len())?;
        body[..4].copy_from_slice(&ssrc.to_be_bytes());
        body[4..12].copy_from_slice(&info.ntp.to_be_bytes());
        body[12..16].copy_from_slice(&info.rtp_timestamp.to_be_bytes());
        body[16..20].copy_from_slice(&info.packets.to_be_bytes());
        body[20..24].copy_from_slice(&info.octets.to_be_bytes());
        write_blocks(&mut body[24..], blocks);
        Ok(())
    }

    /// RFC 3550 §6.4.2; at most 31 blocks.
    pub fn receiver_report(&mut self, ssrc: u32, blocks: &[ReportBlock]) -> Result<(), Full> {
        let body = self.packet(blocks.len(), RECEIVER_REPORT, 8 + BLOCK_LEN * blocks.len())?;
        body[..4].copy_from_slice(&ssrc.to_be_bytes());
        write_blocks(&mut body[4..], blocks);
        Ok(())
    }

    /// RFC 3550 §6.5.1: one chunk with a CNAME of at most 255 bytes.
    pub fn sdes_cname(&mut self, ssrc: u32, cname: &str) -> Result<(), Full> {
        let len = u8::try_from(cname.len()).map_err(|_| Full)?;
        // The item list ends with at least one zero and fills the word.
        let padded = (4 + 2 + cname.len() + 1).next_multiple_of(4);
        let body = self.packet(1, SDES, 4 + padded)?;
        body[..4].copy_from_slice(&ssrc.to_be_bytes());
        body[4] = CNAME;
        body[5] = len;
        body[6..6 + cname.len()].copy_from_slice(cname.as_bytes());
        body[6 + cname.len()..].fill(0);
        Ok(())
    }

    /// RFC 4585 §6.1, its control information written in place by `fill`, which returns its length (0: nothing to say).
    pub fn feedback(
        &mut self,
        payload_specific: bool,
        format: u8,
        [sender, media]: [u32; 2],
        fill: impl FnOnce(&mut [u8]) -> usize,
    ) -> Result<(), Full> {
        let start = self.len + 12;
        let end = self.out.len().saturating_sub(SEAL);
        let room = self.out.get_mut(start..end).ok_or(Full)?;
        let len = fill(room);
        if len == 0 && !(payload_specific && format == PLI) {
            return Ok(());
        }
        let packet_type = if payload_specific { PAYLOAD_FEEDBACK } else { TRANSPORT_FEEDBACK };
        let body = self.packet(usize::from(format), packet_type, 12 + len)?;
        body[..4].copy_from_slice(&sender.to_be_bytes());
        body[4..8].copy_from_slice(&media.to_be_bytes());
        Ok(())
    }

    /// RFC 3550 §6.6; at most 31.
    pub fn bye(&mut self, ssrcs: &[u32]) -> Result<(), Full> {
        let body = self.packet(ssrcs.len(), BYE, 4 + 4 * ssrcs.len())?;
        for (place, ssrc) in body.chunks_exact_mut(4).zip(ssrcs) {
            place.copy_from_slice(&ssrc.to_be_bytes());
        }
        Ok(())
    }

    /// Bytes so far.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Nothing yet.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The length of the compound.
    pub fn finish(self) -> usize {
        self.len
    }
}

fn write_blocks(out: &mut [u8], blocks: &[ReportBlock]) {
    for (place, block) in out.chunks_exact_mut(BLOCK_LEN).zip(blocks) {
        let loss = u32::from(block.fraction_lost) << 24 | block.cumulative_lost as u32 & 0xFF_FFFF;
        let words = [
            block.ssrc,
            loss,
            block.highest_sequence,
            block.jitter,
            block.last_sender_report,
            block.delay_since_last_sender_report,
        ];
        for (bytes, word) in place.chunks_exact_mut(4).zip(words) {
            bytes.copy_from_slice(&word.to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const INFO: SenderInfo = SenderInfo { ntp: 0x0123_4567_89AB_CDEF, rtp_timestamp: 7, packets: 8, octets: 9 };
    const BLOCK: ReportBlock = ReportBlock {
        ssrc: 1,
        fraction_lost: 255,
        cumulative_lost: -3,
        highest_sequence: 0x1_0002,
        jitter: 5,
        last_sender_report: 6,
        delay_since_last_sender_report: 7,
    };

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            for packet in packets(&bytes).flatten() {
                if let Packet::SenderReport { blocks, .. } | Packet::ReceiverReport { blocks, .. } = packet {
                    prop_assert!(blocks.count() <= 31);
                }
            }
        }

        #[test]
        fn damaged_compounds_never_panic(at in 0usize..88, byte: u8) {
            let mut out = [0u8; 200];
            let mut writer = Writer::new(&mut out);
            writer.sender_report(1, INFO, &[BLOCK]).unwrap();
            writer.sdes_cname(1, "name").unwrap();
            writer.bye(&[1]).unwrap();
            let len = writer.finish();
            out[at] = byte;
            packets(&out[..len]).for_each(|_| ());
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let mut out = [0u8; 200];
        let mut writer = Writer::new(&mut out);
        writer.sender_report(11, INFO, &[BLOCK]).unwrap();
        writer.receiver_report(12, &[BLOCK]).unwrap();
        writer.sdes_cname(11, "chorale").unwrap();
        writer.bye(&[11, 12]).unwrap();
        let len = writer.finish();
        let read: Vec<_> = packets(&out[..len]).map(Result::unwrap).collect();
        let [
            Packet::SenderReport { ssrc: 11, info, blocks },
            Packet::ReceiverReport { ssrc: 12, blocks: received },
            Packet::Sdes { ssrc: 11, cname: Some(b"chorale") },
            Packet::Bye { ssrcs },
        ] = &read[..]
        else {
            panic!("{read:?}")
        };
        assert_eq!(*info, INFO);
        assert_eq!(blocks.clone().collect::<Vec<_>>(), [BLOCK]);
        assert_eq!(received.clone().collect::<Vec<_>>(), [BLOCK]);
        assert_eq!(ssrcs.clone().collect::<Vec<_>>(), [11, 12]);
    }

    #[test]
    fn a_full_writer_says_so_and_leaves_the_rest_whole() {
        let mut out = [0u8; 28 + SEAL];
        let mut writer = Writer::new(&mut out);
        writer.sender_report(1, INFO, &[]).unwrap();
        assert_eq!(writer.sender_report(2, INFO, &[]), Err(Full));
        assert_eq!(writer.sdes_cname(1, "x"), Err(Full));
        assert_eq!(writer.finish(), 28);
    }
}
