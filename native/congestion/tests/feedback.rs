//! What one end writes the other reads; what nobody should write harms nobody.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use congestion::{Arrivals, Bitrate, Estimator, Feedback};
use proptest::prelude::*;

const MS: Duration = Duration::from_millis(1);

/// Reads feedback of one receiver: the arrival of each packet in ticks, and those said to be missing.
#[derive(Default)]
struct Reader {
    arrived: BTreeMap<u16, i64>,
    missing: Vec<u16>,
    feedbacks: u8,
}

impl Reader {
    fn read(&mut self, fci: &[u8]) {
        assert_eq!(fci.len() % 4, 0);
        let feedback = Feedback::parse(fci).unwrap();
        assert_eq!(feedback.number(), self.feedbacks);
        self.feedbacks = self.feedbacks.wrapping_add(1);
        for report in feedback.reports() {
            match report.arrival {
                Some(arrival) => {
                    let arrival = i64::from(feedback.reference()) + arrival;
                    assert_eq!(*self.arrived.entry(report.sequence).or_insert(arrival), arrival);
                }
                None => self.missing.push(report.sequence),
            }
        }
    }

    fn drain(&mut self, arrivals: &mut Arrivals, now: Instant, room: usize) {
        let mut out = vec![0; room];
        while arrivals.due().is_some() {
            let len = arrivals.write(now, &mut out);
            assert!(len > 0 && len <= room);
            self.read(&out[..len]);
        }
        assert_eq!(arrivals.write(now, &mut out), 0);
    }
}

#[test]
fn feedback_is_due_after_fifty_milliseconds_with_packets_enough_and_else_after_a_hundred() {
    let now = Instant::now();
    let mut arrivals = Arrivals::new();
    assert_eq!(arrivals.due(), None);
    arrivals.received(now, 7, MS);
    assert_eq!(arrivals.due(), Some(now + 100 * MS));
    (8..20).for_each(|sequence| arrivals.received(now + 20 * MS, sequence, 20 * MS));
    assert_eq!(arrivals.due(), Some(now + 50 * MS));
}

#[test]
fn every_start_survives_wraparound() {
    for start in [0, 1, 32_767, 32_768, 65_534, 65_535u16] {
        let now = Instant::now();
        let (mut arrivals, mut reader) = (Arrivals::new(), Reader::default());
        for n in (0..3000u32).filter(|n| n % 10 != 4) {
            arrivals.received(now + MS * n, start.wrapping_add(n as u16), MS * n);
            if n % 50 == 49 {
                reader.drain(&mut arrivals, now + MS * n, 1200);
            }
        }
        assert_eq!((reader.arrived.len(), reader.missing.len()), (2700, 300));
        assert!(
            reader.arrived.iter().all(|(sequence, arrival)| *arrival == 4 * i64::from(sequence.wrapping_sub(start)))
        );
    }
}

#[test]
fn a_late_packet_is_told_of_after_it_was_missing_and_a_duplicate_once() {
    let now = Instant::now();
    let (mut arrivals, mut reader) = (Arrivals::new(), Reader::default());
    for sequence in [1, 2, 4, 4, 5] {
        arrivals.received(now, sequence, 10 * MS);
    }
    reader.drain(&mut arrivals, now, 1200);
    assert_eq!(reader.missing, [3]);
    arrivals.received(now, 4, 20 * MS);
    assert_eq!(arrivals.due(), None, "a duplicate");
    arrivals.received(now, 3, 30 * MS);
    reader.drain(&mut arrivals, now, 1200);
    assert_eq!(reader.arrived[&3], 120);
}

#[test]
fn a_silence_too_long_for_a_delta_begins_another_feedback() {
    let now = Instant::now();
    let (mut arrivals, mut reader) = (Arrivals::new(), Reader::default());
    arrivals.received(now, 1, 10 * MS);
    arrivals.received(now, 2, 20_010 * MS);
    reader.drain(&mut arrivals, now, 1200);
    assert_eq!(reader.arrived.into_iter().collect::<Vec<_>>(), [(1, 40), (2, 80_040)]);
    assert_eq!(reader.feedbacks, 2);
}

#[test]
fn a_jump_in_numbers_begins_anew_and_costs_nothing() {
    let now = Instant::now();
    let (mut arrivals, mut reader) = (Arrivals::new(), Reader::default());
    arrivals.received(now, 1, 10 * MS);
    arrivals.received(now, 30_000, 20 * MS);
    reader.drain(&mut arrivals, now, 1200);
    assert_eq!((reader.arrived.len(), reader.missing.len(), reader.feedbacks), (1, 0, 1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_arrivals_write_is_read_as_it_was(
        start: u16,
        steps in prop::collection::vec((-20i32..40, 0u64..30_000), 1..400),
        room in 24usize..400,
    ) {
        let now = Instant::now();
        let (mut arrivals, mut reader) = (Arrivals::new(), Reader::default());
        let (mut sequence, mut arrival) = (start, Duration::ZERO);
        let mut sent = BTreeMap::new();
        for (step, micros) in steps {
            sequence = sequence.wrapping_add(step as u16);
            arrival += Duration::from_micros(micros);
            arrivals.received(now, sequence, arrival);
            sent.entry(sequence).or_insert(arrival.as_micros() as i64 / 250);
            if arrival.as_millis() % 4 == 0 {
                reader.drain(&mut arrivals, now, room);
            }
        }
        reader.drain(&mut arrivals, now, room);
        for (sequence, arrival) in &reader.arrived {
            prop_assert_eq!(sent.get(sequence), Some(arrival));
        }
        // All but what came before the window.
        prop_assert!(reader.arrived.len() == sent.len() || sent.len() > 100);
    }

    #[test]
    fn any_bytes_leave_an_estimator_within_its_bounds(
        fcis in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..100), 1..50),
        small in prop::collection::vec((0u8..4, 0u8..60, any::<[u8; 6]>()), 0..50),
    ) {
        let start = Instant::now();
        let mut estimator = Estimator::new(start);
        let mut now = start;
        let near = small.iter().map(|(base, count, rest)| {
            let mut fci = vec![*base, 0, 0, *count, 0, 0, rest[0], 0, 0x20, *count];
            fci.extend(rest.iter().cycle().take(usize::from(*count) + 3));
            fci
        });
        for fci in fcis.into_iter().chain(near) {
            for _ in 0..20 {
                now += MS;
                estimator.sent(now, 1200, None);
            }
            let _ = estimator.feedback(now, &fci);
            estimator.wanted(now, Bitrate::MAX, Bitrate::MAX);
            let later = estimator.poll(now);
            prop_assert!(later.is_none_or(|later| later > now));
            estimator.probe(now);
            prop_assert!((Bitrate::kbps(30)..=Bitrate::kbps(20_000)).contains(&estimator.target()));
        }
    }
}
