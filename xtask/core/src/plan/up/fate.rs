//! What becomes of each service: decided in the order of dependencies, because what happens to one decides over those
//! that depend on it.

use std::collections::{BTreeMap, BTreeSet};

use super::PlanError;
use super::scope::{Scope, Standing};
use crate::images::Availability;
use crate::plan::{Cause, Container, ContainerState, Health};
use crate::stack::{ImageReference, MountSource, Service, ServiceName, VolumeName};

/// What becomes of a service.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Fate {
    /// Nothing is done about it: its image cannot be had and it is optional, or it depends on such a service.
    Absent,
    /// Its container does not fit, and for the same reasons there is none to come in its place.
    Remove(Cause),
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
    /// As [`Fate::Replace`], and its container serves until another one is ready to.
    Swap(Cause),
    /// As [`Fate::ReplaceIfBuilt`] of its own image, and its container serves until another one is ready to.
    SwapIfBuilt,
}

impl Fate {
    /// Whether the service gets a new container.
    pub(super) fn makes_container(&self) -> bool {
        matches!(self, Self::Create | Self::Replace(_) | Self::ReplaceIfBuilt(_)) || self.swaps()
    }

    /// Whether its container stays until the new one serves.
    pub(super) fn swaps(&self) -> bool {
        matches!(self, Self::Swap(_) | Self::SwapIfBuilt)
    }

    /// Whether the service does without a container, or with whatever it has.
    pub(super) fn is_out(&self) -> bool {
        matches!(self, Self::Absent | Self::Remove(_))
    }
}

/// Every service's fate.
pub(super) type Fates<'a> = BTreeMap<&'a ServiceName, Fate>;

/// Settles the fate of every service in scope.
pub(super) fn settle<'a>(scope: &Scope<'a>) -> Result<Fates<'a>, PlanError> {
    let mut judge = Judge { scope, fates: Fates::new() };
    for (name, service) in &scope.services {
        let fate = judge.fate(name, service)?;
        judge.fates.insert(name, fate);
    }
    Ok(judge.fates)
}

/// What a person should know of the services that are left out.
pub(super) fn notes(scope: &Scope<'_>, fates: &Fates<'_>) -> Vec<String> {
    let out = scope.services.iter().filter(|(name, _)| fates[name].is_out());
    let out = out.map(|(name, service)| {
        let why = match scope.observed.images.get(&service.image) {
            Some(Availability::Unavailable(_)) if scope.build(&service.image).is_none() => {
                format!("no source has {}; `cargo xtask image list` says why", service.image)
            }
            _ => "something it depends on is left out".to_owned(),
        };
        let what = match (&fates[name], service.homeport.optional) {
            (Fate::Absent, _) if scope.containers.contains_key(name) => "is left as it is",
            (_, true) => "is optional and left out",
            (_, false) => "is left out",
        };
        format!("{name} {what}: {why}")
    });
    let kept = scope.services.iter().filter_map(|&(name, service)| kept(scope, name, service, &fates[name]));
    out.chain(kept).collect()
}

/// Why a service keeps the container that it has, where a person may expect another one.
fn kept(scope: &Scope<'_>, name: &ServiceName, service: &Service, fate: &Fate) -> Option<String> {
    if *fate == Fate::Keep && scope.is_done_for_good(name) && scope.build(&service.image).is_some() {
        let told = &scope.observed.repeats[name].told;
        return Some(format!("{name} is not run again for a new image: {told} is as it was when it ran"));
    }
    if *fate == Fate::Keep && scope.failed_before(name, service) {
        return Some(format!("{name} stays as it is: the version that did not get ready is not tried again"));
    }
    None
}

/// The named volumes a service mounts.
pub(super) fn named_volumes(service: &Service) -> impl Iterator<Item = &VolumeName> {
    service.mounts.iter().filter_map(|mount| match &mount.source {
        MountSource::Volume(name) => Some(name),
        _ => None,
    })
}

struct Judge<'s, 'a> {
    scope: &'s Scope<'a>,
    /// Of the services judged so far: all that the next one depends on.
    fates: Fates<'a>,
}

impl Judge<'_, '_> {
    fn fate(&self, name: &ServiceName, service: &Service) -> Result<Fate, PlanError> {
        let due = self.gently(name, service, self.due(name, service));
        let deserted = service.depends_on.keys().any(|dependency| self.fates[dependency].is_out());
        let unavailable = match self.scope.observed.images.get(&service.image) {
            Some(Availability::Unavailable(reasons)) if self.scope.build(&service.image).is_none() => {
                Some(reasons)
            }
            _ => None,
        };
        match (due, unavailable) {
            (due, _) if deserted => Ok(left_out(due)),
            (due, Some(_)) if due.makes_container() && service.homeport.optional => Ok(left_out(due)),
            (due, Some(reasons)) if due.makes_container() => {
                Err(self.image_unavailable(&service.image, reasons))
            }
            (due, _) => Ok(due),
        }
    }

