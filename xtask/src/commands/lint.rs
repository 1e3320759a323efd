//! `cargo xtask lint`: format, clippy, YAML, workflows, Dockerfiles, the Compose file, Prometheus' configuration and
//! rules through promtool of the stack's own Prometheus image. A tool that is not here is told as not run, and fails where
//! `CI` is set.

use std::time::Duration;

use super::Context;
use super::doctor::Examination;
use crate::checklist::Checklist;
use crate::checks::{self, Kind};
use crate::cli;
use crate::doctor::Need;
use crate::engine::OneShot;
use crate::event::Event;
use crate::failure::{Code, Failure};
use crate::pipeline;
use crate::process::{ProcessError, Program};
use crate::project::known_files;
use crate::session::Session;
use crate::stack::ServiceName;

/// The `rust-version` of the workspace.
const OLDEST_RUST: &str = env!("CARGO_PKG_RUST_VERSION");

/// One check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Check {
    Format,
    Clippy,
    Yaml,
    Workflows,
    Dockerfiles,
    Compose,
    PrometheusConfiguration,
    PrometheusRules,
    /// Only when it is asked for: it compiles everything once more.
    OldestRust,
}

impl Check {
    const ALL: [Self; 8] = [
        Self::Format,
        Self::Yaml,
        Self::Workflows,
        Self::Dockerfiles,
        Self::Compose,
        Self::PrometheusConfiguration,
        Self::PrometheusRules,
        Self::Clippy,
    ];

    fn title(self) -> &'static str {
        match self {
            Self::Format => "format (rustfmt)",
            Self::Clippy => "clippy",
            Self::Yaml => "YAML",
            Self::Workflows => "workflows",
            Self::Dockerfiles => "Dockerfiles",
            Self::Compose => "Compose file",
            Self::PrometheusConfiguration => "Prometheus configuration (promtool check)",
            Self::PrometheusRules => "Prometheus rules (promtool test)",
            Self::OldestRust => "oldest Rust",
        }
    }
}

/// `cargo xtask lint`.
///
/// # Errors
/// As for [`run`]; when something is missing that `--fix` cannot mend.
pub async fn command(context: &Context, arguments: &cli::Lint) -> Result<(), Failure> {
    if arguments.fix {
        let stack = context.project.stack_as_found().ok().map(|(stack, ..)| stack);
        let needs = [Need::Lint];
        Examination::new(context.project.root(), stack.as_ref(), &needs, false)
            .ensure(&context.events)
            .await?;
    }
    let oldest = arguments.msrv.then_some(Check::OldestRust);
    carry_out(context, Check::ALL.into_iter().chain(oldest).collect(), arguments.fix).await
}

/// Runs `lint`. Every check runs, whatever the others found.
///
/// # Errors
/// [`Code::ChecksFailed`] when a check finds something, or when `CI` is set and a tool is missing.
pub async fn run(context: &Context) -> Result<(), Failure> {
    carry_out(context, Check::ALL.to_vec(), false).await
}

async fn carry_out(context: &Context, checks: Vec<Check>, fix: bool) -> Result<(), Failure> {
    let titles = checks.iter().map(|check| check.title().to_owned()).collect();
    let mut checklist = Checklist::announce(&context.events, &context.cancel, titles);
    let mut found: Vec<&str> = Vec::new();
    let mut not_run: Vec<String> = Vec::new();
    for check in checks {
        match checklist
            .step(async |_| perform(context, check, fix).await.map(|done| (done.clone(), done.seen)))
            .await
        {
            Ok(done) => not_run.extend(done.not_run),
            Err(failure) if failure.code == Code::Interrupted => return Err(failure),
            Err(failure) => {
                for line in failure.details {
                    context.events.send(Event::Output { step: None, source: check.title().to_owned(), line });
                }
                found.push(check.title());
            }
        }
    }
    if !not_run.is_empty() {
        context.events.warning(format!(
            "not run, because not installed: {}; what else there is for the same files ran",
            not_run.join(", ")
        ));
    }
    judge(&found, &not_run, pipeline::is_here())
}

