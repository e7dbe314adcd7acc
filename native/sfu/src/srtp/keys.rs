//! From a master key to session keys (RFC 3711 §4.3, RFC 7714 §11).

use aes::Aes128;
use ctr::Ctr128BE;
use ctr::cipher::{KeyIvInit, StreamCipher};

use super::Profile;

/// The key or the salt is not as long as the profile wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("master key or salt of the wrong length")]
pub struct WrongLength;

/// A master key and salt for one direction.
#[derive(Clone)]
pub struct MasterKey {
    pub(super) profile: Profile,
    key: [u8; 16],
    /// Padded with zeros at the end: RFC 7714 §11 derives from a 112-bit salt too.
    salt: [u8; 14],
}

impl std::fmt::Debug for MasterKey {
    /// Never the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MasterKey").field("profile", &self.profile).finish_non_exhaustive()
    }
}

/// RFC 3711 §4.3.1 and table 1: the labels of one kind of packet.
#[derive(Clone, Copy)]
pub(super) enum Stream {
    Rtp = 0,
    Rtcp = 3,
}

/// Session keys for one kind of packet.
pub(super) struct SessionKeys {
    pub(super) cipher: [u8; 16],
    pub(super) authentication: [u8; 20],
    /// The first 12 or all 14 bytes count.
    pub(super) salt: [u8; 14],
}

impl MasterKey {
    /// 16 bytes of key; 12 (GCM) or 14 (CM) of salt.
    pub fn new(profile: Profile, key: &[u8], salt: &[u8]) -> Result<Self, WrongLength> {
        if salt.len() != profile.salt_len() {
            return Err(WrongLength);
        }
        let mut padded = [0; 14];
        padded[..salt.len()].copy_from_slice(salt);
        Ok(Self { profile, key: key.try_into().map_err(|_| WrongLength)?, salt: padded })
    }

    /// Which profile it is for.
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// RFC 3711 §4.3.3: AES-CM as the PRF, with a key derivation rate of 0.
    fn derive<const N: usize>(&self, label: u8) -> [u8; N] {
        let mut counter = [0u8; 16];
        counter[..14].copy_from_slice(&self.salt);
        counter[7] ^= label;
        let mut out = [0u8; N];
        Ctr128BE::<Aes128>::new(&self.key.into(), &counter.into()).apply_keystream(&mut out);
        out
    }

    pub(super) fn session(&self, stream: Stream) -> SessionKeys {
        let label = stream as u8;
        let mut salt = [0; 14];
        let len = self.profile.salt_len();
        salt[..len].copy_from_slice(&self.derive::<14>(label + 2)[..len]);
        SessionKeys { cipher: self.derive(label), authentication: self.derive(label + 1), salt }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex<const N: usize>(text: &str) -> [u8; N] {
        std::array::from_fn(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap())
    }

    /// RFC 3711 appendix B.3.
    #[test]
    fn session_keys_are_derived_as_in_rfc_3711_b3() {
        let key: [u8; 16] = hex("E1F97A0D3E018BE0D64FA32C06DE4139");
        let salt: [u8; 14] = hex("0EC675AD498AFEEBB6960B3AABE6");
        let master = MasterKey::new(Profile::AesCm128HmacSha1_80, &key, &salt).unwrap();
        let session = master.session(Stream::Rtp);
        assert_eq!(session.cipher, hex("C61E7A93744F39EE10734AFE3FF7A087"));
        assert_eq!(session.salt, hex("30CBBC08863D8C85D49DB34A9AE1"));
        assert_eq!(session.authentication, hex("CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4"));
    }

    /// RFC 3711 appendix B.2: the first two blocks of the key stream and a late one.
    #[test]
    fn the_key_stream_is_that_of_rfc_3711_b2() {
        let key: [u8; 16] = hex("2B7E151628AED2A6ABF7158809CF4F3C");
        let counter: [u8; 16] = hex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD0000");
        let mut stream = vec![0u8; 0xFF00 * 16];
        Ctr128BE::<Aes128>::new(&key.into(), &counter.into()).apply_keystream(&mut stream);
        assert_eq!(stream[..16], hex::<16>("E03EAD0935C95E80E166B16DD92B4EB4"));
        assert_eq!(stream[16..32], hex::<16>("D23513162B02D0F72A43A2FE4A5F97AB"));
        assert_eq!(stream[0xFEFF * 16..][..16], hex::<16>("EC8CDF7398607CB0F2D21675EA9EA1E4"));
    }

    #[test]
    fn a_key_of_the_wrong_length_is_refused_and_none_is_printed() {
        assert!(MasterKey::new(Profile::AeadAes128Gcm, &[0; 16], &[0; 14]).is_err());
        assert!(MasterKey::new(Profile::AeadAes128Gcm, &[0; 15], &[0; 12]).is_err());
        let master = MasterKey::new(Profile::AeadAes128Gcm, &[0xAB; 16], &[0xCD; 12]).unwrap();
        assert!(!format!("{master:?}").contains("171"));
    }
}
