//! The plan that brings a stack up: from nothing, from any half-done state, or from another version of itself.
//!
//! Three passes over the services. The first, in the order of dependencies, settles each one's [`Fate`]. The second
//! removes what is replaced, dependents first: when a run is killed in the middle, what was to be replaced because of
//! its dependency is gone already, and the next plan makes it again. The third creates, starts and awaits.

use std::collections::{BTreeMap, BTreeSet};

use super::step::{Action, Cause, Need, Plan, changed, done};
use super::{Container, ContainerState, Health, Observed};
use crate::event::StepId;
use crate::images::{Availability, Source};
use crate::stack::{Condition, ImageReference, NetworkName, Service, ServiceName, Stack, VolumeName};

/// Why no plan can be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// No source has an image that is not optional.
    #[error("no source has the image {image} that {} needs", list(.services))]
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
}

/// Plans what brings `stack` up from what is `observed`.
///
/// # Errors
/// When an image that is not optional can be had nowhere, or a name that is wanted does not exist.
pub fn up(stack: &Stack, observed: &Observed, wanted: &Wanted) -> Result<Plan, PlanError> {
    let selected = select(stack, wanted)?;
    let mut planner = Planner::new(stack, observed, wanted, selected);
    planner.settle_fates()?;
    planner.obtain_images();
    planner.remove_orphans();
    let removed = planner.remove_replaced();
    planner.make_networks(&removed);
    planner.make_volumes();
    planner.bring_up(&removed);
    Ok(planner.plan)
}

/// The wanted services with everything they depend on, in the order of their dependencies.
fn select<'a>(stack: &'a Stack, wanted: &Wanted) -> Result<Vec<(&'a ServiceName, &'a Service)>, PlanError> {
    let mut order = Vec::new();
    let mut seen = BTreeSet::new();
    let roots: Vec<&ServiceName> = if wanted.services.is_empty() {
        stack.services.keys().collect()
    } else {
        wanted.services.iter().collect()
    };
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

/// What becomes of a service.
#[derive(Debug, Clone, PartialEq)]
enum Fate {
    /// Optional, and its image cannot be had; or it depends on such a service.
    Absent,
    /// It is as it should be.
    Keep,
    /// Its container runs but is not well yet.
    Await(Cause),
    /// Its container fits but does not run.
    Start(Cause),
    /// Its container is paused.
    Unpause,
    /// Its container fits; its process must read a mounted file again.
    Reload(String),
    /// It has no container.
    Create,
    /// Its container does not fit.
    Replace(Cause),
    /// Its container does not fit if one of these builds changes its image.
    ReplaceIfBuilt(BTreeSet<ImageReference>),
}

impl Fate {
    fn makes_container(&self) -> bool {
        matches!(self, Self::Create | Self::Replace(_) | Self::ReplaceIfBuilt(_))
    }
}

/// The steps a service's dependents may wait for.
#[derive(Debug, Clone, Copy, Default)]
struct Milestones {
    started: Option<StepId>,
    ready: Option<StepId>,
}

struct Planner<'a> {
    stack: &'a Stack,
    observed: &'a Observed,
    wanted: &'a Wanted,
    /// In the order of dependencies.
    services: Vec<(&'a ServiceName, &'a Service)>,
    /// The container that each service keeps or replaces; further ones are duplicates.
    containers: BTreeMap<&'a ServiceName, &'a Container>,
    fates: BTreeMap<&'a ServiceName, Fate>,
    images: BTreeMap<&'a ImageReference, StepId>,
    networks: BTreeMap<&'a NetworkName, StepId>,
    volumes: BTreeMap<&'a VolumeName, StepId>,
    plan: Plan,
}

impl<'a> Planner<'a> {
    fn new(
        stack: &'a Stack,
        observed: &'a Observed,
        wanted: &'a Wanted,
        services: Vec<(&'a ServiceName, &'a Service)>,
    ) -> Self {
        let mut containers: BTreeMap<&ServiceName, &Container> = BTreeMap::new();
        for container in &observed.containers {
            // Of two containers of one service the one that runs is kept.
            let kept = containers.entry(&container.service).or_insert(container);
            if matches!(container.state, ContainerState::Running(_))
                && !matches!(kept.state, ContainerState::Running(_))
            {
                *kept = container;
            }
        }
        Self {
            stack,
            observed,
            wanted,
            services,
            containers,
            fates: BTreeMap::new(),
            images: BTreeMap::new(),
            networks: BTreeMap::new(),
            volumes: BTreeMap::new(),
            plan: Plan::default(),
        }
    }

