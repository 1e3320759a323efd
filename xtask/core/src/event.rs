//! What happens, as one typed stream. Rooms send events and never print; `ui` renders them for a terminal, as plain
//! lines or as JSON, and the run log keeps them all.
//!
//! Must not: format for a reader, or know who listens.

mod channel;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use channel::{Arriving, Events, WITH_ENGINE};

use crate::failure::Failure;
use crate::finding::Finding;
use crate::profile::Profile;
use crate::testing::SuiteReport;
use crate::testing::coverage::RoomCoverage;

/// The number of a step within one plan, counted from 1 as it is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct StepId(pub u32);

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A command began to work on a project.
    RunStarted {
        /// The command, as typed after `cargo xtask`.
        command: String,
        /// The checkout it works on.
        directory: String,
    },
    /// A plan was made; an empty list of steps means that nothing is to be done.
    Planned {
        /// Its steps, in order.
        steps: Vec<PlannedStep>,
    },
    /// A step began.
    StepStarted {
        /// Which one.
        step: StepId,
        /// What it does: `create container postgres`.
        title: String,
        /// The service it is about, when it is about one.
        #[serde(skip_serializing_if = "Option::is_none")]
        service: Option<String>,
    },
    /// A step is under way.
    StepProgress {
        /// Which one.
        step: StepId,
        /// How far.
        progress: Progress,
    },
    /// A step ended.
    StepFinished {
        /// Which one.
        step: StepId,
        /// What it did, as in `StepStarted`.
        title: String,
        /// How it ended.
        outcome: Outcome,
        /// How long it took.
        #[serde(serialize_with = "seconds")]
        took: Duration,
    },
    /// A stage of the pipeline began.
    StageStarted {
        /// Its name.
        stage: String,
    },
    /// A stage of the pipeline ended.
    StageFinished {
        /// Its name.
        stage: String,
        /// How it ended.
        outcome: StageOutcome,
        /// How long it took.
        #[serde(serialize_with = "seconds")]
        took: Duration,
    },
    /// Something a person should know that is no failure.
    Note {
        /// A sentence fragment.
        text: String,
    },
    /// Something that is likely to be unwanted.
    Warning {
        /// A sentence fragment.
        text: String,
    },
    /// Output of a program that a step runs (a compiler's error, a builder's line).
    Output {
        /// The step that runs it, when one does.
        #[serde(skip_serializing_if = "Option::is_none")]
        step: Option<StepId>,
        /// Whose it is: `cargo`, `recipe postgres`.
        source: String,
        /// The line, without its end.
        line: String,
    },
    /// One line of a service's log.
    Log {
        /// Which service.
        service: String,
        /// Whether it went to standard error.
        stderr: bool,
        /// The line, without its end.
        line: String,
        /// Which of the service's containers said it, where several come one after the other (`dev`).
        #[serde(flatten)]
        origin: Option<LogOrigin>,
    },
    /// From now on a person sees the logs of one service only, or of all again; the run log keeps all.
    LogsNarrowed {
        /// Which service; `None` for all.
        #[serde(skip_serializing_if = "Option::is_none")]
        to: Option<String>,
    },
    /// The containers of a project are gone, and what they said goes with them (`down`).
    TakenDown {
        /// Which project.
        project: String,
    },
    /// The stack as it stands: sent when a command has brought it there.
    Summary {
        /// One row a service.
        services: Vec<ServiceReport>,
    },
    /// Where the time of a start went (`dev --profile`, `status --start`).
    StartProfiled {
        /// When it began, as RFC 3339 text, when it is not the one just now.
        #[serde(skip_serializing_if = "Option::is_none")]
        at: Option<String>,
        /// The chain of steps that it was as long as, and the others.
        #[serde(flatten)]
        profile: Profile,
    },
    /// What was asked of the service in the last minute, after the summary (`status`).
    LastMinute {
        /// As Prometheus has it.
        figures: LastMinute,
    },
    /// What was found of this machine (`doctor`).
    Diagnosis {
        /// One a thing that was looked at.
        findings: Vec<Finding>,
    },
    /// What the tests said (`test`).
    Tested {
        /// One a suite, each with its cases.
        suites: Vec<SuiteReport>,
    },
    /// How much of each room the tests reach (`test --coverage`).
    Covered {
        /// One a room.
        rooms: Vec<RoomCoverage>,
    },
    /// What a command within a command answers with (`ci`).
    Answered {
        /// For a person.
        #[serde(skip)]
        lines: Vec<String>,
        /// For a program.
        value: serde_json::Value,
    },
    /// Something is wrong until it is mended (the compiler complains, the Compose file cannot be read) and must stay in
    /// view meanwhile. A later one about the same takes its place.
    Problem {
        /// What it is about: `build service`.
        about: String,
        /// The evidence, line by line.
        lines: Vec<String>,
    },
    /// A problem is mended.
    ProblemSolved {
        /// What it was about.
        about: String,
    },
    /// A command failed: the failure as it is shown to a person.
    Failed {
        /// The failure's stable code.
        code: &'static str,
        /// The exit status that goes with it.
        exit: u8,
        /// What was attempted, on what, what was seen and expected.
        message: String,
        /// Evidence, line by line.
        details: Vec<String>,
        /// The next command to run, or what to change.
        #[serde(skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
    },
    /// A command ended.
    RunFinished {
        /// How long it took.
        #[serde(serialize_with = "seconds")]
        took: Duration,
        /// The failure's stable code, when it failed.
        #[serde(skip_serializing_if = "Option::is_none")]
        failure: Option<&'static str>,
        /// The exit status.
        exit: u8,
    },
}