    fn image_unavailable(&self, image: &ImageReference, reasons: &[String]) -> PlanError {
        let users = self.scope.services.iter().filter(|(_, service)| service.image == *image);
        PlanError::ImageUnavailable {
            image: image.clone(),
            services: users.map(|(name, _)| (*name).clone()).collect(),
            reasons: reasons.to_vec(),
        }
    }

    /// What ought to become of it, as if every image could be had and every dependency were there.
    fn due(&self, name: &ServiceName, service: &Service) -> Fate {
        let Some(container) = self.scope.containers.get(name) else { return Fate::Create };
        if let Some(cause) = self.misfit(name, service, container) {
            return Fate::Replace(cause);
        }
        if self.scope.wanted.recreate.contains(name) {
            return Fate::Replace(Cause::Asked);
        }
        for dependency in service.depends_on.keys() {
            // One that never started knows nothing of the dependency that goes.
            if container.state != ContainerState::Created && self.takes_along(dependency) {
                return Fate::Replace(Cause::DependencyReplaced(dependency.to_string()));
            }
        }
        let mended = self.mended(name, container);
        let builds = self.builds(name, service);
        let files = self.scope.observed.mounted_files.get(name).map_or("", String::as_str);
        if container.files_hash != files {
            return match &service.homeport.reload {
                Some(signal)
                    if matches!(container.state, ContainerState::Running(_))
                        && mended == Fate::Keep
                        && builds.is_empty() =>
                {
                    Fate::Reload(signal.clone())
                }
                _ => Fate::Replace(Cause::FilesChanged),
            };
        }
        match mended {
            mended if builds.is_empty() => mended,
            // A container that is not well while its image is being built is not worth mending.
            Fate::Start(cause) | Fate::Await(cause) => Fate::Replace(cause),
            Fate::Unpause => Fate::Replace(Cause::Paused),
            _ => Fate::ReplaceIfBuilt(builds),
        }
    }

    /// Whether what began with a dependency goes when that does. A one-shot's work is done for whatever runs, why ever it is
    /// done again, or not done at all; only when what it depends on itself goes too does that reach further.
    fn takes_along(&self, dependency: &ServiceName) -> bool {
        if self.scope.is_one_shot(dependency) {
            return self.below(dependency).any(|below| self.takes_along(below));
        }
        matches!(self.fates[dependency], Fate::Create | Fate::Replace(_))
    }

    /// Whether a dependency is there all the while that two containers of a service run side by side. A one-shot has done its
    /// work and is gone already: what it depends on counts in its place.
    fn stays(&self, dependency: &ServiceName) -> bool {
        if self.scope.is_one_shot(dependency) {
            return self.below(dependency).all(|below| self.stays(below));
        }
        let fate = &self.fates[dependency];
        !(fate.makes_container() || fate.is_out())
    }

    fn below(&self, name: &ServiceName) -> impl Iterator<Item = &ServiceName> {
        self.scope.stack.services[name].depends_on.keys()
    }

    /// Lets a container serve until the one that replaces it is ready, where two can run side by side.
    ///
    /// A run that is killed in between must leave what the next plan understands. So it is done only for what is seen of
    /// the container itself, its configuration or its image: that it began with a dependency that is replaced, nothing
    /// would tell any more. For the same reason nothing may depend on it, and what it depends on must stay.
    fn gently(&self, name: &ServiceName, service: &Service, due: Fate) -> Fate {
        let serves = self
            .scope
            .containers
            .get(name)
            .is_some_and(|container| matches!(container.state, ContainerState::Running(_)));
        let side_by_side = !service.fronts.is_empty() && serves && !self.scope.has_dependents(name);
        if !side_by_side || !service.depends_on.keys().all(|dependency| self.stays(dependency)) {
            return due;
        }
        match due {
            // What it depends on stays, so it is its own image's build.
            Fate::ReplaceIfBuilt(_) => Fate::SwapIfBuilt,
            Fate::Replace(
                cause @ (Cause::ConfigurationChanged
                | Cause::FilesChanged
                | Cause::ImageChanged
                | Cause::RecipeChanged
                | Cause::OffNetwork(_)
                | Cause::NameLost { .. }
                | Cause::NotHealthy
                | Cause::Asked),
            ) => {
                let asked = self.scope.wanted.recreate.contains(name);
                match (self.scope.failed_before(name, service) && !asked, self.scope.build(&service.image)) {
                    (false, _) => Fate::Swap(cause),
                    // It would fail again. A build may make it another version.
                    (true, Some(_)) => Fate::SwapIfBuilt,
                    (true, None) => Fate::Keep,
                }
            }
            due => due,
        }
    }

