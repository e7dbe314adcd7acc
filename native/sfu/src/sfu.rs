//! The state machine: every datagram, every deadline, every command.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::Instant;

use slotmap::SlotMap;

use crate::counters::{Counters, PeerStatistics};
use crate::demux::{Kind, classify};
use crate::drops::Drop;
use crate::ice::{Agent, HANDSHAKE_TIMEOUT};
use crate::peer::{Peer, Srtp, Traffic};
use crate::random::Random;
use crate::receiver::{Content, Forward, Receiver};
use crate::report::{self, Clock};
use crate::room::{self, Room};
use crate::rtcp;
use crate::source::{Heard, Source};
use crate::srtp::{Inbound, Outbound};
use crate::stun::{Class, Message};
use crate::{
    ClosedReason, Event, Keys, MAX_DATAGRAM, MAX_SLOTS, Output, Path, PeerConfig, PeerId, PeerKey, RoomId, RoomKey,
    Settings, SlotConfig,
};

/// RFC 8489 §3: the only method ICE uses.
const BINDING: u16 = 0x001;
/// What a forwarded packet may grow by: CSRC, level extension, authentication tag. A larger payload is no Opus frame.
const MAX_PAYLOAD: usize = MAX_DATAGRAM - 12 - 4 - 8 - 16;

/// Why a peer cannot be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// The handle is in use.
    #[error("the peer exists already")]
    PeerExists,
    /// Two peers with one local user fragment could not be told apart.
    #[error("the local ufrag is in use")]
    UfragInUse,
    /// More than [`MAX_SLOTS`].
    #[error("too many slots")]
    TooManySlots,
    /// Two streams with one SSRC under one key would use every nonce twice (RFC 7714 §8.4).
    #[error("two slots have one SSRC")]
    SsrcInUse,
    /// CSRC 0 means nobody.
    #[error("the CSRC must not be 0")]
    NoCsrc,
}

/// All rooms of one worker.
pub struct Sfu {
    settings: Settings,
    clock: Clock,
    random: Random,
    peers: SlotMap<PeerKey, Peer>,
    rooms: SlotMap<RoomKey, Room>,
    peer_keys: HashMap<PeerId, PeerKey>,
    room_keys: HashMap<RoomId, RoomKey>,
    by_ufrag: HashMap<String, PeerKey>,
    by_path: HashMap<Path, PeerKey>,
    /// One entry a peer: its next report and health check.
    ticks: BinaryHeap<Reverse<(Instant, PeerKey)>>,
    /// Rooms with silence still to be sent.
    releasing: Vec<RoomKey>,
    counters: Counters,
}

impl Sfu {
    /// Nothing yet; `now` is the clock's zero.
    pub fn new(settings: Settings, now: Instant) -> Self {
        let settings = Settings { audio_slots: settings.audio_slots.clamp(1, MAX_SLOTS), ..settings };
        Self {
            settings,
            clock: Clock::new(now, settings.wall_clock),
            random: Random::new(settings.seed),
            peers: SlotMap::with_key(),
            rooms: SlotMap::with_key(),
            peer_keys: HashMap::new(),
            room_keys: HashMap::new(),
            by_ufrag: HashMap::new(),
            by_path: HashMap::new(),
            ticks: BinaryHeap::new(),
            releasing: Vec::new(),
            counters: Counters::default(),
        }
    }

    /// A peer that may now connect. The room exists from its first peer to its last.
    pub fn add_peer(&mut self, now: Instant, room: RoomId, id: PeerId, config: PeerConfig) -> Result<(), Rejected> {
        if self.peer_keys.contains_key(&id) {
            return Err(Rejected::PeerExists);
        }
        if self.by_ufrag.contains_key(&config.local_ufrag) {
            return Err(Rejected::UfragInUse);
        }
        if config.slots.len() > MAX_SLOTS {
            return Err(Rejected::TooManySlots);
        }
        let twin = |(i, slot): (usize, &SlotConfig)| config.slots[..i].iter().any(|each| each.ssrc == slot.ssrc);
        if config.slots.iter().enumerate().any(twin) {
            return Err(Rejected::SsrcInUse);
        }
        if config.source.as_ref().is_some_and(|source| source.csrc == 0) {
            return Err(Rejected::NoCsrc);
        }
        let room_slots = self.settings.audio_slots;
        let room_key = *self
            .room_keys
            .entry(room)
            .or_insert_with(|| self.rooms.insert(Room::new(room, room_slots, self.clock.base(), self.random.u32())));
        let random = &mut self.random;
        let peer = Peer {
            id,
            room: room_key,
            since: now,
            local_ufrag: config.local_ufrag.clone(),
            cname: config.cname,
            ice: Agent::new(&config.local_password, config.remote_ufrag, now),
            srtp: None,
            source: config.source.map(Source::new),
            receiver: Receiver::new(config.slots, room_slots, || random.u32() as u16),
            report_ssrc: random.u32(),
            connected: false,
            traffic: Traffic::default(),
            rtt: 0.0,
        };
        let key = self.peers.insert(peer);
        self.peer_keys.insert(id, key);
        self.by_ufrag.insert(config.local_ufrag, key);
        self.rooms[room_key].members.push(key);
        self.ticks.push(Reverse((now + report::INTERVAL, key)));
        Ok(())
    }

