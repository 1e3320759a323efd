//! How a version that serves makes way for the next while somebody works: the fronts that hold the stack's addresses,
//! the containers that are let go, and the versions that were tried in vain.
//!
//! Must not: decide what is exchanged; the plan says so.

pub mod attempts;
pub mod fronts;
pub mod leaving;
#[cfg(test)]
pub(crate) mod samples;
