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

    // Encoders with the references in their own hand (Chromium's in flexible mode) set U where a frame refers to lower
    // temporal layers only; the RFC has it of what follows. With every layer below its own, a receiver is right either way.
    let below = if switching_up { temporal.saturating_sub(1) } else { temporal };
    let open = match (descriptor.predicted, inter_layer && spatial > 0) {
        (false, false) => Layers::ALL,
        (false, true) => Layers::above(spatial - 1, temporal),
        (true, false) => Layers::above(spatial, below),
        (true, true) => Layers::above(spatial, temporal),
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
