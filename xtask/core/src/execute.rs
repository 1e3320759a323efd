//! Carries out a plan: independent steps at once, what needs a failed step not at all.
//!
//! Architecture invariant: it decides nothing. What is done, in which order and under which condition stands in the
//! plan; what an action means for the engine is the [`Operator`]'s.

mod halt;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::time::{Duration, Instant};

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio_util::sync::CancellationToken;

pub use halt::{HALT_VARIABLE, Halt};

use crate::event::{Event, Events, Outcome, StepId, StepReporter};
use crate::failure::Failure;
use crate::limits;
use crate::plan::{Action, Need, On, Plan, Step};

/// What an action brought about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    /// Whether anything is other than before.
    pub changed: bool,
    /// What is worth telling.
    pub detail: Option<String>,
    /// What a build spent its time with.
    pub built: Option<Built>,
}

/// What a build spent its time with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Built {
    /// Compiling.
    pub compiled: Duration,
    /// Making the image.
    pub packed: Duration,
}

impl Effect {
    /// Something is other than before.
    pub fn changed() -> Self {
        Self { changed: true, detail: None, built: None }
    }

    /// Everything was as it should be.
    pub fn unchanged() -> Self {
        Self { changed: false, detail: None, built: None }
    }

    /// Adds what is worth telling.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }
}

/// Does what a step says.
pub trait Operator {
    /// Carries out one action. Dropping the future must leave nothing half-made that the next plan would not find.
    fn perform(
        &self,
        action: &Action,
        reporter: &StepReporter,
    ) -> impl Future<Output = Result<Effect, Failure>>;
}

/// How a run went.
#[derive(Debug, Default)]
pub struct Report {
    /// What failed, each with its step, in the order of failing. Failures of optional steps are not among them.
    pub failures: Vec<(StepId, Failure)>,
    /// The steps that were not tried, because something that they need failed.
    pub skipped: BTreeSet<StepId>,
    /// Whether it was stopped from outside before everything was done.
    pub cancelled: bool,
    /// The steps that have changed something.
    pub done: BTreeMap<StepId, Done>,
    /// The steps that were begun.
    pub spent: BTreeMap<StepId, Spent>,
}

/// When a step was carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spent {
    /// When it began.
    pub began: Instant,
    /// When it ended, however it did.
    pub ended: Instant,
}

/// A step that has changed something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Done {
    /// When it was done.
    pub at: Instant,
    /// What it spent its time with, when it was a build.
    pub built: Option<Built>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Running,
    Changed,
    Unchanged,
    /// Failed or skipped: what needs it is skipped.
    Lost,
    /// Stopped from outside: what needs it ends likewise.
    Cancelled,
}

/// What a waiting step may do now.
enum Verdict {
    Wait,
    Run,
    Unchanged,
    Skip(StepId),
}

/// Carries out `plan`. Returns when every step has ended one way or another. When `cancel` fires, running operations are
/// dropped and nothing more is started.
pub async fn execute(
    plan: &Plan,
    operator: &impl Operator,
    events: &Events,
    cancel: &CancellationToken,
    halt: Option<&Halt>,
) -> Report {
    let mut states: BTreeMap<StepId, State> = plan.numbered().map(|(id, _)| (id, State::Waiting)).collect();
    let mut running = FuturesUnordered::new();
    let mut report = Report::default();
    loop {
        settle(plan, &mut states, events);
        if !cancel.is_cancelled() {
            for (id, step) in plan.numbered() {
                if running.len() >= limits::PARALLEL {
                    break;
                }
                if states[&id] == State::Waiting && matches!(verdict(step, &states), Verdict::Run) {
                    states.insert(id, State::Running);
                    running.push(run_step(id, step, operator, events, cancel, halt));
                }
            }
        }
        let Some((id, result)) = running.next().await else { break };
        states.insert(id, conclude(id, plan.step(id), result, events, &mut report));
    }
    for (id, step) in plan.numbered().filter(|(id, _)| states[id] == State::Waiting) {
        finish(events, id, step, Outcome::Cancelled, Duration::ZERO);
        report.cancelled = true;
    }
    let untried =
        states.iter().filter(|(id, state)| **state == State::Lost && !report.spent.contains_key(*id));
    report.skipped = untried.map(|(id, _)| *id).collect();
    report
}

