//! Whole rooms over networks as they are. What must hold of every packet is in `support::audit`, which looks at each run.

use std::net::SocketAddr;
use std::time::Duration;

use simulation::{Conditions, Hold, Loss, Rate};

use crate::support::client::Setup;
use crate::support::simulated::{Passed, Simulation};
use crate::support::voice::Plan;
use crate::support::{MS, SECOND};

const TALK: u8 = 30;

fn lossy(share: f64) -> Conditions {
    Conditions { loss: Loss::Uniform(share), delay: 20 * MS, jitter: 30 * MS, overtakes: true, ..Conditions::default() }
}

/// Everything at once.
fn awful() -> Conditions {
    Conditions {
        loss: Loss::bursts(0.1, 4.0),
        delay: 60 * MS,
        jitter: 80 * MS,
        overtakes: true,
        hold: Some(Hold { share: 0.02, time: 150 * MS }),
        duplication: 0.02,
        rate: Some(Rate::schedule(vec![(Duration::ZERO, 800_000), (6 * SECOND, 60_000), (9 * SECOND, 800_000)])),
        queue: 30_000,
    }
}

/// `count` clients of whom the first two talk in turns of two seconds.
fn two_in_turns(seed: u64, count: usize, link: &Conditions) -> Simulation {
    let mut room = Simulation::new(seed, 8);
    room.audit.jitter = Some(link.jitter);
    for n in 0..count {
        let plan = match n {
            0 | 1 => Plan::Turns { number: n as u32, of: 2, length: 2 * SECOND, level: TALK },
            _ => Plan::Listens,
        };
        room.join(Setup::default(), plan, link);
    }
    room
}

fn played(seed: u64) -> Vec<Passed> {
    let mut room = two_in_turns(seed, 5, &awful());
    room.run(12 * SECOND);
    room.trace
}

#[test]
fn the_same_seed_gives_the_same_course_of_events_byte_for_byte_and_another_seed_another() {
    let (once, again, other) = (played(1), played(1), played(2));
    assert!(once.len() > 2000);
    assert!(once == again, "one seed, two courses of events");
    assert!(once != other);
}

/// Two who talk without end and two who listen, one of them with a microphone; on links without fault.
fn talking(seed: u64) -> Simulation {
    let mut room = Simulation::new(seed, 8);
    let link = Conditions { delay: 20 * MS, jitter: 5 * MS, ..Conditions::default() };
    room.audit.jitter = Some(link.jitter);
    for plan in [Plan::Talks(TALK), Plan::Talks(TALK), Plan::Listens] {
        room.join(Setup::default(), plan, &link);
    }
    room
}

#[test]
fn ten_clients_of_whom_two_talk_in_turns_hear_each_other_through_loss_and_jitter() {
    let mut room = two_in_turns(3, 10, &lossy(0.05));
    room.run(60 * SECOND);
    assert!(room.audit.compared > 200, "sender reports were held against packets: {}", room.audit.compared);
    for listener in 2..10 {
        for talker in [0, 1] {
            let heard = room.members[listener].client.heard_of(room.members[talker].client.csrc) as f64;
            let share = heard / room.members[talker].sent as f64;
            assert!((0.87..0.94).contains(&share), "{share} of {talker} at {listener}");
        }
    }
}

#[test]
fn rooms_stay_sound_on_awful_networks() {
    for seed in 0..6 {
        let mut room = Simulation::new(seed, 2);
        for n in 0..8u32 {
            let plan = Plan::Turns { number: n % 4, of: 4, length: 700 * MS, level: TALK - n as u8 };
            let setup = Setup {
                slots: [2, 1, 4, 2][n as usize % 4],
                nack: n % 2 == 0,
                red: n % 3 == 0,
                names_ssrc: n % 5 != 0,
                sends_level: n != 6,
                ..Setup::default()
            };
            room.join(setup, plan, &awful());
        }
        room.run(15 * SECOND);
        let deaf = room.members.iter().filter(|member| member.client.heard.len() < 200).count();
        assert_eq!(deaf, 0, "seed {seed}");
        assert!(room.audit.resent > 20);
    }
}

