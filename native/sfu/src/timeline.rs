//! One slot's RTP timeline, in the node's clock: whoever speaks in the slot, its timestamps go on.

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

/// `clock` is everywhere the node's, in ticks ([`crate::report::Clock::ticks`]).
#[derive(Default)]
pub(crate) struct Timeline {
    /// Added to the source's timestamps.
    shift: u32,
    last: u32,
    started: bool,
    /// How far the content lags behind the node's clock at its smallest, in ticks times `LEAK`.
    lag: i64,
}

impl Timeline {
    /// Other content begins with the packet stamped `source_timestamp` that arrives now.
    pub(crate) fn switch(&mut self, clock: u32, source_timestamp: u32) {
        let mut start = clock;
        if self.started && (start.wrapping_sub(self.last) as i32) < FRAME as i32 {
            start = self.last.wrapping_add(FRAME);
        }
        self.shift = start.wrapping_sub(source_timestamp);
        self.lag = 0;
    }

    /// The timestamp in this timeline of a packet of the present content.
    pub(crate) fn stamp(&mut self, clock: u32, source_timestamp: u32) -> u32 {
        let stamp = source_timestamp.wrapping_add(self.shift);
        self.follow(clock, stamp);
        stamp
    }

    /// A packet stamped elsewhere in this timeline passes.
    pub(crate) fn follow(&mut self, clock: u32, stamp: u32) {
        if !self.started || (stamp.wrapping_sub(self.last) as i32) > 0 {
            self.last = stamp;
            self.started = true;
        }
        let lag = i64::from(clock.wrapping_sub(stamp) as i32) * i64::from(LEAK);
        self.lag += if lag < self.lag { lag - self.lag } else { (lag - self.lag) / i64::from(LEAK) };
    }

    /// Other content begins that is stamped elsewhere.
    pub(crate) fn begin_following(&mut self) {
        self.lag = 0;
    }

    /// The timestamp of the next frame of silence after the content: it follows at once, or after a pause is of the
    /// present, for a receiver would take the pause for delay and buffer as much.
    pub(crate) fn silence(&mut self, clock: u32) -> u32 {
        let next = self.last.wrapping_add(FRAME);
        let present = self.at(clock);
        let paused = present.wrapping_sub(next) as i32 > PAUSE as i32;
        self.last = if paused { present } else { next };
        self.last
    }

    /// The RTP timestamp that corresponds to now, for sender reports (RFC 3550 §6.4.1).
    pub(crate) fn at(&self, clock: u32) -> u32 {
        clock.wrapping_sub((self.lag / i64::from(LEAK)) as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u32 = CLOCK_RATE / 1000;

    #[test]
    fn timestamps_go_forward_over_a_switch_even_when_the_old_source_ran_ahead() {
        let base = u32::MAX - 500;
        let mut timeline = Timeline::default();
        timeline.switch(base, 7);
        let mut last = timeline.stamp(base, 7);
        // A burst: 200 ms of content arrives at once.
        for frame in 1..=10u32 {
            let stamp = timeline.stamp(base.wrapping_add(MS), 7 + frame * FRAME);
            assert_eq!(stamp.wrapping_sub(last), FRAME);
            last = stamp;
        }
        timeline.switch(base.wrapping_add(20 * MS), 0xDEAD_BEEF);
        let stamp = timeline.stamp(base.wrapping_add(20 * MS), 0xDEAD_BEEF);
        assert_eq!(stamp.wrapping_sub(last), FRAME);
    }

    #[test]
    fn a_switch_after_a_pause_lands_on_the_nodes_clock() {
        let mut timeline = Timeline::default();
        timeline.switch(0, 100);
        timeline.stamp(0, 100);
        timeline.switch(1000 * MS, 5);
        assert_eq!(timeline.stamp(1000 * MS, 5), CLOCK_RATE);
    }

    #[test]
    fn sender_reports_follow_the_earliest_packets_not_the_jitter() {
        let mut timeline = Timeline::default();
        timeline.switch(10 * MS, 0); // the first packet came 10 ms late
        for frame in 0..50u32 {
            let late = if frame % 2 == 0 { 10 } else { 0 };
            timeline.stamp((frame * 20 + late) * MS, frame * FRAME);
        }
        let error = timeline.at(1000 * MS).wrapping_sub(50 * FRAME + 480) as i32;
        assert!(error.abs() <= 480, "off by {error} ticks");
    }

    #[test]
    fn who_follows_a_timeline_reports_the_same_time() {
        let (mut leads, mut follows) = (Timeline::default(), Timeline::default());
        leads.switch(10 * MS, 77);
        follows.begin_following();
        for frame in 0..50u32 {
            let clock = (10 + frame * 20 + frame % 3) * MS;
            let stamp = leads.stamp(clock, 77 + frame * FRAME);
            follows.follow(clock, stamp);
            assert_eq!(leads.at(clock), follows.at(clock));
        }
    }
}
