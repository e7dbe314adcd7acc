//! What the core wants done, collected while it works and done at the end of each batch.

use std::{collections::VecDeque, net::UdpSocket, sync::Arc};

use sfu::{ClosedReason, MAX_DATAGRAM, MAX_RELAY, Note, Output, Path, PeerId, WorkerId, WorkerSet};

use crate::{
    command::Command,
    event::{Event, Reason},
    handshakes::Handshakes,
    ring::Outgoing,
    streams::{FIRST_LISTENER, Streams},
    sys::{Lane, Sent},
};

pub(crate) struct Outbox<'a> {
    /// One for each socket.
    lanes: Box<[Lane]>,
    /// The connections.
    pub(crate) streams: Streams,
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
        handshakes: Handshakes,
        rings: &'a mut Outgoing,
    ) -> Outbox<'a> {
        let lanes = sockets.iter().map(|socket| Lane::new(Arc::clone(socket))).collect();
        Outbox { lanes, streams: Streams::default(), handshakes, rings, worker, events: VecDeque::new() }
    }

    pub(crate) fn flush(&mut self) {
        for lane in &mut self.lanes {
            lane.flush();
        }
        self.rings.flush();
    }

    pub(crate) fn sent(&self) -> Sent {
        self.lanes.iter().map(Lane::sent).chain([self.streams.sent()]).sum()
    }
}

impl Output for Outbox<'_> {
    #[inline]
    fn send(&mut self, to: Path, fill: impl FnOnce(&mut [u8; MAX_DATAGRAM]) -> usize) {
        if to.local >= FIRST_LISTENER {
            return self.streams.send(to, fill);
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
