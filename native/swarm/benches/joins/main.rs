//! What peers cost the engine: to join, to be there, and to be heard. One line of JSON a figure.
//!
//! The engine lives in a process of its own, told by hand what an answerer would read in an offer; here live the clients.
//! So each side's CPU time and memory is its own, and nothing of HTTP or Python is in the figures.
//!
//! `cargo bench -p swarm --bench joins [-- quick] [joins] [memory] [delay]`

mod delay;
mod echo;
mod host;
mod joins;
mod memory;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::{env, error::Error};

/// Three thousand sockets, and some more.
const DESCRIPTORS: u64 = 3500;

fn main() -> Result<(), Box<dyn Error>> {
    // Cargo adds `--bench`.
    let words: Vec<String> = env::args().skip(1).filter(|word| word != "--bench").collect();
    match words.first().map(String::as_str) {
        Some(host::ROLE) => return host::serve(),
        Some(echo::ROLE) => return echo::serve(),
        _ => {}
    }
    swarm::allow_descriptors(DESCRIPTORS)?;
    let is_quick = words.iter().any(|word| word == "quick");
    let all = words.iter().all(|word| word == "quick");
    let is_asked = |name: &str| all || words.iter().any(|word| word == name);
    if is_asked("joins") {
        joins::measure(if is_quick { 30 } else { 500 })?;
    }
    if is_asked("memory") {
        memory::measure(if is_quick { 20 } else { 1000 })?;
    }
    if is_asked("delay") {
        delay::measure(is_quick)?;
    }
    Ok(())
}
