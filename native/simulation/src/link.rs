//! One direction of one wire.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::conditions::{Conditions, Hold, Loss};
use crate::random::Random;

/// When a packet arrives: never, once, or twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arrivals(pub Option<Instant>, pub Option<Instant>);

impl Arrivals {
    /// The first, then the other.
    pub fn iter(self) -> impl Iterator<Item = Instant> {
        [self.0, self.1].into_iter().flatten()
    }
}

/// What became of the packets of a link so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkStatistics {
    /// Put in.
    pub sent: u64,
    /// Lost on the way.
    pub lost: u64,
    /// Found the queue full, or an outage without end.
    pub overflowed: u64,
    /// Arrive twice.
    pub duplicated: u64,
}

/// Says of every packet when it arrives.
#[derive(Debug)]
pub struct Link {
    conditions: Conditions,
    random: Random,
    start: Instant,
    /// The bad state of [`Loss::Bursts`].
    bad: bool,
    /// When what waits or is being sent is out, and its bytes.
    queue: VecDeque<(Instant, usize)>,
    queued: usize,
    /// The latest arrival of packets that are not held.
    latest: Instant,
    statistics: LinkStatistics,
}

impl Link {
    /// A link whose rates are counted from `start`.
    pub fn new(conditions: Conditions, random: Random, start: Instant) -> Self {
        Self {
            conditions,
            random,
            start,
            bad: false,
            queue: VecDeque::new(),
            queued: 0,
            latest: start,
            statistics: LinkStatistics::default(),
        }
    }

    /// Of what was sent so far.
    pub fn statistics(&self) -> LinkStatistics {
        self.statistics
    }

    /// From now on.
    pub fn change(&mut self, conditions: Conditions) {
        self.conditions = conditions;
    }

    /// `len` bytes go in; `now` never goes back.
    pub fn send(&mut self, now: Instant, len: usize) -> Arrivals {
        self.statistics.sent += 1;
        // Drawn for every packet, so that what becomes of one has no influence on the next.
        let (lost, twice) = (self.loses(), self.random.chance(self.conditions.duplication));
        let held = self.conditions.hold.filter(|hold| self.random.chance(hold.share));
        let jitter = [self.jitter(), self.jitter()];
        if lost {
            self.statistics.lost += 1;
            return Arrivals::default();
        }
        let Some(out) = self.serialize(now, len) else {
            self.statistics.overflowed += 1;
            return Arrivals::default();
        };
        let first = self.arrive(out, jitter[0], held);
        let second = twice.then(|| self.arrive(out, jitter[1], None));
        self.statistics.duplicated += u64::from(twice);
        Arrivals(Some(first), second)
    }

    fn arrive(&mut self, out: Instant, jitter: Duration, held: Option<Hold>) -> Instant {
        let at = out + self.conditions.delay + jitter;
        if let Some(hold) = held {
            return at + hold.time;
        }
        if self.conditions.overtakes {
            return at;
        }
        self.latest = self.latest.max(at);
        self.latest
    }

    fn jitter(&mut self) -> Duration {
        self.conditions.jitter.mul_f64(self.random.unit())
    }

    fn loses(&mut self) -> bool {
        match self.conditions.loss {
            Loss::Never => false,
            Loss::Uniform(share) => self.random.chance(share),
            Loss::Bursts { worsens, recovers, good, bad } => {
                let changes = self.random.chance(if self.bad { recovers } else { worsens });
                self.bad ^= changes;
                self.random.chance(if self.bad { bad } else { good })
            }
        }
    }

