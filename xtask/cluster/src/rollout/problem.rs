//! What keeps a rollout from ending well, and how long it may pass by itself. Pure.

use std::fmt;
use std::time::Duration;

use super::{Container, ContainerState, Pod, Workload, WorkloadKind};
use crate::limits;

/// What keeps a rollout from ending well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The workload's kind.
    pub owner: WorkloadKind,
    /// The workload.
    pub workload: String,
    /// The pod, when it is one's.
    pub pod: Option<String>,
    /// Which kind of problem.
    pub kind: ProblemKind,
    /// What was seen, as a sentence fragment.
    pub seen: String,
}

/// Kinds of problems. Each is given the time in which it may pass by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProblemKind {
    /// A container ends again and again.
    Crashing,
    /// The image is not there and will not come.
    ImageMissing,
    /// The image could not be pulled.
    ImageUnpullable,
    /// A ConfigMap or Secret that the pod refers to is missing.
    ConfigurationMissing,
    /// No node has room.
    Unschedulable,
    /// The API server refuses new pods.
    PodsRefused,
    /// A container runs and its startup probe does not pass within this time.
    NeverStarted(Duration),
    /// A container runs and does not become ready.
    NeverReady,
    /// The manifest's own deadline is over.
    DeadlineExceeded,
}

impl ProblemKind {
    /// How long it may last.
    pub const fn patience(self) -> Duration {
        match self {
            Self::Crashing | Self::ImageMissing | Self::DeadlineExceeded => Duration::ZERO,
            Self::ImageUnpullable => limits::IMAGE_UNPULLABLE,
            Self::ConfigurationMissing => limits::CONFIGURATION_MISSING,
            Self::Unschedulable => limits::UNSCHEDULABLE,
            Self::PodsRefused => limits::PODS_REFUSED,
            Self::NeverStarted(limit) => limit,
            Self::NeverReady => limits::NEVER_READY,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.pod {
            Some(pod) => write!(f, "pod {pod}: {}", self.seen),
            None => write!(f, "{} {}: {}", self.owner.word(), self.workload, self.seen),
        }
    }
}

impl Workload {
    /// What keeps it from being rolled out. Old pods are left out: they are on their way. Until its controller has seen the
    /// newest template, nobody knows which pods are old.
    pub fn problems(&self) -> Vec<Problem> {
        let problem = |pod: Option<&Pod>, kind, seen: String| Problem {
            owner: self.kind,
            workload: self.name.clone(),
            pod: pod.map(|pod| pod.name.clone()),
            kind,
            seen,
        };
        let mut problems = Vec::new();
        if self.generation > self.observed_generation {
            return problems;
        }
        if self.deadline_exceeded {
            let seen = "its deadline (progressDeadlineSeconds) is over".to_owned();
            problems.push(problem(None, ProblemKind::DeadlineExceeded, seen));
        }
        if let Some(refusal) = &self.refused {
            problems.push(problem(None, ProblemKind::PodsRefused, format!("no pod may be made: {refusal}")));
        }
        for pod in self.pods.iter().filter(|pod| pod.current && !pod.leaving && !pod.ready) {
            if let Some(why) = &pod.unschedulable {
                problems.push(problem(
                    Some(pod),
                    ProblemKind::Unschedulable,
                    format!("no node has room: {why}"),
                ));
            }
            for container in &pod.containers {
                if let Some((kind, seen)) = container.problem() {
                    problems.push(problem(Some(pod), kind, seen));
                }
            }
        }
        problems
    }
}

impl Container {
    fn problem(&self) -> Option<(ProblemKind, String)> {
        if self.ready {
            return None;
        }
        let name = &self.name;
        if self.restarts >= limits::RESTARTS {
            let end = match &self.last_end {
                Some((status, word)) => format!(", the last time with status {status} ({word})"),
                None => String::new(),
            };
            return Some((ProblemKind::Crashing, format!("{name} ended {} times{end}", self.restarts)));
        }
        match &self.state {
            ContainerState::Waiting { reason, message } => {
                let kind = match reason.as_str() {
                    "ErrImageNeverPull" | "InvalidImageName" => ProblemKind::ImageMissing,
                    "ErrImagePull" | "ImagePullBackOff" | "RegistryUnavailable" => {
                        ProblemKind::ImageUnpullable
                    }
                    "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => {
                        ProblemKind::ConfigurationMissing
                    }
                    _ => return None,
                };
                Some((kind, format!("{name}: {reason}: {message}")))
            }
            ContainerState::Running { started: false } if !self.initialises => Some((
                ProblemKind::NeverStarted(self.may_start_for),
                format!(
                    "{name} runs and has not passed its startup probe for {} s",
                    self.may_start_for.as_secs()
                ),
            )),
            ContainerState::Running { started: true } if !self.initialises => Some((
                ProblemKind::NeverReady,
                format!("{name} runs and has not become ready for {} s", limits::NEVER_READY.as_secs()),
            )),
            _ => None,
        }
    }
}