/// Whose line of a log it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogOrigin {
    /// The project.
    pub project: String,
    /// The engine's identifier of the container.
    pub container: String,
}

impl From<&Failure> for Event {
    fn from(failure: &Failure) -> Self {
        Self::Failed {
            code: failure.code.as_str(),
            exit: failure.code.exit() as u8,
            message: failure.message.clone(),
            details: failure.details.clone(),
            hint: failure.hint.clone(),
        }
    }
}

/// A step as a plan announces it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedStep {
    /// Its number.
    pub step: StepId,
    /// What it does.
    pub title: String,
    /// Why.
    pub cause: String,
    /// What must be done before.
    pub needs: Vec<StepId>,
    /// Whether it makes something ready for whoever waits.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub makes_ready: bool,
}

/// How far a step is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// What is going on: `downloading`, `probe: connection refused`.
    pub message: String,
    /// Bytes done and bytes in all, when they are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<(u64, u64)>,
}

/// How a stage of the pipeline ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "result", rename_all = "kebab-case")]
pub enum StageOutcome {
    /// All is well.
    Passed,
    /// Something in it failed.
    Failed {
        /// What, in one line.
        message: String,
    },
    /// A stage that it needs did not pass.
    Skipped {
        /// Which one.
        because: String,
    },
    /// It could not be run.
    NotRun {
        /// Why.
        why: String,
    },
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "result", rename_all = "kebab-case")]
pub enum Outcome {
    /// It did what it says.
    Done {
        /// What is worth telling: `from recipe`, `healthy`.
        #[serde(skip_serializing_if = "Option::is_none")]
        detail: Option<String>,
    },
    /// It found that nothing had to be done, or what it waits on changed nothing.
    Unchanged,
    /// Not tried, because something it needs failed.
    Skipped {
        /// What it needed.
        because: String,
    },
    /// Stopped by Ctrl-C.
    Cancelled,
    /// Failed.
    Failed {
        /// What was attempted, on what, seen and expected.
        message: String,
    },
}

/// One service in a summary or in `status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServiceReport {
    /// The service's name.
    pub service: String,
    /// Its state.
    pub state: ServiceState,
    /// Why it is in that state, in words: `no source has its image`, `exit status 1`, the last failed probe's output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The image reference.
    pub image: String,
    /// Where the image came from, when it is in the engine: `recipe`, `registry or loaded`, `host build`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_source: Option<String>,
    /// The addresses a person can use.
    pub urls: Vec<String>,
    /// Seconds since the container started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub up_seconds: Option<u64>,
}

/// What a service's container is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ServiceState {
    /// Runs, and its health check passes (or it has none and none is asked for).
    Healthy,
    /// Runs and has no health check.
    Running,
    /// Runs; its health check has not passed yet.
    Starting,
    /// Runs; its health check fails.
    Unhealthy,
    /// A one-shot that ended with status 0.
    Completed,
    /// Ended.
    Exited,
    /// Created or stopped by `down`, not running.
    Stopped,
    /// Paused.
    Paused,
    /// No container.
    Absent,
    /// Optional, and no source has its image.
    Unavailable,
}