/// What the checks come to: in the pipeline nothing may be left out.
fn judge(found: &[&str], not_run: &[String], in_pipeline: bool) -> Result<(), Failure> {
    if !found.is_empty() {
        let message = format!("checks found something: {}", found.join(", "));
        return Err(Failure::new(Code::ChecksFailed, message));
    }
    if not_run.is_empty() || !in_pipeline {
        return Ok(());
    }
    let message = format!("not everything could be checked: missing {}", not_run.join(" and "));
    Err(Failure::new(Code::ChecksFailed, message).hint("`cargo xtask lint --fix` installs what checks need"))
}

/// What a check that found nothing tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Done {
    /// What it looked at.
    seen: Option<String>,
    /// The program that would have found more, and is not installed.
    not_run: Option<String>,
}

async fn perform(context: &Context, check: Check, fix: bool) -> Result<Done, Failure> {
    let nothing_more = |()| Done::default();
    match check {
        Check::Format => cargo(context, &["fmt", "--all", "--check"]).await.map(nothing_more),
        Check::Clippy => {
            cargo(context, &["clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"])
                .await
                .map(nothing_more)
        }
        Check::Yaml => files(context, &[Kind::Yaml, Kind::Workflow], checks::yaml, None).await,
        Check::Workflows => {
            files(context, &[Kind::Workflow], checks::workflow, Some(("actionlint", "-no-color"))).await
        }
        Check::Dockerfiles => {
            files(context, &[Kind::Dockerfile], checks::dockerfile, Some(("hadolint", "--no-color"))).await
        }
        Check::Compose => context.project.stack_as_found().map(drop).map(nothing_more),
        Check::PrometheusConfiguration => {
            promtool(context, "promtool check config /etc/prometheus/prometheus.yml").await.map(nothing_more)
        }
        Check::PrometheusRules => {
            promtool(context, "promtool test rules /etc/prometheus/tests/*.test.yml").await.map(nothing_more)
        }
        Check::OldestRust => oldest_rust(context, fix).await,
    }
}

/// Checks every file of these kinds that git knows or would take, ourselves and with a program that is installed or not.
async fn files(
    context: &Context,
    kinds: &[Kind],
    check: fn(&str) -> Vec<checks::Fault>,
    program: Option<(&str, &str)>,
) -> Result<Done, Failure> {
    let root = context.project.root();
    let of_kind = |name: &str| Kind::of(name).is_some_and(|kind| kinds.contains(&kind));
    let mut files = known_files(root).await?;
    files.retain(|file| of_kind(&file.name));
    let mut found = Vec::new();
    for file in &files {
        match std::fs::read_to_string(&file.path) {
            Ok(text) => found.extend(check(&text).into_iter().map(|fault| fault.of(&file.name))),
            Err(error) => found.push(format!("{}: cannot be read: {error}", file.name)),
        }
    }
    let paths: Vec<&std::path::Path> =
        files.iter().filter_map(|file| file.path.strip_prefix(root).ok()).collect();
    let mut not_run = None;
    // Without files it would look for some by itself.
    if let Some((program, option)) = program.filter(|_| !paths.is_empty()) {
        let mut said = Vec::new();
        let run = Program::new(program, crate::limits::CHECK).arg(option).args(&paths).directory(root);
        match run.run(|_, line| said.push(line.to_owned())).await {
            Ok(()) => {}
            Err(ProcessError::Missing { .. }) => not_run = Some(program.to_owned()),
            Err(error) => {
                said.push(error.to_string());
                found.extend(said);
            }
        }
    }
    if found.is_empty() {
        return Ok(Done { seen: Some(format!("{} files", paths.len())), not_run });
    }
    Err(Failure::new(Code::ChecksFailed, format!("faults in {} files: {}", paths.len(), found.len()))
        .details(found))
}

