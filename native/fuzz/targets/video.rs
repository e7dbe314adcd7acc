//! Video: what is seen of a payload stays seen when its numbers are others, and descriptors one after another never lead a
//! structure astray.
#![no_main]

use sfu::video::{
    Codec, Glance, Layers, LayersAllocation, Numbers, Structure, dimensions, glance, renumber, set_frame_number,
};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((head, rest)) = data.split_first_chunk::<6>() else { return };
    let [what, first, second, third, current, wanted] = *head;
    match what % 6 {
        4 => descriptors(rest),
        5 => allocation(rest),
        codec => {
            let codec = Codec::ALL[usize::from(codec)];
            let numbers = Numbers {
                picture: Some(u16::from_be_bytes([first, second])),
                long: false,
                tl0: Some(third),
                key_index: Some(second),
                frame: None,
            };
            payload(codec, rest, &numbers);
            if let Ok(glance) = glance(codec, rest, false) {
                rise(&glance, current, wanted);
            }
        }
    }
});

fn payload(codec: Codec, payload: &[u8], numbers: &Numbers) {
    let _ = dimensions(codec, payload);
    let mut written = payload.to_vec();
    renumber(codec, &mut written, numbers);
    let Ok(before) = glance(codec, payload, false) else {
        assert_eq!(written, payload);
        return;
    };
    let mut after = glance(codec, &written, false).expect("a payload as before");
    let picture = if before.numbers.long { 0x7FFF } else { 0x7F };
    assert_eq!(after.numbers.picture, before.numbers.picture.and(numbers.picture).map(|each| each & picture));
    assert_eq!(after.numbers.tl0, before.numbers.tl0.and(numbers.tl0));
    assert_eq!(after.numbers.key_index, before.numbers.key_index.and(numbers.key_index).map(|each| each & 0x1F));
    after.numbers = before.numbers;
    assert_eq!(after, before);
    renumber(codec, &mut written, &before.numbers);
    assert_eq!(written, payload);
}

/// Each with its length in front.
fn descriptors(mut rest: &[u8]) {
    let mut structure = Structure::new();
    while let Some((len, after)) = rest.split_first() {
        let (descriptor, after) = after.split_at(usize::from(*len).min(after.len()));
        rest = after;
        numbered(descriptor);
        let active = structure.active();
        let Ok(glance) = structure.glance(descriptor, false) else {
            assert_eq!(structure.active(), active);
            continue;
        };
        assert!(structure.active().is_some() || active.is_none());
        assert!(glance.spatial < Layers::SIDE && glance.temporal < Layers::SIDE);
        for layers in 0..=255 {
            rise(&glance, descriptor[0], layers);
        }
        if let Some((spatial, _)) = structure.layers().highest() {
            let _ = structure.resolution(spatial);
        }
    }
}

/// It is read under another number as it was under its own.
fn numbered(descriptor: &[u8]) {
    let mut written = descriptor.to_vec();
    set_frame_number(&mut written, 0x1234);
    match (Structure::new().glance(descriptor, false), Structure::new().glance(&written, false)) {
        (Ok(before), Ok(mut after)) => {
            assert_eq!(after.numbers.frame, Some(0x1234));
            after.numbers = before.numbers;
            assert_eq!(after, before);
        }
        (before, after) => assert_eq!(before, after),
    }
}

fn rise(glance: &Glance, current: u8, wanted: u8) {
    let (current, wanted) = ((current >> 2 & 3, current & 3), (wanted >> 4, wanted & 0xF));
    let risen = glance.rise(current, wanted);
    assert!(risen.0 >= current.0 && risen.1 >= current.1);
    assert!(risen.0 <= wanted.0.max(current.0) && risen.1 <= wanted.1.max(current.1));
}

fn allocation(value: &[u8]) {
    let Ok(allocation) = LayersAllocation::parse(value) else { return };
    assert!((1..=4).contains(&allocation.streams));
    for (stream, layers) in allocation.layers.iter().enumerate() {
        assert!(stream < allocation.streams || layers.iter().all(Option::is_none));
        for layer in layers.iter().flatten() {
            assert!((1..=4).contains(&layer.temporals));
            assert!(layer.bitrates[layer.temporals..].iter().all(|bitrate| *bitrate == 0));
        }
        let _ = allocation.size(stream);
    }
}
