//! The media thread: from socket to socket without a lock, an allocation or a system call a packet.

use std::{
    collections::VecDeque,
    io,
    net::{TcpListener, UdpSocket},
    os::fd::AsFd,
    sync::Arc,
    time::{Duration, Instant},
};

use sfu::{MAX_DATAGRAM, Output, Path, PeerId, Sfu, WorkerId};

use crate::{
    command::Command,
    counters::Counters,
    event::{Event, EventQueue},
    handshakes::Handshakes,
    mailbox::Mailbox,
    outbox::Outbox,
    ring::{Incoming, Outgoing},
    socket::Sockets,
    sys::{Epoll, Inbox, thread_cpu},
};

/// Events that found the queue full are offered again after this: who drains so late does not mind.
const EVENT_RETRY: Duration = Duration::from_millis(20);

/// The epoll token of the mailbox; the sockets have their indices, the listeners and connections theirs with a bit each.
const MAILBOX: u64 = u64::MAX;
const LISTENER: u64 = 1 << 32;
const CONNECTION: u64 = 1 << 33;

/// Connections accepted before the others have their turn.
const ACCEPTED: usize = 64;

fn connection_token(index: usize) -> u64 {
    CONNECTION | index as u64
}

/// Relayed packets worked on before the sockets have their turn.
const RELAYED: usize = 256;

/// What the thread shares with others, and what outlives a worker that panics.
pub(crate) struct Links {
    pub(crate) worker: WorkerId,
    pub(crate) sockets: Sockets,
    pub(crate) mailbox: Arc<Mailbox<Command>>,
    pub(crate) events: Arc<EventQueue>,
    pub(crate) outgoing: Outgoing,
    pub(crate) incoming: Incoming,
}

pub(crate) struct Worker<'a> {
    sfu: Sfu,
    sockets: &'a [Arc<UdpSocket>],
    listeners: &'a [TcpListener],
    mailbox: &'a Mailbox<Command>,
    events: &'a EventQueue,
    incoming: &'a mut Incoming,
    epoll: Epoll,
    inbox: Inbox,
    out: Outbox<'a>,
    commands: VecDeque<Command>,
    /// Connections to be closed.
    over: Vec<Path>,
    datagrams_in: u64,
    bytes_in: u64,
    oversized: u64,
    dtls_unsent: u64,
    events_lost: u64,
}

