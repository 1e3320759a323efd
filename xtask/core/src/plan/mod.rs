//! From what is wanted and what is there to what is to be done.
//!
//! Architecture invariant: this room is pure. A [`Plan`] is a function of a [`Stack`](crate::stack::Stack) and an
//! [`Observed`]; it does no I/O and reads no clock, so its text is what its tests compare. Everything that is decided
//! is decided here: `execute` only obeys.

mod down;
mod observed;
mod order;
mod print;
mod step;
mod up;

pub use down::{Keep, down, stop};
pub use observed::*;
pub use step::*;
pub use up::{PlanError, Wanted, up};

use serde::Serialize;
use sha2::{Digest as _, Sha256};

/// The identity of a network's or volume's configuration: SHA-256 over its canonical JSON, as hexadecimal digits.
pub fn config_hash(configuration: &impl Serialize) -> String {
    let canonical = serde_json::to_vec(configuration).expect("plain data serializes");
    crate::stack::hex(&Sha256::digest(canonical))
}

#[cfg(test)]
mod tests;
