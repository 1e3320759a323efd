//! `cargo xtask test`: unit, integration and end-to-end tests, each suite with what it needs, and where the time went.

use std::time::{Duration, Instant};

use super::Context;
use super::doctor::Examination;
use crate::checklist::Checklist;
use crate::cli::{self, Suite};
use crate::doctor::Need;
use crate::engine::{Engine, labels};
use crate::event::Event;
use crate::failure::{Code, Failure};
use crate::process::{ProcessError, Program};

/// The variable that names the run in the labels of its containers.
const RUN_VARIABLE: &str = "HOMEPORT_TEST_RUN";

impl Suite {
    const ALL: [Self; 3] = [Self::Unit, Self::Integration, Self::E2e];

    fn title(self) -> &'static str {
        match self {
            Self::Unit => "unit tests",
            Self::Integration => "integration tests of the service",
            Self::E2e => "end-to-end tests of the task runner",
        }
    }

    /// What cargo is asked for, one call after the other. A package at a time: asked for the whole workspace, cargo
    /// unites the packages' features and compiles what they share once more.
    fn calls(self) -> &'static [&'static [&'static str]] {
        match self {
            Self::Unit => {
                &[&["--package", "xtask", "--lib", "--bins"], &["--package", "service", "--lib", "--bins"]]
            }
            Self::Integration => &[&["--package", "service", "--test", "*"]],
            Self::E2e => &[&["--package", "xtask", "--test", "*"]],
        }
    }

    fn needs_engine(self) -> bool {
        self != Self::Unit
    }
}

/// How many tests passed and failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Count {
    passed: u64,
    failed: u64,
}

impl Count {
    /// Adds what a closing line of cargo's tells: `test result: ok. 12 passed; 0 failed; 0 ignored; …`.
    fn add(&mut self, line: &str) {
        let Some(result) = line.trim().strip_prefix("test result: ") else { return };
        let number = |word: &str| {
            result
                .split([';', '.'])
                .find_map(|part| part.trim().strip_suffix(word)?.trim().parse::<u64>().ok())
                .unwrap_or(0)
        };
        self.passed += number("passed");
        self.failed += number("failed");
    }
}

/// Runs `test`.
///
/// # Errors
/// [`Code::TestsFailed`] when a test fails; what an image or the engine lacks otherwise.
pub async fn run(context: &Context, arguments: &cli::Test) -> Result<(), Failure> {
    context.make_credentials()?;
    let suites: Vec<Suite> = arguments.suite.map_or_else(|| Suite::ALL.to_vec(), |suite| vec![suite]);
    if arguments.fix {
        let (stack, _) = context.project.stack()?;
        // The tests choose ports of their own.
        let mut examination =
            Examination::new(context.project.root(), Some(&stack), &[Need::Test], arguments.offline);
        examination.ports.clear();
        examination.ensure(&context.events).await?;
    }
    let engine = if suites.iter().any(|suite| suite.needs_engine()) {
        let session = context.session(arguments.offline).await?;
        sweep(context, &session.engine, "earlier runs").await?;
        super::image::obtain_missing(&session).await?;
        Some(session.engine)
    } else {
        None
    };
    let titles = suites.iter().map(|suite| suite.title().to_owned()).collect();
    let mut checklist = Checklist::announce(&context.events, &context.cancel, titles);
    let mut times: Vec<(Suite, Duration, Count)> = Vec::new();
    let mut failures: Vec<Failure> = Vec::new();
    for &suite in &suites {
        let begun = Instant::now();
        let mut count = Count::default();
        let result = checklist
            .step(async |_| {
                run_suite(context, suite, arguments.filter.as_deref(), &mut count)
                    .await
                    .map_err(|error| failure_of(suite, &error))?;
                Ok(((), Some(format!("{} passed", count.passed))))
            })
            .await;
        times.push((suite, begun.elapsed(), count));
        failures.extend(result.err());
        if context.cancel.is_cancelled() {
            break;
        }
    }
    if let Some(engine) = &engine {
        sweep(context, engine, "this run").await?;
    }
    conclude(context, &times, failures)
}

async fn run_suite(
    context: &Context,
    suite: Suite,
    filter: Option<&str>,
    count: &mut Count,
) -> Result<(), ProcessError> {
    let mut failed = Ok(());
    for call in suite.calls() {
        // Without --no-fail-fast the first binary with a failure would hide what the others find.
        let program = Program::new("cargo", crate::limits::TESTS)
            .args(["test", "--locked", "--no-fail-fast"])
            .args(call.iter().copied())
            .directory(context.project.root())
            .env(RUN_VARIABLE, std::process::id().to_string());
        let program = match filter {
            Some(filter) => program.arg("--").arg(filter),
            None => program,
        };
        let ended = program
            .run(|_, line| {
                count.add(line);
                let (source, line) = ("tests".to_owned(), line.to_owned());
                context.events.send(Event::Output { step: None, source, line });
            })
            .await;
        failed = failed.and(ended);
    }
    failed
}

/// Removes what a run of tests has left in the engine: nothing, unless it was killed.
async fn sweep(context: &Context, engine: &Engine, whose: &str) -> Result<(), Failure> {
    let mut removed = 0;
    for label in [labels::TEST, labels::TOOL] {
        removed += engine.sweep(label).await?;
    }
    if removed > 0 {
        context.events.note(format!("removed {removed} containers that {whose} left"));
    }
    Ok(())
}

fn conclude(
    context: &Context,
    times: &[(Suite, Duration, Count)],
    failures: Vec<Failure>,
) -> Result<(), Failure> {
    let mut total = Count::default();
    for (suite, took, count) in times {
        total.passed += count.passed;
        total.failed += count.failed;
        let took = crate::ui::duration(*took);
        context.events.note(format!("{}: {} passed in {took}", suite.title(), count.passed));
    }
    context.events.note(format!("{} passed, {} failed", total.passed, total.failed));
    match failures.into_iter().next() {
        None if total.passed == 0 => Err(Failure::new(Code::TestsFailed, "no test ran")
            .hint("the word after the suite is a part of a test's name")),
        None => Ok(()),
        Some(failure) => Err(failure),
    }
}

fn failure_of(suite: Suite, error: &ProcessError) -> Failure {
    if let ProcessError::Missing { .. } = error {
        return Failure::new(Code::ProgramMissing, error.to_string());
    }
    let name = clap::ValueEnum::to_possible_value(&suite).map(|value| value.get_name().to_owned());
    Failure::new(Code::TestsFailed, format!("{} failed: {error}", suite.title())).hint(format!(
        "`cargo xtask test {} NAME` runs the tests whose name contains NAME",
        name.unwrap_or_default()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_are_added_up() {
        let mut count = Count::default();
        for line in [
            "running 3 tests",
            "test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 1 filtered out; finished in 0.10s",
            "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s",
        ] {
            count.add(line);
        }
        assert_eq!(count, Count { passed: 15, failed: 2 });
    }
}
