//! One video slot: a fixed RTP stream, and its repair stream (RFC 4588), to one receiver.

use std::time::{Duration, Instant};

use super::Codec;
use super::cache::Packet;
use super::caution::Caution;
use super::dependency::set_frame_number;
use super::glance::renumber;
use super::header::Head;
use super::switch::{Level, Place, Switch};
use crate::rtp::extend_sequence;
use crate::srtp::Outbound;
use crate::{Extensions, Limit, MAX_DATAGRAM, TrackKey, VideoSlotConfig};

/// Packets whose numbers are remembered, for those that a receiver asks for again: two seconds of 2.5 Mb/s.
const REMEMBERED: usize = 512;
/// SRTP's tag at most.
pub(crate) const TAG: usize = 16;
/// RFC 3550 §5.1: padding is counted by one byte.
const MAX_PADDING: usize = 255;

/// A packet that has its place in a stream, wherever its payload is.
#[derive(Clone, Copy)]
pub(crate) struct Placed {
    pub(crate) track: TrackKey,
    pub(crate) encoding: u8,
    pub(crate) codec: Codec,
    /// Incoming index; None: an empty packet that keeps the count right.
    pub(crate) index: Option<u64>,
    pub(crate) place: Place,
}

struct Record {
    placed: Placed,
    repeated: Option<Instant>,
}

/// What a client was last told of a slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) csrc: u32,
    pub(crate) level: Option<Level>,
    pub(crate) limit: Option<Limit>,
}

pub(crate) struct VideoStream {
    pub(crate) config: VideoSlotConfig,
    /// Of what the client wishes to see here, while that is in the room.
    pub(crate) track: Option<TrackKey>,
    pub(crate) csrc: u32,
    pub(crate) switch: Switch,
    pub(crate) caution: Caution,
    /// RFC 4588 §4: a sequence of its own.
    rtx_last: u64,
    records: Vec<Option<Record>>,
    /// Outgoing index of the newest packet that left.
    sent: Option<u64>,
    /// Outgoing index of the first packet of what is shown now: with its key frame a decoder needs nothing older.
    pub(crate) begun: u64,
    pub(crate) packets: u32,
    pub(crate) octets: u32,
    pub(crate) reported: u32,
    /// As the client's latest report says (RFC 3550 §6.4.1).
    pub(crate) lost: i32,
    pub(crate) limit: Option<Limit>,
    /// What it carries whatever the path and the wish are: for replays.
    pub(crate) pinned: Option<Level>,
    pub(crate) told: Told,
    /// It has shown something: padding may be sent on its repair stream.
    pub(crate) has_begun: bool,
}

/// What a sealed packet needs of its peer.
pub(crate) struct Sealing<'a> {
    pub(crate) ids: &'a Extensions,
    pub(crate) srtp: &'a Outbound,
    /// It carries transport-wide sequence numbers.
    pub(crate) transport_cc: bool,
}

impl VideoStream {
    pub(crate) fn new(config: VideoSlotConfig, first: u16, first_rtx: u16) -> Self {
        Self {
            config,
            track: None,
            csrc: 0,
            switch: Switch::new(first),
            caution: Caution::default(),
            rtx_last: u64::from(first_rtx & 0x7FFF),
            records: Vec::new(),
            sent: None,
            begun: 0,
            packets: 0,
            octets: 0,
            reported: 0,
            lost: 0,
            limit: None,
            pinned: None,
            told: Told::default(),
            has_begun: false,
        }
    }

    /// Its payload types of a codec: media, and repair.
    pub(crate) fn payload_types(&self, codec: Codec) -> Option<(u8, Option<u8>)> {
        let known = self.config.codecs.iter().find(|each| each.codec == codec)?;
        Some((known.payload_type, known.rtx_payload_type))
    }

    /// Remember what has this number.
    pub(crate) fn record(&mut self, placed: Placed) {
        if self.records.is_empty() {
            self.records.resize_with(REMEMBERED, || None);
        }
        let at = (placed.place.out_index % REMEMBERED as u64) as usize;
        self.records[at] = Some(Record { placed, repeated: None });
    }

    /// Nothing of what it carries is worth a repair: the path does not carry that, and a key frame of less is to follow.
    pub(crate) fn gives_up(&self) -> bool {
        self.limit == Some(Limit::Bandwidth) && self.switch.goes_down()
    }

    /// The client asks for `sequence` again: what that was, if it ever left, is of what is shown now, and has not been
    /// repeated a moment ago.
    pub(crate) fn missed(&mut self, now: Instant, sequence: u16, again_after: Duration) -> Option<Placed> {
        let index = extend_sequence(self.sent?, sequence);
        if index > self.sent? || index < self.begun {
            return None;
        }
        let record = self.records.get_mut((index % REMEMBERED as u64) as usize)?.as_mut()?;
        let recent = record.repeated.is_some_and(|at| now.saturating_duration_since(at) < again_after);
        if record.placed.place.out_index != index || recent {
            return None;
        }
        record.repeated = Some(now);
        Some(record.placed)
    }

