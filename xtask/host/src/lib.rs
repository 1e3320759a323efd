//! The machine that a command runs on, and the checkout that it works on: programs, signals, ports; names, credentials, locks
//! and files.
//!
//! Must not: talk to the engine, print, or know what a command does.

pub mod companion;
pub mod interrupt;
pub mod listening;
pub mod process;
pub mod program_sources;
pub mod project;

use xtask_core::{database, failure, limits, plan, stack};
