//! The plan that brings a stack up: from nothing, from any half-done state, or from another version of itself.
//!
//! One pass a file. `scope` settles whom the plan is about, `fate` what becomes of each service. Then steps: `images`
//! gets them, `removal` takes away what does not fit, dependents first and only once everything is there that is to come
//! in its place, `objects` makes networks and volumes, `start` creates, starts and awaits; `swap` does that beside a
//! container that serves until the new one is ready.
//!
//! Architecture invariant: a run that is killed anywhere leaves what the next plan understands. What is replaced because
//! of its dependency is gone before that dependency goes or comes back: what is missing is made again, whatever the reason
//! was.

mod fate;
mod images;
mod objects;
mod removal;
mod scope;
mod start;
mod swap;

use std::collections::BTreeSet;

use super::Observed;
use super::step::Plan;
use crate::stack::{ImageReference, ServiceName, Stack};
use scope::Scope;

/// Why no plan can be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// No source has an image that is not optional.
    #[error("no source has the image {image}, needed by {}", list(.services))]
    ImageUnavailable {
        /// Which image.
        image: ImageReference,
        /// The services that need it.
        services: Vec<ServiceName>,
        /// What each source said.
        reasons: Vec<String>,
    },
    /// A service was asked for by name that the stack does not have.
    #[error("the stack has no service {0}")]
    UnknownService(ServiceName),
}

fn list(services: &[ServiceName]) -> String {
    services.iter().map(ServiceName::as_str).collect::<Vec<_>>().join(", ")
}

/// What of the stack is wanted.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// These services and what they depend on; all when empty.
    pub services: BTreeSet<ServiceName>,
    /// These services are replaced although nothing about them changed.
    pub recreate: BTreeSet<ServiceName>,
    /// What is built here is built although no source of it is known to have changed.
    pub rebuild: bool,
}

/// Plans what brings `stack` up from what is `observed`.
///
/// # Errors
/// When an image that is not optional can be had nowhere, or a name that is wanted does not exist.
pub fn up(stack: &Stack, observed: &Observed, wanted: &Wanted) -> Result<Plan, PlanError> {
    let scope = Scope::new(stack, observed, wanted)?;
    let fates = fate::settle(&scope)?;
    let mut plan = Plan { steps: Vec::new(), notes: fate::notes(&scope, &fates) };
    let images = images::obtain(&mut plan, &scope, &fates);
    let removals = removal::remove(&mut plan, &scope, &fates, &images);
    let objects = objects::make(&mut plan, &scope, &fates, &removals);
    let renames = swap::rename(&mut plan, &scope, &fates, &removals);
    start::bring_up(&mut plan, &scope, &fates, &start::Ground { images, removals, objects, renames });
    Ok(plan)
}
