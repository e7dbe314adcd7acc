//! What receiving costs, with and without UDP_GRO, from senders that send in bursts and from those that do not.

use std::{
    io, mem,
    net::{SocketAddr, UdpSocket},
    os::fd::AsRawFd,
    ptr,
    time::Duration,
};

/// Datagrams that wait together: they fit into a socket's buffer of the usual size.
const WAITING: usize = 60;

/// Who sends.
#[derive(Clone, Copy)]
pub struct Pattern {
    /// Bytes of a datagram.
    pub length: usize,
    /// Datagrams that come in one go, from one sender after the other; the kernel sees them as one.
    pub burst: Option<usize>,
    pub senders: usize,
}

/// Voices, each packet by itself.
pub const ALONE: Pattern = Pattern { length: 140, burst: None, senders: 3 };
/// Voices that a network held back.
pub const BURSTS: Pattern = Pattern { length: 140, burst: Some(20), senders: 3 };
/// Frames of video, whose packets are sent one by one and arrive in a row.
pub const FRAMES: Pattern = Pattern { length: 1100, burst: None, senders: 6 };
/// The same as a network card that coalesces (or loopback, from who uses UDP_SEGMENT) hands them over.
pub const COALESCED_FRAMES: Pattern = Pattern { length: 1100, burst: Some(10), senders: 6 };

const BATCH: usize = 64;
/// With UDP_GRO, what any message may be; else what a datagram may.
const COALESCED: usize = 65_536;
const PLAIN: usize = 1_500;

/// CPU time of receiving one datagram.
pub fn cost(coalesce: bool, pattern: Pattern, rounds: usize) -> io::Result<Duration> {
    let receiver = UdpSocket::bind("127.0.0.1:0")?;
    receiver.set_nonblocking(true)?;
    set_option(&receiver, libc::UDP_GRO, libc::c_int::from(coalesce))?;
    let to = receiver.local_addr()?;
    let senders = (0..pattern.senders).map(|_| UdpSocket::bind("127.0.0.1:0")).collect::<io::Result<Vec<_>>>()?;
    if pattern.burst.is_some() {
        for sender in &senders {
            set_option(sender, libc::UDP_SEGMENT, pattern.length as libc::c_int)?;
        }
    }
    let mut inbox = Inbox::new(if coalesce { COALESCED } else { PLAIN });
    let (mut cpu, mut received) = (Duration::ZERO, 0);
    for _ in 0..rounds {
        send(&senders, to, pattern)?;
        let clock = engine::thread_cpu();
        let mut bytes = 0;
        while let Some(taken) = inbox.fill(&receiver) {
            bytes += taken;
        }
        cpu += engine::thread_cpu() - clock;
        received += bytes / pattern.length;
    }
    if received != rounds * WAITING {
        return Err(io::Error::other(format!("{received} of {} datagrams came", rounds * WAITING)));
    }
    Ok(cpu / received as u32)
}

fn send(senders: &[UdpSocket], to: SocketAddr, pattern: Pattern) -> io::Result<()> {
    let burst = pattern.burst.unwrap_or(1);
    let datagrams = vec![7; pattern.length * burst];
    for sender in senders.iter().cycle().take(WAITING / burst) {
        sender.send_to(&datagrams, to)?;
    }
    Ok(())
}

struct Inbox {
    headers: Vec<libc::mmsghdr>,
    // What the headers point to.
    _vectors: Vec<libc::iovec>,
    _buffers: Vec<u8>,
    controls: Vec<[u64; 4]>,
}

impl Inbox {
    fn new(length: usize) -> Inbox {
        let mut buffers = vec![0; BATCH * length];
        let mut vectors: Vec<_> = buffers
            .chunks_exact_mut(length)
            .map(|buffer| libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: length })
            .collect();
        let headers = vectors
            .iter_mut()
            .map(|vector| {
                // SAFETY: a header of null pointers and zero lengths is a value.
                let mut header: libc::mmsghdr = unsafe { mem::zeroed() };
                header.msg_hdr.msg_iov = vector;
                header.msg_hdr.msg_iovlen = 1;
                header
            })
            .collect();
        Inbox { headers, _vectors: vectors, _buffers: buffers, controls: vec![[0; 4]; BATCH] }
    }

    /// Bytes taken by one call; None when nothing waits.
    fn fill(&mut self, socket: &UdpSocket) -> Option<usize> {
        for (header, control) in self.headers.iter_mut().zip(&mut self.controls) {
            header.msg_hdr.msg_control = control.as_mut_ptr().cast();
            header.msg_hdr.msg_controllen = mem::size_of_val(control) as _;
        }
        // SAFETY: each header points to a vector, a buffer and a control buffer in heap memory that `self` owns and never
        // resizes.
        let taken = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                BATCH as libc::c_uint,
                libc::MSG_DONTWAIT as _,
                ptr::null_mut(),
            )
        };
        let taken = usize::try_from(taken).ok()?;
        Some(self.headers[..taken].iter().map(|header| header.msg_len as usize).sum())
    }
}

fn set_option(socket: &UdpSocket, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let length = mem::size_of_val(&value) as libc::socklen_t;
    // SAFETY: the socket is open, and `value` is a valid int of the length given.
    match unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_UDP, option, (&raw const value).cast(), length) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
