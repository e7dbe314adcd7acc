//! When the next packet may leave. The queue is the caller's.

use std::time::{Duration, Instant};

use crate::{Bitrate, Probe, ProbeId};

/// How much faster than the target packets leave, so that the queue of a key frame drains within a few frames' time
/// (pacing: draft-ietf-rmcat-gcc-02 §4): a key frame of ten times a frame's size then delays all after it by four.
const PACE: f64 = 2.5;

/// What may leave at once, in time: less than what receivers take for one group of packets, more than a timer's slack.
const BURST: Duration = Duration::from_millis(5);

/// A probe whose bytes the caller does not have is given up after this much more than it should take.
const PROBE_PATIENCE: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, Debug)]
struct Probing {
    id: ProbeId,
    rate: Bitrate,
    bytes: usize,
    packets: usize,
    until: Instant,
}

/// Spaces packets out. It counts in time: each packet moves on, by what it takes at the rate, when the path is free again.
#[derive(Clone, Debug)]
pub struct Pacer {
    rate: Bitrate,
    now: Instant,
    /// When all that was sent is out at the rate.
    free: Instant,
    probing: Option<Probing>,
}

impl Pacer {
    /// Free, at 600 kb/s until told otherwise.
    pub fn new(now: Instant) -> Self {
        let mut pacer = Self { rate: Bitrate::ZERO, now, free: now, probing: None };
        pacer.set_rate(crate::estimator::START);
        pacer
    }

    /// The target of the estimator; packets leave at 2.5 times this, so that queues drain.
    pub fn set_rate(&mut self, rate: Bitrate) {
        self.rate = rate.scale(PACE);
    }

    /// Whether a packet, of whatever size, may leave at `now`, which never goes back.
    pub fn may_send(&mut self, now: Instant) -> bool {
        self.now = self.now.max(now);
        if self.probing.is_some_and(|probing| self.now > probing.until) {
            self.probing = None;
        }
        self.due(now) <= self.now
    }

    /// A packet of `size` bytes has left, at the time of the last [`Pacer::may_send`].
    pub fn sent(&mut self, size: usize) {
        let Some(probing) = &mut self.probing else {
            self.free = self.free.max(self.now) + self.rate.time_for(size);
            return;
        };
        // A probe's packets have their times from its beginning: one that leaves late does not slow the whole probe.
        self.free += probing.rate.time_for(size);
        probing.bytes = probing.bytes.saturating_sub(size);
        probing.packets = probing.packets.saturating_sub(1);
        if probing.bytes == 0 && probing.packets == 0 {
            self.probing = None;
        }
    }

    /// When a packet may leave; `now` or before: at once.
    pub fn due(&self, now: Instant) -> Instant {
        match self.probing {
            Some(_) => self.free,
            None => self.free.checked_sub(BURST).unwrap_or(now),
        }
    }

    /// From now on packets leave at the probe's rate, until it has its bytes and packets. Without packets enough it ends a
    /// little after the time it should have taken.
    pub fn begin_probe(&mut self, now: Instant, probe: &Probe) {
        let Probe { id, rate, bytes, packets } = *probe;
        self.now = self.now.max(now);
        self.free = self.now;
        let until = self.now + rate.time_for(bytes) + PROBE_PATIENCE;
        self.probing = Some(Probing { id, rate, bytes, packets, until });
    }

    /// The probe that is being sent: packets that leave now belong to it.
    pub fn probe(&self) -> Option<ProbeId> {
        self.probing.map(|probing| probing.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// When packets of `size` leave that are always at hand, for `time`.
    fn times(pacer: &mut Pacer, start: Instant, size: usize, time: Duration) -> Vec<Duration> {
        let mut times = Vec::new();
        let mut now = start;
        while now < start + time {
            if pacer.may_send(now) {
                pacer.sent(size);
                times.push(now - start);
            } else {
                now = pacer.due(now);
            }
        }
        times
    }

    #[test]
    fn packets_leave_at_two_and_a_half_times_the_target() {
        let start = Instant::now();
        let mut pacer = Pacer::new(start);
        pacer.set_rate(Bitrate::kbps(1000));
        let bytes = 1000 * times(&mut pacer, start, 1000, 1000 * MS).len();
        assert!((312_000..=316_000).contains(&bytes), "{bytes}");
    }

    #[test]
    fn a_burst_after_silence_is_five_milliseconds_worth_however_long_the_silence() {
        let start = Instant::now();
        let mut pacer = Pacer::new(start);
        pacer.set_rate(Bitrate::kbps(4000));
        let later = start + Duration::from_secs(10);
        // 10 Mb/s: 1250 bytes a millisecond.
        let at_once = times(&mut pacer, later, 1250, MS / 100).len();
        assert_eq!(at_once, 6, "5 ms, and the one that may go at the end of them");
    }

    #[test]
    fn a_probe_leaves_at_its_own_rate_and_ends_with_its_bytes() {
        let start = Instant::now();
        let mut pacer = Pacer::new(start);
        let probe = Probe { id: ProbeId::new(1), rate: Bitrate::kbps(8000), bytes: 15_000, packets: 5 };
        pacer.begin_probe(start, &probe);
        let mut times = Vec::new();
        let mut now = start;
        while pacer.probe() == Some(probe.id) {
            assert!(pacer.may_send(now));
            pacer.sent(1000);
            times.push(now - start);
            now = pacer.due(now).max(now);
        }
        assert_eq!(times, (0..15).map(|n| n * MS).collect::<Vec<_>>());
    }

    #[test]
    fn a_probe_without_packets_is_given_up() {
        let start = Instant::now();
        let mut pacer = Pacer::new(start);
        let probe = Probe { id: ProbeId::new(1), rate: Bitrate::kbps(8000), bytes: 15_000, packets: 5 };
        pacer.begin_probe(start, &probe);
        pacer.may_send(start + 115 * MS);
        assert_eq!(pacer.probe(), Some(probe.id));
        pacer.may_send(start + 116 * MS);
        assert_eq!(pacer.probe(), None);
    }

    #[test]
    fn a_rate_of_zero_lets_one_packet_through_and_no_more() {
        let start = Instant::now();
        let mut pacer = Pacer::new(start);
        pacer.set_rate(Bitrate::ZERO);
        assert_eq!(times(&mut pacer, start, 1000, Duration::from_secs(60)).len(), 1);
    }
}
