//! `deploy.resources` of a service, and its older spelling `cpus`, `mem_limit`, `mem_reservation`, `pids_limit`.

use super::cursor::{Cursor, Section};
use super::model::{Limits, Ulimit};
use super::quantity;
use super::yaml::Value;

/// The limits, wherever they stand; zero means none. Two spellings that disagree are a fault.
pub(super) fn read(service: &mut Section<'_>) -> Limits {
    let older = Limits {
        nano_cpus: service.take("cpus").and_then(|at| at.parsed(quantity::cpus)).filter(|cpus| *cpus > 0),
        memory: memory(service.take("mem_limit")),
        pids: service.take("pids_limit").and_then(|at| pids(&at)),
        memory_reservation: memory(service.take("mem_reservation")),
    };
    let Some(at) = service.take_nullable("deploy") else { return older };
    let newer = deploy(&at);
    Limits {
        nano_cpus: one(&at, "cpus", older.nano_cpus, newer.nano_cpus),
        memory: one(&at, "mem_limit", older.memory, newer.memory),
        pids: one(&at, "pids_limit", older.pids, newer.pids),
        memory_reservation: one(&at, "mem_reservation", older.memory_reservation, newer.memory_reservation),
    }
}

fn one(at: &Cursor<'_>, key: &str, older: Option<u64>, newer: Option<u64>) -> Option<u64> {
    if let (Some(older), Some(newer)) = (older, newer)
        && older != newer
    {
        at.fault(format!("`{key}` of the service says {older}, `resources` here says {newer}: keep one"));
    }
    newer.or(older)
}

fn deploy(at: &Cursor<'_>) -> Limits {
    let mut section = at.section();
    let resources = section.take("resources");
    // Printed by `docker compose config`, empty.
    if let Some(placement) = section.take("placement") {
        placement.section().finish(&["constraints", "preferences", "max_replicas_per_node"]);
    }
    section.finish(&[
        "endpoint_mode",
        "labels",
        "mode",
        "replicas",
        "restart_policy",
        "rollback_config",
        "update_config",
    ]);
    let mut limits = Limits::default();
    let Some(resources) = resources else { return limits };
    let mut section = resources.section();
    if let Some(at) = section.take("limits") {
        let mut section = at.section();
        limits.nano_cpus =
            section.take("cpus").and_then(|at| at.parsed(quantity::cpus)).filter(|cpus| *cpus > 0);
        limits.memory = text_memory(section.take("memory"));
        limits.pids = section.take("pids").and_then(|at| pids(&at));
        section.finish(&["devices", "generic_resources"]);
    }
    if let Some(at) = section.take("reservations") {
        let mut section = at.section();
        limits.memory_reservation = text_memory(section.take("memory"));
        section.finish(&["cpus", "devices", "generic_resources"]);
    }
    section.finish(&[]);
    limits
}

fn memory(at: Option<Cursor<'_>>) -> Option<u64> {
    at?.parsed(quantity::bytes).filter(|bytes| *bytes > 0)
}

/// Under `deploy`, Compose takes only text.
fn text_memory(at: Option<Cursor<'_>>) -> Option<u64> {
    at?.parsed_text(quantity::bytes).filter(|bytes| *bytes > 0)
}

/// A number of processes; 0 and -1 mean no limit.
fn pids(at: &Cursor<'_>) -> Option<u64> {
    u64::try_from(at.integer::<i64>()?).ok().filter(|pids| *pids > 0)
}

/// One entry of `ulimits`: a number for both, or `soft` and `hard`. Compose leaves a zero out when it prints them, so one
/// that is missing is zero, unless that would put `hard` below `soft`.
pub(super) fn ulimit(at: &Cursor<'_>) -> Option<Ulimit> {
    if !matches!(at.node.value, Value::Map(_)) {
        let both = at.integer()?;
        return Some(Ulimit { soft: both, hard: both });
    }
    let mut section = at.section();
    let (soft, hard) = (section.take("soft"), section.take("hard"));
    section.finish(&[]);
    let none = hard.is_none();
    let soft = soft.map_or(Some(0), |at| at.integer())?;
    if none && soft > 0 {
        at.fault("needs both `soft` and `hard`");
    }
    Some(Ulimit { soft, hard: hard.map_or(Some(0), |at| at.integer())? })
}
