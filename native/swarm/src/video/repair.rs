//! What is missing of one stream, and when to ask for it (RFC 4585 §6.2.1).

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// One that does not come by then is not worth waiting for: a picture that stood still for so long needs a key frame.
const PATIENCE: Duration = Duration::from_secs(1);
/// Times that one packet is asked for, as browsers do.
const MAX_REQUESTS: u32 = 10;
/// Missing packets of one stream; when there are more, a key frame costs less.
const MAX_MISSING: u64 = 500;
/// Between two requests, when the round trip is shorter or unknown.
const MIN_INTERVAL: Duration = Duration::from_millis(20);
const UNKNOWN_ROUND_TRIP: Duration = Duration::from_millis(100);

/// What an arriving packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// The next, or one after a gap.
    New,
    /// Was missing; so long after it was first asked for, if it was.
    Found(Option<Duration>),
    /// Is there already, or was given up.
    Needless,
}

struct Missing {
    since: Instant,
    first_asked: Option<Instant>,
    next: Instant,
    requests: u32,
}

#[derive(Default)]
pub(crate) struct Repair {
    highest: Option<u64>,
    missing: BTreeMap<u64, Missing>,
}

impl Repair {
    /// The index that came, whichever way.
    pub fn arrived(&mut self, now: Instant, index: u64) -> Arrival {
        match self.highest {
            Some(highest) if index <= highest => match self.missing.remove(&index) {
                Some(missing) => Arrival::Found(missing.first_asked.map(|asked| now.saturating_duration_since(asked))),
                None => Arrival::Needless,
            },
            Some(highest) => {
                if index - highest - 1 + self.missing.len() as u64 > MAX_MISSING {
                    self.missing.clear();
                } else {
                    let missing = || Missing { since: now, first_asked: None, next: now, requests: 0 };
                    self.missing.extend((highest + 1..index).map(|index| (index, missing())));
                }
                self.highest = Some(index);
                Arrival::New
            }
            None => {
                self.highest = Some(index);
                Arrival::New
            }
        }
    }

    pub fn highest(&self) -> Option<u64> {
        self.highest
    }

    /// Is it worth waiting for?
    pub fn waits_for(&self, index: u64) -> bool {
        self.missing.contains_key(&index)
    }

    pub fn due(&self) -> Option<Instant> {
        self.missing.values().map(|missing| missing.next).min()
    }

    /// What should be asked for now, in order, into `indices`; how many of them for the first time. What is not worth waiting for
    /// any more is given up.
    pub fn ask(&mut self, now: Instant, round_trip: Option<Duration>, indices: &mut Vec<u64>) -> u64 {
        // An answer that is under way should not be asked for again.
        let interval = (round_trip.unwrap_or(UNKNOWN_ROUND_TRIP) * 5 / 4).max(MIN_INTERVAL);
        self.missing.retain(|_, missing| {
            missing.next > now || missing.requests < MAX_REQUESTS && now - missing.since < PATIENCE
        });
        let mut first = 0;
        for (index, missing) in self.missing.iter_mut().filter(|(_, missing)| missing.next <= now) {
            first += u64::from(missing.first_asked.is_none());
            missing.first_asked.get_or_insert(now);
            missing.requests += 1;
            missing.next = now + interval;
            indices.push(*index);
        }
        first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn what_is_missing_is_asked_for_until_it_comes() {
        let (mut this, now) = (Repair::default(), Instant::now());
        let mut asked = Vec::new();
        assert_eq!(this.arrived(now, 5), Arrival::New);
        assert_eq!(this.arrived(now, 8), Arrival::New);
        assert_eq!((this.ask(now, Some(24 * MS), &mut asked), &asked[..]), (2, &[6, 7][..]));
        assert_eq!(this.due(), Some(now + 30 * MS));
        assert_eq!(this.arrived(now + 10 * MS, 7), Arrival::Found(Some(10 * MS)));
        assert_eq!(this.arrived(now + 10 * MS, 7), Arrival::Needless);
        asked.clear();
        assert_eq!((this.ask(now + 30 * MS, Some(24 * MS), &mut asked), &asked[..]), (0, &[6][..]));
    }

    #[test]
    fn nothing_is_waited_for_for_ever() {
        let (mut this, mut now) = (Repair::default(), Instant::now());
        this.arrived(now, 1);
        this.arrived(now, 3);
        let mut asked = Vec::new();
        while let Some(due) = this.due() {
            now = now.max(due);
            this.ask(now, None, &mut asked);
        }
        assert_eq!(asked, [2; 8]);
        assert_eq!(this.arrived(now, 2), Arrival::Needless);
    }

    #[test]
    fn after_a_long_gap_nothing_is_asked_for() {
        let (mut this, now) = (Repair::default(), Instant::now());
        this.arrived(now, 1);
        this.arrived(now, 1000);
        assert_eq!(this.due(), None);
        assert!(!this.waits_for(500));
    }
}
