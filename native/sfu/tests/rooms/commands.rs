//! What is done to members: moved, deafened, ignored, restarted; and who is said to speak.

use sfu::drops::Drop;
use sfu::stun::{Class, Message};
use sfu::{Event, Path, Rejected};

use crate::support::client::Setup;
use crate::support::{MS, SECOND, World};

const TALK: u8 = 30;

fn heard(world: &World, client: usize, other: usize) -> usize {
    world.clients[client].heard_of(world.clients[other].csrc)
}

/// Who began and ceased to speak, in order.
fn speaking(world: &World) -> Vec<(u32, bool)> {
    let told = world.sink.events.iter().filter_map(|event| match *event {
        Event::Speaking { csrc, speaking, .. } => Some((csrc, speaking)),
        _ => None,
    });
    told.collect()
}

fn dominant(world: &World) -> Vec<u32> {
    let told = world.sink.events.iter().filter_map(|event| match *event {
        Event::Dominant { csrc, .. } => Some(csrc),
        _ => None,
    });
    told.collect()
}

#[test]
fn who_is_moved_is_heard_in_the_other_room_and_no_longer_in_the_first() {
    let mut world = World::new(8);
    let [alice, bob] = world.join_all();
    let carol = world.join(Setup { room: 2, ..Setup::default() });
    world.talk(&[(alice, TALK), (carol, TALK)], 10);
    world.move_to(alice, 2);
    world.talk(&[(alice, TALK), (bob, TALK), (carol, TALK)], 10);
    assert_eq!((heard(&world, bob, alice), heard(&world, carol, alice)), (10, 10));
    assert_eq!((heard(&world, alice, carol), heard(&world, alice, bob)), (10, 0));
    // Bob hears that she is gone as after any release, Alice goes on in the same streams.
    let stream = world.clients[bob].stream(0);
    assert!(stream[10..].iter().all(|heard| heard.is_silence()) && stream.len() == 13);
    assert_eq!(world.sfu.counters().rooms, 2);
    world.move_to(bob, 2);
    assert_eq!(world.sfu.counters().rooms, 1);
    world.assert_streams_sound();
    world.assert_counters_sound();
}

#[test]
fn who_is_moved_in_the_middle_of_a_word_hears_it_end_in_silence() {
    let mut world = World::new(8);
    let [alice, bob] = world.join_all();
    let carol = world.join(Setup { room: 2, ..Setup::default() });
    world.talk(&[(alice, TALK), (carol, TALK)], 10);
    world.move_to(bob, 2);
    let stream = world.clients[bob].stream(0);
    assert!(stream.len() == 13 && stream[10..].iter().all(|heard| heard.is_silence()));
    for _ in 0..5 {
        world.move_to(bob, 1);
        world.talk(&[(alice, TALK), (carol, TALK)], 10);
        world.move_to(bob, 2);
        world.talk(&[(alice, TALK), (carol, TALK)], 10);
    }
    assert_eq!((heard(&world, bob, alice), heard(&world, bob, carol)), (60, 50));
    world.assert_streams_sound();
}

#[test]
fn a_deafened_member_is_sent_nothing_and_is_heard() {
    let mut world = World::new(8);
    let [alice, bob, carol] = world.join_all();
    world.talk(&[(alice, TALK)], 10);
    world.deafen(bob, true);
    let silenced = world.clients[bob].heard.len();
    assert_eq!(silenced, 13, "what it heard ends in silence");
    world.talk(&[(alice, TALK), (bob, TALK)], 10);
    assert_eq!(world.clients[bob].heard.len(), silenced);
    assert_eq!(heard(&world, carol, bob), 10);
    world.deafen(bob, false);
    world.talk(&[(alice, TALK)], 10);
    assert_eq!(heard(&world, bob, alice), 20);
    world.assert_streams_sound();
    world.assert_counters_sound();
}

#[test]
fn whom_somebody_ignores_all_others_hear() {
    let mut world = World::new(8);
    let [alice, bob, carol] = world.join_all();
    world.talk(&[(alice, TALK), (carol, TALK)], 10);
    let alices = world.clients[alice].csrc;
    world.ignore(bob, &[alices, 0xDEAD]);
    world.talk(&[(alice, TALK), (carol, TALK)], 10);
    assert_eq!((heard(&world, bob, alice), heard(&world, carol, alice)), (10, 20));
    assert_eq!(heard(&world, bob, carol), 20);
    world.ignore(bob, &[]);
    world.talk(&[(alice, TALK), (carol, TALK)], 10);
    assert_eq!(heard(&world, bob, alice), 20);
    world.assert_streams_sound();
}

