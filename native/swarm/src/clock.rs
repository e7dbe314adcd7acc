use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Seconds from 1900, where NTP's time begins, to 1970 (RFC 5905 §6).
const NTP_TO_UNIX: u64 = 2_208_988_800;

/// One beginning of time for all peers of a process, and what the wall clock showed then.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    epoch: Instant,
    unix: Duration,
}

impl Clock {
    /// Time begins now.
    pub fn start() -> Clock {
        // A clock before 1970 is wrong anyway, and nothing here depends on it.
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Clock { epoch: Instant::now(), unix }
    }

    /// When time began.
    pub fn epoch(&self) -> Instant {
        self.epoch
    }

    /// Since then.
    pub fn elapsed(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.epoch)
    }

    /// 32.32 fixed point seconds since 1900 (RFC 3550 §4).
    pub(crate) fn ntp(&self, now: Instant) -> u64 {
        let unix = self.unix + self.elapsed(now);
        let fraction = (u64::from(unix.subsec_nanos()) << 32) / 1_000_000_000;
        (unix.as_secs() + NTP_TO_UNIX) << 32 | fraction
    }
}

/// The middle 32 bits of an NTP time, which reports refer to (RFC 3550 §6.4.1).
pub(crate) fn middle(ntp: u64) -> u32 {
    (ntp >> 16) as u32
}
