//! Feedback about video (RFC 4585, RFC 5104, draft-holmer-rmcat-transport-wide-cc-extensions-01, draft-alvestrand-rmcat-remb),
//! read and written by other code than the server's.

use sfu::rtcp::Packet;

const TRANSPORT: u8 = 205;
const PAYLOAD: u8 = 206;
const NACK: u8 = 1;
const ARRIVALS: u8 = 15;
const PLI: u8 = 1;
const FIR: u8 = 4;
const APPLICATION: u8 = 15;
/// Sequence numbers of one item of a NACK: its own, and 16 in the mask.
const SPAN: u64 = 17;
/// Items that one NACK of ours has.
const MAX_ITEMS: usize = 64;

/// What a receiver of video wants.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Request<'a> {
    /// Packets that it does not have.
    Repair { ssrc: u32, sequences: Sequences<'a> },
    /// A picture to begin with; a command (FIR) has a number.
    KeyFrame { ssrc: u32, command: Option<u8> },
    /// Nothing: it says what arrived and when.
    Arrivals,
    /// No more bits a second than that.
    Limit { bitrate: u64 },
}

/// The items of a NACK, one by one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sequences<'a> {
    items: &'a [u8],
    /// How many of the first item are done.
    done: u16,
}

impl Iterator for Sequences<'_> {
    type Item = u16;

    fn next(&mut self) -> Option<u16> {
        while let Some(&[high, low, mask_high, mask_low]) = self.items.first_chunk() {
            let (first, mask) = (u16::from_be_bytes([high, low]), u16::from_be_bytes([mask_high, mask_low]));
            let at = self.done;
            self.done += 1;
            match at {
                0 => return Some(first),
                1..=16 if mask >> (at - 1) & 1 == 1 => return Some(first.wrapping_add(at)),
                1..=16 => {}
                _ => (self.items, self.done) = (&self.items[4..], 0),
            }
        }
        None
    }
}

/// What `packet` asks for; each of several with `each`. Never panics, on any packet.
pub(crate) fn requests<'a>(packet: &Packet<'a>, mut each: impl FnMut(Request<'a>)) {
    let &Packet::Feedback { payload_specific, format, media, information, .. } = packet else { return };
    match (payload_specific, format) {
        (false, NACK) => each(Request::Repair { ssrc: media, sequences: Sequences { items: information, done: 0 } }),
        (false, ARRIVALS) => each(Request::Arrivals),
        (true, PLI) => each(Request::KeyFrame { ssrc: media, command: None }),
        (true, FIR) => {
            for item in information.chunks_exact(8) {
                let ssrc = u32::from_be_bytes([item[0], item[1], item[2], item[3]]);
                each(Request::KeyFrame { ssrc, command: Some(item[4]) });
            }
        }
        (true, APPLICATION) => {
            if let Some(&[b'R', b'E', b'M', b'B', _, a, b, c]) = information.first_chunk() {
                let mantissa = u64::from(u32::from_be_bytes([0, a & 0x03, b, c]));
                each(Request::Limit { bitrate: mantissa.saturating_mul(1 << (a >> 2)) });
            }
        }
        _ => {}
    }
}

/// Writes one packet of feedback into `out`; the length, or 0 when it has no room.
fn write(out: &mut [u8], format: u8, packet_type: u8, sender: u32, media: u32, information: &[u8]) -> usize {
    let length = 12 + information.len();
    let Some(packet) = out.get_mut(..length) else { return 0 };
    debug_assert!(length.is_multiple_of(4), "a whole number of words");
    packet[..2].copy_from_slice(&[0x80 | format, packet_type]);
    packet[2..4].copy_from_slice(&((length / 4 - 1) as u16).to_be_bytes());
    packet[4..8].copy_from_slice(&sender.to_be_bytes());
    packet[8..12].copy_from_slice(&media.to_be_bytes());
    packet[12..].copy_from_slice(information);
    length
}

/// RFC 4585 §6.3.1.
pub(crate) fn pli(out: &mut [u8], sender: u32, media: u32) -> usize {
    write(out, PLI, PAYLOAD, sender, media, &[])
}

