//! When to probe, and how fast.

use std::time::{Duration, Instant};

use crate::clusters::{Clusters, Finding};
use crate::{Bitrate, Probe, ProbeId};

/// The first two probes, of the rate at the start.
const FIRST: [f64; 2] = [3.0, 6.0];
/// How long they and those that follow them tell more than anything else.
const START: Duration = Duration::from_secs(2);
/// The next, of what the last one found.
const FURTHER: f64 = 2.0;
/// A probe that found this share of its rate has not met the path's end.
const SUCCESS: f64 = 0.7;
/// While the application is limited, or the path has become wider than it was known for, a probe this often.
const PERIOD: Duration = Duration::from_secs(5);
/// Nothing is probed beyond what is useful and this much more: room for the next decrease.
pub(crate) const USEFUL: f64 = 1.25;
/// A probe that would not add this much is not worth its bytes.
const WORTH: f64 = 1.1;
/// A probe's length: long beside the pacer's and receivers' timers, short beside a queue that hurts; and at least so many
/// packets, of which gaps are measured.
const LENGTH: Duration = Duration::from_millis(15);
const PACKETS: usize = 5;
/// Between two probes of one occasion.
const GAP: Duration = Duration::from_millis(20);
/// A result is waited for this long, beside the round trip.
const PATIENCE: Duration = Duration::from_secs(1);
/// A fall below this share of the rate before is a big drop, and is probed for once the path is calm, so long after its last
/// step; steps within that long are one drop.
const BIG_DROP: f64 = 0.66;
const CALM: Duration = Duration::from_millis(500);
const FORGET: Duration = Duration::from_secs(15);
/// Of the rate before the drop.
const RECOVERY: f64 = 0.85;

/// A drop that may have been none.
#[derive(Clone, Copy, Debug)]
struct Drop {
    before: Bitrate,
    begun: Instant,
    /// Its last step.
    at: Instant,
    /// Silence made it.
    silent: bool,
}

/// What the prober goes by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Situation {
    pub target: Bitrate,
    pub useful: Bitrate,
    pub most: Bitrate,
    /// No over-use, little loss, feedback comes.
    pub calm: bool,
    /// The application sends less than it may.
    pub limited: bool,
    /// More arrives than the path was known for.
    pub seeks: bool,
    pub rtt: Duration,
}

/// Decides about probes; what they find is in [`Clusters`].
#[derive(Clone, Debug)]
pub(crate) struct Prober {
    pub clusters: Clusters,
    id: ProbeId,
    /// To be sent, the next first.
    waiting: [Option<Bitrate>; 2],
    /// When the next may go.
    next: Option<Instant>,
    /// When the last went, and its rate.
    last: Option<(Instant, Bitrate)>,
    drop: Option<Drop>,
    /// More is wanted than the target since the last probe.
    asked: bool,
    /// When the first probes were asked for.
    started: Option<Instant>,
}

impl Prober {
    pub fn new() -> Self {
        Self {
            clusters: Clusters::default(),
            id: ProbeId::new(1),
            waiting: [None; 2],
            next: None,
            last: None,
            drop: None,
            asked: false,
            started: None,
        }
    }

    fn ceiling(situation: &Situation) -> Bitrate {
        situation.useful.scale(USEFUL).min(situation.most)
    }

    /// More is wanted than the target: the first probes, or one as soon as the last has told its result
    /// instead of within [`PERIOD`].
    pub fn wanted(&mut self, now: Instant, situation: &Situation) {
        if self.started.is_some() {
            self.asked = true;
        } else {
            self.started = Some(now);
            let ceiling = Self::ceiling(situation);
            let [first, second] = FIRST.map(|factor| situation.target.scale(factor).min(ceiling));
            self.waiting = [Some(first), (second > first).then_some(second)];
        }
    }

    /// A probe is asked for, once the last has told its result.
    pub fn seek(&mut self) {
        self.asked = self.started.is_some();
    }

    /// The first probes may still be telling.
    pub fn starts(&self, now: Instant) -> bool {
        self.started.is_some_and(|at| now.saturating_duration_since(at) < START)
    }

