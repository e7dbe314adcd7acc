//! The shell around the sans-IO `sfu`: sockets and threads, DTLS handshakes, and the boundary to Python.
//!
//! A packet lives in a media thread from socket to socket (`worker`), of which there is one a core; handshakes are made by
//! another thread (`dtls`), which hands over keys. Commands go down through mailboxes, events come up through a queue with a descriptor to wait on.
//! The feature `python` adds the module `chorale_engine`, whose contract is `chorale_engine/__init__.pyi`.

mod command;
mod counters;
pub mod dtls;
mod engine;
mod event;
mod handshakes;
mod mailbox;
mod outbox;
mod placement;
#[cfg(feature = "python")]
mod python;
mod ring;
mod socket;
mod supervisor;
mod sys;
mod tcp;
mod worker;

pub use counters::Counters;
pub use engine::{Engine, Error, MAX_ADDRESSES, Settings};
pub use event::{Event, Reason};
// For the benchmark.
#[doc(hidden)]
pub use sys::thread_cpu;
