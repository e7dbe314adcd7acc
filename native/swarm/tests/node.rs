//! Swarms in a node of this process.

mod support;

use std::{
    net::UdpSocket,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use support::Node;
use swarm::{
    Clock, Delays, Devices, Failure, Identity, Join, Microphone, Outcome, Progress, Session, Settings, Swarm,
    talk::Pattern, voice::Voice,
};

const PATIENCE: Duration = Duration::from_secs(20);
const RUN: u32 = 0xC0FFEE;

struct Crowd {
    node: Node,
    swarm: Swarm,
    identity: Arc<Identity>,
    voice: Arc<Voice>,
    joined: u64,
}

impl Crowd {
    fn new() -> Crowd {
        let identity = Arc::new(Identity::new().unwrap());
        let settings = Settings { threads: 2, identity: Arc::clone(&identity), clock: Clock::start(), run: RUN };
        let swarm = Swarm::start(&settings).unwrap();
        Crowd { node: Node::start().unwrap(), swarm, identity, voice: Arc::new(Voice::built_in()), joined: 0 }
    }

    fn session(&self, publishes: bool, slots: usize) -> Session {
        self.node.admit(1, &self.identity, publishes, slots).unwrap()
    }

    fn join(&mut self, session: Session, pattern: Pattern, member: usize) {
        let microphone = session.source.map(|_| Microphone {
            voice: Arc::clone(&self.voice),
            pattern,
            member,
            dtx: true,
            stamp: Some((RUN, member as u32)),
        });
        let devices = Devices { microphone, camera: None };
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let began = Instant::now();
        self.swarm.add(Join { number: self.joined, session, socket, devices, began, dump: None }).unwrap();
        self.joined += 1;
    }

    fn wait_until(&self, done: impl Fn(Progress) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done(self.swarm.progress()) {
            assert!(Instant::now() < deadline, "{:?}", self.swarm.progress());
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn stop(self) -> (Vec<Outcome>, Delays) {
        self.swarm.stop().unwrap()
    }
}

#[test]
fn everybody_hears_those_who_talk_and_nothing_is_lost() {
    let mut crowd = Crowd::new();
    let pattern = Pattern::new(6, 2, Duration::ZERO);
    for member in 0..6 {
        let session = crowd.session(true, 8);
        crowd.join(session, pattern, member);
    }
    crowd.wait_until(|progress| progress.connected == 6 && progress.received > 1000);
    let (outcomes, delays) = crowd.stop();
    assert!(outcomes.iter().all(|outcome| outcome.failure.is_none() && outcome.joined.is_some()), "{outcomes:#?}");
    assert!(delays.voice.count() > 900);
    assert!(delays.voice.max() < PATIENCE);
    for (member, outcome) in outcomes.iter().enumerate() {
        let statistics = &outcome.statistics;
        assert_eq!((statistics.duplicates, statistics.refused, statistics.unannounced), (0, 0, 0), "{statistics:?}");
        assert!(statistics.streams.iter().all(|stream| stream.lost == 0 && stream.gaps == 0), "{statistics:?}");
        // Peers are numbered from 1, and nobody hears itself.
        let talkers: Vec<u32> = [1, 2].into_iter().filter(|csrc| *csrc != member as u32 + 1).collect();
        assert_eq!(statistics.csrcs, talkers);
        assert_eq!(statistics.checks_answered, statistics.checks_sent);
    }
}

#[test]
fn turns_change_who_is_heard() {
    let mut crowd = Crowd::new();
    let pattern = Pattern::new(3, 1, Duration::from_millis(800));
    for member in 0..3 {
        let session = crowd.session(true, 0);
        crowd.join(session, pattern, member);
    }
    let session = crowd.session(false, 1);
    crowd.join(session, pattern, 0);
    crowd.wait_until(|progress| progress.connected == 4 && progress.received > 120);
    let (outcomes, _) = crowd.stop();
    assert_eq!(outcomes[3].statistics.csrcs, [1, 2, 3]);
}

#[test]
fn a_server_of_another_certificate_is_not_talked_to() {
    let mut crowd = Crowd::new();
    let mut session = crowd.session(false, 1);
    session.fingerprints[0].digest[0] ^= 1;
    crowd.join(session, Pattern::new(1, 1, Duration::ZERO), 0);
    crowd.wait_until(|progress| progress.failed == 1);
    let (outcomes, _) = crowd.stop();
    assert_eq!(outcomes[0].failure, Some(Failure::Fingerprint));
    assert_eq!(outcomes[0].joined, None);
}

#[test]
fn a_node_that_closes_ends_its_peers() {
    let mut crowd = Crowd::new();
    let session = crowd.session(true, 1);
    crowd.join(session, Pattern::new(1, 1, Duration::ZERO), 0);
    crowd.wait_until(|progress| progress.connected == 1);
    crowd.node.engine.close();
    crowd.wait_until(|progress| progress.failed == 1);
    let (outcomes, _) = crowd.stop();
    assert_eq!(outcomes[0].failure, Some(Failure::Closed));
    assert!(outcomes[0].joined.is_some());
}

#[test]
fn a_goodbye_reaches_the_node() {
    let mut crowd = Crowd::new();
    let session = crowd.session(true, 1);
    crowd.join(session, Pattern::new(1, 1, Duration::ZERO), 0);
    crowd.wait_until(|progress| progress.connected == 1);
    let Crowd { node, swarm, .. } = crowd;
    swarm.stop().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while node.engine.counters().unwrap().core.peers > 0 {
        assert!(Instant::now() < deadline);
        thread::sleep(Duration::from_millis(5));
    }
}
