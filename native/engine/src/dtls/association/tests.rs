use std::thread;

use openssl::{
    ec::{EcGroup, EcKey},
    hash::MessageDigest,
    nid::Nid,
    pkey::PKey,
    rsa::Rsa,
};

use super::*;
use crate::dtls::{Fingerprints, identity::CIPHERS};

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

/// Another's stack: libssl throughout, with one cipher suite.
struct Other {
    stream: SslStream<Datagrams>,
    identity: Identity,
}

impl Other {
    fn new(suite: &str, active: bool) -> Other {
        let key = if suite.contains("ECDHE-RSA") {
            PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap()
        } else {
            PKey::from_ec_key(EcKey::generate(&EcGroup::from_curve_name(Nid::SECP384R1).unwrap()).unwrap()).unwrap()
        };
        let identity = Identity::with(&key, suite).unwrap();
        let mut ssl = Ssl::new(&identity.context).unwrap();
        ssl.set_mtu(MTU).unwrap();
        ssl.set_verify_callback(SslVerifyMode::PEER, |_, _| true);
        if active {
            ssl.set_connect_state()
        } else {
            ssl.set_accept_state()
        }
        Other { stream: SslStream::new(ssl, Datagrams::default()).unwrap(), identity }
    }

    /// Let both go on until neither has more to send.
    fn talk(&mut self, us: &mut Association) -> Progress {
        let mut said = Progress::None;
        loop {
            let _ = self.stream.do_handshake();
            let sent = std::mem::take(&mut self.stream.get_mut().outgoing);
            let ours: Vec<_> = us.outgoing().collect();
            if sent.is_empty() && ours.is_empty() {
                return said;
            }
            self.stream.get_mut().incoming.extend(ours);
            for datagram in sent {
                match us.receive(datagram) {
                    Progress::None => {}
                    progress => said = progress,
                }
            }
        }
    }
}

#[test]
fn with_every_cipher_suite_either_side_hears_the_others_goodbye() {
    let us = Identity::new().unwrap();
    let roles = |suite: &'static str| [(suite, true), (suite, false)];
    for (suite, active) in CIPHERS.split(':').flat_map(roles) {
        if !active && !suite.contains("ECDSA") {
            continue; // it is for who listens to have a certificate of that kind
        }
        let connected = || {
            let mut other = Other::new(suite, !active);
            let mut association = Association::new(&us, terms(&other.identity, active)).unwrap();
            association.advance();
            assert!(matches!(other.talk(&mut association), Progress::Established(_)), "{suite}");
            assert_eq!(other.stream.ssl().current_cipher().unwrap().name(), suite);
            assert_eq!(matches!(association.state, State::Established(_)), !suite.ends_with("SHA"), "{suite}");
            (other, association)
        };
        let (mut other, mut association) = connected();
        let _ = other.stream.ssl_write(b"what nobody asked for");
        assert!(matches!(other.talk(&mut association), Progress::None));
        let _ = other.stream.shutdown();
        assert!(matches!(other.talk(&mut association), Progress::Over(Reason::Closed)), "{suite}");

        let (mut other, mut association) = connected();
        association.close();
        other.talk(&mut association);
        let error = other.stream.ssl_read(&mut [0; 16]).unwrap_err();
        assert_eq!(error.code(), ErrorCode::ZERO_RETURN, "{suite}");
    }
}

#[test]
fn a_goodbye_that_somebody_made_up_is_not_heard() {
    let (mut client, mut server) = pair();
    connect(&mut client, &mut server);
    carry(&mut server, &mut client);
    client.close();
    let goodbye = client.outgoing().next().unwrap();
    for at in 0..goodbye.len() {
        let mut forged = goodbye.clone();
        forged[at] ^= 1;
        assert!(matches!(server.receive(forged), Progress::None), "byte {at}");
        assert!(matches!(server.receive(goodbye[..at].into()), Progress::None), "up to {at}");
    }
    assert!(matches!(server.receive(goodbye), Progress::Over(Reason::Closed)));
}

#[test]
fn a_repeated_flight_is_not_more_than_what_asks_for_it() {
    let (mut client, mut server) = pair();
    connect(&mut client, &mut server);
    let flight: usize = server.outgoing().map(|datagram| datagram.len()).sum();
    for length in [0, 1, 13, 14, flight - 1, flight, 1400] {
        let mut asking = vec![0; length];
        asking.iter_mut().zip([22, 254, 253]).for_each(|(byte, value)| *byte = value);
        server.receive(asking.into());
        let answer: usize = server.outgoing().map(|datagram| datagram.len()).sum();
        assert_eq!(answer, if length >= flight { flight } else { 0 }, "{length}");
    }
}

/// Resident memory, in bytes.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[test]
#[ignore = "a measurement: cargo test -p engine what_an_established -- --ignored --nocapture"]
fn what_an_established_association_costs() {
    const ASSOCIATIONS: usize = 2000;
    let (us, them) = (Identity::new().unwrap(), Identity::new().unwrap());
    let connected = || {
        let mut client = Association::new(&them, terms(&us, true)).unwrap();
        let mut server = Association::new(&us, terms(&them, false)).unwrap();
        connect(&mut client, &mut server);
        carry(&mut server, &mut client);
        server
    };
    let mut kept: Vec<_> = (0..200).map(|_| connected()).collect();
    let before = resident();
    kept.extend((0..ASSOCIATIONS).map(|_| connected()));
    println!("{} bytes an association", (resident() - before) / ASSOCIATIONS);
}
