//! How often a client gets a packet again.

use std::time::{Duration, Instant};

/// A repeated request is answered again only after this: by then the answer to the first is there, or lost.
const AGAIN_AFTER: Duration = Duration::from_millis(20);
/// Answers remembered, and so answered once in `AGAIN_AFTER`.
const REMEMBERED: usize = 16;
/// Answers a second at most: every second packet of a voice.
const PER_SECOND: f32 = 25.0;
/// And at once: a gap of half a second.
const BURST: f32 = 25.0;

pub(crate) struct Repairs {
    recent: [Option<(u32, u64, Instant)>; REMEMBERED],
    next: usize,
    budget: f32,
    filled: Instant,
}

impl Repairs {
    pub(crate) fn new(now: Instant) -> Self {
        Self { recent: [None; REMEMBERED], next: 0, budget: BURST, filled: now }
    }

    /// May the packet `index` of `ssrc` be sent again?
    pub(crate) fn admits(&mut self, now: Instant, ssrc: u32, index: u64) -> bool {
        let passed = now.saturating_duration_since(self.filled);
        self.filled = now;
        self.budget = (self.budget + passed.as_secs_f32() * PER_SECOND).min(BURST);
        let answered =
            self.recent.iter().flatten().any(|&(of, which, at)| {
                (of, which) == (ssrc, index) && now.saturating_duration_since(at) < AGAIN_AFTER
            });
        if answered || self.budget < 1.0 {
            return false;
        }
        self.budget -= 1.0;
        self.recent[self.next] = Some((ssrc, index, now));
        self.next = (self.next + 1) % REMEMBERED;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_answered_once_in_a_while_and_all_together_are_bounded() {
        let start = Instant::now();
        let mut repairs = Repairs::new(start);
        assert!(repairs.admits(start, 1, 7));
        assert!(!repairs.admits(start + Duration::from_millis(5), 1, 7));
        assert!(repairs.admits(start + Duration::from_millis(5), 2, 7));
        assert!(repairs.admits(start + Duration::from_millis(25), 1, 7));
        let flood = (0..1000).filter(|n| repairs.admits(start + Duration::from_millis(1000 + n), 1, 100 + n)).count();
        assert!((45..=51).contains(&flood), "{flood}");
    }
}
