//! One virtual client: it seals what it says and opens what it hears.

use std::collections::{HashSet, VecDeque};
use std::time::Instant;

use sfu::demux::{Kind, classify};
use sfu::drops::Drop;
use sfu::red::Red;
use sfu::rtcp::{self, Packet, ReportBlock, SenderInfo};
use sfu::rtp::{AudioLevel, Header};
use sfu::srtp::{Inbound, MasterKey, Outbound, Profile};
use sfu::{IceCredentials, Keys, MAX_DATAGRAM, Path, PeerConfig, PeerId, RoomId, SlotConfig, SourceConfig};

/// 20 ms of Opus at 48 kHz.
pub const FRAME: u32 = 960;
/// What the room sends for 20 ms of silence.
pub const SILENCE: &[u8] = &[0xF8, 0xFF, 0xFE];

/// The payload type of RED, everywhere.
pub const RED: u8 = 63;

/// Datagrams in which a repetition is looked for.
const RECENT: usize = 64;

/// What kind of client joins.
#[derive(Clone)]
pub struct Setup {
    pub room: u64,
    pub microphone: bool,
    pub slots: usize,
    pub profile: Profile,
    /// The offer names the SSRC.
    pub names_ssrc: bool,
    /// The microphone's level extension is negotiated.
    pub sends_level: bool,
    /// The MID extension is negotiated.
    pub sends_mid: bool,
    /// RED is negotiated, both ways.
    pub red: bool,
    /// It may ask for packets again.
    pub nack: bool,
    /// Its extensions are in the two-byte form (RFC 8285 §4.3).
    pub two_byte: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            room: 1,
            microphone: true,
            slots: 8,
            profile: Profile::AeadAes128Gcm,
            names_ssrc: true,
            sends_level: true,
            sends_mid: true,
            red: false,
            nack: false,
            two_byte: false,
        }
    }
}

/// One RTP packet before it is sealed.
#[derive(Clone, Debug)]
pub struct Rtp {
    pub ssrc: u32,
    pub payload_type: u8,
    /// ROC and sequence number.
    pub index: u64,
    pub timestamp: u32,
    pub marker: bool,
    pub level: Option<AudioLevel>,
    pub mid: Option<&'static str>,
    /// Bytes of padding, its count included.
    pub padding: u8,
    pub payload: Vec<u8>,
}

/// One RTP packet as it was heard.
#[derive(Clone, Debug)]
pub struct Heard {
    pub at: Instant,
    pub header: Header,
    pub index: u64,
    pub csrc: Option<u32>,
    pub level: Option<AudioLevel>,
    /// What of the payload is RED.
    pub red: Option<Red>,
    pub payload: Vec<u8>,
}

impl Heard {
    /// The packet's own frame.
    pub fn frame(&self) -> &[u8] {
        self.red.as_ref().map_or(&self.payload, |red| &self.payload[red.primary.clone()])
    }

    pub fn is_silence(&self) -> bool {
        self.csrc.is_none() && self.payload == SILENCE
    }

    /// The packet index under which its source sent it, which our microphones put into the payload.
    pub fn sent_as(&self) -> u64 {
        let bytes = self.frame()[4..12].try_into().expect("our microphones' payloads are longer");
        u64::from_be_bytes(bytes)
    }
}

pub struct Client {
    pub id: PeerId,
    pub room: RoomId,
    pub setup: Setup,
    pub path: Path,
    pub local_ufrag: String,
    pub local_password: String,
    pub remote_ufrag: String,
    pub csrc: u32,
    pub ssrc: u32,
    pub payload_type: u8,
    pub level_extension: u8,
    pub mid_extension: u8,
    pub slots: Vec<SlotConfig>,
    /// Of the next packet.
    pub index: u64,
    pub timestamp: u32,
    pub next_check: Instant,
    pub connected: bool,
    /// The node has forgotten it.
    pub gone: bool,
    outbound: Outbound,
    inbound: Inbound,
    seals: HashSet<(u32, u64)>,
    pub heard: Vec<Heard>,
    /// Plaintext RTCP compounds.
    pub compounds: Vec<Vec<u8>>,
    /// STUN.
    pub answers: Vec<Vec<u8>>,
    /// Sealed RTP, the latest.
    recent: VecDeque<Vec<u8>>,
    /// Sealed RTP that came once more, byte for byte.
    pub resent: Vec<Vec<u8>>,
    /// Its network may repeat packets.
    pub forgives: bool,
    /// ICE restarts.
    restarts: u64,
}

