//! One project, one engine, one stream of events: what every command that works on the stack holds.
//!
//! Must not: know which command it is.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use futures_util::future::try_join_all;
use tokio_util::sync::CancellationToken;

use crate::doctor::{PortState, ports};
use crate::engine::{ConnectError, Engine, PublishedPort};
use crate::event::{Event, Events, ServiceReport, ServiceState};
use crate::execute::{Halt, execute};
use crate::failure::{Code, Failure};
use crate::images::{Freshness, HostBuild, Needed, Sources, survey};
use crate::limits;
use crate::operator::StackOperator;
use crate::plan::{self, Action, Keep, Observed, Plan, PlanError, Wanted};
use crate::project::{Before, Project, apply_reloads, digest_mounted_files};
use crate::report::{reports, unwell};
use crate::stack::{MountSource, Service, ServiceName, Stack};

/// What a command works with.
#[derive(Debug, Clone)]
pub struct Session {
    /// The checkout.
    pub project: Project,
    /// The stack, as the Compose file describes it.
    pub stack: Stack,
    /// The engine.
    pub engine: Engine,
    /// Where images may come from.
    pub sources: Sources,
    /// The stream of events.
    pub events: Events,
    /// Fires at Ctrl-C.
    pub cancel: CancellationToken,
    /// Where a test wants the run to stand still.
    pub halt: Option<Halt>,
    /// The notes of plans that were told already: `dev` plans at every save.
    pub told: Arc<Mutex<BTreeSet<String>>>,
}

impl Session {
    /// Everything there is of the project: the engine's objects, the images, the state of the build, mounted files; all
    /// asked at once.
    ///
    /// # Errors
    /// When the engine does not answer or a file cannot be read.
    pub async fn observe(&self) -> Result<Observed, Failure> {
        let needed = needed_images(&self.stack);
        let (objects, images, stale_builds) = tokio::join!(
            self.engine.observe(&self.stack.project),
            survey(&self.engine, &needed, &self.sources),
            self.stale_builds(),
        );
        let mut objects = objects?;
        apply_reloads(&self.project, &self.stack.project, &mut objects.containers);
        Ok(Observed {
            images: images?,
            stale_builds: stale_builds?.into_iter().collect(),
            containers: objects.containers,
            networks: objects.networks,
            volumes: objects.volumes,
            mounted_files: digest_mounted_files(&self.stack, self.project.root()),
        })
    }

    async fn stale_builds(&self) -> Result<Vec<(crate::stack::ImageReference, String)>, Failure> {
        let builds: BTreeSet<_> = self
            .stack
            .services
            .values()
            .filter_map(|service| Some((service.image.clone(), service.homeport.package.clone()?)))
            .collect();
        let looks = builds.into_iter().map(|(image, package)| async move {
            let build = HostBuild { root: self.project.root().to_owned(), package, image: image.clone() };
            Ok::<_, Failure>(match build.freshness(&self.engine).await? {
                Freshness::Fresh => None,
                Freshness::Stale(cause) => Some((image, cause)),
            })
        });
        Ok(try_join_all(looks).await?.into_iter().flatten().collect())
    }

    /// Plans what brings the stack up.
    ///
    /// # Errors
    /// When an image that is not optional can be had nowhere, or a wanted service does not exist.
    pub fn plan_up(&self, observed: &Observed, wanted: &Wanted) -> Result<Plan, Failure> {
        plan::up(&self.stack, observed, wanted).map_err(|error| match &error {
            PlanError::ImageUnavailable { reasons, .. } => {
                Failure::new(Code::ImageUnavailable, error.to_string()).details(reasons.clone()).hint(
                    "`cargo xtask doctor` says what is in the way; a bundle in HOMEPORT_IMAGE_DIR needs no network",
                )
            }
            PlanError::UnknownService(_) => {
                let known: Vec<&str> = self.stack.services.keys().map(ServiceName::as_str).collect();
                Failure::new(Code::Usage, error.to_string()).hint(format!("it has {}", known.join(", ")))
            }
        })
    }

