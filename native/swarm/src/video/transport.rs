//! Feedback on what arrived and when (draft-holmer-rmcat-transport-wide-cc-extensions-01 §3.1).

use std::time::{Duration, Instant};

use sfu::rtp::extend_sequence;

/// Between two packets of feedback: what browsers do on a quick path.
const INTERVAL: Duration = Duration::from_millis(50);
/// Statuses of one packet of feedback; as many deltas of two bytes still fit a datagram.
const MAX_STATUSES: u64 = 400;
/// Arrivals that are kept until they are told.
const MAX_WAITING: usize = 2000;
/// A unit of arrival times.
const TICK: Duration = Duration::from_micros(250);
/// Ticks in a unit of the reference time, 64 ms.
const REFERENCE: i64 = 256;
/// Runs below that are shorter as a vector of seven symbols.
const MIN_RUN: usize = 7;

/// Room that one packet's information needs at most.
pub(crate) const MAX_INFORMATION: usize = 8 + 2 * (MAX_STATUSES as usize / 7 + 1) + 2 * MAX_STATUSES as usize + 4;

#[derive(Default)]
pub(crate) struct Arrivals {
    waiting: Vec<(u64, i64)>,
    highest: Option<u64>,
    /// The first sequence number that was not told.
    next: Option<u64>,
    /// Packets of feedback so far.
    count: u8,
    due: Option<Instant>,
}

impl Arrivals {
    /// A packet with that transport-wide number came, `at` by any steady clock.
    pub fn received(&mut self, now: Instant, sequence: u16, at: Duration) {
        let index = match self.highest {
            // Far from 0, so that nothing lies before it.
            None => 0x1_0000 | u64::from(sequence),
            Some(highest) => extend_sequence(highest, sequence),
        };
        self.highest = self.highest.max(Some(index));
        if self.waiting.len() < MAX_WAITING {
            self.waiting.push((index, (at.as_nanos() / TICK.as_nanos()) as i64));
        }
        self.due.get_or_insert(now + INTERVAL);
    }

    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Write the information of one packet, when it is time; the length, 0 when there is nothing to say.
    pub fn write(&mut self, now: Instant, out: &mut [u8; MAX_INFORMATION]) -> usize {
        if self.due.is_none_or(|due| now < due) {
            return 0;
        }
        self.waiting.sort_unstable();
        self.waiting.dedup_by_key(|(index, _)| *index);
        let Some(&(first, first_tick)) = self.waiting.first() else { return 0 };
        // What came so late that it was told as lost is told once more by itself.
        let base = self.next.filter(|next| *next <= first && first - next < MAX_STATUSES / 2).unwrap_or(first);
        let reference = first_tick.div_euclid(REFERENCE);
        let mut statuses = Vec::with_capacity(MAX_STATUSES as usize);
        let mut deltas = Vec::with_capacity(2 * MAX_STATUSES as usize);
        let (mut before, mut told) = (reference * REFERENCE, 0);
        for &(index, tick) in &self.waiting {
            let Ok(delta) = i16::try_from(tick - before) else { break };
            if index - base >= MAX_STATUSES {
                break;
            }
            statuses.resize((index - base) as usize, 0u16);
            match u8::try_from(delta) {
                Ok(small) => {
                    statuses.push(1);
                    deltas.push(small);
                }
                Err(_) => {
                    statuses.push(2);
                    deltas.extend(delta.to_be_bytes());
                }
            }
            (before, told) = (tick, told + 1);
        }
        self.waiting.drain(..told);
        self.next = self.next.max(Some(base + statuses.len() as u64));
        self.due = (!self.waiting.is_empty()).then_some(now);

        out[..2].copy_from_slice(&(base as u16).to_be_bytes());
        out[2..4].copy_from_slice(&(statuses.len() as u16).to_be_bytes());
        out[4..8].copy_from_slice(&((reference as u32) << 8 | u32::from(self.count)).to_be_bytes());
        self.count = self.count.wrapping_add(1);
        let mut at = 8;
        let mut rest = &statuses[..];
        while let Some(&symbol) = rest.first() {
            let run = rest.iter().take_while(|each| **each == symbol).count();
            let (chunk, length) = if run >= MIN_RUN {
                (symbol << 13 | run as u16, run)
            } else {
                let length = rest.len().min(7);
                let symbols = rest[..length].iter().enumerate().map(|(place, symbol)| symbol << (12 - 2 * place));
                (0xC000 | symbols.fold(0, |chunk, symbol| chunk | symbol), length)
            };
            out[at..at + 2].copy_from_slice(&chunk.to_be_bytes());
            (at, rest) = (at + 2, &rest[length..]);
        }
        out[at..at + deltas.len()].copy_from_slice(&deltas);
        at += deltas.len();
        let end = at.next_multiple_of(4);
        out[at..end].fill(0);
        end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn told(arrivals: &[(u16, u32)]) -> Vec<u8> {
        let (mut this, now) = (Arrivals::default(), Instant::now());
        arrivals.iter().for_each(|(sequence, at)| this.received(now, *sequence, MS * *at));
        let mut out = [0; MAX_INFORMATION];
        assert_eq!(this.write(now, &mut out), 0, "not yet");
        let length = this.write(now + INTERVAL, &mut out);
        assert_eq!(this.due(), None);
        out[..length].to_vec()
    }

    #[test]
    fn a_few_packets_are_a_vector() {
        // 65535 is lost, 0 comes before 1 but later than usual; 640 ms is reference time 10.
        let information = told(&[(65_534, 640), (0, 650), (1, 750)]);
        let vector = 0xC000 | 1 << 12 | 1 << 8 | 2 << 6;
        let mut expected = vec![0xFF, 0xFE, 0, 4, 0, 0, 10, 0];
        expected.extend(u16::to_be_bytes(vector));
        expected.extend([0, 40]);
        expected.extend(400i16.to_be_bytes());
        expected.extend([0, 0]);
        assert_eq!(information, expected);
    }

    #[test]
    fn many_packets_are_a_run() {
        let packets: Vec<(u16, u32)> = (0..20).map(|at| (at, 640 + u32::from(at))).collect();
        let information = told(&packets);
        assert_eq!(information[..10], [0, 0, 0, 20, 0, 0, 10, 0, 0x20, 20]);
        assert_eq!(information[10..30], [&[0][..], &[4; 19]].concat());
    }

    #[test]
    fn what_is_lost_between_two_packets_of_feedback_is_told_in_the_second() {
        let (mut this, now) = (Arrivals::default(), Instant::now());
        let mut out = [0; MAX_INFORMATION];
        this.received(now, 7, MS);
        this.write(now + INTERVAL, &mut out);
        this.received(now, 10, MS);
        this.write(now + INTERVAL, &mut out);
        assert_eq!((out[..4].to_vec(), out[7]), (vec![0, 8, 0, 3], 1));
    }

    #[test]
    fn a_long_gap_and_a_flood_do_no_harm() {
        let (mut this, now) = (Arrivals::default(), Instant::now());
        let mut out = [0; MAX_INFORMATION];
        for at in 0..3000u32 {
            this.received(now, (at * 7919) as u16, MS * at);
        }
        let mut packets = 0;
        while this.due().is_some() {
            assert!(this.write(now + INTERVAL, &mut out) > 8);
            packets += 1;
        }
        assert!(packets > 5);
    }
}
