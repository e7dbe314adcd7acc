//! Both sides of the description of a peer with video, by hand.

use std::net::SocketAddr;

use sfu::{PeerConfig, VideoCodec, VideoConfig, VideoSlotConfig, VideoSourceConfig, video::Codec};
use swarm::{
    Camera, Credentials, Extensions, Fingerprint, Hash, Random, Session, Video, VideoSlot, VideoSource, VideoStream,
};

const VP8: u8 = 96;
const RTX: u8 = 97;
const TRANSPORT_CC: u8 = 3;
const MID: u8 = 4;
const RID: u8 = 10;
const REPAIRED_RID: u8 = 11;

/// The only m-line.
const LINE: &str = "0";

/// What a peer has of video.
#[derive(Clone, Copy)]
pub struct Film<'a> {
    /// What it publishes, under its own number as CSRC.
    pub camera: Option<&'a Camera>,
    /// What it watches into.
    pub slots: usize,
    /// Both sides tell each other when packets came.
    pub transport_cc: bool,
}

/// Of the node, and of the client.
pub fn describe(peer: u64, remote: SocketAddr, fingerprint: &[u8; 32], film: Film<'_>) -> (PeerConfig, Session) {
    let credentials = |side: &str| Credentials {
        ufrag: format!("{side}{peer}"),
        password: format!("password+of+{side}+number+{peer}"),
    };
    let (ours, theirs) = (credentials("node"), credentials("peer"));
    let ssrc = |stream: usize| (peer as u32) << 8 | stream as u32;
    let transport_cc = film.transport_cc.then_some(TRANSPORT_CC);
    let streams = film.camera.map(|camera| camera.streams(&mut Random::new(peer)));
    let codecs = vec![VideoCodec { codec: Codec::Vp8, payload_type: VP8, rtx_payload_type: Some(RTX) }];
    let source = |streams: &Vec<VideoStream>| VideoSourceConfig {
        csrc: peer as u32,
        mid: LINE.into(),
        screen: false,
        codecs: codecs.clone(),
        rids: streams.iter().filter_map(|stream| stream.rid.clone()).collect(),
        ssrcs: match &streams[..] {
            [only] => vec![(only.ssrc, only.rtx_ssrc)],
            _ => Vec::new(),
        },
    };
    let slot = |slot| VideoSlotConfig { ssrc: ssrc(2 * slot), rtx_ssrc: ssrc(2 * slot + 1), codecs: codecs.clone() };
    let video = VideoConfig {
        sources: streams.iter().map(source).collect(),
        slots: (0..film.slots).map(slot).collect(),
        extensions: sfu::Extensions {
            mid: Some(MID),
            rid: Some(RID),
            repaired_rid: Some(REPAIRED_RID),
            transport_cc,
            ..sfu::Extensions::default()
        },
        transport_cc: film.transport_cc,
    };
    let config = PeerConfig {
        local_ufrag: ours.ufrag.clone(),
        local_password: ours.password.clone(),
        remote_ufrag: theirs.ufrag.clone(),
        remote_password: theirs.password.clone(),
        source: None,
        screen_sound: None,
        slots: Vec::new(),
        video: Some(video),
        cname: "node".into(),
    };
    let slot = |slot| VideoSlot { ssrc: ssrc(2 * slot), rtx_ssrc: Some(ssrc(2 * slot + 1)) };
    let video = Video {
        source: streams.map(|streams| VideoSource { mid: LINE.into(), streams }),
        slots: (0..film.slots).map(slot).collect(),
        payload_type: VP8,
        rtx_payload_type: Some(RTX),
        extensions: Extensions { mid: Some(MID), rid: Some(RID), repaired_rid: Some(REPAIRED_RID), transport_cc },
    };
    let session = Session {
        remote,
        local: theirs,
        peer: ours,
        fingerprints: vec![Fingerprint { hash: Hash::Sha256, digest: fingerprint.to_vec() }],
        opens_dtls: true,
        source: None,
        slots: Vec::new(),
        video: Some(video),
    };
    (config, session)
}
