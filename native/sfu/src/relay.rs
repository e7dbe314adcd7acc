//! Between workers: voices on their way to a room's home, and what is forwarded from there, as bytes that a ring can carry.

use crate::rtp::AudioLevel;
use crate::{MAX_DATAGRAM, PeerId, RoomId};

/// Bytes before the payload.
const HEAD: usize = 44;

/// The most bytes one relayed packet takes.
pub const MAX_RELAY: usize = HEAD + MAX_DATAGRAM;

/// The first byte of what is a packet of video instead.
pub(crate) const VIDEO: u8 = 128;

mod flag {
    /// From a room's home; else on its way there.
    pub(super) const FORWARD: u8 = 1;
    pub(super) const MARKER: u8 = 2;
    pub(super) const VOICE: u8 = 4;
    pub(super) const LEVEL: u8 = 8;
    pub(super) const RED: u8 = 16;
    pub(super) const ENDS: u8 = 32;
    /// Of a source; else our own silence.
    pub(super) const INDEX: u8 = 64;
}

/// One packet between workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Relayed<'a> {
    pub(crate) forward: bool,
    pub(crate) room: RoomId,
    /// On the way home: whose voice it is.
    pub(crate) peer: PeerId,
    pub(crate) csrc: u32,
    pub(crate) slot: u8,
    /// Forwarded: the content's epoch. On the way home: the source's generation.
    pub(crate) epoch: u32,
    pub(crate) segment: u32,
    pub(crate) index: Option<u64>,
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    pub(crate) voice: bool,
    pub(crate) level: Option<AudioLevel>,
    /// The payload is RED whose blocks have this payload type.
    pub(crate) red: Option<u8>,
    pub(crate) ends: bool,
    pub(crate) payload: &'a [u8],
}

impl<'a> Relayed<'a> {
    pub(crate) fn write(&self, out: &mut [u8; MAX_RELAY]) -> usize {
        let flags = [
            (self.forward, flag::FORWARD),
            (self.marker, flag::MARKER),
            (self.voice, flag::VOICE),
            (self.level.is_some(), flag::LEVEL),
            (self.red.is_some(), flag::RED),
            (self.ends, flag::ENDS),
            (self.index.is_some(), flag::INDEX),
        ];
        out[0] = flags.iter().filter(|(set, _)| *set).map(|(_, flag)| flag).sum();
        out[1] = self.slot;
        out[2] = self.red.unwrap_or(0);
        out[3] = self.level.map_or(0, AudioLevel::byte);
        let mut at = 4;
        let mut put = |bytes: &[u8]| {
            out[at..at + bytes.len()].copy_from_slice(bytes);
            at += bytes.len();
        };
        put(&self.room.0.to_be_bytes());
        put(&self.peer.0.to_be_bytes());
        put(&self.csrc.to_be_bytes());
        put(&self.epoch.to_be_bytes());
        put(&self.segment.to_be_bytes());
        put(&self.index.unwrap_or(0).to_be_bytes());
        put(&self.timestamp.to_be_bytes());
        put(self.payload);
        at
    }

    /// None for bytes that `write` did not write.
    pub(crate) fn read(bytes: &'a [u8]) -> Option<Self> {
        let (head, rest): (&[u8; 4], _) = bytes.split_first_chunk()?;
        let set = |flag: u8| head[0] & flag != 0;
        let (room, rest): (&[u8; 8], _) = rest.split_first_chunk()?;
        let (peer, rest): (&[u8; 8], _) = rest.split_first_chunk()?;
        let (csrc, rest): (&[u8; 4], _) = rest.split_first_chunk()?;
        let (epoch, rest): (&[u8; 4], _) = rest.split_first_chunk()?;
        let (segment, rest): (&[u8; 4], _) = rest.split_first_chunk()?;
        let (index, rest): (&[u8; 8], _) = rest.split_first_chunk()?;
        let (timestamp, payload): (&[u8; 4], _) = rest.split_first_chunk()?;
        Some(Self {
            forward: set(flag::FORWARD),
            room: RoomId(u64::from_be_bytes(*room)),
            peer: PeerId(u64::from_be_bytes(*peer)),
            csrc: u32::from_be_bytes(*csrc),
            slot: head[1],
            epoch: u32::from_be_bytes(*epoch),
            segment: u32::from_be_bytes(*segment),
            index: set(flag::INDEX).then(|| u64::from_be_bytes(*index)),
            timestamp: u32::from_be_bytes(*timestamp),
            marker: set(flag::MARKER),
            voice: set(flag::VOICE),
            level: set(flag::LEVEL).then(|| AudioLevel { voice: head[3] & 0x80 != 0, level: head[3] & 0x7F }),
            red: set(flag::RED).then_some(head[2]),
            ends: set(flag::ENDS),
            payload,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(
            room: u64, peer: u64, csrc: u32, slot: u8, epoch: u32, segment: u32, index: Option<u64>, timestamp: u32,
            flags: [bool; 4], level in proptest::option::of((any::<bool>(), 0u8..128)), red: Option<u8>,
            payload in proptest::collection::vec(any::<u8>(), 0..1500),
        ) {
            let [forward, marker, voice, ends] = flags;
            let level = level.map(|(voice, level)| AudioLevel { voice, level });
            let relayed = Relayed {
                forward, room: RoomId(room), peer: PeerId(peer), csrc, slot, epoch, segment, index, timestamp, marker, voice, level, red,
                ends, payload: &payload,
            };
            let mut out = [0; MAX_RELAY];
            let len = relayed.write(&mut out);
            prop_assert_eq!(Relayed::read(&out[..len]), Some(relayed));
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = Relayed::read(&bytes);
        }
    }
}
