//! A room in virtual time, driven by the input; `support/script.rs` says what must hold.
#![no_main]

#[path = "../../sfu/tests/support/mod.rs"]
mod support;

libfuzzer_sys::fuzz_target!(|data: &[u8]| support::script::run(data));
