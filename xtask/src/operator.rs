//! What each action of a plan means: one call into `engine` or `images`, and the failure it may end in.
//!
//! Must not: decide whether an action is needed.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::engine::{Blueprint, Done, Engine, EngineError, Waited};
use crate::event::StepReporter;
use crate::execute::{Built, Effect, Operator};
use crate::failure::{Code, Failure};
use crate::fronts::{Fronts, Unavailable};
use crate::images::{self, HostBuild, ImageError};
use crate::limits;
use crate::plan::{Action, ContainerId, Role, Seat};
use crate::project::{Project, note_reload};
use crate::proxy::ready;
use crate::stack::{ServiceName, Stack};

/// Carries out the steps of a plan on one project's stack.
#[derive(Debug)]
pub struct StackOperator<'a> {
    /// The engine.
    pub engine: &'a Engine,
    /// The checkout.
    pub project: &'a Project,
    /// The stack; for a teardown the name is all that is looked at.
    pub stack: &'a Stack,
    /// The digests that containers are labelled with.
    pub mounted_files: &'a BTreeMap<ServiceName, String>,
    /// The ports that are held in the place of services.
    pub fronts: &'a Fronts,
}

impl Operator for StackOperator<'_> {
    async fn perform(&self, action: &Action, reporter: &StepReporter) -> Result<Effect, Failure> {
        let project = &self.stack.project;
        match action {
            Action::ObtainImage { image, source } => {
                let bound = limits::IMAGE_PULL + limits::IMAGE_BUILD;
                let obtained =
                    within(bound, action, images::obtain(self.engine, image, source, reporter)).await?;
                let size = crate::ui::bytes(obtained.size);
                Ok(Effect::changed().detail(size))
            }
            Action::BuildImage { image, package } => {
                let build = HostBuild {
                    root: self.project.root().to_owned(),
                    package: package.clone(),
                    image: image.clone(),
                };
                let made = within(limits::SERVICE_BUILD, action, build.build(self.engine, reporter)).await?;
                let spent = Some(Built { compiled: made.compiled, packed: made.packed });
                Ok(Effect {
                    built: spent,
                    ..if made.changed { Effect::changed() } else { Effect::unchanged() }
                })
            }
            Action::CreateNetwork(name) => {
                let network = self.stack.networks.get(name).cloned().unwrap_or_default();
                Ok(effect(self.engine.create_network(project, name, &network).await?))
            }
            Action::RemoveNetwork(seen) => {
                Ok(effect(self.engine.remove_network(&seen.id, &seen.name).await?))
            }
            Action::CreateVolume(name) => {
                let volume = self.stack.volumes.get(name).cloned().unwrap_or_default();
                Ok(effect(self.engine.create_volume(project, name, &volume, self.project.root()).await?))
            }
            Action::RemoveVolume(seen) => Ok(effect(self.engine.remove_volume(&seen.engine_name).await?)),
            Action::CreateContainer(seat) => self.create(seat).await,
            Action::StartContainer(seat) => {
                let started = self.engine.start_container(project, seat).await;
                started.map_err(|error| start_refused(&seat.service, &error))?;
                Ok(Effect::changed())
            }
            Action::UnpauseContainer(container) => {
                self.engine.unpause_container(&container.id).await?;
                Ok(Effect::changed())
            }
            Action::RemoveContainer { container, grace } => {
                self.fronts.release(container, *grace).await;
                Ok(effect(self.engine.remove_container(&container.id, *grace).await?))
            }
            Action::StopContainer { container, grace } => {
                self.fronts.release(container, *grace).await;
                Ok(effect(self.engine.stop_container(&container.id, *grace).await?))
            }
            Action::ReloadContainer { container, signal } => {
                self.engine.signal_container(&container.id, signal).await?;
                let files = self.mounted_files.get(&container.service).map_or("", String::as_str);
                note_reload(self.project, project, &container.service, &container.id, files)
                    .map_err(|error| self.unnoted(&container.service, &error))?;
                Ok(Effect::changed())
            }
            Action::AwaitHealthy(seat) => self.await_healthy(seat, reporter).await,
            Action::Switch(seat) => {
                let reached = self.engine.reach(project, seat).await?;
                self.fronts.switch(self.stack, &seat.service, &reached).await?;
                Ok(Effect::changed())
            }
            Action::RenameSuccessor(name) => {
                self.engine.rename_successor(project, name).await?;
                Ok(Effect::changed())
            }
            Action::RemoveSuccessor(name) => Ok(effect(self.engine.remove_successor(project, name).await?)),
            Action::AwaitCompleted(name) => self.await_completed(name).await,
        }
    }
}

