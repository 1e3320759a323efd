//! `cargo xtask ci [STAGE…]`: the pipeline, the same on a laptop and in CI. Stages run at once where `schedule` allows it
//! and are told one after the other.

mod report;
mod schedule;
mod stages;
mod turns;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

use self::report::Reports;
use self::schedule::{ALL, Next, Schedule};
use self::stages::{Ran, Run};
use self::turns::Turns;
use super::Context;
use super::doctor::Examination;
use crate::cli::Stage;
use crate::doctor::Need;
use crate::event::{Event, StageOutcome};
use crate::failure::{Code, Failure};

/// Runs `ci`. A stage that fails keeps only those from running that need it; the first failure, in the order of the
/// stages, is the result.
///
/// # Errors
/// The first stage's failure, with the command that reproduces it alone; [`Code::ChecksFailed`] when `CI` is set and a
/// stage could not be run; [`Code::Interrupted`] at Ctrl-C, which ends all that run.
pub async fn run(context: &Context, stages: &[Stage], fix: bool) -> Result<(), Failure> {
    let stages: Vec<Stage> = if stages.is_empty() { ALL.to_vec() } else { stages.to_vec() };
    if fix {
        mend(context, &stages).await?;
    }
    if stages.contains(&Stage::Stack) {
        // The stack would decide in the middle of the run what this checkout is called, and so what its images are.
        context.make_credentials().await?;
    }
    let (mut reports, failures) = carry_out(context, stages, fix).await;
    reports.sort(&ALL);
    reports.keep(context)?;
    if let Some(interrupted) = failures.values().find(|failure| failure.code == Code::Interrupted) {
        return Err(interrupted.clone());
    }
    context.told_in_turn(context.events.clone()).answer(&reports)?;
    match failures.into_iter().next() {
        Some((stage, failure)) => {
            Err(Failure::new(failure.code, format!("stage {} failed: {}", name(stage), failure.message))
                .hint(format!("`cargo xtask ci {}` runs this stage alone", name(stage))))
        }
        None => reports.judge(),
    }
}

/// How a stage that was begun has ended.
struct Ended {
    stage: Stage,
    context: Context,
    ran: Result<Ran, Failure>,
    took: Duration,
}

/// Runs them, and tells each. Returns what they came to, and the failures.
async fn carry_out(context: &Context, stages: Vec<Stage>, fix: bool) -> (Reports, BTreeMap<Stage, Failure>) {
    let turns = Turns::new(&context.events);
    let mut schedule = Schedule::new(stages);
    let mut reports = Reports::default();
    let mut failures = BTreeMap::new();
    let mut run = Run { fix, passed: Vec::new() };
    let mut running = FuturesUnordered::new();
    loop {
        while let Some(next) = schedule.next() {
            match next {
                Next::Begin(stage) => {
                    if schedule.runs_another_than(stage) {
                        context.events.note(format!("stage {} began; it is told in its turn", name(stage)));
                    }
                    let context = context.told_in_turn(turns.take());
                    running.push(begin(context, stage, run.clone()));
                }
                Next::Skip(stage, because) => {
                    let events = turns.take();
                    events.send(Event::StageStarted { stage: name(stage) });
                    let outcome = StageOutcome::Skipped { because: name(because) };
                    let (stage_name, took) = (name(stage), Duration::ZERO);
                    reports.add(stage, outcome.clone(), took);
                    events.send(Event::StageFinished { stage: stage_name, outcome, took });
                }
            }
        }
        let Some(Ended { stage, context, ran, took }) = running.next().await else { break };
        let outcome = match ran {
            Ok(Ran::Passed) => {
                run.passed.push(stage);
                StageOutcome::Passed
            }
            Ok(Ran::NotRun(why)) => StageOutcome::NotRun { why },
            Err(failure) => {
                if failure.code == Code::Interrupted {
                    schedule.stop();
                } else {
                    // Here, where the stage's other output is.
                    context.events.send(Event::from(&failure));
                }
                let message = failure.message.clone();
                failures.insert(stage, failure);
                StageOutcome::Failed { message }
            }
        };
        schedule.end(stage, !matches!(outcome, StageOutcome::Failed { .. }));
        reports.add(stage, outcome.clone(), took);
        context.events.send(Event::StageFinished { stage: name(stage), outcome, took });
    }
    turns.end().await;
    (reports, failures)
}

async fn begin(context: Context, stage: Stage, run: Run) -> Ended {
    let begun = Instant::now();
    context.events.send(Event::StageStarted { stage: name(stage) });
    let ran = stages::perform(&context, stage, &run).await;
    Ended { stage, context, ran, took: begun.elapsed() }
}

/// Mends what the stages need of the machine.
async fn mend(context: &Context, stages: &[Stage]) -> Result<(), Failure> {
    let needs: Vec<Need> = stages.iter().flat_map(|stage| stages::machine(*stage)).copied().collect();
    let stack = context.project.stack_as_found().ok().map(|(stack, ..)| stack);
    Examination::new(context.project.root(), stack.as_ref(), &needs, false).ensure(&context.events).await
}

fn name(stage: Stage) -> String {
    clap::ValueEnum::to_possible_value(&stage).map(|value| value.get_name().to_owned()).unwrap_or_default()
}
