//! Who holds the slots of a room, and what its receivers see of a change.

use sfu::drops::Drop;

use crate::support::client::{FRAME, Setup};
use crate::support::{MS, SECOND, World};

const TALK: u8 = 30;
/// Room tone: quieter than speech, and still a packet.
const TONE: u8 = 90;

fn csrc(world: &World, client: usize) -> u32 {
    world.clients[client].csrc
}

/// How often `client` hears `other`.
fn heard(world: &World, client: usize, other: usize) -> usize {
    world.clients[client].heard_of(csrc(world, other))
}

fn bye(world: &mut World, client: usize) {
    let ssrc = world.clients[client].ssrc;
    let sealed = world.clients[client].seal_rtcp(|writer| writer.bye(&[ssrc]).unwrap());
    world.handle(world.clients[client].path, &sealed);
}

/// Eight who talk, a ninth who wants to, and a listener.
fn full_room() -> (World, [usize; 8], usize, usize) {
    let mut world = World::new(8);
    let talkers: [usize; 8] = world.join_all();
    let [ninth, listener] = world.join_all();
    (world, talkers, ninth, listener)
}

#[test]
fn a_ninth_voice_waits_while_all_eight_holders_talk() {
    let (mut world, talkers, ninth, listener) = full_room();
    let mut voices: Vec<_> = talkers.map(|talker| (talker, TALK)).into();
    voices.push((ninth, TALK - 5));
    world.talk(&voices, 250);
    assert_eq!(heard(&world, listener, ninth), 0);
    assert_eq!(world.dropped(Drop::NoSlot), 250);
    assert!(talkers.iter().all(|talker| heard(&world, listener, *talker) == 250));
    world.assert_streams_sound();
}

#[test]
fn a_ninth_voice_takes_the_slot_of_a_holder_that_was_silent_for_200_ms() {
    let (mut world, talkers, ninth, listener) = full_room();
    world.talk(&talkers.map(|talker| (talker, TALK)), 20);
    let mut voices: Vec<_> = talkers.map(|talker| (talker, TALK)).into();
    voices[3].1 = TONE;
    voices.push((ninth, TALK));
    world.talk(&voices, 9);
    assert_eq!(heard(&world, listener, ninth), 0, "a pause inside a word");
    world.talk(&voices, 20);
    let took = heard(&world, listener, ninth);
    assert!((18..=20).contains(&took), "{took}");
    let lost = |talker| 49 - heard(&world, listener, talker);
    // In the round in which the slot changes hands both are heard.
    assert!(talkers.iter().all(|talker| lost(*talker) == if *talker == talkers[3] { took - 1 } else { 0 }));
    let (slot, _, _) = world.slot_changes(listener)[3];
    let (taken, by, at) = *world.slot_changes(listener).last().unwrap();
    assert_eq!((slot, csrc(&world, ninth)), (taken, by));
    let stream = world.clients[listener].stream(usize::from(taken));
    let first = stream.iter().find(|heard| heard.csrc == Some(by)).unwrap();
    assert!(first.header.marker && first.header.timestamp == at);
    world.assert_streams_sound();
}

#[test]
fn a_clearly_louder_voice_outranks_the_quietest_that_talks_but_not_at_once() {
    let (mut world, talkers, ninth, listener) = full_room();
    let mut voices: Vec<_> = talkers.map(|talker| (talker, TALK)).into();
    voices[5].1 = 50;
    voices.push((ninth, 20));
    world.talk(&voices, 90);
    assert_eq!(heard(&world, listener, ninth), 0, "nobody is interrupted in the first two seconds");
    world.talk(&voices, 60);
    assert!(heard(&world, listener, ninth) >= 40);
    assert!(heard(&world, listener, talkers[5]) <= 110);
    world.assert_streams_sound();
}

#[test]
fn holders_keep_their_slots_while_there_is_room() {
    let mut world = World::new(8);
    let [alice, bob, carol] = world.join_all();
    for _ in 0..10 {
        world.talk(&[(alice, TALK)], 20);
        world.talk(&[(bob, TALK), (alice, TONE)], 20);
    }
    assert_eq!(world.slot_changes(carol).len(), 2);
    assert_eq!(world.sfu.counters().slots_held, 2);
    assert_eq!(heard(&world, carol, alice), 400);
}

