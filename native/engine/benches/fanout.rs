//! Placeholder while the core is being written.
fn main() {}
