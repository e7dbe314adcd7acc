//! The media thread: from socket to socket without a lock, an allocation or a system call a packet.

use std::{
    collections::VecDeque,
    io,
    net::UdpSocket,
    os::fd::AsFd,
    sync::Arc,
    time::{Duration, Instant},
};

use sfu::{Output, Path, PeerId, Sfu, WorkerId};

use crate::{
    command::Command,
    counters::Counters,
    event::{Event, EventQueue},
    handshakes::Handshakes,
    mailbox::Mailbox,
    outbox::Outbox,
    ring::{Incoming, Outgoing},
    socket::Sockets,
    sys::{Epoll, Inbox, Ready, thread_cpu},
    tcp::{self, Connections},
};

/// Events that found the queue full are offered again after this: who drains so late does not mind.
const EVENT_RETRY: Duration = Duration::from_millis(20);

/// The epoll token of the mailbox. The sockets have their indices, and `Connections` has those above.
const MAILBOX: u64 = u64::MAX;

/// Relayed packets worked on before the sockets have their turn.
const RELAYED: usize = 256;

/// What the thread shares with others, and what outlives a worker that panics.
pub(crate) struct Links {
    pub(crate) worker: WorkerId,
    pub(crate) sockets: Sockets,
    /// TCP connections, at most.
    pub(crate) connections: usize,
    pub(crate) mailbox: Arc<Mailbox<Command>>,
    pub(crate) events: Arc<EventQueue>,
    pub(crate) outgoing: Outgoing,
    pub(crate) incoming: Incoming,
}

pub(crate) struct Worker<'a> {
    sfu: Sfu,
    sockets: &'a [Arc<UdpSocket>],
    mailbox: &'a Mailbox<Command>,
    events: &'a EventQueue,
    incoming: &'a mut Incoming,
    epoll: Epoll,
    inbox: Inbox,
    out: Outbox<'a>,
    commands: VecDeque<Command>,
    datagrams_in: u64,
    bytes_in: u64,
    oversized: u64,
    dtls_unsent: u64,
    events_lost: u64,
}

impl<'a> Worker<'a> {
    pub(crate) fn new(sfu: Sfu, handshakes: Handshakes, links: &'a mut Links) -> io::Result<Worker<'a>> {
        let Links { worker, sockets, connections, mailbox, events, outgoing, incoming } = links;
        let epoll = Epoll::new()?;
        let Sockets { udp: sockets, tcp: listeners } = sockets;
        for (index, socket) in sockets.iter().enumerate() {
            epoll.add(socket.as_fd(), index as u64)?;
        }
        if let Some(wake) = mailbox.wake_fd() {
            epoll.add(wake, MAILBOX)?;
        }
        let tcp = Connections::new(listeners, *connections, &epoll)?;
        let out = Outbox::new(*worker, sockets, tcp, handshakes, outgoing);
        Ok(Worker {
            sfu,
            sockets,
            mailbox,
            events,
            incoming,
            epoll,
            inbox: Inbox::new(),
            out,
            commands: VecDeque::new(),
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
            self.sweep(now);
            if let Some(due) = self.out.tcp.due() {
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
                    socket if socket < self.sockets.len() as u64 => sockets |= 1 << socket,
                    _ => self.serve_tcp(ready),
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

    /// A listener or a connection is ready.
    fn serve_tcp(&mut self, ready: Ready) {
        let now = Instant::now();
        if let Some(listener) = self.out.tcp.listener(ready.token) {
            self.out.tcp.accept(listener, now, &self.epoll);
        } else if let Some(connection) = tcp::connection(ready.token) {
            if ready.writable {
                self.out.tcp.write(connection, &self.epoll);
            }
            if ready.readable {
                self.receive_tcp(now, connection);
            }
        }
        self.forget_closed();
        self.settle();
    }

    /// Take what came on a connection: of one read, and what is left makes epoll return at once.
    fn receive_tcp(&mut self, now: Instant, connection: usize) {
        let Some((path, mut inbound)) = self.out.tcp.read(connection) else { return };
        let taken = inbound.take(|packet| {
            self.datagrams_in += 1;
            self.bytes_in += packet.len() as u64;
            self.sfu.handle(now, path, packet, &mut self.out);
        });
        match taken {
            Ok(()) => self.out.tcp.restore(connection, inbound, |path| self.sfu.is_known(path)),
            Err(_) => {
                self.oversized += 1;
                self.out.tcp.close(connection);
            }
        }
    }

    /// Close the connections of those who have no business here.
    fn sweep(&mut self, now: Instant) {
        self.out.tcp.sweep(now, |path| self.sfu.is_known(path), &self.epoll);
        self.forget_closed();
    }

    fn forget_closed(&mut self) {
        for path in self.out.tcp.closed.drain(..) {
            self.sfu.path_closed(path);
        }
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
            Command::SetSharing(peer, csrcs, silent) => {
                self.sfu.set_sharing(now, peer, &csrcs, silent, &mut self.out);
            }
            Command::Watch(peer, wishes) => self.sfu.watch(now, peer, &wishes, &mut self.out),
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
        self.out.flush(&self.epoll);
        self.events_lost += self.events.publish(&mut self.out.events);
    }

    fn counters(&mut self) -> Counters {
        // What earlier commands of this batch put out counts as sent.
        self.settle();
        let (sent, tcp) = (self.out.sent(), self.out.tcp.totals());
        Counters {
            core: self.sfu.counters(),
            datagrams_in: self.datagrams_in,
            bytes_in: self.bytes_in,
            datagrams_out: sent.datagrams + tcp.packets,
            bytes_out: sent.bytes + tcp.bytes,
            drop_oversized: self.oversized,
            drop_send_full: sent.full,
            drop_send_refused: sent.refused,
            drop_dtls_queue: self.out.handshakes.dropped(),
            drop_dtls_path: self.dtls_unsent,
            drop_event_full: self.events_lost,
            dtls_pending: self.out.handshakes.pending(),
            tcp_connections: self.out.tcp.len() as u64,
            drop_tcp_refused: tcp.refused,
            drop_tcp_full: tcp.dropped,
            drop_relay_full: self.out.rings.dropped(),
            worker_cpu: vec![thread_cpu()],
            worker_restarts: 0,
        }
    }
}
