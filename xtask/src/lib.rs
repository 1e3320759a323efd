//! Homeport's task runner as a library: the rooms behind `cargo xtask`. The program in `main.rs` only dispatches.

pub mod checklist;
pub mod cli;
pub mod commands;
pub mod companion;
pub mod doctor;
pub mod following;
pub mod frame;
pub mod images;
pub mod interrupt;
pub mod listening;
pub mod operator;
pub mod pipeline;
pub mod process;
pub mod project;
pub mod prometheus;
pub mod run_log;
pub mod serving;
pub mod session;
pub mod tty;
pub mod ui;

// What decides, and the engine, are crates of their own. Seen from here they are rooms like the others.
pub use xtask_core::{
    bench, checks, dashboards, database, event, execute, failure, health, kustomize, last_words, limits,
    object, pace, plan, profile, quantity, report, scan, stack, testing,
};
pub use xtask_engine as engine;
