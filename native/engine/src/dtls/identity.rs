use std::time::{SystemTime, UNIX_EPOCH};

use openssl::{
    asn1::Asn1Time,
    bn::{BigNum, MsbOption},
    ec::{EcGroup, EcKey},
    error::ErrorStack,
    hash::MessageDigest,
    nid::Nid,
    pkey::{PKey, PKeyRef, Private},
    ssl::{SslContext, SslMethod, SslMode, SslOptions, SslSessionCacheMode, SslVerifyMode, SslVersion},
    x509::{X509, X509NameBuilder},
};

/// Our certificate is ECDSA; the RSA suites are for peers that listen (`setup:passive`) with an RSA certificate.
/// AES-128-CBC with SHA-1 is the last resort of old stacks.
pub(super) const CIPHERS: &str = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:\
    ECDHE-RSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-SHA:\
    ECDHE-RSA-AES128-SHA";

/// In the order of our preference (RFC 7714 before RFC 5764: AES-GCM costs half of AES-CM with HMAC-SHA1).
const PROFILES: &str = "SRTP_AEAD_AES_128_GCM:SRTP_AES128_CM_SHA1_80";

/// Peers trust the fingerprint and do not look at the dates; a node that runs for longer than this is still not harmed.
const VALIDITY_SECONDS: i64 = 365 * 86_400;

/// Clocks differ: peers that do look at the dates must not find a certificate of the future.
const BACKDATE_SECONDS: i64 = 86_400;

/// Who we are in DTLS: a self-signed certificate made anew at each start, and what we offer and accept with it.
pub(crate) struct Identity {
    pub(crate) context: SslContext,
    /// SHA-256 of the certificate.
    pub(crate) fingerprint: [u8; 32],
    #[cfg(test)]
    pub(crate) certificate: X509,
}

impl Identity {
    pub(crate) fn new() -> Result<Identity, ErrorStack> {
        let key = PKey::from_ec_key(EcKey::generate(&*EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?)?)?;
        Identity::with(&key, CIPHERS)
    }

    /// With a key and cipher suites of the caller's choice.
    pub(super) fn with(key: &PKeyRef<Private>, ciphers: &str) -> Result<Identity, ErrorStack> {
        let mut serial = BigNum::new()?;
        serial.rand(64, MsbOption::ONE, false)?;
        let mut name = X509NameBuilder::new()?;
        // Nothing about the host: whoever joins a room sees this.
        name.append_entry_by_text("CN", "WebRTC")?;
        let name = name.build();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
        let mut certificate = X509::builder()?;
        certificate.set_version(2)?; // X.509 v3
        certificate.set_serial_number(&*serial.to_asn1_integer()?)?;
        certificate.set_subject_name(&name)?;
        certificate.set_issuer_name(&name)?;
        certificate.set_not_before(&*Asn1Time::from_unix(now - BACKDATE_SECONDS)?)?;
        certificate.set_not_after(&*Asn1Time::from_unix(now + VALIDITY_SECONDS)?)?;
        certificate.set_pubkey(key)?;
        certificate.sign(key, MessageDigest::sha256())?;
        let certificate = certificate.build();

        let mut context = SslContext::builder(SslMethod::dtls())?;
        context.set_min_proto_version(Some(SslVersion::DTLS1_2))?;
        context.set_cipher_list(ciphers)?;
        context.set_tlsext_use_srtp(PROFILES)?;
        context.set_certificate(&certificate)?;
        context.set_private_key(key)?;
        // The chain is nobody's; each association checks the certificate itself.
        context.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
        // One handshake a connection, at once: nothing to resume, nothing to renegotiate.
        context.set_session_cache_mode(SslSessionCacheMode::OFF);
        context.set_options(SslOptions::NO_TICKET | SslOptions::NO_RENEGOTIATION | SslOptions::NO_QUERY_MTU);
        // Associations live as long as their peers, and are silent most of that time.
        context.set_mode(SslMode::RELEASE_BUFFERS);

        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(&certificate.digest(MessageDigest::sha256())?);
        Ok(Identity {
            context: context.build(),
            fingerprint,
            #[cfg(test)]
            certificate,
        })
    }
}
