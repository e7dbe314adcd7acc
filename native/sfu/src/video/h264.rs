//! H.264: NAL unit headers (RFC 6184 §5.2, packetization mode 1) and, of a sequence parameter set in clear, the picture size.

use super::bits::Bits;
use super::glance::{Glance, Numbers};
use super::layers::Layers;
use crate::drops::Drop;

/// NAL unit types (H.264 table 7-1, RFC 6184 table 1).
const IDR: u8 = 5;
const SPS: u8 = 7;
const STAP_A: u8 = 24;
const FU_A: u8 = 28;

/// A larger parameter set is none of constrained baseline's.
const MAX_SPS: usize = 64;

/// See [`super::glance()`].
///
/// A NAL unit does not say whether it is the first of its access unit. So `begins` is true for all that continues no
/// fragmented unit; whether a frame begins is known to whoever saw the packet before, by its marker or timestamp. A sequence
/// parameter set that comes in a packet of its own before the IDR picture is a key already: from there on, all that a receiver
/// needs follows in order.
pub(super) fn glance(payload: &[u8], marker: bool) -> Result<Glance, Drop> {
    let (begins, key) = match payload.first().ok_or(Drop::Short)? & 0x1F {
        kind @ 1..=23 => (true, is_key(kind)),
        STAP_A => {
            let mut key = false;
            let units = payload.get(1..).filter(|units| !units.is_empty()).ok_or(Drop::Short)?;
            for unit in Units(units) {
                key |= is_key(unit?[0] & 0x1F);
            }
            (true, key)
        }
        FU_A => {
            let head = *payload.get(1).ok_or(Drop::Short)?;
            let begins = head & 0x80 != 0;
            (begins, begins && is_key(head & 0x1F))
        }
        _ => return Err(Drop::Malformed),
    };
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

/// A sequence parameter set is in this packet.
pub(super) fn has_parameters(payload: &[u8]) -> bool {
    match payload.first().map(|first| first & 0x1F) {
        Some(SPS) => true,
        Some(STAP_A) => Units(&payload[1..]).map_while(Result::ok).any(|unit| unit[0] & 0x1F == SPS),
        _ => false,
    }
}

fn is_key(kind: u8) -> bool {
    kind == IDR || kind == SPS
}

/// The NAL units in a STAP-A, each with at least its header. After an error comes nothing.
struct Units<'a>(&'a [u8]);

impl<'a> Iterator for Units<'a> {
    type Item = Result<&'a [u8], Drop>;

    fn next(&mut self) -> Option<Self::Item> {
        let units = std::mem::take(&mut self.0);
        if units.is_empty() {
            return None;
        }
        Some(split(units).map(|(unit, rest)| {
            self.0 = rest;
            unit
        }))
    }
}

fn split(units: &[u8]) -> Result<(&[u8], &[u8]), Drop> {
    let (len, rest) = units.split_first_chunk().ok_or(Drop::Short)?;
    match usize::from(u16::from_be_bytes(*len)) {
        0 => Err(Drop::Malformed),
        len => rest.split_at_checked(len).ok_or(Drop::Short),
    }
}

/// Width and height of the pictures after the sequence parameter set in this packet.
pub(super) fn dimensions(payload: &[u8]) -> Option<(u16, u16)> {
    match payload.first()? & 0x1F {
        SPS => picture_size(payload),
        STAP_A => Units(&payload[1..]).map_while(Result::ok).find(|unit| unit[0] & 0x1F == SPS).and_then(picture_size),
        _ => None,
    }
}

