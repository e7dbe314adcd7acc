//! A room in virtual time: publishers that send their recordings, viewers to whom layers are given by a schedule, and an
//! [`Sfu`] between them.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use congestion::Arrivals;
use sfu::rtcp::{self, Writer};
use sfu::rtp::{Header, extend_sequence};
use sfu::srtp::{Inbound, MasterKey, Outbound, Profile};
use sfu::{
    Event, Extensions, Keys, MAX_DATAGRAM, MAX_RELAY, Note, Output, Path, PeerConfig, PeerId, Placement, RoomId,
    Settings, Sfu, VideoConfig, VideoSlotConfig, VideoSourceConfig, Wish, WorkerId, WorkerSet,
};
use simulation::Random;

use crate::check::Check;
use crate::recording::{Packet, Recording};

const TAG: usize = 16;
const ROOM: Placement = Placement { room: RoomId(1), home: WorkerId(0) };
/// One way, when something has to be sent again.
const DELAY: Duration = Duration::from_millis(20);
/// After the last packet, for what waits.
const AFTERWARDS: Duration = Duration::from_secs(1);
/// A viewer asks this often for what it lacks.
const ATTEMPTS: u8 = 3;

/// What a viewer is given: layers of a publisher's encoding, and all below them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    pub source: usize,
    pub encoding: u8,
    pub spatial: u8,
    pub temporal: u8,
}

/// From before the packet with this place in the course on; None: nothing.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    pub before: usize,
    pub target: Option<Target>,
}

/// Chances, of 1.
#[derive(Clone, Copy, Debug, Default)]
pub struct Network {
    pub loss: f64,
    pub reordering: f64,
}

/// What goes into the node, in order.
pub struct Course {
    pub packets: Vec<Coming>,
    /// What was lost on the way, by publisher, SSRC and sequence number.
    lost: HashMap<(usize, u32, u16), Coming>,
}

#[derive(Clone)]
pub struct Coming {
    pub at: Duration,
    pub source: usize,
    /// Place in its recording.
    pub original: usize,
    pub rtcp: bool,
    pub data: Vec<u8>,
}

impl Course {
    /// Recordings beside one another, each `stagger` after the one before, over a network.
    pub fn new(recordings: &[Recording], stagger: Duration, network: Network, random: &mut Random) -> Self {
        let mut packets = Vec::new();
        for (source, recording) in recordings.iter().enumerate() {
            let numbered = recording.packets.iter().enumerate();
            packets.extend(numbered.map(|(original, Packet { at, rtcp, data })| Coming {
                at: *at + stagger * source as u32,
                source,
                original,
                rtcp: *rtcp,
                data: data.clone(),
            }));
        }
        packets.sort_by_key(|coming| coming.at);
        let mut lost = HashMap::new();
        packets.retain(|coming| {
            let is_lost = !coming.rtcp && random.chance(network.loss);
            if is_lost && let Ok(header) = Header::parse(&coming.data) {
                lost.insert((coming.source, header.ssrc, header.sequence), coming.clone());
            }
            !is_lost
        });
        for place in 1..packets.len() {
            if random.chance(network.reordering) {
                let other = place.saturating_sub(1 + random.below(4) as usize);
                let (earlier, later) = (packets[other].at, packets[place].at);
                packets.swap(other, place);
                (packets[other].at, packets[place].at) = (earlier, later);
            }
        }
        Self { packets, lost }
    }
}

struct Publisher {
    path: Path,
    outbound: Outbound,
    inbound: Inbound,
    /// Of packets, by SSRC.
    highest: HashMap<u32, u64>,
}

/// One packet as a viewer got it, repairs undone.
pub struct Heard {
    pub at: Duration,
    pub index: u64,
    pub data: Vec<u8>,
}

