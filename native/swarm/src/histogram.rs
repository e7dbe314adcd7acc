//! Durations, counted in classes that are narrow against what is counted.

use std::time::Duration;

/// Classes within each power of two: a quantile is at most 1/64 too high.
const STEPS: usize = 64;
const STEP_BITS: u32 = STEPS.ilog2();
/// Powers of two of nanoseconds beyond the first: up to 18 minutes.
const POWERS: usize = 34;

/// How often which duration was seen. Its size is fixed, and counting allocates nothing.
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: Box<[u64]>,
    total: u64,
    highest: Duration,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram { counts: vec![0; STEPS * (POWERS + 1)].into(), total: 0, highest: Duration::ZERO }
    }
}

impl Histogram {
    /// Count one.
    pub fn record(&mut self, duration: Duration) {
        let nanoseconds = duration.as_nanos().min(u128::from(u64::MAX)) as u64;
        let at = class(nanoseconds).min(self.counts.len() - 1);
        self.counts[at] += 1;
        self.total += 1;
        self.highest = self.highest.max(duration);
    }

    /// Count what another has counted.
    pub fn merge(&mut self, other: &Histogram) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(ours, theirs)| *ours += theirs);
        self.total += other.total;
        self.highest = self.highest.max(other.highest);
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.total
    }

    /// The longest.
    pub fn max(&self) -> Duration {
        self.highest
    }

    /// What `part` (0 to 1) of all do not exceed; zero when there are none.
    pub fn quantile(&self, part: f64) -> Duration {
        let rank = ((self.total as f64 * part).ceil() as u64).clamp(1, self.total.max(1));
        let mut seen = 0;
        for (at, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Duration::from_nanos(upper(at)).min(self.highest);
            }
        }
        Duration::ZERO
    }
}

/// Which class a number of nanoseconds belongs to.
fn class(nanoseconds: u64) -> usize {
    let power = nanoseconds.checked_ilog2().unwrap_or(0).saturating_sub(STEP_BITS);
    let step = (nanoseconds >> power) as usize;
    // Below STEPS the numbers are the classes; from there on the step has its highest bit set.
    power as usize * STEPS + step
}

/// The highest number of a class.
fn upper(class: usize) -> u64 {
    let power = (class / STEPS).saturating_sub(1) as u32;
    let step = (class - power as usize * STEPS) as u64;
    ((step + 1) << power) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_in_a_class_that_is_narrow() {
        let mut before = 0;
        let numbers = (0..100_000u64).map(|number| (number, 1));
        for (number, step) in numbers.chain((17..40).map(|power| ((1 << power) + 12_345, usize::MAX))) {
            let class = class(number);
            assert!(upper(class) >= number, "{number}");
            assert!(upper(class) as f64 <= number as f64 * (1.0 + 1.0 / STEPS as f64), "{number} {}", upper(class));
            assert!(class >= before && class - before <= step);
            before = class;
        }
    }

    #[test]
    fn quantiles_are_those_of_the_numbers() {
        let mut histogram = Histogram::default();
        (1..=1000).for_each(|ms| histogram.record(Duration::from_millis(ms)));
        for (part, ms) in [(0.5, 500.0), (0.99, 990.0), (0.999, 999.0), (1.0, 1000.0)] {
            let found = histogram.quantile(part).as_secs_f64() * 1000.0;
            assert!((ms..=ms * 1.016).contains(&found), "{part}: {found}");
        }
        assert_eq!((histogram.count(), histogram.max()), (1000, Duration::from_secs(1)));
    }

    #[test]
    fn what_is_too_long_is_counted_all_the_same() {
        let mut histogram = Histogram::default();
        histogram.record(Duration::MAX);
        assert_eq!(histogram.count(), 1);
        assert_eq!(Histogram::default().quantile(0.5), Duration::ZERO);
    }

    #[test]
    fn merged_ones_count_together() {
        let (mut one, mut other) = (Histogram::default(), Histogram::default());
        one.record(Duration::from_millis(1));
        other.record(Duration::from_millis(9));
        one.merge(&other);
        assert_eq!((one.count(), one.max()), (2, Duration::from_millis(9)));
    }
}
