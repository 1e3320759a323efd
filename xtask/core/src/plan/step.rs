//! What a plan consists of: steps, each with its cause and what it needs.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use super::{Container, NetworkSeen, Role, VolumeSeen};
use crate::event::{PlannedStep, StepId};
use crate::images::Source;
use crate::stack::{ImageReference, NetworkName, ServiceName, VolumeName};

/// An ordered list of steps; every need points backwards.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// The steps. A step's number is its place, counted from 1.
    pub steps: Vec<Step>,
    /// What a person should know that asks for no step.
    pub notes: Vec<String>,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// What.
    pub action: Action,
    /// Why.
    pub cause: Cause,
    /// What must be done before.
    pub needs: Vec<Need>,
    /// Whether the run succeeds without it (and without what needs it).
    pub optional: bool,
}

/// What a step waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Need {
    /// The step that must be done.
    pub step: StepId,
    /// What it must have brought about.
    pub on: On,
}

/// The condition of a need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum On {
    /// The step was done, whatever it found.
    Done,
    /// The step changed something; when it did not, the step that needs it has nothing to do either. Several needs of
    /// this kind are met by one of them.
    Changed,
    /// The step failed or was skipped; when it ended well, the step that needs it has nothing to do.
    Failed,
}

/// One operation.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Get an image from a source.
    ObtainImage {
        /// Which.
        image: ImageReference,
        /// Where from.
        source: Source,
    },
    /// Build the service with the host's cargo and put the binary into its image.
    BuildImage {
        /// The image to make.
        image: ImageReference,
        /// The workspace package.
        package: String,
    },
    /// Create a network.
    CreateNetwork(NetworkName),
    /// Remove a network.
    RemoveNetwork(NetworkSeen),
    /// Create a volume.
    CreateVolume(VolumeName),
    /// Remove a volume and the data in it.
    RemoveVolume(VolumeSeen),
    /// Create a service's container.
    CreateContainer(Seat),
    /// Start a service's container.
    StartContainer(Seat),
    /// Let a paused container go on.
    UnpauseContainer(Container),
    /// Stop a container and remove it.
    RemoveContainer {
        /// Which.
        container: Container,
        /// How long it may take to stop; zero kills it.
        grace: Duration,
    },
    /// Stop a container and keep it.
    StopContainer {
        /// Which.
        container: Container,
        /// How long it may take to stop.
        grace: Duration,
    },
    /// Ask a container's process to read its mounted files again.
    ReloadContainer {
        /// Which.
        container: Container,
        /// The signal it understands.
        signal: String,
    },
    /// Wait until a service is healthy (or runs, when it has no health check).
    AwaitHealthy(Seat),
    /// Send what comes to the ports of a fronted service to this container.
    Switch(Seat),
    /// Take the service's name from a container whose successor serves.
    Retire(Container),
    /// Remove a container once its last requests are answered, beside whatever comes next.
    LetGo {
        /// Which.
        container: Container,
        /// How long it may take to stop.
        grace: Duration,
    },
    /// Give a successor the service's name, which is free.
    RenameSuccessor(ServiceName),
    /// Remove a successor that does not take its place, if there is one.
    RemoveSuccessor(ServiceName),
    /// Wait until a one-shot has ended with status 0.
    AwaitCompleted(ServiceName),
}

/// A container by its place: the engine's name of it follows from that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seat {
    /// Whose container.
    pub service: ServiceName,
    /// Which of them.
    pub role: Role,
}

impl Seat {
    /// The container that has the service's name.
    pub fn holder(service: &ServiceName) -> Self {
        Self { service: service.clone(), role: Role::Holder }
    }

    /// The one beside it that is to take its place.
    pub fn successor(service: &ServiceName) -> Self {
        Self { service: service.clone(), role: Role::Successor }
    }

    fn container(&self) -> String {
        match self.role {
            Role::Holder => format!("container {}", self.service),
            Role::Successor | Role::Retired => self.to_string(),
        }
    }
}

impl fmt::Display for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.role {
            Role::Holder => write!(f, "{}", self.service),
            Role::Successor => write!(f, "successor of {}", self.service),
            Role::Retired => write!(f, "retired container of {}", self.service),
        }
    }
}

impl Action {
    /// Whether it makes something ready for whoever waits. What is taken away afterwards keeps nobody waiting.
    pub fn makes_ready(&self) -> bool {
        matches!(
            self,
            Self::AwaitHealthy(_)
                | Self::AwaitCompleted(_)
                | Self::Switch(_)
                | Self::ReloadContainer { .. }
                | Self::UnpauseContainer(_)
        )
    }

