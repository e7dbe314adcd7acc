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
