//! The switch of one stream: which packets of a source's encodings go into it, and under which numbers, so that its
//! receiver sees one encoder that never stops.
//!
//! It changes to another encoding where that one can be decoded from nothing, goes up a layer where the layer can be
//! joined, and goes down between two frames. Sequence numbers have no holes for what was left out and have holes for what
//! the network lost; what was lost and comes late still fits in.

use std::cmp::Ordering;

use super::cache::Packet;
use super::{Codec, Numbers};

/// Packets left out that are remembered, for those that come after newer ones: half a second of a layer that is left out.
const REMEMBERED: usize = 128;
/// Frames whose numbers are remembered for the same reason.
const FRAMES: usize = 32;
/// Changes of layers likewise.
const CHANGES: usize = 4;
/// From the last frame of an encoding to a first one that would not be later: 1 ms of 90 kHz.
const LEAST_STEP: u32 = 90;
/// The most lost packets that a receiver is shown: see `receiver::MAX_HOLE`.
const MAX_HOLE: u64 = 1024;

/// Some layers of an encoding: all up to these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Level {
    pub(crate) encoding: u8,
    pub(crate) spatial: u8,
    pub(crate) temporal: u8,
}

/// An encoding as it is at a time: after another SSRC or codec it is another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) encoding: u8,
    pub(crate) epoch: u32,
    pub(crate) codec: Codec,
}

/// Where in the stream a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) out_index: u64,
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    pub(crate) numbers: Numbers,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passage {
    /// It is not for this stream.
    No,
    /// It belongs to what is left out, but its number was kept free for it: an empty packet takes that.
    Filler(u64, u32),
    Yes(Place),
}

struct Current {
    identity: Identity,
    spatial: u8,
    temporal: u8,
    /// Index of the first packet, and of the newest.
    first: u64,
    newest: u64,
    /// Outgoing minus incoming index of the next packet.
    shift: i64,
    stamp_shift: u32,
    /// Added to the numbers of the present frame.
    picture_shift: u16,
    tl0_shift: u8,
    key_shift: u8,
    frame_shift: u16,
    /// PictureID of the newest frame, as it came.
    picture: Option<u16>,
    /// Ring of the packets left out.
    skipped: Box<[u64; REMEMBERED]>,
    skips: usize,
    /// Ring of frames: PictureID as it came, and its shift.
    frames: [(u16, u16); FRAMES],
    framed: usize,
    /// What is wanted of the present picture, in all its spatial layers alike: its end is marked once.
    wanted: (u8, u8),
    /// A lower spatial layer of the present picture was left out: what is up from there builds on it later, if not now.
    gap: bool,
    /// From which index on which layers, the newest first.
    changes: [(u64, u8, u8); CHANGES],
}

#[derive(Default)]
pub(crate) struct Switch {
    current: Option<Current>,
    target: Option<Level>,
    /// Outgoing index of the newest packet.
    last: u64,
    /// Newest timestamp, and numbers, once there are any.
    stamp: Option<u32>,
    numbers: Numbers,
}

impl Switch {
    pub(crate) fn new(first_sequence: u16) -> Self {
        // RFC 3711 §3.3.1 and libsrtp's habit: begin in the lower half, so that early loss cannot hide a rollover.
        Self { last: u64::from(first_sequence & 0x7FFF), ..Self::default() }
    }

    /// What is wanted. None: nothing, at once.
    pub(crate) fn aim(&mut self, target: Option<Level>) {
        self.target = target;
        if target.is_none() {
            self.current = None;
        }
    }

    pub(crate) fn target(&self) -> Option<Level> {
        self.target
    }

    /// What it carries.
    pub(crate) fn level(&self) -> Option<Level> {
        let current = self.current.as_ref()?;
        let Current { identity, spatial, temporal, .. } = current;
        Some(Level { encoding: identity.encoding, spatial: *spatial, temporal: *temporal })
    }

    pub(crate) fn identity(&self) -> Option<Identity> {
        self.current.as_ref().map(|current| current.identity)
    }

    /// It waits for a key frame of this encoding.
    pub(crate) fn awaits(&self, identity: Identity) -> bool {
        self.target.is_some_and(|target| target.encoding == identity.encoding) && self.identity() != Some(identity)
    }

    /// It waits for a key frame of a smaller encoding than the one it carries.
    pub(crate) fn goes_down(&self) -> bool {
        self.level().zip(self.target).is_some_and(|(level, target)| target.encoding < level.encoding)
    }