/// Ends every step that has nothing to do or whose need was lost, until no more follow from that.
fn settle(plan: &Plan, states: &mut BTreeMap<StepId, State>, events: &Events) {
    // Needs point backwards, so one pass in order reaches everything.
    for (id, step) in plan.numbered() {
        if states[&id] != State::Waiting {
            continue;
        }
        match verdict(step, states) {
            Verdict::Wait | Verdict::Run => {}
            Verdict::Unchanged => {
                states.insert(id, State::Unchanged);
                finish(events, id, step, Outcome::Unchanged, Duration::ZERO);
            }
            Verdict::Skip(lost) => {
                states.insert(id, State::Lost);
                let because = plan.step(lost).action.to_string();
                finish(events, id, step, Outcome::Skipped { because }, Duration::ZERO);
            }
        }
    }
}

fn verdict(step: &Step, states: &BTreeMap<StepId, State>) -> Verdict {
    let lost = |need: &&Need| states[&need.step] == State::Lost;
    let (in_case, mut on_end) = step.needs.iter().partition::<Vec<_>, _>(|need| need.on == On::Failed);
    on_end.retain(lost);
    if let Some(need) = on_end.first() {
        return Verdict::Skip(need.step);
    }
    let open = |need: &Need| matches!(states[&need.step], State::Waiting | State::Running | State::Cancelled);
    if step.needs.iter().any(open) {
        return Verdict::Wait;
    }
    if !in_case.iter().all(lost) {
        return Verdict::Unchanged;
    }
    let mut on_change = step.needs.iter().filter(|need| need.on == On::Changed).peekable();
    if on_change.peek().is_some() && on_change.all(|need| states[&need.step] == State::Unchanged) {
        return Verdict::Unchanged;
    }
    Verdict::Run
}

type StepResult = (Option<Result<Effect, Failure>>, Spent);

/// One step's operation; `None` when it was cancelled.
async fn run_step(
    id: StepId,
    step: &Step,
    operator: &impl Operator,
    events: &Events,
    cancel: &CancellationToken,
    halt: Option<&Halt>,
) -> (StepId, StepResult) {
    let started = Instant::now();
    let title = step.action.to_string();
    events.send(Event::StepStarted {
        step: id,
        title: title.clone(),
        service: step.action.service().map(ToString::to_string),
    });
    let reporter = StepReporter::new(id, events.clone());
    let work = async {
        if halt.is_some_and(|halt| halt.is_before(id, &title)) {
            stand_still(&reporter).await;
        }
        let result = operator.perform(&step.action, &reporter).await;
        if halt.is_some_and(|halt| halt.is_after(id, &title)) {
            stand_still(&reporter).await;
        }
        result
    };
    let result = tokio::select! {
        // What is done is told as done, though the run is stopped at the same time.
        biased;
        result = work => Some(result),
        () = cancel.cancelled() => None,
    };
    (id, (result, Spent { began: started, ended: Instant::now() }))
}

/// Tells a test that this is the place, and stays there.
pub async fn stand_still(reporter: &StepReporter) {
    reporter.events().note("halted");
    std::future::pending::<()>().await;
}

fn conclude(
    id: StepId,
    step: &Step,
    (result, spent): StepResult,
    events: &Events,
    report: &mut Report,
) -> State {
    report.spent.insert(id, spent);
    let (state, outcome) = match result {
        Some(Ok(effect)) if effect.changed => {
            report.done.insert(id, Done { at: Instant::now(), built: effect.built });
            (State::Changed, Outcome::Done { detail: effect.detail })
        }
        Some(Ok(_)) => (State::Unchanged, Outcome::Unchanged),
        None => {
            report.cancelled = true;
            (State::Cancelled, Outcome::Cancelled)
        }
        Some(Err(failure)) => {
            let message = failure.message.clone();
            if step.optional {
                events.warning(format!("left out, being optional: {message}"));
            } else {
                report.failures.push((id, failure));
            }
            (State::Lost, Outcome::Failed { message })
        }
    };
    finish(events, id, step, outcome, spent.ended.saturating_duration_since(spent.began));
    state
}

fn finish(events: &Events, step: StepId, planned: &Step, outcome: Outcome, took: Duration) {
    events.send(Event::StepFinished { step, title: planned.action.to_string(), outcome, took });
}

#[cfg(test)]
mod tests;
