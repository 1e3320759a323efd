//! What we hold of a GitHub workflow: actions pinned by commit, least permissions, a bound on every job, steps that run
//! nothing but `cargo xtask …`.
//!
//! Must not: know GitHub's schema whole; that is actionlint's.

use super::Fault;
use crate::stack::yaml::{Entry, Node, Value, read};

/// The faults of a workflow, in the order of their lines.
pub fn check(text: &str) -> Vec<Fault> {
    let root = match read(text) {
        Ok(root) => root,
        Err(fault) => return vec![Fault::new(fault.line, fault.message)],
    };
    let mut faults = Vec::new();
    triggers(&root, &mut faults);
    permissions(&root, &mut faults);
    for job in get(&root, "jobs").map(entries).unwrap_or_default() {
        check_job(job, &mut faults);
    }
    if get(&root, "jobs").is_none() {
        faults.push(Fault::new(root.line, "it has no jobs"));
    }
    faults.sort();
    faults
}

fn triggers(root: &Node, faults: &mut Vec<Fault>) {
    let Some(on) = get(root, "on") else { return };
    let named = |word: &str| match &on.value {
        Value::Text(text) => (text == word).then_some(on.line),
        Value::List(list) => list.iter().find(|node| text(node) == Some(word)).map(|node| node.line),
        Value::Map(map) => map.iter().find(|entry| entry.key == word).map(|entry| entry.line),
        _ => None,
    };
    // It runs a stranger's code with this repository's secrets.
    if let Some(line) = named("pull_request_target") {
        faults
            .push(Fault::new(line, "pull_request_target gives a fork's code the secrets of this repository"));
    }
}

fn permissions(root: &Node, faults: &mut Vec<Fault>) {
    let Some(permissions) = get(root, "permissions") else {
        faults.push(Fault::new(0, "no permissions at the top: GitHub's default may be to write"));
        return;
    };
    if text(permissions) == Some("write-all") {
        faults.push(Fault::new(permissions.line, "permissions: write-all, expected those that are needed"));
    }
    // What a job needs more it asks for itself, where a reader sees for what.
    for entry in entries(permissions).iter().filter(|entry| text(&entry.node) == Some("write")) {
        let message = format!("{} may be written by every job; give it to the job that needs it", entry.key);
        faults.push(Fault::new(entry.line, message));
    }
}

fn check_job(job: &Entry, faults: &mut Vec<Fault>) {
    if get(&job.node, "uses").is_none() && get(&job.node, "timeout-minutes").is_none() {
        let message = format!("job {} has no timeout-minutes: one that hangs is paid for six hours", job.key);
        faults.push(Fault::new(job.line, message));
    }
    if let Some(uses) = get(&job.node, "uses") {
        pinned(uses, faults);
    }
    let steps = match get(&job.node, "steps").map(|steps| &steps.value) {
        Some(Value::List(steps)) => steps.as_slice(),
        _ => &[],
    };
    for step in steps {
        if let Some(uses) = get(step, "uses") {
            pinned(uses, faults);
            credentials(step, uses, faults);
        }
        if let Some(run) = get(step, "run") {
            only_xtask(run, faults);
        }
    }
}

/// A tag can be moved to other code; a commit cannot.
fn pinned(uses: &Node, faults: &mut Vec<Fault>) {
    let Some(action) = text(uses).filter(|action| !action.starts_with("./")) else { return };
    let revision = action.rsplit_once('@').map_or("", |(_, revision)| revision);
    if revision.len() != 40 || !revision.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        faults.push(Fault::new(
            uses.line,
            format!("{action} is not pinned, expected @ and a commit's 40 digits"),
        ));
    }
}

/// Without it the token stays in `.git/config`, for every later step to read.
fn credentials(step: &Node, uses: &Node, faults: &mut Vec<Fault>) {
    let checkout = text(uses).is_some_and(|action| action.starts_with("actions/checkout@"));
    let kept = get(step, "with").and_then(|with| get(with, "persist-credentials"));
    if checkout && !kept.is_some_and(|node| matches!(node.value, Value::Bool(false))) {
        faults.push(Fault::new(
            uses.line,
            "checkout keeps its credentials, expected persist-credentials: false",
        ));
    }
}

