use std::{
    io, mem,
    net::SocketAddr,
    os::fd::{AsRawFd, BorrowedFd},
    ptr,
};

use sfu::MAX_DATAGRAM;

use super::{address::RawAddress, checked};

/// Datagrams a call to the kernel: what arrives while the last batch is worked on, at a million packets a second.
const BATCH: usize = 64;

#[repr(align(64))]
struct Buffer([u8; MAX_DATAGRAM]);

/// The place where batches of datagrams arrive, used over and over.
pub(crate) struct Inbox {
    buffers: Box<[Buffer]>,
    addresses: Box<[RawAddress]>,
    vectors: Box<[libc::iovec]>,
    headers: Box<[libc::mmsghdr]>,
    filled: usize,
}

/// One datagram that arrived.
pub(crate) struct Received<'a> {
    pub(crate) from: SocketAddr,
    pub(crate) bytes: &'a mut [u8],
    /// The datagram was longer than MAX_DATAGRAM, and `bytes` is only its beginning.
    pub(crate) truncated: bool,
}

impl Inbox {
    pub(crate) fn new() -> Inbox {
        Inbox {
            buffers: (0..BATCH).map(|_| Buffer([0; MAX_DATAGRAM])).collect(),
            addresses: vec![RawAddress::unset(); BATCH].into(),
            vectors: vec![libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 }; BATCH].into(),
            // SAFETY: a header of null pointers and zero lengths is a value.
            headers: vec![unsafe { mem::zeroed::<libc::mmsghdr>() }; BATCH].into(),
            filled: 0,
        }
    }

    /// Take what waits at `socket`, at most BATCH datagrams. It never blocks. An error is that of an earlier send as often as not (ICMP), and says nothing about the socket.
    pub(crate) fn fill(&mut self, socket: BorrowedFd<'_>) -> io::Result<()> {
        self.filled = 0;
        for (((buffer, address), vector), header) in
            self.buffers.iter_mut().zip(&mut self.addresses).zip(&mut self.vectors).zip(&mut self.headers)
        {
            *vector = libc::iovec { iov_base: buffer.0.as_mut_ptr().cast(), iov_len: MAX_DATAGRAM };
            header.msg_hdr.msg_name = ptr::from_mut(address).cast();
            header.msg_hdr.msg_namelen = RawAddress::CAPACITY;
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
        }
        // SAFETY: the loop above made each of the BATCH headers point to a name, a vector and a buffer of the lengths it
        // says; all of them are borrowed by `self` for the call, and a null time-out is allowed.
        let filled = checked(unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                BATCH as libc::c_uint,
                libc::MSG_DONTWAIT as _,
                ptr::null_mut(),
            )
        });
        match filled {
            Ok(filled) => self.filled = filled as usize,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// What the last `fill` took, in order of arrival.
    pub(crate) fn datagrams(&mut self) -> impl Iterator<Item = Received<'_>> {
        let filled = self.buffers.iter_mut().zip(&self.addresses).zip(&self.headers).take(self.filled);
        filled.filter_map(|((buffer, address), header)| {
            Some(Received {
                from: address.get(header.msg_hdr.msg_namelen)?,
                bytes: buffer.0.get_mut(..header.msg_len as usize)?,
                truncated: header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{net::UdpSocket, os::fd::AsFd};

    use super::*;

    #[test]
    fn a_batch_arrives_with_its_senders_and_a_long_datagram_is_marked() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut inbox = Inbox::new();
        inbox.fill(socket.as_fd()).unwrap();
        assert_eq!(inbox.datagrams().count(), 0);
        for datagram in [&b"one"[..], &[7; MAX_DATAGRAM], &[8; MAX_DATAGRAM + 1], b""] {
            sender.send_to(datagram, socket.local_addr().unwrap()).unwrap();
        }
        inbox.fill(socket.as_fd()).unwrap();
        let received: Vec<_> = inbox.datagrams().map(|each| (each.from, each.bytes.len(), each.truncated)).collect();
        let from = sender.local_addr().unwrap();
        assert_eq!(
            received,
            [(from, 3, false), (from, MAX_DATAGRAM, false), (from, MAX_DATAGRAM, true), (from, 0, false)]
        );
    }
}
