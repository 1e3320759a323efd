//! What the service tells of itself. Decides nothing, and knows neither HTTP nor a database; the rooms are
//!
//! - [`logging`]: one JSON line for everything worth saying;
//! - [`metrics`]: what is counted and measured;
//! - [`spans`]: what a trace shows of a request, and its way to a collector;
//! - [`timestamp`]: the text of a moment, in the log and in answers.

pub mod logging;
pub mod metrics;
pub mod spans;
pub mod timestamp;
