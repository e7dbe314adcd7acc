//! One client: transport, source, receiver, and what it has cost.

use std::time::Instant;

use crate::ice::Agent;
use crate::police::Policer;
use crate::receiver::Receiver;
use crate::source::Source;
use crate::srtp::{Inbound, Outbound};
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
    pub(crate) source: Option<Source>,
    pub(crate) receiver: Receiver,
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
    pub(crate) fn csrc(&self) -> Option<u32> {
        self.source.as_ref().map(Source::csrc)
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