#[test]
fn mute_releases_the_slot_after_three_frames_of_silence_20_ms_apart() {
    let mut world = World::new(8);
    let [alice, bob] = world.join_all();
    world.talk(&[(alice, TALK)], 10);
    let muted_at = world.now;
    world.mute(alice, true);
    assert_eq!(world.sfu.counters().slots_held, 0);
    world.talk(&[(alice, TALK)], 10);
    let stream = world.clients[bob].stream(0);
    assert_eq!(stream.len(), 13);
    for (n, silence) in stream[10..].iter().enumerate() {
        assert!(silence.is_silence());
        assert_eq!(silence.at, muted_at + 20 * MS * n as u32);
        assert_eq!(silence.index, stream[9].index + 1 + n as u64);
        assert_eq!(silence.header.timestamp, stream[9].header.timestamp.wrapping_add(FRAME * (n as u32 + 1)));
    }
    assert_eq!(world.dropped(Drop::Muted), 10);
    let changes = world.slot_changes(bob);
    assert_eq!(changes.len(), 2);
    assert_eq!((changes[1].0, changes[1].1), (changes[0].0, 0));

    world.mute(alice, false);
    world.talk(&[(alice, TALK)], 10);
    assert_eq!(heard(&world, bob, alice), 20);
    world.assert_streams_sound();
    world.assert_counters_sound();
}

#[test]
fn a_mute_while_nobody_listens_does_not_speak_to_those_who_come_after() {
    let mut world = World::new(8);
    let alice = world.join(Setup::default());
    world.talk(&[(alice, TALK)], 3);
    world.mute(alice, true);
    let bob = world.join(Setup::default());
    world.advance(SECOND);
    assert!(world.clients[bob].heard.is_empty());
}

/// A receiver that finds silence ten seconds behind what it plays takes it for ten seconds of delay.
#[test]
fn silence_after_a_long_pause_is_stamped_with_the_present() {
    let mut world = World::new(8);
    let [alice, bob] = world.join_all();
    world.talk(&[(alice, TALK)], 10);
    world.advance(10 * SECOND);
    world.mute(alice, true);
    world.advance(SECOND);
    let stream = world.clients[bob].stream(0);
    assert_eq!(stream.len(), 13);
    let passed = stream[10].header.timestamp.wrapping_sub(stream[9].header.timestamp);
    assert!((48_000 * 10..=48_000 * 10 + 2 * FRAME).contains(&passed), "{passed}");
    world.assert_streams_sound();
}

#[test]
fn a_goodbye_releases_the_slot_and_a_new_word_takes_one() {
    let mut world = World::new(8);
    let [alice, bob] = world.join_all();
    world.talk(&[(alice, TALK)], 3);
    bye(&mut world, alice);
    assert_eq!(world.sfu.counters().slots_held, 0);
    world.talk(&[(alice, TALK)], 3);
    assert_eq!((world.sfu.counters().slots_held, heard(&world, bob, alice)), (1, 6));
    world.assert_streams_sound();
}

#[test]
fn who_takes_anothers_slot_hears_its_content_end_in_silence() {
    let mut world = World::new(1);
    let [alice, bob, carol] = world.join_all();
    world.talk(&[(alice, TALK)], 20);
    world.talk(&[(alice, TONE), (bob, TALK)], 20);
    assert!(heard(&world, carol, bob) > 5);
    let stream = world.clients[bob].stream(0);
    let silent: Vec<_> = stream.iter().rev().take(3).collect();
    assert!(silent.iter().all(|heard| heard.is_silence()));
    world.assert_streams_sound();
    // And it hears who comes next in it.
    world.talk(&[(bob, TONE), (alice, TALK)], 40);
    assert_eq!(world.clients[bob].stream(0).last().unwrap().csrc, Some(csrc(&world, alice)));
    assert!(world.clients[alice].stream(0).last().unwrap().is_silence());
    world.assert_streams_sound();
    world.assert_counters_sound();
}