    /// Will it begin with this packet?
    pub(crate) fn begins_with(&self, identity: Identity, packet: &Packet) -> bool {
        let glance = &packet.glance;
        self.awaits(identity) && glance.key && glance.begins && glance.spatial == 0
    }

    /// Outgoing index of the newest packet.
    pub(crate) fn newest(&self) -> u64 {
        self.last
    }

    /// That packet was never sent: what it carried is over, and another gets its number.
    pub(crate) fn withdraw_newest(&mut self) {
        self.last -= 1;
        self.current = None;
    }

    pub(crate) fn newest_stamp(&self) -> Option<u32> {
        self.stamp
    }

    /// Added to timestamps as they come.
    pub(crate) fn stamp_shift(&self) -> Option<u32> {
        self.current.as_ref().map(|current| current.stamp_shift)
    }

    /// A packet of an encoding of the source. `to_clock` is added to its timestamp where it begins a content here.
    pub(crate) fn offer(&mut self, identity: Identity, packet: &Packet, to_clock: u32) -> Passage {
        if self.begins_with(identity, packet) {
            self.begin(identity, packet, to_clock);
        }
        let Some(current) = self.current.as_mut().filter(|current| current.identity == identity) else {
            return Passage::No;
        };
        if packet.index < current.first {
            return Passage::No;
        }
        if packet.index <= current.newest && packet.index != current.first {
            return self.late(packet);
        }
        if packet.index > current.newest + MAX_HOLE {
            // Nobody would wait for all that: what follows joins what was.
            current.shift -= (packet.index - current.newest - 1) as i64;
            current.first = packet.index;
            current.skips = 0;
        }
        if packet.glance.begins
            && (packet.index == current.newest + 1 || packet.index == current.first)
            && let Some(target) = self.target
        {
            current.adjust(packet, target);
        }
        current.newest = packet.index;
        let glance = &packet.glance;
        let passes = glance.spatial <= current.spatial && glance.temporal <= current.temporal;
        current.frame(packet, passes);
        if !passes {
            current.gap |= glance.spatial <= current.spatial;
            current.skipped[current.skips % REMEMBERED] = packet.index;
            current.skips += 1;
            current.shift -= 1;
            return Passage::No;
        }
        let shift = current.picture_shift;
        let place = current.place(packet, current.shift, shift);
        self.last = place.out_index;
        if self.stamp.is_none_or(|stamp| place.timestamp.wrapping_sub(stamp) as i32 > 0) {
            self.stamp = Some(place.timestamp);
        }
        let Numbers { picture, long, tl0, key_index, frame } = place.numbers;
        self.numbers = Numbers {
            picture: picture.or(self.numbers.picture),
            long,
            tl0: tl0.or(self.numbers.tl0),
            key_index: key_index.or(self.numbers.key_index),
            frame: frame.or(self.numbers.frame),
        };
        Passage::Yes(place)
    }

    fn begin(&mut self, identity: Identity, packet: &Packet, to_clock: u32) {
        let mut stamp = packet.timestamp.wrapping_add(to_clock);
        if let Some(last) = self.stamp
            && (stamp.wrapping_sub(last) as i32) < LEAST_STEP as i32
        {
            stamp = last.wrapping_add(LEAST_STEP);
        }
        let numbers = &packet.glance.numbers;
        let next = |last: Option<u16>, came: Option<u16>| {
            last.zip(came).map_or(0, |(last, came)| last.wrapping_add(1).wrapping_sub(came))
        };
        let wide = |number: Option<u8>| number.map(u16::from);
        let before = &self.numbers;
        let level = (packet.index, packet.glance.spatial, packet.glance.temporal);
        self.current = Some(Current {
            identity,
            spatial: packet.glance.spatial,
            temporal: packet.glance.temporal,
            first: packet.index,
            newest: packet.index,
            shift: (self.last + 1) as i64 - packet.index as i64,
            stamp_shift: stamp.wrapping_sub(packet.timestamp),
            picture_shift: next(before.picture, numbers.picture),
            tl0_shift: next(wide(before.tl0), wide(numbers.tl0)) as u8,
            key_shift: next(wide(before.key_index), wide(numbers.key_index)) as u8,
            frame_shift: next(before.frame, numbers.frame),
            picture: None,
            skipped: Box::new([0; REMEMBERED]),
            skips: 0,
            frames: [(0, 0); FRAMES],
            framed: 0,
            wanted: (packet.glance.spatial, packet.glance.temporal),
            gap: false,
            changes: [level; CHANGES],
        });
    }