    fn settle_fates(&mut self) -> Result<(), PlanError> {
        for (name, service) in self.services.clone() {
            let fate = self.fate(name, service)?;
            if fate == Fate::Absent {
                self.plan.notes.push(self.absence(name, service));
            }
            self.fates.insert(name, fate);
        }
        Ok(())
    }

    fn fate(&self, name: &ServiceName, service: &Service) -> Result<Fate, PlanError> {
        let container = self.containers.get(name).copied();
        if let Some(Availability::Unavailable(reasons)) = self.observed.images.get(&service.image)
            && container.is_none()
            && !self.observed.stale_builds.contains_key(&service.image)
        {
            if service.homeport.optional {
                return Ok(Fate::Absent);
            }
            return Err(self.image_unavailable(&service.image, reasons));
        }
        let dependency_fates =
            || service.depends_on.keys().map(|dependency| (dependency, &self.fates[dependency]));
        if dependency_fates().any(|(_, fate)| *fate == Fate::Absent) {
            return Ok(Fate::Absent);
        }
        let Some(container) = container else { return Ok(Fate::Create) };
        if self.wanted.recreate.contains(name) {
            return Ok(Fate::Replace(Cause::Asked));
        }
        if let Some(cause) = self.misfit(service, container) {
            return Ok(Fate::Replace(cause));
        }
        for (dependency, fate) in dependency_fates() {
            if matches!(fate, Fate::Create | Fate::Replace(_)) {
                return Ok(Fate::Replace(Cause::DependencyReplaced(dependency.to_string())));
            }
        }
        let running = self.running_fate(name, container);
        let mut builds: BTreeSet<ImageReference> = dependency_fates()
            .filter_map(|(_, fate)| if let Fate::ReplaceIfBuilt(builds) = fate { Some(builds) } else { None })
            .flatten()
            .cloned()
            .collect();
        if self.observed.stale_builds.contains_key(&service.image) {
            builds.insert(service.image.clone());
        }
        let fate = match (builds.is_empty(), running) {
            (true, running) => running,
            (false, Fate::Keep) => Fate::ReplaceIfBuilt(builds),
            // A container that is not well while its image is being built is not worth mending.
            (false, Fate::Start(cause) | Fate::Await(cause)) => Fate::Replace(cause),
            (false, _) => Fate::Replace(Cause::ImageRebuilt),
        };
        Ok(self.files_fate(name, service, container, &fate).unwrap_or(fate))
    }

    fn image_unavailable(&self, image: &ImageReference, reasons: &[String]) -> PlanError {
        let needs_it = |&&(_, service): &&(&ServiceName, &Service)| service.image == *image;
        PlanError::ImageUnavailable {
            image: image.clone(),
            services: self.services.iter().filter(needs_it).map(|(name, _)| (*name).clone()).collect(),
            reasons: reasons.to_vec(),
        }
    }

    /// Why a container does not fit its service any more, if it does not.
    fn misfit(&self, service: &Service, container: &Container) -> Option<Cause> {
        if container.state == ContainerState::Dead {
            return Some(Cause::HalfRemoved);
        }
        if container.config_hash != service.config_hash() {
            return Some(Cause::ConfigurationChanged);
        }
        for network in service.networks.keys() {
            let wanted = self.stack.networks.get(network).map(super::config_hash);
            let seen = self.observed.networks.iter().find(|seen| seen.name == *network);
            if seen.map(|seen| &seen.config_hash) != wanted.as_ref() {
                return Some(Cause::NetworkReplaced(network.to_string()));
            }
        }
        for volume in named_volumes(service) {
            if !self.observed.volumes.iter().any(|seen| seen.name == *volume) {
                return Some(Cause::VolumeMissing(volume.to_string()));
            }
        }
        match self.observed.images.get(&service.image) {
            Some(Availability::Present { id, stale: None, .. }) if *id != container.image_id => {
                Some(Cause::ImageChanged)
            }
            Some(Availability::Present { stale: Some(_), .. }) => Some(Cause::RecipeChanged),
            Some(Availability::Obtainable(_)) if !self.observed.stale_builds.contains_key(&service.image) => {
                Some(Cause::ImageChanged)
            }
            _ => None,
        }
    }

