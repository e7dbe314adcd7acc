//! The engine: its threads, and the calls into them.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    os::fd::{AsFd, BorrowedFd},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::Ordering,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use openssl::rand::rand_bytes;
use sfu::{IceCredentials, Keys, PeerConfig, PeerId, Placement, RoomId, Row, Wish, WorkerId};
use thiserror::Error;

use crate::{
    command::Command,
    counters::Counters,
    dtls::{Backlog, Identity, Request, Service, Terms},
    event::Event,
    mailbox::{Mailbox, Refused},
    ring, socket,
    supervisor::{Media, Shared, spawn},
    sys::EventFd,
    tcp,
    worker::Links,
};

/// A host's addresses; each costs a socket and 400 kB for each worker.
pub const MAX_ADDRESSES: usize = 16;

/// A media thread answers within a millisecond; after this it is stuck.
const PATIENCE: Duration = Duration::from_secs(5);

/// How to start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where to receive: one UDP socket each.
    pub addresses: Vec<IpAddr>,
    /// The port of the first worker; each further one has the next. 0: free ones.
    pub port: u16,
    /// Voices heard at once in a room.
    pub audio_slots: usize,
    /// Media threads, at most [`sfu::MAX_WORKERS`].
    pub workers: usize,
    /// A room of more peers than this is spread over all workers.
    pub spread_above: usize,
    /// Listen for TCP too, on the same addresses and ports.
    pub tcp: bool,
}

impl Settings {
    /// One worker for some addresses.
    pub fn new(addresses: Vec<IpAddr>) -> Settings {
        Settings { addresses, port: 0, audio_slots: 8, workers: 1, spread_above: 200, tcp: true }
    }
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
    /// The worker that was asked failed meanwhile; another is in its place.
    #[error("the worker was restarted")]
    Restarted,
}

/// UDP sockets, and the threads that serve them.
pub struct Engine {
    /// By worker.
    media: Vec<Arc<Mailbox<Command>>>,
    dtls: Arc<Mailbox<Request>>,
    shared: Arc<Shared>,
    threads: Mutex<Option<Threads>>,
    addresses: Vec<Vec<SocketAddr>>,
    fingerprint: [u8; 32],
}

struct Threads {
    media: Vec<JoinHandle<()>>,
    dtls: JoinHandle<()>,
}

impl Engine {
    /// Bind the sockets and start the threads. Errors are those of the sockets and of resources that ran out.
    pub fn start(settings: &Settings) -> io::Result<Engine> {
        check(settings)?;
        let workers = settings.workers;
        let sockets = socket::bind_workers(&settings.addresses, settings.port, workers, settings.tcp)?;
        let addresses = sockets
            .iter()
            .map(|sockets| sockets.udp.iter().map(|socket| socket.local_addr()).collect())
            .collect::<io::Result<_>>()?;
        let identity = Identity::new()?;
        let fingerprint = identity.fingerprint;
        let mut timeline = [0; 4];
        rand_bytes(&mut timeline)?;
        let (start, wall_clock) = (Instant::now(), SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default());

        let shared = Arc::new(Shared::new(workers, settings.spread_above)?);
        let mailbox = |_| Ok(Arc::new(Mailbox::new(Some(EventFd::new()?))));
        let media = (0..workers).map(mailbox).collect::<io::Result<Vec<_>>>()?;
        let dtls = Arc::new(Mailbox::new(None));
        let backlog = Arc::new(Backlog::default());
        let pinned = workers > 1 && thread::available_parallelism().is_ok_and(|processors| processors.get() >= workers);
        let service = Service::new(identity, Arc::clone(&dtls), media.clone(), Arc::clone(&backlog));

        let mut started = Starting(Vec::new());
        for (index, (sockets, (outgoing, incoming))) in sockets.into_iter().zip(ring::connect(&media)).enumerate() {
            let worker = WorkerId(index as u8);
            let mut seed = [0; 8];
            rand_bytes(&mut seed)?;
            let body = Media {
                links: Links {
                    worker,
                    sockets,
                    connections: tcp::capacity(workers),
                    mailbox: Arc::clone(&media[index]),
                    events: Arc::clone(&shared.events),
                    outgoing,
                    incoming,
                },
                mailboxes: media.clone(),
                dtls: Arc::clone(&dtls),
                backlog: Arc::clone(&backlog),
                core: sfu::Settings {
                    worker,
                    audio_slots: settings.audio_slots,
                    seed: u64::from_ne_bytes(seed),
                    timeline: u32::from_ne_bytes(timeline),
                    wall_clock,
                },
                start,
                shared: Arc::clone(&shared),
                pinned,
            };
            let thread = spawn(format!("media-{index}"), &shared, &media[index], move || body.run())?;
            started.0.push((thread, Arc::clone(&media[index])));
        }
        let dtls_thread = spawn("dtls".into(), &shared, &dtls, move || {
            service.run();
            Ok(())
        })?;
        let threads = Threads { media: started.all(), dtls: dtls_thread };
        Ok(Engine { media, dtls, shared, threads: Mutex::new(Some(threads)), addresses, fingerprint })
    }

