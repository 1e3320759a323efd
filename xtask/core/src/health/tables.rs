//! Stack × observed → what is told of each service, as tables.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::reports;
use crate::event::{ServiceReport, ServiceState};
use crate::images::{Availability, Source as ImageSource};
use crate::plan::{Container, ContainerId, ContainerState, Health, Observed, Role};
use crate::stack::{ImageReference, NetworkName, Service, ServiceName, Source, Stack, parse};

const SHOP: &str = "
name: shop
services:
  web:
    image: web:1
    ports: ['127.0.0.1:8000:80', '9000']
    depends_on: {migrate: {condition: service_completed_successfully}}
    x-homeport: {url_path: /hello}
  store: {image: 'store:1', ports: ['[::1]:5432:5432']}
  migrate: {image: 'web:1'}
  graphs: {image: 'graphs:1', x-homeport: {optional: true}}
";

/// 2026-01-01T00:01:00Z.
fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_660)
}

fn stack() -> Stack {
    let source = Source {
        text: SHOP,
        path: Path::new("compose.yaml"),
        directory: Path::new("/shop"),
        project: None,
        variables: &|_| None,
        files: &|_| None,
    };
    parse(&source).unwrap_or_else(|error| panic!("{error:#?}")).stack
}

/// A container as the stack wants it, started a minute ago.
fn container(stack: &Stack, service: &str, state: ContainerState) -> Container {
    let name = ServiceName::new(service);
    Container {
        id: ContainerId(format!("id of {service}")),
        name: format!("shop-{service}"),
        role: Role::Holder,
        depends_on: Vec::new(),
        config_hash: stack.services.get(&name).map(Service::config_hash).unwrap_or_default(),
        files_hash: String::new(),
        repeat_hash: String::new(),
        image_id: "image 1".to_owned(),
        stop_grace: None,
        networks: [(NetworkName::new("default"), [service.to_owned()].into())].into(),
        ports: BTreeMap::new(),
        state,
        started_at: Some("2026-01-01T00:00:00.5Z".to_owned()),
        reason: None,
        service: name,
    }
}

fn observed(containers: Vec<Container>) -> Observed {
    let present =
        || Availability::Present { id: "image 1".to_owned(), origin: "recipe".to_owned(), stale: None };
    Observed {
        images: [
            (ImageReference::new("web:1"), present()),
            (ImageReference::new("store:1"), present()),
            (ImageReference::new("graphs:1"), Availability::Unavailable(vec!["nobody has it".to_owned()])),
        ]
        .into(),
        containers,
        ..Observed::default()
    }
}

fn row(reports: &[ServiceReport], service: &str) -> ServiceReport {
    let found = reports.iter().find(|report| report.service == service);
    found.unwrap_or_else(|| panic!("no {service} in {reports:#?}")).clone()
}

#[test]
fn every_state_has_its_word() {
    let stack = stack();
    let table = [
        ("store", ContainerState::Running(Health::Healthy), ServiceState::Healthy),
        ("store", ContainerState::Running(Health::None), ServiceState::Running),
        ("store", ContainerState::Running(Health::Starting), ServiceState::Starting),
        ("store", ContainerState::Restarting, ServiceState::Starting),
        ("store", ContainerState::Running(Health::Unhealthy), ServiceState::Unhealthy),
        ("store", ContainerState::Paused, ServiceState::Paused),
        ("store", ContainerState::Created, ServiceState::Stopped),
        ("store", ContainerState::Exited(0), ServiceState::Stopped),
        ("migrate", ContainerState::Exited(0), ServiceState::Completed),
        ("migrate", ContainerState::Exited(1), ServiceState::Exited),
        ("store", ContainerState::Dead, ServiceState::Exited),
    ];
    for (service, state, told) in table {
        let all = reports(&stack, &observed(vec![container(&stack, service, state)]), now());
        assert_eq!(row(&all, service).state, told, "{service} {state:?}");
    }
}

