//! Who watches: the streams of all video slots, and the feedback on them.

use std::time::{Duration, Instant};

use sfu::{
    MAX_DATAGRAM,
    rtp::{Header, extend_sequence},
    srtp::Outbound,
};

use super::{
    VideoStamp, VideoStatistics, feedback,
    frames::{Frames, Part},
    repair::{Arrival, Repair},
    rtp::transport_sequence,
    transport::{Arrivals, MAX_INFORMATION},
    vp8::Descriptor,
};
use crate::{
    Output,
    session::{Video, VideoSlot},
};

/// Between two requests for a key frame: more often, an encoder would not have answered the last one.
const KEY_FRAME_INTERVAL: Duration = Duration::from_millis(500);
/// Who cannot tell when packets came says how much it can take (REMB): so often, and as much as anybody sends.
const LIMIT_INTERVAL: Duration = Duration::from_secs(1);
const LIMIT: u64 = 20_000_000;
/// Streams that nobody announced are watched too, but not any number of them.
const MAX_STREAMS: usize = 64;
/// RFC 4588 §4: the original sequence number, before the payload.
const ORIGINAL: usize = 2;

struct Incoming {
    slot: VideoSlot,
    repair: Repair,
    frames: Frames,
    /// When a key frame was last asked for, and when one will be.
    last_request: Option<Instant>,
    next_request: Option<Instant>,
}

/// An opened packet of video, what it repairs put in its place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    /// Of the stream that it belongs to.
    pub ssrc: u32,
    /// In that stream.
    pub index: u64,
    /// Of the payload's bytes, how many are before the original's.
    pub before: usize,
}

pub(crate) struct Viewer {
    video: Video,
    streams: Vec<Incoming>,
    arrivals: Arrivals,
    /// When the next limit is to be told; None before there is anything to limit, and where arrivals are told.
    next_limit: Option<Instant>,
    /// Every packet of such a number is forgotten; and how many came.
    forgets: Option<u64>,
    count: u64,
    /// The last stream with a transport-wide number, which feedback names.
    media: u32,
}

impl Viewer {
    pub fn new(video: Video) -> Viewer {
        let streams = video.slots.iter().map(|slot| Incoming::new(*slot)).collect();
        Viewer { video, streams, arrivals: Arrivals::default(), next_limit: None, forgets: None, count: 0, media: 0 }
    }

    /// See [`crate::Client::forget_every`].
    pub fn forget_every(&mut self, packets: Option<u64>) {
        self.forgets = packets;
    }

    /// Is it video, by what was agreed on?
    pub fn takes(&self, header: &Header) -> bool {
        header.payload_type == self.video.payload_type || Some(header.payload_type) == self.video.rtx_payload_type
    }

    /// The server said that it sends this, or repairs with it.
    pub fn announced(&self, ssrc: u32) -> bool {
        self.video.slots.iter().any(|slot| slot.ssrc == ssrc || slot.rtx_ssrc == Some(ssrc))
    }

    /// An opened packet of video, with `length` bytes of payload. What it is when it was not there before.
    pub fn received(
        &mut self,
        now: Instant,
        arrival: Duration,
        header: &Header,
        index: u64,
        packet: &[u8],
        length: usize,
    ) -> Option<Seen> {
        if let Some(sequence) = transport_sequence(&self.video.extensions, header, packet) {
            self.arrivals.received(now, sequence, arrival);
            self.media = header.ssrc;
        } else if self.video.extensions.transport_cc.is_none() {
            self.media = header.ssrc;
            self.next_limit.get_or_insert(now);
        }
        let payload = packet.get(header.len..)?.get(..length)?;
        if Some(header.payload_type) == self.video.rtx_payload_type {
            let stream = self.streams.iter_mut().find(|stream| stream.slot.rtx_ssrc == Some(header.ssrc))?;
            // One without a payload is padding.
            let (original, payload) = payload.split_first_chunk::<ORIGINAL>()?;
            let index = extend_sequence(stream.repair.highest()?, u16::from_be_bytes(*original));
            let taken = stream.received(now, index, header.timestamp, payload);
            return taken.then_some(Seen { ssrc: stream.slot.ssrc, index, before: ORIGINAL });
        }
        let at = match self.streams.iter().position(|stream| stream.slot.ssrc == header.ssrc) {
            Some(at) => at,
            None if self.streams.len() < MAX_STREAMS => {
                self.streams.push(Incoming::new(VideoSlot { ssrc: header.ssrc, rtx_ssrc: None }));
                self.streams.len() - 1
            }
            None => return None,
        };
        self.count += 1;
        if self.forgets.is_some_and(|every| self.count.is_multiple_of(every)) {
            return None;
        }
        let taken = self.streams[at].received(now, index, header.timestamp, payload);
        taken.then_some(Seen { ssrc: header.ssrc, index, before: 0 })
    }

