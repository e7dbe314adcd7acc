use std::{
    mem,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6},
};

/// A socket address in the kernel's form, large enough for both families.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) union RawAddress {
    family: libc::sa_family_t,
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
}

impl RawAddress {
    pub(super) const CAPACITY: libc::socklen_t = mem::size_of::<RawAddress>() as libc::socklen_t;

    pub(super) fn unset() -> RawAddress {
        // SAFETY: all members are plain old data, for which all zeroes is a value (family 0 is AF_UNSPEC).
        unsafe { mem::zeroed() }
    }

    /// Take the address `to`; the length of what was written, for `msg_namelen`.
    pub(super) fn set(&mut self, to: SocketAddr) -> libc::socklen_t {
        match to {
            SocketAddr::V4(to) => {
                self.v4 = libc::sockaddr_in {
                    sin_family: libc::AF_INET as libc::sa_family_t,
                    sin_port: to.port().to_be(),
                    sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(to.ip().octets()) },
                    sin_zero: [0; 8],
                };
                mem::size_of::<libc::sockaddr_in>() as libc::socklen_t
            }
            SocketAddr::V6(to) => {
                self.v6 = libc::sockaddr_in6 {
                    sin6_family: libc::AF_INET6 as libc::sa_family_t,
                    sin6_port: to.port().to_be(),
                    sin6_flowinfo: to.flowinfo(),
                    sin6_addr: libc::in6_addr { s6_addr: to.ip().octets() },
                    sin6_scope_id: to.scope_id(),
                };
                mem::size_of::<libc::sockaddr_in6>() as libc::socklen_t
            }
        }
    }

    /// The address the kernel wrote, `length` bytes of it; None for another family.
    pub(super) fn get(&self, length: libc::socklen_t) -> Option<SocketAddr> {
        let length = length as usize;
        // SAFETY: every bit pattern is a value of every member, and the union is initialised over its whole size.
        let family = libc::c_int::from(unsafe { self.family });
        match family {
            libc::AF_INET if length >= mem::size_of::<libc::sockaddr_in>() => {
                // SAFETY: as above.
                let v4 = unsafe { self.v4 };
                let ip = Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes());
                Some(SocketAddrV4::new(ip, u16::from_be(v4.sin_port)).into())
            }
            libc::AF_INET6 if length >= mem::size_of::<libc::sockaddr_in6>() => {
                // SAFETY: as above.
                let v6 = unsafe { self.v6 };
                let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
                // The flow label is no part of who the sender is: leave it out, so that equal peers compare equal.
                Some(SocketAddrV6::new(ip, u16::from_be(v6.sin6_port), 0, v6.sin6_scope_id).into())
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_survives_the_kernels_form() {
        for text in ["192.0.2.7:4433", "[2001:db8::1]:5004", "[fe80::1%3]:9"] {
            let address: SocketAddr = text.parse().unwrap();
            let mut raw = RawAddress::unset();
            let length = raw.set(address);
            assert_eq!(raw.get(length), Some(address));
        }
    }

    #[test]
    fn another_family_or_a_short_address_is_none() {
        let mut raw = RawAddress::unset();
        assert_eq!(raw.get(RawAddress::CAPACITY), None);
        let length = raw.set("192.0.2.7:4433".parse().unwrap());
        assert_eq!(raw.get(length - 1), None);
    }
}
