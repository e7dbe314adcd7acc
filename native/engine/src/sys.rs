//! Every call that Rust cannot check: the batching socket calls, epoll, eventfd, a thread's CPU clock, one OpenSSL control.
//! Outside of this module the crate has no `unsafe`.

mod address;
mod affinity;
mod clock;
mod epoll;
mod eventfd;
mod receive;
mod send;
mod socket;
mod ssl;

pub(crate) use affinity::pin;
pub use clock::thread_cpu;
pub(crate) use epoll::{Epoll, Interest, Ready};
pub(crate) use eventfd::EventFd;
pub(crate) use receive::Inbox;
pub(crate) use send::{Lane, Sent};
pub(crate) use socket::{descriptor_limit, set_buffer_sizes, set_unsent_limit};
pub(crate) use ssl::retransmission_timeout;

use std::io;

/// The value of a system call, or its errno as an error.
fn checked(value: libc::c_int) -> io::Result<libc::c_int> {
    if value < 0 { Err(io::Error::last_os_error()) } else { Ok(value) }
}
