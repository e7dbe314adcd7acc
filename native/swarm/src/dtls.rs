//! DTLS-SRTP (RFC 5763, 5764) with one certificate for all clients of the process.

use std::{
    collections::VecDeque,
    io::{self, Read, Write},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use openssl::{
    asn1::Asn1Time,
    bn::{BigNum, MsbOption},
    ec::{EcGroup, EcKey},
    error::ErrorStack,
    hash::MessageDigest,
    nid::Nid,
    pkey::PKey,
    srtp::SrtpProfileId,
    ssl::{
        ErrorCode, Ssl, SslContext, SslMethod, SslMode, SslOptions, SslSessionCacheMode, SslStream, SslVerifyMode,
        SslVersion,
    },
    x509::{X509, X509NameBuilder},
};
use sfu::{
    MAX_DATAGRAM,
    srtp::{MasterKey, Profile},
};

use crate::{Failure, Fingerprint, Session};

/// RFC 7714 before RFC 5764, as browsers offer them.
const PROFILES: &str = "SRTP_AEAD_AES_128_GCM:SRTP_AES128_CM_SHA1_80";
/// RFC 5764 §4.2.
const EXPORTER: &str = "EXTRACTOR-dtls_srtp";
/// IPv6's least of 1280 (RFC 8200 §5) less IP, UDP and a tunnel's header.
const MTU: u32 = 1200;
/// libssl keeps the time of retransmissions (1 s, doubled each time); this is how often it is asked whether one is due.
const LOOK: Duration = Duration::from_millis(250);
/// Five retransmissions (RFC 6347 §4.2.4.1).
const LIMIT: Duration = Duration::from_secs(30);
const DAY: i64 = 86_400;

/// A self-signed certificate, and what is offered with it.
pub struct Identity {
    context: SslContext,
    fingerprint: [u8; 32],
}

impl Identity {
    /// A new one; ECDSA P-256, as browsers make them.
    pub fn new() -> Result<Identity, ErrorStack> {
        let key = PKey::from_ec_key(EcKey::generate(&*EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?)?)?;
        let mut serial = BigNum::new()?;
        serial.rand(64, MsbOption::ONE, false)?;
        let mut name = X509NameBuilder::new()?;
        name.append_entry_by_text("CN", "WebRTC")?;
        let name = name.build();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
        let mut certificate = X509::builder()?;
        certificate.set_version(2)?; // X.509 v3
        certificate.set_serial_number(&*serial.to_asn1_integer()?)?;
        certificate.set_subject_name(&name)?;
        certificate.set_issuer_name(&name)?;
        certificate.set_not_before(&*Asn1Time::from_unix(now - DAY)?)?;
        certificate.set_not_after(&*Asn1Time::from_unix(now + 30 * DAY)?)?;
        certificate.set_pubkey(&key)?;
        certificate.sign(&key, MessageDigest::sha256())?;
        let certificate = certificate.build();

        let mut context = SslContext::builder(SslMethod::dtls())?;
        context.set_min_proto_version(Some(SslVersion::DTLS1_2))?;
        context.set_tlsext_use_srtp(PROFILES)?;
        context.set_certificate(&certificate)?;
        context.set_private_key(&key)?;
        // Self-signed certificates are what is expected: the fingerprint decides, after the handshake.
        context.set_verify_callback(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT, |_, _| true);
        context.set_session_cache_mode(SslSessionCacheMode::OFF);
        context.set_options(SslOptions::NO_TICKET | SslOptions::NO_RENEGOTIATION | SslOptions::NO_QUERY_MTU);
        context.set_mode(SslMode::RELEASE_BUFFERS);

        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(&certificate.digest(MessageDigest::sha256())?);
        Ok(Identity { context: context.build(), fingerprint })
    }

    /// SHA-256 of the certificate.
    pub fn fingerprint(&self) -> &[u8; 32] {
        &self.fingerprint
    }
}

/// The key and salt of one direction, for whoever wants to check the packets by other means.
#[derive(Clone)]
pub struct Material {
    /// Which cipher.
    pub profile: Profile,
    /// The SRTP master key.
    pub key: Vec<u8>,
    /// The SRTP master salt.
    pub salt: Vec<u8>,
}

impl Material {
    pub(crate) fn master_key(&self) -> Option<MasterKey> {
        MasterKey::new(self.profile, &self.key, &self.salt).ok()
    }
}

/// What the handshake gave.
pub(crate) struct Secrets {
    pub(crate) ours: Material,
    pub(crate) theirs: Material,
}

pub(crate) struct Association {
    stream: SslStream<Datagrams>,
    is_client: bool,
    fingerprints: Vec<Fingerprint>,
    established: bool,
    next_look: Instant,
    limit: Instant,
}

impl Association {
    pub(crate) fn new(identity: &Identity, session: &Session, now: Instant) -> Result<Association, ErrorStack> {
        let mut ssl = Ssl::new(&identity.context)?;
        ssl.set_mtu(MTU)?;
        if session.opens_dtls {
            ssl.set_connect_state();
        } else {
            ssl.set_accept_state();
        }
        Ok(Association {
            stream: SslStream::new(ssl, Datagrams::default())?,
            is_client: session.opens_dtls,
            fingerprints: session.fingerprints.clone(),
            established: false,
            next_look: now,
            limit: now + LIMIT,
        })
    }

    /// When `advance` should be called; None once the handshake is done.
    pub(crate) fn due(&self) -> Option<Instant> {
        (!self.established).then_some(self.next_look)
    }

    /// Take a datagram.
    pub(crate) fn receive(&mut self, now: Instant, datagram: &[u8]) -> Result<Option<Secrets>, Failure> {
        self.stream.get_mut().incoming.push_back(datagram.into());
        self.advance(now)
    }

    /// Go on as far as possible; the secrets come once.
    pub(crate) fn advance(&mut self, now: Instant) -> Result<Option<Secrets>, Failure> {
        let mut secrets = None;
        if !self.established {
            self.next_look = now + LOOK;
            match self.stream.do_handshake() {
                Ok(()) => {
                    self.check_fingerprint()?;
                    secrets = Some(self.export().ok_or(Failure::Handshake)?);
                    self.established = true;
                }
                Err(error) if error.code() == ErrorCode::WANT_READ => {
                    return if now < self.limit { Ok(None) } else { Err(Failure::Handshake) };
                }
                Err(_) => return Err(Failure::Handshake),
            }
        }
        // Reading also answers a server that repeats its last flight because it missed ours.
        let mut discarded = [0; MAX_DATAGRAM];
        loop {
            match self.stream.ssl_read(&mut discarded) {
                Ok(_) => {}
                Err(error) if error.code() == ErrorCode::WANT_READ => return Ok(secrets),
                // close_notify, or an alert that ends the connection.
                Err(_) => return Err(Failure::Closed),
            }
        }
    }

    /// Say goodbye.
    pub(crate) fn close(&mut self) {
        if self.established {
            // It cannot block, and whether the server hears it does not matter.
            let _ = self.stream.shutdown();
        }
    }

    /// The datagrams to send, in order.
    pub(crate) fn outgoing(&mut self) -> impl Iterator<Item = Box<[u8]>> {
        self.stream.get_mut().outgoing.drain(..)
    }

    /// RFC 5763 §5.
    fn check_fingerprint(&self) -> Result<(), Failure> {
        let certificate = self.stream.ssl().peer_certificate().ok_or(Failure::Fingerprint)?;
        let matches = |promised: &Fingerprint| {
            certificate.digest(promised.hash.digest()).is_ok_and(|digest| *digest == promised.digest[..])
        };
        if self.fingerprints.iter().any(matches) { Ok(()) } else { Err(Failure::Fingerprint) }
    }

    /// RFC 5764 §4.2: client key, server key, client salt, server salt.
    fn export(&self) -> Option<Secrets> {
        let ssl = self.stream.ssl();
        let profile = match ssl.selected_srtp_profile()?.id() {
            SrtpProfileId::SRTP_AEAD_AES_128_GCM => Profile::AeadAes128Gcm,
            SrtpProfileId::SRTP_AES128_CM_SHA1_80 => Profile::AesCm128HmacSha1_80,
            _ => return None,
        };
        let (key_len, salt_len) = (profile.key_len(), profile.salt_len());
        let mut exported = vec![0; 2 * (key_len + salt_len)];
        ssl.export_keying_material(&mut exported, EXPORTER, None).ok()?;
        let (keys, salts) = exported.split_at(2 * key_len);
        let side = |second: usize| Material {
            profile,
            key: keys[second * key_len..][..key_len].to_vec(),
            salt: salts[second * salt_len..][..salt_len].to_vec(),
        };
        let (client, server) = (side(0), side(1));
        Some(if self.is_client {
            Secrets { ours: client, theirs: server }
        } else {
            Secrets { ours: server, theirs: client }
        })
    }
}

/// The transport under libssl: each read is one datagram, and each write is one.
#[derive(Debug, Default)]
struct Datagrams {
    incoming: VecDeque<Box<[u8]>>,
    outgoing: Vec<Box<[u8]>>,
}

impl Read for Datagrams {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let datagram = self.incoming.pop_front().ok_or(io::ErrorKind::WouldBlock)?;
        let length = datagram.len().min(buffer.len());
        buffer[..length].copy_from_slice(&datagram[..length]);
        Ok(length)
    }
}

impl Write for Datagrams {
    fn write(&mut self, datagram: &[u8]) -> io::Result<usize> {
        self.outgoing.push(datagram.into());
        Ok(datagram.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
