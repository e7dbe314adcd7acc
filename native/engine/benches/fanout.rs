//! What a forwarded packet costs the media thread, in one large room and in a hundred small ones.
//!
//! Beside it the least that it could cost: a loop that does nothing but seal with AES-128-GCM and send with `sendmmsg` to
//! the same sockets. Rounds of both alternate, so that whatever else the machine does slows down both alike; the figures are
//! the medians of the rounds, and the ratio is the median of their ratios. Receivers are emptied outside of both clocks.
//! One line of JSON for each scenario: datagrams per second of CPU time of either, their ratio, and CPU nanoseconds of each.
//!
//! `cargo bench -p engine --bench fanout [-- quick] [-- SCENARIO…]`

mod support;

use std::{env, time::Duration};

use support::{
    bare::BareThread,
    rooms::{Rooms, Size},
};

struct Scenario {
    name: &'static str,
    size: Size,
    /// What each talker says in a round; the members' socket buffers hold a multiple.
    packets: usize,
    in_a_row: usize,
}

const SCENARIOS: [Scenario; 3] = [
    Scenario { name: "room", size: Size { rooms: 1, members: 500, talkers: 2 }, packets: 25, in_a_row: 1 },
    Scenario { name: "rooms", size: Size { rooms: 100, members: 10, talkers: 2 }, packets: 14, in_a_row: 1 },
    // After a network held everything back.
    Scenario { name: "burst", size: Size { rooms: 100, members: 10, talkers: 1 }, packets: 20, in_a_row: 20 },
];

/// Rounds whose figures count, and those before them.
const ROUNDS: usize = 41;
const WARM_UP: usize = 4;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let asked: Vec<String> = env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let quick = asked.iter().any(|word| word == "quick");
    let named = |scenario: &&Scenario| {
        let mut names = asked.iter().filter(|word| *word != "quick").peekable();
        names.peek().is_none() || names.any(|name| name == scenario.name)
    };
    for scenario in SCENARIOS.iter().filter(named) {
        scenario.run(if quick { 1 } else { ROUNDS })?;
    }
    Ok(())
}

impl Scenario {
    fn run(&self, rounds: usize) -> Result<(), Box<dyn std::error::Error>> {
        let mut rooms = Rooms::new(self.size)?;
        let bare = BareThread::start(rooms.addresses()?);
        let heard = self.packets * self.size.talkers;
        let (mut ours, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..WARM_UP + rounds {
            let before = rooms.spent()?;
            rooms.talk(self.packets, self.in_a_row)?;
            let after = rooms.spent()?;
            let engine = nanoseconds(after.0 - before.0, after.1 - before.1);

            let (sent, cpu) = bare.send(heard)?;
            rooms.drain()?;
            let least = nanoseconds(sent, cpu);
            if round >= WARM_UP {
                ours.push(engine);
                theirs.push(least);
                ratios.push(least / engine);
            }
        }
        let (ours, theirs, ratio) = (median(ours), median(theirs), median(ratios));
        println!(
            r#"{{"scenario":"{}","rooms":{},"members":{},"talkers":{},"forwarded_per_cpu_s":{:.0},"bare_per_cpu_s":{:.0},"ratio":{ratio:.3},"forwarded_ns":{ours:.0},"bare_ns":{theirs:.0}}}"#,
            self.name,
            self.size.rooms,
            self.size.members,
            self.size.talkers,
            1e9 / ours,
            1e9 / theirs,
        );
        Ok(())
    }
}

/// CPU time of one of `datagrams`.
fn nanoseconds(datagrams: u64, cpu: Duration) -> f64 {
    cpu.as_nanos() as f64 / datagrams as f64
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
