//! A node, publishers of synthetic VP8 in three encodings of three temporal layers, and watchers behind links of their own,
//! in virtual time.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use congestion::Arrivals;
use sfu::rtcp::{self, Packet, Writer};
use sfu::srtp::{Inbound, MasterKey, Outbound, Profile};
use sfu::video::{Codec, Glance, glance};
use sfu::{
    Event, Extensions, Keys, MAX_DATAGRAM, Path, PeerConfig, PeerId, Placement, RoomId, Settings, Sfu, VideoCodec,
    VideoConfig, VideoSlotConfig, VideoSourceConfig, Wish, WorkerId,
};
use simulation::{Conditions, Network};

use super::camera::seal;
use super::recorder::Recorder;

pub const MS: Duration = Duration::from_millis(1);
pub const SECOND: Duration = Duration::from_secs(1);
pub const VP8: u8 = 96;
pub const RTX: u8 = 97;
pub const FPS: u64 = 30;
pub const NODE: &str = "192.0.2.1:7000";
const EXTENSIONS: Extensions = Extensions {
    mid: Some(1),
    rid: Some(2),
    repaired_rid: Some(3),
    transport_cc: Some(4),
    abs_capture_time: None,
    playout_delay: Some(6),
    video_layers_allocation: None,
    dependency_descriptor: None,
    video_orientation: None,
};
/// Bits a second of the encodings, as browsers set them.
pub const RATES: [u64; 3] = [150_000, 500_000, 1_700_000];
pub const RIDS: [&str; 3] = ["q", "h", "f"];

/// One encoder.
pub struct Encoder {
    pub index: u64,
    pub frame: u64,
    pub picture: u16,
    pub tl0: u8,
    pub key_index: u8,
    pub wants_key: bool,
    pub active: bool,
    pub keys: u64,
    /// Sealed packets by sequence number, to be repeated.
    pub kept: HashMap<u16, Vec<u8>>,
    rtx: u64,
    pub asked: u64,
}

/// A packet as it arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    pub at: Duration,
    pub index: u64,
    pub timestamp: u32,
    pub marker: bool,
    pub glance: Option<Glance>,
    pub repaired: bool,
    /// Of its encoder, as its payload says.
    pub encoding: u8,
}

pub struct Person {
    pub id: PeerId,
    pub address: SocketAddr,
    pub csrc: u32,
    worker: usize,
    config: PeerConfig,
    pub outbound: Outbound,
    inbound: Inbound,
    pub encoders: Vec<Encoder>,
    pub next_frame: Instant,
    pub transport_sequence: u16,
    arrivals: Arrivals,
    next_check: Instant,
    /// By slot.
    pub seen: HashMap<u8, BTreeMap<u64, Seen>>,
    pub pli_asked: u64,
    /// Asks for what it misses.
    pub asks: bool,
    asked: HashMap<(u32, u64), (Instant, u32)>,
    pub bytes: Vec<(Duration, usize)>,
    pub feedback_seen: u64,
}

pub struct Theatre {
    pub now: Instant,
    pub start: Instant,
    pub sfus: Vec<Sfu>,
    pub network: Network,
    pub people: Vec<Person>,
    pub events: Vec<(Duration, Event)>,
    deadlines: Vec<Option<Instant>>,
    transactions: u64,
    /// Nothing is lost: holes are ours.
    pub lossless: bool,
}

fn key(number: u64, salt: u8) -> MasterKey {
    let bytes: Vec<u8> = (0..28).map(|at| (number as u8).wrapping_mul(31) ^ at ^ salt).collect();
    MasterKey::new(Profile::AeadAes128Gcm, &bytes[..16], &bytes[16..28]).expect("of the right lengths")
}

impl Theatre {
    pub fn new(workers: usize) -> Self {
        let start = Instant::now();
        let settings = |worker| Settings {
            worker: WorkerId(worker),
            audio_slots: 4,
            seed: 7,
            timeline: 0xFFFF_0000,
            wall_clock: Duration::from_secs(1_800_000_000),
        };
        Self {
            now: start,
            start,
            sfus: (0..workers).map(|worker| Sfu::new(settings(worker as u8), start)).collect(),
            network: Network::new(start, 7),
            people: Vec::new(),
            events: Vec::new(),
            deadlines: vec![None; workers],
            transactions: 0,
            lossless: true,
        }
    }

