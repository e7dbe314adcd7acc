//! What sources may send, and how rooms hear them: the details that toys get wrong.

use sfu::drops::Drop;
use sfu::rtp::AudioLevel;

use crate::support::client::{FRAME, Setup};
use crate::support::{MS, SECOND, WALL_CLOCK, World};

const TALK: u8 = 30;

#[test]
fn two_byte_extensions_are_read_and_come_out_under_each_receivers_own_ids() {
    let mut world = World::new(8);
    let alice = world.join(Setup { two_byte: true, names_ssrc: false, ..Setup::default() });
    let others: [usize; 6] = world.join_all();
    let mut packet = world.clients[alice].speak(23);
    packet.mid = Some("0");
    world.send(alice, &packet);
    world.talk(&[(alice, 23)], 4);
    for other in others {
        let client = &world.clients[other];
        assert_ne!(client.slots[0].level_extension, Some(world.clients[alice].level_extension));
        let level = client.slots[0].level_extension.map(|_| AudioLevel { voice: true, level: 23 });
        assert!(client.heard.len() == 5 && client.heard.iter().all(|heard| heard.level == level));
    }
    // In this form too another m-line's MID binds nothing.
    let mut packet = world.clients[alice].speak(23);
    (packet.ssrc, packet.mid) = (packet.ssrc ^ 1, Some("7"));
    world.send(alice, &packet);
    assert_eq!(world.dropped(Drop::UnknownSource), 1);
}

#[test]
fn each_ssrc_has_a_replay_window_of_its_own() {
    let mut world = World::new(8);
    let [alice, bob] = world.join_all();
    world.talk(&[(alice, TALK)], 10);
    let client = &mut world.clients[alice];
    let mut again = client.peek(TALK);
    (again.ssrc, again.index, again.mid) = (0xB0B0_B0B0, again.index - 5, Some("0"));
    let (csrc, ssrc) = (client.csrc, again.ssrc);
    world.audit.ssrc_changed(csrc, ssrc);
    // The same number is another packet under another SSRC, and each of them is one once.
    for _ in 0..3 {
        world.send(alice, &again);
    }
    assert_eq!((world.clients[bob].heard.len(), world.dropped(Drop::Replay)), (11, 2));
}

#[test]
fn a_packet_older_than_the_window_is_dropped_and_one_within_it_is_not() {
    let mut world = World::new(8);
    let [alice, bob] = world.join_all();
    world.talk(&[(alice, TALK)], 2);
    let (old, within) = (world.clients[alice].speak(TALK), world.clients[alice].speak(TALK));
    world.talk(&[(alice, TALK)], 1023);
    world.send(alice, &old);
    assert_eq!(world.dropped(Drop::Replay), 1);
    world.send(alice, &within);
    assert_eq!(world.clients[bob].heard.len(), 1026);
}

/// RFC 6464 levels are only claims.
#[test]
fn who_claims_to_be_loudest_all_the_time_does_not_keep_a_slot_for_ever() {
    let mut world = World::new(1);
    let [liar, honest, listener] = world.join_all();
    for _ in 0..150 {
        world.talk(&[(liar, 0), (honest, TALK)], 50);
    }
    let share = |client: usize| world.clients[listener].heard_of(world.clients[client].csrc);
    assert!(share(honest) > 1000, "{} and {}", share(liar), share(honest));
    assert!(share(liar) + share(honest) >= 7500 - 10, "and the slot is never empty");
    world.assert_streams_sound();
}

#[test]
fn equals_take_turns_when_there_are_more_of_them_than_slots() {
    let mut world = World::new(2);
    let voices: [usize; 3] = world.join_all();
    let listener = world.join(Setup { slots: 2, ..Setup::default() });
    for _ in 0..180 {
        world.talk(&voices.map(|voice| (voice, TALK)), 50);
    }
    for voice in voices {
        let heard = world.clients[listener].heard_of(world.clients[voice].csrc);
        assert!(heard > 1500, "{heard} of {voice}");
    }
    assert!(world.slot_changes(listener).len() < 60, "and not all the time");
}

#[test]
fn without_levels_whoever_sends_is_heard_and_dtx_is_silence() {
    let mut world = World::new(1);
    let [alice, bob, carol] = std::array::from_fn(|_| world.join(Setup { sends_level: false, ..Setup::default() }));
    world.talk(&[(alice, TALK)], 50);
    for n in 0..50 {
        if n % 20 == 0 {
            let packet = world.clients[alice].quiet();
            world.send(alice, &packet);
        } else {
            world.clients[alice].pause(1);
        }
        world.talk(&[(bob, TALK)], 1);
    }
    let heard = world.clients[carol].heard_of(world.clients[bob].csrc);
    assert!((35..=42).contains(&heard), "after 200 ms of DTX: {heard}");
}

#[test]
fn all_who_hold_a_slot_one_after_another_share_its_timeline() {
    let mut world = World::new(1);
    let voices: [usize; 4] = world.join_all();
    let listener = world.join(Setup { slots: 1, microphone: false, ..Setup::default() });
    for round in 0..24 {
        world.talk(&[(voices[round % 4], TALK)], 60);
        world.advance(MS * 7 * round as u32);
    }
    // Wherever the clocks of the sources began: RTP time passes as time does.
    let reports = world.clients[listener].sender_reports();
    assert!(reports.len() > 15);
    let (_, first) = reports[0];
    for (_, info) in &reports {
        let wall = (info.ntp - first.ntp) as f64 / f64::from(1u32 << 16) / f64::from(1u32 << 16) * 48_000.0;
        let rtp = f64::from(info.rtp_timestamp.wrapping_sub(first.rtp_timestamp));
        assert!((rtp - wall).abs() <= f64::from(2 * FRAME), "{rtp} ticks in {wall}");
    }
    let begins = (reports[0].1.ntp >> 32) - 2_208_988_800 - WALL_CLOCK.as_secs();
    assert!(begins <= 2 * SECOND.as_secs());
    world.assert_streams_sound();
}

#[test]
fn sender_reports_are_written_for_each_receiver_alone() {
    let mut world = World::new(8);
    let alice = world.join(Setup::default());
    let early = world.join(Setup::default());
    world.talk(&[(alice, TALK)], 100);
    let late = world.join(Setup::default());
    world.talk(&[(alice, TALK)], 150);
    let last = |client: usize| {
        let (ssrc, info) = *world.clients[client].sender_reports().last().unwrap();
        assert_eq!(ssrc, world.clients[client].slots[0].ssrc);
        info
    };
    let (early, late) = (last(early), last(late));
    assert!((200..=250).contains(&early.packets) && (100..=150).contains(&late.packets));
    assert!(early.octets == early.packets * 80 && late.octets == late.packets * 80);
}
