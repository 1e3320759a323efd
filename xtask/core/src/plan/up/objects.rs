//! Networks and volumes: made when they are missing. A network that changed is made anew; a volume never is, because
//! it holds data.

use std::collections::BTreeMap;

use super::fate::{Fates, named_volumes};
use super::removal::Removals;
use super::scope::{Scope, Standing};
use crate::event::StepId;
use crate::plan::step::done;
use crate::plan::{Action, Cause, Need, Plan, config_hash};
use crate::stack::{NetworkName, Service, VolumeName};

/// The steps that make networks and volumes.
#[derive(Default)]
pub(super) struct Objects<'a> {
    networks: BTreeMap<&'a NetworkName, StepId>,
    volumes: BTreeMap<&'a VolumeName, StepId>,
}

impl Objects<'_> {
    /// The steps that a service's container cannot be made before.
    pub(super) fn of(&self, service: &Service) -> impl Iterator<Item = StepId> {
        let networks = service.networks.keys().filter_map(|name| self.networks.get(name));
        networks.chain(named_volumes(service).filter_map(|name| self.volumes.get(name))).copied()
    }
}

/// Plans for the networks and volumes of the services that are not left out.
pub(super) fn make<'a>(
    plan: &mut Plan,
    scope: &Scope<'a>,
    fates: &Fates<'_>,
    removals: &Removals<'_>,
) -> Objects<'a> {
    Objects {
        networks: make_networks(plan, scope, fates, removals),
        volumes: make_volumes(plan, scope, fates),
    }
}

fn make_networks<'a>(
    plan: &mut Plan,
    scope: &Scope<'a>,
    fates: &Fates<'_>,
    removals: &Removals<'_>,
) -> BTreeMap<&'a NetworkName, StepId> {
    let mut made = BTreeMap::new();
    // The old network goes only when nothing hangs on it; and while a container is left that hangs on it, a new one of
    // its name would make the next plan think that the container fits.
    let emptied: Vec<Need> = removals.certain.iter().map(|&step| done(step)).collect();
    for (name, network) in &scope.stack.networks {
        let Some(optional) = optional(scope, fates, |service| service.networks.contains_key(name)) else {
            continue;
        };
        // No container can be started on either of two networks of one name.
        for duplicate in scope.observed.networks.iter().filter(|seen| seen.name == *name).skip(1) {
            let action = Action::RemoveNetwork(duplicate.clone());
            made.insert(name, plan.push(action, Cause::Duplicate, emptied.clone(), optional));
        }
        let (cause, needs) = match scope.network(name, network) {
            Standing::Fits => continue,
            Standing::Missing => (Cause::Missing, emptied.clone()),
            Standing::Changed(seen) => {
                let action = Action::RemoveNetwork(seen.clone());
                let step = plan.push(action, Cause::ConfigurationChanged, emptied.clone(), optional);
                (Cause::ConfigurationChanged, vec![done(step)])
            }
        };
        let step = plan.push(Action::CreateNetwork(name.clone()), cause, needs, optional);
        made.insert(name, step);
    }
    made
}

fn make_volumes<'a>(
    plan: &mut Plan,
    scope: &Scope<'a>,
    fates: &Fates<'_>,
) -> BTreeMap<&'a VolumeName, StepId> {
    let mut made = BTreeMap::new();
    for (name, volume) in &scope.stack.volumes {
        let Some(optional) =
            optional(scope, fates, |service| named_volumes(service).any(|used| used == name))
        else {
            continue;
        };
        match scope.observed.volumes.iter().find(|seen| seen.name == *name) {
            Some(seen) if seen.config_hash == config_hash(volume) => {}
            Some(_) => plan.notes.push(format!(
                "volume {name} was made with another configuration and is kept, because it holds data"
            )),
            None => {
                let step =
                    plan.push(Action::CreateVolume(name.clone()), Cause::Missing, Vec::new(), optional);
                made.insert(name, step);
            }
        }
    }
    made
}

/// Whether only optional services use a thing; `None` when none does.
fn optional(scope: &Scope<'_>, fates: &Fates<'_>, uses: impl Fn(&Service) -> bool) -> Option<bool> {
    let mut flags = scope
        .services
        .iter()
        .filter(|(name, service)| !fates[name].is_out() && uses(service))
        .map(|(_, service)| service.homeport.optional)
        .peekable();
    flags.peek()?;
    Some(flags.all(|optional| optional))
}
