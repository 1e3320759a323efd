//! What is told of each service: a pure function of the stack and what is observed.

use std::time::SystemTime;

use crate::event::{ServiceReport, ServiceState};
use crate::images::Availability;
use crate::plan::{Container, ContainerState, Health, Observed};
use crate::stack::{Condition, Port, Service, ServiceName, Stack};

/// One row a service, in the order of their names, then one for each container that no service knows.
pub fn reports(stack: &Stack, observed: &Observed, now: SystemTime) -> Vec<ServiceReport> {
    let known = stack.services.iter().map(|(name, service)| {
        let container = observed.containers.iter().find(|container| container.service == *name);
        report(stack, observed, name, service, container, now)
    });
    let orphans =
        observed.containers.iter().filter(|container| !stack.services.contains_key(&container.service));
    let orphans = orphans.map(|container| ServiceReport {
        service: container.service.to_string(),
        state: state_of(container, false),
        reason: Some("the Compose file no longer names it".to_owned()),
        image: container.image_id.clone(),
        image_source: None,
        urls: Vec::new(),
        up_seconds: up_seconds(container, now),
    });
    known.chain(orphans).collect()
}

fn report(
    stack: &Stack,
    observed: &Observed,
    name: &ServiceName,
    service: &Service,
    container: Option<&Container>,
    now: SystemTime,
) -> ServiceReport {
    let availability = observed.images.get(&service.image);
    let one_shot =
        stack.services.values().any(|other| other.depends_on.get(name) == Some(&Condition::Completed));
    let (state, reason) = match (container, availability) {
        (Some(container), _) => (
            state_of(container, one_shot),
            container.reason.clone().or_else(|| outdated(observed, service, container)),
        ),
        (None, Some(Availability::Unavailable(_))) if service.homeport.optional => {
            let reason = "optional; no source has its image, as `cargo xtask image list` says";
            (ServiceState::Unavailable, Some(reason.to_owned()))
        }
        (None, _) => (ServiceState::Absent, None),
    };
    ServiceReport {
        service: name.to_string(),
        state,
        reason,
        image: service.image.to_string(),
        image_source: match availability {
            Some(Availability::Present { origin, .. }) => Some(origin.clone()),
            _ => None,
        },
        urls: match state {
            ServiceState::Unavailable | ServiceState::Absent | ServiceState::Exited => Vec::new(),
            _ => service.ports.iter().filter_map(|port| url(service, port)).collect(),
        },
        up_seconds: container.and_then(|container| up_seconds(container, now)),
    }
}

/// What a container runs that is no longer what it should run.
fn outdated(observed: &Observed, service: &Service, container: &Container) -> Option<String> {
    if container.config_hash != service.config_hash() {
        return Some("its configuration changed since; `cargo xtask dev` replaces it".to_owned());
    }
    match observed.images.get(&service.image) {
        Some(Availability::Present { id, .. }) if *id != container.image_id => {
            Some("its image changed since; `cargo xtask dev` replaces it".to_owned())
        }
        _ => None,
    }
}

fn state_of(container: &Container, one_shot: bool) -> ServiceState {
    match container.state {
        ContainerState::Running(Health::Healthy) => ServiceState::Healthy,
        ContainerState::Running(Health::None) => ServiceState::Running,
        ContainerState::Running(Health::Starting) | ContainerState::Restarting => ServiceState::Starting,
        ContainerState::Running(Health::Unhealthy) => ServiceState::Unhealthy,
        ContainerState::Paused => ServiceState::Paused,
        ContainerState::Exited(0) if one_shot => ServiceState::Completed,
        ContainerState::Created | ContainerState::Exited(0) => ServiceState::Stopped,
        ContainerState::Exited(_) | ContainerState::Dead => ServiceState::Exited,
    }
}

fn up_seconds(container: &Container, now: SystemTime) -> Option<u64> {
    if !matches!(container.state, ContainerState::Running(_) | ContainerState::Paused) {
        return None;
    }
    let started = humantime::parse_rfc3339_weak(container.started_at.as_deref()?).ok()?;
    now.duration_since(started).ok().map(|up| up.as_secs())
}

/// The address a person can use: a URL where the file says that the port is for people, else host and port.
fn url(service: &Service, port: &Port) -> Option<String> {
    let published = port.published?;
    let host = port.host_ip.map_or_else(|| "127.0.0.1".to_owned(), |ip| ip.to_string());
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    Some(match &service.homeport.url_path {
        Some(path) => format!("http://{host}:{published}{path}"),
        None => format!("{host}:{published}"),
    })
}
