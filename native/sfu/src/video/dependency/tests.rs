use super::super::testing::{Extended, L1T2, L1T3, L2T2_KEY, L3T3, L3T3_KEY_SHIFT, Table, described};
use super::*;

/// A structure that has seen a key frame of the table.
fn begun(table: &Table, frame: u16) -> Structure {
    let mut structure = Structure::new();
    assert!(glance(&mut structure, table, 0, frame, &with(table)).key);
    structure
}

fn with(table: &Table) -> Extended<'_> {
    Extended { structure: Some(table), ..Extended::default() }
}

fn glance(structure: &mut Structure, table: &Table, template: usize, frame: u16, extended: &Extended<'_>) -> Glance {
    structure.glance(&table.descriptor(template, frame, extended), false).unwrap()
}

fn layers(all: &[(u8, u8)]) -> Layers {
    all.iter().copied().collect()
}

#[test]
fn the_three_bytes_are_read() {
    let mut structure = begun(&L1T3, 100);
    let packet = structure.glance(&[0x80 | 60, 0x00, 0x64], false).unwrap();
    assert!(packet.begins && !packet.ends && !packet.key);
    assert_eq!(packet.numbers, Numbers { frame: Some(100), ..Numbers::default() });
    let packet = structure.glance(&[0x40 | 60, 0x12, 0x34], false).unwrap();
    assert!(!packet.begins && packet.ends);
    assert_eq!(packet.numbers.frame, Some(0x1234));
    assert!(structure.glance(&[60, 0x12, 0x34], true).unwrap().ends, "the last packet of a picture");
}

#[test]
fn a_key_frame_brings_its_structure_in_its_first_packet() {
    let mut structure = Structure::new();
    assert_eq!((structure.active(), structure.layers()), (None, Layers::NONE));
    let mut descriptor = L3T3.descriptor(0, 7, &with(&L3T3));
    let packet = structure.glance(&descriptor, false).unwrap();
    assert!(packet.key);
    assert_eq!((packet.switch, packet.rise((0, 0), (2, 2))), (Layers::ALL, (2, 2)));
    assert_eq!(structure.active(), Some(0x1FF));
    let three = [0, 1, 2];
    assert_eq!(structure.layers(), three.iter().flat_map(|s| three.iter().map(|t| (*s, *t))).collect());
    // Not in its second.
    descriptor[0] &= 0x7F;
    assert!(!structure.glance(&descriptor, false).unwrap().key);
    assert!(!structure.glance(&[60, 0, 7], false).unwrap().key);
}

#[test]
fn a_structure_with_a_frame_that_refers_back_is_no_key() {
    let mut structure = Structure::new();
    assert!(!glance(&mut structure, &L1T3, 1, 9, &with(&L1T3)).key);
    let extended = Extended { fdiffs: Some(&[3]), ..with(&L1T3) };
    assert!(!glance(&mut structure, &L1T3, 0, 10, &extended).key);
}

#[test]
fn every_template_of_every_table_is_found_as_it_was_written() {
    for table in [&L1T2, &L1T3, &L2T2_KEY, &L3T3, &L3T3_KEY_SHIFT] {
        let mut structure = begun(table, 0);
        let targets = structure.templates.as_ref().unwrap().layers;
        for (index, (spatial, temporal, fdiffs, _, indications)) in table.templates.iter().enumerate() {
            let packet = glance(&mut structure, table, index, 1, &Extended::default());
            assert_eq!((packet.spatial, packet.temporal), (*spatial, *temporal));
            for (symbol, layer) in indications.chars().zip(targets) {
                assert_eq!(packet.switch.contains(layer.0, layer.1), symbol == 'S', "template {index}, {layer:?}");
                assert_eq!(packet.needed.contains(layer.0, layer.1), symbol != '-', "template {index}, {layer:?}");
            }
            let template = structure.templates.as_ref().unwrap().all[index];
            assert_eq!(
                Fdiffs::of(&template).iter().collect::<std::collections::BTreeSet<_>>(),
                fdiffs.iter().copied().collect()
            );
        }
    }
}

