//! AV1: the aggregation header (RTP Payload Format For AV1 §4.4) and, of a sequence header in clear, the picture size.

use super::bits::Bits;
use super::glance::{Glance, Numbers};
use super::layers::Layers;
use crate::drops::Drop;

/// OBU_SEQUENCE_HEADER (AV1 6.2.2).
const SEQUENCE_HEADER: u8 = 1;

/// See [`super::glance()`]. Layers are told by the dependency descriptor only; without it, a stream is one whole.
///
/// `begins` is true for all that continues no fragmented OBU, as it is with H.264's NAL units: a temporal unit of many OBUs
/// has several such packets.
pub(super) fn glance(payload: &[u8], marker: bool) -> Result<Glance, Drop> {
    let head = *payload.first().ok_or(Drop::Short)?;
    let (begins, key) = (head & 0x80 == 0, head & 0x08 != 0);
    if key && !begins {
        return Err(Drop::Malformed);
    }
    Ok(Glance {
        begins,
        ends: marker,
        key,
        spatial: 0,
        temporal: 0,
        switch: if key { Layers::ALL } else { Layers::NONE },
        needed: Layers::ALL,
        open: Layers::ALL,
        pictures: None,
        whole: true,
        numbers: Numbers::default(),
    })
}

/// Width and height of the largest frames of the coded video sequence that begins in this packet.
pub(super) fn dimensions(payload: &[u8]) -> Option<(u16, u16)> {
    let (head, mut rest) = payload.split_first()?;
    if head & 0x88 != 0x08 {
        return None;
    }
    // The first element has a length, unless it is the only one. Zero elements means that all have one.
    if head >> 4 & 3 != 1 {
        let (len, after) = leb128(rest)?;
        rest = after.get(..len)?;
    }
    let (obu, mut rest) = rest.split_first()?;
    let (kind, has_extension, has_size) = (obu >> 3 & 0xF, obu & 4 != 0, obu & 2 != 0);
    if kind != SEQUENCE_HEADER {
        return None;
    }
    if has_extension {
        rest = rest.get(1..)?;
    }
    if has_size {
        let (len, after) = leb128(rest)?;
        rest = after.get(..len)?;
    }
    frame_size(&mut Bits::new(rest)).ok()?
}

/// A number of at most four bytes (AV1 4.10.5), and what is behind it.
fn leb128(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0;
    for (place, byte) in bytes.iter().enumerate().take(4) {
        value |= usize::from(byte & 0x7F) << (7 * place);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[place + 1..]));
        }
    }
    None
}

/// max_frame_width_minus_1 and max_frame_height_minus_1 of a sequence header (AV1 5.5.1).
fn frame_size(bits: &mut Bits<'_>) -> Result<Option<(u16, u16)>, Drop> {
    bits.skip(4)?; // seq_profile, still_picture
    if bits.flag()? {
        bits.skip(5)?; // of a still picture: seq_level_idx
    } else {
        let mut decoder_delay = None;
        // timing_info
        if bits.flag()? {
            bits.skip(64)?;
            if bits.flag()? {
                let zeros = (0..32).take_while(|_| bits.flag() == Ok(false)).count();
                bits.skip(zeros)?; // num_ticks_per_picture_minus_1, a uvlc
            }
            // decoder_model_info
            if bits.flag()? {
                decoder_delay = Some(bits.read(5)? as usize + 1);
                bits.skip(32 + 5 + 5)?;
            }
        }
        let initial_display_delay = bits.flag()?;
        for _ in 0..=bits.read(5)? {
            bits.skip(12)?; // operating_point_idc
            if bits.read(5)? > 7 {
                bits.skip(1)?; // seq_tier
            }
            if let Some(delay) = decoder_delay
                && bits.flag()?
            {
                bits.skip(2 * delay + 1)?; // operating_parameters_info
            }
            if initial_display_delay && bits.flag()? {
                bits.skip(4)?;
            }
        }
    }
    let (width_bits, height_bits) = (bits.read(4)? + 1, bits.read(4)? + 1);
    let (width, height) = (bits.read(width_bits)? + 1, bits.read(height_bits)? + 1);
    Ok(u16::try_from(width).ok().zip(u16::try_from(height).ok()))
}

