//! Whether the application sends less than it may: then what arrives says nothing about what the path carries.

use std::time::{Duration, Instant};

use crate::Bitrate;

/// Sending less than this share of the target is being limited by the application. More than what [`crate::rate_control`] lets
/// the target be ahead of what arrives (1 / 1.5), or between the two nothing would ever raise it.
pub(crate) const SHARE: f64 = 0.75;
/// Unused allowance is remembered for this long.
const WINDOW: Duration = Duration::from_millis(500);
/// The region begins when the allowance of the window is unused by this share, and ends when it is by no more than that.
const BEGINS: f64 = 0.8;
const ENDS: f64 = 0.5;

/// A budget that fills at a share of the target and is spent by what is sent.
#[derive(Clone, Debug)]
pub(crate) struct Limited {
    unused: f64,
    updated: Instant,
    limited: bool,
}

impl Limited {
    /// Nothing is sent yet, so it is limited.
    pub fn new(now: Instant) -> Self {
        Self { unused: f64::MAX, updated: now, limited: true }
    }

    /// Bytes were sent.
    pub fn sent(&mut self, size: usize) {
        self.unused -= size as f64;
    }

    /// Time has passed with this target.
    pub fn update(&mut self, now: Instant, target: Bitrate) {
        let window = target.scale(SHARE).bytes_in(WINDOW) as f64;
        let passed = now.saturating_duration_since(self.updated);
        self.updated = now.max(self.updated);
        let earned = target.scale(SHARE).0 as f64 / 8.0 * passed.as_secs_f64();
        self.unused = (self.unused + earned).clamp(-window, window);
        let share = (self.unused + window) / (2.0 * window).max(1.0);
        self.limited = share > if self.limited { ENDS } else { BEGINS };
    }

    pub fn is(&self) -> bool {
        self.limited
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sending_half_the_target_is_limited_and_nine_tenths_is_not() {
        let start = Instant::now();
        let target = Bitrate::kbps(800); // 100 bytes a millisecond
        let mut limited = Limited::new(start);
        let mut now = start;
        let mut send = |bytes: usize, times: u32| {
            for _ in 0..times {
                now += Duration::from_millis(10);
                limited.sent(bytes);
                limited.update(now, target);
            }
            limited.is()
        };
        assert!(send(500, 100));
        assert!(!send(900, 300));
        assert!(!send(500, 10), "one pause of a tenth of a second is nothing");
        assert!(send(500, 600));
        assert!(!send(1000, 300));
    }
}
