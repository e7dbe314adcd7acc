//! What is under way to a receiver and not yet known to have come: a path that has become narrow shows by that before any
//! estimate has seen it, and everything sent meanwhile would only stand in its queue, voices behind it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How much longer than the shortest way there and back packets may be under way, besides twice the time between reports:
/// frames do not come as evenly as reports do.
const PATIENCE: Duration = Duration::from_millis(50);
/// Receivers report every 50 to 250 ms.
const INTERVALS: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(250)];
/// The shortest round trip of late is forgotten by this much with each report: another path may be longer.
const FORGETS: Duration = Duration::from_micros(500);
/// Reports that say how fast packets come: two to four tenths of a second.
const REPORTS: usize = 5;
/// How long a path that was found full is not believed to carry more than came through it.
const DISBELIEF: Duration = Duration::from_millis(1500);
/// A time is kept for one packet in as much.
const GRAIN: Duration = Duration::from_millis(10);
/// Times kept: as long as anything is waited for.
const MOST: usize = 64;
/// While nothing comes back, a packet goes out this often: reports may have been lost, and nobody reports on nothing.
const TRICKLE: Duration = Duration::from_millis(200);

#[derive(Default)]
pub(crate) struct Flight {
    /// Transport-wide sequence numbers, when they left, and the bytes that had left with them.
    sent: VecDeque<(u16, Instant, u64)>,
    bytes: u64,
    /// What the latest reports told of: when, and bytes.
    told: VecDeque<(Instant, u64)>,
    /// Since when more is under way than is good.
    squeezed: Option<Instant>,
    last_at: Option<Instant>,
    /// From a packet to the report on it, at its shortest.
    shortest: Option<Duration>,
    /// Of the last report, and between reports of late.
    reported: Option<Instant>,
    interval: Duration,
}

impl Flight {
    pub(crate) fn sent(&mut self, now: Instant, number: u16, len: usize) {
        self.last_at = Some(now);
        self.bytes += len as u64;
        let recent = self.sent.back().is_some_and(|(_, at, _)| now.saturating_duration_since(*at) < GRAIN);
        if recent || self.sent.len() == MOST {
            return;
        }
        self.sent.push_back((number, now, self.bytes));
    }

    /// Feedback tells of packets up to a number (its base and count are the first four bytes).
    pub(crate) fn reported(&mut self, now: Instant, information: &[u8]) {
        let Some(&[base_high, base_low, count_high, count_low]) = information.first_chunk() else { return };
        let base = u16::from_be_bytes([base_high, base_low]);
        let newest = base.wrapping_add(u16::from_be_bytes([count_high, count_low])).wrapping_sub(1);
        let mut latest = None;
        while let Some((number, at, bytes)) = self.sent.front()
            && (newest.wrapping_sub(*number) as i16) >= 0
        {
            latest = Some((*at, *bytes));
            self.sent.pop_front();
        }
        if let Some(before) = self.reported.replace(now) {
            let passed = now.saturating_duration_since(before).clamp(INTERVALS[0], INTERVALS[1]);
            self.interval = (self.interval * 7 + passed) / 8;
        }
        if let Some((at, bytes)) = latest {
            if self.told.len() == REPORTS {
                self.told.pop_front();
            }
            self.told.push_back((now, bytes));
            let took = now.saturating_duration_since(at);
            self.shortest = Some(self.shortest.map_or(took, |shortest| took.min(shortest + FORGETS)));
        }
    }

    /// The path is full: true when that is news.
    pub(crate) fn fills(&mut self, now: Instant) -> bool {
        if !self.is_full(now) {
            return false;
        }
        let news = self.squeezed.is_none_or(|since| now.saturating_duration_since(since) >= DISBELIEF);
        if news {
            self.squeezed = Some(now);
        }
        news
    }

    /// What comes through a path that was found full a moment ago, in bits a second.
    pub(crate) fn carries(&self, now: Instant) -> Option<u64> {
        self.squeezed.filter(|since| now.saturating_duration_since(*since) < DISBELIEF)?;
        let ((first_at, first), (last_at, last)) = self.told.front().zip(self.told.back())?;
        let passed = last_at.saturating_duration_since(*first_at).max(now.saturating_duration_since(*last_at));
        let micros = passed.as_micros() as u64;
        ((last - first) * 8 * 1_000_000).checked_div(micros)
    }

    /// Is more under way than the path seems to carry? Then what would be sent waits here.
    pub(crate) fn is_full(&self, now: Instant) -> bool {
        let (Some(shortest), Some((_, oldest, _))) = (self.shortest, self.sent.front()) else { return false };
        let trickles = self.last_at.is_none_or(|at| now.saturating_duration_since(at) >= TRICKLE);
        let interval = self.interval.max(INTERVALS[0]);
        now.saturating_duration_since(*oldest) > shortest + 2 * interval + PATIENCE && !trickles
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn report(flight: &mut Flight, now: Instant, newest: u16) {
        let base = newest.wrapping_sub(9).to_be_bytes();
        flight.reported(now, &[base[0], base[1], 0, 10, 0]);
    }

    #[test]
    fn a_path_that_carries_what_is_sent_is_never_full_and_one_that_stalls_is_soon() {
        let start = Instant::now();
        let mut flight = Flight::default();
        let mut number = 65_000u16;
        for ms in 0..2000u32 {
            let now = start + ms * MS;
            assert!(!flight.is_full(now));
            number = number.wrapping_add(1);
            flight.sent(now, number, 100);
            if ms % 50 == 49 {
                report(&mut flight, now, number.wrapping_sub(30));
            }
        }
        let stalled = start + 2000 * MS;
        let full = (0..1000).find(|ms| {
            flight.sent(stalled + *ms * MS, number.wrapping_add(*ms as u16), 100);
            flight.is_full(stalled + *ms * MS)
        });
        assert!(full.is_some_and(|ms| (100..250).contains(&ms)), "{full:?}");
        assert!(flight.fills(stalled + full.unwrap() * MS) && !flight.fills(stalled + full.unwrap() * MS));
        let carried = flight.carries(stalled + full.unwrap() * MS).unwrap();
        assert!(carried < 2_000_000, "{carried}");
    }

    #[test]
    fn what_is_stuck_is_tried_again_now_and_then() {
        let start = Instant::now();
        let mut flight = Flight::default();
        flight.sent(start, 10, 100);
        report(&mut flight, start + 20 * MS, 10);
        flight.sent(start + 100 * MS, 11, 100);
        flight.sent(start + 400 * MS, 12, 100);
        assert!(flight.is_full(start + 410 * MS));
        assert!(!flight.is_full(start + 600 * MS));
        report(&mut flight, start + 650 * MS, 12);
        assert!(!flight.is_full(start + 700 * MS));
    }
}
