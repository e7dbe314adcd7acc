//! What a camera sends.

use sfu::srtp::Outbound;

use super::theatre::{FPS, NODE, Person, RATES, RIDS, Theatre, VP8};

impl Theatre {
    /// The next picture of a camera, in all its encodings: temporal layers 0 2 1 2.
    pub fn encode(&mut self, person: usize) {
        let now = self.now;
        let ticks = (now - self.start).as_micros() as u32 / 100 * 9;
        let Person { id, encoders, outbound, transport_sequence, address, .. } = &mut self.people[person];
        for (encoding, encoder) in encoders.iter_mut().enumerate() {
            if !encoder.active {
                continue;
            }
            let is_key = std::mem::take(&mut encoder.wants_key);
            if is_key {
                encoder.frame = 0;
                encoder.keys += 1;
                encoder.key_index = encoder.key_index.wrapping_add(1) & 0x1F;
            }
            let place = encoder.frame % 4;
            let temporal = [0u8, 2, 1, 2][place as usize];
            let sync = place == 1 || place == 2;
            encoder.picture = encoder.picture.wrapping_add(1) & 0x7FFF;
            if temporal == 0 {
                encoder.tl0 = encoder.tl0.wrapping_add(1);
            }
            let mean = RATES[encoding] / 8 / FPS;
            let size = if is_key { mean * 5 } else { mean };
            let packets = size.div_ceil(1100);
            for packet in 0..packets {
                let picture = encoder.picture | 0x8000;
                let mut payload = vec![
                    0x80 | u8::from(packet == 0) << 4 | u8::from(temporal == 2) << 5,
                    0xF0,
                    (picture >> 8) as u8,
                    picture as u8,
                    encoder.tl0,
                    temporal << 6 | u8::from(sync) << 5 | encoder.key_index,
                ];
                // A frame header: its lowest bit is 0 in key frames; then start code and size.
                let [width, height] = [(320u16 << encoding).to_le_bytes(), (180u16 << encoding).to_le_bytes()];
                payload.extend([u8::from(!is_key), 0, 0, 0x9D, 0x01, 0x2A]);
                payload.extend(width.iter().chain(&height));
                payload.extend([encoding as u8, (encoder.frame >> 8) as u8, encoder.frame as u8, 0]);
                payload.resize((size / packets) as usize, 0x42);
                let ssrc = 0xB000_0000 + id.0 as u32 * 16 + encoding as u32;
                let marker = packet + 1 == packets;
                let sealed = seal(
                    outbound,
                    transport_sequence,
                    (ssrc, VP8, encoder.index, ticks, marker),
                    (2, RIDS[encoding]),
                    &payload,
                );
                let mut kept = ticks.to_be_bytes().to_vec();
                kept.extend(&payload);
                encoder.kept.insert(encoder.index as u16, kept);
                encoder.index += 1;
                self.network.send(now, *address, NODE.parse().unwrap(), sealed);
            }
            encoder.frame += 1;
        }
    }
}

pub fn seal(
    outbound: &Outbound,
    transport: &mut u16,
    (ssrc, payload_type, index, timestamp, marker): (u32, u8, u64, u32, bool),
    (rid_id, rid): (u8, &str),
    payload: &[u8],
) -> Vec<u8> {
    let mut bytes = vec![0x90, u8::from(marker) << 7 | payload_type];
    bytes.extend((index as u16).to_be_bytes());
    bytes.extend(timestamp.to_be_bytes());
    bytes.extend(ssrc.to_be_bytes());
    let mut elements = vec![0x10, b'1', rid_id << 4, rid.as_bytes()[0], 0x41];
    elements.extend(transport.to_be_bytes());
    elements.extend([0x62, 0, 0, 0]);
    *transport = transport.wrapping_add(1);
    elements.resize(elements.len().next_multiple_of(4), 0);
    bytes.extend([0xBE, 0xDE]);
    bytes.extend((elements.len() as u16 / 4).to_be_bytes());
    bytes.extend(elements);
    let header_len = bytes.len();
    bytes.extend(payload);
    let len = bytes.len();
    bytes.resize(len + 16, 0);
    let sealed = outbound.protect(index, &mut bytes, header_len, len);
    bytes.truncate(sealed);
    bytes
}
