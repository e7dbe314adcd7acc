use std::io::{self, Read};

use sfu::MAX_DATAGRAM;

use super::LENGTH;

/// What came by a connection and is not a whole frame yet.
pub(crate) struct Inbound {
    buffer: Box<[u8; LENGTH + MAX_DATAGRAM]>,
    filled: usize,
}

/// A frame is announced that is longer than any packet we expect. What follows cannot be found without it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

impl Inbound {
    pub(super) fn new() -> Inbound {
        Inbound { buffer: Box::new([0; LENGTH + MAX_DATAGRAM]), filled: 0 }
    }

    /// Read once, as much as there is room for; 0 is the end.
    pub(super) fn fill(&mut self, mut stream: impl Read) -> io::Result<usize> {
        // There is room: a frame that fills the buffer is whole, and was taken.
        let read = stream.read(&mut self.buffer[self.filled..])?;
        self.filled += read;
        Ok(read)
    }

    /// Give every whole frame to `frame`, in order. Empty ones say nothing and are left out.
    pub(crate) fn take(&mut self, mut frame: impl FnMut(&mut [u8])) -> Result<(), TooLong> {
        let mut rest = &mut self.buffer[..self.filled];
        while let Some((length, packets)) = rest.split_first_chunk_mut::<LENGTH>() {
            let length = usize::from(u16::from_be_bytes(*length));
            if length > MAX_DATAGRAM {
                return Err(TooLong);
            }
            if length > packets.len() {
                break;
            }
            let (packet, after) = std::mem::take(&mut rest)[LENGTH..].split_at_mut(length);
            if length > 0 {
                frame(packet);
            }
            rest = after;
        }
        let left = rest.len();
        self.buffer.copy_within(self.filled - left..self.filled, 0);
        self.filled = left;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes out when `bytes` come in, at most `step` at a time.
    fn frames(bytes: &[u8], step: usize) -> Result<Vec<Vec<u8>>, TooLong> {
        let mut inbound = Inbound::new();
        let mut frames = Vec::new();
        for mut piece in bytes.chunks(step) {
            while inbound.fill(&mut piece).unwrap() > 0 {
                inbound.take(|frame| frames.push(frame.to_vec()))?;
            }
        }
        Ok(frames)
    }

    fn framed(packets: &[Vec<u8>]) -> Vec<u8> {
        packets.iter().flat_map(|packet| [&(packet.len() as u16).to_be_bytes()[..], packet].concat()).collect()
    }

    #[test]
    fn frames_come_out_whole_however_they_are_cut() {
        let packets: Vec<Vec<u8>> = [1, 2, 100, 1499, 1500, 3, 1500].map(|length| vec![length as u8; length]).into();
        let bytes = framed(&packets);
        for step in [1, 2, 3, 7, 1499, 1500, 1501, 1502, 1503, bytes.len()] {
            assert_eq!(frames(&bytes, step).unwrap(), packets, "{step}");
        }
    }

    #[test]
    fn empty_frames_are_left_out() {
        assert_eq!(frames(&[0, 0, 0, 1, 7, 0, 0, 0, 0, 0, 1, 8], 3).unwrap(), [[7], [8]]);
    }

    #[test]
    fn a_frame_that_is_too_long_is_an_error_before_it_has_come() {
        for length in [MAX_DATAGRAM as u16 + 1, u16::MAX] {
            let bytes = [&[0, 1, 7][..], &length.to_be_bytes()].concat();
            for step in 1..=bytes.len() {
                assert_eq!(frames(&bytes, step), Err(TooLong));
            }
        }
    }
}
