//! The media thread's side of the DTLS handshakes: which peers have one, and what goes to the thread that makes them.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::AtomicUsize},
};

use sfu::{Path, PeerId, WorkerId};

use crate::{
    dtls::{Backlog, Request, Terms},
    mailbox::Mailbox,
};

pub(crate) struct Handshakes {
    worker: WorkerId,
    peers: HashMap<PeerId, Handshake>,
    service: Arc<Mailbox<Request>>,
    backlog: Arc<Backlog>,
    /// How many are begun and not done.
    pending: u64,
}

struct Handshake {
    stage: Stage,
    /// Records that wait for the handshake thread.
    waiting: Arc<AtomicUsize>,
}

enum Stage {
    /// Nothing came from the peer yet, and we may not know where it is.
    Awaited(Box<Terms>),
    Pending,
    Done,
}

impl Handshakes {
    pub(crate) fn new(worker: WorkerId, service: Arc<Mailbox<Request>>, backlog: Arc<Backlog>) -> Handshakes {
        Handshakes { worker, peers: HashMap::new(), service, backlog, pending: 0 }
    }

    pub(crate) fn expect(&mut self, peer: PeerId, terms: Box<Terms>) {
        self.peers.insert(peer, Handshake { stage: Stage::Awaited(terms), waiting: Arc::default() });
    }

    /// The peer chose an address: we can open the handshake, if that is for us to do.
    pub(crate) fn begin(&mut self, peer: PeerId) {
        let Some(handshake) = self.peers.get_mut(&peer) else { return };
        match std::mem::replace(&mut handshake.stage, Stage::Pending) {
            Stage::Awaited(terms) => {
                self.pending += 1;
                let worker = self.worker;
                self.ask(Request::Begin { peer, worker, terms });
            }
            begun => handshake.stage = begun,
        }
    }

    /// A DTLS record came from the peer. Clients may open the handshake before they choose an address.
    pub(crate) fn receive(&mut self, peer: PeerId, datagram: &[u8]) {
        self.begin(peer);
        let Some(handshake) = self.peers.get(&peer) else { return };
        if let Some(ticket) = self.backlog.admit(&handshake.waiting) {
            self.ask(Request::Receive { peer, datagram: datagram.into(), ticket });
        }
    }

    pub(crate) fn complete(&mut self, peer: PeerId) {
        let Some(handshake) = self.peers.get_mut(&peer) else { return };
        if let Stage::Pending = std::mem::replace(&mut handshake.stage, Stage::Done) {
            self.pending -= 1;
        }
    }

    /// The peer is gone, and is told so at `path`.
    pub(crate) fn forget(&mut self, peer: PeerId, path: Option<Path>) {
        let Some(handshake) = self.peers.remove(&peer) else { return };
        match handshake.stage {
            Stage::Awaited(_) => return,
            Stage::Pending => self.pending -= 1,
            Stage::Done => {}
        }
        self.ask(Request::Forget { peer, path });
    }

    pub(crate) fn contains(&self, peer: PeerId) -> bool {
        self.peers.contains_key(&peer)
    }

    pub(crate) fn pending(&self) -> u64 {
        self.pending
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.backlog.dropped()
    }

    fn ask(&self, request: Request) {
        // If the handshake thread is gone, the engine says so to whoever asks next.
        let _ = self.service.post(request);
    }
}
