//! The client side of ICE, DTLS, SRTP and RTCP: thousands of peers in one process, for benchmarks and load.
//!
//! [`Client`] is one peer as a state machine: it is told the time and every datagram, and answers through [`Output`]. The
//! [`Swarm`] gives many of them sockets and a few threads. [`whip`] makes a [`Session`] with any WHIP or WHEP server; who
//! has the server in the same process fills in a [`Session`] by hand.
//!
//! SRTP, RTP, RTCP and STUN are read and written by the crate `sfu`, which is also what the server does; other people's
//! implementations keep it honest (`tests/swarm`).
#![forbid(unsafe_code)]

mod client;
mod clock;
mod descriptors;
mod dtls;
pub mod dump;
pub mod histogram;
mod ice;
mod listener;
mod media;
mod publisher;
mod random;
pub mod report;
mod runner;
pub mod sdp;
mod session;
pub mod stamp;
pub mod talk;
mod video;
pub mod voice;
pub mod whip;
mod worker;

pub use client::{Client, Devices, Failure, Output, Packet, State, Statistics};
pub use clock::Clock;
pub use descriptors::allow_descriptors;
pub use dtls::{Identity, Material};
pub use listener::StreamStatistics;
pub use publisher::Microphone;
pub use random::Random;
pub use runner::{Delays, Join, Outcome, Progress, Settings, Swarm};
pub use session::{
    Credentials, Extensions, Fingerprint, Hash, Session, Source, Video, VideoSlot, VideoSource, VideoStream,
};
pub use video::{Camera, CameraStatistics, Encoding, VideoStamp, VideoStatistics};

/// The largest datagram that is read, in bytes; longer ones are not WebRTC's and are cut off.
pub const MAX_DATAGRAM: usize = sfu::MAX_DATAGRAM;
