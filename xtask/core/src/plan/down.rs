//! The teardown: what `down` does. Needs only what the engine tells, so that it works whatever became of the files; of the
//! stack, where that is known, it takes how long each service may take to stop.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::order::dependents_first;
use super::step::{Action, Cause, Need, Plan, done};
use super::{Container, ContainerState, Observed, Role};
use crate::event::StepId;
use crate::stack::{ServiceName, Stack};

/// What a teardown leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// The volumes, and so the user's data.
    Data,
    /// Nothing.
    Nothing,
}

/// Plans a teardown. With [`Keep::Data`] every container stops in the order its dependents allow, within its own time; with
/// [`Keep::Nothing`] there is nothing to save, so containers are killed at once.
pub fn down(stack: &Stack, observed: &Observed, keep: Keep) -> Plan {
    let mut plan = Plan::default();
    let removed = in_order(&mut plan, &observed.containers, keep == Keep::Data, |container| {
        let grace = if keep == Keep::Nothing { Duration::ZERO } else { grace(stack, container) };
        Action::RemoveContainer { container: container.clone(), grace }
    });
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

/// Plans the end of `dev`: every container that runs stops, dependents first, and is kept with its log; but one that has
/// made way for another is removed.
pub fn stop(stack: &Stack, observed: &Observed) -> Plan {
    let running: Vec<Container> = observed
        .containers
        .iter()
        .filter(|container| {
            let runs = matches!(
                container.state,
                ContainerState::Running(_) | ContainerState::Paused | ContainerState::Restarting
            );
            runs || container.role == Role::Retired
        })
        .cloned()
        .collect();
    let mut plan = Plan::default();
    in_order(&mut plan, &running, true, |container| {
        let (container, grace) = (container.clone(), grace(stack, container));
        match container.role {
            Role::Retired => Action::RemoveContainer { container, grace },
            Role::Holder | Role::Successor => Action::StopContainer { container, grace },
        }
    });
    plan
}

fn grace(stack: &Stack, container: &Container) -> Duration {
    container.grace(stack.services.get(&container.service))
}

/// One step a container, dependents before what they depend on; `ordered` makes each wait for its dependents' steps.
fn in_order(
    plan: &mut Plan,
    containers: &[Container],
    ordered: bool,
    action: impl Fn(&Container) -> Action,
) -> Vec<Need> {
    let mut containers: Vec<&Container> = containers.iter().collect();
    containers.sort_by_key(|container| (&container.service, &container.id));
    let depends_on: Vec<BTreeSet<&ServiceName>> =
        containers.iter().map(|container| container.depends_on.iter().collect()).collect();
    let edges: Vec<_> = containers.iter().map(|container| &container.service).zip(&depends_on).collect();
    let mut steps: BTreeMap<usize, StepId> = BTreeMap::new();
    for (index, dependents) in dependents_first(&edges) {
        let needs = dependents.into_iter().filter(|_| ordered).map(|dependent| done(steps[&dependent]));
        let step = plan.push(action(containers[index]), Cause::TearDown, needs.collect(), false);
        steps.insert(index, step);
    }
    steps.into_values().map(done).collect()
}
