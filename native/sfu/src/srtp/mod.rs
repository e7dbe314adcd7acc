//! SRTP and SRTCP (RFC 3711, RFC 7714): one direction of one DTLS association.
//!
//! The caller of [`Outbound::protect`] owns the packet index. One (key, SSRC, index) must seal one packet only: a second
//! one under AES-GCM gives the key stream away.

mod cipher;
mod inbound;
mod keys;
mod outbound;
mod window;

pub use inbound::{Inbound, MAX_SSRCS, Unprotected};
pub use keys::{MasterKey, WrongLength};
pub use outbound::Outbound;

/// Protection profiles, the better one first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// RFC 7714.
    AeadAes128Gcm,
    /// RFC 3711, RFC 5764 §4.1.2.
    AesCm128HmacSha1_80,
}

impl Profile {
    /// By IANA's name without the `SRTP_` prefix.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "AEAD_AES_128_GCM" => Some(Self::AeadAes128Gcm),
            "AES_CM_128_HMAC_SHA1_80" => Some(Self::AesCm128HmacSha1_80),
            _ => None,
        }
    }

    /// Bytes of a master key.
    pub fn key_len(self) -> usize {
        16
    }

    /// Bytes of a master salt.
    pub fn salt_len(self) -> usize {
        match self {
            Self::AeadAes128Gcm => 12,
            Self::AesCm128HmacSha1_80 => 14,
        }
    }

    /// Bytes that sealing adds to an RTP packet.
    pub fn rtp_overhead(self) -> usize {
        match self {
            Self::AeadAes128Gcm => 16,
            Self::AesCm128HmacSha1_80 => 10,
        }
    }
}

/// The E bit of SRTCP's index word: encrypted.
const ENCRYPTED: u32 = 1 << 31;
/// Bytes of an RTCP packet that stay readable: header and sender SSRC (RFC 3711 §3.4).
const RTCP_CLEAR: usize = 8;
