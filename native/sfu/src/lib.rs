//! A selective forwarding unit as a sans-IO state machine.
//!
//! [`Sfu`] is told the time and every datagram; it answers through [`Output`] with datagrams, DTLS records for the
//! handshaker and events. It reads no clock, opens no socket, starts no thread and blocks on nothing, so whole rooms run
//! in tests in virtual time.
//!
//! A bad packet is a counted [`Drop`](drops::Drop); a broken invariant is a bug and panics.
#![forbid(unsafe_code)]

mod counters;
pub mod demux;
pub mod drops;
mod forward;
mod history;
mod ice;
mod members;
mod peer;
mod police;
mod random;
mod receiver;
pub mod red;
mod relay;
mod repair;
mod report;
mod room;
pub mod rtcp;
pub mod rtp;
mod sfu;
mod source;
pub mod srtp;
mod statistics;
pub mod stun;
mod timeline;
pub mod video;
mod voice;
mod wheel;
mod workers;

use std::net::SocketAddr;
use std::time::Duration;

pub use counters::Counters;
pub use members::Rejected;
pub use relay::MAX_RELAY;
pub use sfu::Sfu;
pub use statistics::{Row, RowKind};

/// The largest datagram in or out, in bytes: an Ethernet frame's payload. Larger ones are not WebRTC.
pub const MAX_DATAGRAM: usize = 1500;

/// The most slots one receiver may have.
pub const MAX_SLOTS: usize = 32;

/// The most cameras and screens of one peer.
pub const MAX_VIDEO_SOURCES: usize = 2;

/// The most voices one peer may ignore.
pub const MAX_IGNORED: usize = 256;

/// The most workers.
pub const MAX_WORKERS: usize = 64;

/// A room, by the caller's own number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RoomId(pub u64);

/// A peer, by the caller's own number; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PeerId(pub u64);

/// One of the [`Sfu`]s among which rooms are shared out, below [`MAX_WORKERS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct WorkerId(pub u8);

/// Some workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct WorkerSet(u64);

impl WorkerSet {
    /// A single one.
    pub fn one(worker: WorkerId) -> Self {
        let mut set = Self::default();
        set.insert(worker);
        set
    }

    /// In order.
    pub fn iter(self) -> impl Iterator<Item = WorkerId> {
        (0..MAX_WORKERS as u8).map(WorkerId).filter(move |worker| self.0 >> worker.0 & 1 == 1)
    }

    /// None of them.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn insert(&mut self, worker: WorkerId) {
        debug_assert!(usize::from(worker.0) < MAX_WORKERS);
        self.0 |= 1 << (worker.0 % MAX_WORKERS as u8);
    }

    fn remove(&mut self, worker: WorkerId) {
        self.0 &= !(1 << (worker.0 % MAX_WORKERS as u8));
    }
}

/// A room, and the worker that decides who is heard in it. Others have members of it too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Which.
    pub room: RoomId,
    /// The same for all its members.
    pub home: WorkerId,
}

/// What a worker tells the home of a room about its own members there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// There are some.
    Subscribe {
        /// Where.
        room: RoomId,
    },
    /// There are none any more.
    Unsubscribe {
        /// Where.
        room: RoomId,
    },
    /// One of them may be heard.
    Enter {
        /// Where.
        room: RoomId,
        /// Who.
        peer: PeerId,
        /// As whom.
        csrc: u32,
    },
    /// It is gone.
    Exit {
        /// Where.
        room: RoomId,
        /// Who.
        peer: PeerId,
        /// As whom.
        csrc: u32,
    },
    /// A camera or screen of one of them is shared now, or is not any more.
    Show {
        /// Where.
        room: RoomId,
        /// Which.
        csrc: u32,
        /// How many it has.
        encodings: u8,
        /// It is a screen.
        screen: bool,
        /// Which of both.
        live: bool,
    },
    /// From the home: the same, of another worker's.
    Shown {
        /// Where.
        room: RoomId,
        /// Which.
        csrc: u32,
        /// Whose peer shares it.
        worker: WorkerId,
        /// How many it has.
        encodings: u8,
        /// It is a screen.
        screen: bool,
        /// Which of both.
        live: bool,
    },
    /// To the worker of a camera or screen: what of it is wanted.
    Want {
        /// Where.
        room: RoomId,
        /// Which.
        csrc: u32,
        /// Bit i: encoding i.
        wanted: u8,
        /// The same: a key frame.
        keys: u8,
    },
    /// It has fallen silent. Packets of before may still be on their way: the note can overtake them.
    Release {
        /// Where.
        room: RoomId,
        /// Who.
        peer: PeerId,
        /// As whom.
        csrc: u32,
        /// Of its source, as packets say it.
        generation: u32,
        /// The last packet of before.
        last: Option<u64>,
    },
}

