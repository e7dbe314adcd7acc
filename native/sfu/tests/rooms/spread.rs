//! Rooms that reach over several workers, with relays that lose packets.

use sfu::Event;
use simulation::{Conditions, Loss};

use crate::support::client::Setup;
use crate::support::simulated::Simulation;
use crate::support::voice::Plan;
use crate::support::{MS, SECOND};

const TALK: u8 = 30;

/// Room 1 is at home on worker 1 of as many; `plans` are members' by worker.
fn room(seed: u64, workers: usize, between: Conditions, plans: &[(usize, Plan)]) -> Simulation {
    let mut room = Simulation::spread(seed, 4, workers, between);
    let link = Conditions { delay: 20 * MS, jitter: 10 * MS, ..Conditions::default() };
    room.audit.jitter = Some(link.jitter);
    for (worker, plan) in plans {
        let setup = Setup { slots: 4, nack: *worker == 0, red: *worker != 2, ..Setup::default() };
        room.join_at(*worker, setup, *plan, link.clone(), link.clone());
    }
    room
}

fn turns(number: u32, of: u32) -> Plan {
    Plan::Turns { number, of, length: 2 * SECOND, level: TALK }
}

fn heard(room: &Simulation, listener: usize, talker: usize) -> usize {
    room.members[listener].client.heard_of(room.members[talker].client.csrc)
}

fn lossy() -> Conditions {
    Conditions { loss: Loss::Uniform(0.02), jitter: 2 * MS, ..Conditions::default() }
}

#[test]
fn members_on_all_workers_hear_each_other() {
    let plans = [(0, turns(0, 3)), (1, turns(1, 3)), (2, turns(2, 3)), (0, Plan::Listens), (2, Plan::Listens)];
    let mut room = room(1, 3, Conditions::default(), &plans);
    room.run(30 * SECOND);
    for listener in 0..5 {
        for talker in (0..3).filter(|talker| *talker != listener) {
            let share = heard(&room, listener, talker) as f64 / room.members[talker].spoken as f64;
            assert!(share > 0.99, "{listener} hears {share} of {talker}");
        }
    }
    assert!(room.audit.compared > 50);
    // One decides, and says so once for all.
    let homes = room.sfus.iter().map(|sfu| sfu.counters().rooms).collect::<Vec<_>>();
    assert_eq!(homes, [0, 1, 0]);
}

#[test]
fn what_a_relay_loses_is_a_loss_and_nothing_else() {
    let plans = [(0, turns(0, 3)), (1, turns(1, 3)), (2, turns(2, 3)), (0, Plan::Listens), (2, Plan::Listens)];
    for seed in 0..5 {
        let mut room = room(seed, 3, lossy(), &plans);
        room.run(30 * SECOND);
        assert!(room.relays_lost > 50);
        for listener in 0..5 {
            for talker in (0..3).filter(|talker| *talker != listener) {
                let share = heard(&room, listener, talker) as f64 / room.members[talker].spoken as f64;
                assert!((0.92..=1.03).contains(&share), "{listener} hears {share} of {talker}");
            }
        }
    }
}

#[test]
fn who_is_in_a_slot_is_told_once_for_members_on_all_workers() {
    let mut room = room(2, 3, Conditions::default(), &[(0, Plan::Talks(TALK)), (1, Plan::Listens), (2, Plan::Listens)]);
    room.run(5 * SECOND);
    let told: Vec<_> = room.events.iter().filter(|(_, event)| matches!(event, Event::RoomSlot { .. })).collect();
    assert_eq!(told.len(), 1);
    let (_, Event::RoomSlot { slot: 0, csrc, timestamp, .. }) = *told[0] else { panic!("{told:?}") };
    assert_eq!(csrc, room.members[0].client.csrc);
    for listener in [1, 2] {
        let first = &room.members[listener].client.stream(0)[0];
        assert!(first.header.marker && first.header.timestamp == timestamp);
    }
}

#[test]
fn a_mute_on_another_worker_releases_the_slot_in_silence_everywhere() {
    let plans = [(0, Plan::Talks(TALK)), (1, Plan::Listens), (2, Plan::Listens)];
    let mut room = room(3, 3, Conditions::default(), &plans);
    room.run(5 * SECOND + 7 * MS);
    room.mute(0, true);
    room.run(SECOND);
    assert_eq!(room.sfus[1].counters().slots_held, 0);
    for listener in [1, 2] {
        let stream = room.members[listener].client.stream(0);
        assert!(stream.iter().rev().take(3).all(|heard| heard.is_silence()));
    }
    room.mute(0, false);
    room.run(SECOND);
    assert_eq!(room.sfus[1].counters().slots_held, 1);
}

