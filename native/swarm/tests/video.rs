//! Two clients that show each other video in virtual time, with a bad network between them that is played here.

use std::{
    cell::Cell,
    cmp::Reverse,
    collections::BinaryHeap,
    rc::Rc,
    time::{Duration, Instant},
};

use swarm::{
    Camera, CameraStatistics, Client, Clock, Credentials, Devices, Extensions, Fingerprint, Hash, Identity, Output,
    Packet, Random, Session, State, Video, VideoSlot, VideoSource, VideoStamp, VideoStatistics, VideoStream,
};

const DELAY: Duration = Duration::from_millis(10);
const SECOND: Duration = Duration::from_secs(1);

/// What a client sent, and the video that it saw.
#[derive(Default)]
struct Sent {
    datagrams: Vec<Vec<u8>>,
    seen: Vec<(u64, VideoStamp)>,
}

impl Output for Sent {
    fn send(&mut self, datagram: &[u8]) {
        self.datagrams.push(datagram.to_vec());
    }

    fn heard(&mut self, packet: &Packet<'_>) {
        self.seen.extend(VideoStamp::read(packet.payload).map(|stamp| (packet.index, stamp)));
    }
}

/// SSRC and payload type of an SRTP packet; None: it is something else.
fn video(datagram: &[u8]) -> Option<(u32, u8)> {
    let is_rtp = datagram[0] >> 6 == 2 && !(64..96).contains(&(datagram[1] & 0x7F));
    is_rtp.then(|| (u32::from_be_bytes(datagram[8..12].try_into().unwrap()), datagram[1] & 0x7F))
}

type Loses = Box<dyn FnMut(&[u8]) -> bool>;

/// When a datagram arrives, its number, whose it is.
type UnderWay = Reverse<(Instant, u64, usize, Vec<u8>)>;

/// The first shows, the second watches.
struct Pair {
    clients: [Client; 2],
    sent: [Sent; 2],
    now: Instant,
    begin: Instant,
    under_way: BinaryHeap<UnderWay>,
    count: u64,
    /// Datagrams of the camera that get lost.
    loses: Loses,
}

const MEDIA: [u32; 3] = [101, 102, 103];
const RTX: [u32; 3] = [201, 202, 203];
const ALL: Extensions = Extensions { mid: Some(4), rid: Some(10), repaired_rid: Some(11), transport_cc: Some(3) };

impl Pair {
    fn new(camera: Camera, has_rtx: bool, loses: impl FnMut(&[u8]) -> bool + 'static) -> Pair {
        let begin = Instant::now();
        let identity = Identity::new().unwrap();
        let credentials =
            |side: &str| Credentials { ufrag: side.into(), password: format!("password+of+the+one+{side}") };
        let count = camera.encodings.len();
        let rtx = |at: usize| has_rtx.then_some(RTX[at]);
        let streams = (0..count).map(|encoding| VideoStream {
            encoding,
            rid: (count > 1).then(|| encoding.to_string()),
            ssrc: MEDIA[encoding],
            rtx_ssrc: rtx(encoding),
        });
        let source = VideoSource { mid: "1".into(), streams: streams.collect() };
        let slots = (0..count).map(|at| VideoSlot { ssrc: MEDIA[at], rtx_ssrc: rtx(at) }).collect();
        let rtx_payload_type = has_rtx.then_some(97);
        let common = Video { source: None, slots: vec![], payload_type: 96, rtx_payload_type, extensions: ALL };
        let session = |ours: &str, theirs: &str, video| Session {
            remote: ([192, 0, 2, 1], 5000).into(),
            local: credentials(ours),
            peer: credentials(theirs),
            fingerprints: vec![Fingerprint { hash: Hash::Sha256, digest: identity.fingerprint().to_vec() }],
            opens_dtls: ours == "shows",
            source: None,
            slots: vec![],
            video: Some(video),
        };
        let shows = session("shows", "watches", Video { source: Some(source), ..common.clone() });
        let watches = session("watches", "shows", Video { slots, ..common });
        let clock = Clock::start();
        let client = |session, camera, seed| {
            let devices = Devices { microphone: None, camera };
            Client::new(begin, &identity, clock, session, devices, Random::new(seed)).unwrap()
        };
        Pair {
            clients: [client(shows, Some(camera), 1), client(watches, None, 2)],
            sent: Default::default(),
            now: begin,
            begin,
            under_way: BinaryHeap::new(),
            count: 0,
            loses: Box::new(loses),
        }
    }

    /// Until so long after the beginning.
    fn run_until(&mut self, time: Duration) {
        let end = self.begin + time;
        loop {
            let arrival = self.under_way.peek().map(|Reverse((at, ..))| *at);
            let dues = self.clients.iter().map(|client| client.due().expect("it goes on"));
            let next = dues.chain(arrival).min().unwrap();
            if next > end {
                return;
            }
            self.now = self.now.max(next);
            for at in 0..2 {
                if self.clients[at].due().is_some_and(|due| due <= self.now) {
                    self.clients[at].poll(self.now, &mut self.sent[at]);
                }
            }
            while let Some(Reverse((at, ..))) = self.under_way.peek()
                && *at <= self.now
            {
                let Reverse((_, _, to, mut datagram)) = self.under_way.pop().unwrap();
                self.clients[to].receive(self.now, &mut datagram, &mut self.sent[to]);
            }
            for from in 0..2 {
                for datagram in std::mem::take(&mut self.sent[from].datagrams) {
                    if from == 0 && (self.loses)(&datagram) {
                        continue;
                    }
                    self.under_way.push(Reverse((self.now + DELAY, self.count, 1 - from, datagram)));
                    self.count += 1;
                }
            }
        }
    }

