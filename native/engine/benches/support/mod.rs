//! What the engine's benchmarks share: rooms in a real engine, and the loop beside which it is measured.

pub mod bare;
pub mod rooms;
