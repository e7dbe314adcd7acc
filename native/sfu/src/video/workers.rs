//! Cameras and screens in rooms that reach over several workers: what is shared is told through the room's home to all
//! workers with members there; they tell its own worker which encodings they want, and get these packet by packet.

use std::time::Instant;

use super::Codec;
use super::cache::Facts;
use super::track::{Origin, Track};
use crate::drops::Drop;
use crate::relay::VIDEO;
use crate::sfu::Sfu;
use crate::{MAX_RELAY, Note, Output, RoomId, RoomKey, TrackKey, WorkerId, WorkerSet};

/// Something that is shared in a room, as its home knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) csrc: u32,
    /// Whose peer shares it.
    pub(crate) worker: WorkerId,
    pub(crate) encodings: u8,
    pub(crate) screen: bool,
}

/// One packet of a track on its way to another worker.
pub(crate) struct RelayedVideo<'a> {
    pub(crate) room: RoomId,
    pub(crate) csrc: u32,
    pub(crate) encoding: u8,
    pub(crate) epoch: u32,
    pub(crate) index: u64,
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    pub(crate) codec: Codec,
    pub(crate) extensions: &'a [u8],
    pub(crate) payload: &'a [u8],
}

/// Bytes before the extensions.
const HEAD: usize = 36;

impl<'a> RelayedVideo<'a> {
    pub(crate) fn write(&self, out: &mut [u8; MAX_RELAY]) -> usize {
        let len = HEAD + self.extensions.len() + self.payload.len();
        if len > MAX_RELAY {
            return 0;
        }
        let codec = Codec::ALL.iter().position(|codec| *codec == self.codec).unwrap_or(0) as u8;
        out[..4].copy_from_slice(&[VIDEO, self.encoding, codec, u8::from(self.marker)]);
        out[4..12].copy_from_slice(&self.room.0.to_be_bytes());
        out[12..16].copy_from_slice(&self.csrc.to_be_bytes());
        out[16..20].copy_from_slice(&self.epoch.to_be_bytes());
        out[20..28].copy_from_slice(&self.index.to_be_bytes());
        out[28..32].copy_from_slice(&self.timestamp.to_be_bytes());
        out[32..HEAD].copy_from_slice(&(self.extensions.len() as u32).to_be_bytes());
        out[HEAD..HEAD + self.extensions.len()].copy_from_slice(self.extensions);
        out[HEAD + self.extensions.len()..len].copy_from_slice(self.payload);
        len
    }

    /// None for bytes that `write` did not write.
    pub(crate) fn read(bytes: &'a [u8]) -> Option<Self> {
        let (head, rest): (&[u8; HEAD], _) = bytes.split_first_chunk()?;
        let word = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let long = |at: usize| u64::from(word(at)) << 32 | u64::from(word(at + 4));
        let (extensions, payload) = rest.split_at_checked(word(32) as usize)?;
        Some(Self {
            room: RoomId(long(4)),
            csrc: word(12),
            encoding: head[1],
            epoch: word(16),
            index: long(20),
            timestamp: word(28),
            marker: head[3] != 0,
            codec: *Codec::ALL.get(usize::from(head[2]))?,
            extensions,
            payload,
        })
    }
}

impl Sfu {
    /// A track of one of our peers is shared now, or is not any more.
    pub(crate) fn announce(&mut self, room_key: RoomKey, track: TrackKey, live: bool, out: &mut impl Output) {
        let Some(track) = self.tracks.get_mut(track) else { return };
        if !live {
            track.remotes.clear();
        }
        let (csrc, encodings, screen) = (track.csrc, track.encodings.len() as u8, track.screen);
        let room = &self.rooms[room_key];
        if room.home == self.settings.worker {
            self.shown(room_key, Shown { csrc, worker: self.settings.worker, encodings, screen }, live, out);
        } else {
            out.note(room.home, Note::Show { room: room.id, csrc, encodings, screen, live });
        }
    }

    /// At home: something is shared now, or is not any more, and all workers with members are told.
    pub(crate) fn shown(&mut self, room_key: RoomKey, shown: Shown, live: bool, out: &mut impl Output) {
        let room = &mut self.rooms[room_key];
        let before = room.shown.iter().position(|each| (each.csrc, each.worker) == (shown.csrc, shown.worker));
        match before {
            Some(place) if !live => drop(room.shown.swap_remove(place)),
            None if live => room.shown.push(shown),
            _ => return,
        }
        for worker in room.replicas.iter().filter(|worker| *worker != shown.worker) {
            tell(room.id, &shown, live, worker, out);
        }
    }

    /// At home: a worker has members now, and hears of everything that is shared.
    pub(crate) fn show_all(&mut self, room_key: RoomKey, to: WorkerId, out: &mut impl Output) {
        let room = &self.rooms[room_key];
        for shown in room.shown.iter().filter(|shown| shown.worker != to) {
            tell(room.id, shown, true, to, out);
        }
    }