    fn camera(&self) -> CameraStatistics {
        self.clients[0].statistics().camera.unwrap()
    }

    fn videos(&self) -> Vec<VideoStatistics> {
        self.clients[1].statistics().videos
    }
}

#[test]
fn three_encodings_arrive_whole_and_decodable() {
    let mut pair = Pair::new(Camera::simulcast((1, 2)), true, |_| false);
    pair.run_until(5 * SECOND);
    assert!(pair.clients.iter().all(|client| client.state() == State::Connected));
    let (camera, videos) = (pair.camera(), pair.videos());
    for (at, video) in videos.iter().enumerate() {
        assert!((140..=150).contains(&video.decoded()), "{video:?}");
        assert_eq!((video.frames[at], video.key_frames), (video.decoded(), 1));
        assert_eq!((video.undecodable, video.holes, video.jumps, video.freezes, video.asked), (0, 0, 0, 0, 0));
    }
    let bits = 8 * camera.bytes;
    // Key frames come on top of the mean.
    assert!((11_500_000..13_500_000).contains(&bits), "{bits}");
    assert!((60..=100).contains(&camera.feedback), "{camera:?}");
    assert_eq!((camera.frames, camera.late_frames), (3 * videos[0].decoded(), 0));
    assert_eq!(pair.clients[1].statistics().unannounced, 0);
}

#[test]
fn lost_packets_are_asked_for_and_come_in_the_stream_of_repair() {
    let mut count = 0;
    let mut pair = Pair::new(Camera::single(1_850_000, (1, 2)), true, move |datagram| {
        count += u32::from(video(datagram).is_some_and(|(ssrc, _)| ssrc == MEDIA[0]));
        video(datagram).is_some_and(|(ssrc, _)| ssrc == MEDIA[0]) && count % 20 == 7
    });
    pair.run_until(5 * SECOND);
    let (camera, video) = (pair.camera(), &pair.videos()[0]);
    assert!(video.repaired > 40 && video.repaired == camera.repaired, "{video:?} {camera:?}");
    assert_eq!((video.holes, video.undecodable, video.miscut, video.jumps, video.freezes), (0, 0, 0, 0, 0));
    assert_eq!(video.key_frames, 1);
    assert!(video.mean_repair().unwrap() >= 2 * DELAY);
    let streams = pair.clients[1].statistics().streams;
    let rtx = streams.iter().find(|stream| stream.ssrc == RTX[0]).unwrap();
    assert_eq!(rtx.packets, camera.repaired);
}

#[test]
fn without_a_stream_of_repair_the_same_bytes_come_again() {
    let (mut lost, mut count) = (Vec::new(), 0);
    let again = Rc::new(Cell::new(0));
    let counted = Rc::clone(&again);
    let mut pair = Pair::new(Camera::single(500_000, (1, 2)), false, move |datagram| {
        if video(datagram).is_none() {
            return false;
        }
        if lost.iter().any(|packet| packet == datagram) {
            counted.set(counted.get() + 1);
            return false;
        }
        count += 1;
        let is_lost = count % 10 == 7;
        if is_lost {
            lost.push(datagram.to_vec());
        }
        is_lost
    });
    pair.run_until(5 * SECOND);
    let (camera, video) = (pair.camera(), &pair.videos()[0]);
    assert!(video.repaired > 10, "{video:?}");
    assert_eq!((camera.repaired, video.holes), (again.get(), 0));
}

#[test]
fn what_never_comes_is_given_up_and_a_key_frame_is_asked_for() {
    let mut count = 0;
    let mut pair = Pair::new(Camera::single(500_000, (1, 2)), true, move |datagram| {
        count += u32::from(video(datagram).is_some());
        // Most of a second of it, and all that would repair it.
        video(datagram).is_some_and(|(ssrc, _)| (200..240).contains(&count) || ssrc == RTX[0])
    });
    pair.run_until(8 * SECOND);
    let (camera, video) = (pair.camera(), &pair.videos()[0]);
    assert!(video.holes >= 40 && video.asked >= 1, "{video:?}");
    assert_eq!((video.key_frames, video.miscut, video.jumps), (2, 0, 0), "{video:?}");
    assert_eq!(camera.key_frames, 2);
    assert!(video.freezes >= 1 && video.frozen < 3 * SECOND, "{video:?}");
}

#[test]
fn a_key_frame_comes_with_the_next_frame_or_at_once() {
    // Five frames a second; the first is lost, and the second cannot be decoded without it.
    for (key_frames_at_once, expected) in [(false, 200), (true, 2 * DELAY.as_millis())] {
        let camera = Camera { key_frames_at_once, frame_rate: 5, ..Camera::single(500_000, (1, 2)) };
        let mut first = None;
        let mut pair = Pair::new(camera, true, move |datagram| {
            let timestamp = video(datagram).map(|_| datagram[4..8].to_vec());
            first = first.take().or(timestamp.clone());
            timestamp.is_some() && timestamp == first
        });
        pair.run_until(3 * SECOND);
        let video = &pair.videos()[0];
        assert_eq!((video.key_frames, video.undecodable, video.miscut), (1, 1, 0), "{video:?}");
        let sent: Vec<_> =
            pair.sent[1].seen.iter().map(|(_, stamp)| (stamp.frame, stamp.is_key(), stamp.sent)).collect();
        let (before, after) = (sent[0], *sent.iter().find(|(_, is_key, _)| *is_key).unwrap());
        assert_eq!((before.0, after.0, (after.2 - before.2).as_millis()), (1, 2, expected));
    }
}
