//! VP9: the payload descriptor (RFC 9628 §4.2). The frame itself is never looked at.
//!
//! ```text
//!   |I|P|L|F|B|E|V|Z|   required
//!   |M| PICTURE ID  |   I, and one more byte of it if M
//!   | TID |U| SID |D|   L
//!   |   TL0PICIDX   |   L, not F
//!   |   P_DIFF    |N|   P and F, at most 3
//!   | scalability ... | V
//! ```

use super::glance::{Glance, Numbers};
use super::layers::Layers;
use crate::drops::Drop;

/// The most pictures to which one refers.
const MAX_REFERENCES: usize = 3;

/// What a payload descriptor says, and where.
#[derive(Clone, Copy, Debug, Default)]
struct Descriptor {
    /// P: predicted from earlier pictures.
    predicted: bool,
    /// B: begins a frame.
    begins: bool,
    /// E: ends a frame.
    ends: bool,
    /// Where the PictureID is, and whether it has 15 bits.
    picture: Option<(usize, bool)>,
    /// Where TL0PICIDX is.
    tl0: Option<usize>,
    temporal: u8,
    /// U.
    switching_up: bool,
    spatial: u8,
    /// D: predicted from the next lower spatial layer of its own picture.
    inter_layer: bool,
    /// Width and height of the highest spatial layer.
    size: Option<(u16, u16)>,
}

impl Descriptor {
    /// All places that are found lie inside the payload.
    fn parse(payload: &[u8]) -> Result<Self, Drop> {
        let byte = |at: usize| payload.get(at).copied().ok_or(Drop::Short);
        let flags = byte(0)?;
        let flexible = flags & 0x10 != 0;
        let mut descriptor = Self {
            predicted: flags & 0x40 != 0,
            begins: flags & 0x08 != 0,
            ends: flags & 0x04 != 0,
            ..Self::default()
        };
        let mut at = 1;
        if flags & 0x80 != 0 {
            let long = byte(at)? & 0x80 != 0;
            descriptor.picture = Some((at, long));
            at += 1 + usize::from(long);
        }
        if flags & 0x20 != 0 {
            let layer = byte(at)?;
            descriptor.temporal = layer >> 5;
            descriptor.switching_up = layer & 0x10 != 0;
            descriptor.spatial = layer >> 1 & 7;
            descriptor.inter_layer = layer & 1 != 0;
            if descriptor.temporal >= Layers::SIDE || descriptor.spatial >= Layers::SIDE {
                return Err(Drop::Malformed);
            }
            at += 1;
            if !flexible {
                byte(at)?;
                descriptor.tl0 = Some(at);
                at += 1;
            }
        }
        if flexible && descriptor.predicted {
            let mut references = 1;
            while byte(at)? & 1 != 0 {
                at += 1;
                references += 1;
                if references > MAX_REFERENCES {
                    return Err(Drop::Malformed);
                }
            }
            at += 1;
        }
        if flags & 0x02 != 0 {
            (descriptor.size, at) = scalability_structure(payload, at)?;
        }
        if at > payload.len() { Err(Drop::Short) } else { Ok(descriptor) }
    }

    fn numbers(&self, payload: &[u8]) -> Numbers {
        let (picture, long) = match self.picture {
            Some((at, true)) => (Some(u16::from_be_bytes([payload[at], payload[at + 1]]) & 0x7FFF), true),
            Some((at, false)) => (Some(u16::from(payload[at] & 0x7F)), false),
            None => (None, false),
        };
        Numbers { picture, long, tl0: self.tl0.map(|at| payload[at]), key_index: None, frame: None }
    }
}

