//! Packets sent again to who missed them (RFC 4585 §6.2.1), and redundancy that sources send by themselves (RFC 2198).

use sfu::srtp::Profile;

use crate::support::client::{RED, Rtp, Setup};
use crate::support::{MS, World};

const TALK: u8 = 30;

fn asks() -> Setup {
    Setup { nack: true, ..Setup::default() }
}

fn redundant() -> Setup {
    Setup { red: true, ..Setup::default() }
}

/// The sequence number of the `n`th packet of the first slot.
fn sequence(world: &World, client: usize, n: usize) -> u16 {
    world.clients[client].stream(0)[n].index as u16
}

#[test]
fn what_a_client_asks_for_comes_again_byte_for_byte() {
    for profile in [Profile::AeadAes128Gcm, Profile::AesCm128HmacSha1_80] {
        let mut world = World::new(8);
        let alice = world.join(Setup::default());
        let bob = world.join(Setup { profile, ..asks() });
        world.talk(&[(alice, TALK)], 30);
        // The first of them, and every second of the sixteen after it.
        world.ask(bob, 0, sequence(&world, bob, 10), 0x5555);
        assert_eq!(world.clients[bob].resent.len(), 9);
        assert_eq!(world.sfu.counters().resent, 9);
        assert_eq!(world.audit.resent, 9, "the same bytes as before");
        world.talk(&[(alice, TALK)], 5);
        assert_eq!(world.clients[bob].heard.len(), 35);
        world.assert_streams_sound();
    }
}

#[test]
fn the_first_packet_of_a_content_comes_again_with_its_marker() {
    let mut world = World::new(8);
    let alice = world.join(Setup::default());
    let bob = world.join(asks());
    world.talk(&[(alice, TALK)], 3);
    world.mute(alice, true);
    world.talk(&[(alice, TALK)], 5);
    world.mute(alice, false);
    world.talk(&[(alice, TALK)], 3);
    let begins = world.clients[bob].stream(0).iter().rposition(|heard| heard.header.marker).unwrap();
    assert_eq!(begins, 6);
    world.ask(bob, 0, sequence(&world, bob, begins), 0);
    assert_eq!(world.clients[bob].resent.len(), 1);
}

#[test]
fn what_was_never_sent_is_not_sent_again() {
    let mut world = World::new(8);
    let alice = world.join(Setup::default());
    let bob = world.join(asks());
    world.talk(&[(alice, TALK)], 3);
    let lost = world.clients[alice].speak(TALK);
    world.talk(&[(alice, TALK)], 3);
    let (first, last) = (sequence(&world, bob, 0), sequence(&world, bob, 5));
    world.ask(bob, 0, first.wrapping_sub(17), 0xFFFF); // before the content began
    world.ask(bob, 0, last.wrapping_add(1), 0xFFFF); // not yet
    world.ask(bob, 0, last.wrapping_add(0x8000), 0xFFFF);
    world.ask(bob, 0, first.wrapping_add(3), 0); // lost on the way to the node
    world.ask(bob, 1, first, 0xFFFF); // another slot
    assert_eq!(world.clients[bob].resent.len(), 0);
    // What was late is there now.
    world.send(alice, &lost);
    world.advance(20 * MS);
    world.ask(bob, 0, first.wrapping_add(3), 0);
    assert_eq!(world.clients[bob].resent.len(), 1);
    world.assert_streams_sound();
}

#[test]
fn nobody_is_sent_anything_again_that_did_not_say_so_in_its_offer() {
    let mut world = World::new(8);
    let [alice, bob] = world.join_all();
    let other = world.join(asks());
    world.talk(&[(alice, TALK)], 3);
    world.ask(bob, 0, sequence(&world, bob, 0), 0xFFFF);
    assert_eq!((world.clients[bob].resent.len(), world.clients[other].resent.len()), (0, 0));
}

#[test]
fn repeated_requests_are_answered_once_and_all_together_are_bounded() {
    let mut world = World::new(8);
    let alice = world.join(Setup::default());
    let bob = world.join(asks());
    world.talk(&[(alice, TALK)], 40);
    let first = sequence(&world, bob, 0);
    for _ in 0..50 {
        world.ask(bob, 0, first, 0);
    }
    assert_eq!(world.clients[bob].resent.len(), 1);
    for n in 0..1000u16 {
        world.ask(bob, 0, first.wrapping_add(n % 40), 0xFFFF);
    }
    assert!(world.clients[bob].resent.len() <= 26, "{}", world.clients[bob].resent.len());
}

#[test]
fn silence_and_what_was_before_it_are_not_sent_again_once_the_content_is_over() {
    let mut world = World::new(8);
    let alice = world.join(Setup::default());
    let bob = world.join(asks());
    world.talk(&[(alice, TALK)], 10);
    world.mute(alice, true);
    world.advance(200 * MS);
    world.ask(bob, 0, sequence(&world, bob, 2), 0xFFFF);
    world.mute(alice, false);
    world.talk(&[(alice, TALK)], 10);
    world.ask(bob, 0, sequence(&world, bob, 2), 0xFFFF);
    // All that may come again is from the present content.
    let present = world.clients[bob].stream(0).iter().rposition(|heard| heard.header.marker).unwrap();
    assert!(world.clients[bob].resent.len() <= world.clients[bob].stream(0).len() - present);
    world.assert_streams_sound();
}

