//! What the scenarios share: rooms in a real engine, the loop beside which it is measured, and what else is measured.

pub mod allocations;
pub mod bare;
#[path = "../../../swarm/tests/support/video.rs"]
mod described;
pub mod receiving;
pub mod rooms;
pub mod stage;
pub mod video;

/// Of any number of figures but none.
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
