use std::time::Duration;

/// What became of a camera's video.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CameraStatistics {
    /// Frames of all encodings.
    pub frames: u64,
    /// Key frames among them.
    pub key_frames: u64,
    /// Packets of first transmissions.
    pub packets: u64,
    /// Bytes of payload of these.
    pub bytes: u64,
    /// Key frames that were asked for, by PLI or FIR, whether or not one was under way.
    pub asked: u64,
    /// Sequence numbers that were asked for by NACK.
    pub nacked: u64,
    /// Packets that were sent again.
    pub repaired: u64,
    /// Asked for, and never sent or no longer kept.
    pub unknown: u64,
    /// Packets of transport-wide feedback that came.
    pub feedback: u64,
    /// Frames that went out late, or not at all: this process is too slow.
    pub late_frames: u64,
    /// What the receiver last said that it can take (REMB), in bits a second.
    pub allowed: Option<u64>,
}

/// What one video stream would have looked like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VideoStatistics {
    /// Of the stream.
    pub ssrc: u32,
    /// Packets, repaired ones included.
    pub packets: u64,
    /// Their payloads.
    pub bytes: u64,
    /// Frames that could be decoded, by the sender's number of the encoding; the last has all higher ones.
    pub frames: [u64; 4],
    /// Key frames among them.
    pub key_frames: u64,
    /// Whole frames of which a reference is missing.
    pub undecodable: u64,
    /// Those among them for which no lost packet is to blame: the server cut where it must not.
    pub miscut: u64,
    /// Times that a sender's encoding changed.
    pub switches: u64,
    /// Times that the sender changed.
    pub changes: u64,
    /// Freezes (W3C webrtc-stats, freezeCount).
    pub freezes: u64,
    /// How long these were together.
    pub frozen: Duration,
    /// The longest time between two frames.
    pub longest: Duration,
    /// Sequence numbers that never arrived.
    pub holes: u64,
    /// Frames whose PictureID, TL0PICIDX or timestamp does not go on from the frame before, with no packet lost between.
    pub jumps: u64,
    /// Sequence numbers that were asked for by NACK, each once.
    pub nacked: u64,
    /// Of these, came after all.
    pub repaired: u64,
    /// From the request to the repaired packet, of all.
    pub repair: Duration,
    /// Came again though they were there.
    pub needless: u64,
    /// Key frames that were asked for by PLI.
    pub asked: u64,
}

impl CameraStatistics {
    /// Add another's; the limit is the lower one.
    pub fn merge(&mut self, other: &CameraStatistics) {
        self.frames += other.frames;
        self.key_frames += other.key_frames;
        self.packets += other.packets;
        self.bytes += other.bytes;
        self.asked += other.asked;
        self.nacked += other.nacked;
        self.repaired += other.repaired;
        self.unknown += other.unknown;
        self.feedback += other.feedback;
        self.late_frames += other.late_frames;
        self.allowed = self.allowed.into_iter().chain(other.allowed).min();
    }
}

impl VideoStatistics {
    /// Add another stream's.
    pub fn merge(&mut self, other: &VideoStatistics) {
        self.packets += other.packets;
        self.bytes += other.bytes;
        self.frames.iter_mut().zip(other.frames).for_each(|(ours, theirs)| *ours += theirs);
        self.key_frames += other.key_frames;
        self.undecodable += other.undecodable;
        self.miscut += other.miscut;
        self.switches += other.switches;
        self.changes += other.changes;
        self.freezes += other.freezes;
        self.frozen += other.frozen;
        self.longest = self.longest.max(other.longest);
        self.holes += other.holes;
        self.jumps += other.jumps;
        self.nacked += other.nacked;
        self.repaired += other.repaired;
        self.repair += other.repair;
        self.needless += other.needless;
        self.asked += other.asked;
    }

    /// From the request to the repaired packet; None when there was none.
    pub fn mean_repair(&self) -> Option<Duration> {
        (self.repaired > 0).then(|| self.repair.div_f64(self.repaired as f64))
    }

    /// Of all encodings.
    pub fn decoded(&self) -> u64 {
        self.frames.iter().sum()
    }
}
