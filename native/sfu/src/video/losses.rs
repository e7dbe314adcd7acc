//! What a publisher's packets lack, and asking for it (RFC 4585 §6.2.1).

use std::time::{Duration, Instant};

use crate::rtp::extend_sequence;

/// Packets missing at a time; a longer hole is not mended but skipped by a key frame.
const MOST: usize = 128;
/// What merely comes out of order comes within this.
const REORDERED: Duration = Duration::from_millis(10);
/// Requests for one packet.
const TRIES: u8 = 8;
/// Between two of them, unless the round trip is longer.
const LEAST_AGAIN: Duration = Duration::from_millis(40);
/// What is older than this nobody would play.
const TOO_OLD: Duration = Duration::from_millis(800);

struct Missing {
    index: u64,
    since: Instant,
    asked: Option<Instant>,
    tries: u8,
}

/// Of one encoding.
#[derive(Default)]
pub(crate) struct Losses {
    highest: Option<u64>,
    missing: Vec<Missing>,
}

impl Losses {
    /// The index of a packet with this sequence number.
    pub(crate) fn index(&self, sequence: u16) -> u64 {
        self.highest.map_or(u64::from(sequence), |highest| extend_sequence(highest, sequence))
    }

    /// The packet is here. False: the hole before it is too long to be mended.
    pub(crate) fn received(&mut self, now: Instant, index: u64) -> bool {
        let Some(highest) = self.highest else {
            self.highest = Some(index);
            return true;
        };
        if index <= highest {
            if let Some(place) = self.missing.iter().position(|missing| missing.index == index) {
                self.missing.remove(place);
            }
            return true;
        }
        self.highest = Some(index);
        let hole = (index - highest - 1) as usize;
        if self.missing.len() + hole > MOST {
            self.missing.clear();
            return false;
        }
        self.missing.extend((highest + 1..index).map(|index| Missing { index, since: now, asked: None, tries: 0 }));
        true
    }

    pub(crate) fn has_missing(&self) -> bool {
        !self.missing.is_empty()
    }

    /// Write the items of a NACK for what is due. Returns the length; 0: nothing is.
    pub(crate) fn ask(&mut self, now: Instant, rtt: Duration, out: &mut [u8]) -> usize {
        let again = rtt.mul_f32(1.5).max(LEAST_AGAIN);
        self.missing.retain(|missing| missing.tries < TRIES && now.saturating_duration_since(missing.since) < TOO_OLD);
        let mut len = 0;
        let mut open: Option<u64> = None;
        for missing in &mut self.missing {
            let due = match missing.asked {
                None => now.saturating_duration_since(missing.since) >= REORDERED,
                Some(asked) => now.saturating_duration_since(asked) >= again,
            };
            if !due {
                continue;
            }
            match open {
                Some(first) if missing.index > first && missing.index - first <= 16 => {
                    let mask = u16::from_be_bytes([out[len - 2], out[len - 1]]) | 1 << (missing.index - first - 1);
                    out[len - 2..len].copy_from_slice(&mask.to_be_bytes());
                }
                _ => {
                    let Some(item) = out.get_mut(len..len + 4) else { break };
                    item[..2].copy_from_slice(&(missing.index as u16).to_be_bytes());
                    item[2..].fill(0);
                    len += 4;
                    open = Some(missing.index);
                }
            }
            missing.asked = Some(now);
            missing.tries += 1;
        }
        len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_hole_is_asked_for_once_reordering_is_out_of_the_question_and_again_after_a_round_trip() {
        let start = Instant::now();
        let mut losses = Losses::default();
        for index in [10, 11, 14, 16] {
            assert!(losses.received(start, index));
        }
        let mut out = [0; 64];
        assert_eq!(losses.ask(start + 5 * MS, 20 * MS, &mut out), 0);
        assert_eq!(losses.ask(start + 10 * MS, 20 * MS, &mut out), 4);
        assert_eq!(out[..4], [0, 12, 0, 0b101], "12, 13 and 15");
        assert_eq!(losses.ask(start + 30 * MS, 20 * MS, &mut out), 0);
        losses.received(start + 30 * MS, 13);
        assert_eq!(losses.ask(start + 50 * MS, 20 * MS, &mut out), 4);
        assert_eq!(out[..4], [0, 12, 0, 0b100]);
        assert_eq!(losses.ask(start + 900 * MS, 20 * MS, &mut out), 0);
        assert!(!losses.has_missing());
    }

    #[test]
    fn a_hole_that_is_too_long_is_not_mended() {
        let start = Instant::now();
        let mut losses = Losses::default();
        losses.received(start, 65_530);
        assert!(losses.received(start, losses.index(4)));
        assert!(!losses.received(start, 70_000));
        assert!(!losses.has_missing());
    }
}