impl ServiceState {
    /// The word that is shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Running => "running",
            Self::Starting => "starting",
            Self::Unhealthy => "unhealthy",
            Self::Completed => "completed",
            Self::Exited => "exited",
            Self::Stopped => "stopped",
            Self::Paused => "paused",
            Self::Absent => "absent",
            Self::Unavailable => "unavailable",
        }
    }

    /// Whether a stack may be called up with a service in this state.
    pub const fn is_well(self) -> bool {
        matches!(self, Self::Healthy | Self::Running | Self::Completed | Self::Unavailable)
    }
}

/// What was asked of the service in the last minute.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "result", rename_all = "kebab-case")]
pub enum LastMinute {
    /// As Prometheus has it.
    Measured {
        /// Requests of people a second; probes and scrapes do not count.
        requests_per_second: f64,
        /// How many requests beside those no rate tells of: a rate begins with the second value of a counter, and these
        /// made the first one. They came before Prometheus first looked, or were the first of their kind.
        requests_before_rate: u64,
        /// The part of them that was answered with 5xx, 0 to 1; nothing when nobody asked.
        #[serde(skip_serializing_if = "Option::is_none")]
        error_ratio: Option<f64>,
        /// The time within which 95 of 100 were answered; nothing when nobody asked.
        #[serde(skip_serializing_if = "Option::is_none")]
        p95_seconds: Option<f64>,
    },
    /// Nobody knows.
    Unknown {
        /// Why.
        why: String,
    },
}

/// What a step in progress holds: its number, and the stream to tell how far it is.
#[derive(Debug, Clone)]
pub struct StepReporter {
    step: StepId,
    events: Events,
}

impl StepReporter {
    /// A reporter for one step.
    pub fn new(step: StepId, events: Events) -> Self {
        Self { step, events }
    }

    /// Tells what is going on.
    pub fn message(&self, message: impl Into<String>) {
        self.progress(Progress { message: message.into(), bytes: None });
    }

    /// Tells how many bytes of how many are done.
    pub fn bytes(&self, message: impl Into<String>, done: u64, total: u64) {
        self.progress(Progress { message: message.into(), bytes: Some((done, total)) });
    }

    /// Passes on a line of a program's output.
    pub fn output(&self, source: impl Into<String>, line: impl Into<String>) {
        let (source, line) = (source.into(), line.into());
        self.events.send(Event::Output { step: Some(self.step), source, line });
    }

    /// The stream itself.
    pub fn events(&self) -> &Events {
        &self.events
    }

    fn progress(&self, progress: Progress) {
        self.events.send(Event::StepProgress { step: self.step, progress });
    }
}

/// Durations as seconds with millisecond precision, the unit of every machine-readable output.
pub(crate) fn seconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((duration.as_secs_f64() * 1000.0).round() / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Code;

    #[test]
    fn a_duration_is_written_in_seconds_and_thousandths() {
        let took = Duration::from_micros(12_345_600);
        let ended = Event::RunFinished { took, failure: None, exit: 0 };
        let written = serde_json::to_value(&ended).expect("plain data");
        assert_eq!(written["took"], serde_json::json!(12.346));
    }

    #[test]
    fn what_is_sent_arrives_in_its_order_under_its_step() {
        let (events, mut arrived) = Events::channel();
        let reporter = StepReporter::new(StepId(7), events);
        reporter.message("pulling");
        reporter.bytes("pulling", 1, 2);
        reporter.output("cargo", "Compiling");
        reporter.events().note("a note");
        reporter.events().warning("a warning");
        reporter.events().failure(&Failure::new(Code::Internal, "a failure"));
        let mut told = Vec::new();
        while let Ok(event) = arrived.try_recv() {
            told.push(match event {
                Event::StepProgress { step, progress } => {
                    format!("{step:?} {} {:?}", progress.message, progress.bytes)
                }
                Event::Output { step, source, line } => format!("{step:?} {source}: {line}"),
                Event::Note { text } => format!("note: {text}"),
                Event::Warning { text } => format!("warning: {text}"),
                other => serde_json::to_value(&other).expect("plain data")["message"].to_string(),
            });
        }
        let expected = [
            "StepId(7) pulling None",
            "StepId(7) pulling Some((1, 2))",
            "Some(StepId(7)) cargo: Compiling",
            "note: a note",
            "warning: a warning",
            "\"a failure\"",
        ];
        assert_eq!(told, expected);
    }
}
