//! What we hold of a GitHub workflow. Everything that decides what a job runs, and with which rights, is named here and
//! allowed, or it is a fault: keys, actions, words, expressions. So what GitHub learns to do tomorrow is refused until
//! somebody has thought about it.
//!
//! Must not: know GitHub's schema whole; that is actionlint's.

use super::Fault;
use crate::stack::yaml::{Entry, Node, Value, read};

/// Keys at the top. Not `defaults`: it chooses what `run` is run by.
const TOP: [&str; 7] = ["name", "on", "permissions", "concurrency", "env", "jobs", "run-name"];

/// Keys of a job. Not `container`, `services` or `defaults`, which bring programs of others; not `uses`, a workflow of
/// others.
const JOB: [&str; 13] = [
    "name",
    "needs",
    "if",
    "runs-on",
    "permissions",
    "environment",
    "concurrency",
    "timeout-minutes",
    "strategy",
    "env",
    "outputs",
    "continue-on-error",
    "steps",
];

/// Keys of a step. Not `shell` or `working-directory`: `run` is run as it stands, from the top.
const STEP: [&str; 8] = ["name", "id", "if", "uses", "with", "env", "run", "timeout-minutes"];

/// The actions that set a job up, with what each may be given.
const ACTIONS: [(&str, &[&str]); 4] = [
    ("actions/checkout", &["persist-credentials", "fetch-depth", "ref"]),
    ("actions/cache", &["path", "key", "restore-keys"]),
    ("actions/upload-artifact", &["name", "path", "if-no-files-found", "retention-days"]),
    ("actions/download-artifact", &["name", "path"]),
];

/// What may stand in a command line or in an action's inputs: what this file says itself, or what GitHub computes of the
/// checkout. Not what a stranger writes (a branch, a title), which the shell would read as words.
const EXPRESSIONS: [&str; 3] = ["matrix.", "hashFiles(", "runner.os"];

/// Where the value of a variable may come from: besides the above, what the repository's owners have set.
const VARIABLES: [&str; 5] = ["matrix.", "hashFiles(", "runner.os", "vars.", "secrets."];

/// Variables that change what a program is, or what it loads, whoever sets them.
const DANGEROUS: [&str; 8] = ["PATH", "LD_*", "DYLD_*", "BASH_ENV", "ENV", "RUST*", "CARGO*", "GITHUB_*"];

/// Variables that begin like dangerous ones, and only choose how cargo speaks.
const HARMLESS: [&str; 2] = ["CARGO_TERM_COLOR", "CARGO_INCREMENTAL"];

/// The faults of a workflow, in the order of their lines.
pub fn check(text: &str) -> Vec<Fault> {
    let root = match read(text) {
        Ok(root) => root,
        Err(fault) => return vec![Fault::new(fault.line, fault.message)],
    };
    let mut faults = Vec::new();
    keys(&root, "a workflow", &TOP, &mut faults);
    triggers(&root, &mut faults);
    match get(&root, "permissions") {
        Some(granted) => permissions(granted, false, &mut faults),
        None => faults.push(Fault::new(0, "no permissions at the top: GitHub's default may be to write")),
    }
    variables(&root, &mut faults);
    for job in get(&root, "jobs").map(entries).unwrap_or_default() {
        check_job(job, &mut faults);
    }
    if get(&root, "jobs").is_none() {
        faults.push(Fault::new(root.line, "it has no jobs"));
    }
    faults.sort();
    faults
}

/// What is not allowed by its name is a fault.
fn keys(node: &Node, what: &str, allowed: &[&str], faults: &mut Vec<Fault>) {
    for entry in entries(node).iter().filter(|entry| !allowed.contains(&entry.key.as_str())) {
        faults.push(Fault::new(
            entry.line,
            format!("{what} has {}, expected only {}", entry.key, allowed.join(", ")),
        ));
    }
}

