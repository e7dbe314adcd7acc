//! Who shares what, and who watches whom.

use std::time::Instant;

use super::allocation::MAX_VIDEO_SLOTS;
use super::flow::tell;
use super::switch::Level;
use super::track::{Origin, Track};
use crate::sfu::{Sfu, Timer};
use crate::{Note, Output, PeerId, PeerKey, RoomKey, TrackKey, Wish, WorkerId};

impl Sfu {
    /// What a peer wishes to see: the whole set. Wishes for slots that it does not have are ignored, and so are unknown
    /// peers; who is not there yet is shown when it comes.
    pub fn watch(&mut self, now: Instant, id: PeerId, wishes: &[Wish], out: &mut impl Output) {
        let Some(key) = self.peer_keys.get(&id).copied() else { return };
        let Some(video) = self.peers[key].video.as_deref_mut() else { return };
        let slots = video.streams.len();
        video.wishes = [None; MAX_VIDEO_SLOTS];
        for wish in wishes.iter().filter(|wish| usize::from(wish.slot) < slots && wish.csrc != 0) {
            video.wishes[usize::from(wish.slot)] = Some(*wish);
        }
        let looked_after = std::mem::replace(&mut video.looked_after, true);
        for slot in 0..slots {
            self.seat(now, key, slot, out);
        }
        self.share_out(now, key, out);
        if !looked_after {
            self.wheel.schedule(now, Timer::Watch(key));
        }
    }

    /// From the next [`Sfu::watch`] on, a slot gets these layers (encoding, spatial, temporal) of what it shows, whatever the
    /// receiver's path carries: for replays, which must know when which layers are switched.
    #[doc(hidden)]
    pub fn pin(&mut self, id: PeerId, slot: u8, level: Option<(u8, u8, u8)>) {
        let Some(key) = self.peer_keys.get(&id) else { return };
        let video = self.peers[*key].video.as_deref_mut();
        if let Some(stream) = video.and_then(|video| video.streams.get_mut(usize::from(slot))) {
            stream.pinned = level.map(|(encoding, spatial, temporal)| Level { encoding, spatial, temporal });
        }
    }

    /// Which of its cameras and screens, and whether its screen's sound, a peer shares now, by CSRC: the whole set. Packets
    /// of others go nowhere, and with `silent` neither do those of the sound. Unknown peers are ignored.
    pub fn set_sharing(&mut self, now: Instant, id: PeerId, csrcs: &[u32], silent: bool, out: &mut impl Output) {
        let Some(key) = self.peer_keys.get(&id).copied() else { return };
        let peer = &mut self.peers[key];
        if let Some(sound) = peer.screen_sound.as_deref_mut() {
            let shares = !silent && csrcs.contains(&sound.csrc());
            if std::mem::replace(&mut sound.muted, !shares) == shares && !shares {
                self.release_source(now, key, true, out);
            }
        }
        let peer = &mut self.peers[key];
        let room = peer.room;
        let Some(upstream) = peer.upstream.as_deref_mut() else { return };
        for place in 0..upstream.published.len() {
            let Some(upstream) = self.peers[key].upstream.as_deref_mut() else { return };
            let published = &mut upstream.published[place];
            let live = csrcs.contains(&published.config.csrc);
            let before = std::mem::replace(&mut published.live, live);
            let track = published.track;
            if before != live {
                match live {
                    true => self.tracks[track].go_live(now),
                    false => self.tracks[track].live = false,
                }
                self.announce(room, track, live, out);
                self.seat_all(now, room, track, out);
            }
        }
    }

    /// Whoever in the room wishes to see the track sees it, or sees it no more.
    pub(crate) fn seat_all(&mut self, now: Instant, room: RoomKey, track: TrackKey, out: &mut impl Output) {
        let Some(csrc) = self.tracks.get(track).map(|track| track.csrc) else { return };
        for index in 0..self.rooms[room].members.len() {
            let member = self.rooms[room].members[index];
            let Some(video) = self.peers[member].video.as_deref() else { continue };
            let wishes = video.wishes;
            let wishing = wishes.iter().enumerate().filter(|(_, wish)| wish.is_some_and(|wish| wish.csrc == csrc));
            let mut seated = false;
            for (slot, _) in wishing {
                self.seat(now, member, slot, out);
                seated = true;
            }
            if seated {
                self.share_out(now, member, out);
            }
        }
        self.look_at_track_soon(now, track);
    }

    /// A slot follows its wish.
    fn seat(&mut self, now: Instant, key: PeerKey, slot: usize, out: &mut impl Output) {
        let peer = &self.peers[key];
        let Some(video) = peer.video.as_deref() else { return };
        let wished = video.wishes[slot].map(|wish| wish.csrc);
        let tracks = &self.tracks;
        let room = &self.rooms[peer.room];
        let own = |track: &Track| matches!(track.origin, Origin::Peer(origin, _) if origin == key);
        let found = room.tracks.iter().copied().find(|track| {
            let track = &tracks[*track];
            track.live && Some(track.csrc) == wished && !own(track)
        });
        if video.streams[slot].track == found {
            return;
        }
        self.unseat(key, slot, out);
        let Some(track_key) = found else { return };
        let track = &mut self.tracks[track_key];
        track.watchers.push((key, slot as u8));
        let csrc = track.csrc;
        if let Some(video) = self.peers[key].video.as_deref_mut() {
            video.streams[slot].track = Some(track_key);
            video.streams[slot].csrc = csrc;
        }
        // Before what it costs is known, nothing can be shared out.
        if let Some(track) = self.tracks.get_mut(track_key) {
            track.look(now);
        }
        self.look_at_track_soon(now, track_key);
    }

