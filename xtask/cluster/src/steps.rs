//! The steps of a cluster command: announced, timed, told how they ended. They are numbered in the order in which they
//! begin.
//!
//! Must not: know what a step does.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use xtask::event::{Event, Events, Outcome, StepId, StepReporter};
use xtask::execute::{Halt, stand_still};
use xtask::failure::Failure;

/// What a step brought about, and what it found.
#[derive(Debug)]
pub struct Finished<T> {
    found: T,
    outcome: Outcome,
}

impl<T> Finished<T> {
    /// Something is other than before.
    pub fn changed(found: T, detail: impl Into<String>) -> Self {
        Self { found, outcome: Outcome::Done { detail: Some(detail.into()) } }
    }

    /// Everything was as it should be.
    pub fn unchanged(found: T) -> Self {
        Self { found, outcome: Outcome::Unchanged }
    }
}

/// A step that was begun and is ended by whoever began it: several that go on side by side.
#[derive(Debug)]
pub struct Begun {
    id: StepId,
    title: String,
    at: Instant,
    /// Tells how far it is.
    pub reporter: StepReporter,
}

/// Numbers and announces.
#[derive(Debug)]
pub struct Steps {
    events: Events,
    halt: Option<Halt>,
    last: AtomicU32,
}

impl Steps {
    /// No step yet. `halt` is where a test wants to kill the run.
    pub fn new(events: Events, halt: Option<Halt>) -> Self {
        Self { events, halt, last: AtomicU32::new(0) }
    }

    /// The stream of events.
    pub fn events(&self) -> &Events {
        &self.events
    }

    /// Begins a step.
    pub fn begin(&self, title: impl Into<String>, service: Option<&str>) -> Begun {
        let id = StepId(self.last.fetch_add(1, Ordering::Relaxed) + 1);
        let title = title.into();
        self.events.send(Event::StepStarted {
            step: id,
            title: title.clone(),
            service: service.map(str::to_owned),
        });
        Begun { id, title, at: Instant::now(), reporter: StepReporter::new(id, self.events.clone()) }
    }

    /// Ends a step.
    pub fn end(&self, step: Begun, outcome: Outcome) {
        let Begun { id, title, at, .. } = step;
        self.events.send(Event::StepFinished { step: id, title, outcome, took: at.elapsed() });
    }

    /// Runs one step from beginning to end.
    ///
    /// # Errors
    /// The step's own failure.
    pub async fn run<T>(
        &self,
        title: impl Into<String>,
        work: impl AsyncFnOnce(&StepReporter) -> Result<Finished<T>, Failure>,
    ) -> Result<T, Failure> {
        let step = self.begin(title, None);
        self.stand_still(Halt::is_before, &step).await;
        let result = work(&step.reporter).await;
        self.stand_still(Halt::is_after, &step).await;
        match result {
            Ok(finished) => {
                self.end(step, finished.outcome);
                Ok(finished.found)
            }
            Err(failure) => {
                self.end(step, Outcome::Failed { message: failure.message.clone() });
                Err(failure)
            }
        }
    }

    async fn stand_still(&self, is_here: impl Fn(&Halt, StepId, &str) -> bool, step: &Begun) {
        if self.halt.as_ref().is_some_and(|halt| is_here(halt, step.id, &step.title)) {
            stand_still(&step.reporter).await;
        }
    }
}

/// Asks again and again until there is an answer, or the time is over; then gives what was seen last.
///
/// # Errors
/// The last refusal, when the time is over.
pub async fn until<T, E>(
    limit: Duration,
    pause: Duration,
    mut ask: impl AsyncFnMut() -> Result<T, E>,
) -> Result<T, E> {
    let begun = Instant::now();
    loop {
        match ask().await {
            Err(_) if begun.elapsed() < limit => tokio::time::sleep(pause).await,
            answer => return answer,
        }
    }
}
