//! What is there: the engine's objects that carry our label, the images, and whether what the service is built from has
//! changed. Plain data, gathered by `engine` and `images`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use super::Cause;
use crate::images::{Availability, Catalogue};
use crate::limits;
use crate::stack::{ImageReference, NetworkName, Service, ServiceName, VolumeName};

/// Everything a plan looks at besides the stack.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observed {
    /// Every image the stack needs, with the bases of recipes.
    pub images: Catalogue,
    /// Images that the host's cargo makes and that may be out of date, with the cause.
    pub stale_builds: BTreeMap<ImageReference, String>,
    /// The project's containers, running or not.
    pub containers: Vec<Container>,
    /// The project's networks.
    pub networks: Vec<NetworkSeen>,
    /// The project's volumes.
    pub volumes: Vec<VolumeSeen>,
    /// A digest over the content of the files each service mounts from the workspace; absent for services that mount
    /// none.
    pub mounted_files: BTreeMap<ServiceName, String>,
    /// What decides over the work of each one-shot that says so (`repeat_for`).
    pub repeats: BTreeMap<ServiceName, Repeats>,
    /// The versions that a container was made of in vain since this program began: it crashed, or did not get ready.
    pub failed: BTreeMap<ServiceName, Version>,
    /// The containers that this program lets go: they get no requests any more, and are removed after their last one.
    pub leaving: BTreeSet<ContainerId>,
    /// The `dev` in the foreground: it holds the ports of the services that are fronted.
    pub dev: Dev,
}

/// What a `dev` in the foreground is doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Dev {
    /// There is none.
    #[default]
    Away,
    /// It runs.
    Runs,
    /// It was suspended (Ctrl-Z), this process.
    Suspended(u32),
}

impl Observed {
    /// The container that stands for a service. Of several it is one of its configuration rather than of another, then
    /// one of its image, then one that runs, then the first; never one that has made way for another.
    pub fn container(&self, name: &ServiceName, service: &Service) -> Option<&Container> {
        let config_hash = service.config_hash();
        let image = match self.images.get(&service.image) {
            Some(Availability::Present { id, .. }) => Some(id),
            _ => None,
        };
        let of_service = (self.containers.iter())
            .filter(|container| container.service == *name && container.role != Role::Retired);
        of_service.min_by_key(|container| {
            let configured = container.config_hash == config_hash;
            let newest = image == Some(&container.image_id);
            let runs = matches!(container.state, ContainerState::Running(_));
            (!configured, !newest, !runs, &container.id)
        })
    }

    /// Whether a container has ended well with work that another image would not do otherwise.
    pub fn is_done_for_good(&self, container: &Container) -> bool {
        let repeats = self.repeats.get(&container.service);
        container.state == ContainerState::Exited(0)
            && repeats.is_some_and(|repeats| repeats.digest == container.repeat_hash)
    }

    /// What a container of a service would be made of now; `None` while its image is not there.
    pub fn version(&self, name: &ServiceName, service: &Service) -> Option<Version> {
        let Availability::Present { id, .. } = self.images.get(&service.image)? else { return None };
        Some(Version {
            image_id: id.clone(),
            config_hash: service.config_hash(),
            files_hash: self.mounted_files.get(name).cloned().unwrap_or_default(),
        })
    }
}

/// What decides over the work of a one-shot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repeats {
    /// Over the content of its files and directories.
    pub digest: String,
    /// What they are called, for a person.
    pub told: String,
}

/// What a container is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// The image.
    pub image_id: String,
    /// The hash of the configuration.
    pub config_hash: String,
    /// The digest of the mounted files; empty when it mounts none.
    pub files_hash: String,
}

/// The engine's identifier of a container (64 hexadecimal digits).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ContainerId(pub String);

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.get(..12).unwrap_or(&self.0))
    }
}

