//! What is said of images without asking anybody: where one can be had, and what a Dockerfile builds on.
//!
//! Must not: look for an image; that is the task runner's room of the same name.

pub mod dockerfile;
mod source;

pub use source::*;
