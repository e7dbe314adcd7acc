//! Rooms in which chance decides what happens.

use crate::support::script;

/// SplitMix64.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

fn play(seeds: std::ops::Range<u64>, hostile: bool) {
    for seed in seeds {
        let mut state = seed;
        let len = 200 + random(&mut state) as usize % 2000;
        let mut bytes: Vec<u8> = (0..len).map(|_| random(&mut state) as u8).collect();
        bytes[0] = bytes[0] & !1 | u8::from(hostile);
        if let Err(panic) = std::panic::catch_unwind(|| script::run(&bytes)) {
            eprintln!("seed {seed}, hostile: {hostile}");
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn whatever_happens_in_a_room_of_well_behaved_sources_its_streams_are_sound() {
    play(0..150, false);
}

#[test]
fn whatever_hostile_members_send_the_room_stays_sound() {
    play(1000..1150, true);
}