#[test]
fn a_frame_of_a_structure_that_has_not_come_is_dropped() {
    assert_eq!(Structure::new().glance(&[0xC0 | 60, 0, 1], false), Err(Drop::Malformed));
    // Templates 60, 61, 62 and no more.
    let mut structure = begun(&L1T2, 0);
    assert!(structure.glance(&[0xC0 | 62, 0, 1], false).is_ok());
    assert_eq!(structure.glance(&[0xC0 | 63, 0, 1], false), Err(Drop::Malformed));
    assert_eq!(structure.glance(&[0xC0 | 59, 0, 1], false), Err(Drop::Malformed));
}

#[test]
fn a_descriptor_that_ends_early_is_short() {
    let extended = Extended { resolutions: &[(640, 360), (1280, 720), (1920, 1080)], ..with(&L3T3) };
    let descriptor = L3T3.descriptor(0, 7, &extended);
    for len in (0..descriptor.len()).filter(|len| *len != 3) {
        assert_eq!(Structure::new().glance(&descriptor[..len], false), Err(Drop::Short), "{len} bytes");
    }
    assert!(Structure::new().glance(&descriptor, false).is_ok());
}

#[test]
fn more_than_four_layers_are_refused() {
    // Offset 60, one target; next_layer_idc 2 four times, or 1.
    for next in [0b1010_1010, 0b0101_0101] {
        let descriptor = [0xC0 | 60, 0, 1, 0x87, 0x80, next, 0xFF, 0xFF];
        assert_eq!(Structure::new().glance(&descriptor, false), Err(Drop::Malformed));
    }
    // Templates without end.
    assert_eq!(
        Structure::new().glance(&[&[0xC0 | 60, 0, 1, 0x87, 0x80][..], &[0; 64]].concat(), false),
        Err(Drop::Malformed)
    );
}

#[test]
fn a_structure_says_how_large_its_layers_are() {
    let mut structure = Structure::new();
    let extended = Extended { resolutions: &[(640, 360), (1280, 720)], ..with(&L2T2_KEY) };
    glance(&mut structure, &L2T2_KEY, 0, 1, &extended);
    let sizes: Vec<_> = (0..5).map(|spatial| structure.resolution(spatial)).collect();
    assert_eq!(sizes, [Some((640, 360)), Some((1280, 720)), None, None, None]);
    assert_eq!(begun(&L2T2_KEY, 1).resolution(0), None);
}

#[test]
fn a_frame_may_have_indications_and_references_of_its_own() {
    let mut structure = begun(&L1T3, 10);
    glance(&mut structure, &L1T3, 3, 11, &Extended::default());
    // A frame of temporal layer 1 whose receivers need it, but cannot switch; of the frame before and of a key frame.
    let extended = Extended {
        indications: Some("RD-"),
        fdiffs: Some(&[1, 2, 300, 4096]),
        chains: Some(&[2]),
        ..Extended::default()
    };
    let packet = glance(&mut structure, &L1T3, 2, 12, &extended);
    assert_eq!(packet.switch, Layers::NONE);
    assert_eq!(packet.rise((0, 0), (0, 2)), (0, 0));
    // The next of the template is as before.
    let packet = glance(&mut structure, &L1T3, 2, 12, &Extended::default());
    assert!(packet.switch.contains(0, 2));
}

#[test]
fn a_receiver_of_fewer_frames_goes_up_where_it_says_so() {
    let mut structure = begun(&L1T3, 0);
    let none = Extended::default();
    let upper = glance(&mut structure, &L1T3, 3, 1, &none);
    assert_eq!(upper.rise((0, 0), (0, 2)), (0, 0), "discardable");
    let middle = glance(&mut structure, &L1T3, 2, 2, &none);
    assert_eq!(middle.rise((0, 0), (0, 2)), (0, 2), "it refers to the base layer");
    assert_eq!(middle.rise((0, 0), (0, 1)), (0, 0), "discardable there");
    let last = glance(&mut structure, &L1T3, 4, 3, &none);
    assert_eq!(last.rise((0, 0), (0, 2)), (0, 0));
    let base = glance(&mut structure, &L1T3, 1, 4, &none);
    assert_eq!((base.rise((0, 0), (0, 2)), base.rise((0, 0), (0, 1))), ((0, 2), (0, 1)));
}

