//! What of a voice reaches whom, and under which numbers.

use sfu::Path;
use sfu::drops::Drop;
use sfu::rtp::AudioLevel;
use sfu::srtp::Profile;

use crate::support::client::{FRAME, SILENCE, Setup};
use crate::support::{MS, SECOND, World};

/// Another port of the same client's.
fn elsewhere(world: &World, client: usize) -> Path {
    let mut path = world.clients[client].path;
    path.remote.set_port(1);
    path
}

#[test]
fn a_talker_is_heard_by_all_others_and_not_by_itself() {
    let mut world = World::new(8);
    let members: [usize; 6] = std::array::from_fn(|n| {
        let profile = if n % 2 == 0 { Profile::AeadAes128Gcm } else { Profile::AesCm128HmacSha1_80 };
        world.join(Setup { profile, ..Setup::default() })
    });
    world.talk(&[(members[0], 23)], 5);
    let csrc = world.clients[members[0]].csrc;
    assert!(world.clients[members[0]].heard.is_empty());
    for member in &members[1..] {
        let client = &world.clients[*member];
        assert_eq!(client.heard_of(csrc), 5);
        for heard in &client.heard {
            // Each under its own id, and not at all where it was not negotiated.
            let level = client.slots[0].level_extension.map(|_| AudioLevel { voice: true, level: 23 });
            assert_eq!(heard.level, level);
            assert_eq!(heard.header.ssrc, client.slots[0].ssrc);
            assert_eq!(heard.payload.len(), 80);
        }
        assert!(client.heard[0].header.marker && !client.heard[1].header.marker);
    }
    assert!(world.clients.iter().any(|client| client.slots[0].level_extension.is_none()));
    world.assert_streams_sound();
    world.assert_counters_sound();
}

#[test]
fn rooms_do_not_hear_each_other() {
    let mut world = World::new(8);
    let here = world.join(Setup::default());
    let there = world.join(Setup { room: 2, ..Setup::default() });
    world.talk(&[(here, 20)], 3);
    assert!(world.clients[there].heard.is_empty());
    assert_eq!(world.sfu.counters().rooms, 2);
}

#[test]
fn a_stream_shows_every_packet_that_the_network_lost() {
    let mut world = World::new(8);
    let [alice, bob] = world.join_all();
    for n in 0..50 {
        let packet = world.clients[alice].speak(20);
        if n % 7 != 3 {
            world.send(alice, &packet);
        }
        world.advance(20 * MS);
    }
    let stream = world.clients[bob].stream(0);
    let first = &stream[0];
    for heard in &stream {
        assert_eq!(heard.index - first.index, heard.sent_as() - first.sent_as());
        let passed = heard.header.timestamp.wrapping_sub(first.header.timestamp);
        assert_eq!(u64::from(passed), (heard.sent_as() - first.sent_as()) * u64::from(FRAME));
    }
    assert_eq!(stream.len(), 43);
}

#[test]
fn packets_out_of_order_keep_their_numbers() {
    let mut world = World::new(8);
    let [alice, bob] = world.join_all();
    world.speak(alice, 20);
    let (late, soon) = (world.clients[alice].speak(20), world.clients[alice].speak(20));
    world.send(alice, &soon);
    world.send(alice, &late);
    world.speak(alice, 20);
    let sent: Vec<_> = world.clients[bob].heard.iter().map(|heard| heard.sent_as()).collect();
    assert_eq!(sent[1], sent[2] + 1, "they arrive as they came");
    let stream = world.clients[bob].stream(0);
    assert_eq!(stream.len(), 4);
    world.assert_streams_sound();
}

#[test]
fn duplicates_are_not_forwarded() {
    let mut world = World::new(8);
    let [alice, bob] = world.join_all();
    let packet = world.clients[alice].speak(20);
    for _ in 0..3 {
        world.send(alice, &packet);
    }
    assert_eq!(world.clients[bob].heard.len(), 1);
    assert_eq!(world.dropped(Drop::Replay), 2);
}

#[test]
fn packets_from_before_a_receiver_joined_are_not_for_it() {
    let mut world = World::new(8);
    let [alice, bob] = world.join_all();
    world.talk(&[(alice, 20)], 3);
    let late = world.clients[alice].speak(20);
    world.speak(alice, 20);
    let carol = world.join(Setup::default());
    world.speak(alice, 20);
    world.send(alice, &late);
    world.speak(alice, 20);
    assert_eq!((world.clients[bob].heard.len(), world.clients[carol].heard.len()), (7, 2));
    world.assert_streams_sound();
}

