//! What the scenarios share: rooms in a real engine, the loop beside which it is measured, and what else is measured.

pub mod allocations;
pub mod bare;
pub mod receiving;
pub mod rooms;
