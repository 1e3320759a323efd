//! What a person sees of a run, and what is kept of it: the screen, the terminal that it draws on, and the run log. All that
//! they know of a run are its events.
//!
//! Must not: decide what happens, start anything, or ask the engine.

pub mod pipeline;
pub mod run_log;
pub mod tty;
pub mod ui;

use xtask_core::{event, failure, finding, last_words, limits, profile, quantity, testing};
