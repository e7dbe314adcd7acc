//! The sender's estimate of what the path carries.

use std::time::{Duration, Instant};

use crate::acknowledged::Acknowledged;
use crate::delay::{Delay, Usage};
use crate::feedback::{Feedback, Malformed, TICK};
use crate::history::History;
use crate::limited::{Limited, SHARE};
use crate::loss::Loss;
use crate::prober::{Prober, Situation, USEFUL};
use crate::rate_control::{Measured, RateControl};
use crate::{Bitrate, Probe, ProbeId};

/// Before anything is known: a small video, which most paths carry.
pub(crate) const START: Bitrate = Bitrate::kbps(600);
/// Never less: the smallest video there is.
const LEAST: Bitrate = Bitrate::kbps(30);
/// Never more: beyond what a room's receiver is sent.
const MOST: Bitrate = Bitrate::kbps(20_000);
/// A REMB limits the estimate for so long.
const REMB_AGE: Duration = Duration::from_secs(5);
/// Without feedback for a round trip and this long, while packets go out, the path may be gone: back off,
const SILENCE: Duration = Duration::from_secs(1);
/// to this share, so often.
const SILENCE_BACK: f64 = 0.8;
const SILENCE_STEP: Duration = Duration::from_millis(500);
/// Where only losses are reported: below this share the estimate goes up, by this much with each report.
const LOSSLESS: f64 = 0.02;
const CREEP: f64 = 1.08;
/// Until one is measured.
const RTT: Duration = Duration::from_millis(100);

/// What one transport carries, by feedback about what was sent over it.
#[derive(Debug)]
pub struct Estimator {
    start: Instant,
    history: History,
    delay: Delay,
    acknowledged: Acknowledged,
    control: RateControl,
    loss: Loss,
    limited: Limited,
    prober: Prober,
    remb: Option<(Instant, Bitrate)>,
    useful: Bitrate,
    sending: Bitrate,
    rtt: Option<Duration>,
    /// Of the last feedback, in ticks, and its reference time unwrapped.
    reference: Option<i64>,
    /// When the first packet went out since the last feedback, or since silence took the estimate down.
    unheard: Option<Instant>,
    /// Silence has taken the estimate down since the last feedback.
    backed_off: bool,
    target: Bitrate,
}

impl Estimator {
    /// 600 kb/s to begin with, and never below 30 kb/s or above 20 Mb/s.
    pub fn new(now: Instant) -> Self {
        Self {
            start: now,
            history: History::default(),
            delay: Delay::new(),
            acknowledged: Acknowledged::default(),
            control: RateControl::new(now, START),
            loss: Loss::new(now),
            limited: Limited::new(now),
            prober: Prober::new(),
            remb: None,
            useful: Bitrate::ZERO,
            sending: Bitrate::ZERO,
            rtt: None,
            reference: None,
            unheard: None,
            backed_off: false,
            target: START,
        }
    }

    fn micros(&self, now: Instant) -> i64 {
        now.saturating_duration_since(self.start).as_micros() as i64
    }

    /// A packet of `size` bytes goes out, as part of a probe or not. Gives its transport-wide sequence number.
    pub fn sent(&mut self, now: Instant, size: usize, probe: Option<ProbeId>) -> u16 {
        self.limited.sent(size);
        self.unheard.get_or_insert(now);
        self.history.push(self.micros(now), size, probe.map_or(0, ProbeId::number))
    }

    /// What a transport-wide feedback says after its two SSRCs. Bounded and without effect when it cannot be read; what it
    /// says of packets that were never sent is ignored.
    pub fn feedback(&mut self, now: Instant, fci: &[u8]) -> Result<(), Malformed> {
        let feedback = Feedback::parse(fci)?;
        let reference = self.unwrap(feedback.reference());
        let sent_now = self.micros(now);
        let (mut expected, mut lost) = (0, 0);
        let mut newest = None;
        for report in feedback.reports() {
            let Some(arrival) = report.arrival else {
                if self.history.lost(report.sequence) {
                    (expected, lost) = (expected + 1, lost + 1);
                }
                continue;
            };
            let Some(sent) = self.history.arrived(report.sequence) else { continue };
            if sent.lost {
                self.loss.found();
            } else {
                expected += 1;
            }
            let arrival = (reference + arrival) * TICK;
            self.acknowledged.push(arrival, sent.size);
            self.delay.push(sent.at, arrival);
            if sent.probe != 0 {
                self.prober.clusters.push(sent.probe, sent.at, arrival, sent.size);
            }
            newest = newest.max(Some(sent.at));
        }
        self.loss.count(expected, lost);
        (self.unheard, self.backed_off) = (None, false);
        if let Some(newest) = newest {
            self.measure_rtt(Duration::from_micros((sent_now - newest).max(0) as u64));
            self.judge(now);
        }
        Ok(())
    }

    /// The reference time has 24 bits of 64 ms, twelve days: the nearest to the last one.
    fn unwrap(&mut self, reference: u32) -> i64 {
        let last = self.reference.unwrap_or(i64::from(reference));
        let unwrapped = last + i64::from(reference.wrapping_sub(last as u32) as i32);
        self.reference = Some(unwrapped);
        unwrapped
    }

    fn measure_rtt(&mut self, sample: Duration) {
        // RFC 6298's weight. The feedback's wait at the receiver is in it: it is what a change takes to be seen.
        self.rtt = Some(self.rtt.map_or(sample, |rtt| (rtt * 7 + sample) / 8));
    }

