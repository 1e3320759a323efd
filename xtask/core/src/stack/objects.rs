//! The top-level `networks` and `volumes`.

use std::collections::BTreeMap;

use super::check;
use super::cursor::{Cursor, Section};
use super::model::{Network, NetworkName, ProjectName, Volume, VolumeName};

/// The declared networks.
pub(super) fn networks(at: &Cursor<'_>, project: &ProjectName) -> BTreeMap<NetworkName, Network> {
    let network = |name: &str, at: &Cursor<'_>| {
        let mut section = begin(at, name, project);
        let (driver, driver_opts) = driver(&mut section);
        let internal = section.take("internal").and_then(|at| at.boolean()).unwrap_or(false);
        // Printed by `docker compose config`, empty.
        if let Some(at) = section.take("ipam") {
            at.section().finish(&["config", "driver", "options"]);
        }
        section.finish(&["attachable", "enable_ipv4", "enable_ipv6", "labels"]);
        Network { driver, driver_opts, internal }
    };
    (at.entries().iter())
        .map(|(name, at)| {
            check::name(at, name, "network");
            (NetworkName::new(*name), network(name, at))
        })
        .collect()
}

/// The declared volumes.
pub(super) fn volumes(at: &Cursor<'_>, project: &ProjectName) -> BTreeMap<VolumeName, Volume> {
    let volume = |name: &str, at: &Cursor<'_>| {
        let mut section = begin(at, name, project);
        let (driver, driver_opts) = driver(&mut section);
        section.finish(&["labels"]);
        Volume { driver, driver_opts }
    };
    (at.entries().iter())
        .map(|(name, at)| {
            check::name(at, name, "volume");
            (VolumeName::new(*name), volume(name, at))
        })
        .collect()
}

/// What both have: a `name`, which Homeport gives and a file may only repeat, and `external`, which it does not know.
fn begin<'a>(at: &Cursor<'a>, name: &str, project: &ProjectName) -> Section<'a> {
    let mut section = at.section();
    if let Some(at) = section.take("name")
        && let Some(written) = at.text()
        && written != format!("{project}_{name}")
    {
        at.fault(format!("Homeport does not support this key: it names it {project}_{name}"));
    }
    if let Some(at) = section.take("external")
        && at.boolean() == Some(true)
    {
        at.fault("Homeport does not support this key: what is not its own it leaves alone");
    }
    section
}

fn driver(section: &mut Section<'_>) -> (Option<String>, BTreeMap<String, String>) {
    let driver = section.take("driver").and_then(|at| at.filled_text());
    let options = section.take("driver_opts").map(|at| {
        let entries = at.entries().into_iter();
        entries.filter_map(|(name, at)| Some((name.to_owned(), at.text_or_number()?))).collect()
    });
    (driver, options.unwrap_or_default())
}
