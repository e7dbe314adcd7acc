//! What a selective forwarding unit has to know of video: which packets a receiver needs, where it can be switched, and
//! which numbers must go on without a jump. Pure functions on bytes; nothing here decodes a picture.

mod codec;
mod glance;
mod layers;
mod vp8;

pub use codec::{Codec, UnknownCodec};
pub use glance::{Glance, Numbers, dimensions, glance, renumber};
pub use layers::Layers;
