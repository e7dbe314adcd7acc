use std::time::Duration;

/// Tells our packets from other people's.
const MAGIC: [u8; 2] = *b"sv";

/// Which part of which frame a packet is, and when the frame was sent: the last bytes of its payload, which every forwarder
/// passes on as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VideoStamp {
    /// Of this process; times of others say nothing here, for their clock is another.
    pub run: u32,
    /// The sender's number in the process.
    pub sender: u32,
    /// The sender's number for the encoding, 0 is the smallest.
    pub encoding: u8,
    /// The frame's temporal layer.
    pub temporal: u8,
    /// Counts the frames of its encoding.
    pub frame: u32,
    /// The frame without which this one cannot be decoded; itself when it is a key frame.
    pub reference: u32,
    /// The packet's number in its frame.
    pub part: u16,
    /// How many packets the frame has, at least 1.
    pub parts: u16,
    /// By the process's clock.
    pub sent: Duration,
}

impl VideoStamp {
    /// In bytes.
    pub const LENGTH: usize = 32;

    /// Can it be decoded by itself?
    pub fn is_key(&self) -> bool {
        self.reference == self.frame
    }

    /// Write into the last bytes of `payload`, which has room.
    pub fn write(&self, payload: &mut [u8]) {
        let at = payload.len() - Self::LENGTH;
        let stamp = &mut payload[at..];
        stamp[..2].copy_from_slice(&MAGIC);
        stamp[2..6].copy_from_slice(&self.run.to_be_bytes());
        stamp[6..10].copy_from_slice(&self.sender.to_be_bytes());
        stamp[10..12].copy_from_slice(&[self.encoding, self.temporal]);
        stamp[12..16].copy_from_slice(&self.frame.to_be_bytes());
        stamp[16..20].copy_from_slice(&self.reference.to_be_bytes());
        stamp[20..22].copy_from_slice(&self.part.to_be_bytes());
        stamp[22..24].copy_from_slice(&self.parts.to_be_bytes());
        stamp[24..].copy_from_slice(&(self.sent.as_nanos() as u64).to_be_bytes());
    }

    /// The stamp of a payload that has one. Never panics, on any input.
    pub fn read(payload: &[u8]) -> Option<VideoStamp> {
        let stamp: &[u8; Self::LENGTH] = payload.last_chunk()?;
        let word = |at: usize| u32::from_be_bytes([stamp[at], stamp[at + 1], stamp[at + 2], stamp[at + 3]]);
        let half = |at: usize| u16::from_be_bytes([stamp[at], stamp[at + 1]]);
        let found = VideoStamp {
            run: word(2),
            sender: word(6),
            encoding: stamp[10],
            temporal: stamp[11],
            frame: word(12),
            reference: word(16),
            part: half(20),
            parts: half(22),
            sent: Duration::from_nanos(u64::from(word(24)) << 32 | u64::from(word(28))),
        };
        (stamp[..2] == MAGIC && found.part < found.parts).then_some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: VideoStamp = VideoStamp {
        run: 1,
        sender: 2,
        encoding: 3,
        temporal: 4,
        frame: 5,
        reference: 6,
        part: 7,
        parts: 8,
        sent: Duration::from_nanos(9_876_543_210),
    };

    #[test]
    fn what_is_written_is_read() {
        let mut payload = [0; 50];
        STAMP.write(&mut payload);
        assert_eq!(VideoStamp::read(&payload), Some(STAMP));
        assert!(payload[..50 - VideoStamp::LENGTH].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn what_has_no_stamp_is_not_taken_for_one() {
        assert_eq!(VideoStamp::read(&[0; 50]), None);
        assert_eq!(VideoStamp::read(b"sv"), None);
        let mut payload = [0; 32];
        VideoStamp { part: 8, ..STAMP }.write(&mut payload);
        assert_eq!(VideoStamp::read(&payload), None, "a part beyond the last");
    }
}
