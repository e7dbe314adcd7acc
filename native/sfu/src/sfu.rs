//! The state machine: every datagram and every deadline. Commands are in `members`, other workers in `workers`.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use slotmap::SlotMap;

use crate::counters::Counters;
use crate::demux::{Kind, classify};
use crate::drops::Drop;
use crate::forward::{MAX_PAYLOAD, Spoken, send};
use crate::ice::{Agent, Generation, HANDSHAKE_TIMEOUT};
use crate::peer::Peer;
use crate::random::Random;
use crate::red::Red;
use crate::relay::Relayed;
use crate::report::{self, Clock};
use crate::room::Room;
use crate::rtcp::{self, Packet};
use crate::rtp::{AudioLevel, Header};
use crate::srtp::Unprotected;
use crate::stun::{Class, Message};
use crate::video::Track;
use crate::voice::{Heard, Voice, level_of};
use crate::wheel::Wheel;
use crate::{
    ClosedReason, Event, MAX_SLOTS, Output, Path, PeerId, PeerKey, RoomId, RoomKey, Settings, TrackKey, VoiceKey,
    WorkerSet,
};

/// RFC 8489 §3: the only method ICE uses.
const BINDING: u16 = 0x001;
/// Packets looked for in one compound: two seconds of what one slot lost at worst.
const LOOKED_FOR: usize = 64;
/// While somebody speaks in a room, who does is judged anew after this.
const JUDGED_EVERY: Duration = Duration::from_millis(100);

/// What is due.
#[derive(Clone, Copy)]
pub(crate) enum Timer {
    /// A peer's report and health check.
    Peer(PeerKey),
    /// A room has silence to send.
    Silence(RoomKey),
    /// Somebody speaks in a room.
    Speakers(RoomKey),
    /// A camera or screen that somebody watches is looked at.
    Track(TrackKey),
    /// What a peer watches is looked at.
    Watch(PeerKey),
    /// A peer has video that waits to be sent.
    Pace(PeerKey),
    /// A publisher is to be told what came, and what did not.
    Upstream(PeerKey),
}

/// All rooms of one worker.
pub struct Sfu {
    pub(crate) settings: Settings,
    pub(crate) clock: Clock,
    pub(crate) random: Random,
    pub(crate) peers: SlotMap<PeerKey, Peer>,
    pub(crate) rooms: SlotMap<RoomKey, Room>,
    /// Of the rooms that are at home here.
    pub(crate) voices: SlotMap<VoiceKey, Voice>,
    pub(crate) tracks: SlotMap<TrackKey, Track>,
    pub(crate) peer_keys: HashMap<PeerId, PeerKey>,
    pub(crate) room_keys: HashMap<RoomId, RoomKey>,
    /// Voices of other workers' peers. Two peers may have one CSRC, while one takes the other's place.
    pub(crate) guests: HashMap<(RoomId, PeerId, u32), VoiceKey>,
    pub(crate) by_ufrag: HashMap<String, PeerKey>,
    pub(crate) by_path: HashMap<Path, PeerKey>,
    /// Whose an SSRC is that comes from an unknown address.
    pub(crate) by_ssrc: HashMap<u32, PeerKey>,
    pub(crate) wheel: Wheel<Timer>,
    pub(crate) counters: Counters,
}

impl Sfu {
    /// Nothing yet; `start` is the clock's zero, the same for all workers.
    pub fn new(settings: Settings, start: Instant) -> Self {
        let settings = Settings { audio_slots: settings.audio_slots.clamp(1, MAX_SLOTS), ..settings };
        Self {
            settings,
            clock: Clock::new(start, settings.wall_clock, settings.timeline),
            random: Random::new(settings.seed),
            peers: SlotMap::with_key(),
            rooms: SlotMap::with_key(),
            voices: SlotMap::with_key(),
            tracks: SlotMap::with_key(),
            peer_keys: HashMap::new(),
            room_keys: HashMap::new(),
            guests: HashMap::new(),
            by_ufrag: HashMap::new(),
            by_path: HashMap::new(),
            by_ssrc: HashMap::new(),
            wheel: Wheel::new(start),
            counters: Counters::default(),
        }
    }

    /// One datagram arrived. It is decrypted in place.
    pub fn handle(&mut self, now: Instant, path: Path, datagram: &mut [u8], out: &mut impl Output) {
        self.counters.datagrams_in += 1;
        self.counters.bytes_in += datagram.len() as u64;
        let handled = match classify(datagram) {
            Kind::Stun => self.stun(now, path, datagram, out),
            Kind::Dtls => self.dtls(path, datagram, out),
            Kind::Rtp => self.rtp(now, path, datagram, out),
            Kind::Rtcp => self.rtcp(now, path, datagram, out),
            Kind::Quic | Kind::Unknown => Err(Drop::UnknownKind),
        };
        if let Err(drop) = handled {
            self.counters.drops.count(drop);
        }
    }