#[test]
fn an_ice_restart_keeps_media_flowing_and_the_old_credentials_until_the_new_are_nominated() {
    let mut world = World::new(8);
    let [alice, bob] = world.join_all();
    let before = world.clients[alice].username();
    let password = world.clients[alice].local_password.clone();
    world.talk(&[(alice, TALK), (bob, TALK)], 5);
    world.restart_ice(alice).unwrap();
    world.talk(&[(alice, TALK), (bob, TALK)], 5);
    let old = |world: &mut World| {
        let transaction = world.transaction();
        let check = crate::support::check::Check {
            transaction,
            username: &before,
            password: &password,
            use_candidate: false,
            controlled: false,
            extra: None,
        };
        let (path, bytes) = (world.clients[alice].path, check.bytes());
        let answers = world.clients[alice].answers.len();
        world.handle(path, &bytes);
        world.clients[alice].answers.len() - answers
    };
    assert_eq!(old(&mut world), 1, "they still count");
    // From another address, as a client does that has changed its network.
    let moved = Path { local: 0, remote: ([198, 51, 100, 77], 4242).into() };
    world.check_from(alice, moved, false);
    assert_eq!(old(&mut world), 1, "until the client nominates");
    world.check_from(alice, moved, true);
    let answer = world.clients[alice].answers.last().unwrap();
    assert_eq!(Message::parse(answer).unwrap().class(), Class::Success);
    assert_eq!(old(&mut world), 0);
    assert_eq!(world.dropped(Drop::UnknownPeer), 1);
    world.talk(&[(alice, TALK), (bob, TALK)], 5);
    assert_eq!((heard(&world, alice, bob), heard(&world, bob, alice)), (15, 15));
    assert_eq!(world.sfu.selected_path(world.clients[alice].id), Some(moved));
    world.assert_streams_sound();
    world.leave(alice);
    assert_eq!(world.sfu.counters().paths, 1);
}

#[test]
fn a_restart_replaces_one_that_was_not_completed_and_leaves_nothing_behind() {
    let mut world = World::new(8);
    let alice = world.join(Setup::default());
    for _ in 0..100 {
        world.restart_ice(alice).unwrap();
    }
    world.check(alice, true);
    assert_eq!(world.sfu.selected_path(world.clients[alice].id), Some(world.clients[alice].path));
    world.leave(alice);
    assert_eq!(world.restart_ice(alice), Err(Rejected::NoSuchPeer));
    // Every fragment it ever had is free again.
    for restarts in 1..=100 {
        let mut again = crate::support::client::Client::new(50 + restarts, Setup::default(), world.now);
        again.local_ufrag = format!("node1again{restarts}");
        world.try_add(&again).unwrap();
    }
}

#[test]
fn of_silence_a_few_packets_pass_and_then_nothing_until_somebody_speaks() {
    let mut world = World::new(8);
    let [alice, bob] = world.join_all();
    world.talk(&[(alice, TALK)], 10);
    for _ in 0..20 {
        let packet = world.clients[alice].quiet();
        world.send(alice, &packet);
        world.clients[alice].pause(19);
        world.advance(400 * MS);
    }
    assert_eq!(world.clients[bob].heard.len(), 13);
    assert_eq!(world.dropped(Drop::Silent), 17);
    world.talk(&[(alice, TALK)], 10);
    let stream = world.clients[bob].stream(0);
    assert_eq!(stream.len(), 23);
    assert!(stream.windows(2).all(|pair| pair[1].index == pair[0].index + 1), "what we left out is no loss");
    assert!(stream[13].header.marker);
    let passed = stream[13].header.timestamp.wrapping_sub(stream[0].header.timestamp);
    assert_eq!(passed, (10 + 20 * 20) * 960, "and time has passed as it did for her");
    assert_eq!(world.slot_changes(bob).len(), 1);
    world.assert_streams_sound();
}

#[test]
fn a_muted_microphone_that_sends_digital_silence_costs_its_receivers_nothing() {
    let mut world = World::new(8);
    let [alice, bob] = world.join_all();
    world.talk(&[(alice, TALK)], 5);
    world.talk(&[(alice, 127)], 500);
    assert_eq!(world.clients[bob].heard.len(), 8);
    world.talk(&[(alice, TALK)], 5);
    assert_eq!(world.clients[bob].heard.len(), 13);
    world.assert_streams_sound();
}

#[test]
fn intentional_gaps_are_not_counted_as_loss() {
    let mut world = World::new(8);
    let [alice, bob] = world.join_all();
    for round in 0..6 {
        world.talk(&[(alice, TALK)], 20);
        match round % 3 {
            0 => world.talk(&[(alice, 127)], 20),
            1 => {
                world.clients[alice].pause(50);
                world.advance(SECOND);
            }
            _ => {
                world.mute(alice, true);
                world.talk(&[(alice, TALK)], 20);
                world.mute(alice, false);
            }
        }
    }
    world.advance(2 * SECOND);
    let stream = world.clients[bob].stream(0);
    assert!(stream.windows(2).all(|pair| pair[1].index == pair[0].index + 1), "no receiver counts any");
    let blocks = world.clients[alice].report_blocks();
    assert!(!blocks.is_empty() && blocks.iter().all(|block| block.cumulative_lost == 0 && block.fraction_lost == 0));
    world.assert_streams_sound();
}

