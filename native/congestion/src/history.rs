//! What was sent and is not yet known to have arrived.

/// Packets remembered: two seconds of them at 20 Mb/s, and a power of two, so that sequence numbers wrap with the ring.
pub(crate) const HISTORY: usize = 4096;

const LOST: u16 = 1 << 15;
const PRESENT: u16 = 1 << 14;
/// Sizes up to this are kept as they are; no datagram is larger.
const SIZE: u16 = PRESENT - 1;

/// 8 bytes a packet. The time, in microseconds since the estimator's start, has 40 bits: twelve days.
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    at_low: u32,
    at_high: u8,
    probe: u8,
    /// And two flags.
    size: u16,
}

/// A packet that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    /// In microseconds since the estimator's start.
    pub at: i64,
    pub size: usize,
    /// 0: none.
    pub probe: u8,
    /// It was reported missing before.
    pub lost: bool,
}

/// A ring by sequence number.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// Empty until something is sent: not every peer gets video.
    entries: Vec<Entry>,
    next: u16,
}

impl History {
    /// The next packet, with the number it gets.
    pub fn push(&mut self, at: i64, size: usize, probe: u8) -> u16 {
        if self.entries.is_empty() {
            self.entries.resize(HISTORY, Entry::default());
        }
        let sequence = self.next;
        self.next = sequence.wrapping_add(1);
        let at = at.max(0) as u64;
        let size = PRESENT | u16::try_from(size).unwrap_or(SIZE).min(SIZE);
        if let Some(entry) = self.entries.get_mut(usize::from(sequence) % HISTORY) {
            *entry = Entry { at_low: at as u32, at_high: (at >> 32) as u8, probe, size };
        }
        sequence
    }

    /// What is known of a packet; None: it was never sent, or is known to have arrived, or is too long ago.
    fn entry(&mut self, sequence: u16) -> Option<&mut Entry> {
        let age = self.next.wrapping_sub(sequence);
        let known = age != 0 && usize::from(age) <= HISTORY;
        let entry = self.entries.get_mut(usize::from(sequence) % HISTORY)?;
        (known && entry.size & PRESENT != 0).then_some(entry)
    }

    /// It has arrived, which is told once.
    pub fn arrived(&mut self, sequence: u16) -> Option<Sent> {
        let entry = self.entry(sequence)?;
        let sent = Sent {
            at: i64::from(entry.at_high) << 32 | i64::from(entry.at_low),
            size: usize::from(entry.size & SIZE),
            probe: entry.probe,
            lost: entry.size & LOST != 0,
        };
        *entry = Entry::default();
        Some(sent)
    }

    /// It has not arrived by now; true when that is new. It may still come.
    pub fn lost(&mut self, sequence: u16) -> bool {
        let Some(entry) = self.entry(sequence) else { return false };
        let new = entry.size & LOST == 0;
        entry.size |= LOST;
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_arrives_once_and_may_be_late() {
        let mut history = History::default();
        let first = history.push(5, 1200, 3);
        assert!(history.lost(first) && !history.lost(first));
        assert_eq!(history.arrived(first), Some(Sent { at: 5, size: 1200, probe: 3, lost: true }));
        assert_eq!(history.arrived(first), None);
        assert!(!history.lost(first));
    }

    #[test]
    fn what_was_never_sent_or_is_overwritten_is_unknown() {
        let mut history = History::default();
        assert_eq!(history.arrived(0), None);
        for at in 0..70_000 {
            history.push(at << 20, 1 << 20, 0);
        }
        assert_eq!(history.next, (70_000 % 65536) as u16);
        assert_eq!(history.arrived(history.next), None);
        let oldest = history.next.wrapping_sub(HISTORY as u16);
        assert_eq!(history.arrived(oldest.wrapping_sub(1)), None);
        assert_eq!(history.arrived(oldest).unwrap().at, (70_000 - HISTORY as i64) << 20);
    }
}