#[test]
fn payload_types_that_were_not_announced_are_dropped() {
    let mut world = World::new(8);
    let [alice, bob] = world.join_all();
    let mut packet = world.clients[alice].speak(20);
    packet.payload_type = 13;
    world.send(alice, &packet);
    assert_eq!((world.dropped(Drop::UnknownSource), world.clients[bob].heard.len()), (1, 0));
    assert_eq!(world.statistics(alice).packets_in, 0);
}

#[test]
fn ssrcs_that_were_not_announced_are_dropped() {
    let mut world = World::new(8);
    let [alice, bob] = world.join_all();
    let mut packet = world.clients[alice].speak(20);
    packet.ssrc ^= 1;
    world.send(alice, &packet);
    packet.mid = Some("1");
    packet.index += 1;
    world.send(alice, &packet);
    assert_eq!((world.dropped(Drop::UnknownSource), world.clients[bob].heard.len()), (2, 0));
    world.speak(alice, 20);
    assert_eq!(world.clients[bob].heard.len(), 1);
}

#[test]
fn media_of_a_client_that_only_listens_is_dropped() {
    let mut world = World::new(8);
    let listener = world.join(Setup { microphone: false, ..Setup::default() });
    let other = world.join(Setup::default());
    world.speak(listener, 20);
    assert_eq!((world.dropped(Drop::UnknownSource), world.clients[other].heard.len()), (1, 0));
    assert_eq!(world.sfu.counters().sources, 1);
}

#[test]
fn an_ssrc_that_the_offer_did_not_name_is_bound_by_mid_or_by_payload_type() {
    for mid in [None, Some("0")] {
        let mut world = World::new(8);
        let alice = world.join(Setup { names_ssrc: false, ..Setup::default() });
        let bob = world.join(Setup::default());
        let mut packet = world.clients[alice].speak(20);
        packet.mid = mid;
        world.send(alice, &packet);
        world.speak(alice, 20);
        assert_eq!(world.clients[bob].heard.len(), 2);
        // Bound: another one is a stranger.
        let mut packet = world.clients[alice].speak(20);
        packet.ssrc ^= 1;
        world.send(alice, &packet);
        assert_eq!(world.dropped(Drop::UnknownSource), 1);
    }
}

#[test]
fn an_ssrc_change_is_bound_by_mid_and_continues_the_stream() {
    let mut world = World::new(8);
    let [alice, bob] = world.join_all();
    world.talk(&[(alice, 20)], 10);
    let client = &mut world.clients[alice];
    (client.ssrc, client.index, client.timestamp) = (0xB0B0_B0B0, 60_000, 12345);
    let mut packet = client.speak(20);
    packet.mid = Some("0");
    world.send(alice, &packet);
    world.advance(20 * MS);
    world.talk(&[(alice, 20)], 10);
    let stream = world.clients[bob].stream(0);
    assert_eq!(stream.len(), 21);
    assert!(stream[10].header.marker);
    assert!(stream.windows(2).all(|pair| pair[1].index == pair[0].index + 1));
    let steps = stream.windows(2).map(|pair| pair[1].header.timestamp.wrapping_sub(pair[0].header.timestamp));
    assert!(steps.into_iter().all(|step| step == FRAME));
    let changes = world.slot_changes(bob);
    assert_eq!(changes.len(), 2, "the content begins anew, in the same slot: {changes:?}");
    assert_eq!((changes[0].0, changes[0].1), (changes[1].0, changes[1].1));
}

#[test]
fn late_packets_of_the_ssrc_before_do_not_bring_it_back() {
    let mut world = World::new(8);
    let [alice, bob] = world.join_all();
    world.talk(&[(alice, 20)], 3);
    let mut late = world.clients[alice].speak(20);
    late.mid = Some("0");
    world.clients[alice].ssrc = 0xB0B0_B0B0;
    let mut packet = world.clients[alice].speak(20);
    packet.mid = Some("0");
    world.send(alice, &packet);
    world.send(alice, &late);
    world.talk(&[(alice, 20)], 3);
    assert_eq!((world.clients[bob].heard.len(), world.dropped(Drop::UnknownSource)), (7, 1));
    assert_eq!(world.slot_changes(bob).len(), 2);
}