/// The scalability structure at `at` (RFC 9628 §4.2.1): the size of the highest spatial layer, and where it ends.
fn scalability_structure(payload: &[u8], at: usize) -> Result<(Option<(u16, u16)>, usize), Drop> {
    let head = *payload.get(at).ok_or(Drop::Short)?;
    let (layers, mut at) = (usize::from(head >> 5) + 1, at + 1);
    let mut size = None;
    if head & 0x10 != 0 {
        let highest =
            payload.get(at + 4 * (layers - 1)..).and_then(|rest| rest.first_chunk::<4>()).ok_or(Drop::Short)?;
        let (width, height) =
            (u16::from_be_bytes([highest[0], highest[1]]), u16::from_be_bytes([highest[2], highest[3]]));
        size = (width > 0 && height > 0).then_some((width, height));
        at += 4 * layers;
    }
    if head & 0x08 != 0 {
        let pictures = *payload.get(at).ok_or(Drop::Short)?;
        at += 1;
        for _ in 0..pictures {
            let references = payload.get(at).ok_or(Drop::Short)? >> 2 & 3;
            at += 1 + usize::from(references);
        }
    }
    if at > payload.len() { Err(Drop::Short) } else { Ok((size, at)) }
}

/// See [`super::glance()`].
pub(super) fn glance(payload: &[u8], marker: bool) -> Result<Glance, Drop> {
    let descriptor = Descriptor::parse(payload)?;
    let Descriptor { spatial, temporal, switching_up, inter_layer, .. } = descriptor;
    let key = descriptor.begins && !descriptor.predicted && spatial == 0;

    let mut switch = if key { Layers::ALL } else { Layers::NONE };
    if !descriptor.predicted {
        switch |= Layers::at_least(spatial, 0);
    }
    if switching_up {
        switch |= (0..=spatial).fold(Layers::NONE, |set, each| set | Layers::at_least(each, temporal));
    }

    // Encoders with the references in their own hand (Chromium's in flexible mode) set U where a picture refers to lower
    // temporal layers only; the RFC has it of what follows. With every layer below its own, a receiver is right either way,
    // if it gets the picture from its first frame on.
    let below = if switching_up && spatial == 0 { temporal.saturating_sub(1) } else { temporal };
    let open = match (descriptor.predicted, inter_layer && spatial > 0) {
        (false, false) => Layers::ALL,
        (false, true) => Layers::above(spatial - 1, temporal),
        (true, _) => Layers::above(spatial, below),
    };
    Ok(Glance {
        begins: descriptor.begins,
        ends: descriptor.ends || marker,
        key,
        spatial,
        temporal,
        switch,
        // Z would say of which frames nothing above needs them, but not that above is nothing.
        needed: Layers::above(spatial, temporal),
        open,
        pictures: switching_up.then_some(temporal),
        whole: false,
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
}

/// Width and height of the highest spatial layer, if the scalability structure of the key picture that begins here says it.
pub(super) fn dimensions(payload: &[u8]) -> Option<(u16, u16)> {
    let descriptor = Descriptor::parse(payload).ok()?;
    descriptor.size.filter(|_| descriptor.begins && !descriptor.predicted)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key picture of two spatial layers in non-flexible mode: 320 by 180, 640 by 360, and a group of two pictures.
    const KEY: &[u8] = &[
        0xAA, 0x92, 0x34, 0x10, 0x56, 0x38, 0x01, 0x40, 0x00, 0xB4, 0x02, 0x80, 0x01, 0x68, 0x02, 0x14, 0x02, 0x34,
        0x01, 0x99,
    ];

    #[test]
    fn all_of_a_key_picture_is_read() {
        let packet = glance(KEY, false).unwrap();
        assert!(packet.begins && packet.key && !packet.ends);
        assert_eq!(
            packet.numbers,
            Numbers { picture: Some(0x1234), long: true, tl0: Some(0x56), ..Numbers::default() }
        );
        assert_eq!((packet.spatial, packet.temporal), (0, 0));
        assert_eq!(dimensions(KEY), Some((640, 360)));
        assert_eq!(packet.rise((0, 0), (1, 2)), (1, 2));
    }

    #[test]
    fn a_descriptor_that_ends_early_is_short() {
        for len in 0..19 {
            assert_eq!(glance(&KEY[..len], false), Err(Drop::Short), "{len} bytes");
        }
        assert!(glance(&KEY[..19], false).is_ok());
        // A flexible picture that refers to another, which is not said.
        assert_eq!(glance(&[0xFC, 0x01, 0x00], false), Err(Drop::Short));
    }

    #[test]
    fn a_picture_refers_to_three_at_most() {
        assert!(glance(&[0xF8, 0x01, 0x00, 0x03, 0x05, 0x06], false).is_ok());
        assert_eq!(glance(&[0xF8, 0x01, 0x00, 0x03, 0x05, 0x07, 0x08], false), Err(Drop::Malformed));
    }

    #[test]
    fn more_than_four_layers_are_refused() {
        assert_eq!(glance(&[0x38, 0x80], false), Err(Drop::Malformed));
        assert_eq!(glance(&[0x38, 0x08], false), Err(Drop::Malformed));
        assert!(glance(&[0x38, 0x66], false).is_ok());
    }

    #[test]
    fn flexible_mode_has_no_tl0_index() {
        let packet = glance(&[0xFC, 0x45, 0x30, 0x02], false).unwrap();
        assert_eq!(packet.numbers, Numbers { picture: Some(0x45), ..Numbers::default() });
        assert_eq!((packet.temporal, packet.begins, packet.ends, packet.key), (1, true, true, false));
    }

    #[test]
    fn the_upper_frames_of_a_key_picture_are_no_place_to_begin() {
        // P=0, B, SID 1, D.
        let packet = glance(&[0x28, 0x03, 0x07], false).unwrap();
        assert!(!packet.key);
        assert_eq!(packet.rise((0, 2), (1, 2)), (1, 2), "with the layer below");
        assert_eq!(packet.rise((0, 2), (2, 2)), (1, 2), "and no further");
        // SID 2 without SID 1.
        assert_eq!(glance(&[0x28, 0x05, 0x07], false).unwrap().rise((0, 2), (2, 2)), (0, 2));
    }

    #[test]
    fn a_continuation_begins_nothing() {
        let packet = glance(&[0x20, 0x10, 0x07], true).unwrap();
        assert!(!packet.begins && !packet.key && packet.ends);
        assert_eq!(packet.rise((0, 0), (2, 2)), (0, 0));
    }

    #[test]
    fn a_switching_up_point_opens_the_temporal_layers_of_every_spatial_one() {
        // P, L, B, of temporal layer 0 or 1, U, spatial layer 0.
        let base = glance(&[0x68, 0x10, 0x07], false).unwrap();
        assert_eq!(base.rise((0, 0), (0, 2)), (0, 2));
        assert_eq!(base.rise((2, 0), (2, 2)), (2, 2));
        assert_eq!(base.rise((1, 0), (2, 2)), (1, 2), "but no spatial layer");
        let middle = glance(&[0x68, 0x30, 0x07], false).unwrap();
        assert_eq!(middle.rise((2, 0), (2, 2)), (2, 2));
        let upper = glance(&[0x68, 0x50, 0x07], false).unwrap();
        assert_eq!(upper.rise((0, 0), (0, 2)), (0, 0), "it may refer to the layer in between");
        assert_eq!(glance(&[0x68, 0x00, 0x07], false).unwrap().rise((0, 0), (0, 2)), (0, 0), "no such point");
    }

    #[test]
    fn a_picture_is_joined_only_from_its_first_frame_on() {
        // P, L, B, temporal layer 1, U, spatial layer 1.
        let packet = glance(&[0x68, 0x32, 0x07], false).unwrap();
        assert_eq!(packet.rise((1, 0), (1, 2)), (1, 0));
    }

    #[test]
    fn a_size_is_that_of_a_key_picture() {
        let mut delta = KEY.to_vec();
        delta[0] |= 0x40;
        assert_eq!(dimensions(&delta), None);
        assert_eq!(dimensions(&[0x0A, 0x00]), None);
        assert_eq!(dimensions(&[0x0A, 0x10, 0x05, 0x00, 0x02, 0xD0]), Some((1280, 720)));
        assert_eq!(dimensions(&[0x0A, 0x10, 0x00, 0x00, 0x02, 0xD0]), None);
    }
}