    /// What a container that fits needs to be well.
    fn running_fate(&self, name: &ServiceName, container: &Container) -> Fate {
        match container.state {
            ContainerState::Running(Health::Healthy | Health::None) if self.is_one_shot(name) => {
                Fate::Await(Cause::NotCompleted)
            }
            ContainerState::Running(Health::Healthy | Health::None) => Fate::Keep,
            ContainerState::Running(Health::Starting | Health::Unhealthy) | ContainerState::Restarting => {
                Fate::Await(Cause::NotHealthy)
            }
            ContainerState::Paused => Fate::Unpause,
            ContainerState::Exited(0) if self.is_one_shot(name) => Fate::Keep,
            ContainerState::Exited(status) => {
                Fate::Start(Cause::Stopped(format!("ended with status {status}")))
            }
            ContainerState::Created => Fate::Start(Cause::Stopped("never started".to_owned())),
            ContainerState::Dead => Fate::Replace(Cause::HalfRemoved),
        }
    }

    /// What a change in mounted files asks for, where `fate` would keep the container: a signal to one that is well and
    /// has named one, else a new container.
    fn files_fate(
        &self,
        name: &ServiceName,
        service: &Service,
        container: &Container,
        fate: &Fate,
    ) -> Option<Fate> {
        let files = self.observed.mounted_files.get(name).map_or("", String::as_str);
        if container.files_hash == files {
            return None;
        }
        match (fate, &service.homeport.reload) {
            (Fate::Keep, Some(signal)) => Some(Fate::Reload(signal.clone())),
            (Fate::Keep | Fate::Start(_) | Fate::Await(_), _) | (Fate::ReplaceIfBuilt(_), None) => {
                Some(Fate::Replace(Cause::FilesChanged))
            }
            _ => None,
        }
    }

    /// Whether others wait for it to complete: the file's own way of saying that it does not stay.
    fn is_one_shot(&self, name: &ServiceName) -> bool {
        self.stack
            .services
            .values()
            .any(|service| service.depends_on.get(name) == Some(&Condition::Completed))
    }

    fn absence(&self, name: &ServiceName, service: &Service) -> String {
        match self.observed.images.get(&service.image) {
            Some(Availability::Unavailable(reasons)) => {
                format!(
                    "{name} is optional and left out: no source has {} ({})",
                    service.image,
                    reasons.join("; ")
                )
            }
            _ => format!("{name} is left out: something it depends on is"),
        }
    }

    /// Steps for the images of services that get a container, for recipes that changed and for builds.
    fn obtain_images(&mut self) {
        for (name, service) in self.services.clone() {
            if self.fates[name] == Fate::Absent {
                continue;
            }
            self.obtain(&service.image, service.homeport.optional);
        }
    }

    fn obtain(&mut self, image: &'a ImageReference, optional: bool) -> Option<StepId> {
        if let Some(&step) = self.images.get(image) {
            self.plan.steps[step.0 as usize - 1].optional &= optional;
            return Some(step);
        }
        if let Some(cause) = self.observed.stale_builds.get(image) {
            let package = self
                .stack
                .services
                .values()
                .find(|service| service.image == *image)
                .and_then(|service| service.homeport.package.clone())?;
            let action = Action::BuildImage { image: image.clone(), package };
            let step = self.plan.push(action, Cause::SourcesChanged(cause.clone()), Vec::new(), optional);
            self.images.insert(image, step);
            return Some(step);
        }
        let (source, cause) = match self.observed.images.get(image)? {
            Availability::Obtainable(source) => (source, Cause::Missing),
            Availability::Present { stale: Some(source), .. } => (source, Cause::RecipeChanged),
            Availability::Present { .. } | Availability::Unavailable(_) => return None,
        };
        let needs = match source {
            Source::Recipe { base, .. } => self.obtain(base, optional).map(done).into_iter().collect(),
            _ => Vec::new(),
        };
        let action = Action::ObtainImage { image: image.clone(), source: source.clone() };
        let step = self.plan.push(action, cause, needs, optional);
        self.images.insert(image, step);
        Some(step)
    }

