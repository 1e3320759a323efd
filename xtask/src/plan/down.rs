//! The teardown: what `down` does. Needs only what the engine tells, so that it works whatever became of the files.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Observed;
use super::step::{Action, Cause, Plan, done};
use crate::event::StepId;
use crate::stack::ServiceName;

/// What a teardown leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// The volumes, and so the user's data.
    Data,
    /// Nothing.
    Nothing,
}

/// Plans a teardown. With [`Keep::Data`] every container stops in the order its dependents allow, within `grace`; with
/// [`Keep::Nothing`] there is nothing to save, so containers are killed at once.
pub fn down(observed: &Observed, keep: Keep, grace: Duration) -> Plan {
    let mut plan = Plan::default();
    let grace = if keep == Keep::Nothing { Duration::ZERO } else { grace };
    let mut removed: BTreeMap<&ServiceName, Vec<StepId>> = BTreeMap::new();
    let mut waiting: Vec<_> = observed.containers.iter().collect();
    waiting.sort_by(|a, b| (&a.service, &a.id).cmp(&(&b.service, &b.id)));
    while !waiting.is_empty() {
        // A container may go once no other that is still to go depends on it; a cycle (labels can lie) is cut.
        let free = |index: usize| {
            let service = &waiting[index].service;
            waiting.iter().all(|other| other.service == *service || !other.depends_on.contains(service))
        };
        let next = (0..waiting.len()).find(|&index| free(index)).unwrap_or(0);
        let container = waiting.remove(next);
        let needs = observed
            .containers
            .iter()
            .filter(|other| keep == Keep::Data && other.depends_on.contains(&container.service))
            .filter_map(|other| removed.get(&other.service))
            .flatten()
            .map(|&step| done(step))
            .collect();
        let action = Action::RemoveContainer { container: container.clone(), grace };
        let step = plan.push(action, Cause::TearDown, needs, false);
        removed.entry(&container.service).or_default().push(step);
    }
    let containers: Vec<_> = removed.values().flatten().map(|&step| done(step)).collect();
    for network in &observed.networks {
        plan.push(Action::RemoveNetwork(network.clone()), Cause::TearDown, containers.clone(), false);
    }
    if keep == Keep::Nothing {
        for volume in &observed.volumes {
            plan.push(Action::RemoveVolume(volume.clone()), Cause::TearDown, containers.clone(), false);
        }
    }
    plan
}
