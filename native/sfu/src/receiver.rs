//! What a peer receives into: its slots, each one RTP stream whose sequence never shows what we left out and always shows
//! what the network lost.

use std::time::{Duration, Instant};

use crate::history::Kept;
use crate::red::Red;
use crate::repair::Repairs;
use crate::rtp::{AudioLevel, OutgoingHeader, extend_sequence};
use crate::srtp::Outbound;
use crate::timeline::FRAME;
use crate::{MAX_DATAGRAM, SlotConfig};

/// A receiver with fewer slots than the room hears the next voice in a slot whose voice paused for this long.
const YIELD_AFTER: Duration = Duration::from_millis(300);
/// The most lost packets that a receiver is shown, 5 s of audio. A source that leaps further would take the receiver's
/// rollover counter along in a few packets, and a receiver that misses those could open nothing ever after (RFC 3711
/// §3.3.1).
const MAX_HOLE: i64 = 256;

/// 20 ms of digital silence (RFC 6716 §3.1: CELT, fullband, mono, one frame).
const OPUS_SILENCE: &[u8] = &[0xF8, 0xFF, 0xFE];

/// Which content of the room a stream carries: a room slot and its epoch.
pub(crate) type Content = (usize, u32);

pub(crate) struct Stream {
    config: SlotConfig,
    /// The room slot it follows.
    follows: Option<usize>,
    content: Option<Content>,
    /// Whose it is.
    csrc: u32,
    segment: u32,
    /// Outgoing minus incoming packet index, for this segment of this content.
    shift: i64,
    /// Incoming index of the first packet of this segment; older ones belong to nobody here.
    first: u64,
    /// Outgoing index of the packet at which this segment began.
    joined: u64,
    /// Room timestamp of the first packet of this content: RED reaches no further back.
    since: u32,
    /// Outgoing index (ROC and sequence number) of the newest packet.
    last: u64,
    /// Outgoing minus room timestamp, for this content: 0 but where the room slots of two contents disagree.
    delay: u32,
    stamp: u32,
    last_voice: Option<Instant>,
    pub(crate) packets: u32,
    pub(crate) octets: u32,
    pub(crate) reported: u32,
    /// As the client's latest report says (RFC 3550 §6.4.1).
    pub(crate) lost: i32,
}

/// One packet to forward, the same for every receiver.
pub(crate) struct Forward<'a> {
    pub(crate) now: Instant,
    pub(crate) content: Content,
    pub(crate) segment: u32,
    pub(crate) csrc: Option<u32>,
    /// Incoming index (ROC and sequence number); None for our own silence, which follows what was sent last.
    pub(crate) index: Option<u64>,
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    pub(crate) level: Option<AudioLevel>,
    pub(crate) voice: bool,
    pub(crate) red: Option<Red>,
    pub(crate) payload: &'a [u8],
    /// The content is over with this packet.
    pub(crate) ends: bool,
}

impl Forward<'static> {
    /// One frame of our own silence after `content`.
    pub(crate) fn silence(now: Instant, content: Content, timestamp: u32, ends: bool) -> Self {
        Self {
            now,
            content,
            segment: 0,
            csrc: None,
            index: None,
            timestamp,
            marker: false,
            level: None,
            voice: false,
            red: None,
            payload: OPUS_SILENCE,
            ends,
        }
    }
}

/// What of a packet is written into each receiver's.
struct Body<'a> {
    timestamp: u32,
    marker: bool,
    csrc: Option<u32>,
    level: Option<AudioLevel>,
    red: Option<&'a Red>,
    payload: &'a [u8],
}

impl Stream {
    fn new(config: SlotConfig, first_sequence: u16, follows: Option<usize>) -> Self {
        Self {
            config,
            follows,
            content: None,
            csrc: 0,
            segment: 0,
            shift: 0,
            first: 0,
            joined: 0,
            since: 0,
            // RFC 3711 §3.3.1 and libsrtp's habit: begin in the lower half, so that early loss cannot hide a rollover.
            last: u64::from(first_sequence & 0x7FFF),
            delay: 0,
            stamp: 0,
            last_voice: None,
            packets: 0,
            octets: 0,
            reported: 0,
            lost: 0,
        }
    }

    pub(crate) fn ssrc(&self) -> u32 {
        self.config.ssrc
    }

    pub(crate) fn follows(&self) -> Option<usize> {
        self.follows
    }

    /// Who is heard in it; 0: nobody.
    pub(crate) fn csrc(&self) -> u32 {
        if self.content.is_some() { self.csrc } else { 0 }
    }

    pub(crate) fn content(&self) -> Option<Content> {
        self.content
    }

    /// The newest RTP timestamp sent.
    pub(crate) fn stamp(&self) -> u32 {
        self.stamp
    }

