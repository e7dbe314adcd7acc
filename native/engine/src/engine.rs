//! The engine: its threads, and the calls into them.

use std::{
    any::Any,
    io,
    net::{IpAddr, SocketAddr},
    os::fd::{AsFd, BorrowedFd},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        mpsc::{RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use openssl::rand::rand_bytes;
use sfu::{IceCredentials, Keys, PeerConfig, PeerId, Placement, RoomId, Row, Sfu, WorkerId};
use thiserror::Error;

use crate::{
    command::Command,
    counters::Counters,
    dtls::{Backlog, Identity, Request, Service, Terms},
    event::{Event, EventQueue},
    handshakes::Handshakes,
    mailbox::{Mailbox, Refused},
    socket,
    sys::EventFd,
    worker::{Links, Worker},
};

/// A host's addresses; each costs a socket and 400 kB.
pub const MAX_ADDRESSES: usize = 16;

/// The media thread answers within a millisecond; after this it is stuck.
const PATIENCE: Duration = Duration::from_secs(5);

/// How to start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where to receive: one UDP socket each.
    pub addresses: Vec<IpAddr>,
    /// The port of all of them; 0: a free one.
    pub port: u16,
    /// Voices heard at once in a room.
    pub audio_slots: usize,
}

/// What can go wrong with a call.
#[derive(Debug, Error)]
pub enum Error {
    /// The description cannot be served; the core says why.
    #[error("{0}")]
    Rejected(sfu::Rejected),
    /// A thread ended that should not have.
    #[error("{0}")]
    Failed(String),
    /// `close` was called.
    #[error("the engine is closed")]
    Closed,
    /// The media thread does not keep up.
    #[error("the media thread does not answer")]
    Stuck,
}

/// UDP sockets, and the threads that serve them.
pub struct Engine {
    media: Arc<Mailbox<Command>>,
    dtls: Arc<Mailbox<Request>>,
    shared: Arc<Shared>,
    threads: Mutex<Option<Threads>>,
    addresses: Vec<SocketAddr>,
    fingerprint: [u8; 32],
}

struct Threads {
    media: JoinHandle<()>,
    dtls: JoinHandle<()>,
}

struct Shared {
    events: Arc<EventQueue>,
    /// Why a thread ended that should not have.
    failure: OnceLock<String>,
}

impl Engine {
    /// Bind the sockets and start the threads. Errors are those of the sockets and of resources that ran out.
    pub fn start(settings: &Settings) -> io::Result<Engine> {
        if settings.addresses.is_empty() || settings.addresses.len() > MAX_ADDRESSES {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("1 to {MAX_ADDRESSES} addresses are needed"),
            ));
        }
        let sockets = socket::bind_all(&settings.addresses, settings.port)?;
        let addresses = sockets.iter().map(|socket| socket.local_addr()).collect::<io::Result<_>>()?;
        let identity = Identity::new()?;
        let fingerprint = identity.fingerprint;
        let mut seed = [0; 12];
        rand_bytes(&mut seed)?;

        let shared = Arc::new(Shared { events: Arc::new(EventQueue::new()?), failure: OnceLock::new() });
        let media = Arc::new(Mailbox::new(Some(EventFd::new()?)));
        let dtls = Arc::new(Mailbox::new(None));
        let backlog = Arc::new(Backlog::default());
        let links = Links {
            sockets,
            mailbox: Arc::clone(&media),
            events: Arc::clone(&shared.events),
            handshakes: Handshakes::new(Arc::clone(&dtls), Arc::clone(&backlog)),
        };
        let core = sfu::Settings {
            audio_slots: settings.audio_slots,
            worker: WorkerId(0),
            seed: u64::from_ne_bytes(*seed.first_chunk().expect("twelve bytes")),
            timeline: u32::from_ne_bytes(*seed.last_chunk().expect("twelve bytes")),
            wall_clock: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
        };
        let sfu = Sfu::new(core, Instant::now());
        let service = Service::new(identity, Arc::clone(&dtls), Arc::clone(&media), backlog);
        let media_thread = spawn("media", &shared, &media, move || Worker::new(sfu, links)?.run())?;
        let dtls_thread = spawn("dtls", &shared, &dtls, move || {
            service.run();
            Ok(())
        });
        let dtls_thread = match dtls_thread {
            Ok(thread) => thread,
            Err(error) => {
                let _ = media.post(Command::Stop);
                let _ = media_thread.join();
                return Err(error);
            }
        };
        let threads = Mutex::new(Some(Threads { media: media_thread, dtls: dtls_thread }));
        Ok(Engine { media, dtls, shared, threads, addresses, fingerprint })
    }

    /// Where the sockets are bound, in the order of the settings.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// SHA-256 of the DTLS certificate.
    pub fn fingerprint(&self) -> &[u8; 32] {
        &self.fingerprint
    }

    /// The oldest events, at most `limit`.
    pub fn drain(&self, limit: usize) -> Result<Vec<Event>, Error> {
        self.check()?;
        Ok(self.shared.events.drain(limit))
    }

    /// Add a peer to a room, which exists from its first peer to its last. It connects by DTLS on `terms`, or (None) once
    /// `set_keys` was called.
    pub fn add_peer(&self, room: RoomId, peer: PeerId, config: PeerConfig, terms: Option<Terms>) -> Result<(), Error> {
        let (config, terms) = (Box::new(config), terms.map(Box::new));
        let placement = Placement { room, home: WorkerId(0) };
        self.ask(|reply| Command::AddPeer { placement, peer, config, terms, reply })?.map_err(Error::Rejected)
    }

    /// Remove a peer; an unknown one is ignored.
    pub fn remove_peer(&self, peer: PeerId) -> Result<(), Error> {
        ignore_closed(self.tell(Command::RemovePeer(peer)))
    }

    /// Forward nothing of a peer's, or (false) all again; an unknown one is ignored.
    pub fn set_muted(&self, peer: PeerId, muted: bool) -> Result<(), Error> {
        ignore_closed(self.tell(Command::SetMuted(peer, muted)))
    }

    /// Send a peer nothing, or (false) all again; an unknown one is ignored.
    pub fn set_deafened(&self, peer: PeerId, deafened: bool) -> Result<(), Error> {
        ignore_closed(self.tell(Command::SetDeafened(peer, deafened)))
    }

    /// Whom a peer does not want to hear, by CSRC; an unknown peer is ignored.
    pub fn set_ignored(&self, peer: PeerId, csrcs: Vec<u32>) -> Result<(), Error> {
        ignore_closed(self.tell(Command::SetIgnored(peer, csrcs.into())))
    }

    /// Take a peer to another room; an unknown one is ignored.
    pub fn move_peer(&self, peer: PeerId, room: RoomId) -> Result<(), Error> {
        ignore_closed(self.tell(Command::MovePeer(peer, Placement { room, home: WorkerId(0) })))
    }

    /// New ICE credentials for a peer; the old ones count until its client nominates with the new.
    pub fn restart_ice(&self, peer: PeerId, credentials: IceCredentials) -> Result<(), Error> {
        let credentials = Box::new(credentials);
        self.ask(|reply| Command::RestartIce { peer, credentials, reply })?.map_err(Error::Rejected)
    }

    /// Connect a peer that was added without DTLS: for benchmarks.
    #[doc(hidden)]
    pub fn set_keys(&self, peer: PeerId, keys: Keys) -> Result<(), Error> {
        self.tell(Command::SetKeys { peer, keys: Box::new(keys) })
    }

    /// A snapshot in which every call made before this one is done.
    pub fn counters(&self) -> Result<Counters, Error> {
        self.ask(Command::Counters)
    }

    /// One row a peer.
    pub fn statistics(&self) -> Result<Vec<Row>, Error> {
        self.ask(Command::Statistics)
    }

    /// Say goodbye to all peers, stop the threads and close the sockets; idempotent. Events not drained are dropped.
    pub fn close(&self) {
        let Some(threads) = self.threads.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        // The handshake thread first: its goodbyes go out through the media thread.
        let _ = self.dtls.post(Request::Stop);
        // A thread that panicked has reported that already.
        let _ = threads.dtls.join();
        let _ = self.media.post(Command::Stop);
        let _ = threads.media.join();
        self.shared.events.drain(usize::MAX);
    }

    fn ask<T>(&self, command: impl FnOnce(SyncSender<T>) -> Command) -> Result<T, Error> {
        let (reply, answer) = sync_channel(1);
        self.tell(command(reply))?;
        answer.recv_timeout(PATIENCE).map_err(|missing| match missing {
            RecvTimeoutError::Timeout => Error::Stuck,
            // The thread is on its way out: wait until it has said why.
            RecvTimeoutError::Disconnected if self.media.wait_closed(PATIENCE) => {
                self.check().err().unwrap_or(Error::Closed)
            }
            RecvTimeoutError::Disconnected => Error::Stuck,
        })
    }

    fn tell(&self, command: Command) -> Result<(), Error> {
        self.check()?;
        self.media.submit(command, PATIENCE).map_err(|refused| match refused {
            Refused::Closed => self.check().err().unwrap_or(Error::Closed),
            Refused::Full => Error::Stuck,
        })
    }

    fn check(&self) -> Result<(), Error> {
        match self.shared.failure.get() {
            Some(failure) => Err(Error::Failed(failure.clone())),
            None => Ok(()),
        }
    }
}