impl<'a> Worker<'a> {
    pub(crate) fn new(sfu: Sfu, handshakes: Handshakes, links: &'a mut Links) -> io::Result<Worker<'a>> {
        let Links { worker, sockets, mailbox, events, outgoing, incoming } = links;
        let epoll = Epoll::new()?;
        let Sockets { udp: sockets, tcp: listeners } = sockets;
        for (index, socket) in sockets.iter().enumerate() {
            epoll.add(socket.as_fd(), index as u64)?;
        }
        for (index, listener) in listeners.iter().enumerate() {
            epoll.add(listener.as_fd(), LISTENER | index as u64)?;
        }
        if let Some(wake) = mailbox.wake_fd() {
            epoll.add(wake, MAILBOX)?;
        }
        let out = Outbox::new(*worker, sockets, handshakes, outgoing);
        Ok(Worker {
            sfu,
            sockets,
            listeners,
            mailbox,
            events,
            incoming,
            epoll,
            inbox: Inbox::new(),
            out,
            commands: VecDeque::new(),
            over: Vec::new(),
            datagrams_in: 0,
            bytes_in: 0,
            oversized: 0,
            dtls_unsent: 0,
            events_lost: 0,
        })
    }

    /// Serve until asked to stop. Errors are of epoll itself, which leaves nothing to go on with.
    pub(crate) fn run(mut self) -> io::Result<()> {
        loop {
            let now = Instant::now();
            let mut timeout = self.sfu.poll(now, &mut self.out).map(|due| due.saturating_duration_since(now));
            self.settle();
            if let Some(due) = self.out.streams.next_sweep() {
                self.sweep(now);
                let left = due.saturating_duration_since(now);
                timeout = Some(timeout.map_or(left, |timeout| timeout.min(left)));
            }
            if !self.out.events.is_empty() {
                timeout = Some(timeout.map_or(EVENT_RETRY, |timeout| timeout.min(EVENT_RETRY)));
            }
            if !self.incoming.is_empty() {
                timeout = Some(Duration::ZERO);
            }
            // Sockets are few (MAX_ADDRESSES), so a bit each will do.
            let (mut sockets, mut mailbox) = (0u64, false);
            for ready in self.epoll.wait(timeout)? {
                match ready.token {
                    MAILBOX => mailbox = true,
                    token if token & CONNECTION != 0 => {
                        let index = (token & !CONNECTION) as usize;
                        if ready.writable {
                            self.out.streams.unblock(index, &self.epoll, token);
                        }
                        if ready.readable {
                            self.receive_stream(index);
                        }
                    }
                    token if token & LISTENER != 0 => self.accept((token & !LISTENER) as usize),
                    socket => sockets |= 1 << socket,
                }
            }
            for index in 0..self.sockets.len() {
                if sockets & 1 << index != 0 {
                    self.receive(index);
                }
            }
            if mailbox && self.obey() {
                return Ok(());
            }
            self.take_relayed();
        }
    }

    /// Work on what other workers relayed.
    fn take_relayed(&mut self) {
        let now = Instant::now();
        for _ in 0..RELAYED {
            let Some(packet) = self.incoming.pop() else { break };
            self.sfu.relayed(now, packet.bytes(), &mut self.out);
        }
        self.settle();
    }

    /// Take one batch of what arrived at a socket and let the core work on it. What is left makes epoll return at once,
    /// after commands, timers and the other sockets had their turn.
    fn receive(&mut self, index: usize) {
        // An error here is the echo of a datagram that could not be delivered (ICMP), and is gone now.
        if self.inbox.fill(self.sockets[index].as_fd()).is_err() {
            return;
        }
        let now = Instant::now();
        for datagram in self.inbox.datagrams() {
            self.datagrams_in += 1;
            self.bytes_in += datagram.bytes.len() as u64;
            if datagram.truncated {
                self.oversized += 1;
                continue;
            }
            let path = Path { local: index as u8, remote: datagram.from };
            self.sfu.handle(now, path, datagram.bytes, &mut self.out);
        }
        self.settle();
    }

    fn accept(&mut self, listener: usize) {
        let now = Instant::now();
        for _ in 0..ACCEPTED {
            // Without a descriptor to spare, or when the client is gone already: the next may do better.
            let Ok((stream, from)) = self.listeners[listener].accept() else { return };
            self.out.streams.add(now, &self.epoll, connection_token, listener as u8, stream, from);
        }
    }

    /// Take what came on a connection, frame by frame: of one read, and what is left makes epoll return at once.
    fn receive_stream(&mut self, index: usize) {
        let now = Instant::now();
        let Some(path) = self.out.streams.path(index) else { return };
        if self.out.streams.fill(index).and_then(|()| self.take_frames(now, index, path)).is_err() {
            self.close_stream(path);
        }
        self.settle();
    }

    fn take_frames(&mut self, now: Instant, index: usize, path: Path) -> io::Result<()> {
        let mut datagram = [0; MAX_DATAGRAM];
        while let Some(len) = self.out.streams.take(index, &mut datagram)? {
            self.datagrams_in += 1;
            self.bytes_in += len as u64;
            self.sfu.handle(now, path, &mut datagram[..len], &mut self.out);
            self.out.streams.set_known(now, index, self.sfu.is_known(path));
        }
        Ok(())
    }

    fn close_stream(&mut self, path: Path) {
        self.out.streams.close(path);
        self.sfu.path_closed(path);
    }

    /// Close the connections of those who have no business here.
    fn sweep(&mut self, now: Instant) {
        let mut over = std::mem::take(&mut self.over);
        self.out.streams.sweep(now, |path| self.sfu.is_known(path), &mut over);
        for path in over.drain(..) {
            self.close_stream(path);
        }
        self.over = over;
    }

    /// Do what was asked; true if that is to stop.
    fn obey(&mut self) -> bool {
        let mut commands = std::mem::take(&mut self.commands);
        self.mailbox.take(&mut commands);
        let mut is_over = false;
        for command in commands.drain(..) {
            is_over |= self.execute(command);
        }
        self.commands = commands;
        self.settle();
        is_over
    }

    fn execute(&mut self, command: Command) -> bool {
        let now = Instant::now();
        // A caller that no longer waits for its reply does not need it.
        match command {
            Command::AddPeer { placement, peer, config, terms, reply } => {
                let added = self.sfu.add_peer(now, placement, peer, *config, &mut self.out);
                if let (Ok(()), Some(terms)) = (&added, terms) {
                    self.out.handshakes.expect(peer, terms);
                }
                let _ = reply.try_send(added);
            }
            Command::RemovePeer(peer) => self.remove(now, peer),
            Command::MovePeer(peer, placement) => self.sfu.move_peer(now, peer, placement, &mut self.out),
            Command::SetMuted(peer, muted) => self.sfu.set_muted(now, peer, muted, &mut self.out),
            Command::SetDeafened(peer, deafened) => self.sfu.set_deafened(now, peer, deafened, &mut self.out),
            Command::SetIgnored(peer, csrcs) => self.sfu.set_ignored(now, peer, &csrcs, &mut self.out),
            Command::RestartIce { peer, credentials, reply } => {
                let _ = reply.try_send(self.sfu.restart_ice(peer, *credentials));
            }
            Command::SetKeys { peer, keys } => {
                self.out.handshakes.complete(peer);
                self.sfu.set_keys(peer, *keys, &mut self.out);
            }
            Command::Lost { peer, reason } => {
                // Unless it was removed, or given up by the core, while the message was on its way.
                if self.out.handshakes.contains(peer) {
                    self.remove(now, peer);
                    self.out.events.push_back(Event::Closed { peer, reason });
                }
            }
            Command::SendDtls { peer, path, datagram } => self.send_dtls(peer, path, &datagram),
            Command::Note(from, note) => self.sfu.noted(now, from, note, &mut self.out),
            Command::WorkerRestarted(worker) => self.sfu.worker_restarted(now, worker, &mut self.out),
            Command::Counters(reply) => {
                let _ = reply.try_send(self.counters());
            }
            Command::Statistics(reply) => {
                let mut rows = Vec::new();
                self.sfu.statistics(&mut rows);
                let _ = reply.try_send(rows);
            }
            Command::Panic => panic!("asked to"),
            Command::Stop => return true,
        }
        false
    }

    fn remove(&mut self, now: Instant, peer: PeerId) {
        self.out.handshakes.forget(peer, self.sfu.selected_path(peer));
        self.sfu.remove_peer(now, peer, &mut self.out);
    }

    fn send_dtls(&mut self, peer: PeerId, path: Option<Path>, datagram: &[u8]) {
        let Some(path) = path.or_else(|| self.sfu.selected_path(peer)) else {
            self.dtls_unsent += 1;
            return;
        };
        self.out.send(path, |buffer| match buffer.get_mut(..datagram.len()) {
            Some(space) => {
                space.copy_from_slice(datagram);
                datagram.len()
            }
            None => 0,
        });
    }

    /// Send and publish what the core has put out.
    fn settle(&mut self) {
        self.out.flush();
        self.out.streams.flush(&self.epoll, connection_token);
        self.events_lost += self.events.publish(&mut self.out.events);
    }

    fn counters(&mut self) -> Counters {
        // What earlier commands of this batch put out counts as sent.
        self.settle();
        let sent = self.out.sent();
        Counters {
            core: self.sfu.counters(),
            datagrams_in: self.datagrams_in,
            bytes_in: self.bytes_in,
            datagrams_out: sent.datagrams,
            bytes_out: sent.bytes,
            drop_oversized: self.oversized,
            drop_send_full: sent.full,
            drop_send_refused: sent.refused,
            drop_dtls_queue: self.out.handshakes.dropped(),
            drop_dtls_path: self.dtls_unsent,
            drop_event_full: self.events_lost,
            dtls_pending: self.out.handshakes.pending(),
            tcp_connections: self.out.streams.len() as u64,
            drop_tcp_refused: self.out.streams.refused(),
            drop_relay_full: self.out.rings.dropped(),
            worker_cpu: vec![thread_cpu()],
            worker_restarts: 0,
        }
    }
}
