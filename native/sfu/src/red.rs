//! Redundant audio (RFC 2198): one payload that carries its own frame and earlier ones once more.

use std::ops::Range;

use crate::drops::Drop;

/// Redundant blocks in one packet; clients send one or two.
const MAX_BLOCKS: usize = 8;

/// A payload whose blocks are all Opus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Red {
    /// Where the packet's own frame is.
    pub primary: Range<usize>,
    /// Redundant blocks before it.
    pub blocks: usize,
    /// How far back the oldest of them reaches, in ticks of the stream's clock.
    pub reach: u32,
}

impl Red {
    /// Every block must have the payload type `opus`. Never panics, on any input.
    pub fn parse(payload: &[u8], opus: u8) -> Result<Self, Drop> {
        let (mut at, mut blocks, mut redundant, mut reach) = (0, 0, 0, 0);
        loop {
            let first = *payload.get(at).ok_or(Drop::Short)?;
            if first & 0x7F != opus {
                return Err(Drop::Malformed);
            }
            if first & 0x80 == 0 {
                break;
            }
            let head: &[u8; 4] = payload[at..].first_chunk().ok_or(Drop::Short)?;
            let word = u32::from_be_bytes(*head);
            reach = reach.max(word >> 10 & 0x3FFF);
            redundant += (word & 0x3FF) as usize;
            blocks += 1;
            at += 4;
            if blocks > MAX_BLOCKS {
                return Err(Drop::Malformed);
            }
        }
        let start = at + 1 + redundant;
        if start > payload.len() {
            return Err(Drop::Short);
        }
        Ok(Self { primary: start..payload.len(), blocks, reach })
    }

    /// Give every block of the valid `payload` the payload type that its receiver has for Opus.
    pub(crate) fn rename(&self, payload: &mut [u8], opus: u8) {
        for block in 0..=self.blocks {
            let first = &mut payload[4 * block];
            *first = *first & 0x80 | opus;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Two redundant frames, 40 and 20 ms back, of 2 and 3 bytes, and a primary one of 4.
    const TWO: &[u8] = &[0xEF, 0x1E, 0x00, 0x02, 0xEF, 0x0F, 0x00, 0x03, 0x6F, 1, 1, 2, 2, 2, 3, 3, 3, 3];

    #[test]
    fn blocks_are_told_apart() {
        let red = Red::parse(TWO, 111).unwrap();
        assert_eq!(red, Red { primary: 14..18, blocks: 2, reach: 1920 });
        assert_eq!(&TWO[red.primary], &[3; 4]);
        assert_eq!(Red::parse(&[0x6F, 9], 111), Ok(Red { primary: 1..2, blocks: 0, reach: 0 }));
    }

    #[test]
    fn another_payload_type_inside_is_refused() {
        assert_eq!(Red::parse(TWO, 110), Err(Drop::Malformed));
        assert_eq!(Red::parse(&TWO[..13], 111), Err(Drop::Short));
    }

    #[test]
    fn a_receiver_gets_its_own_payload_types() {
        let mut payload = TWO.to_vec();
        let red = Red::parse(&payload, 111).unwrap();
        red.rename(&mut payload, 96);
        assert_eq!(Red::parse(&payload, 96), Ok(red));
        assert_eq!(payload[9..], TWO[9..]);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), opus in 0u8..128) {
            if let Ok(red) = Red::parse(&bytes, opus) {
                prop_assert!(red.primary.end == bytes.len() && 4 * red.blocks < red.primary.start);
                let mut renamed = bytes.clone();
                red.rename(&mut renamed, 5);
                prop_assert_eq!(Red::parse(&renamed, 5), Ok(red));
            }
        }

        #[test]
        fn damaged_payloads_never_panic(at in 0usize..18, byte: u8) {
            let mut payload = TWO.to_vec();
            payload[at] = byte;
            let _ = Red::parse(&payload, 111);
        }
    }
}
