//! The scenarios of RFC 8867 and others: a table of figures.
#[path = "../tests/support/mod.rs"]
mod support;

use std::time::Duration;

use simulation::Loss;
use support::scenarios::{self, Outcome};
use support::tcp::Algorithm;

type Scenario = (&'static str, fn() -> Outcome);

const SCENARIOS: &[Scenario] = &[
    ("5.1 variable capacity", scenarios::variable_capacity_single_flow),
    ("5.1 with 30 ms of jitter", scenarios::variable_capacity_with_jitter),
    ("5.2 variable, two flows", scenarios::variable_capacity_two_flows),
    ("5.3 congested feedback", scenarios::congested_feedback),
    ("5.4 competing media", scenarios::competing_media),
    ("5.5 round-trip fairness", scenarios::round_trip_fairness),
    ("5.6 long TCP (CUBIC), 300 ms", || scenarios::long_tcp(Duration::from_millis(300), Algorithm::Cubic)),
    ("5.6 long TCP (Reno), 300 ms", || scenarios::long_tcp(Duration::from_millis(300), Algorithm::Reno)),
    ("5.6 long TCP (CUBIC), 1 s", || scenarios::long_tcp(Duration::from_secs(1), Algorithm::Cubic)),
    ("5.7 short TCP", scenarios::short_tcp),
    ("5.8 pause and resume", scenarios::pause_and_resume),
    ("bufferbloat, 1 s", scenarios::bufferbloat),
    ("loss 2 %", || scenarios::random_loss(Loss::Uniform(0.02))),
    ("loss 5 %", || scenarios::random_loss(Loss::Uniform(0.05))),
    ("loss 10 %", || scenarios::random_loss(Loss::Uniform(0.10))),
    ("loss 5 % in bursts of 5", || scenarios::random_loss(Loss::bursts(0.05, 5.0))),
    ("simulcast layers", scenarios::layers),
    ("application limited", scenarios::application_limited),
    ("outage of 4 s", scenarios::outage),
    ("start, 2.5 Mb/s", || scenarios::start(2500, 30)),
    ("start, 10 Mb/s", || scenarios::start(10_000, 30)),
];

fn main() {
    if let Some(at) = std::env::args().nth(2) {
        let at: f64 = at.parse().unwrap();
        let only = std::env::args().nth(1).unwrap();
        let outcome = SCENARIOS.iter().find(|s| s.0.contains(only.as_str())).unwrap().1();
        for n in 0..60 {
            let t = Duration::from_secs_f64(at + n as f64 * 0.1);
            let target = outcome.record.targets[0].iter().rev().find(|x| x.0 <= t).unwrap().1;
            let packets: Vec<_> = outcome.record.packets.iter().filter(|p| p.flow == 0 && p.at >= t && p.at < t + Duration::from_millis(100)).collect();
            let rate = packets.iter().map(|p| p.len).sum::<usize>() as f64 * 0.08;
            println!("{t:?} target {target} rate {rate} wait {:?}", packets.iter().map(|p| p.waited.as_millis()).max());
        }
        return;
    }
    let only = std::env::args().nth(1);
    for (name, run) in SCENARIOS {
        if only.as_ref().is_some_and(|only| !name.contains(only.as_str())) {
            continue;
        }
        let begin = std::time::Instant::now();
        let outcome = run();
        let flows = 0..outcome.record.is_media.len();
        println!("{name}: util {:.2} p95 {:?} ({:?})", outcome.utilisation(None, 0, outcome.seconds), outcome.p95(0, outcome.seconds), begin.elapsed());
        let step = outcome.seconds / 10;
        for flow in flows.take(5) {
            let rates: Vec<_> = (0..10).map(|n| outcome.record.rate(Some(flow), n * step, (n + 1) * step).0 / 1000).collect();
            let targets: Vec<_> = (0..10).map(|n| outcome.record.targets[flow].iter().rev().find(|(at, _)| at.as_secs() <= n * step + step/2).map_or(0, |t| t.1.0 / 1000)).collect();
            println!("   rate {rates:?} target {targets:?}");
        }
        let waits: Vec<_> = (0..10).map(|n| outcome.p95(n * step, (n + 1) * step).as_millis()).collect();
        println!("   p95 {waits:?}");
    }
}