    /// Write and seal a packet. `number` is given the sealed length and gives its transport-wide sequence number.
    /// Returns the sealed length; 0: it cannot be sent.
    pub(crate) fn seal(
        &mut self,
        placed: &Placed,
        packet: Option<&Packet>,
        with: &Sealing<'_>,
        number: impl FnOnce(usize) -> u16,
        out: &mut [u8; MAX_DATAGRAM],
    ) -> usize {
        let Some((payload_type, _)) = self.payload_types(placed.codec) else { return 0 };
        let out_index = placed.place.out_index;
        let head = Head {
            payload_type,
            marker: placed.place.marker,
            padding: packet.is_none(),
            sequence: out_index as u16,
            timestamp: placed.place.timestamp,
            ssrc: self.config.ssrc,
            csrc: Some(self.csrc).filter(|csrc| *csrc != 0),
        };
        let len = finish(&head, placed, packet, None, with, number, out_index, out);
        if len > 0 {
            self.sent = self.sent.max(Some(out_index));
            self.packets = self.packets.wrapping_add(1);
            self.octets = self.octets.wrapping_add(packet.map_or(0, |packet| packet.payload().len() as u32));
            self.has_begun = true;
        }
        len
    }

    /// The same once more (RFC 4588 §4).
    pub(crate) fn seal_repeat(
        &mut self,
        placed: &Placed,
        packet: &Packet,
        with: &Sealing<'_>,
        number: impl FnOnce(usize) -> u16,
        out: &mut [u8; MAX_DATAGRAM],
    ) -> usize {
        let Some((_, Some(payload_type))) = self.payload_types(placed.codec) else { return 0 };
        self.rtx_last += 1;
        let head = Head {
            payload_type,
            marker: placed.place.marker,
            padding: false,
            sequence: self.rtx_last as u16,
            timestamp: placed.place.timestamp,
            ssrc: self.config.rtx_ssrc,
            csrc: Some(self.csrc).filter(|csrc| *csrc != 0),
        };
        let original = Some(placed.place.out_index as u16);
        finish(&head, placed, Some(packet), original, with, number, self.rtx_last, out)
    }

    /// Nothing but bytes, on the repair stream, to see whether the path carries them.
    pub(crate) fn seal_padding(
        &mut self,
        with: &Sealing<'_>,
        number: impl FnOnce(usize) -> u16,
        out: &mut [u8; MAX_DATAGRAM],
    ) -> usize {
        let Some(payload_type) = self.config.codecs.iter().find_map(|codec| codec.rtx_payload_type) else { return 0 };
        self.rtx_last += 1;
        let head = Head {
            payload_type,
            marker: false,
            padding: true,
            sequence: self.rtx_last as u16,
            timestamp: self.switch.newest_stamp().unwrap_or(0),
            ssrc: self.config.rtx_ssrc,
            csrc: None,
        };
        let Some(written) = head.write(&mut out[..], with.ids, None, with.transport_cc) else { return 0 };
        let len = written.len + MAX_PADDING;
        out[written.len..len].fill(0);
        out[len - 1] = MAX_PADDING as u8;
        stamp(out, written.transport, number(len + TAG));
        with.srtp.protect(self.rtx_last, out, written.len, len)
    }
}

fn stamp(out: &mut [u8; MAX_DATAGRAM], at: Option<usize>, number: u16) {
    if let Some(at) = at {
        out[at..at + 2].copy_from_slice(&number.to_be_bytes());
    }
}

#[allow(clippy::too_many_arguments, reason = "one place for what media and repair have in common")]
fn finish(
    head: &Head,
    placed: &Placed,
    packet: Option<&Packet>,
    original: Option<u16>,
    with: &Sealing<'_>,
    number: impl FnOnce(usize) -> u16,
    index: u64,
    out: &mut [u8; MAX_DATAGRAM],
) -> usize {
    let elements = packet.map(Packet::elements);
    let Some(written) = head.write(&mut out[..MAX_DATAGRAM - TAG], with.ids, elements, with.transport_cc) else {
        return 0;
    };
    let mut at = written.len;
    if let Some(original) = original {
        let Some(place) = out.get_mut(at..at + 2) else { return 0 };
        place.copy_from_slice(&original.to_be_bytes());
        at += 2;
    }
    let len = match packet {
        Some(packet) => {
            let payload = packet.payload();
            let end = at + payload.len();
            if end + TAG > MAX_DATAGRAM {
                return 0;
            }
            out[at..end].copy_from_slice(payload);
            match written.descriptor {
                Some((from, to)) => {
                    if let Some(frame) = placed.place.numbers.frame {
                        set_frame_number(&mut out[from..to], frame);
                    }
                }
                // Its payload is only ever read, and written, where there is no descriptor.
                None if !packet.described => renumber(placed.codec, &mut out[at..end], &placed.place.numbers),
                None => {}
            }
            end
        }
        None => {
            // RFC 3550 §5.1: padding and nothing else.
            out[at] = 1;
            at + 1
        }
    };
    stamp(out, written.transport, number(len + TAG));
    with.srtp.protect(index, out, written.len, len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::video::Numbers;

    #[test]
    fn what_was_shown_before_is_not_repaired_and_neither_is_what_never_left() {
        let now = Instant::now();
        let mut stream = VideoStream::new(VideoSlotConfig { ssrc: 1, rtx_ssrc: 2, codecs: Vec::new() }, 0, 0);
        for out_index in 10..20 {
            let place = Place { out_index, timestamp: 0, marker: false, numbers: Numbers::default() };
            let (track, codec) = (TrackKey::default(), Codec::Vp8);
            stream.record(Placed { track, encoding: 0, codec, index: Some(1), place });
        }
        (stream.begun, stream.sent) = (14, Some(17));
        let repaired: Vec<u16> = (10..20).filter(|each| stream.missed(now, *each, Duration::ZERO).is_some()).collect();
        assert_eq!(repaired, [14, 15, 16, 17]);
    }
}
