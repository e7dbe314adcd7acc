//! The engine's UDP sockets.

use std::{
    io,
    net::{IpAddr, SocketAddr, TcpListener, UdpSocket},
    sync::Arc,
};

use crate::sys;

/// Half a second of 1200-byte packets at 20 Mb/s, or a fan-out to ten thousand listeners at once.
const BUFFER_BYTES: usize = 4 << 20;

/// Attempts at finding one port that is free on every address: one clash is rare, so many in a row mean something else.
const ATTEMPTS: usize = 16;

/// One worker's: of each address one.
pub(crate) struct Sockets {
    pub(crate) udp: Vec<Arc<UdpSocket>>,
    /// None where TCP is not wanted.
    pub(crate) tcp: Vec<TcpListener>,
}

/// For each worker one socket an address, and if need be one listener, all on one port: `port` and those after it. Port 0:
/// free ones.
pub(crate) fn bind_workers(addresses: &[IpAddr], port: u16, workers: usize, tcp: bool) -> io::Result<Vec<Sockets>> {
    let beyond = || io::Error::new(io::ErrorKind::InvalidInput, format!("{workers} ports from {port} on are too many"));
    let port_of = |worker: usize| match port {
        0 => Ok(0),
        port => u16::try_from(usize::from(port) + worker).map_err(|_| beyond()),
    };
    (0..workers).map(|worker| bind_all(addresses, port_of(worker)?, tcp)).collect()
}

/// One worker's sockets, all on `port`. Port 0: one that is free on all of them.
fn bind_all(addresses: &[IpAddr], port: u16, tcp: bool) -> io::Result<Sockets> {
    let mut attempts = if port == 0 { ATTEMPTS } else { 1 };
    loop {
        attempts -= 1;
        match bind_once(addresses, port, tcp) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && attempts > 0 => {}
            other => return other,
        }
    }
}

fn bind_once(addresses: &[IpAddr], mut port: u16, tcp: bool) -> io::Result<Sockets> {
    let mut sockets = Sockets { udp: Vec::with_capacity(addresses.len()), tcp: Vec::new() };
    for &address in addresses {
        let socket = UdpSocket::bind(SocketAddr::new(address, port))?;
        socket.set_nonblocking(true)?;
        sys::set_buffer_sizes(&socket, BUFFER_BYTES);
        port = socket.local_addr()?.port();
        sockets.udp.push(Arc::new(socket));
        if tcp {
            let listener = TcpListener::bind(SocketAddr::new(address, port))?;
            listener.set_nonblocking(true)?;
            sockets.tcp.push(listener);
        }
    }
    Ok(sockets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_addresses_share_one_port() {
        let addresses = ["127.0.0.1".parse().unwrap(), "127.0.0.2".parse().unwrap()];
        let sockets = bind_all(&addresses, 0, true).unwrap();
        let listening: Vec<_> = sockets.tcp.iter().map(|listener| listener.local_addr().unwrap()).collect();
        let bound: Vec<_> = sockets.udp.iter().map(|socket| socket.local_addr().unwrap()).collect();
        assert_eq!(bound[0].ip(), addresses[0]);
        assert_eq!(bound[1].ip(), addresses[1]);
        assert_eq!(bound[0].port(), bound[1].port());
        assert_ne!(bound[0].port(), 0);
        assert_eq!(listening, bound);
    }

    #[test]
    fn a_port_in_use_is_an_error() {
        let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
        let error = bind_all(&["127.0.0.1".parse().unwrap()], taken.local_addr().unwrap().port(), false).err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}