pub struct Viewer {
    pub id: PeerId,
    pub heard: Vec<Heard>,
    pub ssrc: u32,
    pub ids: Extensions,
    /// That came again after it was asked for.
    pub repaired: usize,
    pub steps: Vec<Step>,
    path: Path,
    network: Network,
    random: Random,
    outbound: Outbound,
    inbound: Inbound,
    arrivals: Arrivals,
    newest: Option<u64>,
    missing: BTreeMap<u64, (Instant, u8)>,
}

pub const PAYLOAD_TYPE: u8 = 100;
const RTX_PAYLOAD_TYPE: u8 = 101;
/// Other ids than any publisher's.
const IDS: Extensions = Extensions {
    mid: None,
    rid: None,
    repaired_rid: None,
    transport_cc: Some(1),
    abs_capture_time: Some(2),
    playout_delay: Some(3),
    video_layers_allocation: Some(6),
    dependency_descriptor: Some(7),
    video_orientation: Some(9),
};

pub struct Stage {
    sfu: Sfu,
    start: Instant,
    now: Instant,
    publishers: Vec<Publisher>,
    pub viewers: Vec<Viewer>,
    by_path: HashMap<Path, usize>,
    deadline: Option<Instant>,
    /// What publishers send again.
    again: BTreeMap<(Instant, u64), Coming>,
    agains: u64,
    /// By publisher, SSRC and sequence number.
    asked: Vec<(usize, u32, u16)>,
    pub key_frames_asked: usize,
}

#[derive(Default)]
struct Sink(Vec<(Path, Vec<u8>)>);

impl Output for Sink {
    fn send(&mut self, to: Path, fill: impl FnOnce(&mut [u8; MAX_DATAGRAM]) -> usize) {
        let mut buf = [0; MAX_DATAGRAM];
        let len = fill(&mut buf);
        if len > 0 {
            self.0.push((to, buf[..len].to_vec()));
        }
    }

    fn dtls(&mut self, _: PeerId, _: &[u8]) {}
    fn event(&mut self, _: Event) {}
    fn relay(&mut self, _: WorkerSet, _: impl FnOnce(&mut [u8; MAX_RELAY]) -> usize) {}
    fn note(&mut self, _: WorkerId, _: Note) {}
}

fn key(number: u64, direction: u8) -> MasterKey {
    let mut key = [direction; 16];
    key[..8].copy_from_slice(&number.to_be_bytes());
    MasterKey::new(Profile::AeadAes128Gcm, &key, &[direction; 12]).expect("lengths are the profile's")
}

impl Stage {
    pub fn new(recordings: &[Recording], seed: u64) -> Self {
        let start = Instant::now();
        let settings = Settings {
            worker: WorkerId(0),
            audio_slots: 1,
            seed,
            timeline: 0xFFFE_0000 ^ seed as u32,
            wall_clock: Duration::from_secs(1_800_000_000),
        };
        let mut stage = Self {
            sfu: Sfu::new(settings, start),
            start,
            now: start,
            publishers: Vec::new(),
            viewers: Vec::new(),
            by_path: HashMap::new(),
            deadline: None,
            again: BTreeMap::new(),
            agains: 0,
            asked: Vec::new(),
            key_frames_asked: 0,
        };
        for (source, recording) in recordings.iter().enumerate() {
            let config = VideoConfig {
                sources: vec![VideoSourceConfig {
                    csrc: csrc(source),
                    mid: "0".into(),
                    screen: false,
                    codecs: vec![recording.codec],
                    rids: recording.rids.clone(),
                    ssrcs: if recording.rids.is_empty() { recording.ssrcs.clone() } else { Vec::new() },
                }],
                slots: Vec::new(),
                extensions: recording.extensions,
                transport_cc: false,
            };
            let (path, inbound, outbound) = stage.join(source as u64 + 1, config);
            stage.publishers.push(Publisher { path, inbound, outbound, highest: HashMap::new() });
            let id = PeerId(source as u64 + 1);
            stage.command(|sfu, now, sink| sfu.set_sharing(now, id, &[csrc(source)], false, sink));
        }
        stage
    }

