//! What is taken away: containers that do not fit their service, that no service has, or that a service has twice.
//!
//! Nothing goes before what it depends on could come back without it: dependents go first. And nothing goes before the
//! images are there of what is to come in its place, so that a failed download or build leaves what runs alone.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::fate::{Fate, Fates};
use super::images::Images;
use super::scope::Scope;
use crate::event::StepId;
use crate::plan::order::dependents_first;
use crate::plan::step::{changed, done};
use crate::plan::{Action, Cause, Container, Need, Plan, Role};
use crate::stack::ServiceName;

/// The steps that take containers away.
#[derive(Default)]
pub(super) struct Removals<'a> {
    /// By service: the removals that must be done before its new container can take its name.
    of: BTreeMap<&'a ServiceName, Vec<StepId>>,
    /// The removals that are certain: after them no container hangs on a network that was replaced.
    pub(super) certain: Vec<StepId>,
    /// The removals of what may hold a port or a volume that another service is now to have.
    pub(super) vacating: Vec<StepId>,
}

impl Removals<'_> {
    /// The removals of a service's containers.
    pub(super) fn of(&self, name: &ServiceName) -> impl Iterator<Item = StepId> {
        self.of.get(name).into_iter().flatten().copied()
    }
}

/// One container that goes.
struct Candidate<'a> {
    container: &'a Container,
    depends_on: BTreeSet<&'a ServiceName>,
    cause: Cause,
    grace: Duration,
    needs: Vec<Need>,
    certain: bool,
}

/// Plans the removals.
pub(super) fn remove<'a>(
    plan: &mut Plan,
    scope: &Scope<'a>,
    fates: &Fates<'_>,
    images: &Images<'_>,
) -> Removals<'a> {
    let mut candidates = unwanted(scope);
    candidates.extend(replaced(scope, fates, images));
    let mut removals = Removals::default();
    let edges: Vec<_> = candidates.iter().map(|one| (&one.container.service, &one.depends_on)).collect();
    let mut steps: BTreeMap<usize, StepId> = BTreeMap::new();
    for (index, dependents) in dependents_first(&edges) {
        let candidate = &candidates[index];
        let mut needs = candidate.needs.clone();
        needs.extend(dependents.into_iter().map(|dependent| done(steps[&dependent])));
        let action =
            Action::RemoveContainer { container: candidate.container.clone(), grace: candidate.grace };
        let step = plan.push(action, candidate.cause.clone(), needs, false);
        steps.insert(index, step);
        removals.of.entry(&candidate.container.service).or_default().push(step);
        if candidate.certain {
            removals.certain.push(step);
        }
        if matches!(candidate.cause, Cause::Orphan | Cause::Duplicate | Cause::ConfigurationChanged) {
            removals.vacating.push(step);
        }
    }
    removals
}

/// Containers that no service keeps or replaces. They come first: should labels make a cycle, it is cut at one of them.
fn unwanted<'a>(scope: &Scope<'a>) -> Vec<Candidate<'a>> {
    let mut unwanted = Vec::new();
    let stay = |container: &&Container| !scope.observed.leaving.contains(&container.id);
    for container in scope.observed.containers.iter().filter(stay) {
        let service = scope.stack.services.get(&container.service);
        let cause = match service {
            None if scope.with_orphans => Cause::Orphan,
            Some(_)
                if scope.containers.get(&container.service).is_some_and(|kept| kept.id != container.id)
                    || container.role == Role::Retired && scope.is_wanted(&container.service) =>
            {
                Cause::Duplicate
            }
            _ => continue,
        };
        unwanted.push(Candidate {
            container,
            depends_on: container.depends_on.iter().collect(),
            cause,
            grace: container.grace(service),
            needs: Vec::new(),
            certain: true,
        });
    }
    unwanted
}

/// Containers that go for another, and those that cannot be replaced.
fn replaced<'a>(scope: &Scope<'a>, fates: &Fates<'_>, images: &Images<'_>) -> Vec<Candidate<'a>> {
    let mut replaced = Vec::new();
    // Backwards, so that of two that could go at once the dependent is named first.
    for &(name, service) in scope.services.iter().rev() {
        let (cause, conditions) = match &fates[name] {
            Fate::Remove(cause) => (cause.clone(), None),
            Fate::Replace(cause) => (cause.clone(), Some(BTreeSet::new())),
            Fate::ReplaceIfBuilt(builds) => {
                let builds = builds.iter().filter_map(|image| images.step(image)).collect();
                (Cause::ImageRebuilt, Some(builds))
            }
            _ => continue,
        };
        let needs = conditions.iter().flat_map(|builds: &BTreeSet<StepId>| {
            let when = |step| if builds.contains(&step) { changed(step) } else { done(step) };
            images.behind(name).map(when)
        });
        let container = scope.containers[name];
        // Whom the file no longer names is known from the label alone; else the file's word counts, which has no cycles.
        let orphans = container.depends_on.iter().filter(|other| !scope.stack.services.contains_key(other));
        replaced.push(Candidate {
            container,
            depends_on: service.depends_on.keys().chain(orphans).collect(),
            certain: cause != Cause::ImageRebuilt,
            cause,
            grace: service.stop_grace_period,
            needs: needs.collect(),
        });
    }
    replaced
}
