//! What loss allows (draft-ietf-rmcat-gcc-02 §6): below 2 % more, above 10 % less, between them as before.

use std::time::{Duration, Instant};

use crate::Bitrate;

const LITTLE: f64 = 0.02;
const MUCH: f64 = 0.10;
/// Growth a second with little loss.
const GROWTH: f64 = 1.08;
/// Packets to judge by: fewer, and a single one is 5 % and more.
const LEAST: u64 = 40;
/// Judged this often at most; a decrease shows its effect after a round trip more.
const INTERVAL: Duration = Duration::from_millis(300);
/// And at least this often, if by few packets.
const SLOWEST: Duration = Duration::from_secs(2);
const FEWEST: u64 = 10;
/// When the rate has been halved and as much is lost as before, in this proportion, it is not this flow's rate that makes the loss
/// (a radio's, another's): so much is then expected, and what exceeds it counts. A policer's loss falls with the rate. What is
/// expected falls when the loss does.
const HALVED: f64 = 0.5;
const SAME: f64 = 0.7;
const FORGETS: f64 = 0.2;
/// More than this is never put up with: then most frames are lost.
const MOST_EXPECTED: f64 = 0.25;
/// This much above what delay allows, loss limits nothing any more.
const FREE: f64 = 1.5;

/// Loss and what it limits the rate to.
#[derive(Clone, Debug)]
pub(crate) struct Loss {
    /// None: it limits nothing.
    limit: Option<Bitrate>,
    expected: u64,
    lost: u64,
    since: Instant,
    grew: Instant,
    share: f64,
    /// The share and the rate when the limit began, and the mean of the shares since.
    began: Option<(f64, Bitrate)>,
    mean: f64,
    /// Loss that is not this flow's.
    foreign: f64,
}

impl Loss {
    pub fn new(now: Instant) -> Self {
        Self {
            limit: None,
            expected: 0,
            lost: 0,
            since: now,
            grew: now,
            share: 0.0,
            began: None,
            mean: 0.0,
            foreign: 0.0,
        }
    }

    /// Packets of which a feedback told for the first time, and how many of them are missing.
    pub fn count(&mut self, expected: u64, lost: u64) {
        self.expected += expected;
        self.lost += lost;
    }

    /// A packet that was missing has come after all.
    pub fn found(&mut self) {
        self.lost = self.lost.saturating_sub(1);
    }

    /// Judge, when there is enough to judge by. `allowed`: what delay allows; `target`: what all together do now.
    pub fn update(&mut self, now: Instant, rtt: Duration, allowed: Bitrate, target: Bitrate) {
        let passed = now.saturating_duration_since(self.since);
        let enough = passed >= INTERVAL + rtt && self.expected >= LEAST;
        if enough || passed >= SLOWEST && self.expected >= FEWEST {
            let share = (self.lost as f64 / self.expected as f64).min(1.0);
            (self.expected, self.lost, self.since) = (0, 0, now);
            self.judge(now, share, allowed, target);
        }
    }

    /// With the share that a receiver report tells, or that was counted.
    pub fn judge(&mut self, now: Instant, share: f64, allowed: Bitrate, target: Bitrate) {
        let passed = now.saturating_duration_since(self.grew).min(Duration::from_secs(1));
        self.grew = now;
        let fallen = (share + LITTLE - self.foreign).min(0.0);
        self.foreign = (self.foreign + FORGETS * fallen).max(0.0);
        let share = share - self.foreign;
        self.share = share;
        self.mean = 0.7 * self.mean + 0.3 * share;
        if share > MUCH {
            let limit = self.limit.unwrap_or(Bitrate::MAX).min(target);
            let (first, rate) = *self.began.get_or_insert((share, target));
            self.limit = Some(limit.scale(1.0 - 0.5 * share));
            if limit < rate.scale(HALVED) && self.mean > SAME * first {
                // The noise of few packets is part of it.
                self.foreign = (self.foreign + self.mean + LITTLE).min(MOST_EXPECTED);
                (self.limit, self.began, self.mean) = (Some(rate), None, 0.0);
            }
        } else if share < LITTLE {
            let grown = self.limit.map(|limit| limit.scale(GROWTH.powf(passed.as_secs_f64())));
            self.limit = grown.filter(|limit| *limit < allowed.scale(FREE));
            self.began = self.began.filter(|_| self.limit.is_some());
        }
    }

    /// A probe has shown that the path carries this much.
    pub fn proven(&mut self, rate: Bitrate) {
        self.limit = self.limit.map(|limit| limit.max(rate));
    }

    pub fn limit(&self) -> Bitrate {
        self.limit.unwrap_or(Bitrate::MAX)
    }

    /// So much is lost that probing would only add to it.
    pub fn is_high(&self) -> bool {
        self.share > MUCH
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// The limit after so many seconds with this share of loss, of 1 Mb/s.
    fn limit(loss: &mut Loss, now: &mut Instant, share: f64, seconds: u32) -> Bitrate {
        let full = Bitrate::kbps(1000);
        for _ in 0..seconds {
            *now += SECOND;
            loss.count(1000, (1000.0 * share) as u64);
            let target = loss.limit().min(full);
            loss.update(*now, SECOND / 10, full, target);
        }
        loss.limit().min(full)
    }

    #[test]
    fn ten_percent_and_less_limit_nothing_and_more_does() {
        let mut now = Instant::now();
        let mut loss = Loss::new(now);
        assert_eq!(limit(&mut loss, &mut now, 0.05, 20), Bitrate::kbps(1000));
        assert_eq!(limit(&mut loss, &mut now, 0.2, 1), Bitrate::kbps(900));
        assert_eq!(limit(&mut loss, &mut now, 0.05, 20), Bitrate::kbps(900));
        let low = limit(&mut loss, &mut now, 0.2, 5);
        assert!(low < Bitrate::kbps(600), "{low}");
        assert!(limit(&mut loss, &mut now, 0.0, 5) > low.scale(1.4));
        assert_eq!(limit(&mut loss, &mut now, 0.0, 30), Bitrate::kbps(1000));
    }

    #[test]
    fn a_few_packets_are_judged_by_only_after_a_while() {
        let start = Instant::now();
        let mut loss = Loss::new(start);
        let full = Bitrate::kbps(1000);
        loss.count(12, 6);
        loss.update(start + SECOND, Duration::ZERO, full, full);
        assert_eq!(loss.limit(), Bitrate::MAX);
        loss.update(start + 2 * SECOND, Duration::ZERO, full, full);
        assert_eq!(loss.limit(), Bitrate::kbps(750));
    }
}
