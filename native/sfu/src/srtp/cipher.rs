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

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u32> = text.chars().filter_map(|digit| digit.to_digit(16)).collect();
        digits.chunks_exact(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect()
    }

    /// RFC 7714 §16 and §17: session key and salt of all its AES-128 examples.
    fn gcm() -> Gcm {
        let mut keys = SessionKeys { cipher: [0; 16], authentication: [0; 20], salt: [0; 14] };
        keys.cipher.copy_from_slice(&hex("000102030405060708090a0b0c0d0e0f"));
        keys.salt[..12].copy_from_slice(&hex("517569642070726f2071756f"));
        match Cipher::new(Profile::AeadAes128Gcm, &keys) {
            Cipher::Gcm(gcm) => gcm,
            Cipher::Cm(_) => unreachable!("the profile is GCM's"),
        }
    }

    #[test]
    fn an_rtp_packet_is_sealed_as_in_rfc_7714_16_1() {
        let packet = hex("8040f17b 8041f8d3 5501a0b2 47616c6c 69612065 7374206f 6d6e6973 20646976
             69736120 696e2070 61727465 73207472 6573");
        let sealed = hex("8040f17b 8041f8d3 5501a0b2 f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5
             0d294e6f 42a5f47a 51c7d19b 36de3adf 8833899d 7f27beb1 6a9152cf 765ee439 0cce");
        let (header, payload) = packet.split_at(12);
        let mut text = payload.to_vec();
        let tag = gcm().seal(0x5501_A0B2, 0xF17B, header, &mut text);
        assert_eq!([header, &text, &tag].concat(), sealed);
        gcm().open(0x5501_A0B2, 0xF17B, header, &mut text, tag).unwrap();
        assert_eq!(text, payload);
        assert_eq!(gcm().open(0x5501_A0B2, 0x1_F17B, header, &mut text, tag), Err(Drop::Unauthenticated));
    }

    #[test]
    fn an_rtcp_packet_is_sealed_as_in_rfc_7714_17_1() {
        let packet = hex("81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61
             deadbeef deadbeef deadbeef deadbeef deadbeef");
        let sealed = hex("81c8000d 4d617273 63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d
             c676a5f1 730d6fda 4ce09b46 86303ded 0bb9275b c84aa458 96cf4d2f c5abf872 45d9eade 800005d4");
        let (header, rest) = packet.split_at(8);
        let word = hex("800005d4");
        let mut text = rest.to_vec();
        let tag = gcm().seal(0x4D61_7273, 0x5D4, &[header, &word].concat(), &mut text);
        assert_eq!([header, &text, &tag, &word].concat(), sealed);
    }
}
