//! One thread of a swarm.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{Receiver, TryRecvError},
    },
    time::{Duration, Instant},
};

use mio::{Events, Interest, Poll, Token, Waker, net::UdpSocket};

use crate::{
    Client, Clock, Delays, Failure, Identity, Join, MAX_DATAGRAM, Outcome, Output, Packet, Random, Settings, State,
    Statistics, VideoStamp, dump::Dump, runner::Shared, stamp::Stamp,
};

/// The token of the waker; clients have their indices.
const WAKER: Token = Token(usize::MAX);
/// Sockets that one wait may report.
const EVENTS: usize = 1024;

/// Errors of one socket in one turn; one that has more is broken.
const MAX_ERRORS: u64 = 16;

pub(crate) enum Order {
    Add(Box<Join>),
    Stop,
}

pub(crate) struct Worker {
    identity: Arc<Identity>,
    clock: Clock,
    run: u32,
    inbox: Receiver<Order>,
    shared: Arc<Shared>,
    poll: Poll,
    random: Random,
    peers: Vec<Option<Peer>>,
    /// When which peer wants to be polled. An entry that is not the peer's `scheduled` any more is void.
    timers: BinaryHeap<Reverse<(Instant, usize)>>,
    outcomes: Vec<Outcome>,
    delays: Delays,
}

struct Peer {
    number: u64,
    client: Client,
    socket: UdpSocket,
    slots: Vec<u32>,
    began: Instant,
    joined: Option<Duration>,
    scheduled: Option<Instant>,
    socket_errors: u64,
    /// Told to `Shared` already: RTP packets sent and received.
    told: (u64, u64),
    dump: Option<Dump>,
}

/// A client's way out: its socket, and the histograms of the thread.
struct Way<'a> {
    socket: &'a UdpSocket,
    errors: &'a mut u64,
    delays: Option<&'a mut Delays>,
    run: u32,
    elapsed: Duration,
}

impl Output for Way<'_> {
    fn send(&mut self, datagram: &[u8]) {
        // What the kernel does not take is lost, as it would be further on.
        *self.errors += u64::from(self.socket.send(datagram).is_err());
    }

    fn heard(&mut self, packet: &Packet<'_>) {
        let Some(delays) = &mut self.delays else { return };
        if let Some(stamp) = Stamp::read(packet.payload).filter(|stamp| stamp.run == self.run) {
            delays.voice.record(self.elapsed.saturating_sub(stamp.sent));
        } else if let Some(stamp) = VideoStamp::read(packet.payload).filter(|stamp| stamp.run == self.run) {
            delays.video.record(self.elapsed.saturating_sub(stamp.sent));
        }
    }
}

