//! Streams for tests: descriptors written from the tables of the specifications, and what a decoder makes of a selection.

mod descriptor;
mod receiver;
mod streams;

pub use descriptor::{BitWriter, Extended, L1T2, L1T3, L2T2_KEY, L3T3, L3T3_KEY_SHIFT, Table};
pub use receiver::{Packet, Rule, watch};
pub use streams::{described, vp8, vp9};
