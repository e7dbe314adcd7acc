//! Whether the queue on the path grows: a line through the delays of late, compared with a threshold that adapts
//! (draft-ietf-rmcat-gcc-02 §5.3, §5.4). The filter is a least-squares line in place of the draft's
//! Kalman filter: it needs no model of the noise.

use crate::groups::{Groups, Variation};

/// Points the line is laid through: at 5 to 20 ms a group, a few hundred milliseconds.
const WINDOW: usize = 20;
/// Weight of the past in the smoothed delay.
const SMOOTHING: f64 = 0.9;
/// From slope (ms per ms) to the threshold's scale, with up to [`COUNTED`] groups: then a slope of 5 % crosses the threshold's
/// beginning, which is what a flow sees that sends 5 % more than the path carries.
const GAIN: f64 = 4.0;
const COUNTED: u32 = 60;

/// The threshold's beginning and bounds, in milliseconds (§5.4).
const THRESHOLD: f64 = 12.5;
const THRESHOLD_BOUNDS: (f64, f64) = (6.0, 600.0);
/// How fast the threshold follows what it is compared with, a millisecond, up and down. The draft's values (0.01, 0.00018) are for
/// its filter's scale; with this one's they let the threshold stay so high beside competing flows that queues stand full. These
/// keep queues short, for less of a path that TCP fills: see the README.
const UP: f64 = 0.0087;
const DOWN: f64 = 0.039;
/// An estimate this far above the threshold is a spike, from which the threshold learns nothing (§5.4), in milliseconds.
const SPIKE: f64 = 15.0;
/// The threshold does not change by more than this much time at once, in milliseconds.
const LONGEST_STEP: f64 = 100.0;
/// Over-use counts when it lasts (§5.4), in milliseconds of departures.
const LASTS: f64 = 10.0;

/// So many groups in a row, each later than the one before and together by this many milliseconds, are a path that has become
/// much narrower: the line would say so some hundred milliseconds later. What was held up and let go rises once only.
const STEEP: u32 = 3;
const STEEP_RISE: f64 = 50.0;
/// The least delay is looked for in the last one to two of these, in microseconds: longer than competing flows keep a queue
/// from emptying, shorter than a path lasts.
const LOW_WINDOW: i64 = 5_000_000;

/// What the path is used for (§5.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Usage {
    /// The queue does not change.
    #[default]
    Normal,
    /// It grows.
    Over,
    /// It drains.
    Under,
}

/// From packets' times to [`Usage`].
#[derive(Clone, Debug)]
pub(crate) struct Delay {
    groups: Groups,
    line: Line,
    counted: u32,
    threshold: f64,
    updated: Option<i64>,
    over_for: f64,
    over_count: u32,
    before: f64,
    steep: Steep,
    low: Low,
    usage: Usage,
}

impl Delay {
    pub fn new() -> Self {
        Self {
            groups: Groups::default(),
            line: Line::default(),
            counted: 0,
            threshold: THRESHOLD,
            updated: None,
            over_for: 0.0,
            over_count: 0,
            before: 0.0,
            steep: Steep::default(),
            low: Low::default(),
            usage: Usage::Normal,
        }
    }

    /// A packet that was sent and has arrived, in microseconds of two clocks; in the order of departure.
    pub fn push(&mut self, sent: i64, arrival: i64) {
        if let Some(variation) = self.groups.push(sent, arrival) {
            self.vary(variation);
        }
        if self.groups.jumped() {
            *self = Self { groups: std::mem::take(&mut self.groups), threshold: self.threshold, ..Self::new() };
        }
    }

    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// What the last group waited for more than the one that waited least lately, in milliseconds.
    pub fn queue(&self) -> f64 {
        self.line.accumulated - self.low.least
    }

    fn vary(&mut self, variation: Variation) {
        let departure = variation.departure as f64 / 1000.0;
        let arrival = variation.arrival as f64 / 1000.0;
        self.counted = (self.counted + 1).min(COUNTED);
        self.line.push(variation.arrived, arrival - departure);
        self.low.push(variation.arrived, self.line.accumulated);
        self.steep.push(arrival - departure);
        let slope = self.line.slope().unwrap_or(0.0);
        self.detect(slope * f64::from(self.counted) * GAIN, departure);
        self.adapt(slope * f64::from(self.counted) * GAIN, variation.arrived);
        if self.steep.is() {
            self.usage = Usage::Over;
        }
    }

    fn detect(&mut self, trend: f64, departure: f64) {
        if trend > self.threshold {
            // The first time, it has been so since somewhere between the groups.
            self.over_for += if self.over_count == 0 { departure / 2.0 } else { departure };
            self.over_count += 1;
            // A queue that has begun to drain needs no lower rate.
            if trend < self.before {
                self.usage = Usage::Under;
            } else if self.over_for > LASTS && self.over_count > 1 {
                (self.over_for, self.over_count) = (0.0, 0);
                self.usage = Usage::Over;
            }
        } else {
            (self.over_for, self.over_count) = (0.0, 0);
            self.usage = if trend < -self.threshold { Usage::Under } else { Usage::Normal };
        }
        self.before = trend;
    }