    /// Somebody to whom the layers of `steps` are given.
    pub fn view(&mut self, codec: sfu::video::Codec, descriptors: bool, steps: Vec<Step>, network: Network, seed: u64) {
        let number = 1000 + self.viewers.len() as u64;
        let ids = Extensions { dependency_descriptor: IDS.dependency_descriptor.filter(|_| descriptors), ..IDS };
        let (ssrc, rtx_ssrc) = (0x1000_0000 + number as u32, 0x2000_0000 + number as u32);
        let codecs =
            vec![sfu::VideoCodec { codec, payload_type: PAYLOAD_TYPE, rtx_payload_type: Some(RTX_PAYLOAD_TYPE) }];
        let slots = vec![VideoSlotConfig { ssrc, rtx_ssrc, codecs }];
        let config = VideoConfig { sources: Vec::new(), slots, extensions: ids, transport_cc: true };
        let (path, inbound, outbound) = self.join(number, config);
        self.by_path.insert(path, self.viewers.len());
        self.viewers.push(Viewer {
            id: PeerId(number),
            heard: Vec::new(),
            ssrc,
            ids,
            repaired: 0,
            path,
            steps,
            network,
            random: Random::new(seed).split(number),
            outbound,
            inbound,
            arrivals: Arrivals::new(),
            newest: None,
            missing: BTreeMap::new(),
        });
    }

    /// A peer to which media flows.
    fn join(&mut self, number: u64, video: VideoConfig) -> (Path, Inbound, Outbound) {
        let id = PeerId(number);
        let remote = ([192, 0, (number >> 8) as u8, number as u8], 10_000).into();
        let path = Path { local: 0, remote };
        let config = PeerConfig {
            local_ufrag: format!("node{number}"),
            local_password: "the node's password".into(),
            remote_ufrag: "client".into(),
            remote_password: "nobody uses it".into(),
            source: None,
            screen_sound: None,
            slots: Vec::new(),
            video: Some(video),
            cname: "chorale".into(),
        };
        let mut check = Check {
            transaction: *b"transaction!",
            username: &format!("node{number}:client"),
            password: "the node's password",
            use_candidate: true,
            controlled: false,
            extra: None,
        }
        .bytes();
        self.command(|sfu, now, sink| {
            sfu.add_peer(now, ROOM, id, config, sink).expect("a peer like any other");
            sfu.handle(now, path, &mut check, sink);
            sfu.set_keys(id, Keys { inbound: key(number, 1), outbound: key(number, 2) }, sink);
        });
        (path, Inbound::new(&key(number, 2)), Outbound::new(&key(number, 1)))
    }

    fn command<T>(&mut self, command: impl FnOnce(&mut Sfu, Instant, &mut Sink) -> T) -> T {
        let mut sink = Sink::default();
        let result = command(&mut self.sfu, self.now, &mut sink);
        self.deadline = self.sfu.poll(self.now, &mut sink);
        for (path, datagram) in sink.0 {
            self.deliver(path, datagram);
        }
        result
    }

    /// Everything that is sent, and all that comes of it.
    pub fn play(&mut self, course: &Course) {
        for (place, coming) in course.packets.iter().enumerate() {
            self.advance(self.start + coming.at, course);
            for viewer in 0..self.viewers.len() {
                let due = self.viewers[viewer].steps.iter().find(|step| step.before == place);
                if let Some(&Step { target, .. }) = due {
                    self.give(viewer, target);
                }
            }
            self.come(coming);
        }
        self.advance(self.now + AFTERWARDS, course);
    }

    fn give(&mut self, viewer: usize, target: Option<Target>) {
        let id = self.viewers[viewer].id;
        let source = target.map_or(0, |target| target.source);
        let wish = Wish { slot: 0, csrc: csrc(source), width: 1920, priority: 0, paused: target.is_none() };
        self.command(|sfu, now, sink| {
            sfu.pin(id, 0, target.map(|target| (target.encoding, target.spatial, target.temporal)));
            sfu.watch(now, id, &[wish], sink);
        });
    }

