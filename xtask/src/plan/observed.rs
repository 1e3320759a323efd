//! What is there: the engine's objects that carry our label, the images, and whether what the service is built from has
//! changed. Plain data, gathered by `engine` and `images`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::Cause;
use crate::images::Catalogue;
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
}

impl Observed {
    /// The container that stands for a service whose configuration has this hash. Of several it is one that fits rather
    /// than one that does not, then one that runs, then the first.
    pub fn container(&self, service: &ServiceName, config_hash: &str) -> Option<&Container> {
        let of_service = self.containers.iter().filter(|container| container.service == *service);
        of_service.min_by_key(|container| {
            let fits = container.config_hash == config_hash;
            let runs = matches!(container.state, ContainerState::Running(_));
            (!fits, !runs, &container.id)
        })
    }
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
    /// The service it belongs to, by its label.
    pub service: ServiceName,
    /// The services it depends on, by its label: the order of a teardown must not need the file it came from.
    pub depends_on: Vec<ServiceName>,
    /// The hash of the configuration it was made from, by its label.
    pub config_hash: String,
    /// The digest of the mounted files it was made with, by its label; empty when it mounts none.
    pub files_hash: String,
    /// The image it runs.
    pub image_id: String,
    /// The project's networks it is on, with the names it answers to there.
    pub networks: BTreeMap<NetworkName, BTreeSet<String>>,
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
