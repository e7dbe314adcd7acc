//! ICE-TCP (RFC 6544 passive candidates): connections whose frames (RFC 4571) are datagrams to everybody else.

use std::{
    collections::HashMap,
    io::{self, Read, Write},
    net::{IpAddr, SocketAddr, TcpStream},
    os::fd::AsFd,
    time::{Duration, Instant},
};

use sfu::{MAX_DATAGRAM, Path};

use crate::sys::{Epoll, Interest, Sent, limit_send_buffer};

/// [`Path::local`] of the first listener; those below are UDP sockets.
pub(crate) const FIRST_LISTENER: u8 = 64;

/// RFC 4571 §2: the length before each frame.
const PREFIX: usize = 2;
/// What one read takes at most: a few frames of voice.
const READ: usize = 4096;
/// What may wait to be sent, here and half as much in the kernel: a second of eight voices. Who does not read for so long
/// would hear only the past.
const WAITING: usize = 64 * 1024;
/// Connections on which no check has come yet, of all and of one address: so many cost 2 MB.
const STRANGERS: usize = 512;
const STRANGERS_AN_ADDRESS: usize = 32;
/// How long one may stay a stranger: a slow client connects and checks within a third of it.
const STRANGER_FOR: Duration = Duration::from_secs(10);
/// Between two looks at who has stayed for too long.
const SWEEP: Duration = Duration::from_secs(1);

struct Connection {
    stream: TcpStream,
    path: Path,
    /// A check of one of our peers has come on it.
    known: bool,
    /// Since when it is what `known` says.
    since: Instant,
    incoming: Box<[u8; READ]>,
    /// What of `incoming` is filled, and not yet taken.
    filled: std::ops::Range<usize>,
    outgoing: Vec<u8>,
    /// The kernel had no room for all of `outgoing`.
    blocked: bool,
    /// `outgoing` is to be written at the end of the batch.
    dirty: bool,
}

/// All connections of a worker.
#[derive(Default)]
pub(crate) struct Streams {
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    by_path: HashMap<Path, usize>,
    strangers: HashMap<IpAddr, usize>,
    stranger_count: usize,
    dirty: Vec<usize>,
    swept: Option<Instant>,
    sent: Sent,
    refused: u64,
}

impl Streams {
    /// Take a connection that was accepted by `listener`, or refuse it.
    pub(crate) fn add(
        &mut self,
        now: Instant,
        epoll: &Epoll,
        token: impl Fn(usize) -> u64,
        listener: u8,
        stream: TcpStream,
        from: SocketAddr,
    ) {
        let of_address = self.strangers.get(&from.ip()).copied().unwrap_or(0);
        let path = Path { local: FIRST_LISTENER + listener, remote: from };
        let full = self.stranger_count >= STRANGERS || of_address >= STRANGERS_AN_ADDRESS;
        // Voice does not wait for more to send (RFC 896).
        let usable = !full
            && stream.set_nonblocking(true).is_ok()
            && stream.set_nodelay(true).is_ok()
            && limit_send_buffer(&stream, WAITING / 2).is_ok();
        let index = self.free.last().copied().unwrap_or(self.connections.len());
        if !usable || epoll.add(stream.as_fd(), token(index)).is_err() {
            self.refused += 1;
            return;
        }
        let connection = Connection {
            stream,
            path,
            known: false,
            since: now,
            incoming: Box::new([0; READ]),
            filled: 0..0,
            outgoing: Vec::new(),
            blocked: false,
            dirty: false,
        };
        match self.free.pop() {
            Some(index) => self.connections[index] = Some(connection),
            None => self.connections.push(Some(connection)),
        }
        self.by_path.insert(path, index);
        *self.strangers.entry(from.ip()).or_default() += 1;
        self.stranger_count += 1;
        self.swept.get_or_insert(now);
    }

    fn get(&mut self, index: usize) -> Option<&mut Connection> {
        self.connections.get_mut(index)?.as_mut()
    }

    pub(crate) fn path(&self, index: usize) -> Option<Path> {
        Some(self.connections.get(index)?.as_ref()?.path)
    }

    /// Read once from a connection. Errors: it is over.
    pub(crate) fn fill(&mut self, index: usize) -> io::Result<()> {
        self.get(index).map_or(Ok(()), Connection::fill)
    }

    /// The length of the next frame that was read whole, copied into `out`. Errors: it breaks the framing.
    pub(crate) fn take(&mut self, index: usize, out: &mut [u8; MAX_DATAGRAM]) -> io::Result<Option<usize>> {
        self.get(index).map_or(Ok(None), |connection| connection.take(out))
    }

    /// A check of one of our peers has come on it, or (false) it is nobody's any more.
    pub(crate) fn set_known(&mut self, now: Instant, index: usize, known: bool) {
        let Some(connection) = self.get(index).filter(|connection| connection.known != known) else { return };
        (connection.known, connection.since) = (known, now);
        let ip = connection.path.remote.ip();
        if known {
            self.forget_stranger(ip);
        } else {
            *self.strangers.entry(ip).or_default() += 1;
            self.stranger_count += 1;
        }
    }

