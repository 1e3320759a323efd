//! Waiting for containers: tight probes instead of the engine's slow interval.
//!
//! The engine runs a container's health check once an interval; a start that waits for that wastes most of an interval
//! at every link of the chain. So the same test is run through `exec`, again and again, until it passes, the container
//! ends, or the bound is reached.
//!
//! Architecture invariant: a probe only comes before the engine's word, it never goes against it. A container that the
//! engine calls unhealthy is well when the engine says so again; else a run would end well beside a table that does not.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bollard::exec::{CreateExecOptions, StartExecResults};
use bollard::models::{ContainerInspectResponse, ContainerStateStatusEnum, HealthConfig, HealthStatusEnum};
use bollard::query_parameters::InspectContainerOptions;
use futures_util::StreamExt as _;

use super::create::seat_name;
use super::error::{EngineError, ask, refusal};
use super::observe::reached;
use super::{Asked, Engine};
use crate::event::StepReporter;
use crate::limits;
use crate::plan::{ContainerId, Seat};
use crate::stack::ProjectName;

/// One run of a health check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeResult {
    /// Whether it ended with status 0.
    pub passed: bool,
    /// The last line of its output.
    pub output: String,
}

/// How waiting for a container ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Waited {
    /// Its health check passes; or it runs and has none.
    Well {
        /// Whether there is a health check.
        checked: bool,
    },
    /// It ended with this status.
    Ended(i64),
    /// The bound was reached; what the last probe said.
    TimedOut {
        /// The bound.
        limit: Duration,
        /// The last line of the last probe's output.
        last: String,
    },
}

/// What a container is doing, for whoever waits for it by other means than its health check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// Its identifier.
    pub id: ContainerId,
    /// The image it was made of.
    pub image_id: String,
    /// What it is doing.
    pub standing: Standing,
    /// Where it can be reached on this machine, by the port inside.
    pub ports: BTreeMap<u16, SocketAddr>,
    /// How long its health check gives it.
    pub limit: Duration,
}

