//! Transport-wide feedback, written (draft-holmer-rmcat-transport-wide-cc-extensions-01 §3.1).

use std::time::{Duration, Instant};

use crate::feedback::{REFERENCE, Symbol, TICK};

/// Sequence numbers remembered: two seconds at 5 Mb/s, and a power of two.
const WINDOW: usize = 1024;
/// Feedback comes this long after the first packet it is about, or
const SLOW: Duration = Duration::from_millis(100);
/// this long, when there are so many that a sender's estimate is worth more than the bytes of another feedback.
const FAST: Duration = Duration::from_millis(50);
const MANY: u32 = 4;
/// So many at once have waited long enough.
const FULL: u32 = 256;

/// What has arrived at this end of a transport, for feedback to the other.
#[derive(Debug)]
pub struct Arrivals {
    /// By sequence number: the arrival in ticks, plus 1; 0: it has not come. Empty until something comes.
    ticks: Vec<u32>,
    /// The highest number that came, unwrapped.
    highest: Option<i64>,
    /// The lowest that is to be in the next feedback.
    base: i64,
    /// Came since the last feedback, and when the first of them did.
    fresh: u32,
    since: Option<Instant>,
    number: u8,
}

impl Default for Arrivals {
    fn default() -> Self {
        Self::new()
    }
}

impl Arrivals {
    /// Nothing has come.
    pub fn new() -> Self {
        Self { ticks: Vec::new(), highest: None, base: 0, fresh: 0, since: None, number: 0 }
    }

    /// A packet with this transport-wide sequence number came, `arrival` after a base that is the same for all. Duplicates,
    /// and what comes more than a window late, count as nothing; a jump beyond the window begins anew.
    pub fn received(&mut self, now: Instant, sequence: u16, arrival: Duration) {
        if self.ticks.is_empty() {
            self.ticks.resize(WINDOW, 0);
        }
        let highest = self.highest.unwrap_or(i64::from(sequence) - 1);
        let step = i64::from(sequence.wrapping_sub(highest as u16) as i16);
        let unwrapped = highest + step;
        if self.highest.is_none() || step >= WINDOW as i64 {
            self.ticks.fill(0);
            (self.base, self.fresh, self.since) = (unwrapped, 0, None);
        } else if step <= -(WINDOW as i64) {
            return;
        }
        for skipped in highest + 1..=unwrapped {
            self.ticks[Self::index(skipped)] = 0;
        }
        self.highest = Some(highest.max(unwrapped));
        self.base = self.base.max(highest.max(unwrapped) + 1 - WINDOW as i64);
        let ticks = &mut self.ticks[Self::index(unwrapped)];
        if *ticks != 0 {
            return;
        }
        *ticks = ((arrival.as_micros() / TICK as u128) as u32).wrapping_add(1).max(1);
        self.base = self.base.min(unwrapped);
        self.fresh += 1;
        self.since.get_or_insert(now);
    }

    fn index(unwrapped: i64) -> usize {
        unwrapped.rem_euclid(WINDOW as i64) as usize
    }

    /// When to write feedback; None: nothing has come.
    pub fn due(&self) -> Option<Instant> {
        let wait = match self.fresh {
            FULL.. => Duration::ZERO,
            MANY.. => FAST,
            _ => SLOW,
        };
        self.since.map(|since| since + wait)
    }

    /// Write what follows the two SSRCs of the RTCP packet, padded to 32 bits, and give its length; 0: nothing has come, or
    /// `out` is shorter than 16 bytes. What does not fit is left to the next, due at once.
    pub fn write(&mut self, now: Instant, out: &mut [u8]) -> usize {
        let Some(highest) = self.highest.filter(|_| self.since.is_some()) else { return 0 };
        // The first that came: before it nobody knows whether something is missing, but for what was told before.
        let base = self.base;
        let Some(plan) = self.plan(base, highest, out.len()) else { return 0 };
        let mut writer = Writer { out, len: 0 };
        writer.put(&(base as u16).to_be_bytes());
        writer.put(&(plan.count as u16).to_be_bytes());
        writer.put(&(plan.reference as u32).to_be_bytes()[1..]);
        writer.put(&[self.number]);
        self.number = self.number.wrapping_add(1);
        let mut symbols = Symbols { arrivals: self, plan, at: 0, previous: plan.reference * REFERENCE };
        write_chunks(&mut symbols, &mut writer);
        let mut previous = plan.reference * REFERENCE;
        for unwrapped in base..base + plan.count {
            let Some(tick) = self.tick(unwrapped) else { continue };
            match delta(previous, tick) {
                Some(delta @ 0..=255) => writer.put(&[delta as u8]),
                Some(delta) => writer.put(&delta.to_be_bytes()),
                None => {}
            }
            previous = tick;
        }
        writer.pad();
        self.base = base + plan.count;
        self.fresh = if self.base > highest { 0 } else { FULL };
        self.since = (self.base <= highest).then_some(now);
        writer.len
    }

