//! Video: what a publisher sends in layers, and what of it each receiver gets.
//!
//! What packets say (pure functions on bytes): `glance` and the modules of the codecs, `dependency`, `extensions`. What comes:
//! `upstream` and `published` on the publisher's side, `track` with its `cache` for all who watch. What goes: `switch` decides
//! which packets make a stream, `stream` writes them, `receiver` paces them, `allocation` shares the bandwidth out. `flow`,
//! `commands` and `feedback` are the state machine's part.

mod allocation;
mod av1;
mod bits;
mod cache;
mod caution;
mod codec;
mod commands;
mod dependency;
mod extensions;
pub(crate) mod feedback;
mod flight;
mod flow;
mod glance;
mod h264;
mod header;
mod keyframes;
mod layers;
mod losses;
mod published;
mod rates;
mod receiver;
mod stream;
mod switch;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod track;
mod upstream;
mod vp8;
mod vp9;
pub(crate) mod workers;

pub use allocation::MAX_VIDEO_SLOTS;
pub use codec::{Codec, UnknownCodec};
pub use dependency::{Structure, set_frame_number};
pub use extensions::{LayersAllocation, SpatialLayer};
pub use glance::{Glance, Numbers, dimensions, glance, renumber};
pub use layers::Layers;
pub use published::MAX_ENCODINGS;

pub(crate) use receiver::VideoReceiver;
pub(crate) use track::{CLOCK_RATE, Track};
pub(crate) use upstream::Upstream;
