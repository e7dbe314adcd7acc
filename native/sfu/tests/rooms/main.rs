//! Whole rooms in virtual time.

#[path = "../support/mod.rs"]
mod support;

mod chance;
mod forwarding;
mod networks;
mod reports;
mod slots;
mod transport;