impl AsFd for Engine {
    /// Readable while events wait, or when a call would say that a thread failed. It outlives `close`.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.shared.events.as_fd()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.close();
    }
}

/// A closed engine has no peers, and what concerns an unknown peer is ignored.
fn ignore_closed(result: Result<(), Error>) -> Result<(), Error> {
    match result {
        Err(Error::Closed) => Ok(()),
        other => other,
    }
}

/// Start a thread that reads `mailbox`. When it ends, for whatever reason, nobody waits for it any longer.
fn spawn<T: Send + 'static>(
    name: &str,
    shared: &Arc<Shared>,
    mailbox: &Arc<Mailbox<T>>,
    body: impl FnOnce() -> io::Result<()> + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let (title, shared, mailbox) = (name.to_owned(), Arc::clone(shared), Arc::clone(mailbox));
    thread::Builder::new().name(format!("chorale-{name}")).spawn(move || {
        // Nothing the body worked on is looked at after it panicked.
        let failure = match catch_unwind(AssertUnwindSafe(body)) {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(format!("the {title} thread failed: {error}")),
            Err(panic) => Some(format!("the {title} thread panicked: {}", message(panic.as_ref()))),
        };
        if let Some(failure) = failure {
            let _ = shared.failure.set(failure);
            shared.events.alarm();
        }
        mailbox.close();
    })
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("for no stated reason")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::Epoll;

    #[test]
    fn a_panic_is_reported_and_wakes_whoever_waits() {
        let shared = Arc::new(Shared { events: Arc::new(EventQueue::new().unwrap()), failure: OnceLock::new() });
        let mailbox = Arc::new(Mailbox::<()>::new(None));
        let thread = spawn("media", &shared, &mailbox, || panic!("at the disco")).unwrap();
        assert!(mailbox.wait_closed(PATIENCE));
        thread.join().unwrap();
        assert_eq!(shared.failure.get().unwrap(), "the media thread panicked: at the disco");
        let mut epoll = Epoll::new().unwrap();
        epoll.add(shared.events.as_fd(), 0).unwrap();
        assert_eq!(epoll.wait(Some(Duration::ZERO)).unwrap().count(), 1);
    }
}
