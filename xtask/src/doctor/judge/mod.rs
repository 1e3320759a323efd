//! The judgement: facts in, findings out. Pure; its tests are a table.

mod containers;
mod network;
mod programs;
mod resources;
#[cfg(test)]
mod tests;

use super::facts::Facts;
use super::{Check, Finding, Need, Status};

/// Judges the facts. The findings come in the order a person would mend them in.
pub fn judge(facts: &Facts) -> Vec<Finding> {
    let mut findings = vec![programs::rust(facts), programs::linker(facts)];
    findings.extend(containers::engine(facts));
    findings.extend(resources::disks(facts));
    findings.extend(resources::memory(facts));
    findings.extend(resources::ports(facts));
    findings.extend(resources::inotify(facts));
    findings.extend(containers::cgroup(facts));
    findings.extend(network::reach(facts));
    findings.push(network::mmdebstrap(facts));
    findings.extend(programs::docker_registry(facts));
    findings.push(programs::browser(facts));
    findings.push(programs::cargo_deny(facts));
    findings.push(programs::actionlint(facts));
    findings.push(programs::hadolint(facts));
    findings.push(programs::kind(facts));
    findings.push(programs::docker_cli(facts));
    findings.push(programs::compose(facts));
    findings.push(network::clock(facts));
    findings
}

/// A finding that is as it should be.
fn ok(check: Check, seen: impl Into<String>, needed_for: &[Need]) -> Finding {
    Finding {
        check,
        status: Status::Ok,
        seen: seen.into(),
        meaning: None,
        remedy: None,
        needed_for: needed_for.to_vec(),
    }
}
