//! The offer of a client, and what a server's answer to it says (RFC 8829, RFC 8839, RFC 8866).

use std::net::{IpAddr, SocketAddr};

use thiserror::Error;

use crate::{Credentials, Fingerprint, Hash, Session, Source};

/// Opus's, as browsers number it.
const PAYLOAD_TYPE: u8 = 111;
const AUDIO_LEVEL: &str = "urn:ietf:params:rtp-hdrext:ssrc-audio-level";
const AUDIO_LEVEL_ID: u8 = 1;
/// RFC 8445 §5.1.2.1: type preference of host candidates, the only local preference, component 1.
const HOST_PRIORITY: u32 = 126 << 24 | 65_535 << 8 | 255;
/// No answer to thirty m-lines is longer.
const MAX_LENGTH: usize = 256 * 1024;

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
    /// As SDP.
    pub fn to_sdp(&self) -> String {
        let lines = usize::from(self.ssrc.is_some()) + self.slots;
        let mids: Vec<String> = (0..lines).map(|mid| mid.to_string()).collect();
        let mut sdp = format!(
            "v=0\r\no=- {} 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE {}\r\n",
            self.session,
            mids.join(" ")
        );
        for mid in &mids {
            let is_source = self.ssrc.is_some() && mid == "0";
            self.media(&mut sdp, mid, if is_source { self.ssrc } else { None });
        }
        sdp
    }

    fn media(&self, sdp: &mut String, mid: &str, ssrc: Option<u32>) {
        let mut line = |text: &str| {
            sdp.push_str(text);
            sdp.push_str("\r\n");
        };
        line(&format!("m=audio 9 UDP/TLS/RTP/SAVPF {PAYLOAD_TYPE}"));
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
        line(&format!("a=rtpmap:{PAYLOAD_TYPE} opus/48000/2"));
        line(&format!("a=fmtp:{PAYLOAD_TYPE} minptime=10;useinbandfec=1"));
        line(&format!("a=extmap:{AUDIO_LEVEL_ID} {AUDIO_LEVEL}"));
        match ssrc {
            Some(ssrc) => {
                line("a=sendonly");
                line("a=msid:swarm voice");
                line(&format!("a=ssrc:{ssrc} cname:{}", self.local.ufrag));
            }
            None => line("a=recvonly"),
        }
    }

    /// What offer and `answer` agree on. Of several candidates, the one that is nearest to `server`, where the answer came
    /// from. Never panics, on any text.
    pub fn agree(&self, answer: &str, server: IpAddr) -> Result<Session, BadAnswer> {
        let answer = Answer::parse(answer).ok_or(BadAnswer::Malformed)?;
        if answer.media.len() != usize::from(self.ssrc.is_some()) + self.slots {
            return Err(BadAnswer::Malformed);
        }
        let accepted: Vec<&Media<'_>> = answer.media.iter().filter(|media| media.port != "0").collect();
        let (source_line, slot_lines) = answer.media.split_at(usize::from(self.ssrc.is_some()));
        let source = match (self.ssrc, source_line) {
            (Some(ssrc), [media]) => {
                let takes = media.port != "0" && answer.any_direction(media, &["recvonly", "sendrecv"]);
                let payload_type = media.opus().filter(|_| takes).ok_or(BadAnswer::Refused)?;
                Some(Source { ssrc, payload_type, level_extension: answer.level_extension(media) })
            }
            _ => None,
        };
        let sending: Vec<&Media<'_>> = slot_lines
            .iter()
            .filter(|media| media.port != "0" && answer.any_direction(media, &["sendonly", "sendrecv"]))
            .collect();
        if source.is_none() && sending.is_empty() {
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
            slots: sending.iter().filter_map(|media| media.ssrc()).collect(),
        })
    }
}

struct Answer<'a> {
    session: Attributes<'a>,
    media: Vec<Media<'a>>,
}

struct Media<'a> {
    port: &'a str,
    formats: Vec<&'a str>,
    attributes: Attributes<'a>,
}

#[derive(Default)]
struct Attributes<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Attributes<'a> {
    fn first(&self, name: &str) -> Option<&'a str> {
        self.all(name).next()
    }

    fn all(&self, name: &str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| *key == name).map(|(_, value)| *value)
    }
}

