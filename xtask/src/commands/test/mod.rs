//! `cargo xtask test`: unit, integration and end-to-end tests, each suite with what it needs, every case told, and where
//! the time went.

mod coverage;

use std::num::NonZero;
use std::path::Path;
use std::time::Instant;

use super::Context;
use super::doctor::Examination;
use crate::checklist::Checklist;
use crate::cli::{self, Suite};
use crate::doctor::Need;
use crate::engine::{Engine, Run, labels};
use crate::event::Event;
use crate::failure::{Code, Failure};
use crate::limits;
use crate::pipeline;
use crate::process::{ProcessError, Program, is_running};
use crate::testing::{CaseOutcome, Reader, SuiteReport, junit};

/// Where the results stand for CI, below `target/homeport`; those of a measurement of coverage, beside.
const JUNIT: &str = "tests/junit.xml";
const JUNIT_OF_COVERAGE: &str = "tests/coverage-junit.xml";

impl Suite {
    /// What runs when no suite is named. Not the cluster's: it takes some ten minutes and both cores.
    const USUAL: [Self; 3] = [Self::Unit, Self::Integration, Self::E2e];

    fn title(self) -> &'static str {
        match self {
            Self::Unit => "unit tests",
            Self::Integration => "integration tests of the service",
            Self::E2e => "end-to-end tests of the task runner",
            Self::Cluster => "tests of the commands on Kubernetes",
        }
    }

    fn name(self) -> String {
        clap::ValueEnum::to_possible_value(&self).map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// What cargo is asked for, one call after the other. A package at a time: asked for the whole workspace, cargo
    /// unites the packages' features and compiles what they share once more.
    fn calls(self) -> &'static [&'static [&'static str]] {
        match self {
            Self::Unit => &[
                // The last two have no features but those that the first asks of them.
                &[
                    "--package",
                    "xtask",
                    "--package",
                    "xtask-core",
                    "--package",
                    "xtask-engine",
                    "--lib",
                    "--bins",
                ],
                // The same holds of the service's crates.
                &[
                    "--package",
                    "service",
                    "--package",
                    "service-config",
                    "--package",
                    "service-store",
                    "--package",
                    "service-telemetry",
                    "--lib",
                    "--bins",
                ],
                &["--package", "xtask-cluster", "--lib", "--bins", "--test", "kustomize_differential"],
            ],
            Self::Integration => &[&["--package", "service", "--test", "*"]],
            Self::E2e => &[&["--package", "xtask", "--test", "*"]],
            // Its stories share one cluster and follow one another; they are asked for by name only.
            Self::Cluster => &[&["--package", "xtask-cluster", "--test", "cluster"]],
        }
    }

    /// How many tests run at once.
    fn threads(self) -> usize {
        match self {
            Self::Integration => limits::INTEGRATION_TESTS,
            Self::E2e => limits::END_TO_END_TESTS,
            Self::Cluster => 1,
            Self::Unit => std::thread::available_parallelism().map_or(1, NonZero::get),
        }
    }

    fn needs_engine(self) -> bool {
        self != Self::Unit
    }
}

/// How cargo is called.
#[derive(Debug, Clone, Copy)]
struct Manner {
    /// The words before those of the suite.
    words: &'static [&'static str],
    /// Whether a call of a suite is made at all.
    asks: fn(&[&str]) -> bool,
}

/// Without --no-fail-fast the first binary with a failure would hide what the others find.
const PLAIN: Manner = Manner { words: &["test", "--locked", "--no-fail-fast"], asks: |_| true };

/// What cargo is asked for, and how.
#[derive(Debug)]
struct Order<'a> {
    /// A part of the tests' names.
    filter: Option<&'a str>,
    manner: Manner,
    /// The engine's address for what finds engines in another way than we do: tests, and what they are made of.
    docker_host: Option<String>,
}