    /// Forget a peer and everything it held. Unknown ones are ignored.
    pub fn remove_peer(&mut self, now: Instant, id: PeerId) {
        if let Some(key) = self.peer_keys.get(&id).copied() {
            self.forget(now, key);
        }
    }

    fn forget(&mut self, now: Instant, key: PeerKey) {
        self.release(now, key);
        let Some(peer) = self.peers.remove(key) else {
            return;
        };
        self.peer_keys.remove(&peer.id);
        self.by_ufrag.remove(&peer.local_ufrag);
        for path in peer.ice.paths() {
            if self.by_path.get(path) == Some(&key) {
                self.by_path.remove(path);
            }
        }
        let room = &mut self.rooms[peer.room];
        room.members.retain(|member| *member != key);
        if room.members.is_empty() {
            self.room_keys.remove(&room.id);
            self.rooms.remove(peer.room);
            self.releasing.retain(|each| *each != peer.room);
        }
    }

    /// The handshake is done: media may flow. Unknown peers are ignored.
    pub fn set_keys(&mut self, id: PeerId, keys: Keys, out: &mut impl Output) {
        let Some(peer) = self.peer_keys.get(&id).and_then(|key| self.peers.get_mut(*key)) else {
            return;
        };
        if peer.srtp.is_some() {
            return; // one association, one set of keys: a second would reuse nonces
        }
        peer.srtp = Some(Srtp { inbound: Inbound::new(&keys.inbound), outbound: Outbound::new(&keys.outbound) });
        Self::connect(peer, out);
    }

    fn connect(peer: &mut Peer, out: &mut impl Output) {
        if !peer.connected && peer.srtp.is_some() && peer.ice.is_nominated() {
            peer.connected = true;
            out.event(Event::Connected { peer: peer.id });
        }
    }

    /// Packets of a muted source go nowhere.
    pub fn set_muted(&mut self, now: Instant, id: PeerId, muted: bool) {
        let Some(key) = self.peer_keys.get(&id).copied() else {
            return;
        };
        if let Some(source) = self.peers[key].source.as_mut() {
            source.muted = muted;
        }
        if muted {
            self.release(now, key);
        }
    }

    /// Where a peer's datagrams go now.
    pub fn selected_path(&self, id: PeerId) -> Option<Path> {
        self.peers.get(*self.peer_keys.get(&id)?)?.ice.selected()
    }