    /// Where the sockets of each worker are bound, in the order of the settings.
    pub fn addresses(&self) -> &[Vec<SocketAddr>] {
        &self.addresses
    }

    /// SHA-256 of the DTLS certificate.
    pub fn fingerprint(&self) -> &[u8; 32] {
        &self.fingerprint
    }

    /// The oldest events, at most `limit`.
    pub fn drain(&self, limit: usize) -> Result<Vec<Event>, Error> {
        self.check()?;
        let mut events = self.shared.events.drain(limit);
        // A peer ends once: what closed and was then removed, or was lost with its worker, is no news.
        events.retain(|event| match event {
            Event::Closed { peer, .. } => self.shared.placement().remove(*peer).is_some(),
            _ => true,
        });
        Ok(events)
    }

    /// Add a peer to a room, which exists from its first peer to its last. It connects by DTLS on `terms`, or (None) once
    /// `set_keys` was called. Returns the worker that serves it.
    pub fn add_peer(
        &self,
        room: RoomId,
        peer: PeerId,
        config: PeerConfig,
        terms: Option<Terms>,
    ) -> Result<WorkerId, Error> {
        self.check()?;
        let (config, terms) = (Box::new(config), terms.map(Box::new));
        let mut placement = self.shared.placement();
        let Some((worker, home)) = placement.place(peer, room) else {
            return Err(Error::Rejected(sfu::Rejected::PeerExists));
        };
        // Under the lock, so that a worker that fails forgets either both, or neither the placement nor the command.
        let placed = Placement { room, home };
        let asked = self.request(worker, |reply| Command::AddPeer { placement: placed, peer, config, terms, reply });
        drop(placement);
        let added =
            asked.and_then(|answer| self.answer(worker, &answer)).and_then(|added| added.map_err(Error::Rejected));
        if added.is_err() {
            self.shared.placement().remove(peer);
        }
        added.map(|()| worker)
    }

    /// Remove a peer; an unknown one is ignored.
    pub fn remove_peer(&self, peer: PeerId) -> Result<(), Error> {
        self.check()?;
        match self.shared.placement().remove(peer) {
            Some(worker) => ignore_closed(self.tell(worker, Command::RemovePeer(peer))),
            None => Ok(()),
        }
    }

    /// Take a peer to another room; an unknown one is ignored.
    pub fn move_peer(&self, peer: PeerId, room: RoomId) -> Result<(), Error> {
        self.check()?;
        match self.shared.placement().change_room(peer, room) {
            Some((worker, home)) => ignore_closed(self.tell(worker, Command::MovePeer(peer, Placement { room, home }))),
            None => Ok(()),
        }
    }

    /// Forward nothing of a peer's, or (false) all again; an unknown one is ignored.
    pub fn set_muted(&self, peer: PeerId, muted: bool) -> Result<(), Error> {
        self.tell_about(peer, Command::SetMuted(peer, muted))
    }

    /// Send a peer nothing, or (false) all again; an unknown one is ignored.
    pub fn set_deafened(&self, peer: PeerId, deafened: bool) -> Result<(), Error> {
        self.tell_about(peer, Command::SetDeafened(peer, deafened))
    }

    /// Whom a peer does not want to hear, by CSRC; an unknown peer is ignored.
    pub fn set_ignored(&self, peer: PeerId, csrcs: Vec<u32>) -> Result<(), Error> {
        self.tell_about(peer, Command::SetIgnored(peer, csrcs.into()))
    }

    /// What a peer shares of its cameras, screens and screen sound, by CSRC, `silent` without that sound; an unknown peer
    /// is ignored.
    pub fn set_sharing(&self, peer: PeerId, csrcs: Vec<u32>, silent: bool) -> Result<(), Error> {
        self.tell_about(peer, Command::SetSharing(peer, csrcs.into(), silent))
    }

    /// What a peer wishes to see, the whole set; an unknown peer is ignored.
    pub fn watch(&self, peer: PeerId, wishes: Vec<Wish>) -> Result<(), Error> {
        self.tell_about(peer, Command::Watch(peer, wishes.into()))
    }

    /// New ICE credentials for a peer; the old ones count until its client nominates with the new.
    pub fn restart_ice(&self, peer: PeerId, credentials: IceCredentials) -> Result<(), Error> {
        self.check()?;
        let worker = self.shared.placement().worker_of(peer);
        let worker = worker.ok_or(Error::Rejected(sfu::Rejected::NoSuchPeer))?;
        let credentials = Box::new(credentials);
        let answer = self.request(worker, |reply| Command::RestartIce { peer, credentials, reply })?;
        self.answer(worker, &answer)?.map_err(Error::Rejected)
    }

