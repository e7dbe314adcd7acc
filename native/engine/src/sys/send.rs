mod destinations;

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

use self::destinations::Destinations;
use super::{address::RawAddress, checked};

/// Datagrams a call to the kernel, at most: one packet to 256 listeners, in 400 kB that stay in the second-level cache.
const CAPACITY: usize = 256;

/// Datagrams in one message, at most: UDP_MAX_SEGMENTS of the kernels before 6.9.
const MAX_SEGMENTS: usize = 64;
/// Bytes of one message, at most: what an IP packet with its headers has room for.
const MAX_MESSAGE: usize = 0xFFFF - 40 - 8;

#[repr(align(64))]
struct Buffer([u8; MAX_DATAGRAM]);

/// The control message UDP_SEGMENT: the kernel cuts the message into datagrams of this many bytes; the last may be shorter.
#[derive(Clone, Copy)]
#[repr(C)]
struct Segment {
    header: libc::cmsghdr,
    size: u16,
}

impl Segment {
    fn new() -> Segment {
        // SAFETY: all members are integers, for which zero is a value.
        let mut header: libc::cmsghdr = unsafe { mem::zeroed() };
        header.cmsg_len = (mem::offset_of!(Segment, size) + mem::size_of::<u16>()) as _;
        header.cmsg_level = libc::SOL_UDP;
        header.cmsg_type = libc::UDP_SEGMENT;
        Segment { header, size: 0 }
    }
}

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

/// Whether the kernel cuts messages into datagrams for us (Linux 4.18).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Segmentation {
    /// It knows how, and has not shown yet that it does.
    Untried,
    Works,
    Fails,
}

/// The way out of one socket: a batch of datagrams being filled, and sent together. What goes to the same destination goes
/// as one message as far as possible.
pub(crate) struct Lane {
    socket: Arc<UdpSocket>,
    // Of each datagram.
    buffers: Box<[Buffer]>,
    lengths: Box<[usize]>,
    addresses: Box<[RawAddress]>,
    address_lengths: Box<[libc::socklen_t]>,
    destinations: Destinations,
    filled: usize,
    // Of each message, in the order in which they are sent; the vectors of one follow those of another.
    headers: Box<[libc::mmsghdr]>,
    vectors: Box<[libc::iovec]>,
    segments: Box<[Segment]>,
    segmentation: Segmentation,
    sent: Sent,
}

impl Lane {
    /// A lane out of `socket`, which must not block.
    pub(crate) fn new(socket: Arc<UdpSocket>) -> Lane {
        Lane {
            segmentation: if knows_segments(&socket) { Segmentation::Untried } else { Segmentation::Fails },
            socket,
            buffers: (0..CAPACITY).map(|_| Buffer([0; MAX_DATAGRAM])).collect(),
            lengths: vec![0; CAPACITY].into(),
            addresses: vec![RawAddress::unset(); CAPACITY].into(),
            address_lengths: vec![0; CAPACITY].into(),
            destinations: Destinations::new(),
            filled: 0,
            // SAFETY: a header of null pointers and zero lengths is a value.
            headers: vec![unsafe { mem::zeroed::<libc::mmsghdr>() }; CAPACITY].into(),
            vectors: vec![libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 }; CAPACITY].into(),
            segments: vec![Segment::new(); CAPACITY].into(),
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
        self.lengths[self.filled] = length;
        self.address_lengths[self.filled] = self.addresses[self.filled].set(to);
        self.destinations.add(to);
        self.filled += 1;
    }