#[test]
fn a_switch_indication_is_of_no_use_to_whoever_cannot_decode_its_frame() {
    let packets = described(&L3T3, 5, 48);
    // S2T0 of the fifth picture says "switch" to whoever has S2T0 of the first.
    let upper = packets[14].glance;
    assert_eq!((upper.spatial, upper.temporal), (2, 0));
    assert!(upper.switch.contains(2, 2));
    assert_eq!(upper.rise((2, 0), (2, 2)), (2, 2));
    assert_eq!(upper.rise((1, 2), (2, 2)), (1, 2));
    assert_eq!(upper.rise((1, 0), (2, 2)), (1, 0));
}

#[test]
fn a_lower_layer_is_not_needed_where_nothing_is_predicted_from_it() {
    let packets = described(&L2T2_KEY, 3, 48);
    let key = packets[0].glance;
    assert!(key.needed.contains(1, 1) && key.needed.contains(0, 0));
    let lower = packets[4].glance;
    assert_eq!((lower.spatial, lower.temporal), (0, 0));
    assert!(lower.needed.contains(0, 1) && !lower.needed.contains(1, 0) && !lower.needed.contains(1, 1));
}

/// AV1 RTP A.10.1.2: two spatial layers, of which the upper is asked for at frame 105.
const L2T1: Table = Table {
    templates: &[
        (0, 0, &[], &[0, 0], "SS"),
        (0, 0, &[2], &[2, 1], "SR"),
        (1, 0, &[1], &[1, 1], "-S"),
        (1, 0, &[2, 1], &[1, 1], "-R"),
    ],
    protected_by: &[0, 1],
    begin: &[&[0, 2]],
    cycle: &[&[1, 3]],
};

#[test]
fn a_spatial_layer_can_be_gone_up_to_with_a_frame_of_its_own() {
    let mut structure = begun(&L2T1, 101);
    let none = Extended::default();
    for (template, frame) in [(2, 102), (1, 103), (3, 104), (1, 105)] {
        let packet = glance(&mut structure, &L2T1, template, frame, &none);
        assert_eq!(packet.rise((0, 0), (1, 0)), if frame == 102 { (1, 0) } else { (0, 0) }, "frame {frame}");
    }
    let extended = Extended { indications: Some("-S"), fdiffs: Some(&[1]), chains: Some(&[1, 0]), ..none };
    let packet = glance(&mut structure, &L2T1, 3, 106, &extended);
    assert_eq!(packet.rise((0, 0), (1, 0)), (1, 0));
}

#[test]
fn a_spatial_layer_can_be_gone_up_to_with_a_frame_below_it() {
    let mut structure = begun(&L2T1, 101);
    let none = Extended::default();
    [(2, 102), (1, 103), (3, 104)].into_iter().for_each(|(template, frame)| {
        glance(&mut structure, &L2T1, template, frame, &none);
    });
    let extended = Extended { indications: Some("SS"), chains: Some(&[2, 0]), ..none };
    let packet = glance(&mut structure, &L2T1, 1, 105, &extended);
    assert_eq!(packet.rise((0, 0), (1, 0)), (1, 0));
}

#[test]
fn decode_targets_may_become_inactive() {
    let mut structure = begun(&L3T3, 0);
    let without_hd = Extended { active: Some(0x1F8), ..Extended::default() };
    let packet = glance(&mut structure, &L3T3, 6, 1, &without_hd);
    assert_eq!(structure.active(), Some(0x1F8));
    assert_eq!(structure.layers().highest(), Some((1, 2)));
    // Whoever has the highest layer gets what there is, and can go up in it.
    assert!(packet.needed.contains(2, 2) && packet.switch.contains(2, 2));
    let packet = glance(&mut structure, &L3T3, 9, 2, &Extended::default());
    assert!(packet.needed.contains(2, 2) && !packet.needed.contains(2, 1), "that holds on");
    // All are active again with another structure.
    glance(&mut structure, &L3T3, 0, 3, &with(&L3T3));
    assert_eq!(structure.active(), Some(0x1FF));
    // None at all is no reason to send nothing.
    let packet = glance(&mut structure, &L3T3, 6, 4, &Extended { active: Some(0), ..Extended::default() });
    assert!(packet.needed.contains(1, 0) && packet.switch.is_empty());
    assert_eq!(structure.layers(), Layers::NONE);
}

