//! What a rollout's state means: whether it is done, what it waits for, and what cannot get better. Pure: states go in
//! with the time that has passed, verdicts come out. Looking at the cluster is `watch`'s.

mod convert;
mod patience;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

pub use convert::{observe, observe_set};
pub use patience::Patience;

use crate::limits;

/// What makes and replaces pods.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum WorkloadKind {
    /// A Deployment.
    #[default]
    Deployment,
    /// A `StatefulSet`.
    StatefulSet,
}

impl WorkloadKind {
    /// Reads a manifest's `kind`; `None` for what is no workload.
    pub fn parse(kind: &str) -> Option<Self> {
        match kind {
            "Deployment" => Some(Self::Deployment),
            "StatefulSet" => Some(Self::StatefulSet),
            _ => None,
        }
    }

    /// As kubectl names it.
    const fn word(self) -> &'static str {
        match self {
            Self::Deployment => "deployment",
            Self::StatefulSet => "statefulset",
        }
    }
}

/// One workload.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Workload {
    /// Its kind.
    pub kind: WorkloadKind,
    /// Its name.
    pub name: String,
    /// The number of its specification's last change, and the one that the controller has seen.
    pub generation: i64,
    /// See `generation`.
    pub observed_generation: i64,
    /// The replicas that are asked for.
    pub wanted: i32,
    /// All replicas there are.
    pub replicas: i32,
    /// Those of the newest template.
    pub updated: i32,
    /// Those that have been ready long enough.
    pub available: i32,
    /// Set when the controller says that `progressDeadlineSeconds` is over.
    pub deadline_exceeded: bool,
    /// What the controller was told when it was refused a pod: a quota, an admission rule.
    pub refused: Option<String>,
    /// Its first container's image.
    pub image: String,
    /// Its pods, those of older templates included.
    pub pods: Vec<Pod>,
}

/// One pod.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// Its address in the cluster.
    pub address: Option<String>,
    /// Whether it is of the newest template.
    pub current: bool,
    /// Whether it is being deleted.
    pub leaving: bool,
    /// Whether it is ready.
    pub ready: bool,
    /// Why no node has room for it.
    pub unschedulable: Option<String>,
    /// Its containers, those that initialise first.
    pub containers: Vec<Container>,
}

/// One container of a pod.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// Whether it initialises and ends.
    pub initialises: bool,
    /// How often it was restarted.
    pub restarts: i32,
    /// Whether it is ready; for one that initialises, whether it has ended well.
    pub ready: bool,
    /// How long its start may take before the kubelet ends it: what its startup probe's attempts add up to, when each
    /// one is waited for in vain.
    pub may_start_for: Duration,
    /// What it does.
    pub state: ContainerState,
    /// How it ended the last time: status and the kubelet's word (`Error`, `OOMKilled`).
    pub last_end: Option<(i32, String)>,
}

/// What a container does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ContainerState {
    /// It waits, for the kubelet's reason: `PodInitializing`, `CrashLoopBackOff`, `ErrImageNeverPull`.
    Waiting {
        /// The kubelet's word.
        reason: String,
        /// The kubelet's sentence.
        message: String,
    },
    /// It runs; whether its startup probe has passed.
    Running {
        /// See above.
        started: bool,
    },
    /// It ended with a status.
    Ended(i32),
    /// Nothing is told of it yet.
    #[default]
    Unknown,
}

/// Whether a Deployment is rolled out, as `kubectl rollout status` judges it (kubectl 1.34,
/// `pkg/polymorphichelpers/rollout_status.go`): the observed generation first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It is.
    Done,
    /// It is not yet; what it waits for.
    Waits(String),
    /// It will not be: the deadline that the manifest sets is over.
    Expired,
}

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
    /// Whether it is rolled out.
    pub fn standing(&self) -> Standing {
        if self.generation > self.observed_generation {
            return Standing::Waits("its controller to see the change".to_owned());
        }
        if self.deadline_exceeded {
            return Standing::Expired;
        }
        if self.updated < self.wanted {
            return Standing::Waits(format!("{} of {} pods are new", self.updated, self.wanted));
        }
        if self.replicas > self.updated {
            return Standing::Waits(format!("{} old pods to leave", self.replicas - self.updated));
        }
        if self.available < self.updated {
            return Standing::Waits(format!("{} of {} new pods are ready", self.available, self.updated));
        }
        Standing::Done
    }

    /// Whether all that it lacks is room on the nodes: every pod that is ready is of the newest template, every other one
    /// waits for a node. So it is while the autoscaler asks for more pods than fit; the controller then neither makes
    /// the rest of the new pods nor takes the last old one away, because too few are available for either.
    pub fn lacks_only_room(&self) -> bool {
        let pods = || self.pods.iter().filter(|pod| !pod.leaving);
        let seen = self.generation <= self.observed_generation && self.available > 0;
        let full = pods().any(|pod| pod.unschedulable.is_some());
        seen && full && pods().all(|pod| if pod.ready { pod.current } else { pod.unschedulable.is_some() })
    }

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

    /// One line for a person: what it waits for, and each pod that is not ready.
    pub fn told(&self) -> String {
        let waits = match self.standing() {
            Standing::Done => return "ready".to_owned(),
            Standing::Expired => "deadline exceeded".to_owned(),
            Standing::Waits(what) => what,
        };
        let pods = self.pods.iter().filter(|pod| !pod.ready && !pod.leaving);
        let pods: Vec<String> = pods.map(|pod| format!("{} {}", short(&pod.name), pod.told())).collect();
        if pods.is_empty() { waits } else { format!("{waits} · {}", pods.join(" · ")) }
    }
}

/// The part of a pod's name that no other pod of its workload has: a line of three pods is to fit into a terminal.
fn short(pod: &str) -> &str {
    pod.rsplit('-').next().unwrap_or(pod)
}

impl Pod {
    /// What it waits for, in a few words.
    pub fn told(&self) -> String {
        if self.leaving {
            return "leaving".to_owned();
        }
        if self.ready {
            return "ready".to_owned();
        }
        if self.unschedulable.is_some() {
            return "waits for room on a node".to_owned();
        }
        self.containers
            .iter()
            .find(|container| !container.ready)
            .map_or_else(|| "starting".to_owned(), Container::told)
    }
}

impl Container {
    fn told(&self) -> String {
        let what = match &self.state {
            ContainerState::Waiting { reason, .. } => reason.clone(),
            ContainerState::Running { .. } if self.initialises => "running".to_owned(),
            ContainerState::Running { started: false } => "starting".to_owned(),
            ContainerState::Running { started: true } => "not ready".to_owned(),
            ContainerState::Ended(status) => format!("ended with {status}"),
            ContainerState::Unknown => "waiting".to_owned(),
        };
        format!("{}: {what}", self.name)
    }

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
