//! One project, one engine, one stream of events: what every command that works on the stack holds.
//!
//! Must not: know which command it is.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use futures_util::future::try_join_all;
use tokio_util::sync::CancellationToken;

use crate::engine::Engine;
use crate::event::{Event, Events, ServiceReport, ServiceState};
use crate::execute::{Halt, execute};
use crate::failure::{Code, Failure};
use crate::health::{reports, reports_by_engine, unwell};
use crate::images::{Freshness, HostBuild, Needed, Sources, survey};
use crate::interrupt::is_suspended;
use crate::limits;
use crate::operator::StackOperator;
use crate::pace::Pace;
use crate::plan::{self, Dev, Keep, Observed, Plan, PlanError, Wanted};
use crate::profile::{Pass, Profile};
use crate::project::{Before, Holder, Project, apply_reloads, digest_mounted_files, digest_repeats, holder};
use crate::serving::attempts::Attempts;
use crate::serving::fronts::Fronts;
use crate::serving::leaving::Leaving;
use crate::stack::{ServiceName, Stack};
use turns::{Aim, Due};

mod away;
mod refusals;
mod setback;
mod turns;

pub use setback::{Fault, Origin, Reached, Setback};

/// What a command works with.
#[derive(Debug, Clone)]
pub struct Session {
    /// The checkout.
    pub project: Project,
    /// The stack, as the Compose file describes it.
    pub stack: Stack,
    /// Whether that file cannot be used, so that of the stack only the name is known, and the rest by what the engine says.
    pub by_engine: bool,
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
    /// Whether an empty plan is no news: what asks for it was gathered while the one before was carried out.
    pub says_nothing_twice: bool,
    /// The ports that are held in the place of services: none but in a `dev` that stays.
    pub fronts: Fronts,
    /// The containers that have made way for another and still answer their last requests.
    pub leaving: Leaving,
    /// The versions that were tried in vain.
    pub attempts: Attempts,
    /// When the command began.
    pub begun: Instant,
    /// The plans that were carried out to bring the stack up last.
    pub passes: Arc<Mutex<Vec<Pass>>>,
    /// Whether it waits for commands on the database before it touches that: all but those commands, and the end of `dev`.
    pub waits_for_database: bool,
}

