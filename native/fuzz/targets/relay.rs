//! Between workers: no bytes that could come out of a ring make a worker panic, whether it is a room's home or not.
#![no_main]

use std::time::{Duration, Instant};

use sfu::drops::Drop;
use sfu::{
    Event, MAX_DATAGRAM, MAX_RELAY, Note, Output, Path, PeerConfig, PeerId, Placement, RoomId, Settings, Sfu,
    SlotConfig, SourceConfig, WorkerId, WorkerSet,
};

/// Does everything, and keeps nothing.
struct Discard;

impl Output for Discard {
    fn send(&mut self, _to: Path, fill: impl FnOnce(&mut [u8; MAX_DATAGRAM]) -> usize) {
        assert!(fill(&mut [0; MAX_DATAGRAM]) <= MAX_DATAGRAM);
    }

    fn dtls(&mut self, _peer: PeerId, _datagram: &[u8]) {}

    fn event(&mut self, _event: Event) {}

    fn relay(&mut self, _to: WorkerSet, fill: impl FnOnce(&mut [u8; MAX_RELAY]) -> usize) {
        assert!(fill(&mut [0; MAX_RELAY]) <= MAX_RELAY);
    }

    fn note(&mut self, _to: WorkerId, _note: Note) {}
}

/// Payloads that passed a source's worker are no larger.
const MAX_PAYLOAD: usize = 1400;

fn peer(number: u32) -> PeerConfig {
    PeerConfig {
        screen_sound: None,
            video: None,
            local_ufrag: format!("node{number}"),
        local_password: "a password".into(),
        remote_ufrag: "client".into(),
        remote_password: String::new(),
        source: Some(SourceConfig {
            csrc: number,
            mid: "0".into(),
            payload_type: 111,
            red_payload_type: Some(63),
            ssrc: Some(number),
            level_extension: Some(1),
            mid_extension: Some(2),
        }),
        slots: (0..2)
            .map(|slot| SlotConfig {
                ssrc: 100 * number + slot,
                payload_type: 96,
                red_payload_type: Some(97),
                nack: true,
                level_extension: Some(3),
            })
            .collect(),
        cname: String::new(),
    }
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut now = Instant::now();
    let settings = Settings { worker: WorkerId(0), audio_slots: 2, seed: 1, timeline: 2, wall_clock: Duration::ZERO };
    let mut sfu = Sfu::new(settings, now);
    // Room 0 is at home here, room 1 elsewhere; each has a member here and, at home, one elsewhere.
    for number in 0..2 {
        let placement = Placement { room: RoomId(number), home: WorkerId(number as u8) };
        let added = sfu.add_peer(now, placement, PeerId(number), peer(1 + number as u32), &mut Discard);
        added.expect("a peer like any other");
    }
    for note in [Note::Subscribe { room: RoomId(0) }, Note::Enter { room: RoomId(0), peer: PeerId(9), csrc: 9 }] {
        sfu.noted(now, WorkerId(1), note, &mut Discard);
    }
    let mut rest = data;
    while let Some((len, after)) = rest.split_first() {
        let (bytes, after) = after.split_at(after.len().min(usize::from(*len) * 6));
        rest = after;
        now += Duration::from_millis(5);
        sfu.relayed(now, &bytes[..bytes.len().min(MAX_PAYLOAD)], &mut Discard);
        // Bytes that begin like a packet of the guest's, or like one from the home of room 1.
        for (forward, room, peer, csrc) in [(0x00, 0, 9, 9u32), (0x01, 1, 0, 9)] {
            let Some((head, payload)) = bytes.split_first_chunk::<4>() else { continue };
            let mut packet = head.to_vec();
            packet[0] = packet[0] & !1 | forward;
            packet[1] %= 4;
            packet.extend(u64::to_be_bytes(room));
            packet.extend(u64::to_be_bytes(peer));
            packet.extend(csrc.to_be_bytes());
            packet.extend(payload);
            packet.truncate(MAX_PAYLOAD);
            sfu.relayed(now, &packet, &mut Discard);
        }
        sfu.poll(now, &mut Discard);
    }
    assert_eq!(sfu.counters().drops.get(Drop::Unauthenticated), 0);
    assert!(sfu.counters().slots_held <= 2);
});