    /// The service it is about.
    pub fn service(&self) -> Option<&ServiceName> {
        match self {
            Self::CreateContainer(seat)
            | Self::StartContainer(seat)
            | Self::AwaitHealthy(seat)
            | Self::Switch(seat) => Some(&seat.service),
            Self::RenameSuccessor(service)
            | Self::RemoveSuccessor(service)
            | Self::AwaitCompleted(service) => Some(service),
            Self::RemoveContainer { container, .. }
            | Self::StopContainer { container, .. }
            | Self::UnpauseContainer(container)
            | Self::Retire(container)
            | Self::LetGo { container, .. }
            | Self::ReloadContainer { container, .. } => Some(&container.service),
            _ => None,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ObtainImage { image, source } => write!(f, "obtain image {image} from {source}"),
            Self::BuildImage { image, package } => write!(f, "build image {image} from package {package}"),
            Self::CreateNetwork(name) => write!(f, "create network {name}"),
            Self::RemoveNetwork(network) => write!(f, "remove network {}", network.name),
            Self::CreateVolume(name) => write!(f, "create volume {name}"),
            Self::RemoveVolume(volume) => write!(f, "remove volume {}", volume.name),
            Self::CreateContainer(seat) => write!(f, "create {}", seat.container()),
            Self::StartContainer(seat) => write!(f, "start {}", seat.container()),
            Self::UnpauseContainer(container) => write!(f, "unpause container {}", container.title()),
            Self::StopContainer { container, .. } => write!(f, "stop container {}", container.title()),
            Self::RemoveContainer { container, .. } => write!(f, "remove container {}", container.title()),
            Self::ReloadContainer { container, signal } => {
                write!(f, "send {signal} to {}", container.service)
            }
            Self::AwaitHealthy(seat) => write!(f, "await {seat} healthy"),
            Self::Switch(Seat { service, role: Role::Holder }) => {
                write!(f, "switch {service} to its container")
            }
            Self::Switch(Seat { service, .. }) => write!(f, "switch {service} to its successor"),
            Self::Retire(container) => write!(f, "retire container {}", container.title()),
            Self::LetGo { container, .. } => {
                write!(f, "remove container {} after its last requests", container.title())
            }
            Self::RenameSuccessor(service) => write!(f, "rename successor of {service}"),
            Self::RemoveSuccessor(service) => write!(f, "remove successor of {service}"),
            Self::AwaitCompleted(service) => write!(f, "await {service} completed"),
        }
    }
}

/// Why a step is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// It is not there.
    Missing,
    /// Its configuration in the Compose file is another.
    ConfigurationChanged,
    /// A file that it mounts has other content.
    FilesChanged,
    /// Its image is another.
    ImageChanged,
    /// The recipe of its image is another.
    RecipeChanged,
    /// What a one-shot is repeated for is another.
    WorkChanged(String),
    /// What it is built from may have changed.
    SourcesChanged(String),
    /// Its image is being built; it is replaced if the build changes it.
    ImageRebuilt,
    /// Something it depends on is replaced.
    DependencyReplaced(String),
    /// It does not run.
    Stopped(String),
    /// It is paused.
    Paused,
    /// Its health check has not passed.
    NotHealthy,
    /// It just (re)started and others, or the command, wait for it.
    Started,
    /// It is ready to serve.
    Ready,
    /// Another container serves in its place.
    Succeeded,
    /// A run was cut off before it got its name.
    Unnamed,
    /// In case that it does not get ready.
    NotReady,
    /// A `dev` in the foreground holds its published ports from now on.
    FrontTaken,
    /// It publishes its ports itself again.
    FrontLeft,
    /// It is new.
    Created,
    /// A one-shot that still runs.
    NotCompleted,
    /// A network it joins is missing.
    NetworkMissing(String),
    /// A network it joins is configured anew.
    NetworkReplaced(String),
    /// It is not on a network that its service is on.
    OffNetwork(String),
    /// It is on a network and does not answer to a name that it should have there.
    NameLost {
        /// The name.
        name: String,
        /// The network.
        network: String,
    },
    /// A volume it mounts is missing.
    VolumeMissing(String),
    /// A person asked for it.
    Asked,
    /// The stack no longer names it.
    Orphan,
    /// The service has another container.
    Duplicate,
    /// Half removed by an earlier run.
    HalfRemoved,
    /// A teardown was asked for.
    TearDown,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("missing"),
            Self::ConfigurationChanged => f.write_str("configuration changed"),
            Self::FilesChanged => f.write_str("mounted files changed"),
            Self::ImageChanged => f.write_str("image changed"),
            Self::RecipeChanged => f.write_str("recipe changed"),
            Self::WorkChanged(what) => write!(f, "{what} changed"),
            Self::SourcesChanged(what) => write!(f, "{what}"),
            Self::ImageRebuilt => f.write_str("if the build changes its image"),
            Self::DependencyReplaced(service) => write!(f, "{service} replaced"),
            Self::Stopped(how) => f.write_str(how),
            Self::Paused => f.write_str("paused"),
            Self::NotHealthy => f.write_str("not healthy yet"),
            Self::Started => f.write_str("started"),
            Self::Ready => f.write_str("ready"),
            Self::Succeeded => f.write_str("its successor serves"),
            Self::Unnamed => f.write_str("left by a swap that was cut off"),
            Self::NotReady => f.write_str("if it does not get ready"),
            Self::FrontTaken => f.write_str("dev takes its ports over"),
            Self::FrontLeft => f.write_str("dev gives its ports back"),
            Self::Created => f.write_str("created"),
            Self::NotCompleted => f.write_str("not completed yet"),
            Self::NetworkMissing(network) => write!(f, "network {network} missing"),
            Self::NetworkReplaced(network) => write!(f, "network {network} changed"),
            Self::OffNetwork(network) => write!(f, "not on network {network}"),
            Self::NameLost { name, network } => write!(f, "not known as {name} on network {network}"),
            Self::VolumeMissing(volume) => write!(f, "volume {volume} missing"),
            Self::Asked => f.write_str("asked for"),
            Self::Orphan => f.write_str("orphan"),
            Self::Duplicate => f.write_str("duplicate"),
            Self::HalfRemoved => f.write_str("half removed"),
            Self::TearDown => f.write_str("down"),
        }
    }
}