impl<'a> Answer<'a> {
    fn parse(text: &'a str) -> Option<Answer<'a>> {
        if text.len() > MAX_LENGTH || !text.starts_with("v=0") {
            return None;
        }
        let mut answer = Answer { session: Attributes::default(), media: Vec::new() };
        for line in text.lines() {
            let Some((kind, value)) = line.split_once('=') else { continue };
            match kind {
                "m" => {
                    let mut words = value.split_ascii_whitespace();
                    let port = words.nth(1)?;
                    let formats = words.skip(1).collect();
                    answer.media.push(Media { port, formats, attributes: Attributes::default() });
                }
                "a" => {
                    let attribute =
                        value.split_once(':').map_or((value.trim(), ""), |(name, rest)| (name, rest.trim()));
                    let section = answer.media.last_mut().map_or(&mut answer.session, |media| &mut media.attributes);
                    section.0.push(attribute);
                }
                _ => {}
            }
        }
        Some(answer)
    }

    /// The m-line's direction, else the session's, else sendrecv (RFC 8866 §6.7), is one of these.
    fn any_direction(&self, media: &Media<'_>, directions: &[&str]) -> bool {
        let is_direction = |name: &str| matches!(name, "sendrecv" | "sendonly" | "recvonly" | "inactive");
        let names = media.attributes.0.iter().chain(&self.session.0).map(|(name, _)| *name);
        directions.contains(&names.into_iter().find(|name| is_direction(name)).unwrap_or("sendrecv"))
    }

    fn level_extension(&self, media: &Media<'_>) -> Option<u8> {
        media.attributes.all("extmap").chain(self.session.all("extmap")).find_map(|value| {
            let (id, uri) = value.split_once(' ')?;
            let id = id.split('/').next()?.parse().ok().filter(|id| (1..15).contains(id))?;
            (uri.split(' ').next() == Some(AUDIO_LEVEL)).then_some(id)
        })
    }
}

impl Media<'_> {
    /// The payload type of Opus (RFC 7587 §7).
    fn opus(&self) -> Option<u8> {
        self.attributes.all("rtpmap").find_map(|value| {
            let (number, encoding) = value.split_once(' ')?;
            let is_opus = encoding.trim().eq_ignore_ascii_case("opus/48000/2") && self.formats.contains(&number);
            number.parse().ok().filter(|number| is_opus && *number < 128)
        })
    }

    /// RFC 5576 §4.1.
    fn ssrc(&self) -> Option<u32> {
        self.attributes.first("ssrc")?.split(' ').next()?.parse().ok()
    }
}

/// RFC 8122 §5; weak ones are none.
fn fingerprint(value: &str) -> Option<Fingerprint> {
    let (name, digest) = value.split_once(' ')?;
    let hash = Hash::from_name(name)?;
    let digest = digest.trim().split(':').map(|byte| u8::from_str_radix(byte, 16)).collect::<Result<Vec<_>, _>>();
    digest.ok().filter(|digest| digest.len() == hash.digest().size()).map(|digest| Fingerprint { hash, digest })
}

/// Priority and address of a UDP candidate of component 1 (RFC 8839 §5.1); names, mDNS ones too, are not resolved.
fn candidate(value: &str) -> Option<(u32, SocketAddr)> {
    let words: Vec<&str> = value.split_ascii_whitespace().collect();
    let &[_, "1", transport, priority, ip, port, "typ", _, ..] = &words[..] else { return None };
    let address = SocketAddr::new(ip.parse().ok()?, port.parse().ok()?);
    transport.eq_ignore_ascii_case("udp").then_some((priority.parse().ok()?, address))
}

