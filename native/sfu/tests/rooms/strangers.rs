//! A thousand strangers, and what they can do to a call: nothing.

use std::net::SocketAddr;

use sfu::Counters;
use sfu::drops::Drop;
use simulation::{Conditions, Random};

use crate::support::check::Check;
use crate::support::client::Setup;
use crate::support::simulated::{Passed, Simulation};
use crate::support::voice::Plan;
use crate::support::{MS, SECOND};

const STRANGERS: u64 = 1000;
/// Each does something this often.
const ROUNDS: u64 = 5;

fn address(stranger: u64) -> SocketAddr {
    ([100, 64, (stranger >> 8) as u8, stranger as u8], 1024 + stranger as u16).into()
}

/// A call of four, two of whom talk, on links with loss and jitter.
fn call() -> Simulation {
    let mut room = Simulation::new(42, 4);
    let link = Conditions { delay: 20 * MS, jitter: 10 * MS, overtakes: true, ..Conditions::default() };
    for n in 0..4 {
        let plan = if n < 2 { Plan::Talks(30) } else { Plan::Listens };
        room.join(Setup { nack: true, red: n % 2 == 0, slots: 4, ..Setup::default() }, plan, &link);
    }
    room.run(3 * SECOND);
    room
}

fn check(room: &Simulation, random: &mut Random, username: &str, password: &str) -> Vec<u8> {
    let transaction = std::array::from_fn(|_| random.next() as u8);
    let use_candidate = random.chance(0.5);
    assert!(room.members.len() == 4);
    Check { transaction, username, password, use_candidate, controlled: false, extra: None }.bytes()
}

fn noise(random: &mut Random, first: u8, len: u64) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..1 + random.below(len)).map(|_| random.next() as u8).collect();
    bytes[0] = first;
    bytes
}

/// A datagram of a stranger, and where it claims to come from.
fn attack(room: &Simulation, random: &mut Random, stranger: u64) -> (SocketAddr, Vec<u8>) {
    let from = address(stranger);
    let member = &room.members[random.below(4) as usize];
    let known = member.client.username();
    let of_member = room.network.outside(member.client.path.remote);
    match random.below(10) {
        // STUN: nonsense, for nobody, and for somebody without knowing the password.
        0 => (from, noise(random, 0, 200)),
        1 => (from, check(room, random, &format!("nobody{stranger}:client1"), "x")),
        2 => (from, check(room, random, &known, "a guess")),
        3 => (of_member, check(room, random, &known, "a guess")),
        // Half of a handshake, from where no check came from.
        4 => (from, noise(random, 22, 1200)),
        // Media: as itself, and as a member by address, by SSRC, or both.
        5 => (from, noise(random, 0x80, 200)),
        6 => (of_member, noise(random, 0x90, 200)),
        7 => {
            let mut forged = noise(random, 0x80, 200);
            forged.resize(forged.len().max(40), 1);
            forged[8..12].copy_from_slice(&member.client.ssrc.to_be_bytes());
            (if random.chance(0.5) { from } else { of_member }, forged)
        }
        // Whatever it recorded of the members' media, from where it came from or from elsewhere, whole or damaged.
        8 => (from, recorded(room, random)),
        _ => {
            let mut damaged = recorded(room, random);
            let at = random.below(damaged.len() as u64) as usize;
            damaged[at] ^= 1 << random.below(8);
            (of_member, damaged)
        }
    }
}

/// A packet of somebody's media that has passed.
fn recorded(room: &Simulation, random: &mut Random) -> Vec<u8> {
    let passed: Vec<&Passed> = room
        .trace
        .iter()
        .filter(|passed| passed.inward && !passed.bytes.is_empty() && passed.bytes[0] >= 128)
        .collect();
    passed[random.below(passed.len() as u64) as usize].bytes.clone()
}

/// What the node said to its members.
fn said(room: &Simulation) -> Vec<Passed> {
    room.trace.iter().filter(|passed| !passed.inward).cloned().collect()
}

fn gauges(counters: &Counters) -> [u64; 5] {
    [counters.rooms, counters.peers, counters.sources, counters.slots_held, counters.paths]
}

#[test]
fn a_thousand_strangers_leave_no_state_and_a_call_as_it_is_byte_for_byte() {
    let mut undisturbed = call();
    let mut room = call();
    let before = gauges(&room.sfus[0].counters());
    let mut random = Random::new(7);
    for _ in 0..ROUNDS {
        for stranger in 0..STRANGERS {
            let (from, bytes) = attack(&room, &mut random, stranger);
            room.inject(0, from, bytes);
            room.run(MS);
            undisturbed.run(MS);
        }
    }
    let strangers = STRANGERS * ROUNDS;
    let counters = room.sfus[0].counters();
    assert_eq!(gauges(&counters), before);
    assert!(said(&undisturbed).len() > 1000);
    assert!(said(&room) == said(&undisturbed), "every byte, at the same time, to the same addresses");
    assert_eq!(room.events, undisturbed.events);
    // Each of them was counted, and nothing else.
    let dropped = |counters: &Counters| -> u64 { counters.drops.iter().map(|(_, count)| count).sum() };
    assert_eq!(dropped(&counters) - dropped(&undisturbed.sfus[0].counters()), strangers);
    for reason in [Drop::Unauthenticated, Drop::UnknownPeer, Drop::Replay, Drop::Malformed, Drop::Short] {
        assert!(counters.drops.get(reason) > 50, "{reason:?}");
    }
}
