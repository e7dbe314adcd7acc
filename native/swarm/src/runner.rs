//! Many clients on a few threads: a socket each, and the kernel's readiness instead of waiting.

use std::{
    io,
    net::UdpSocket,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Sender, channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::{
    Clock, Devices, Failure, Identity, Session, Statistics,
    dump::Dump,
    histogram::Histogram,
    worker::{Order, Worker},
};

/// What all clients of a swarm share.
#[derive(Clone)]
pub struct Settings {
    /// At least 1. A client stays on its thread.
    pub threads: usize,
    /// The certificate of all of them.
    pub identity: Arc<Identity>,
    /// When time began.
    pub clock: Clock,
    /// Of the stamps that count: see [`crate::stamp::Stamp`].
    pub run: u32,
}

/// A client that is to begin.
pub struct Join {
    /// The caller's own number for it.
    pub number: u64,
    /// What was agreed on.
    pub session: Session,
    /// Its socket, bound; it is connected to the session's remote address here.
    pub socket: UdpSocket,
    /// What it says and shows.
    pub devices: Devices,
    /// When its user decided to join: the time until media flows counts from here.
    pub began: Instant,
    /// Where to write what it receives.
    pub dump: Option<Dump>,
}

/// What became of a client.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The caller's own number.
    pub number: u64,
    /// From `began` to the keys; None if it never came so far.
    pub joined: Option<Duration>,
    /// Why it ended before it should.
    pub failure: Option<Failure>,
    /// Errors of its socket, ICMP's echoes among them, and datagrams the kernel had no room for.
    pub socket_errors: u64,
    /// What it counted.
    pub statistics: Statistics,
}

/// From the sending of stamped packets to their opening.
#[derive(Clone, Debug, Default)]
pub struct Delays {
    /// Of voice frames, a packet each.
    pub voice: Histogram,
    /// Of packets of video; of one that was lost, until its repair.
    pub video: Histogram,
}

/// Totals of now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Clients that ever were connected.
    pub connected: u64,
    /// Clients that failed, before or after.
    pub failed: u64,
    /// RTP packets sent.
    pub sent: u64,
    /// RTP packets received.
    pub received: u64,
}

#[derive(Default)]
pub(crate) struct Shared {
    pub(crate) connected: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) sent: AtomicU64,
    pub(crate) received: AtomicU64,
    /// Delays count.
    pub(crate) measuring: AtomicBool,
    /// Servers that say goodbye were asked to.
    pub(crate) leaving: AtomicBool,
}

/// The running clients.
pub struct Swarm {
    workers: Vec<Handle>,
    shared: Arc<Shared>,
    clock: Clock,
}

struct Handle {
    orders: Sender<Order>,
    waker: mio::Waker,
    thread: JoinHandle<(Vec<Outcome>, Delays)>,
}

impl Swarm {
    /// Start the threads.
    pub fn start(settings: &Settings) -> io::Result<Swarm> {
        let shared = Arc::new(Shared::default());
        shared.measuring.store(true, Ordering::Relaxed);
        let workers = (0..settings.threads.max(1))
            .map(|number| {
                let (orders, inbox) = channel();
                let (worker, waker) = Worker::new(settings, inbox, Arc::clone(&shared))?;
                let thread = thread::Builder::new().name(format!("swarm-{number}")).spawn(move || worker.run())?;
                Ok(Handle { orders, waker, thread })
            })
            .collect::<io::Result<Vec<_>>>()?;
        Ok(Swarm { workers, shared, clock: settings.clock })
    }

    /// The process's time.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Let a client begin.
    pub fn add(&self, join: Join) -> io::Result<()> {
        let worker = &self.workers[(join.number % self.workers.len() as u64) as usize];
        worker.orders.send(Order::Add(Box::new(join))).map_err(|_| io::Error::other("a thread of the swarm ended"))?;
        worker.waker.wake()
    }

    /// How far all are.
    pub fn progress(&self) -> Progress {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Shared { connected, failed, sent, received, .. } = &*self.shared;
        Progress { connected: read(connected), failed: read(failed), sent: read(sent), received: read(received) }
    }

    /// Count delays from here on, or (false) do not; at the start they count.
    pub fn measure(&self, measuring: bool) {
        self.shared.measuring.store(measuring, Ordering::Relaxed);
    }

    /// From here on servers that say goodbye do what was asked of them.
    pub fn prepare_to_leave(&self) {
        self.shared.leaving.store(true, Ordering::Relaxed);
    }

    /// Say goodbye. What became of all, by number, and the delays of all packets that were stamped in this process. Errors
    /// are of epoll, or of a thread that panicked.
    pub fn stop(self) -> io::Result<(Vec<Outcome>, Delays)> {
        self.prepare_to_leave();
        let (mut outcomes, mut delays) = (Vec::new(), Delays::default());
        for worker in &self.workers {
            // A thread that is gone is found out by `join`.
            let _ = worker.orders.send(Order::Stop);
            worker.waker.wake()?;
        }
        for worker in self.workers {
            let (some, theirs) =
                worker.thread.join().map_err(|_| io::Error::other("a thread of the swarm panicked"))?;
            outcomes.extend(some);
            delays.voice.merge(&theirs.voice);
            delays.video.merge(&theirs.video);
        }
        outcomes.sort_by_key(|outcome| outcome.number);
        Ok((outcomes, delays))
    }
}
