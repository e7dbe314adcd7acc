//! A node in this process: the engine, told by hand what an answerer would read in an offer.

use std::{
    error::Error,
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering},
};

use engine::{
    Engine, Settings,
    dtls::{Fingerprints, Terms},
};
use sfu::{PeerConfig, PeerId, RoomId, SlotConfig, SourceConfig};
use swarm::{Credentials, Fingerprint, Hash, Identity, Session, Source};

pub const PAYLOAD_TYPE: u8 = 111;
pub const LEVEL_EXTENSION: u8 = 1;

pub struct Node {
    pub engine: Engine,
    next: AtomicU64,
}

impl Node {
    pub fn start() -> Result<Node, Box<dyn Error>> {
        let engine = Engine::start(&Settings::new(vec!["127.0.0.1".parse()?]))?;
        Ok(Node { engine, next: AtomicU64::new(1) })
    }

    /// Of the only worker.
    pub fn address(&self) -> SocketAddr {
        self.engine.addresses()[0][0]
    }

    /// Of the next peer.
    pub fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Add a peer to a room; the session is the client's side of it.
    #[allow(dead_code, reason = "not everybody who shares this file needs it")]
    pub fn admit(
        &self,
        room: u64,
        identity: &Identity,
        publishes: bool,
        slots: usize,
    ) -> Result<Session, Box<dyn Error>> {
        let peer = self.number();
        let (config, session) = describe(peer, self.address(), self.engine.fingerprint(), publishes, slots);
        let fingerprints = Fingerprints::new([("sha-256", &identity.fingerprint()[..])])?;
        self.engine.add_peer(RoomId(room), PeerId(peer), config, Some(Terms { active: false, fingerprints }))?;
        Ok(session)
    }
}

/// Both sides of one peer's description, which follow from its number: so that two processes can agree on it.
pub fn describe(
    peer: u64,
    remote: SocketAddr,
    fingerprint: &[u8; 32],
    publishes: bool,
    slots: usize,
) -> (PeerConfig, Session) {
    let credentials = |side: &str| Credentials {
        ufrag: format!("{side}{peer}"),
        password: format!("password+of+{side}+number+{peer}"),
    };
    let (ours, theirs) = (credentials("node"), credentials("peer"));
    let ssrc = |stream: usize| (peer as u32) << 8 | stream as u32;
    let source = publishes.then_some(Source {
        ssrc: ssrc(0xFF),
        payload_type: PAYLOAD_TYPE,
        level_extension: Some(LEVEL_EXTENSION),
    });
    let slots: Vec<u32> = (0..slots).map(ssrc).collect();
    let config = PeerConfig {
        screen_sound: None,
        video: None,
        local_ufrag: ours.ufrag.clone(),
        local_password: ours.password.clone(),
        remote_ufrag: theirs.ufrag.clone(),
        remote_password: theirs.password.clone(),
        source: source.map(|source| SourceConfig {
            csrc: peer as u32,
            mid: "0".into(),
            payload_type: source.payload_type,
            red_payload_type: None,
            ssrc: Some(source.ssrc),
            level_extension: source.level_extension,
            mid_extension: None,
        }),
        slots: slots
            .iter()
            .map(|ssrc| SlotConfig {
                ssrc: *ssrc,
                payload_type: PAYLOAD_TYPE,
                red_payload_type: None,
                nack: false,
                level_extension: Some(LEVEL_EXTENSION),
            })
            .collect(),
        cname: "node".into(),
    };
    let session = Session {
        remote,
        local: theirs,
        peer: ours,
        fingerprints: vec![Fingerprint { hash: Hash::Sha256, digest: fingerprint.to_vec() }],
        opens_dtls: true,
        source,
        slots,
        video: None,
    };
    (config, session)
}
