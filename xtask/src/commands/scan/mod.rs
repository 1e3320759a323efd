//! `cargo xtask scan [CHECK…]`: what is vulnerable, unlicensed, secret or too privileged. Reads files and the engine, and
//! lets the pure rules of `scan/` judge.

mod dependencies;
mod files;
mod history;
mod image;
mod trivy;

use std::time::Duration;

use clap::ValueEnum as _;

use super::Context;
use crate::checklist::Checklist;
use crate::cli::{self, Check};
use crate::event::{Event, StepReporter};
use crate::failure::{Code, Failure};
use crate::pipeline;
use crate::scan::Finding;

/// How long a question to git, kubectl or cargo's metadata may take: all read files only.
const QUESTION: Duration = Duration::from_secs(120);

/// The variable that names what this site cannot check, where no argument does.
const WITHOUT_VARIABLE: &str = "HOMEPORT_SCAN_WITHOUT";

/// What a check came to.
enum Verdict {
    /// All is well; what was looked at.
    Passed(String),
    /// These break a rule.
    Found(Vec<String>),
    /// It could not be made, and why.
    NotRun(String),
}

/// Runs `scan`. Every check runs, whatever the others found and whichever of them broke.
///
/// # Errors
/// [`Code::ChecksFailed`] when a check finds something, or, when `CI` is set, could not be made; else the failure of the
/// first one that broke.
pub async fn run(context: &Context, arguments: &cli::Scan) -> Result<(), Failure> {
    let without = without(arguments)?;
    let checks = if arguments.checks.is_empty() { Check::ALL.to_vec() } else { arguments.checks.clone() };
    let titles = checks.iter().map(|check| title(*check).to_owned()).collect();
    let mut checklist = Checklist::announce(&context.events, &context.cancel, titles);
    let (mut found, mut not_run, mut broken) = (Vec::new(), Vec::new(), None);
    for check in checks {
        let step =
            checklist.step(async |reporter| match perform(context, arguments, check, reporter).await? {
                Verdict::Passed(what) => Ok((None, Some(what))),
                Verdict::NotRun(why) => Ok((Some(why.clone()), Some(format!("not run: {why}")))),
                Verdict::Found(lines) => {
                    let count = lines.len();
                    let message =
                        if count == 1 { "1 finding".to_owned() } else { format!("{count} findings") };
                    Err(Failure::new(Code::ChecksFailed, message).details(lines))
                }
            });
        match step.await {
            Ok(Some(why)) if without.contains(&check) => accepted(context, check, &why),
            Ok(why) => not_run.extend(why.map(|why| format!("{}: {why}", title(check)))),
            Err(failure) if failure.code == Code::ChecksFailed => {
                for line in failure.details {
                    context.events.send(Event::Output { step: None, source: title(check).to_owned(), line });
                }
                found.push(title(check));
            }
            Err(failure) if failure.code == Code::Interrupted => return Err(failure),
            Err(failure) => {
                not_run.push(format!("{}: {}", title(check), failure.message));
                broken.get_or_insert(failure);
            }
        }
    }
    if !found.is_empty() {
        let message = format!("the scan found something: {}", found.join(", "));
        return Err(Failure::new(Code::ChecksFailed, message).details(not_run));
    }
    if let Some(failure) = broken {
        return Err(failure);
    }
    if not_run.is_empty() {
        return Ok(());
    }
    if pipeline::is_here() {
        return Err(Failure::new(Code::ChecksFailed, "not everything could be scanned").details(not_run));
    }
    for line in not_run {
        context.events.warning(format!("not run: {line}"));
    }
    Ok(())
}

/// The checks that this site cannot make.
fn without(arguments: &cli::Scan) -> Result<Vec<Check>, Failure> {
    if !arguments.without.is_empty() {
        return Ok(arguments.without.clone());
    }
    let list = std::env::var(WITHOUT_VARIABLE).unwrap_or_default();
    let names = list.split(',').map(str::trim).filter(|name| !name.is_empty());
    let parse = |name| {
        let unknown =
            |_| Failure::new(Code::Usage, format!("{WITHOUT_VARIABLE} names {name:?}, which is no check"));
        Check::from_str(name, true).map_err(unknown)
    };
    names.map(parse).collect()
}

/// Says that a check was not run and that somebody has answered for it.
fn accepted(context: &Context, check: Check, why: &str) {
    let said = format!("NOT RUN, as --without or {WITHOUT_VARIABLE} accepts: {}: {why}", title(check));
    context.events.warning(said);
}

fn title(check: Check) -> &'static str {
    match check {
        Check::Dependencies => "dependencies (cargo-deny)",
        Check::Secrets => "secrets in the repository",
        Check::History => "secrets in the history",
        Check::Logs => "secrets in run logs",
        Check::Dockerfiles => "Dockerfiles",
        Check::Trivy => "release image (Trivy)",
        Check::Manifests => "Kubernetes manifests",
        Check::Image => "release image",
        Check::Bill => "software bill of materials",
    }
}

async fn perform(
    context: &Context,
    arguments: &cli::Scan,
    check: Check,
    reporter: &StepReporter,
) -> Result<Verdict, Failure> {
    let (chosen, offline) = (arguments.image.as_deref(), arguments.offline);
    match check {
        Check::Dependencies => dependencies::check(context, arguments.advisory_db.as_deref(), offline).await,
        Check::Secrets => files::secrets(context).await,
        Check::History => history::check(context).await,
        Check::Logs => files::logs(context),
        Check::Manifests => files::manifests(context).await,
        Check::Dockerfiles => files::dockerfiles(context).await,
        Check::Image => image::check(context, chosen).await,
        Check::Trivy => trivy::check(context, chosen, offline, reporter).await,
        Check::Bill => image::bill_of_materials(context).await,
    }
}

fn verdict(found: &[Finding], looked_at: String) -> Verdict {
    if found.is_empty() {
        return Verdict::Passed(looked_at);
    }
    Verdict::Found(found.iter().map(ToString::to_string).collect())
}
