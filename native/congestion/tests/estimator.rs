//! What an estimator does beside following delay: silence, reports, caps, and when it probes.

use std::time::{Duration, Instant};

use congestion::{Arrivals, Bitrate, Estimator};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// A perfect path of 20 ms each way, over which packets of 1000 bytes go at `kbps` for `time`, probes among them as the estimator
/// likes. Gives the rates of the probes.
fn send(estimator: &mut Estimator, now: &mut Instant, kbps: u32, time: Duration) -> Vec<Bitrate> {
    send_over(Bitrate::MAX, estimator, now, kbps, time)
}

/// The same over a path that carries so much.
fn send_over(
    capacity: Bitrate,
    estimator: &mut Estimator,
    now: &mut Instant,
    kbps: u32,
    time: Duration,
) -> Vec<Bitrate> {
    let mut free = *now;
    let mut arrivals = Arrivals::new();
    let (begin, mut probes) = (*now, Vec::new());
    let mut fci = [0; 1200];
    while *now < begin + time {
        let mut send = |estimator: &mut Estimator, at: Instant, probe| {
            let sequence = estimator.sent(at, 1000, probe);
            free = free.max(at) + capacity.time_for(1000);
            arrivals.received(at, sequence, free - begin + SECOND);
        };
        send(estimator, *now, None);
        estimator.poll(*now);
        if let Some(probe) = estimator.probe(*now) {
            probes.push(probe.rate);
            for n in 0..=probe.bytes / 1000 + 5 {
                send(estimator, *now + probe.rate.time_for(1000 * n), Some(probe.id));
            }
        }
        *now += Duration::from_micros(8_000_000 / u64::from(kbps));
        if arrivals.due().is_some_and(|due| due <= *now) {
            let len = arrivals.write(*now, &mut fci);
            estimator.feedback(*now, &fci[..len]).unwrap();
        }
    }
    probes
}

#[test]
fn it_begins_at_six_hundred_kilobits_and_probes_nothing_that_nobody_wants() {
    let mut now = Instant::now();
    let mut estimator = Estimator::new(now);
    assert_eq!(estimator.target(), Bitrate::kbps(600));
    assert!(send(&mut estimator, &mut now, 500, 10 * SECOND).is_empty());
}

#[test]
fn the_first_probes_are_three_and_six_times_the_start_and_others_follow_success() {
    let mut now = Instant::now();
    let mut estimator = Estimator::new(now);
    estimator.wanted(now, Bitrate::kbps(10_000), Bitrate::kbps(500));
    let probes = send(&mut estimator, &mut now, 500, 3 * SECOND);
    assert_eq!(probes[..2], [1800, 3600].map(Bitrate::kbps));
    assert!(probes[2] > Bitrate::kbps(6000) && probes.len() < 6, "{probes:?}");
    assert!(estimator.target() >= Bitrate::kbps(10_000), "{}", estimator.target());
}

#[test]
fn nothing_is_probed_far_beyond_what_is_useful() {
    let mut now = Instant::now();
    let mut estimator = Estimator::new(now);
    estimator.wanted(now, Bitrate::kbps(1000), Bitrate::kbps(500));
    let probes = send(&mut estimator, &mut now, 500, 30 * SECOND);
    assert_eq!(probes, [Bitrate::kbps(1250)]);
}

#[test]
fn what_is_wanted_anew_is_probed_at_once() {
    let mut now = Instant::now();
    let mut estimator = Estimator::new(now);
    estimator.wanted(now, Bitrate::kbps(1000), Bitrate::kbps(500));
    send(&mut estimator, &mut now, 500, 4 * SECOND);
    let before = estimator.target();
    estimator.wanted(now, Bitrate::kbps(8000), Bitrate::kbps(500));
    assert_eq!(estimator.probe(now).map(|probe| probe.rate), Some(before.scale(2.0)));
}

#[test]
fn while_limited_by_the_application_a_probe_goes_out_every_five_seconds() {
    let mut now = Instant::now();
    let mut estimator = Estimator::new(now);
    estimator.wanted(now, Bitrate::kbps(15_000), Bitrate::kbps(300));
    let path = Bitrate::kbps(2000);
    send_over(path, &mut estimator, &mut now, 300, 5 * SECOND);
    let found = estimator.target();
    assert!((Bitrate::kbps(1700)..=Bitrate::kbps(2000)).contains(&found), "{found}");
    let probes = send_over(path, &mut estimator, &mut now, 300, 30 * SECOND);
    assert!((5..=7).contains(&probes.len()), "{probes:?}");
    assert!((Bitrate::kbps(1700)..=Bitrate::kbps(2000)).contains(&estimator.target()), "{}", estimator.target());
}