    /// Somebody with a camera (three encodings) and `slots` video slots.
    pub fn join(&mut self, camera: bool, slots: u32, down: Conditions) -> usize {
        self.join_at(0, camera, slots, Conditions { delay: 10 * MS, ..Conditions::default() }, down)
    }

    pub fn join_at(&mut self, worker: usize, camera: bool, slots: u32, up: Conditions, down: Conditions) -> usize {
        let number = self.people.len() as u64 + 1;
        let n = number as u32;
        let address: SocketAddr = format!("192.0.2.{}:{}", 10 + number, 20_000 + number).parse().unwrap();
        let codecs = vec![VideoCodec { codec: Codec::Vp8, payload_type: VP8, rtx_payload_type: Some(RTX) }];
        let source = VideoSourceConfig {
            csrc: 1000 + n,
            mid: "1".into(),
            screen: false,
            codecs: codecs.clone(),
            rids: RIDS.map(String::from).to_vec(),
            ssrcs: Vec::new(),
        };
        let slot = |slot: u32| VideoSlotConfig {
            ssrc: 0x4000_0000 + n * 0x100 + 2 * slot,
            rtx_ssrc: 0x4000_0001 + n * 0x100 + 2 * slot,
            codecs: codecs.clone(),
        };
        let config = PeerConfig {
            local_ufrag: format!("node{n}"),
            local_password: format!("the node's password for {n}"),
            remote_ufrag: format!("client{n}"),
            remote_password: "unused".into(),
            source: None,
            screen_sound: None,
            slots: Vec::new(),
            video: Some(VideoConfig {
                sources: camera.then_some(source).into_iter().collect(),
                slots: (0..slots).map(slot).collect(),
                extensions: EXTENSIONS,
                transport_cc: true,
            }),
            cname: format!("cname{n}"),
        };
        self.network.attach(address, up, down);
        let placement = Placement { room: RoomId(1), home: WorkerId(0) };
        let mut out = Recorder::default();
        self.sfus[worker].add_peer(self.now, placement, PeerId(number), config.clone(), &mut out).expect("a peer");
        self.people.push(Person {
            id: PeerId(number),
            address,
            csrc: 1000 + n,
            worker,
            config,
            outbound: Outbound::new(&key(number, 0xC0)),
            inbound: Inbound::new(&key(number, 0x50)),
            encoders: (0..if camera { 3 } else { 0 })
                .map(|encoding| Encoder {
                    index: 60_000 + 1000 * encoding,
                    frame: 0,
                    picture: 0x7FF0 + encoding as u16,
                    tl0: 250,
                    key_index: 30,
                    wants_key: true,
                    active: true,
                    keys: 0,
                    kept: HashMap::new(),
                    rtx: 100,
                    asked: 0,
                })
                .collect(),
            next_frame: self.now + u32::try_from(number).unwrap() * 7 * MS,
            transport_sequence: 65_000,
            arrivals: Arrivals::new(),
            next_check: self.now,
            seen: HashMap::new(),
            pli_asked: 0,
            asks: true,
            asked: HashMap::new(),
            bytes: Vec::new(),
            feedback_seen: 0,
        });
        self.perform(worker, out);
        let keys = Keys { inbound: key(number, 0xC0), outbound: key(number, 0x50) };
        let person = self.people.len() - 1;
        self.check(person);
        self.run(60 * MS);
        let mut out = Recorder::default();
        self.sfus[worker].set_keys(PeerId(number), keys, &mut out);
        if camera {
            self.sfus[worker].set_sharing(self.now, PeerId(number), &[1000 + n], false, &mut out);
        }
        self.perform(worker, out);
        person
    }

