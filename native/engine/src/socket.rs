//! The engine's UDP sockets.

use std::{
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::Arc,
};

use crate::sys;

/// Half a second of 1200-byte packets at 20 Mb/s, or a fan-out to ten thousand listeners at once.
const BUFFER_BYTES: usize = 4 << 20;

/// Attempts at finding one port that is free on every address: one clash is rare, so many in a row mean something else.
const ATTEMPTS: usize = 16;

/// For each worker one socket an address, all on one port: `port` and those after it. Port 0: free ones.
pub(crate) fn bind_workers(addresses: &[IpAddr], port: u16, workers: usize) -> io::Result<Vec<Vec<Arc<UdpSocket>>>> {
    let beyond = || io::Error::new(io::ErrorKind::InvalidInput, format!("{workers} ports from {port} on are too many"));
    let port_of = |worker: usize| match port {
        0 => Ok(0),
        port => u16::try_from(usize::from(port) + worker).map_err(|_| beyond()),
    };
    (0..workers).map(|worker| bind_all(addresses, port_of(worker)?)).collect()
}

/// One socket an address, all on `port`. Port 0: one that is free on all of them.
fn bind_all(addresses: &[IpAddr], port: u16) -> io::Result<Vec<Arc<UdpSocket>>> {
    let mut attempts = if port == 0 { ATTEMPTS } else { 1 };
    loop {
        attempts -= 1;
        match bind_once(addresses, port) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && attempts > 0 => {}
            other => return other,
        }
    }
}

fn bind_once(addresses: &[IpAddr], mut port: u16) -> io::Result<Vec<Arc<UdpSocket>>> {
    let mut sockets = Vec::with_capacity(addresses.len());
    for &address in addresses {
        let socket = UdpSocket::bind(SocketAddr::new(address, port))?;
        socket.set_nonblocking(true)?;
        sys::set_buffer_sizes(&socket, BUFFER_BYTES);
        port = socket.local_addr()?.port();
        sockets.push(Arc::new(socket));
    }
    Ok(sockets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_addresses_share_one_port() {
        let addresses = ["127.0.0.1".parse().unwrap(), "127.0.0.2".parse().unwrap()];
        let sockets = bind_all(&addresses, 0).unwrap();
        let bound: Vec<_> = sockets.iter().map(|socket| socket.local_addr().unwrap()).collect();
        assert_eq!(bound[0].ip(), addresses[0]);
        assert_eq!(bound[1].ip(), addresses[1]);
        assert_eq!(bound[0].port(), bound[1].port());
        assert_ne!(bound[0].port(), 0);
    }

    #[test]
    fn a_port_in_use_is_an_error() {
        let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
        let error = bind_all(&["127.0.0.1".parse().unwrap()], taken.local_addr().unwrap().port()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}