    /// Announces a plan and carries it out.
    ///
    /// # Errors
    /// The first failure; [`Code::Interrupted`] when it was stopped by Ctrl-C.
    pub async fn carry_out(&self, plan: &Plan, observed: &Observed) -> Result<(), Failure> {
        for note in &plan.notes {
            if self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(note.clone()) {
                self.events.note(note.clone());
            }
        }
        self.events.send(Event::Planned { steps: plan.announced() });
        self.refuse_impossible(plan).await?;
        let operator = StackOperator {
            engine: &self.engine,
            project: &self.project,
            stack: &self.stack,
            mounted_files: &observed.mounted_files,
        };
        let report = execute(plan, &operator, &self.events, &self.cancel, self.halt).await;
        if report.cancelled {
            return Err(stopped());
        }
        report.failures.into_iter().next().map_or(Ok(()), Err)
    }

    /// Brings the stack up from whatever is there, looks at it again, and waits once more for what is no longer well.
    ///
    /// # Errors
    /// As for [`Session::observe`], [`Session::plan_up`] and [`Session::carry_out`].
    pub async fn bring_up(&self, wanted: &Wanted, before: Before) -> Result<BroughtUp, Failure> {
        let mut observed = self.observe().await?;
        let plan = self.plan_up(&observed, wanted)?;
        let carried_out = self.carry_out(&plan, &observed).await;
        let mut changed = !plan.is_empty();
        if self.looks_again(before, &carried_out).await? {
            observed = self.observe().await?;
            let plan = self.plan_up(&observed, wanted)?;
            if !plan.is_empty() {
                self.carry_out(&plan, &observed).await?;
                changed = true;
            }
        } else {
            carried_out?;
        }
        // Another look only when something was done: with nothing to do, what was seen still holds.
        if changed {
            observed = self.observe().await?;
            let unsettled = self.plan_up(&observed, wanted)?.only_unsettled();
            if !unsettled.is_empty() {
                self.carry_out(&unsettled, &observed).await?;
                observed = self.observe().await?;
            }
        }
        let services = reports(&self.stack, &observed, SystemTime::now());
        let unwell = unwell(&self.stack, &wanted.services, &services);
        Ok(BroughtUp { changed, failure: not_well(&unwell), services })
    }

    /// Takes the stack down from whatever is there; returns what there was.
    ///
    /// # Errors
    /// As for [`Session::carry_out`], and when the engine does not answer.
    pub async fn take_down(&self, keep: Keep, before: Before) -> Result<Observed, Failure> {
        let observed = self.observe_objects().await?;
        let carried_out = self.carry_out(&plan::down(&observed, keep, &self.grace()), &observed).await;
        if self.looks_again(before, &carried_out).await? {
            let observed = self.observe_objects().await?;
            let plan = plan::down(&observed, keep, &self.grace());
            if !plan.is_empty() {
                self.carry_out(&plan, &observed).await?;
            }
        } else {
            carried_out?;
        }
        Ok(observed)
    }

    /// Stops what runs and keeps it.
    ///
    /// # Errors
    /// As for [`Session::take_down`].
    pub async fn stop(&self) -> Result<(), Failure> {
        let observed = self.observe_objects().await?;
        self.carry_out(&plan::stop(&observed, &self.grace()), &observed).await
    }

    async fn observe_objects(&self) -> Result<Observed, Failure> {
        let objects = self.engine.observe(&self.stack.project).await?;
        Ok(Observed {
            containers: objects.containers,
            networks: objects.networks,
            volumes: objects.volumes,
            ..Observed::default()
        })
    }

    /// How long each service may take to stop.
    fn grace(&self) -> impl Fn(&ServiceName) -> Duration {
        |name| self.stack.services.get(name).map_or(limits::STOP_UNKNOWN, |service| service.stop_grace_period)
    }

