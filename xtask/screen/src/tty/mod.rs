//! The terminal as a device: which of its modes are off while this program uses it, and the keys that are pressed.
//!
//! Must not: draw anything; `ui` does.

mod keyboard;
mod modes;

pub use keyboard::Keyboard;
pub use modes::{Off, leave_terminal, return_to_terminal};
