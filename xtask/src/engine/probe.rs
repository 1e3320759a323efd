//! Waiting for containers: tight probes instead of the engine's slow interval.
//!
//! The engine runs a container's health check once an interval; a start that waits for that wastes most of an interval
//! at every link of the chain. So the same test is run through `exec`, again and again, until it passes, the container
//! ends, or the bound is reached.

use std::time::{Duration, Instant};

use bollard::exec::{CreateExecOptions, StartExecResults};
use bollard::models::{ContainerInspectResponse, ContainerStateStatusEnum, HealthConfig, HealthStatusEnum};
use bollard::query_parameters::InspectContainerOptions;
use futures_util::StreamExt as _;

use super::Engine;
use super::error::{EngineError, ask};
use crate::event::StepReporter;
use crate::limits;
use crate::plan::ContainerId;

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

impl Engine {
    /// Waits until a container is well: its health check passes, or it has none and runs. The bound is what the health
    /// check itself allows (start period, then `retries` times interval and timeout), at least [`limits::HEALTHY`].
    ///
    /// # Errors
    /// When the engine refuses to look.
    pub async fn await_healthy(
        &self,
        container: &ContainerId,
        reporter: &StepReporter,
    ) -> Result<Waited, EngineError> {
        let begun = Instant::now();
        let mut told = String::new();
        let mut test: Option<Option<Vec<String>>> = None;
        let mut limit = limits::HEALTHY;
        loop {
            let inspection = self.inspect(container).await?;
            if test.is_none() {
                let check = health_check(&inspection);
                limit = check.as_ref().map_or(limits::HEALTHY, bound);
                test = Some(check.as_ref().and_then(command));
            }
            match standing(&inspection) {
                Standing::Ended(status) => return Ok(Waited::Ended(status)),
                Standing::Healthy => return Ok(Waited::Well { checked: true }),
                Standing::Running => {
                    let Some(Some(test)) = &test else { return Ok(Waited::Well { checked: false }) };
                    let asked = Instant::now();
                    match self.exec(container, test.clone()).await {
                        Ok(probe) if probe.passed => return Ok(Waited::Well { checked: true }),
                        Ok(probe) => told = probe.output,
                        // It ended, or was paused, between the look and the probe: the next look tells.
                        Err(error) if error.is_conflict() || error.is_not_found() => {}
                        Err(EngineError::Refused { message, .. }) => told = message,
                        Err(error) => return Err(error),
                    }
                    reporter.message(told.clone());
                    // A probe costs the processor what the container needs to become ready: never more than half.
                    let pause = asked.elapsed().clamp(limits::PROBE_PAUSE, limits::PROBE_PAUSE * 8);
                    tokio::time::sleep(pause).await;
                }
                Standing::Other => tokio::time::sleep(limits::PROBE_PAUSE).await,
            }
            if begun.elapsed() > limit {
                return Ok(Waited::TimedOut { limit, last: told });
            }
        }
    }

    /// Waits until a container has ended, and gives its status.
    ///
    /// # Errors
    /// When the engine refuses to look.
    pub async fn await_end(&self, container: &ContainerId) -> Result<Waited, EngineError> {
        let wait = async {
            let mut stream = self
                .docker
                .wait_container(&container.0, None::<bollard::query_parameters::WaitContainerOptions>);
            match stream.next().await {
                Some(Ok(ended)) => Ok(ended.status_code),
                // bollard makes an error of a status other than 0.
                Some(Err(bollard::errors::Error::DockerContainerWaitError { code, .. })) => Ok(code),
                Some(Err(source)) => {
                    Err(super::error::refusal("wait for", format!("container {container}"), source))
                }
                None => Ok(-1),
            }
        };
        match tokio::time::timeout(limits::COMPLETED, wait).await {
            Ok(ended) => ended.map(Waited::Ended),
            Err(_) => Ok(Waited::TimedOut { limit: limits::COMPLETED, last: "it still runs".to_owned() }),
        }
    }

    /// Runs a container's own health check once. A container without one passes.
    ///
    /// # Errors
    /// When the engine refuses to run it.
    pub async fn probe_once(&self, container: &ContainerId) -> Result<ProbeResult, EngineError> {
        let inspection = self.inspect(container).await?;
        match health_check(&inspection).as_ref().and_then(command) {
            Some(test) => self.exec(container, test).await,
            None => Ok(ProbeResult { passed: true, output: String::new() }),
        }
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

    async fn exec(&self, container: &ContainerId, command: Vec<String>) -> Result<ProbeResult, EngineError> {
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
        ask("run", object(), limits::ENGINE_ANSWER, run).await
    }
}

/// What a look at a container tells a waiter.
enum Standing {
    Healthy,
    Running,
    Ended(i64),
    Other,
}

fn standing(inspection: &ContainerInspectResponse) -> Standing {
    let Some(state) = &inspection.state else { return Standing::Other };
    let health = state.health.as_ref().and_then(|health| health.status);
    match state.status {
        Some(ContainerStateStatusEnum::RUNNING) if health == Some(HealthStatusEnum::HEALTHY) => {
            Standing::Healthy
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

/// The words to run: the forms of the engine's API (`CMD`, `CMD-SHELL`; `NONE` and an empty list are no check).
fn command(check: &HealthConfig) -> Option<Vec<String>> {
    let test = check.test.as_ref()?;
    match test.first().map(String::as_str) {
        Some("CMD") => Some(test[1..].to_vec()),
        Some("CMD-SHELL") => Some(vec!["/bin/sh".to_owned(), "-c".to_owned(), test.get(1)?.clone()]),
        _ => None,
    }
}

/// How long the health check itself gives a container: the engine's defaults are 30 s, 30 s and 3.
fn bound(check: &HealthConfig) -> Duration {
    let nanoseconds = |value: Option<i64>, default: u64| match value {
        Some(value) if value > 0 => Duration::from_nanos(u64::try_from(value).unwrap_or(0)),
        _ => Duration::from_secs(default),
    };
    let retries =
        check.retries.filter(|&retries| retries > 0).and_then(|n| u32::try_from(n).ok()).unwrap_or(3);
    let start = match check.start_period {
        Some(period) if period > 0 => nanoseconds(Some(period), 0),
        _ => Duration::ZERO,
    };
    let own = start + nanoseconds(check.interval, 30) * retries + nanoseconds(check.timeout, 30);
    own.max(limits::HEALTHY)
}
