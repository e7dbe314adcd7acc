//! The two transforms over bytes: AES-GCM (RFC 7714) and AES-CM with HMAC-SHA1 (RFC 3711 §4.1.1, §4.2.1).

use aes::Aes128;
use ctr::Ctr128BE;
use ctr::cipher::{InnerIvInit, KeyInit, StreamCipher};
use hmac::{Hmac, Mac};
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, Tag, UnboundKey};
use sha1::Sha1;
use subtle::ConstantTimeEq;

use super::Profile;
use super::keys::SessionKeys;
use crate::drops::Drop;

/// RFC 5764 §4.1.2: both packet kinds carry 80-bit tags.
pub(super) const HMAC_TAG: usize = 10;
pub(super) const GCM_TAG: usize = 16;

/// AES-GCM with its salt.
pub(super) struct Gcm {
    key: LessSafeKey,
    salt: [u8; 12],
}

/// AES-CM and HMAC-SHA1 with their key schedules expanded.
pub(super) struct Cm {
    cipher: Aes128,
    mac: Hmac<Sha1>,
    salt: [u8; 14],
}

#[expect(clippy::large_enum_variant, reason = "a box would cost a pointer a packet; a peer has four of these")]
pub(super) enum Cipher {
    Gcm(Gcm),
    Cm(Cm),
}

impl Cipher {
    pub(super) fn new(profile: Profile, keys: &SessionKeys) -> Self {
        match profile {
            Profile::AeadAes128Gcm => {
                let key = UnboundKey::new(&AES_128_GCM, &keys.cipher).expect("a 16-byte key is right for AES-128");
                let mut salt = [0; 12];
                salt.copy_from_slice(&keys.salt[..12]);
                Self::Gcm(Gcm { key: LessSafeKey::new(key), salt })
            }
            Profile::AesCm128HmacSha1_80 => Self::Cm(Cm {
                cipher: Aes128::new(&keys.cipher.into()),
                mac: <Hmac<Sha1> as Mac>::new_from_slice(&keys.authentication).expect("HMAC takes keys of any length"),
                salt: keys.salt,
            }),
        }
    }
}

impl Gcm {
    /// RFC 7714 §8.1, §9.1: two zero bytes, SSRC, 48 bits of index, XOR the salt.
    fn nonce(&self, ssrc: u32, index: u64) -> Nonce {
        let mut nonce = self.salt;
        for (place, byte) in nonce[2..6].iter_mut().zip(ssrc.to_be_bytes()) {
            *place ^= byte;
        }
        for (place, byte) in nonce[6..].iter_mut().zip(&index.to_be_bytes()[2..]) {
            *place ^= byte;
        }
        Nonce::assume_unique_for_key(nonce)
    }

    pub(super) fn seal(&self, ssrc: u32, index: u64, aad: &[u8], text: &mut [u8]) -> [u8; GCM_TAG] {
        let nonce = self.nonce(ssrc, index);
        let tag = self.key.seal_in_place_separate_tag(nonce, Aad::from(aad), text).expect("a datagram is short enough");
        let mut bytes = [0; GCM_TAG];
        bytes.copy_from_slice(tag.as_ref());
        bytes
    }

    pub(super) fn open(
        &self,
        ssrc: u32,
        index: u64,
        aad: &[u8],
        text: &mut [u8],
        tag: [u8; GCM_TAG],
    ) -> Result<(), Drop> {
        let nonce = self.nonce(ssrc, index);
        self.key
            .open_in_place_separate_tag(nonce, Aad::from(aad), Tag::from(tag), text, 0..)
            .map(|_| ())
            .map_err(|_| Drop::Unauthenticated)
    }
}

impl Cm {
    /// Encrypt or decrypt. RFC 3711 §4.1.1: (salt · 2^16) XOR (SSRC · 2^64) XOR (index · 2^16).
    pub(super) fn apply(&self, ssrc: u32, index: u64, text: &mut [u8]) {
        let mut counter = [0u8; 16];
        counter[..14].copy_from_slice(&self.salt);
        for (place, byte) in counter[4..8].iter_mut().zip(ssrc.to_be_bytes()) {
            *place ^= byte;
        }
        for (place, byte) in counter[8..14].iter_mut().zip(&index.to_be_bytes()[2..]) {
            *place ^= byte;
        }
        let core = ctr::CtrCore::<_, ctr::flavors::Ctr128BE>::inner_iv_init(self.cipher.clone(), &counter.into());
        Ctr128BE::<Aes128>::from_core(core).apply_keystream(text);
    }

    /// Over the packet and a trailer that is not in it (RTP's rollover counter) or nothing (RFC 3711 §4.2).
    pub(super) fn tag(&self, packet: &[u8], trailer: &[u8]) -> [u8; HMAC_TAG] {
        let mut mac = self.mac.clone();
        mac.update(packet);
        mac.update(trailer);
        let mut tag = [0; HMAC_TAG];
        tag.copy_from_slice(&mac.finalize().into_bytes()[..HMAC_TAG]);
        tag
    }

    pub(super) fn verify(&self, packet: &[u8], trailer: &[u8], told: &[u8]) -> Result<(), Drop> {
        let right: bool = self.tag(packet, trailer).ct_eq(told).into();
        if right { Ok(()) } else { Err(Drop::Unauthenticated) }
    }
}
