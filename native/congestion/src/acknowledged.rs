//! What arrived (draft-ietf-rmcat-gcc-02 §5.5: R_hat, measured over half a second).

use std::time::Duration;

use crate::Bitrate;

/// Width of a bucket, in microseconds.
const BUCKET: i64 = 25_000;
const BUCKETS: usize = 20;
/// After an over-use a queue stands, so what arrives is what the path carries, and less time says it; it must still be some
/// frames' time.
const SHORT: usize = 8;
/// Less is no measurement.
const LEAST: usize = 4;

/// Bytes by time of arrival, half a second of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Acknowledged {
    bytes: [u32; BUCKETS],
    /// Of the newest, in buckets of the receiver's clock.
    newest: Option<i64>,
    /// Buckets since the first packet, or the first after a silence.
    filled: usize,
    /// Of packets, smoothed, in bytes.
    size: f64,
}

impl Acknowledged {
    /// A packet of `size` bytes came at `arrival` (microseconds).
    pub fn push(&mut self, arrival: i64, size: usize) {
        self.size = if self.size == 0.0 { size as f64 } else { 0.95 * self.size + 0.05 * size as f64 };
        let bucket = arrival.div_euclid(BUCKET);
        let newest = self.newest.unwrap_or(bucket);
        let steps = bucket - newest;
        if self.newest.is_none() || steps.abs() >= 2 * BUCKETS as i64 {
            // The first, or after a silence, or the clock was set.
            self.bytes = [0; BUCKETS];
            (self.newest, self.filled) = (Some(bucket), 1);
        } else if steps > 0 {
            for step in 1..=steps {
                self.bytes[Self::index(newest + step)] = 0;
            }
            self.newest = Some(bucket);
            self.filled = (self.filled + steps as usize).min(BUCKETS);
        } else if -steps >= BUCKETS as i64 {
            return; // Too late to count.
        }
        let bytes = &mut self.bytes[Self::index(bucket)];
        *bytes = bytes.saturating_add(size.try_into().unwrap_or(u32::MAX));
    }

    fn index(bucket: i64) -> usize {
        bucket.rem_euclid(BUCKETS as i64) as usize
    }

    /// Over half a second, or what there is; None: too little.
    pub fn rate(&self) -> Option<Bitrate> {
        self.over(BUCKETS - 1)
    }

    /// Over the last fifth of a second.
    pub fn recent(&self) -> Option<Bitrate> {
        self.over(SHORT)
    }

    /// Mean size of a packet, in bytes.
    pub fn size(&self) -> f64 {
        self.size
    }

    /// The newest bucket is still being filled and does not count.
    fn over(&self, buckets: usize) -> Option<Bitrate> {
        let newest = self.newest.filter(|_| self.filled > LEAST)?;
        let buckets = buckets.min(self.filled - 1);
        let bytes: u64 = (1..=buckets as i64).map(|ago| u64::from(self.bytes[Self::index(newest - ago)])).sum();
        Some(Bitrate::over(bytes as usize, Duration::from_micros(BUCKET as u64) * buckets as u32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_stream_has_its_rate_in_both_windows() {
        let mut acknowledged = Acknowledged::default();
        for n in 0..1000 {
            acknowledged.push(-2_000_000 + n * 5000, 625); // 1 Mb/s
        }
        assert_eq!(acknowledged.rate(), Some(Bitrate::kbps(1000)));
        assert_eq!(acknowledged.recent(), Some(Bitrate::kbps(1000)));
        assert!((acknowledged.size() - 625.0).abs() < 1e-6);
    }

    #[test]
    fn a_rate_that_falls_shows_in_the_short_window_first() {
        let mut acknowledged = Acknowledged::default();
        for n in 0..500 {
            acknowledged.push(n * 5000, if n < 450 { 625 } else { 125 });
        }
        assert_eq!(acknowledged.recent(), Some(Bitrate::kbps(200)));
        assert!(acknowledged.rate() > Some(Bitrate::kbps(600)));
    }

    #[test]
    fn a_silence_begins_anew_and_too_little_says_nothing() {
        let mut acknowledged = Acknowledged::default();
        assert_eq!(acknowledged.rate(), None);
        for n in 0..100 {
            acknowledged.push(n * 5000, 625);
        }
        acknowledged.push(60_000_000, 625);
        assert_eq!(acknowledged.rate(), None);
        acknowledged.push(i64::MIN / 2, 625);
        acknowledged.push(i64::MAX / 2, 625);
        assert_eq!(acknowledged.rate(), None);
    }
}