impl Client {
    pub fn new(number: u64, setup: Setup, now: Instant) -> Self {
        let n = number as u32;
        let slots = (0..setup.slots as u32)
            .map(|slot| SlotConfig {
                ssrc: 0x5000_0000 + n * 0x100 + slot,
                payload_type: 96 + (n % 20) as u8,
                red_payload_type: setup.red.then_some(RED),
                nack: setup.nack,
                level_extension: (n % 5 != 4).then_some(1 + (n % 14) as u8),
            })
            .collect();
        let to_us = key(setup.profile, number, 0xC0);
        let from_us = key(setup.profile, number, 0x50);
        Self {
            id: PeerId(number),
            room: RoomId(setup.room),
            path: Path { local: 0, remote: ([192, 0, 2, (n % 250) as u8], 10_000 + n as u16).into() },
            local_ufrag: format!("node{number}"),
            local_password: format!("the node's password for {number}"),
            remote_ufrag: format!("client{number}"),
            csrc: 0x1000 + n,
            ssrc: 0xA000_0000 + n,
            payload_type: 111,
            level_extension: 1 + ((n + 3) % 14) as u8,
            mid_extension: 1 + ((n + 7) % 14) as u8,
            slots,
            index: u64::from(n * 997 % 0x8000),
            timestamp: n.wrapping_mul(0x9E37_79B9),
            next_check: now,
            connected: false,
            gone: false,
            outbound: Outbound::new(&to_us),
            inbound: Inbound::new(&from_us),
            seals: HashSet::new(),
            heard: Vec::new(),
            compounds: Vec::new(),
            answers: Vec::new(),
            recent: VecDeque::new(),
            resent: Vec::new(),
            forgives: false,
            restarts: 0,
            setup,
        }
    }

    pub fn config(&self) -> PeerConfig {
        let source = self.setup.microphone.then(|| SourceConfig {
            csrc: self.csrc,
            mid: "0".into(),
            payload_type: self.payload_type,
            red_payload_type: self.setup.red.then_some(RED),
            ssrc: self.setup.names_ssrc.then_some(self.ssrc),
            level_extension: self.setup.sends_level.then_some(self.level_extension),
            mid_extension: self.setup.sends_mid.then_some(self.mid_extension),
        });
        PeerConfig {
            screen_sound: None,
            video: None,
            local_ufrag: self.local_ufrag.clone(),
            local_password: self.local_password.clone(),
            remote_ufrag: self.remote_ufrag.clone(),
            remote_password: "nobody uses it".into(),
            source,
            slots: self.slots.clone(),
            cname: format!("cname{}", self.id.0),
        }
    }

    pub fn keys(&self) -> Keys {
        Keys { inbound: key(self.setup.profile, self.id.0, 0xC0), outbound: key(self.setup.profile, self.id.0, 0x50) }
    }

    /// `receiver's ufrag:sender's ufrag`.
    pub fn username(&self) -> String {
        format!("{}:{}", self.local_ufrag, self.remote_ufrag)
    }

    /// Other credentials, for an ICE restart.
    pub fn renew_credentials(&mut self) -> IceCredentials {
        self.restarts += 1;
        self.local_ufrag = format!("node{}again{}", self.id.0, self.restarts);
        self.local_password = format!("another password {} for {}", self.restarts, self.id.0);
        self.remote_ufrag = format!("client{}again{}", self.id.0, self.restarts);
        IceCredentials {
            local_ufrag: self.local_ufrag.clone(),
            local_password: self.local_password.clone(),
            remote_ufrag: self.remote_ufrag.clone(),
        }
    }

    /// The next 20 ms of the microphone at `level` (-dBov); the payload says whose and which packet it is.
    pub fn speak(&mut self, level: u8) -> Rtp {
        let mut payload = self.csrc.to_be_bytes().to_vec();
        payload.extend(self.index.to_be_bytes());
        payload.resize(80, 0x42);
        let packet = Rtp {
            ssrc: self.ssrc,
            payload_type: self.payload_type,
            index: self.index,
            timestamp: self.timestamp,
            marker: false,
            level: self.setup.sends_level.then_some(AudioLevel { voice: level < 50, level }),
            mid: None,
            padding: 0,
            payload,
        };
        self.index += 1;
        self.timestamp = self.timestamp.wrapping_add(FRAME);
        packet
    }

