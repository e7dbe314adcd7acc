//! Whole rooms in virtual time.

#[path = "../support/mod.rs"]
mod support;

mod chance;
mod commands;
mod forwarding;
mod networks;
mod repair;
mod reports;
mod slots;
mod sources;
mod spread;
mod strangers;
mod transport;