    /// Containers that no service keeps. Orphans only go when the whole stack is wanted.
    fn remove_orphans(&mut self) {
        let observed = self.observed;
        for container in &observed.containers {
            let known = self.stack.services.contains_key(&container.service);
            let kept = self.containers.get(&container.service).is_some_and(|kept| kept.id == container.id);
            let cause = match (known, kept) {
                (false, _) if self.wanted.services.is_empty() => Cause::Orphan,
                (true, false) => Cause::Duplicate,
                _ => continue,
            };
            let grace = crate::limits::STOP_UNKNOWN;
            self.plan.push(
                Action::RemoveContainer { container: container.clone(), grace },
                cause,
                Vec::new(),
                false,
            );
        }
    }

    /// Removes what is replaced, dependents first, after the image that replaces it is there.
    fn remove_replaced(&mut self) -> BTreeMap<&'a ServiceName, StepId> {
        let mut removed = BTreeMap::new();
        for (name, service) in self.services.clone().into_iter().rev() {
            let (cause, mut needs): (Cause, Vec<Need>) = match &self.fates[name] {
                Fate::Replace(cause) => (
                    cause.clone(),
                    self.images.get(&service.image).map(|&step| done(step)).into_iter().collect(),
                ),
                Fate::ReplaceIfBuilt(builds) => (
                    Cause::ImageRebuilt,
                    builds
                        .iter()
                        .filter_map(|image| self.images.get(image))
                        .map(|&step| changed(step))
                        .collect(),
                ),
                _ => continue,
            };
            for (dependent, other) in &self.services {
                if other.depends_on.contains_key(name)
                    && let Some(&step) = removed.get(dependent)
                {
                    needs.push(done(step));
                }
            }
            let container = self.containers[name].clone();
            let action = Action::RemoveContainer { container, grace: service.stop_grace_period };
            let step = self.plan.push(action, cause, needs, service.homeport.optional);
            removed.insert(name, step);
        }
        removed
    }

    fn make_networks(&mut self, removed: &BTreeMap<&'a ServiceName, StepId>) {
        let stack = self.stack;
        let used: BTreeSet<&NetworkName> = self
            .services
            .iter()
            .filter(|(name, _)| self.fates[name] != Fate::Absent)
            .flat_map(|(_, service)| service.networks.keys())
            .collect();
        for (name, network) in stack.networks.iter().filter(|(name, _)| used.contains(name)) {
            let mut all = self.observed.networks.iter().filter(|seen| seen.name == *name);
            let seen = all.next();
            // No container can be started on either of two networks of one name.
            for duplicate in all {
                let needs = self.networks.get(name).map(|&step| done(step)).into_iter().collect();
                let action = Action::RemoveNetwork(duplicate.clone());
                let step = self.plan.push(action, Cause::Duplicate, needs, false);
                self.networks.insert(name, step);
            }
            let (cause, needs) = match seen {
                Some(seen) if seen.config_hash == super::config_hash(network) => continue,
                Some(seen) => {
                    let attached = self
                        .services
                        .iter()
                        .filter(|(_, service)| service.networks.contains_key(name))
                        .filter_map(|(service, _)| removed.get(service))
                        .chain(self.networks.get(name))
                        .map(|&step| done(step))
                        .collect();
                    let action = Action::RemoveNetwork(seen.clone());
                    let step = self.plan.push(action, Cause::ConfigurationChanged, attached, false);
                    (Cause::ConfigurationChanged, vec![done(step)])
                }
                None => (Cause::Missing, Vec::new()),
            };
            let step = self.plan.push(Action::CreateNetwork(name.clone()), cause, needs, false);
            self.networks.insert(name, step);
        }
    }

    fn make_volumes(&mut self) {
        let stack = self.stack;
        let used: BTreeSet<&VolumeName> = self
            .services
            .iter()
            .filter(|(name, _)| self.fates[name].makes_container())
            .flat_map(|(_, service)| named_volumes(service))
            .collect();
        for (name, volume) in stack.volumes.iter().filter(|(name, _)| used.contains(name)) {
            match self.observed.volumes.iter().find(|seen| seen.name == *name) {
                Some(seen) if seen.config_hash == super::config_hash(volume) => {}
                Some(_) => self.plan.notes.push(format!(
                    "volume {name} was made with another configuration and is kept, because it holds data"
                )),
                None => {
                    let step =
                        self.plan.push(Action::CreateVolume(name.clone()), Cause::Missing, Vec::new(), false);
                    self.volumes.insert(name, step);
                }
            }
        }
    }

    fn bring_up(&mut self, removed: &BTreeMap<&'a ServiceName, StepId>) {
        let created = self.create_containers(removed);
        let mut milestones: BTreeMap<&ServiceName, Milestones> = BTreeMap::new();
        for (name, service) in self.services.clone() {
            let reached = self.start_and_await(name, service, &created, &milestones);
            milestones.insert(name, reached);
        }
    }

    /// Creating waits for no dependency: only starting does.
    fn create_containers(
        &mut self,
        removed: &BTreeMap<&'a ServiceName, StepId>,
    ) -> BTreeMap<&'a ServiceName, StepId> {
        let mut created = BTreeMap::new();
        for (name, service) in self.services.clone() {
            let cause = match &self.fates[name] {
                Fate::Create => Cause::Missing,
                Fate::Replace(cause) => cause.clone(),
                Fate::ReplaceIfBuilt(_) => Cause::ImageRebuilt,
                _ => continue,
            };
            let mut needs = Vec::new();
            match removed.get(name) {
                Some(&step) => needs.push(changed(step)),
                None => needs.extend(self.images.get(&service.image).map(|&step| done(step))),
            }
            needs.extend(
                service.networks.keys().filter_map(|network| self.networks.get(network)).map(|&s| done(s)),
            );
            needs.extend(
                named_volumes(service).filter_map(|volume| self.volumes.get(volume)).map(|&s| done(s)),
            );
            let step = self.plan.push(
                Action::CreateContainer(name.clone()),
                cause,
                needs,
                service.homeport.optional,
            );
            created.insert(name, step);
        }
        created
    }

    fn start_and_await(
        &mut self,
        name: &'a ServiceName,
        service: &'a Service,
        created: &BTreeMap<&'a ServiceName, StepId>,
        milestones: &BTreeMap<&'a ServiceName, Milestones>,
    ) -> Milestones {
        let optional = service.homeport.optional;
        let dependencies: Vec<Need> = service
            .depends_on
            .iter()
            .filter_map(|(dependency, condition)| {
                let reached = milestones.get(dependency)?;
                match condition {
                    Condition::Started => reached.started,
                    Condition::Healthy | Condition::Completed => reached.ready,
                }
            })
            .map(done)
            .collect();
        let container = self.containers.get(name).copied();
        let started = match self.fates[name].clone() {
            Fate::Absent | Fate::Keep => return Milestones::default(),
            Fate::Await(cause) => {
                let ready = self.push_await(name, cause, Vec::new(), optional);
                return Milestones { started: None, ready: Some(ready) };
            }
            Fate::Reload(signal) => {
                let container = container.expect("only a container that runs is reloaded").clone();
                let action = Action::ReloadContainer { container, signal };
                self.plan.push(action, Cause::FilesChanged, dependencies, optional);
                return Milestones::default();
            }
            Fate::Unpause => {
                let container = container.expect("only a container is paused").clone();
                self.plan.push(Action::UnpauseContainer(container), Cause::Paused, dependencies, optional)
            }
            Fate::Start(cause) => {
                let mut needs = dependencies;
                needs.extend(
                    service
                        .networks
                        .keys()
                        .filter_map(|network| self.networks.get(network))
                        .map(|&s| done(s)),
                );
                self.plan.push(Action::StartContainer(name.clone()), cause, needs, optional)
            }
            Fate::Create | Fate::Replace(_) | Fate::ReplaceIfBuilt(_) => {
                let mut needs = dependencies;
                needs.push(changed(created[name]));
                self.plan.push(Action::StartContainer(name.clone()), Cause::Created, needs, optional)
            }
        };
        let ready = self.push_await(name, Cause::Started, vec![changed(started)], optional);
        Milestones { started: Some(started), ready: Some(ready) }
    }

    fn push_await(&mut self, name: &ServiceName, cause: Cause, needs: Vec<Need>, optional: bool) -> StepId {
        let action = if self.is_one_shot(name) {
            Action::AwaitCompleted(name.clone())
        } else {
            Action::AwaitHealthy(name.clone())
        };
        self.plan.push(action, cause, needs, optional)
    }
}

/// The named volumes a service mounts.
fn named_volumes(service: &Service) -> impl Iterator<Item = &VolumeName> {
    service.mounts.iter().filter_map(|mount| match &mount.source {
        crate::stack::MountSource::Volume(name) => Some(name),
        _ => None,
    })
}
