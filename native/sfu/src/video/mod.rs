//! Video: what a publisher sends in layers, and what of it each receiver gets.

mod allocation;
mod cache;
mod codec;
mod commands;
mod dependency;
mod feedback;
mod flow;
mod glance;
mod header;
mod keyframes;
mod layers;
mod losses;
mod published;
mod rates;
mod receiver;
mod stream;
mod switch;
mod track;
mod upstream;

pub use allocation::MAX_VIDEO_SLOTS;
pub use codec::Codec;
pub use glance::{Glance, Numbers};
pub use layers::Layers;
pub use published::MAX_ENCODINGS;

pub(crate) use receiver::VideoReceiver;
pub(crate) use track::{CLOCK_RATE, Track};
pub(crate) use upstream::Upstream;