/// One way a client's packets travel: our socket and its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Path {
    /// Index of the local socket.
    pub local: u8,
    /// The client's address as we see it.
    pub remote: SocketAddr,
}

/// What holds for every room.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// This one among all.
    pub worker: WorkerId,
    /// Voices that can be heard at the same time in one room, at most [`MAX_SLOTS`].
    pub audio_slots: usize,
    /// Randomness for initial sequence numbers and timestamps (RFC 3550 §5.1).
    pub seed: u64,
    /// RTP timestamp of the clock's zero in every slot of every room, at random; the same for all workers, so that streams go
    /// on whichever room or worker they come from.
    pub timeline: u32,
    /// Time since the Unix epoch at the `now` given to [`Sfu::new`], for sender reports.
    pub wall_clock: Duration,
}

/// One client's transport, as its offer and our answer describe it.
#[derive(Clone, Debug)]
pub struct PeerConfig {
    /// Our ICE user fragment; unique among all peers.
    pub local_ufrag: String,
    /// Our ICE password.
    pub local_password: String,
    /// The client's ICE user fragment.
    pub remote_ufrag: String,
    /// The client's ICE password (unused while we are lite and never send checks).
    pub remote_password: String,
    /// Its microphone, if it has one.
    pub source: Option<SourceConfig>,
    /// The sound of the screen it shares, if it may share one.
    pub screen_sound: Option<SourceConfig>,
    /// What it hears into.
    pub slots: Vec<SlotConfig>,
    /// What of video it publishes and watches, if anything.
    pub video: Option<VideoConfig>,
    /// The CNAME of our streams to it (RFC 7022).
    pub cname: String,
}

/// What an ICE restart changes.
#[derive(Clone, Debug)]
pub struct IceCredentials {
    /// Our new user fragment; unique among all peers.
    pub local_ufrag: String,
    /// Our new password.
    pub local_password: String,
    /// The client's new user fragment.
    pub remote_ufrag: String,
}

/// A source of sound.
#[derive(Clone, Debug)]
pub struct SourceConfig {
    /// The CSRC under which others hear it; unique in the room, not 0.
    pub csrc: u32,
    /// Its m-line's `mid`.
    pub mid: String,
    /// The payload type its Opus comes with.
    pub payload_type: u8,
    /// The payload type of RED (RFC 2198) of that Opus, when agreed on.
    pub red_payload_type: Option<u8>,
    /// Its SSRC, when the offer names one; else bound by MID or payload type.
    pub ssrc: Option<u32>,
    /// The id of the RFC 6464 audio level extension.
    pub level_extension: Option<u8>,
    /// The id of the RFC 9143 MID extension.
    pub mid_extension: Option<u8>,
}

/// A fixed RTP stream to a client whose content the node switches.
#[derive(Clone, Debug)]
pub struct SlotConfig {
    /// Our SSRC.
    pub ssrc: u32,
    /// The client's payload type for Opus.
    pub payload_type: u8,
    /// And for RED of it, when it takes that.
    pub red_payload_type: Option<u8>,
    /// It may ask for packets again (RFC 4585 §6.2.1).
    pub nack: bool,
    /// The client's id for the audio level extension.
    pub level_extension: Option<u8>,
}

