//! What the whole has done, and each peer.

use crate::drops::Drops;
use crate::{PeerId, RoomId};

/// Totals since the start and gauges of now.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// Rooms with at least one peer.
    pub rooms: u64,
    /// Peers, connected or not.
    pub peers: u64,
    /// Peers that may publish.
    pub sources: u64,
    /// Room slots that somebody holds.
    pub slots_held: u64,
    /// Addresses known to belong to a peer.
    pub paths: u64,
    /// Datagrams received.
    pub datagrams_in: u64,
    /// Datagrams sent.
    pub datagrams_out: u64,
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes sent.
    pub bytes_out: u64,
    /// What was dropped, by reason.
    pub drops: Drops,
}

/// One peer's row.
#[derive(Clone, Copy, Debug)]
pub struct PeerStatistics {
    /// Who.
    pub peer: PeerId,
    /// Where.
    pub room: RoomId,
    /// RTP packets accepted from it.
    pub packets_in: u64,
    /// RTP packets sent to it.
    pub packets_out: u64,
    /// Bytes of them, sealed.
    pub bytes_in: u64,
    /// Bytes of them, sealed.
    pub bytes_out: u64,
    /// Packets lost on the way to us (RFC 3550: negative with duplicates).
    pub lost: i64,
    /// Interarrival jitter of its source, seconds.
    pub jitter: f32,
    /// Round trip by its receiver reports, seconds; 0 when unknown.
    pub rtt: f32,
    /// Latest audio level, -dBov.
    pub level: u8,
    /// Path and keys are there.
    pub connected: bool,
}

impl Counters {
    /// A datagram left, if it had anything in it.
    pub(crate) fn sent(&mut self, len: usize) {
        if len > 0 {
            self.datagrams_out += 1;
            self.bytes_out += len as u64;
        }
    }
}
