//! Header extensions that a publisher addresses to the node. Playout delay, absolute capture time and video orientation are
//! the receivers' and are passed on as they are.

use super::layers::Layers;
use crate::drops::Drop;

/// The most RTP streams of one source.
const MAX_STREAMS: usize = 4;

const SIDE: usize = Layers::SIDE as usize;

/// One spatial layer, as its publisher means to send it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpatialLayer {
    /// How many temporal layers it has, 1 to 4.
    pub temporals: usize,
    /// The target bitrate in bits/s up to and with each of them, with all that it builds on. 0 where there is none.
    pub bitrates: [u64; SIDE],
    /// Width and height in pixels, and the highest frame rate in frames/s, if said.
    pub size: Option<(u16, u16, u8)>,
}

/// What the extension "video-layers-allocation00" says
/// (<http://www.webrtc.org/experiments/rtp-hdrext/video-layers-allocation00>): every layer that its publisher sends now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LayersAllocation {
    /// Which of the source's RTP streams this packet is of, from 0.
    pub stream: usize,
    /// How many RTP streams the source has, 1 to 4.
    pub streams: usize,
    /// By stream and spatial layer; `None` is not sent.
    pub layers: [[Option<SpatialLayer>; SIDE]; MAX_STREAMS],
}

impl LayersAllocation {
    /// Parse the extension's value. A single 0 says that nothing is sent. Never panics, on any input.
    pub fn parse(value: &[u8]) -> Result<Self, Drop> {
        let (head, mut rest) = value.split_first().ok_or(Drop::Short)?;
        let mut allocation = Self {
            stream: usize::from(head >> 6),
            streams: usize::from(head >> 4 & 3) + 1,
            layers: [[None; SIDE]; MAX_STREAMS],
        };
        if value == [0] {
            return Ok(allocation);
        }
        if allocation.stream >= allocation.streams {
            return Err(Drop::Malformed);
        }
        let mut masks = [0; MAX_STREAMS];
        if head & 0xF != 0 {
            masks[..allocation.streams].fill(head & 0xF);
        } else {
            let bytes = take(&mut rest, allocation.streams.div_ceil(2))?;
            for (stream, mask) in masks[..allocation.streams].iter_mut().enumerate() {
                *mask = bytes[stream / 2] >> (4 - 4 * (stream % 2)) & 0xF;
            }
        }
        for (layers, mask) in allocation.layers.iter_mut().zip(masks) {
            for (spatial, layer) in layers.iter_mut().enumerate() {
                *layer = (mask >> spatial & 1 == 1).then(SpatialLayer::default);
            }
        }
        let count = allocation.sent().count();
        let temporals = take(&mut rest, count.div_ceil(4))?;
        for (place, layer) in allocation.sent().enumerate() {
            layer.temporals = usize::from(temporals[place / 4] >> (6 - 2 * (place % 4)) & 3) + 1;
        }
        for layer in allocation.sent() {
            for bitrate in &mut layer.bitrates[..layer.temporals] {
                *bitrate = 1000 * leb128(&mut rest)?;
            }
        }
        if !rest.is_empty() {
            for layer in allocation.sent() {
                let size: [u8; 5] = take(&mut rest, 5)?.try_into().map_err(|_| Drop::Short)?;
                let width = u16::from_be_bytes([size[0], size[1]]).saturating_add(1);
                let height = u16::from_be_bytes([size[2], size[3]]).saturating_add(1);
                layer.size = Some((width, height, size[4]));
            }
        }
        Ok(allocation)
    }

    /// The layers that are sent, in the order of the wire.
    fn sent(&mut self) -> impl Iterator<Item = &mut SpatialLayer> {
        self.layers.iter_mut().flatten().flatten()
    }

    /// Width and height in pixels and frames/s of the highest spatial layer of a stream, if it is sent and that is said.
    pub fn size(&self, stream: usize) -> Option<(u16, u16, u8)> {
        self.layers.get(stream)?.iter().flatten().next_back()?.size
    }
}

fn take<'a>(rest: &mut &'a [u8], len: usize) -> Result<&'a [u8], Drop> {
    let (taken, after) = rest.split_at_checked(len).ok_or(Drop::Short)?;
    *rest = after;
    Ok(taken)
}

