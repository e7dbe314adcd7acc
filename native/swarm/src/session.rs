//! What both sides have told each other before the first datagram.

use std::net::SocketAddr;

use openssl::hash::MessageDigest;

/// An ICE user fragment and its password (RFC 8445 §5.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// 4 to 256 characters.
    pub ufrag: String,
    /// 22 to 256 characters.
    pub password: String,
}

/// The hash functions for certificates that are strong enough (RFC 8122 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    /// 32 bytes.
    Sha256,
    /// 48 bytes.
    Sha384,
    /// 64 bytes.
    Sha512,
}

impl Hash {
    /// By its name in SDP, in any case.
    pub fn from_name(name: &str) -> Option<Hash> {
        match name.to_ascii_lowercase().as_str() {
            "sha-256" => Some(Hash::Sha256),
            "sha-384" => Some(Hash::Sha384),
            "sha-512" => Some(Hash::Sha512),
            _ => None,
        }
    }

    pub(crate) fn digest(self) -> MessageDigest {
        match self {
            Hash::Sha256 => MessageDigest::sha256(),
            Hash::Sha384 => MessageDigest::sha384(),
            Hash::Sha512 => MessageDigest::sha512(),
        }
    }
}

/// What the server's certificate must hash to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// By which function.
    pub hash: Hash,
    /// To what.
    pub digest: Vec<u8>,
}

/// What a client publishes: one stream of Opus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// Of the stream.
    pub ssrc: u32,
    /// Of Opus.
    pub payload_type: u8,
    /// The id of the audio level extension (RFC 6464), when both sides know it.
    pub level_extension: Option<u8>,
}

/// One stream of a video source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VideoStream {
    /// Which of the camera's encodings it is, 0 is the smallest.
    pub encoding: usize,
    /// Its name when there are several (RFC 8851).
    pub rid: Option<String>,
    /// Of the stream.
    pub ssrc: u32,
    /// Of its repair (RFC 4588).
    pub rtx_ssrc: Option<u32>,
}

/// What a client publishes beside its voice: VP8 in one stream, or in several (RFC 8853).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VideoSource {
    /// Of its m-line.
    pub mid: String,
    /// The smallest first.
    pub streams: Vec<VideoStream>,
}

/// A video stream of the server's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VideoSlot {
    /// Of the stream.
    pub ssrc: u32,
    /// Of its repair (RFC 4588).
    pub rtx_ssrc: Option<u32>,
}

/// Ids of header extensions (RFC 8285), 1 to 14, of those that both sides know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extensions {
    /// RFC 9143 §15.
    pub mid: Option<u8>,
    /// RFC 8852 §3.1.
    pub rid: Option<u8>,
    /// RFC 8852 §3.2.
    pub repaired_rid: Option<u8>,
    /// draft-holmer-rmcat-transport-wide-cc-extensions-01.
    pub transport_cc: Option<u8>,
}

/// The video of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Video {
    /// What it publishes, if anything.
    pub source: Option<VideoSource>,
    /// What the server said that it sends.
    pub slots: Vec<VideoSlot>,
    /// Of VP8.
    pub payload_type: u8,
    /// Of its repair (RFC 4588); None: lost packets are sent again as they were.
    pub rtx_payload_type: Option<u8>,
    /// The same on all m-lines.
    pub extensions: Extensions,
}

/// One client's transport and streams, as offer and answer together describe them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The server's candidate.
    pub remote: SocketAddr,
    /// The client's own.
    pub local: Credentials,
    /// The server's.
    pub peer: Credentials,
    /// One of them must be the certificate's.
    pub fingerprints: Vec<Fingerprint>,
    /// The client opens the DTLS handshake: the answer says `setup:passive`.
    pub opens_dtls: bool,
    /// What it publishes, if anything.
    pub source: Option<Source>,
    /// The SSRCs on which the server said that it sends. Others are counted and heard all the same.
    pub slots: Vec<u32>,
    /// None when there is none.
    pub video: Option<Video>,
}