/// Video of one client.
#[derive(Clone, Debug, Default)]
pub struct VideoConfig {
    /// Its camera and its screen; at most [`MAX_VIDEO_SOURCES`].
    pub sources: Vec<VideoSourceConfig>,
    /// What it watches into; at most [`video::MAX_VIDEO_SLOTS`].
    pub slots: Vec<VideoSlotConfig>,
    /// Its ids of header extensions.
    pub extensions: Extensions,
    /// It tells when each packet came (draft-holmer-rmcat-transport-wide-cc-extensions-01), and wants to be told.
    pub transport_cc: bool,
}

/// Ids (1 to 14) of header extensions, where agreed on (RFC 8285).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extensions {
    /// RFC 9143.
    pub mid: Option<u8>,
    /// RFC 8852.
    pub rid: Option<u8>,
    /// RFC 8852.
    pub repaired_rid: Option<u8>,
    /// draft-holmer-rmcat-transport-wide-cc-extensions-01.
    pub transport_cc: Option<u8>,
    /// When a frame was captured.
    pub abs_capture_time: Option<u8>,
    /// How late a receiver may play.
    pub playout_delay: Option<u8>,
    /// Sizes and rates of a publisher's layers.
    pub video_layers_allocation: Option<u8>,
    /// AV1 RTP specification, appendix A.
    pub dependency_descriptor: Option<u8>,
    /// 3GPP TS 26.114 §7.4.5.
    pub video_orientation: Option<u8>,
}

/// A payload type, and that of its repair stream (RFC 4588).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VideoCodec {
    /// Which.
    pub codec: video::Codec,
    /// 7 bits.
    pub payload_type: u8,
    /// 7 bits.
    pub rtx_payload_type: Option<u8>,
}

/// A camera or a screen.
#[derive(Clone, Debug)]
pub struct VideoSourceConfig {
    /// The CSRC under which others see it; no other video in the room has it, and it is not 0.
    pub csrc: u32,
    /// Its m-line's `mid`.
    pub mid: String,
    /// It is a screen.
    pub screen: bool,
    /// What it may come as.
    pub codecs: Vec<VideoCodec>,
    /// Restriction identifiers (RFC 8851) of its encodings, the smallest first; none: there is one encoding.
    pub rids: Vec<String>,
    /// SSRCs of media and repair by encoding, where the offer names them.
    pub ssrcs: Vec<(u32, Option<u32>)>,
}

impl VideoSourceConfig {
    /// How many encodings it has.
    pub fn encodings(&self) -> usize {
        self.rids.len().clamp(1, video::MAX_ENCODINGS)
    }
}

/// A fixed RTP stream of video to a client.
#[derive(Clone, Debug)]
pub struct VideoSlotConfig {
    /// Our SSRC.
    pub ssrc: u32,
    /// And that of its repair stream.
    pub rtx_ssrc: u32,
    /// What the client decodes.
    pub codecs: Vec<VideoCodec>,
}

/// What a client wishes to see in one of its video slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Index of the slot.
    pub slot: u8,
    /// Whose.
    pub csrc: u32,
    /// Pixels it draws.
    pub width: u16,
    /// Higher ones are served first.
    pub priority: u8,
    /// Not now.
    pub paused: bool,
}

/// Why a slot shows less than was wished for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// The receiver's path carries no more.
    Bandwidth,
    /// The publisher sends no better.
    Source,
    /// The receiver cannot decode it.
    Codec,
}

/// The SRTP master keys of one DTLS association.
pub struct Keys {
    /// Opens what the client sends.
    pub inbound: srtp::MasterKey,
    /// Seals what we send.
    pub outbound: srtp::MasterKey,
}

