//! What a forwarded packet costs the media thread, in one large room, in a hundred small ones, and in bursts.
//!
//! Beside it the least that it could cost: a loop that does nothing but seal with AES-128-GCM and send with `sendmmsg` to
//! the same sockets. Rounds of both alternate, so that whatever else the machine does slows down both alike; the figures are
//! the medians of the rounds, and the ratio is the median of their ratios. Receivers are emptied outside of both clocks.
//!
//! One line of JSON for each scenario: datagrams per second of CPU time of either, their ratio, CPU nanoseconds of one
//! datagram of each, and what the engine's threads allocated meanwhile. `memory` tells what a peer and a room keep, without
//! the DTLS association, `receiving` what one datagram costs to take in, and `scaling` what becomes of the cost with two
//! workers. `video`, `switching` and `repair`: see `support/video.rs`.
//!
//! `cargo bench -p engine --bench fanout [-- [quick] [SCENARIO…]]`

mod support;

use std::{env, fs, process::Command, time::Duration};

use support::{
    allocations,
    bare::BareThread,
    median, receiving,
    rooms::{self, Rooms, Size},
    video,
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
    allocations::excuse();
    rooms::allow_sockets()?;
    let asked: Vec<String> = env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    if let [word, rooms, members] = &asked[..]
        && word == "grown"
    {
        println!("{}", grown(rooms.parse()?, members.parse()?)?);
        return Ok(());
    }
    let quick = asked.iter().any(|word| word == "quick");
    let named = |name: &str| {
        let mut names = asked.iter().filter(|word| *word != "quick").peekable();
        names.peek().is_none() || names.any(|each| each == name)
    };
    let rounds = if quick { 1 } else { ROUNDS };
    for scenario in SCENARIOS.iter().filter(|scenario| named(scenario.name)) {
        scenario.run(rounds)?;
    }
    if named("scaling") {
        scaling(&SCENARIOS[1], rounds)?;
    }
    if named("memory") {
        memory(if quick { [10, 20] } else { [100, 500] })?;
    }
    if named("video") {
        video::stages(if quick { 1 } else { 21 })?;
    }
    if named("switching") {
        video::switching(if quick { 1 } else { 20 })?;
    }
    if named("repair") {
        video::repair(if quick { 1 } else { 21 })?;
    }
    if named("receiving") {
        receive(if quick { 10 } else { 20_000 })?;
    }
    Ok(())
}

