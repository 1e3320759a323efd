//! What the engine holds of a project, read by label.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use bollard::models::{
    ContainerInspectResponse, ContainerStateStatusEnum, HealthStatusEnum, HealthcheckResult, Network, Volume,
};
use bollard::query_parameters::{
    InspectContainerOptions, ListContainersOptions, ListNetworksOptions, ListVolumesOptions,
};
use futures_util::future::{join_all, try_join3};

use super::create::{container_name, network_name, retired_name, seat_name, volume_name};
use super::error::{EngineError, ask};
use super::{Asked, Engine, labels};
use crate::limits;
use crate::plan::{Container, ContainerId, ContainerState, Health, NetworkSeen, Role, Seat, VolumeSeen};
use crate::stack::{NetworkName, ProjectName, ServiceName, Stack, VolumeName};

/// A project's objects in the engine.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Objects {
    /// Containers, running or not.
    pub containers: Vec<Container>,
    /// Networks.
    pub networks: Vec<NetworkSeen>,
    /// Volumes.
    pub volumes: Vec<VolumeSeen>,
}

impl Objects {
    /// Whether nothing of the project is left.
    pub fn is_empty(&self) -> bool {
        self.containers.is_empty() && self.networks.is_empty() && self.volumes.is_empty()
    }
}

