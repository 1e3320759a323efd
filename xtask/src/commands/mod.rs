//! The commands: one file a command. They compose rooms and decide nothing.

pub mod doctor;