#[test]
fn who_takes_a_slot_that_is_falling_silent_hears_the_silence_too() {
    let mut world = World::new(1);
    let [alice, bob] = world.join_all();
    world.talk(&[(alice, TALK)], 10);
    world.mute(alice, true);
    world.talk(&[(bob, TALK)], 10);
    let stream = world.clients[bob].stream(0);
    assert!(stream.last().unwrap().is_silence());
    assert_eq!(heard(&world, alice, bob), 10);
    world.assert_streams_sound();
}

#[test]
fn a_holder_in_a_pause_between_words_sends_nothing_and_keeps_its_slot() {
    let mut world = World::new(8);
    let [alice, bob, carol] = world.join_all();
    world.talk(&[(alice, TALK)], 10);
    let mut packet = world.clients[alice].speak(127);
    packet.payload = vec![0xF8];
    world.send(alice, &packet);
    world.clients[alice].pause(19);
    world.advance(400 * MS);
    world.talk(&[(alice, TALK)], 10);
    let stream = world.clients[bob].stream(0);
    assert_eq!(stream.len(), 21);
    let passed = stream[20].header.timestamp.wrapping_sub(stream[0].header.timestamp);
    assert_eq!(passed, 39 * FRAME);
    assert_eq!(world.slot_changes(carol).len(), 1);
}

#[test]
fn comfort_noise_alone_takes_no_slot() {
    let mut world = World::new(8);
    let [alice, bob] = world.join_all();
    let mut packet = world.clients[alice].speak(127);
    packet.payload = vec![0xF8];
    world.send(alice, &packet);
    assert_eq!((world.dropped(Drop::Silent), world.clients[bob].heard.len()), (1, 0));
}

#[test]
fn voices_without_levels_are_heard_and_give_way_to_each_other() {
    let mut world = World::new(1);
    let [alice, bob, carol] = std::array::from_fn(|_| world.join(Setup { sends_level: false, ..Setup::default() }));
    world.talk(&[(alice, TALK), (bob, TALK)], 20);
    assert_eq!((heard(&world, carol, alice), heard(&world, carol, bob)), (20, 0));
    world.talk(&[(bob, TALK)], 30);
    let bobs = heard(&world, carol, bob);
    assert!((19..=21).contains(&bobs), "{bobs}");
    world.assert_streams_sound();
}

#[test]
fn streams_have_no_holes_over_switches_and_mutes() {
    let mut world = World::new(2);
    let talkers: [usize; 5] = world.join_all();
    for round in 0..40 {
        let (one, two) = (talkers[round % 5], talkers[(round * 3 + 1) % 5]);
        if one != two {
            world.talk(&[(one, TALK), (two, TALK - 3)], 7);
        }
        world.mute(one, true);
        world.talk(&[(two, TALK), (one, TALK)], 1 + round % 4);
        world.mute(one, false);
        world.advance(230 * MS);
    }
    assert!(talkers.iter().all(|talker| world.clients[*talker].heard.len() > 200));
    world.assert_streams_sound();
    world.assert_counters_sound();
}

#[test]
fn a_receiver_with_fewer_streams_than_slots_hears_whoever_talks() {
    let mut world = World::new(8);
    let talkers: [usize; 4] = world.join_all();
    let thin = world.join(Setup { slots: 1, ..Setup::default() });
    let two = world.join(Setup { slots: 2, microphone: false, ..Setup::default() });
    for round in 0..60 {
        let mut voices = talkers.map(|talker| (talker, TONE));
        voices[round % 4].1 = TALK;
        // Each has a network of its own, so the rooms' timelines differ.
        world.advance(MS * (round as u32 % 13));
        world.talk(&voices, 30);
    }
    for talker in talkers {
        for receiver in [thin, two] {
            assert!(heard(&world, receiver, talker) > 100, "{talker} by {receiver}");
        }
    }
    world.assert_streams_sound();
    world.assert_counters_sound();
    let ssrcs: Vec<_> = world.clients[thin].slots.iter().map(|slot| slot.ssrc).collect();
    assert!(world.clients[thin].heard.iter().all(|heard| ssrcs.contains(&heard.header.ssrc)));
}