/// RFC 4585 §6.2.1: ask for packets by index, in order. Those beyond what fits one packet are left out.
pub(crate) fn nack(out: &mut [u8], sender: u32, media: u32, indices: &[u64]) -> usize {
    let mut information = [0; 4 * MAX_ITEMS];
    let (mut items, mut rest) = (0, indices);
    while let Some((&first, others)) = rest.split_first().filter(|_| items < MAX_ITEMS) {
        let within = others.iter().take_while(|index| **index - first < SPAN).count();
        let mask = others[..within].iter().fold(0u16, |mask, index| mask | 1 << (index - first - 1));
        information[4 * items..4 * items + 2].copy_from_slice(&(first as u16).to_be_bytes());
        information[4 * items + 2..4 * items + 4].copy_from_slice(&mask.to_be_bytes());
        (items, rest) = (items + 1, &others[within..]);
    }
    write(out, NACK, TRANSPORT, sender, media, &information[..4 * items])
}

/// draft-alvestrand-rmcat-remb-03 §2.2: no more than that many bits a second for `media`.
pub(crate) fn limit(out: &mut [u8], sender: u32, media: u32, bitrate: u64) -> usize {
    // An exponent of 6 bits and a mantissa of 18.
    let exponent = (64 - bitrate.leading_zeros()).saturating_sub(18);
    let [_, high, middle, low] = ((bitrate >> exponent) as u32).to_be_bytes();
    let mut information = *b"REMB\x01\0\0\0\0\0\0\0";
    information[5..8].copy_from_slice(&[(exponent as u8) << 2 | high, middle, low]);
    information[8..].copy_from_slice(&media.to_be_bytes());
    write(out, APPLICATION, PAYLOAD, sender, 0, &information)
}

/// Transport-wide feedback.
pub(crate) fn arrivals(out: &mut [u8], sender: u32, media: u32, information: &[u8]) -> usize {
    write(out, ARRIVALS, TRANSPORT, sender, media, information)
}

#[cfg(test)]
mod tests {
    use sfu::rtcp;

    use super::*;

    fn read(compound: &[u8]) -> Vec<Request<'_>> {
        let mut found = Vec::new();
        rtcp::packets(compound).flatten().for_each(|packet| requests(&packet, |request| found.push(request)));
        found
    }

    #[test]
    fn a_nack_that_is_written_is_read() {
        let mut out = [0; 400];
        let indices = [65_530, 65_531, 65_546, 65_547, 70_000];
        let length = nack(&mut out, 1, 2, &indices);
        let [Request::Repair { ssrc: 2, sequences }] = read(&out[..length])[..] else { panic!("a NACK") };
        assert_eq!(sequences.collect::<Vec<u16>>(), indices.map(|index| index as u16));
        assert_eq!(length, 12 + 3 * 4);
    }

    #[test]
    fn key_frames_are_asked_for_in_both_ways() {
        let mut out = [0; 100];
        let mut length = pli(&mut out, 1, 2);
        length += write(&mut out[length..], FIR, PAYLOAD, 1, 0, &[0, 0, 0, 3, 7, 0, 0, 0]);
        let requests = read(&out[..length]);
        assert!(matches!(requests[0], Request::KeyFrame { ssrc: 2, command: None }));
        assert!(matches!(requests[1], Request::KeyFrame { ssrc: 3, command: Some(7) }));
    }

    #[test]
    fn a_limit_is_understood() {
        let mut out = [0; 100];
        // 2^4 · 0x1_2345
        let length = write(&mut out, APPLICATION, PAYLOAD, 1, 0, b"REMB\x01\x11\x23\x45\0\0\0\x02");
        assert!(matches!(read(&out[..length])[..], [Request::Limit { bitrate: 0x12_3450 }]));
    }

    #[test]
    fn a_limit_that_is_written_is_read() {
        for bitrate in [0, 1000, 0x3_FFFF, 0x4_0000, 10_000_000] {
            let mut out = [0; 100];
            let length = limit(&mut out, 1, 2, bitrate);
            let [Request::Limit { bitrate: read }] = read(&out[..length])[..] else { panic!("a limit") };
            assert!(read <= bitrate && read >= bitrate - bitrate / 1000, "{read} of {bitrate}");
        }
    }

    #[test]
    fn more_than_fits_is_left_out() {
        let mut out = [0; 2000];
        let indices: Vec<u64> = (0..200).map(|at| at * 20).collect();
        assert_eq!(nack(&mut out, 1, 2, &indices), 12 + 4 * MAX_ITEMS);
        assert_eq!(pli(&mut out[..11], 1, 2), 0);
    }
}
