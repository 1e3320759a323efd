//! What each action of a plan means: one call into `engine` or `images`, and the failure it may end in.
//!
//! Must not: decide whether an action is needed.

mod waits;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use crate::engine::{Blueprint, Done, Engine, EngineError};
use crate::event::StepReporter;
use crate::execute::{Built, Effect, Operator};
use crate::failure::{Code, Failure};
use crate::images::{self, HostBuild, ImageError};
use crate::limits;
use crate::plan::{Action, Container, Observed, Seat};
use crate::project::{Project, digest_repeats, note_reload};
use crate::serving::attempts::Attempts;
use crate::serving::fronts::{Fronts, Unavailable};
use crate::serving::leaving::Leaving;
use crate::session::Session;
use crate::stack::{ImageReference, ServiceName, Stack};

/// Carries out the steps of a plan on one project's stack.
#[derive(Debug)]
pub struct StackOperator<'a> {
    /// The engine.
    pub engine: &'a Engine,
    /// The checkout.
    pub project: &'a Project,
    /// The stack; for a teardown the name is all that is looked at.
    pub stack: &'a Stack,
    /// What the plan was made of.
    pub observed: &'a Observed,
    /// The ports that are held in the place of services.
    pub fronts: &'a Fronts,
    /// The containers that have made way for another.
    pub leaving: &'a Leaving,
    /// The versions that were tried in vain.
    pub attempts: &'a Attempts,
    /// Where the containers that got ready are reached: whoever waited for them has seen it.
    reached: Mutex<Vec<(Seat, BTreeMap<u16, SocketAddr>)>>,
}

impl<'a> StackOperator<'a> {
    /// What carries out a plan that was made of this.
    pub fn new(session: &'a Session, observed: &'a Observed) -> Self {
        Self {
            engine: &session.engine,
            project: &session.project,
            stack: &session.stack,
            observed,
            fronts: &session.fronts,
            leaving: &session.leaving,
            attempts: &session.attempts,
            reached: Mutex::default(),
        }
    }
}

