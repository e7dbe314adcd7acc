//! The offer of a client, and what a server's answer to it says (RFC 8829, RFC 8839, RFC 8866).

mod answer;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};

use answer::{Answer, Media, candidate, fingerprint};
use thiserror::Error;

use crate::{Credentials, Extensions, Fingerprint, Session, Source, Video, VideoSlot, VideoSource, VideoStream};

/// Opus's, as browsers number it.
const OPUS: u8 = 111;
/// VP8's and that of its repair, as browsers number them.
const VP8: u8 = 96;
const RTX: u8 = 97;
const AUDIO_LEVEL: &str = "urn:ietf:params:rtp-hdrext:ssrc-audio-level";
const AUDIO_LEVEL_ID: u8 = 1;
const MID: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";
const RID: &str = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id";
const REPAIRED_RID: &str = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id";
const TRANSPORT_CC: &str = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";
/// Of video m-lines, with the ids that browsers give them.
const VIDEO_EXTENSIONS: [(u8, &str); 4] = [(3, TRANSPORT_CC), (4, MID), (10, RID), (11, REPAIRED_RID)];
/// RFC 8445 §5.1.2.1: type preference of host candidates, the only local preference, component 1.
const HOST_PRIORITY: u32 = 126 << 24 | 65_535 << 8 | 255;
/// What a client wants: to publish, to play, or both.
#[derive(Clone, Debug)]
pub struct Offer {
    /// Of our side, made for this session.
    pub local: Credentials,
    /// SHA-256 of our certificate.
    pub fingerprint: [u8; 32],
    /// Where we receive, when we know it.
    pub candidate: Option<SocketAddr>,
    /// Of our stream, when we publish; it gets the first m-line.
    pub ssrc: Option<u32>,
    /// Streams that we want to hear, an m-line each.
    pub slots: usize,
    /// Of our video, when we publish some: one without a RID, or several with one each, the smallest first. An m-line.
    pub video: Vec<VideoStream>,
    /// Streams that we want to see, an m-line each.
    pub video_slots: usize,
    /// A number of the session; nobody looks at it.
    pub session: u32,
}

/// The answer cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BadAnswer {
    /// It is not SDP, or for another offer.
    #[error("answer: not an answer to this offer")]
    Malformed,
    /// All that was offered is refused.
    #[error("answer: the media was refused")]
    Refused,
    /// There is no `ice-ufrag` or no `ice-pwd`.
    #[error("answer: no ICE credentials")]
    Credentials,
    /// There is no fingerprint of sha-256 or stronger.
    #[error("answer: no fingerprint")]
    Fingerprint,
    /// There is no UDP host candidate with an address.
    #[error("answer: no UDP candidate")]
    Candidate,
}

impl Offer {
    /// What each m-line is, in order.
    fn lines(&self) -> impl Iterator<Item = Line> {
        let voice = self.ssrc.map(Line::Voice).into_iter().chain(std::iter::repeat_n(Line::Hears, self.slots));
        let films = (!self.video.is_empty()).then_some(Line::Films).into_iter();
        voice.chain(films).chain(std::iter::repeat_n(Line::Sees, self.video_slots))
    }

    /// As SDP.
    pub fn to_sdp(&self) -> String {
        let mids: Vec<String> = (0..self.lines().count()).map(|mid| mid.to_string()).collect();
        let mut sdp = format!(
            "v=0\r\no=- {} 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE {}\r\n",
            self.session,
            mids.join(" ")
        );
        for (mid, line) in mids.iter().zip(self.lines()) {
            self.media(&mut sdp, mid, line);
        }
        sdp
    }