impl Scenario {
    fn run(&self, rounds: usize) -> Result<(), Box<dyn std::error::Error>> {
        let mut rooms = Rooms::new(self.size, 1)?;
        let bare = BareThread::start(rooms.addresses()?, rooms::PAYLOAD.len());
        let heard = self.packets * self.size.talkers;
        let (mut ours, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        let (mut allocated, mut forwarded) = (0, 0);
        for round in 0..WARM_UP + rounds {
            rooms.check()?;
            let before = rooms.spent()?;
            let allocations = allocations::count();
            rooms.talk(self.packets, self.in_a_row)?;
            let allocations = allocations::count() - allocations;
            let after = rooms.spent()?;
            let engine = nanoseconds(after.0 - before.0, after.1 - before.1);

            let (sent, cpu) = bare.send(heard)?;
            rooms.drain()?;
            let least = nanoseconds(sent, cpu);
            if round >= WARM_UP {
                ours.push(engine);
                theirs.push(least);
                ratios.push(least / engine);
                allocated += allocations;
                forwarded += after.0 - before.0;
            }
        }
        let (ours, theirs, ratio) = (median(ours), median(theirs), median(ratios));
        println!(
            r#"{{"scenario":"{}","rooms":{},"members":{},"talkers":{},"forwarded_per_cpu_s":{:.0},"bare_per_cpu_s":{:.0},"ratio":{ratio:.3},"forwarded_ns":{ours:.0},"bare_ns":{theirs:.0},"allocations_a_packet":{:.6}}}"#,
            self.name,
            self.size.rooms,
            self.size.members,
            self.size.talkers,
            1e9 / ours,
            1e9 / theirs,
            allocated as f64 / forwarded as f64,
        );
        Ok(())
    }
}

/// What a forwarded packet costs one worker, and each of two that share the rooms: what is 1 here, two processors forward
/// twice as much. Rounds alternate.
fn scaling(scenario: &Scenario, rounds: usize) -> Result<(), Box<dyn std::error::Error>> {
    let mut engines = [Rooms::new(scenario.size, 1)?, Rooms::new(scenario.size, 2)?];
    let (mut costs, mut ratios) = ([Vec::new(), Vec::new()], Vec::new());
    for round in 0..WARM_UP + rounds {
        let mut cost = [0.0; 2];
        for (rooms, cost) in engines.iter_mut().zip(&mut cost) {
            rooms.check()?;
            let before = rooms.spent()?;
            rooms.talk(scenario.packets, scenario.in_a_row)?;
            let after = rooms.spent()?;
            *cost = nanoseconds(after.0 - before.0, after.1 - before.1);
        }
        if round >= WARM_UP {
            ratios.push(cost[0] / cost[1]);
            costs.iter_mut().zip(cost).for_each(|(all, cost)| all.push(cost));
        }
    }
    let [one, two] = costs.map(median);
    let ratio = median(ratios);
    println!(r#"{{"scenario":"scaling","one_worker_ns":{one:.0},"two_workers_ns":{two:.0},"ratio":{ratio:.3}}}"#);
    Ok(())
}

/// Resident bytes of an audio peer, its share of a room of ten included: by the slope between few and many rooms. And of an
/// idle room: by as many peers in rooms of two.
fn memory(rooms: [usize; 2]) -> Result<(), Box<dyn std::error::Error>> {
    let [few, many] = rooms;
    let large = grown_elsewhere(many, 10)?;
    let peer = (large - grown_elsewhere(few, 10)?) / (10 * (many - few)) as f64;
    let room = (grown_elsewhere(5 * many, 2)? - large) / (4 * many) as f64;
    println!(r#"{{"scenario":"memory","peer_bytes":{peer:.0},"room_bytes":{room:.0}}}"#);
    Ok(())
}

/// What `grown` says in a process of its own, where no memory that others gave back hides what is needed.
fn grown_elsewhere(rooms: usize, members: usize) -> Result<f64, Box<dyn std::error::Error>> {
    let mut command = Command::new(env::current_exe()?);
    let output = command.args(["grown", &rooms.to_string(), &members.to_string()]).output()?;
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}

/// By how many bytes this process grows for such rooms.
fn grown(rooms: usize, members: usize) -> Result<f64, Box<dyn std::error::Error>> {
    let before = resident()?;
    let _rooms = Rooms::new(Size { rooms, members, talkers: members }, 1)?;
    Ok(resident()? - before)
}

/// Bytes of memory that this process has now.
fn resident() -> Result<f64, Box<dyn std::error::Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim_end_matches("kB").trim().parse::<f64>()? * 1024.0)
}

/// Ways to take datagrams in, by turns.
fn receive(rounds: usize) -> Result<(), Box<dyn std::error::Error>> {
    let ways = [
        ("alone", receiving::ALONE),
        ("bursts", receiving::BURSTS),
        ("frames", receiving::FRAMES),
        ("coalesced_frames", receiving::COALESCED_FRAMES),
    ];
    let mut figures = [const { [const { Vec::new() }; 2] }; 4];
    for _ in 0..9 {
        for ((_, pattern), figures) in ways.iter().zip(&mut figures) {
            for (coalesce, figures) in [false, true].into_iter().zip(figures) {
                figures.push(receiving::cost(coalesce, *pattern, rounds.div_ceil(9))?.as_nanos() as f64);
            }
        }
    }
    print!(r#"{{"scenario":"receiving""#);
    for ((name, _), [plain, gro]) in ways.iter().zip(figures) {
        print!(r#","{name}_ns":{:.0},"{name}_gro_ns":{:.0}"#, median(plain), median(gro));
    }
    println!("}}");
    Ok(())
}

/// CPU time of one of `datagrams`.
fn nanoseconds(datagrams: u64, cpu: Duration) -> f64 {
    cpu.as_nanos() as f64 / datagrams as f64
}
