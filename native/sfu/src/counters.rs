//! What the whole has done.

use crate::drops::Drops;

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
    /// Cameras and screens that may be watched here.
    pub videos: u64,
    /// Bytes of video kept for those who miss some.
    pub video_cache: u64,
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
    /// Packets sent once more to who missed them.
    pub resent: u64,
    /// Key frames that publishers were asked for.
    pub key_frames_asked: u64,
    /// What was dropped, by reason.
    pub drops: Drops,
}

impl Counters {
    /// Those of another worker, too.
    pub fn add(&mut self, other: &Counters) {
        for (mine, theirs) in [
            (&mut self.rooms, other.rooms),
            (&mut self.peers, other.peers),
            (&mut self.sources, other.sources),
            (&mut self.slots_held, other.slots_held),
            (&mut self.videos, other.videos),
            (&mut self.video_cache, other.video_cache),
            (&mut self.paths, other.paths),
            (&mut self.datagrams_in, other.datagrams_in),
            (&mut self.datagrams_out, other.datagrams_out),
            (&mut self.bytes_in, other.bytes_in),
            (&mut self.bytes_out, other.bytes_out),
            (&mut self.resent, other.resent),
            (&mut self.key_frames_asked, other.key_frames_asked),
        ] {
            *mine += theirs;
        }
        self.drops.add(&other.drops);
    }

    /// A datagram left, if it had anything in it.
    pub(crate) fn sent(&mut self, len: usize) {
        if len > 0 {
            self.datagrams_out += 1;
            self.bytes_out += len as u64;
        }
    }
}