    /// Connect a peer that was added without DTLS: for benchmarks.
    #[doc(hidden)]
    pub fn set_keys(&self, peer: PeerId, keys: Keys) -> Result<(), Error> {
        self.tell_about(peer, Command::SetKeys { peer, keys: Box::new(keys) })
    }

    /// Let a worker panic, to see that it harms nobody else.
    #[doc(hidden)]
    pub fn panic_worker(&self, worker: WorkerId) -> Result<(), Error> {
        self.tell(worker, Command::Panic)
    }

    /// A snapshot in which every call made before this one is done.
    pub fn counters(&self) -> Result<Counters, Error> {
        let mut all = self.ask_all(Command::Counters)?.into_iter();
        let mut sum = all.next().ok_or(Error::Closed)?;
        all.for_each(|counters| sum.add(&counters));
        sum.worker_restarts = self.shared.restarts.load(Ordering::Relaxed);
        Ok(sum)
    }

    /// A row a peer, source and slot, with the worker it is of.
    pub fn statistics(&self) -> Result<Vec<(WorkerId, Vec<Row>)>, Error> {
        let all = self.ask_all(Command::Statistics)?;
        Ok(all.into_iter().enumerate().map(|(worker, rows)| (WorkerId(worker as u8), rows)).collect())
    }

    /// Stop the threads and close the sockets; idempotent. Events not drained are dropped.
    pub fn close(&self) {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(threads) = threads.take() else { return };
        self.shared.is_closing.store(true, Ordering::SeqCst);
        // The goodbyes go out before the media threads are told to stop.
        let _ = self.dtls.post(Request::Stop);
        let _ = threads.dtls.join();
        for media in &self.media {
            let _ = media.post(Command::Stop);
        }
        for thread in threads.media {
            let _ = thread.join();
        }
        self.shared.events.drain(usize::MAX);
    }

    fn ask_all<T>(&self, command: impl Fn(SyncSender<T>) -> Command) -> Result<Vec<T>, Error> {
        let workers = || (0..self.media.len()).map(|worker| WorkerId(worker as u8));
        let asked = workers().map(|worker| self.request(worker, &command)).collect::<Result<Vec<_>, _>>()?;
        workers().zip(asked).map(|(worker, answer)| self.answer(worker, &answer)).collect()
    }

    fn request<T>(
        &self,
        worker: WorkerId,
        command: impl FnOnce(SyncSender<T>) -> Command,
    ) -> Result<Receiver<T>, Error> {
        let (reply, answer) = sync_channel(1);
        self.tell(worker, command(reply))?;
        Ok(answer)
    }

    fn answer<T>(&self, worker: WorkerId, answer: &Receiver<T>) -> Result<T, Error> {
        /// A thread that is on its way out has closed its mailbox by then; one that goes on has begun anew.
        const ON_ITS_WAY: Duration = Duration::from_millis(100);
        answer.recv_timeout(PATIENCE).map_err(|missing| match missing {
            RecvTimeoutError::Timeout => Error::Stuck,
            RecvTimeoutError::Disconnected if self.media[usize::from(worker.0)].wait_closed(ON_ITS_WAY) => {
                self.check().err().unwrap_or(Error::Closed)
            }
            RecvTimeoutError::Disconnected => Error::Restarted,
        })
    }

    fn tell_about(&self, peer: PeerId, command: Command) -> Result<(), Error> {
        self.check()?;
        let worker = self.shared.placement().worker_of(peer);
        worker.map_or(Ok(()), |worker| ignore_closed(self.tell(worker, command)))
    }

    fn tell(&self, worker: WorkerId, command: Command) -> Result<(), Error> {
        self.check()?;
        let mailbox = self.media.get(usize::from(worker.0)).ok_or(Error::Closed)?;
        mailbox.submit(command, PATIENCE).map_err(|refused| match refused {
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

fn check(settings: &Settings) -> io::Result<()> {
    let wrong = |what: String| Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    if settings.addresses.is_empty() || settings.addresses.len() > MAX_ADDRESSES {
        return wrong(format!("1 to {MAX_ADDRESSES} addresses are needed"));
    }
    if settings.workers == 0 || settings.workers > sfu::MAX_WORKERS {
        return wrong(format!("1 to {} workers are needed", sfu::MAX_WORKERS));
    }
    Ok(())
}

/// Threads that are told to stop again if not all of them start.
struct Starting(Vec<(JoinHandle<()>, Arc<Mailbox<Command>>)>);

impl Starting {
    fn all(&mut self) -> Vec<JoinHandle<()>> {
        self.0.drain(..).map(|(thread, _)| thread).collect()
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        for (thread, mailbox) in self.0.drain(..) {
            let _ = mailbox.post(Command::Stop);
            let _ = thread.join();
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