    /// What [`Client::speak`] will say next, without saying it.
    pub fn peek(&mut self, level: u8) -> Rtp {
        let packet = self.speak(level);
        self.index -= 1;
        self.timestamp = self.timestamp.wrapping_sub(FRAME);
        packet
    }

    /// A frame of DTX: nothing is said.
    pub fn quiet(&mut self) -> Rtp {
        let mut packet = self.speak(127);
        packet.payload = vec![0xF8];
        packet
    }

    /// The next 20 ms, and the frames `before` it once more, which were 20, 40, … ms ago, the oldest first.
    pub fn speak_red(&mut self, level: u8, before: &[&Rtp]) -> Rtp {
        let mut packet = self.speak(level);
        let frames: Vec<_> =
            before.iter().map(|each| (packet.timestamp.wrapping_sub(each.timestamp), each.payload.clone())).collect();
        packet.payload = redundant(self.payload_type, &frames, &packet.payload);
        packet.payload_type = RED;
        packet
    }

    /// Time passes and nothing is said.
    pub fn pause(&mut self, frames: u32) {
        self.timestamp = self.timestamp.wrapping_add(frames * FRAME);
    }

    pub fn seal(&self, packet: &Rtp) -> Vec<u8> {
        let mut elements = Vec::new();
        let mut element = |id: u8, value: &[u8]| {
            match self.setup.two_byte {
                false => elements.push(id << 4 | (value.len() - 1) as u8),
                true => elements.extend([id, value.len() as u8]),
            }
            elements.extend(value);
        };
        if let Some(level) = packet.level {
            element(self.level_extension, &[u8::from(level.voice) << 7 | level.level]);
        }
        if let Some(mid) = packet.mid {
            element(self.mid_extension, mid.as_bytes());
        }
        elements.resize(elements.len().next_multiple_of(4), 0);
        let extended = !elements.is_empty();
        let mut bytes = vec![
            0x80 | u8::from(packet.padding > 0) << 5 | u8::from(extended) << 4,
            u8::from(packet.marker) << 7 | packet.payload_type,
        ];
        bytes.extend((packet.index as u16).to_be_bytes());
        bytes.extend(packet.timestamp.to_be_bytes());
        bytes.extend(packet.ssrc.to_be_bytes());
        if extended {
            bytes.extend(if self.setup.two_byte { [0x10, 0x00] } else { [0xBE, 0xDE] });
            bytes.extend((elements.len() as u16 / 4).to_be_bytes());
            bytes.extend(&elements);
        }
        let header_len = bytes.len();
        bytes.extend(&packet.payload);
        if packet.padding > 0 {
            bytes.resize(bytes.len() + usize::from(packet.padding) - 1, 0);
            bytes.push(packet.padding);
        }
        let len = bytes.len();
        bytes.resize(len + 16, 0);
        let sealed = self.outbound.protect(packet.index, &mut bytes, header_len, len);
        bytes.truncate(sealed);
        bytes
    }

