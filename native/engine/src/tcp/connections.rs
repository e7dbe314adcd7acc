use std::{
    collections::HashMap,
    io,
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    os::fd::AsFd,
    time::{Duration, Instant},
};

use sfu::{MAX_DATAGRAM, Path};

use super::{FIRST_LOCAL, inbound::Inbound, outbound::Outbound, strangers::Strangers};
use crate::sys::{Epoll, Interest, set_unsent_limit};

/// Connections of one worker on which nobody is known yet.
const STRANGERS: usize = 512;

/// How long nobody may be known on a connection: a check is the first thing a client sends, and it repeats it.
const STRANGE_FOR: Duration = Duration::from_secs(10);

/// How often to look who is still known.
const SWEEP: Duration = Duration::from_secs(1);

/// Connections to take from a listener before packets have their turn.
const ACCEPTED: usize = 32;

/// Bytes that the kernel may take and not send yet: a few batches. The rest waits with us, where it can be dropped.
const UNSENT: usize = 16 << 10;

/// The epoll token of the first connection; listeners have their `Path::local`.
const FIRST_TOKEN: u64 = 1 << 32;

/// The connections of one worker.
pub(crate) struct Connections<'a> {
    listeners: &'a [TcpListener],
    /// At most.
    capacity: usize,
    /// By index, which a new connection takes over from one that is gone.
    connections: Vec<Option<Connection>>,
    vacant: Vec<usize>,
    by_path: HashMap<Path, usize>,
    strangers: Strangers,
    /// Those with something to send in this batch.
    waiting: Vec<usize>,
    /// Paths that are gone; whoever takes note of that empties it.
    pub(crate) closed: Vec<Path>,
    /// The next look at everybody; None while there is nothing to look at.
    sweep: Option<Instant>,
    /// There are no descriptors left, so nobody is let in until the next sweep.
    is_exhausted: bool,
    totals: Totals,
}

/// What became of packets and connections so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// Packets on their way.
    pub(crate) packets: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// Dropped because a connection did not take them, or is gone.
    pub(crate) dropped: u64,
    /// Connections that were closed at once, for there are too many.
    pub(crate) refused: u64,
}

struct Connection {
    stream: TcpStream,
    path: Path,
    /// None while its frames are worked on.
    inbound: Option<Inbound>,
    outbound: Outbound,
    /// It is in `waiting`.
    is_waiting: bool,
    /// Output is to be reported.
    is_held_up: bool,
    /// Nobody is known here, and this is when that has lasted for too long.
    strange_until: Option<Instant>,
}

impl<'a> Connections<'a> {
    /// Watch the listeners, whose accepting must not block, for at most so many connections.
    pub(crate) fn new(listeners: &'a [TcpListener], capacity: usize, epoll: &Epoll) -> io::Result<Connections<'a>> {
        for (index, listener) in listeners.iter().enumerate() {
            epoll.add(listener.as_fd(), u64::from(FIRST_LOCAL) + index as u64)?;
        }
        Ok(Connections {
            listeners,
            capacity,
            connections: Vec::new(),
            vacant: Vec::new(),
            by_path: HashMap::new(),
            strangers: Strangers::new(STRANGERS.min(capacity / 2)),
            waiting: Vec::new(),
            closed: Vec::new(),
            sweep: None,
            is_exhausted: false,
            totals: Totals::default(),
        })
    }

    /// The listener behind an epoll token.
    pub(crate) fn listener(&self, token: u64) -> Option<usize> {
        let index = token.checked_sub(u64::from(FIRST_LOCAL))? as usize;
        (index < self.listeners.len()).then_some(index)
    }

    /// Take some of the connections that wait at a listener.
    pub(crate) fn accept(&mut self, listener: usize, now: Instant, epoll: &Epoll) {
        for _ in 0..ACCEPTED {
            match self.listeners[listener].accept() {
                Ok((stream, from)) => {
                    let path = Path { local: FIRST_LOCAL + listener as u8, remote: address(from) };
                    self.admit(stream, path, now, epoll);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // Of one connection that is gone before we looked.
                Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted) => {
                }
                // There are no descriptors or no memory, and a listener that is full stays ready.
                Err(_) => {
                    self.listen(Interest::Nothing, epoll);
                    self.is_exhausted = true;
                    self.sweep.get_or_insert(now + SWEEP);
                    return;
                }
            }
        }
    }

    fn admit(&mut self, stream: TcpStream, path: Path, now: Instant, epoll: &Epoll) {
        // One that had this path is over, or the kernel would not have let another have it.
        if let Some(former) = self.by_path.get(&path).copied() {
            self.close(former);
        }
        if self.by_path.len() >= self.capacity || !self.strangers.admit(path.remote.ip()) {
            self.totals.refused += 1;
            return;
        }
        let index = self.vacant.pop().unwrap_or(self.connections.len());
        let ready = stream.set_nonblocking(true).and_then(|()| stream.set_nodelay(true));
        if ready.and_then(|()| epoll.add(stream.as_fd(), FIRST_TOKEN + index as u64)).is_err() {
            self.strangers.dismiss(path.remote.ip());
            self.vacant.extend((index < self.connections.len()).then_some(index));
            return;
        }
        set_unsent_limit(&stream, UNSENT);
        let connection = Connection {
            stream,
            path,
            inbound: Some(Inbound::new()),
            outbound: Outbound::default(),
            is_waiting: false,
            is_held_up: false,
            strange_until: Some(now + STRANGE_FOR),
        };
        if index == self.connections.len() {
            self.connections.push(None);
        }
        self.connections[index] = Some(connection);
        self.by_path.insert(path, index);
        self.sweep.get_or_insert(now + SWEEP);
    }

    /// Read from a connection, and lend out what came, with its path. It closes where there is nothing more to come.
    pub(crate) fn read(&mut self, index: usize) -> Option<(Path, Inbound)> {
        let connection = self.connections.get_mut(index)?.as_mut()?;
        let mut inbound = connection.inbound.take()?;
        match inbound.fill(&connection.stream) {
            Ok(1..) => return Some((connection.path, inbound)),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                connection.inbound = Some(inbound);
            }
            Ok(0) | Err(_) => self.close(index),
        }
        None
    }

