//! Whole rooms over networks as they are. What must hold of every packet is in `support::audit`, which looks at each run.

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
