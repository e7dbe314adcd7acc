//! RTCP in and out: sender reports per stream, receiver reports about what a peer sends (RFC 3550 §6.4).

use std::time::{Duration, Instant};

use slotmap::SlotMap;

use crate::peer::Peer;
use crate::room::Room;
use crate::rtcp::{Packet, ReportBlock, SenderInfo, Writer};
use crate::timeline::CLOCK_RATE;
use crate::video::{Track, feedback};
use crate::{MAX_DATAGRAM, MAX_VIDEO_SOURCES, TrackKey};

/// Between two reports of one peer. RFC 3550 §6.2 would allow 5 s at voice rates; browsers send every second, and
/// lip-sync and round-trip times are as fresh as the reports are.
pub(crate) const INTERVAL: Duration = Duration::from_secs(1);

/// Reports on what a peer sends: microphone, screen sound, and each encoding of its videos.
const MAX_BLOCKS: usize = 2 + MAX_VIDEO_SOURCES * crate::video::MAX_ENCODINGS;

/// Seconds from 1900 (NTP) to 1970 (Unix).
const NTP_EPOCH: u64 = 2_208_988_800;

/// Wall clock by reckoning: read once at the start, moved by the monotonic clock.
#[derive(Clone, Copy)]
pub(crate) struct Clock {
    base: Instant,
    wall: Duration,
    /// RTP timestamp of `base`.
    offset: u32,
}

impl Clock {
    pub(crate) fn new(base: Instant, wall: Duration, offset: u32) -> Self {
        Self { base, wall, offset }
    }

    /// The node's clock as RTP has it, at [`CLOCK_RATE`].
    pub(crate) fn ticks(&self, now: Instant) -> u32 {
        let since = now.saturating_duration_since(self.base);
        let ticks = since.as_secs() * u64::from(CLOCK_RATE) + u64::from(since.subsec_nanos()) * 6 / 125_000;
        self.offset.wrapping_add(ticks as u32)
    }

    /// The same at another rate, in Hz.
    pub(crate) fn ticks_at(&self, now: Instant, rate: u32) -> u32 {
        let micros = now.saturating_duration_since(self.base).as_micros();
        self.offset.wrapping_add((micros * u128::from(rate) / 1_000_000) as u32)
    }

    pub(crate) fn base(&self) -> Instant {
        self.base
    }

    /// RFC 3550 §4: 32.32 fixed point seconds since 1900.
    pub(crate) fn ntp(&self, now: Instant) -> u64 {
        let since_epoch = self.wall + now.saturating_duration_since(self.base);
        let fraction = (u64::from(since_epoch.subsec_nanos()) << 32) / 1_000_000_000;
        ((since_epoch.as_secs() + NTP_EPOCH) << 32) | fraction
    }

    /// The middle 32 bits, in units of 1/65536 s.
    pub(crate) fn ntp_middle(&self, now: Instant) -> u32 {
        (self.ntp(now) >> 16) as u32
    }
}

