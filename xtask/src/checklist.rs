//! Things done one after the other, announced beforehand and told as they end: for commands that follow no plan.
//!
//! Must not: decide what is done.

use std::time::Instant;

use tokio_util::sync::CancellationToken;

use crate::event::{Event, Events, Outcome, PlannedStep, StepId, StepReporter};
use crate::execute::{Halt, stand_still};
use crate::failure::{Code, Failure};

/// The steps, and how far we are.
#[derive(Debug)]
pub struct Checklist {
    events: Events,
    cancel: CancellationToken,
    titles: Vec<String>,
    done: u32,
    halt: Option<Halt>,
}

impl Checklist {
    /// Announces the steps.
    pub fn announce(events: &Events, cancel: &CancellationToken, titles: Vec<String>) -> Self {
        let steps = (1..).map(StepId).zip(&titles).map(|(step, title)| PlannedStep {
            step,
            title: title.clone(),
            cause: "asked for".to_owned(),
            needs: Vec::new(),
            makes_ready: false,
        });
        events.send(Event::Planned { steps: steps.collect() });
        Self { events: events.clone(), cancel: cancel.clone(), titles, done: 0, halt: None }
    }

    /// Stands still at a step, where a test wants to kill it.
    #[must_use]
    pub fn halting(mut self, halt: Option<Halt>) -> Self {
        self.halt = halt;
        self
    }

    /// Does the next step; `work` gives its result and what is worth telling of it. Ctrl-C drops the work.
    ///
    /// # Errors
    /// What the work fails with; [`Code::Interrupted`] at Ctrl-C.
    pub async fn step<T>(
        &mut self,
        work: impl AsyncFnOnce(&StepReporter) -> Result<(T, Option<String>), Failure>,
    ) -> Result<T, Failure> {
        self.done += 1;
        let step = StepId(self.done);
        let title = self.titles[self.done as usize - 1].clone();
        let begun = Instant::now();
        self.events.send(Event::StepStarted { step, title: title.clone(), service: None });
        let reporter = StepReporter::new(step, self.events.clone());
        let halt = self.halt.as_ref();
        let work = async {
            if halt.is_some_and(|halt| halt.is_before(step, &title)) {
                stand_still(&reporter).await;
            }
            let result = work(&reporter).await;
            if halt.is_some_and(|halt| halt.is_after(step, &title)) {
                stand_still(&reporter).await;
            }
            result
        };
        let result = tokio::select! {
            result = work => result,
            () = self.cancel.cancelled() => {
                Err(Failure::new(Code::Interrupted, format!("stopped during: {title}")))
            }
        };
        let outcome = match &result {
            Ok((_, detail)) => Outcome::Done { detail: detail.clone() },
            Err(failure) if failure.code == Code::Interrupted => Outcome::Cancelled,
            Err(failure) => Outcome::Failed { message: failure.message.clone() },
        };
        self.events.send(Event::StepFinished { step, title, outcome, took: begun.elapsed() });
        result.map(|(value, _)| value)
    }
}