impl Engine {
    /// Looks at the container that has this place.
    ///
    /// # Errors
    /// When there is none, or the engine does not answer.
    pub fn look<'a>(&'a self, project: &'a ProjectName, seat: &'a Seat) -> Asked<'a, Look> {
        Box::pin(async move {
            let name = seat_name(project, seat);
            let inspection = self.inspect(&ContainerId(name.clone())).await?;
            Ok(Look {
                standing: standing(&inspection),
                ports: reached(&inspection),
                limit: health_check(&inspection).as_ref().map_or(limits::HEALTHY, bound),
                id: ContainerId(inspection.id.unwrap_or(name)),
                image_id: inspection.image.unwrap_or_default(),
            })
        })
    }

    /// Waits until a container is well: its health check passes, or it has none and runs. The bound is what the health
    /// check itself allows (start period, then `retries` times interval and timeout), at least [`limits::HEALTHY`].
    ///
    /// # Errors
    /// When the engine refuses to look.
    pub fn await_healthy<'a>(
        &'a self,
        container: &'a ContainerId,
        reporter: &'a StepReporter,
    ) -> Asked<'a, Waited> {
        Box::pin(async move {
            let begun = Instant::now();
            let mut told = String::new();
            let mut limit = limits::HEALTHY;
            loop {
                let inspection = self.inspect(container).await?;
                let check = health_check(&inspection);
                limit = check.as_ref().map_or(limit, bound);
                match standing(&inspection) {
                    Standing::Ended(status) => return Ok(Waited::Ended(status)),
                    Standing::Healthy => return Ok(Waited::Well { checked: true }),
                    Standing::Unhealthy => {
                        if let Some(said) = last_said(&inspection) {
                            told = said;
                        }
                        reporter.message(told.clone());
                        tokio::time::sleep(limits::PROBE_PAUSE).await;
                    }
                    Standing::Running => {
                        let Some((test, timeout)) = check.as_ref().and_then(probe) else {
                            return Ok(Waited::Well { checked: false });
                        };
                        let asked = Instant::now();
                        match self.exec(container, test, timeout).await {
                            Ok(probe) if probe.passed => return Ok(Waited::Well { checked: true }),
                            Ok(probe) => told = probe.output,
                            // It ended, or was paused, between the look and the probe: the next look tells.
                            Err(error) if error.is_conflict() || error.is_not_found() => {}
                            Err(EngineError::Refused { message, .. }) => told = message,
                            Err(error) => return Err(error),
                        }
                        reporter.message(told.clone());
                        // A probe costs the processor what the container needs to become ready: never more than half. One
                        // that did not end goes on in the container, so the next one waits as long again.
                        let took = asked.elapsed();
                        let most = if took < timeout { limits::PROBE_PAUSE * 8 } else { took };
                        tokio::time::sleep(took.clamp(limits::PROBE_PAUSE, most.max(limits::PROBE_PAUSE)))
                            .await;
                    }
                    Standing::Other => tokio::time::sleep(limits::PROBE_PAUSE).await,
                }
                if begun.elapsed() > limit {
                    return Ok(Waited::TimedOut { limit, last: told });
                }
            }
        })
    }

    /// Waits until a container has ended, and gives its status.
    ///
    /// # Errors
    /// When the engine refuses to look.
    pub fn await_end<'a>(&'a self, container: &'a ContainerId) -> Asked<'a, Waited> {
        Box::pin(async move {
            let wait = async {
                let mut stream = self
                    .docker
                    .wait_container(&container.0, None::<bollard::query_parameters::WaitContainerOptions>);
                match stream.next().await {
                    Some(Ok(ended)) => Ok(ended.status_code),
                    // bollard makes an error of a status other than 0.
                    Some(Err(bollard::errors::Error::DockerContainerWaitError { code, .. })) => Ok(code),
                    Some(Err(source)) => Err(refusal("wait for", format!("container {container}"), source)),
                    None => Ok(-1),
                }
            };
            match tokio::time::timeout(limits::COMPLETED, wait).await {
                Ok(ended) => ended.map(Waited::Ended),
                Err(_) => Ok(Waited::TimedOut { limit: limits::COMPLETED, last: "it still runs".to_owned() }),
            }
        })
    }

    /// Runs a container's own health check once. A container without one passes.
    ///
    /// # Errors
    /// When the engine refuses to run it.
    pub fn probe_once<'a>(&'a self, container: &'a ContainerId) -> Asked<'a, ProbeResult> {
        Box::pin(async move {
            let inspection = self.inspect(container).await?;
            match health_check(&inspection).as_ref().and_then(probe) {
                Some((test, timeout)) => self.exec(container, test, timeout).await,
                None => Ok(ProbeResult { passed: true, output: String::new() }),
            }
        })
    }

    async fn inspect(&self, container: &ContainerId) -> Result<ContainerInspectResponse, EngineError> {
        ask(
            "inspect",
            format!("container {container}"),
            limits::ENGINE_ANSWER,
            self.docker.inspect_container(&container.0, None::<InspectContainerOptions>),
        )
        .await
    }

    /// A probe that takes longer than `timeout` has failed, as the engine judges its own.
    async fn exec(
        &self,
        container: &ContainerId,
        command: Vec<String>,
        timeout: Duration,
    ) -> Result<ProbeResult, EngineError> {
        let object = || format!("the health check of container {container}");
        let options = CreateExecOptions {
            cmd: Some(command),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            ..Default::default()
        };
        let created =
            ask("create", object(), limits::ENGINE_ANSWER, self.docker.create_exec(&container.0, options))
                .await?;
        let run = async {
            let mut said = String::new();
            if let StartExecResults::Attached { mut output, .. } =
                self.docker.start_exec(&created.id, None).await?
            {
                while let Some(chunk) = output.next().await {
                    said.push_str(&String::from_utf8_lossy(&chunk?.into_bytes()));
                }
            }
            let ended = self.docker.inspect_exec(&created.id).await?;
            let last = said.trim().lines().next_back().unwrap_or("").to_owned();
            Ok(ProbeResult { passed: ended.exit_code == Some(0), output: last })
        };
        match tokio::time::timeout(timeout, run).await {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(source)) => Err(refusal("run", object(), source)),
            Err(_) => {
                let output = format!("it did not end within {} s", timeout.as_secs_f64());
                Ok(ProbeResult { passed: false, output })
            }
        }
    }
}

