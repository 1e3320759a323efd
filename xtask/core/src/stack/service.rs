//! One service: the keys that have a file of their own are handed on, the others read here.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Context;
use super::cursor::{Cursor, Section};
use super::model::{ImageReference, Mount, NetworkName, ProjectName, Restart, Service};
use super::yaml::Value;
use super::{
    build, dependency, deploy, environment, healthcheck, homeport, mount, port, quantity, signal, words,
};

/// How long a stop may take when the file does not say (Compose Specification, `stop_grace_period`).
const DEFAULT_GRACE: Duration = Duration::from_secs(10);

/// Keys of a service that the Compose Specification knows and Homeport does not.
const UNSUPPORTED: &[&str] = &[
    "annotations",
    "attach",
    "blkio_config",
    "cgroup",
    "cgroup_parent",
    "configs",
    "container_name",
    "cpu_count",
    "cpu_percent",
    "cpu_period",
    "cpu_quota",
    "cpu_rt_period",
    "cpu_rt_runtime",
    "cpu_shares",
    "cpuset",
    "credential_spec",
    "develop",
    "device_cgroup_rules",
    "devices",
    "dns",
    "dns_opt",
    "dns_search",
    "domainname",
    "expose",
    "extends",
    "external_links",
    "extra_hosts",
    "gpus",
    "group_add",
    "ipc",
    "isolation",
    "label_file",
    "links",
    "logging",
    "mac_address",
    "mem_swappiness",
    "memswap_limit",
    "models",
    "network_mode",
    "oom_kill_disable",
    "oom_score_adj",
    "pid",
    "platform",
    "post_start",
    "pre_stop",
    "privileged",
    "profiles",
    "provider",
    "pull_policy",
    "pull_refresh_after",
    "runtime",
    "scale",
    "secrets",
    "stdin_open",
    "storage_opt",
    "tty",
    "use_api_socket",
    "userns_mode",
    "uts",
    "volumes_from",
];

/// Labels under this prefix are Homeport's own (`engine` room).
const OWN_LABELS: &str = "dev.homeport.";

/// Reads one service; `None` only after a fault.
pub(super) fn read(
    at: &Cursor<'_>,
    name: &str,
    project: &ProjectName,
    context: &Context<'_>,
) -> Option<Service> {
    if at.is_null() {
        at.fault("has no value; it needs an `image`");
        return None;
    }
    let mut keys = at.section();
    let build_at = keys.take("build");
    let build = build_at.as_ref().and_then(|at| build::read(at, context));
    let image = match keys.take("image") {
        Some(at) => image(&at),
        // As Compose names it.
        None if build_at.is_some() => Some(ImageReference::new(format!("{project}-{name}"))),
        None => {
            at.fault("needs an `image`");
            None
        }
    };
    let (files, own) = (keys.take("env_file"), keys.take("environment"));
    let mounts = mounts(&mut keys, context);
    let homeport = keys.take("x-homeport").map(|at| homeport::read(&at, &mounts, context));
    let service = Service {
        // A placeholder after a fault, which keeps the service known to those that depend on it.
        image: image.unwrap_or_else(|| ImageReference::new("")),
        build,
        command: keys.take_nullable("command").and_then(|at| command(&at)),
        entrypoint: keys.take_nullable("entrypoint").and_then(|at| command(&at)),
        environment: environment::read(files.as_ref(), own.as_ref(), context),
        ports: ports(&mut keys),
        fronts: Vec::new(),
        mounts,
        networks: networks(&mut keys),
        depends_on: keys.take("depends_on").map(|at| dependency::read(&at)).unwrap_or_default(),
        healthcheck: keys.take("healthcheck").and_then(|at| healthcheck::read(&at)),
        restart: keys.take("restart").and_then(|at| at.parsed(restart)).unwrap_or(Restart::No),
        user: text(&mut keys, "user"),
        working_dir: text(&mut keys, "working_dir"),
        hostname: text(&mut keys, "hostname"),
        read_only: boolean(&mut keys, "read_only"),
        init: boolean(&mut keys, "init"),
        cap_add: keys.take("cap_add").map(|at| at.texts().into_iter().collect()).unwrap_or_default(),
        cap_drop: keys.take("cap_drop").map(|at| at.texts().into_iter().collect()).unwrap_or_default(),
        security_opt: keys.take("security_opt").map(|at| at.texts()).unwrap_or_default(),
        limits: deploy::read(&mut keys),
        shm_size: keys.take("shm_size").and_then(|at| at.parsed(quantity::bytes)).filter(|size| *size > 0),
        sysctls: keys.take("sysctls").map(|at| at.settings()).unwrap_or_default(),
        ulimits: keys.take("ulimits").map(|at| ulimits(&at)).unwrap_or_default(),
        stop_signal: text_at(&mut keys, "stop_signal").and_then(|at| at.parsed_text(signal::signal)),
        stop_grace_period: keys
            .take("stop_grace_period")
            .and_then(|at| at.parsed_text(quantity::duration))
            .unwrap_or(DEFAULT_GRACE),
        labels: keys.take("labels").map(|at| labels(&at)).unwrap_or_default(),
        homeport: homeport.unwrap_or_default(),
    };
    keys.finish(UNSUPPORTED);
    Some(service)
}

