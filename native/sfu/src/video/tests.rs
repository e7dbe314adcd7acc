//! Streams are switched, and stay decodable.

use proptest::prelude::*;

use super::testing::{Extended, L1T2, L1T3, L2T2_KEY, L3T3, L3T3_KEY_SHIFT, Packet, Rule, described, vp8, vp9, watch};
use super::{Codec, Numbers, Structure, dimensions, glance, renumber, set_frame_number};

/// Key frames come every 48 pictures.
const INTERVAL: usize = 48;

/// All streams, with their rule.
fn streams() -> Vec<(&'static str, Vec<Packet>, Rule)> {
    let mut streams = vec![
        ("VP8 L1T1", vp8(1, 200, INTERVAL), Rule::NotAbove),
        ("VP8 L1T2", vp8(2, 200, INTERVAL), Rule::NotAbove),
        ("VP8 L1T3", vp8(3, 200, INTERVAL), Rule::NotAbove),
        ("VP8 L1T4", vp8(4, 200, INTERVAL), Rule::NotAbove),
    ];
    for rule in [Rule::NotAbove, Rule::Needed] {
        for flexible in [false, true] {
            streams.push(("VP9 L1T3", vp9(1, false, flexible, 200, INTERVAL), rule));
            streams.push(("VP9 L3T3", vp9(3, false, flexible, 200, INTERVAL), rule));
            streams.push(("VP9 L3T3_KEY", vp9(3, true, flexible, 200, INTERVAL), rule));
        }
        streams.push(("L1T2", described(&L1T2, 200, INTERVAL), rule));
        streams.push(("L1T3", described(&L1T3, 200, INTERVAL), rule));
        streams.push(("L2T2_KEY", described(&L2T2_KEY, 200, INTERVAL), rule));
        streams.push(("L3T3", described(&L3T3, 200, INTERVAL), rule));
    }
    // Its spatial layers have their temporal ones at different times: only what is needed goes together.
    streams.push(("L3T3_KEY_SHIFT", described(&L3T3_KEY_SHIFT, 200, INTERVAL), Rule::Needed));
    streams
}

#[test]
fn whatever_is_wanted_a_receiver_can_decode_what_it_is_sent() {
    for (name, stream, rule) in streams() {
        proptest!(ProptestConfig::with_cases(64), |(wishes in proptest::collection::vec((0usize..60, 0u8..4, 0u8..4), 1..40))| {
            let (mut wanted, mut layers) = (vec![], (0, 0));
            for (frames, spatial, temporal) in wishes {
                wanted.extend(std::iter::repeat_n(layers, frames));
                layers = (spatial, temporal);
            }
            wanted.resize(stream.len().max(wanted.len()), layers);
            let watched = watch(&stream, rule, |at| wanted[at]);
            prop_assert!(watched.is_ok(), "{} {:?}: {:?}", name, rule, watched);
        });
    }
}

#[test]
fn a_receiver_gets_more_frames_within_one_turn_of_a_structure() {
    for (name, stream, rule) in streams() {
        let (spatials, temporals) = stream
            .iter()
            .fold((0, 0), |most, packet| (packet.glance.spatial.max(most.0), packet.glance.temporal.max(most.1)));
        let layers = watch(&stream, rule, |at| (spatials, if at < 60 { 0 } else { temporals })).unwrap();
        let turn = 16 * (usize::from(spatials) + 1);
        assert_eq!(layers[60 - 1], (spatials, 0), "{name} {rule:?}");
        assert_eq!(layers[60 + turn], (spatials, temporals), "{name} {rule:?}");
    }
}

#[test]
fn a_larger_picture_comes_with_a_key_frame() {
    for (name, stream, rule) in streams() {
        let spatials = stream.iter().map(|packet| packet.glance.spatial).max().unwrap();
        let frames = INTERVAL * (usize::from(spatials) + 1);
        let layers = watch(&stream, rule, |at| (if at < 30 { 0 } else { spatials }, 0)).unwrap();
        let before = if spatials == 0 { 0 } else { layers[frames - 1].0 };
        assert_eq!(before, 0, "{name} {rule:?}");
        assert_eq!(layers[frames], (spatials, 0), "{name} {rule:?}");
    }
}

