//! Rooms that reach over several workers. Packets come by [`Sfu::relayed`] and may get lost; notes come by [`Sfu::noted`],
//! in order, and do not.

use std::time::Instant;

use crate::drops::Drop;
use crate::forward::Spoken;
use crate::relay::{Relayed, VIDEO};
use crate::room::Room;
use crate::sfu::Sfu;
use crate::video::workers::Shown;
use crate::voice::Voice;
use crate::{Note, Output, RoomId, RoomKey, WorkerId};

impl Sfu {
    /// A packet that another worker relayed to us.
    pub fn relayed(&mut self, now: Instant, bytes: &[u8], out: &mut impl Output) {
        let handled = match Relayed::read(bytes) {
            _ if bytes.first().is_some_and(|first| *first & VIDEO != 0) => self.video_relayed(now, bytes, out),
            Some(relayed) if relayed.forward => self.forwarded(now, &relayed, out),
            Some(relayed) => self.came_home(now, &relayed, out),
            None => Err(Drop::Malformed),
        };
        if let Err(drop) = handled {
            self.counters.drops.count(drop);
        }
    }

    fn came_home(&mut self, now: Instant, relayed: &Relayed<'_>, out: &mut impl Output) -> Result<(), Drop> {
        let key = *self.guests.get(&(relayed.room, relayed.peer, relayed.csrc)).ok_or(Drop::NoRoom)?;
        let spoken = Spoken {
            place: (relayed.epoch, relayed.segment),
            index: relayed.index.ok_or(Drop::Malformed)?,
            timestamp: relayed.timestamp,
            marker: relayed.marker,
            level: relayed.level,
            red: relayed.red,
            payload: relayed.payload,
        };
        self.speak(now, key, &spoken, out)
    }

    /// Another worker says what became of its members in a room that is at home here.
    pub fn noted(&mut self, now: Instant, from: WorkerId, note: Note, out: &mut impl Output) {
        match note {
            Note::Subscribe { room } => {
                let key = self.home_room(room);
                self.rooms[key].replicas.insert(from);
                self.show_all(key, from, out);
            }
            Note::Unsubscribe { room } => {
                if let Some(key) = self.room_keys.get(&room).copied() {
                    self.rooms[key].replicas.remove(from);
                    self.close_room(now, key, out);
                }
            }
            Note::Enter { room, peer, csrc } => {
                let key = self.home_room(room);
                let voice = Voice::new(csrc, key, Some(from), now);
                let before = self.guests.insert((room, peer, csrc), self.voices.insert(voice));
                self.rooms[key].guests += 1;
                if let Some(before) = before {
                    self.dismiss(now, key, before, out);
                }
            }
            Note::Exit { room, peer, csrc } => {
                if let Some(key) = self.room_keys.get(&room).copied()
                    && let Some(voice) = self.guests.remove(&(room, peer, csrc))
                {
                    self.dismiss(now, key, voice, out);
                    self.close_room(now, key, out);
                }
            }
            Note::Show { room, csrc, encodings, screen, live } => {
                let key = self.home_room(room);
                let shown = Shown { csrc, worker: from, encodings, screen };
                self.shown(key, shown, live, out);
                self.show(now, key, shown, live, out);
                self.close_room(now, key, out);
            }
            Note::Shown { room, csrc, worker, encodings, screen, live } => {
                if let Some(key) = self.room_keys.get(&room).copied() {
                    self.show(now, key, Shown { csrc, worker, encodings, screen }, live, out);
                }
            }
            Note::Want { room, csrc, wanted, keys } => self.wanted_elsewhere(now, room, csrc, from, wanted, keys),
            Note::Release { room, peer, csrc, generation, last } => {
                if let Some(voice) = self.guests.get(&(room, peer, csrc)).copied() {
                    self.voices[voice].fell_silent(generation, last);
                    self.release(now, voice, out);
                }
            }
        }
    }

    fn home_room(&mut self, room: RoomId) -> RoomKey {
        let worker = self.settings.worker;
        *self.room_keys.entry(room).or_insert_with(|| self.rooms.insert(Room::new(room, worker)))
    }

    fn dismiss(&mut self, now: Instant, room_key: RoomKey, voice: crate::VoiceKey, out: &mut impl Output) {
        self.release(now, voice, out);
        self.voices.remove(voice);
        self.rooms[room_key].guests -= 1;
    }

    /// `worker` has forgotten everything and begins anew: what it knew of our members it hears again, and what we knew of
    /// its members is over.
    pub fn worker_restarted(&mut self, now: Instant, worker: WorkerId, out: &mut impl Output) {
        let guests = self.guests.iter().filter(|(_, voice)| self.voices[**voice].origin == Some(worker));
        let mut lost: Vec<_> = guests.map(|(guest, _)| *guest).collect();
        // In an order that depends on nothing but who they are.
        lost.sort_unstable_by_key(|(room, peer, csrc)| (room.0, peer.0, *csrc));
        for (room, peer, csrc) in lost {
            self.noted(now, worker, Note::Exit { room, peer, csrc }, out);
        }
        let rooms: Vec<_> = self.rooms.iter().map(|(key, room)| (key, room.id, room.home)).collect();
        for (key, room, home) in rooms {
            self.lost_videos(now, key, worker, out);
            if home == self.settings.worker {
                self.noted(now, worker, Note::Unsubscribe { room }, out);
            } else if home == worker {
                out.note(home, Note::Subscribe { room });
                // What they hear is over, and what comes next is counted anew.
                for index in 0..self.rooms[key].members.len() {
                    let member = self.rooms[key].members[index];
                    self.hush(now, member, |_| true, out);
                    let peer = &self.peers[member];
                    for source in peer.sources() {
                        out.note(home, Note::Enter { room, peer: peer.id, csrc: source.csrc() });
                    }
                    self.announce_all(member, out);
                }
            }
        }
    }
}