#[test]
fn red_passes_to_who_takes_it_and_is_stripped_for_who_does_not() {
    let mut world = World::new(8);
    let alice = world.join(redundant());
    let takes = world.join(Setup { nack: true, ..redundant() });
    let plain = world.join(asks());
    let mut sent: Vec<Rtp> = Vec::new();
    for _ in 0..20 {
        let opus = world.clients[alice].peek(TALK);
        let before: Vec<_> = sent.iter().rev().take(2).rev().collect();
        let packet = world.clients[alice].speak_red(TALK, &before);
        world.send(alice, &packet);
        world.advance(20 * MS);
        sent.push(opus);
    }
    let (with, without) = (world.clients[takes].stream(0), world.clients[plain].stream(0));
    assert_eq!((with.len(), without.len()), (20, 20));
    for (n, opus) in sent.iter().enumerate() {
        assert_eq!((without[n].red.is_none(), &without[n].payload), (true, &opus.payload));
        assert_eq!(with[n].frame(), opus.payload);
        // Nothing reaches back before the first packet of the content.
        let blocks = with[n].red.as_ref().map(|red| red.blocks);
        assert_eq!(blocks, Some(n.min(2)), "packet {n}");
        assert_eq!(with[n].header.payload_type, RED);
    }
    // And again, byte for byte, in either form.
    for client in [takes, plain] {
        world.ask(client, 0, sequence(&world, client, 5), 0x00FF);
        assert_eq!(world.clients[client].resent.len(), 9);
    }
    world.assert_streams_sound();
}

#[test]
fn after_a_switch_redundancy_that_reaches_back_before_it_is_stripped() {
    let mut world = World::new(1);
    let [alice, bob, carol] = std::array::from_fn(|_| world.join(redundant()));
    world.talk(&[(alice, TALK)], 20);
    // Alice is silent, Bob talks: what he said before he took the slot is not for it.
    let mut sent: Vec<Rtp> = Vec::new();
    for _ in 0..30 {
        let opus = world.clients[bob].peek(TALK);
        let before: Vec<_> = sent.iter().rev().take(2).rev().collect();
        let packet = world.clients[bob].speak_red(TALK, &before);
        world.send(bob, &packet);
        world.advance(20 * MS);
        sent.push(opus);
    }
    let bobs = world.clients[bob].csrc;
    let heard: Vec<_> = world.clients[carol].stream(0).into_iter().filter(|heard| heard.csrc == Some(bobs)).collect();
    let blocks: Vec<_> = heard.iter().take(4).map(|heard| heard.red.as_ref().map_or(0, |red| red.blocks)).collect();
    assert_eq!(blocks, [0, 0, 2, 2]);
    assert!(heard.len() > 15 && heard[0].header.marker);
    world.assert_streams_sound();
}

#[test]
fn red_of_something_else_than_opus_is_dropped_and_is_no_hole() {
    let mut world = World::new(8);
    let alice = world.join(redundant());
    let bob = world.join(redundant());
    world.talk(&[(alice, TALK)], 3);
    for payload in [vec![], vec![0x6E, 1, 2, 3], vec![0xEF, 0x0F, 0xFF, 0xFF, 0x6F], vec![0xEF; 200]] {
        let mut packet = world.clients[alice].speak(TALK);
        (packet.payload, packet.payload_type) = (payload, RED);
        world.send(alice, &packet);
        world.advance(20 * MS);
    }
    world.talk(&[(alice, TALK)], 3);
    let stream = world.clients[bob].stream(0);
    assert_eq!(stream.len(), 6);
    assert!(stream.windows(2).all(|pair| pair[1].index == pair[0].index + 1), "what we dropped is no hole");
}

#[test]
fn red_that_is_broken_is_no_hole() {
    let mut world = World::new(8);
    let alice = world.join(Setup { red: true, ..Setup::default() });
    let bob = world.join(Setup::default());
    world.talk(&[(alice, TALK)], 3);
    for payload in [vec![0x6E, 1, 2, 3], vec![0xEF; 200]] {
        let mut packet = world.clients[alice].speak(TALK);
        (packet.payload, packet.payload_type) = (payload, RED);
        world.send(alice, &packet);
        world.talk(&[(alice, TALK)], 3);
    }
    let stream = world.clients[bob].stream(0);
    assert!(stream.windows(2).all(|pair| pair[1].index == pair[0].index + 1), "what we dropped is no hole");
    assert_eq!(stream.len(), 9);
}

#[test]
fn requests_for_what_the_node_never_had_cost_no_answers() {
    let mut world = World::new(8);
    let alice = world.join(Setup::default());
    let bob = world.join(Setup { nack: true, ..Setup::default() });
    world.talk(&[(alice, TALK)], 5);
    let mut lost = Vec::new();
    for _ in 0..30 {
        lost.push(world.clients[bob].stream(0).last().unwrap().index as u16 + 1);
        world.clients[alice].speak(TALK);
        world.talk(&[(alice, TALK)], 1);
    }
    for sequence in &lost {
        world.ask(bob, 0, *sequence, 0);
    }
    world.ask(bob, 0, lost[20] + 1, 0);
    assert_eq!(world.clients[bob].resent.len(), 1);
}