/// Runs `test`.
///
/// # Errors
/// [`Code::TestsFailed`] when a test fails or a room is not covered as promised; what an image, a program or the engine
/// lacks otherwise.
pub async fn run(context: &Context, arguments: &cli::Test) -> Result<(), Failure> {
    context.make_secrets()?;
    let results = if arguments.coverage { JUNIT_OF_COVERAGE } else { JUNIT };
    let results = context.project.scratch().join(results);
    forget(&results)?;
    let suites: Vec<Suite> = match arguments.suite {
        Some(suite) => vec![suite],
        None if arguments.coverage => coverage::SUITES.to_vec(),
        None => Suite::USUAL.to_vec(),
    };
    if arguments.fix {
        mend(context, &suites, arguments.offline).await?;
    }
    let manner = if arguments.coverage {
        coverage::prepare(context, &suites, arguments.fix).await?;
        coverage::MANNER
    } else {
        PLAIN
    };
    let mut order = Order { filter: arguments.filter.as_deref(), manner, docker_host: None };
    let engine = if suites.iter().any(|suite| suite.needs_engine()) {
        order.docker_host = Some(docker_host()?);
        let session = context.session(arguments.offline).await?;
        sweep(context, &session.engine, Whose::Ended).await?;
        super::image::obtain_missing(&session).await?;
        Some(session.engine)
    } else {
        None
    };
    let (reports, failures) = run_suites(context, &suites, &order).await;
    if let Some(engine) = &engine {
        sweep(context, engine, Whose::Ours).await?;
    }
    let tested = conclude(context, &results, &reports, failures);
    if arguments.coverage && !context.cancel.is_cancelled() {
        let all = suites == coverage::SUITES && arguments.filter.is_none();
        let covered = coverage::conclude(context, all).await;
        return tested.and(covered);
    }
    tested
}

/// Takes away the results of an earlier run, which are not those of this one however it ends.
fn forget(results: &Path) -> Result<(), Failure> {
    match std::fs::remove_file(results) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            let message = format!("cannot remove {}: {error}", results.display());
            Err(Failure::new(Code::ProjectInvalid, message))
        }
        _ => Ok(()),
    }
}

/// The engine's address for the tests.
fn docker_host() -> Result<String, Failure> {
    Engine::docker_host()?.ok_or_else(|| {
        Failure::new(Code::MachineUnready, "the tests cannot speak to an engine that wants certificates")
            .hint("name one on this machine: DOCKER_HOST=unix:///var/run/docker.sock")
    })
}

async fn mend(context: &Context, suites: &[Suite], offline: bool) -> Result<(), Failure> {
    let (stack, _) = context.project.stack()?;
    let needs: &[Need] =
        if suites.contains(&Suite::Cluster) { &[Need::Test, Need::DeployKind] } else { &[Need::Test] };
    // The tests choose ports of their own.
    let mut examination = Examination::new(context.project.root(), Some(&stack), needs, offline);
    examination.ports.clear();
    examination.ensure(&context.events).await
}

async fn run_suites(
    context: &Context,
    suites: &[Suite],
    order: &Order<'_>,
) -> (Vec<SuiteReport>, Vec<Failure>) {
    let titles = suites.iter().map(|suite| suite.title().to_owned()).collect();
    let mut checklist = Checklist::announce(&context.events, &context.cancel, titles);
    let (mut reports, mut failures) = (Vec::new(), Vec::new());
    for &suite in suites {
        let begun = Instant::now();
        let mut said = Said { report: SuiteReport::new(suite.name()), call: None };
        let result = checklist
            .step(async |_| {
                run_suite(context, suite, order, &mut said)
                    .await
                    .map_err(|error| failure_of(suite, &error))?;
                Ok(((), Some(format!("{} passed", said.report.count(CaseOutcome::Passed)))))
            })
            .await;
        // Stopped in the middle, it has said something all the same.
        said.end_call(suite);
        let mut report = said.report;
        report.took = begun.elapsed();
        if let Err(failure) = &result {
            report.fail(failure.message.clone());
        }
        reports.push(report);
        failures.extend(result.err());
        if context.cancel.is_cancelled() {
            break;
        }
    }
    (reports, failures)
}

/// What a suite has said so far, also when nobody waits for its end any more.
struct Said {
    report: SuiteReport,
    /// The call of cargo that runs, and since when.
    call: Option<(Reader, Instant)>,
}

