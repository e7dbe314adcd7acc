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
    /// All places that are found lie inside the payload.
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
        if descriptor.len > payload.len() {
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
    let key = descriptor.begins && payload.get(descriptor.len).ok_or(Drop::Short)? & 1 == 0;
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
