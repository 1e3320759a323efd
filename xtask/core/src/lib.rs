//! The rooms of the task runner that read text and decide; `execute`, which carries a plan out by somebody else's hands;
//! and the vocabulary that all rooms share: events and their channel, failures, bounds.
//!
//! Must not: open a file or a socket, start anything, or print.

pub mod bench;
pub mod checks;
pub mod dashboards;
pub mod database;
pub mod event;
pub mod execute;
pub mod failure;
pub mod finding;
pub mod health;
pub mod images;
pub mod kustomize;
pub mod last_words;
pub mod limits;
pub mod object;
pub mod pace;
pub mod plan;
pub mod profile;
pub mod quantity;
pub mod report;
pub mod scan;
pub mod series;
pub mod severity;
pub mod since;
pub mod stack;
pub mod testing;