#[test]
fn who_speaks_is_told_once_when_it_begins_and_once_when_it_is_over() {
    let mut world = World::new(8);
    let [alice, bob] = world.join_all();
    let (alices, bobs) = (world.clients[alice].csrc, world.clients[bob].csrc);
    world.talk(&[(alice, TALK)], 2);
    world.talk(&[(alice, 90)], 60);
    assert_eq!(speaking(&world), [], "a click is no speech");
    world.talk(&[(alice, TALK)], 50);
    world.talk(&[(alice, 90)], 10);
    world.talk(&[(alice, TALK)], 50);
    assert_eq!(speaking(&world), [(alices, true)], "a pause between words ends nothing");
    world.talk(&[(alice, TALK), (bob, TALK)], 50);
    world.talk(&[(alice, 90), (bob, TALK)], 50);
    world.mute(bob, true);
    assert_eq!(speaking(&world), [(alices, true), (bobs, true), (alices, false), (bobs, false)]);
    world.advance(5 * SECOND);
    assert_eq!(speaking(&world).len(), 4);
}

#[test]
fn the_dominant_speaker_changes_only_for_somebody_louder_for_a_while() {
    let mut world = World::new(8);
    let [alice, bob] = world.join_all();
    let (alices, bobs) = (world.clients[alice].csrc, world.clients[bob].csrc);
    world.talk(&[(alice, TALK)], 50);
    assert_eq!(dominant(&world), [alices]);
    world.talk(&[(alice, TALK), (bob, TALK - 3)], 100);
    assert_eq!(dominant(&world), [alices], "a little louder is not enough");
    world.talk(&[(alice, TALK), (bob, TALK - 20)], 5);
    world.talk(&[(alice, TALK), (bob, TALK)], 50);
    assert_eq!(dominant(&world), [alices], "nor is a short shout");
    world.talk(&[(alice, TALK), (bob, TALK - 20)], 100);
    assert_eq!(dominant(&world), [alices, bobs]);
    world.talk(&[(alice, 90), (bob, 90)], 100);
    assert_eq!(dominant(&world), [alices, bobs], "silence keeps who was last");
    world.talk(&[(alice, TALK), (bob, 90)], 100);
    assert_eq!(dominant(&world), [alices, bobs, alices]);
    world.leave(alice);
    assert_eq!(dominant(&world), [alices, bobs, alices, 0]);
}

#[test]
fn who_loses_its_slot_to_another_ceases_to_speak() {
    let mut world = World::new(1);
    let [alice, bob] = world.join_all();
    let (alices, bobs) = (world.clients[alice].csrc, world.clients[bob].csrc);
    world.talk(&[(alice, TALK)], 20);
    world.talk(&[(bob, TALK)], 100);
    let told = speaking(&world);
    assert!(told.contains(&(alices, false)), "{told:?}");
    world.leave(bob);
    world.advance(SECOND);
    assert_eq!(speaking(&world).last(), Some(&(bobs, false)));
}

#[test]
fn who_is_outranked_in_the_middle_of_a_sentence_ceases_to_speak() {
    let mut world = World::new(1);
    let [alice, bob] = world.join_all();
    world.talk(&[(alice, 50)], 120);
    world.talk(&[(alice, 50), (bob, 20)], 60);
    assert_eq!(world.slot_changes(bob).last().unwrap().1, world.clients[bob].csrc);
    world.talk(&[(bob, 20)], 100);
    let told = speaking(&world);
    assert!(told.contains(&(world.clients[alice].csrc, false)), "{told:?}");
}

#[test]
fn who_ignores_the_next_in_a_slot_hears_the_one_before_end_in_silence() {
    let mut world = World::new(1);
    let [alice, bob, carol] = world.join_all();
    world.ignore(carol, &[world.clients[bob].csrc]);
    world.talk(&[(alice, TALK)], 20);
    world.talk(&[(alice, 90), (bob, TALK)], 20);
    assert!(heard(&world, alice, bob) > 5);
    let stream = world.clients[carol].stream(0);
    assert!(stream.iter().rev().take(3).all(|heard| heard.is_silence()));
    world.talk(&[(alice, TALK), (bob, 90)], 40);
    assert_eq!(world.clients[carol].stream(0).last().unwrap().csrc, Some(world.clients[alice].csrc));
    world.assert_streams_sound();
}