    /// Take back what was lent out. `is_known`: somebody has shown on this path who it is.
    pub(crate) fn restore(&mut self, index: usize, inbound: Inbound, is_known: impl FnOnce(Path) -> bool) {
        let Some(connection) = self.connections.get_mut(index).and_then(Option::as_mut) else { return };
        connection.inbound = Some(inbound);
        if connection.strange_until.is_some() && is_known(connection.path) {
            connection.strange_until = None;
            self.strangers.dismiss(connection.path.remote.ip());
        }
    }

    /// One packet for a path: what `fill` writes, as long as it says (0: nothing).
    pub(crate) fn send(&mut self, to: Path, fill: impl FnOnce(&mut [u8; MAX_DATAGRAM]) -> usize) {
        let mut buffer = [0; MAX_DATAGRAM];
        let length = fill(&mut buffer).min(MAX_DATAGRAM);
        if length == 0 {
            return;
        }
        let index = self.by_path.get(&to).copied();
        let connection = index.and_then(|index| Some((index, self.connections.get_mut(index)?.as_mut()?)));
        let Some((index, connection)) = connection else {
            self.totals.dropped += 1;
            return;
        };
        if !connection.outbound.push(&buffer[..length]) {
            self.totals.dropped += 1;
            return;
        }
        self.totals.packets += 1;
        self.totals.bytes += length as u64;
        if !connection.is_waiting && !connection.is_held_up {
            connection.is_waiting = true;
            self.waiting.push(index);
        }
    }

    /// Write what the batch has put out.
    pub(crate) fn flush(&mut self, epoll: &Epoll) {
        while let Some(index) = self.waiting.pop() {
            self.write(index, epoll);
        }
    }

    /// Write what a connection takes now, and be told when it takes more.
    pub(crate) fn write(&mut self, index: usize, epoll: &Epoll) {
        let Some(connection) = self.connections.get_mut(index).and_then(Option::as_mut) else { return };
        connection.is_waiting = false;
        let token = FIRST_TOKEN + index as u64;
        let written = connection.outbound.flush(&connection.stream).and_then(|is_all| {
            if connection.is_held_up == is_all {
                connection.is_held_up = !is_all;
                let interest = if is_all { Interest::Input } else { Interest::Both };
                epoll.change(connection.stream.as_fd(), token, interest)?;
            }
            Ok(())
        });
        if written.is_err() {
            // Reading finds its end, and closes it.
            let _ = connection.stream.shutdown(Shutdown::Both);
        }
    }

    /// When `sweep` must be called.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.sweep
    }

    /// See on which connections nobody is known (any longer), and close those on which that has lasted.
    pub(crate) fn sweep(&mut self, now: Instant, is_known: impl Fn(Path) -> bool, epoll: &Epoll) {
        if self.sweep.is_none_or(|due| now < due) {
            return;
        }
        if std::mem::take(&mut self.is_exhausted) {
            self.listen(Interest::Input, epoll);
        }
        for index in 0..self.connections.len() {
            let Some(connection) = &mut self.connections[index] else { continue };
            let from = connection.path.remote.ip();
            match (is_known(connection.path), connection.strange_until) {
                (true, None) => {}
                (true, Some(_)) => {
                    connection.strange_until = None;
                    self.strangers.dismiss(from);
                }
                (false, Some(until)) if now < until => {}
                (false, Some(_)) => self.close(index),
                // Its peer is gone, or has better ways: it is a stranger again.
                (false, None) => {
                    if self.strangers.admit(from) {
                        connection.strange_until = Some(now + STRANGE_FOR);
                    } else {
                        self.close(index);
                    }
                }
            }
        }
        self.sweep = (!self.by_path.is_empty()).then_some(now + SWEEP);
    }

    pub(crate) fn close(&mut self, index: usize) {
        let Some(connection) = self.connections.get_mut(index).and_then(Option::take) else { return };
        self.by_path.remove(&connection.path);
        if connection.strange_until.is_some() {
            self.strangers.dismiss(connection.path.remote.ip());
        }
        self.vacant.push(index);
        self.closed.push(connection.path);
    }

    /// Connections there are now.
    pub(crate) fn len(&self) -> usize {
        self.by_path.len()
    }

    pub(crate) fn totals(&self) -> Totals {
        self.totals
    }

    fn listen(&self, interest: Interest, epoll: &Epoll) {
        for (index, listener) in self.listeners.iter().enumerate() {
            // If that fails, we are asked again.
            let _ = epoll.change(listener.as_fd(), u64::from(FIRST_LOCAL) + index as u64, interest);
        }
    }
}

/// The connection behind an epoll token, which may be gone.
pub(crate) fn connection(token: u64) -> Option<usize> {
    token.checked_sub(FIRST_TOKEN).map(|index| index as usize)
}

/// Without the flow label, which is no part of who the sender is.
fn address(from: SocketAddr) -> SocketAddr {
    match from {
        SocketAddr::V6(mut v6) => {
            v6.set_flowinfo(0);
            v6.into()
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests;
