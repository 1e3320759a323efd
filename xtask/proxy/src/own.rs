//! What fronts have answered of their own: a server that was asked knows nothing of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// An answer that no server gave.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Own {
    /// What was asked for.
    pub name: String,
    /// The status it was answered with.
    pub status: u16,
    /// Why.
    pub why: String,
}

/// The answers that were not told yet, each with how often it was given. Cloned freely: all clones are the same.
#[derive(Debug, Clone, Default)]
pub struct OwnAnswers(Arc<Noted>);

#[derive(Debug, Default)]
struct Noted {
    given: Mutex<BTreeMap<Own, usize>>,
    changed: Notify,
}

impl OwnAnswers {
    /// Notes one.
    pub fn note(&self, own: Own) {
        *self.given().entry(own).or_default() += 1;
        self.0.changed.notify_one();
    }

    /// Waits until there is one that was not taken.
    pub async fn come(&self) {
        while self.given().is_empty() {
            self.0.changed.notified().await;
        }
    }

    /// Takes those that there are.
    pub fn take(&self) -> BTreeMap<Own, usize> {
        std::mem::take(&mut self.given())
    }

    fn given(&self) -> MutexGuard<'_, BTreeMap<Own, usize>> {
        self.0.given.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