    fn ask(&mut self, rate: Bitrate, situation: &Situation) {
        let rate = rate.min(Self::ceiling(situation));
        if rate >= situation.target.scale(WORTH) && self.waiting[0].is_none_or(|waiting| waiting < rate) {
            self.waiting = [Some(rate), None];
        }
    }

    /// The target fell from `before`, perhaps for lack of feedback.
    pub fn fell(&mut self, now: Instant, before: Bitrate, target: Bitrate, silent: bool) {
        self.waiting = [None; 2];
        // Steps that follow each other are one drop, as long as what was before it still says something.
        let recent = self.drop.filter(|drop| now.saturating_duration_since(drop.begun) < FORGET);
        let silent = silent || recent.is_some_and(|drop| drop.silent);
        let (before, begun) = recent.map_or((before, now), |drop| (drop.before.max(before), drop.begun));
        self.drop = Some(Drop { before, begun, at: now, silent }).filter(|drop| target < drop.before);
    }

    /// What the last probe found was wrong: what was before a drop holds no more.
    pub fn refuted(&mut self) {
        (self.drop, self.waiting) = (None, [None; 2]);
    }

    /// A probe has found something.
    pub fn found(&mut self, finding: Finding, situation: &Situation) {
        let latest = self.last.is_some_and(|(_, rate)| rate == finding.probed);
        if latest && finding.rate >= finding.probed.scale(SUCCESS) && self.waiting[0].is_none() {
            self.ask(finding.rate.scale(FURTHER), situation);
        }
    }

    /// A probe to be sent now.
    pub fn probe(&mut self, now: Instant, situation: &Situation) -> Option<Probe> {
        if !situation.calm || self.next.is_some_and(|next| now < next) {
            return None;
        }
        if self.waiting[0].is_none() {
            self.think(now, situation);
        }
        let rate = self.waiting[0].take()?.min(Self::ceiling(situation));
        self.waiting.swap(0, 1);
        if rate < situation.target.scale(WORTH) {
            return None; // Less is useful by now.
        }
        let bytes = rate.bytes_in(LENGTH);
        let probe = Probe { id: self.id, rate, bytes, packets: PACKETS };
        self.id = self.id.next();
        self.clusters.begin(probe);
        self.last = Some((now, rate));
        self.next = Some(now + rate.time_for(bytes) + GAP);
        Some(probe)
    }

    /// Whether it is time for a probe by itself.
    fn think(&mut self, now: Instant, situation: &Situation) {
        let since = self.last.map(|(at, _)| now.saturating_duration_since(at));
        if since.is_some_and(|since| since < PATIENCE + situation.rtt) {
            return;
        }
        if std::mem::take(&mut self.asked) {
            self.ask(situation.target.scale(FURTHER), situation);
            return;
        }
        let calm = |drop: &mut Drop| now.saturating_duration_since(drop.at) >= CALM + situation.rtt;
        let big = self.drop.is_some_and(|drop| situation.target < drop.before.scale(BIG_DROP));
        // A flow that fills its share sees by itself what there is; a probe would take from others what they have just got.
        let blind = |drop: &mut Drop| drop.silent || situation.limited;
        if let Some(drop) = self.drop.take_if(|drop| big && blind(drop) && calm(drop)) {
            self.ask(drop.before.scale(RECOVERY), situation);
            return;
        }
        if self.started.is_some() && (situation.limited || situation.seeks) && since.is_none_or(|since| since >= PERIOD)
        {
            self.ask(situation.target.scale(FURTHER), situation);
        }
    }

    /// When time alone may give [`Prober::probe`] something that it does not have now.
    pub fn due(&self, now: Instant, rtt: Duration) -> Option<Instant> {
        let waiting = self.waiting[0].and(self.next);
        let asked = self.last.filter(|_| self.asked).map(|(at, _)| at + PATIENCE + rtt);
        let recovery = self.drop.map(|drop| drop.at + CALM + rtt);
        let period = self.last.map(|(at, _)| at + PERIOD);
        [waiting, asked, recovery, period].into_iter().flatten().filter(|at| *at > now).min()
    }
}