/// What a look at a container tells a waiter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Runs, and has passed its health check.
    Healthy,
    /// Failed its health check as often as it may, by the engine's own count.
    Unhealthy,
    /// Runs, and the engine has not judged it.
    Running,
    /// Ended with this status.
    Ended(i64),
    /// Neither: it was never started, or is paused.
    Other,
}

fn standing(inspection: &ContainerInspectResponse) -> Standing {
    let Some(state) = &inspection.state else { return Standing::Other };
    let health = state.health.as_ref().and_then(|health| health.status);
    match state.status {
        Some(ContainerStateStatusEnum::RUNNING) if health == Some(HealthStatusEnum::HEALTHY) => {
            Standing::Healthy
        }
        Some(ContainerStateStatusEnum::RUNNING) if health == Some(HealthStatusEnum::UNHEALTHY) => {
            Standing::Unhealthy
        }
        Some(ContainerStateStatusEnum::RUNNING) => Standing::Running,
        Some(ContainerStateStatusEnum::EXITED | ContainerStateStatusEnum::DEAD) => {
            Standing::Ended(state.exit_code.unwrap_or(-1))
        }
        _ => Standing::Other,
    }
}

fn health_check(inspection: &ContainerInspectResponse) -> Option<HealthConfig> {
    inspection.config.as_ref()?.healthcheck.clone()
}

/// What the engine's own last check said, in its last line.
fn last_said(inspection: &ContainerInspectResponse) -> Option<String> {
    let log = inspection.state.as_ref()?.health.as_ref()?.log.as_ref()?;
    let said = log.last()?.output.as_deref()?.trim().lines().next_back()?;
    Some(said.to_owned()).filter(|said| !said.is_empty())
}

/// The words to run and how long they may take.
fn probe(check: &HealthConfig) -> Option<(Vec<String>, Duration)> {
    Some((command(check)?, span(check.timeout, DEFAULT_SPAN)))
}

/// The words to run: the forms of the engine's API (`CMD`, `CMD-SHELL`; `NONE` and an empty list are no check).
fn command(check: &HealthConfig) -> Option<Vec<String>> {
    let test = check.test.as_ref()?;
    match test.first().map(String::as_str) {
        Some("CMD") => Some(test[1..].to_vec()),
        Some("CMD-SHELL") => Some(vec!["/bin/sh".to_owned(), "-c".to_owned(), test.get(1)?.clone()]),
        _ => None,
    }
}

/// How long the health check itself gives a container; the engine's default for `retries` is 3.
fn bound(check: &HealthConfig) -> Duration {
    let retries =
        check.retries.filter(|&retries| retries > 0).and_then(|n| u32::try_from(n).ok()).unwrap_or(3);
    let start = span(check.start_period, Duration::ZERO);
    let own = start + span(check.interval, DEFAULT_SPAN) * retries + span(check.timeout, DEFAULT_SPAN);
    own.max(limits::HEALTHY)
}

/// The engine's default for a check's interval and timeout.
const DEFAULT_SPAN: Duration = Duration::from_secs(30);

/// Nanoseconds, as the engine's API counts; what is absent or zero is the default.
fn span(nanoseconds: Option<i64>, default: Duration) -> Duration {
    match nanoseconds.and_then(|value| u64::try_from(value).ok()) {
        Some(value) if value > 0 => Duration::from_nanos(value),
        _ => default,
    }
}
