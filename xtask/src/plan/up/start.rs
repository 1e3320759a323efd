//! Containers made, started and awaited, each service after what it depends on.

use std::collections::BTreeMap;

use super::fate::{Fate, Fates};
use super::images::Images;
use super::objects::Objects;
use super::removal::Removals;
use super::scope::Scope;
use crate::event::StepId;
use crate::plan::step::{changed, done};
use crate::plan::{Action, Cause, Need, Plan};
use crate::stack::{Condition, Service, ServiceName};

/// The steps of the passes before.
pub(super) struct Ground<'a> {
    pub(super) images: Images<'a>,
    pub(super) removals: Removals<'a>,
    pub(super) objects: Objects<'a>,
}

/// The steps a service's dependents may wait for.
#[derive(Debug, Clone, Copy, Default)]
struct Milestones {
    started: Option<StepId>,
    ready: Option<StepId>,
}

/// Plans what makes every service well.
pub(super) fn bring_up<'a>(plan: &mut Plan, scope: &Scope<'a>, fates: &Fates<'a>, ground: &Ground<'a>) {
    let created = create_containers(plan, scope, fates, ground);
    let mut milestones: BTreeMap<&ServiceName, Milestones> = BTreeMap::new();
    for &(name, service) in &scope.services {
        let mut needs = dependencies(service, &milestones);
        if matches!(fates[name], Fate::Start(_)) {
            needs.extend(ground.objects.of(service).map(done));
        }
        let service =
            Rising { name, optional: service.homeport.optional, created: created.get(name).copied() };
        let reached = service.start_and_await(plan, scope, &fates[name], needs, &ground.removals.vacating);
        milestones.insert(name, reached);
    }
}

/// Creating waits for no dependency: only starting does.
fn create_containers<'a>(
    plan: &mut Plan,
    scope: &Scope<'a>,
    fates: &Fates<'_>,
    ground: &Ground<'_>,
) -> BTreeMap<&'a ServiceName, StepId> {
    let mut created = BTreeMap::new();
    for &(name, service) in &scope.services {
        let mut needs: Vec<Need> =
            ground.removals.of(name).chain(ground.objects.of(service)).map(done).collect();
        let cause = match &fates[name] {
            Fate::Create => {
                // Once it is there, nothing tells that a container that depends on it began with another one: a run
                // killed in between would leave that one as it is.
                let dependents =
                    scope.services.iter().filter(|(_, other)| other.depends_on.contains_key(name));
                needs.extend(dependents.flat_map(|(other, _)| ground.removals.of(other)).map(done));
                Cause::Missing
            }
            Fate::Replace(cause) => cause.clone(),
            Fate::ReplaceIfBuilt(builds) => {
                needs.extend(builds.iter().filter_map(|image| ground.images.step(image)).map(changed));
                Cause::ImageRebuilt
            }
            _ => continue,
        };
        needs.extend(ground.images.step(&service.image).map(done));
        let action = Action::CreateContainer(name.clone());
        created.insert(name, plan.push(action, cause, needs, service.homeport.optional));
    }
    created
}

/// What a service's start waits for.
fn dependencies(service: &Service, milestones: &BTreeMap<&ServiceName, Milestones>) -> Vec<Need> {
    let reached = service.depends_on.iter().filter_map(|(dependency, condition)| {
        let reached = milestones.get(dependency)?;
        match condition {
            Condition::Started => reached.started,
            Condition::Healthy | Condition::Completed => reached.ready,
        }
    });
    reached.map(done).collect()
}

/// A service on its way up.
struct Rising<'a> {
    name: &'a ServiceName,
    optional: bool,
    /// The step that creates its container, when it gets one.
    created: Option<StepId>,
}

impl Rising<'_> {
    fn start_and_await(
        &self,
        plan: &mut Plan,
        scope: &Scope<'_>,
        fate: &Fate,
        mut needs: Vec<Need>,
        vacating: &[StepId],
    ) -> Milestones {
        let container = || scope.containers[self.name].clone();
        let (action, cause) = match fate {
            Fate::Absent | Fate::Remove(_) | Fate::Keep => return Milestones::default(),
            Fate::Await(cause) => {
                let ready = self.push_await(plan, scope, cause.clone(), Vec::new());
                return Milestones { started: None, ready: Some(ready) };
            }
            Fate::Reload(signal) => {
                let action = Action::ReloadContainer { container: container(), signal: signal.clone() };
                plan.push(action, Cause::FilesChanged, needs, self.optional);
                return Milestones::default();
            }
            Fate::Unpause => (Action::UnpauseContainer(container()), Cause::Paused),
            Fate::Start(cause) => (Action::StartContainer(self.name.clone()), cause.clone()),
            Fate::Create | Fate::Replace(_) | Fate::ReplaceIfBuilt(_) => {
                (Action::StartContainer(self.name.clone()), Cause::Created)
            }
        };
        needs.extend(self.created.map(changed));
        if matches!(action, Action::StartContainer(_)) {
            needs.extend(vacating.iter().map(|&step| done(step)));
        }
        let started = plan.push(action, cause, needs, self.optional);
        let ready = self.push_await(plan, scope, Cause::Started, vec![changed(started)]);
        Milestones { started: Some(started), ready: Some(ready) }
    }

    fn push_await(&self, plan: &mut Plan, scope: &Scope<'_>, cause: Cause, needs: Vec<Need>) -> StepId {
        let name = self.name.clone();
        let action = if scope.is_one_shot(self.name) {
            Action::AwaitCompleted(name)
        } else {
            Action::AwaitHealthy(name)
        };
        plan.push(action, cause, needs, self.optional)
    }
}