    pub fn due(&self) -> Option<Instant> {
        self.streams.iter().filter_map(Incoming::due).chain(self.arrivals.due()).chain(self.next_limit).min()
    }

    /// Send what feedback is due, from `sender`.
    pub fn poll(
        &mut self,
        now: Instant,
        round_trip: Option<Duration>,
        sender: u32,
        srtp: &mut Outbound,
        out: &mut impl Output,
    ) {
        if self.due().is_none_or(|due| now < due) {
            return;
        }
        let mut send = |fill: &dyn Fn(&mut [u8]) -> usize| {
            // Reduced-size (RFC 5506), which was offered.
            let mut compound = [0; MAX_DATAGRAM];
            let length = fill(&mut compound);
            let sealed = if length > 0 { srtp.protect_rtcp(&mut compound, length) } else { 0 };
            if sealed > 0 {
                out.send(&compound[..sealed]);
            }
        };
        let mut indices = Vec::new();
        for stream in &mut self.streams {
            indices.clear();
            stream.frames.statistics.nacked += stream.repair.ask(now, round_trip, &mut indices);
            stream.advance(now);
            if !indices.is_empty() {
                send(&|compound| feedback::nack(compound, sender, stream.slot.ssrc, &indices));
            }
            if stream.next_request.is_some_and(|next| next <= now) {
                (stream.last_request, stream.next_request) = (Some(now), Some(now + KEY_FRAME_INTERVAL));
                stream.frames.statistics.asked += 1;
                send(&|compound| feedback::pli(compound, sender, stream.slot.ssrc));
            }
        }
        if self.next_limit.is_some_and(|next| next <= now) {
            self.next_limit = Some(now + LIMIT_INTERVAL);
            send(&|compound| feedback::limit(compound, sender, self.media, LIMIT));
        }
        let mut information = [0; MAX_INFORMATION];
        let length = self.arrivals.write(now, &mut information);
        if length > 0 {
            send(&|compound| feedback::arrivals(compound, sender, self.media, &information[..length]));
        }
    }

    pub fn statistics(&self) -> Vec<VideoStatistics> {
        let statistics =
            |stream: &Incoming| VideoStatistics { ssrc: stream.slot.ssrc, ..stream.frames.statistics.clone() };
        self.streams.iter().map(statistics).collect()
    }
}

impl Incoming {
    fn new(slot: VideoSlot) -> Incoming {
        Incoming { slot, repair: Repair::default(), frames: Frames::default(), last_request: None, next_request: None }
    }

    /// Was it new?
    fn received(&mut self, now: Instant, index: u64, timestamp: u32, payload: &[u8]) -> bool {
        let statistics = &mut self.frames.statistics;
        match self.repair.arrived(now, index) {
            Arrival::Needless => {
                statistics.needless += 1;
                return false;
            }
            Arrival::Found(Some(after)) => {
                statistics.repaired += 1;
                statistics.repair += after;
            }
            Arrival::Found(None) | Arrival::New => {}
        }
        statistics.packets += 1;
        statistics.bytes += payload.len() as u64;
        let (stamp, descriptor) = (VideoStamp::read(payload), Descriptor::read(payload));
        self.frames.arrived(index, Part { timestamp, stamp, descriptor });
        self.advance(now);
        true
    }

    fn advance(&mut self, now: Instant) {
        self.frames.advance(now, &self.repair);
        self.next_request = match (self.frames.wants_key, self.next_request) {
            (true, None) => Some(self.last_request.map_or(now, |last| now.max(last + KEY_FRAME_INTERVAL))),
            (true, planned) => planned,
            (false, _) => None,
        };
    }

    fn due(&self) -> Option<Instant> {
        self.repair.due().into_iter().chain(self.next_request).min()
    }
}