#[test]
fn nothing_is_probed_beyond_a_cap() {
    let mut now = Instant::now();
    let mut estimator = Estimator::new(now);
    estimator.wanted(now, Bitrate::kbps(15_000), Bitrate::kbps(300));
    send(&mut estimator, &mut now, 300, 5 * SECOND);
    for _ in 0..20 {
        estimator.capped(now, Bitrate::kbps(2000));
        assert_eq!(send(&mut estimator, &mut now, 300, SECOND), []);
    }
}

#[test]
fn without_feedback_it_backs_off_and_comes_back_with_it() {
    let mut now = Instant::now();
    let mut estimator = Estimator::new(now);
    estimator.wanted(now, Bitrate::kbps(3000), Bitrate::kbps(900));
    send(&mut estimator, &mut now, 900, 5 * SECOND);
    let before = estimator.target();
    assert!(before >= Bitrate::kbps(3000));
    let silent = now;
    let mut polls = 0;
    while now < silent + 10 * SECOND {
        now = estimator.poll(now).map_or(now + 100 * MS, |due| due.min(now + 100 * MS));
        estimator.sent(now, 1000, None);
        polls += 1;
    }
    assert!(polls < 1000);
    assert!(estimator.target() < before.scale(0.1), "{}", estimator.target());
    assert_eq!(estimator.probe(now), None, "not into silence");
    send(&mut estimator, &mut now, 900, 10 * SECOND);
    assert!(estimator.target() > before.scale(0.8), "{}", estimator.target());
}

#[test]
fn who_sends_nothing_expects_no_feedback() {
    let start = Instant::now();
    let mut estimator = Estimator::new(start);
    let mut now = start;
    send(&mut estimator, &mut now, 500, SECOND);
    let mut fci = [0; 16];
    fci[..10].copy_from_slice(&[0, 0, 0, 1, 0, 0, 0, 0, 0x20, 1]);
    let before = estimator.target();
    // What was still under way is told of; after that, nothing is.
    for n in 0..200u8 {
        fci[1] = n;
        estimator.feedback(now, &fci).unwrap();
    }
    for second in 1..60 {
        estimator.poll(now + second * SECOND);
    }
    assert_eq!(estimator.target(), before);
}

#[test]
fn a_remb_caps_for_five_seconds() {
    let start = Instant::now();
    let mut estimator = Estimator::new(start);
    estimator.capped(start, Bitrate::kbps(200));
    assert_eq!(estimator.target(), Bitrate::kbps(200));
    estimator.poll(start + 4 * SECOND);
    assert_eq!(estimator.target(), Bitrate::kbps(200));
    estimator.poll(start + 5 * SECOND);
    assert_eq!(estimator.target(), Bitrate::kbps(600));
    estimator.capped(start, Bitrate::ZERO);
    assert_eq!(estimator.target(), Bitrate::kbps(30));
}

#[test]
fn reports_and_remb_alone_are_followed_too() {
    let mut now = Instant::now();
    let mut estimator = Estimator::new(now);
    for _ in 0..5 {
        now += SECOND;
        estimator.sent(now, 1000, None);
        estimator.capped(now, Bitrate::kbps(2000));
        estimator.reported(now, 0, 50 * MS);
        estimator.poll(now);
    }
    assert_eq!(estimator.target(), Bitrate::kbps(2000));
    for _ in 0..3 {
        now += SECOND;
        estimator.reported(now, 128, 50 * MS);
    }
    assert!(estimator.target() < Bitrate::kbps(1000), "{}", estimator.target());
    assert_eq!(estimator.rtt(), Some(50 * MS));
}

#[test]
fn where_only_losses_are_reported_the_estimate_goes_up_to_what_is_useful_while_there_are_none() {
    let start = Instant::now();
    let mut estimator = Estimator::new(start);
    estimator.wanted(start, Bitrate::kbps(2000), Bitrate::kbps(600));
    for second in 1..40u32 {
        estimator.reported(start + second * Duration::from_secs(1), 0, 50 * MS);
    }
    let target = estimator.target();
    assert!((2000..=2500).contains(&(target.0 / 1000)), "{target}");
}