/// One compound packet: a sender report for each stream that sent since the last one, the report on the peer's source
/// in the first of them, and a CNAME. Returns the plaintext length; 0 when there is nothing to say.
pub(crate) fn write(
    peer: &mut Peer,
    room: &Room,
    tracks: &SlotMap<TrackKey, Track>,
    clock: Clock,
    now: Instant,
    out: &mut [u8; MAX_DATAGRAM],
) -> usize {
    let middle = clock.ntp_middle(now);
    let mut all = [ReportBlock::default(); MAX_BLOCKS];
    let mut places = all.iter_mut();
    let mut count = 0;
    for source in peer.sources_mut() {
        let block = source.ssrc().and_then(|ssrc| source.reception.report_block(ssrc, middle));
        if let Some((place, block)) = places.next().zip(block) {
            *place = block;
            count += 1;
        }
    }
    for (place, block) in places.zip(feedback::blocks(peer, middle)) {
        *place = block;
        count += 1;
    }
    let mut blocks = &all[..count];
    let mut writer = Writer::new(&mut out[..]);
    let mut first = None;
    for stream in &mut peer.receiver.streams {
        let Some(slot) = stream.follows().and_then(|slot| room.slots.get(slot)) else {
            continue;
        };
        if stream.packets == stream.reported {
            continue;
        }
        stream.reported = stream.packets;
        let info = SenderInfo {
            ntp: clock.ntp(now),
            rtp_timestamp: stream.stamp_of(slot.timeline.at(clock.ticks(now))),
            packets: stream.packets,
            octets: stream.octets,
        };
        if writer.sender_report(stream.ssrc(), info, blocks).is_err() {
            break;
        }
        blocks = &[];
        first = first.or(Some(stream.ssrc()));
    }
    if let Some(video) = peer.video.as_deref_mut() {
        for (ssrc, info) in feedback::sender_reports(video, tracks, clock, now) {
            if writer.sender_report(ssrc, info, blocks).is_err() {
                break;
            }
            blocks = &[];
            first = first.or(Some(ssrc));
        }
    }
    let reporter = match (first, blocks.is_empty()) {
        (Some(ssrc), _) => ssrc,
        (None, true) => return 0,
        (None, false) => {
            let ssrc = peer.report_ssrc;
            if writer.receiver_report(ssrc, blocks).is_err() {
                return 0;
            }
            ssrc
        }
    };
    // What does not fit is left out: the reports stand without it (RFC 5506 §3.4.1).
    let _ = writer.sdes_cname(reporter, &peer.cname);
    writer.finish()
}

/// Take note of a packet of an authenticated compound. True: the peer's source said goodbye.
pub(crate) fn read(
    peer: &mut Peer,
    tracks: &mut SlotMap<TrackKey, Track>,
    packet: &Packet<'_>,
    clock: Clock,
    now: Instant,
) -> bool {
    match packet {
        Packet::SenderReport { ssrc, info, blocks } => {
            if let Some(source) = peer.sources_mut().find(|source| source.ssrc() == Some(*ssrc)) {
                source.reception.sender_report((info.ntp >> 16) as u32, clock.ntp_middle(now));
            }
            let _ = feedback::read_sender_report(peer, tracks, *ssrc, info, clock.ntp_middle(now));
            for block in blocks.clone() {
                round_trip(peer, &block, clock, now);
            }
            false
        }
        Packet::ReceiverReport { blocks, .. } => {
            for block in blocks.clone() {
                round_trip(peer, &block, clock, now);
            }
            false
        }
        Packet::Bye { ssrcs } => ssrcs.clone().any(|ssrc| peer.sources().any(|source| source.ssrc() == Some(ssrc))),
        _ => false,
    }
}

/// RFC 3550 §6.4.1: A − LSR − DLSR.
fn round_trip(peer: &mut Peer, block: &ReportBlock, clock: Clock, now: Instant) {
    let elapsed = clock.ntp_middle(now).wrapping_sub(block.last_sender_report);
    let ticks = elapsed.wrapping_sub(block.delay_since_last_sender_report) as i32;
    // A client may claim anything; a round trip of over a minute is not one.
    let is_one = block.last_sender_report != 0 && (0..60 << 16).contains(&ticks);
    let rtt = is_one.then_some(ticks as f32 / 65536.0);
    let of_audio = peer.receiver.streams.iter_mut().find(|stream| stream.ssrc() == block.ssrc);
    let of_ours = match (of_audio, peer.video.as_deref_mut()) {
        (Some(stream), _) => {
            stream.lost = block.cumulative_lost;
            true
        }
        (None, Some(video)) => feedback::read_block(video, now, block, rtt),
        (None, None) => false,
    };
    if let Some(rtt) = rtt.filter(|_| of_ours) {
        peer.rtt = rtt;
    }
}
