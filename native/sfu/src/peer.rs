//! One client: transport, source, receiver, and what it has cost.

use std::time::Instant;

use crate::ice::Agent;
use crate::police::Policer;
use crate::receiver::Receiver;
use crate::rtp::Header;
use crate::source::Source;
use crate::srtp::{Inbound, Outbound};
use crate::video::{Upstream, VideoReceiver};
use crate::{PeerId, RoomKey};

pub(crate) struct Srtp {
    pub(crate) inbound: Inbound,
    pub(crate) outbound: Outbound,
}

pub(crate) struct Peer {
    pub(crate) id: PeerId,
    pub(crate) room: RoomKey,
    pub(crate) since: Instant,
    pub(crate) cname: String,
    pub(crate) ice: Agent,
    pub(crate) srtp: Option<Srtp>,
    /// Its microphone.
    pub(crate) source: Option<Source>,
    /// The sound of its screen.
    pub(crate) screen_sound: Option<Box<Source>>,
    pub(crate) receiver: Receiver,
    /// What it publishes of video.
    pub(crate) upstream: Option<Box<Upstream>>,
    /// What it watches.
    pub(crate) video: Option<Box<VideoReceiver>>,
    pub(crate) policer: Policer,
    /// The SSRC of receiver reports while nothing is sent.
    pub(crate) report_ssrc: u32,
    pub(crate) connected: bool,
    /// It has asked to hear nothing, or others did.
    pub(crate) deafened: bool,
    /// Whom it does not want to hear, by CSRC.
    pub(crate) ignored: Box<[u32]>,
    pub(crate) traffic: Traffic,
    /// Seconds; from the client's receiver reports (RFC 3550 §6.4.1).
    pub(crate) rtt: f32,
}

impl Peer {
    /// All it may be heard with.
    pub(crate) fn sources(&self) -> impl Iterator<Item = &Source> {
        self.source.iter().chain(self.screen_sound.as_deref())
    }

    pub(crate) fn sources_mut(&mut self) -> impl Iterator<Item = &mut Source> {
        self.source.iter_mut().chain(self.screen_sound.as_deref_mut())
    }

    /// Is an opened packet of its screen's sound, by SSRC, by MID, or because the microphone has its SSRC?
    pub(crate) fn is_of_screen(&self, header: &Header, packet: &[u8]) -> bool {
        let Some(sound) = self.screen_sound.as_deref() else { return false };
        let Some(microphone) = &self.source else { return true };
        let has = |source: &Source| source.ssrc() == Some(header.ssrc);
        if has(microphone) || has(sound) {
            return has(sound);
        }
        if microphone.is_named(header, packet) || sound.is_named(header, packet) {
            return sound.is_named(header, packet);
        }
        microphone.ssrc().is_some() && sound.ssrc().is_none()
    }

    /// Is it heard as `csrc`?
    pub(crate) fn is_heard_as(&self, csrc: u32) -> bool {
        self.sources().any(|source| source.csrc() == csrc)
    }
}

/// Totals of one peer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) packets_in: u64,
    pub(crate) packets_out: u64,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
}

impl Traffic {
    pub(crate) fn received(&mut self, len: usize) {
        self.packets_in += 1;
        self.bytes_in += len as u64;
    }

    pub(crate) fn sent(&mut self, len: usize) {
        self.packets_out += 1;
        self.bytes_out += len as u64;
    }
}
