//! The last packets of a slot's content, for receivers that missed one (RFC 4585 §6.2.1). They are kept as they came, once for
//! all receivers: what was sent to one of them is made again from here, byte for byte.

use crate::rtp::AudioLevel;

/// Packets kept: 1.3 s of 20 ms frames. What is older is past any playout deadline.
const PACKETS: usize = 64;
/// Bytes kept: as many packets of 64 kb/s with RED.
const BYTES: usize = 16 * 1024;

/// All that differs from packet to packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) epoch: u32,
    pub(crate) segment: u32,
    pub(crate) index: u64,
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    pub(crate) level: Option<AudioLevel>,
    /// The payload is RED whose blocks have this payload type.
    pub(crate) red: Option<u8>,
    /// Position of the payload in the endless stream of bytes.
    start: u64,
    len: usize,
}

pub(crate) struct History {
    /// Ring: packet number `n` is at `n % PACKETS`.
    packets: Vec<Kept>,
    count: u64,
    bytes: Vec<u8>,
    /// Bytes ever written.
    end: u64,
}

/// A packet as it is put in.
pub(crate) struct Fresh<'a> {
    pub(crate) epoch: u32,
    pub(crate) segment: u32,
    pub(crate) index: u64,
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    pub(crate) level: Option<AudioLevel>,
    pub(crate) red: Option<u8>,
    pub(crate) payload: &'a [u8],
}

impl History {
    /// Everything it will ever need.
    pub(crate) fn new() -> Self {
        Self { packets: Vec::with_capacity(PACKETS), count: 0, bytes: vec![0; BYTES], end: 0 }
    }

    pub(crate) fn keep(&mut self, packet: &Fresh<'_>) {
        let len = packet.payload.len();
        // A payload does not run over the end of the ring.
        let at = (self.end % BYTES as u64) as usize;
        if at + len > BYTES {
            self.end += (BYTES - at) as u64;
        }
        let at = (self.end % BYTES as u64) as usize;
        self.bytes[at..at + len].copy_from_slice(packet.payload);
        let kept = Kept {
            epoch: packet.epoch,
            segment: packet.segment,
            index: packet.index,
            timestamp: packet.timestamp,
            marker: packet.marker,
            level: packet.level,
            red: packet.red,
            start: self.end,
            len,
        };
        self.end += len as u64;
        let place = (self.count % PACKETS as u64) as usize;
        match self.packets.get_mut(place) {
            Some(place) => *place = kept,
            None => self.packets.push(kept),
        }
        self.count += 1;
    }

    /// The packet and its payload, unless it was never here or has been overwritten.
    pub(crate) fn find(&self, epoch: u32, segment: u32, index: u64) -> Option<(&Kept, &[u8])> {
        let kept = self
            .packets
            .iter()
            .find(|kept| (kept.epoch, kept.segment, kept.index) == (epoch, segment, index))
            .filter(|kept| kept.start + BYTES as u64 >= self.end)?;
        let at = (kept.start % BYTES as u64) as usize;
        Some((kept, &self.bytes[at..at + kept.len]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fresh(index: u64, payload: &[u8]) -> Fresh<'_> {
        Fresh { epoch: 1, segment: 0, index, timestamp: index as u32, marker: false, level: None, red: None, payload }
    }

    #[test]
    fn what_was_kept_is_found_until_it_is_overwritten() {
        let mut history = History::new();
        for index in 0..1000u64 {
            let payload = vec![index as u8; 1 + index as usize % 300];
            history.keep(&fresh(index, &payload));
            for back in 0..40.min(index + 1) {
                let (kept, found) = history.find(1, 0, index - back).unwrap();
                assert_eq!((kept.index, found[0]), (index - back, (index - back) as u8));
                assert_eq!(found.len(), 1 + (index - back) as usize % 300);
            }
            assert!(index < 64 || history.find(1, 0, index - 64).is_none());
        }
        assert!(history.find(2, 0, 999).is_none() && history.find(1, 1, 999).is_none());
    }

    #[test]
    fn large_payloads_push_out_more_than_their_own_number() {
        let mut history = History::new();
        for index in 0..40u64 {
            history.keep(&fresh(index, &vec![index as u8; 1400]));
        }
        let found: Vec<_> = (0..40).filter(|index| history.find(1, 0, *index).is_some()).collect();
        assert!(found.len() >= 10 && found.is_sorted() && found.last() == Some(&39));
        assert!(found.iter().all(|index| history.find(1, 0, *index).unwrap().1 == [*index as u8; 1400]));
    }
}
