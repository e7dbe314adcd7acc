//! What the switch has to know of one packet, whatever its codec.

use super::codec::Codec;
use super::layers::Layers;
use super::{av1, h264, vp8, vp9};
use crate::drops::Drop;

/// The numbers that must go on without a jump when a receiver is switched to another encoding. `None`: the packet has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// PictureID: 7 bits, or 15 if `long`.
    pub picture: Option<u16>,
    /// The PictureID has 15 bits.
    pub long: bool,
    /// TL0PICIDX, 8 bits.
    pub tl0: Option<u8>,
    /// KEYIDX of VP8, 5 bits.
    pub key_index: Option<u8>,
    /// frame_number of the dependency descriptor, 16 bits. Frames say how far back they reach in these numbers: add the same
    /// to all of one encoding, and let what is not forwarded leave holes. So it is with the PictureID of VP9.
    pub frame: Option<u16>,
}

/// What the switch has to know of one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Glance {
    /// The first packet of its frame: of one spatial layer of one picture.
    pub begins: bool,
    /// The last packet of its frame.
    pub ends: bool,
    /// A receiver that has nothing can begin here. Only in the first packet, and of the lowest spatial layer.
    pub key: bool,
    /// Of its frame.
    pub spatial: u8,
    /// Of its frame.
    pub temporal: u8,
    /// Layers to which a receiver of the lower ones can go up with this frame, if it can decode it. All of them if `key`.
    /// Which of these a given receiver can go up to, [`Glance::rise`] tells.
    pub switch: Layers,
    /// Layers whose receivers need this frame. That is (`spatial`, `temporal`) and all above, less the spatial layers that are
    /// not predicted from this one.
    pub needed: Layers,
    /// Layers whose receivers can decode this frame, sent to them or not until now: they have what it builds on.
    pub(super) open: Layers,
    /// From this temporal layer on, receivers of whichever spatial layer can go up with this picture.
    pub(super) pictures: Option<u8>,
    /// `switch` holds for the temporal layers as well as for the spatial one.
    pub(super) whole: bool,
    /// To go on without a jump.
    pub numbers: Numbers,
}

impl Glance {
    /// To which layers (spatial, temporal) a receiver of `current` that wants `wanted` can go up with the frame that begins
    /// here; this frame is then the first that it gets of them. `current` if not at all. It never goes down: that is possible
    /// anywhere.
    pub fn rise(&self, current: (u8, u8), wanted: (u8, u8)) -> (u8, u8) {
        if !self.begins {
            return current;
        }
        let wanted = (wanted.0.max(current.0), wanted.1.max(current.1));
        if self.key {
            return wanted;
        }
        if !self.open.contains(current.0, current.1) {
            return current;
        }
        for spatial in (current.0..=wanted.0.min(Layers::SIDE - 1)).rev() {
            for temporal in (current.1..=wanted.1.min(Layers::SIDE - 1)).rev() {
                let in_pictures = spatial == current.0 && self.pictures.is_some_and(|lowest| temporal >= lowest);
                let promised = self.whole || temporal == current.1;
                if in_pictures || promised && self.switch.contains(spatial, temporal) {
                    return (spatial, temporal);
                }
            }
        }
        current
    }
}

/// Look at a payload. Of VP8 and H264, the payload descriptor or NAL unit header and the first byte behind; of the others the
/// descriptor alone. For streams without dependency descriptor, whose packets [`super::Structure::glance`] looks at. Never
/// panics, on any input.
pub fn glance(codec: Codec, payload: &[u8], marker: bool) -> Result<Glance, Drop> {
    match codec {
        Codec::Vp8 => vp8::glance(payload, marker),
        Codec::Vp9 => vp9::glance(payload, marker),
        Codec::H264 => h264::glance(payload, marker),
        Codec::Av1 => av1::glance(payload, marker),
    }
}

/// Write `numbers` into the payload, those that are `Some` and for which it has a place, each as wide as it is there.
/// `numbers.frame` is not in the payload: see [`super::set_frame_number`].
pub fn renumber(codec: Codec, payload: &mut [u8], numbers: &Numbers) {
    match codec {
        Codec::Vp8 => vp8::renumber(payload, numbers),
        Codec::Vp9 => vp9::renumber(payload, numbers),
        Codec::H264 | Codec::Av1 => {}
    }
}

/// Width and height of the key frame that begins in this packet, in pixels, where the payload says it in clear. Not to be
/// asked of encrypted frames.
pub fn dimensions(codec: Codec, payload: &[u8]) -> Option<(u16, u16)> {
    match codec {
        Codec::Vp8 => vp8::dimensions(payload),
        Codec::Vp9 => vp9::dimensions(payload),
        Codec::H264 => h264::dimensions(payload),
        Codec::Av1 => av1::dimensions(payload),
    }
}
