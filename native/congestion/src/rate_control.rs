//! From usage to a rate: more while the queue stands still, less when it grows (draft-ietf-rmcat-gcc-02 §5.5).

use std::time::{Duration, Instant};

use crate::Bitrate;
use crate::delay::Usage;

/// Growth a second while it is not known what the path carries (§5.5).
const GROWTH: f64 = 1.08;
/// After an over-use, of what arrived: below 1, so that the queue drains (§5.5).
const BACK: f64 = 0.85;
/// What arrives bounds what is allowed: this factor, and a little for the smallest rates (§5.5).
const AHEAD: f64 = 1.5;
const AHEAD_LEAST: Bitrate = Bitrate::kbps(10);
/// The least additive growth a second: of the rate, so that a fast path is not regained packet by packet for a minute, and in
/// bits a second.
const STEP: f64 = 0.02;
const LEAST_STEP: f64 = 4000.0;
/// How long a change takes to show, beside the round trip: the detector's time (§5.5).
const RESPONSE: Duration = Duration::from_millis(100);
/// While the application sends less than it may, what arrives is less than the path carries: one over-use takes no more.
const LIMITED_BACK: f64 = 0.5;

/// What arrives is less than this share of what was allowed: the path has become narrower at once, and a queue of some hundred
/// milliseconds stands, which at 85 % would take seconds to drain.
const NARROWER: f64 = 0.7;
/// Such a queue, in milliseconds; a smaller one is no reason to be so much below others on the same path.
const LARGE: f64 = 100.0;
/// Then so little is sent, of what arrived, until the queue has gone, but for no longer than this: it may be another's.
const DRAIN: f64 = 0.5;
const LONGEST_DRAIN: Duration = Duration::from_secs(3);
/// A queue of this many milliseconds or less has gone.
const GONE: f64 = 15.0;

/// Above what was known by this factor, see [`RateControl::seeks`].
const WIDER: f64 = 1.3;
/// An over-use so soon after a probe raised the rate says that the probe was wrong, not that the rate before it was.
const DOUBT: Duration = Duration::from_secs(2);

/// What was arriving at over-uses: the path's capacity, or this flow's share of it.
#[derive(Clone, Copy, Debug, Default)]
struct Capacity {
    /// Mean and variance, in kilobits a second; the variance relative to the mean. Forgetting as in §5.5 (0.95).
    mean: Option<f64>,
    variance: f64,
    /// What the mean was, when it holds no more.
    known: Option<Bitrate>,
}

impl Capacity {
    const FORGETS: f64 = 0.05;
    const VARIANCE: (f64, f64) = (0.4, 2.5);

    fn push(&mut self, rate: Bitrate) {
        let rate = rate.0 as f64 / 1000.0;
        let mean = self.mean.map_or(rate, |mean| (1.0 - Self::FORGETS) * mean + Self::FORGETS * rate);
        let error = mean - rate;
        let (least, most) = Self::VARIANCE;
        let variance = (1.0 - Self::FORGETS) * self.variance + Self::FORGETS * error * error / mean.max(1.0);
        (self.mean, self.variance) = (Some(mean), variance.clamp(least, most));
    }

    /// Three standard deviations around the mean (§5.5).
    fn bounds(&self) -> Option<(Bitrate, Bitrate)> {
        let mean = self.mean?;
        let width = 3.0 * (self.variance * mean).sqrt();
        Some((Bitrate(((mean - width).max(0.0) * 1000.0) as u64), Bitrate(((mean + width) * 1000.0) as u64)))
    }

    fn forget(&mut self) {
        let known = self.mean.map(|mean| Bitrate((mean * 1000.0) as u64));
        *self = Self { mean: None, variance: Self::VARIANCE.0, known: known.or(self.known) };
    }
}

/// What was measured when the rate is updated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    pub usage: Usage,
    /// In milliseconds, of delay above the least.
    pub queue: f64,
    /// Over half a second.
    pub acknowledged: Option<Bitrate>,
    /// Over the last fifth of a second.
    pub recent: Option<Bitrate>,
    /// Mean size of a packet, in bytes.
    pub size: f64,
    pub rtt: Duration,
    /// The application sends less than it may.
    pub limited: bool,
    /// More than this is of no use.
    pub useful: Bitrate,
}

