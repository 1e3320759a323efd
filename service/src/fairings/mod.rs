//! Owns what happens to every request whatever its route: its method, its record (id, trace, log line, metrics), and the
//! farewell to connections while the service shuts down. Answers nothing itself.

mod method;
mod request_record;
mod shutdown;
mod trace;

pub use request_record::{Recording, RequestRecord};
pub use shutdown::Draining;
pub use trace::TraceContext;