#[cfg(test)]
mod tests {
    use super::super::testing::BitWriter;
    use super::*;

    /// What a sequence header begins with, up to the size of 1280 by 720.
    fn sequence(fields: impl FnOnce(&mut BitWriter)) -> Vec<u8> {
        let mut bits = BitWriter::default();
        fields(&mut bits);
        bits.write(8, 0xAA); // 11 bits each
        bits.write(11, 1279);
        bits.write(11, 719);
        bits.bytes
    }

    /// As encoders for calls write it: one operating point of level 3.1.
    fn plain() -> Vec<u8> {
        sequence(|bits| {
            bits.write(7, 0);
            bits.write(5, 0);
            bits.write(12, 0);
            bits.write(5, 5);
        })
    }

    #[test]
    fn a_coded_video_sequence_is_where_to_begin() {
        let packet = glance(&[0x18, 0x0A], true).unwrap();
        assert!(packet.begins && packet.key && packet.ends);
        assert_eq!(packet.switch, Layers::ALL);
        let packet = glance(&[0x10, 0x32], false).unwrap();
        assert!(packet.begins && !packet.key && !packet.ends);
        assert_eq!(packet.switch, Layers::NONE);
        assert!(!glance(&[0xD0, 0x00], false).unwrap().begins, "a fragment goes on");
    }

    #[test]
    fn a_sequence_does_not_begin_within_an_obu() {
        assert_eq!(glance(&[0x98, 0x00], false), Err(Drop::Malformed));
        assert_eq!(glance(&[], false), Err(Drop::Short));
    }

    #[test]
    fn a_sequence_header_says_the_size() {
        let header = plain();
        let len = header.len() as u8;
        // It is the only element; the first of two; of any number; with a size field and an extension of its own.
        assert_eq!(dimensions(&[&[0x18, 0x08], &header[..]].concat()), Some((1280, 720)));
        assert_eq!(dimensions(&[&[0x28, len + 1, 0x08], &header[..], &[0x30]].concat()), Some((1280, 720)));
        assert_eq!(dimensions(&[&[0x08, len + 1, 0x08], &header[..]].concat()), Some((1280, 720)));
        assert_eq!(dimensions(&[&[0x08, len + 0x83, 0x00, 0x0E, 0x00, len], &header[..]].concat()), Some((1280, 720)));
    }

    #[test]
    fn timing_and_decoder_models_are_passed_over() {
        let header = sequence(|bits| {
            bits.write(6, 1); // with timing
            bits.write(32, 1);
            bits.write(32, 30);
            bits.write(1, 1);
            bits.write(5, 0b00101); // num_ticks_per_picture_minus_1 of 4
            bits.write(1, 1); // and a decoder model of 10 bits
            bits.write(5, 9);
            bits.write(32, 1);
            bits.write(10, 0);
            bits.write(1, 1); // and a display delay
            bits.write(5, 1); // of two points
            for level in [8, 5] {
                bits.write(12, 0);
                bits.write(5, level);
                bits.write(u32::from(level > 7), 0);
                bits.write(1, 1);
                bits.write(21, 0);
                bits.write(1, 1);
                bits.write(4, 0);
            }
        });
        assert_eq!(dimensions(&[&[0x18, 0x08], &header[..]].concat()), Some((1280, 720)));
        let still = sequence(|bits| bits.write(10, 0b00_0110_0101));
        assert_eq!(dimensions(&[&[0x18, 0x08], &still[..]].concat()), Some((1280, 720)), "a still picture");
    }

    #[test]
    fn nothing_else_has_a_size() {
        let header = plain();
        assert_eq!(dimensions(&[&[0x10, 0x08], &header[..]].concat()), None, "not the first packet");
        assert_eq!(dimensions(&[&[0x18, 0x30], &header[..]].concat()), None, "a frame");
        assert_eq!(dimensions(&[0x08, 0xFF, 0xFF, 0xFF, 0xFF, 0x08]), None, "a length of no end");
        for len in 0..2 + header.len() - 1 {
            assert_eq!(dimensions(&[&[0x18, 0x08], &header[..]].concat()[..len]), None, "{len} bytes");
        }
    }
}
