//! Cameras, in virtual time over a simulated network.

#[path = "../support/check.rs"]
#[allow(dead_code, reason = "made for the rooms")]
mod check;
mod theatre;

mod camera;
mod chance;
mod paths;
mod picture;
mod watching;
