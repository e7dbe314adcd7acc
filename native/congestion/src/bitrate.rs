//! Rates.

use std::fmt;
use std::time::Duration;

/// Bits a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bitrate(pub u64);

impl Bitrate {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// Without limit.
    pub const MAX: Self = Self(u64::MAX);

    /// Thousands of bits a second.
    pub const fn kbps(kilobits: u64) -> Self {
        Self(kilobits * 1000)
    }

    /// What carries `bytes` in `time`; no more than [`Bitrate::MAX`].
    pub fn over(bytes: usize, time: Duration) -> Self {
        let nanos = time.as_nanos().max(1);
        Self((bytes as u128 * 8_000_000_000 / nanos).try_into().unwrap_or(u64::MAX))
    }

    /// Times `factor`, which is not negative.
    pub fn scale(self, factor: f64) -> Self {
        Self((self.0 as f64 * factor) as u64)
    }

    /// What passes in `time`, in bytes.
    pub fn bytes_in(self, time: Duration) -> usize {
        let bytes = u128::from(self.0).saturating_mul(time.as_nanos()) / 8_000_000_000;
        bytes.try_into().unwrap_or(usize::MAX)
    }

    /// How long `bytes` take; an hour at a rate of zero.
    pub fn time_for(self, bytes: usize) -> Duration {
        const NEVER: Duration = Duration::from_secs(3600);
        match (bytes as u128 * 8_000_000_000).checked_div(u128::from(self.0)) {
            Some(nanos) => Duration::from_nanos(nanos.try_into().unwrap_or(u64::MAX)).min(NEVER),
            None => NEVER,
        }
    }
}

impl fmt::Display for Bitrate {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} kb/s", self.0 / 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_time_and_rate_fit_together() {
        let rate = Bitrate::over(1250, Duration::from_millis(10));
        assert_eq!(rate, Bitrate::kbps(1000));
        assert_eq!(rate.bytes_in(Duration::from_millis(10)), 1250);
        assert_eq!(rate.time_for(1250), Duration::from_millis(10));
    }

    #[test]
    fn extremes_saturate() {
        assert_eq!(Bitrate::over(usize::MAX, Duration::ZERO), Bitrate::MAX);
        assert_eq!(Bitrate::ZERO.time_for(1), Duration::from_secs(3600));
        assert_eq!(Bitrate::MAX.time_for(1), Duration::ZERO);
        assert!(Bitrate::MAX.bytes_in(Duration::MAX) > 0);
    }
}
