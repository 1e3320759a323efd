//! `cargo xtask test`: unit, integration and end-to-end tests, each suite with what it needs, every case told, and where
//! the time went.

mod coverage;

use std::num::NonZero;
use std::time::Instant;

use super::Context;
use super::doctor::Examination;
use crate::checklist::Checklist;
use crate::cli::{self, Suite};
use crate::doctor::Need;
use crate::engine::{Engine, labels};
use crate::event::Event;
use crate::failure::{Code, Failure};
use crate::limits;
use crate::pipeline;
use crate::process::{ProcessError, Program, is_running};
use crate::testing::{CaseOutcome, Reader, SuiteReport, junit};

/// Where the results stand for CI, below `target/homeport`.
const JUNIT: &str = "tests/junit.xml";

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
                &["--package", "xtask-cluster", "--lib", "--bins"],
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
            Self::Cluster => 1,
            Self::Unit | Self::E2e => std::thread::available_parallelism().map_or(1, NonZero::get),
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

/// Runs `test`.
///
/// # Errors
/// [`Code::TestsFailed`] when a test fails or a room is not covered as promised; what an image, a program or the engine
/// lacks otherwise.
pub async fn run(context: &Context, arguments: &cli::Test) -> Result<(), Failure> {
    context.make_secrets()?;
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
    let engine = if suites.iter().any(|suite| suite.needs_engine()) {
        let session = context.session(arguments.offline).await?;
        sweep(context, &session.engine, Whose::Ended).await?;
        super::image::obtain_missing(&session).await?;
        Some(session.engine)
    } else {
        None
    };
    let (reports, failures) = run_suites(context, &suites, arguments.filter.as_deref(), manner).await;
    if let Some(engine) = &engine {
        sweep(context, engine, Whose::Ours).await?;
    }
    let tested = conclude(context, &reports, failures);
    if arguments.coverage && !context.cancel.is_cancelled() {
        let all = suites == coverage::SUITES && arguments.filter.is_none();
        let covered = coverage::conclude(context, all).await;
        return tested.and(covered);
    }
    tested
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
    filter: Option<&str>,
    manner: Manner,
) -> (Vec<SuiteReport>, Vec<Failure>) {
    let titles = suites.iter().map(|suite| suite.title().to_owned()).collect();
    let mut checklist = Checklist::announce(&context.events, &context.cancel, titles);
    let (mut reports, mut failures) = (Vec::new(), Vec::new());
    for &suite in suites {
        let begun = Instant::now();
        let mut report = SuiteReport::new(suite.name());
        let result = checklist
            .step(async |_| {
                run_suite(context, suite, filter, manner, &mut report)
                    .await
                    .map_err(|error| failure_of(suite, &error))?;
                Ok(((), Some(format!("{} passed", report.count(CaseOutcome::Passed)))))
            })
            .await;
        report.took = begun.elapsed();
        reports.push(report);
        failures.extend(result.err());
        if context.cancel.is_cancelled() {
            break;
        }
    }
    (reports, failures)
}

async fn run_suite(
    context: &Context,
    suite: Suite,
    filter: Option<&str>,
    manner: Manner,
    report: &mut SuiteReport,
) -> Result<(), ProcessError> {
    let mut failed = Ok(());
    for call in suite.calls().iter().filter(|call| (manner.asks)(call)) {
        let program = Program::new("cargo", limits::TESTS)
            .args(manner.words.iter().chain(*call).copied())
            .args(["--".to_owned(), format!("--test-threads={}", suite.threads())])
            .args(filter)
            .directory(context.project.root())
            .outside_cargo()
            .env(labels::RUN_VARIABLE, std::process::id().to_string());
        let (mut reader, begun) = (Reader::default(), Instant::now());
        let ended = program
            .run(|_, line| {
                reader.line(line, begun.elapsed());
                let (source, line) = ("tests".to_owned(), line.to_owned());
                context.events.send(Event::Output { step: None, source, line });
            })
            .await;
        let (compiling, programs) = reader.finish(suite.threads(), begun.elapsed());
        report.compiling += compiling;
        report.programs.extend(programs);
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
        match (self, run.parse::<u32>()) {
            (Self::Ours, Ok(process)) => process == std::process::id(),
            (Self::Ours, Err(_)) => false,
            (Self::Ended, Ok(process)) => !is_running(process),
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

fn conclude(context: &Context, reports: &[SuiteReport], failures: Vec<Failure>) -> Result<(), Failure> {
    let path = context.project.scratch().join(JUNIT);
    super::keep(&path, &junit(reports))?;
    let total = |outcome| reports.iter().map(|report| report.count(outcome)).sum::<usize>();
    let (passed, failed) = (total(CaseOutcome::Passed), total(CaseOutcome::Failed));
    context.events.send(Event::Tested { suites: reports.to_vec() });
    context.events.note(format!("results as JUnit XML: {}", context.project.relative(&path).display()));
    context.events.note(format!("{passed} passed, {failed} failed"));
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
        let ours = std::process::id().to_string();
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
