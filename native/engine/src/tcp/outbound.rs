use std::{
    collections::VecDeque,
    io::{self, Write},
};

use super::LENGTH;

/// What may wait for a connection: a second and a half of eight voices. What comes later than that nobody wants to hear.
const LIMIT: usize = 64 << 10;

/// Memory kept while nothing waits: what one batch has for one connection.
const KEPT: usize = 4 << 10;

/// Frames on their way into a connection.
#[derive(Default)]
pub(super) struct Outbound(VecDeque<u8>);

impl Outbound {
    /// Add a packet, unless too much waits; whether it was added.
    pub(super) fn push(&mut self, packet: &[u8]) -> bool {
        let Ok(length) = u16::try_from(packet.len()) else { return false };
        if self.0.len() + LENGTH + packet.len() > LIMIT {
            return false;
        }
        self.0.extend(length.to_be_bytes());
        self.0.extend(packet);
        true
    }

    /// Write what the connection takes now; whether that was all.
    pub(super) fn flush(&mut self, mut stream: impl Write) -> io::Result<bool> {
        while !self.0.is_empty() {
            match stream.write(self.0.as_slices().0) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => drop(self.0.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if self.0.capacity() > KEPT {
            self.0.shrink_to(KEPT);
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes a few bytes at a time, and so many until it is full.
    struct Slow {
        taken: Vec<u8>,
        room: usize,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let length = bytes.len().min(self.room).min(7);
            if length == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.room -= length;
            self.taken.extend(&bytes[..length]);
            Ok(length)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn packets_go_out_framed_and_in_order_however_little_is_taken_at_once() {
        let mut outbound = Outbound::default();
        let mut slow = Slow { taken: Vec::new(), room: 10 };
        let mut sent = Vec::new();
        for length in [3, 100, 1, 1500] {
            let packet = vec![length as u8; length];
            assert!(outbound.push(&packet));
            sent.extend((length as u16).to_be_bytes());
            sent.extend(packet);
            assert!(!outbound.flush(&mut slow).unwrap() || length == 3);
            slow.room += 10;
        }
        slow.room = usize::MAX;
        assert!(outbound.flush(&mut slow).unwrap());
        assert_eq!(slow.taken, sent);
    }

    #[test]
    fn what_finds_no_room_is_dropped_whole_and_memory_is_given_back() {
        let mut outbound = Outbound::default();
        let added = (0..1000).filter(|_| outbound.push(&[5; 1000])).count();
        assert_eq!(added, LIMIT / 1002);
        let mut all = Slow { taken: Vec::new(), room: usize::MAX };
        assert!(outbound.flush(&mut all).unwrap());
        assert_eq!(all.taken.len(), added * 1002);
        assert!(outbound.0.capacity() <= 2 * KEPT);
        assert!(outbound.push(b"again"));
    }
}