    /// A packet that comes after newer ones, and fits where its number was kept free.
    fn late(&self, packet: &Packet) -> Passage {
        let Some(current) = &self.current else { return Passage::No };
        let known = current.skips.min(REMEMBERED);
        let skipped = &current.skipped[..known];
        if skipped.contains(&packet.index) {
            return Passage::No;
        }
        let after = skipped.iter().filter(|skipped| **skipped > packet.index).count();
        if after == known && current.skips > REMEMBERED {
            return Passage::No; // too long ago to know
        }
        let Some((_, spatial, temporal)) = current.changes.iter().find(|change| change.0 <= packet.index) else {
            return Passage::No;
        };
        let shift = current.shift + after as i64;
        let glance = &packet.glance;
        if glance.spatial > *spatial || glance.temporal > *temporal {
            let timestamp = packet.timestamp.wrapping_add(current.stamp_shift);
            return Passage::Filler((packet.index as i64 + shift) as u64, timestamp);
        }
        let mut place = current.place(packet, shift, current.picture_shift_of(glance.numbers.picture));
        place.marker = packet.marker || glance.ends && glance.spatial == *spatial;
        Passage::Yes(place)
    }
}

impl Current {
    /// At the beginning of a frame: go down, or up where the frame allows it. On the way to a smaller encoding the least of
    /// this one has to do; on the way to a larger one it stays as it is.
    fn adjust(&mut self, packet: &Packet, target: Level) {
        let before = (self.spatial, self.temporal);
        let glance = &packet.glance;
        let wanted = match target.encoding.cmp(&self.identity.encoding) {
            Ordering::Less => (0, 0),
            Ordering::Equal => (target.spatial, target.temporal),
            Ordering::Greater => before,
        };
        if glance.spatial == 0 {
            self.spatial = self.spatial.min(wanted.0);
            self.temporal = self.temporal.min(wanted.1);
            (self.wanted, self.gap) = (wanted, false);
        }
        if !self.gap {
            (self.spatial, self.temporal) = glance.rise((self.spatial, self.temporal), self.wanted);
        }
        if (self.spatial, self.temporal) != before {
            self.changes.copy_within(..CHANGES - 1, 1);
            self.changes[0] = (packet.index, self.spatial, self.temporal);
        }
    }

    /// Is a packet the first that is seen of its frame? Then the frame's PictureID follows that of the last one that passed.
    fn frame(&mut self, packet: &Packet, passes: bool) {
        let Some(picture) = packet.glance.numbers.picture else { return };
        if self.picture == Some(picture) {
            return;
        }
        // Others' PictureIDs say where in the pattern of layers a frame is, and are left alone.
        let closes_up = self.identity.codec == Codec::Vp8 && !packet.described;
        self.picture = Some(picture);
        if !passes && closes_up {
            self.picture_shift = self.picture_shift.wrapping_sub(1);
        }
        if passes {
            self.frames[self.framed % FRAMES] = (picture, self.picture_shift);
            self.framed += 1;
        }
    }

    /// Of the newest frame that passed and is not newer than this.
    fn picture_shift_of(&self, picture: Option<u16>) -> u16 {
        let Some(picture) = picture else { return self.picture_shift };
        let known = &self.frames[..self.framed.min(FRAMES)];
        let distance = |of: u16| picture.wrapping_sub(of) & 0x7FFF;
        known.iter().min_by_key(|(of, _)| distance(*of)).map_or(self.picture_shift, |(_, shift)| *shift)
    }

    fn place(&self, packet: &Packet, shift: i64, picture_shift: u16) -> Place {
        let glance = &packet.glance;
        let numbers = &glance.numbers;
        let picture_mask = if numbers.long { 0x7FFF } else { 0x7F };
        Place {
            out_index: (packet.index as i64 + shift) as u64,
            timestamp: packet.timestamp.wrapping_add(self.stamp_shift),
            marker: packet.marker || glance.ends && glance.spatial == self.spatial,
            numbers: Numbers {
                picture: numbers.picture.map(|picture| picture.wrapping_add(picture_shift) & picture_mask),
                long: numbers.long,
                tl0: numbers.tl0.map(|tl0| tl0.wrapping_add(self.tl0_shift)),
                key_index: numbers.key_index.map(|index| index.wrapping_add(self.key_shift) & 0x1F),
                frame: numbers.frame.map(|frame| frame.wrapping_add(self.frame_shift)),
            },
        }
    }
}