/// One container of the project.
#[derive(Debug, Clone, PartialEq)]
pub struct Container {
    /// The engine's identifier.
    pub id: ContainerId,
    /// Its name in the engine.
    pub name: String,
    /// Which of the service's containers it is, by its name.
    pub role: Role,
    /// The service it belongs to, by its label.
    pub service: ServiceName,
    /// The services it depends on, by its label: the order of a teardown must not need the file it came from.
    pub depends_on: Vec<ServiceName>,
    /// The hash of the configuration it was made from, by its label.
    pub config_hash: String,
    /// The digest of the mounted files it was made with, by its label; empty when it mounts none.
    pub files_hash: String,
    /// The digest of what its work is repeated for, by its label; empty when it was made without.
    pub repeat_hash: String,
    /// The image it runs.
    pub image_id: String,
    /// How long it may take to stop, as it was made; `None` when it was made without.
    pub stop_grace: Option<Duration>,
    /// The project's networks it is on, with the names it answers to there.
    pub networks: BTreeMap<NetworkName, BTreeSet<String>>,
    /// Where its TCP ports can be reached on this machine, by the port inside; none while it does not run.
    pub ports: BTreeMap<u16, SocketAddr>,
    /// What it is doing.
    pub state: ContainerState,
    /// When it last started, as RFC 3339 text; `None` when it never did.
    pub started_at: Option<String>,
    /// Why it is not well, when the engine tells: the last failed probe's output, an error at start.
    pub reason: Option<String>,
}

impl Container {
    /// What a person calls it: its service, or its own name when a label of the service is missing.
    pub fn title(&self) -> &str {
        if self.service.as_str().is_empty() { &self.name } else { self.service.as_str() }
    }

    /// How long it may take to stop: as the file says now, where that has its `service`, for it is no part of what it was
    /// made of; else as it was made.
    pub fn grace(&self, service: Option<&Service>) -> Duration {
        let as_made = || self.stop_grace.unwrap_or(limits::STOP_UNKNOWN);
        service.map_or_else(as_made, |service| service.stop_grace_period)
    }

    /// Which version of its service it is.
    pub fn version(&self) -> Version {
        Version {
            image_id: self.image_id.clone(),
            config_hash: self.config_hash.clone(),
            files_hash: self.files_hash.clone(),
        }
    }

    /// What keeps it and the other containers of its service's networks apart, though its configuration fits: a hand or
    /// a killed run took it off a network, or put it there without the names by which it is looked up.
    pub fn cut_off(&self, service: &Service) -> Option<Cause> {
        service.networks.iter().find_map(|(network, aliases)| match self.networks.get(network) {
            None => Some(Cause::OffNetwork(network.to_string())),
            Some(names) => {
                let mut wanted = aliases.iter().map(String::as_str).chain([self.service.as_str()]);
                let lost = wanted.find(|name| !names.contains(*name))?;
                Some(Cause::NameLost { name: lost.to_owned(), network: network.to_string() })
            }
        })
    }
}

/// Which of a service's containers one is. A service has one, but for the moment of a swap and, while the last requests
/// of versions before are answered, those.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// The one that has the service's name.
    Holder,
    /// The one that is made beside it and takes its place once it is ready.
    Successor,
    /// One that has made way for its successor, and goes once its last requests are answered.
    Retired,
}

/// What a container is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContainerState {
    /// Made, never started.
    Created,
    /// Running, with the state of its health check.
    Running(Health),
    /// Frozen.
    Paused,
    /// Between two starts by its restart policy.
    Restarting,
    /// Ended with this status.
    Exited(i64),
    /// Half removed.
    Dead,
}

/// The state of a health check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// The container has no health check.
    None,
    /// Not passed yet.
    Starting,
    /// Passed.
    Healthy,
    /// Failed as often as it may.
    Unhealthy,
}

/// A network of the project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkSeen {
    /// The engine's identifier.
    pub id: String,
    /// Its key in the file, by its label.
    pub name: NetworkName,
    /// The hash of the configuration it was made from, by its label.
    pub config_hash: String,
}

/// A volume of the project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeSeen {
    /// Its name in the engine.
    pub engine_name: String,
    /// Its key in the file, by its label.
    pub name: VolumeName,
    /// The hash of the configuration it was made from, by its label.
    pub config_hash: String,
}
