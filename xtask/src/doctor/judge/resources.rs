//! Room on disks, memory, ports, file watches.

use super::super::facts::{DiskUse, Facts, PortState};
use super::super::{Check, Finding, Need, Status};
use super::ok;
use crate::quantity;

const GB: u64 = 1_000_000_000;

/// Below this the engine's disk cannot hold the images of the stack (1.3 GB unpacked) and a database.
const ENGINE_DISK_LEAST: u64 = 3 * GB;
/// Below this a kind node's image (1.4 GB), its copy of the stack's images and rebuilt images will fill it soon.
const ENGINE_DISK_GOOD: u64 = 10 * GB;
/// Below this a build from nothing does not fit: debug and test binaries with dependencies take 2.5 GB.
const BUILD_DISK_LEAST: u64 = 3 * GB;
/// Below this, release builds and coverage (each as much again) will fill it soon.
const BUILD_DISK_GOOD: u64 = 8 * GB;
/// Below this the stack (limits of 1.5 GB in all) and a linker (1 GB) do not fit.
const MEMORY_LEAST: u64 = 2 * GB;
/// Below this a kind node and the stack do not fit beside each other.
const MEMORY_GOOD: u64 = 4 * GB;
/// When less is available now, the linker or Postgres may be killed.
const MEMORY_AVAILABLE: u64 = GB;
/// `dev` watches some hundred directories, an editor some ten thousand; a kind node some thousand.
const WATCHES: u64 = 65_536;
/// Debian's default. The kubelet, containerd and the pods of one kind node use some dozens.
const INSTANCES: u64 = 128;

pub(super) fn disks(facts: &Facts) -> Vec<Finding> {
    let findings = facts.disks.iter().map(|disk| {
        let (check, least, good) = match disk.used_for {
            DiskUse::Engine => (Check::EngineDisk, ENGINE_DISK_LEAST, ENGINE_DISK_GOOD),
            DiskUse::Build => (Check::BuildDisk, BUILD_DISK_LEAST, BUILD_DISK_GOOD),
        };
        let seen = format!("{} free at {}", quantity::bytes(disk.free), disk.path.display());
        let finding = ok(check, seen, Need::BY_DEFAULT);
        let (status, meaning) = match disk.free {
            free if free >= good => return finding,
            free if free >= least => {
                (Status::Warning, format!("below {} it will be full soon", quantity::bytes(good)))
            }
            _ => (Status::Missing, format!("at least {} are needed", quantity::bytes(least))),
        };
        let command = match disk.used_for {
            DiskUse::Engine => "docker system prune    # removes what no container uses",
            DiskUse::Build => "cargo clean    # removes what a build makes again",
        };
        finding.but(status, meaning).mended_by(vec![command.to_owned()], None)
    });
    findings.collect()
}

pub(super) fn memory(facts: &Facts) -> Option<Finding> {
    let memory = facts.memory?;
    let available =
        memory.available.map(|bytes| format!(", {} available", quantity::bytes(bytes))).unwrap_or_default();
    let finding =
        ok(Check::Memory, format!("{}{available}", quantity::bytes(memory.total)), Need::BY_DEFAULT);
    let more =
        "give the machine, or the engine's virtual machine (Docker Desktop: Settings, Resources), more";
    let finding = if memory.total < MEMORY_LEAST {
        let meaning = format!("at least {} are needed", quantity::bytes(MEMORY_LEAST));
        finding.but(Status::Missing, meaning).mended_by(vec![more.to_owned()], None)
    } else if memory.total < MEMORY_GOOD {
        let meaning =
            format!("below {} a cluster and the stack do not fit together", quantity::bytes(MEMORY_GOOD));
        finding.but(Status::Warning, meaning).mended_by(vec![more.to_owned()], None)
    } else if memory.available.is_some_and(|bytes| bytes < MEMORY_AVAILABLE) {
        let meaning = "so little is free that a compiler or a database may be killed";
        finding
            .but(Status::Warning, meaning)
            .mended_by(vec!["end programs that are not needed".to_owned()], None)
    } else {
        finding
    };
    Some(finding)
}

pub(super) fn ports(facts: &Facts) -> Vec<Finding> {
    const NEEDED: &[Need] = &[Need::Dev];
    let findings = facts.ports.iter().map(|seen| {
        let check = Check::Port(seen.port);
        let service = &seen.service;
        let choose = choose_port(service);
        match &seen.state {
            PortState::Free => ok(check, format!("free, for {service}"), NEEDED),
            PortState::Ours => ok(check, format!("held by our own {service}"), NEEDED),
            PortState::Taken(holder) => {
                let who = holder.as_ref().map_or_else(|| "somebody".to_owned(), ToString::to_string);
                ok(check, format!("taken by {who}"), NEEDED)
                    .but(Status::Missing, format!("{service} cannot be published there"))
                    .mended_by(vec![format!("stop it, or choose another port with {choose}")], None)
            }
            PortState::Refused(why) => ok(check, format!("cannot be had: {why}"), NEEDED)
                .but(Status::Missing, format!("{service} cannot be published there"))
                .mended_by(vec![format!("choose another port with {choose}")], None),
        }
    });
    findings.collect()
}

/// The variable of the Compose file that moves a service's port, as it is typed before a command.
fn choose_port(service: &str) -> String {
    let service = service.to_uppercase().replace('-', "_");
    format!("HOMEPORT_{service}_PORT=…")
}

pub(super) fn inotify(facts: &Facts) -> Option<Finding> {
    const NEEDED: &[Need] = &[Need::Dev, Need::DeployKind];
    let limits = facts.inotify?;
    let seen = format!("{} watches, {} instances a user", limits.watches, limits.instances);
    let finding = ok(Check::Inotify, seen, NEEDED);
    if limits.watches >= WATCHES && limits.instances >= INSTANCES {
        return Some(finding);
    }
    // The values that kind's documentation recommends ("Known issues: too many open files").
    let set = "sysctl -w fs.inotify.max_user_watches=524288 fs.inotify.max_user_instances=512";
    let keep = "put the two settings into /etc/sysctl.d/ to keep them";
    Some(
        finding
            .but(Status::Warning, "`dev` may not see every save, and the pods of a cluster may not start")
            .mended_by(vec![facts.platform.as_administrator(set), keep.to_owned()], None),
    )
}
