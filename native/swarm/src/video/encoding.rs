//! What an encoder with three temporal layers would make, without the pictures.

use super::vp8::{Descriptor, next_picture};

/// One encoding of a camera.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encoding {
    /// Of all temporal layers together, in bits a second of payload; key frames come on top.
    pub bitrate: u32,
    /// In pixels, as key frames say it.
    pub width: u16,
    /// In pixels.
    pub height: u16,
}

/// How much larger a key frame is than the mean frame: of a talking head, about this.
const KEY: f64 = 4.0;
/// The layers' shares as libvpx gives them to three layers: 40 %, 20 %, 40 % for a quarter, a quarter and a half of the frames.
const SHARES: [f64; 3] = [1.6, 0.8, 0.8];

/// One frame that is to be sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    /// Counts those of the encoding.
    pub number: u32,
    /// The frame it refers to; itself, when it is a key frame.
    pub reference: u32,
    /// Of its packets; only the first begins it.
    pub descriptor: Descriptor,
}

impl Frame {
    pub fn is_key(&self) -> bool {
        self.reference == self.number
    }

    /// Bytes that it has, when the mean frame has `mean`.
    pub fn size(&self, mean: f64) -> usize {
        let share = if self.is_key() { KEY } else { SHARES[usize::from(self.descriptor.temporal)] };
        (mean * share) as usize
    }
}

/// The structure L1T3: layers 0 2 1 2, over and over.
pub(crate) struct Encoder {
    /// Of the next frame.
    number: u32,
    /// Frames since the last key frame.
    place: u32,
    /// The newest frames of layers 0 and 1.
    base: u32,
    middle: u32,
    picture: u16,
    base_index: u8,
    key_index: u8,
}

impl Encoder {
    /// Numbers begin at `seed`'s.
    pub fn new(seed: u64) -> Encoder {
        Encoder {
            number: 0,
            place: 0,
            base: 0,
            middle: 0,
            picture: (seed & 0x7FFF) as u16,
            base_index: (seed >> 16) as u8,
            key_index: (seed >> 24) as u8 & 0x1F,
        }
    }

    /// The next frame. The first is a key frame.
    pub fn encode(&mut self, wants_key: bool) -> Frame {
        let number = self.number;
        self.number += 1;
        let is_key = wants_key || number == 0;
        self.place = if is_key { 0 } else { self.place + 1 };
        // Only the second frame of the highest layer refers to one that is not of the lowest.
        let (temporal, reference) = match self.place % 4 {
            _ if is_key => (0, number),
            0 => (0, self.base),
            1 => (2, self.base),
            2 => (1, self.base),
            _ => (2, self.middle),
        };
        let sync = temporal > 0 && reference == self.base;
        match temporal {
            0 => {
                self.base = number;
                self.base_index = self.base_index.wrapping_add(1);
            }
            1 => self.middle = number,
            _ => {}
        }
        self.key_index = (self.key_index + u8::from(is_key)) & 0x1F;
        self.picture = next_picture(self.picture);
        let descriptor = Descriptor {
            begins: false,
            discardable: temporal == 2,
            picture: self.picture,
            base: self.base_index,
            temporal,
            sync,
            key: self.key_index,
        };
        Frame { number, reference, descriptor }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_come_in_turn_and_refer_to_frames_of_lower_ones() {
        let mut encoder = Encoder::new(0x1FF_7FFE);
        let frames: Vec<Frame> = (0..9).map(|at| encoder.encode(at == 5)).collect();
        let layers: Vec<u8> = frames.iter().map(|frame| frame.descriptor.temporal).collect();
        assert_eq!(layers, [0, 2, 1, 2, 0, 0, 2, 1, 2]);
        let references: Vec<u32> = frames.iter().map(|frame| frame.reference).collect();
        assert_eq!(references, [0, 0, 0, 2, 0, 5, 5, 5, 7]);
        let pictures: Vec<u16> = frames.iter().map(|frame| frame.descriptor.picture).collect();
        assert_eq!(pictures[..3], [0x7FFF, 0, 1]);
        for frame in &frames {
            let of_reference = &frames[frame.reference as usize].descriptor;
            assert!(of_reference.temporal <= frame.descriptor.temporal && !of_reference.discardable);
            assert_eq!(
                frame.descriptor.base,
                frames[0].descriptor.base.wrapping_add(match frame.number {
                    0..4 => 0,
                    4 => 1,
                    _ => 2,
                })
            );
        }
        assert_eq!(frames[5].descriptor.key, (frames[4].descriptor.key + 1) & 0x1F);
    }

    #[test]
    fn the_layers_together_have_the_mean() {
        let mut encoder = Encoder::new(0);
        let sizes: Vec<usize> = (0..404).map(|_| encoder.encode(false).size(1000.0)).collect();
        let sizes: usize = sizes[4..].iter().sum();
        assert_eq!(sizes, 400 * 1000);
    }
}
