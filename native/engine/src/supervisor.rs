//! The life of a thread: a media thread whose worker panics begins anew with another, and takes nobody down.

use std::{
    any::Any,
    collections::VecDeque,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use sfu::{Sfu, WorkerId};

use crate::{
    command::Command,
    dtls::{Backlog, Request},
    event::{Event, EventQueue, Reason},
    handshakes::Handshakes,
    mailbox::Mailbox,
    placement::Placement,
    sys,
    worker::{Links, Worker},
};

/// A worker that panics more often than this within a minute has a bug that beginning anew does not cure.
const RESTARTS_A_MINUTE: usize = 5;
const MINUTE: Duration = Duration::from_secs(60);

/// What all threads know.
pub(crate) struct Shared {
    pub(crate) events: Arc<EventQueue>,
    pub(crate) placement: Mutex<Placement>,
    /// Workers that panicked and were restarted.
    pub(crate) restarts: AtomicU64,
    /// The engine closes: nobody begins anew.
    pub(crate) is_closing: AtomicBool,
    /// Why a thread ended that should not have.
    pub(crate) failure: OnceLock<String>,
}

impl Shared {
    pub(crate) fn new(workers: usize, spread_above: usize) -> io::Result<Shared> {
        Ok(Shared {
            events: Arc::new(EventQueue::new()?),
            placement: Mutex::new(Placement::new(workers, spread_above)),
            restarts: AtomicU64::new(0),
            is_closing: AtomicBool::new(false),
            failure: OnceLock::new(),
        })
    }

    pub(crate) fn placement(&self) -> std::sync::MutexGuard<'_, Placement> {
        // It is whole at every unlock, whatever panicked in between.
        self.placement.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All that a media thread needs for one worker after another.
pub(crate) struct Media {
    pub(crate) links: Links,
    /// Every worker's mailbox.
    pub(crate) mailboxes: Vec<Arc<Mailbox<Command>>>,
    pub(crate) dtls: Arc<Mailbox<Request>>,
    pub(crate) backlog: Arc<Backlog>,
    pub(crate) core: sfu::Settings,
    /// The zero of everybody's clock.
    pub(crate) start: Instant,
    pub(crate) shared: Arc<Shared>,
    /// The thread keeps to a processor of its own.
    pub(crate) pinned: bool,
}

impl Media {
    /// Serve until asked to stop, with as many workers as it takes.
    pub(crate) fn run(mut self) -> io::Result<()> {
        let worker = self.links.worker;
        if self.pinned {
            // Where it runs is a matter of speed alone.
            let _ = sys::pin(usize::from(worker.0));
        }
        let mut panics = VecDeque::new();
        loop {
            let handshakes = Handshakes::new(worker, Arc::clone(&self.dtls), Arc::clone(&self.backlog));
            let sfu = Sfu::new(self.core, self.start);
            let links = &mut self.links;
            // Of what a worker that panicked has worked on, only sockets, rings and mailboxes are used again, and those
            // are whole between any two operations.
            let panic = match catch_unwind(AssertUnwindSafe(|| Worker::new(sfu, handshakes, links)?.run())) {
                Ok(ended) => return ended,
                Err(panic) => panic,
            };
            // The command to stop may have been among those that were lost.
            if self.shared.is_closing.load(Ordering::SeqCst) {
                return Ok(());
            }
            let now = Instant::now();
            panics.retain(|at| now.duration_since(*at) < MINUTE);
            panics.push_back(now);
            if panics.len() > RESTARTS_A_MINUTE {
                return Err(io::Error::other(format!("a worker panicked: {}", message(panic.as_ref()))));
            }
            self.begin_anew(worker);
        }
    }

    /// Tell everybody that the worker has forgotten its peers.
    fn begin_anew(&mut self, worker: WorkerId) {
        self.shared.restarts.fetch_add(1, Ordering::Relaxed);
        let placement = self.shared.placement();
        // Whoever waits for an answer is told by its absence; what is put in after this finds the next worker.
        self.links.mailbox.retain(|command| matches!(command, Command::Stop));
        let lost = placement.served_by(worker);
        drop(placement);
        for peer in &lost {
            let _ = self.dtls.post(Request::Forget { peer: *peer, path: None });
        }
        for mailbox in self.mailboxes.iter().filter(|mailbox| !Arc::ptr_eq(mailbox, &self.links.mailbox)) {
            let _ = mailbox.post(Command::WorkerRestarted(worker));
        }
        // Other seeds than before: what was sent under a number is not sent again.
        self.core.seed = self.core.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(1);
        self.shared.events.push(lost.into_iter().map(|peer| Event::Closed { peer, reason: Reason::Failed }));
    }
}

/// Start a thread that reads `mailbox`. When it ends, for whatever reason, nobody waits for it any longer.
pub(crate) fn spawn<T: Send + 'static>(
    name: String,
    shared: &Arc<Shared>,
    mailbox: &Arc<Mailbox<T>>,
    body: impl FnOnce() -> io::Result<()> + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let (shared, mailbox) = (Arc::clone(shared), Arc::clone(mailbox));
    thread::Builder::new().name(format!("chorale-{name}")).spawn(move || {
        // Nothing the body worked on is looked at after it panicked.
        let failure = match catch_unwind(AssertUnwindSafe(body)) {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(format!("the {name} thread failed: {error}")),
            Err(panic) => Some(format!("the {name} thread panicked: {}", message(panic.as_ref()))),
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
    use std::os::fd::AsFd;

    use super::*;
    use crate::sys::Epoll;

    #[test]
    fn a_panic_is_reported_and_wakes_whoever_waits() {
        let shared = Arc::new(Shared::new(1, 1).unwrap());
        let mailbox = Arc::new(Mailbox::<()>::new(None));
        let thread = spawn("dtls".into(), &shared, &mailbox, || panic!("at the disco")).unwrap();
        assert!(mailbox.wait_closed(Duration::from_secs(5)));
        thread.join().unwrap();
        assert_eq!(shared.failure.get().unwrap(), "the dtls thread panicked: at the disco");
        let mut epoll = Epoll::new().unwrap();
        epoll.add(shared.events.as_fd(), 0).unwrap();
        assert_eq!(epoll.wait(Some(Duration::ZERO)).unwrap().count(), 1);
    }
}
