//! Containers that have made way for another: each is removed once its last requests are answered, beside whatever comes
//! next, so that an open stream holds up nobody's save.
//!
//! Must not: decide which; the plan says so. What a killed program leaves of them, the next plan finds as duplicates.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::engine::Engine;
use crate::event::Events;
use crate::limits;
use crate::plan::{Container, ContainerId};
use crate::serving::fronts::Fronts;

/// The containers that are let go. Cloned freely: all clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Leaving(Arc<Mutex<BTreeMap<ContainerId, JoinHandle<()>>>>);

impl Leaving {
    /// Removes a container once what it has in flight is answered, for which it has `grace` and at most
    /// [`limits::PROXY_LEAVE`]; returns at once.
    pub fn let_go(
        &self,
        engine: &Engine,
        fronts: &Fronts,
        events: &Events,
        container: &Container,
        grace: Duration,
    ) {
        let (engine, fronts, events) = (engine.clone(), fronts.clone(), events.clone());
        let (this, container) = (self.clone(), container.clone());
        // Held until the task is noted: it takes itself out.
        let mut going = self.going();
        let id = container.id.clone();
        let task = tokio::spawn(async move {
            fronts.release(&container, grace.min(limits::PROXY_LEAVE)).await;
            if let Err(error) = engine.remove_container(&container.id, grace).await {
                events.warning(format!("{error}; the next `cargo xtask dev` tries again"));
            }
            this.going().remove(&container.id);
        });
        going.insert(id, task);
    }

    /// Which they are.
    pub fn ids(&self) -> BTreeSet<ContainerId> {
        self.going().keys().cloned().collect()
    }

    /// Waits for none of them any more: whoever ends the stack removes them too.
    pub fn give_up(&self) {
        for task in std::mem::take(&mut *self.going()).into_values() {
            task.abort();
        }
    }

    fn going(&self) -> MutexGuard<'_, BTreeMap<ContainerId, JoinHandle<()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
