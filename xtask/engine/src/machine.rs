//! What the engine tells of the machine it runs on, and which ports its containers hold.

use std::time::SystemTime;

use bollard::models::{ContainerSummary, SystemInfoCgroupVersionEnum};
use bollard::query_parameters::ListContainersOptions;

use super::error::ask;
use super::{Asked, Engine, labels};
use crate::limits;

/// The engine's machine: this one, or a virtual one on it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EngineMachine {
    /// Its system, for a person: `Debian GNU/Linux 12 (bookworm)`, `Docker Desktop`.
    pub system: String,
    /// Where it keeps images and volumes, in its own file system.
    pub root: String,
    /// The version of control groups, 1 or 2, when it says so.
    pub cgroup_version: Option<u8>,
    /// Memory in bytes.
    pub memory: u64,
    /// Its time, when it says so in UTC.
    pub time: Option<SystemTime>,
}

/// A port of the host that a running container holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedPort {
    /// The port.
    pub port: u16,
    /// The container's name.
    pub container: String,
    /// The project whose container it is, when it is one of Homeport's.
    pub project: Option<String>,
}

impl Engine {
    /// Asks for the machine.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub fn machine(&self) -> Asked<'_, EngineMachine> {
        Box::pin(async move {
            let info =
                ask("ask", "the engine about its machine", limits::ENGINE_ANSWER, self.docker.info()).await?;
            Ok(EngineMachine {
                system: info.operating_system.unwrap_or_default(),
                root: info.docker_root_dir.unwrap_or_default(),
                cgroup_version: match info.cgroup_version {
                    Some(SystemInfoCgroupVersionEnum::_1) => Some(1),
                    Some(SystemInfoCgroupVersionEnum::_2) => Some(2),
                    _ => None,
                },
                memory: info.mem_total.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0),
                time: info.system_time.as_deref().and_then(|text| humantime::parse_rfc3339(text).ok()),
            })
        })
    }

    /// The TCP ports of the host that running containers hold, whoever made them.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub fn published_ports(&self) -> Asked<'_, Vec<PublishedPort>> {
        Box::pin(async move {
            let request = self.docker.list_containers(None::<ListContainersOptions>);
            let list = ask("list", "containers", limits::ENGINE_ANSWER, request).await?;
            let mut ports: Vec<PublishedPort> = list.into_iter().flat_map(published).collect();
            ports.sort_by(|a, b| (a.port, &a.container).cmp(&(b.port, &b.container)));
            ports.dedup();
            Ok(ports)
        })
    }
}

fn published(container: ContainerSummary) -> Vec<PublishedPort> {
    let name = container.names.unwrap_or_default().into_iter().next().unwrap_or_default();
    let name = name.trim_start_matches('/').to_owned();
    let project = container.labels.and_then(|mut labels| labels.remove(labels::PROJECT));
    let ports = container.ports.unwrap_or_default().into_iter().filter_map(|port| {
        let is_tcp = port.typ.is_none_or(|typ| typ.to_string() == "tcp");
        port.public_port.filter(|_| is_tcp)
    });
    ports.map(|port| PublishedPort { port, container: name.clone(), project: project.clone() }).collect()
}