impl Said {
    fn end_call(&mut self, suite: Suite) {
        let Some((reader, begun)) = self.call.take() else { return };
        let (compiling, programs) = reader.finish(suite.threads(), begun.elapsed());
        self.report.compiling += compiling;
        self.report.programs.extend(programs);
    }
}

async fn run_suite(
    context: &Context,
    suite: Suite,
    order: &Order<'_>,
    said: &mut Said,
) -> Result<(), ProcessError> {
    let mut failed = Ok(());
    for call in suite.calls().iter().filter(|call| (order.manner.asks)(call)) {
        let mut program = Program::new("cargo", limits::TESTS)
            .args(order.manner.words.iter().chain(*call).copied())
            .args(["--".to_owned(), format!("--test-threads={}", suite.threads())])
            .args(order.filter)
            .directory(context.project.root())
            .outside_cargo()
            .env(labels::RUN_VARIABLE, Run::this().to_string());
        if let Some(host) = &order.docker_host {
            program = program.env("DOCKER_HOST", host);
        }
        let (reader, begun) = said.call.insert((Reader::default(), Instant::now()));
        let ended = program
            .run(|_, line| {
                reader.line(line, begun.elapsed());
                let (source, line) = ("tests".to_owned(), line.to_owned());
                context.events.send(Event::Output { step: None, source, line });
            })
            .await;
        said.end_call(suite);
        failed = failed.and(ended);
    }
    failed
}

/// Whose objects are to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// Of runs that have ended, and so were killed. One that runs still may be that of another checkout.
    Ended,
    /// Of this run.
    Ours,
}

impl Whose {
    /// Whether an object whose label has this value is to go.
    fn includes(self, run: &str) -> bool {
        match (self, run.parse::<Run>()) {
            (Self::Ours, Ok(run)) => run == *Run::this(),
            (Self::Ours, Err(_)) => false,
            (Self::Ended, Ok(run)) => run.has_ended(is_running),
            (Self::Ended, Err(_)) => true,
        }
    }
}

/// Removes what a run of tests has left in the engine: nothing, unless it was killed.
pub(super) async fn sweep(context: &Context, engine: &Engine, whose: Whose) -> Result<(), Failure> {
    let mut swept = Vec::new();
    for label in [labels::TEST, labels::TOOL] {
        swept.extend(engine.sweep(label, |run| whose.includes(run)).await?);
    }
    if !swept.is_empty() {
        let who = if whose == Whose::Ours { "this run" } else { "earlier runs" };
        context.events.note(format!("removed what {who} left: {}", swept.join(", ")));
    }
    Ok(())
}

fn conclude(
    context: &Context,
    results: &Path,
    reports: &[SuiteReport],
    failures: Vec<Failure>,
) -> Result<(), Failure> {
    super::keep(results, &junit(reports))?;
    let total = |outcome| reports.iter().map(|report| report.count(outcome)).sum::<usize>();
    let (passed, failed) = (total(CaseOutcome::Passed), total(CaseOutcome::Failed));
    let left_out = match total(CaseOutcome::Skipped) {
        0 => String::new(),
        some => format!(", {some} left out"),
    };
    context.events.send(Event::Tested { suites: reports.to_vec() });
    context.events.note(format!("results as JUnit XML: {}", context.project.relative(results).display()));
    context.events.note(format!("{passed} passed, {failed} failed{left_out}"));
    if let Some(failure) = failures.into_iter().next() {
        return Err(failure);
    }
    if passed == 0 {
        return Err(Failure::new(Code::TestsFailed, "no test ran")
            .hint("the word after the suite is a part of a test's name"));
    }
    nothing_left_out(reports, pipeline::is_here())
}

/// A pipeline's word is for all tests: one that was left out makes it fail.
fn nothing_left_out(reports: &[SuiteReport], in_pipeline: bool) -> Result<(), Failure> {
    let left_out: Vec<String> = reports
        .iter()
        .flat_map(SuiteReport::cases)
        .filter(|case| case.outcome == CaseOutcome::Skipped)
        .map(|case| case.name.clone())
        .collect();
    if !in_pipeline || left_out.is_empty() {
        return Ok(());
    }
    let message = format!("{} left out, expected none where {} is set", left_out.len(), pipeline::VARIABLE);
    Err(Failure::new(Code::TestsFailed, message)
        .details(left_out)
        .hint("a test that is not to run is no test: mend it, or take it out"))
}