#[test]
fn without_a_container_it_is_absent_or_cannot_be_had() {
    let all = reports(&stack(), &observed(Vec::new()), now());
    let names: Vec<&str> = all.iter().map(|report| report.service.as_str()).collect();
    assert_eq!(names, ["graphs", "migrate", "store", "web"]);
    let web = row(&all, "web");
    assert_eq!((web.state, web.reason, web.up_seconds), (ServiceState::Absent, None, None));
    assert_eq!(web.urls, [""; 0]);
    assert_eq!(web.image_source.as_deref(), Some("recipe"));
    let graphs = row(&all, "graphs");
    assert_eq!((graphs.state, graphs.image_source), (ServiceState::Unavailable, None));
    assert!(graphs.reason.is_some_and(|reason| reason.starts_with("optional; no source has its image")));

    // One that is not optional is only absent: `dev` says what is wrong with it.
    let nobody = || Availability::Unavailable(vec!["nobody has it".to_owned()]);
    for availability in [Availability::Obtainable(ImageSource::Registry), nobody()] {
        let mut gone = observed(Vec::new());
        gone.images.insert(ImageReference::new("store:1"), availability);
        let store = row(&reports(&stack(), &gone, now()), "store");
        assert_eq!((store.state, store.reason), (ServiceState::Absent, None));
    }
}

#[test]
fn addresses_and_age_are_those_of_what_runs() {
    let stack = stack();
    let running = ContainerState::Running(Health::None);
    let all = reports(
        &stack,
        &observed(vec![container(&stack, "web", running), container(&stack, "store", running)]),
        now(),
    );
    assert_eq!(row(&all, "web").urls, ["http://127.0.0.1:8000/hello"]);
    assert_eq!(row(&all, "store").urls, ["[::1]:5432"]);
    assert_eq!(row(&all, "web").up_seconds, Some(59));

    let all = reports(&stack, &observed(vec![container(&stack, "web", ContainerState::Exited(1))]), now());
    assert_eq!((row(&all, "web").urls.len(), row(&all, "web").up_seconds), (0, None));
    let mut unknown = container(&stack, "web", running);
    unknown.started_at = Some("some time ago".to_owned());
    assert_eq!(row(&reports(&stack, &observed(vec![unknown]), now()), "web").up_seconds, None);
}

#[test]
fn what_changed_since_is_a_reason_unless_there_is_a_better_one() {
    let stack = stack();
    let running = ContainerState::Running(Health::Healthy);
    let reason = |edit: fn(&mut Container)| {
        let mut container = container(&stack, "store", running);
        edit(&mut container);
        row(&reports(&stack, &observed(vec![container]), now()), "store").reason
    };
    assert_eq!(reason(|_| ()), None);
    let said = |part: &str| Some(format!("its {part} changed since; `cargo xtask dev` replaces it"));
    assert_eq!(reason(|container| container.config_hash = "other".to_owned()), said("configuration"));
    assert_eq!(reason(|container| container.image_id = "image 0".to_owned()), said("image"));
    let never = Some("it was never started".to_owned());
    assert_eq!(reason(|container| container.state = ContainerState::Created), never);
    assert_eq!(
        reason(|container| {
            container.image_id = "image 0".to_owned();
            container.reason = Some("its health check says: no".to_owned());
        }),
        Some("its health check says: no".to_owned())
    );
}

#[test]
fn a_container_that_no_service_knows_is_told_last() {
    let stack = stack();
    let all = reports(
        &stack,
        &observed(vec![container(&stack, "old", ContainerState::Running(Health::None))]),
        now(),
    );
    let old = all.last().expect("a row");
    assert_eq!((old.service.as_str(), old.state), ("old", ServiceState::Running));
    assert_eq!(old.reason.as_deref(), Some("the Compose file no longer names it"));
    assert_eq!((old.image.as_str(), old.up_seconds, old.urls.len()), ("image 1", Some(59), 0));
}
