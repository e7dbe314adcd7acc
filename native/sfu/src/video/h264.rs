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
