//! Homeport's task runner as a library: the rooms behind `cargo xtask`. The program in `main.rs` only dispatches.

pub mod checklist;
pub mod cli;
pub mod commands;
pub mod doctor;
pub mod following;
pub mod frame;
pub mod operator;
pub mod prometheus;
pub mod serving;
pub mod session;

// The rest are crates of their own. Seen from here they are rooms like the others.
pub use xtask_core::{
    bench, checks, dashboards, database, event, execute, failure, health, kustomize, last_words, limits,
    object, pace, plan, profile, quantity, report, scan, severity, since, stack, testing,
};
pub use xtask_engine as engine;
pub use xtask_host::{companion, interrupt, listening, process, project};
pub use xtask_images as images;
pub use xtask_proxy as proxy;
pub use xtask_screen::{pipeline, run_log, tty, ui};
