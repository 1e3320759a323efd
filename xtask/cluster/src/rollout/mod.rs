//! What a rollout's state means: whether it is done, what it waits for, and what cannot get better. Pure: states go in
//! with the time that has passed, verdicts come out. Looking at the cluster is `watch`'s.

mod convert;
mod patience;
mod problem;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use convert::{observe, observe_set};
pub use patience::Patience;
pub use problem::{Problem, ProblemKind};

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
}