impl Engine {
    /// Reads everything that carries the project's label. A container whose health check has not been run yet by the
    /// engine is probed once, so that a stack that is well is not called unready until the engine's next interval.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub fn observe<'a>(&'a self, project: &'a ProjectName) -> Asked<'a, Objects> {
        Box::pin(async move {
            let (containers, networks, volumes) =
                try_join3(self.containers(project), self.networks(project), self.volumes(project)).await?;
            Ok(Objects { containers, networks, volumes })
        })
    }

    /// Where the container that has this place can be reached on this machine, by the port inside.
    ///
    /// # Errors
    /// When there is none, or the engine does not answer.
    pub fn reach<'a>(
        &'a self,
        project: &'a ProjectName,
        seat: &'a Seat,
    ) -> Asked<'a, BTreeMap<u16, SocketAddr>> {
        Box::pin(async move {
            let name = seat_name(project, seat);
            let look = self.docker.inspect_container(&name, None::<InspectContainerOptions>);
            Ok(reached(&ask("inspect", format!("container {name}"), limits::ENGINE_ANSWER, look).await?))
        })
    }

    /// Every object that carries the project's label or has the name of one that the stack would make, as
    /// `container NAME`, `network NAME`, `volume NAME`: what a teardown must have removed, and what only looks like it.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub fn remains<'a>(&'a self, stack: &'a Stack) -> Asked<'a, Vec<String>> {
        Box::pin(async move {
            let project = &stack.project;
            let names: BTreeSet<String> = (stack.services.keys().map(|name| container_name(project, name)))
                .chain(stack.networks.keys().map(|name| network_name(project, name)))
                .chain(stack.volumes.keys().map(|name| volume_name(project, name)))
                .collect();
            let ours = |name: &str, labels: &HashMap<String, String>| {
                names.contains(name)
                    || labels.get(labels::PROJECT).map(String::as_str) == Some(project.as_str())
            };
            let everything = ListContainersOptions { all: true, ..Default::default() };
            let (containers, networks, volumes) = try_join3(
                ask(
                    "list",
                    "containers",
                    limits::ENGINE_ANSWER,
                    self.docker.list_containers(Some(everything)),
                ),
                ask(
                    "list",
                    "networks",
                    limits::ENGINE_ANSWER,
                    self.docker.list_networks(None::<ListNetworksOptions>),
                ),
                ask(
                    "list",
                    "volumes",
                    limits::ENGINE_ANSWER,
                    self.docker.list_volumes(None::<ListVolumesOptions>),
                ),
            )
            .await?;
            let mut found = Vec::new();
            for container in containers {
                let name = container.names.unwrap_or_default().into_iter().next().unwrap_or_default();
                let name = name.trim_start_matches('/');
                if ours(name, &container.labels.unwrap_or_default()) {
                    found.push(format!("container {name}"));
                }
            }
            for network in networks {
                let name = network.name.unwrap_or_default();
                if ours(&name, &network.labels.unwrap_or_default()) {
                    found.push(format!("network {name}"));
                }
            }
            for volume in volumes.volumes.unwrap_or_default() {
                if ours(&volume.name, &volume.labels) {
                    found.push(format!("volume {}", volume.name));
                }
            }
            Ok(found)
        })
    }

    /// The checkouts that containers and volumes of any project were made from, each with its project.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub fn checkouts(&self) -> Asked<'_, BTreeSet<(String, PathBuf)>> {
        Box::pin(async move {
            let filters = Some(HashMap::from([("label".to_owned(), vec![labels::DIRECTORY.to_owned()])]));
            let containers =
                ListContainersOptions { all: true, filters: filters.clone(), ..Default::default() };
            let (containers, volumes) = tokio::try_join!(
                ask(
                    "list",
                    "containers",
                    limits::ENGINE_ANSWER,
                    self.docker.list_containers(Some(containers))
                ),
                ask(
                    "list",
                    "volumes",
                    limits::ENGINE_ANSWER,
                    self.docker.list_volumes(Some(ListVolumesOptions { filters })),
                ),
            )?;
            let of_containers = containers.into_iter().filter_map(|container| container.labels);
            let of_volumes = volumes.volumes.unwrap_or_default().into_iter().map(|volume| volume.labels);
            let checkout = |mut labels: HashMap<String, String>| {
                Some((labels.remove(labels::PROJECT)?, PathBuf::from(labels.remove(labels::DIRECTORY)?)))
            };
            Ok(of_containers.chain(of_volumes).filter_map(checkout).collect())
        })
    }

    /// The project's containers alone, probed as [`Engine::observe`] says: a busy engine has been seen to take half a
    /// minute for its volumes.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub fn containers<'a>(&'a self, project: &'a ProjectName) -> Asked<'a, Vec<Container>> {
        Box::pin(async move {
            let options = ListContainersOptions {
                all: true,
                filters: Some(labels::of_project(project)),
                ..Default::default()
            };
            let list =
                ask("list", "containers", limits::ENGINE_ANSWER, self.docker.list_containers(Some(options)))
                    .await?;
            let inspections =
                join_all(list.into_iter().filter_map(|summary| summary.id).map(|id| async move {
                    ask(
                        "inspect",
                        format!("container {id}"),
                        limits::ENGINE_ANSWER,
                        self.docker.inspect_container(&id, None::<InspectContainerOptions>),
                    )
                    .await
                }))
                .await;
            let mut containers = Vec::with_capacity(inspections.len());
            for inspection in inspections {
                match inspection {
                    Ok(inspection) => containers.extend(container(project, inspection)),
                    // It went between the list and the look.
                    Err(error) if error.is_not_found() => {}
                    Err(error) => return Err(error),
                }
            }
            let starting =
                containers.iter_mut().filter(|c| c.state == ContainerState::Running(Health::Starting));
            join_all(starting.map(|container| async {
                if self.probe_once(&container.id).await.is_ok_and(|probe| probe.passed) {
                    container.state = ContainerState::Running(Health::Healthy);
                    container.reason = None;
                }
            }))
            .await;
            containers.sort_by(|a, b| (&a.service, &a.id).cmp(&(&b.service, &b.id)));
            Ok(containers)
        })
    }

    /// The project's networks. Of two that have one name, the one that containers use comes first.
    pub(super) async fn networks(&self, project: &ProjectName) -> Result<Vec<NetworkSeen>, EngineError> {
        let options = ListNetworksOptions { filters: Some(labels::of_project(project)) };
        let list =
            ask("list", "networks", limits::ENGINE_ANSWER, self.docker.list_networks(Some(options))).await?;
        let networks: Vec<NetworkSeen> = list.into_iter().filter_map(network).collect();
        let names: BTreeSet<&NetworkName> = networks.iter().map(|network| &network.name).collect();
        if names.len() == networks.len() {
            return Ok(networks);
        }
        let mut used = Vec::with_capacity(networks.len());
        for network in networks {
            used.push((!self.is_used(&network).await?, network));
        }
        used.sort_by(|(unused, a), (also_unused, b)| (unused, &a.id).cmp(&(also_unused, &b.id)));
        Ok(used.into_iter().map(|(_, network)| network).collect())
    }

    async fn is_used(&self, network: &NetworkSeen) -> Result<bool, EngineError> {
        let object = format!("network {}", network.name);
        let look = self.docker.inspect_network(&network.id, None);
        match ask("inspect", object, limits::ENGINE_ANSWER, look).await {
            Ok(seen) => Ok(seen.containers.is_some_and(|containers| !containers.is_empty())),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn volumes(&self, project: &ProjectName) -> Result<Vec<VolumeSeen>, EngineError> {
        let options = ListVolumesOptions { filters: Some(labels::of_project(project)) };
        let list =
            ask("list", "volumes", limits::ENGINE_ANSWER, self.docker.list_volumes(Some(options))).await?;
        Ok(list.volumes.unwrap_or_default().into_iter().map(volume).collect())
    }
}

fn network(network: Network) -> Option<NetworkSeen> {
    let labels = network.labels.unwrap_or_default();
    Some(NetworkSeen {
        id: network.id?,
        name: NetworkName::new(label(&labels, labels::OBJECT)),
        config_hash: label(&labels, labels::CONFIG_HASH),
    })
}

fn volume(volume: Volume) -> VolumeSeen {
    let name = label(&volume.labels, labels::OBJECT);
    VolumeSeen {
        // One that lost its label is told by the engine's name.
        name: VolumeName::new(if name.is_empty() { volume.name.clone() } else { name }),
        config_hash: label(&volume.labels, labels::CONFIG_HASH),
        engine_name: volume.name,
    }
}

/// The networks of the project that a container is on, and the names it answers to there.
fn attachments(
    project: &ProjectName,
    inspection: &ContainerInspectResponse,
) -> BTreeMap<NetworkName, BTreeSet<String>> {
    let settings = inspection.network_settings.as_ref().and_then(|settings| settings.networks.as_ref());
    let prefix = network_name(project, &NetworkName::new(""));
    let ours = settings.into_iter().flatten().filter_map(|(name, endpoint)| {
        let names = endpoint.aliases.iter().flatten().cloned().collect();
        Some((NetworkName::new(name.strip_prefix(&prefix)?), names))
    });
    ours.collect()
}

/// Where a container's TCP ports are published on this machine. Of several places the first: a person wrote them all.
pub(super) fn reached(inspection: &ContainerInspectResponse) -> BTreeMap<u16, SocketAddr> {
    let settings = inspection.network_settings.as_ref().and_then(|settings| settings.ports.as_ref());
    let published = settings.into_iter().flatten().filter_map(|(port, bindings)| {
        let inside = port.strip_suffix("/tcp")?.parse().ok()?;
        let binding = bindings.as_ref()?.first()?;
        let host = binding.host_ip.as_deref().and_then(|ip| ip.parse::<IpAddr>().ok());
        let host = host.filter(|ip| !ip.is_unspecified()).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        Some((inside, SocketAddr::new(host, binding.host_port.as_deref()?.parse().ok()?)))
    });
    published.collect()
}

fn container(project: &ProjectName, inspection: ContainerInspectResponse) -> Option<Container> {
    let networks = attachments(project, &inspection);
    let ports = reached(&inspection);
    let config = inspection.config.unwrap_or_default();
    let stop_grace = config.stop_timeout.and_then(|seconds| u64::try_from(seconds).ok());
    let labels = config.labels.unwrap_or_default();
    let state = inspection.state.unwrap_or_default();
    let health = state.health.as_ref();
    let seen = match state.status {
        Some(ContainerStateStatusEnum::RUNNING) => {
            ContainerState::Running(match health.and_then(|health| health.status) {
                Some(HealthStatusEnum::STARTING) => Health::Starting,
                Some(HealthStatusEnum::HEALTHY) => Health::Healthy,
                Some(HealthStatusEnum::UNHEALTHY) => Health::Unhealthy,
                _ => Health::None,
            })
        }
        Some(ContainerStateStatusEnum::PAUSED) => ContainerState::Paused,
        Some(ContainerStateStatusEnum::RESTARTING) => ContainerState::Restarting,
        Some(ContainerStateStatusEnum::EXITED) => ContainerState::Exited(state.exit_code.unwrap_or(-1)),
        Some(ContainerStateStatusEnum::DEAD | ContainerStateStatusEnum::REMOVING) => ContainerState::Dead,
        _ => ContainerState::Created,
    };
    let reason = match seen {
        ContainerState::Running(Health::Starting | Health::Unhealthy) => {
            health.and_then(|health| health.log.as_ref()?.last().and_then(last_probe)).or_else(|| {
                let unheard = match seen {
                    ContainerState::Running(Health::Unhealthy) => "its last health checks failed",
                    _ => "its health check has not run yet",
                };
                Some(unheard.to_owned())
            })
        }
        ContainerState::Exited(_) if state.oom_killed == Some(true) => {
            Some("out of memory: killed".to_owned())
        }
        ContainerState::Exited(status) => state
            .error
            .clone()
            .filter(|error| !error.is_empty())
            .or_else(|| Some(format!("ended with status {status}")).filter(|_| status != 0)),
        ContainerState::Created => state.error.clone().filter(|error| !error.is_empty()),
        _ => None,
    };
    let name = inspection.name.unwrap_or_default().trim_start_matches('/').to_owned();
    let service = ServiceName::new(label(&labels, labels::SERVICE));
    let role = if name == seat_name(project, &Seat::successor(&service)) {
        Role::Successor
    } else if name.starts_with(&retired_name(project, &service, "")) {
        Role::Retired
    } else {
        Role::Holder
    };
    Some(Container {
        id: ContainerId(inspection.id?),
        name,
        role,
        service,
        depends_on: labels::services(&label(&labels, labels::DEPENDS_ON)),
        config_hash: label(&labels, labels::CONFIG_HASH),
        files_hash: label(&labels, labels::FILES_HASH),
        repeat_hash: label(&labels, labels::REPEAT_HASH),
        image_id: inspection.image.unwrap_or_default(),
        stop_grace: stop_grace.map(Duration::from_secs),
        networks,
        ports,
        state: seen,
        // The engine writes year 1 for "never".
        started_at: state.started_at.filter(|at| !at.starts_with("0001-")),
        reason,
    })
}

fn last_probe(result: &HealthcheckResult) -> Option<String> {
    let output = result.output.as_deref().unwrap_or("").trim().lines().next_back().unwrap_or("").to_owned();
    match (result.exit_code, output.is_empty()) {
        (Some(0), _) | (None, true) => None,
        (Some(status), true) => Some(format!("its health check ends with status {status}")),
        (_, false) => Some(format!("its health check says: {output}")),
    }
}

fn label(labels: &HashMap<String, String>, key: &str) -> String {
    labels.get(key).cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use bollard::models::{ContainerState as EngineState, Health as EngineHealth};

    use super::*;

    fn reason(status: HealthStatusEnum, log: Option<Vec<HealthcheckResult>>) -> Option<String> {
        let health = EngineHealth { status: Some(status), log, ..Default::default() };
        let state = EngineState {
            status: Some(ContainerStateStatusEnum::RUNNING),
            health: Some(health),
            ..Default::default()
        };
        let inspection =
            ContainerInspectResponse { id: Some("c".to_owned()), state: Some(state), ..Default::default() };
        container(&ProjectName::new("p"), inspection).expect("it has an identifier").reason
    }

    #[test]
    fn why_a_container_is_not_well_is_told_as_far_as_the_engine_tells_it() {
        use HealthStatusEnum::{HEALTHY, STARTING, UNHEALTHY};
        let check = |exit_code, output: &str| {
            Some(vec![
                HealthcheckResult {
                    exit_code: Some(0),
                    output: Some("well".to_owned()),
                    ..Default::default()
                },
                HealthcheckResult { exit_code, output: Some(output.to_owned()), ..Default::default() },
            ])
        };
        let table = [
            (UNHEALTHY, check(Some(1), "trying\nno index\n"), Some("its health check says: no index")),
            (UNHEALTHY, check(Some(7), ""), Some("its health check ends with status 7")),
            (UNHEALTHY, check(Some(0), "well"), Some("its last health checks failed")),
            (UNHEALTHY, None, Some("its last health checks failed")),
            (STARTING, check(Some(1), "no index"), Some("its health check says: no index")),
            (STARTING, None, Some("its health check has not run yet")),
            (HEALTHY, check(Some(0), "well"), None),
        ];
        for (status, log, expected) in table {
            assert_eq!(reason(status, log.clone()).as_deref(), expected, "{status:?} {log:?}");
        }
    }
}