impl Worker {
    pub(crate) fn new(settings: &Settings, inbox: Receiver<Order>, shared: Arc<Shared>) -> io::Result<(Worker, Waker)> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        let worker = Worker {
            identity: Arc::clone(&settings.identity),
            clock: settings.clock,
            run: settings.run,
            inbox,
            shared,
            poll,
            random: Random::from_entropy(),
            peers: Vec::new(),
            timers: BinaryHeap::new(),
            outcomes: Vec::new(),
            delays: Delays::default(),
        };
        Ok((worker, waker))
    }

    /// Serve until told to stop. Panics when epoll fails, which leaves nothing to go on with.
    pub(crate) fn run(mut self) -> (Vec<Outcome>, Delays) {
        let mut events = Events::with_capacity(EVENTS);
        loop {
            let next = self.timers.peek().map(|Reverse((due, _))| due.saturating_duration_since(Instant::now()));
            match self.poll.poll(&mut events, next) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                result => result.expect("epoll works"),
            }
            let measuring = self.shared.measuring.load(Ordering::Relaxed);
            for event in &events {
                match event.token() {
                    WAKER => {
                        if self.obey() {
                            return self.finish();
                        }
                    }
                    Token(at) => self.receive(at, measuring),
                }
            }
            self.poll_due();
        }
    }

    /// Take what was ordered; true when that is to stop.
    fn obey(&mut self) -> bool {
        loop {
            match self.inbox.try_recv() {
                Ok(Order::Add(join)) => self.add(*join),
                Ok(Order::Stop) | Err(TryRecvError::Disconnected) => return true,
                Err(TryRecvError::Empty) => return false,
            }
        }
    }

    fn add(&mut self, join: Join) {
        let number = join.number;
        let now = Instant::now();
        match self.open(now, join) {
            Ok(peer) => {
                let at = self.peers.len();
                self.peers.push(Some(peer));
                self.schedule(at, now);
            }
            Err(_) => {
                // No route, no descriptor, no memory: the server was never asked.
                self.shared.failed.fetch_add(1, Ordering::Relaxed);
                let failure = Some(Failure::Unreachable);
                let statistics = Statistics::default();
                self.outcomes.push(Outcome { number, joined: None, failure, socket_errors: 1, statistics });
            }
        }
    }

    fn open(&mut self, now: Instant, join: Join) -> io::Result<Peer> {
        let Join { number, session, socket, devices, began, dump } = join;
        let socket = connect(socket, session.remote)?;
        socket.set_nonblocking(true)?;
        let mut socket = UdpSocket::from_std(socket);
        self.poll.registry().register(&mut socket, Token(self.peers.len()), Interest::READABLE)?;
        let slots = if dump.is_some() { session.slots.clone() } else { Vec::new() };
        let random = Random::new(self.random.number());
        let client = Client::new(now, &self.identity, self.clock, session, devices, random)?;
        let (joined, scheduled) = (None, None);
        Ok(Peer { number, client, socket, slots, began, joined, scheduled, socket_errors: 0, told: (0, 0), dump })
    }

    /// Take everything that waits at a socket: it is not reported again before something new comes.
    fn receive(&mut self, at: usize, measuring: bool) {
        let mut buffer = [0; MAX_DATAGRAM];
        let Some(Some(peer)) = self.peers.get_mut(at) else { return };
        let before = peer.client.state();
        let mut errors = 0;
        loop {
            let length = match peer.socket.recv(&mut buffer) {
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // The echo of a datagram that could not be delivered (ICMP), and gone now.
                Err(_) if errors < MAX_ERRORS => {
                    errors += 1;
                    continue;
                }
                Err(_) => break,
            };
            let now = Instant::now();
            let elapsed = self.clock.elapsed(now);
            let datagram = &mut buffer[..length];
            if let Some(dump) = &mut peer.dump
                && dump.write(elapsed, datagram, peer.client.material(), &peer.slots).is_err()
            {
                peer.dump = None;
            }
            let delays = measuring.then_some(&mut self.delays);
            let mut way = Way { socket: &peer.socket, errors: &mut peer.socket_errors, delays, run: self.run, elapsed };
            peer.client.receive(now, datagram, &mut way);
        }
        peer.socket_errors += errors;
        let now = Instant::now();
        if peer.client.state() != before {
            self.changed(at, now);
        }
        self.schedule(at, now);
    }

    fn poll_due(&mut self) {
        let mut now = Instant::now();
        while let Some(&Reverse((due, at))) = self.timers.peek()
            && due <= now
        {
            self.timers.pop();
            let Some(Some(peer)) = self.peers.get_mut(at) else { continue };
            if peer.scheduled != Some(due) {
                continue;
            }
            peer.scheduled = None;
            // A stamp says when its frame was sent, and the peers before this one took their time.
            now = Instant::now();
            let elapsed = self.clock.elapsed(now);
            let before = peer.client.state();
            let mut way =
                Way { socket: &peer.socket, errors: &mut peer.socket_errors, delays: None, run: self.run, elapsed };
            peer.client.poll(now, &mut way);
            let packets = peer.client.packets();
            self.shared.sent.fetch_add(packets.0 - peer.told.0, Ordering::Relaxed);
            self.shared.received.fetch_add(packets.1 - peer.told.1, Ordering::Relaxed);
            peer.told = packets;
            if peer.client.state() != before {
                self.changed(at, now);
            }
            self.schedule(at, now);
        }
    }

    /// The client got further, or came to its end.
    fn changed(&mut self, at: usize, now: Instant) {
        let Some(Some(peer)) = self.peers.get_mut(at) else { return };
        match peer.client.state() {
            State::Connected if peer.joined.is_none() => {
                peer.joined = Some(now.saturating_duration_since(peer.began));
                self.shared.connected.fetch_add(1, Ordering::Relaxed);
            }
            State::Over(failure) => {
                let is_leaving = self.shared.leaving.load(Ordering::Relaxed);
                let failure = failure.filter(|failure| !(is_leaving && *failure == Failure::Closed));
                self.shared.failed.fetch_add(u64::from(failure.is_some()), Ordering::Relaxed);
                self.dismiss(at, failure);
            }
            _ => {}
        }
    }

    /// Enter the peer's next time, if it is sooner than the one that is entered.
    fn schedule(&mut self, at: usize, now: Instant) {
        let Some(Some(peer)) = self.peers.get_mut(at) else { return };
        let Some(due) = peer.client.due().map(|due| due.max(now)) else { return };
        if peer.scheduled.is_none_or(|scheduled| due < scheduled) {
            peer.scheduled = Some(due);
            self.timers.push(Reverse((due, at)));
        }
    }

    fn dismiss(&mut self, at: usize, failure: Option<Failure>) {
        let Some(mut peer) = self.peers[at].take() else { return };
        if let Some(dump) = &mut peer.dump {
            peer.socket_errors += u64::from(dump.finish().is_err());
        }
        self.outcomes.push(Outcome {
            number: peer.number,
            joined: peer.joined,
            failure,
            socket_errors: peer.socket_errors,
            statistics: peer.client.statistics(),
        });
    }

    fn finish(mut self) -> (Vec<Outcome>, Delays) {
        for at in 0..self.peers.len() {
            let Some(peer) = &mut self.peers[at] else { continue };
            let now = Instant::now();
            let elapsed = self.clock.elapsed(now);
            let mut way =
                Way { socket: &peer.socket, errors: &mut peer.socket_errors, delays: None, run: self.run, elapsed };
            peer.client.close(now, &mut way);
            self.dismiss(at, None);
        }
        (self.outcomes, self.delays)
    }
}

/// Connect a socket, or a new one where this one cannot reach the address: bound to loopback, or of the other family.
fn connect(socket: std::net::UdpSocket, remote: SocketAddr) -> io::Result<std::net::UdpSocket> {
    if socket.connect(remote).is_ok() {
        return Ok(socket);
    }
    let any: SocketAddr = if remote.is_ipv4() { ([0; 4], 0).into() } else { ([0u16; 8], 0).into() };
    let socket = std::net::UdpSocket::bind(any)?;
    socket.connect(remote)?;
    Ok(socket)
}
