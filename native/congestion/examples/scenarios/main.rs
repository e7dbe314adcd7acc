//! The scenarios of RFC 8867 and others: a table of figures, and on demand a plot of each.
//!
//! `cargo run -p congestion --example scenarios -- [--plot DIR] [NAME]`, NAME being a part of a scenario's name.
#[path = "../../tests/support/mod.rs"]
mod support;

mod bench;
mod plot;

use std::path::PathBuf;

use support::scenarios::{Outcome, SCENARIOS};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let (mut directory, mut only) = (None, String::new());
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--plot" => directory = Some(PathBuf::from(arguments.next().expect("--plot DIR"))),
            _ => only = argument,
        }
    }
    if let Some(directory) = &directory {
        std::fs::create_dir_all(directory).expect("a directory for the plots");
    }
    println!("| scenario | used | queue p50 | p95 | after each change |\n| --- | --- | --- | --- | --- |");
    for (name, file, flow, run) in SCENARIOS {
        if name.contains(&only) {
            let outcome = run();
            println!("{}", row(name, *flow, &outcome));
            if let Some(directory) = &directory {
                plot::write(directory, name, file, &outcome).expect("plots written");
            }
        }
    }
    if only.is_empty() {
        bench::convergence();
        bench::cost();
    }
}

fn row(name: &str, flow: Option<usize>, outcome: &Outcome) -> String {
    let used = outcome.utilisation(flow, 0, outcome.seconds);
    let waited = |share| outcome.record.waited(flow, share, 0, outcome.seconds).as_millis();
    let recoveries = outcome.recoveries(flow).into_iter().map(|(at, recovered)| match recovered {
        Some(recovered) => format!("{at} s: {:.1} s", recovered.as_secs_f64()),
        None => format!("{at} s: never"),
    });
    let recoveries: Vec<_> = recoveries.collect();
    let (p50, p95) = (waited(0.5), waited(0.95));
    format!("| {name} | {:.0} % | {p50} ms | {p95} ms | {} |", 100.0 * used, recoveries.join(", "))
}