    fn forget_stranger(&mut self, ip: IpAddr) {
        self.stranger_count -= 1;
        if let Some(count) = self.strangers.get_mut(&ip) {
            *count -= 1;
            if *count == 0 {
                self.strangers.remove(&ip);
            }
        }
    }

    /// End a connection.
    pub(crate) fn close(&mut self, path: Path) {
        let Some(index) = self.by_path.remove(&path) else { return };
        if let Some(connection) = self.connections[index].take() {
            self.free.push(index);
            if !connection.known {
                self.forget_stranger(path.remote.ip());
            }
        }
        if self.by_path.is_empty() {
            self.swept = None;
        }
    }

    /// Frame a datagram for a connection; it leaves with `flush`.
    pub(crate) fn send(&mut self, to: Path, fill: impl FnOnce(&mut [u8; MAX_DATAGRAM]) -> usize) {
        let mut datagram = [0; MAX_DATAGRAM];
        let len = fill(&mut datagram);
        if len == 0 {
            return;
        }
        let Some(index) = self.by_path.get(&to).copied() else {
            self.sent.refused += 1;
            return;
        };
        let Some(connection) = &mut self.connections[index] else { return };
        if connection.outgoing.len() + PREFIX + len > WAITING {
            self.sent.full += 1;
            return;
        }
        connection.outgoing.extend((len as u16).to_be_bytes());
        connection.outgoing.extend(&datagram[..len]);
        self.sent.datagrams += 1;
        self.sent.bytes += len as u64;
        if !std::mem::replace(&mut connection.dirty, true) {
            self.dirty.push(index);
        }
    }

    /// Write what was framed, as far as the kernel takes it.
    pub(crate) fn flush(&mut self, epoll: &Epoll, token: impl Fn(usize) -> u64) {
        for index in self.dirty.drain(..) {
            let Some(connection) = self.connections.get_mut(index).and_then(Option::as_mut) else { continue };
            connection.dirty = false;
            if !connection.blocked {
                connection.write(epoll, token(index));
            }
        }
    }

    /// The kernel has room again.
    pub(crate) fn unblock(&mut self, index: usize, epoll: &Epoll, token: u64) {
        if let Some(connection) = self.get(index) {
            connection.write(epoll, token);
        }
    }

    /// When to sweep next; None while there is no connection.
    pub(crate) fn next_sweep(&self) -> Option<Instant> {
        self.swept.map(|swept| swept + SWEEP)
    }

    /// Connections that were strangers for too long, appended to `over`. `is_known` says of each whether it is a peer's
    /// still.
    pub(crate) fn sweep(&mut self, now: Instant, is_known: impl Fn(Path) -> bool, over: &mut Vec<Path>) {
        if self.next_sweep().is_none_or(|due| due > now) {
            return;
        }
        self.swept = Some(now);
        for index in 0..self.connections.len() {
            let Some(path) = self.path(index) else { continue };
            self.set_known(now, index, is_known(path));
            over.extend(self.get(index).filter(|each| !each.known && each.since + STRANGER_FOR <= now).map(|_| path));
        }
    }

    /// Open ones.
    pub(crate) fn len(&self) -> usize {
        self.by_path.len()
    }

    /// The totals, of datagrams.
    pub(crate) fn sent(&self) -> Sent {
        self.sent
    }

    /// Connections that were not taken.
    pub(crate) fn refused(&self) -> u64 {
        self.refused
    }
}

impl Connection {
    fn fill(&mut self) -> io::Result<()> {
        let kept = self.filled.len();
        self.incoming.copy_within(self.filled.clone(), 0);
        self.filled = 0..kept;
        match self.stream.read(&mut self.incoming[kept..]) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => {
                self.filled.end += read;
                Ok(())
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// A whole frame of what was read before. An empty one is skipped: some send it to keep a NAT open.
    fn take(&mut self, out: &mut [u8; MAX_DATAGRAM]) -> io::Result<Option<usize>> {
        loop {
            let Some((prefix, rest)) = self.incoming[self.filled.clone()].split_first_chunk::<PREFIX>() else {
                return Ok(None);
            };
            let len = usize::from(u16::from_be_bytes(*prefix));
            if len > MAX_DATAGRAM {
                return Err(io::ErrorKind::InvalidData.into());
            }
            let Some(frame) = rest.get(..len) else { return Ok(None) };
            out[..len].copy_from_slice(frame);
            self.filled.start += PREFIX + len;
            if len > 0 {
                return Ok(Some(len));
            }
        }
    }

    fn write(&mut self, epoll: &Epoll, token: u64) {
        let mut written = 0;
        let blocked = loop {
            match self.stream.write(&self.outgoing[written..]) {
                Ok(taken) => {
                    written += taken;
                    if written == self.outgoing.len() {
                        break false;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break true,
                Err(_) => {
                    // Reading will tell that it is over.
                    written = self.outgoing.len();
                    break false;
                }
            }
        };
        self.outgoing.drain(..written);
        if blocked != self.blocked {
            let interest = if blocked { Interest::Both } else { Interest::Input };
            // Best effort: a descriptor that epoll refuses is one whose reading ends.
            let _ = epoll.change(self.stream.as_fd(), token, interest);
            self.blocked = blocked;
        }
    }
}
