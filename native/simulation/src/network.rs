//! Hosts, their links and NATs, and what is on its way between them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::net::SocketAddr;
use std::time::Instant;

use crate::conditions::Conditions;
use crate::link::{Arrivals, Link, LinkStatistics};
use crate::random::Random;

/// What arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// When.
    pub at: Instant,
    /// From whom, as the receiver sees it.
    pub from: SocketAddr,
    /// The receiver's own address, inside of its NAT.
    pub to: SocketAddr,
    /// Its payload.
    pub bytes: Vec<u8>,
}

/// An address translation (RFC 4787): endpoint-independent mapping, address- and port-dependent filtering.
#[derive(Debug)]
struct Nat {
    outside: SocketAddr,
    /// Sent to through the present mapping.
    permitted: BTreeSet<SocketAddr>,
}

#[derive(Debug)]
struct Host {
    up: Link,
    down: Link,
    nat: Option<Nat>,
}

/// Where a datagram is.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// Comes out of its sender's uplink.
    Core,
    /// Comes out of the downlink of the host with this address.
    Arrival(SocketAddr),
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Flight {
    at: Instant,
    /// In the order in which they were put in, among those of one instant.
    number: u64,
    stage: Stage,
    from: SocketAddr,
    to: SocketAddr,
    bytes: Vec<u8>,
}

/// See the crate.
#[derive(Debug)]
pub struct Network {
    start: Instant,
    random: Random,
    /// By address, inside of a NAT where there is one.
    hosts: BTreeMap<SocketAddr, Host>,
    /// The inside of each mapping of a NAT; None: of one that is no more.
    insides: BTreeMap<SocketAddr, Option<SocketAddr>>,
    flights: BinaryHeap<Reverse<Flight>>,
    count: u64,
    /// Sent to a mapping that is no more, or by somebody whom a NAT does not let in.
    strayed: u64,
}

impl Network {
    /// Nobody there yet; `start` is the zero of all rates' schedules.
    pub fn new(start: Instant, seed: u64) -> Self {
        Self {
            start,
            random: Random::new(seed),
            hosts: BTreeMap::new(),
            insides: BTreeMap::new(),
            flights: BinaryHeap::new(),
            count: 0,
            strayed: 0,
        }
    }

    /// A host with links of its own. Attached again, it begins anew.
    pub fn attach(&mut self, address: SocketAddr, up: Conditions, down: Conditions) {
        let random = address.to_string().bytes().fold(self.random.clone(), |random, byte| random.split(byte.into()));
        let host = Host {
            up: Link::new(up, random.split(1), self.start),
            down: Link::new(down, random.split(2), self.start),
            nat: None,
        };
        self.hosts.insert(address, host);
    }

    /// From now on the attached host `inside` is seen as `outside`: a NAT, or another mapping of it. What is under way to the
    /// mapping before is lost.
    pub fn map(&mut self, inside: SocketAddr, outside: SocketAddr) {
        let host = self.hosts.get_mut(&inside).expect("a host that was attached");
        let nat = Nat { outside, permitted: BTreeSet::new() };
        if let Some(before) = host.nat.replace(nat) {
            self.insides.insert(before.outside, None);
        }
        self.insides.insert(outside, Some(inside));
    }

    /// How others see `inside`.
    pub fn outside(&self, inside: SocketAddr) -> SocketAddr {
        self.hosts.get(&inside).and_then(|host| host.nat.as_ref()).map_or(inside, |nat| nat.outside)
    }

    /// Change an attached host's uplink and downlink.
    pub fn change(&mut self, address: SocketAddr, up: Conditions, down: Conditions) {
        let host = self.hosts.get_mut(&address).expect("a host that was attached");
        host.up.change(up);
        host.down.change(down);
    }

    /// Of an attached host's uplink and downlink.
    pub fn statistics(&self, address: SocketAddr) -> Option<(LinkStatistics, LinkStatistics)> {
        self.hosts.get(&address).map(|host| (host.up.statistics(), host.down.statistics()))
    }

    /// Datagrams that no NAT would have.
    pub fn strayed(&self) -> u64 {
        self.strayed
    }

    /// `from` (inside of its NAT) sends a datagram; `now` never goes back.
    pub fn send(&mut self, now: Instant, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        let (arrivals, source) = match self.hosts.get_mut(&from) {
            None => (Arrivals(Some(now), None), from),
            Some(host) => {
                let source = host.nat.as_mut().map_or(from, |nat| {
                    nat.permitted.insert(to);
                    nat.outside
                });
                (host.up.send(now, bytes.len()), source)
            }
        };
        self.fly(arrivals, || Stage::Core, source, to, bytes);
    }

    /// A datagram with any source address appears in the core, as from a network that filters nothing (RFC 2827 is not kept
    /// everywhere).
    pub fn inject(&mut self, now: Instant, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        self.fly(Arrivals(Some(now), None), || Stage::Core, from, to, bytes);
    }

    fn fly(&mut self, arrivals: Arrivals, stage: impl Fn() -> Stage, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        for at in arrivals.iter() {
            let flight = Flight { at, number: self.count, stage: stage(), from, to, bytes: bytes.clone() };
            self.count += 1;
            self.flights.push(Reverse(flight));
        }
    }

    /// When to call [`Network::deliver`]; it may find nothing then. None: nothing is under way.
    pub fn next(&self) -> Option<Instant> {
        self.flights.peek().map(|Reverse(flight)| flight.at)
    }

    /// What has arrived by `now`, in order.
    pub fn deliver(&mut self, now: Instant) -> Vec<Datagram> {
        let mut arrived = Vec::new();
        while self.next().is_some_and(|next| next <= now) {
            let Some(Reverse(flight)) = self.flights.pop() else { break };
            let Flight { at, stage, from, to, bytes, .. } = flight;
            match stage {
                Stage::Arrival(inside) => arrived.push(Datagram { at, from, to: inside, bytes }),
                Stage::Core => match self.route(from, to) {
                    None => self.strayed += 1,
                    Some(inside) => {
                        let arrivals = match self.hosts.get_mut(&inside) {
                            Some(host) => host.down.send(at, bytes.len()),
                            None => Arrivals(Some(at), None),
                        };
                        self.fly(arrivals, || Stage::Arrival(inside), from, to, bytes);
                    }
                },
            }
        }
        arrived
    }

    /// The host that gets what `from` sends to `to`.
    fn route(&self, from: SocketAddr, to: SocketAddr) -> Option<SocketAddr> {
        if let Some(inside) = self.insides.get(&to) {
            let inside = (*inside)?;
            let nat = self.hosts.get(&inside)?.nat.as_ref()?;
            return nat.permitted.contains(&from).then_some(inside);
        }
        // The inside of a NAT cannot be reached from without.
        match self.hosts.get(&to) {
            Some(host) if host.nat.is_some() => None,
            _ => Some(to),
        }
    }
}
