//! What only the whole file can show: names that nothing declares, cycles, ports asked for twice.

use std::collections::BTreeMap;

use super::cursor::{Cursor, suggestion};
use super::dependency;
use super::model::{Condition, MountSource, NetworkName, Port, ServiceName, Stack};

/// Reports a key that cannot be a name: letters, digits, `.`, `_` and `-` (Compose Specification, its JSON schema).
pub(super) fn name(at: &Cursor<'_>, name: &str, what: &str) {
    let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() || !name.chars().all(valid) {
        at.fault(format!("a {what}'s name may contain only letters, digits, `.`, `_` and `-`"));
    }
}

/// Checks the stack and drops what no service uses, as Compose does. `lines` tells where each service stands.
pub(super) fn whole(stack: &mut Stack, lines: &BTreeMap<ServiceName, Cursor<'_>>) {
    if stack.services.values().any(|service| service.networks.contains_key(&NetworkName::new("default"))) {
        stack.networks.entry(NetworkName::new("default")).or_default();
    }
    references(stack, lines);
    repetitions(stack, lines);
    cycles(stack, lines);
    host_ports(stack, lines);
    let Stack { services, networks, volumes, .. } = stack;
    networks.retain(|name, _| services.values().any(|service| service.networks.contains_key(name)));
    volumes.retain(|name, _| {
        let uses = |source: &MountSource| matches!(source, MountSource::Volume(used) if used == name);
        services.values().any(|service| service.mounts.iter().any(|mount| uses(&mount.source)))
    });
}

fn references(stack: &Stack, lines: &BTreeMap<ServiceName, Cursor<'_>>) {
    for (name, service) in &stack.services {
        let at = &lines[name];
        for dependency in service.depends_on.keys().filter(|name| !lines.contains_key(name)) {
            let near = suggestion(dependency.as_str(), lines.keys().map(ServiceName::as_str));
            at.inner("depends_on", dependency.as_str())
                .fault(format!("there is no service {dependency}{near}"));
        }
        for network in service.networks.keys().filter(|name| !stack.networks.contains_key(name)) {
            let near = suggestion(network.as_str(), stack.networks.keys().map(NetworkName::as_str));
            at.inner("networks", network.as_str())
                .fault(format!("the network {network} is not declared under the top-level `networks`{near}"));
        }
        for mount in &service.mounts {
            let MountSource::Volume(volume) = &mount.source else { continue };
            if !stack.volumes.contains_key(volume) {
                let near = suggestion(volume.as_str(), stack.volumes.keys().map(super::VolumeName::as_str));
                at.inner("volumes", volume.as_str()).fault(format!(
                    "the volume {volume} is not declared under the top-level `volumes`{near}"
                ));
            }
        }
    }
}

/// Only work that ends can be repeated, and that it ends is told by who waits for it.
fn repetitions(stack: &Stack, lines: &BTreeMap<ServiceName, Cursor<'_>>) {
    for (name, _) in stack.services.iter().filter(|(_, service)| !service.homeport.repeat_for.is_empty()) {
        let awaits = |other: &super::Service| other.depends_on.get(name) == Some(&Condition::Completed);
        if !stack.services.values().any(awaits) {
            lines[name].inner("x-homeport", "repeat_for").fault(
                "only a one-shot is repeated, and no service waits for this one with \
                 `condition: service_completed_successfully`",
            );
        }
    }
}

fn cycles(stack: &Stack, lines: &BTreeMap<ServiceName, Cursor<'_>>) {
    if let Some(cycle) = dependency::cycle(&stack.services) {
        let at = lines[cycle[0]].inner("depends_on", cycle[1].as_str());
        let names: Vec<&str> = cycle.iter().map(|name| name.as_str()).collect();
        at.fault(format!("the dependencies form a cycle: {}", names.join(" → ")));
    }
}

/// Two services (or one, twice) that want the same port of the host cannot both start.
fn host_ports(stack: &Stack, lines: &BTreeMap<ServiceName, Cursor<'_>>) {
    let mut taken: Vec<(&ServiceName, &Port)> = Vec::new();
    for (name, service) in &stack.services {
        for port in service.ports.iter().filter(|port| port.published.is_some()) {
            let clash = taken.iter().find(|(_, other)| {
                let same_address = match (port.host_ip, other.host_ip) {
                    (Some(one), Some(two)) => one == two || one.is_unspecified() || two.is_unspecified(),
                    _ => true,
                };
                other.published == port.published && other.protocol == port.protocol && same_address
            });
            if let (Some((holder, _)), Some(published)) = (clash, port.published) {
                let holder =
                    if *holder == name { "this service".to_owned() } else { format!("the service {holder}") };
                lines[name]
                    .inner("ports", "")
                    .fault(format!("{holder} publishes the port {published} of the host already"));
            }
            taken.push((name, port));
        }
    }
}