    fn stun(&mut self, now: Instant, path: Path, datagram: &[u8], out: &mut impl Output) -> Result<(), Drop> {
        let message = Message::parse(datagram)?;
        if message.method() != BINDING || message.class() != Class::Request {
            // Indications keep a NAT open and say nothing; we ask nothing, so no response is ours.
            return if message.class() == Class::Indication { Ok(()) } else { Err(Drop::Unexpected) };
        }
        let username = message.username().ok_or(Drop::Unauthenticated)?;
        let colon = username.iter().position(|byte| *byte == b':').ok_or(Drop::Unauthenticated)?;
        let (local, remote) = (&username[..colon], &username[colon + 1..]);
        let local = std::str::from_utf8(local).map_err(|_| Drop::Unauthenticated)?;
        let key = *self.by_ufrag.get(local).ok_or(Drop::UnknownPeer)?;
        let peer = &mut self.peers[key];
        let mut generation = peer.ice.authenticate(&message, local, remote).ok_or(Drop::Unauthenticated)?;
        if peer.ice.is_recorded(message.transaction_id(), path) {
            return Err(Drop::Replay);
        }
        let refusal = Agent::refusal(&message);
        if refusal.is_none() {
            let nominates = message.use_candidate();
            if nominates && generation == Generation::Next {
                if let Some(over) = peer.ice.promote() {
                    self.by_ufrag.remove(&over);
                }
                generation = Generation::Present;
            }
            let checked = peer.ice.checked(now, path, nominates);
            if let Some(evicted) = checked.evicted {
                self.by_path.remove(&evicted);
            }
            if checked.first_nomination {
                out.event(Event::Reachable { peer: peer.id });
                Self::connect(peer, out);
            }
            if checked.added {
                self.claim(path, key);
            }
        }
        let credentials = self.peers[key].ice.credentials(generation);
        let sent = send(out, path, |buf| credentials.answer(buf, &message, path, refusal));
        self.counters.sent(sent);
        Ok(())
    }

    /// `path` proved to be `key`'s; whoever had it before has lost it (a NAT gave the port to another).
    fn claim(&mut self, path: Path, key: PeerKey) {
        if let Some(before) = self.by_path.insert(path, key)
            && before != key
            && let Some(peer) = self.peers.get_mut(before)
        {
            peer.ice.forget(path);
        }
    }

    fn peer_at(&self, path: Path) -> Result<PeerKey, Drop> {
        self.by_path.get(&path).copied().ok_or(Drop::UnknownPeer)
    }

    fn dtls(&mut self, path: Path, datagram: &[u8], out: &mut impl Output) -> Result<(), Drop> {
        let key = self.peer_at(path)?;
        out.dtls(self.peers[key].id, datagram);
        Ok(())
    }

    /// Whose packet it is, opened in place. It may come from where its sender has just moved: then only its
    /// authentication says whose it is.
    fn open(&mut self, path: Path, datagram: &mut [u8]) -> Result<(PeerKey, Unprotected), Drop> {
        let known = self.by_path.get(&path).copied();
        let key = match known {
            Some(key) => key,
            None => *self.by_ssrc.get(&Header::parse(datagram)?.ssrc).ok_or(Drop::UnknownPeer)?,
        };
        let peer = self.peers.get_mut(key).ok_or(Drop::UnknownPeer)?;
        let srtp = peer.srtp.as_mut().ok_or(Drop::NoKeys)?;
        let opened = srtp.inbound.unprotect(datagram)?;
        // A packet that somebody kept and sends from elsewhere is not the newest.
        if opened.newest {
            match known {
                Some(_) => peer.ice.heard_on(path),
                None => peer.ice.roamed(path, datagram.len()),
            }
        }
        Ok((key, opened))
    }

