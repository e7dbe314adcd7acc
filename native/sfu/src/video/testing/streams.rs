//! Streams as encoders send them, each frame with what it refers to.

use super::super::glance::glance;
use super::super::{Codec, Structure};
use super::descriptor::{Extended, Table};
use super::receiver::Packet;

/// How a temporal structure of VP8 goes on (buffers that are referred to; that are updated; layer; sync), over and over from
/// a key frame on, as libwebrtc's default temporal layers have it.
type Vp8Pattern = &'static [(&'static str, &'static str, u8, bool)];

const VP8_L1T1: Vp8Pattern = &[("l", "l", 0, false)];

const VP8_L1T2: Vp8Pattern = &[
    ("la", "l", 0, false),
    ("la", "g", 1, true),
    ("la", "l", 0, false),
    ("lga", "g", 1, false),
    ("la", "l", 0, false),
    ("lga", "g", 1, false),
    ("la", "l", 0, false),
    ("lga", "", 1, false),
];

const VP8_L1T3: Vp8Pattern = &[
    ("la", "l", 0, false),
    ("la", "", 2, true),
    ("la", "g", 1, true),
    ("lga", "", 2, false),
    ("la", "l", 0, false),
    ("lga", "", 2, false),
    ("lga", "g", 1, false),
    ("lga", "", 2, false),
];

const VP8_L1T4: Vp8Pattern = &[
    ("l", "l", 0, false),
    ("l", "", 3, true),
    ("l", "a", 2, true),
    ("la", "", 3, false),
    ("l", "g", 1, true),
    ("lga", "", 3, false),
    ("lga", "a", 2, false),
    ("lga", "", 3, false),
    ("l", "l", 0, false),
    ("lga", "", 3, false),
    ("lga", "a", 2, false),
    ("lga", "", 3, false),
    ("lg", "g", 1, false),
    ("lga", "", 3, false),
    ("lga", "a", 2, false),
    ("lga", "", 3, false),
];

/// A VP8 stream of 1 to 4 temporal layers, a frame a packet, with a key frame at first and every `interval` frames.
pub fn vp8(temporals: usize, frames: usize, interval: usize) -> Vec<Packet> {
    let pattern = [VP8_L1T1, VP8_L1T2, VP8_L1T3, VP8_L1T4][temporals - 1];
    let mut buffers = [0; 3];
    let mut tl0 = 0u8;
    let place = |buffer: char| "lga".find(buffer).expect("one of three");
    (0..frames)
        .map(|frame| {
            let (refers, updates, temporal, sync) = pattern[frame % interval % pattern.len()];
            let key = frame % interval == 0;
            let references = if key { vec![] } else { refers.chars().map(|buffer| buffers[place(buffer)]).collect() };
            let updates = if key { "lga" } else { updates };
            updates.chars().for_each(|buffer| buffers[place(buffer)] = frame);
            tl0 = tl0.wrapping_add(u8::from(temporal == 0));
            let payload = [
                0x90,
                0xF0,
                0x80 | (frame >> 8) as u8,
                frame as u8,
                tl0,
                temporal << 6 | u8::from(sync) << 5 | (frame / interval % 32) as u8,
                u8::from(!key),
            ];
            Packet { references, glance: glance(Codec::Vp8, &payload, true).expect("a payload") }
        })
        .collect()
}

/// A VP9 stream of `spatials` layers with 3 temporal ones each, which are predicted from each other in every picture or in
/// key pictures only. In flexible mode, U is as Chromium sets it there.
pub fn vp9(spatials: u8, key_only: bool, flexible: bool, pictures: usize, interval: usize) -> Vec<Packet> {
    let width = usize::from(spatials);
    let mut packets: Vec<Packet> = vec![];
    for picture in 0..pictures {
        let place = picture % interval;
        // How many pictures back, as kTemporalStructureMode3 of libwebrtc has it.
        let (temporal, back, of) = [(0, 4, 0), (2, 1, 0), (1, 2, 0), (2, 1, 1)][place % 4];
        for spatial in 0..spatials {
            let mut references = vec![];
            let key = place == 0;
            let at = picture * width + usize::from(spatial);
            if !key {
                references.push(at - back * width);
            }
            let inter_layer = spatial > 0 && (key || !key_only);
            if inter_layer {
                references.push(at - 1);
            }
            let switching_up = if flexible { !key && of < temporal } else { true };
            let flags = 0xAC | u8::from(!key) << 6 | u8::from(flexible) << 4;
            let layer = temporal << 5 | u8::from(switching_up) << 4 | spatial << 1 | u8::from(inter_layer);
            let mut payload = vec![flags, 0x80 | (picture >> 8) as u8, picture as u8, layer];
            if !flexible {
                payload.push((picture / 4) as u8);
            } else if !key {
                payload.push((back as u8) << 1);
            }
            let glance = glance(Codec::Vp9, &payload, spatial + 1 == spatials).expect("a payload");
            packets.push(Packet { references, glance });
        }
    }
    packets
}

/// A stream with dependency descriptors.
pub fn described(table: &Table, pictures: usize, interval: usize) -> Vec<Packet> {
    let mut structure = Structure::new();
    let mut packets: Vec<Packet> = vec![];
    for picture in 0..pictures {
        let place = picture % interval;
        let templates = match place.checked_sub(table.begin.len()) {
            Some(later) => table.cycle[later % table.cycle.len()],
            None => table.begin[place],
        };
        for template in templates {
            let at = packets.len();
            let extended = Extended { structure: (*template == 0).then_some(table), ..Extended::default() };
            let descriptor = table.descriptor(*template, (65_000 + at) as u16, &extended);
            let references = table.templates[*template].2.iter().map(|fdiff| at - usize::from(*fdiff)).collect();
            let glance = structure.glance(&descriptor, false).expect("a descriptor");
            packets.push(Packet { references, glance });
        }
    }
    packets
}