#[test]
fn a_thin_receiver_stays_with_a_voice_that_goes_on() {
    let mut world = World::new(8);
    let [alice, bob] = world.join_all();
    let thin = world.join(Setup { slots: 1, ..Setup::default() });
    world.talk(&[(alice, TALK)], 5);
    world.talk(&[(alice, TALK), (bob, TALK)], 100);
    assert_eq!((heard(&world, thin, alice), heard(&world, thin, bob)), (105, 0));
}

#[test]
fn when_everybody_has_left_all_gauges_are_zero() {
    let (mut world, talkers, ninth, listener) = full_room();
    world.talk(&talkers.map(|talker| (talker, TALK)), 10);
    let counters = world.sfu.counters();
    assert_eq!((counters.rooms, counters.peers, counters.sources, counters.slots_held), (1, 10, 10, 8));
    for client in talkers.into_iter().chain([ninth, listener]) {
        world.leave(client);
    }
    let counters = world.sfu.counters();
    assert_eq!((counters.rooms, counters.peers, counters.sources), (0, 0, 0));
    assert_eq!((counters.slots_held, counters.paths), (0, 0));
    world.advance(60 * SECOND);
    assert_eq!(world.sfu.poll(world.now, &mut world.sink), None, "nothing is due in an empty house");
}

#[test]
fn a_source_that_leaps_half_way_round_the_clock_stops_nobody_after_it() {
    for off in [0, 1, 500, 959, 960, 961] {
        let mut world = World::new(8);
        let [alice, bob] = world.join_all();
        let thin = world.join(Setup { slots: 1, ..Setup::default() });
        world.speak(alice, TALK);
        // Where the thin receiver's stream is then, seen from where Bob begins 300 ms later: 2^31 ticks.
        let leap = (1u32 << 31) + 300 * 48 - off;
        let now = world.clients[alice].timestamp.wrapping_sub(FRAME);
        for timestamp in [now.wrapping_add(leap / 2), now.wrapping_add(leap)] {
            world.clients[alice].timestamp = timestamp;
            world.speak(alice, TALK);
        }
        world.advance(300 * MS);
        world.talk(&[(bob, TALK)], 5);
        assert_eq!(heard(&world, thin, bob), 5);
        let stream = world.clients[thin].stream(0);
        assert!(stream.windows(2).all(|pair| pair[1].index == pair[0].index + 1));
    }
}

#[test]
fn a_late_packet_after_a_goodbye_takes_no_slot() {
    let mut world = World::new(8);
    let [alice, bob] = world.join_all();
    world.talk(&[(alice, TALK)], 3);
    let late = world.clients[alice].speak(TALK);
    world.talk(&[(alice, TALK)], 3);
    let ssrc = world.clients[alice].ssrc;
    let goodbye = world.clients[alice].seal_rtcp(|writer| writer.bye(&[ssrc]).unwrap());
    world.handle(world.clients[alice].path, &goodbye);
    world.advance(10 * MS);
    world.send(alice, &late);
    world.advance(SECOND);
    assert_eq!(world.sfu.counters().slots_held, 0);
    assert!(world.clients[bob].stream(0).last().unwrap().is_silence());
}

#[test]
fn whoever_takes_a_slot_is_named_in_the_slot_map_whatever_came_late() {
    let mut world = World::new(8);
    let [alice, bob] = world.join_all();
    let late = world.clients[alice].speak(TALK);
    for _ in 0..5 {
        let packet = world.clients[alice].quiet();
        world.send(alice, &packet);
    }
    world.send(alice, &late);
    world.talk(&[(alice, TALK)], 10);
    assert!(world.clients[bob].heard_of(world.clients[alice].csrc) >= 10);
    let changes = world.slot_changes(bob);
    assert_eq!(changes.iter().map(|change| change.1).collect::<Vec<_>>(), [world.clients[alice].csrc]);
}
