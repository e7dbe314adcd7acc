//! Flows over one bottleneck, in virtual time.
#![allow(dead_code)] // Each binary uses its part.

pub mod media;
pub mod record;
pub mod scenarios;
pub mod tcp;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use simulation::{Conditions, Network, Random, Rate};

use media::{Media, Setup};
use record::Record;
use tcp::{Tcp, Transfer};

pub const MS: Duration = Duration::from_millis(1);
pub const SECOND: Duration = Duration::from_secs(1);

/// Every packet: what it is, of which flow, its number, and when it left, in microseconds.
pub const HEADER: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Data,
    Feedback,
}

pub fn header(kind: Kind, flow: usize, number: u32, sent: Duration) -> [u8; HEADER] {
    let mut bytes = [0; HEADER];
    bytes[0] = kind as u8;
    bytes[1] = flow as u8;
    bytes[4..8].copy_from_slice(&number.to_be_bytes());
    bytes[8..].copy_from_slice(&(sent.as_micros() as u64).to_be_bytes());
    bytes
}

fn parse(bytes: &[u8]) -> (Kind, usize, u32, Duration) {
    let kind = if bytes[0] == 0 { Kind::Data } else { Kind::Feedback };
    let number = u32::from_be_bytes(bytes[4..8].try_into().unwrap());
    let sent = u64::from_be_bytes(bytes[8..16].try_into().unwrap());
    (kind, bytes[1].into(), number, Duration::from_micros(sent))
}

/// Where all flows end that go forward, and those begin that go backward: the bottlenecks are its two links.
pub fn site() -> SocketAddr {
    ([203, 0, 113, 1], 1).into()
}

fn host(flow: usize) -> SocketAddr {
    ([10, 0, 0, flow as u8 + 1], 1).into()
}

/// How a flow's endpoints send.
pub struct Port<'a> {
    network: &'a mut Network,
    pub now: Instant,
    pub start: Instant,
    from: SocketAddr,
    to: SocketAddr,
}

impl Port<'_> {
    pub fn send(&mut self, bytes: Vec<u8>) {
        self.network.send(self.now, self.from, self.to, bytes);
    }

    pub fn time(&self) -> Duration {
        self.now - self.start
    }
}

enum Flow {
    Media(Box<Media>),
    Tcp(Box<Tcp>),
}

pub struct World {
    pub now: Instant,
    pub start: Instant,
    network: Network,
    flows: Vec<(Flow, bool)>,
    seed: u64,
    pub record: Record,
}

impl World {
    /// A bottleneck toward the site, and one from it.
    pub fn new(seed: u64, forward: Conditions, backward: Conditions) -> Self {
        let start = Instant::now();
        let mut network = Network::new(start, seed);
        network.attach(site(), backward, forward);
        Self { now: start, start, network, flows: Vec::new(), seed, record: Record::default() }
    }

    fn attach(&mut self, delay: Duration, jitter: Duration) -> usize {
        let flow = self.flows.len();
        let up = Conditions { delay, jitter, ..Conditions::default() };
        let down = Conditions { delay, ..Conditions::default() };
        self.network.attach(host(flow), up, down);
        flow
    }

    /// With a one-way delay, to the site.
    pub fn media(&mut self, delay: Duration, setup: Setup) -> usize {
        self.jittery(delay, Duration::ZERO, setup)
    }

    pub fn jittery(&mut self, delay: Duration, jitter: Duration, setup: Setup) -> usize {
        let flow = self.attach(delay, jitter);
        let backward = setup.backward;
        let random = Random::new(self.seed).split(flow as u64 + 1);
        let media = Media::new(flow, setup, delay, random, self.start);
        self.flows.push((Flow::Media(Box::new(media)), backward));
        self.record.flow(true);
        flow
    }

    pub fn tcp(&mut self, delay: Duration, transfer: Transfer) -> usize {
        let flow = self.attach(delay, Duration::ZERO);
        self.flows.push((Flow::Tcp(Box::new(Tcp::new(flow, transfer, delay, self.start))), false));
        self.record.flow(false);
        flow
    }

    pub fn change(&mut self, forward: Conditions, backward: Conditions) {
        self.network.change(site(), backward, forward);
    }

    pub fn run(&mut self, until: Duration) {
        let until = self.start + until;
        loop {
            let flows = self.flows.iter().filter_map(|(flow, _)| match flow {
                Flow::Media(media) => media.next(),
                Flow::Tcp(tcp) => tcp.next(),
            });
            let Some(next) = flows.chain(self.network.next()).min().filter(|next| *next <= until) else { break };
            self.now = self.now.max(next);
            self.step();
        }
        self.now = until;
    }

    fn step(&mut self) {
        for datagram in self.network.deliver(self.now) {
            let (kind, flow, number, sent) = parse(&datagram.bytes);
            let mut port = Port {
                network: &mut self.network,
                now: datagram.at.max(self.now),
                start: self.start,
                from: datagram.to,
                to: datagram.from,
            };
            match (&mut self.flows[flow].0, kind) {
                (Flow::Media(media), Kind::Data) => {
                    media.arrived(&mut port, number, sent, datagram.bytes.len(), &mut self.record)
                }
                (Flow::Media(media), Kind::Feedback) => media.feedback(&mut port, &datagram.bytes[HEADER..]),
                (Flow::Tcp(tcp), Kind::Data) => {
                    tcp.arrived(&mut port, number, sent, datagram.bytes.len(), &mut self.record)
                }
                (Flow::Tcp(tcp), Kind::Feedback) => tcp.acknowledged(&mut port, number, sent),
            }
        }
        for (index, (flow, backward)) in self.flows.iter_mut().enumerate() {
            let (from, to) = if *backward { (site(), host(index)) } else { (host(index), site()) };
            let mut port = Port { network: &mut self.network, now: self.now, start: self.start, from, to };
            match flow {
                Flow::Media(media) => media.act(&mut port, &mut self.record),
                Flow::Tcp(tcp) => tcp.act(&mut port),
            }
        }
    }

    pub fn estimator(&self, flow: usize) -> &congestion::Estimator {
        match &self.flows[flow].0 {
            Flow::Media(media) => &media.estimator,
            Flow::Tcp(_) => panic!("a media flow"),
        }
    }
}

/// A drop-tail bottleneck: rates from times in seconds on, in kb/s, and a queue of so much time at `reference` kb/s.
pub fn bottleneck(steps: &[(u64, u64)], reference: u64, queue: Duration) -> Conditions {
    let rates = steps.iter().map(|(at, kbps)| (Duration::from_secs(*at), kbps * 1000)).collect();
    let queue = congestion::Bitrate::kbps(reference).bytes_in(queue);
    Conditions { rate: Some(Rate::schedule(rates)), queue, ..Conditions::default() }
}