    /// Send the batch. What the kernel does not take now is dropped and counted: a late voice packet is worth nothing, and
    /// waiting would make all others late.
    pub(crate) fn flush(&mut self) {
        if self.filled == 0 {
            return;
        }
        let messages = self.arrange();
        let (mut message, mut datagram) = (0, 0);
        while message < messages {
            match self.send(message..messages) {
                Ok(taken) => {
                    for header in &self.headers[message..message + taken] {
                        let count: usize = header.msg_hdr.msg_iovlen as _;
                        let vectors = &self.vectors[datagram..datagram + count];
                        self.sent.bytes += vectors.iter().map(|vector| vector.iov_len as u64).sum::<u64>();
                        self.sent.datagrams += count as u64;
                        datagram += count;
                        if count > 1 {
                            self.segmentation = Segmentation::Works;
                        }
                    }
                    message += taken;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_full(&error) => {
                    self.sent.full += (self.filled - datagram) as u64;
                    break;
                }
                Err(error) => {
                    // It is the first message that was refused; the others may go elsewhere.
                    let count: usize = self.headers[message].msg_hdr.msg_iovlen as _;
                    if count > 1 && self.is_of_segments(&error) {
                        self.send_apart(message, datagram..datagram + count);
                    } else {
                        self.sent.refused += count as u64;
                    }
                    message += 1;
                    datagram += count;
                }
            }
        }
        self.filled = 0;
        self.destinations.clear();
    }

    /// The totals since the lane was made.
    pub(crate) fn sent(&self) -> Sent {
        self.sent
    }

    /// Describe the batch to the kernel; how many messages it is.
    fn arrange(&mut self) -> usize {
        let mut messages = Messages {
            buffers: &mut self.buffers,
            lengths: &self.lengths,
            addresses: &mut self.addresses,
            address_lengths: &self.address_lengths,
            headers: &mut self.headers,
            vectors: &mut self.vectors,
            segments: &mut self.segments,
            count: 0,
            datagrams: 0,
        };
        if self.destinations.are_repeated() && self.segmentation != Segmentation::Fails {
            let mut run = Run::of(0);
            for (index, again) in self.destinations.gathered() {
                let length = self.lengths[index];
                if again && run.takes(length) {
                    messages.extend(index, run.size);
                } else {
                    run = Run::of(length);
                    messages.begin(index);
                }
            }
        } else {
            for index in 0..self.filled {
                messages.begin(index);
            }
        }
        messages.count
    }

    /// Offer the kernel some messages; how many it took (at least one).
    fn send(&mut self, messages: std::ops::Range<usize>) -> io::Result<usize> {
        let headers = &mut self.headers[messages];
        // SAFETY: `arrange` made each header point to a name, to vectors of buffers, and to a control message or nothing, with
        // their lengths; all are borrowed by `self` for the call, and the kernel only reads them.
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

    /// Does this error of a message of several datagrams say that they cannot go together? If it is for good, none will.
    fn is_of_segments(&mut self, error: &io::Error) -> bool {
        match error.raw_os_error() {
            // The network card does not fill in checksums.
            Some(libc::EIO | libc::ENOPROTOOPT) => self.segmentation = Segmentation::Fails,
            // Where it works, it is this message's path that is narrower than the datagrams.
            Some(libc::EINVAL) if self.segmentation == Segmentation::Untried => {
                self.segmentation = Segmentation::Fails;
            }
            Some(libc::EINVAL) => {}
            _ => return false,
        }
        true
    }

    /// Send the datagrams of one message one by one.
    fn send_apart(&mut self, message: usize, datagrams: std::ops::Range<usize>) {
        let mut header = self.headers[message].msg_hdr;
        header.msg_control = ptr::null_mut();
        header.msg_controllen = 0;
        header.msg_iovlen = 1;
        for vector in &mut self.vectors[datagrams] {
            header.msg_iov = vector;
            // SAFETY: as in `send`, with one vector and without control message.
            match unsafe { libc::sendmsg(self.socket.as_raw_fd(), &header, libc::MSG_DONTWAIT) } {
                0.. => {
                    self.sent.datagrams += 1;
                    self.sent.bytes += vector.iov_len as u64;
                }
                _ if is_full(&io::Error::last_os_error()) => self.sent.full += 1,
                _ => self.sent.refused += 1,
            }
        }
    }
}

/// Datagrams to one destination that can go as one message: all of the same size, but the last may be shorter.
struct Run {
    size: usize,
    bytes: usize,
    count: usize,
    is_over: bool,
}

impl Run {
    fn of(size: usize) -> Run {
        Run { size, bytes: size, count: 1, is_over: false }
    }

    /// Take the next datagram, if it can go with the others.
    fn takes(&mut self, length: usize) -> bool {
        let fits = self.count < MAX_SEGMENTS && self.bytes + length <= MAX_MESSAGE;
        if self.is_over || length > self.size || !fits {
            return false;
        }
        self.bytes += length;
        self.count += 1;
        self.is_over = length < self.size;
        true
    }
}

/// The headers being written for a batch.
struct Messages<'a> {
    buffers: &'a mut [Buffer],
    lengths: &'a [usize],
    addresses: &'a mut [RawAddress],
    address_lengths: &'a [libc::socklen_t],
    headers: &'a mut [libc::mmsghdr],
    vectors: &'a mut [libc::iovec],
    segments: &'a mut [Segment],
    count: usize,
    datagrams: usize,
}

impl Messages<'_> {
    /// A message of one datagram.
    #[inline]
    fn begin(&mut self, index: usize) {
        let header = &mut self.headers[self.count].msg_hdr;
        header.msg_name = ptr::from_mut(&mut self.addresses[index]).cast();
        header.msg_namelen = self.address_lengths[index];
        header.msg_iov = self.vectors.as_mut_ptr().wrapping_add(self.datagrams);
        header.msg_iovlen = 1;
        header.msg_control = ptr::null_mut();
        header.msg_controllen = 0;
        self.count += 1;
        self.vector(index);
    }

