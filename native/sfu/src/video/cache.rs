//! The last packets of an encoding, kept once for all its receivers: what is paced and what is sent again is made from here.

use std::time::{Duration, Instant};

use super::{Codec, Glance};
use crate::MAX_DATAGRAM;
use crate::drops::Drop;

/// Packets of a new cache, and the most: a second of 9 Mb/s.
const FEWEST: usize = 32;
const MOST: usize = 1024;
/// How long a packet is kept if `MOST` allows: a few round trips, after which nobody would play it.
const KEPT_FOR: Duration = Duration::from_millis(750);

/// Which extension an element kept with a packet is: those that go to receivers as they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Passed {
    DependencyDescriptor,
    AbsCaptureTime,
    PlayoutDelay,
    LayersAllocation,
    Orientation,
}

impl Passed {
    pub(crate) const ALL: [Self; 5] = [
        Self::DependencyDescriptor,
        Self::AbsCaptureTime,
        Self::PlayoutDelay,
        Self::LayersAllocation,
        Self::Orientation,
    ];
}

/// One packet as it came: the extensions that are passed on, then the payload.
pub(crate) struct Packet {
    pub(crate) index: u64,
    pub(crate) at: Instant,
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    pub(crate) glance: Glance,
    /// It has a dependency descriptor: its payload is nobody's business.
    pub(crate) described: bool,
    extensions: u16,
    len: u16,
    bytes: [u8; MAX_DATAGRAM],
}

/// The elements of a packet's extensions that are passed on.
#[derive(Clone)]
pub(crate) struct Elements<'a>(&'a [u8]);

impl<'a> Iterator for Elements<'a> {
    type Item = (Passed, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (&[kind, len], rest) = self.0.split_first_chunk()?;
        let (value, rest) = rest.split_at_checked(usize::from(len))?;
        self.0 = rest;
        Some((*Passed::ALL.get(usize::from(kind))?, value))
    }
}

/// What is known of a packet before it is kept.
#[derive(Clone, Copy)]
pub(crate) struct Facts {
    pub(crate) index: u64,
    pub(crate) at: Instant,
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    pub(crate) codec: Codec,
    pub(crate) glance: Glance,
    pub(crate) described: bool,
}

impl Packet {
    fn new(facts: Facts, extensions: &[u8], payload: &[u8]) -> Option<Self> {
        let mut bytes = [0; MAX_DATAGRAM];
        let len = extensions.len() + payload.len();
        bytes.get_mut(..extensions.len())?.copy_from_slice(extensions);
        bytes.get_mut(extensions.len()..len)?.copy_from_slice(payload);
        let Facts { index, at, timestamp, marker, glance, described, .. } = facts;
        let (extensions, len) = (extensions.len() as u16, len as u16);
        Some(Self { index, at, timestamp, marker, glance, described, extensions, len, bytes })
    }

    pub(crate) fn elements(&self) -> Elements<'_> {
        Elements(&self.bytes[..usize::from(self.extensions)])
    }

    pub(crate) fn payload(&self) -> &[u8] {
        &self.bytes[usize::from(self.extensions)..usize::from(self.len)]
    }
}

/// Puts elements together as [`Packet`] keeps them. Returns the length; an element that does not fit is left out.
pub(crate) fn pack<'a>(out: &mut [u8], elements: impl Iterator<Item = (Passed, &'a [u8])>) -> usize {
    let mut at = 0;
    for (kind, value) in elements {
        let end = at + 2 + value.len();
        if value.len() > 255 || end > out.len() {
            continue;
        }
        out[at] = kind as u8;
        out[at + 1] = value.len() as u8;
        out[at + 2..end].copy_from_slice(value);
        at = end;
    }
    at
}

/// The dependency descriptor among elements that were packed.
pub(crate) fn descriptor(elements: &[u8]) -> Option<&[u8]> {
    Elements(elements).find(|(kind, _)| *kind == Passed::DependencyDescriptor).map(|(_, value)| value)
}

