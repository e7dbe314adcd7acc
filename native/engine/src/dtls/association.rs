use std::{
    collections::VecDeque,
    io::{self, Read, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use openssl::{
    error::ErrorStack,
    srtp::SrtpProfileId,
    ssl::{ErrorCode, Ssl, SslRef, SslStream, SslVerifyMode},
};
use sfu::{
    Keys, MAX_DATAGRAM,
    srtp::{MasterKey, Profile},
};

use super::{Identity, Terms};
use crate::{event::Reason, sys};

/// What fits every path we will meet: IPv6's least of 1280 (RFC 8200 §5) less IP, UDP and a tunnel's header.
const MTU: u32 = 1200;

/// RFC 5764 §4.2.
const EXPORTER: &str = "EXTRACTOR-dtls_srtp";

/// One peer's DTLS connection, without sockets or clocks: datagrams go in by `receive` and come out of `outgoing`.
pub(super) struct Association {
    stream: SslStream<Datagrams>,
    terms: Terms,
    is_stranger: Arc<AtomicBool>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Handshaking,
    Established,
    Over,
}

/// What became of an association.
pub(super) enum Progress {
    /// Nothing that others need to know.
    None,
    /// The handshake is complete, and the certificate is the promised one.
    Established(Box<Keys>),
    /// It is over; the association is to be dropped after its last datagrams are sent.
    Over(Reason),
}

impl Association {
    pub(super) fn new(identity: &Identity, terms: Terms) -> Result<Association, ErrorStack> {
        let mut ssl = Ssl::new(&identity.context)?;
        ssl.set_mtu(MTU)?;
        if terms.active {
            ssl.set_connect_state();
        } else {
            ssl.set_accept_state();
        }
        let is_stranger = Arc::new(AtomicBool::new(false));
        let (fingerprints, found) = (terms.fingerprints.clone(), Arc::clone(&is_stranger));
        // Within the handshake, so that a stranger is refused by an alert. Whatever else is wrong with the chain does not
        // matter: the fingerprint came by a channel we trust.
        ssl.set_verify_callback(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT, move |_, chain| {
            if chain.error_depth() == 0 {
                let matches = chain.current_cert().is_some_and(|leaf| fingerprints.match_certificate(leaf));
                if !matches {
                    found.store(true, Ordering::Relaxed);
                    return false;
                }
            }
            true
        });
        let stream = SslStream::new(ssl, Datagrams::default())?;
        Ok(Association { stream, terms, is_stranger, state: State::Handshaking })
    }

    /// Take a datagram from the peer.
    pub(super) fn receive(&mut self, datagram: Box<[u8]>) -> Progress {
        self.stream.get_mut().incoming.push_back(datagram);
        self.advance()
    }

    /// Do what can be done now: begin, retransmit if that is due, work on what was received.
    pub(super) fn advance(&mut self) -> Progress {
        let mut progress = Progress::None;
        if self.state == State::Handshaking {
            progress = match self.stream.do_handshake() {
                Ok(()) => match self.keys() {
                    Ok(keys) => {
                        self.state = State::Established;
                        Progress::Established(Box::new(keys))
                    }
                    Err(reason) => self.end(reason),
                },
                Err(error) if error.code() == ErrorCode::WANT_READ => Progress::None,
                Err(_) if self.is_stranger.load(Ordering::Relaxed) => self.end(Reason::Fingerprint),
                Err(_) => self.end(Reason::Handshake),
            };
        }
        if self.state == State::Established {
            // Reading is also what answers a peer that repeats its last flight because it missed ours.
            let mut discarded = [0; MAX_DATAGRAM];
            loop {
                match self.stream.ssl_read(&mut discarded) {
                    Ok(_) => {}
                    Err(error) if error.code() == ErrorCode::WANT_READ => break,
                    // close_notify, or an alert that ends the connection.
                    Err(_) => return self.end(Reason::Closed),
                }
            }
            // Hardly anything comes after the handshake but the goodbye.
            sys::free_buffers(self.stream.ssl());
        }
        progress
    }

    /// Say goodbye, if there is a connection to end.
    pub(super) fn close(&mut self) {
        if self.state == State::Established {
            // It cannot block, and whether the peer hears it does not matter to us.
            let _ = self.stream.shutdown();
            self.state = State::Over;
        }
    }

    pub(super) fn is_handshaking(&self) -> bool {
        self.state == State::Handshaking
    }

    /// When `advance` must be called to repeat the last flight, if nothing is received until then.
    pub(super) fn retransmission(&self, now: Instant) -> Option<Instant> {
        sys::retransmission_timeout(self.stream.ssl()).map(|left| now + left)
    }

    /// The datagrams to send, in order.
    pub(super) fn outgoing(&mut self) -> impl Iterator<Item = Box<[u8]>> {
        self.stream.get_mut().outgoing.drain(..)
    }

    fn end(&mut self, reason: Reason) -> Progress {
        self.state = State::Over;
        Progress::Over(reason)
    }

    /// The SRTP keys, if the peer is who it should be (RFC 5763 §5).
    fn keys(&self) -> Result<Keys, Reason> {
        let ssl = self.stream.ssl();
        let certificate = ssl.peer_certificate().ok_or(Reason::Fingerprint)?;
        if !self.terms.fingerprints.match_certificate(&certificate) {
            return Err(Reason::Fingerprint);
        }
        export(ssl, self.terms.active).ok_or(Reason::Handshake)
    }
}

/// RFC 5764 §4.2: client key, server key, client salt, server salt.
fn export(ssl: &SslRef, is_client: bool) -> Option<Keys> {
    let profile = match ssl.selected_srtp_profile()?.id() {
        SrtpProfileId::SRTP_AEAD_AES_128_GCM => Profile::AeadAes128Gcm,
        SrtpProfileId::SRTP_AES128_CM_SHA1_80 => Profile::AesCm128HmacSha1_80,
        _ => return None,
    };
    let mut material = vec![0; 2 * (profile.key_len() + profile.salt_len())];
    ssl.export_keying_material(&mut material, EXPORTER, None).ok()?;
    let (client_key, rest) = material.split_at_checked(profile.key_len())?;
    let (server_key, rest) = rest.split_at_checked(profile.key_len())?;
    let (client_salt, server_salt) = rest.split_at_checked(profile.salt_len())?;
    let client = MasterKey::new(profile, client_key, client_salt).ok()?;
    let server = MasterKey::new(profile, server_key, server_salt).ok()?;
    let (inbound, outbound) = if is_client { (server, client) } else { (client, server) };
    Some(Keys { inbound, outbound })
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

#[cfg(test)]
mod tests {
    use std::thread;

    use openssl::hash::MessageDigest;

    use super::*;
    use crate::dtls::Fingerprints;

    fn terms(of: &Identity, active: bool) -> Terms {
        let fingerprints = Fingerprints::new([("sha-256", &of.fingerprint[..])]).unwrap();
        Terms { active, fingerprints }
    }

    /// A client and a server, each of which expects the other.
    fn pair() -> (Association, Association) {
        let (us, them) = (Identity::new().unwrap(), Identity::new().unwrap());
        let client = Association::new(&us, terms(&them, true)).unwrap();
        let server = Association::new(&them, terms(&us, false)).unwrap();
        (client, server)
    }

    /// Bring datagrams from one to the other; the last progress that says something.
    fn carry(from: &mut Association, to: &mut Association) -> Progress {
        let mut said = Progress::None;
        for datagram in from.outgoing().collect::<Vec<_>>() {
            match to.receive(datagram) {
                Progress::None => {}
                progress => said = progress,
            }
        }
        said
    }

    fn connect(client: &mut Association, server: &mut Association) {
        client.advance();
        carry(client, server);
        carry(server, client);
        assert!(matches!(carry(client, server), Progress::Established(_)));
    }

    /// Bytes of memory that this process has in use.
    fn resident() -> usize {
        let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
        pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
    }

    #[test]
    #[ignore = "measures memory, which other tests disturb: cargo test -p engine --lib -- --ignored --nocapture memory"]
    fn memory_of_an_association() {
        let (us, them) = (Identity::new().unwrap(), Identity::new().unwrap());
        let one = |_| {
            let mut client = Association::new(&us, terms(&them, true)).unwrap();
            let mut server = Association::new(&them, terms(&us, false)).unwrap();
            connect(&mut client, &mut server);
            carry(&mut server, &mut client);
            (client, server)
        };
        let _warm: Vec<_> = (0..50).map(one).collect();
        let before = resident();
        let kept: Vec<_> = (0..500).map(one).collect();
        println!("{} bytes an association", (resident() - before) / 2 / kept.len());
    }

    #[test]
    fn both_sides_of_a_handshake_get_keys() {
        let (mut client, mut server) = pair();
        connect(&mut client, &mut server);
        assert!(matches!(carry(&mut server, &mut client), Progress::Established(_)));
    }

    #[test]
    fn no_flight_is_larger_than_the_mtu() {
        let (mut client, mut server) = pair();
        client.advance();
        for _ in 0..2 {
            let sizes = |association: &mut Association| {
                let datagrams: Vec<_> = association.outgoing().collect();
                assert!(datagrams.iter().all(|datagram| datagram.len() <= MTU as usize));
                datagrams
            };
            for datagram in sizes(&mut client) {
                server.receive(datagram);
            }
            for datagram in sizes(&mut server) {
                client.receive(datagram);
            }
        }
        assert!(!client.is_handshaking() && !server.is_handshaking());
    }

    #[test]
    fn a_certificate_that_was_not_promised_is_refused_by_either_side() {
        let (us, them, other) = (Identity::new().unwrap(), Identity::new().unwrap(), Identity::new().unwrap());
        let mut client = Association::new(&us, terms(&them, true)).unwrap();
        let mut server = Association::new(&them, terms(&other, false)).unwrap();
        client.advance();
        carry(&mut client, &mut server);
        carry(&mut server, &mut client);
        assert!(matches!(carry(&mut client, &mut server), Progress::Over(Reason::Fingerprint)));
        // The alert tells the client.
        assert!(matches!(carry(&mut server, &mut client), Progress::Over(Reason::Handshake)));

        let mut client = Association::new(&us, terms(&other, true)).unwrap();
        let mut server = Association::new(&them, terms(&us, false)).unwrap();
        client.advance();
        carry(&mut client, &mut server);
        assert!(matches!(carry(&mut server, &mut client), Progress::Over(Reason::Fingerprint)));
    }

    #[test]
    fn another_hash_of_the_certificate_is_as_good() {
        let (us, them) = (Identity::new().unwrap(), Identity::new().unwrap());
        let digest = us.certificate.digest(MessageDigest::sha512()).unwrap();
        let fingerprints = Fingerprints::new([("sha-1", &[0; 20][..]), ("SHA-512", &digest)]).unwrap();
        let mut client = Association::new(&us, terms(&them, true)).unwrap();
        let mut server = Association::new(&them, Terms { active: false, fingerprints }).unwrap();
        connect(&mut client, &mut server);
    }

    #[test]
    fn a_client_that_missed_the_last_flight_gets_it_again() {
        let (mut client, mut server) = pair();
        client.advance();
        carry(&mut client, &mut server);
        carry(&mut server, &mut client);
        assert!(matches!(carry(&mut client, &mut server), Progress::Established(_)));
        assert_ne!(server.outgoing().count(), 0);
        // A repeated record is a replay, so the client must really send it again, and libssl has no clock but the real one.
        let due = client.retransmission(Instant::now()).unwrap();
        thread::sleep(due - Instant::now());
        client.advance();
        assert!(matches!(carry(&mut client, &mut server), Progress::None));
        assert!(matches!(carry(&mut server, &mut client), Progress::Established(_)));
    }

    #[test]
    fn a_flight_without_an_answer_is_due_again() {
        let (mut client, _) = pair();
        let now = Instant::now();
        assert_eq!(client.retransmission(now), None);
        client.advance();
        assert!(client.retransmission(now).is_some_and(|due| due > now));
    }

    #[test]
    fn a_goodbye_ends_the_other_side() {
        let (mut client, mut server) = pair();
        connect(&mut client, &mut server);
        carry(&mut server, &mut client);
        client.close();
        assert!(matches!(carry(&mut client, &mut server), Progress::Over(Reason::Closed)));
    }

    #[test]
    fn noise_during_and_after_the_handshake_changes_nothing() {
        let noise = || [[22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255].as_slice(), &[23; 40], &[20], &[63; 1500]];
        let (mut client, mut server) = pair();
        for datagram in noise() {
            assert!(matches!(server.receive(datagram.into()), Progress::None));
        }
        connect(&mut client, &mut server);
        for datagram in noise() {
            assert!(matches!(server.receive(datagram.into()), Progress::None));
        }
        assert!(matches!(carry(&mut server, &mut client), Progress::Established(_)));
    }
}