fn triggers(root: &Node, faults: &mut Vec<Fault>) {
    let Some(on) = get(root, "on") else {
        faults.push(Fault::new(root.line, "it says not when it runs (`on`)"));
        return;
    };
    let named: Vec<(&str, usize)> = match &on.value {
        Value::Text(text) => vec![(text, on.line)],
        Value::List(list) => list.iter().filter_map(|node| Some((text(node)?, node.line))).collect(),
        Value::Map(map) => map.iter().map(|entry| (entry.key.as_str(), entry.line)).collect(),
        _ => Vec::new(),
    };
    // They run with this repository's secrets on what a stranger sends.
    for (trigger, line) in named {
        if matches!(trigger, "pull_request_target" | "workflow_run" | "issue_comment" | "issues") {
            let message = format!("{trigger} gives a fork's code the secrets of this repository");
            faults.push(Fault::new(line, message));
        }
    }
}

/// What a job needs more than to read it asks for itself, where a reader sees for what.
fn permissions(granted: &Node, of_a_job: bool, faults: &mut Vec<Fault>) {
    if text(granted).is_some_and(|all| all != "read-all") {
        let all = text(granted).unwrap_or_default();
        faults.push(Fault::new(granted.line, format!("permissions: {all}, expected those that are needed")));
    }
    for entry in entries(granted).iter().filter(|entry| text(&entry.node) == Some("write") && !of_a_job) {
        let message = format!("{} may be written by every job; give it to the job that needs it", entry.key);
        faults.push(Fault::new(entry.line, message));
    }
}

fn check_job(job: &Entry, faults: &mut Vec<Fault>) {
    keys(&job.node, &format!("job {}", job.key), &JOB, faults);
    if get(&job.node, "timeout-minutes").is_none() {
        let message = format!("job {} has no timeout-minutes: one that hangs is paid for six hours", job.key);
        faults.push(Fault::new(job.line, message));
    }
    if let Some(granted) = get(&job.node, "permissions") {
        permissions(granted, true, faults);
    }
    variables(&job.node, faults);
    if let Some(matrix) = get(&job.node, "strategy").and_then(|strategy| get(strategy, "matrix")) {
        plain_words(matrix, faults);
    }
    match get(&job.node, "steps").map(|steps| &steps.value) {
        Some(Value::List(steps)) => steps.iter().for_each(|step| check_step(step, faults)),
        _ => faults.push(Fault::new(job.line, format!("job {} has no steps", job.key))),
    }
}

/// What a matrix holds comes into command lines: words that a shell reads as they stand, and nothing that is computed.
fn plain_words(node: &Node, faults: &mut Vec<Fault>) {
    match &node.value {
        Value::Map(map) => map.iter().for_each(|entry| plain_words(&entry.node, faults)),
        Value::List(list) => list.iter().for_each(|node| plain_words(node, faults)),
        Value::Text(text)
            if !text.chars().all(|each| each.is_ascii_alphanumeric() || " ._-".contains(each)) =>
        {
            faults.push(Fault::new(node.line, format!("the matrix holds {text:?}, expected plain words")));
        }
        _ => {}
    }
}

fn check_step(step: &Node, faults: &mut Vec<Fault>) {
    keys(step, "a step", &STEP, faults);
    variables(step, faults);
    match (get(step, "uses"), get(step, "run")) {
        (Some(uses), None) => check_action(step, uses, faults),
        (None, Some(run)) => only_xtask(run, faults),
        _ => faults.push(Fault::new(step.line, "a step is either an action (`uses`) or a command (`run`)")),
    }
}

/// A tag can be moved to other code; a commit cannot. An action of this repository, or an image, runs what it likes.
fn check_action(step: &Node, uses: &Node, faults: &mut Vec<Fault>) {
    let action = text(uses).unwrap_or_default();
    let (name, revision) = action.split_once('@').unwrap_or((action, ""));
    let Some((_, inputs)) = ACTIONS.iter().find(|(known, _)| *known == name) else {
        let known: Vec<&str> = ACTIONS.iter().map(|(name, _)| *name).collect();
        let message = format!("{action} is no action that sets a job up, expected {}", known.join(", "));
        faults.push(Fault::new(uses.line, message));
        return;
    };
    if revision.len() != 40 || !revision.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let message = format!("{action} is not pinned, expected @ and a commit's 40 digits");
        faults.push(Fault::new(uses.line, message));
    }
    let with = get(step, "with");
    if let Some(with) = with {
        keys(with, name, inputs, faults);
        for entry in entries(with) {
            expressions(&entry.node, &EXPRESSIONS, faults);
        }
    }
    // Without it the token stays in `.git/config`, for every later step to read.
    let kept = with.and_then(|with| get(with, "persist-credentials"));
    if name == "actions/checkout" && !kept.is_some_and(|node| matches!(node.value, Value::Bool(false))) {
        let message = "checkout keeps its credentials, expected persist-credentials: false";
        faults.push(Fault::new(uses.line, message));
    }
}