/// Compiles everything with the Rust that the workspace promises to be enough; installs it first when `fix` says so.
async fn oldest_rust(context: &Context, fix: bool) -> Result<Done, Failure> {
    let rustup = |arguments: &[&str]| {
        let program = Program::new("rustup", crate::limits::CHECK).args(arguments.iter().copied());
        program.outside_cargo().directory(context.project.root())
    };
    let failed = |error: ProcessError| {
        let said = if let ProcessError::Failed { stderr, .. } = &error { stderr.clone() } else { Vec::new() };
        Failure::new(Code::ChecksFailed, error.to_string()).details(said)
    };
    if fix {
        let install = ["toolchain", "install", "--profile", "minimal", OLDEST_RUST];
        rustup(&install).output().await.map_err(failed)?;
    }
    if rustup(&["run", OLDEST_RUST, "rustc", "--version"]).output().await.is_err() {
        return Ok(Done { seen: None, not_run: Some(format!("Rust {OLDEST_RUST}")) });
    }
    let check = ["run", OLDEST_RUST, "cargo", "check", "--locked", "--workspace", "--all-targets"];
    rustup(&check).output().await.map_err(failed)?;
    Ok(Done { seen: Some(format!("Rust {OLDEST_RUST}")), not_run: None })
}

async fn cargo(context: &Context, arguments: &[&str]) -> Result<(), Failure> {
    let program = Program::new("cargo", crate::limits::CHECK)
        .args(arguments.iter().copied())
        .outside_cargo()
        .directory(context.project.root());
    let mut said = Vec::new();
    match program.run(|_, line| said.push(line.to_owned())).await {
        Ok(()) => Ok(()),
        Err(error @ ProcessError::Missing { .. }) => {
            Err(Failure::new(Code::ProgramMissing, error.to_string()))
        }
        Err(error) => Err(Failure::new(Code::ChecksFailed, error.to_string()).details(said)),
    }
}

/// How long promtool may take: the unit tests of rules evaluate hours of made-up samples.
const PROMTOOL: Duration = Duration::from_secs(300);

async fn promtool(context: &Context, line: &str) -> Result<(), Failure> {
    let (session, _) = context.session_as_found(false).await?;
    let prometheus = session.stack.services.get(&ServiceName::new("prometheus")).ok_or_else(|| {
        Failure::new(Code::ComposeInvalid, "the stack has no service prometheus, whose image holds promtool")
    })?;
    obtain_prometheus(&session).await?;
    let what = OneShot {
        image: prometheus.image.clone(),
        command: ["/bin/sh", "-c", line].map(str::to_owned).to_vec(),
        mounts: vec![(context.project.root().join("compose/prometheus"), "/etc/prometheus".to_owned())],
        limit: PROMTOOL,
    };
    let ended = session.engine.run_once(&what).await?;
    if ended.status == 0 {
        return Ok(());
    }
    Err(Failure::new(Code::ChecksFailed, format!("`{line}` ended with status {}", ended.status))
        .details(ended.lines))
}

/// Gets the image when it is missing; the others are no business of a check.
async fn obtain_prometheus(session: &Session) -> Result<(), Failure> {
    let mut only = session.clone();
    only.stack.services.retain(|name, _| name.as_str() == "prometheus");
    only.stack.services.values_mut().for_each(|service| service.depends_on.clear());
    super::image::obtain_missing(&only).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_the_pipeline_no_tool_may_be_missing() {
        let missing = ["actionlint".to_owned(), "hadolint".to_owned()];
        assert_eq!(judge(&[], &[], true), Ok(()));
        assert_eq!(judge(&[], &missing, false), Ok(()), "on a laptop our own checks are enough");
        let failure = judge(&[], &missing, true).expect_err("in the pipeline");
        assert_eq!(failure.code, Code::ChecksFailed);
        assert!(failure.message.contains("missing actionlint and hadolint"), "{failure}");
        let failure = judge(&["YAML"], &missing, true).expect_err("a fault");
        assert!(failure.message.contains("YAML"), "what was found is told first: {failure}");
    }
}
