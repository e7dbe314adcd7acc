//! VP8: the payload descriptor (RFC 7741 §4.2), and of the frame only whether it is a key frame and how large.
//!
//! ```text
//!   |X|R|N|S|R| PID |   required
//!   |I|L|T|K| RSV   |   X
//!   |M| PictureID   |   I, and one more byte of it if M
//!   |   TL0PICIDX   |   L
//!   |TID|Y| KEYIDX  |   T or K
//! ```

use super::glance::{Glance, Numbers};
use super::layers::Layers;
use crate::drops::Drop;

/// Where a payload descriptor has what.
#[derive(Clone, Copy, Debug, Default)]
struct Descriptor {
    /// Begins the first partition of a frame.
    begins: bool,
    /// Of the PictureID, and whether it has 15 bits.
    picture: Option<(usize, bool)>,
    /// Of TL0PICIDX.
    tl0: Option<usize>,
    /// Of TID and Y.
    layer: Option<usize>,
    /// Of KEYIDX.
    key_index: Option<usize>,
    /// In bytes.
    len: usize,
}

impl Descriptor {
    /// All places that are found lie inside the payload, and so does the first byte of a frame that begins.
    fn parse(payload: &[u8]) -> Result<Self, Drop> {
        let first = *payload.first().ok_or(Drop::Short)?;
        let mut descriptor = Self { begins: first & 0x17 == 0x10, len: 1, ..Self::default() };
        if first & 0x80 != 0 {
            let flags = *payload.get(1).ok_or(Drop::Short)?;
            let mut at = 2;
            if flags & 0x80 != 0 {
                let long = payload.get(at).ok_or(Drop::Short)? & 0x80 != 0;
                descriptor.picture = Some((at, long));
                at += 1 + usize::from(long);
            }
            if flags & 0x40 != 0 {
                descriptor.tl0 = Some(at);
                at += 1;
            }
            if flags & 0x30 != 0 {
                descriptor.layer = (flags & 0x20 != 0).then_some(at);
                descriptor.key_index = (flags & 0x10 != 0).then_some(at);
                at += 1;
            }
            descriptor.len = at;
        }
        // Of a frame that begins, there is a first byte.
        if descriptor.len + usize::from(descriptor.begins) > payload.len() {
            return Err(Drop::Short);
        }
        Ok(descriptor)
    }

    fn numbers(&self, payload: &[u8]) -> Numbers {
        let (picture, long) = match self.picture {
            Some((at, true)) => (Some(u16::from_be_bytes([payload[at], payload[at + 1]]) & 0x7FFF), true),
            Some((at, false)) => (Some(u16::from(payload[at] & 0x7F)), false),
            None => (None, false),
        };
        Numbers {
            picture,
            long,
            tl0: self.tl0.map(|at| payload[at]),
            key_index: self.key_index.map(|at| payload[at] & 0x1F),
            frame: None,
        }
    }
}

/// See [`super::glance()`].
pub(super) fn glance(payload: &[u8], marker: bool) -> Result<Glance, Drop> {
    let descriptor = Descriptor::parse(payload)?;
    // RFC 7741 §4.3: the inverse key frame flag.
    let key = descriptor.begins && payload[descriptor.len] & 1 == 0;
    let (temporal, sync) = match descriptor.layer {
        Some(at) => (payload[at] >> 6, payload[at] & 0x20 != 0),
        None => (0, false),
    };
    let (switch, open) = match (key, sync) {
        (true, _) => (Layers::ALL, Layers::ALL),
        // It builds on the base layer alone, and so does what follows in its layer.
        (false, true) => (Layers::temporal(temporal), Layers::ALL),
        (false, false) => (Layers::NONE, Layers::above(0, temporal)),
    };
    Ok(Glance {
        begins: descriptor.begins,
        ends: marker,
        key,
        spatial: 0,
        temporal,
        switch,
        needed: Layers::above(0, temporal),
        open,
        pictures: None,
        whole: true,
        numbers: descriptor.numbers(payload),
    })
}

/// See [`super::renumber`].
pub(super) fn renumber(payload: &mut [u8], numbers: &Numbers) {
    let Ok(descriptor) = Descriptor::parse(payload) else { return };
    if let (Some((at, long)), Some(picture)) = (descriptor.picture, numbers.picture) {
        if long {
            payload[at..at + 2].copy_from_slice(&(picture | 0x8000).to_be_bytes());
        } else {
            payload[at] = (picture & 0x7F) as u8;
        }
    }
    if let (Some(at), Some(tl0)) = (descriptor.tl0, numbers.tl0) {
        payload[at] = tl0;
    }
    if let (Some(at), Some(key_index)) = (descriptor.key_index, numbers.key_index) {
        payload[at] = payload[at] & 0xE0 | key_index & 0x1F;
    }
}

