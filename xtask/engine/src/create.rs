//! From a service to the engine's container: a pure mapping, field by field.

use std::collections::HashMap;
use std::path::Path;

use bollard::models::{
    ContainerCreateBody, EndpointSettings, HealthConfig, HostConfig, Mount as EngineMount, MountTmpfsOptions,
    MountType, NetworkingConfig, PortBinding, ResourcesUlimits, RestartPolicy, RestartPolicyNameEnum,
};

use super::labels;
use crate::plan::{Role, Seat};
use crate::stack::{
    HealthCheck, Mount, MountSource, NetworkName, Port, Probe, ProjectName, Protocol, Restart, Service,
    ServiceName, VolumeName,
};

/// Everything a container is made from.
#[derive(Debug, Clone, Copy)]
pub struct Blueprint<'a> {
    /// The project.
    pub project: &'a ProjectName,
    /// The checkout.
    pub directory: &'a Path,
    /// The service's name.
    pub name: &'a ServiceName,
    /// Which of the service's containers it is to be.
    pub role: Role,
    /// The service.
    pub service: &'a Service,
    /// The digest of the files it mounts from the workspace; empty when it mounts none.
    pub files_hash: &'a str,
    /// The digest of what its work is repeated for; empty when that is not said.
    pub repeat_hash: &'a str,
}

/// The name of a service's container in the engine.
pub(super) fn container_name(project: &ProjectName, service: &ServiceName) -> String {
    format!("{project}-{service}")
}

/// The name of the container that has this place.
pub(super) fn seat_name(project: &ProjectName, seat: &Seat) -> String {
    let name = container_name(project, &seat.service);
    match seat.role {
        Role::Holder => name,
        Role::Successor => format!("{name}-successor"),
        Role::Retired => retired_name(project, &seat.service, ""),
    }
}

/// The name of a container that has made way for another; several may have at once, so each has a part of its own.
pub(super) fn retired_name(project: &ProjectName, service: &ServiceName, own: &str) -> String {
    format!("{}-retired-{own}", container_name(project, service))
}

/// The name of a network in the engine.
pub(super) fn network_name(project: &ProjectName, network: &NetworkName) -> String {
    format!("{project}-{network}")
}

/// The name of a volume in the engine.
pub(super) fn volume_name(project: &ProjectName, volume: &VolumeName) -> String {
    format!("{project}-{volume}")
}

impl Blueprint<'_> {
    pub(super) fn container_name(&self) -> String {
        seat_name(self.project, &Seat { service: self.name.clone(), role: self.role })
    }

    pub(super) fn body(&self) -> ContainerCreateBody {
        let service = self.service;
        ContainerCreateBody {
            hostname: service.hostname.clone(),
            user: service.user.clone(),
            exposed_ports: non_empty(service.ports.iter().map(port_key).collect()),
            env: Some(service.environment.iter().map(|(name, value)| format!("{name}={value}")).collect()),
            cmd: service.command.clone(),
            entrypoint: service.entrypoint.clone(),
            healthcheck: service.healthcheck.as_ref().map(health_config),
            image: Some(service.image.with_tag().to_string()),
            working_dir: service.working_dir.clone(),
            labels: Some(self.labels()),
            stop_signal: service.stop_signal.clone(),
            stop_timeout: i64::try_from(service.stop_grace_period.as_secs()).ok(),
            host_config: Some(self.host_config()),
            networking_config: Some(NetworkingConfig { endpoints_config: Some(self.first_endpoint()) }),
            ..Default::default()
        }
    }

    /// The networks beyond the first: the engine joins a new container to one only, before API 1.44.
    pub(super) fn further_endpoints(&self) -> Vec<(String, EndpointSettings)> {
        self.endpoints().skip(1).collect()
    }

    fn first_endpoint(&self) -> HashMap<String, EndpointSettings> {
        self.endpoints().take(1).collect()
    }

    /// Every container answers to its service's name, as Compose has it.
    fn endpoints(&self) -> impl Iterator<Item = (String, EndpointSettings)> {
        self.service.networks.iter().map(|(network, aliases)| {
            let mut names: Vec<String> = aliases.iter().cloned().collect();
            names.push(self.name.to_string());
            let settings = EndpointSettings { aliases: Some(names), ..Default::default() };
            (network_name(self.project, network), settings)
        })
    }

    fn labels(&self) -> HashMap<String, String> {
        let depends_on: Vec<&str> = self.service.depends_on.keys().map(ServiceName::as_str).collect();
        let mut all: HashMap<String, String> =
            self.service.labels.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        all.extend(
            [
                (labels::PROJECT, self.project.to_string()),
                (labels::SERVICE, self.name.to_string()),
                (labels::CONFIG_HASH, self.service.config_hash()),
                (labels::FILES_HASH, self.files_hash.to_owned()),
                (labels::REPEAT_HASH, self.repeat_hash.to_owned()),
                (labels::DEPENDS_ON, depends_on.join(",")),
                (labels::DIRECTORY, self.directory.display().to_string()),
            ]
            .map(|(key, value)| (key.to_owned(), value)),
        );
        all
    }

    fn host_config(&self) -> HostConfig {
        let service = self.service;
        HostConfig {
            memory: signed(service.limits.memory),
            memory_reservation: signed(service.limits.memory_reservation),
            nano_cpus: signed(service.limits.nano_cpus),
            pids_limit: signed(service.limits.pids),
            init: Some(service.init).filter(|&init| init),
            ulimits: non_empty(service.ulimits.iter().map(ulimit).collect()),
            network_mode: self
                .endpoints()
                .next()
                .map(|(network, _)| network)
                .or_else(|| Some("none".to_owned())),
            port_bindings: Some(port_bindings(&service.ports)),
            restart_policy: Some(restart_policy(service.restart)),
            mounts: non_empty(service.mounts.iter().map(|mount| engine_mount(self.project, mount)).collect()),
            cap_add: non_empty(service.cap_add.iter().cloned().collect()),
            cap_drop: non_empty(service.cap_drop.iter().cloned().collect()),
            readonly_rootfs: Some(service.read_only),
            security_opt: non_empty(service.security_opt.clone()),
            shm_size: signed(service.shm_size),
            sysctls: Some(service.sysctls.iter().map(|(key, value)| (key.clone(), value.clone())).collect()),
            ..Default::default()
        }
    }
}

