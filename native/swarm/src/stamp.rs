//! When a frame was sent, written where no decoder looks: into the padding of the Opus packet (RFC 6716 §3.2.5).
//!
//! So the packet stays what it was to everybody who decodes it, and a receiver in the same process knows how long it was
//! on its way, whatever a server did to its RTP header.

use std::time::Duration;

/// Tells our padding from other people's, which is zeros.
const MAGIC: [u8; 2] = *b"sw";
const STAMP: usize = 18;
/// Bytes that a stamp adds: frame count byte, length of the padding, padding.
pub const OVERHEAD: usize = 2 + STAMP;
/// The frame count byte: constant bit rate, padding, one frame.
const ONE_FRAME_PADDED: u8 = 0x41;
/// Of the TOC byte: how many frames; 3 is "see the next byte".
const CODE: u8 = 0x03;

/// Who sent a frame, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Of this process; stamps of others say nothing here, for their clock is another.
    pub run: u32,
    /// The sender's number in the process.
    pub sender: u32,
    /// By the process's clock.
    pub sent: Duration,
}

impl Stamp {
    /// Write `packet` with the stamp into `out`, which has [`OVERHEAD`] bytes more. Returns the length. A packet of another
    /// form than one frame without padding (code 0) is copied as it is.
    pub fn write(&self, packet: &[u8], out: &mut [u8]) -> usize {
        let Some((&toc, frame)) = packet.split_first().filter(|(toc, _)| *toc & CODE == 0) else {
            out[..packet.len()].copy_from_slice(packet);
            return packet.len();
        };
        out[..3].copy_from_slice(&[toc | CODE, ONE_FRAME_PADDED, STAMP as u8]);
        out[3..3 + frame.len()].copy_from_slice(frame);
        let padding = &mut out[3 + frame.len()..][..STAMP];
        padding[..2].copy_from_slice(&MAGIC);
        padding[2..6].copy_from_slice(&self.run.to_be_bytes());
        padding[6..10].copy_from_slice(&self.sender.to_be_bytes());
        padding[10..].copy_from_slice(&(self.sent.as_nanos() as u64).to_be_bytes());
        packet.len() + OVERHEAD
    }

    /// The stamp of a packet that has one. Never panics, on any input.
    pub fn read(packet: &[u8]) -> Option<Stamp> {
        let (head, rest) = packet.split_first_chunk::<3>()?;
        if head[0] & CODE != CODE || head[1] != ONE_FRAME_PADDED || usize::from(head[2]) != STAMP {
            return None;
        }
        let padding: &[u8; STAMP] = rest.last_chunk()?;
        let (magic, numbers) = padding.split_first_chunk::<2>()?;
        let (run, numbers) = numbers.split_first_chunk::<4>()?;
        let (sender, sent) = numbers.split_first_chunk::<4>()?;
        (*magic == MAGIC).then_some(Stamp {
            run: u32::from_be_bytes(*run),
            sender: u32::from_be_bytes(*sender),
            sent: Duration::from_nanos(u64::from_be_bytes(sent.try_into().ok()?)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP_: Stamp = Stamp { run: 7, sender: 8, sent: Duration::from_nanos(9_876_543_210) };

    #[test]
    fn what_is_written_is_read_and_the_frame_is_in_it() {
        let packet = [0x78, 1, 2, 3, 4];
        let mut out = [0; 100];
        let len = STAMP_.write(&packet, &mut out);
        assert_eq!(len, packet.len() + OVERHEAD);
        assert_eq!(Stamp::read(&out[..len]), Some(STAMP_));
        assert_eq!(out[..7], [0x7B, 0x41, 18, 1, 2, 3, 4]);
    }

    #[test]
    fn packets_of_several_frames_stay_as_they_are() {
        for packet in [&[0x79, 1, 2][..], &[0x7B, 0x02, 1, 2], &[]] {
            let mut out = [0; 100];
            let len = STAMP_.write(packet, &mut out);
            assert_eq!(&out[..len], packet);
            assert_eq!(Stamp::read(packet), None);
        }
    }

    #[test]
    fn padding_that_is_not_ours_is_no_stamp() {
        let mut packet = [0; 40];
        packet[..3].copy_from_slice(&[0x7B, 0x41, 18]);
        assert_eq!(Stamp::read(&packet), None);
        assert_eq!(Stamp::read(&packet[..10]), None);
        assert_eq!(Stamp::read(&[0x7B]), None);
    }
}