    fn media(&self, sdp: &mut String, mid: &str, media: Line) {
        let mut line = |text: &str| {
            sdp.push_str(text);
            sdp.push_str("\r\n");
        };
        match media {
            Line::Voice(_) | Line::Hears => line(&format!("m=audio 9 UDP/TLS/RTP/SAVPF {OPUS}")),
            Line::Films | Line::Sees => line(&format!("m=video 9 UDP/TLS/RTP/SAVPF {VP8} {RTX}")),
        }
        line("c=IN IP4 0.0.0.0");
        line(&format!("a=mid:{mid}"));
        line(&format!("a=ice-ufrag:{}", self.local.ufrag));
        line(&format!("a=ice-pwd:{}", self.local.password));
        line(&format!("a=fingerprint:sha-256 {}", colons(&self.fingerprint)));
        line("a=setup:actpass");
        if let Some(address) = self.candidate {
            let (ip, port) = (address.ip(), address.port());
            line(&format!("a=candidate:1 1 udp {HOST_PRIORITY} {ip} {port} typ host"));
            line("a=end-of-candidates");
        }
        line("a=rtcp-mux");
        line("a=rtcp-rsize");
        match media {
            Line::Voice(_) | Line::Hears => {
                line(&format!("a=rtpmap:{OPUS} opus/48000/2"));
                line(&format!("a=fmtp:{OPUS} minptime=10;useinbandfec=1"));
                line(&format!("a=extmap:{AUDIO_LEVEL_ID} {AUDIO_LEVEL}"));
            }
            Line::Films | Line::Sees => {
                line(&format!("a=rtpmap:{VP8} VP8/90000"));
                for feedback in ["goog-remb", "transport-cc", "ccm fir", "nack", "nack pli"] {
                    line(&format!("a=rtcp-fb:{VP8} {feedback}"));
                }
                line(&format!("a=rtpmap:{RTX} rtx/90000"));
                line(&format!("a=fmtp:{RTX} apt={VP8}"));
                for (id, uri) in VIDEO_EXTENSIONS {
                    line(&format!("a=extmap:{id} {uri}"));
                }
            }
        }
        match media {
            Line::Hears | Line::Sees => line("a=recvonly"),
            Line::Voice(ssrc) => {
                line("a=sendonly");
                line("a=msid:swarm voice");
                line(&format!("a=ssrc:{ssrc} cname:{}", self.local.ufrag));
            }
            Line::Films => {
                line("a=sendonly");
                line("a=msid:swarm film");
                let rids: Vec<&str> = self.video.iter().filter_map(|stream| stream.rid.as_deref()).collect();
                for rid in &rids {
                    line(&format!("a=rid:{rid} send"));
                }
                if rids.is_empty() {
                    for VideoStream { ssrc, rtx_ssrc, .. } in &self.video {
                        if let Some(rtx_ssrc) = rtx_ssrc {
                            line(&format!("a=ssrc-group:FID {ssrc} {rtx_ssrc}"));
                            line(&format!("a=ssrc:{rtx_ssrc} cname:{}", self.local.ufrag));
                        }
                        line(&format!("a=ssrc:{ssrc} cname:{}", self.local.ufrag));
                    }
                } else {
                    line(&format!("a=simulcast:send {}", rids.join(";")));
                }
            }
        }
    }

