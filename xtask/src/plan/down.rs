//! The teardown: what `down` does. Needs only what the engine tells, so that it works whatever became of the files.

use std::collections::BTreeMap;
use std::time::Duration;

use super::step::{Action, Cause, Plan, done};
use super::{Container, ContainerState, Observed};
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
pub fn down(observed: &Observed, keep: Keep, grace: Grace<'_>) -> Plan {
    let mut plan = Plan::default();
    let containers = in_order(&mut plan, observed, keep == Keep::Data, |container| {
        let grace = if keep == Keep::Nothing { Duration::ZERO } else { grace(&container.service) };
        Action::RemoveContainer { container: container.clone(), grace }
    });
    let removed: Vec<_> = containers.into_iter().map(done).collect();
    for network in &observed.networks {
        plan.push(Action::RemoveNetwork(network.clone()), Cause::TearDown, removed.clone(), false);
    }
    if keep == Keep::Nothing {
        for volume in &observed.volumes {
            plan.push(Action::RemoveVolume(volume.clone()), Cause::TearDown, removed.clone(), false);
        }
    }
    plan
}

/// Plans the end of `dev`: every container that runs stops, dependents first, and is kept with its log.
pub fn stop(observed: &Observed, grace: Grace<'_>) -> Plan {
    let mut running = observed.clone();
    running.containers.retain(|container| {
        matches!(
            container.state,
            ContainerState::Running(_) | ContainerState::Paused | ContainerState::Restarting
        )
    });
    let mut plan = Plan::default();
    in_order(&mut plan, &running, true, |container| Action::StopContainer {
        container: container.clone(),
        grace: grace(&container.service),
    });
    plan
}

/// How long each service may take to stop.
pub type Grace<'a> = &'a dyn Fn(&ServiceName) -> Duration;

/// One step a container, dependents before what they depend on; `ordered` makes each wait for its dependents' steps.
fn in_order(
    plan: &mut Plan,
    observed: &Observed,
    ordered: bool,
    action: impl Fn(&Container) -> Action,
) -> Vec<StepId> {
    let mut steps: BTreeMap<&ServiceName, Vec<StepId>> = BTreeMap::new();
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
            .filter(|other| ordered && other.depends_on.contains(&container.service))
            .filter_map(|other| steps.get(&other.service))
            .flatten()
            .map(|&step| done(step))
            .collect();
        let step = plan.push(action(container), Cause::TearDown, needs, false);
        steps.entry(&container.service).or_default().push(step);
    }
    steps.into_values().flatten().collect()
}
