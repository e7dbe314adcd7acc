//! How it goes: one table of all peers, their sources and their slots.

use crate::counters::Counters;
use crate::sfu::Sfu;
use crate::{PeerId, RoomId};

/// What a row is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RowKind {
    /// A peer: its totals.
    Peer = 0,
    /// What it publishes.
    Source = 1,
    /// One stream to it; those that never sent have no row.
    Slot = 2,
    /// An encoding of a camera or screen that it publishes; those that never sent have no row.
    Encoding = 3,
    /// One stream of video to it; those that never sent have no row.
    VideoSlot = 4,
}

/// One row. What its kind has no use for is 0.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// About what.
    pub kind: RowKind,
    /// Index of the slot, or of the encoding.
    pub slot: u8,
    /// Whose.
    pub peer: PeerId,
    /// Where.
    pub room: RoomId,
    /// As whom a source is heard; who is heard in a slot.
    pub csrc: u32,
    /// RTP packets accepted from it.
    pub packets_in: u64,
    /// RTP packets sent to it.
    pub packets_out: u64,
    /// Bytes of them, sealed.
    pub bytes_in: u64,
    /// Bytes of them: sealed in a peer's row, payload in a slot's.
    pub bytes_out: u64,
    /// Packets lost: of a source on the way to us (RFC 3550: negative with duplicates), of a slot as its receiver says.
    pub lost: i64,
    /// Interarrival jitter of a source, seconds.
    pub jitter: f32,
    /// Round trip by its receiver reports, seconds; 0 when unknown.
    pub rtt: f32,
    /// Latest audio level of a source, -dBov; 127 for anything else.
    pub level: u8,
    /// Path and keys are there.
    pub connected: bool,
}

impl Sfu {
    /// A snapshot.
    pub fn counters(&self) -> Counters {
        Counters {
            rooms: self.rooms.values().filter(|room| room.home == self.settings.worker).count() as u64,
            peers: self.peers.len() as u64,
            sources: self.peers.values().map(|peer| peer.sources().count()).sum::<usize>() as u64,
            slots_held: self.voices.values().filter(|voice| voice.slot.is_some()).count() as u64,
            videos: self.tracks.len() as u64,
            video_cache: self.tracks.values().map(|track| track.memory() as u64).sum(),
            paths: self.by_path.len() as u64,
            ..self.counters.clone()
        }
    }

    /// Every row, appended to `rows`.
    pub fn statistics(&self, rows: &mut Vec<Row>) {
        for peer in self.peers.values() {
            let of_peer = Row {
                kind: RowKind::Peer,
                slot: 0,
                peer: peer.id,
                room: self.rooms[peer.room].id,
                csrc: 0,
                packets_in: peer.traffic.packets_in,
                packets_out: peer.traffic.packets_out,
                bytes_in: peer.traffic.bytes_in,
                bytes_out: peer.traffic.bytes_out,
                lost: 0,
                jitter: 0.0,
                rtt: peer.rtt,
                level: 127,
                connected: peer.connected,
            };
            rows.push(of_peer);
            rows.extend(peer.sources().map(|source| Row {
                kind: RowKind::Source,
                csrc: source.csrc(),
                packets_out: 0,
                bytes_out: 0,
                lost: source.reception.lost(),
                jitter: source.reception.jitter(),
                rtt: 0.0,
                level: source.level,
                ..of_peer
            }));
            let published = peer.upstream.iter().flat_map(|upstream| &upstream.published);
            let inputs =
                published.flat_map(|each| each.inputs.iter().enumerate().map(|input| (each.config.csrc, input)));
            let begun = inputs.filter(|(_, (_, input))| input.reception.has_begun());
            rows.extend(begun.map(|(csrc, (encoding, input))| Row {
                kind: RowKind::Encoding,
                slot: encoding as u8,
                csrc,
                packets_in: input.reception.packets(),
                bytes_in: 0,
                packets_out: 0,
                bytes_out: 0,
                lost: input.reception.lost(),
                jitter: input.reception.jitter(),
                rtt: 0.0,
                ..of_peer
            }));
            let streams = peer.video.iter().flat_map(|video| video.streams.iter().enumerate());
            rows.extend(streams.filter(|(_, stream)| stream.packets > 0).map(|(slot, stream)| Row {
                kind: RowKind::VideoSlot,
                slot: slot as u8,
                csrc: stream.told.csrc,
                packets_in: 0,
                bytes_in: 0,
                packets_out: u64::from(stream.packets),
                bytes_out: u64::from(stream.octets),
                lost: i64::from(stream.lost),
                rtt: 0.0,
                ..of_peer
            }));
            let sent = peer.receiver.streams.iter().enumerate().filter(|(_, stream)| stream.packets > 0);
            rows.extend(sent.map(|(slot, stream)| Row {
                kind: RowKind::Slot,
                slot: slot as u8,
                csrc: stream.csrc(),
                packets_in: 0,
                bytes_in: 0,
                packets_out: u64::from(stream.packets),
                bytes_out: u64::from(stream.octets),
                lost: i64::from(stream.lost),
                rtt: 0.0,
                ..of_peer
            }));
        }
    }
}
