//! Packets from worker to worker: a lock-free ring for each ordered pair, through which references to packets go. A packet
//! to many workers is written once.

use std::sync::Arc;

use rtrb::{Consumer, Producer, RingBuffer};
use sfu::{MAX_RELAY, WorkerId, WorkerSet};

use crate::{command::Command, mailbox::Mailbox};

/// References one ring holds: what a worker receives while another is held up for 10 ms, at a hundred thousand a second.
const CAPACITY: usize = 1024;
/// Packets one worker has under way to all others: two rings full, and what the others are working on.
const POOL: usize = 2 * CAPACITY + 256;

pub(crate) struct Packet {
    len: usize,
    bytes: [u8; MAX_RELAY],
}

impl Packet {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// One worker's ways to the others.
pub(crate) struct Outgoing {
    rings: Vec<Option<Producer<Arc<Packet>>>>,
    workers: Vec<Arc<Mailbox<Command>>>,
    /// Every packet, whoever else refers to it at the moment: the last reference is always ours, so that nobody frees.
    pool: Box<[Arc<Packet>]>,
    next: usize,
    /// No packet was free; none is looked for again in this batch.
    exhausted: bool,
    /// Bit by worker: something new is in its ring.
    fresh: u64,
    dropped: u64,
}

/// One worker's ways from the others.
pub(crate) struct Incoming {
    rings: Vec<Consumer<Arc<Packet>>>,
    /// The ring whose turn it is.
    turn: usize,
}

/// Both ends for each of the workers behind `mailboxes`, in their order.
pub(crate) fn connect(mailboxes: &[Arc<Mailbox<Command>>]) -> Vec<(Outgoing, Incoming)> {
    let count = mailboxes.len();
    let pool = if count > 1 { POOL } else { 0 };
    let mut ends: Vec<_> = (0..count)
        .map(|_| {
            let pool = (0..pool).map(|_| Arc::new(Packet { len: 0, bytes: [0; MAX_RELAY] })).collect();
            let workers = mailboxes.to_vec();
            let outgoing =
                Outgoing { rings: Vec::new(), workers, pool, next: 0, exhausted: false, fresh: 0, dropped: 0 };
            (outgoing, Incoming { rings: Vec::new(), turn: 0 })
        })
        .collect();
    for from in 0..count {
        for to in 0..count {
            let ring = (from != to).then(|| RingBuffer::new(CAPACITY));
            let (producer, consumer) = ring.unzip();
            ends[from].0.rings.push(producer);
            ends[to].1.rings.extend(consumer);
        }
    }
    ends
}

impl Outgoing {
    /// One packet to some workers, dropped where there is no room.
    pub(crate) fn relay(&mut self, to: WorkerSet, fill: impl FnOnce(&mut [u8; MAX_RELAY]) -> usize) {
        let Some(index) = self.free() else {
            self.dropped += to.iter().count() as u64;
            return;
        };
        let packet = &mut self.pool[index];
        let Some(free) = Arc::get_mut(packet) else { return };
        free.len = fill(&mut free.bytes);
        for worker in to.iter() {
            let worker = usize::from(worker.0);
            let Some(Some(ring)) = self.rings.get_mut(worker) else { continue };
            match ring.push(Arc::clone(packet)) {
                Ok(()) => self.fresh |= 1 << worker,
                Err(_) => self.dropped += 1,
            }
        }
    }

    /// The index of a packet that nobody else refers to. They come back in about the order in which they were sent, so it is
    /// the next one, unless a worker does not keep up: what that one holds is passed over once a round, so that the others
    /// do not wait for it.
    fn free(&mut self) -> Option<usize> {
        for _ in 0..if self.exhausted { 0 } else { self.pool.len() } {
            let index = self.next;
            self.next = (index + 1) % self.pool.len();
            if Arc::get_mut(&mut self.pool[index]).is_some() {
                return Some(index);
            }
        }
        self.exhausted = true;
        None
    }

    /// A command to another worker.
    pub(crate) fn command(&self, to: WorkerId, command: Command) {
        if let Some(mailbox) = self.workers.get(usize::from(to.0)) {
            // A worker that is gone has failed, and the engine with it.
            let _ = mailbox.post(command);
        }
    }

    /// Wake whoever has something new, once a batch.
    pub(crate) fn flush(&mut self) {
        self.exhausted = false;
        if self.fresh == 0 {
            return;
        }
        let fresh = std::mem::take(&mut self.fresh);
        for (worker, mailbox) in self.workers.iter().enumerate() {
            if fresh >> worker & 1 == 1 {
                mailbox.wake();
            }
        }
    }