    /// In the room slot's timeline, the frame after the newest.
    pub(crate) fn next_frame(&self) -> u32 {
        self.stamp.wrapping_sub(self.delay).wrapping_add(FRAME)
    }

    /// This stream's RTP timestamp for `at` in the room slot's timeline.
    pub(crate) fn stamp_of(&self, at: u32) -> u32 {
        at.wrapping_add(self.delay)
    }

    /// The outgoing index of a packet; None when it is from before this stream joined the content. The flag says that
    /// content begins here.
    fn place(&mut self, packet: &Forward<'_>) -> Option<(u64, bool)> {
        let Some(index) = packet.index else {
            self.last += 1;
            return Some((self.last, false));
        };
        let begins = self.content != Some(packet.content);
        let joins =
            !begins && (self.segment != packet.segment || index as i64 + self.shift > self.last as i64 + MAX_HOLE);
        if begins || joins {
            if joins && index < self.first {
                return None; // of the segment before, overtaken by this one
            }
            self.first = index;
            self.shift = (self.last + 1) as i64 - index as i64;
            self.segment = packet.segment;
            self.joined = self.last + 1;
        }
        if begins {
            self.content = Some(packet.content);
            self.csrc = packet.csrc.unwrap_or(0);
            self.since = packet.timestamp;
            let step = packet.timestamp.wrapping_sub(self.stamp) as i32;
            let ahead = self.packets > 0 && step < FRAME as i32;
            self.delay = if ahead { FRAME.wrapping_sub(step as u32) } else { 0 };
        } else if index < self.first {
            return None;
        }
        let out = (index as i64 + self.shift) as u64;
        self.last = self.last.max(out);
        Some((out, begins))
    }

    /// Write and seal the packet with the number `out_index`: twice the same bytes for the same packet of the same
    /// segment, for one (key, SSRC, index) must never seal two.
    fn seal(&self, body: &Body<'_>, out_index: u64, srtp: &Outbound, out: &mut [u8; MAX_DATAGRAM]) -> usize {
        // What RED repeats from before the content's beginning belongs to somebody else's time.
        let red = body.red.zip(self.config.red_payload_type);
        let red = red.filter(|(red, _)| body.timestamp.wrapping_sub(self.since) >= red.reach);
        let payload = match (body.red, red) {
            (Some(stripped), None) => &body.payload[stripped.primary.clone()],
            _ => body.payload,
        };
        let header = OutgoingHeader {
            payload_type: red.map_or(self.config.payload_type, |(_, payload_type)| payload_type),
            marker: body.marker || out_index == self.joined,
            sequence: out_index as u16,
            timestamp: self.stamp_of(body.timestamp),
            ssrc: self.config.ssrc,
            csrc: body.csrc,
            level: self.config.level_extension.zip(body.level),
        };
        let header_len = header.write(out);
        let len = header_len + payload.len();
        out[header_len..len].copy_from_slice(payload);
        if let Some((red, _)) = red {
            red.rename(&mut out[header_len..len], self.config.payload_type);
        }
        srtp.protect(out_index, out, header_len, len)
    }

    fn write(&mut self, packet: &Forward<'_>, out_index: u64, srtp: &Outbound, out: &mut [u8; MAX_DATAGRAM]) -> usize {
        let timestamp = self.stamp_of(packet.timestamp);
        if self.packets == 0 || timestamp.wrapping_sub(self.stamp) as i32 > 0 {
            self.stamp = timestamp;
        }
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(packet.payload.len() as u32);
        let body = Body {
            timestamp: packet.timestamp,
            marker: packet.marker,
            csrc: packet.csrc,
            level: packet.level,
            red: packet.red.as_ref(),
            payload: packet.payload,
        };
        self.seal(&body, out_index, srtp, out)
    }

    /// The packet that a client missed: where it is in the history of its room slot (content, segment, incoming index),
    /// and the number it was sent under. None when nothing of the present segment was sent under that number.
    fn missed(&self, sequence: u16) -> Option<(Content, u32, u64, u64)> {
        let content = self.content?;
        let out = extend_sequence(self.last, sequence);
        if out < self.joined || out > self.last {
            return None;
        }
        Some((content, self.segment, (out as i64 - self.shift) as u64, out))
    }
}

pub(crate) struct Receiver {
    pub(crate) streams: Vec<Stream>,
    /// Has it a stream for every room slot? Then stream i follows slot i and nothing is ever decided per packet.
    whole: bool,
    /// For those that may ask for packets again.
    repairs: Option<Box<Repairs>>,
}

/// What forwarding to one receiver came to.
pub(crate) struct Sent {
    pub(crate) stream: usize,
    pub(crate) begins: bool,
    pub(crate) timestamp: u32,
    pub(crate) len: usize,
}

