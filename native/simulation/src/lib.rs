//! A network in virtual time, deterministic from a seed: loss, delay, jitter, reordering, duplication, queues at a rate that
//! changes, and NATs that rebind.
//!
//! [`Network`] is told the time and every datagram, says when to come again, and gives out what has arrived by then. A single
//! [`Link`] can be used alone for whatever else takes time or gets lost.
#![forbid(unsafe_code)]

mod conditions;
mod link;
mod network;
mod random;

pub use conditions::{Conditions, Hold, Loss, Rate};
pub use link::{Arrivals, Link, LinkStatistics};
pub use network::{Datagram, Network};
pub use random::Random;
