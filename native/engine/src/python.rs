//! The Python module. It converts, detaches from the interpreter and calls; `chorale_engine/__init__.pyi` says what it promises.

mod engine;
mod event;
mod peer;
mod srtp;
mod video;

use pyo3::prelude::*;

/// The media engine: UDP sockets, worker threads, DTLS and the `sfu` core, behind commands (down) and events (up).
#[pymodule(gil_used = false)]
mod _engine {
    #[pymodule_export]
    use super::{
        engine::Engine,
        event::Event,
        peer::{Peer, Slot, Source},
        srtp::Srtp,
        video::{VideoCodec, VideoSlot, VideoSource},
    };
}
