//! The stack as a person wrote it: text of a Compose file in, [`Stack`] out.
//!
//! Architecture invariant: this room is pure. It does no I/O and reads no clock; the text and the variables it
//! interpolates are handed to it. It knows the Compose Specification and nothing of Docker's API.

mod model;

pub use model::*;
