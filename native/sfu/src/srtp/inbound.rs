//! Opening.

use super::cipher::{Cipher, GCM_TAG, HMAC_TAG};
use super::keys::{MasterKey, Stream};
use super::window::Window;
use super::{ENCRYPTED, RTCP_CLEAR};
use crate::drops::Drop;
use crate::rtp::{Header, extend_sequence};

/// SSRCs one client may use under one key: microphone, screen sound, two videos with three layers and their repair, and as
/// many again after a change.
pub const MAX_SSRCS: usize = 32;

/// An opened packet, in place.
#[derive(Clone, Copy, Debug)]
pub struct Unprotected {
    /// Of the packet.
    pub header: Header,
    /// ROC · 2^16 + sequence.
    pub index: u64,
    /// Bytes of the plaintext packet.
    pub len: usize,
    /// Of those of its SSRC so far.
    pub newest: bool,
}

/// Opens what one client sends. Only authenticated packets leave a trace.
pub struct Inbound {
    rtp: Cipher,
    rtcp: Cipher,
    rtp_windows: Vec<(u32, Window)>,
    rtcp_windows: Vec<(u32, Window)>,
}

impl Inbound {
    /// Expands the key schedules.
    pub fn new(key: &MasterKey) -> Self {
        Self {
            rtp: Cipher::new(key.profile, &key.session(Stream::Rtp)),
            rtcp: Cipher::new(key.profile, &key.session(Stream::Rtcp)),
            rtp_windows: Vec::new(),
            rtcp_windows: Vec::new(),
        }
    }

    /// Authenticate and decrypt an SRTP packet in place (RFC 3711 §3.3). Never panics, on any input.
    pub fn unprotect(&mut self, packet: &mut [u8]) -> Result<Unprotected, Drop> {
        let header = Header::parse(packet)?;
        let windows = &self.rtp_windows;
        let known = position(windows, header.ssrc)?;
        let highest = known.and_then(|at| windows[at].1.highest());
        let index = highest.map_or(u64::from(header.sequence), |highest| extend_sequence(highest, header.sequence));
        if known.is_some_and(|at| !windows[at].1.is_fresh(index)) {
            return Err(Drop::Replay);
        }
        let len = match &self.rtp {
            Cipher::Gcm(gcm) => {
                let (tag, len) = split_tag::<GCM_TAG>(packet, header.len)?;
                let (aad, text) = packet[..len].split_at_mut(header.len);
                gcm.open(header.ssrc, index, aad, text, tag)?;
                len
            }
            Cipher::Cm(cm) => {
                let (tag, len) = split_tag::<HMAC_TAG>(packet, header.len)?;
                let rollovers = (index >> 16) as u32;
                cm.verify(&packet[..len], &rollovers.to_be_bytes(), &tag)?;
                cm.apply(header.ssrc, index, &mut packet[header.len..len]);
                len
            }
        };
        mark(&mut self.rtp_windows, known, header.ssrc, index);
        Ok(Unprotected { header, index, len, newest: highest.is_none_or(|highest| index > highest) })
    }

    /// Authenticate and decrypt an SRTCP compound in place (RFC 3711 §3.4, RFC 7714 §9). Returns the plaintext length.
    /// Never panics, on any input.
    pub fn unprotect_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, Drop> {
        let head: &[u8; RTCP_CLEAR] = packet.first_chunk().ok_or(Drop::Short)?;
        let ssrc = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
        let known = position(&self.rtcp_windows, ssrc)?;
        let fresh = |index: u32| match known {
            Some(at) if !self.rtcp_windows[at].1.is_fresh(u64::from(index)) => Err(Drop::Replay),
            _ => Ok(()),
        };
        let (index, len) = match &self.rtcp {
            Cipher::Gcm(gcm) => {
                let (word, sealed) = split_tag::<4>(packet, RTCP_CLEAR + GCM_TAG)?;
                let (tag, len) = split_tag::<GCM_TAG>(&packet[..sealed], RTCP_CLEAR)?;
                let index = u32::from_be_bytes(word) & !ENCRYPTED;
                fresh(index)?;
                if u32::from_be_bytes(word) & ENCRYPTED == 0 {
                    // RFC 7714 §9.3 allows it authenticated only; WebRTC (RFC 8834 §4.7) always encrypts.
                    return Err(Drop::Unauthenticated);
                }
                let mut aad = [0; RTCP_CLEAR + 4];
                aad[..RTCP_CLEAR].copy_from_slice(&packet[..RTCP_CLEAR]);
                aad[RTCP_CLEAR..].copy_from_slice(&word);
                gcm.open(ssrc, u64::from(index), &aad, &mut packet[RTCP_CLEAR..len], tag)?;
                (index, len)
            }
            Cipher::Cm(cm) => {
                let (tag, covered) = split_tag::<HMAC_TAG>(packet, RTCP_CLEAR + 4)?;
                let (word, len) = split_tag::<4>(&packet[..covered], RTCP_CLEAR)?;
                let index = u32::from_be_bytes(word) & !ENCRYPTED;
                fresh(index)?;
                cm.verify(&packet[..covered], &[], &tag)?;
                if u32::from_be_bytes(word) & ENCRYPTED != 0 {
                    cm.apply(ssrc, u64::from(index), &mut packet[RTCP_CLEAR..len]);
                }
                (index, len)
            }
        };
        mark(&mut self.rtcp_windows, known, ssrc, u64::from(index));
        Ok(len)
    }
}

/// The last `N` bytes, and the length without them, which is at least `least`.
fn split_tag<const N: usize>(packet: &[u8], least: usize) -> Result<([u8; N], usize), Drop> {
    let (rest, tag) = packet.split_last_chunk::<N>().ok_or(Drop::Short)?;
    if rest.len() < least { Err(Drop::Short) } else { Ok((*tag, rest.len())) }
}

fn position(windows: &[(u32, Window)], ssrc: u32) -> Result<Option<usize>, Drop> {
    let known = windows.iter().position(|(each, _)| *each == ssrc);
    if known.is_none() && windows.len() == MAX_SSRCS {
        return Err(Drop::TooManySources);
    }
    Ok(known)
}

fn mark(windows: &mut Vec<(u32, Window)>, known: Option<usize>, ssrc: u32, index: u64) {
    let at = known.unwrap_or_else(|| {
        windows.push((ssrc, Window::new()));
        windows.len() - 1
    });
    windows[at].1.mark(index);
}
