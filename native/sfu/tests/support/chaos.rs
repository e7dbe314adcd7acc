//! Rooms over networks, on one worker or several, driven by bytes, so that chance and the fuzzer can both write what happens.

use std::net::SocketAddr;
use std::time::Duration;

use simulation::{Conditions, Hold, Loss, Rate};

use super::client::Setup;
use super::simulated::Simulation;
use super::voice::Plan;
use super::{MS, SECOND};

/// More would only make every step slower.
const MAX_MEMBERS: usize = 10;
const MAX_STEPS: usize = 100;

/// Play `bytes`, and panic where the audit does, or where something stays behind.
pub fn run(bytes: &[u8]) {
    let mut bytes = Bytes(bytes);
    let (seed, shape) = (u64::from(bytes.next()), bytes.next());
    let workers = 1 + usize::from(shape % 3);
    let loss = if shape & 0x40 != 0 { Loss::Uniform(0.05) } else { Loss::Never };
    let between = Conditions { loss, jitter: MS, ..Conditions::default() };
    let mut room = Simulation::spread(seed, 1 + usize::from(shape >> 2 & 3), workers, between);
    for _ in 0..3 {
        join(&mut room, &mut bytes);
    }
    for _ in 0..MAX_STEPS {
        if bytes.0.is_empty() {
            break;
        }
        step(&mut room, &mut bytes);
    }
    finish(room);
}

struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    /// 0 when there are no more.
    fn next(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    fn share(&mut self, most: f64) -> f64 {
        f64::from(self.next()) / 255.0 * most
    }

    fn time(&mut self, most: Duration) -> Duration {
        most.mul_f64(self.share(1.0))
    }
}

fn link(bytes: &mut Bytes<'_>) -> Conditions {
    let what = bytes.next();
    let set = |bit: u8| what >> bit & 1 == 1;
    Conditions {
        loss: match (set(0), set(1)) {
            (false, false) => Loss::Never,
            (true, false) => Loss::Uniform(bytes.share(0.3)),
            _ => Loss::bursts(bytes.share(0.3), 1.0 + bytes.share(20.0)),
        },
        delay: bytes.time(100 * MS),
        jitter: if set(2) { bytes.time(100 * MS) } else { Duration::ZERO },
        overtakes: set(3),
        hold: set(4).then(|| Hold { share: bytes.share(0.1), time: bytes.time(200 * MS) }),
        duplication: if set(5) { bytes.share(0.2) } else { 0.0 },
        rate: set(6).then(|| Rate::constant(20_000 + u64::from(bytes.next()) * 4000)),
        queue: 20_000,
    }
}

fn plan(bytes: &mut Bytes<'_>) -> Plan {
    let (what, level) = (bytes.next(), bytes.next() % 128);
    match what % 4 {
        0 => Plan::Listens,
        1 => Plan::Talks(level),
        _ => Plan::Turns {
            number: u32::from(what >> 2 & 3),
            of: 1 + u32::from(what >> 4 & 3),
            length: 100 * MS * (1 + u32::from(what >> 6) * 5),
            level,
        },
    }
}

fn join(room: &mut Simulation, bytes: &mut Bytes<'_>) {
    if room.members.len() == MAX_MEMBERS {
        return;
    }
    let (flags, worker) = (bytes.next(), usize::from(bytes.next()) % room.sfus.len());
    let setup = Setup {
        room: u64::from(flags & 1),
        microphone: flags & 6 != 6,
        slots: 1 + usize::from(flags >> 3 & 3),
        names_ssrc: flags & 32 == 0,
        sends_level: flags & 64 == 0,
        red: flags & 128 != 0,
        nack: flags & 128 != 0,
        ..Setup::default()
    };
    let (plan, up, down) = (plan(bytes), link(bytes), link(bytes));
    room.join_at(worker, setup, plan, up, down);
}

fn step(room: &mut Simulation, bytes: &mut Bytes<'_>) {
    let what = bytes.next();
    let member = usize::from(bytes.next()) % room.members.len();
    if what % 20 >= 12 {
        return room.run(bytes.time(SECOND));
    }
    if room.members[member].gone && !what.is_multiple_of(20) {
        return;
    }
    let address =
        |bytes: &mut Bytes<'_>| SocketAddr::from(([198, 51, 100, bytes.next() % 4], 4000 + u16::from(bytes.next())));
    match what % 20 {
        0 => join(room, bytes),
        1 => room.leave(member),
        2 | 3 => room.mute(member, bytes.next().is_multiple_of(2)),
        4 => room.deafen(member, bytes.next().is_multiple_of(2)),
        5 => {
            let which = bytes.next();
            let others = room.members.iter().enumerate().filter(|(n, _)| which >> (n % 8) & 1 == 1);
            let csrcs: Vec<u32> = others.map(|(_, other)| other.client.csrc).collect();
            room.ignore(member, &csrcs);
        }
        6 => room.move_to(member, u64::from(bytes.next() % 3)),
        7 => room.restart_ice(member),
        8 => {
            // Among as few addresses as there are, two may come to have one after another.
            let outside = address(bytes);
            room.rebind(member, outside);
        }
        9 => room.members[member].plan = plan(bytes),
        10 => {
            let (up, down) = (link(bytes), link(bytes));
            let inside = room.members[member].client.path.remote;
            room.network.change(inside, up, down);
        }
        _ => stranger(room, member, bytes),
    }
}

/// Something of a stranger's, or what somebody recorded, from anywhere.
fn stranger(room: &mut Simulation, member: usize, bytes: &mut Bytes<'_>) {
    let what = bytes.next();
    let inside = room.members[member].client.path.remote;
    let from = match what & 1 {
        0 => room.network.outside(inside),
        _ => ([192, 0, 2, 200], 200 + u16::from(bytes.next())).into(),
    };
    let recorded = room.trace.iter().rev().filter(|passed| passed.inward && passed.bytes[0] >= 128);
    let mut datagram = match recorded.skip(usize::from(bytes.next())).step_by(7).next() {
        Some(passed) if what & 2 != 0 => passed.bytes.clone(),
        _ => (0..20 + u16::from(bytes.next())).map(|_| bytes.next()).collect(),
    };
    if what & 4 != 0 {
        let at = usize::from(bytes.next()) % datagram.len();
        datagram[at] ^= bytes.next();
    }
    room.inject(usize::from(what >> 3) % room.sfus.len(), from, datagram);
}

fn finish(mut room: Simulation) {
    room.run(300 * MS);
    for member in 0..room.members.len() {
        if !room.members[member].gone {
            room.leave(member);
        }
    }
    room.run(3 * SECOND);
    for (worker, sfu) in room.sfus.iter().enumerate() {
        let counters = sfu.counters();
        let gauges = [counters.rooms, counters.peers, counters.sources, counters.slots_held, counters.paths];
        assert_eq!(gauges, [0; 5], "something stayed behind on worker {worker}");
    }
}
