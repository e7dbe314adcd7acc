//! Sealing.

use super::cipher::{Cipher, GCM_TAG, HMAC_TAG};
use super::keys::{MasterKey, Stream};
use super::{ENCRYPTED, RTCP_CLEAR};

/// Seals what we send to one client.
pub struct Outbound {
    rtp: Cipher,
    rtcp: Cipher,
    /// SRTCP's 31-bit index: one sequence for all our SSRCs keeps every nonce unique.
    rtcp_index: u32,
}

impl Outbound {
    /// Expands the key schedules.
    pub fn new(key: &MasterKey) -> Self {
        Self {
            rtp: Cipher::new(key.profile, &key.session(Stream::Rtp)),
            rtcp: Cipher::new(key.profile, &key.session(Stream::Rtcp)),
            rtcp_index: 0,
        }
    }

    /// Seal the RTP packet `buf[..len]`, whose header takes `header_len` bytes; `buf` has room for the tag behind it.
    /// `index` is ROC · 2^16 + sequence. Returns the sealed length.
    pub fn protect(&self, index: u64, buf: &mut [u8], header_len: usize, len: usize) -> usize {
        let ssrc = u32::from_be_bytes([buf[8], buf[9], buf[10], buf[11]]);
        let (packet, rest) = buf.split_at_mut(len);
        match &self.rtp {
            Cipher::Gcm(gcm) => {
                let (header, payload) = packet.split_at_mut(header_len);
                rest[..GCM_TAG].copy_from_slice(&gcm.seal(ssrc, index, header, payload));
                len + GCM_TAG
            }
            Cipher::Cm(cm) => {
                cm.apply(ssrc, index, &mut packet[header_len..]);
                let rollovers = (index >> 16) as u32;
                rest[..HMAC_TAG].copy_from_slice(&cm.tag(packet, &rollovers.to_be_bytes()));
                len + HMAC_TAG
            }
        }
    }

    /// Seal the compound `buf[..len]`, at least 8 bytes; `buf` has room for index and tag (20 bytes) behind it. Returns
    /// the sealed length; 0 when the key has sealed 2^31 packets and must not seal another (RFC 3711 §9.2).
    pub fn protect_rtcp(&mut self, buf: &mut [u8], len: usize) -> usize {
        if self.rtcp_index >= ENCRYPTED - 1 {
            return 0;
        }
        self.rtcp_index += 1;
        let index = self.rtcp_index;
        let word = (ENCRYPTED | index).to_be_bytes();
        let ssrc = u32::from_be_bytes([buf[4], buf[5], buf[6], buf[7]]);
        match &self.rtcp {
            Cipher::Gcm(gcm) => {
                // RFC 7714 §9.2: ciphertext, tag, index; the index word is authenticated behind the header.
                let mut aad = [0; RTCP_CLEAR + 4];
                aad[..RTCP_CLEAR].copy_from_slice(&buf[..RTCP_CLEAR]);
                aad[RTCP_CLEAR..].copy_from_slice(&word);
                let tag = gcm.seal(ssrc, u64::from(index), &aad, &mut buf[RTCP_CLEAR..len]);
                buf[len..len + GCM_TAG].copy_from_slice(&tag);
                buf[len + GCM_TAG..len + GCM_TAG + 4].copy_from_slice(&word);
                len + GCM_TAG + 4
            }
            Cipher::Cm(cm) => {
                cm.apply(ssrc, u64::from(index), &mut buf[RTCP_CLEAR..len]);
                buf[len..len + 4].copy_from_slice(&word);
                let tag = cm.tag(&buf[..len + 4], &[]);
                buf[len + 4..len + 4 + HMAC_TAG].copy_from_slice(&tag);
                len + 4 + HMAC_TAG
            }
        }
    }
}
