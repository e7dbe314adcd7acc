//! When a publisher is asked for a key frame: for all who want one at once, and again until it comes.

use std::time::{Duration, Instant};

/// Between two key frames that are asked for: more only spends the publisher's uplink.
const INTERVAL: Duration = Duration::from_millis(500);
/// A request that is not served is repeated after this: it, or the answer, was lost.
const AGAIN_AFTER: Duration = Duration::from_millis(300);
/// A receiver that complains this soon after a key frame was sent to it may not have seen it yet.
const IN_FLIGHT: Duration = Duration::from_millis(250);

/// Of one encoding.
#[derive(Default)]
pub(crate) struct KeyFrames {
    wanted: bool,
    asked: Option<Instant>,
    came: Option<Instant>,
}

impl KeyFrames {
    /// Somebody cannot go on, or begin, without one.
    pub(crate) fn want(&mut self, now: Instant) {
        let in_flight = self.came.is_some_and(|came| now.saturating_duration_since(came) < IN_FLIGHT);
        self.wanted |= !in_flight;
    }

    /// Somebody begins: one that came before is of no use to it.
    pub(crate) fn need(&mut self) {
        self.wanted = true;
    }

    /// One has begun to arrive.
    pub(crate) fn came(&mut self, now: Instant) {
        self.wanted = false;
        self.asked = None;
        self.came = Some(now);
    }

    /// Is the publisher to be asked now? Counts as asked.
    pub(crate) fn ask(&mut self, now: Instant) -> bool {
        let passed = |since: Option<Instant>, least| since.is_none_or(|at| now.saturating_duration_since(at) >= least);
        let due = self.wanted && passed(self.came, INTERVAL) && passed(self.asked, AGAIN_AFTER);
        if due {
            self.asked = Some(now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn many_requests_are_one_and_it_is_repeated_until_served() {
        let start = Instant::now();
        let mut key_frames = KeyFrames::default();
        let mut asked = Vec::new();
        for ms in 0..1000u32 {
            let now = start + ms * MS;
            key_frames.want(now);
            if key_frames.ask(now) {
                asked.push(ms);
            }
            if ms == 650 {
                key_frames.came(now);
            }
        }
        assert_eq!(asked, [0, 300, 600], "and not again within half a second of the key frame");
        assert!(key_frames.ask(start + 1150 * MS));
    }

    #[test]
    fn what_is_on_its_way_is_not_asked_for_again() {
        let start = Instant::now();
        let mut key_frames = KeyFrames::default();
        key_frames.came(start);
        key_frames.want(start + 100 * MS);
        assert!(!key_frames.ask(start + 1000 * MS));
        key_frames.need();
        assert!(key_frames.ask(start + 1000 * MS));
    }
}