impl StackOperator<'_> {
    async fn create(&self, seat: &Seat) -> Result<Effect, Failure> {
        let name = &seat.service;
        let blueprint = Blueprint {
            project: &self.stack.project,
            directory: self.project.root(),
            name,
            role: seat.role,
            service: &self.stack.services[name],
            files_hash: self.mounted_files.get(name).map_or("", String::as_str),
        };
        self.engine.create_container(blueprint).await?;
        // One that a killed run left is as good as new: both are to be started.
        Ok(Effect::changed())
    }

    async fn await_healthy(&self, seat: &Seat, reporter: &StepReporter) -> Result<Effect, Failure> {
        let container = self.engine.container_id(&self.stack.project, seat).await?;
        let waited = self.engine.await_healthy(&container, reporter).await?;
        let healthy = self.judge(&seat.service, &container, waited).await;
        let ready = match healthy {
            Ok(effect) => self.await_ready(seat, &container, reporter).await.map(|()| effect),
            Err(failure) => Err(failure),
        };
        ready.map_err(|failure| match seat.role {
            Role::Holder => failure,
            Role::Successor => failure.hint("the version before serves on; the next save tries again"),
        })
    }

    /// Waits until a fronted service says that it is ready, where it does: before that it gets no requests.
    async fn await_ready(
        &self,
        seat: &Seat,
        container: &ContainerId,
        reporter: &StepReporter,
    ) -> Result<(), Failure> {
        let name = &seat.service;
        let service = &self.stack.services[name];
        let (Some(path), Some(front)) = (&service.homeport.ready_path, service.fronts.first()) else {
            return Ok(());
        };
        let begun = Instant::now();
        loop {
            let reached = self.engine.reach(&self.stack.project, seat).await?;
            let Some(&server) = reached.get(&front.target) else {
                // It ended meanwhile, and this look tells how.
                let waited = self.engine.await_healthy(container, reporter).await?;
                self.judge(name, container, waited).await?;
                if begun.elapsed() > limits::HEALTHY {
                    let message = format!("{name} runs, and its port {} leads nowhere", front.target);
                    return Err(Failure::new(Code::NotHealthy, message).hint(
                        "a service whose port `dev` holds must be on a network that reaches this machine",
                    ));
                }
                tokio::time::sleep(limits::PROBE_PAUSE).await;
                continue;
            };
            let Err(said) = ready(server, path).await else { return Ok(()) };
            if begun.elapsed() > limits::HEALTHY {
                let message =
                    format!("{name} did not become ready within {} s: {said}", limits::HEALTHY.as_secs());
                return Err(self.with_log(Failure::new(Code::NotHealthy, message), name, container).await);
            }
            reporter.message(said);
            tokio::time::sleep(limits::PROBE_PAUSE).await;
        }
    }

    /// What a wait came to.
    async fn judge(
        &self,
        name: &ServiceName,
        container: &ContainerId,
        waited: Waited,
    ) -> Result<Effect, Failure> {
        match waited {
            Waited::Well { checked: true } => Ok(Effect::changed().detail("healthy")),
            Waited::Well { checked: false } => Ok(Effect::changed().detail("running")),
            Waited::Ended(status) => Err(self.ended(name, container, status, "run").await),
            Waited::TimedOut { limit, last } => {
                let seen =
                    if last.is_empty() { String::new() } else { format!("; its health check says: {last}") };
                let message = format!("{name} did not become healthy within {} s{seen}", limit.as_secs());
                Err(self.with_log(Failure::new(Code::NotHealthy, message), name, container).await)
            }
        }
    }

    async fn await_completed(&self, name: &ServiceName) -> Result<Effect, Failure> {
        let container = self.engine.container_id(&self.stack.project, &Seat::holder(name)).await?;
        match self.engine.await_end(&container).await? {
            Waited::Ended(0) | Waited::Well { .. } => Ok(Effect::changed().detail("completed")),
            Waited::Ended(status) => Err(self.ended(name, &container, status, "end with status 0").await),
            Waited::TimedOut { limit, .. } => {
                let message = format!("{name} did not end within {} s", limit.as_secs());
                Err(self.with_log(Failure::new(Code::NotHealthy, message), name, &container).await)
            }
        }
    }

    fn unnoted(&self, name: &ServiceName, error: &std::io::Error) -> Failure {
        let scratch = self.project.scratch();
        let message =
            format!("cannot note in {} that {name} has read its files again: {error}", scratch.display());
        Failure::new(Code::ProjectInvalid, message)
    }

    async fn ended(
        &self,
        name: &ServiceName,
        container: &ContainerId,
        status: i64,
        expected: &str,
    ) -> Failure {
        let message = format!("{name} ended with status {status}, expected it to {expected}");
        self.with_log(Failure::new(Code::ContainerExited, message), name, container).await
    }

    async fn with_log(&self, failure: Failure, name: &ServiceName, container: &ContainerId) -> Failure {
        let lines = self.engine.last_lines(container, limits::LAST_LINES).await;
        let lines = if lines.is_empty() { vec!["(it logged nothing)".to_owned()] } else { lines };
        failure
            .details(std::iter::once(format!("last lines of {name}'s log:")).chain(lines))
            .hint(format!("`cargo xtask logs {name}` shows the whole log"))
    }
}

fn effect(done: Done) -> Effect {
    match done {
        Done::Now => Effect::changed(),
        Done::Before => Effect::unchanged(),
    }
}

/// A wait with a bound over an image operation.
async fn within<T>(
    limit: std::time::Duration,
    action: &Action,
    work: impl Future<Output = Result<T, ImageError>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(limit, work).await {
        Ok(result) => result.map_err(Failure::from),
        Err(_) => Err(Failure::new(
            Code::ImageFailed,
            format!("cannot {action}: it took longer than {} s", limit.as_secs()),
        )),
    }
}

fn start_refused(name: &ServiceName, error: &EngineError) -> Failure {
    match error.taken_port() {
        Some(port) => {
            Failure::new(Code::PortTaken, format!("cannot start {name}: port {port} on 127.0.0.1 is taken"))
                .hint("`cargo xtask doctor` names who holds it")
        }
        // A container that cannot be started (its program is missing) is the container's fault, not the engine's.
        None => Failure::new(Code::ContainerExited, error.to_string()),
    }
}

impl From<Unavailable> for Failure {
    fn from(error: Unavailable) -> Self {
        Self::new(Code::PortTaken, error.to_string()).hint("`cargo xtask doctor` names who holds it")
    }
}

impl From<ImageError> for Failure {
    fn from(error: ImageError) -> Self {
        let failure = Self::new(error.code(), error.to_string()).details(error.details());
        match error.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}
