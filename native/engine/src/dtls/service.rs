use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use sfu::{Path, PeerId, WorkerId};

use super::{
    Backlog, Identity, Terms, Ticket,
    association::{Association, Progress},
};
use crate::{command::Command, event::Reason, mailbox::Mailbox};

/// From the first address that answers to the last flight. Slow is five retransmissions (RFC 6347 §4.2.4.1: 1 + 2 + 4 + 8
/// + 16 s); slower is gone.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(30);

/// What the media thread asks of the handshake thread.
pub(crate) enum Request {
    /// An address of the peer is known: make the connection.
    Begin { peer: PeerId, worker: WorkerId, terms: Box<Terms> },
    /// A datagram of DTLS records came from the peer.
    Receive { peer: PeerId, datagram: Box<[u8]>, ticket: Ticket },
    /// The peer is gone. Say goodbye to it at `path`.
    Forget { peer: PeerId, path: Option<Path> },
    /// Say goodbye to all peers and end the thread.
    Stop,
}

/// The handshake thread.
pub(crate) struct Service {
    identity: Identity,
    requests: Arc<Mailbox<Request>>,
    /// The media threads, by worker.
    media: Vec<Arc<Mailbox<Command>>>,
    backlog: Arc<Backlog>,
    connections: HashMap<PeerId, Connection>,
    /// Handshakes under way, by when each must be looked at next.
    due: BTreeSet<(Instant, u64)>,
}

struct Connection {
    association: Association,
    /// Who serves the peer.
    worker: WorkerId,
    /// When the handshake is given up.
    limit: Instant,
    /// Its entry in `due`.
    due: Option<Instant>,
}

impl Service {
    pub(crate) fn new(
        identity: Identity,
        requests: Arc<Mailbox<Request>>,
        media: Vec<Arc<Mailbox<Command>>>,
        backlog: Arc<Backlog>,
    ) -> Service {
        Service { identity, requests, media, backlog, connections: HashMap::new(), due: BTreeSet::new() }
    }

    /// Serve until asked to stop.
    pub(crate) fn run(mut self) {
        let mut requests = VecDeque::new();
        loop {
            self.requests.take_until(self.due.first().map(|&(due, _)| due), &mut requests);
            for request in requests.drain(..) {
                match request {
                    Request::Begin { peer, worker, terms } => self.begin(peer, worker, *terms),
                    Request::Receive { peer, datagram, ticket } => {
                        self.advance(peer, |association| association.receive(datagram));
                        drop(ticket);
                    }
                    Request::Forget { peer, path } => self.forget(peer, path),
                    Request::Stop => return self.stop(),
                }
            }
            self.advance_due();
        }
    }

    fn begin(&mut self, peer: PeerId, worker: WorkerId, terms: Terms) {
        match Association::new(&self.identity, terms) {
            Ok(association) => {
                let limit = Instant::now() + HANDSHAKE_LIMIT;
                self.connections.insert(peer, Connection { association, worker, limit, due: None });
                self.advance(peer, Association::advance);
            }
            Err(_) => self.tell(worker, Command::Lost { peer, reason: Reason::Handshake }),
        }
    }

    /// Let the peer's association take a step, and pass on what comes of it.
    fn advance(&mut self, peer: PeerId, step: impl FnOnce(&mut Association) -> Progress) {
        let Some(connection) = self.connections.get_mut(&peer) else { return };
        let progress = step(&mut connection.association);
        let worker = connection.worker;
        // The last flight before the keys, the alert before the end: the media thread keeps the order.
        send(&mut connection.association, peer, None, &self.media[usize::from(worker.0)], &self.backlog);
        match progress {
            Progress::None => {}
            Progress::Established(keys) => self.tell(worker, Command::SetKeys { peer, keys }),
            Progress::Over(reason) => {
                self.remove(peer);
                return self.tell(worker, Command::Lost { peer, reason });
            }
        }
        self.schedule(peer);
    }

    /// Retransmit what is due, and give up what took too long.
    fn advance_due(&mut self) {
        let now = Instant::now();
        while let Some(&(due, peer)) = self.due.first()
            && due <= now
        {
            let peer = PeerId(peer);
            if let Some(connection) = self.connections.get(&peer).filter(|connection| connection.limit <= now) {
                let worker = connection.worker;
                self.remove(peer);
                self.tell(worker, Command::Lost { peer, reason: Reason::Handshake });
            } else {
                self.advance(peer, Association::advance);
            }
        }
    }

    fn schedule(&mut self, peer: PeerId) {
        let Some(connection) = self.connections.get_mut(&peer) else { return };
        let due = connection.association.is_handshaking().then(|| {
            let retransmission = connection.association.retransmission(Instant::now());
            retransmission.map_or(connection.limit, |due| due.min(connection.limit))
        });
        if let Some(before) = std::mem::replace(&mut connection.due, due) {
            self.due.remove(&(before, peer.0));
        }
        self.due.extend(due.map(|due| (due, peer.0)));
    }

    fn forget(&mut self, peer: PeerId, path: Option<Path>) {
        if let Some(Connection { mut association, worker, .. }) = self.remove(peer) {
            association.close();
            send(&mut association, peer, path, &self.media[usize::from(worker.0)], &self.backlog);
        }
    }

    fn stop(&mut self) {
        for (&peer, connection) in &mut self.connections {
            connection.association.close();
            let media = &self.media[usize::from(connection.worker.0)];
            send(&mut connection.association, peer, None, media, &self.backlog);
        }
    }

    fn remove(&mut self, peer: PeerId) -> Option<Connection> {
        let connection = self.connections.remove(&peer)?;
        if let Some(due) = connection.due {
            self.due.remove(&(due, peer.0));
        }
        Some(connection)
    }

    fn tell(&self, worker: WorkerId, command: Command) {
        // If the media thread is gone, the engine says so to whoever asks next.
        let _ = self.media[usize::from(worker.0)].post(command);
    }
}

fn send(association: &mut Association, peer: PeerId, path: Option<Path>, media: &Mailbox<Command>, backlog: &Backlog) {
    for datagram in association.outgoing() {
        if media.offer(Command::SendDtls { peer, path, datagram }).is_err() {
            backlog.drop_one();
        }
    }
}
