use std::{
    io,
    iter::Sum,
    mem,
    net::{SocketAddr, UdpSocket},
    os::fd::AsRawFd,
    ptr,
    sync::Arc,
};

use sfu::MAX_DATAGRAM;

use super::{address::RawAddress, checked};

/// Datagrams a call to the kernel, at most: one packet to 256 listeners, in 400 kB that stay in the second-level cache.
const CAPACITY: usize = 256;

#[repr(align(64))]
struct Buffer([u8; MAX_DATAGRAM]);

/// What became of the datagrams given to a lane so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    /// Taken by the kernel.
    pub(crate) datagrams: u64,
    /// Their payload.
    pub(crate) bytes: u64,
    /// Dropped because the socket's buffer was full.
    pub(crate) full: u64,
    /// Dropped because the kernel refused them: no route, a firewall, too long for the path.
    pub(crate) refused: u64,
}

impl Sum for Sent {
    fn sum<I: Iterator<Item = Sent>>(parts: I) -> Sent {
        parts.fold(Sent::default(), |total, part| Sent {
            datagrams: total.datagrams + part.datagrams,
            bytes: total.bytes + part.bytes,
            full: total.full + part.full,
            refused: total.refused + part.refused,
        })
    }
}

/// The way out of one socket: a batch of datagrams being filled, and sent together.
pub(crate) struct Lane {
    socket: Arc<UdpSocket>,
    buffers: Box<[Buffer]>,
    addresses: Box<[RawAddress]>,
    vectors: Box<[libc::iovec]>,
    headers: Box<[libc::mmsghdr]>,
    filled: usize,
    sent: Sent,
}

impl Lane {
    /// A lane out of `socket`, which must not block.
    pub(crate) fn new(socket: Arc<UdpSocket>) -> Lane {
        Lane {
            socket,
            buffers: (0..CAPACITY).map(|_| Buffer([0; MAX_DATAGRAM])).collect(),
            addresses: vec![RawAddress::unset(); CAPACITY].into(),
            vectors: vec![libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 }; CAPACITY].into(),
            // SAFETY: a header of null pointers and zero lengths is a value.
            headers: vec![unsafe { mem::zeroed::<libc::mmsghdr>() }; CAPACITY].into(),
            filled: 0,
            sent: Sent::default(),
        }
    }

    /// Add one datagram for `to`: what `fill` writes, as long as it says (0: nothing). A full batch is sent first.
    #[inline]
    pub(crate) fn push(&mut self, to: SocketAddr, fill: impl FnOnce(&mut [u8; MAX_DATAGRAM]) -> usize) {
        if self.filled == CAPACITY {
            self.flush();
        }
        let length = fill(&mut self.buffers[self.filled].0).min(MAX_DATAGRAM);
        if length == 0 {
            return;
        }
        self.headers[self.filled].msg_hdr.msg_namelen = self.addresses[self.filled].set(to);
        self.vectors[self.filled].iov_len = length;
        self.filled += 1;
    }

    /// Send the batch. What the kernel does not take now is dropped and counted: a late voice packet is worth nothing, and
    /// waiting would make all others late.
    pub(crate) fn flush(&mut self) {
        let mut first = 0;
        while first < self.filled {
            match self.send(first) {
                Ok(taken) => {
                    self.sent.datagrams += taken as u64;
                    let vectors = &self.vectors[first..first + taken];
                    self.sent.bytes += vectors.iter().map(|vector| vector.iov_len as u64).sum::<u64>();
                    first += taken;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM)) => {
                    self.sent.full += (self.filled - first) as u64;
                    break;
                }
                Err(_) => {
                    // It is the first datagram that was refused; the others may go elsewhere.
                    self.sent.refused += 1;
                    first += 1;
                }
            }
        }
        self.filled = 0;
    }

    /// The totals since the lane was made.
    pub(crate) fn sent(&self) -> Sent {
        self.sent
    }

    /// Offer the kernel the batch from `first` on; how many it took (at least one).
    fn send(&mut self, first: usize) -> io::Result<usize> {
        let filled = first..self.filled;
        let (buffers, addresses) = (&mut self.buffers[filled.clone()], &mut self.addresses[filled.clone()]);
        let (vectors, headers) = (&mut self.vectors[filled.clone()], &mut self.headers[filled]);
        for (((buffer, address), vector), header) in
            buffers.iter_mut().zip(addresses).zip(vectors).zip(headers.iter_mut())
        {
            vector.iov_base = buffer.0.as_mut_ptr().cast();
            header.msg_hdr.msg_name = ptr::from_mut(address).cast();
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
        }
        // SAFETY: the loop above made each header point to a name, a vector and a buffer, whose lengths `push` set; all are
        // borrowed by `self` for the call, and the kernel only reads them.
        let taken = checked(unsafe {
            libc::sendmmsg(
                self.socket.as_raw_fd(),
                headers.as_mut_ptr(),
                headers.len() as libc::c_uint,
                libc::MSG_DONTWAIT as _,
            )
        })?;
        Ok(taken as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket() -> Arc<UdpSocket> {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        Arc::new(socket)
    }

    #[test]
    fn a_batch_longer_than_the_lane_goes_out_whole() {
        let receivers = [socket(), socket()];
        let mut lane = Lane::new(socket());
        for index in 0..CAPACITY + 3 {
            lane.push(receivers[index % 2].local_addr().unwrap(), |buffer| {
                buffer[0] = index as u8;
                1
            });
        }
        lane.push(receivers[0].local_addr().unwrap(), |_| 0);
        lane.flush();
        let sent = CAPACITY as u64 + 3;
        assert_eq!(lane.sent(), Sent { datagrams: sent, bytes: sent, full: 0, refused: 0 });
        let mut buffer = [0; 8];
        for index in 0..CAPACITY + 3 {
            assert_eq!(receivers[index % 2].recv(&mut buffer).unwrap(), 1);
            assert_eq!(buffer[0], index as u8);
        }
    }

    #[test]
    fn what_the_kernel_refuses_is_counted_and_the_rest_goes_out() {
        let receiver = socket();
        let mut lane = Lane::new(socket());
        let wrong_family = "[::1]:9".parse().unwrap();
        for to in [wrong_family, receiver.local_addr().unwrap(), wrong_family, receiver.local_addr().unwrap()] {
            lane.push(to, |_| 5);
        }
        lane.flush();
        assert_eq!(lane.sent(), Sent { datagrams: 2, bytes: 10, full: 0, refused: 2 });
    }
}