    fn rtp(&mut self, now: Instant, path: Path, datagram: &mut [u8], out: &mut impl Output) -> Result<(), Drop> {
        let (key, opened) = self.open(path, datagram)?;
        let sealed_len = datagram.len();
        let (header, packet) = (opened.header, &datagram[..opened.len]);
        let peer = &mut self.peers[key];
        let admitted = peer.policer.admits(now, sealed_len);
        if peer.upstream.is_some()
            && let Some(belongs) = self.video_of(now, key, &header, packet)
        {
            return self.video_in(now, key, belongs, &header, opened.index, packet, admitted, out);
        }
        let peer = &mut self.peers[key];
        let is_sound = peer.is_of_screen(&header, packet);
        let source = if is_sound { peer.screen_sound.as_deref_mut() } else { peer.source.as_mut() };
        let source = source.ok_or(Drop::UnknownSource)?;
        if source.bind(&header, packet)? {
            // Whoever has it keeps it: another who takes the same must not make it unfindable.
            self.by_ssrc.entry(header.ssrc).or_insert(key);
        }
        source.reception.received(opened.index, header.timestamp, now.saturating_duration_since(self.clock.base()));
        let admissible = admitted.then_some(()).ok_or(Drop::Policed).and_then(|()| {
            let payload_len = header.payload_len(packet)?;
            if payload_len == 0 || payload_len > MAX_PAYLOAD {
                return Err(Drop::Malformed);
            }
            let is_red = source.is_red(&header)?;
            if is_red {
                Red::parse(&packet[header.len..header.len + payload_len], source.config.payload_type)?;
            }
            Ok((payload_len, is_red))
        });
        let (payload_len, is_red) = admissible.inspect_err(|_| source.left_out(opened.index))?;
        peer.traffic.received(sealed_len);
        let level = source.config.level_extension.and_then(|id| header.extension(packet, id));
        let level = level.and_then(AudioLevel::parse);
        source.level = level_of(level, Heard::new(level, payload_len));
        if source.muted {
            return Err(Drop::Muted);
        }
        let spoken = Spoken {
            place: source.place(opened.index),
            index: opened.index,
            timestamp: header.timestamp,
            marker: header.marker,
            level,
            red: is_red.then_some(source.config.payload_type),
            payload: &packet[header.len..header.len + payload_len],
        };
        match source.voice {
            Some(voice) => self.speak(now, voice, &spoken, out),
            None => {
                let room = &self.rooms[peer.room];
                send_home(room, peer.id, source.csrc(), &spoken, out);
                Ok(())
            }
        }
    }

    fn rtcp(&mut self, now: Instant, path: Path, datagram: &mut [u8], out: &mut impl Output) -> Result<(), Drop> {
        let key = self.peer_at(path)?;
        let sealed_len = datagram.len();
        let peer = &mut self.peers[key];
        let srtp = peer.srtp.as_mut().ok_or(Drop::NoKeys)?;
        let len = srtp.inbound.unprotect_rtcp(datagram)?;
        if !peer.policer.admits(now, sealed_len) {
            return Err(Drop::Policed);
        }
        let (mut goodbye, mut asked) = (false, 0);
        for packet in rtcp::packets(&datagram[..len]) {
            let packet = packet?;
            goodbye |= report::read(&mut self.peers[key], &mut self.tracks, &packet, self.clock, now);
            if let Packet::Feedback { payload_specific, format, media, information, .. } = packet {
                let handled = self.video_feedback(now, key, payload_specific, format, media, information, out)?;
                if !handled && !payload_specific && format == rtcp::NACK {
                    asked = self.resend(now, key, media, information, asked, out);
                }
            }
        }
        if goodbye {
            self.release_peer(now, key, out);
        }
        Ok(())
    }

    /// RFC 4585 §6.2.1: each four bytes name a packet and, by bits, the sixteen after it. `asked` counts those of the whole
    /// compound.
    fn resend(
        &mut self,
        now: Instant,
        key: PeerKey,
        ssrc: u32,
        information: &[u8],
        mut asked: usize,
        out: &mut impl Output,
    ) -> usize {
        let peer = &mut self.peers[key];
        let (Some(srtp), Some(to)) = (&peer.srtp, peer.ice.selected()) else { return asked };
        let room = &self.rooms[peer.room];
        for item in information.chunks_exact(4) {
            let first = u16::from_be_bytes([item[0], item[1]]);
            let mask = u32::from(u16::from_be_bytes([item[2], item[3]])) << 1 | 1;
            for sequence in (0..17).filter(|bit| mask >> bit & 1 == 1).map(|bit| first.wrapping_add(bit)) {
                asked += 1;
                if asked > LOOKED_FOR {
                    return asked;
                }
                let Some(missed) = peer.receiver.missed(ssrc, sequence) else { continue };
                let history = room.slots.get(missed.content.0).and_then(|slot| slot.history.as_ref());
                let kept = history.and_then(|kept| kept.find(missed.content.1, missed.segment, missed.index));
                let Some((kept, payload)) = kept else { continue };
                let receiver = &mut peer.receiver;
                if !receiver.may_repair(now, &missed) {
                    continue;
                }
                let len = send(out, to, |buf| receiver.resend(&missed, kept, payload, &srtp.outbound, buf));
                self.counters.sent(len);
                self.counters.resent += 1;
                peer.traffic.sent(len);
            }
        }
        asked
    }