impl Receiver {
    pub(crate) fn new(
        now: Instant,
        slots: Vec<SlotConfig>,
        room_slots: usize,
        mut sequence: impl FnMut() -> u16,
    ) -> Self {
        let whole = slots.len() >= room_slots;
        let repairs = slots.iter().any(|slot| slot.nack).then(|| Box::new(Repairs::new(now)));
        let streams = slots
            .into_iter()
            .enumerate()
            .map(|(i, config)| Stream::new(config, sequence(), (whole && i < room_slots).then_some(i)))
            .collect();
        Self { streams, whole, repairs }
    }

    /// It needs no word of who is in which slot but the room's own.
    pub(crate) fn is_whole(&self) -> bool {
        self.whole
    }

    pub(crate) fn is_repairable(&self) -> bool {
        self.repairs.is_some()
    }

    /// The stream that carries the packet, chosen by who is talking when there are fewer streams than room slots. Our own
    /// silence goes where its content went.
    fn stream_for(&mut self, packet: &Forward<'_>) -> Option<usize> {
        if packet.index.is_none() {
            return self.carrying(packet.content);
        }
        let slot = packet.content.0;
        if self.whole {
            return Some(slot);
        }
        let following = self.streams.iter().position(|each| each.follows == Some(slot));
        let chosen = following.or_else(|| {
            if !packet.voice {
                return None;
            }
            let quiet = |each: &Stream| match each.last_voice {
                Some(at) => packet.now.saturating_duration_since(at),
                None => Duration::MAX,
            };
            let (index, longest) = self.streams.iter().map(quiet).enumerate().max_by_key(|(_, quiet)| *quiet)?;
            let yields = self.streams[index].follows.is_none() || longest >= YIELD_AFTER;
            yields.then_some(index)
        })?;
        let stream = &mut self.streams[chosen];
        stream.follows = Some(slot);
        if packet.voice {
            stream.last_voice = Some(packet.now);
        }
        Some(chosen)
    }

    /// Rewrite and seal one packet into `out`. None: nothing for this receiver.
    pub(crate) fn forward(
        &mut self,
        packet: &Forward<'_>,
        srtp: &Outbound,
        out: &mut [u8; MAX_DATAGRAM],
    ) -> Option<Sent> {
        let index = self.stream_for(packet)?;
        let stream = &mut self.streams[index];
        let (out_index, begins) = stream.place(packet)?;
        let len = stream.write(packet, out_index, srtp, out);
        Some(Sent { stream: index, begins, timestamp: stream.stamp_of(packet.timestamp), len })
    }

    /// A client asks for `sequence` of its stream `ssrc` again: which packet that would be.
    pub(crate) fn missed(&self, ssrc: u32, sequence: u16) -> Option<Missed> {
        let stream = self.streams.iter().position(|stream| stream.config.ssrc == ssrc && stream.config.nack)?;
        let (content, segment, index, out_index) = self.streams[stream].missed(sequence)?;
        Some(Missed { stream, content, segment, index, out_index })
    }

    /// May it have that packet now? Counts it as an answer.
    pub(crate) fn may_repair(&mut self, now: Instant, missed: &Missed) -> bool {
        let ssrc = self.streams[missed.stream].config.ssrc;
        self.repairs.as_mut().is_some_and(|repairs| repairs.admits(now, ssrc, missed.out_index))
    }

    /// Make the packet once more, byte for byte. It counts as sent (RFC 3550 §6.4.1: packets transmitted).
    pub(crate) fn resend(
        &mut self,
        missed: &Missed,
        kept: &Kept,
        payload: &[u8],
        srtp: &Outbound,
        out: &mut [u8; MAX_DATAGRAM],
    ) -> usize {
        let stream = &mut self.streams[missed.stream];
        stream.packets = stream.packets.wrapping_add(1);
        stream.octets = stream.octets.wrapping_add(payload.len() as u32);
        let red = kept.red.and_then(|opus| Red::parse(payload, opus).ok());
        let body = Body {
            timestamp: kept.timestamp,
            marker: kept.marker,
            csrc: Some(stream.csrc),
            level: kept.level,
            red: red.as_ref(),
            payload,
        };
        stream.seal(&body, missed.out_index, srtp, out)
    }

    pub(crate) fn carrying(&self, content: Content) -> Option<usize> {
        self.streams.iter().position(|each| each.content == Some(content))
    }

    /// The content is over: what comes next in this slot begins anew.
    pub(crate) fn end(&mut self, content: Content) {
        for stream in &mut self.streams {
            if stream.content == Some(content) {
                stream.content = None;
                stream.last_voice = None;
                if !self.whole {
                    stream.follows = None;
                }
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }
}

/// A packet that a client asked for again.
pub(crate) struct Missed {
    stream: usize,
    pub(crate) content: Content,
    pub(crate) segment: u32,
    pub(crate) index: u64,
    out_index: u64,
}
