//! Follows the logs of a stack's containers, and notices when one ends or begins, whoever brought that about.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use futures_util::StreamExt as _;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::engine::LogOptions;
use crate::event::Event;
use crate::failure::Failure;
use crate::limits;
use crate::plan::{Container, ContainerId, ContainerState, Role};
use crate::session::Session;
use crate::stack::Condition;

/// The logs that are being followed, one task a container.
pub(super) struct Follower {
    followed: BTreeMap<ContainerId, Followed>,
    changed: Arc<Notify>,
    watcher: JoinHandle<()>,
    /// Seconds since the epoch.
    since: i32,
}

struct Followed {
    task: JoinHandle<()>,
    /// When the container began; one that begins again is followed again.
    started: i32,
    /// Whether its end was told.
    told: bool,
}

impl Follower {
    /// Follows what happens from now on.
    pub(super) fn new(session: &Session) -> Self {
        let changed = Arc::new(Notify::new());
        let (mut events, noticed) = (session.engine.changes(&session.stack.project), Arc::clone(&changed));
        let watcher = tokio::spawn(async move {
            while let Some(()) = events.next().await {
                noticed.notify_one();
            }
        });
        Self { followed: BTreeMap::new(), changed, watcher, since: seconds(SystemTime::now()) }
    }

    /// Begins to follow containers that are new, those included that have ended meanwhile; and tells of those that ended
    /// by themselves.
    pub(super) async fn attend(&mut self, session: &Session) -> Result<(), Failure> {
        let containers = session.engine.containers(&session.stack.project).await?;
        // One that ended, or was started again by hand, is not where it was.
        session.fronts.align(&containers);
        session.fronts.explain(super::NOT_RUNNING);
        for container in &containers {
            let Some(started) = started(container) else { continue };
            let runs = matches!(container.state, ContainerState::Running(_));
            match self.followed.get_mut(&container.id) {
                Some(followed)
                    if followed.started == started
                        && (runs || followed.told || !followed.task.is_finished()) => {}
                Some(followed) if followed.started == started => {
                    followed.told = true;
                    tell_end(session, container);
                }
                _ if runs || started >= self.since => {
                    let task = self.follow(session, container, started);
                    self.followed.insert(container.id.clone(), Followed { task, started, told: false });
                }
                _ => {}
            }
        }
        self.followed.retain(|id, followed| {
            !followed.task.is_finished() || containers.iter().any(|container| container.id == *id)
        });
        Ok(())
    }

    fn follow(&self, session: &Session, container: &Container, started: i32) -> JoinHandle<()> {
        let options = LogOptions { follow: true, tail: None, since: Some(self.since.max(started)) };
        let mut lines = session.engine.logs(&container.id, &options);
        let service = container.service.to_string();
        let (events, ended) = (session.events.clone(), Arc::clone(&self.changed));
        tokio::spawn(async move {
            while let Some(line) = lines.next().await {
                events.send(Event::Log { service: service.clone(), stderr: line.stderr, line: line.text });
            }
            // The log ends a moment before the engine says that the container has.
            tokio::time::sleep(limits::PROBE_PAUSE).await;
            ended.notify_one();
        })
    }

    /// Resolves when a container has begun or ended, is judged anew, or its log has ended.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Follows nothing more.
    pub(super) fn stop(self) {
        self.watcher.abort();
        for followed in self.followed.into_values() {
            followed.task.abort();
        }
    }
}

/// That a container ended is worth telling, unless it is one that others wait for to complete, and it did.
fn tell_end(session: &Session, container: &Container) {
    let name = &container.service;
    let awaited = session
        .stack
        .services
        .values()
        .any(|service| service.depends_on.get(name) == Some(&Condition::Completed));
    match container.state {
        // It was let go.
        _ if container.role == Role::Retired => {}
        ContainerState::Exited(0) if awaited => {}
        ContainerState::Exited(status) => session.events.warning(format!(
            "{name} ended with status {status}; `cargo xtask logs {name}` shows why, a save starts it again"
        )),
        _ => {}
    }
}

/// When a container last began.
fn started(container: &Container) -> Option<i32> {
    humantime::parse_rfc3339_weak(container.started_at.as_deref()?).ok().map(seconds)
}

/// Seconds since the epoch, as the engine counts.
fn seconds(time: SystemTime) -> i32 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i32::try_from(since.as_secs()).unwrap_or(i32::MAX)
}
