//! What happened, on its way up: written by the media thread, read by whoever waits on the descriptor.

use std::{
    collections::VecDeque,
    io,
    os::fd::{AsFd, BorrowedFd},
    sync::{Mutex, MutexGuard, PoisonError},
};

use sfu::{Limit, PeerId, RoomId};

use crate::sys::EventFd;

/// Events that may wait to be drained: a slot change of each of 8 slots of 8000 receivers.
const CAPACITY: usize = 65_536;

/// Something the control side should know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// ICE and DTLS are done; media flows.
    Connected {
        /// Whose.
        peer: PeerId,
    },
    /// The peer is gone and its handle forgotten. Not sent for peers removed by command.
    Closed {
        /// Who.
        peer: PeerId,
        /// Why.
        reason: Reason,
    },
    /// From `timestamp` on slot `slot` of the room carries `csrc`, for all peers with as many slots as the room.
    RoomSlot {
        /// Where.
        room: RoomId,
        /// Which of its slots.
        slot: u8,
        /// Who is heard there; 0: nobody.
        csrc: u32,
        /// RTP time on the slot's timeline, 48 kHz.
        timestamp: u32,
    },
    /// Somebody who is heard begins to speak, or has ceased.
    Speaking {
        /// Where.
        room: RoomId,
        /// Who.
        csrc: u32,
        /// Which of both.
        speaking: bool,
    },
    /// Who of a room is the dominant speaker now.
    Dominant {
        /// Where.
        room: RoomId,
        /// Who; 0: nobody.
        csrc: u32,
    },
    /// What a video slot of `peer` shows.
    VideoSlot {
        /// The receiver.
        peer: PeerId,
        /// Which of its video slots.
        slot: u8,
        /// Whose it is; 0: nobody's.
        csrc: u32,
        /// RTP time on the slot's timeline, 90 kHz.
        timestamp: u32,
        /// Which encoding, and up to which layers of it.
        encoding: u8,
        /// Spatial.
        spatial: u8,
        /// Temporal.
        temporal: u8,
        /// Why not more.
        limit: Option<Limit>,
    },
    /// Which encodings of a source anybody wants.
    Encodings {
        /// The publisher.
        peer: PeerId,
        /// Which of its sources.
        csrc: u32,
        /// Bit i: encoding i.
        wanted: u8,
    },
    /// From `timestamp` on slot `slot` of `peer`, which has fewer slots than the room, carries `csrc`.
    SlotChanged {
        /// The receiver.
        peer: PeerId,
        /// Which of its slots.
        slot: u8,
        /// Who is heard there; 0: nobody.
        csrc: u32,
        /// RTP time on the slot's timeline, 48 kHz.
        timestamp: u32,
    },
}

/// Why a peer was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It never got a connection, or the DTLS handshake failed.
    Handshake,
    /// Its certificate is not the one its description promised.
    Fingerprint,
    /// It stopped to answer: its consent ran out (RFC 7675).
    Consent,
    /// Its worker failed and was restarted: the client must come again.
    Failed,
    /// It said goodbye (close_notify), or its DTLS connection broke.
    Closed,
}

/// A bounded queue of events and a descriptor that is readable while events wait.
pub(crate) struct EventQueue {
    events: Mutex<VecDeque<Event>>,
    readable: EventFd,
}

impl EventQueue {
    pub(crate) fn new() -> io::Result<EventQueue> {
        Ok(EventQueue { events: Mutex::default(), readable: EventFd::new()? })
    }

    /// Move `fresh` in and wake the reader. When the queue is full, slot changes are dropped (how many is returned), and
    /// what must not get lost stays in `fresh` for the next call. Order is kept.
    pub(crate) fn publish(&self, fresh: &mut VecDeque<Event>) -> u64 {
        if fresh.is_empty() {
            return 0;
        }
        let mut events = self.lock();
        let was_empty = events.is_empty();
        let room = CAPACITY.saturating_sub(events.len()).min(fresh.len());
        events.extend(fresh.drain(..room));
        drop(events);
        if was_empty {
            self.readable.signal();
        }
        let before = fresh.len();
        fresh.retain(|event| matches!(event, Event::Connected { .. } | Event::Closed { .. }));
        (before - fresh.len()) as u64
    }

    /// Some that must not get lost, whoever reads them when.
    pub(crate) fn push(&self, fresh: impl Iterator<Item = Event>) {
        let mut events = self.lock();
        events.extend(fresh);
        drop(events);
        self.readable.signal();
    }

    /// The oldest events, at most `limit`. The descriptor stays readable if there are more.
    pub(crate) fn drain(&self, limit: usize) -> Vec<Event> {
        let mut events = self.lock();
        let taken = limit.min(events.len());
        let drained = events.drain(..taken).collect();
        if events.is_empty() {
            // Under the lock: the signal for an event published later is not cleared.
            self.readable.clear();
        }
        drained
    }

    /// Make the descriptor readable without an event: something is wrong, and the next `drain` will say so.
    pub(crate) fn alarm(&self) {
        self.readable.signal();
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Event>> {
        // The queue is whole at every unlock, whatever panicked in between.
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsFd for EventQueue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.readable.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::sys::Epoll;

    const CHANGED: Event = Event::SlotChanged { peer: PeerId(1), slot: 0, csrc: 2, timestamp: 3 };
    const CONNECTED: Event = Event::Connected { peer: PeerId(1) };

    fn is_readable(queue: &EventQueue) -> bool {
        let mut epoll = Epoll::new().unwrap();
        epoll.add(queue.as_fd(), 0).unwrap();
        epoll.wait(Some(Duration::ZERO)).unwrap().count() == 1
    }

    #[test]
    fn the_descriptor_is_readable_while_events_wait() {
        let queue = EventQueue::new().unwrap();
        assert!(!is_readable(&queue));
        assert_eq!(queue.publish(&mut VecDeque::from([CONNECTED, CHANGED])), 0);
        assert!(is_readable(&queue));
        assert_eq!(queue.drain(1), [CONNECTED]);
        assert!(is_readable(&queue));
        assert_eq!(queue.drain(1), [CHANGED]);
        assert!(!is_readable(&queue));
    }

    #[test]
    fn a_full_queue_loses_slot_changes_only() {
        let queue = EventQueue::new().unwrap();
        queue.publish(&mut VecDeque::from(vec![CHANGED; CAPACITY]));
        let mut fresh = VecDeque::from([CHANGED, CONNECTED, CHANGED]);
        assert_eq!(queue.publish(&mut fresh), 2);
        assert_eq!(fresh, [CONNECTED]);
        assert_eq!(queue.drain(usize::MAX).len(), CAPACITY);
        assert_eq!(queue.publish(&mut fresh), 0);
        assert_eq!(queue.drain(usize::MAX), [CONNECTED]);
    }
}
