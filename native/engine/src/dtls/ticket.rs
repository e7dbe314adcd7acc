use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

/// Records of one peer that may wait for the handshake thread: two flights of it.
const PEER_LIMIT: usize = 16;

/// Records of all peers that may wait: with 1.5 kB each, 6 MB.
const TOTAL_LIMIT: usize = 4096;

/// How many records wait for the handshake thread in all, and how many were dropped on either way.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    waiting: AtomicUsize,
    dropped: AtomicU64,
}

impl Backlog {
    /// One more record waits, unless too many of its peer, or of all, do.
    pub(crate) fn admit(self: &Arc<Self>, peer: &Arc<AtomicUsize>) -> Option<Ticket> {
        // Each peer's are admitted by one thread. Of all together there may be one too many for each further thread that
        // looks at the same time.
        if peer.load(Ordering::Relaxed) >= PEER_LIMIT || self.waiting.load(Ordering::Relaxed) >= TOTAL_LIMIT {
            self.drop_one();
            return None;
        }
        peer.fetch_add(1, Ordering::Relaxed);
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Some(Ticket { backlog: Arc::clone(self), peer: Arc::clone(peer) })
    }

    pub(crate) fn drop_one(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// A record's place in the queue, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Ticket {
    backlog: Arc<Backlog>,
    peer: Arc<AtomicUsize>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.peer.fetch_sub(1, Ordering::Relaxed);
        self.backlog.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_peer_cannot_fill_the_queue_and_gets_its_place_back() {
        let backlog = Arc::new(Backlog::default());
        let (loud, quiet) = (Arc::default(), Arc::default());
        let mut tickets: Vec<_> = (0..PEER_LIMIT).map(|_| backlog.admit(&loud).unwrap()).collect();
        assert!(backlog.admit(&loud).is_none());
        assert_eq!(backlog.dropped(), 1);
        assert!(backlog.admit(&quiet).is_some());
        tickets.pop();
        assert!(backlog.admit(&loud).is_some());
    }

    #[test]
    fn all_peers_together_are_bounded() {
        let backlog = Arc::new(Backlog::default());
        let admit_one = |_| backlog.admit(&Arc::default());
        let tickets: Vec<_> = (0..TOTAL_LIMIT).map(admit_one).collect();
        assert!(tickets.iter().all(Option::is_some));
        assert!(admit_one(0).is_none());
    }
}