/// Width and height of the key frame that begins here (RFC 6386 §9.1), without the scaling that follows them.
pub(super) fn dimensions(payload: &[u8]) -> Option<(u16, u16)> {
    let descriptor = Descriptor::parse(payload).ok()?;
    let frame: &[u8; 10] = payload[descriptor.len..].first_chunk()?;
    // The frame tag, the start code, two little-endian numbers of 14 bits.
    if !descriptor.begins || frame[0] & 1 != 0 || frame[3..6] != [0x9D, 0x01, 0x2A] {
        return None;
    }
    let width = u16::from_le_bytes([frame[6], frame[7]]) & 0x3FFF;
    let height = u16::from_le_bytes([frame[8], frame[9]]) & 0x3FFF;
    (width > 0 && height > 0).then_some((width, height))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key frame of 640 by 480 with all there is.
    const KEY: &[u8] =
        &[0x90, 0xF0, 0x92, 0x34, 0x56, 0x0A, 0x10, 0x02, 0x00, 0x9D, 0x01, 0x2A, 0x80, 0x02, 0xE0, 0x01];

    #[test]
    fn all_of_a_descriptor_is_read() {
        let packet = glance(KEY, false).unwrap();
        assert!(packet.begins && packet.key && !packet.ends);
        let numbers = Numbers { picture: Some(0x1234), long: true, tl0: Some(0x56), key_index: Some(10), frame: None };
        assert_eq!(packet.numbers, numbers);
        assert_eq!(packet.switch, Layers::ALL);
        assert_eq!(dimensions(KEY), Some((640, 480)));
    }

    #[test]
    fn a_descriptor_may_be_short() {
        let packet = glance(&[0x10, 0x01], true).unwrap();
        assert!(packet.begins && packet.ends && !packet.key);
        assert_eq!(packet.numbers, Numbers::default());
        let packet = glance(&[0x90, 0x80, 0x45, 0x00], false).unwrap();
        assert_eq!((packet.key, packet.numbers.picture, packet.numbers.long), (true, Some(0x45), false));
        // TID without KEYIDX, and the other way round.
        let packet = glance(&[0x90, 0x20, 0x9F, 0x01], false).unwrap();
        assert_eq!((packet.temporal, packet.numbers.key_index), (2, None));
        let packet = glance(&[0x90, 0x10, 0x9F, 0x01], false).unwrap();
        assert_eq!((packet.temporal, packet.numbers.key_index), (0, Some(31)));
    }

    #[test]
    fn only_the_start_of_the_first_partition_begins_a_frame() {
        for (first, begins) in [(0x10, true), (0x30, true), (0x00, false), (0x11, false), (0x01, false)] {
            let packet = glance(&[first, 0x00], false).unwrap();
            assert_eq!((packet.begins, packet.key), (begins, begins), "{first:02x}");
        }
    }

    #[test]
    fn a_descriptor_that_ends_early_is_short() {
        for len in 0..=6 {
            // The last of them has no frame behind it.
            assert_eq!(glance(&KEY[..len], false), Err(Drop::Short), "{len} bytes");
            assert_eq!(dimensions(&KEY[..len]), None);
        }
        assert_eq!(dimensions(&KEY[..15]), None);
    }

    #[test]
    fn a_layer_sync_is_where_its_layer_can_be_gone_up_to() {
        let frame = |layer| glance(&[0x90, 0x20, layer, 0x01], true).unwrap();
        let sync = frame(0xA0);
        assert_eq!(sync.rise((0, 0), (0, 2)), (0, 2));
        assert_eq!(sync.rise((0, 0), (0, 1)), (0, 0));
        assert_eq!(frame(0x60).rise((0, 0), (0, 3)), (0, 1));
        assert_eq!(frame(0x40).rise((0, 0), (0, 3)), (0, 0), "no sync");
        assert_eq!(frame(0x00).rise((0, 1), (0, 3)), (0, 1), "the base layer");
    }

    #[test]
    fn a_frame_is_needed_by_its_temporal_layer_and_those_above() {
        let packet = glance(&[0x90, 0x20, 0x40, 0x01], true).unwrap();
        assert!(!packet.needed.contains(0, 0) && packet.needed.contains(0, 1) && packet.needed.contains(0, 3));
    }

    #[test]
    fn numbers_are_written_as_wide_as_they_were() {
        let numbers = Numbers { picture: Some(0xFFFF), long: true, tl0: Some(1), key_index: Some(0xFF), frame: None };
        let mut payload = KEY.to_vec();
        renumber(&mut payload, &numbers);
        assert_eq!(payload[..7], [0x90, 0xF0, 0xFF, 0xFF, 0x01, 0x1F, 0x10]);
        let mut payload = [0x90, 0x80, 0x45, 0x00];
        renumber(&mut payload, &numbers);
        assert_eq!(payload, [0x90, 0x80, 0x7F, 0x00]);
    }

    #[test]
    fn only_a_key_frame_has_a_size() {
        let with = |at: usize, byte: u8| {
            let mut payload = KEY.to_vec();
            payload[at] = byte;
            dimensions(&payload)
        };
        assert_eq!(with(0, 0x80), None);
        assert_eq!(with(6, 0x11), None);
        assert_eq!(with(9, 0x9C), None);
        assert_eq!(with(13, 0xC2), Some((640, 480)), "scaled");
    }
}
