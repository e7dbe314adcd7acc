//! What a receiver's path did not carry a moment ago is not tried again at once: each failure costs a key frame and a queue.

use std::time::{Duration, Instant};

use super::switch::Level;

/// Given up within this long, a better level was too much.
const PROVEN_AFTER: Duration = Duration::from_secs(4);
/// It is left alone for this long, twice as long with each failure.
const FIRST_WAIT: Duration = Duration::from_secs(5);
const LONGEST_WAIT: Duration = Duration::from_secs(40);

/// Of one stream.
#[derive(Default)]
pub(crate) struct Caution {
    before: Option<Level>,
    raised: Option<Instant>,
    failed: Option<(Level, Instant)>,
    wait: Duration,
}

impl Caution {
    /// The stream is to get this from now on, for want of bandwidth or not.
    pub(crate) fn given(&mut self, now: Instant, level: Option<Level>, for_want: bool) {
        // Frame rates come and go without a key frame, and may.
        let level = level.map(|level| Level { temporal: 0, ..level });
        let before = std::mem::replace(&mut self.before, level);
        let passed = self.raised.map(|raised| now.saturating_duration_since(raised));
        if level > before {
            self.raised = Some(now);
        } else if level < before && for_want && passed.is_some_and(|passed| passed < PROVEN_AFTER) {
            self.raised = None;
            self.wait = (self.wait * 2).clamp(FIRST_WAIT, LONGEST_WAIT);
            self.failed = before.map(|level| (level, now + self.wait));
        } else if passed.is_some_and(|passed| passed >= LONGEST_WAIT) {
            (self.raised, self.wait) = (None, Duration::ZERO);
        }
    }

    /// From which level on not to try now.
    pub(crate) fn below(&self, now: Instant) -> Option<Level> {
        self.failed.filter(|(_, until)| now < *until).map(|(level, _)| level)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn level(encoding: u8) -> Option<Level> {
        Some(Level { encoding, spatial: 0, temporal: 2 })
    }

    #[test]
    fn what_fails_is_tried_less_and_less_often() {
        let mut now = Instant::now();
        let mut caution = Caution::default();
        caution.given(now, level(0), false);
        now += 10 * SECOND;
        for wait in [5, 10, 20, 40, 40] {
            caution.given(now, level(1), true);
            caution.given(now + SECOND, level(0), true);
            now += SECOND;
            assert_eq!(
                caution.below(now + (wait - 1) * SECOND),
                Some(Level { temporal: 0, ..level(1).unwrap() }),
                "{wait}"
            );
            assert_eq!(caution.below(now + wait * SECOND), None, "{wait}");
            now += wait * SECOND;
        }
    }

    #[test]
    fn what_was_carried_for_a_while_did_not_fail() {
        let now = Instant::now();
        let mut caution = Caution::default();
        caution.given(now, level(0), false);
        caution.given(now + SECOND, level(1), true);
        caution.given(now + 6 * SECOND, level(0), true);
        assert_eq!(caution.below(now + 6 * SECOND), None);
    }

    #[test]
    fn a_smaller_wish_is_no_failure() {
        let now = Instant::now();
        let mut caution = Caution::default();
        caution.given(now, level(1), false);
        caution.given(now + SECOND, level(0), false);
        assert_eq!(caution.below(now + SECOND), None);
    }
}
