use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    ptr,
    time::Duration,
};

use super::checked;

/// Sockets, listeners and the eventfd, and busy connections: more events than this wait for the next call.
const EVENTS: usize = 64;

/// What a descriptor is watched for. Errors and ends are always reported, as input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    Nothing,
    Input,
    Both,
}

impl Interest {
    fn bits(self) -> u32 {
        match self {
            Interest::Nothing => 0,
            Interest::Input => libc::EPOLLIN as u32,
            Interest::Both => (libc::EPOLLIN | libc::EPOLLOUT) as u32,
        }
    }
}

/// A descriptor has become ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ready {
    pub(crate) token: u64,
    /// Or an error or the end waits to be read.
    pub(crate) readable: bool,
    pub(crate) writable: bool,
}

/// Waits until one of a few descriptors is readable (level-triggered).
pub(crate) struct Epoll {
    fd: OwnedFd,
    events: [libc::epoll_event; EVENTS],
    /// `epoll_pwait2` came with Linux 5.11; before it, time-outs are whole milliseconds.
    has_nanoseconds: bool,
}

impl Epoll {
    pub(crate) fn new() -> io::Result<Epoll> {
        // SAFETY: takes no pointer.
        let fd = checked(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: the kernel just made this descriptor, and nobody else owns it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Epoll { fd, events: [libc::epoll_event { events: 0, u64: 0 }; EVENTS], has_nanoseconds: true })
    }

    /// Watch `fd` for input; `wait` reports it as `token`. A descriptor that is closed leaves by itself.
    pub(crate) fn add(&self, fd: BorrowedFd<'_>, token: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, token, Interest::Input)
    }

    /// Watch `fd`, which was added, for something else.
    pub(crate) fn change(&self, fd: BorrowedFd<'_>, token: u64, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, token, interest)
    }

    fn control(&self, operation: libc::c_int, fd: BorrowedFd<'_>, token: u64, interest: Interest) -> io::Result<()> {
        let mut event = libc::epoll_event { events: interest.bits(), u64: token };
        // SAFETY: both descriptors are open for the length of the call, `event` is valid, and the kernel copies it.
        checked(unsafe { libc::epoll_ctl(self.fd.as_raw_fd(), operation, fd.as_raw_fd(), &mut event) })?;
        Ok(())
    }

    /// What is ready, after at most `timeout` (rounded up; None: for ever). Nothing at all after a signal.
    pub(crate) fn wait(&mut self, timeout: Option<Duration>) -> io::Result<impl Iterator<Item = Ready> + use<>> {
        let ready = match self.wait_raw(timeout) {
            Ok(ready) => ready,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            Err(error) => return Err(error),
        };
        // A copy, so that what is ready can be changed while it is gone through.
        let events = self.events;
        Ok(events.into_iter().take(ready).map(|event| Ready {
            token: event.u64,
            readable: event.events & !(libc::EPOLLOUT as u32) != 0,
            writable: event.events & libc::EPOLLOUT as u32 != 0,
        }))
    }

    fn wait_raw(&mut self, timeout: Option<Duration>) -> io::Result<usize> {
        if self.has_nanoseconds {
            let timeout = timeout.map(|timeout| libc::timespec {
                tv_sec: timeout.as_secs().min(i32::MAX as u64) as libc::time_t,
                tv_nsec: libc::c_long::from(timeout.subsec_nanos() as i32),
            });
            let timeout = timeout.as_ref().map_or(ptr::null(), ptr::from_ref);
            // By number: the C library's wrapper is younger than the systems a wheel may run on.
            // SAFETY: `events` has room for EVENTS, `timeout` is null or valid, a null mask leaves the signals alone.
            let ready = unsafe {
                libc::syscall(
                    libc::SYS_epoll_pwait2,
                    self.fd.as_raw_fd(),
                    self.events.as_mut_ptr(),
                    EVENTS as libc::c_int,
                    timeout,
                    ptr::null::<libc::sigset_t>(),
                    0usize,
                )
            };
            match checked(ready as libc::c_int) {
                Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => self.has_nanoseconds = false,
                other => return other.map(|ready| ready as usize),
            }
        }
        let milliseconds =
            timeout.map_or(-1, |timeout| timeout.as_nanos().div_ceil(1_000_000).min(i32::MAX as u128) as i32);
        // SAFETY: `events` has room for EVENTS.
        let ready = unsafe {
            libc::epoll_wait(self.fd.as_raw_fd(), self.events.as_mut_ptr(), EVENTS as libc::c_int, milliseconds)
        };
        checked(ready).map(|ready| ready as usize)
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;
    use crate::sys::EventFd;

    #[test]
    fn what_is_readable_is_reported_by_its_token_with_either_call() {
        let (quiet, loud) = (EventFd::new().unwrap(), EventFd::new().unwrap());
        loud.signal();
        for has_nanoseconds in [true, false] {
            let mut epoll = Epoll::new().unwrap();
            epoll.has_nanoseconds = has_nanoseconds;
            epoll.add(quiet.as_fd(), 1).unwrap();
            epoll.add(loud.as_fd(), 2).unwrap();
            let ready = Ready { token: 2, readable: true, writable: false };
            assert_eq!(epoll.wait(None).unwrap().collect::<Vec<_>>(), [ready]);
            loud.clear();
            assert_eq!(epoll.wait(Some(Duration::from_nanos(10))).unwrap().count(), 0);
            loud.signal();
        }
    }
}