    pub fn leave(&mut self, person: usize) {
        let (worker, id) = (self.people[person].worker, self.people[person].id);
        let mut out = Recorder::default();
        self.sfus[worker].remove_peer(self.now, id, &mut out);
        self.perform(worker, out);
        self.people[person].encoders.clear();
    }

    pub fn share(&mut self, person: usize, csrcs: &[u32]) {
        let (worker, id) = (self.people[person].worker, self.people[person].id);
        let mut out = Recorder::default();
        self.sfus[worker].set_sharing(self.now, id, csrcs, false, &mut out);
        self.perform(worker, out);
    }

    /// (slot, whose, width)
    pub fn watch(&mut self, person: usize, wishes: &[(u8, usize, u16)]) {
        let wish = |&(slot, whose, width): &(u8, usize, u16)| Wish {
            slot,
            csrc: self.people[whose].csrc,
            width,
            priority: 0,
            paused: false,
        };
        let wishes: Vec<_> = wishes.iter().map(wish).collect();
        let (worker, id) = (self.people[person].worker, self.people[person].id);
        let mut out = Recorder::default();
        self.sfus[worker].watch(self.now, id, &wishes, &mut out);
        self.perform(worker, out);
    }

    fn perform(&mut self, worker: usize, out: Recorder) {
        let node: SocketAddr = NODE.parse().unwrap();
        for (path, bytes) in out.sent {
            self.network.send(self.now, node, path.remote, bytes);
        }
        let at = self.now - self.start;
        for event in &out.events {
            if let Event::Encodings { peer, wanted, .. } = event
                && let Some(person) = self.people.iter_mut().find(|person| person.id == *peer)
            {
                for (index, encoder) in person.encoders.iter_mut().enumerate() {
                    let active = wanted >> index & 1 == 1;
                    encoder.wants_key |= active && !encoder.active;
                    encoder.active = active;
                }
            }
        }
        self.events.extend(out.events.into_iter().map(|event| (at, event)));
        // Between workers all comes at once: what they do on time is tested elsewhere.
        for (to, note) in out.notes {
            let mut more = Recorder::default();
            self.sfus[usize::from(to.0)].noted(self.now, WorkerId(worker as u8), note, &mut more);
            self.perform(usize::from(to.0), more);
        }
        for (to, bytes) in out.relayed {
            for to in to.iter() {
                let mut more = Recorder::default();
                self.sfus[usize::from(to.0)].relayed(self.now, &bytes, &mut more);
                self.perform(usize::from(to.0), more);
            }
        }
    }

    fn check(&mut self, person: usize) {
        self.transactions += 1;
        let person = &self.people[person];
        let mut id = [0; 12];
        id[4..].copy_from_slice(&self.transactions.to_be_bytes());
        let username = format!("{}:{}", person.config.local_ufrag, person.config.remote_ufrag);
        let check = super::check::Check {
            transaction: id,
            username: &username,
            password: &person.config.local_password,
            use_candidate: true,
            controlled: false,
            extra: None,
        };
        let (from, bytes) = (person.address, check.bytes());
        self.network.send(self.now, from, NODE.parse().unwrap(), bytes);
    }

