//! What a selective forwarding unit has to know of video: which packets a receiver needs, where it can be switched, and
//! which numbers must go on without a jump. Pure functions on bytes; nothing here decodes a picture.

mod av1;
mod bits;
mod codec;
mod dependency;
mod extensions;
mod glance;
mod h264;
mod layers;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod vp8;
mod vp9;

pub use codec::{Codec, UnknownCodec};
pub use dependency::{Structure, set_frame_number};
pub use extensions::{LayersAllocation, SpatialLayer};
pub use glance::{Glance, Numbers, dimensions, glance, renumber};
pub use layers::Layers;