    fn judge(&mut self, now: Instant) {
        self.limited.update(now, self.target);
        let measured = Measured {
            usage: self.delay.usage(),
            queue: self.delay.queue(),
            acknowledged: self.acknowledged.rate(),
            recent: self.acknowledged.recent(),
            size: self.acknowledged.size(),
            rtt: self.rtt.unwrap_or(RTT),
            limited: self.limited.is(),
            useful: self.useful.scale(USEFUL),
        };
        self.control.update(now, measured, MOST);
        if let Some(finding) = self.prober.clusters.finding() {
            // What a train gets of a full path is more than a flow's share: it counts while nothing else is known.
            let fits = !finding.filled || measured.limited || self.prober.starts(now);
            if fits && finding.rate > self.control.rate() && measured.usage != Usage::Over {
                self.control.raise(now, finding.rate);
                self.loss.proven(finding.rate);
            }
            self.settle(now);
            let situation = self.situation(now);
            self.prober.found(finding, &situation);
        }
        self.loss.update(now, measured.rtt, self.control.rate(), self.target);
        self.settle(now);
    }

    /// From a receiver report of a transport without transport-wide feedback: the share lost, in 256ths, and the round trip.
    pub fn reported(&mut self, now: Instant, fraction_lost: u8, rtt: Duration) {
        self.measure_rtt(rtt);
        if self.reference.is_none() {
            (self.unheard, self.backed_off) = (None, false);
            self.loss.judge(now, f64::from(fraction_lost) / 256.0, self.control.rate(), self.target);
            if let Some(remb) = self.remb(now) {
                // The receiver estimates by itself.
                self.control.set(now, remb);
            } else if f64::from(fraction_lost) / 256.0 < LOSSLESS {
                // Nothing but loss tells of the path: go up while there is none (draft-ietf-rmcat-gcc-02 §6).
                let rate = self.control.rate();
                self.control.set(now, rate.scale(CREEP).min(self.useful.scale(USEFUL)).max(rate));
            }
            self.settle(now);
        }
    }

    /// A REMB: the estimate does not exceed it for the next 5 s, or until another comes.
    pub fn capped(&mut self, now: Instant, remb: Bitrate) {
        self.remb = Some((now, remb));
        self.settle(now);
    }

    fn remb(&self, now: Instant) -> Option<Bitrate> {
        self.remb.filter(|(at, _)| now.saturating_duration_since(*at) < REMB_AGE).map(|(_, rate)| rate)
    }

    /// What everything wished for would take, and what is sent of it now. Nothing is probed beyond what is useful.
    pub fn wanted(&mut self, now: Instant, useful: Bitrate, sending: Bitrate) {
        self.sending = sending;
        let grew = useful > self.useful && useful > self.target;
        self.useful = useful;
        if grew {
            let situation = self.situation(now);
            self.prober.wanted(now, &situation);
        }
    }

    /// The next better thing costs so much more that a flow which sends what it has would never find out by itself: probe for
    /// it, when the path is calm.
    pub fn seek(&mut self) {
        self.prober.seek();
    }

    /// What may be sent.
    pub fn target(&self) -> Bitrate {
        self.target
    }

    /// The round trip, with the time that receivers take to give feedback; None: none has come.
    pub fn rtt(&self) -> Option<Duration> {
        self.rtt
    }

    /// Time passes. Gives when to come again, later than `now`, if nothing else happens before; ask for a probe each time.
    pub fn poll(&mut self, now: Instant) -> Option<Instant> {
        self.limited.update(now, self.target);
        if self.silent_until().is_some_and(|due| due <= now) {
            let rate = self.control.rate().min(self.target).scale(SILENCE_BACK).max(LEAST);
            self.control.set(now, rate);
            (self.unheard, self.backed_off) = (None, true);
        }
        self.settle(now);
        let remb = self.remb.map(|(at, _)| at + REMB_AGE);
        [self.silent_until(), self.prober.due(now, self.rtt.unwrap_or(RTT)), remb]
            .into_iter()
            .flatten()
            .filter(|at| *at > now)
            .min()
    }

    /// When silence takes the estimate down next.
    fn silent_until(&self) -> Option<Instant> {
        let wait = if self.backed_off { SILENCE_STEP } else { SILENCE + self.rtt.unwrap_or(RTT) };
        self.unheard.map(|since| since + wait)
    }

    /// A probe that should begin now. Ask when no other is being sent.
    pub fn probe(&mut self, now: Instant) -> Option<Probe> {
        let situation = self.situation(now);
        self.prober.probe(now, &situation)
    }

    fn situation(&self, now: Instant) -> Situation {
        let calm = self.delay.usage() == Usage::Normal && !self.loss.is_high() && !self.backed_off;
        Situation {
            target: self.target,
            useful: self.useful,
            most: self.remb(now).unwrap_or(MOST).min(MOST),
            calm,
            limited: self.limited.is() || self.sending < self.target.scale(SHARE),
            seeks: self.control.seeks(),
            rtt: self.rtt.unwrap_or(RTT),
        }
    }

    fn settle(&mut self, now: Instant) {
        let before = self.target;
        let remb = self.remb(now).unwrap_or(MOST);
        self.target = self.control.rate().min(self.loss.limit()).min(remb).clamp(LEAST, MOST);
        if self.control.refuted() {
            self.prober.refuted();
        } else if self.target < before {
            self.prober.fell(now, before, self.target, self.backed_off);
        }
    }
}
