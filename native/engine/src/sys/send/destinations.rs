use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::CAPACITY;

/// Twice as many as can be taken: a search ends after one or two steps, and after CAPACITY at the latest, whatever addresses
/// the peers have chosen.
const PLACES: usize = 2 * CAPACITY;

/// No place: the datagram is not the first to its destination.
const NOWHERE: u16 = u16::MAX;
/// No datagram follows to the same destination.
const END: u16 = u16::MAX;

/// Where the datagrams of a batch go: an open-addressing table from a destination to the datagrams for it, as a list.
///
/// A place of the table is taken when the datagram it names says so itself: thus nothing is cleared between batches.
pub(super) struct Destinations {
    /// The first datagram to the destination that hashes to here, or what an earlier batch left.
    table: Box<[u16; PLACES]>,
    datagrams: Box<[Datagram; CAPACITY]>,
    count: usize,
    repeated: bool,
}

#[derive(Clone, Copy)]
struct Datagram {
    to: SocketAddr,
    place: u16,
    /// The next to the same destination.
    next: u16,
    /// Of the first: the newest to its destination.
    last: u16,
}

impl Destinations {
    pub(super) fn new() -> Destinations {
        let nowhere = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
        let unset = Datagram { to: nowhere, place: NOWHERE, next: END, last: END };
        Destinations { table: Box::new([0; PLACES]), datagrams: Box::new([unset; CAPACITY]), count: 0, repeated: false }
    }

    /// The batch's next datagram, below CAPACITY, goes `to`.
    #[inline]
    pub(super) fn add(&mut self, to: SocketAddr) {
        let new = self.count;
        self.count += 1;
        let mut place = hash(to) % PLACES;
        loop {
            let first = usize::from(self.table[place]);
            if first >= new || usize::from(self.datagrams[first].place) != place {
                self.table[place] = new as u16;
                self.datagrams[new] = Datagram { to, place: place as u16, next: END, last: new as u16 };
                return;
            }
            if self.datagrams[first].to == to {
                let before = usize::from(self.datagrams[first].last);
                self.datagrams[before].next = new as u16;
                self.datagrams[first].last = new as u16;
                self.datagrams[new] = Datagram { to, place: NOWHERE, next: END, last: END };
                self.repeated = true;
                return;
            }
            place = (place + 1) % PLACES;
        }
    }

    /// More than one goes to the same.
    pub(super) fn are_repeated(&self) -> bool {
        self.repeated
    }

    /// The datagrams of one destination after those of another, each destination's in the order they came; and whether one
    /// goes where the one before it goes.
    pub(super) fn gathered(&self) -> impl Iterator<Item = (usize, bool)> {
        let firsts = (0..self.count).filter(|index| self.datagrams[*index].place != NOWHERE);
        firsts.flat_map(|first| {
            let following = |index: &usize| {
                let next = self.datagrams[*index].next;
                (next != END).then_some(usize::from(next))
            };
            std::iter::successors(Some(first), following).map(move |index| (index, index != first))
        })
    }

    pub(super) fn clear(&mut self) {
        self.count = 0;
        self.repeated = false;
    }
}

/// Multiplication by 2^64 divided by the golden ratio, of which the upper bits are the most mixed (Knuth, volume 3, §6.4).
#[inline]
fn hash(to: SocketAddr) -> usize {
    let ip = match to.ip() {
        IpAddr::V4(ip) => u64::from(ip.to_bits()),
        IpAddr::V6(ip) => (ip.to_bits() >> 64) as u64 ^ ip.to_bits() as u64,
    };
    let mixed = (ip << 16 ^ ip >> 48 ^ u64::from(to.port())).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed >> 48) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_are_gathered_by_destination_in_the_order_they_came() {
        let mut destinations = Destinations::new();
        let mut random = 1u32;
        for batch in 1..200u32 {
            destinations.clear();
            let ports: Vec<u16> = (0..batch % 256)
                .map(|_| {
                    random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (random >> 16) as u16 % (batch as u16)
                })
                .collect();
            for port in &ports {
                let ip: IpAddr = if port % 3 == 0 { "2001:db8::1".parse().unwrap() } else { [192, 0, 2, 1].into() };
                destinations.add(SocketAddr::new(ip, *port));
            }
            let gathered: Vec<_> = destinations.gathered().collect();
            let mut expected = Vec::new();
            for (index, port) in ports.iter().enumerate() {
                if !ports[..index].contains(port) {
                    let same = (index..ports.len()).filter(|other| ports[*other] == *port);
                    expected.extend(same.map(|other| (other, other != index)));
                }
            }
            assert_eq!(gathered, expected);
            assert_eq!(destinations.are_repeated(), gathered.iter().any(|(_, again)| *again));
        }
    }

    #[test]
    fn a_full_batch_to_addresses_that_all_collide_is_still_told_apart() {
        let wanted = hash(SocketAddr::new([10, 0, 0, 0].into(), 1)) % PLACES;
        let colliding = (0u32..).map(|ip| SocketAddr::new(Ipv4Addr::from_bits(ip).into(), 1));
        let mut destinations = Destinations::new();
        for to in colliding.filter(|to| hash(*to) % PLACES == wanted).take(CAPACITY) {
            destinations.add(to);
        }
        assert!(!destinations.are_repeated());
        assert!(destinations.gathered().eq((0..CAPACITY).map(|index| (index, false))));
    }
}
