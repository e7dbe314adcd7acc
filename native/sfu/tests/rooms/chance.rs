//! Rooms in which chance decides what happens.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use simulation::Random;

use crate::support::{chaos, script};

/// Play what chance writes, once a seed from `first` on, as many times as SEEDS says or else `times`; `change` has the last
/// word.
fn play(first: u64, times: u64, length: u64, change: impl Fn(&mut Vec<u8>), run: impl Fn(&[u8])) {
    let times = std::env::var("SEEDS").map_or(times, |seeds| seeds.parse().expect("SEEDS is a number"));
    for seed in first..first + times {
        let mut random = Random::new(seed);
        let len = length / 10 + random.below(length);
        let mut bytes: Vec<u8> = (0..len).map(|_| random.next() as u8).collect();
        change(&mut bytes);
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(&bytes))) {
            eprintln!("seed {seed}");
            resume_unwind(panic);
        }
    }
}

#[test]
fn whatever_happens_in_a_room_of_well_behaved_sources_its_streams_are_sound() {
    play(0, 150, 2000, |bytes| bytes[0] &= !1, script::run);
}

#[test]
fn whatever_hostile_members_send_the_room_stays_sound() {
    play(100_000, 150, 2000, |bytes| bytes[0] |= 1, script::run);
}

#[test]
fn whatever_networks_and_commands_do_rooms_stay_sound() {
    play(200_000, 60, 500, |bytes| bytes[1] -= bytes[1] % 3, chaos::run);
}

#[test]
fn whatever_networks_and_commands_do_rooms_on_several_workers_stay_sound() {
    play(300_000, 60, 500, |bytes| bytes[1] = bytes[1] / 3 * 3 % 252 + 1 + bytes[1] % 2, chaos::run);
}
