//! Owns the state "shutting down". Starts no shutdown, and answers nothing.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Whether the service is shutting down.
#[derive(Clone, Debug, Default)]
pub struct Draining(Arc<AtomicBool>);

impl Draining {
    /// From now on it is.
    pub fn begin(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether it is.
    pub fn has_begun(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}
