//! How fast the estimate comes to what a path carries, and what it costs.

use std::hint::black_box;
use std::time::{Duration, Instant};

use congestion::{Arrivals, Bitrate, Estimator, Pacer};

use crate::support::scenarios;

/// From the first packet to 90 % of the link.
pub fn convergence() {
    println!("\n| link | target at 90 % | arriving at 90 % |\n| --- | --- | --- |");
    for kbps in [2500, 10_000] {
        let outcome = scenarios::start(kbps, 30);
        let wanted = Bitrate::kbps(kbps).scale(0.9);
        let show = |time: Option<Duration>| time.map_or("never".into(), |time| format!("{:.1} s", time.as_secs_f64()));
        let (target, rate) = (outcome.record.aims(0, wanted, 0), outcome.record.reaches(Some(0), wanted, 0));
        println!("| {:.1} Mb/s | {} | {} |", kbps as f64 / 1000.0, show(target), show(rate));
    }
}

/// Wall time of this thread for packets that are paced, sent, and told of in feedback of ten each. Run with `--release`.
pub fn cost() {
    const PACKETS: u32 = 2_000_000;
    let start = Instant::now();
    let mut estimator = Estimator::new(start);
    let mut pacer = Pacer::new(start);
    let mut arrivals = Arrivals::new();
    let mut fci = [0; 1200];
    let mut spent = [Duration::ZERO; 2];
    let mut now = start;
    for _ in 0..PACKETS / 10 {
        let begin = Instant::now();
        let mut sequences = [0; 10];
        for sequence in &mut sequences {
            now += Duration::from_millis(1);
            black_box(pacer.may_send(now));
            pacer.sent(1200);
            *sequence = estimator.sent(now, 1200, None);
        }
        spent[0] += begin.elapsed();
        let begin = Instant::now();
        for (sequence, n) in sequences.into_iter().zip(0..) {
            let arrival = now - start + Duration::from_millis(n);
            arrivals.received(now, sequence, arrival);
        }
        let len = arrivals.write(now, &mut fci);
        spent[1] += begin.elapsed();
        let begin = Instant::now();
        estimator.feedback(now, &fci[..len]).expect("what was written");
        estimator.wanted(now, Bitrate::kbps(10_000), Bitrate::kbps(9600));
        black_box((estimator.poll(now), estimator.probe(now)));
        pacer.set_rate(estimator.target());
        spent[0] += begin.elapsed();
    }
    let each = |spent: Duration| spent.as_nanos() as f64 / f64::from(PACKETS);
    println!(
        "\nCPU a packet, sent, paced and acknowledged: {:.0} ns; received and reported: {:.0} ns",
        each(spent[0]),
        each(spent[1])
    );
}
