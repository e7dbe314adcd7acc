//! ICE-TCP, passive (RFC 6544), for clients whose network lets no UDP pass: each listener has the port of a UDP socket, and
//! each connection is a path like any other, on which packets travel in the frames of RFC 4571.

mod connections;
mod inbound;
mod outbound;
mod strangers;

pub(crate) use connections::{Connections, connection};

use crate::sys;

/// `Path::local` of what comes by the first TCP listener; the UDP sockets have those from 0 on.
pub(crate) const FIRST_LOCAL: u8 = 64;

/// Connections of one worker: more than it could serve, at 50 packets a second each way.
const MOST: usize = 8192;

/// How many connections each of so many workers may have: half of all descriptors are left to the rest of the process.
pub(crate) fn capacity(workers: usize) -> usize {
    (sys::descriptor_limit() / 2 / workers.max(1)).min(MOST)
}

/// RFC 4571 §2: a packet's length stands before it.
const LENGTH: usize = 2;