#[test]
fn loss_on_the_way_to_one_receiver_costs_no_other_anything() {
    let mut room = talking(4);
    let bad = Conditions { loss: Loss::bursts(0.3, 10.0), ..Conditions::default() };
    let unlucky = room.join_at(0, Setup::default(), Plan::Listens, Conditions::default(), bad);
    room.run(20 * SECOND);
    let sent = room.members[0].sent + room.members[1].sent;
    let heard = |member: usize| room.members[member].client.heard.len() as f64 / sent as f64;
    assert!(heard(2) > 0.99 && heard(unlucky) < 0.85, "{} {}", heard(2), heard(unlucky));
}

#[test]
fn what_was_lost_on_the_way_down_is_repaired_when_asked_for() {
    let mut room = talking(5);
    let lossy = Conditions { loss: Loss::Uniform(0.1), delay: 15 * MS, ..Conditions::default() };
    let asks = room.join_at(0, Setup { nack: true, ..Setup::default() }, Plan::Listens, Conditions::default(), lossy);
    room.run(30 * SECOND);
    let (member, sent) = (&room.members[asks], room.members[0].sent + room.members[1].sent);
    assert!(member.requested > 200, "{}", member.requested);
    let unrepaired = 1.0 - member.client.heard.len() as f64 / sent as f64;
    assert!(unrepaired < 0.005, "{unrepaired}");
}

/// RFC 2198's use: what is in the packet after it is not lost.
#[test]
fn redundancy_survives_the_node_and_makes_up_for_single_losses() {
    let mut room = Simulation::new(6, 8);
    let lossy = Conditions { loss: Loss::Uniform(0.1), delay: 15 * MS, ..Conditions::default() };
    let setup = Setup { red: true, ..Setup::default() };
    let talker = room.join(setup.clone(), Plan::Talks(TALK), &Conditions::default());
    let listener = room.join_at(0, setup, Plan::Listens, Conditions::default(), lossy);
    room.run(30 * SECOND);
    let heard = &room.members[listener].client.heard;
    let mut frames: Vec<u32> = heard.iter().map(|heard| heard.header.timestamp).collect();
    frames.extend(heard.iter().filter_map(|heard| {
        let red = heard.red.as_ref().filter(|red| red.blocks > 0)?;
        Some(heard.header.timestamp.wrapping_sub(red.reach))
    }));
    frames.sort_unstable();
    frames.dedup();
    let share = |count: usize| count as f64 / room.members[talker].sent as f64;
    assert!(share(heard.len()) < 0.93 && share(frames.len()) > 0.97, "{} {}", heard.len(), frames.len());
}

#[test]
fn a_nat_that_gives_another_port_in_the_middle_of_a_call_breaks_nothing_for_a_second() {
    let outside = |port| ([198, 51, 100, 9], port).into();
    for seed in 0..10 {
        let mut room = talking(seed);
        room.rebind(0, outside(4000));
        room.run(5 * SECOND);
        let (alice, bob) = (room.members[0].client.csrc, room.members[1].client.csrc);
        for round in 1..6 {
            let moved = room.now;
            // Another port, and every second time another address too.
            let address =
                if round % 2 == 0 { ([198, 51, 100, 10], 4000 + round).into() } else { outside(4000 + round) };
            room.rebind(0, address);
            room.run(3 * SECOND);
            let hears = room.members[0].longest_break(bob, moved, room.now);
            let heard = room.members[1].longest_break(alice, moved, room.now);
            assert!(hears < 300 * MS && heard < 300 * MS, "seed {seed}: {hears:?} and {heard:?}");
        }
    }
}

#[test]
fn a_mapping_that_was_used_before_is_taken_up_again_without_a_break() {
    let outside = |port| ([198, 51, 100, 9], port).into();
    let mut room = talking(11);
    room.rebind(0, outside(4000));
    room.run(5 * SECOND);
    let bob = room.members[1].client.csrc;
    for round in 0..8 {
        let moved = room.now;
        room.rebind(0, outside(4001 - round % 2));
        room.run(4 * SECOND);
        let hears = room.members[0].longest_break(bob, moved, room.now);
        assert!(hears < 500 * MS, "{hears:?}");
    }
}

