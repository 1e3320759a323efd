//! Waiting for what was started: until it is healthy, ready, or ended; and what it said when it is not.
//!
//! Must not: decide what becomes of it.

use std::sync::PoisonError;
use std::time::Instant;

use super::StackOperator;
use crate::engine::{Standing, Waited};
use crate::event::StepReporter;
use crate::execute::Effect;
use crate::failure::{Code, Failure};
use crate::last_words::{heading, last_words};
use crate::limits;
use crate::plan::{ContainerId, Role, Seat, Version};
use crate::project::keep_log;
use crate::proxy::ready;
use crate::stack::ServiceName;
use crate::ui::log_line;

impl StackOperator<'_> {
    /// Waits until a container is well. A fronted service that says where it tells that it is ready is asked there,
    /// over its own port: that costs a hundredth of what its health check in the container does, and says more.
    pub(super) async fn await_healthy(
        &self,
        seat: &Seat,
        reporter: &StepReporter,
    ) -> Result<Effect, Failure> {
        let service = &self.stack.services[&seat.service];
        let told_at = service.homeport.ready_path.as_ref().zip(service.fronts.first());
        let waited = if let Some((path, front)) = told_at {
            self.await_ready(seat, path, front.target, reporter).await
        } else {
            let container = self.engine.container_id(&self.stack.project, seat).await?;
            let waited = self.engine.await_healthy(&container, reporter).await?;
            self.judge(&seat.service, &container, waited).await
        };
        match waited {
            Ok(effect) => Ok(effect),
            Err(failure) => Err(self.given_up(seat, failure).await),
        }
    }

    /// Waits until a service answers with success at a path of its port. What the engine calls unhealthy meanwhile is not
    /// ready, whatever it answers.
    async fn await_ready(
        &self,
        seat: &Seat,
        path: &str,
        port: u16,
        reporter: &StepReporter,
    ) -> Result<Effect, Failure> {
        let (name, project) = (&seat.service, &self.stack.project);
        let begun = Instant::now();
        loop {
            let look = self.engine.look(project, seat).await?;
            let looked = Instant::now();
            if let Standing::Ended(status) = look.standing {
                return Err(self.ended(name, &look.id, status, "run").await);
            }
            let server = look.ports.get(&port).copied().filter(|_| look.standing != Standing::Other);
            let mut said = match look.standing {
                Standing::Unhealthy => "its health check fails".to_owned(),
                _ if server.is_some() => String::new(),
                _ => format!(
                    "its port {port} leads nowhere; it must be on a network that reaches this machine"
                ),
            };
            let asked = server.filter(|_| look.standing != Standing::Unhealthy);
            while let Some(server) = asked {
                match ready(server, path).await {
                    Ok(()) => {
                        let mut reached = self.reached.lock().unwrap_or_else(PoisonError::into_inner);
                        reached.push((seat.clone(), look.ports));
                        return Ok(Effect::changed().detail("ready"));
                    }
                    Err(why) => said = why,
                }
                if looked.elapsed() > limits::PROBE_PAUSE || begun.elapsed() > limits::READY_SOON {
                    break;
                }
                tokio::time::sleep(limits::READY_PAUSE).await;
            }
            if begun.elapsed() > look.limit {
                let message =
                    format!("{name} did not become ready within {} s: {said}", look.limit.as_secs());
                return Err(self.with_log(Failure::new(Code::NotHealthy, message), name, &look.id).await);
            }
            reporter.message(said);
            if begun.elapsed() > limits::READY_SOON || asked.is_none() {
                tokio::time::sleep(limits::PROBE_PAUSE).await;
            }
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

    pub(super) async fn await_completed(&self, name: &ServiceName) -> Result<Effect, Failure> {
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
        let lines = self.engine.last_lines(container, limits::LAST_WORDS).await;
        let lines = if lines.is_empty() { vec!["(it logged nothing)".to_owned()] } else { lines };
        let readable = |line: &String| log_line::plain(line).unwrap_or_else(|| line.clone());
        let told = last_words(&lines).iter().map(readable);
        failure
            .details(std::iter::once(heading(name.as_str())).chain(told))
            .hint(format!("`cargo xtask logs {name}` shows the whole log"))
    }

    /// A container that does not take its place. Of a successor, which goes, the log is kept, and which version it was is
    /// noted.
    pub(super) async fn given_up(&self, seat: &Seat, failure: Failure) -> Failure {
        let (name, project) = (&seat.service, &self.stack.project);
        if seat.role != Role::Successor {
            return failure;
        }
        // What the engine refuses may pass; and when it does not tell any more what it was, it is tried again, too.
        let its_own = matches!(failure.code, Code::ContainerExited | Code::NotHealthy);
        let Ok(look) = self.engine.look(project, seat).await else { return failure };
        if !its_own {
            return failure.hint("the version before serves on; the next save tries again");
        }
        let log = self.engine.last_lines(&look.id, limits::KEPT_LOG).await;
        let kept = match keep_log(self.project, project, name, &log) {
            Ok(path) => format!("its whole log is in {}", self.project.relative(&path).display()),
            Err(error) => format!("its log could not be kept: {error}"),
        };
        let failure = failure.hint(format!(
            "the version before serves on, and this one is not tried again until it changes, or by the key `r`; {kept}"
        ));
        let version = Version {
            image_id: look.image_id,
            config_hash: self.stack.services[name].config_hash(),
            files_hash: self.observed.mounted_files.get(name).cloned().unwrap_or_default(),
        };
        self.attempts.failed(name, version, &failure);
        failure
    }
}