    /// One datagram arrived. It is decrypted in place.
    pub fn handle(&mut self, now: Instant, path: Path, datagram: &mut [u8], out: &mut impl Output) {
        self.counters.datagrams_in += 1;
        self.counters.bytes_in += datagram.len() as u64;
        let handled = match classify(datagram) {
            Kind::Stun => self.stun(now, path, datagram, out),
            Kind::Dtls => self.dtls(path, datagram, out),
            Kind::Rtp => self.rtp(now, path, datagram, out),
            Kind::Rtcp => self.rtcp(now, path, datagram),
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
        if !peer.ice.authenticates(&message, remote) {
            return Err(Drop::Unauthenticated);
        }
        let refusal = Agent::refusal(&message);
        if refusal.is_none() {
            let checked = peer.ice.checked(now, path, message.use_candidate());
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
        let ice = &self.peers[key].ice;
        let sent = send(out, path, |buf| ice.answer(buf, &message, path, refusal));
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

    fn rtp(&mut self, now: Instant, path: Path, datagram: &mut [u8], out: &mut impl Output) -> Result<(), Drop> {
        let key = self.peer_at(path)?;
        let peer = &mut self.peers[key];
        let srtp = peer.srtp.as_mut().ok_or(Drop::NoKeys)?;
        let sealed_len = datagram.len();
        let opened = srtp.inbound.unprotect(datagram)?;
        let (header, packet) = (opened.header, &datagram[..opened.len]);
        let payload_len = header.payload_len(packet)?;
        if payload_len == 0 || payload_len > MAX_PAYLOAD {
            return Err(Drop::Malformed);
        }
        let source = peer.source.as_mut().ok_or(Drop::UnknownSource)?;
        source.accept(&header, packet)?;
        peer.traffic.received(sealed_len);
        source.reception.received(opened.index, header.timestamp, now.saturating_duration_since(self.clock.base()));
        if source.muted {
            return Err(Drop::Muted);
        }
        let heard = source.hear(now, &header, packet, payload_len);
        let generation = source.generation;

        let slot = self.slot(now, key, header.timestamp, generation, &heard, out).ok_or(Drop::NoSlot)?;
        let peer = &self.peers[key];
        let room = &mut self.rooms[peer.room];
        let forward = Forward {
            now,
            content: room.content(slot),
            csrc: peer.source.as_ref().map(Source::csrc),
            index: Some(opened.index),
            timestamp: room.slots[slot].timeline.stamp(now, header.timestamp),
            marker: header.marker,
            level: heard.level,
            voice: heard.voice,
            payload: &packet[header.len..header.len + payload_len],
        };
        for member in &room.members {
            if *member != key {
                let receiver = &mut self.peers[*member];
                deliver(receiver, &forward, &mut self.counters, out);
            }
        }
        Ok(())
    }

    /// The slot that carries `key`'s packets: the one it holds, or one it takes now.
    fn slot(
        &mut self,
        now: Instant,
        key: PeerKey,
        timestamp: u32,
        generation: u32,
        heard: &Heard,
        out: &mut impl Output,
    ) -> Option<usize> {
        let peer = &self.peers[key];
        let room_key = peer.room;
        let source = peer.source.as_ref()?;
        if let Some((slot, _)) = source.slot {
            let room = &mut self.rooms[room_key];
            if room.slots[slot].holder.as_ref().is_some_and(|holder| holder.generation != generation) {
                room.hold(now, slot, key, generation, timestamp);
            }
            return Some(slot);
        }
        if heard.dtx {
            return None;
        }
        let (slot, loser) = self.rooms[room_key].choose(now, source, heard.voice, &self.peers)?;
        if let Some(loser) = loser.and_then(|key| self.peers.get_mut(key)).and_then(|peer| peer.source.as_mut()) {
            loser.slot = None;
        }
        let over = self.rooms[room_key].content(slot);
        self.end_for_taker(now, key, over, out);
        self.rooms[room_key].hold(now, slot, key, generation, timestamp);
        if let Some(source) = self.peers[key].source.as_mut() {
            source.slot = Some((slot, now));
        }
        Some(slot)
    }

    /// Nobody hears itself: what `key` heard in the slot that it takes is over for it alone. The silence goes out at once,
    /// as the slot's timeline belongs to the new content.
    fn end_for_taker(&mut self, now: Instant, key: PeerKey, content: Content, out: &mut impl Output) {
        let taker = &mut self.peers[key];
        let Some(stream) = taker.receiver.carrying(content) else {
            return;
        };
        for _ in 0..room::SILENT_FRAMES {
            let timestamp = taker.receiver.streams[stream].next_frame();
            let forward = Forward::silence(now, content, timestamp);
            deliver(taker, &forward, &mut self.counters, out);
        }
        Self::end(taker, content, out);
    }

    /// What `receiver` heard as `content` is over: nobody is in that slot from its last frame of silence on.
    fn end(receiver: &mut Peer, content: Content, out: &mut impl Output) {
        if let Some(stream) = receiver.receiver.carrying(content) {
            let timestamp = receiver.receiver.streams[stream].stamp();
            out.event(Event::SlotChanged { peer: receiver.id, slot: stream as u8, csrc: 0, timestamp });
            receiver.receiver.end(content);
        }
    }

    /// Give back the slot that `key` holds, if any.
    fn release(&mut self, now: Instant, key: PeerKey) {
        let Some(peer) = self.peers.get_mut(key) else {
            return;
        };
        let room_key = peer.room;
        let Some((slot, _)) = peer.source.as_mut().and_then(|source| source.slot.take()) else {
            return;
        };
        self.rooms[room_key].release(now, slot);
        if !self.releasing.contains(&room_key) {
            self.releasing.push(room_key);
        }
    }

    fn rtcp(&mut self, now: Instant, path: Path, datagram: &mut [u8]) -> Result<(), Drop> {
        let key = self.peer_at(path)?;
        let peer = &mut self.peers[key];
        let srtp = peer.srtp.as_mut().ok_or(Drop::NoKeys)?;
        let len = srtp.inbound.unprotect_rtcp(datagram)?;
        let mut goodbye = false;
        for packet in rtcp::packets(&datagram[..len]) {
            goodbye |= report::read(peer, &packet?, self.clock, now);
        }
        if goodbye {
            self.release(now, key);
        }
        Ok(())
    }

    /// Do what is due, and say when to come again.
    pub fn poll(&mut self, now: Instant, out: &mut impl Output) -> Option<Instant> {
        while let Some(Reverse((due, key))) = self.ticks.peek().copied() {
            if due > now {
                break;
            }
            self.ticks.pop();
            if self.tick(now, key, out) {
                self.ticks.push(Reverse((now + report::INTERVAL, key)));
            }
        }
        let mut next = self.ticks.peek().map(|Reverse((due, _))| *due);
        let mut index = 0;
        while index < self.releasing.len() {
            match self.silence(now, self.releasing[index], out) {
                Some(due) => {
                    next = Some(next.map_or(due, |next| next.min(due)));
                    index += 1;
                }
                None => drop(self.releasing.swap_remove(index)),
            }
        }
        next
    }

    /// A peer's second has passed. False: it is gone.
    fn tick(&mut self, now: Instant, key: PeerKey, out: &mut impl Output) -> bool {
        let Some(peer) = self.peers.get_mut(key) else {
            return false;
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
            self.forget(now, key);
            return false;
        }
        let room = &self.rooms[peer.room];
        if peer.connected
            && let Some(to) = peer.ice.selected()
        {
            let clock = self.clock;
            let sent = send(out, to, |buf| {
                let len = report::write(peer, room, clock, now, buf);
                match (&mut peer.srtp, len) {
                    (Some(srtp), 1..) => srtp.outbound.protect_rtcp(buf, len),
                    _ => 0,
                }
            });
            self.counters.sent(sent);
        }
        true
    }

    /// Send the silence that is due in a room; None when all of it is sent.
    fn silence(&mut self, now: Instant, room_key: RoomKey, out: &mut impl Output) -> Option<Instant> {
        let room = self.rooms.get_mut(room_key)?;
        for slot in 0..room.slots.len() {
            let content = room.content(slot);
            let Some(release) = room.slots[slot].release.as_mut().filter(|release| release.due <= now) else {
                continue;
            };
            release.frames -= 1;
            release.due += room::FRAME;
            let over = release.frames == 0;
            let timestamp = room.slots[slot].timeline.silence(now);
            let forward = Forward::silence(now, content, timestamp);
            for member in &room.members {
                let receiver = &mut self.peers[*member];
                deliver(receiver, &forward, &mut self.counters, out);
                if over {
                    Self::end(receiver, content, out);
                }
            }
            if over {
                room.slots[slot].release = None;
            }
        }
        room.next_release()
    }

    /// A snapshot.
    pub fn counters(&self) -> Counters {
        Counters {
            rooms: self.rooms.len() as u64,
            peers: self.peers.len() as u64,
            sources: self.peers.values().filter(|peer| peer.source.is_some()).count() as u64,
            slots_held: self.rooms.values().flat_map(|room| &room.slots).filter(|slot| slot.holder.is_some()).count()
                as u64,
            paths: self.by_path.len() as u64,
            ..self.counters.clone()
        }
    }

    /// One row a peer, appended to `rows`.
    pub fn statistics(&self, rows: &mut Vec<PeerStatistics>) {
        rows.extend(self.peers.values().map(|peer| {
            let source = peer.source.as_ref();
            PeerStatistics {
                peer: peer.id,
                room: self.rooms[peer.room].id,
                packets_in: peer.traffic.packets_in,
                packets_out: peer.traffic.packets_out,
                bytes_in: peer.traffic.bytes_in,
                bytes_out: peer.traffic.bytes_out,
                lost: source.map_or(0, |source| source.reception.lost()),
                jitter: source.map_or(0.0, |source| source.reception.jitter()),
                rtt: peer.rtt,
                level: source.map_or(127, |source| source.level),
                connected: peer.connected,
            }
        }));
    }
}

/// Send, and say how much.
fn send(out: &mut impl Output, to: Path, fill: impl FnOnce(&mut [u8; MAX_DATAGRAM]) -> usize) -> usize {
    let mut len = 0;
    out.send(to, |buf| {
        len = fill(buf);
        len
    });
    len
}

/// One packet to one receiver, when it is connected and has a place for it.
fn deliver(receiver: &mut Peer, packet: &Forward<'_>, counters: &mut Counters, out: &mut impl Output) {
    if !receiver.connected || receiver.receiver.is_empty() {
        return;
    }
    let (Some(srtp), Some(to)) = (&receiver.srtp, receiver.ice.selected()) else {
        return;
    };
    let streams = &mut receiver.receiver;
    let mut sent = None;
    out.send(to, |buf| {
        sent = streams.forward(packet, &srtp.outbound, buf);
        sent.as_ref().map_or(0, |sent| sent.len)
    });
    let Some(sent) = sent else { return };
    receiver.traffic.sent(sent.len);
    counters.sent(sent.len);
    if sent.begins {
        let (slot, csrc) = (sent.stream as u8, packet.csrc.unwrap_or(0));
        out.event(Event::SlotChanged { peer: receiver.id, slot, csrc, timestamp: sent.timestamp });
    }
}