#[test]
fn padding_is_taken_off_and_a_packet_of_nothing_else_is_dropped() {
    let mut world = World::new(8);
    let [alice, bob] = world.join_all();
    let mut packet = world.clients[alice].speak(20);
    packet.padding = 200;
    world.send(alice, &packet);
    assert_eq!(world.clients[bob].heard[0].payload, packet.payload);
    assert!(!world.clients[bob].heard[0].header.padding);
    let mut packet = world.clients[alice].speak(20);
    (packet.padding, packet.payload) = (200, vec![]);
    world.send(alice, &packet);
    assert_eq!((world.clients[bob].heard.len(), world.dropped(Drop::Malformed)), (1, 1));
}

#[test]
fn the_largest_payload_passes_and_a_larger_one_does_not() {
    let mut world = World::new(8);
    let alice = world.join(Setup { sends_level: false, ..Setup::default() });
    let bob = world.join(Setup::default());
    let mut packet = world.clients[alice].speak(20);
    packet.payload.resize(1460, 0x42);
    world.send(alice, &packet);
    assert_eq!(world.clients[bob].heard[0].payload, packet.payload);
    let mut packet = world.clients[alice].speak(20);
    packet.payload.resize(1461, 0x42);
    world.send(alice, &packet);
    assert_eq!((world.clients[bob].heard.len(), world.dropped(Drop::Malformed)), (1, 1));
}

#[test]
fn rollovers_of_the_source_and_of_the_stream_pass_unnoticed_with_loss() {
    let mut world = World::new(1);
    let alice = world.join(Setup::default());
    let bob = world.join(Setup { slots: 1, ..Setup::default() });
    world.clients[alice].index = 65_000;
    // The stream begins at 0x8000 or below, so it rolls over twice.
    for n in 0..140_000u32 {
        let packet = world.clients[alice].speak(20);
        // Whatever lies around a rollover is lost, and now and then some more.
        let near_rollover = (packet.index as u16).wrapping_add(5) < 10;
        if !near_rollover && n % 50 != 0 {
            world.send(alice, &packet);
        }
        if n % 50 == 0 {
            world.advance(SECOND);
        }
    }
    let stream = world.clients[bob].stream(0);
    assert!(stream.len() > 130_000);
    assert!(stream.last().unwrap().index >= 140_000);
    let shift = stream[0].index.wrapping_sub(stream[0].sent_as());
    assert!(stream.iter().all(|heard| heard.index.wrapping_sub(heard.sent_as()) == shift));
}

/// A receiver's own rollover counter follows only what arrives: were each leap shown to it, a short loss between two
/// leaps would lose it for good.
#[test]
fn a_source_that_leaps_through_its_numbers_does_not_take_its_receivers_along() {
    let mut world = World::new(8);
    let [alice, bob] = world.join_all();
    for _ in 0..20 {
        world.talk(&[(alice, 20)], 2);
        world.clients[alice].index += 20_000;
    }
    let stream = world.clients[bob].stream(0);
    assert_eq!(stream.len(), 40);
    assert!(stream.windows(2).all(|pair| pair[1].index - pair[0].index == 1));
}

#[test]
fn strangers_cannot_use_up_the_ssrcs_of_a_peer() {
    let mut world = World::new(8);
    let [alice, bob] = world.join_all();
    let path = world.clients[alice].path;
    for n in 0..1000u32 {
        let mut forged = world.clients[alice].speak(20);
        forged.ssrc = n;
        let mut sealed = world.clients[alice].seal(&forged);
        *sealed.last_mut().unwrap() ^= 1;
        world.handle(path, &sealed);
    }
    assert_eq!(world.dropped(Drop::Unauthenticated), 1000);
    world.speak(alice, 20);
    assert_eq!(world.clients[bob].heard.len(), 1);
}

#[test]
fn media_from_an_address_that_passed_no_check_and_of_nobodys_ssrc_is_dropped() {
    let mut world = World::new(8);
    let [alice, bob] = world.join_all();
    let mut packet = world.clients[alice].speak(20);
    packet.ssrc ^= 1;
    let sealed = world.clients[alice].seal(&packet);
    world.handle(elsewhere(&world, alice), &sealed);
    assert_eq!((world.dropped(Drop::UnknownPeer), world.clients[bob].heard.len()), (1, 0));
}

/// A NAT gave the client another port, and its media comes before its next check.
#[test]
fn a_voice_is_heard_at_once_from_where_its_client_has_moved() {
    let mut world = World::new(8);
    let [alice, bob] = world.join_all();
    world.talk(&[(alice, 20)], 5);
    let moved = elsewhere(&world, alice);
    world.routes.insert(moved, alice);
    world.clients[alice].path = moved;
    world.talk(&[(alice, 20)], 5);
    assert_eq!(world.clients[bob].heard.len(), 10);
    world.assert_streams_sound();
}