    /// When the packet has left the queue; None: it found no place there.
    fn serialize(&mut self, now: Instant, len: usize) -> Option<Instant> {
        let Some(rate) = &self.conditions.rate else {
            return Some(now);
        };
        while let Some((_, bytes)) = self.queue.front().filter(|(out, _)| *out <= now) {
            self.queued -= bytes;
            self.queue.pop_front();
        }
        if self.queued + len > self.conditions.queue {
            return None;
        }
        let begins = self.queue.back().map_or(now, |(out, _)| *out);
        let out = self.start + rate.finish(begins.saturating_duration_since(self.start), len)?;
        self.queue.push_back((out, len));
        self.queued += len;
        Some(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rate;

    const MS: Duration = Duration::from_millis(1);

    fn link(conditions: Conditions) -> (Link, Instant) {
        let start = Instant::now();
        (Link::new(conditions, Random::new(1), start), start)
    }

    /// Which of `count` packets, a millisecond apart, are lost.
    fn losses(loss: Loss, count: u32) -> Vec<bool> {
        let (mut link, start) = link(Conditions { loss, ..Conditions::default() });
        (0..count).map(|n| link.send(start + MS * n, 100).0.is_none()).collect()
    }

    fn share(losses: &[bool]) -> f64 {
        losses.iter().filter(|lost| **lost).count() as f64 / losses.len() as f64
    }

    #[test]
    fn uniform_loss_loses_its_share_one_by_one() {
        let losses = losses(Loss::Uniform(0.1), 100_000);
        assert!((share(&losses) - 0.1).abs() < 0.003);
        let after_a_loss: Vec<_> = losses.windows(2).filter(|pair| pair[0]).map(|pair| pair[1]).collect();
        assert!((share(&after_a_loss) - 0.1).abs() < 0.01, "a loss says nothing about the next packet");
    }

    #[test]
    fn bursts_lose_the_same_share_in_runs_of_the_length_asked_for() {
        let losses = losses(Loss::bursts(0.1, 5.0), 200_000);
        assert!((share(&losses) - 0.1).abs() < 0.01, "{}", share(&losses));
        let bursts = losses.windows(2).filter(|pair| !pair[0] && pair[1]).count();
        let length = losses.iter().filter(|lost| **lost).count() as f64 / bursts as f64;
        assert!((length - 5.0).abs() < 0.25, "{length}");
    }

    #[test]
    fn a_packet_waits_for_as_many_bytes_as_are_before_it() {
        let (mut link, start) = link(Conditions {
            rate: Some(Rate::constant(800_000)), // 100 bytes a millisecond
            queue: 1000,
            delay: 7 * MS,
            ..Conditions::default()
        });
        for n in 1..=10 {
            assert_eq!(link.send(start, 100).0, Some(start + MS * (7 + n)));
        }
        assert_eq!(link.send(start, 100).0, None, "the queue is full");
        assert_eq!(link.send(start + MS, 100).0, Some(start + 18 * MS), "one has left it");
        assert_eq!(link.send(start + MS, 1).0, None);
        assert_eq!(link.send(start + 60 * MS, 50).0, Some(start + 67 * MS + MS / 2), "it is empty");
        assert_eq!(link.statistics(), LinkStatistics { sent: 14, lost: 0, overflowed: 2, duplicated: 0 });
    }

    #[test]
    fn jitter_keeps_the_order_unless_told_otherwise() {
        let jittery = Conditions { delay: 10 * MS, jitter: 30 * MS, ..Conditions::default() };
        for overtakes in [false, true] {
            let (mut link, start) = link(Conditions { overtakes, ..jittery.clone() });
            let arrivals: Vec<_> = (0..5000).map(|n| link.send(start + MS * n, 100).0.unwrap()).collect();
            assert_eq!(arrivals.is_sorted(), !overtakes);
            let delays: Vec<_> = arrivals.iter().zip(0..).map(|(at, n)| *at - (start + MS * n)).collect();
            assert!(delays.iter().all(|delay| (10 * MS..=40 * MS).contains(delay)));
            if overtakes {
                let mean = delays.iter().sum::<Duration>() / 5000;
                assert!(mean.abs_diff(25 * MS) < MS, "{mean:?}");
            }
        }
    }

    #[test]
    fn held_packets_are_overtaken_and_no_others() {
        let hold = Some(Hold { share: 0.1, time: 5 * MS / 2 });
        let (mut link, start) = link(Conditions { hold, ..Conditions::default() });
        let delays: Vec<_> =
            (0..10_000).map(|n| link.send(start + MS * n, 100).0.unwrap() - (start + MS * n)).collect();
        let held = delays.iter().filter(|delay| **delay == 5 * MS / 2).count();
        assert!((900..1100).contains(&held), "{held}");
        assert_eq!(delays.iter().filter(|delay| delay.is_zero()).count(), 10_000 - held);
    }

    #[test]
    fn some_arrive_twice() {
        let (mut link, start) = link(Conditions { duplication: 0.2, ..Conditions::default() });
        let twice = (0..10_000).filter(|n| link.send(start + MS * *n, 100).1.is_some()).count();
        assert!((1850..2150).contains(&twice), "{twice}");
        assert_eq!(link.statistics().duplicated, twice as u64);
    }

    #[test]
    fn what_is_lost_changes_nothing_for_what_is_not() {
        let fates = |loss| {
            let (mut link, start) = link(Conditions { loss, jitter: 9 * MS, overtakes: true, ..Conditions::default() });
            (0..1000).map(|n| link.send(start + MS * n, 100).0).collect::<Vec<_>>()
        };
        let lossy = Loss::Bursts { worsens: 0.0, recovers: 0.0, good: 0.3, bad: 0.0 };
        // The same draws, and none of them lost.
        let clean = Loss::Bursts { worsens: 0.0, recovers: 0.0, good: f64::MIN_POSITIVE, bad: 0.0 };
        let (lossy, clean) = (fates(lossy), fates(clean));
        assert!(clean.iter().all(Option::is_some) && lossy.iter().any(Option::is_none));
    }
}