#[test]
fn members_come_and_go_on_every_worker_and_nothing_stays_behind() {
    let link = Conditions { delay: 5 * MS, jitter: 10 * MS, ..Conditions::default() };
    let mut room = Simulation::spread(4, 2, 3, lossy());
    for n in 0..30u32 {
        let setup = Setup { room: u64::from(n % 2), slots: 2, ..Setup::default() };
        room.join_at(n as usize % 3, setup, turns(n % 4, 4), link.clone(), link.clone());
        room.run(400 * MS);
        if n % 3 == 2 {
            room.move_to(n as usize - 1, u64::from(n % 4));
            room.leave(n as usize - 2);
        }
    }
    room.run(5 * SECOND);
    assert!(room.members.iter().filter(|member| member.client.heard.len() > 50).count() > 15);
    for member in 0..30 {
        if !room.members[member].gone {
            room.leave(member);
        }
    }
    room.run(5 * SECOND);
    for (worker, sfu) in room.sfus.iter().enumerate() {
        let counters = sfu.counters();
        let gauges = [counters.rooms, counters.peers, counters.sources, counters.slots_held, counters.paths];
        assert_eq!(gauges, [0; 5], "on worker {worker}");
    }
}

#[test]
fn a_worker_that_begins_anew_takes_its_members_along_and_no_others() {
    let plans = [(0, Plan::Talks(TALK)), (1, turns(0, 2)), (2, turns(1, 2)), (1, Plan::Listens)];
    let mut room = room(6, 3, Conditions::default(), &plans);
    room.run(5 * SECOND);
    room.restart_worker(0);
    room.run(5 * SECOND);
    let counters = room.sfus[1].counters();
    assert_eq!((counters.rooms, counters.slots_held), (1, 2));
    assert!(heard(&room, 3, 2) > 200 && heard(&room, 3, 1) > 200);
    let alices = room.members[0].client.csrc;
    let last = room.members[3].client.heard.iter().rev().find(|heard| heard.csrc == Some(alices)).unwrap();
    assert!(room.now - last.at > 4 * SECOND, "{:?}", room.now - last.at);
}

#[test]
fn a_worker_that_begins_anew_learns_its_rooms_from_the_others() {
    let plans = [(0, turns(0, 2)), (2, turns(1, 2)), (0, Plan::Listens), (1, Plan::Talks(TALK)), (2, Plan::Listens)];
    let mut room = room(5, 3, Conditions::default(), &plans);
    room.run(5 * SECOND);
    room.restart_worker(1);
    let restarted = room.now;
    room.run(10 * SECOND);
    // Its own member is gone, the others hear each other.
    assert!(room.members[3].gone);
    let counters = room.sfus[1].counters();
    assert_eq!((counters.rooms, counters.peers, counters.sources), (1, 0, 0));
    for (listener, talker) in [(0, 1), (1, 0), (2, 0), (2, 1), (4, 0), (4, 1)] {
        let csrc = room.members[talker].client.csrc;
        let heard = &room.members[listener].client.heard;
        let since = heard.iter().filter(|heard| heard.csrc == Some(csrc) && heard.at > restarted).count();
        assert!(since > 150, "{listener} hears {since} of {talker}");
    }
}

#[test]
fn after_its_home_began_anew_no_number_of_a_stream_is_used_twice() {
    // Bob's numbers after the restart are Alice's before it.
    let mut room = Simulation::spread(1, 1, 2, Conditions::default());
    let setup = Setup { room: 1, slots: 1, nack: true, ..Setup::default() };
    let alice = room.join_at(0, setup.clone(), Plan::Talks(TALK), Conditions::default(), Conditions::default());
    let bob = room.join_at(0, setup.clone(), Plan::Listens, Conditions::default(), Conditions::default());
    room.join_at(0, setup, Plan::Listens, Conditions::default(), Conditions::default());
    room.run(2 * SECOND);
    let numbers = room.members[alice].client.index;
    room.restart_worker(1);
    room.members[alice].plan = Plan::Listens;
    room.members[bob].plan = Plan::Talks(TALK);
    room.members[bob].client.index = numbers - 20;
    room.run(2 * SECOND);
}

#[test]
fn a_mute_that_overtakes_the_last_packets_between_workers_still_frees_the_slot() {
    let between = Conditions { delay: 5 * MS, ..Conditions::default() };
    let plans = [(0, Plan::Talks(TALK)), (1, Plan::Listens)];
    let mut room = room(3, 2, between, &plans);
    for n in 0..20 {
        room.run(SECOND + MS * n);
        room.mute(0, true);
        room.run(SECOND);
        assert_eq!(room.sfus[1].counters().slots_held, 0);
        assert!(room.members[1].client.stream(0).last().unwrap().is_silence());
        room.mute(0, false);
    }
}

#[test]
fn when_its_home_is_lost_what_was_heard_elsewhere_ends_in_silence() {
    let plans = [(1, Plan::Talks(TALK)), (0, Plan::Listens)];
    let mut room = room(9, 2, Conditions::default(), &plans);
    room.run(2 * SECOND);
    assert!(!room.members[1].client.stream(0).last().unwrap().is_silence());
    room.restart_worker(1);
    room.run(SECOND);
    assert!(room.members[1].client.stream(0).last().unwrap().is_silence());
}