/// Why a peer is gone without having been removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClosedReason {
    /// No keys within [`ice::HANDSHAKE_TIMEOUT`].
    Handshake,
    /// No authenticated check for [`ice::CONSENT_TIMEOUT`] (RFC 7675).
    Consent,
}

/// What the caller may want to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The client nominated a path for the first time.
    Reachable {
        /// Who.
        peer: PeerId,
    },
    /// Path and keys are there: media flows.
    Connected {
        /// Who.
        peer: PeerId,
    },
    /// The peer is forgotten.
    Closed {
        /// Who.
        peer: PeerId,
        /// Why.
        reason: ClosedReason,
    },
    /// From `timestamp` on, `slot` of the room carries `csrc`; 0 is nobody. For all members with as many slots as the room,
    /// on whichever worker; said once, by the room's home.
    RoomSlot {
        /// Where.
        room: RoomId,
        /// Index among its slots.
        slot: u8,
        /// Who is heard in it.
        csrc: u32,
        /// RTP timestamp of the first packet of this content.
        timestamp: u32,
    },
    /// Somebody who is heard begins to speak, or has ceased.
    Speaking {
        /// Where.
        room: RoomId,
        /// Who.
        csrc: u32,
        /// Which of both.
        speaking: bool,
    },
    /// Who of a room is the dominant speaker now; 0 is nobody.
    Dominant {
        /// Where.
        room: RoomId,
        /// Who.
        csrc: u32,
    },
    /// What a video slot of `peer` shows from `timestamp` (90 kHz) on.
    VideoSlot {
        /// The receiver.
        peer: PeerId,
        /// Index among its video slots.
        slot: u8,
        /// Whose it is; 0: nobody's.
        csrc: u32,
        /// RTP timestamp of the first packet.
        timestamp: u32,
        /// Which encoding, and up to which layers of it.
        encoding: u8,
        /// Spatial.
        spatial: u8,
        /// Temporal.
        temporal: u8,
        /// Why not more.
        limit: Option<Limit>,
    },
    /// Which encodings of a camera or screen anybody wants: bit i is encoding i, the smallest is always in.
    Encodings {
        /// The publisher.
        peer: PeerId,
        /// Which of its sources.
        csrc: u32,
        /// Bits.
        wanted: u8,
    },
    /// From `timestamp` on, `slot` of `peer` carries `csrc`; 0 is nobody. For peers with fewer slots than the room.
    SlotChanged {
        /// The receiver.
        peer: PeerId,
        /// Index among its slots.
        slot: u8,
        /// Who is heard in it.
        csrc: u32,
        /// RTP timestamp of the first packet of this content.
        timestamp: u32,
    },
}

/// Where effects go. The caller performs them and decides nothing.
pub trait Output {
    /// One datagram to `to`, written in place by `fill`, which returns its length (0: nothing to send).
    fn send(&mut self, to: Path, fill: impl FnOnce(&mut [u8; MAX_DATAGRAM]) -> usize);
    /// A DTLS record from an address that passed an authenticated check.
    fn dtls(&mut self, peer: PeerId, datagram: &[u8]);
    /// Something happened.
    fn event(&mut self, event: Event);
    /// One packet to other workers' [`Sfu::relayed`], written in place by `fill`, which returns its length. It may get lost.
    fn relay(&mut self, to: WorkerSet, fill: impl FnOnce(&mut [u8; MAX_RELAY]) -> usize);
    /// A note to another worker's [`Sfu::noted`]. It must not get lost, nor overtake another.
    fn note(&mut self, to: WorkerId, note: Note);
}

slotmap::new_key_type! {
    /// Internal handle of a peer; a stale one finds nothing.
    struct PeerKey;
    /// Internal handle of a room.
    struct RoomKey;
    /// Internal handle of a voice.
    struct VoiceKey;
    /// Internal handle of a camera or a screen.
    struct TrackKey;
}
