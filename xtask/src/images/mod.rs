//! Where images come from: the engine's own store, a bundle, a registry, a recipe, the host's cargo.
//!
//! Must not: start containers, or decide whether an image is needed (that is the plan's).

mod source;

pub use source::*;