/// A number of at most 32 bits (AV1 4.10.5).
fn leb128(rest: &mut &[u8]) -> Result<u64, Drop> {
    let mut value = 0;
    for place in 0..5 {
        let byte = take(rest, 1)?[0];
        value |= u64::from(byte & 0x7F) << (7 * place);
        if byte & 0x80 == 0 {
            return if value <= u64::from(u32::MAX) { Ok(value) } else { Err(Drop::Malformed) };
        }
    }
    Err(Drop::Malformed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Three streams, each with one spatial layer of three temporal ones, seen on the last: 100, 200, 300 kb/s and so on.
    const SIMULCAST: &[u8] = &[
        0xA1, 0xA8, 0x64, 0xC8, 0x01, 0xAC, 0x02, 0x64, 0xC8, 0x01, 0xAC, 0x02, 0x64, 0xC8, 0x01, 0xE8, 0x07, 0x01,
        0x3F, 0x00, 0xB3, 0x1E, 0x02, 0x7F, 0x01, 0x67, 0x1E, 0x04, 0xFF, 0x02, 0xCF, 0x3C,
    ];

    #[test]
    fn each_stream_has_its_size_and_bitrates() {
        let allocation = LayersAllocation::parse(SIMULCAST).unwrap();
        assert_eq!((allocation.stream, allocation.streams), (2, 3));
        assert_eq!(allocation.size(0), Some((320, 180, 30)));
        assert_eq!(allocation.size(1), Some((640, 360, 30)));
        assert_eq!(allocation.size(2), Some((1280, 720, 60)));
        assert_eq!(allocation.size(3), None);
        assert_eq!(allocation.size(99), None);
        let layer = allocation.layers[2][0].unwrap();
        assert_eq!((layer.temporals, layer.bitrates), (3, [100_000, 200_000, 1_000_000, 0]));
        assert_eq!(allocation.layers[2][1], None);
    }

    #[test]
    fn the_size_may_be_left_out() {
        let allocation = LayersAllocation::parse(&SIMULCAST[..17]).unwrap();
        assert_eq!(allocation.size(2), None);
        assert_eq!(allocation.layers[0][0].unwrap().bitrates[2], 300_000);
    }

    #[test]
    fn streams_may_have_different_layers() {
        // Two streams; the first has spatial layer 0, the second layers 1 and 2 of two temporal ones each.
        let allocation = LayersAllocation::parse(&[0x10, 0x16, 0x14, 1, 2, 3, 4, 5]).unwrap();
        assert_eq!((allocation.stream, allocation.streams), (0, 2));
        let bitrates = allocation.layers.map(|layers| layers.map(|layer| layer.map(|layer| layer.bitrates)));
        assert_eq!(bitrates[0], [Some([1000, 0, 0, 0]), None, None, None]);
        assert_eq!(bitrates[1], [None, Some([2000, 3000, 0, 0]), Some([4000, 5000, 0, 0]), None]);
        assert_eq!(bitrates[2..], [[None; SIDE]; 2]);
        // Of three, the masks take two bytes; only the second sends.
        let allocation = LayersAllocation::parse(&[0x60, 0x01, 0x00, 0x00, 9, 1, 0, 0, 99, 25]).unwrap();
        assert_eq!(allocation.size(1), Some((257, 100, 25)));
        assert_eq!((allocation.size(0), allocation.size(2)), (None, None));
    }

    #[test]
    fn nothing_may_be_sent() {
        let allocation = LayersAllocation::parse(&[0]).unwrap();
        assert_eq!(allocation, LayersAllocation { streams: 1, ..LayersAllocation::default() });
    }

    #[test]
    fn a_value_that_ends_early_is_short() {
        for len in (0..SIMULCAST.len()).filter(|len| *len != 17) {
            assert_eq!(LayersAllocation::parse(&SIMULCAST[..len]), Err(Drop::Short), "{len} bytes");
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        assert_eq!(LayersAllocation::parse(&[0x41, 0, 1]), Err(Drop::Malformed), "the second of one stream");
        assert_eq!(LayersAllocation::parse(&[0x01, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1]), Err(Drop::Malformed));
        assert_eq!(LayersAllocation::parse(&[0x01, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0x1F]), Err(Drop::Malformed));
        assert!(LayersAllocation::parse(&[0x01, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F]).is_ok());
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(value in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(allocation) = LayersAllocation::parse(&value) {
                prop_assert!((1..=4).contains(&allocation.streams));
                for layer in allocation.layers.iter().flatten().flatten() {
                    prop_assert!((1..=4).contains(&layer.temporals));
                }
                prop_assert!(allocation.layers[allocation.streams..].iter().flatten().all(Option::is_none));
            }
        }

        #[test]
        fn damaged_values_never_panic(at in 0..SIMULCAST.len(), byte: u8, len in 0..=SIMULCAST.len()) {
            let mut value = SIMULCAST.to_vec();
            value[at] = byte;
            let _ = LayersAllocation::parse(&value[..len]);
        }
    }
}