#[test]
fn an_ice_restart_from_another_network_breaks_nothing() {
    let mut room = talking(12);
    room.run(5 * SECOND);
    let (alice, bob) = (room.members[0].client.csrc, room.members[1].client.csrc);
    for restart in 0..5u16 {
        let restarted = room.now;
        room.restart_ice(0);
        room.rebind(0, ([198, 51, 100, 9], 5000 + restart).into());
        room.run(4 * SECOND);
        let hears = room.members[0].longest_break(bob, restarted, room.now);
        let heard = room.members[1].longest_break(alice, restarted, room.now);
        assert!(hears < 300 * MS && heard < 300 * MS, "{hears:?} and {heard:?}");
    }
}

#[test]
fn a_call_goes_on_after_an_outage_shorter_than_consent_and_ends_after_a_longer_one() {
    let outage = |from: u64, to: u64| {
        let at = Duration::from_secs;
        let rate = Rate::schedule(vec![(at(0), 10_000_000), (at(from), 0), (at(to), 10_000_000)]);
        Conditions { rate: Some(rate), queue: 10_000, ..Conditions::default() }
    };
    let mut room = talking(13);
    let short = room.join(Setup::default(), Plan::Talks(TALK), &outage(5, 30));
    let long = room.join(Setup::default(), Plan::Talks(TALK), &outage(5, 40));
    room.run(60 * SECOND);
    assert!(!room.members[short].gone && room.members[long].gone);
    let csrc = |member: usize| room.members[member].client.csrc;
    let (from, to) = (room.now - 10 * SECOND, room.now);
    assert!(room.members[short].longest_break(csrc(0), from, to) < SECOND);
    assert!(room.members[2].longest_break(csrc(short), from, to) < SECOND);
}

/// RFC 3711 §3.3.1: whoever misses the rollover itself must still find it.
#[test]
fn rollovers_in_and_out_are_found_when_the_packets_around_them_are_lost() {
    for seed in 0..8 {
        let mut room = Simulation::new(seed, 1);
        let bursts =
            Conditions { loss: Loss::bursts(0.3, 8.0), overtakes: true, jitter: 30 * MS, ..Conditions::default() };
        let talker = room.join(Setup::default(), Plan::Talks(TALK), &bursts);
        let listener = room.join(Setup { slots: 1, ..Setup::default() }, Plan::Listens, &bursts);
        let client = &mut room.members[talker].client;
        client.index = 65_300 + 20 * seed;
        room.run(20 * SECOND);
        let heard = &room.members[listener].client.heard;
        let after = heard.iter().filter(|heard| heard.csrc.is_some() && heard.sent_as() > 65_536).count();
        assert!(after > 200, "seed {seed}: {after}");
    }
    // Outgoing numbers begin below 32,768, and take 11 minutes to roll over.
    let mut room = Simulation::new(99, 1);
    let bursts = Conditions { loss: Loss::bursts(0.3, 8.0), ..Conditions::default() };
    room.join(Setup::default(), Plan::Talks(TALK), &Conditions::default());
    let listener = room.join_at(0, Setup { slots: 1, ..Setup::default() }, Plan::Listens, bursts.clone(), bursts);
    room.run(1330 * SECOND);
    let heard = &room.members[listener].client.heard;
    assert!(heard.iter().any(|heard| heard.index < 65_536) && heard.last().unwrap().index > 65_536 + 1000);
}

#[test]
fn a_listener_that_a_nat_gave_another_port_is_found_again_by_checks_that_do_not_nominate() {
    for seed in 0..10 {
        let mut room = Simulation::new(seed, 8);
        let link = Conditions { delay: 20 * MS, ..Conditions::default() };
        room.join(Setup::default(), Plan::Talks(TALK), &link);
        room.join(Setup::default(), Plan::Listens, &link);
        let outside = |port| -> SocketAddr { ([198, 51, 100, 9], port).into() };
        room.rebind(1, outside(4000));
        room.run(5 * SECOND);
        let moved = room.now;
        room.rebind(1, outside(4001));
        room.run(20 * SECOND);
        let broke = room.members[1].longest_break(room.members[0].client.csrc, moved, room.now);
        assert!(broke < 6 * SECOND, "{broke:?}");
    }
}
