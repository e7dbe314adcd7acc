//! Whole rooms in virtual time.

#[path = "../support/mod.rs"]
mod support;

mod transport;