    /// A slot shows nothing any more.
    fn unseat(&mut self, key: PeerKey, slot: usize, out: &mut impl Output) {
        let peer = &mut self.peers[key];
        let Some(video) = peer.video.as_deref_mut() else { return };
        let Some(track) = video.streams[slot].track.take() else { return };
        video.withdraw(slot as u8);
        let stream = &mut video.streams[slot];
        stream.switch.aim(None);
        stream.limit = None;
        let stamp = stream.switch.newest_stamp().unwrap_or(0);
        if stream.told.csrc != 0 || stream.told.limit.is_some() {
            tell(peer, slot as u8, stamp, out);
        }
        if let Some(track) = self.tracks.get_mut(track) {
            track.watchers.retain(|watcher| *watcher != (key, slot as u8));
        }
    }

    /// A peer's cameras and screens are in a room, and its wishes are for that one.
    pub(crate) fn enter_videos(&mut self, now: Instant, key: PeerKey, room: RoomKey, out: &mut impl Output) {
        let mut entered = [TrackKey::default(); crate::MAX_VIDEO_SOURCES];
        if let Some(upstream) = self.peers[key].upstream.as_deref_mut() {
            for (place, published) in upstream.published.iter_mut().enumerate() {
                let (config, origin) = (&published.config, Origin::Peer(key, place));
                let mut track = Track::new(now, config.csrc, room, origin, config.screen, config.encodings());
                track.live = published.live;
                published.track = self.tracks.insert(track);
                self.rooms[room].tracks.push(published.track);
                entered[place] = published.track;
            }
        }
        for track in entered {
            if self.tracks.get(track).is_some_and(|track| track.live) {
                self.announce(room, track, true, out);
                self.seat_all(now, room, track, out);
            }
        }
    }

    /// They are not any more.
    pub(crate) fn leave_videos(&mut self, now: Instant, key: PeerKey, out: &mut impl Output) {
        let peer = &mut self.peers[key];
        let room = peer.room;
        if let Some(video) = peer.video.as_deref_mut() {
            video.wishes = [None; MAX_VIDEO_SLOTS];
            for slot in 0..video.streams.len() {
                self.unseat(key, slot, out);
            }
        }
        let places = self.peers[key].upstream.as_deref().map_or(0, |upstream| upstream.published.len());
        for place in 0..places {
            let Some(upstream) = self.peers[key].upstream.as_deref() else { return };
            let (track, live) = (upstream.published[place].track, upstream.published[place].live);
            if live {
                self.announce(room, track, false, out);
            }
            self.forget_track(now, room, track, out);
        }
    }

    /// A track is gone. Whoever saw it sees the other of the same CSRC, if there is one: a new transport of the same member.
    pub(crate) fn forget_track(&mut self, now: Instant, room: RoomKey, key: TrackKey, out: &mut impl Output) {
        let watchers = self.tracks.get_mut(key).map(|track| std::mem::take(&mut track.watchers));
        self.rooms[room].tracks.retain(|each| *each != key);
        for (watcher, slot) in watchers.into_iter().flatten() {
            self.unseat(watcher, usize::from(slot), out);
            self.seat(now, watcher, usize::from(slot), out);
        }
        self.tracks.remove(key);
    }

    /// A room ends: those of other workers' peers are told that nobody here watches.
    pub(crate) fn forget_tracks(&mut self, room: RoomKey, out: &mut impl Output) {
        for key in std::mem::take(&mut self.rooms[room].tracks) {
            if let Some(track) = self.tracks.remove(key)
                && let Origin::Elsewhere(worker) = track.origin
                && track.told != 0
            {
                out.note(worker, Note::Want { room: self.rooms[room].id, csrc: track.csrc, wanted: 0, keys: 0 });
            }
        }
    }

    /// A worker has forgotten everything: what its peers shared is over, and it wants nothing.
    pub(crate) fn lost_videos(&mut self, now: Instant, room: RoomKey, worker: WorkerId, out: &mut impl Output) {
        for key in self.rooms[room].tracks.clone() {
            let track = &mut self.tracks[key];
            track.remotes.retain(|(by, _)| *by != worker);
            // What a lost home has told of others it will tell anew.
            if track.origin == Origin::Elsewhere(worker) || self.rooms[room].home == worker && !track.is_ours() {
                self.forget_track(now, room, key, out);
            }
        }
        let lost: Vec<_> = self.rooms[room].shown.iter().copied().filter(|shown| shown.worker == worker).collect();
        for shown in lost {
            self.shown(room, shown, false, out);
        }
    }

    /// A peer's room has a home that knows nothing: what it shares is told anew.
    pub(crate) fn announce_all(&mut self, key: PeerKey, out: &mut impl Output) {
        let room = self.peers[key].room;
        let published = self.peers[key].upstream.as_deref().map(|upstream| &upstream.published);
        let live: Vec<_> = published.into_iter().flatten().filter(|each| each.live).map(|each| each.track).collect();
        for track in live {
            self.announce(room, track, true, out);
        }
    }
}
