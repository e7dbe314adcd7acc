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
mod ice;
mod peer;
mod random;
mod receiver;
mod report;
mod room;
pub mod rtcp;
pub mod rtp;
mod sfu;
mod source;
pub mod srtp;
pub mod stun;
mod timeline;

use std::net::SocketAddr;
use std::time::Duration;

pub use counters::{Counters, PeerStatistics};
pub use sfu::{Rejected, Sfu};

/// The largest datagram in or out, in bytes: an Ethernet frame's payload. Larger ones are not WebRTC.
pub const MAX_DATAGRAM: usize = 1500;

/// The most slots one receiver may have.
pub const MAX_SLOTS: usize = 32;

/// A room, by the caller's own number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RoomId(pub u64);

/// A peer, by the caller's own number; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PeerId(pub u64);

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
    /// Voices that can be heard at the same time in one room, at most [`MAX_SLOTS`].
    pub audio_slots: usize,
    /// Randomness for initial sequence numbers and timestamps (RFC 3550 §5.1).
    pub seed: u64,
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
    /// What it publishes, if anything.
    pub source: Option<SourceConfig>,
    /// What it receives into.
    pub slots: Vec<SlotConfig>,
    /// The CNAME of our streams to it (RFC 7022).
    pub cname: String,
}

/// A microphone.
#[derive(Clone, Debug)]
pub struct SourceConfig {
    /// The CSRC under which others hear it; unique in the room, not 0.
    pub csrc: u32,
    /// Its m-line's `mid`.
    pub mid: String,
    /// The payload type its Opus comes with.
    pub payload_type: u8,
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
    /// The client's id for the audio level extension.
    pub level_extension: Option<u8>,
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
    /// From `timestamp` on, `slot` of `peer` carries `csrc`; 0 is nobody.
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
}

slotmap::new_key_type! {
    /// Internal handle of a peer; a stale one finds nothing.
    struct PeerKey;
    /// Internal handle of a room.
    struct RoomKey;
}