    /// Packets that found no room.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }
}

impl Incoming {
    /// A packet, if one waits, of each ring in its turn.
    pub(crate) fn pop(&mut self) -> Option<Arc<Packet>> {
        for _ in 0..self.rings.len() {
            self.turn = (self.turn + 1) % self.rings.len();
            if let Ok(packet) = self.rings[self.turn].pop() {
                return Some(packet);
            }
        }
        None
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rings.iter().all(Consumer::is_empty)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::sys::EventFd;

    fn workers(count: usize) -> Vec<(Outgoing, Incoming)> {
        let mailbox = |_| Arc::new(Mailbox::new(Some(EventFd::new().unwrap())));
        connect(&(0..count).map(mailbox).collect::<Vec<_>>())
    }

    fn number(outgoing: &mut Outgoing, to: WorkerSet, number: u64) {
        outgoing.relay(to, |bytes| {
            bytes[..8].copy_from_slice(&number.to_be_bytes());
            8
        });
    }

    fn read(packet: &Packet) -> u64 {
        u64::from_be_bytes(packet.bytes().try_into().unwrap())
    }

    #[test]
    fn each_gets_what_is_for_it_in_order() {
        let mut workers = workers(3);
        let to_one = WorkerSet::one(WorkerId(1));
        for n in 0..5 {
            number(&mut workers[0].0, to_one, n);
        }
        let got: Vec<_> = std::iter::from_fn(|| workers[1].1.pop().map(|packet| read(&packet))).collect();
        assert_eq!(got, [0, 1, 2, 3, 4]);
        assert!(workers[2].1.is_empty() && workers[0].1.is_empty());
    }

    #[test]
    fn a_full_ring_drops_and_counts_and_goes_on_when_there_is_room() {
        let mut workers = workers(2);
        let to = WorkerSet::one(WorkerId(1));
        for n in 0..CAPACITY as u64 + 10 {
            number(&mut workers[0].0, to, n);
        }
        assert_eq!(workers[0].0.dropped(), 10);
        while workers[1].1.pop().is_some() {}
        number(&mut workers[0].0, to, 7);
        assert_eq!(read(&workers[1].1.pop().unwrap()), 7);
    }

    #[test]
    fn a_worker_that_does_not_keep_up_costs_the_others_nothing() {
        let mut workers = workers(3);
        for n in 0..4 * POOL as u64 {
            number(&mut workers[0].0, WorkerSet::one(WorkerId(1)), n);
            number(&mut workers[0].0, WorkerSet::one(WorkerId(2)), n);
            assert_eq!(read(&workers[2].1.pop().unwrap()), n);
        }
        assert_eq!(workers[0].0.dropped(), (4 * POOL - CAPACITY) as u64);
        let waited: Vec<_> = std::iter::from_fn(|| workers[1].1.pop().map(|packet| read(&packet))).collect();
        assert_eq!(waited, (0..CAPACITY as u64).collect::<Vec<_>>());
    }

    #[test]
    fn packets_that_are_never_given_back_cost_no_more_than_the_pool() {
        let mut workers = workers(2);
        let mut kept = Vec::new();
        for n in 0..3 * POOL as u64 {
            number(&mut workers[0].0, WorkerSet::one(WorkerId(1)), n);
            kept.extend(workers[1].1.pop());
        }
        assert_eq!(kept.len(), POOL);
        assert_eq!(workers[0].0.dropped(), 2 * POOL as u64);
    }

    #[test]
    fn two_threads_lose_nothing_that_was_not_counted() {
        const COUNT: u64 = 100_000;
        let mut workers = workers(2);
        let (mut outgoing, _) = workers.remove(0);
        let (_, mut incoming) = workers.remove(0);
        let sender = thread::spawn(move || {
            for n in 0..COUNT {
                number(&mut outgoing, WorkerSet::one(WorkerId(1)), n);
            }
            outgoing.dropped()
        });
        let (mut received, mut last) = (0, None);
        loop {
            let is_over = sender.is_finished();
            while let Some(packet) = incoming.pop() {
                let n = read(&packet);
                assert!(last.is_none_or(|last| n > last), "in order and whole");
                (last, received) = (Some(n), received + 1);
            }
            if is_over {
                break;
            }
        }
        assert_eq!(received + sender.join().unwrap(), COUNT);
    }
}