fn text(keys: &mut Section<'_>, key: &'static str) -> Option<String> {
    text_at(keys, key)?.text()
}

/// The place of a text; an empty one is as good as none.
fn text_at<'a>(keys: &mut Section<'a>, key: &'static str) -> Option<Cursor<'a>> {
    keys.take(key).filter(|at| at.text().is_none_or(|text| !text.is_empty()))
}

fn boolean(keys: &mut Section<'_>, key: &'static str) -> bool {
    keys.take(key).and_then(|at| at.boolean()).unwrap_or(false)
}

fn image(at: &Cursor<'_>) -> Option<ImageReference> {
    let text = at.filled_text()?;
    if let Some(bad) = text.chars().find(|c| !(c.is_ascii_alphanumeric() || "._-/:@+[]".contains(*c))) {
        at.fault(format!("{text:?} is not an image's name: it contains {bad:?}"));
        return None;
    }
    // The host part and the tag may have capitals, the path may not (distribution's reference grammar).
    let (host, path) = text.split_once('/').unwrap_or(("", &text));
    let host_is_path = !host.contains(['.', ':']) && host != "localhost";
    let path = path.split('@').next().unwrap_or(path);
    let path = path.rsplit_once(':').map_or(path, |(path, _)| path);
    let capital = |text: &str| text.contains(|c: char| c.is_ascii_uppercase());
    if capital(path) || (host_is_path && capital(host)) {
        at.fault(format!("{text:?} is not an image's name: capitals are allowed only in the tag"));
        return None;
    }
    Some(ImageReference::new(text))
}

/// A list of words, or a line that is split into words.
fn command(at: &Cursor<'_>) -> Option<Vec<String>> {
    match at.node.value {
        Value::Text(_) => at.parsed(words::split),
        _ => Some(at.list().iter().filter_map(Cursor::text).collect()),
    }
}

fn ports(keys: &mut Section<'_>) -> Vec<super::Port> {
    let mut ports: Vec<_> =
        keys.take("ports").map(|at| at.list().iter().flat_map(port::read).collect()).unwrap_or_default();
    // Their order means nothing, and Compose drops what is written twice.
    ports.sort();
    ports.dedup();
    ports
}

/// `volumes` and `tmpfs`, sorted by target; two mounts on one target are a fault.
fn mounts(keys: &mut Section<'_>, context: &Context<'_>) -> Vec<Mount> {
    let mut mounts: BTreeMap<String, Mount> = BTreeMap::new();
    let mut add = |at: &Cursor<'_>, mount: Option<Mount>| {
        let Some(mount) = mount else { return };
        let target = mount.target.clone();
        if mounts.insert(target.clone(), mount).is_some() {
            at.fault(format!("something else is mounted on {target} already"));
        }
    };
    for at in keys.take("volumes").iter().flat_map(Cursor::list) {
        add(&at, mount::volume(&at, context));
    }
    for at in keys.take("tmpfs").iter().flat_map(Cursor::list_or_one) {
        add(&at, mount::tmpfs(&at));
    }
    mounts.into_values().collect()
}

/// A list of names, or a mapping of names to aliases; without any, the network `default`.
fn networks(keys: &mut Section<'_>) -> BTreeMap<NetworkName, BTreeSet<String>> {
    let mut networks = BTreeMap::new();
    if let Some(at) = keys.take("networks") {
        if let Value::List(_) = at.node.value {
            networks.extend(at.texts().into_iter().map(|name| (NetworkName::new(name), BTreeSet::new())));
        } else {
            for (name, at) in at.entries() {
                let mut section = at.section();
                let aliases = section.take("aliases").map(|at| at.texts().into_iter().collect());
                section.finish(&[
                    "driver_opts",
                    "gw_priority",
                    "interface_name",
                    "ipv4_address",
                    "ipv6_address",
                    "link_local_ips",
                    "mac_address",
                    "priority",
                ]);
                networks.insert(NetworkName::new(name), aliases.unwrap_or_default());
            }
        }
    }
    if networks.is_empty() {
        networks.insert(NetworkName::new("default"), BTreeSet::new());
    }
    networks
}

fn restart(text: &str) -> Result<Restart, String> {
    match text {
        "no" => Ok(Restart::No),
        "always" => Ok(Restart::Always),
        "unless-stopped" => Ok(Restart::UnlessStopped),
        "on-failure" => Ok(Restart::OnFailure(None)),
        _ => (text.strip_prefix("on-failure:").and_then(|count| count.parse().ok()))
            .map(|count| Restart::OnFailure(Some(count).filter(|count| *count > 0)))
            .ok_or_else(|| {
                format!("{text:?} is none of no, always, on-failure, on-failure:N, unless-stopped")
            }),
    }
}

fn ulimits(at: &Cursor<'_>) -> BTreeMap<String, super::Ulimit> {
    let entries = at.entries().into_iter();
    entries.filter_map(|(name, at)| Some((name.to_owned(), deploy::ulimit(&at)?))).collect()
}

fn labels(at: &Cursor<'_>) -> BTreeMap<String, String> {
    let labels = at.settings();
    if let Some(name) = labels.keys().find(|name| name.starts_with(OWN_LABELS)) {
        at.fault(format!("the label {name} is Homeport's own: labels under {OWN_LABELS} are taken"));
    }
    labels
}
