//! Who may be heard at all: checks, paths, keys, time-outs.

use sfu::drops::Drop;
use sfu::stun::{Class, IntegrityKey, Message};
use sfu::{ClosedReason, Event, Path, Rejected};

use crate::support::check::Check;
use crate::support::client::{Client, Setup};
use crate::support::{MS, SECOND, World};

fn elsewhere(last: u8) -> Path {
    Path { local: 0, remote: ([198, 51, 100, last], 4000).into() }
}

/// A check for `client`, changed by `change`, from an address that nobody has used.
fn check_changed(world: &mut World, client: usize, change: impl FnOnce(&mut Check<'_>)) {
    let transaction = world.transaction();
    let peer = &world.clients[client];
    let username = peer.username();
    let mut check = Check {
        transaction,
        username: &username,
        password: &peer.local_password,
        use_candidate: true,
        controlled: false,
        extra: None,
    };
    change(&mut check);
    let bytes = check.bytes();
    world.handle(elsewhere(1), &bytes);
}

fn closed(world: &World) -> Vec<ClosedReason> {
    let reasons = world.sink.events.iter().filter_map(|event| match event {
        Event::Closed { reason, .. } => Some(*reason),
        _ => None,
    });
    reasons.collect()
}

#[test]
fn a_check_with_the_wrong_password_leaves_no_state_and_gets_no_answer() {
    let mut world = World::new(8);
    let client = world.add(Setup::default());
    check_changed(&mut world, client, |check| check.password = "a guess");
    assert_eq!(world.received.0, 0);
    assert_eq!(world.sfu.counters().paths, 0);
    assert_eq!(world.sfu.selected_path(world.clients[client].id), None);
    assert_eq!(world.dropped(Drop::Unauthenticated), 1);
    assert!(world.sink.events.is_empty());
}

#[test]
fn a_check_for_the_ufrag_of_nobody_gets_no_answer() {
    let mut world = World::new(8);
    let client = world.add(Setup::default());
    check_changed(&mut world, client, |check| check.username = "nobody:client1");
    assert_eq!(world.dropped(Drop::UnknownPeer), 1);
    check_changed(&mut world, client, |check| check.username = "node1:somebody else");
    check_changed(&mut world, client, |check| check.username = "node1");
    check_changed(&mut world, client, |check| check.username = "");
    assert_eq!(world.dropped(Drop::Unauthenticated), 3);
    assert_eq!((world.received.0, world.sfu.counters().paths), (0, 0));
}

#[test]
fn a_check_without_integrity_gets_no_answer() {
    let mut world = World::new(8);
    world.add(Setup::default());
    let mut check = vec![0, 1, 0, 20, 0x21, 0x12, 0xA4, 0x42];
    check.extend([9; 12]);
    check.extend([0, 6, 0, 13]);
    check.extend(b"node1:client1\0\0\0");
    world.handle(elsewhere(1), &check);
    assert_eq!(world.dropped(Drop::Unauthenticated), 1);
    assert_eq!((world.received.0, world.sfu.counters().paths), (0, 0));
}

#[test]
fn a_client_that_believes_itself_controlled_is_told_487_and_leaves_no_path() {
    let mut world = World::new(8);
    let client = world.add(Setup::default());
    world.routes.insert(elsewhere(1), client);
    check_changed(&mut world, client, |check| check.controlled = true);
    let answer = world.clients[client].answers.pop().expect("an answer");
    let message = Message::parse(&answer).unwrap();
    assert_eq!((message.class(), message.error_code()), (Class::Error, Some(487)));
    assert!(message.verify(&IntegrityKey::short_term(&world.clients[client].local_password)));
    assert_eq!(world.sfu.counters().paths, 0);
}

#[test]
fn an_attribute_that_must_be_understood_and_is_not_is_told_420() {
    let mut world = World::new(8);
    let client = world.add(Setup::default());
    world.routes.insert(elsewhere(1), client);
    check_changed(&mut world, client, |check| check.extra = Some(0x7ABC));
    let answer = world.clients[client].answers.pop().expect("an answer");
    assert_eq!(Message::parse(&answer).unwrap().error_code(), Some(420));
    assert_eq!(world.sfu.counters().paths, 0);
    check_changed(&mut world, client, |check| check.extra = Some(0xC057));
    let answer = world.clients[client].answers.pop().expect("an answer");
    assert_eq!(Message::parse(&answer).unwrap().class(), Class::Success);
}

#[test]
fn a_good_check_is_answered_with_the_address_it_came_from() {
    let mut world = World::new(8);
    let client = world.add(Setup::default());
    for path in [elsewhere(7), Path { local: 1, remote: "[2001:db8::7]:9".parse().unwrap() }] {
        world.check_from(client, path, true);
        let answer = world.clients[client].answers.pop().expect("an answer");
        let message = Message::parse(&answer).unwrap();
        assert_eq!(message.class(), Class::Success);
        assert_eq!(message.xor_mapped_address(), Some(path.remote));
        assert!(message.verify(&IntegrityKey::short_term(&world.clients[client].local_password)));
    }
    assert_eq!(world.sfu.counters().paths, 2);
}

#[test]
fn reachable_and_connected_are_told_once_each() {
    let mut world = World::new(8);
    let client = world.add(Setup::default());
    let peer = world.clients[client].id;
    world.check(client, false);
    assert!(world.sink.events.is_empty());
    world.check(client, true);
    assert_eq!(world.sink.events, [Event::Reachable { peer }]);
    world.keys(client);
    world.keys(client);
    world.check(client, true);
    assert_eq!(world.sink.events, [Event::Reachable { peer }, Event::Connected { peer }]);
}

#[test]
fn a_handshake_is_passed_on_only_from_an_address_that_passed_a_check() {
    let mut world = World::new(8);
    let client = world.add(Setup::default());
    let path = world.clients[client].path;
    world.handle(path, &[22, 254, 253, 0]);
    assert!(world.sink.dtls.is_empty());
    world.check(client, false);
    world.handle(path, &[22, 254, 253, 0]);
    assert_eq!(world.sink.dtls, [(world.clients[client].id, vec![22, 254, 253, 0])]);
}

#[test]
fn an_address_that_proves_to_be_another_peers_is_taken_from_the_first() {
    let mut world = World::new(8);
    let [alice, bob, carol] = world.join_all();
    let address = world.clients[alice].path;
    world.check_from(bob, address, true);
    // Were Alice's media still sent there, Bob's client would fail to open it.
    world.talk(&[(carol, 20)], 10);
    let carols = world.clients[carol].csrc;
    assert_eq!((world.clients[alice].heard_of(carols), world.clients[bob].heard_of(carols)), (0, 10));
    assert_eq!(world.sfu.selected_path(world.clients[alice].id), None);
    // And Alice is back as soon as she is seen anywhere.
    world.check_from(alice, elsewhere(9), true);
    world.talk(&[(carol, 20)], 10);
    assert_eq!(world.clients[alice].heard_of(carols), 10);
    let reached = |event: &&Event| **event == Event::Reachable { peer: world.clients[alice].id };
    assert_eq!(world.sink.events.iter().filter(reached).count(), 1, "reachable for the first time only once");
    world.assert_streams_sound();
}

#[test]
fn a_move_to_another_address_keeps_media_both_ways() {
    let mut world = World::new(8);
    let [alice, bob] = world.join_all();
    world.talk(&[(alice, 20), (bob, 20)], 20);
    world.check_from(alice, elsewhere(3), true);
    world.talk(&[(alice, 20), (bob, 20)], 20);
    let (alices, bobs) = (world.clients[alice].csrc, world.clients[bob].csrc);
    assert_eq!(world.sfu.selected_path(world.clients[alice].id), Some(elsewhere(3)));
    assert_eq!((world.clients[alice].heard_of(bobs), world.clients[bob].heard_of(alices)), (40, 40));
    assert_eq!(world.slot_changes(bob).len(), 2, "nobody has changed slots");
    world.assert_streams_sound();
}

#[test]
fn a_check_that_does_not_nominate_moves_nothing() {
    let mut world = World::new(8);
    let alice = world.join(Setup::default());
    let nominated = world.clients[alice].path;
    world.check_from(alice, elsewhere(3), false);
    assert_eq!(world.sfu.selected_path(world.clients[alice].id), Some(nominated));
}

#[test]
fn a_client_of_many_addresses_keeps_the_nominated_one_and_a_bounded_number_of_others() {
    let mut world = World::new(8);
    let alice = world.join(Setup::default());
    let nominated = world.clients[alice].path;
    for last in 0..100 {
        world.check_from(alice, elsewhere(last), false);
    }
    assert_eq!(world.sfu.counters().paths, 8);
    assert_eq!(world.sfu.selected_path(world.clients[alice].id), Some(nominated));
    world.leave(alice);
    assert_eq!(world.sfu.counters().paths, 0);
}

#[test]
fn without_checks_consent_expires_after_30_seconds() {
    let mut world = World::new(8);
    let [alice, bob] = world.join_all();
    world.advance(60 * SECOND);
    assert!(closed(&world).is_empty());
    let last_check = world.clients[alice].next_check - 5 * SECOND;
    world.clients[alice].connected = false;
    // Media is no consent (RFC 7675 §5.1).
    while world.now < last_check + 29 * SECOND {
        world.talk(&[(alice, 20)], 1);
    }
    assert!(closed(&world).is_empty());
    world.advance(2 * SECOND + MS);
    assert_eq!(closed(&world), [ClosedReason::Consent]);
    assert_eq!(world.sfu.counters().peers, 1);
    world.speak(alice, 20);
    assert_eq!(world.dropped(Drop::UnknownPeer), 1);
    assert_eq!(world.statistics(bob).peer, world.clients[bob].id);
}

#[test]
fn without_a_handshake_a_peer_is_closed_after_30_seconds() {
    let mut world = World::new(8);
    let silent = world.add(Setup::default());
    let checks_only = world.add(Setup::default());
    let keys_only = world.add(Setup::default());
    world.keys(keys_only);
    world.clients[keys_only].connected = false;
    for _ in 0..29 {
        world.check(checks_only, true);
        world.advance(SECOND);
    }
    assert!(closed(&world).is_empty());
    world.advance(2 * SECOND);
    assert_eq!(closed(&world), [ClosedReason::Handshake; 3]);
    let counters = world.sfu.counters();
    assert_eq!((counters.peers, counters.rooms, counters.paths), (0, 0, 0));
    assert_eq!(world.sfu.selected_path(world.clients[silent].id), None);
}

#[test]
fn media_before_the_keys_is_dropped() {
    let mut world = World::new(8);
    let client = world.add(Setup::default());
    world.check(client, true);
    world.speak(client, 20);
    assert_eq!(world.dropped(Drop::NoKeys), 1);
}

#[test]
fn peers_that_could_not_be_told_apart_are_rejected() {
    let mut world = World::new(8);
    let first = world.add(Setup::default());
    let client = |number| Client::new(number, Setup::default(), world.now);
    let (again, mut same_ufrag, mut nobody) = (client(1), client(50), client(51));
    assert_eq!(world.try_add(&again), Err(Rejected::PeerExists));
    same_ufrag.local_ufrag = world.clients[first].local_ufrag.clone();
    assert_eq!(world.try_add(&same_ufrag), Err(Rejected::UfragInUse));
    nobody.csrc = 0;
    assert_eq!(world.try_add(&nobody), Err(Rejected::NoCsrc));
    let greedy = Client::new(53, Setup { slots: 33, ..Setup::default() }, world.now);
    assert_eq!(world.try_add(&greedy), Err(Rejected::TooManySlots));
    assert_eq!(world.sfu.counters().peers, 1);
}

#[test]
fn two_slots_of_one_ssrc_are_rejected_because_they_would_use_every_nonce_twice() {
    let mut world = World::new(8);
    let mut twins = Client::new(1, Setup::default(), world.now);
    twins.slots[7].ssrc = twins.slots[2].ssrc;
    assert_eq!(world.try_add(&twins), Err(Rejected::SsrcInUse));
    assert_eq!(world.sfu.counters().rooms, 0);
}

#[test]
fn a_check_that_somebody_recorded_moves_nobody() {
    let mut world = World::new(8);
    let [alice, bob] = world.join_all();
    let transaction = world.transaction();
    let client = &world.clients[alice];
    let check = Check {
        transaction,
        username: &client.username(),
        password: &client.local_password,
        use_candidate: true,
        controlled: false,
        extra: None,
    }
    .bytes();
    let path = client.path;
    world.handle(path, &check);
    world.talk(&[(alice, 20), (bob, 20)], 5);
    let elsewhere = Path { local: 0, remote: ([198, 51, 100, 66], 666).into() };
    world.routes.insert(elsewhere, alice);
    world.handle(elsewhere, &check);
    world.talk(&[(bob, 20)], 5);
    assert_eq!(world.sfu.selected_path(world.clients[alice].id), Some(path));
    assert_eq!(world.bytes_to.get(&elsewhere).copied().unwrap_or(0), 0);
}
