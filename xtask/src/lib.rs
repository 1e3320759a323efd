//! Homeport's task runner as a library: the rooms behind `cargo xtask`. The program in `main.rs` only dispatches.

pub mod bench;
pub mod checklist;
pub mod checks;
pub mod cli;
pub mod commands;
pub mod dashboards;
pub mod doctor;
pub mod engine;
pub mod event;
pub mod execute;
pub mod failure;
pub mod images;
pub mod interrupt;
pub mod limits;
pub mod operator;
pub mod plan;
pub mod process;
pub mod project;
pub mod proxy;
pub mod report;
pub mod run_log;
pub mod scan;
pub mod session;
pub mod stack;
pub mod testing;
pub mod ui;