impl Session {
    /// Everything there is of the project: the engine's objects, the images, the state of the build, mounted files; all
    /// asked at once.
    ///
    /// # Errors
    /// When the engine does not answer or a file cannot be read.
    pub async fn observe(&self) -> Result<Observed, Failure> {
        let needed = needed_images(&self.stack);
        // Before the engine is asked: one that goes meanwhile is not to be removed once more.
        let leaving = self.leaving.ids();
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
            repeats: digest_repeats(&self.stack, self.project.root()),
            failed: self.attempts.versions(),
            leaving,
            dev: self.dev().await,
        })
    }

    async fn dev(&self) -> Dev {
        match holder(&self.project, &self.stack.project).filter(Holder::is_foreground_dev) {
            None => Dev::Away,
            Some(Holder { pid, .. }) if pid != std::process::id() && is_suspended(pid).await => {
                Dev::Suspended(pid)
            }
            Some(_) => Dev::Runs,
        }
    }

    async fn stale_builds(&self) -> Result<Vec<(crate::stack::ImageReference, String)>, Failure> {
        let looks = self.builds().into_iter().map(|build| async move {
            Ok::<_, Failure>(match build.freshness(&self.engine).await? {
                Freshness::Fresh => None,
                Freshness::Stale(cause) => Some((build.image, cause)),
            })
        });
        Ok(try_join_all(looks).await?.into_iter().flatten().collect())
    }

    /// What is built here, each once.
    fn builds(&self) -> Vec<HostBuild> {
        let services = self.stack.services.values();
        let builds: BTreeSet<_> = services
            .filter_map(|service| Some((service.image.clone(), service.homeport.package.clone()?)))
            .collect();
        let root = || self.project.root().to_owned();
        builds.into_iter().map(|(image, package)| HostBuild { root: root(), package, image }).collect()
    }

    /// Where in the checkout the sources lie of what is built here. One whose last build `failed` may have others since.
    pub async fn sources(&self, failed: bool) -> BTreeSet<PathBuf> {
        let mut sources = BTreeSet::new();
        for build in self.builds() {
            sources.extend(build.sources(&self.engine, failed).await);
        }
        sources
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

    /// Announces a plan and carries it out; tells how long it took until that served, when it changed anything.
    ///
    /// # Errors
    /// All that failed; [`Code::Interrupted`] when it was stopped by Ctrl-C.
    pub async fn carry_out(&self, plan: &Plan, observed: &Observed) -> Result<Option<Pace>, Setback> {
        self.announce(plan);
        self.execute(plan, observed).await
    }

    /// As [`Session::carry_out`], for a plan that brings something up: not begun when it cannot be ended, and with the
    /// fronts open that stand for its services.
    async fn bring_about(&self, due: &Due) -> Result<Option<Pace>, Setback> {
        let Due { plan, observed, .. } = due;
        self.announce(plan);
        self.fronts.adapt(&self.stack).await;
        self.refuse_impossible(plan).await?;
        self.fronts.align(&observed.containers);
        self.fronts.expect();
        self.execute(plan, observed).await.map_err(|mut setback| {
            // What was tried in vain before is no better for what failed now.
            if let Some(failure) = self.attempts.standing(&self.stack, observed) {
                setback.beside(failure);
            }
            setback
        })
    }

    fn announce(&self, plan: &Plan) {
        for note in &plan.notes {
            if self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(note.clone()) {
                self.events.note(note.clone());
            }
        }
        if !(self.says_nothing_twice && plan.is_empty()) {
            self.events.send(Event::Planned { steps: plan.announced() });
        }
    }

    async fn execute(&self, plan: &Plan, observed: &Observed) -> Result<Option<Pace>, Setback> {
        let begun = Instant::now();
        let operator = StackOperator::new(self, observed);
        let report = execute(plan, &operator, &self.events, &self.cancel, self.halt.as_ref()).await;
        self.passes().push(Pass::of(plan.announced(), &report, begun, self.begun));
        if report.cancelled {
            return Err(stopped().into());
        }
        Setback::of(plan, &report, begun).map_or_else(|| Ok(Pace::of(plan, &report, begun)), Err)
    }

    /// Brings the stack up from whatever is there, looks at it again, and waits once more for what is no longer well.
    ///
    /// # Errors
    /// As for [`Session::observe`], [`Session::plan_up`] and [`Session::carry_out`].
    pub async fn bring_up(&self, wanted: &Wanted, before: Before) -> Result<BroughtUp, Setback> {
        self.passes().clear();
        let due = self.due(Aim::Up(wanted)).await?;
        let mut changed = !due.plan.is_empty();
        let carried_out = self.bring_about(&due).await;
        let mut observed = due.end(&carried_out);
        let mut pace = carried_out.as_ref().ok().copied().flatten();
        if self.looks_again(before, &carried_out).await? {
            let due = self.due(Aim::Up(wanted)).await?;
            // What was refused and asks for no step (a port to be held) has to be tried again all the same.
            let anew = !due.plan.is_empty() || carried_out.is_err();
            let carried_out = if anew { self.bring_about(&due).await } else { Ok(pace) };
            observed = due.end(&carried_out);
            pace = carried_out?;
            changed |= anew;
        } else {
            carried_out?;
        }
        // Another look only when something was done: with nothing to do, what was seen still holds.
        if changed {
            let due = self.due(Aim::Settled(wanted)).await?;
            let unsettled = !due.plan.is_empty();
            let settled = if unsettled { self.bring_about(&due).await } else { Ok(None) };
            observed = due.end(&settled);
            settled?;
            if unsettled {
                observed = self.observe().await?;
            }
        }
        // What was left by a run that was cut off has its place now, though no step has switched to it.
        self.fronts.align(&observed.containers);
        let services = reports(&self.stack, &observed, SystemTime::now());
        let unwell = unwell(&self.stack, &wanted.services, &services);
        let failure = not_well(&unwell).or_else(|| self.attempts.standing(&self.stack, &observed));
        Ok(BroughtUp { tried: changed, pace: pace.filter(|_| changed), failure, services })
    }

    /// Where the time went when the stack was brought up last; `None` when nothing was done.
    pub fn profile(&self) -> Option<Profile> {
        Profile::of(&self.passes())
    }

    fn passes(&self) -> MutexGuard<'_, Vec<Pass>> {
        self.passes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the stack down from whatever is there; returns what there was.
    ///
    /// # Errors
    /// As for [`Session::carry_out`], and when the engine does not answer.
    pub async fn take_down(&self, keep: Keep, before: Before) -> Result<Observed, Failure> {
        let due = self.due(Aim::Down(keep)).await?;
        let carried_out = self.carry_out(&due.plan, &due.observed).await;
        let observed = due.end(&carried_out);
        if self.looks_again(before, &carried_out).await? {
            let due = self.due(Aim::Down(keep)).await?;
            let nothing = due.plan.is_empty();
            let again = if nothing { Ok(None) } else { self.carry_out(&due.plan, &due.observed).await };
            due.end(&again);
            again?;
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
        let due = self.due(Aim::Stopped).await?;
        let stopped = self.carry_out(&due.plan, &due.observed).await;
        due.end(&stopped);
        stopped?;
        Ok(())
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

    /// Whether what there is has to be looked at once more: after a run that was cut off the engine may have made or
    /// removed something since, and refused this run something because of that. Waits until it cannot any more.
    async fn looks_again<T>(
        &self,
        before: Before,
        carried_out: &Result<T, Setback>,
    ) -> Result<bool, Failure> {
        let may_pass = |failure: &Failure| {
            matches!(failure.code, Code::EngineRefused | Code::ContainerExited | Code::PortTaken)
        };
        let passing = match carried_out {
            Ok(_) => true,
            Err(setback) => setback.first().is_some_and(may_pass),
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

    /// One row a service, as things stand in this checkout.
    ///
    /// # Errors
    /// As for [`Session::observe`].
    pub async fn reports(&self) -> Result<Vec<ServiceReport>, Failure> {
        let (observed, has_none) = tokio::try_join!(self.observe(), self.has_no_stack())?;
        let containers = if has_none { Vec::new() } else { observed.containers };
        if self.by_engine {
            return Ok(reports_by_engine(&containers, SystemTime::now()));
        }
        let observed = Observed { containers, ..observed };
        Ok(reports(&self.stack, &observed, SystemTime::now()))
    }
}

fn stopped() -> Failure {
    Failure::new(Code::Interrupted, "stopped before everything was done")
        .hint("the same command goes on from here")
}

/// A stack that is up.
#[derive(Debug, Clone)]
pub struct BroughtUp {
    /// Whether a plan had a step.
    pub tried: bool,
    /// How long what had to be done took; `None` when there was nothing.
    pub pace: Option<Pace>,
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
