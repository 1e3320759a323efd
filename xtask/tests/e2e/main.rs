//! The task runner as a program against the real engine: what a person types, and what they see, get and keep.
//!
//! Each test is one story in a project of its own (`e2e-PID-NAME`), which its [`checkout::Checkout`] takes down again,
//! proving that nothing is left. One binary, so that it is linked once. It needs a container engine and the stack's
//! images: `cargo xtask test e2e` gets them first.

mod away;
mod browser;
mod changes;
mod checkout;
mod credentials;
mod database;
mod database_beside;
mod engine;
mod faults;
mod foreground;
mod foreign;
mod full_stack;
mod golden;
mod hasty;
mod honesty;
mod http;
mod interrupts;
mod keys;
mod kills;
mod leftovers;
mod load;
mod logs;
mod program;
mod prometheus;
mod refusals;
mod report;
mod reporting;
mod restarts;
mod scan;
mod seen;
mod service_image;
mod side_by_side;
mod standing;
mod start;
mod swaps;
mod terminal;
mod traffic;
mod unread;
mod vanished;