#[test]
fn a_layer_without_decode_target_stands_for_the_next_lower() {
    let mut structure = begun(&L1T2, 0);
    let packet = glance(&mut structure, &L1T2, 2, 1, &Extended::default());
    assert_eq!(packet.needed, Layers::above(0, 1));
    let packet = glance(&mut structure, &L1T2, 1, 2, &Extended::default());
    assert_eq!(packet.switch, Layers::ALL);
}

/// AV1 RTP A.10.1.1: not every layer is a decode target. The first is HD at 15 frames/s.
const L2T3: Table = Table {
    templates: &[
        (0, 0, &[], &[0, 0], "SSSS"),
        (0, 0, &[6], &[4, 3], "RSSR"),
        (0, 1, &[4], &[4, 3], "-DSR"),
        (0, 2, &[2], &[2, 1], "--DR"),
        (1, 0, &[1], &[1, 1], "S--S"),
        (1, 1, &[1, 4], &[1, 1], "---S"),
    ],
    protected_by: &[1, 0, 0, 1],
    begin: &[&[0, 4]],
    cycle: &[],
};

#[test]
fn decode_targets_may_be_few() {
    let mut structure = begun(&L2T3, 0);
    assert_eq!(structure.layers(), layers(&[(1, 0), (0, 1), (0, 2), (1, 2)]));
    let packet = glance(&mut structure, &L2T3, 2, 4, &Extended::default());
    // (1, 1) stands for HD at 15 frames/s; (0, 0) for nothing, and goes by what is above what.
    assert!(!packet.needed.contains(1, 1) && packet.needed.contains(1, 2) && !packet.needed.contains(0, 0));
    assert!(packet.switch.contains(0, 2) && !packet.switch.contains(0, 0));
    assert!(glance(&mut structure, &L2T3, 1, 6, &Extended::default()).needed.contains(0, 0));
}

#[test]
fn what_comes_late_changes_nothing() {
    for newest in [5000u16, 20] {
        let mut structure = begun(&L1T3, newest);
        // The key frame of before, sent again: it is read by its own structure.
        let late = L3T3.descriptor(0, newest.wrapping_sub(100), &with(&L3T3));
        assert!(structure.glance(&late, false).unwrap().key);
        assert_eq!((structure.active(), structure.layers().highest()), (Some(7), Some((0, 2))));
        let late = Extended { active: Some(1), ..Extended::default() };
        glance(&mut structure, &L1T3, 1, newest.wrapping_sub(1), &late);
        assert_eq!(structure.active(), Some(7));
        assert!(glance(&mut structure, &L1T3, 1, newest.wrapping_add(4), &Extended::default()).switch.contains(0, 2));
    }
}

#[test]
fn numbers_may_begin_anew() {
    for next in [20_000, 4_999u16.wrapping_sub(LATE)] {
        let mut structure = begun(&L1T3, 5000);
        glance(&mut structure, &L3T3, 0, next, &with(&L3T3));
        assert_eq!(structure.active(), Some(0x1FF), "from {next}");
    }
}

#[test]
fn numbers_go_round() {
    let mut structure = begun(&L1T3, 65_534);
    let packet = glance(&mut structure, &L1T3, 2, 0, &Extended::default());
    assert_eq!(packet.rise((0, 0), (0, 2)), (0, 2), "it refers to the frame two before it");
}

#[test]
fn a_frame_number_is_written_where_it_was() {
    let mut descriptor = L1T3.descriptor(0, 7, &with(&L1T3));
    let before = descriptor.clone();
    set_frame_number(&mut descriptor, 0xABCD);
    assert_eq!(descriptor[1..3], [0xAB, 0xCD]);
    assert_eq!((descriptor[0], &descriptor[3..]), (before[0], &before[3..]));
    let mut short = [0xC0, 0x00];
    set_frame_number(&mut short, 0xABCD);
    assert_eq!(short, [0xC0, 0x00]);
}

#[test]
fn a_structure_is_small() {
    assert!(size_of::<Structure>() <= 2048, "{} bytes", size_of::<Structure>());
}
