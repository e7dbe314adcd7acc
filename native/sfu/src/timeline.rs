//! One slot's RTP timeline, in the node's clock: whoever speaks in the slot, its timestamps go on.

use std::time::Instant;

/// RFC 7587 §4.1: Opus is always stamped at 48 kHz.
pub(crate) const CLOCK_RATE: u32 = 48_000;
/// The smallest step from one content to the next: a 20 ms frame, so that the new never lands on the old.
pub(crate) const FRAME: u32 = CLOCK_RATE / 50;
/// How fast the delay baseline follows a delay that stays higher (a slower clock at the source, a longer path): 1/1024 of the
/// difference a packet, some 20 s at 50 packets a second, so that jitter does not move it and drift does.
const LEAK: i32 = 1024;
/// Content that has sent nothing for longer than this was in a pause (RFC 7587 §3.1.3: DTX sends every 400 ms) and not
/// merely late.
const PAUSE: u32 = 10 * FRAME;

pub(crate) struct Timeline {
    base: Instant,
    offset: u32,
    /// Added to the source's timestamps.
    shift: u32,
    last: u32,
    started: bool,
    /// How far the content lags behind the node's clock at its smallest, in ticks times `LEAK`.
    lag: i64,
}

impl Timeline {
    /// `offset` is random (RFC 3550 §5.1); `base` the clock's zero.
    pub(crate) fn new(base: Instant, offset: u32) -> Self {
        Self { base, offset, shift: 0, last: offset, started: false, lag: 0 }
    }

    fn clock(&self, now: Instant) -> u32 {
        let ticks = now.saturating_duration_since(self.base).as_micros() * u128::from(CLOCK_RATE) / 1_000_000;
        self.offset.wrapping_add(ticks as u32)
    }

    /// Other content begins with the packet stamped `source_timestamp` that arrived `now`.
    pub(crate) fn switch(&mut self, now: Instant, source_timestamp: u32) {
        let mut start = self.clock(now);
        if self.started && (start.wrapping_sub(self.last) as i32) < FRAME as i32 {
            start = self.last.wrapping_add(FRAME);
        }
        self.shift = start.wrapping_sub(source_timestamp);
        self.lag = 0;
    }

    /// The timestamp in this timeline of a packet of the present content.
    pub(crate) fn stamp(&mut self, now: Instant, source_timestamp: u32) -> u32 {
        let stamp = source_timestamp.wrapping_add(self.shift);
        if !self.started || (stamp.wrapping_sub(self.last) as i32) > 0 {
            self.last = stamp;
            self.started = true;
        }
        let lag = i64::from(self.clock(now).wrapping_sub(stamp) as i32) * i64::from(LEAK);
        self.lag += if lag < self.lag { lag - self.lag } else { (lag - self.lag) / i64::from(LEAK) };
        stamp
    }

    /// The timestamp of the next frame of silence after the content: it follows at once, or after a pause is of the
    /// present, for a receiver would take the pause for delay and buffer as much.
    pub(crate) fn silence(&mut self, now: Instant) -> u32 {
        let next = self.last.wrapping_add(FRAME);
        let present = self.at(now);
        let paused = present.wrapping_sub(next) as i32 > PAUSE as i32;
        self.last = if paused { present } else { next };
        self.last
    }

    /// The RTP timestamp that corresponds to `now`, for sender reports (RFC 3550 §6.4.1).
    pub(crate) fn at(&self, now: Instant) -> u32 {
        self.clock(now).wrapping_sub((self.lag / i64::from(LEAK)) as u32)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn timestamps_go_forward_over_a_switch_even_when_the_old_source_ran_ahead() {
        let base = Instant::now();
        let mut timeline = Timeline::new(base, u32::MAX - 500);
        timeline.switch(base, 7);
        let mut last = timeline.stamp(base, 7);
        // A burst: 200 ms of content arrives at once.
        for frame in 1..=10u32 {
            let stamp = timeline.stamp(base + MS, 7 + frame * FRAME);
            assert_eq!(stamp.wrapping_sub(last), FRAME);
            last = stamp;
        }
        timeline.switch(base + 20 * MS, 0xDEAD_BEEF);
        let stamp = timeline.stamp(base + 20 * MS, 0xDEAD_BEEF);
        assert_eq!(stamp.wrapping_sub(last), FRAME);
    }

    #[test]
    fn a_switch_after_a_pause_lands_on_the_nodes_clock() {
        let base = Instant::now();
        let mut timeline = Timeline::new(base, 0);
        timeline.switch(base, 100);
        timeline.stamp(base, 100);
        timeline.switch(base + 1000 * MS, 5);
        assert_eq!(timeline.stamp(base + 1000 * MS, 5), CLOCK_RATE);
    }

    #[test]
    fn sender_reports_follow_the_earliest_packets_not_the_jitter() {
        let base = Instant::now();
        let mut timeline = Timeline::new(base, 0);
        timeline.switch(base + 10 * MS, 0); // the first packet came 10 ms late
        for frame in 0..50u32 {
            let late = if frame % 2 == 0 { 10 } else { 0 };
            timeline.stamp(base + (frame * 20 + late) * MS, frame * FRAME);
        }
        let error = timeline.at(base + 1000 * MS).wrapping_sub(50 * FRAME + 480) as i32;
        assert!(error.abs() <= 480, "off by {error} ticks");
    }
}
