//! One client in virtual time, against a server that is played here.

use std::time::{Duration, Instant};

use sfu::{
    MAX_DATAGRAM,
    stun::{Class, IntegrityKey, Message, binding_error, binding_request, binding_success},
};
use swarm::{
    Client, Clock, Credentials, Devices, Failure, Fingerprint, Hash, Identity, Output, Packet, Random, Session, State,
};

const SERVER_PASSWORD: &str = "the+password+of+the+server";
const CLIENT_PASSWORD: &str = "the+password+of+the+client";

#[derive(Default)]
struct Sent(Vec<Vec<u8>>);

impl Output for Sent {
    fn send(&mut self, datagram: &[u8]) {
        self.0.push(datagram.to_vec());
    }

    fn heard(&mut self, _: &Packet<'_>) {
        panic!("nothing was said");
    }
}

struct Virtual {
    client: Client,
    now: Instant,
    sent: Sent,
}

impl Virtual {
    fn new() -> Virtual {
        let now = Instant::now();
        let credentials = |ufrag: &str, password: &str| Credentials { ufrag: ufrag.into(), password: password.into() };
        let session = Session {
            remote: ([192, 0, 2, 1], 5000).into(),
            local: credentials("client", CLIENT_PASSWORD),
            peer: credentials("server", SERVER_PASSWORD),
            fingerprints: vec![Fingerprint { hash: Hash::Sha256, digest: vec![0; 32] }],
            opens_dtls: true,
            source: None,
            slots: vec![1],
            video: None,
        };
        let identity = Identity::new().unwrap();
        let client = Client::new(now, &identity, Clock::start(), session, Devices::default(), Random::new(1)).unwrap();
        Virtual { client, now, sent: Sent::default() }
    }

    /// Go to when the client wants to be polled; None when it is over.
    fn step(&mut self) -> Option<Instant> {
        self.now = self.now.max(self.client.due()?);
        self.client.poll(self.now, &mut self.sent);
        Some(self.now)
    }

    fn receive(&mut self, datagram: &[u8]) {
        self.client.receive(self.now, &mut datagram.to_vec(), &mut self.sent);
    }

    /// What was sent since the last call.
    fn sent(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.sent.0)
    }

    /// Answer the last check, as the server whose password this is.
    fn answer(&mut self, password: &str) {
        let checks = self.sent();
        let id = Message::parse(checks.last().unwrap()).unwrap().transaction_id();
        let mut answer = [0; MAX_DATAGRAM];
        let key = IntegrityKey::short_term(password);
        let length = binding_success(&mut answer, id, ([192, 0, 2, 7], 9).into(), &key);
        self.receive(&answer[..length]);
    }
}

#[test]
fn checks_are_repeated_ever_more_slowly_until_it_is_hopeless() {
    let mut this = Virtual::new();
    let begin = this.now;
    let mut times = Vec::new();
    while let Some(now) = this.step() {
        times.push(now - begin);
    }
    assert_eq!(this.client.state(), State::Over(Some(Failure::Unreachable)));
    assert_eq!(times[..4], [0, 500, 1500, 3500].map(Duration::from_millis));
    assert!((15..18).contains(&times.last().unwrap().as_secs()));
    let ids: Vec<_> = this.sent().iter().map(|check| Message::parse(check).unwrap().transaction_id()).collect();
    assert!(ids.windows(2).all(|pair| pair[0] == pair[1]), "a retransmission is the same transaction");
}

#[test]
fn a_check_nominates_and_proves_that_it_knows_the_password() {
    let mut this = Virtual::new();
    this.step();
    let sent = this.sent();
    let check = Message::parse(&sent[0]).unwrap();
    assert!(check.use_candidate() && check.controlling() && check.verify(&IntegrityKey::short_term(SERVER_PASSWORD)));
    assert_eq!(check.username(), Some(&b"server:client"[..]));
}