    /// Something of another worker's peers is shared in a room that has members here, or is not any more.
    pub(crate) fn show(&mut self, now: Instant, room_key: RoomKey, shown: Shown, live: bool, out: &mut impl Output) {
        let Shown { csrc, worker, encodings, screen } = shown;
        let known = self.rooms[room_key].tracks.iter().copied().find(|track| {
            let track = &self.tracks[*track];
            track.csrc == csrc && track.origin == Origin::Elsewhere(worker)
        });
        match (known, live) {
            (None, true) => {
                let encodings = usize::from(encodings).clamp(1, super::MAX_ENCODINGS);
                let mut track = Track::new(now, csrc, room_key, Origin::Elsewhere(worker), screen, encodings);
                track.live = true;
                track.told = 0;
                let key = self.tracks.insert(track);
                self.rooms[room_key].tracks.push(key);
                self.seat_all(now, room_key, key, out);
            }
            (Some(key), false) => self.forget_track(now, room_key, key, out),
            _ => {}
        }
    }

    /// Another worker tells which encodings of a track here it wants, and of which it needs a key frame.
    pub(crate) fn wanted_elsewhere(
        &mut self,
        now: Instant,
        room: RoomId,
        csrc: u32,
        by: WorkerId,
        wanted: u8,
        keys: u8,
    ) {
        let Some(room) = self.room_keys.get(&room).map(|room| &self.rooms[*room]) else { return };
        let tracks = &self.tracks;
        let own =
            |track: &&TrackKey| tracks[**track].csrc == csrc && matches!(tracks[**track].origin, Origin::Peer(..));
        let Some(key) = room.tracks.iter().find(own).copied() else { return };
        let track = &mut self.tracks[key];
        track.remotes.retain(|(worker, _)| *worker != by);
        if wanted != 0 {
            track.remotes.push((by, wanted));
        }
        for (index, encoding) in track.encodings.iter_mut().enumerate() {
            if keys >> index & 1 == 1 {
                encoding.key_frames.need();
            }
        }
        self.look_at_track_soon(now, key);
    }

    /// To all workers that want this encoding.
    pub(crate) fn relay_video(&self, packet: &RelayedVideo<'_>, track: &Track, out: &mut impl Output) {
        let mut to = WorkerSet::default();
        for (worker, wanted) in &track.remotes {
            if wanted >> packet.encoding & 1 == 1 {
                to.insert(*worker);
            }
        }
        if !to.is_empty() {
            out.relay(to, |buf| packet.write(buf));
        }
    }

    /// A packet of another worker's peer for those who watch here.
    pub(crate) fn video_relayed(&mut self, now: Instant, bytes: &[u8], out: &mut impl Output) -> Result<(), Drop> {
        let relayed = RelayedVideo::read(bytes).ok_or(Drop::Malformed)?;
        let room = self.room_keys.get(&relayed.room).map(|room| &self.rooms[*room]).ok_or(Drop::NoRoom)?;
        let tracks = &self.tracks;
        let of = |track: &&TrackKey| {
            let track = &tracks[**track];
            track.csrc == relayed.csrc && matches!(track.origin, Origin::Elsewhere(_))
        };
        let key = *room.tracks.iter().find(of).ok_or(Drop::NoRoom)?;
        let track = &mut self.tracks[key];
        let at = track.encodings.get_mut(usize::from(relayed.encoding)).ok_or(Drop::Malformed)?;
        if at.epoch != relayed.epoch {
            at.renew();
            at.epoch = relayed.epoch;
        }
        let RelayedVideo { index, timestamp, marker, codec, extensions, payload, encoding, .. } = relayed;
        let descriptor = super::cache::descriptor(extensions);
        let glance = at.look(codec, index, timestamp, marker, descriptor, payload).unwrap_or(super::flow::NOTHING);
        let facts = Facts { index, at: now, timestamp, marker, codec, glance, described: descriptor.is_some() };
        self.video_packet(now, key, encoding, facts, extensions, payload, out)
    }
}

fn tell(room: RoomId, shown: &Shown, live: bool, to: WorkerId, out: &mut impl Output) {
    let Shown { csrc, worker, encodings, screen } = *shown;
    out.note(to, Note::Shown { room, csrc, worker, encodings, screen, live });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_no_bytes_make_the_reader_panic() {
        let packet = RelayedVideo {
            room: RoomId(7),
            csrc: 8,
            encoding: 2,
            epoch: 9,
            index: 1 << 40,
            timestamp: 10,
            marker: true,
            codec: Codec::H264,
            extensions: &[1, 2, 3],
            payload: b"payload",
        };
        let mut out = [0; MAX_RELAY];
        let len = packet.write(&mut out);
        let read = RelayedVideo::read(&out[..len]).unwrap();
        assert_eq!((read.room, read.csrc, read.encoding, read.epoch), (RoomId(7), 8, 2, 9));
        assert_eq!((read.index, read.timestamp, read.marker, read.codec), (1 << 40, 10, true, Codec::H264));
        assert_eq!((read.extensions, read.payload), (&[1, 2, 3][..], &b"payload"[..]));
        for cut in 0..len - 10 {
            assert!(RelayedVideo::read(&out[..cut]).is_none());
        }
        out[32..36].fill(0xFF);
        assert!(RelayedVideo::read(&out).is_none());
    }
}
