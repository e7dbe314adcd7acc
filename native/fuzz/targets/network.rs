//! Rooms over networks, on one worker or several, driven by the input; `support/chaos.rs` says what must hold.
#![no_main]

#[path = "../../sfu/tests/support/mod.rs"]
mod support;

libfuzzer_sys::fuzz_target!(|data: &[u8]| support::chaos::run(data));
