//! Commands: who comes, goes, moves, falls silent, or does not want to hear.

use std::time::Instant;

use crate::ice::{Agent, Credentials};
use crate::peer::{Peer, Srtp, Traffic};
use crate::police::Policer;
use crate::receiver::Receiver;
use crate::room::Room;
use crate::sfu::Sfu;
use crate::source::Source;
use crate::srtp::{Inbound, Outbound};
use crate::video::{MAX_VIDEO_SLOTS, Upstream, VideoReceiver};
use crate::voice::Voice;
use crate::{
    Event, IceCredentials, Keys, MAX_IGNORED, MAX_SLOTS, MAX_VIDEO_SOURCES, Note, Output, Path, PeerConfig, PeerId,
    PeerKey, Placement, RoomKey,
};

/// Why a peer cannot be added, or cannot restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// The handle is in use.
    #[error("the peer exists already")]
    PeerExists,
    /// Nobody has this handle.
    #[error("there is no such peer")]
    NoSuchPeer,
    /// Two peers with one local user fragment could not be told apart.
    #[error("the local ufrag is in use")]
    UfragInUse,
    /// More than [`MAX_SLOTS`].
    #[error("too many slots")]
    TooManySlots,
    /// Two streams with one SSRC under one key would use every nonce twice (RFC 7714 §8.4).
    #[error("two slots have one SSRC")]
    SsrcInUse,
    /// More than [`MAX_VIDEO_SOURCES`](crate::MAX_VIDEO_SOURCES).
    #[error("too many video sources")]
    TooManySources,
    /// CSRC 0 means nobody.
    #[error("the CSRC must not be 0")]
    NoCsrc,
    /// Two kinds of payload cannot have one type.
    #[error("one payload type for Opus and RED")]
    PayloadTypeInUse,
}

impl Sfu {
    /// A peer that may now connect. The room exists from its first peer to its last.
    pub fn add_peer(
        &mut self,
        now: Instant,
        placement: Placement,
        id: PeerId,
        config: PeerConfig,
        out: &mut impl Output,
    ) -> Result<(), Rejected> {
        self.check(id, &config)?;
        let room_key = self.room_at(placement, out);
        let random = &mut self.random;
        let credentials = Credentials::new(config.local_ufrag.clone(), &config.local_password, config.remote_ufrag);
        let peer = Peer {
            id,
            room: room_key,
            since: now,
            cname: config.cname,
            ice: Agent::new(credentials, now),
            srtp: None,
            source: config.source.map(Source::new),
            screen_sound: config.screen_sound.map(|sound| Box::new(Source::withheld(sound))),
            receiver: Receiver::new(now, config.slots, self.settings.audio_slots, || random.u32() as u16),
            policer: Policer::new(now, config.video.as_ref().map_or(0, |video| video.sources.len())),
            upstream: config.video.as_ref().and_then(Upstream::new),
            video: config
                .video
                .filter(|video| !video.slots.is_empty())
                .map(|video| Box::new(VideoReceiver::new(now, video, || random.u32() as u16))),
            report_ssrc: random.u32(),
            connected: false,
            deafened: false,
            ignored: Box::default(),
            traffic: Traffic::default(),
            rtt: 0.0,
        };
        let key = self.peers.insert(peer);
        self.peer_keys.insert(id, key);
        self.by_ufrag.insert(config.local_ufrag, key);
        let peer = &self.peers[key];
        let of_video = peer.upstream.iter().flat_map(|upstream| upstream.ssrcs());
        for ssrc in peer.sources().filter_map(Source::ssrc).chain(of_video) {
            self.by_ssrc.insert(ssrc, key);
        }
        self.enter(now, key, room_key, out);
        self.schedule_report(now, key);
        Ok(())
    }

