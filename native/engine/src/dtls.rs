//! DTLS-SRTP (RFC 5763, 5764): handshakes on a thread of their own, which hands the keys to the media thread.
//!
//! The media thread passes records on only from an address that proved by STUN that it knows the peer's password, so a
//! stranger cannot make a handshake begin, and no cookie exchange is needed (RFC 6347 §4.2.1 is optional for that reason).

mod association;
mod fingerprint;
mod identity;
mod records;
mod service;
mod ticket;

pub use fingerprint::{Fingerprints, Unusable};
pub(crate) use identity::Identity;
pub(crate) use service::{Request, Service};
pub(crate) use ticket::{Backlog, Ticket};

/// How a peer's DTLS connection is to be made, from its description.
#[derive(Clone, Debug)]
pub struct Terms {
    /// We open the handshake: its description said `setup:passive`.
    pub active: bool,
    /// What its certificate must match.
    pub fingerprints: Fingerprints,
}