fn colons(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn offer(publishes: bool, slots: usize) -> Offer {
        Offer {
            local: Credentials { ufrag: "ours".into(), password: "our+password+of+22+chars".into() },
            fingerprint: [0xAB; 32],
            candidate: Some(([127, 0, 0, 1], 5000).into()),
            ssrc: publishes.then_some(7),
            slots,
            session: 1,
        }
    }

    /// As the node of this project answers.
    fn answer(media: &str) -> String {
        format!(
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\na=ice-lite\r\n\
             m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=ice-ufrag:theirs\r\n\
             a=ice-pwd:their+password+of+22+chars\r\na=fingerprint:sha-256 {}\r\na=setup:passive\r\n\
             a=candidate:1 1 udp 2130706431 ::1 4000 typ host\r\na=candidate:2 1 udp 2130706175 127.0.0.1 4001 typ host\r\n\
             a=candidate:3 1 tcp 1671430143 127.0.0.1 4001 typ host tcptype passive\r\na=end-of-candidates\r\na=rtcp-mux\r\n\
             a=rtpmap:111 opus/48000/2\r\na=extmap:1 {AUDIO_LEVEL}\r\n{media}",
            colons(&[0xCD; 32])
        )
    }

    #[test]
    fn an_answer_to_a_publisher_is_understood() {
        let session = offer(true, 0).agree(&answer("a=recvonly\r\n"), SERVER).unwrap();
        assert_eq!(session.remote, ([127, 0, 0, 1], 4001).into());
        assert_eq!(session.peer.ufrag, "theirs");
        assert_eq!(session.fingerprints, [Fingerprint { hash: Hash::Sha256, digest: vec![0xCD; 32] }]);
        assert!(session.opens_dtls);
        assert_eq!(session.source, Some(Source { ssrc: 7, payload_type: 111, level_extension: Some(1) }));
        assert!(session.slots.is_empty());
    }

    #[test]
    fn an_answer_to_a_player_names_what_it_will_hear() {
        let session = offer(false, 1).agree(&answer("a=ssrc:99 cname:node\r\na=sendonly\r\n"), SERVER).unwrap();
        assert_eq!((session.source, session.slots), (None, vec![99]));
    }

    #[test]
    fn the_candidate_of_the_servers_family_is_taken() {
        let session = offer(true, 0).agree(&answer("a=recvonly\r\n"), "::9".parse().unwrap()).unwrap();
        assert_eq!(session.remote.ip(), "::1".parse::<IpAddr>().unwrap());
    }

    #[test]
    fn what_a_server_refuses_is_not_taken_for_granted() {
        let refuse = |text: String, slots| offer(slots == 0, slots).agree(&text, SERVER).unwrap_err();
        assert_eq!(refuse(answer("a=inactive\r\n"), 0), BadAnswer::Refused);
        assert_eq!(refuse(answer("a=recvonly\r\n"), 1), BadAnswer::Refused);
        assert_eq!(refuse(answer("a=recvonly\r\n").replace("audio 9", "audio 0"), 0), BadAnswer::Refused);
        assert_eq!(refuse(answer("").replace("sha-256", "sha-1"), 0), BadAnswer::Fingerprint);
        assert_eq!(refuse(answer("").replace(" udp ", " tcp "), 0), BadAnswer::Candidate);
        assert_eq!(refuse(answer("").replace("ice-pwd", "x"), 0), BadAnswer::Credentials);
        assert_eq!(refuse(answer(""), 2), BadAnswer::Malformed);
        assert_eq!(refuse("<html>".into(), 0), BadAnswer::Malformed);
    }

    #[test]
    fn damaged_answers_never_panic() {
        let whole = answer("a=ssrc:99 cname:node\r\na=sendonly\r\n");
        for at in 0..whole.len() {
            let _ = offer(false, 1).agree(&whole[..at], SERVER);
            let mut damaged = whole.clone();
            damaged.replace_range(at..=at, " ");
            let _ = offer(false, 1).agree(&damaged, SERVER);
        }
    }

    #[test]
    fn an_offer_has_an_m_line_for_each_stream() {
        let sdp = offer(true, 2).to_sdp();
        assert_eq!(sdp.matches("m=audio").count(), 3);
        assert_eq!(sdp.matches("a=recvonly").count(), 2);
        assert!(sdp.contains("a=group:BUNDLE 0 1 2\r\n") && sdp.contains("a=ssrc:7 cname:ours\r\n"));
        assert!(sdp.lines().all(|line| line.len() < 200));
    }
}
