//! What clients say of video by RTCP: what they missed, cannot decode, and how fast it came; and what we say.

use std::time::{Duration, Instant};

use super::receiver::VideoReceiver;
use super::track::Track;
use crate::drops::Drop;
use crate::peer::Peer;
use crate::report::Clock;
use crate::rtcp::{self, ReportBlock, SenderInfo};
use crate::sfu::Sfu;
use crate::{Output, PeerKey, TrackKey};
use congestion::Bitrate;
use slotmap::SlotMap;

/// Packets looked for in one compound: what a second of a path that loses a tenth of 2.5 Mb/s would lack twice over.
const LOOKED_FOR: usize = 64;
/// A packet is repeated again only after this, or a round trip.
const AGAIN_AFTER: Duration = Duration::from_millis(20);

impl Sfu {
    /// Feedback of an authenticated compound. False: it is not about video.
    #[allow(clippy::too_many_arguments, reason = "the fields of one packet")]
    pub(crate) fn video_feedback(
        &mut self,
        now: Instant,
        key: PeerKey,
        payload_specific: bool,
        format: u8,
        media: u32,
        information: &[u8],
        out: &mut impl Output,
    ) -> Result<bool, Drop> {
        let peer = &mut self.peers[key];
        let Some(video) = peer.video.as_deref_mut() else { return Ok(false) };
        match (payload_specific, format) {
            (false, rtcp::TRANSPORT_CC) if video.transport_cc => {
                video.flight.reported(now, information);
                video.estimator.feedback(now, information).map_err(|_| Drop::Malformed)?;
                let target = video.pace(now);
                if video.flight.carries(now).is_none() {
                    video.probe(now);
                }
                // What is too much is not sent until the next look.
                if target.0 < video.given {
                    self.share_out(now, key, out);
                }
                self.pace_unless_set(now, key, out);
                Ok(true)
            }
            (false, rtcp::NACK) => {
                let Some(slot) = video.streams.iter().position(|stream| stream.config.ssrc == media) else {
                    return Ok(false);
                };
                self.repair(now, key, slot, information, out);
                Ok(true)
            }
            (true, rtcp::PLI) => {
                self.picture_lost(now, key, media, out);
                Ok(true)
            }
            (true, rtcp::FIR) => {
                // RFC 5104 §4.3.1.1: the SSRCs are in the entries.
                for entry in information.chunks_exact(8).take(LOOKED_FOR) {
                    let ssrc = u32::from_be_bytes([entry[0], entry[1], entry[2], entry[3]]);
                    self.picture_lost(now, key, ssrc, out);
                }
                Ok(true)
            }
            (true, rtcp::REMB) => {
                if let Some(rate) = remb(information) {
                    video.estimator.capped(now, rate);
                }
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// A client cannot decode what it gets.
    fn picture_lost(&mut self, now: Instant, key: PeerKey, ssrc: u32, out: &mut impl Output) {
        let Some(video) = self.peers[key].video.as_deref() else { return };
        let Some(stream) = video.streams.iter().find(|stream| stream.config.ssrc == ssrc) else { return };
        let (Some(key), Some(level)) = (stream.track, stream.switch.level()) else { return };
        if let Some(track) = self.tracks.get_mut(key) {
            track.encodings[usize::from(level.encoding)].key_frames.want(now);
        }
        self.ask_for_key_frames(now, key, out);
    }

    /// RFC 4585 §6.2.1: each four bytes name a packet and, by bits, the sixteen after it. They are answered by RFC 4588.
    fn repair(&mut self, now: Instant, key: PeerKey, slot: usize, information: &[u8], out: &mut impl Output) {
        let peer = &mut self.peers[key];
        let again_after = AGAIN_AFTER.max(Duration::from_secs_f32(peer.rtt.clamp(0.0, 0.5)));
        let Some(video) = peer.video.as_deref_mut() else { return };
        // On a path that carries no more, repairs would only stand before what is to follow: they are asked for again.
        if video.flight.is_full(now) || video.streams[slot].gives_up() {
            return;
        }
        let mut asked = 0;
        for item in information.chunks_exact(4) {
            let first = u16::from_be_bytes([item[0], item[1]]);
            let mask = u32::from(u16::from_be_bytes([item[2], item[3]])) << 1 | 1;
            for sequence in (0..17).filter(|bit| mask >> bit & 1 == 1).map(|bit| first.wrapping_add(bit)) {
                asked += 1;
                if asked > LOOKED_FOR {
                    break;
                }
                let Some(placed) = video.streams[slot].missed(now, sequence, again_after) else { continue };
                let Some(index) = placed.index else { continue };
                let encoding =
                    self.tracks.get(placed.track).map(|track| &track.encodings[usize::from(placed.encoding)]);
                let Some(packet) = encoding.and_then(|encoding| encoding.cache.get(index)) else { continue };
                if video.may_repair(now, packet.payload().len()) {
                    video.wait_repeat(slot as u8, placed);
                }
            }
        }
        self.pace_unless_set(now, key, out);
    }
}

/// draft-alvestrand-rmcat-remb-03 §2.2: "REMB", a count, six bits of exponent, eighteen of mantissa.
fn remb(information: &[u8]) -> Option<Bitrate> {
    let fixed: &[u8; 8] = information.first_chunk()?;
    if &fixed[..4] != b"REMB" {
        return None;
    }
    let exponent = fixed[5] >> 2;
    let mantissa = u64::from(fixed[5] & 3) << 16 | u64::from(fixed[6]) << 8 | u64::from(fixed[7]);
    Some(Bitrate(
        mantissa.checked_shl(u32::from(exponent)).filter(|rate| rate >> exponent == mantissa).unwrap_or(u64::MAX),
    ))
}

/// What we report of a peer's cameras and screens (RFC 3550 §6.4.1).
pub(crate) fn blocks(peer: &mut Peer, ntp_middle: u32) -> impl Iterator<Item = ReportBlock> {
    let published = peer.upstream.as_deref_mut().into_iter().flat_map(|upstream| &mut upstream.published);
    published.flat_map(|published| &mut published.inputs).filter_map(move |input| {
        let ssrc = input.ssrc?;
        input.reception.report_block(ssrc, ntp_middle)
    })
}

/// The sender reports that are due of its video slots: SSRC and what it says.
pub(crate) fn sender_reports<'a>(
    video: &'a mut VideoReceiver,
    tracks: &'a SlotMap<TrackKey, Track>,
    clock: Clock,
    now: Instant,
) -> impl Iterator<Item = (u32, SenderInfo)> + 'a {
    let ticks = clock.ticks_at(now, super::CLOCK_RATE);
    video.streams.iter_mut().filter_map(move |stream| {
        if stream.packets == stream.reported {
            return None;
        }
        let encoding = tracks.get(stream.track?)?.encodings.get(usize::from(stream.switch.level()?.encoding))?;
        // Its timestamps are the node's clock but for what a switch may have added.
        let ahead = stream.switch.stamp_shift()?.wrapping_sub(encoding.to_clock()?);
        stream.reported = stream.packets;
        let rtp_timestamp = ticks.wrapping_sub(encoding.lag()).wrapping_add(ahead);
        Some((
            stream.config.ssrc,
            SenderInfo { ntp: clock.ntp(now), rtp_timestamp, packets: stream.packets, octets: stream.octets },
        ))
    })
}

/// A client's report on one of its video slots. False: it is of none of them.
pub(crate) fn read_block(video: &mut VideoReceiver, now: Instant, block: &ReportBlock, rtt: Option<f32>) -> bool {
    let Some(stream) = video.streams.iter_mut().find(|stream| stream.config.ssrc == block.ssrc) else {
        return video.streams.iter().any(|stream| stream.config.rtx_ssrc == block.ssrc);
    };
    stream.lost = block.cumulative_lost;
    if let Some(rtt) = rtt.filter(|_| !video.transport_cc) {
        video.estimator.reported(now, block.fraction_lost, Duration::from_secs_f32(rtt));
    }
    true
}

/// A publisher's sender report. False: it is of none of its cameras and screens.
pub(crate) fn read_sender_report(
    peer: &mut Peer,
    tracks: &mut SlotMap<TrackKey, Track>,
    ssrc: u32,
    info: &SenderInfo,
    ntp_middle: u32,
) -> bool {
    let Some(upstream) = peer.upstream.as_deref_mut() else { return false };
    for published in &mut upstream.published {
        let Some(encoding) = published.inputs.iter().position(|input| input.ssrc == Some(ssrc)) else { continue };
        published.inputs[encoding].reception.sender_report((info.ntp >> 16) as u32, ntp_middle);
        if let Some(track) = tracks.get_mut(published.track) {
            track.reported(encoding, info.ntp, info.rtp_timestamp);
        }
        return true;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remb_is_read_and_what_is_too_much_is_without_limit() {
        let of = |bytes: [u8; 4]| remb(&[b"REMB", &bytes[..], &[0; 4]].concat());
        assert_eq!(of([1, 0, 0x03, 0xE8]), Some(Bitrate(1000)));
        assert_eq!(of([1, 5 << 2 | 1, 0, 0]), Some(Bitrate(65_536 << 5)));
        assert_eq!(of([1, 0xFF, 0xFF, 0xFF]), Some(Bitrate(u64::MAX)));
        assert_eq!(remb(b"RAMB0000"), None);
        assert_eq!(remb(b"REMB"), None);
    }
}
