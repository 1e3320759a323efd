//! How each service is, as it is told: a pure function of the stack and what is observed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use crate::event::{ServiceReport, ServiceState};
use crate::images::Availability;
use crate::plan::{Container, ContainerState, Dev, Health, Observed};
use crate::stack::{Port, Service, ServiceName, Stack};

/// One row a service, in the order of their names, then one for each container that no service knows.
pub fn reports(stack: &Stack, observed: &Observed, now: SystemTime) -> Vec<ServiceReport> {
    let known = stack.services.iter().map(|(name, service)| {
        let of_service = observed.containers.iter().filter(|container| container.service == *name);
        // Beside a successor, the one that has the name is the one that serves.
        let container = of_service.min_by_key(|container| container.role);
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

/// One row a service that has a container, by what the engine says alone: for a stack whose file cannot be read. Where a
/// container is reached is known, but not where a front stands for it; and of one that ended well, not whether it should.
pub fn reports_by_engine(containers: &[Container], now: SystemTime) -> Vec<ServiceReport> {
    let mut standing: BTreeMap<&str, &Container> = BTreeMap::new();
    for container in containers {
        let known = standing.entry(container.title()).or_insert(container);
        // Beside a successor, the one that has the name is the one that serves.
        if container.role < known.role {
            *known = container;
        }
    }
    let row = |(title, container): (&str, &Container)| ServiceReport {
        service: title.to_owned(),
        state: state_of(container, false),
        reason: (container.reason.clone()).or_else(|| unstarted(container)).or_else(|| {
            (container.state == ContainerState::Exited(0)).then(|| "it ended with status 0".to_owned())
        }),
        image: container.image_id.clone(),
        image_source: None,
        urls: container.ports.values().map(ToString::to_string).collect(),
        up_seconds: up_seconds(container, now),
    };
    standing.into_iter().map(row).collect()
}

/// The rows of services that a run has brought up and that are not well: of those `wanted` (all when empty) with what
/// they depend on. Not among them are optional services, and those that the plan has left out and said so.
pub fn unwell<'a>(
    stack: &Stack,
    wanted: &BTreeSet<ServiceName>,
    rows: &'a [ServiceReport],
) -> Vec<&'a ServiceReport> {
    let scope = stack.with_dependencies(wanted);
    let required = |row: &&ServiceReport| {
        let name = ServiceName::new(row.service.as_str());
        scope.contains(&name) && !stack.services[&name].homeport.optional
    };
    let well = |row: &&ServiceReport| row.state.is_well() || row.state == ServiceState::Absent;
    rows.iter().filter(required).filter(|row| !well(row)).collect()
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
    // Whoever asks may not run the stack in the way in which it was started.
    let as_made = container.and_then(|container| {
        service.in_the_other_way().filter(|other| other.config_hash() == container.config_hash)
    });
    let service = as_made.as_ref().unwrap_or(service);
    let fronted = !service.fronts.is_empty();
    let unserved = fronted && observed.dev == Dev::Away;
    let one_shot = stack.is_one_shot(name);
    let (state, reason) = match (container, availability) {
        (Some(container), _) => (
            state_of(container, one_shot),
            (container.reason.clone())
                .or_else(|| fronted.then(|| no_front(container, observed.dev)).flatten())
                .or_else(|| outdated(observed, service, container))
                .or_else(|| unstarted(container)),
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
            _ if unserved && container.is_some() => Vec::new(),
            _ => service.published_ports().iter().filter_map(|port| url(service, port)).collect(),
        },
        up_seconds: container.and_then(|container| up_seconds(container, now)),
    }
}

/// That a container runs behind a front that nobody holds, or somebody who does nothing.
fn no_front(container: &Container, dev: Dev) -> Option<String> {
    if !matches!(container.state, ContainerState::Running(_)) {
        return None;
    }
    match dev {
        Dev::Away => Some(
            "its port is not served, as no `cargo xtask dev` runs any more; the next one serves it again"
                .to_owned(),
        ),
        Dev::Suspended(pid) => Some(format!(
            "requests wait: its port is held by a `cargo xtask dev` (pid {pid}) that is suspended; `fg` in its terminal lets \
             it go on"
        )),
        Dev::Runs => None,
    }
}

/// That a container was made and not started, as what it needs did not come up.
fn unstarted(container: &Container) -> Option<String> {
    (container.state == ContainerState::Created).then(|| "it was never started".to_owned())
}

/// What a container runs that is no longer what it should run.
fn outdated(observed: &Observed, service: &Service, container: &Container) -> Option<String> {
    if container.config_hash != service.config_hash() {
        return Some("its configuration changed since; `cargo xtask dev` replaces it".to_owned());
    }
    if let Some(cause) = container.cut_off(service) {
        return Some(format!("{cause}; `cargo xtask dev` replaces it"));
    }
    match observed.images.get(&service.image) {
        Some(Availability::Present { id, .. })
            if *id != container.image_id && !observed.is_done_for_good(container) =>
        {
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
    let address = port.address()?;
    Some(match &service.homeport.url_path {
        Some(path) => format!("http://{address}{path}"),
        None => address,
    })
}

#[cfg(test)]
mod tables;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::*;
    use crate::plan::{ContainerId, Role};
    use crate::stack::{NetworkName, Source, parse};

    const STACK: &str = "
services:
  back: {image: a, networks: {inner: {aliases: [api]}}, healthcheck: {test: [CMD, x]}}
  front: {image: a, networks: [inner], depends_on: [back]}
  extra: {image: a, networks: [inner], x-homeport: {optional: true}}
networks: {inner: {}}
";

    fn stack() -> Stack {
        parse_stack(STACK)
    }

    fn parse_stack(text: &str) -> Stack {
        let source = Source {
            path: Path::new("compose.yaml"),
            text,
            directory: Path::new("/stack"),
            project: None,
            variables: &|_| None,
            files: &|_| None,
        };
        parse(&source).unwrap().stack
    }

    /// Every service's container, running and fitting.
    fn containers(stack: &Stack) -> Vec<Container> {
        let made = stack.services.iter().map(|(name, service)| Container {
            id: ContainerId(name.to_string()),
            name: format!("stack-{name}"),
            role: Role::Holder,
            service: name.clone(),
            depends_on: Vec::new(),
            config_hash: service.config_hash(),
            files_hash: String::new(),
            repeat_hash: String::new(),
            image_id: String::new(),
            stop_grace: None,
            networks: BTreeMap::from([(
                NetworkName::new("inner"),
                [name.as_str(), "api"].map(str::to_owned).into(),
            )]),
            ports: BTreeMap::new(),
            state: ContainerState::Running(Health::Healthy),
            started_at: None,
            reason: None,
        });
        made.collect()
    }

    fn rows(stack: &Stack, containers: Vec<Container>) -> Vec<ServiceReport> {
        reports(stack, &Observed { containers, ..Observed::default() }, SystemTime::UNIX_EPOCH)
    }

    #[test]
    fn a_container_that_is_cut_off_is_told() {
        let stack = stack();
        let mut containers = containers(&stack);
        assert!(rows(&stack, containers.clone()).iter().all(|row| row.reason.is_none()));
        containers[0].networks.get_mut(&NetworkName::new("inner")).unwrap().remove("api");
        containers[1].networks.clear();
        let reasons: Vec<_> = rows(&stack, containers).into_iter().map(|row| row.reason).collect();
        let replaced = |why: &str| Some(format!("{why}; `cargo xtask dev` replaces it"));
        assert_eq!(
            reasons,
            [replaced("not known as api on network inner"), replaced("not on network inner"), None]
        );
    }

    #[test]
    fn a_service_behind_a_front_is_served_while_a_dev_runs() {
        let text = "services: {web: {image: a, ports: ['127.0.0.1:80:8000'], x-homeport: {package: p, url_path: /}}}";
        let stack = parse_stack(text);
        let fronted = stack.clone().fronted(&BTreeSet::new());
        let row = |made_from: &Stack, asked: &Stack, dev: Dev, state: ContainerState| {
            let mut container = containers(made_from).remove(0);
            container.networks = BTreeMap::from([(NetworkName::new("default"), ["web".to_owned()].into())]);
            container.state = state;
            let observed = Observed { containers: vec![container], dev, ..Observed::default() };
            let row = reports(asked, &observed, SystemTime::UNIX_EPOCH).remove(0);
            (row.urls, row.reason)
        };
        let runs = ContainerState::Running(Health::Healthy);
        let served = (vec!["http://127.0.0.1:80/".to_owned()], None);
        // Whoever asks runs it the one way or the other.
        for asked in [&stack, &fronted] {
            assert_eq!(row(&stack, asked, Dev::Away, runs), served, "it publishes its port itself");
            assert_eq!(row(&fronted, asked, Dev::Runs, runs), served);
            let (urls, reason) = row(&fronted, asked, Dev::Away, runs);
            assert_eq!(urls, [""; 0]);
            assert!(reason.is_some_and(|reason| reason.starts_with("its port is not served")));
            let (urls, reason) = row(&fronted, asked, Dev::Suspended(42), runs);
            assert_eq!(urls, served.0);
            assert!(reason.is_some_and(|reason| reason.contains("dev` (pid 42) that is suspended")));
            assert_eq!(row(&stack, asked, Dev::Suspended(42), runs), served);
            let (urls, reason) = row(&fronted, asked, Dev::Away, ContainerState::Exited(0));
            assert_eq!((urls.len(), reason), (0, None), "what does not run is served by no one anyway");
        }
    }

    #[test]
    fn without_a_file_the_containers_tell_what_they_can() {
        let mut containers = containers(&stack());
        containers[0].ports = [(5432, "127.0.0.1:5432".parse().unwrap())].into();
        containers[1].state = ContainerState::Exited(0);
        containers[2].state = ContainerState::Running(Health::Unhealthy);
        containers[2].reason = Some("its health check says: no".to_owned());
        let successor = Container { role: Role::Successor, ..containers[0].clone() };
        containers.insert(0, Container { state: ContainerState::Created, ..successor });
        let rows = reports_by_engine(&containers, SystemTime::UNIX_EPOCH);
        let told: Vec<_> = rows
            .iter()
            .map(|row| {
                (row.service.as_str(), row.state, row.reason.as_deref().unwrap_or_default(), &row.urls)
            })
            .collect();
        let (address, none) = (vec!["127.0.0.1:5432".to_owned()], Vec::new());
        let expected = [
            ("back", ServiceState::Healthy, "", &address),
            ("extra", ServiceState::Stopped, "it ended with status 0", &none),
            ("front", ServiceState::Unhealthy, "its health check says: no", &none),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn what_was_asked_for_and_is_needed_has_to_be_well() {
        let stack = stack();
        let mut containers = containers(&stack);
        containers[0].state = ContainerState::Running(Health::Unhealthy);
        containers[1].state = ContainerState::Exited(1);
        let names = |wanted: &[&str], containers: &[Container]| {
            let wanted = wanted.iter().map(|name| ServiceName::new(*name)).collect();
            let rows = rows(&stack, containers.to_vec());
            unwell(&stack, &wanted, &rows).iter().map(|row| row.service.clone()).collect::<Vec<_>>()
        };
        assert_eq!(names(&["front"], &containers), ["back"], "and nothing of what is optional");
        assert_eq!(names(&["extra"], &containers), [""; 0]);
        assert_eq!(names(&[], &containers), ["back"]);
        containers[2].state = ContainerState::Exited(1);
        assert_eq!(names(&[], &containers), ["back", "front"]);
        assert_eq!(names(&[], &[]), [""; 0], "what is left out has been said");
    }
}
