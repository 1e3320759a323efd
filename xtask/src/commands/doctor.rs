//! `cargo xtask doctor [--fix]`, and the `--fix` of other commands: look, mend what can be mended, look again.

use std::path::Path;
use std::time::Instant;

use crate::doctor::{self, Check, Finding, Fixed, Need, Platform, Status, Surroundings};
use crate::engine::Engine;
use crate::event::{Event, Events, Outcome, StepId};
use crate::failure::Failure;
use crate::images::Needed;
use crate::session::needed_images;
use crate::stack::{Protocol, Stack};

/// How often is mended and looked again at most. What is found can depend on what was mended before: without an engine
/// nobody knows which images are there, without package lists nobody knows what is packaged.
const ROUNDS: usize = 3;

/// The ports of the README ("Ports and names"), for a checkout whose Compose file cannot be read.
const PORTS: [(u16, &str); 5] =
    [(8000, "service"), (9090, "prometheus"), (3000, "grafana"), (5432, "postgres"), (6379, "redis")];

/// What is looked at, and for whom.
#[derive(Debug, Clone)]
pub struct Examination<'a> {
    root: &'a Path,
    project: Option<String>,
    pub(super) ports: Vec<(u16, String)>,
    images: Vec<Needed>,
    needs: Vec<Need>,
    offline: bool,
}

impl<'a> Examination<'a> {
    /// An examination of this machine for the commands that `needs` names. Without a stack (its file cannot be read,
    /// which is another command's to complain about) the usual ports are looked at, and no images.
    pub fn new(root: &'a Path, stack: Option<&Stack>, needs: &[Need], offline: bool) -> Self {
        let ports = match stack {
            Some(stack) => published(stack),
            None => PORTS.map(|(port, service)| (port, service.to_owned())).to_vec(),
        };
        Self {
            root,
            project: stack.map(|stack| stack.project.to_string()),
            ports,
            images: stack.map(needed_images).unwrap_or_default(),
            needs: needs.to_vec(),
            offline,
        }
    }

    /// Looks at the machine; a step of its own, because registries that do not answer take seconds to say so.
    pub async fn look(&self, events: &Events) -> (Vec<Finding>, Platform) {
        // Step 0 is in no plan.
        let (step, title) = (StepId(0), "look at this machine".to_owned());
        events.send(Event::StepStarted { step, title: title.clone(), service: None });
        let started = Instant::now();
        let found = self.examine().await;
        let outcome = Outcome::Done { detail: None };
        events.send(Event::StepFinished { step, title, outcome, took: started.elapsed() });
        found
    }

    async fn examine(&self) -> (Vec<Finding>, Platform) {
        let engine = Engine::connect_and_ask().await;
        let surroundings = Surroundings {
            root: self.root,
            project: self.project.as_deref(),
            ports: self.ports.clone(),
            engine: &engine,
            images: &self.images,
            offline: self.offline,
        };
        doctor::check(&self.needs, surroundings).await
    }

    /// Mends what can be mended and looks again, until nothing more can be mended. Says first what it will do.
    ///
    /// # Errors
    /// When a step of the mending fails.
    pub async fn mend(&self, events: &Events) -> Result<Vec<Finding>, Failure> {
        let (mut findings, platform) = self.look(events).await;
        for _ in 0..ROUNDS {
            if doctor::fix(&findings, &platform, events).await? == Fixed::Nothing {
                break;
            }
            // What is seen may differ (a clock does); what matters is whether anything stands better or worse.
            let before = standing(&findings);
            findings = self.look(events).await.0;
            if standing(&findings) == before {
                break;
            }
        }
        Ok(findings)
    }

    /// The `--fix` of a command: mends, and fails when what the command needs is missing still.
    ///
    /// # Errors
    /// When a step of the mending fails, or something is missing that cannot be mended by us; the failure tells what,
    /// and how a person mends it.
    pub async fn ensure(&self, events: &Events) -> Result<(), Failure> {
        let findings = self.mend(events).await?;
        doctor::failure(&findings).map_or(Ok(()), Err)
    }
}

/// Runs `doctor`. The findings go to the events; whether anything is missing is the result.
///
/// # Errors
/// When something is missing (the findings have told how to mend it), or a step of the mending fails.
pub async fn run(examination: &Examination<'_>, fix: bool, events: &Events) -> Result<(), Failure> {
    let findings = if fix { examination.mend(events).await? } else { examination.look(events).await.0 };
    let failure = doctor::failure(&findings);
    events.send(Event::Diagnosis { findings });
    match failure {
        None => Ok(()),
        // What is missing has just been told in full.
        Some(failure) => Err(Failure { details: Vec::new(), ..failure }),
    }
}

fn standing(findings: &[Finding]) -> Vec<(Check, Status)> {
    findings.iter().map(|finding| (finding.check, finding.status)).collect()
}

/// The TCP ports that a stack publishes at a fixed number, each with its service.
fn published(stack: &Stack) -> Vec<(u16, String)> {
    let ports = stack.services.iter().flat_map(|(name, service)| {
        let tcp = service.ports.iter().filter(|port| port.protocol == Protocol::Tcp);
        tcp.filter_map(|port| port.published).map(|port| (port, name.to_string()))
    });
    ports.collect()
}

/// `cargo xtask doctor`.
///
/// # Errors
/// As for [`run`].
pub async fn command(
    context: &super::Context,
    fix: bool,
    needs: &[Need],
    offline: bool,
) -> Result<(), Failure> {
    // A file that cannot be read is `dev`'s to complain about; the machine can be looked at all the same.
    let stack = context.project.stack_as_found().ok().map(|(stack, ..)| stack);
    let needs = if needs.is_empty() { Need::BY_DEFAULT } else { needs };
    let examination = Examination::new(context.project.root(), stack.as_ref(), needs, offline);
    run(&examination, fix, &context.events).await
}