    fn come(&mut self, coming: &Coming) {
        let publisher = &mut self.publishers[coming.source];
        let mut sealed = coming.data.clone();
        let len = sealed.len();
        if coming.rtcp {
            sealed.resize(len + 4 + TAG, 0);
            let len = publisher.outbound.protect_rtcp(&mut sealed, len);
            sealed.truncate(len);
        } else {
            let header = Header::parse(&sealed).expect("it was recorded");
            let highest = publisher.highest.entry(header.ssrc).or_insert(u64::from(header.sequence));
            let index = extend_sequence(*highest, header.sequence);
            *highest = index.max(*highest);
            sealed.resize(len + TAG, 0);
            let len = publisher.outbound.protect(index, &mut sealed, header.len, len);
            sealed.truncate(len);
        }
        let path = publisher.path;
        self.command(|sfu, now, sink| sfu.handle(now, path, &mut sealed, sink));
    }

    /// Let the time pass until `until`.
    fn advance(&mut self, until: Instant, course: &Course) {
        loop {
            let feedback = self.viewers.iter().filter_map(|viewer| viewer.arrivals.due()).min();
            let again = self.again.first_key_value().map(|((at, _), _)| *at);
            let asking = self.viewers.iter().flat_map(|viewer| viewer.missing.values().map(|missing| missing.0)).min();
            let next = [feedback, again, asking, self.deadline].into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= until) else { break };
            self.now = self.now.max(next);
            while let Some(entry) = self.again.first_entry().filter(|entry| entry.key().0 <= self.now) {
                let coming = entry.remove();
                self.come(&coming);
            }
            for viewer in 0..self.viewers.len() {
                self.report(viewer);
            }
            self.command(|_, _, _| ());
            self.repeat(course);
        }
        self.now = until;
    }

    /// What a viewer tells of arrivals and losses, when it is time.
    fn report(&mut self, viewer: usize) {
        let viewer = &mut self.viewers[viewer];
        let mut compounds = Vec::new();
        if viewer.arrivals.due().is_some_and(|due| due <= self.now) {
            let mut fci = [0; 1000];
            let len = viewer.arrivals.write(self.now, &mut fci);
            let ssrcs = [1, viewer.ssrc];
            compounds.push(feedback(&mut viewer.outbound, rtcp::TRANSPORT_CC, ssrcs, &fci[..len]));
        }
        let due: Vec<u64> =
            viewer.missing.iter().filter(|(_, (at, _))| *at <= self.now).map(|(index, _)| *index).collect();
        for index in due {
            let fci = [(index as u16).to_be_bytes(), [0, 0]].concat();
            compounds.push(feedback(&mut viewer.outbound, rtcp::NACK, [1, viewer.ssrc], &fci));
            let (at, attempts) = viewer.missing.get_mut(&index).expect("it is due");
            (*at, *attempts) = (self.now + 4 * DELAY, *attempts + 1);
            if *attempts == ATTEMPTS {
                viewer.missing.remove(&index);
            }
        }
        let path = viewer.path;
        for mut compound in compounds {
            self.command(|sfu, now, sink| sfu.handle(now, path, &mut compound, sink));
        }
    }

    /// Publishers send what was lost and is asked for.
    fn repeat(&mut self, course: &Course) {
        for key in std::mem::take(&mut self.asked) {
            if let Some(coming) = course.lost.get(&key) {
                self.again.insert((self.now + DELAY, self.agains), coming.clone());
                self.agains += 1;
            }
        }
    }

    fn deliver(&mut self, path: Path, mut datagram: Vec<u8>) {
        match self.by_path.get(&path) {
            Some(&viewer) => {
                let since = self.now - self.start;
                self.viewers[viewer].receive(self.now, since, datagram);
            }
            None => {
                let mut publishers = self.publishers.iter_mut().enumerate();
                let Some((source, publisher)) = publishers.find(|(_, publisher)| publisher.path == path) else {
                    return;
                };
                let Ok(len) = publisher.inbound.unprotect_rtcp(&mut datagram) else { return };
                for packet in rtcp::packets(&datagram[..len]) {
                    let Ok(rtcp::Packet::Feedback { payload_specific, format, media, information, .. }) = packet else {
                        continue;
                    };
                    match (payload_specific, format) {
                        (true, rtcp::PLI) => self.key_frames_asked += 1,
                        (false, rtcp::NACK) => {
                            self.asked.extend(sequences(information).map(|sequence| (source, media, sequence)));
                        }
                        _ => {}
                    }
                }
            }
        }
    }
}