/// Of a sequence parameter set in a profile without chroma formats (H.264 7.3.2.1.1), which baseline is.
fn picture_size(unit: &[u8]) -> Option<(u16, u16)> {
    let mut bytes = [0; MAX_SPS];
    let mut bits = Bits::new(unescape(&unit[1..], &mut bytes));
    let (baseline, main, extended) = (66, 77, 88);
    if ![baseline, main, extended].contains(&bits.read(8).ok()?) {
        return None;
    }
    bits.skip(16).ok()?; // constraints and level
    bits.exp_golomb().ok()?; // seq_parameter_set_id
    bits.exp_golomb().ok()?; // log2_max_frame_num_minus4
    match bits.exp_golomb().ok()? {
        0 => {
            bits.exp_golomb().ok()?; // log2_max_pic_order_cnt_lsb_minus4
        }
        1 => {
            bits.skip(1).ok()?; // delta_pic_order_always_zero_flag
            bits.exp_golomb().ok()?; // offset_for_non_ref_pic
            bits.exp_golomb().ok()?; // offset_for_top_to_bottom_field
            let cycle = bits.exp_golomb().ok()?;
            // Each takes a bit at least: what is not there ends the loop.
            for _ in 0..cycle {
                bits.exp_golomb().ok()?; // offset_for_ref_frame
            }
        }
        _ => {}
    }
    bits.exp_golomb().ok()?; // max_num_ref_frames
    bits.skip(1).ok()?; // gaps_in_frame_num_value_allowed_flag
    let columns = bits.exp_golomb().ok()?.checked_add(1)?;
    let rows = bits.exp_golomb().ok()?.checked_add(1)?;
    let fields = u32::from(!bits.flag().ok()?);
    if fields == 1 {
        bits.skip(1).ok()?; // mb_adaptive_frame_field_flag
    }
    bits.skip(1).ok()?; // direct_8x8_inference_flag
    let mut crop = [0u32; 4];
    if bits.flag().ok()? {
        for side in &mut crop {
            *side = bits.exp_golomb().ok()?;
        }
    }
    let [left, right, top, bottom] = crop;
    // In units of two pixels, for these profiles are 4:2:0.
    let width = columns.checked_mul(16)?.checked_sub(left.checked_add(right)?.checked_mul(2)?)?;
    let unit = 2 * (1 + fields);
    let height = rows.checked_mul(16 * (1 + fields))?.checked_sub(top.checked_add(bottom)?.checked_mul(unit)?)?;
    let size = (u16::try_from(width).ok()?, u16::try_from(height).ok()?);
    (size.0 > 0 && size.1 > 0).then_some(size)
}

/// Without the bytes that keep start codes from arising (H.264 7.4.1), as much of it as there is room for.
fn unescape<'a>(unit: &[u8], into: &'a mut [u8; MAX_SPS]) -> &'a [u8] {
    let (mut len, mut zeros) = (0, 0);
    for byte in unit {
        if zeros >= 2 && *byte == 3 {
            zeros = 0;
            continue;
        }
        if len == into.len() {
            break;
        }
        zeros = if *byte == 0 { zeros + 1 } else { 0 };
        into[len] = *byte;
        len += 1;
    }
    &into[..len]
}

#[cfg(test)]
mod tests {
    use super::super::testing::BitWriter;
    use super::*;

    /// Constrained baseline, 640 by 480.
    const VGA: &[u8] = &[0x67, 0x42, 0xC0, 0x1E, 0xE9, 0x01, 0x40, 0x7B, 0x20];

    fn aggregate(units: &[&[u8]]) -> Vec<u8> {
        let each = units.iter().flat_map(|unit| [&(unit.len() as u16).to_be_bytes()[..], unit].concat());
        std::iter::once(0x78).chain(each).collect()
    }

    fn kind(payload: &[u8]) -> (bool, bool) {
        glance(payload, false).map(|packet| (packet.begins, packet.key)).unwrap()
    }

    #[test]
    fn a_receiver_can_begin_at_parameters_and_at_an_idr_picture() {
        assert_eq!(kind(VGA), (true, true), "a sequence parameter set on its own");
        assert_eq!(kind(&[0x65, 0x88]), (true, true), "an IDR slice");
        assert_eq!(kind(&[0x7C, 0x85, 0x88]), (true, true), "the start of a fragmented one");
        assert_eq!(kind(&aggregate(&[&[0x09, 0xF0], VGA, &[0x68, 0xCE], &[0x65, 0x88]])), (true, true));
        assert_eq!(kind(&aggregate(&[VGA, &[0x68, 0xCE]])), (true, true), "parameters before it");
    }

    #[test]
    fn nowhere_else() {
        assert_eq!(kind(&[0x41, 0x9A]), (true, false), "another slice");
        assert_eq!(kind(&[0x68, 0xCE]), (true, false), "a picture parameter set alone");
        assert_eq!(kind(&[0x09, 0xF0]), (true, false), "an access unit delimiter");
        assert_eq!(kind(&[0x5C, 0x81, 0x9A]), (true, false), "the start of a fragmented slice");
        assert_eq!(kind(&aggregate(&[&[0x06, 0x05], &[0x41, 0x9A]])), (true, false));
        assert_eq!(kind(&[0x7C, 0x05, 0x88]), (false, false), "the middle of an IDR slice");
        assert_eq!(kind(&[0x7C, 0x45, 0x88]), (false, false), "and its end");
    }

