//! Containers made, started and awaited, each service after what it depends on.

use std::collections::BTreeMap;

use super::fate::{Fate, Fates};
use super::images::Images;
use super::objects::Objects;
use super::removal::Removals;
use super::scope::Scope;
use super::swap::{Renames, succeed};
use crate::event::StepId;
use crate::plan::step::{changed, done};
use crate::plan::{Action, Cause, Need, Plan, Role, Seat};
use crate::stack::{Condition, Service, ServiceName};

/// The steps of the passes before.
pub(super) struct Ground<'a> {
    pub(super) images: Images<'a>,
    pub(super) removals: Removals<'a>,
    pub(super) objects: Objects<'a>,
    pub(super) renames: Renames<'a>,
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
        let role = if fates[name].swaps() { Role::Successor } else { Role::Holder };
        let service = Rising {
            seat: Seat { service: name.clone(), role },
            optional: service.homeport.optional,
            fronted: !service.fronts.is_empty(),
            created: created.get(name).copied(),
            named: ground.renames.of(name),
        };
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
        needs.extend(ground.renames.of(name));
        let cause = match &fates[name] {
            Fate::Create => {
                // Once it is there, nothing tells that a container that depends on it began with another one: a run
                // killed in between would leave that one as it is.
                let dependents =
                    scope.services.iter().filter(|(_, other)| other.depends_on.contains_key(name));
                needs.extend(dependents.flat_map(|(other, _)| ground.removals.of(other)).map(done));
                Cause::Missing
            }
            Fate::Replace(cause) | Fate::Swap(cause) => cause.clone(),
            Fate::SwapIfBuilt => {
                needs.extend(ground.images.step(&service.image).map(changed));
                Cause::ImageRebuilt
            }
            Fate::ReplaceIfBuilt(builds) => {
                needs.extend(builds.iter().filter_map(|image| ground.images.step(image)).map(changed));
                Cause::ImageRebuilt
            }
            _ => continue,
        };
        needs.extend(ground.images.step(&service.image).map(done));
        let role = if fates[name].swaps() { Role::Successor } else { Role::Holder };
        let action = Action::CreateContainer(Seat { service: name.clone(), role });
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
struct Rising {
    /// Which of its containers comes up.
    seat: Seat,
    optional: bool,
    /// Whether a front has to be told once it is ready.
    fronted: bool,
    /// The step that creates its container, when it gets one.
    created: Option<StepId>,
    /// That the container has its name, when it has to get it first.
    named: Option<Need>,
}

impl Rising {
    fn start_and_await(
        &self,
        plan: &mut Plan,
        scope: &Scope<'_>,
        fate: &Fate,
        mut needs: Vec<Need>,
        vacating: &[StepId],
    ) -> Milestones {
        needs.extend(self.named);
        let name = &self.seat.service;
        let container = || scope.containers[name].clone();
        let (action, cause) = match fate {
            Fate::Absent | Fate::Remove(_) | Fate::Keep => return Milestones::default(),
            Fate::Await(cause) => {
                let needs = self.named.into_iter().collect();
                let ready = self.push_await(plan, scope, cause.clone(), needs);
                return Milestones { started: None, ready: Some(ready) };
            }
            Fate::Reload(signal) => {
                let action = Action::ReloadContainer { container: container(), signal: signal.clone() };
                plan.push(action, Cause::FilesChanged, needs, self.optional);
                return Milestones::default();
            }
            Fate::Unpause => (Action::UnpauseContainer(container()), Cause::Paused),
            Fate::Start(cause) => (Action::StartContainer(self.seat.clone()), cause.clone()),
            Fate::Create | Fate::Replace(_) | Fate::ReplaceIfBuilt(_) | Fate::Swap(_) | Fate::SwapIfBuilt => {
                (Action::StartContainer(self.seat.clone()), Cause::Created)
            }
        };
        needs.extend(self.created.map(changed));
        if matches!(action, Action::StartContainer(_)) {
            needs.extend(vacating.iter().map(|&step| done(step)));
        }
        let started = plan.push(action, cause, needs, self.optional);
        let ready = self.push_await(plan, scope, Cause::Started, vec![changed(started)]);
        if let Some(created) = self.created.filter(|_| fate.swaps()) {
            succeed(plan, scope, name, [created, ready], fate);
        } else if self.fronted {
            plan.push(Action::Switch(self.seat.clone()), Cause::Ready, vec![changed(ready)], self.optional);
        }
        Milestones { started: Some(started), ready: Some(ready) }
    }

    fn push_await(&self, plan: &mut Plan, scope: &Scope<'_>, cause: Cause, needs: Vec<Need>) -> StepId {
        let action = if scope.is_one_shot(&self.seat.service) {
            Action::AwaitCompleted(self.seat.service.clone())
        } else {
            Action::AwaitHealthy(self.seat.clone())
        };
        plan.push(action, cause, needs, self.optional)
    }
}
