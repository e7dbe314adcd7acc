//! The header of a packet of video as a receiver gets it: its own extension ids, and what the publisher said.

use super::cache::{Elements, Passed};
use crate::Extensions;

/// RFC 8285 §4.2 and §4.3.
const ONE_BYTE: u16 = 0xBEDE;
const TWO_BYTE: u16 = 0x1000;

pub(crate) struct Head {
    pub(crate) payload_type: u8,
    pub(crate) marker: bool,
    pub(crate) padding: bool,
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    pub(crate) ssrc: u32,
    pub(crate) csrc: Option<u32>,
}

/// What was written.
pub(crate) struct Written {
    pub(crate) len: usize,
    /// Where the transport-wide sequence number goes.
    pub(crate) transport: Option<usize>,
    /// Where the dependency descriptor is.
    pub(crate) descriptor: Option<(usize, usize)>,
}

fn id_of(ids: &Extensions, element: Passed) -> Option<u8> {
    match element {
        Passed::DependencyDescriptor => ids.dependency_descriptor,
        Passed::AbsCaptureTime => ids.abs_capture_time,
        Passed::PlayoutDelay => ids.playout_delay,
        Passed::LayersAllocation => ids.video_layers_allocation,
        Passed::Orientation => ids.video_orientation,
    }
}

impl Head {
    /// Write header and extensions. None: they do not fit.
    pub(crate) fn write(
        &self,
        out: &mut [u8],
        ids: &Extensions,
        elements: Option<Elements<'_>>,
        transport_cc: bool,
    ) -> Option<Written> {
        let fixed = 12 + 4 * usize::from(self.csrc.is_some());
        let head = out.get_mut(..fixed)?;
        head[0] = 0x80 | u8::from(self.padding) << 5 | u8::from(self.csrc.is_some());
        head[1] = u8::from(self.marker) << 7 | self.payload_type & 0x7F;
        head[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        head[4..8].copy_from_slice(&self.timestamp.to_be_bytes());
        head[8..12].copy_from_slice(&self.ssrc.to_be_bytes());
        if let Some(csrc) = self.csrc {
            head[12..].copy_from_slice(&csrc.to_be_bytes());
        }
        let known =
            elements.map(|elements| elements.filter_map(|(kind, value)| Some((kind, id_of(ids, kind)?, value))));
        let known = known.into_iter().flatten();
        // The one-byte form has no empty elements and none of more than sixteen bytes.
        let wide = known.clone().any(|(_, _, value)| !(1..=16).contains(&value.len()));
        let start = fixed + 4;
        let mut at = start;
        let mut transport = None;
        let mut descriptor = None;
        let mut put = |out: &mut [u8], id: u8, value: &[u8]| -> Option<usize> {
            let value_at = at + if wide { 2 } else { 1 };
            let end = value_at + value.len();
            let place = out.get_mut(at..end)?;
            if wide {
                place[..2].copy_from_slice(&[id, value.len() as u8]);
            } else {
                place[0] = id << 4 | (value.len() - 1) as u8;
            }
            place[value_at - at..].copy_from_slice(value);
            at = end;
            Some(value_at)
        };
        if let Some(id) = ids.transport_cc.filter(|_| transport_cc) {
            transport = Some(put(out, id, &[0, 0])?);
        }
        for (kind, id, value) in known {
            let value_at = put(out, id, value)?;
            if kind == Passed::DependencyDescriptor {
                descriptor = Some((value_at, value_at + value.len()));
            }
        }
        if at == start {
            return Some(Written { len: fixed, transport: None, descriptor: None });
        }
        let end = start + (at - start).next_multiple_of(4);
        out.get_mut(at..end)?.fill(0);
        let profile = if wide { TWO_BYTE } else { ONE_BYTE };
        out[fixed..fixed + 2].copy_from_slice(&profile.to_be_bytes());
        out[fixed + 2..start].copy_from_slice(&(((end - start) / 4) as u16).to_be_bytes());
        out[0] |= 0x10;
        Some(Written { len: end, transport, descriptor })
    }
}
