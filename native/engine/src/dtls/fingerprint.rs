use openssl::{hash::MessageDigest, memcmp, x509::X509Ref};
use thiserror::Error;

/// No description lists more; it bounds what one peer can make us hash.
const MAX_FINGERPRINTS: usize = 16;

/// The certificate digests a peer's description lists (RFC 8122 §5), weak ones left out. There is at least one.
#[derive(Clone, Debug)]
pub struct Fingerprints(Vec<(Hash, Box<[u8]>)>);

/// Why a list of fingerprints cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Unusable {
    /// A digest has the wrong length for its hash function.
    #[error("a {0} fingerprint of {1} bytes")]
    Length(&'static str, usize),
    /// There is none of SHA-256 or stronger.
    #[error("no fingerprint of sha-256 or stronger")]
    Weak,
    /// There are more than 16.
    #[error("too many fingerprints")]
    TooMany,
}

#[derive(Clone, Copy, Debug)]
enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    /// By its name in SDP, in any case; None for those that are unknown or too weak to trust (sha-1 and older).
    fn from_name(name: &str) -> Option<Hash> {
        [Hash::Sha256, Hash::Sha384, Hash::Sha512].into_iter().find(|hash| name.eq_ignore_ascii_case(hash.name()))
    }

    fn name(self) -> &'static str {
        match self {
            Hash::Sha256 => "sha-256",
            Hash::Sha384 => "sha-384",
            Hash::Sha512 => "sha-512",
        }
    }

    fn digest(self) -> MessageDigest {
        match self {
            Hash::Sha256 => MessageDigest::sha256(),
            Hash::Sha384 => MessageDigest::sha384(),
            Hash::Sha512 => MessageDigest::sha512(),
        }
    }
}

impl Fingerprints {
    /// From pairs of hash name and digest. Hash functions that are unknown or too weak are skipped.
    pub fn new<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Result<Fingerprints, Unusable> {
        let mut strong = Vec::new();
        for (count, (name, digest)) in pairs.into_iter().enumerate() {
            if count == MAX_FINGERPRINTS {
                return Err(Unusable::TooMany);
            }
            let Some(hash) = Hash::from_name(name) else { continue };
            if digest.len() != hash.digest().size() {
                return Err(Unusable::Length(hash.name(), digest.len()));
            }
            strong.push((hash, digest.into()));
        }
        if strong.is_empty() { Err(Unusable::Weak) } else { Ok(Fingerprints(strong)) }
    }

    /// Whether `certificate` is one of those listed (RFC 8122 §5.1: one match is enough).
    pub(super) fn match_certificate(&self, certificate: &X509Ref) -> bool {
        self.0
            .iter()
            .any(|(hash, expected)| certificate.digest(hash.digest()).is_ok_and(|digest| memcmp::eq(&digest, expected)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtls::Identity;

    #[test]
    fn one_strong_match_is_enough_and_a_weak_one_is_not() {
        let certificate = Identity::new().unwrap().certificate;
        let digest = |hash| certificate.digest(hash).unwrap();
        let (sha1, sha256, sha512) =
            (digest(MessageDigest::sha1()), digest(MessageDigest::sha256()), digest(MessageDigest::sha512()));
        let matches =
            |pairs: &[(&str, &[u8])]| Fingerprints::new(pairs.iter().copied()).unwrap().match_certificate(&certificate);
        assert!(matches(&[("sha-256", &sha256)]));
        assert!(matches(&[("sha-1", &sha1), ("SHA-512", &sha512)]));
        assert!(matches(&[("sha-256", &[0; 32]), ("sha-512", &sha512)]));
        assert!(!matches(&[("sha-1", &sha1), ("sha-256", &[0; 32])]));
    }

    #[test]
    fn a_list_without_a_strong_hash_or_with_a_wrong_length_is_unusable() {
        let reason = |pairs: &[(&'static str, &'static [u8])]| Fingerprints::new(pairs.iter().copied()).unwrap_err();
        assert_eq!(reason(&[]), Unusable::Weak);
        assert_eq!(reason(&[("sha-1", &[0; 20])]), Unusable::Weak);
        assert_eq!(reason(&[("sha-256", &[0; 20])]), Unusable::Length("sha-256", 20));
        assert_eq!(reason(&[("md5", &[0u8; 16] as &[u8]); 17]), Unusable::TooMany);
    }
}