    fn adapt(&mut self, trend: f64, arrived: i64) {
        let passed = self.updated.map_or(0.0, |at| (arrived - at) as f64 / 1000.0).clamp(0.0, LONGEST_STEP);
        self.updated = Some(arrived);
        let distance = trend.abs() - self.threshold;
        if distance > SPIKE {
            return;
        }
        let gain = if distance < 0.0 { DOWN } else { UP };
        let (least, most) = THRESHOLD_BOUNDS;
        self.threshold = (self.threshold + gain * distance * passed).clamp(least, most);
    }
}

/// Groups in a row that were each later than the one before.
#[derive(Clone, Debug, Default)]
struct Steep {
    groups: u32,
    rise: f64,
}

impl Steep {
    fn push(&mut self, variation: f64) {
        if variation > 1.0 {
            (self.groups, self.rise) = (self.groups + 1, self.rise + variation);
        } else {
            *self = Self::default();
        }
    }

    fn is(&self) -> bool {
        self.groups >= STEEP && self.rise > STEEP_RISE
    }
}

/// The least accumulated delay of late.
#[derive(Clone, Debug, Default)]
struct Low {
    least: f64,
    current: f64,
    begun: Option<i64>,
}

impl Low {
    fn push(&mut self, arrived: i64, accumulated: f64) {
        if self.begun.is_none_or(|begun| arrived - begun >= LOW_WINDOW) {
            self.least = if self.begun.is_some() { self.current } else { accumulated };
            (self.current, self.begun) = (accumulated, Some(arrived));
        }
        self.current = self.current.min(accumulated);
        self.least = self.least.min(accumulated);
    }
}

/// The line of least squares through the accumulated, smoothed delay of the last groups.
#[derive(Clone, Debug, Default)]
struct Line {
    /// (arrival, smoothed delay), in milliseconds.
    points: [(f64, f64); WINDOW],
    len: usize,
    next: usize,
    first: Option<i64>,
    accumulated: f64,
    smoothed: f64,
}

impl Line {
    fn push(&mut self, arrived: i64, variation: f64) {
        let first = *self.first.get_or_insert(arrived);
        self.accumulated += variation;
        self.smoothed = SMOOTHING * self.smoothed + (1.0 - SMOOTHING) * self.accumulated;
        self.points[self.next] = ((arrived - first) as f64 / 1000.0, self.smoothed);
        self.next = (self.next + 1) % WINDOW;
        self.len = (self.len + 1).min(WINDOW);
    }

    /// Milliseconds of delay a millisecond; None: too few points yet, or all at one time.
    fn slope(&self) -> Option<f64> {
        if self.len < WINDOW {
            return None;
        }
        let (x, y) = self.points.iter().fold((0.0, 0.0), |sum, point| (sum.0 + point.0, sum.1 + point.1));
        let (x, y) = (x / WINDOW as f64, y / WINDOW as f64);
        let (rise, run) = self.points.iter().fold((0.0, 0.0), |(rise, run), point| {
            (rise + (point.0 - x) * (point.1 - y), run + (point.0 - x) * (point.0 - x))
        });
        (run > 0.0).then_some(rise / run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packets every 10 ms whose delay is as `delay` says, in milliseconds.
    fn usage(delay: impl Fn(i64) -> f64) -> Vec<Usage> {
        let mut detector = Delay::new();
        let mut usages = Vec::new();
        for n in 0..300 {
            let sent = n * 10_000;
            detector.push(sent, 5_000_000 + sent + (delay(n) * 1000.0) as i64);
            usages.push(detector.usage());
        }
        usages
    }

    #[test]
    fn a_constant_delay_is_normal() {
        assert!(usage(|_| 30.0).iter().all(|usage| *usage == Usage::Normal));
    }

    #[test]
    fn noise_of_a_few_milliseconds_is_normal() {
        let noise = |n: i64| ((n * 7919) % 13) as f64 / 4.0;
        assert!(usage(noise).iter().all(|usage| *usage != Usage::Over));
    }

    #[test]
    fn a_growing_delay_is_over_use_and_a_falling_one_under_use() {
        // 1 ms more a packet: the path carries 10 % less than is sent.
        let usages = usage(|n| if n < 100 { 0.0 } else { (n - 100) as f64 });
        let over = usages.iter().position(|usage| *usage == Usage::Over).unwrap();
        assert!((102..125).contains(&over), "{over}");
        let usages = usage(|n| (200 - n).max(0) as f64);
        assert!(usages[50..150].contains(&Usage::Under) && !usages.contains(&Usage::Over));
    }

    #[test]
    fn when_a_queue_stands_still_the_usage_is_normal_again() {
        let usages = usage(|n| (n - 100).clamp(0, 60) as f64);
        assert!(usages.contains(&Usage::Over));
        assert!(usages[220..].iter().all(|usage| *usage == Usage::Normal));
    }
}