    /// What offer and `answer` agree on. Of several candidates, the one that is nearest to `server`, where the answer came
    /// from. Never panics, on any text.
    pub fn agree(&self, answer: &str, server: IpAddr) -> Result<Session, BadAnswer> {
        let answer = Answer::parse(answer).ok_or(BadAnswer::Malformed)?;
        if answer.media.len() != self.lines().count() {
            return Err(BadAnswer::Malformed);
        }
        let accepted: Vec<&Media<'_>> = answer.media.iter().filter(|media| media.is_accepted()).collect();
        let mut source = None;
        if let (Some(ssrc), Some(media)) = (self.ssrc, answer.media.first()) {
            let payload_type = media.payload_type("opus/48000/2").filter(|_| answer.takes(media));
            let level_extension = answer.extension(media, AUDIO_LEVEL);
            source = Some(Source { ssrc, payload_type: payload_type.ok_or(BadAnswer::Refused)?, level_extension });
        }
        let of_kind = |kind| self.lines().zip(&answer.media).filter(move |(line, _)| *line == kind);
        let heard = of_kind(Line::Hears).filter(|(_, media)| answer.sends(media));
        let heard: Vec<&Media<'_>> = heard.map(|(_, media)| media).collect();
        let video = self.agree_on_video(&answer)?;
        let sees = video.as_ref().is_some_and(|video| !video.slots.is_empty());
        if source.is_none() && self.video.is_empty() && heard.is_empty() && !sees {
            return Err(BadAnswer::Refused);
        }
        let first = |name: &str| {
            let in_media = accepted.iter().find_map(|media| media.attributes.first(name));
            in_media.or_else(|| answer.session.first(name))
        };
        let (Some(ufrag), Some(password)) = (first("ice-ufrag"), first("ice-pwd")) else {
            return Err(BadAnswer::Credentials);
        };
        let everywhere = || std::iter::once(&answer.session).chain(accepted.iter().map(|media| &media.attributes));
        let mut fingerprints: Vec<Fingerprint> =
            everywhere().flat_map(|attributes| attributes.all("fingerprint")).filter_map(fingerprint).collect();
        fingerprints.dedup();
        if fingerprints.is_empty() {
            return Err(BadAnswer::Fingerprint);
        }
        let candidates = everywhere().flat_map(|attributes| attributes.all("candidate")).filter_map(candidate);
        let nearest = candidates.max_by_key(|&(priority, address)| {
            (address.ip() == server, address.is_ipv4() == server.is_ipv4(), priority)
        });
        Ok(Session {
            remote: nearest.ok_or(BadAnswer::Candidate)?.1,
            local: self.local.clone(),
            peer: Credentials { ufrag: ufrag.to_owned(), password: password.to_owned() },
            fingerprints,
            opens_dtls: first("setup") != Some("active"),
            source,
            slots: heard.iter().filter_map(|media| media.ssrc()).collect(),
            video,
        })
    }

    /// None when none was offered; refused, when all of it was.
    fn agree_on_video(&self, answer: &Answer<'_>) -> Result<Option<Video>, BadAnswer> {
        let mut video: Option<Video> = None;
        let mut is_offered = false;
        for (mid, (line, media)) in self.lines().zip(&answer.media).enumerate() {
            let is_agreed = match line {
                Line::Voice(_) | Line::Hears => continue,
                Line::Films => answer.takes(media),
                Line::Sees => answer.sends(media),
            };
            is_offered = true;
            let Some(payload_type) = media.payload_type("VP8/90000").filter(|_| is_agreed) else {
                // A viewer with fewer streams than it asked for has still something to see.
                if line == Line::Films {
                    return Err(BadAnswer::Refused);
                }
                continue;
            };
            let video = video.get_or_insert_default();
            video.payload_type = payload_type;
            video.rtx_payload_type = media.rtx(payload_type);
            let of = |uri| answer.extension(media, uri);
            let Extensions { mid: mid_id, rid, repaired_rid, transport_cc } = &mut video.extensions;
            for (id, uri) in [(mid_id, MID), (rid, RID), (repaired_rid, REPAIRED_RID), (transport_cc, TRANSPORT_CC)] {
                *id = id.or(of(uri));
            }
            if line == Line::Films {
                let streams = self.accepted_streams(media);
                video.source = Some(VideoSource { mid: mid.to_string(), streams });
            } else if let Some((ssrc, rtx_ssrc)) = media.ssrcs() {
                video.slots.push(VideoSlot { ssrc, rtx_ssrc });
            }
        }
        if is_offered && video.is_none() { Err(BadAnswer::Refused) } else { Ok(video) }
    }

    /// The streams that the server takes; of a server that does not know simulcast, the largest, without its name.
    fn accepted_streams(&self, media: &Media<'_>) -> Vec<VideoStream> {
        let rids: Vec<&str> = media.rids().collect();
        if self.video.iter().all(|stream| stream.rid.is_none()) {
            return self.video.clone();
        }
        if rids.is_empty() {
            let largest = self.video.last().cloned();
            return largest.map(|stream| VideoStream { rid: None, ..stream }).into_iter().collect();
        }
        let is_taken = |stream: &&VideoStream| stream.rid.as_deref().is_some_and(|rid| rids.contains(&rid));
        self.video.iter().filter(is_taken).cloned().collect()
    }
}

/// What an m-line of an offer is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Line {
    /// Sends the stream with this SSRC.
    Voice(u32),
    Hears,
    Films,
    Sees,
}

fn colons(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
}