/// A listener at an address that nobody checked gets no more than came from there: that may be somebody else's.
#[test]
fn an_address_without_a_check_gets_no_more_than_came_from_it() {
    let mut world = World::new(8);
    let [alice, bob, carol] = world.join_all();
    world.talk(&[(alice, 20), (bob, 20), (carol, 20)], 5);
    let (before, moved) = (world.clients[alice].path, elsewhere(&world, alice));
    world.routes.insert(moved, alice);
    let mut came = 0;
    for _ in 0..50 {
        let packet = world.clients[alice].speak(20);
        let sealed = world.clients[alice].seal(&packet);
        came += sealed.len();
        world.handle(moved, &sealed);
        world.speak(bob, 20);
        world.speak(carol, 20);
    }
    let went = world.bytes_to[&moved];
    assert!(went > came / 2 && went <= came, "{went} of {came}");
    // Its next check, even one that does not nominate, says that it is the client.
    world.check_from(alice, moved, false);
    assert_eq!(world.sfu.selected_path(world.clients[alice].id), Some(moved));
    assert_ne!(before, moved);
}

#[test]
fn a_packet_that_somebody_kept_moves_nobody() {
    let mut world = World::new(8);
    let [alice, bob] = world.join_all();
    let kept = world.clients[alice].speak(20);
    let kept = world.clients[alice].seal(&kept);
    world.talk(&[(alice, 20), (bob, 20)], 5);
    // Never seen, and not the newest: it arrives, and its address gets nothing.
    world.handle(elsewhere(&world, alice), &kept);
    world.talk(&[(bob, 20)], 5);
    assert_eq!(world.clients[alice].heard_of(world.clients[bob].csrc), 10);
}

#[test]
fn one_peers_packets_do_not_pass_for_anothers() {
    let mut world = World::new(8);
    let [alice, bob, carol] = world.join_all();
    let packet = world.clients[alice].speak(20);
    let sealed = world.clients[alice].seal(&packet);
    world.handle(world.clients[bob].path, &sealed);
    assert_eq!((world.dropped(Drop::Unauthenticated), world.clients[carol].heard.len()), (1, 0));
}

#[test]
fn silence_of_the_nodes_own_names_nobody() {
    let mut world = World::new(8);
    let [alice, bob] = world.join_all();
    world.talk(&[(alice, 20)], 3);
    world.leave(alice);
    world.advance(SECOND);
    let after: Vec<_> = world.clients[bob].stream(0).split_off(3);
    assert!(after.iter().all(|heard| heard.csrc.is_none() && heard.payload == SILENCE && heard.level.is_none()));
}

#[test]
fn what_was_dropped_is_no_hole_even_when_the_packet_before_it_comes_later() {
    let mut world = World::new(8);
    let alice = world.join(Setup { red: true, ..Setup::default() });
    let bob = world.join(Setup::default());
    world.talk(&[(alice, 20)], 3);
    let late = world.clients[alice].speak(20);
    let mut broken = world.clients[alice].speak(20);
    broken.payload = vec![];
    world.send(alice, &broken);
    world.send(alice, &late);
    world.talk(&[(alice, 20)], 3);
    let stream = world.clients[bob].stream(0);
    assert!(stream.windows(2).all(|pair| pair[1].index == pair[0].index + 1), "what we dropped is no hole");
    assert_eq!(stream.len(), 7);
}

#[test]
fn who_sends_under_the_ssrc_of_another_keeps_it_from_nothing() {
    let mut world = World::new(8);
    let [alice, bob] = world.join_all();
    let mallory = world.join(Setup::default());
    world.talk(&[(alice, 20), (bob, 20)], 5);
    let ssrc = world.clients[alice].ssrc;
    world.clients[mallory].ssrc = ssrc;
    let mut packet = world.clients[mallory].speak(20);
    packet.mid = Some("0");
    world.send(mallory, &packet);
    world.leave(mallory);
    let mut moved = world.clients[alice].path;
    moved.remote.set_port(1);
    world.routes.insert(moved, alice);
    world.clients[alice].path = moved;
    world.talk(&[(alice, 20)], 5);
    assert_eq!(world.clients[bob].heard_of(world.clients[alice].csrc), 10);
}