    fn check(&self, id: PeerId, config: &PeerConfig) -> Result<(), Rejected> {
        if self.peer_keys.contains_key(&id) {
            return Err(Rejected::PeerExists);
        }
        if self.by_ufrag.contains_key(&config.local_ufrag) {
            return Err(Rejected::UfragInUse);
        }
        if config.slots.len() > MAX_SLOTS {
            return Err(Rejected::TooManySlots);
        }
        let videos = config.video.iter().flat_map(|video| &video.slots);
        let ssrcs = config.slots.iter().map(|slot| slot.ssrc).chain(videos.flat_map(|slot| [slot.ssrc, slot.rtx_ssrc]));
        let mut ssrcs: Vec<u32> = ssrcs.collect();
        ssrcs.sort_unstable();
        if ssrcs.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(Rejected::SsrcInUse);
        }
        if let Some(video) = &config.video {
            if video.slots.len() > MAX_VIDEO_SLOTS {
                return Err(Rejected::TooManySlots);
            }
            if video.sources.len() > MAX_VIDEO_SOURCES {
                return Err(Rejected::TooManySources);
            }
            if video.sources.iter().any(|source| source.csrc == 0) {
                return Err(Rejected::NoCsrc);
            }
        }
        for source in config.source.iter().chain(&config.screen_sound) {
            if source.csrc == 0 {
                return Err(Rejected::NoCsrc);
            }
            if source.red_payload_type == Some(source.payload_type) {
                return Err(Rejected::PayloadTypeInUse);
            }
        }
        if config.slots.iter().any(|slot| slot.red_payload_type == Some(slot.payload_type)) {
            return Err(Rejected::PayloadTypeInUse);
        }
        Ok(())
    }

    /// The room, made if need be; where it is a replica, its home is told.
    fn room_at(&mut self, placement: Placement, out: &mut impl Output) -> RoomKey {
        let Placement { room, home } = placement;
        if let Some(key) = self.room_keys.get(&room).copied() {
            return key;
        }
        let key = self.rooms.insert(Room::new(room, home));
        self.room_keys.insert(room, key);
        if home != self.settings.worker {
            out.note(home, Note::Subscribe { room });
        }
        key
    }

    /// A peer becomes a member of a room.
    fn enter(&mut self, now: Instant, key: PeerKey, room_key: RoomKey, out: &mut impl Output) {
        let peer = &mut self.peers[key];
        let room = &mut self.rooms[room_key];
        peer.room = room_key;
        room.members.push(key);
        room.repairable += usize::from(peer.receiver.is_repairable());
        self.enter_videos(now, key, room_key, out);
        let peer = &mut self.peers[key];
        let room = &mut self.rooms[room_key];
        let id = peer.id;
        for source in peer.sources_mut() {
            let csrc = source.csrc();
            if room.home == self.settings.worker {
                source.voice = Some(self.voices.insert(Voice::new(csrc, room_key, None, now)));
            } else {
                out.note(room.home, Note::Enter { room: room.id, peer: id, csrc });
            }
        }
    }

    /// A peer is no longer a member of its room, which ends with its last.
    fn leave(&mut self, now: Instant, key: PeerKey, out: &mut impl Output) {
        self.release_peer(now, key, out);
        self.leave_videos(now, key, out);
        let peer = &mut self.peers[key];
        let room_key = peer.room;
        let room = &mut self.rooms[room_key];
        room.members.retain(|member| *member != key);
        room.repairable -= usize::from(peer.receiver.is_repairable());
        let id = peer.id;
        for source in peer.sources_mut() {
            match source.voice.take() {
                Some(voice) => drop(self.voices.remove(voice)),
                None => out.note(room.home, Note::Exit { room: room.id, peer: id, csrc: source.csrc() }),
            }
        }
        if room.members.is_empty() && room.home != self.settings.worker {
            out.note(room.home, Note::Unsubscribe { room: room.id });
        }
        self.close_room(now, room_key, out);
    }

    /// Forget a room in which nobody is left, or find out who is dominant now.
    pub(crate) fn close_room(&mut self, now: Instant, room_key: RoomKey, out: &mut impl Output) {
        let room = &self.rooms[room_key];
        if room.is_empty() {
            self.room_keys.remove(&room.id);
            self.forget_tracks(room_key, out);
            self.rooms.remove(room_key);
            return;
        }
        if room.dominant.is_some_and(|key| !self.voices.contains_key(key)) {
            self.watch_speakers(now, room_key, out);
            let room = &self.rooms[room_key];
            if room.dominant.is_none() {
                out.event(Event::Dominant { room: room.id, csrc: 0 });
            }
        }
    }

    /// Forget a peer and everything it held. Unknown ones are ignored.
    pub fn remove_peer(&mut self, now: Instant, id: PeerId, out: &mut impl Output) {
        if let Some(key) = self.peer_keys.get(&id).copied() {
            self.forget(now, key, out);
        }
    }

    pub(crate) fn forget(&mut self, now: Instant, key: PeerKey, out: &mut impl Output) {
        self.leave(now, key, out);
        let Some(peer) = self.peers.remove(key) else {
            return;
        };
        self.peer_keys.remove(&peer.id);
        for ufrag in peer.ice.local_ufrags() {
            self.by_ufrag.remove(ufrag);
        }
        for path in peer.ice.paths() {
            if self.by_path.get(path) == Some(&key) {
                self.by_path.remove(path);
            }
        }
        let of_video = peer.upstream.iter().flat_map(|upstream| upstream.ssrcs());
        for ssrc in peer.sources().flat_map(Source::ssrcs).chain(of_video) {
            if self.by_ssrc.get(&ssrc) == Some(&key) {
                self.by_ssrc.remove(&ssrc);
            }
        }
    }

    /// Take a peer to another room; its transport stays. Unknown peers are ignored.
    pub fn move_peer(&mut self, now: Instant, id: PeerId, placement: Placement, out: &mut impl Output) {
        let Some(key) = self.peer_keys.get(&id).copied() else {
            return;
        };
        if self.rooms[self.peers[key].room].id == placement.room {
            return;
        }
        self.hush(now, key, |_| true, out);
        self.leave(now, key, out);
        let room_key = self.room_at(placement, out);
        self.enter(now, key, room_key, out);
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

    pub(crate) fn connect(peer: &mut Peer, out: &mut impl Output) {
        if !peer.connected && peer.srtp.is_some() && peer.ice.is_nominated() {
            peer.connected = true;
            out.event(Event::Connected { peer: peer.id });
        }
    }

    /// An ICE restart (RFC 8445 §9): the new credentials count from the client's first nomination with them, and media
    /// stays where it is until then.
    pub fn restart_ice(&mut self, id: PeerId, credentials: IceCredentials) -> Result<(), Rejected> {
        let key = *self.peer_keys.get(&id).ok_or(Rejected::NoSuchPeer)?;
        if self.by_ufrag.contains_key(&credentials.local_ufrag) {
            return Err(Rejected::UfragInUse);
        }
        let IceCredentials { local_ufrag, local_password, remote_ufrag } = credentials;
        let next = Credentials::new(local_ufrag.clone(), &local_password, remote_ufrag);
        if let Some(replaced) = self.peers[key].ice.restart(next) {
            self.by_ufrag.remove(&replaced);
        }
        self.by_ufrag.insert(local_ufrag, key);
        Ok(())
    }

    /// Packets of a muted microphone go nowhere.
    pub fn set_muted(&mut self, now: Instant, id: PeerId, muted: bool, out: &mut impl Output) {
        let Some(key) = self.peer_keys.get(&id).copied() else {
            return;
        };
        if let Some(source) = self.peers[key].source.as_mut() {
            source.muted = muted;
        }
        if muted {
            self.release_source(now, key, false, out);
        }
    }

    /// Nothing is sent to a deafened peer but reports.
    pub fn set_deafened(&mut self, now: Instant, id: PeerId, deafened: bool, out: &mut impl Output) {
        let Some(key) = self.peer_keys.get(&id).copied() else {
            return;
        };
        self.peers[key].deafened = deafened;
        if deafened {
            self.hush(now, key, |_| true, out);
        }
    }

    /// Whom a peer does not want to hear, by CSRC; at most [`MAX_IGNORED`] of them.
    pub fn set_ignored(&mut self, now: Instant, id: PeerId, csrcs: &[u32], out: &mut impl Output) {
        let Some(key) = self.peer_keys.get(&id).copied() else {
            return;
        };
        self.peers[key].ignored = csrcs.iter().copied().take(MAX_IGNORED).collect();
        self.hush(now, key, |csrc| csrcs.contains(&csrc), out);
    }

    /// `key` falls silent, wherever its room is at home.
    pub(crate) fn release_peer(&mut self, now: Instant, key: PeerKey, out: &mut impl Output) {
        for screen in [false, true] {
            self.release_source(now, key, screen, out);
        }
    }

    /// The same of its microphone, or of its screen's sound.
    pub(crate) fn release_source(&mut self, now: Instant, key: PeerKey, screen: bool, out: &mut impl Output) {
        let peer = &self.peers[key];
        let source = if screen { peer.screen_sound.as_deref() } else { peer.source.as_ref() };
        let Some(source) = source else { return };
        match source.voice {
            Some(voice) => self.release(now, voice, out),
            None => {
                let room = &self.rooms[peer.room];
                let (generation, last) = (source.generation, source.reception.highest());
                let (room, home) = (room.id, room.home);
                out.note(home, Note::Release { room, peer: peer.id, csrc: source.csrc(), generation, last });
            }
        }
    }

    /// Where a peer's datagrams go now.
    pub fn selected_path(&self, id: PeerId) -> Option<Path> {
        self.peers.get(*self.peer_keys.get(&id)?)?.ice.selected()
    }

    /// Has a check of one of our peers come on this path?
    pub fn is_known(&self, path: Path) -> bool {
        self.by_path.contains_key(&path)
    }

    /// The connection that was this path is gone.
    pub fn path_closed(&mut self, path: Path) {
        if let Some(peer) = self.by_path.remove(&path).and_then(|key| self.peers.get_mut(key)) {
            peer.ice.forget(path);
        }
    }
}
