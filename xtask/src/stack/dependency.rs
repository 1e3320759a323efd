//! `depends_on` of a service, and the cycles that dependencies may form.

use std::collections::BTreeMap;

use super::cursor::Cursor;
use super::model::{Condition, Service, ServiceName};
use super::yaml::Value;

const CONDITIONS: &[(&str, Condition)] = &[
    ("service_started", Condition::Started),
    ("service_healthy", Condition::Healthy),
    ("service_completed_successfully", Condition::Completed),
];

/// A list of names, or a mapping of names to conditions.
pub(super) fn read(at: &Cursor<'_>) -> BTreeMap<ServiceName, Condition> {
    if let Value::List(_) = at.node.value {
        return at.texts().into_iter().map(|name| (ServiceName::new(name), Condition::Started)).collect();
    }
    let entries = at.entries().into_iter();
    entries.filter_map(|(name, at)| Some((ServiceName::new(name), condition(&at)?))).collect()
}

fn condition(at: &Cursor<'_>) -> Option<Condition> {
    let mut section = at.section();
    let condition = section.take("condition");
    for (key, only) in [("required", true), ("restart", false)] {
        if let Some(at) = section.take(key)
            && at.boolean().is_some_and(|value| value != only)
        {
            at.fault(format!("Homeport supports only {only} here"));
        }
    }
    section.finish(&[]);
    let Some(at) = condition else {
        at.fault("needs a `condition`");
        return None;
    };
    let text = at.text()?;
    let found = CONDITIONS.iter().find(|(name, _)| *name == text);
    if found.is_none() {
        let names: Vec<&str> = CONDITIONS.iter().map(|(name, _)| *name).collect();
        at.fault(format!("{text:?} is not a condition; there are {}", names.join(", ")));
    }
    found.map(|(_, condition)| *condition)
}

/// A cycle among the services, its first name repeated at the end; the one that begins with the smallest name.
pub(super) fn cycle(services: &BTreeMap<ServiceName, Service>) -> Option<Vec<&ServiceName>> {
    let mut done = Vec::new();
    services.keys().find_map(|name| visit(name, services, &mut Vec::new(), &mut done))
}

fn visit<'s>(
    name: &'s ServiceName,
    services: &'s BTreeMap<ServiceName, Service>,
    path: &mut Vec<&'s ServiceName>,
    done: &mut Vec<&'s ServiceName>,
) -> Option<Vec<&'s ServiceName>> {
    if let Some(start) = path.iter().position(|on_path| *on_path == name) {
        return Some(path[start..].iter().copied().chain([name]).collect());
    }
    if done.contains(&name) {
        return None;
    }
    path.push(name);
    let dependencies = services.get(name).into_iter().flat_map(|service| service.depends_on.keys());
    for dependency in dependencies {
        if let Some(cycle) = visit(dependency, services, path, done) {
            return Some(cycle);
        }
    }
    path.pop();
    done.push(name);
    None
}