/// A ring by packet index, which grows until it holds `KEPT_FOR`.
#[derive(Default)]
pub(crate) struct Cache {
    packets: Vec<Option<Packet>>,
}

impl Cache {
    /// Keep a packet. A second one of an index is [`Drop::Replay`], and so is one too old to be told from it.
    pub(crate) fn keep(&mut self, facts: Facts, extensions: &[u8], payload: &[u8]) -> Result<&Packet, Drop> {
        if self.packets.is_empty() {
            self.packets.resize_with(FEWEST, || None);
        }
        loop {
            let place = (facts.index % self.packets.len() as u64) as usize;
            match &self.packets[place] {
                Some(there) if there.index >= facts.index => return Err(Drop::Replay),
                Some(there) if self.packets.len() < MOST && facts.at.saturating_duration_since(there.at) < KEPT_FOR => {
                    self.grow();
                }
                _ => {
                    let packet = Packet::new(facts, extensions, payload).ok_or(Drop::Malformed)?;
                    return Ok(self.packets[place].insert(packet));
                }
            }
        }
    }

    fn grow(&mut self) {
        let len = 2 * self.packets.len();
        let before = std::mem::take(&mut self.packets);
        self.packets.resize_with(len, || None);
        for packet in before.into_iter().flatten() {
            let place = (packet.index % len as u64) as usize;
            self.packets[place] = Some(packet);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    pub(crate) fn get(&self, index: u64) -> Option<&Packet> {
        let len = self.packets.len() as u64;
        let place = index.checked_rem(len)?;
        self.packets[place as usize].as_ref().filter(|packet| packet.index == index)
    }

    /// Bytes of memory.
    pub(crate) fn memory(&self) -> usize {
        self.packets.capacity() * size_of::<Option<Packet>>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::video::{Layers, Numbers};

    fn facts(index: u64, at: Instant) -> Facts {
        let glance = Glance {
            begins: true,
            ends: true,
            key: false,
            spatial: 0,
            temporal: 0,
            switch: Layers::NONE,
            needed: Layers::ALL,
            open: Layers::NONE,
            pictures: None,
            whole: false,
            numbers: Numbers::default(),
        };
        Facts { index, at, timestamp: 0, marker: true, codec: Codec::Vp8, glance, described: false }
    }

    #[test]
    fn what_is_kept_is_found_for_as_long_as_anybody_may_ask() {
        let (start, mut cache) = (Instant::now(), Cache::default());
        for index in 0..2000u64 {
            let at = start + Duration::from_millis(2 * index);
            cache.keep(facts(index, at), &[], &[index as u8; 20]).unwrap();
            for back in [0, 100, 370].into_iter().filter(|back| *back <= index) {
                assert_eq!(cache.get(index - back).unwrap().payload()[0], (index - back) as u8);
            }
        }
        assert!(cache.get(0).is_none());
        assert_eq!(cache.packets.len(), 512);
    }

    #[test]
    fn a_packet_is_kept_once() {
        let (now, mut cache) = (Instant::now(), Cache::default());
        cache.keep(facts(7, now), &[], b"one").unwrap();
        assert_eq!(cache.keep(facts(7, now), &[], b"two").err(), Some(Drop::Replay));
        assert_eq!(cache.get(7).unwrap().payload(), b"one");
    }

    #[test]
    fn elements_come_back_as_they_were_put_in() {
        let mut blob = [0; 64];
        let given = [(Passed::PlayoutDelay, &[1u8, 2, 3][..]), (Passed::Orientation, &[9][..])];
        let len = pack(&mut blob, given.into_iter());
        let (now, mut cache) = (Instant::now(), Cache::default());
        let packet = cache.keep(facts(1, now), &blob[..len], b"payload").unwrap();
        assert!(packet.elements().eq(given));
        assert_eq!(packet.payload(), b"payload");
    }
}
