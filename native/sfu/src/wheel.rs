//! Timers: a hashed wheel (Varghese and Lauck, "Hashed and hierarchical timing wheels", 1987), in which a timer costs the
//! same however many there are.

use std::time::{Duration, Instant};

/// How exact a timer is, and always late rather than early: a twentieth of an Opus frame.
const TICK: Duration = Duration::from_millis(1);
/// Two seconds: what is due later comes by once a turn and stays. Most timers here are due within one.
const SLOTS: u64 = 2048;
const WORDS: usize = (SLOTS / 64) as usize;

/// Ends a list.
const NONE: u32 = u32::MAX;

struct Entry<T> {
    tick: u64,
    timer: T,
    /// The next of the same slot, or of the free ones.
    next: u32,
}

pub(crate) struct Wheel<T> {
    base: Instant,
    /// All timers and the places of former ones: it grows to the most there ever were, and then nothing allocates.
    entries: Vec<Entry<T>>,
    free: u32,
    /// The first and the last of those that are due and not given out.
    due: u32,
    last_due: u32,
    /// The first entry of each slot.
    slots: Box<[u32]>,
    /// Bit `i` of the whole: slot `i` has timers.
    occupied: [u64; WORDS],
    /// The tick that is looked at next; all before it are done.
    at: u64,
}

impl<T: Copy> Wheel<T> {
    pub(crate) fn new(base: Instant) -> Self {
        let slots = vec![NONE; SLOTS as usize].into();
        Self { base, entries: Vec::new(), free: NONE, due: NONE, last_due: NONE, slots, occupied: [0; WORDS], at: 0 }
    }

    pub(crate) fn schedule(&mut self, due: Instant, timer: T) {
        let since = due.saturating_duration_since(self.base);
        let tick = (since.as_nanos().div_ceil(TICK.as_nanos()) as u64).max(self.at);
        let slot = (tick % SLOTS) as usize;
        let entry = Entry { tick, timer, next: self.slots[slot] };
        self.slots[slot] = match self.entries.get_mut(self.free as usize) {
            Some(place) => {
                let taken = std::mem::replace(&mut self.free, place.next);
                *place = entry;
                taken
            }
            None => {
                self.entries.push(entry);
                (self.entries.len() - 1) as u32
            }
        };
        self.occupied[slot / 64] |= 1 << (slot % 64);
    }

    /// Gather what is due; `pop` gives it out.
    pub(crate) fn expire(&mut self, now: Instant) {
        let present = (now.saturating_duration_since(self.base).as_nanos() / TICK.as_nanos()) as u64;
        // After a long sleep each slot is looked at once, not once a turn.
        let end = (present + 1).min(self.at + SLOTS);
        while let Some(tick) = self.next_occupied(self.at).filter(|tick| *tick < end) {
            self.at = tick + 1;
            self.expire_slot((tick % SLOTS) as usize, present);
        }
        self.at = self.at.max(present + 1);
    }

    fn expire_slot(&mut self, slot: usize, present: u64) {
        let mut index = std::mem::replace(&mut self.slots[slot], NONE);
        while let Some(entry) = self.entries.get_mut(index as usize) {
            let (this, next) = (index, entry.next);
            index = next;
            if entry.tick > present {
                // Of a later turn.
                entry.next = std::mem::replace(&mut self.slots[slot], this);
                continue;
            }
            entry.next = NONE;
            match self.entries.get_mut(self.last_due as usize) {
                Some(last) => last.next = this,
                None => self.due = this,
            }
            self.last_due = this;
        }
        if self.slots[slot] == NONE {
            self.occupied[slot / 64] &= !(1 << (slot % 64));
        }
    }

    /// A timer that was due at the last `expire`, in the order of their ticks.
    pub(crate) fn pop(&mut self) -> Option<T> {
        let entry = self.entries.get_mut(self.due as usize)?;
        let timer = entry.timer;
        let this = std::mem::replace(&mut self.due, entry.next);
        entry.next = std::mem::replace(&mut self.free, this);
        if self.due == NONE {
            self.last_due = NONE;
        }
        Some(timer)
    }

    /// When to call `expire` next; it may find nothing then.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.next_occupied(self.at).map(|tick| self.base + Duration::from_millis(tick))
    }

    /// The first tick from `from` on, within one turn, whose slot has timers.
    fn next_occupied(&self, from: u64) -> Option<u64> {
        let first = from % SLOTS;
        let (word, bit) = ((first / 64) as usize, first % 64);
        let ahead = self.occupied[word] >> bit;
        if ahead != 0 {
            return Some(from + u64::from(ahead.trailing_zeros()));
        }
        let mut distance = 64 - bit;
        for step in 1..=WORDS {
            let bits = self.occupied[(word + step) % WORDS];
            if bits != 0 {
                return Some(from + distance + u64::from(bits.trailing_zeros()));
            }
            distance += 64;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    proptest! {
        #[test]
        fn every_timer_comes_once_and_never_early(
            timers in proptest::collection::vec(0u32..10_000, 1..50), steps in proptest::collection::vec(0u32..3_000, 1..60),
        ) {
            let base = Instant::now();
            let mut wheel = Wheel::new(base);
            for (id, after) in timers.iter().enumerate() {
                wheel.schedule(base + MS * *after, id);
            }
            let (mut now, mut seen) = (base, vec![false; timers.len()]);
            for step in steps {
                now += MS * step;
                wheel.expire(now);
                while let Some(id) = wheel.pop() {
                    prop_assert!(!std::mem::replace(&mut seen[id], true));
                }
                for (id, after) in timers.iter().enumerate() {
                    prop_assert_eq!(seen[id], base + MS * *after <= now);
                }
            }
        }

        #[test]
        fn following_next_misses_nothing(timers in proptest::collection::vec(0u32..9_000, 1..40)) {
            let base = Instant::now();
            let mut wheel = Wheel::new(base);
            for after in &timers {
                wheel.schedule(base + MS * *after, *after);
            }
            let mut found = Vec::new();
            while let Some(next) = wheel.next() {
                wheel.expire(next);
                while let Some(after) = wheel.pop() {
                    prop_assert_eq!(base + MS * after, next);
                    found.push(after);
                }
            }
            prop_assert!(found.is_sorted());
            prop_assert_eq!(found.len(), timers.len());
        }
    }

    #[test]
    fn a_part_of_a_tick_rounds_up() {
        let base = Instant::now();
        let mut wheel = Wheel::new(base);
        wheel.schedule(base + MS / 3, ());
        wheel.expire(base + MS / 2);
        assert!(wheel.pop().is_none());
        wheel.expire(base + MS);
        assert_eq!((wheel.pop(), wheel.pop(), wheel.next()), (Some(()), None, None));
    }
}
