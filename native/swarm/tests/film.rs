//! Video through a node of this process.

#[path = "support/video.rs"]
mod video;

use std::{
    net::UdpSocket,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use engine::{
    Engine, Settings as NodeSettings,
    dtls::{Fingerprints, Terms},
};
use sfu::{PeerId, RoomId, Wish};
use swarm::{Camera, Clock, Devices, Identity, Join, Outcome, Settings, Swarm};
use video::{Film, describe};

const PATIENCE: Duration = Duration::from_secs(30);
const RUN: u32 = 0xF11F;
const CAMERA: u64 = 1;
const WATCHERS: u64 = 3;

/// A camera that some watch for a while, each as wide as said, until all have received so many packets.
fn show(camera: &Camera, transport_cc: bool, widths: [u16; WATCHERS as usize], packets: u64) -> Vec<Outcome> {
    let identity = Arc::new(Identity::new().unwrap());
    let clock = Clock::start();
    let swarm = Swarm::start(&Settings { threads: 1, identity: Arc::clone(&identity), clock, run: RUN }).unwrap();
    let engine = Engine::start(&NodeSettings::new(vec!["127.0.0.1".parse().unwrap()])).unwrap();
    for peer in CAMERA..=CAMERA + WATCHERS {
        let films = peer == CAMERA;
        let film = Film { camera: films.then_some(camera), slots: usize::from(!films), transport_cc };
        let (config, session) = describe(peer, engine.addresses()[0][0], engine.fingerprint(), film);
        let fingerprints = Fingerprints::new([("sha-256", &identity.fingerprint()[..])]).unwrap();
        engine.add_peer(RoomId(1), PeerId(peer), config, Some(Terms { active: false, fingerprints })).unwrap();
        let devices = Devices { microphone: None, camera: films.then(|| camera.clone()) };
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        swarm.add(Join { number: peer, session, socket, devices, began: Instant::now(), dump: None }).unwrap();
    }
    engine.set_sharing(PeerId(CAMERA), vec![CAMERA as u32], false).unwrap();
    for (peer, width) in (CAMERA + 1..).zip(widths) {
        let wish = Wish { slot: 0, csrc: CAMERA as u32, width, priority: 1, paused: false };
        engine.watch(PeerId(peer), vec![wish]).unwrap();
    }
    let deadline = Instant::now() + PATIENCE;
    while swarm.progress().received < packets * WATCHERS {
        assert!(Instant::now() < deadline, "{:?} {:?}", swarm.progress(), engine.counters());
        thread::sleep(Duration::from_millis(5));
    }
    let (outcomes, delays) = swarm.stop().unwrap();
    assert!(delays.video.count() > 0 && delays.voice.count() == 0);
    outcomes
}

#[test]
fn everybody_sees_whole_frames_of_the_encoding_that_fits() {
    for transport_cc in [true, false] {
        let outcomes = show(&Camera::simulcast((RUN, 1)), transport_cc, [160, 320, 1280], 400);
        let camera = outcomes[0].statistics.camera.unwrap();
        assert!(camera.asked >= 1 && camera.unknown == 0, "{camera:?}");
        assert_eq!(camera.feedback > 0, transport_cc);
        for (outcome, encoding) in outcomes[1..].iter().zip([0, 0, 2]) {
            assert!(outcome.failure.is_none(), "{outcome:?}");
            let [video] = &outcome.statistics.videos[..] else { panic!("one slot, one stream: {outcome:?}") };
            assert!(video.frames[encoding] > 0 && video.key_frames > 0, "{video:?}");
            assert_eq!((video.miscut, video.jumps, video.holes), (0, 0, 0), "{video:?}");
            assert_eq!(outcome.statistics.unannounced, 0);
            assert_eq!(outcome.statistics.csrcs, [CAMERA as u32]);
        }
    }
}
