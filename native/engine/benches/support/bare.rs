//! The least that sending could cost: AES-128-GCM and `sendmmsg`, and nothing else.
//!
//! It shares nothing with the engine, whose own batching would otherwise cancel out of the comparison.

use std::{
    io, mem,
    net::{SocketAddr, UdpSocket},
    os::fd::AsRawFd,
    ptr,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
    time::Duration,
};

use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use super::allocations;

/// RTP's fixed header, one CSRC, a short extension.
const HEADER: usize = 12 + 4 + 8;

/// Datagrams that the kernel took, and the CPU time of that.
pub type Spent = (u64, Duration);

/// The loop in a thread of its own, as the engine has one: a socket buffer costs more when another core frees it.
pub struct BareThread {
    calls: SyncSender<usize>,
    spent: Receiver<io::Result<Spent>>,
}

impl BareThread {
    /// At most 1024 addresses, all of IPv4; datagrams with so many bytes of payload.
    pub fn start(addresses: Vec<SocketAddr>, payload: usize) -> BareThread {
        let (calls, orders) = sync_channel::<usize>(1);
        let (reports, spent) = sync_channel(1);
        thread::spawn(move || {
            allocations::excuse();
            let Ok(mut bare) = Bare::new(&addresses, payload) else { return };
            for calls in orders {
                let clock = engine::thread_cpu();
                let sent = (0..calls).map(|_| bare.send()).sum::<io::Result<u64>>();
                if reports.send(sent.map(|sent| (sent, engine::thread_cpu() - clock))).is_err() {
                    return;
                }
            }
        });
        BareThread { calls, spent }
    }

    /// Send one datagram to each address, as often as said.
    pub fn send(&self, calls: usize) -> Result<Spent, Box<dyn std::error::Error>> {
        self.calls.send(calls)?;
        Ok(self.spent.recv()??)
    }
}

/// One datagram for each of some sockets, described to the kernel once and sent by one call.
struct Bare {
    socket: UdpSocket,
    keys: Vec<LessSafeKey>,
    /// What each datagram holds, which is copied into it.
    payload: Vec<u8>,
    sequence: u64,
    packets: Vec<u8>,
    headers: Vec<libc::mmsghdr>,
    // What the headers point to.
    _names: Vec<libc::sockaddr_in>,
    _vectors: Vec<libc::iovec>,
}

impl Bare {
    /// At most 1024 addresses (the kernel's UIO_MAXIOV), all of IPv4.
    fn new(addresses: &[SocketAddr], payload: usize) -> Result<Bare, Box<dyn std::error::Error>> {
        assert!(addresses.len() <= 1024, "one call sends no more");
        let keys = (0..addresses.len())
            .map(|index| Ok(LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &[index as u8; 16])?)))
            .collect::<Result<Vec<_>, ring::error::Unspecified>>()
            .map_err(|_| "a key of 16 bytes is right for AES-128")?;
        // The same as one of the engine's.
        let length = HEADER + payload + 16;
        let mut packets = vec![0u8; addresses.len() * length];
        let name = |address: &SocketAddr| match address {
            SocketAddr::V4(v4) => libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: v4.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from(*v4.ip()).to_be() },
                sin_zero: [0; 8],
            },
            SocketAddr::V6(_) => unreachable!("the members are on 127.0.0.1"),
        };
        let mut names: Vec<_> = addresses.iter().map(name).collect();
        let mut vectors: Vec<_> = packets
            .chunks_exact_mut(length)
            .map(|packet| libc::iovec { iov_base: packet.as_mut_ptr().cast(), iov_len: packet.len() })
            .collect();
        let headers = names
            .iter_mut()
            .zip(&mut vectors)
            .map(|(name, vector)| {
                // SAFETY: a header of null pointers and zero lengths is a value.
                let mut header: libc::mmsghdr = unsafe { mem::zeroed() };
                header.msg_hdr.msg_name = ptr::from_mut(name).cast();
                header.msg_hdr.msg_namelen = mem::size_of::<libc::sockaddr_in>() as libc::socklen_t;
                header.msg_hdr.msg_iov = vector;
                header.msg_hdr.msg_iovlen = 1;
                header
            })
            .collect();
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        let payload = vec![0x5A; payload];
        Ok(Bare { socket, keys, payload, sequence: 0, packets, headers, _names: names, _vectors: vectors })
    }

    /// Seal one datagram for each socket and send them; how many the kernel took.
    fn send(&mut self) -> io::Result<u64> {
        self.sequence += 1;
        let length = self.packets.len() / self.keys.len();
        for (packet, key) in self.packets.chunks_exact_mut(length).zip(&self.keys) {
            seal(key, self.sequence, &self.payload, packet);
        }
        // SAFETY: each header points to a name, a vector and a packet in heap memory that `self` owns and never resizes.
        let taken = unsafe {
            libc::sendmmsg(self.socket.as_raw_fd(), self.headers.as_mut_ptr(), self.headers.len() as libc::c_uint, 0)
        };
        u64::try_from(taken).map_err(|_| io::Error::last_os_error())
    }
}

fn seal(key: &LessSafeKey, sequence: u64, payload: &[u8], packet: &mut [u8]) {
    packet[2..4].copy_from_slice(&(sequence as u16).to_be_bytes());
    packet[HEADER..HEADER + payload.len()].copy_from_slice(payload);
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&sequence.to_be_bytes());
    let (header, rest) = packet.split_at_mut(HEADER);
    let (text, tag) = rest.split_at_mut(payload.len());
    let sealed = key.seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(header), text);
    tag.copy_from_slice(sealed.expect("a datagram is short enough").as_ref());
}