#[test]
fn the_handshake_begins_with_the_first_answer_that_the_server_can_give() {
    let mut this = Virtual::new();
    this.step();
    this.answer("somebody+else's+password");
    assert_eq!(this.client.state(), State::Checking);
    this.step();
    this.answer(SERVER_PASSWORD);
    assert_eq!(this.client.state(), State::Handshaking);
    assert_eq!(this.sent()[0][0], 22, "a DTLS handshake record");
}

#[test]
fn consent_that_runs_out_ends_the_call() {
    let mut this = Virtual::new();
    this.step();
    this.answer(SERVER_PASSWORD);
    let answered = this.now;
    while this.step().is_some() {}
    let lasted = (this.now - answered).as_secs();
    // The handshake, which nobody answers either, is given as long.
    assert!((29..34).contains(&lasted), "{lasted}");
    assert!(matches!(this.client.state(), State::Over(Some(Failure::Consent | Failure::Handshake))));
}

#[test]
fn each_check_for_consent_is_a_transaction_of_its_own_at_no_fixed_pace() {
    let mut this = Virtual::new();
    this.step();
    this.answer(SERVER_PASSWORD);
    this.sent();
    let (mut ids, mut times) = (Vec::new(), Vec::new());
    while ids.len() < 6 {
        this.step();
        for datagram in this.sent() {
            if let Ok(check) = Message::parse(&datagram) {
                ids.push(check.transaction_id());
                times.push(this.now);
            }
        }
    }
    assert!(ids.windows(2).all(|pair| pair[0] != pair[1]));
    let gaps: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.iter().all(|gap| (2000..=3000).contains(&gap.as_millis())), "{gaps:?}");
    assert!(gaps.windows(2).any(|pair| pair[0] != pair[1]));
}

#[test]
fn a_refused_check_ends_it_with_the_code() {
    let mut this = Virtual::new();
    this.step();
    let sent = this.sent();
    let id = Message::parse(&sent[0]).unwrap().transaction_id();
    let mut answer = [0; MAX_DATAGRAM];
    let length = binding_error(&mut answer, id, 401, "Unauthorized", &[], None);
    this.receive(&answer[..length]);
    assert_eq!(this.client.state(), State::Over(Some(Failure::Refused(401))));
}

#[test]
fn checks_of_a_server_that_is_not_lite_are_answered_when_it_knows_the_password() {
    let mut this = Virtual::new();
    let mut ask = |username: &str, password: &str| {
        let mut check = [0; MAX_DATAGRAM];
        let length = binding_request(&mut check, [9; 12], username, 1, false, &IntegrityKey::short_term(password));
        this.receive(&check[..length]);
        this.sent()
    };
    assert!(ask("client:server", "wrong+password+of+22+chars").is_empty());
    assert!(ask("other:server", CLIENT_PASSWORD).is_empty());
    let answers = ask("client:server", CLIENT_PASSWORD);
    let answer = Message::parse(&answers[0]).unwrap();
    assert_eq!((answer.class(), answer.transaction_id()), (Class::Success, [9; 12]));
    assert!(answer.verify(&IntegrityKey::short_term(CLIENT_PASSWORD)));
    assert_eq!(answer.xor_mapped_address(), Some(([192, 0, 2, 1], 5000).into()));
}

#[test]
fn hostile_datagrams_change_nothing() {
    let mut this = Virtual::new();
    this.step();
    let mut random = Random::new(7);
    let mut flood = |this: &mut Virtual| {
        for _ in 0..20_000 {
            let length = random.number() % 200;
            let mut datagram: Vec<u8> = (0..length).map(|_| random.number() as u8).collect();
            // Each protocol gets its share, alerts of DTLS aside: those are not authenticated before there are keys.
            if let Some(first) = datagram.first_mut() {
                *first = [0, 1, 0x80, 0x90, 0xBF, 64, 200, 63][(random.number() % 8) as usize];
            }
            this.receive(&datagram);
        }
    };
    flood(&mut this);
    assert_eq!(this.client.state(), State::Checking);
    this.sent();
    this.step();
    this.answer(SERVER_PASSWORD);
    flood(&mut this);
    assert_eq!(this.client.state(), State::Handshaking);
    assert!(this.client.statistics().refused > 1000);
}
