//! What the core wants done, collected while it works and done at the end of each batch.

use std::{collections::VecDeque, net::UdpSocket, sync::Arc};

use sfu::{ClosedReason, MAX_DATAGRAM, MAX_RELAY, Note, Output, Path, PeerId, WorkerId, WorkerSet};

use crate::{
    command::Command,
    event::{Event, Reason},
    handshakes::Handshakes,
    ring::Outgoing,
    sys::{Epoll, Lane, Sent},
    tcp::{self, Connections},
};

pub(crate) struct Outbox<'a> {
    /// One for each socket.
    lanes: Box<[Lane]>,
    pub(crate) tcp: Connections<'a>,
    pub(crate) handshakes: Handshakes,
    /// To the other workers. Lent by the thread, which outlives this.
    pub(crate) rings: &'a mut Outgoing,
    worker: WorkerId,
    /// Not yet published.
    pub(crate) events: VecDeque<Event>,
}

impl<'a> Outbox<'a> {
    pub(crate) fn new(
        worker: WorkerId,
        sockets: &[Arc<UdpSocket>],
        tcp: Connections<'a>,
        handshakes: Handshakes,
        rings: &'a mut Outgoing,
    ) -> Outbox<'a> {
        let lanes = sockets.iter().map(|socket| Lane::new(Arc::clone(socket))).collect();
        Outbox { lanes, tcp, handshakes, rings, worker, events: VecDeque::new() }
    }

    pub(crate) fn flush(&mut self, epoll: &Epoll) {
        for lane in &mut self.lanes {
            lane.flush();
        }
        self.tcp.flush(epoll);
        self.rings.flush();
    }

    pub(crate) fn sent(&self) -> Sent {
        self.lanes.iter().map(Lane::sent).sum()
    }
}

impl Output for Outbox<'_> {
    #[inline]
    fn send(&mut self, to: Path, fill: impl FnOnce(&mut [u8; MAX_DATAGRAM]) -> usize) {
        if to.local >= tcp::FIRST_LOCAL {
            return self.tcp.send(to, fill);
        }
        // A path comes from a datagram that arrived at one of our sockets.
        self.lanes[usize::from(to.local)].push(to.remote, fill);
    }

    fn dtls(&mut self, peer: PeerId, datagram: &[u8]) {
        self.handshakes.receive(peer, datagram);
    }

    fn event(&mut self, event: sfu::Event) {
        let event = match event {
            sfu::Event::Reachable { peer } => return self.handshakes.begin(peer),
            sfu::Event::Connected { peer } => Event::Connected { peer },
            sfu::Event::Closed { peer, reason } => {
                self.handshakes.forget(peer, None);
                let reason = match reason {
                    ClosedReason::Handshake => Reason::Handshake,
                    ClosedReason::Consent => Reason::Consent,
                };
                Event::Closed { peer, reason }
            }
            sfu::Event::SlotChanged { peer, slot, csrc, timestamp } => {
                Event::SlotChanged { peer, slot, csrc, timestamp }
            }
            sfu::Event::VideoSlot { peer, slot, csrc, timestamp, encoding, spatial, temporal, limit } => {
                Event::VideoSlot { peer, slot, csrc, timestamp, encoding, spatial, temporal, limit }
            }
            sfu::Event::Encodings { peer, csrc, wanted } => Event::Encodings { peer, csrc, wanted },
            sfu::Event::RoomSlot { room, slot, csrc, timestamp } => Event::RoomSlot { room, slot, csrc, timestamp },
            sfu::Event::Speaking { room, csrc, speaking } => Event::Speaking { room, csrc, speaking },
            sfu::Event::Dominant { room, csrc } => Event::Dominant { room, csrc },
        };
        self.events.push_back(event);
    }

    fn relay(&mut self, to: WorkerSet, fill: impl FnOnce(&mut [u8; MAX_RELAY]) -> usize) {
        self.rings.relay(to, fill);
    }

    fn note(&mut self, to: WorkerId, note: Note) {
        self.rings.command(to, Command::Note(self.worker, note));
    }
}