    fn tick(&self, unwrapped: i64) -> Option<i64> {
        let ticks = *self.ticks.get(Self::index(unwrapped))?;
        ticks.checked_sub(1).map(i64::from)
    }

    /// How many packets fit, and the reference time.
    fn plan(&self, base: i64, highest: i64, room: usize) -> Option<Plan> {
        let first = (base..=highest).find_map(|unwrapped| self.tick(unwrapped))?;
        let reference = first.div_euclid(REFERENCE);
        let mut previous = reference * REFERENCE;
        // The header and padding; then each chunk has at least seven packets, but for the last.
        let mut len = 8 + 3;
        let mut count = 0;
        for unwrapped in base..=highest {
            let chunk = if count % 7 == 0 { 2 } else { 0 };
            let size = match self.tick(unwrapped) {
                None => 0,
                Some(tick) => {
                    let Some(delta) = delta(previous, tick) else { break };
                    previous = tick;
                    if (0..=255).contains(&delta) { 1 } else { 2 }
                }
            };
            if len + chunk + size > room {
                break;
            }
            len += chunk + size;
            count += 1;
        }
        (count > 0).then_some(Plan { base, count, reference })
    }
}

#[derive(Clone, Copy)]
struct Plan {
    base: i64,
    count: i64,
    /// In units of 64 ms.
    reference: i64,
}

/// In ticks; None: more than 16 bits hold.
fn delta(previous: i64, tick: i64) -> Option<i16> {
    (tick - previous).try_into().ok()
}

/// The symbols of a planned feedback, in order.
struct Symbols<'a> {
    arrivals: &'a Arrivals,
    plan: Plan,
    at: i64,
    previous: i64,
}

impl Iterator for Symbols<'_> {
    type Item = Symbol;

    fn next(&mut self) -> Option<Symbol> {
        if self.at == self.plan.count {
            return None;
        }
        let tick = self.arrivals.tick(self.plan.base + self.at);
        self.at += 1;
        let Some(tick) = tick else { return Some(Symbol::Missing) };
        let small = (0..=255).contains(&(tick - self.previous));
        self.previous = tick;
        Some(if small { Symbol::Small } else { Symbol::Large })
    }
}

/// Most packets in one chunk (§3.1.3).
const LONGEST_RUN: usize = 0x1FFF;

/// Chunks of at least seven packets each, but for the last: a run where it says more than a vector would.
fn write_chunks(symbols: &mut Symbols<'_>, writer: &mut Writer<'_>) {
    let mut pending = [Symbol::Missing; 14];
    let mut len = 0;
    let mut ended = false;
    loop {
        while len < 14 && !ended {
            match symbols.next() {
                Some(symbol) => {
                    pending[len] = symbol;
                    len += 1;
                }
                None => ended = true,
            }
        }
        if len == 0 {
            return;
        }
        let first = pending[0];
        let large = pending[..len].contains(&Symbol::Large);
        let vector = if large { 7 } else { 14 };
        let mut run = pending[..len].iter().take_while(|symbol| **symbol == first).count();
        let mut taken = run;
        if run >= vector.min(len) {
            // All that is pending, or more than a vector holds: look whether it goes on.
            while run >= 14 && taken == len && run < LONGEST_RUN && !ended {
                match symbols.next() {
                    Some(symbol) if symbol == first => run += 1,
                    Some(symbol) => {
                        pending[0] = symbol;
                        (len, taken) = (1, 0);
                    }
                    None => ended = true,
                }
            }
            writer.put(&((first as u16) << 13 | run as u16).to_be_bytes());
        } else if large {
            taken = len.min(7);
            let bits = pending[..taken].iter().enumerate();
            let bits = bits.fold(0b11 << 14, |bits, (at, symbol)| bits | (*symbol as u16) << (12 - 2 * at));
            writer.put(&bits.to_be_bytes());
        } else {
            taken = len;
            let bits = pending[..taken].iter().enumerate();
            let bits = bits.fold(0b10 << 14, |bits, (at, symbol)| bits | (*symbol as u16) << (13 - at));
            writer.put(&bits.to_be_bytes());
        }
        pending.copy_within(taken..len, 0);
        len -= taken;
    }
}

/// Writes where there is room; the plan has seen to it that there is.
struct Writer<'a> {
    out: &'a mut [u8],
    len: usize,
}

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) {
        if let Some(place) = self.out.get_mut(self.len..self.len + bytes.len()) {
            place.copy_from_slice(bytes);
            self.len += bytes.len();
        }
    }

    fn pad(&mut self) {
        while !self.len.is_multiple_of(4) {
            self.put(&[0]);
        }
    }
}