    /// Why a container does not fit its service any more, if it does not.
    fn misfit(&self, name: &ServiceName, service: &Service, container: &Container) -> Option<Cause> {
        if container.state == ContainerState::Dead {
            return Some(Cause::HalfRemoved);
        }
        if container.config_hash != service.config_hash() {
            let other = service.in_the_other_way().map(|other| other.config_hash());
            return Some(match (other == Some(container.config_hash.clone()), service.fronts.is_empty()) {
                (false, _) => Cause::ConfigurationChanged,
                (true, false) => Cause::FrontTaken,
                (true, true) => Cause::FrontLeft,
            });
        }
        for name in service.networks.keys() {
            match self.scope.stack.networks.get(name).map(|network| self.scope.network(name, network)) {
                Some(Standing::Missing) => return Some(Cause::NetworkMissing(name.to_string())),
                Some(Standing::Changed(_)) => return Some(Cause::NetworkReplaced(name.to_string())),
                Some(Standing::Fits) | None => {}
            }
        }
        if let Some(cause) = container.cut_off(service) {
            return Some(cause);
        }
        for volume in named_volumes(service) {
            if !self.scope.observed.volumes.iter().any(|seen| seen.name == *volume) {
                return Some(Cause::VolumeMissing(volume.to_string()));
            }
        }
        if let Some(repeats) = self.scope.observed.repeats.get(name).filter(|_| self.scope.is_one_shot(name))
            && repeats.digest != container.repeat_hash
        {
            return Some(Cause::WorkChanged(repeats.told.clone()));
        }
        if self.scope.is_done_for_good(name) {
            return None;
        }
        match self.scope.observed.images.get(&service.image) {
            Some(Availability::Present { stale: Some(_), .. }) => Some(Cause::RecipeChanged),
            Some(Availability::Present { id, .. }) if *id != container.image_id => Some(Cause::ImageChanged),
            Some(Availability::Obtainable(_)) if self.scope.build(&service.image).is_none() => {
                Some(Cause::ImageChanged)
            }
            _ => None,
        }
    }

    /// What a container that fits needs to be well.
    fn mended(&self, name: &ServiceName, container: &Container) -> Fate {
        let one_shot = self.scope.is_one_shot(name);
        match container.state {
            ContainerState::Running(_) | ContainerState::Restarting if one_shot => {
                Fate::Await(Cause::NotCompleted)
            }
            ContainerState::Running(Health::Healthy | Health::None) => Fate::Keep,
            ContainerState::Running(Health::Starting | Health::Unhealthy) | ContainerState::Restarting => {
                Fate::Await(Cause::NotHealthy)
            }
            ContainerState::Paused => Fate::Unpause,
            ContainerState::Exited(0) if one_shot => Fate::Keep,
            ContainerState::Exited(status) => {
                Fate::Start(Cause::Stopped(format!("ended with status {status}")))
            }
            ContainerState::Created => Fate::Start(Cause::Stopped("never started".to_owned())),
            ContainerState::Dead => Fate::Replace(Cause::HalfRemoved),
        }
    }

    /// The builds that decide over a service: its own image's and those of what it depends on; as above, not a one-shot's own.
    fn builds(&self, name: &ServiceName, service: &Service) -> BTreeSet<ImageReference> {
        let own = self.scope.build(&service.image).map(|_| service.image.clone());
        let own = own.filter(|_| !self.scope.is_done_for_good(name));
        let of_dependencies =
            service.depends_on.keys().filter_map(|dependency| match &self.fates[dependency] {
                Fate::ReplaceIfBuilt(builds) => {
                    let once = self.scope.is_one_shot(dependency);
                    let own = once.then(|| &self.scope.stack.services[dependency].image);
                    Some(builds.iter().filter(move |&image| Some(image) != own).cloned())
                }
                _ => None,
            });
        own.into_iter().chain(of_dependencies.flatten()).collect()
    }
}

/// What becomes of a service that cannot get a new container: one that fits is left alone, one that does not would stand
/// in the way of what it does not fit any more.
fn left_out(due: Fate) -> Fate {
    match due {
        Fate::Keep => Fate::Keep,
        Fate::Replace(cause) | Fate::Swap(cause) => Fate::Remove(cause),
        _ => Fate::Absent,
    }
}
