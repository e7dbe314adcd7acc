//! Cameras, in virtual time over a simulated network.

#[path = "../support/check.rs"]
#[allow(dead_code, reason = "made for the rooms")]
mod check;
#[path = "../support/recorder.rs"]
#[allow(dead_code, reason = "made for the rooms")]
mod recorder;

mod camera;
mod chance;
mod paths;
mod picture;
mod theatre;
mod watching;