    /// Do what is due, and say when to come again.
    pub fn poll(&mut self, now: Instant, out: &mut impl Output) -> Option<Instant> {
        self.wheel.expire(now);
        while let Some(timer) = self.wheel.pop() {
            match timer {
                Timer::Peer(key) => self.tick(now, key, out),
                Timer::Silence(room) => {
                    if let Some(room) = self.rooms.get_mut(room) {
                        room.silencing = false;
                    }
                    self.silence(now, room, out);
                }
                Timer::Speakers(room) => {
                    if let Some(room) = self.rooms.get_mut(room) {
                        room.watched = false;
                    }
                    self.watch_speakers(now, room, out);
                }
                Timer::Track(track) => self.look_at_track(now, track, out),
                Timer::Watch(peer) => self.look_after(now, peer, out),
                Timer::Pace(peer) => self.pace(now, peer, out),
                Timer::Upstream(peer) => self.tell_upstream(now, peer, out),
            }
        }
        self.wheel.next()
    }

    /// A peer's second has passed.
    fn tick(&mut self, now: Instant, key: PeerKey, out: &mut impl Output) {
        let Some(peer) = self.peers.get_mut(key) else {
            return;
        };
        let waited = now.saturating_duration_since(peer.since);
        let reason = if !peer.connected && waited >= HANDSHAKE_TIMEOUT {
            Some(ClosedReason::Handshake)
        } else if peer.connected && !peer.ice.has_consent(now) {
            Some(ClosedReason::Consent)
        } else {
            None
        };
        if let Some(reason) = reason {
            out.event(Event::Closed { peer: peer.id, reason });
            self.forget(now, key, out);
            return;
        }
        let room = &self.rooms[peer.room];
        if peer.connected
            && let Some(to) = peer.ice.selected()
        {
            let (clock, tracks) = (self.clock, &self.tracks);
            let sent = send(out, to, |buf| {
                let len = report::write(peer, room, tracks, clock, now, buf);
                match (&mut peer.srtp, len) {
                    (Some(srtp), 1..) => srtp.outbound.protect_rtcp(buf, len),
                    _ => 0,
                }
            });
            self.counters.sent(sent);
        }
        self.schedule_report(now, key);
    }

    /// RFC 3550 §6.2: at random between a half and one and a half times the interval, so that peers that came together do
    /// not report together.
    pub(crate) fn schedule_report(&mut self, now: Instant, key: PeerKey) {
        let share = 0.5 + self.random.u32() as f32 / u32::MAX as f32;
        self.wheel.schedule(now + report::INTERVAL.mul_f32(share), Timer::Peer(key));
    }

    /// See who of a room speaks, and come again while somebody does.
    pub(crate) fn watch_speakers(&mut self, now: Instant, room_key: RoomKey, out: &mut impl Output) {
        let Some(room) = self.rooms.get_mut(room_key) else {
            return;
        };
        let mut speaks = false;
        for holder in room.slots.iter().filter_map(|slot| slot.holder) {
            let voice = &mut self.voices[holder];
            if voice.ceases_to_speak(now) {
                out.event(Event::Speaking { room: room.id, csrc: voice.csrc, speaking: false });
            }
            speaks |= voice.speaking;
        }
        if room.judge(now, &self.voices) {
            let csrc = room.dominant.map_or(0, |key| self.voices[key].csrc);
            out.event(Event::Dominant { room: room.id, csrc });
        }
        if speaks && !room.watched {
            room.watched = true;
            self.wheel.schedule(now + JUDGED_EVERY, Timer::Speakers(room_key));
        }
    }
}

/// A voice of a room that is at home elsewhere.
fn send_home(room: &Room, peer: PeerId, csrc: u32, spoken: &Spoken<'_>, out: &mut impl Output) {
    let relayed = Relayed {
        forward: false,
        room: room.id,
        peer,
        csrc,
        slot: 0,
        epoch: spoken.place.0,
        segment: spoken.place.1,
        index: Some(spoken.index),
        timestamp: spoken.timestamp,
        marker: spoken.marker,
        voice: false,
        level: spoken.level,
        red: spoken.red,
        ends: false,
        payload: spoken.payload,
    };
    out.relay(WorkerSet::one(room.home), |buf| relayed.write(buf));
}
