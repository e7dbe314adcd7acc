//! What a peer publishes of video: which SSRC is which encoding, how well it comes, and what is missing.

use super::Codec;
use super::losses::Losses;
use super::track::CLOCK_RATE;
use crate::drops::Drop;
use crate::rtp::{Header, Reception};
use crate::{Extensions, TrackKey, VideoCodec, VideoSourceConfig};

/// The most encodings of a source.
pub const MAX_ENCODINGS: usize = 3;
/// SSRCs that an encoding may take one after another: as `Source`, bounded by what was authenticated.
const MAX_FORMER: usize = 8;

pub(crate) struct Input {
    pub(crate) ssrc: Option<u32>,
    pub(crate) rtx_ssrc: Option<u32>,
    former: Vec<u32>,
    pub(crate) reception: Reception,
    pub(crate) losses: Losses,
}

/// A camera or a screen.
pub(crate) struct Published {
    pub(crate) config: VideoSourceConfig,
    /// In the room where it is now.
    pub(crate) track: TrackKey,
    /// It is shared.
    pub(crate) live: bool,
    pub(crate) inputs: Vec<Input>,
}

/// Where a packet belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Belongs {
    pub(crate) encoding: usize,
    /// It repeats another (RFC 4588).
    pub(crate) repeats: bool,
    /// It is the first of its SSRC.
    pub(crate) is_first: bool,
}

impl Published {
    pub(crate) fn new(config: VideoSourceConfig) -> Self {
        let inputs = (0..config.encodings()).map(|index| {
            let named = config.ssrcs.get(index).copied();
            Input {
                ssrc: named.map(|(ssrc, _)| ssrc),
                rtx_ssrc: named.and_then(|(_, rtx)| rtx),
                former: Vec::new(),
                reception: Reception::new(CLOCK_RATE),
                losses: Losses::default(),
            }
        });
        let inputs = inputs.collect();
        Self { config, track: TrackKey::default(), live: false, inputs }
    }

    pub(crate) fn ssrcs(&self) -> impl Iterator<Item = u32> {
        self.inputs.iter().flat_map(|input| input.ssrc.into_iter().chain(input.rtx_ssrc).chain(input.former.clone()))
    }

    /// Whose an SSRC is that is known.
    fn known(&self, ssrc: u32) -> Option<Belongs> {
        self.inputs.iter().enumerate().find_map(|(encoding, input)| {
            let repeats = input.rtx_ssrc == Some(ssrc);
            (repeats || input.ssrc == Some(ssrc)).then_some(Belongs { encoding, repeats, is_first: false })
        })
    }

    /// Is this authenticated packet ours? Binds its SSRC by MID and RID (RFC 8852), or by payload type where there is one
    /// encoding and no MID. None: it is another's.
    pub(crate) fn bind(&mut self, header: &Header, packet: &[u8], ids: &Extensions) -> Option<Belongs> {
        if let Some(known) = self.known(header.ssrc) {
            return Some(known);
        }
        let element = |id: Option<u8>| id.and_then(|id| header.extension(packet, id));
        match element(ids.mid) {
            Some(mid) if mid != self.config.mid.as_bytes() => return None,
            Some(_) => {}
            None if self.config.rids.is_empty() && self.inputs.first()?.ssrc.is_none() => {}
            None => return None,
        }
        let (_, repeats) = self.codec(header.payload_type)?;
        let rid = match (element(ids.repaired_rid).filter(|_| repeats), element(ids.rid)) {
            (Some(rid), _) | (None, Some(rid)) => Some(rid),
            (None, None) => None,
        };
        let encoding = match rid {
            Some(rid) => self.config.rids.iter().position(|each| each.as_bytes() == rid)?,
            None if self.config.rids.is_empty() => 0,
            None => return None,
        };
        let input = &mut self.inputs[encoding];
        if repeats {
            input.rtx_ssrc = Some(header.ssrc);
            return Some(Belongs { encoding, repeats, is_first: true });
        }
        // Late ones from before a change, or a client that alternates.
        if input.former.contains(&header.ssrc) || input.former.len() == MAX_FORMER {
            return None;
        }
        input.former.extend(input.ssrc.replace(header.ssrc));
        input.reception = Reception::new(CLOCK_RATE);
        input.losses = Losses::default();
        Some(Belongs { encoding, repeats, is_first: true })
    }

    /// What a payload type says: the codec, and whether it is a repetition.
    pub(crate) fn codec(&self, payload_type: u8) -> Option<(Codec, bool)> {
        self.config.codecs.iter().find_map(|&VideoCodec { codec, payload_type: media, rtx_payload_type: rtx }| {
            let repeats = rtx == Some(payload_type);
            (repeats || media == payload_type).then_some((codec, repeats))
        })
    }
}

/// RFC 4588 §4: a repetition begins with the sequence number of what it repeats.
pub(crate) fn original(payload: &[u8]) -> Result<(u16, &[u8]), Drop> {
    let (&sequence, payload) = payload.split_first_chunk().ok_or(Drop::Short)?;
    Ok((u16::from_be_bytes(sequence), payload))
}
