//! A queue into one thread. The lock is held for moments only, and never while a packet is worked on.

use std::{
    collections::VecDeque,
    os::fd::BorrowedFd,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::sys::EventFd;

/// What may wait before senders must: far more than a thread leaves waiting, unless it is stuck.
const CAPACITY: usize = 4096;

/// Why an item did not get in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The thread behind the mailbox is gone.
    Closed,
    /// The mailbox stayed full.
    Full,
}

pub(crate) struct Mailbox<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    /// For a thread that waits in epoll; without it the thread waits in `take_until`.
    wake: Option<EventFd>,
}

struct State<T> {
    items: VecDeque<T>,
    open: bool,
}

impl<T> Mailbox<T> {
    pub(crate) fn new(wake: Option<EventFd>) -> Mailbox<T> {
        Mailbox {
            state: Mutex::new(State { items: VecDeque::with_capacity(CAPACITY), open: true }),
            changed: Condvar::new(),
            wake,
        }
    }

    /// Put `item` in, full or not: for what must not get lost, and is bounded by what caused it.
    pub(crate) fn post(&self, item: T) -> Result<(), Refused> {
        self.put(self.lock(), item)
    }

    /// Put `item` in unless the mailbox is full: for what may get lost.
    pub(crate) fn offer(&self, item: T) -> Result<(), Refused> {
        let state = self.lock();
        if state.items.len() >= CAPACITY { Err(Refused::Full) } else { self.put(state, item) }
    }

    /// Put `item` in, and wait for room before, at most for `patience`.
    pub(crate) fn submit(&self, item: T, patience: Duration) -> Result<(), Refused> {
        let (state, waited) = self
            .changed
            .wait_timeout_while(self.lock(), patience, |state| state.open && state.items.len() >= CAPACITY)
            .unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() { Err(Refused::Full) } else { self.put(state, item) }
    }

    /// Move everything that waits into `items`.
    pub(crate) fn take(&self, items: &mut VecDeque<T>) {
        let mut state = self.lock();
        // Under the lock: a signal for an item put in later is not cleared.
        if let Some(wake) = &self.wake {
            wake.clear();
        }
        items.append(&mut state.items);
        drop(state);
        self.changed.notify_all();
    }

    /// As `take`, after waiting for something to take, at most until `deadline` (None: for ever).
    pub(crate) fn take_until(&self, deadline: Option<Instant>, items: &mut VecDeque<T>) {
        let mut state = self.lock();
        while state.items.is_empty() {
            let Some(deadline) = deadline else {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let Some(left) = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) else {
                return;
            };
            (state, _) = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner);
        }
        items.append(&mut state.items);
        drop(state);
        self.changed.notify_all();
    }

    /// Refuse everything from now on, and drop what waits: the thread is gone.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.open = false;
        let items = std::mem::take(&mut state.items);
        drop(state);
        self.changed.notify_all();
        drop(items);
    }

    /// Wait until the mailbox is closed, at most for `patience`; whether it is.
    pub(crate) fn wait_closed(&self, patience: Duration) -> bool {
        let waited = self.changed.wait_timeout_while(self.lock(), patience, |state| state.open);
        !waited.unwrap_or_else(PoisonError::into_inner).0.open
    }

    /// Wake the thread although nothing was put in.
    pub(crate) fn wake(&self) {
        match &self.wake {
            Some(wake) => wake.signal(),
            None => self.changed.notify_all(),
        }
    }

    /// Drop whatever waits and is not to be kept.
    pub(crate) fn retain(&self, keep: impl FnMut(&T) -> bool) {
        self.lock().items.retain(keep);
        self.changed.notify_all();
    }

    /// Readable while something may wait.
    pub(crate) fn wake_fd(&self) -> Option<BorrowedFd<'_>> {
        self.wake.as_ref().map(std::os::fd::AsFd::as_fd)
    }

    fn put(&self, mut state: MutexGuard<'_, State<T>>, item: T) -> Result<(), Refused> {
        if !state.open {
            return Err(Refused::Closed);
        }
        let was_empty = state.items.is_empty();
        state.items.push_back(item);
        drop(state);
        if was_empty {
            match &self.wake {
                Some(wake) => wake.signal(),
                None => self.changed.notify_all(),
            }
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // The state is whole at every unlock, whatever panicked in between.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, thread};

    use super::*;

    #[test]
    fn what_was_put_in_comes_out_in_order() {
        let mailbox = Mailbox::new(Some(EventFd::new().unwrap()));
        for item in 0..3 {
            mailbox.post(item).unwrap();
        }
        let mut items = VecDeque::new();
        mailbox.take(&mut items);
        assert_eq!(items, [0, 1, 2]);
    }

    #[test]
    fn a_full_mailbox_refuses_what_may_get_lost_and_takes_what_must_not() {
        let mailbox = Mailbox::new(None);
        for item in 0..CAPACITY {
            mailbox.offer(item).unwrap();
        }
        assert_eq!(mailbox.offer(0), Err(Refused::Full));
        assert_eq!(mailbox.submit(0, Duration::from_millis(1)), Err(Refused::Full));
        mailbox.post(0).unwrap();
    }

    #[test]
    fn who_waits_for_room_goes_on_when_there_is_some() {
        let mailbox = Arc::new(Mailbox::new(None));
        for item in 0..CAPACITY {
            mailbox.offer(item).unwrap();
        }
        let waiting = thread::spawn({
            let mailbox = Arc::clone(&mailbox);
            move || mailbox.submit(7, Duration::from_secs(60))
        });
        mailbox.take(&mut VecDeque::new());
        assert_eq!(waiting.join().unwrap(), Ok(()));
    }

    #[test]
    fn a_closed_mailbox_refuses() {
        let mailbox = Mailbox::new(None);
        mailbox.close();
        assert_eq!(mailbox.post(1), Err(Refused::Closed));
        assert_eq!(mailbox.submit(1, Duration::from_secs(60)), Err(Refused::Closed));
    }
}