    /// Let time pass.
    pub fn run(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            let frames =
                self.people.iter().filter(|person| !person.encoders.is_empty()).map(|person| person.next_frame);
            let feedback = self.people.iter().filter_map(|person| person.arrivals.due());
            let due = self.deadlines.iter().flatten().copied().chain(self.network.next()).chain(frames).chain(feedback);
            let next = due.chain(self.people.iter().map(|person| person.next_check)).min().unwrap_or(until);
            self.now = next.max(self.now).min(until);
            for worker in 0..self.sfus.len() {
                let mut out = Recorder::default();
                self.deadlines[worker] = self.sfus[worker].poll(self.now, &mut out);
                self.perform(worker, out);
            }
            for datagram in self.network.deliver(self.now) {
                self.arrive(datagram.from, datagram.to, datagram.bytes);
            }
            for person in 0..self.people.len() {
                if self.people[person].next_check <= self.now {
                    self.check(person);
                    self.people[person].next_check = self.now + 2500 * MS;
                }
                if !self.people[person].encoders.is_empty() && self.people[person].next_frame <= self.now {
                    self.encode(person);
                    self.people[person].next_frame += SECOND / FPS as u32;
                }
                self.feed_back(person);
            }
        }
    }

    fn arrive(&mut self, from: SocketAddr, to: SocketAddr, mut bytes: Vec<u8>) {
        let node: SocketAddr = NODE.parse().unwrap();
        if to == node {
            let Some(person) = self.people.iter().find(|person| person.address == from) else { return };
            let worker = person.worker;
            let mut out = Recorder::default();
            self.sfus[worker].handle(self.now, Path { local: 0, remote: from }, &mut bytes, &mut out);
            self.deadlines[worker] = self.sfus[worker].poll(self.now, &mut out);
            self.perform(worker, out);
            return;
        }
        let Some(at) = self.people.iter().position(|person| person.address == to) else { return };
        match sfu::demux::classify(&bytes) {
            sfu::demux::Kind::Rtp => self.receive(at, bytes),
            sfu::demux::Kind::Rtcp => self.receive_rtcp(at, bytes),
            _ => {}
        }
    }

    fn receive(&mut self, person: usize, mut bytes: Vec<u8>) {
        let (now, at) = (self.now, self.now - self.start);
        let person = &mut self.people[person];
        let sealed = bytes.len();
        let opened = person.inbound.unprotect(&mut bytes).expect("sealed for it, and once");
        let header = opened.header;
        let packet = &bytes[..opened.len];
        person.bytes.push((at, sealed));
        if let Some(&[high, low]) = header.extension(packet, 4) {
            person.arrivals.received(now, u16::from_be_bytes([high, low]), at);
        }
        let mut payload = &packet[header.len..header.len + header.payload_len(packet).unwrap()];
        let slots = &person.config.video.as_ref().unwrap().slots;
        let repaired = header.payload_type == RTX;
        let slot =
            slots.iter().position(|slot| [slot.ssrc, slot.rtx_ssrc].contains(&header.ssrc)).expect("one of its own");
        let seen = person.seen.entry(slot as u8).or_default();
        let mut index = opened.index;
        if repaired {
            let Some((&[high, low], rest)) = payload.split_first_chunk() else { return };
            let newest = seen.keys().next_back().copied().unwrap_or(0);
            index = sfu::rtp::extend_sequence(newest, u16::from_be_bytes([high, low]));
            payload = rest;
        }
        let glance = (!payload.is_empty()).then(|| glance(Codec::Vp8, payload, header.marker).expect("VP8"));
        let encoding = payload.get(16).copied().unwrap_or(0xFF);
        if let Some(csrc) = header.csrcs(packet).next() {
            assert!((1000..1100).contains(&csrc), "somebody's");
        }
        let packet = Seen { at, index, timestamp: header.timestamp, marker: header.marker, glance, repaired, encoding };
        let before = seen.insert(index, packet.clone());
        assert!(before.is_none() || repaired, "a number is given once");
        if !repaired && person.asks && glance.is_some() {
            // What is missing before it.
            let missing: Vec<u64> = (index.saturating_sub(40)..index).filter(|each| !seen.contains_key(each)).collect();
            let first = *seen.keys().next().unwrap();
            let ssrc = slots[slot].ssrc;
            for each in missing.into_iter().filter(|each| *each > first) {
                let (asked, tries) = person.asked.entry((ssrc, each)).or_insert((now - SECOND, 0));
                if now.saturating_duration_since(*asked) >= 60 * MS && *tries < 10 {
                    *asked = now;
                    *tries += 1;
                    let mut buf = [0; 200];
                    let mut writer = Writer::new(&mut buf);
                    writer.receiver_report(1, &[]).unwrap();
                    let item = [(each >> 8) as u8, each as u8, 0, 0];
                    writer
                        .feedback(false, rtcp::NACK, [1, ssrc], |room| {
                            room[..4].copy_from_slice(&item);
                            4
                        })
                        .unwrap();
                    let len = writer.finish();
                    let len = person.outbound.protect_rtcp(&mut buf, len);
                    self.network.send(now, person.address, NODE.parse().unwrap(), buf[..len].to_vec());
                }
            }
        }
    }

    /// A picture that cannot be decoded.
    pub fn ask_picture(&mut self, person: usize, slot: usize) {
        let person = &mut self.people[person];
        let ssrc = person.config.video.as_ref().unwrap().slots[slot].ssrc;
        let mut buf = [0; 200];
        let mut writer = Writer::new(&mut buf);
        writer.receiver_report(1, &[]).unwrap();
        writer.feedback(true, rtcp::PLI, [1, ssrc], |_| 0).unwrap();
        let len = writer.finish();
        let len = person.outbound.protect_rtcp(&mut buf, len);
        self.network.send(self.now, person.address, NODE.parse().unwrap(), buf[..len].to_vec());
    }

    fn receive_rtcp(&mut self, person: usize, mut bytes: Vec<u8>) {
        let person = &mut self.people[person];
        let len = person.inbound.unprotect_rtcp(&mut bytes).expect("sealed for it, and once");
        let ssrc = |encoding: usize| 0xB000_0000 + person.id.0 as u32 * 16 + encoding as u32;
        for packet in rtcp::packets(&bytes[..len]).map(|packet| packet.expect("well made")) {
            match packet {
                Packet::Feedback { payload_specific: true, format: rtcp::PLI, media, .. } => {
                    person.pli_asked += 1;
                    for encoding in 0..person.encoders.len() {
                        if ssrc(encoding) == media {
                            person.encoders[encoding].wants_key = true;
                            person.encoders[encoding].asked += 1;
                        }
                    }
                }
                Packet::Feedback { payload_specific: false, format: rtcp::TRANSPORT_CC, .. } => {
                    person.feedback_seen += 1
                }
                Packet::Feedback { payload_specific: false, format: rtcp::NACK, media, information, .. } => {
                    let Some(encoding) = (0..person.encoders.len()).find(|each| ssrc(*each) == media) else { continue };
                    for item in information.chunks_exact(4) {
                        let first = u16::from_be_bytes([item[0], item[1]]);
                        let mask = u32::from(u16::from_be_bytes([item[2], item[3]])) << 1 | 1;
                        for sequence in (0..17).filter(|bit| mask >> bit & 1 == 1).map(|bit| first.wrapping_add(bit)) {
                            let Some(kept) = person.encoders[encoding].kept.get(&sequence) else { continue };
                            let (timestamp, payload) = (kept[..4].to_vec(), kept[4..].to_vec());
                            let encoder = &mut person.encoders[encoding];
                            encoder.rtx += 1;
                            let (rtx, mut body) = (encoder.rtx, sequence.to_be_bytes().to_vec());
                            body.extend(payload);
                            let timestamp = u32::from_be_bytes(timestamp.try_into().unwrap());
                            let packet = seal(
                                &person.outbound,
                                &mut person.transport_sequence,
                                (ssrc(encoding) + 8, RTX, rtx, timestamp, false),
                                (3, RIDS[encoding]),
                                &body,
                            );
                            self.network.send(self.now, person.address, NODE.parse().unwrap(), packet);
                        }
                    }
                }
                _ => {}
            }
        }
    }

    fn feed_back(&mut self, person: usize) {
        let now = self.now;
        let person = &mut self.people[person];
        if person.arrivals.due().is_none_or(|due| due > now) {
            return;
        }
        let mut buf = [0; MAX_DATAGRAM];
        let mut writer = Writer::new(&mut buf);
        writer.receiver_report(1, &[]).unwrap();
        let arrivals = &mut person.arrivals;
        writer.feedback(false, rtcp::TRANSPORT_CC, [1, 1], |room| arrivals.write(now, room)).unwrap();
        let len = writer.finish();
        let len = person.outbound.protect_rtcp(&mut buf, len);
        self.network.send(now, person.address, NODE.parse().unwrap(), buf[..len].to_vec());
    }
}