    /// Whether what there is has to be looked at once more: after a run that was cut off the engine may have made or
    /// removed something since, and refused this run something because of that. Waits until it cannot any more.
    async fn looks_again(&self, before: Before, carried_out: &Result<(), Failure>) -> Result<bool, Failure> {
        let passing = match carried_out {
            Ok(()) => true,
            Err(failure) => {
                matches!(failure.code, Code::EngineRefused | Code::ContainerExited | Code::PortTaken)
            }
        };
        if before == Before::Ended || !passing {
            return Ok(false);
        }
        self.events
            .note("the command before was cut off: looking again for what the engine still did for it");
        tokio::select! {
            () = tokio::time::sleep(limits::ENGINE_SETTLES) => Ok(true),
            () = self.cancel.cancelled() => Err(stopped()),
        }
    }

    /// One row a service, as things stand.
    ///
    /// # Errors
    /// As for [`Session::observe`].
    pub async fn reports(&self) -> Result<Vec<ServiceReport>, Failure> {
        let observed = self.observe().await?;
        Ok(reports(&self.stack, &observed, SystemTime::now()))
    }

    /// Refuses a plan that cannot be carried out on this machine, before anything is touched.
    ///
    /// # Errors
    /// When a file that is to be mounted does not exist, or somebody else holds a port.
    pub async fn refuse_impossible(&self, plan: &Plan) -> Result<(), Failure> {
        self.refuse_absent_mounts(plan)?;
        self.refuse_taken_ports(plan).await
    }

    /// Before anything is touched: a file to mount that is not there would be refused by the engine only once the
    /// container it replaces is gone.
    fn refuse_absent_mounts(&self, plan: &Plan) -> Result<(), Failure> {
        for step in plan.steps.iter().filter(|step| !step.optional) {
            let Action::CreateContainer(name) = &step.action else { continue };
            let Some(service) = self.stack.services.get(name) else { continue };
            for mount in &service.mounts {
                // Outside of the checkout the engine judges: it may run on another machine.
                let MountSource::Bind(path) = &mount.source else { continue };
                if path.starts_with(self.project.root()) && !path.exists() {
                    let path = self.project.relative(path).display();
                    let message =
                        format!("cannot mount {path} in {name} at {}: it does not exist", mount.target);
                    return Err(Failure::new(Code::ComposeInvalid, message)
                        .hint(format!("create it, or mend the volumes of {name} in compose/compose.yaml")));
                }
            }
        }
        Ok(())
    }

    /// The ports above one that nobody holds, few or none.
    async fn free_above(&self, port: u16, published: &[PublishedPort]) -> BTreeSet<u16> {
        let mut free = BTreeSet::new();
        for above in port..=port.saturating_add(PORTS_ABOVE) {
            if ports::state(above, Some(self.stack.project.as_str()), published).await == PortState::Free {
                free.insert(above);
            }
        }
        free
    }

    /// Before anything is touched: a port that somebody else holds is a failure that names the holder.
    async fn refuse_taken_ports(&self, plan: &Plan) -> Result<(), Failure> {
        let starting: Vec<(&str, &Service)> = plan
            .steps
            .iter()
            .filter(|step| !step.optional)
            .filter_map(|step| match &step.action {
                Action::StartContainer(name) => Some((name.as_str(), self.stack.services.get(name)?)),
                _ => None,
            })
            .collect();
        if starting.iter().all(|(_, service)| service.ports.is_empty()) {
            return Ok(());
        }
        let published = self.engine.published_ports().await?;
        for (name, service) in starting {
            for port in service.ports.iter().filter_map(|port| port.published) {
                let state = ports::state(port, Some(self.stack.project.as_str()), &published).await;
                let (PortState::Taken(_) | PortState::Refused(_)) = &state else { continue };
                let by = match state {
                    PortState::Taken(Some(holder)) => format!("taken by {holder}"),
                    PortState::Refused(why) => format!("not to be had: {why}"),
                    _ => "taken by a process that this user may not see".to_owned(),
                };
                return Err(Failure::new(
                    Code::PortTaken,
                    format!("cannot publish {name}: port {port} on 127.0.0.1 is {by}"),
                )
                .hint(format!(
                    "stop it, or choose another port: {}",
                    another_port(&self.stack, name, port, &self.free_above(port, &published).await)
                )));
            }
        }
        Ok(())
    }
}

