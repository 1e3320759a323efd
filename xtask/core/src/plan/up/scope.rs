//! Whom a plan is about: the services that are wanted, and which of the project's containers stands for each.

use std::collections::{BTreeMap, BTreeSet};

use super::{PlanError, Wanted};
use crate::plan::{Container, NetworkSeen, Observed};
use crate::stack::{ImageReference, Network, NetworkName, Service, ServiceName, Stack};

/// What every pass looks at.
pub(super) struct Scope<'a> {
    pub(super) stack: &'a Stack,
    pub(super) observed: &'a Observed,
    pub(super) wanted: &'a Wanted,
    /// The services the plan is about, each after what it depends on.
    pub(super) services: Vec<(&'a ServiceName, &'a Service)>,
    /// The container that each service keeps or replaces; further ones are duplicates.
    pub(super) containers: BTreeMap<&'a ServiceName, &'a Container>,
    /// Whether containers of services that the stack does not name are removed.
    pub(super) with_orphans: bool,
}

/// Whether a network is as the stack wants it.
pub(super) enum Standing<'a> {
    Fits,
    Missing,
    Changed(&'a NetworkSeen),
}

impl<'a> Scope<'a> {
    pub(super) fn new(
        stack: &'a Stack,
        observed: &'a Observed,
        wanted: &'a Wanted,
    ) -> Result<Self, PlanError> {
        let whole = wanted.services.is_empty();
        let mut roots: BTreeSet<&ServiceName> =
            if whole { stack.services.keys().collect() } else { wanted.services.iter().collect() };
        let mut scope = Self {
            stack,
            observed,
            wanted,
            services: in_order(stack, &roots)?,
            containers: BTreeMap::new(),
            with_orphans: whole,
        };
        if !whole && scope.makes_a_network() {
            // Every container may hang on the old network, and could not start on the new one.
            roots.extend(
                observed.containers.iter().map(|c| &c.service).filter(|s| stack.services.contains_key(s)),
            );
            scope.services = in_order(stack, &roots)?;
            scope.with_orphans = true;
        }
        for (name, service) in &scope.services {
            if let Some(container) = observed.container(name, service) {
                scope.containers.insert(name, container);
            }
        }
        Ok(scope)
    }

    fn makes_a_network(&self) -> bool {
        let used: BTreeSet<&NetworkName> =
            self.services.iter().flat_map(|(_, service)| service.networks.keys()).collect();
        let wanted = self.stack.networks.iter().filter(|(name, _)| used.contains(name));
        wanted.into_iter().any(|(name, network)| !matches!(self.network(name, network), Standing::Fits))
    }

    /// Whether the engine has this network as the stack wants it.
    pub(super) fn network(&self, name: &NetworkName, network: &Network) -> Standing<'a> {
        match self.observed.networks.iter().find(|seen| seen.name == *name) {
            None => Standing::Missing,
            Some(seen) if seen.config_hash == crate::plan::config_hash(network) => Standing::Fits,
            Some(seen) => Standing::Changed(seen),
        }
    }

    /// Whether the plan is about it.
    pub(super) fn is_wanted(&self, name: &ServiceName) -> bool {
        self.services.iter().any(|(wanted, _)| *wanted == name)
    }

    /// Whether others wait for it to complete: the file's own way of saying that it does not stay.
    pub(super) fn is_one_shot(&self, name: &ServiceName) -> bool {
        self.stack.is_one_shot(name)
    }

    /// Whether it is a one-shot that has done its work, which a new image would not do otherwise.
    pub(super) fn is_done_for_good(&self, name: &ServiceName) -> bool {
        let container = self.containers.get(name);
        self.is_one_shot(name) && container.is_some_and(|container| self.observed.is_done_for_good(container))
    }

    /// Whether what a service's container would be replaced by has been tried in vain.
    pub(super) fn failed_before(&self, name: &ServiceName, service: &Service) -> bool {
        let (Some(container), Some(now)) = (self.containers.get(name), self.observed.version(name, service))
        else {
            return false;
        };
        now != container.version() && self.observed.failed.get(name) == Some(&now)
    }

    /// Whether another service depends on it.
    pub(super) fn has_dependents(&self, name: &ServiceName) -> bool {
        self.stack.services.values().any(|service| service.depends_on.contains_key(name))
    }

    /// The workspace package that makes an image, and why it is to be built; `None` when it need not be.
    pub(super) fn build(&self, image: &ImageReference) -> Option<(&'a str, &'a str)> {
        let asked = self.wanted.rebuild.then_some("asked for");
        let cause = self.observed.stale_builds.get(image).map(String::as_str).or(asked)?;
        let mut makers = self.stack.services.values().filter(|service| service.image == *image);
        makers.find_map(|service| Some((service.homeport.package.as_deref()?, cause)))
    }
}

/// These services with everything they depend on, each after what it depends on.
fn in_order<'a>(
    stack: &'a Stack,
    roots: &BTreeSet<&ServiceName>,
) -> Result<Vec<(&'a ServiceName, &'a Service)>, PlanError> {
    let mut order = Vec::new();
    let mut seen = BTreeSet::new();
    for root in roots {
        visit(stack, root, &mut seen, &mut order)?;
    }
    Ok(order)
}

fn visit<'a>(
    stack: &'a Stack,
    name: &ServiceName,
    seen: &mut BTreeSet<ServiceName>,
    order: &mut Vec<(&'a ServiceName, &'a Service)>,
) -> Result<(), PlanError> {
    if !seen.insert(name.clone()) {
        return Ok(());
    }
    let (name, service) =
        stack.services.get_key_value(name).ok_or_else(|| PlanError::UnknownService(name.clone()))?;
    for dependency in service.depends_on.keys() {
        visit(stack, dependency, seen, order)?;
    }
    order.push((name, service));
    Ok(())
}
