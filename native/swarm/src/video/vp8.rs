//! VP8 in RTP (RFC 7741): the payload descriptor, and what begins a frame (RFC 6386 §9.1).

/// PictureIDs have 15 bits here.
const PICTURE_MASK: u16 = 0x7FFF;

/// The payload descriptor, with all its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Descriptor {
    /// The packet begins a partition; with partition 0 it begins the frame.
    pub begins: bool,
    /// No other frame refers to it.
    pub discardable: bool,
    /// PictureID, of 15 bits.
    pub picture: u16,
    /// TL0PICIDX.
    pub base: u8,
    /// TID.
    pub temporal: u8,
    /// Y: refers to the lowest layer alone.
    pub sync: bool,
    /// KEYIDX, of 5 bits.
    pub key: u8,
}

impl Descriptor {
    /// In bytes, as it is written here.
    pub const LENGTH: usize = 6;

    pub fn write(&self, out: &mut [u8]) {
        out[0] = 0x80 | u8::from(self.discardable) << 5 | u8::from(self.begins) << 4;
        out[1] = 0xF0; // I, L, T and K
        out[2..4].copy_from_slice(&(0x8000 | self.picture & PICTURE_MASK).to_be_bytes());
        out[4] = self.base;
        out[5] = self.temporal << 6 | u8::from(self.sync) << 5 | self.key & 0x1F;
    }

    /// One that has a PictureID of 15 bits, TL0PICIDX and TID. Never panics, on any input.
    pub fn read(payload: &[u8]) -> Option<Descriptor> {
        let &[first, second, high, low, base, last, ..] = payload else { return None };
        let is_whole = first & 0x80 != 0 && second & 0xE0 == 0xE0 && high & 0x80 != 0;
        is_whole.then_some(Descriptor {
            begins: first & 0x17 == 0x10,
            discardable: first & 0x20 != 0,
            picture: u16::from_be_bytes([high, low]) & PICTURE_MASK,
            base,
            temporal: last >> 6,
            sync: last & 0x20 != 0,
            key: last & 0x1F,
        })
    }
}

pub(crate) fn next_picture(picture: u16) -> u16 {
    picture.wrapping_add(1) & PICTURE_MASK
}

/// Bytes of the longest beginning.
pub(crate) const BEGINNING: usize = 10;

/// What a frame of `size` bytes begins with: the frame tag, and of a key frame the start code and its size in pixels.
/// Returns the length.
pub(crate) fn begin_frame(out: &mut [u8], is_key: bool, size: usize, width: u16, height: u16) -> usize {
    const SHOWN: u32 = 1 << 4;
    // The first partition is the whole frame; it has 19 bits.
    let tag = u32::from(!is_key) | SHOWN | (size.min(0x7_FFFF) as u32) << 5;
    out[..3].copy_from_slice(&tag.to_le_bytes()[..3]);
    if !is_key {
        return 3;
    }
    out[3..6].copy_from_slice(&[0x9D, 0x01, 0x2A]);
    out[6..8].copy_from_slice(&(width & 0x3FFF).to_le_bytes());
    out[8..10].copy_from_slice(&(height & 0x3FFF).to_le_bytes());
    BEGINNING
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_that_is_written_is_read() {
        for (picture, base, temporal, key) in [(0, 0, 0, 0), (0x7FFF, 255, 2, 31), (0x1234, 7, 1, 9)] {
            for (begins, discardable, sync) in [(true, false, true), (false, true, false)] {
                let written = Descriptor { begins, discardable, picture, base, temporal, sync, key };
                let mut out = [0; Descriptor::LENGTH];
                written.write(&mut out);
                assert_eq!(Descriptor::read(&out), Some(written));
            }
        }
    }

    #[test]
    fn descriptors_of_another_form_are_not_ours() {
        for payload in [&[][..], &[0x10; 6], &[0x90, 0xE0, 0x01, 2, 3, 4], &[0x90, 0x80, 0x81, 2, 3, 4], &[0x90, 0xF0]]
        {
            assert_eq!(Descriptor::read(payload), None, "{payload:?}");
        }
    }

    #[test]
    fn a_key_frame_says_so_and_how_large_it_is() {
        let mut out = [0; BEGINNING];
        assert_eq!(begin_frame(&mut out, true, 1000, 1280, 720), 10);
        assert_eq!((out[0] & 1, &out[3..6]), (0, &[0x9D, 0x01, 0x2A][..]));
        assert_eq!((u16::from_le_bytes([out[6], out[7]]), u16::from_le_bytes([out[8], out[9]])), (1280, 720));
        assert_eq!(begin_frame(&mut out, false, 1000, 0, 0), 3);
        assert_eq!(out[0] & 1, 1);
    }
}