    #[test]
    fn the_marker_ends_a_frame() {
        assert!(glance(&[0x41], true).unwrap().ends && !glance(&[0x7C, 0x45, 0x88], false).unwrap().ends);
    }

    #[test]
    fn what_mode_1_does_not_have_is_refused() {
        for kind in [0, 25, 26, 27, 29, 30, 31] {
            assert_eq!(glance(&[0x60 | kind, 0x85, 0x00], false), Err(Drop::Malformed), "type {kind}");
        }
        assert_eq!(glance(&[], false), Err(Drop::Short));
        assert_eq!(glance(&[0x7C], false), Err(Drop::Short));
        assert_eq!(glance(&[0x78], false), Err(Drop::Short));
        assert_eq!(glance(&[0x78, 0x00], false), Err(Drop::Short));
        assert_eq!(glance(&[0x78, 0x00, 0x00], false), Err(Drop::Malformed));
        assert_eq!(glance(&[0x78, 0x00, 0x02, 0x41], false), Err(Drop::Short));
        assert_eq!(glance(&[0x78, 0x00, 0x01, 0x65, 0xFF], false), Err(Drop::Short), "what follows a key, too");
    }

    #[test]
    fn parameters_say_the_size() {
        assert_eq!(dimensions(VGA), Some((640, 480)));
        assert_eq!(dimensions(&aggregate(&[&[0x09, 0xF0], VGA, &[0x65, 0x88]])), Some((640, 480)));
        assert_eq!(dimensions(&aggregate(&[&[0x65, 0x88]])), None);
        assert_eq!(dimensions(&[0x65, 0x88]), None);
        for len in 0..VGA.len() - 1 {
            assert_eq!(dimensions(&VGA[..len]), None, "{len} bytes");
        }
    }

    /// Baseline, with these fields after the level.
    fn parameters(fields: impl FnOnce(&mut BitWriter)) -> Vec<u8> {
        let mut bits = BitWriter::default();
        [0x67, 66, 0xC0, 31].into_iter().for_each(|byte| bits.write(8, byte));
        fields(&mut bits);
        bits.write(9, 0x80);
        bits.bytes
    }

    #[test]
    fn cropped_pictures_are_smaller() {
        let cropped = parameters(|bits| {
            // Order type 2; 120 by 68 macroblocks, less 8 rows at the bottom.
            [0, 0, 2, 1].into_iter().for_each(|value| bits.exp_golomb(value));
            bits.write(1, 0);
            [119, 67].into_iter().for_each(|value| bits.exp_golomb(value));
            bits.write(3, 0b111);
            [0, 0, 0, 4].into_iter().for_each(|value| bits.exp_golomb(value));
        });
        assert_eq!(dimensions(&cropped), Some((1920, 1080)));
    }

    #[test]
    fn a_picture_cropped_to_nothing_has_no_size() {
        let cropped = parameters(|bits| {
            [0, 0, 2, 1].into_iter().for_each(|value| bits.exp_golomb(value));
            bits.write(1, 0);
            [0, 0].into_iter().for_each(|value| bits.exp_golomb(value));
            bits.write(3, 0b111);
            [0, 9, 0, 0].into_iter().for_each(|value| bits.exp_golomb(value));
        });
        assert_eq!(dimensions(&cropped), None);
    }

    #[test]
    fn a_cycle_that_never_ends_ends_with_the_bytes() {
        let endless = parameters(|bits| {
            [0, 0, 1].into_iter().for_each(|value| bits.exp_golomb(value));
            bits.write(1, 0);
            [0, 0, u32::MAX - 1].into_iter().for_each(|value| bits.exp_golomb(value));
        });
        assert_eq!(dimensions(&endless), None);
    }

    #[test]
    fn bytes_against_start_codes_are_left_out() {
        let mut room = [0; MAX_SPS];
        assert_eq!(unescape(&[0, 0, 3, 1, 0, 0, 3, 0, 0, 3, 3], &mut room), [0, 0, 1, 0, 0, 0, 0, 3]);
        assert_eq!(unescape(&[7; 100], &mut room).len(), MAX_SPS);
    }
}
