//! What a peer publishes, as it arrives: which packets are its own, and how well they come.

use crate::drops::Drop;
use crate::rtp::{Header, Reception};
use crate::{SourceConfig, VoiceKey};

pub(crate) struct Source {
    pub(crate) config: SourceConfig,
    ssrc: Option<u32>,
    /// Those it was to send under, or has sent under and left: one, and at most `MAX_SSRCS` because each was authenticated.
    former: Vec<u32>,
    /// Or not shared.
    pub(crate) muted: bool,
    pub(crate) reception: Reception,
    /// Latest audio level, -dBov.
    pub(crate) level: u8,
    /// Increases when the content starts anew (another SSRC): sequence and timestamps are then unrelated to those before.
    pub(crate) generation: u32,
    /// Increases with each gap of our own making: what follows joins what came before it.
    pub(crate) segment: u32,
    /// The last packet that went no further than here, while nothing newer did.
    gap: Option<u64>,
    /// Its voice, where the room is ours.
    pub(crate) voice: Option<VoiceKey>,
}

impl Source {
    pub(crate) fn new(config: SourceConfig) -> Self {
        let ssrc = config.ssrc;
        Self {
            config,
            ssrc,
            former: Vec::new(),
            muted: false,
            reception: Reception::new(crate::timeline::CLOCK_RATE),
            level: 127,
            generation: 0,
            segment: 0,
            gap: None,
            voice: None,
        }
    }

    /// The same, muted until it is shared.
    pub(crate) fn withheld(config: SourceConfig) -> Self {
        Self { muted: true, ..Self::new(config) }
    }

    pub(crate) fn csrc(&self) -> u32 {
        self.config.csrc
    }

    pub(crate) fn ssrc(&self) -> Option<u32> {
        self.ssrc
    }

    /// Every one it has sent under.
    pub(crate) fn ssrcs(&self) -> impl Iterator<Item = u32> {
        self.former.iter().copied().chain(self.ssrc)
    }

    /// Does the packet say by MID that it is ours (RFC 8843 §9.2)?
    pub(crate) fn is_named(&self, header: &Header, packet: &[u8]) -> bool {
        let mid = self.config.mid_extension.and_then(|id| header.extension(packet, id));
        mid == Some(self.config.mid.as_bytes())
    }

    /// Is this authenticated packet ours? Binds the SSRC by MID (RFC 8843 §9.2), or by payload type while nothing is
    /// bound. True: it was bound by this packet.
    pub(crate) fn bind(&mut self, header: &Header, packet: &[u8]) -> Result<bool, Drop> {
        if self.ssrc == Some(header.ssrc) {
            return Ok(false);
        }
        self.is_red(header)?;
        let mid = self.config.mid_extension.and_then(|id| header.extension(packet, id));
        match (mid, self.ssrc) {
            (Some(mid), _) if mid != self.config.mid.as_bytes() => Err(Drop::UnknownSource),
            (None, Some(_)) => Err(Drop::UnknownSource),
            // Late ones from before a change, or a client that alternates: each change costs every receiver an event.
            _ if self.former.contains(&header.ssrc) => Err(Drop::UnknownSource),
            _ => {
                self.former.extend(self.ssrc.replace(header.ssrc));
                self.reception = Reception::new(crate::timeline::CLOCK_RATE);
                self.generation += 1;
                self.gap = None;
                Ok(true)
            }
        }
    }

    /// RED or plain Opus, by payload type.
    pub(crate) fn is_red(&self, header: &Header) -> Result<bool, Drop> {
        if header.payload_type == self.config.payload_type {
            Ok(false)
        } else if Some(header.payload_type) == self.config.red_payload_type {
            Ok(true)
        } else {
            Err(Drop::UnknownSource)
        }
    }

    /// The packet `index` went no further than here, and nobody else shall take it for lost.
    pub(crate) fn left_out(&mut self, index: u64) {
        self.gap = self.gap.max(Some(index));
    }

    /// Generation and segment of the packet `index`, which goes on.
    pub(crate) fn place(&mut self, index: u64) -> (u32, u32) {
        if self.gap.take_if(|gap| *gap < index).is_some() {
            self.segment = self.segment.wrapping_add(1);
        }
        (self.generation, self.segment)
    }
}
