//! RED: blocks lie inside the payload one after another, and a packet that is found to be whole stays so under other names.
#![no_main]

use sfu::red::Red;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((opus, payload)) = data.split_first() else { return };
    let opus = opus & 0x7F;
    let Ok(red) = Red::parse(payload, opus) else { return };
    assert!(red.primary.end == payload.len() && 4 * red.blocks < red.primary.start);
    let (mut redundant, mut reach) = (0, 0);
    for block in 0..red.blocks {
        let head: [u8; 4] = payload[4 * block..4 * block + 4].try_into().expect("four bytes");
        assert_eq!(head[0], 0x80 | opus);
        let word = u32::from_be_bytes(head);
        redundant += (word & 0x3FF) as usize;
        reach = reach.max(word >> 10 & 0x3FFF);
    }
    assert_eq!(payload[4 * red.blocks], opus);
    assert_eq!((red.primary.start, red.reach), (4 * red.blocks + 1 + redundant, reach));
    // Whatever the primary frame is.
    let (before, _) = payload.split_at(red.primary.start);
    let other = [before, &[0x42; 9]].concat();
    assert_eq!(Red::parse(&other, opus).map(|red| red.primary.len()), Ok(9));
});
