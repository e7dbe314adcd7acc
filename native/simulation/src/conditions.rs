//! What a link does to what goes over it.

use std::time::Duration;

/// Which packets never arrive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Loss {
    /// None of them.
    Never,
    /// This share, each by itself.
    Uniform(f64),
    /// Gilbert and Elliott's model of two states ("Estimates of Error Rates for Codes on Burst-Noise Channels", 1963): before
    /// each packet the link may change its state, and loses with the share of the state it is then in.
    Bursts {
        /// Chance to go from good to bad.
        worsens: f64,
        /// Chance to go from bad to good; bursts last 1 / this many packets.
        recovers: f64,
        /// Lost while good.
        good: f64,
        /// Lost while bad.
        bad: f64,
    },
}

impl Loss {
    /// Bursts of `length` packets on average in which all is lost, so that `share` of everything is.
    pub fn bursts(share: f64, length: f64) -> Self {
        let recovers = 1.0 / length;
        Self::Bursts { worsens: recovers * share / (1.0 - share), recovers, good: 0.0, bad: 1.0 }
    }
}

/// Some packets are kept back while others pass.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hold {
    /// Of all packets.
    pub share: f64,
    /// For how long.
    pub time: Duration,
}

/// How fast a link sends: a list of (since the network's start, bits a second), in order. Before the first entry the first
/// holds; 0 is an outage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rate(Vec<(Duration, u64)>);

impl Rate {
    /// Always the same, in bits a second.
    pub fn constant(bits_per_second: u64) -> Self {
        Self(vec![(Duration::ZERO, bits_per_second)])
    }

    /// Changes at the times given, which must be in order and at least one.
    pub fn schedule(steps: Vec<(Duration, u64)>) -> Self {
        assert!(!steps.is_empty() && steps.is_sorted_by_key(|step| step.0), "steps in order");
        Self(steps)
    }

    /// When `bytes` are sent that begin at `start`; None: never.
    pub(crate) fn finish(&self, start: Duration, bytes: usize) -> Option<Duration> {
        const BILLION: u128 = 1_000_000_000;
        // Bits times a billion, so that rates and nanoseconds multiply to whole numbers.
        let mut left = bytes as u128 * 8 * BILLION;
        let mut at = start;
        let first = self.0.partition_point(|step| step.0 <= start).saturating_sub(1);
        for (step, (_, rate)) in self.0.iter().enumerate().skip(first) {
            let rate = u128::from(*rate);
            let until = self.0.get(step + 1).map(|next| next.0);
            if let Some(until) = until
                && rate * until.saturating_sub(at).as_nanos() < left
            {
                left -= rate * until.saturating_sub(at).as_nanos();
                at = at.max(until);
                continue;
            }
            let nanos = left.div_ceil(if rate == 0 { return None } else { rate });
            return Some(at + Duration::from_nanos(nanos.try_into().ok()?));
        }
        None
    }
}

/// All of it. The default is a perfect wire.
#[derive(Clone, Debug, PartialEq)]
pub struct Conditions {
    /// See [`Loss`].
    pub loss: Loss,
    /// Of every packet.
    pub delay: Duration,
    /// More delay, uniform between nothing and this.
    pub jitter: Duration,
    /// Jitter lets packets overtake each other; else each waits for the one before it.
    pub overtakes: bool,
    /// Packets overtaken by others whatever `overtakes` says.
    pub hold: Option<Hold>,
    /// Share of packets that arrive twice, the second time with a jitter of its own.
    pub duplication: f64,
    /// None: as fast as can be.
    pub rate: Option<Rate>,
    /// Bytes that may wait or be on their way out at that rate; what exceeds them is lost.
    pub queue: usize,
}

impl Default for Conditions {
    fn default() -> Self {
        Self {
            loss: Loss::Never,
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            overtakes: false,
            hold: None,
            duplication: 0.0,
            rate: None,
            queue: usize::MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn sending_takes_as_long_as_the_rate_of_each_moment_says() {
        let rate = Rate::schedule(vec![(Duration::ZERO, 8_000), (2 * SECOND, 0), (3 * SECOND, 80_000)]);
        assert_eq!(rate.finish(Duration::ZERO, 1000), Some(SECOND));
        // One second at 8 kb/s, an outage of one, the other 9000 bytes at 80 kb/s.
        assert_eq!(rate.finish(SECOND, 10_000), Some(3 * SECOND + SECOND * 9 / 10));
        assert_eq!(rate.finish(5 * SECOND, 10_000), Some(6 * SECOND));
        assert_eq!(rate.finish(2 * SECOND, 10_000), Some(4 * SECOND));
    }

    #[test]
    fn what_begins_in_an_outage_without_end_is_never_sent() {
        let rate = Rate::schedule(vec![(Duration::ZERO, 8_000), (SECOND, 0)]);
        assert_eq!(rate.finish(Duration::ZERO, 1001), None);
        assert_eq!(rate.finish(Duration::ZERO, 1000), Some(SECOND));
    }
}