fn only_xtask(run: &Node, faults: &mut Vec<Fault>) {
    let command = text(run).unwrap_or_default();
    for line in command.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let plain = !line.contains(['&', ';', '|', '`', '<', '>']) && !line.contains("$(");
        if !line.starts_with("cargo xtask ") || !plain {
            faults.push(Fault::new(run.line, format!("{line:?} runs, expected one `cargo xtask …`")));
        }
        // What stands in an event (a title, a branch) would become part of the command line.
        if line.contains("${{ github.event") || line.contains("${{ github.head_ref") {
            faults
                .push(Fault::new(run.line, format!("{line:?} holds what a stranger writes; pass it by env")));
        }
    }
}

fn entries(node: &Node) -> &[Entry] {
    match &node.value {
        Value::Map(entries) => entries,
        _ => &[],
    }
}

fn get<'a>(node: &'a Node, key: &str) -> Option<&'a Node> {
    entries(node).iter().find(|entry| entry.key == key).map(|entry| &entry.node)
}

fn text(node: &Node) -> Option<&str> {
    match &node.value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "\
on: {push: {branches: [main]}}
permissions:
  contents: read
jobs:
  stage:
    timeout-minutes: 60
    steps:
      - uses: actions/checkout@11bd71901bbe5b1630ceea73d27597364c9af683 # v4
        with:
          persist-credentials: false
      - uses: ./.github/own
      - run: cargo xtask ci ${{ matrix.stage }}
";

    #[test]
    fn a_good_one_has_no_fault() {
        assert_eq!(check(GOOD), []);
    }

    #[test]
    fn every_planted_fault_is_found_on_its_line() {
        let commit = "@11bd71901bbe5b1630ceea73d27597364c9af683";
        let table = [
            ("push: {branches: [main]}", "pull_request_target: {}", 1, "pull_request_target gives"),
            (
                "on: {push: {branches: [main]}}",
                "on: [push, pull_request_target]",
                1,
                "pull_request_target gives",
            ),
            ("on: {push: {branches: [main]}}", "on: pull_request_target", 1, "pull_request_target gives"),
            ("permissions:\n  contents: read\n", "", 0, "no permissions at the top"),
            ("permissions:\n  contents: read", "permissions: write-all", 2, "write-all"),
            ("contents: read", "packages: write", 3, "packages may be written"),
            ("    timeout-minutes: 60\n", "", 5, "job stage has no timeout-minutes"),
            (commit, "@v4", 8, "actions/checkout@v4 is not pinned"),
            (commit, "", 8, "actions/checkout is not pinned"),
            (commit, "@11bd71901bbe5b1630ceea73d27597364c9af68z", 8, "is not pinned"),
            ("persist-credentials: false", "persist-credentials: true", 8, "checkout keeps"),
            ("        with:\n          persist-credentials: false\n", "", 8, "checkout keeps"),
            ("cargo xtask ci ${{ matrix.stage }}", "make all", 12, "\"make all\" runs"),
            ("cargo xtask ci ${{ matrix.stage }}", "cargo xtask ci; rm -r x", 12, "runs, expected one"),
            ("cargo xtask ci ${{ matrix.stage }}", "cargo xtask push $(id)", 12, "runs, expected one"),
            ("${{ matrix.stage }}", "${{ github.event.issue.title }}", 12, "what a stranger writes"),
            ("jobs:\n", "tasks:\n", 1, "it has no jobs"),
            ("timeout-minutes: 60", "timeout-minutes: 60\n    timeout-minutes: 61", 7, "not valid YAML"),
        ];
        for (good, bad, line, message) in table {
            assert!(GOOD.contains(good), "{good:?}");
            let faults = check(&GOOD.replacen(good, bad, 1));
            let found = faults.iter().any(|fault| fault.line == line && fault.message.contains(message));
            assert!(found, "{bad:?}: expected {line}: {message}, found {faults:#?}");
        }
    }
}