impl Operator for StackOperator<'_> {
    async fn perform(&self, action: &Action, reporter: &StepReporter) -> Result<Effect, Failure> {
        let project = &self.stack.project;
        match action {
            Action::ObtainImage { image, source } => {
                let bound = limits::IMAGE_PULL + limits::IMAGE_BUILD;
                let obtained =
                    within(bound, action, images::obtain(self.engine, image, source, reporter)).await?;
                let size = crate::quantity::bytes(obtained.size);
                Ok(Effect::changed().detail(size))
            }
            Action::BuildImage { image, package } => {
                let order = HostBuild {
                    root: self.project.root().to_owned(),
                    package: package.clone(),
                    image: image.clone(),
                };
                let used = self.used(image);
                let build = order.build(self.engine, &used, reporter);
                let made = within(limits::SERVICE_BUILD, action, build).await?;
                self.refuse_overtaken()?;
                let spent = Some(Built { compiled: made.compiled, packed: made.packed });
                let serves = used.len() == 1 && used.contains(&made.id);
                let effect = if made.changed && !serves { Effect::changed() } else { Effect::unchanged() };
                Ok(Effect { built: spent, ..effect })
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
                match started.map_err(|error| start_refused(&seat.service, &error)) {
                    Ok(()) => Ok(Effect::changed()),
                    Err(failure) => Err(self.given_up(seat, failure).await),
                }
            }
            Action::UnpauseContainer(container) => {
                self.engine.unpause_container(&container.id).await?;
                Ok(Effect::changed())
            }
            Action::RemoveContainer { container, grace } => {
                self.fronts.release(container, (*grace).min(limits::PROXY_DRAIN)).await;
                Ok(effect(self.engine.remove_container(&container.id, *grace).await?))
            }
            Action::StopContainer { container, grace } => {
                self.fronts.release(container, (*grace).min(limits::PROXY_DRAIN)).await;
                Ok(effect(self.engine.stop_container(&container.id, *grace).await?))
            }
            Action::ReloadContainer { container, signal } => self.reload(container, signal, reporter).await,
            Action::AwaitHealthy(seat) => self.await_healthy(seat, reporter).await,
            Action::Switch(seat) => {
                let reached = match self.known(seat) {
                    Some(reached) => reached,
                    None => self.engine.reach(project, seat).await?,
                };
                self.attempts.succeeded(&seat.service);
                self.fronts.switch(self.stack, &seat.service, &reached).await?;
                Ok(Effect::changed())
            }
            Action::Retire(container) => Ok(effect(self.engine.retire(project, container).await?)),
            Action::LetGo { container, grace } => {
                self.leaving.let_go(self.engine, self.fronts, reporter.events(), container, *grace);
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
            files_hash: self.observed.mounted_files.get(name).map_or("", String::as_str),
            repeat_hash: self.observed.repeats.get(name).map_or("", |repeats| repeats.digest.as_str()),
        };
        self.engine.create_container(blueprint).await?;
        // One that a killed run left is as good as new: both are to be started.
        Ok(Effect::changed())
    }

    /// The images that the containers of those services run that are to run this one. What has done its work for good does
    /// not count.
    fn used(&self, image: &ImageReference) -> BTreeSet<String> {
        let services = self.stack.services.iter().filter(|(_, service)| service.image == *image);
        let containers = services.filter_map(|(name, service)| self.observed.container(name, service));
        let done = |container: &&Container| {
            self.stack.is_one_shot(&container.service) && self.observed.is_done_for_good(container)
        };
        containers.filter(|container| !done(container)).map(|container| container.image_id.clone()).collect()
    }

    /// Has a process read its mounted files again, once a program in its container has found nothing wrong with them.
    async fn reload(
        &self,
        container: &Container,
        signal: &str,
        reporter: &StepReporter,
    ) -> Result<Effect, Failure> {
        let name = &container.service;
        let check: Vec<&str> =
            self.stack.services[name].homeport.reload_check.iter().map(String::as_str).collect();
        if !check.is_empty() {
            let end = self.engine.run_in(&container.id, &check, "", limits::RELOAD_CHECK).await?;
            if end.status != 0 {
                let said = end.stdout.lines().chain(end.stderr.lines()).map(str::trim_end);
                let message = format!("{name} would refuse its mounted files: {} says so", check.join(" "));
                return Err(Failure::new(Code::ChecksFailed, message)
                    .details(said.filter(|line| !line.is_empty()).map(str::to_owned))
                    .hint(format!("{name} goes on with what it read before; the next save tries again")));
            }
        }
        self.engine.signal_container(&container.id, signal).await?;
        let files = self.observed.mounted_files.get(name).map_or("", String::as_str);
        // It has read them, whatever becomes of the note.
        if let Err(error) = note_reload(self.project, &self.stack.project, name, &container.id, files) {
            reporter.events().warning(self.unnoted(name, &error));
        }
        Ok(Effect::changed())
    }

    fn known(&self, seat: &Seat) -> Option<BTreeMap<u16, SocketAddr>> {
        let reached = self.reached.lock().unwrap_or_else(PoisonError::into_inner);
        reached.iter().rev().find(|(reached, _)| reached == seat).map(|(_, ports)| ports.clone())
    }

    /// What was built may know of work that the plan does not: a migration that was saved while the compiler ran. The next
    /// plan sees both.
    fn refuse_overtaken(&self) -> Result<(), Failure> {
        let now = digest_repeats(self.stack, self.project.root());
        let Some((_, changed)) = now.iter().find(|(name, now)| self.observed.repeats.get(*name) != Some(now))
        else {
            return Ok(());
        };
        let message = format!("{} changed while the image was built", changed.told);
        Err(Failure::new(Code::BuildFailed, message).hint("the same command goes on from here"))
    }

    fn unnoted(&self, name: &ServiceName, error: &std::io::Error) -> String {
        let scratch = self.project.scratch();
        format!(
            "cannot note in {} that {name} has read its files again: {error}; the next plan has it read them once more",
            scratch.display()
        )
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
        // A container that cannot be started (its program is missing) is the container's fault, not the engine's; unless
        // the engine did not even answer.
        None if matches!(error, EngineError::Silent { .. } | EngineError::Broken { .. }) => {
            Failure::new(Code::EngineRefused, error.to_string())
        }
        None => Failure::new(Code::ContainerExited, error.to_string()),
    }
}

impl From<Unavailable> for Failure {
    fn from(error: Unavailable) -> Self {
        Self::new(Code::PortTaken, error.to_string()).hint("`cargo xtask doctor` names who holds it")
    }
}