    /// One datagram more in the last message, whose datagrams have `size` bytes.
    fn extend(&mut self, index: usize, size: usize) {
        let header = &mut self.headers[self.count - 1].msg_hdr;
        let segment = &mut self.segments[self.count - 1];
        segment.size = size as u16;
        header.msg_iovlen += 1;
        header.msg_control = ptr::from_mut(segment).cast();
        header.msg_controllen = mem::size_of::<Segment>() as _;
        self.vector(index);
    }

    #[inline]
    fn vector(&mut self, index: usize) {
        let vector = &mut self.vectors[self.datagrams];
        vector.iov_base = self.buffers[index].0.as_mut_ptr().cast();
        vector.iov_len = self.lengths[index];
        self.datagrams += 1;
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM))
}

/// Older kernels pass over the control message without a word and would send one long datagram.
fn knows_segments(socket: &UdpSocket) -> bool {
    let (mut size, mut length): (libc::c_int, _) = (0, mem::size_of::<libc::c_int>() as libc::socklen_t);
    // SAFETY: `size` is a valid int of the length given, and the kernel writes no more than that.
    checked(unsafe {
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_UDP, libc::UDP_SEGMENT, (&raw mut size).cast(), &raw mut length)
    })
    .is_ok()
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

    /// Datagrams of these lengths, full of their number.
    fn push_all(lane: &mut Lane, to: SocketAddr, lengths: &[usize]) {
        for (number, length) in lengths.iter().enumerate() {
            lane.push(to, |buffer| {
                buffer[..*length].fill(number as u8);
                *length
            });
        }
    }

    /// What waits at the socket: numbers and lengths.
    fn receive_all(receiver: &UdpSocket) -> Vec<(u8, usize)> {
        let mut buffer = [0; 65536];
        let mut datagrams = Vec::new();
        while let Ok(length) = receiver.recv(&mut buffer) {
            assert!(buffer[..length].iter().all(|byte| *byte == buffer[0]));
            datagrams.push((buffer[0], length));
        }
        datagrams
    }

    fn numbered(lengths: &[usize]) -> Vec<(u8, usize)> {
        (0..).zip(lengths.iter().copied()).collect()
    }

    #[test]
    fn datagrams_of_any_lengths_arrive_whole_and_in_order() {
        let receiver = socket();
        let mut lane = Lane::new(socket());
        let many = [1400; 50];
        for lengths in [&[100, 100, 90, 100, 100, 120, 7][..], &[5, 6, 7], &[9, 8, 8, 8, 7], &[20; 130], &many, &[33]] {
            let before = lane.sent();
            push_all(&mut lane, receiver.local_addr().unwrap(), lengths);
            lane.flush();
            assert_eq!(receive_all(&receiver), numbered(lengths));
            let sent = lane.sent();
            assert_eq!(sent.datagrams - before.datagrams, lengths.len() as u64);
            assert_eq!(sent.bytes - before.bytes, lengths.iter().sum::<usize>() as u64);
            assert_eq!((sent.full, sent.refused), (0, 0));
        }
        assert_ne!(lane.segmentation, Segmentation::Untried);
    }

    #[test]
    fn a_message_holds_no_more_than_the_kernel_takes() {
        let receiver = socket();
        let mut lane = Lane::new(socket());
        lane.segmentation = Segmentation::Works;
        push_all(&mut lane, receiver.local_addr().unwrap(), &[10; 130]);
        assert_eq!(lane.arrange(), 3);
        lane.flush();
        push_all(&mut lane, receiver.local_addr().unwrap(), &[1400; 100]);
        assert_eq!(lane.arrange(), 3);
    }

    #[test]
    fn bursts_to_several_destinations_at_once_arrive_in_order() {
        let receivers = [socket(), socket(), socket()];
        let lengths = [50, 50, 60, 60, 60, 10, 10];
        let mut lane = Lane::new(socket());
        for (number, length) in lengths.iter().enumerate() {
            for receiver in &receivers {
                lane.push(receiver.local_addr().unwrap(), |buffer| {
                    buffer[..*length].fill(number as u8);
                    *length
                });
            }
        }
        lane.flush();
        for receiver in &receivers {
            assert_eq!(receive_all(receiver), numbered(&lengths));
        }
        assert_eq!(lane.sent(), Sent { datagrams: 21, bytes: 900, full: 0, refused: 0 });
    }

    #[test]
    fn where_the_kernel_does_not_cut_messages_the_datagrams_go_one_by_one() {
        let sender = socket();
        let no_checksums: libc::c_int = 1;
        // A socket without checksums is one for which the kernel refuses to cut a message.
        // SAFETY: the socket is open, and the value is a valid int of the length given.
        checked(unsafe {
            libc::setsockopt(
                sender.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_NO_CHECK,
                (&raw const no_checksums).cast(),
                mem::size_of_val(&no_checksums) as libc::socklen_t,
            )
        })
        .unwrap();
        for (before, after) in [
            (Segmentation::Untried, Segmentation::Fails),
            (Segmentation::Works, Segmentation::Works),
            (Segmentation::Fails, Segmentation::Fails),
        ] {
            let receivers = [socket(), socket()];
            let mut lane = Lane::new(Arc::clone(&sender));
            lane.segmentation = before;
            for receiver in &receivers {
                push_all(&mut lane, receiver.local_addr().unwrap(), &[30, 30, 20]);
            }
            lane.flush();
            for receiver in &receivers {
                assert_eq!(receive_all(receiver), numbered(&[30, 30, 20]));
            }
            assert_eq!(lane.sent(), Sent { datagrams: 6, bytes: 160, full: 0, refused: 0 });
            assert_eq!(lane.segmentation, after);
        }
    }

    #[test]
    fn a_full_socket_drops_and_counts_datagrams_not_messages() {
        let (sender, receiver) = (socket(), socket());
        crate::sys::set_buffer_sizes(&sender, 1);
        let mut lane = Lane::new(sender);
        push_all(&mut lane, "[::1]:9".parse().unwrap(), &[10; 3]);
        push_all(&mut lane, receiver.local_addr().unwrap(), &[1400; 200]);
        lane.flush();
        let sent = lane.sent();
        assert_eq!(sent.refused, 3);
        assert_eq!(sent.datagrams + sent.full, 200);
        assert_eq!(sent.bytes, 1400 * sent.datagrams);
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
