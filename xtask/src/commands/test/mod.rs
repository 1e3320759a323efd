//! `cargo xtask test`: unit, integration and end-to-end tests, each suite with what it needs, every case told, and where
//! the time went.

mod coverage;
mod previous;
mod suite;
mod sweep;

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
use crate::process::{ProcessError, Program};
use crate::project::{Lock, lock_of};
use crate::stack::{ProjectName, Stack};
use crate::testing::{CaseOutcome, Reader, SuiteReport, junit};

use previous::Previous;
pub(super) use sweep::{Whose, sweep};

/// Where the results stand for CI, below `target/homeport`; those of a measurement of coverage, beside.
const JUNIT: &str = "tests/junit.xml";
const JUNIT_OF_COVERAGE: &str = "tests/coverage-junit.xml";

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
    /// What the tests are told of this machine and this project.
    surroundings: Surroundings,
}

/// What test programs are told by variables.
#[derive(Debug, Default)]
pub(super) struct Surroundings(Vec<(&'static str, String)>);

/// Which image the service's tests start as which service of the stack.
const TEST_IMAGES: [(&str, &str); 2] =
    [("postgres", "HOMEPORT_TEST_POSTGRES_IMAGE"), ("redis", "HOMEPORT_TEST_REDIS_IMAGE")];

/// The program of the version before this one; empty where this is the first.
const PREVIOUS_VARIABLE: &str = "HOMEPORT_TEST_PREVIOUS";

impl Surroundings {
    /// The engine's address, for what finds engines in another way than we do, and the stack's images.
    ///
    /// # Errors
    /// When the tests could not speak to the engine.
    pub(super) fn of(stack: &Stack) -> Result<Self, Failure> {
        let images = TEST_IMAGES.iter().filter_map(|(service, variable)| {
            let (_, service) = stack.services.iter().find(|(name, _)| name.as_str() == *service)?;
            Some((*variable, service.image.with_tag().to_string()))
        });
        Ok(Self(std::iter::once(("DOCKER_HOST", docker_host()?)).chain(images).collect()))
    }

    /// A program that is told all that, and whose run it is.
    pub(super) fn tell(&self, program: Program) -> Program {
        let program = program.env(labels::RUN_VARIABLE, Run::this().to_string());
        self.0.iter().fold(program, |program, (name, value)| program.env(name, value))
    }
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
    // Those of an earlier run are not those of this one, however it ends.
    super::forget(&results, |path| std::fs::remove_file(path))?;
    let suites: Vec<Suite> = match arguments.suite {
        Some(suite) => vec![suite],
        None if arguments.coverage => coverage::SUITES.to_vec(),
        None => Suite::USUAL.to_vec(),
    };
    if arguments.fix {
        mend(context, &suites, arguments.offline).await?;
    }
    let mut held = None;
    let manner = if arguments.coverage {
        // A second measurement would begin by forgetting what this one has counted.
        let (name, what) = (ProjectName::new("coverage"), "the coverage of this checkout");
        held = Some(lock_of(&context.project, &name, what, "test --coverage").await?);
        coverage::prepare(context, &suites, arguments.fix).await?;
        coverage::MANNER
    } else {
        PLAIN
    };
    let mut order =
        Order { filter: arguments.filter.as_deref(), manner, surroundings: Surroundings::default() };
    let engine = if suites.iter().any(|suite| suite.needs_engine()) {
        let session = context.session(arguments.offline).await?;
        order.surroundings = Surroundings::of(&session.stack)?;
        // What others have left keeps no test from running: it may be that the engine is still at work on it for another run.
        if let Err(failure) = sweep(context, &session.engine, Whose::Ended).await {
            context.events.warning(format!("not all that earlier runs left is removed: {}", failure.message));
        }
        super::image::obtain_missing(&session).await?;
        Some(session.engine)
    } else {
        None
    };
    // For a few other tests it would be compiled in vain; one that needs it all the same says so.
    if suites.contains(&Suite::Integration) && order.filter.is_none_or(|filter| filter.contains("previous")) {
        order.surroundings.0.extend(previous_version(context).await?);
    }
    let (reports, failures) = run_suites(context, &suites, &order).await;
    let swept = match &engine {
        Some(engine) => sweep(context, engine, Whose::Ours).await,
        None => Ok(()),
    };
    // Also where the engine has gone meanwhile, the tests have said what they have.
    let tested = conclude(context, &results, &reports, failures).and(swept);
    if arguments.coverage && !context.cancel.is_cancelled() {
        let all = suites == coverage::SUITES && arguments.filter.is_none();
        let covered = coverage::conclude(context, all).await;
        return done(held, tested.and(covered));
    }
    done(held, tested)
}

fn done(held: Option<Lock>, ended: Result<(), Failure>) -> Result<(), Failure> {
    if let Some(lock) = held {
        lock.finish(&ended);
    }
    ended
}

/// What the tests are told of the version before this one.
async fn previous_version(context: &Context) -> Result<Option<(&'static str, String)>, Failure> {
    let commit = match previous::find(context.project.root()).await? {
        Previous::Commit(commit) => commit,
        Previous::None(why) => {
            context.events.note(format!("no earlier version is run beside this one: {why}"));
            return Ok(Some((PREVIOUS_VARIABLE, String::new())));
        }
        // The test says that it is left out, which a pipeline does not let pass.
        Previous::Unknown(why) => {
            context.events.note(format!("no earlier version can be run beside this one: {why}"));
            return Ok(None);
        }
    };
    let title = format!("build the service of commit {}", &commit[..commit.len().min(12)]);
    let mut checklist = Checklist::announce(&context.events, &context.cancel, vec![title]);
    let program = checklist
        .step(async |reporter| Ok((previous::build(context, &commit, reporter).await?, None)))
        .await?;
    Ok(Some((PREVIOUS_VARIABLE, program.display().to_string())))
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
        let program = Program::new("cargo", limits::TESTS)
            .args(order.manner.words.iter().chain(*call).copied())
            .args(["--".to_owned(), format!("--test-threads={}", suite.threads())])
            .args(order.filter)
            .directory(context.project.root())
            .outside_cargo();
        let program = order.surroundings.tell(program);
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
}
