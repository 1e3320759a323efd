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

/// A cycle among the services, its smallest name first and again at the end.
pub(super) fn cycle(services: &BTreeMap<ServiceName, Service>) -> Option<Vec<&ServiceName>> {
    // Take away, as often as it goes, what waits for nothing that is left: what stays waits for a cycle, or is in one.
    let mut waiting: BTreeMap<&ServiceName, Vec<&ServiceName>> = (services.iter())
        .map(|(name, service)| {
            (name, service.depends_on.keys().filter(|name| services.contains_key(name)).collect())
        })
        .collect();
    loop {
        let names: Vec<&ServiceName> = waiting.keys().copied().collect();
        for name in &names {
            if waiting[name].iter().all(|dependency| !waiting.contains_key(dependency)) {
                waiting.remove(name);
            }
        }
        if waiting.len() == names.len() {
            break;
        }
    }
    let mut path: Vec<&ServiceName> = Vec::new();
    let mut name = *waiting.keys().next()?;
    while !path.contains(&name) {
        path.push(name);
        name = waiting[name].iter().copied().find(|dependency| waiting.contains_key(dependency))?;
    }
    let start = path.iter().position(|on_path| *on_path == name)?;
    let mut cycle = path.split_off(start);
    let smallest = (0..cycle.len()).min_by_key(|index| cycle[*index])?;
    cycle.rotate_left(smallest);
    cycle.push(cycle[0]);
    Some(cycle)
}
