//! What a peer receives into: its slots, each one RTP stream whose sequence never shows what we left out and always shows
//! what the network lost.

use std::time::{Duration, Instant};

use crate::rtp::{AudioLevel, OutgoingHeader};
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
    /// Outgoing minus incoming packet index, for this content.
    shift: i64,
    /// Incoming index of the first packet of this content; older ones belong to nobody here.
    first: u64,
    /// Outgoing index (ROC and sequence number) of the newest packet.
    last: u64,
    /// Outgoing minus room timestamp, for this content: 0 but where the room slots of two contents disagree.
    delay: u32,
    stamp: u32,
    last_voice: Option<Instant>,
    pub(crate) packets: u32,
    pub(crate) octets: u32,
    pub(crate) reported: u32,
}

/// One packet to forward, the same for every receiver.
pub(crate) struct Forward<'a> {
    pub(crate) now: Instant,
    pub(crate) content: Content,
    pub(crate) csrc: Option<u32>,
    /// Incoming index (ROC and sequence number); None for our own silence, which follows what was sent last.
    pub(crate) index: Option<u64>,
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    pub(crate) level: Option<AudioLevel>,
    pub(crate) voice: bool,
    pub(crate) payload: &'a [u8],
}

impl Forward<'static> {
    /// One frame of our own silence after `content`.
    pub(crate) fn silence(now: Instant, content: Content, timestamp: u32) -> Self {
        Self {
            now,
            content,
            csrc: None,
            index: None,
            timestamp,
            marker: false,
            level: None,
            voice: false,
            payload: OPUS_SILENCE,
        }
    }
}

impl Stream {
    fn new(config: SlotConfig, first_sequence: u16, follows: Option<usize>) -> Self {
        Self {
            config,
            follows,
            content: None,
            shift: 0,
            first: 0,
            // RFC 3711 §3.3.1 and libsrtp's habit: begin in the lower half, so that early loss cannot hide a rollover.
            last: u64::from(first_sequence & 0x7FFF),
            delay: 0,
            stamp: 0,
            last_voice: None,
            packets: 0,
            octets: 0,
            reported: 0,
        }
    }

    pub(crate) fn ssrc(&self) -> u32 {
        self.config.ssrc
    }

    pub(crate) fn follows(&self) -> Option<usize> {
        self.follows
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
        let leaps = !begins && index as i64 + self.shift > self.last as i64 + MAX_HOLE;
        if begins || leaps {
            self.first = index;
            self.shift = (self.last + 1) as i64 - index as i64;
        }
        if begins {
            self.content = Some(packet.content);
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

    fn write(
        &mut self,
        packet: &Forward<'_>,
        out_index: u64,
        begins: bool,
        srtp: &Outbound,
        out: &mut [u8; MAX_DATAGRAM],
    ) -> usize {
        let timestamp = self.stamp_of(packet.timestamp);
        if self.packets == 0 || timestamp.wrapping_sub(self.stamp) as i32 > 0 {
            self.stamp = timestamp;
        }
        let header = OutgoingHeader {
            payload_type: self.config.payload_type,
            marker: packet.marker || begins,
            sequence: out_index as u16,
            timestamp,
            ssrc: self.config.ssrc,
            csrc: packet.csrc,
            level: self.config.level_extension.zip(packet.level),
        };
        let header_len = header.write(out);
        let len = header_len + packet.payload.len();
        out[header_len..len].copy_from_slice(packet.payload);
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(packet.payload.len() as u32);
        srtp.protect(out_index, out, header_len, len)
    }
}

pub(crate) struct Receiver {
    pub(crate) streams: Vec<Stream>,
    /// Has it a stream for every room slot? Then stream i follows slot i and nothing is ever decided per packet.
    whole: bool,
}

/// What forwarding to one receiver came to.
pub(crate) struct Sent {
    pub(crate) stream: usize,
    pub(crate) begins: bool,
    pub(crate) timestamp: u32,
    pub(crate) len: usize,
}

impl Receiver {
    pub(crate) fn new(slots: Vec<SlotConfig>, room_slots: usize, mut sequence: impl FnMut() -> u16) -> Self {
        let whole = slots.len() >= room_slots;
        let streams = slots
            .into_iter()
            .enumerate()
            .map(|(i, config)| Stream::new(config, sequence(), (whole && i < room_slots).then_some(i)))
            .collect();
        Self { streams, whole }
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
        let len = stream.write(packet, out_index, begins, srtp, out);
        Some(Sent { stream: index, begins, timestamp: stream.stamp_of(packet.timestamp), len })
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