    pub fn seal_rtcp(&mut self, write: impl FnOnce(&mut rtcp::Writer<'_>)) -> Vec<u8> {
        let mut buf = [0u8; MAX_DATAGRAM];
        let mut writer = rtcp::Writer::new(&mut buf);
        write(&mut writer);
        let len = writer.finish();
        self.seal_rtcp_bytes(&buf[..len])
    }

    /// At least 8 bytes.
    pub fn seal_rtcp_bytes(&mut self, plain: &[u8]) -> Vec<u8> {
        let mut bytes = plain.to_vec();
        bytes.resize(plain.len() + 20, 0);
        let sealed = self.outbound.protect_rtcp(&mut bytes, plain.len());
        bytes.truncate(sealed);
        bytes
    }

    /// A datagram from the node arrived. Panics on whatever a client could not understand, and on a nonce used twice.
    pub fn receive(&mut self, now: Instant, mut datagram: Vec<u8>) {
        match classify(&datagram) {
            Kind::Stun => self.answers.push(datagram),
            Kind::Rtp if self.recent.contains(&datagram) => self.resent.push(datagram),
            Kind::Rtp => {
                self.recent.push_back(datagram.clone());
                if self.recent.len() > RECENT {
                    self.recent.pop_front();
                }
                let opened = match self.inbound.unprotect(&mut datagram) {
                    Err(Drop::Replay) if self.forgives => return,
                    opened => opened.expect("the client can open what it is sent"),
                };
                let (header, packet) = (opened.header, &datagram[..opened.len]);
                assert!(self.seals.insert((header.ssrc, opened.index)), "sealed twice: {header:?} {}", opened.index);
                let slot = self.slots.iter().find(|slot| slot.ssrc == header.ssrc).expect("an SSRC of its slots");
                let red = Some(header.payload_type) == slot.red_payload_type;
                assert!(red || header.payload_type == slot.payload_type);
                let level = slot.level_extension.and_then(|id| header.extension(packet, id));
                self.heard.push(Heard {
                    at: now,
                    header,
                    index: opened.index,
                    csrc: header.csrcs(packet).next(),
                    level: level.and_then(AudioLevel::parse),
                    red: red.then(|| Red::parse(&packet[header.len..], slot.payload_type).expect("well-formed RED")),
                    payload: packet[header.len..].to_vec(),
                });
            }
            Kind::Rtcp => {
                let len = match self.inbound.unprotect_rtcp(&mut datagram) {
                    Err(Drop::Replay) if self.forgives => return,
                    opened => opened.expect("the client can open what it is sent"),
                };
                datagram.truncate(len);
                assert!(rtcp::packets(&datagram).all(|packet| packet.is_ok()));
                self.compounds.push(datagram);
            }
            kind => panic!("a client is sent {kind:?}"),
        }
    }

    /// Every sender report so far, by SSRC.
    pub fn sender_reports(&self) -> Vec<(u32, SenderInfo)> {
        let all = self.compounds.iter().flat_map(|compound| rtcp::packets(compound));
        all.filter_map(|packet| match packet {
            Ok(Packet::SenderReport { ssrc, info, .. }) => Some((ssrc, info)),
            _ => None,
        })
        .collect()
    }

    /// Every report block so far.
    pub fn report_blocks(&self) -> Vec<ReportBlock> {
        let all = self.compounds.iter().flat_map(|compound| rtcp::packets(compound));
        all.flat_map(|packet| match packet {
            Ok(Packet::SenderReport { blocks, .. } | Packet::ReceiverReport { blocks, .. }) => blocks.collect(),
            _ => Vec::new(),
        })
        .collect()
    }

    /// What was heard in slot `slot`, in the order of the stream.
    pub fn stream(&self, slot: usize) -> Vec<Heard> {
        let ssrc = self.slots[slot].ssrc;
        let mut stream: Vec<_> = self.heard.iter().filter(|each| each.header.ssrc == ssrc).cloned().collect();
        stream.sort_by_key(|each| each.index);
        stream
    }

    /// Packets of `csrc`.
    pub fn heard_of(&self, csrc: u32) -> usize {
        self.heard.iter().filter(|each| each.csrc == Some(csrc)).count()
    }
}

fn key(profile: Profile, number: u64, direction: u8) -> MasterKey {
    let mut key = [direction; 16];
    key[..8].copy_from_slice(&number.to_be_bytes());
    MasterKey::new(profile, &key, &vec![direction ^ 0xFF; profile.salt_len()]).expect("lengths are the profile's")
}

/// A generic NACK (RFC 4585 §6.2.1) for `sequence`, and for those after it whose bits are set.
pub fn nack(ssrc: u32, sequence: u16, after: u16) -> Vec<u8> {
    let mut packet = vec![0x81, 205, 0, 3, 0, 0, 0, 1];
    packet.extend(ssrc.to_be_bytes());
    packet.extend(sequence.to_be_bytes());
    packet.extend(after.to_be_bytes());
    packet
}

/// RED (RFC 2198) of `primary` and of frames so many ticks before it, the oldest first.
pub fn redundant(payload_type: u8, before: &[(u32, Vec<u8>)], primary: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    for (back, frame) in before {
        let head = (0x80 | u32::from(payload_type)) << 24 | (back & 0x3FFF) << 10 | frame.len() as u32 & 0x3FF;
        payload.extend(head.to_be_bytes());
    }
    payload.push(payload_type);
    for (_, frame) in before {
        payload.extend(frame);
    }
    payload.extend(primary);
    payload
}
