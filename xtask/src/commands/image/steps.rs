//! Steps that no plan orders: one after the other, each announced, shown and stopped by Ctrl-C as a plan's are.

use std::time::Instant;

use crate::commands::Context;
use crate::event::{Event, Outcome, PlannedStep, StepId, StepReporter};
use crate::failure::{Code, Failure};

/// Announces steps by their titles.
pub(super) fn announce(context: &Context, titles: &[String]) {
    let steps = (1..).map(StepId).zip(titles).map(|(step, title)| PlannedStep {
        step,
        title: title.clone(),
        cause: "asked for".to_owned(),
        needs: (1..step.0).next_back().map(StepId).into_iter().collect(),
    });
    context.events.send(Event::Planned { steps: steps.collect() });
}

/// Takes one step. `work` returns what it made, and what is worth telling about it.
pub(super) async fn take<T>(
    context: &Context,
    step: StepId,
    title: &str,
    work: impl AsyncFnOnce(&StepReporter) -> Result<(T, String), Failure>,
) -> Result<T, Failure> {
    let begun = Instant::now();
    context.events.send(Event::StepStarted { step, title: title.to_owned(), service: None });
    let reporter = StepReporter::new(step, context.events.clone());
    let (outcome, result) = tokio::select! {
        done = work(&reporter) => match done {
            Ok((made, detail)) => (Outcome::Done { detail: Some(detail) }, Ok(made)),
            Err(failure) => (Outcome::Failed { message: failure.message.clone() }, Err(failure)),
        },
        () = context.cancel.cancelled() => (
            Outcome::Cancelled,
            Err(Failure::new(Code::Interrupted, format!("stopped: {title}"))),
        ),
    };
    let title = title.to_owned();
    context.events.send(Event::StepFinished { step, title, outcome, took: begun.elapsed() });
    result
}