fn feedback(outbound: &mut Outbound, format: u8, ssrcs: [u32; 2], fci: &[u8]) -> Vec<u8> {
    let mut buf = [0; MAX_DATAGRAM];
    let mut writer = Writer::new(&mut buf);
    let written = writer.feedback(false, format, ssrcs, |out| {
        out[..fci.len()].copy_from_slice(fci);
        fci.len()
    });
    written.expect("there is room");
    let len = writer.finish();
    let len = outbound.protect_rtcp(&mut buf, len);
    buf[..len].to_vec()
}

/// RFC 4585 §6.2.1.
fn sequences(information: &[u8]) -> impl Iterator<Item = u16> {
    information.chunks_exact(4).flat_map(|each| {
        let (first, after) = (u16::from_be_bytes([each[0], each[1]]), u16::from_be_bytes([each[2], each[3]]));
        let following = (0..16).filter(move |bit| after >> bit & 1 == 1).map(|bit| bit + 1);
        std::iter::once(0).chain(following).map(move |distance| first.wrapping_add(distance))
    })
}

pub fn csrc(source: usize) -> u32 {
    7000 + source as u32
}

impl Viewer {
    fn receive(&mut self, now: Instant, since: Duration, mut datagram: Vec<u8>) {
        if datagram.first().is_none_or(|first| first >> 6 != 2) || (192..224).contains(&datagram[1]) {
            return; // STUN, RTCP
        }
        if self.random.chance(self.network.loss) {
            return;
        }
        let opened = self.inbound.unprotect(&mut datagram).expect("the viewer can open what it is sent");
        datagram.truncate(opened.len);
        let header = opened.header;
        let element = self.ids.transport_cc.and_then(|id| header.extension(&datagram, id));
        if let Some(&[high, low]) = element {
            self.arrivals.received(now, u16::from_be_bytes([high, low]), since);
        }
        let index = if header.ssrc == self.ssrc {
            opened.index
        } else {
            let payload_len = header.payload_len(&datagram).expect("a packet like any other");
            if payload_len < 2 {
                return; // padding
            }
            let sequence = u16::from_be_bytes([datagram[header.len], datagram[header.len + 1]]);
            datagram.drain(header.len..header.len + 2);
            datagram[1] = datagram[1] & 0x80 | PAYLOAD_TYPE;
            datagram[2..4].copy_from_slice(&sequence.to_be_bytes());
            datagram[8..12].copy_from_slice(&self.ssrc.to_be_bytes());
            self.repaired += 1;
            extend_sequence(self.newest.unwrap_or(sequence.into()), sequence)
        };
        if self.heard.iter().any(|heard| heard.index == index) {
            return; // repaired, and only late
        }
        let newest = self.newest.unwrap_or(index);
        for missing in newest + 1..index {
            self.missing.insert(missing, (now + DELAY, 0));
        }
        self.missing.remove(&index);
        self.newest = Some(newest.max(index));
        self.heard.push(Heard { at: since, index, data: datagram });
    }
}
