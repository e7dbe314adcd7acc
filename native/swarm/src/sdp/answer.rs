//! What is read of an answer.

use std::net::SocketAddr;

use crate::{Fingerprint, Hash};

/// No answer to sixty m-lines is longer.
const MAX_LENGTH: usize = 256 * 1024;

pub(super) struct Answer<'a> {
    pub session: Attributes<'a>,
    pub media: Vec<Media<'a>>,
}

pub(super) struct Media<'a> {
    port: &'a str,
    formats: Vec<&'a str>,
    pub attributes: Attributes<'a>,
}

#[derive(Default)]
pub(super) struct Attributes<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Attributes<'a> {
    pub fn first(&self, name: &str) -> Option<&'a str> {
        self.all(name).next()
    }

    pub fn all(&self, name: &str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| *key == name).map(|(_, value)| *value)
    }
}

impl<'a> Answer<'a> {
    pub fn parse(text: &'a str) -> Option<Answer<'a>> {
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

    /// The server takes what we send on this m-line.
    pub fn takes(&self, media: &Media<'_>) -> bool {
        media.is_accepted() && self.any_direction(media, &["recvonly", "sendrecv"])
    }

    /// It sends something.
    pub fn sends(&self, media: &Media<'_>) -> bool {
        media.is_accepted() && self.any_direction(media, &["sendonly", "sendrecv"])
    }

    /// The id of a header extension, in the one-byte form (RFC 8285 §5).
    pub fn extension(&self, media: &Media<'_>, wanted: &str) -> Option<u8> {
        media.attributes.all("extmap").chain(self.session.all("extmap")).find_map(|value| {
            let (id, uri) = value.split_once(' ')?;
            let id = id.split('/').next()?.parse().ok().filter(|id| (1..15).contains(id))?;
            (uri.split(' ').next() == Some(wanted)).then_some(id)
        })
    }
}

impl<'a> Media<'a> {
    /// RFC 3264 §6: the port of a refused one is zero.
    pub fn is_accepted(&self) -> bool {
        self.port != "0"
    }

    /// The payload type of an encoding, as "opus/48000/2", which this m-line has (RFC 8866 §6.6).
    pub fn payload_type(&self, encoding: &str) -> Option<u8> {
        self.payload_types(encoding).next()
    }

    fn payload_types(&self, encoding: &str) -> impl Iterator<Item = u8> {
        self.attributes.all("rtpmap").filter_map(move |value| {
            let (number, name) = value.split_once(' ')?;
            let is_meant = name.trim().eq_ignore_ascii_case(encoding) && self.formats.contains(&number);
            number.parse().ok().filter(|number| is_meant && *number < 128)
        })
    }

    /// The payload type that repairs `payload_type` (RFC 4588 §8.6).
    pub fn rtx(&self, payload_type: u8) -> Option<u8> {
        let original = format!("apt={payload_type}");
        self.payload_types("rtx/90000").find(|rtx| {
            let parameters = self.attributes.all("fmtp").filter_map(|value| value.split_once(' '));
            let mut ours = parameters.filter(|(number, _)| number.parse() == Ok(*rtx));
            ours.any(|(_, parameters)| parameters.split(';').any(|parameter| parameter.trim() == original))
        })
    }

    /// RFC 5576 §4.1.
    pub fn ssrc(&self) -> Option<u32> {
        self.attributes.first("ssrc")?.split(' ').next()?.parse().ok()
    }

    /// A stream and its repair (RFC 5576 §4.2, RFC 4588 §8.5).
    pub fn ssrcs(&self) -> Option<(u32, Option<u32>)> {
        let pair = self.attributes.all("ssrc-group").find_map(|value| {
            let mut words = value.strip_prefix("FID ")?.split(' ').map(str::parse);
            Some((words.next()?.ok()?, words.next()?.ok()))
        });
        pair.or_else(|| Some((self.ssrc()?, None)))
    }

    /// The RIDs that the server takes, paused ones left out; of alternatives the first (RFC 8853 §5.1).
    pub fn rids(&self) -> impl Iterator<Item = &'a str> {
        let list = self.attributes.first("simulcast").and_then(|value| {
            let mut words = value.split(' ');
            words.by_ref().find(|word| *word == "recv")?;
            words.next()
        });
        let streams = list.into_iter().flat_map(|list| list.split(';'));
        streams.filter_map(|alternatives| alternatives.split(',').next()).filter(|rid| !rid.starts_with('~'))
    }
}

/// RFC 8122 §5; weak ones are none.
pub(super) fn fingerprint(value: &str) -> Option<Fingerprint> {
    let (name, digest) = value.split_once(' ')?;
    let hash = Hash::from_name(name)?;
    let digest = digest.trim().split(':').map(|byte| u8::from_str_radix(byte, 16)).collect::<Result<Vec<_>, _>>();
    digest.ok().filter(|digest| digest.len() == hash.digest().size()).map(|digest| Fingerprint { hash, digest })
}

/// Priority and address of a UDP candidate of component 1 (RFC 8839 §5.1); names, mDNS ones too, are not resolved.
pub(super) fn candidate(value: &str) -> Option<(u32, SocketAddr)> {
    let words: Vec<&str> = value.split_ascii_whitespace().collect();
    let &[_, "1", transport, priority, ip, port, "typ", _, ..] = &words[..] else { return None };
    let address = SocketAddr::new(ip.parse().ok()?, port.parse().ok()?);
    transport.eq_ignore_ascii_case("udp").then_some((priority.parse().ok()?, address))
}
