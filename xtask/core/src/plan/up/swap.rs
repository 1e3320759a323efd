//! One container follows another without a moment in which none serves: the new one is made beside the old one, and takes
//! its place once it is ready. When it does not get ready it goes again, and the old one has never stopped serving. What the
//! old one has in flight then is answered beside whatever comes next.
//!
//! For a moment both answer to the service's names on its networks, as two replicas do.

use std::collections::BTreeMap;

use super::fate::{Fate, Fates};
use super::removal::Removals;
use super::scope::Scope;
use crate::event::StepId;
use crate::plan::step::{changed, done, failed};
use crate::plan::{Action, Cause, Need, Plan, Role, Seat};
use crate::stack::ServiceName;

/// The steps that give containers their service's name.
#[derive(Default)]
pub(super) struct Renames<'a>(BTreeMap<&'a ServiceName, StepId>);

impl Renames<'_> {
    /// What whoever calls a container by its service's name waits for.
    pub(super) fn of(&self, name: &ServiceName) -> Option<Need> {
        self.0.get(name).copied().map(done)
    }
}

/// Plans for the containers that a swap has left without their name when it was cut off: once every other one of the
/// service is gone, the name is free.
pub(super) fn rename<'a>(
    plan: &mut Plan,
    scope: &Scope<'a>,
    fates: &Fates<'_>,
    removals: &Removals<'_>,
) -> Renames<'a> {
    let mut renames = Renames::default();
    for &(name, service) in &scope.services {
        let unnamed = scope.containers.get(name).is_some_and(|container| container.role == Role::Successor);
        let fate = &fates[name];
        let goes = fate.is_out() || fate.makes_container() && !fate.swaps();
        if unnamed && !goes {
            let needs = removals.of(name).map(done).collect();
            let action = Action::RenameSuccessor(name.clone());
            renames.0.insert(name, plan.push(action, Cause::Unnamed, needs, service.homeport.optional));
        }
    }
    renames
}

/// Plans how a successor that is ready takes the place of a container, and what becomes of it when it is not: one that was
/// not made, because its build failed, need not go.
pub(super) fn succeed(
    plan: &mut Plan,
    scope: &Scope<'_>,
    name: &ServiceName,
    [created, ready]: [StepId; 2],
    fate: &Fate,
) {
    debug_assert!(fate.swaps(), "{fate:?}");
    let service = &scope.stack.services[name];
    let optional = service.homeport.optional;
    let switched =
        plan.push(Action::Switch(Seat::successor(name)), Cause::Ready, vec![changed(ready)], optional);
    let (container, grace) = (scope.containers[name].clone(), service.stop_grace_period);
    let retire = Action::Retire(container.clone());
    let retired = plan.push(retire, Cause::Succeeded, vec![changed(switched)], optional);
    plan.push(Action::RenameSuccessor(name.clone()), Cause::Succeeded, vec![changed(retired)], optional);
    plan.push(Action::LetGo { container, grace }, Cause::Succeeded, vec![changed(retired)], optional);
    plan.push(
        Action::RemoveSuccessor(name.clone()),
        Cause::NotReady,
        vec![done(created), failed(ready)],
        optional,
    );
}