/// The rate that delay allows.
#[derive(Clone, Debug)]
pub(crate) struct RateControl {
    rate: Bitrate,
    updated: Instant,
    decreased: Option<Instant>,
    capacity: Capacity,
    /// The queue is being let drain.
    holding: bool,
    /// It is being drained, until then at most; the rate afterwards.
    draining: Option<(Instant, Bitrate)>,
    /// When a probe raised the rate, and from what.
    raised: Option<(Instant, Bitrate)>,
    refuted: bool,
}

impl RateControl {
    pub fn new(now: Instant, rate: Bitrate) -> Self {
        Self {
            rate,
            updated: now,
            decreased: None,
            capacity: Capacity::default(),
            holding: false,
            draining: None,
            raised: None,
            refuted: false,
        }
    }

    pub fn rate(&self) -> Bitrate {
        self.rate
    }

    /// So much more is allowed than the path was known to carry that it must have become wider, not only another flow have let
    /// go of a little.
    pub fn seeks(&self) -> bool {
        self.capacity.mean.is_none() && self.capacity.known.is_some_and(|known| self.rate > known.scale(WIDER))
    }

    /// An over-use has come so soon after a probe that the probe was wrong; told once.
    pub fn refuted(&mut self) -> bool {
        std::mem::take(&mut self.refuted)
    }

    /// A probe has found more.
    pub fn raise(&mut self, now: Instant, rate: Bitrate) {
        let before = self.raised.filter(|(at, _)| now.saturating_duration_since(*at) < DOUBT);
        self.raised = Some((now, before.map_or(self.rate, |(_, before)| before)));
        self.set(now, rate);
    }

    /// It is known otherwise what the path carries.
    pub fn set(&mut self, now: Instant, rate: Bitrate) {
        self.rate = rate;
        self.updated = now;
        self.draining = None;
        if self.capacity.bounds().is_some_and(|(_, most)| rate > most) {
            self.capacity.forget();
        }
    }

    /// Feedback has come.
    pub fn update(&mut self, now: Instant, measured: Measured, most: Bitrate) {
        let drained = measured.queue <= GONE;
        if let Some((_, after)) = self.draining.take_if(|(until, _)| drained || *until <= now) {
            self.rate = self.rate.max(after);
            self.holding = true;
        }
        match measured.usage {
            Usage::Over => self.decrease(now, measured),
            Usage::Under => self.holding = true,
            Usage::Normal => {
                // The first update after a queue has drained only starts the clock.
                if !self.holding {
                    self.increase(now, measured);
                }
                self.holding = false;
            }
        }
        self.updated = now;
        self.rate = self.rate.min(most);
    }

    fn increase(&mut self, now: Instant, measured: Measured) {
        let Some(acknowledged) = measured.acknowledged else { return };
        let passed = now.saturating_duration_since(self.updated).min(Duration::from_secs(1)).as_secs_f64();
        let bounds = self.capacity.bounds();
        if bounds.is_some_and(|(_, most)| acknowledged > most) {
            self.capacity.forget();
        }
        let ahead = acknowledged.scale(AHEAD).max(Bitrate(acknowledged.0 + AHEAD_LEAST.0));
        let ahead = ahead.min(measured.useful);
        if measured.limited || self.rate >= ahead {
            return;
        }
        let grown = if self.capacity.mean.is_some() {
            // Near what the path carries: half a packet each time a change has had time to show.
            let response = (RESPONSE + measured.rtt).as_secs_f64();
            let step = (measured.size * 8.0 / response).max(LEAST_STEP).max(STEP * self.rate.0 as f64) * passed;
            Bitrate(self.rate.0 + step as u64)
        } else {
            let step = self.rate.scale(GROWTH.powf(passed) - 1.0);
            Bitrate(self.rate.0 + step.0.max((1000.0 * passed) as u64))
        };
        self.rate = grown.min(ahead).max(self.rate);
    }