fn non_empty<T>(list: Vec<T>) -> Option<Vec<T>> {
    Some(list).filter(|list| !list.is_empty())
}

fn signed(value: Option<u64>) -> Option<i64> {
    value.and_then(|value| i64::try_from(value).ok())
}

fn ulimit((name, limit): (&String, &crate::stack::Ulimit)) -> ResourcesUlimits {
    ResourcesUlimits { name: Some(name.clone()), soft: Some(limit.soft), hard: Some(limit.hard) }
}

fn port_key(port: &Port) -> String {
    let protocol = match port.protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    };
    format!("{}/{protocol}", port.target)
}

fn port_bindings(ports: &[Port]) -> HashMap<String, Option<Vec<PortBinding>>> {
    let mut bindings: HashMap<String, Option<Vec<PortBinding>>> = HashMap::new();
    for port in ports {
        let binding = PortBinding {
            host_ip: port.host_ip.map(|ip| ip.to_string()),
            host_port: port.published.map(|port| port.to_string()),
        };
        bindings.entry(port_key(port)).or_default().get_or_insert_default().push(binding);
    }
    bindings
}

fn restart_policy(restart: Restart) -> RestartPolicy {
    let (name, retries) = match restart {
        Restart::No => (RestartPolicyNameEnum::NO, None),
        Restart::Always => (RestartPolicyNameEnum::ALWAYS, None),
        Restart::UnlessStopped => (RestartPolicyNameEnum::UNLESS_STOPPED, None),
        Restart::OnFailure(retries) => (RestartPolicyNameEnum::ON_FAILURE, retries.map(i64::from)),
    };
    RestartPolicy { name: Some(name), maximum_retry_count: retries }
}

fn engine_mount(project: &ProjectName, mount: &Mount) -> EngineMount {
    let (typ, source, tmpfs_options) = match &mount.source {
        MountSource::Bind(path) => (MountType::BIND, Some(path.display().to_string()), None),
        MountSource::Volume(name) => (MountType::VOLUME, Some(volume_name(project, name)), None),
        MountSource::Tmpfs { size, mode } => {
            let options = MountTmpfsOptions {
                size_bytes: signed(*size),
                mode: mode.map(i64::from),
                ..Default::default()
            };
            (MountType::TMPFS, None, Some(options))
        }
    };
    EngineMount {
        target: Some(mount.target.clone()),
        source,
        typ: Some(typ),
        read_only: Some(mount.read_only),
        tmpfs_options,
        ..Default::default()
    }
}

fn health_config(check: &HealthCheck) -> HealthConfig {
    let test = match &check.test {
        Probe::Disabled => vec!["NONE".to_owned()],
        Probe::Command(words) => std::iter::once("CMD".to_owned()).chain(words.iter().cloned()).collect(),
        Probe::Shell(line) => vec!["CMD-SHELL".to_owned(), line.clone()],
    };
    let nanoseconds = |duration: std::time::Duration| i64::try_from(duration.as_nanos()).ok();
    HealthConfig {
        test: Some(test),
        interval: nanoseconds(check.interval),
        timeout: nanoseconds(check.timeout),
        retries: Some(i64::from(check.retries)),
        start_period: nanoseconds(check.start_period),
        start_interval: None,
    }
}
