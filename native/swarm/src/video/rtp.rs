//! RTP packets with several extensions (RFC 8285, one-byte form).

use sfu::rtp::Header;

use crate::session::Extensions;

/// RFC 8285 §4.2.
const ONE_BYTE: [u8; 2] = [0xBE, 0xDE];
/// The longest header that is written here: the fixed part, and MID, RID and transport-wide sequence number.
pub(crate) const MAX_HEADER: usize = 12 + 4 + 3 + 2 * 17 + 3;
/// Of a value in the one-byte form.
const MAX_VALUE: usize = 16;

/// A header, without its extensions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields {
    pub payload_type: u8,
    pub marker: bool,
    pub sequence: u16,
    pub timestamp: u32,
    pub ssrc: u32,
}

/// Writes a header with `elements` (id 1 to 14, value of 1 to 16 bytes; others are left out) into `out`, which holds
/// [`MAX_HEADER`]. Returns the length.
pub(crate) fn write<'a>(out: &mut [u8], fields: Fields, elements: impl Iterator<Item = (u8, &'a [u8])>) -> usize {
    const FIXED: usize = 12;
    out[1] = u8::from(fields.marker) << 7 | fields.payload_type & 0x7F;
    out[2..4].copy_from_slice(&fields.sequence.to_be_bytes());
    out[4..8].copy_from_slice(&fields.timestamp.to_be_bytes());
    out[8..12].copy_from_slice(&fields.ssrc.to_be_bytes());
    let mut at = FIXED + 4;
    for (id, value) in elements.filter(|(id, value)| (1..15).contains(id) && (1..=MAX_VALUE).contains(&value.len())) {
        out[at] = id << 4 | (value.len() - 1) as u8;
        out[at + 1..at + 1 + value.len()].copy_from_slice(value);
        at += 1 + value.len();
    }
    if at == FIXED + 4 {
        out[0] = 0x80;
        return FIXED;
    }
    let end = at.next_multiple_of(4);
    out[at..end].fill(0);
    out[0] = 0x90;
    out[FIXED..FIXED + 2].copy_from_slice(&ONE_BYTE);
    out[FIXED + 2..FIXED + 4].copy_from_slice(&((end - FIXED - 4) as u16 / 4).to_be_bytes());
    end
}

/// The transport-wide sequence number of `packet`, when it has one.
pub(crate) fn transport_sequence(known: &Extensions, header: &Header, packet: &[u8]) -> Option<u16> {
    let value = header.extension(packet, known.transport_cc?)?;
    value.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: Fields = Fields { payload_type: 96, marker: true, sequence: 1, timestamp: 2, ssrc: 3 };

    #[test]
    fn what_is_written_is_read() {
        let mut out = [0xFF; MAX_HEADER];
        let elements: [(u8, &[u8]); 3] = [(4, b"1"), (10, b"h"), (3, &[1, 2])];
        let length = write(&mut out, FIELDS, elements.into_iter());
        let header = Header::parse(&out[..length]).unwrap();
        assert_eq!((header.len, length % 4), (length, 0));
        assert_eq!((header.payload_type, header.marker, header.sequence), (96, true, 1));
        assert_eq!((header.timestamp, header.ssrc), (2, 3));
        for (id, value) in elements {
            assert_eq!(header.extension(&out, id), Some(value));
        }
    }

    #[test]
    fn without_elements_there_is_no_extension_and_what_does_not_fit_is_left_out() {
        let mut out = [0xFF; MAX_HEADER];
        let elements: [(u8, &[u8]); 3] = [(0, b"1"), (15, b"h"), (3, &[])];
        assert_eq!(write(&mut out, FIELDS, elements.into_iter()), 12);
        assert_eq!(Header::parse(&out[..12]).unwrap().len, 12);
    }
}