    fn decrease(&mut self, now: Instant, measured: Measured) {
        self.holding = true;
        // What a decrease does shows after a round trip; before that, only what arrives much slower than is allowed counts.
        let shown = measured.rtt.clamp(Duration::from_millis(10), Duration::from_millis(200));
        let waits = self.decreased.is_some_and(|at| now.saturating_duration_since(at) < shown + RESPONSE);
        let arriving = measured.recent.or(measured.acknowledged);
        // Less is sent already than the path carries: the queue that was made before it drains.
        let drains = self.draining.is_some() && arriving.is_some_and(|arriving| arriving > self.rate);
        if drains {
            return;
        }
        if waits && !arriving.is_some_and(|arriving| arriving < self.rate.scale(0.5) && !measured.limited) {
            return;
        }
        let lower = arriving.unwrap_or(self.rate).min(self.rate).scale(BACK);
        let narrower = arriving.filter(|arriving| *arriving < self.rate.scale(NARROWER) && measured.queue > LARGE);
        let narrower = narrower.filter(|_| !measured.limited);
        let until = self.draining.map_or(now + LONGEST_DRAIN, |(until, _)| until);
        self.draining = narrower.map(|arriving| (until, arriving.scale(BACK)));
        let lower = narrower.map_or(lower, |arriving| arriving.scale(DRAIN));
        let raised = self.raised.take().filter(|(at, _)| now.saturating_duration_since(*at) < DOUBT);
        self.refuted = raised.is_some();
        let before = raised.map_or(Bitrate::ZERO, |(_, before)| before.scale(BACK));
        let floor = if measured.limited { self.rate.scale(LIMITED_BACK) } else { Bitrate::ZERO };
        self.rate = lower.max(floor).max(before).min(self.rate);
        self.decreased = Some(now);
        if let Some(arriving) = arriving.filter(|_| !measured.limited) {
            if self.capacity.bounds().is_some_and(|(least, _)| arriving < least) {
                self.capacity.forget();
            }
            self.capacity.push(arriving);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEASURED: Measured = Measured {
        usage: Usage::Normal,
        queue: 0.0,
        acknowledged: Some(Bitrate::kbps(1000)),
        recent: Some(Bitrate::kbps(800)),
        size: 1000.0,
        rtt: Duration::from_millis(100),
        limited: false,
        useful: Bitrate::MAX,
    };

    fn run(control: &mut RateControl, now: &mut Instant, measured: Measured, seconds: u32) -> Bitrate {
        for _ in 0..10 * seconds {
            *now += Duration::from_millis(100);
            control.update(*now, measured, Bitrate::MAX);
        }
        control.rate()
    }

    #[test]
    fn without_a_known_capacity_it_grows_by_eight_percent_a_second_up_to_half_more_than_arrives() {
        let mut now = Instant::now();
        let mut control = RateControl::new(now, Bitrate::kbps(1000));
        let rate = run(&mut control, &mut now, MEASURED, 1);
        assert!((Bitrate::kbps(1079)..=Bitrate::kbps(1081)).contains(&rate), "{rate}");
        assert_eq!(run(&mut control, &mut now, MEASURED, 20), Bitrate::kbps(1500));
    }

    #[test]
    fn after_an_over_use_it_is_what_arrived_less_fifteen_percent_and_grows_by_packets() {
        let mut now = Instant::now();
        let mut control = RateControl::new(now, Bitrate::kbps(1000));
        control.update(now, Measured { usage: Usage::Over, ..MEASURED }, Bitrate::MAX);
        assert_eq!(control.rate(), Bitrate::kbps(680));
        let held = control.rate();
        run(&mut control, &mut now, Measured { usage: Usage::Under, ..MEASURED }, 2);
        assert_eq!(control.rate(), held);
        let near = Measured { acknowledged: Some(Bitrate::kbps(800)), ..MEASURED };
        let grown = run(&mut control, &mut now, near, 2).0 - held.0;
        // 8000 bits / 0.2 s = 40 kb/s a second, from the second update on.
        assert!((70_000..80_000).contains(&grown), "{grown}");
    }

    #[test]
    fn limited_by_the_application_it_neither_grows_nor_falls_to_what_is_sent() {
        let mut now = Instant::now();
        let mut control = RateControl::new(now, Bitrate::kbps(2000));
        let limited = Measured { limited: true, acknowledged: Some(Bitrate::kbps(300)), ..MEASURED };
        assert_eq!(run(&mut control, &mut now, limited, 60), Bitrate::kbps(2000));
        let over = Measured { usage: Usage::Over, recent: Some(Bitrate::kbps(300)), ..limited };
        control.update(now, over, Bitrate::MAX);
        assert_eq!(control.rate(), Bitrate::kbps(1000));
    }
}