/// Variables reach the program, so their names and where their values come from matter.
fn variables(node: &Node, faults: &mut Vec<Fault>) {
    let Some(env) = get(node, "env") else { return };
    if !matches!(env.value, Value::Map(_)) {
        faults.push(Fault::new(env.line, "env is no list of names and values"));
    }
    for entry in entries(env) {
        let dangerous = DANGEROUS.iter().any(|name| match name.strip_suffix('*') {
            Some(start) => entry.key.starts_with(start),
            None => entry.key == *name,
        });
        if dangerous && !HARMLESS.contains(&entry.key.as_str()) {
            faults.push(Fault::new(entry.line, format!("{} changes what a command is", entry.key)));
        }
        expressions(&entry.node, &VARIABLES, faults);
    }
}

/// One line, `cargo xtask` and words.
fn only_xtask(run: &Node, faults: &mut Vec<Fault>) {
    let command = text(run).unwrap_or_default().trim();
    let Some(rest) = command.strip_prefix("cargo xtask ") else {
        faults.push(Fault::new(run.line, format!("{command:?} runs, expected one `cargo xtask …`")));
        return;
    };
    // Expressions are judged by themselves; what is left are the letters of words, options and paths.
    let words = without_expressions(rest);
    let plain = |c: char| c.is_ascii_alphanumeric() || " -_./=:@,+".contains(c);
    if let Some(other) = words.chars().find(|c| !plain(*c)) {
        let message = format!("{command:?} holds {other:?}, expected plain words after `cargo xtask`");
        faults.push(Fault::new(run.line, message));
    }
    expressions(run, &EXPRESSIONS, faults);
}

/// The text with every whole `${{ … }}` left out.
fn without_expressions(text: &str) -> String {
    let mut rest = text;
    let mut kept = String::new();
    while let Some((before, after)) = rest.split_once("${{") {
        kept.push_str(before);
        match after.split_once("}}") {
            Some((_, after)) => rest = after,
            // Never closed: let it be seen.
            None => return kept + "${{" + after,
        }
    }
    kept + rest
}

/// Every expression must be of a kind that is allowed here, and nothing but it.
fn expressions(node: &Node, allowed: &[&str], faults: &mut Vec<Fault>) {
    let mut rest = text(node).unwrap_or_default();
    while let Some((_, after)) = rest.split_once("${{") {
        let Some((expression, after)) = after.split_once("}}") else {
            faults.push(Fault::new(node.line, "an expression is not closed"));
            return;
        };
        let expression = expression.trim();
        if !is_allowed(expression, allowed) {
            let message = format!(
                "${{{{ {expression} }}}} may hold what a stranger writes, expected {}",
                allowed.join(", ")
            );
            faults.push(Fault::new(node.line, message));
        }
        rest = after;
    }
}

/// A name with one dot (`matrix.stages`), or one call with one text (`hashFiles('Cargo.lock')`). No operator: `a || b` is
/// two expressions.
fn is_allowed(expression: &str, allowed: &[&str]) -> bool {
    let name = |text: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
    };
    allowed.iter().any(|form| match expression.strip_prefix(form) {
        None => false,
        Some(rest) if form.ends_with('.') => name(rest),
        Some(rest) if form.ends_with('(') => rest
            .strip_prefix('\'')
            .and_then(|rest| rest.strip_suffix("')"))
            .is_some_and(|path| !path.contains('\'')),
        Some(rest) => rest.is_empty(),
    })
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
mod tests;