/// Something like a payload of each codec, so that chance does not end at the first byte.
fn payloads() -> impl Strategy<Value = Vec<u8>> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..80);
    let start = prop_oneof![
        Just(vec![0x90, 0xF0, 0x80, 1, 2, 0x61, 0, 0, 0, 0x9D, 1, 0x2A]),
        Just(vec![0xAE, 0x81, 2, 0x17, 3, 0x58]),
        Just(vec![0xFC, 0x81, 2, 0x17, 3, 5]),
        Just(vec![0x78, 0, 2, 0x67, 0x42, 0, 1, 0x65]),
        Just(vec![0x67, 0x42, 0xC0, 0x1E]),
        Just(vec![0x18, 0x0A, 0]),
        Just(vec![]),
    ];
    (start, bytes()).prop_map(|(start, rest)| [start, rest].concat())
}

/// As wide as they are in a payload.
fn masked(numbers: Numbers, like: Numbers) -> Numbers {
    let picture = if like.long { 0x7FFF } else { 0x7F };
    Numbers {
        picture: like.picture.and(numbers.picture).map(|each| each & picture),
        long: like.long,
        tl0: like.tl0.and(numbers.tl0),
        key_index: like.key_index.and(numbers.key_index).map(|each| each & 0x1F),
        frame: None,
    }
}

proptest! {
    #[test]
    fn no_payload_makes_a_parser_panic(payload in payloads(), marker: bool) {
        for codec in Codec::ALL {
            let _ = dimensions(codec, &payload);
            if let Ok(glance) = glance(codec, &payload, marker) {
                prop_assert!(glance.begins || !glance.key);
                prop_assert!(glance.ends || !marker);
                prop_assert!(glance.needed.contains(glance.spatial, glance.temporal));
            }
        }
    }

    #[test]
    fn a_payload_has_the_numbers_that_were_written(payload in payloads(), picture: u16, tl0: u8, key_index: u8) {
        let numbers = Numbers { picture: Some(picture), long: false, tl0: Some(tl0), key_index: Some(key_index), frame: None };
        for codec in Codec::ALL {
            let mut written = payload.clone();
            renumber(codec, &mut written, &numbers);
            let Ok(before) = glance(codec, &payload, false) else {
                prop_assert_eq!(written, &payload[..]);
                continue;
            };
            let after = glance(codec, &written, false).unwrap();
            prop_assert_eq!(after.numbers, masked(numbers, before.numbers));
            let numbers = before.numbers;
            prop_assert_eq!(super::Glance { numbers, ..after }, before);
            renumber(codec, &mut written, &before.numbers);
            prop_assert_eq!(written, &payload[..]);
        }
    }

    #[test]
    fn numbers_that_are_not_given_stay(payload in payloads()) {
        for codec in Codec::ALL {
            let mut written = payload.clone();
            renumber(codec, &mut written, &Numbers::default());
            prop_assert_eq!(&written, &payload);
        }
    }

    #[test]
    fn no_descriptors_make_a_structure_panic(
        descriptors in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 1..20),
        marker: bool,
        spatial: u8,
        frame: u16,
    ) {
        let mut structure = Structure::new();
        let tables = [&L1T2, &L1T3, &L2T2_KEY, &L3T3, &L3T3_KEY_SHIFT];
        for (place, mut descriptor) in descriptors.into_iter().enumerate() {
            if place % 3 == 0 && descriptor.len() > 2 {
                // A real structure, damaged.
                let table = tables[usize::from(descriptor[0]) % tables.len()];
                let extended = Extended { structure: Some(table), ..Extended::default() };
                let mut whole = table.descriptor(0, frame, &extended);
                let at = usize::from(descriptor[1]) % whole.len();
                whole[at] ^= descriptor[2];
                descriptor = whole;
            }
            set_frame_number(&mut descriptor, frame.wrapping_add(place as u16));
            if let Ok(glance) = structure.glance(&descriptor, marker) {
                prop_assert!(glance.begins || !glance.key);
                prop_assert_eq!(glance.numbers.frame, Some(frame.wrapping_add(place as u16)));
            }
            let _ = (structure.active(), structure.layers(), structure.resolution(spatial));
        }
    }

    #[test]
    fn a_rise_goes_no_further_than_wanted_and_never_down(
        payload in payloads(), current in (0u8..4, 0u8..4), wanted in (any::<u8>(), any::<u8>()),
    ) {
        for codec in Codec::ALL {
            if let Ok(glance) = glance(codec, &payload, false) {
                let risen = glance.rise(current, wanted);
                prop_assert!(risen.0 >= current.0 && risen.1 >= current.1);
                prop_assert!(risen.0 <= wanted.0.max(current.0) && risen.1 <= wanted.1.max(current.1));
                prop_assert!(glance.begins || risen == current);
            }
        }
    }
}
