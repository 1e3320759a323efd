//! Which services a `dev` that stays may stand in front of, and what becomes of their ports.

use std::collections::BTreeSet;

use super::super::{Port, Service, ServiceName, Stack};
use super::{read, service};

const SITE: &str = "
services:
  store: {image: s, ports: ['5432:5432'], volumes: ['data:/x']}
  migrate: {image: w, ports: ['90:8000'], x-homeport: {package: w, url_path: /}}
  web:
    image: w
    ports: ['127.0.0.1:80:8000', '81:8000']
    depends_on:
      migrate: {condition: service_completed_successfully}
      store: {condition: service_started}
    x-homeport: {package: w, url_path: /}
  other: {image: w, ports: ['82:8000'], x-homeport: {package: w, url_path: /}}
volumes: {data: }
";

fn stack(text: &str) -> Stack {
    read(text).unwrap_or_else(|error| panic!("{error}")).stack
}

fn names(names: &[&str]) -> BTreeSet<ServiceName> {
    names.iter().map(|name| ServiceName::new(*name)).collect()
}

fn get<'s>(stack: &'s Stack, name: &str) -> &'s Service {
    &stack.services[&ServiceName::new(name)]
}

#[test]
fn what_serves_from_here_has_a_front_and_publishes_on_this_machine_only() {
    let plain = stack(SITE);
    let fronted = plain.clone().fronted(&BTreeSet::new());
    let local = Some("127.0.0.1".parse().expect("an address"));
    let web = get(&fronted, "web");
    assert_eq!(web.fronts, get(&plain, "web").ports);
    assert_eq!(web.ports, [Port { published: None, host_ip: local, ..web.fronts[0].clone() }]);
    assert_eq!(get(&fronted, "other").fronts, get(&plain, "other").ports);
    // One is not built here, the other serves nobody.
    for name in ["store", "migrate"] {
        assert_eq!(get(&fronted, name), get(&plain, name), "{name}");
    }
    let some = plain.clone().fronted(&names(&["web"]));
    assert_eq!((get(&some, "web"), get(&some, "other")), (web, get(&plain, "other")));
}

#[test]
fn a_service_can_be_fronted_when_two_of_it_may_run_at_once() {
    let table = [
        ("ports: ['80:1']\nx-homeport: {package: p, url_path: /}", true),
        (
            "ports: ['80:1', '81:2']\nx-homeport: {package: p, url_path: /}\nvolumes: ['./a:/x']\ntmpfs: [/y]",
            true,
        ),
        ("ports: ['80:1']\nx-homeport: {url_path: /}", false),
        ("ports: ['80:1']\nx-homeport: {package: p}", false),
        ("ports: ['80:1']\nx-homeport: {package: p, url_path: /}\nvolumes: ['data:/x', './a:/y']", false),
        ("x-homeport: {package: p, url_path: /}", false),
        ("ports: ['80:1/udp']\nx-homeport: {package: p, url_path: /}", false),
        ("ports: ['1']\nx-homeport: {package: p, url_path: /}", false),
        ("ports: ['80:1', '2']\nx-homeport: {package: p, url_path: /}", false),
    ];
    for (keys, can) in table {
        assert_eq!(get(&stack(&service(keys)), "web").fronted().is_some(), can, "{keys}");
    }
}

#[test]
fn the_two_ways_to_publish_lead_to_each_other() {
    let plain = stack(SITE);
    let web = get(&plain, "web");
    let fronted = web.fronted().expect("it can be fronted");
    assert_eq!(web.in_the_other_way().as_ref(), Some(&fronted));
    assert_eq!(fronted.in_the_other_way().as_ref(), Some(web));
    assert_eq!(fronted.published_ports(), web.published_ports());
    assert_eq!(web.published_ports(), web.ports);
    assert_eq!(get(&plain, "store").in_the_other_way(), None);
}

#[test]
fn a_service_comes_with_what_it_depends_on() {
    let stack = stack(SITE);
    let scope = |wanted: &[&str]| {
        let wanted = names(wanted);
        stack.with_dependencies(&wanted).into_iter().cloned().collect::<BTreeSet<_>>()
    };
    assert_eq!(scope(&["web"]), names(&["migrate", "store", "web"]));
    assert_eq!(scope(&["store", "nobody"]), names(&["store"]));
    assert_eq!(scope(&[]), names(&["migrate", "other", "store", "web"]));
}

#[test]
fn a_one_shot_is_what_somebody_waits_for_to_complete() {
    let stack = stack(SITE);
    let one_shots: Vec<&str> =
        stack.services.keys().filter(|name| stack.is_one_shot(name)).map(ServiceName::as_str).collect();
    assert_eq!(one_shots, ["migrate"]);
}
