use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
};

/// Connections from one host on which nobody is known yet: an office behind one address, all of which joins at once, each
/// for the one round trip that its first check takes.
const OF_ONE_HOST: usize = 32;

/// How many connections there are on which nobody is known, and from where.
pub(super) struct Strangers {
    limit: usize,
    count: usize,
    by_host: HashMap<IpAddr, usize>,
}

impl Strangers {
    /// At most `limit` of them in all.
    pub(super) fn new(limit: usize) -> Strangers {
        Strangers { limit, count: 0, by_host: HashMap::new() }
    }

    /// One more, unless there are too many of them, or from its host.
    pub(super) fn admit(&mut self, from: IpAddr) -> bool {
        if self.count >= self.limit {
            return false;
        }
        let of_host = self.by_host.entry(host(from)).or_default();
        if *of_host >= OF_ONE_HOST {
            return false;
        }
        *of_host += 1;
        self.count += 1;
        true
    }

    /// One is gone, or known.
    pub(super) fn dismiss(&mut self, from: IpAddr) {
        let host = host(from);
        if let Some(of_host) = self.by_host.get_mut(&host) {
            self.count -= 1;
            *of_host -= 1;
            if *of_host == 0 {
                self.by_host.remove(&host);
            }
        }
    }
}

/// An IPv6 host has its network's first 64 bits in common with nobody else, and all of the others to choose from.
fn host(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(strangers: &mut Strangers, addresses: impl Iterator<Item = String>) -> usize {
        addresses.filter(|address| strangers.admit(address.parse().unwrap())).count()
    }

    #[test]
    fn one_host_cannot_take_all_places_whatever_address_it_shows() {
        let mut strangers = Strangers::new(512);
        assert_eq!(admitted(&mut strangers, (0..100).map(|_| "192.0.2.1".into())), OF_ONE_HOST);
        assert_eq!(admitted(&mut strangers, (0..100).map(|_| "::ffff:192.0.2.1".into())), 0);
        assert_eq!(admitted(&mut strangers, (0..100).map(|low| format!("2001:db8::{low}"))), OF_ONE_HOST);
        assert!(strangers.admit("2001:db8:0:1::1".parse().unwrap()));
    }

    #[test]
    fn all_together_are_limited_and_a_place_that_is_free_is_given_again() {
        let mut strangers = Strangers::new(100);
        assert_eq!(admitted(&mut strangers, (0..200).map(|low| format!("192.0.2.{low}"))), 100);
        strangers.dismiss("192.0.2.7".parse().unwrap());
        strangers.dismiss("198.51.100.1".parse().unwrap());
        assert_eq!(admitted(&mut strangers, (100..200).map(|low| format!("192.0.2.{low}"))), 1);
        for low in 0..101 {
            strangers.dismiss(format!("192.0.2.{low}").parse().unwrap());
        }
        assert_eq!(strangers.by_host.len(), 0);
    }
}
