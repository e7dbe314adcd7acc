//! What a watcher's slot shows.

use std::time::Duration;

use sfu::Event;

use super::theatre::{Seen, Theatre};

impl Theatre {
    /// The slot's picture, sound in every number: panics where it is not. Returns (at, encoding, temporal layer) by frame.
    pub fn frames(&self, person: usize, slot: u8) -> Vec<(Duration, u8, u8)> {
        let Some(seen) = self.people[person].seen.get(&slot) else { return Vec::new() };
        let mut frames: Vec<(Duration, u8, u8)> = Vec::new();
        let mut before: Option<&Seen> = None;
        for packet in seen.values() {
            let Some(glance) = &packet.glance else { continue };
            if let Some(before) = before
                && self.lossless
            {
                let hole = (before.index + 1..packet.index).find(|index| !seen.contains_key(index));
                assert_eq!(hole, None, "a hole before {packet:?}");
                let step = packet.timestamp.wrapping_sub(before.timestamp) as i32;
                assert!(step >= 0, "time goes back: {before:?} {packet:?}");
                assert_eq!(step > 0, before.marker, "a frame ends with its marker: {before:?} {packet:?}");
                let (was, is) = (before.glance.as_ref().unwrap().numbers, glance.numbers);
                let pictures = is.picture.unwrap().wrapping_sub(was.picture.unwrap()) & 0x7FFF;
                assert_eq!(pictures, u16::from(step > 0), "PictureID: {before:?} {packet:?}");
                let bases = is.tl0.unwrap().wrapping_sub(was.tl0.unwrap());
                assert_eq!(bases, u8::from(step > 0 && glance.temporal == 0), "TL0PICIDX: {before:?} {packet:?}");
                if before.encoding != packet.encoding {
                    assert!(glance.key && glance.begins, "a switch at a key frame: {packet:?}");
                }
            }
            before = Some(packet);
            match frames.last_mut() {
                Some(last) if !glance.begins => last.0 = last.0.max(packet.at),
                _ => frames.push((packet.at, packet.encoding, glance.temporal)),
            }
        }
        frames
    }

    /// The longest pause between frames after `from`.
    pub fn longest_pause(&self, person: usize, slot: u8, from: Duration) -> Duration {
        let frames = self.frames(person, slot);
        // A frame is shown when it and all before it are there.
        let shown = frames.iter().scan(Duration::ZERO, |latest, frame| {
            *latest = frame.0.max(*latest);
            Some(*latest)
        });
        let times: Vec<_> = shown.filter(|at| *at >= from).collect();
        let ends = self.now - self.start;
        let pauses = times.windows(2).map(|pair| pair[1].saturating_sub(pair[0]));
        pauses.chain(times.last().map(|last| ends.saturating_sub(*last))).max().unwrap_or(ends - from)
    }

    pub fn at(&self) -> Duration {
        self.now - self.start
    }

    /// What a slot shows: (csrc, encoding, temporal layer).
    pub fn told(&self, person: usize, slot: u8) -> Option<(u32, u8, u8)> {
        let id = self.people[person].id;
        self.events.iter().rev().find_map(|(_, event)| match event {
            Event::VideoSlot { peer, slot: of, csrc, encoding, temporal, .. } if *peer == id && *of == slot => {
                Some((*csrc, *encoding, *temporal))
            }
            _ => None,
        })
    }

    /// Bits a second that came to somebody since then.
    pub fn rate(&self, person: usize, since: Duration) -> u64 {
        let bytes: usize = self.people[person].bytes.iter().filter(|(at, _)| *at >= since).map(|(_, len)| len).sum();
        bytes as u64 * 8 * 1000 / (self.at() - since).as_millis() as u64
    }
}