impl Plan {
    /// Whether nothing is to be done.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// The steps with their numbers.
    pub fn numbered(&self) -> impl Iterator<Item = (StepId, &Step)> {
        (1u32..).map(StepId).zip(&self.steps)
    }

    /// The step of this number.
    pub fn step(&self, id: StepId) -> &Step {
        &self.steps[id.0 as usize - 1]
    }

    /// The plan as an event shows it.
    pub fn announced(&self) -> Vec<PlannedStep> {
        self.numbered()
            .map(|(id, step)| PlannedStep {
                step: id,
                title: step.action.to_string(),
                cause: step.cause.to_string(),
                needs: step.needs.iter().map(|need| need.step).collect(),
                makes_ready: step.action.makes_ready(),
            })
            .collect()
    }

    /// Only the waits for what runs and is not well yet: what is left to a run that has done everything else.
    #[must_use]
    pub fn only_unsettled(self) -> Self {
        let steps =
            self.steps.into_iter().filter(|step| step.cause == Cause::NotHealthy && step.needs.is_empty());
        Self { steps: steps.collect(), notes: Vec::new() }
    }

    /// Adds a step and gives its number. Needs are put in order, and what another need implies is dropped.
    pub(super) fn push(
        &mut self,
        action: Action,
        cause: Cause,
        mut needs: Vec<Need>,
        optional: bool,
    ) -> StepId {
        needs.sort();
        needs.dedup();
        // A step ends well only after everything it needs has; of one that failed nothing is known.
        let ends_well = needs.iter().filter(|need| need.on != On::Failed);
        let implied: BTreeSet<StepId> = ends_well.flat_map(|need| self.behind(need.step)).collect();
        let on_change: BTreeSet<StepId> =
            needs.iter().filter(|need| need.on == On::Changed).map(|need| need.step).collect();
        needs.retain(|need| {
            need.on != On::Done || !(implied.contains(&need.step) || on_change.contains(&need.step))
        });
        let id = StepId(u32::try_from(self.steps.len()).expect("a plan is short") + 1);
        debug_assert!(needs.iter().all(|need| need.step < id), "a need points backwards");
        self.steps.push(Step { action, cause, needs, optional });
        id
    }

    /// Every step that must be done before this one.
    fn behind(&self, step: StepId) -> BTreeSet<StepId> {
        let mut behind = BTreeSet::new();
        let mut open = vec![step];
        while let Some(step) = open.pop() {
            let needs = self.step(step).needs.iter().map(|need| need.step);
            open.extend(needs.filter(|&need| behind.insert(need)));
        }
        behind
    }

    /// Makes a step one that the run does not succeed without, and so everything it needs.
    pub(super) fn require(&mut self, step: StepId) {
        let step = &mut self.steps[step.0 as usize - 1];
        step.optional = false;
        for need in step.needs.clone() {
            self.require(need.step);
        }
    }
}

/// A need for a step to be done.
pub(super) fn done(step: StepId) -> Need {
    Need { step, on: On::Done }
}

/// A need for a step to have failed.
pub(super) fn failed(step: StepId) -> Need {
    Need { step, on: On::Failed }
}

/// A need for a step to have changed something.
pub(super) fn changed(step: StepId) -> Need {
    Need { step, on: On::Changed }
}