fn failure_of(suite: Suite, error: &ProcessError) -> Failure {
    if let ProcessError::Missing { .. } = error {
        return Failure::new(Code::ProgramMissing, error.to_string());
    }
    Failure::new(Code::TestsFailed, format!("{} failed: {error}", suite.title()))
        .hint(format!("`cargo xtask test {} NAME` runs the tests whose name contains NAME", suite.name()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::testing::{self, Case};

    #[test]
    fn every_program_of_tests_is_in_a_suite() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
        let suites = [Suite::Unit, Suite::Integration, Suite::E2e, Suite::Cluster];
        let asked: Vec<&[&str]> =
            suites.iter().flat_map(|suite| suite.calls()).map(|words| &words[..]).collect();
        let is_asked = |package: &str, test: &str| {
            asked.iter().any(|words| {
                words.windows(2).any(|pair| pair == ["--package", package])
                    && words.windows(2).any(|pair| pair == ["--test", "*"] || pair == ["--test", test])
            })
        };
        let packages =
            ["service", "service/config", "service/store", "service/telemetry", "xtask", "xtask/core"]
                .into_iter()
                .chain(["xtask/engine", "xtask/buildkit", "xtask/cluster"]);
        let mut found = 0;
        for package in packages {
            let manifest =
                std::fs::read_to_string(root.join(package).join("Cargo.toml")).expect("a manifest");
            let name = manifest.split('"').nth(1).expect("its name comes first");
            let Ok(entries) = std::fs::read_dir(root.join(package).join("tests")) else { continue };
            for entry in entries {
                let path = entry.expect("an entry").path();
                let is_program = path.extension().is_some_and(|extension| extension == "rs")
                    || path.join("main.rs").is_file();
                if is_program {
                    let test = path.file_stem().expect("a name").to_string_lossy();
                    assert!(is_asked(name, &test), "{} is in no suite", path.display());
                    found += 1;
                }
            }
        }
        assert!(found > 5, "{found}");
    }

    #[test]
    fn a_test_that_was_left_out_fails_a_pipeline_only() {
        let report = |outcome| {
            let case =
                Case { name: "plan::later".to_owned(), outcome, took: Duration::ZERO, said: Vec::new() };
            let program =
                testing::Program { name: "xtask".to_owned(), took: Duration::ZERO, cases: vec![case] };
            SuiteReport { programs: vec![program], ..SuiteReport::new("unit") }
        };
        for (outcome, in_pipeline, fails) in [
            (CaseOutcome::Passed, true, false),
            (CaseOutcome::Skipped, false, false),
            (CaseOutcome::Skipped, true, true),
        ] {
            let left_out = nothing_left_out(&[report(outcome)], in_pipeline);
            assert_eq!(left_out.is_err(), fails, "{outcome:?} in a pipeline: {in_pipeline}");
        }
    }

    #[test]
    fn only_what_no_living_run_needs_is_swept() {
        let ours = Run::this().to_string();
        // A process that has ended: one that we have waited for.
        let mut child = std::process::Command::new(std::env::current_exe().expect("this program"))
            .arg("--list")
            .stdout(std::process::Stdio::null())
            .spawn()
            .expect("this program, again");
        let ended = child.id().to_string();
        child.wait().expect("its end");
        let table = [
            (Whose::Ended, ours.as_str(), false),
            (Whose::Ended, ended.as_str(), true),
            (Whose::Ended, "1", false),
            (Whose::Ended, "planted", true),
            (Whose::Ours, ours.as_str(), true),
            (Whose::Ours, ended.as_str(), false),
            (Whose::Ours, "planted", false),
        ];
        for (whose, run, included) in table {
            assert_eq!(whose.includes(run), included, "{whose:?} {run}");
        }
    }
}