fn stopped() -> Failure {
    Failure::new(Code::Interrupted, "stopped before everything was done")
        .hint("the same command goes on from here")
}

/// How many ports above one that is taken are looked at: two stacks side by side take five.
const PORTS_ABOVE: u16 = 50;

/// A stack that is up.
#[derive(Debug, Clone)]
pub struct BroughtUp {
    /// Whether anything had to be done.
    pub changed: bool,
    /// One row a service, as things stand.
    pub services: Vec<ServiceReport>,
    /// What to end with when a row tells of a service that should be well and is not any more.
    pub failure: Option<Failure>,
}

fn not_well(unwell: &[&ServiceReport]) -> Option<Failure> {
    let first = unwell.first()?;
    let told = |row: &ServiceReport| match &row.reason {
        Some(reason) => format!("{} is {}: {reason}", row.service, row.state.as_str()),
        None => format!("{} is {}", row.service, row.state.as_str()),
    };
    let ended = matches!(first.state, ServiceState::Exited | ServiceState::Stopped);
    let code = if ended { Code::ContainerExited } else { Code::NotHealthy };
    let message = format!("what was brought up is not well any more: {}", told(first));
    Some(
        Failure::new(code, message)
            .details(unwell[1..].iter().map(|row| told(row)))
            .hint(format!("`cargo xtask logs {}` shows why; the same command tries again", first.service)),
    )
}

/// How a person chooses another port: the next free one that nothing in the stack publishes.
fn another_port(stack: &Stack, service: &str, port: u16, free: &BTreeSet<u16>) -> String {
    let published: BTreeSet<u16> = stack
        .services
        .values()
        .flat_map(|service| &service.ports)
        .filter_map(|port| port.published)
        .collect();
    let free = free.iter().copied().find(|port| !published.contains(port)).unwrap_or(port);
    let variable = service.to_uppercase().replace('-', "_");
    format!("HOMEPORT_{variable}_PORT={free} cargo xtask dev")
}

/// The images that a stack needs, each once.
pub fn needed_images(stack: &Stack) -> Vec<Needed> {
    let mut needed: Vec<Needed> = Vec::new();
    for (name, service) in &stack.services {
        if needed.iter().any(|other| other.reference == service.image) {
            continue;
        }
        needed.push(Needed {
            reference: service.image.clone(),
            recipe: Some(service.homeport.recipe.clone().unwrap_or_else(|| name.to_string())),
            built_here: service.homeport.package.is_some(),
        });
    }
    needed
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        let code = match &error {
            ConnectError::TooOld { .. } | ConnectError::TooNew { .. } => Code::EngineTooOld,
            _ => Code::EngineUnreachable,
        };
        Self::new(code, error.to_string()).hint(error.hint())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::{Source, parse};

    #[test]
    fn another_port_is_none_of_the_stack() {
        let text =
            "services: {web-ui: {image: a, ports: ['80:1']}, other: {image: a, ports: ['81:1', '83:1']}}";
        let source = Source {
            path: std::path::Path::new("compose.yaml"),
            text,
            directory: std::path::Path::new("/stack"),
            project: None,
            variables: &|_| None,
            files: &|_| None,
        };
        let stack = parse(&source).unwrap().stack;
        assert_eq!(
            another_port(&stack, "web-ui", 80, &BTreeSet::from([81, 83, 84])),
            "HOMEPORT_WEB_UI_PORT=84 cargo xtask dev"
        );
    }
}
