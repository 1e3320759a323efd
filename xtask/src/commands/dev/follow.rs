//! Follows the logs of the containers that run, and notices when one ends.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use futures_util::StreamExt as _;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::engine::LogOptions;
use crate::event::Event;
use crate::failure::Failure;
use crate::plan::{ContainerId, ContainerState};
use crate::session::Session;

/// The logs that are being followed, one task a container.
pub(super) struct Follower {
    followed: BTreeMap<ContainerId, JoinHandle<()>>,
    ended: Arc<Notify>,
    since: i32,
}

impl Follower {
    /// Follows what is logged from now on.
    pub(super) fn new() -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self {
            followed: BTreeMap::new(),
            ended: Arc::new(Notify::new()),
            since: i32::try_from(now.as_secs()).unwrap_or(i32::MAX),
        }
    }

    /// Begins to follow containers that are new, and tells of those that ended by themselves.
    pub(super) async fn attend(&mut self, session: &Session) -> Result<(), Failure> {
        let objects = session.engine.observe(&session.stack.project).await?;
        for container in &objects.containers {
            let runs = matches!(container.state, ContainerState::Running(_));
            match self.followed.get(&container.id) {
                None if runs => {
                    let task = self.follow(session, &container.id, container.service.to_string());
                    self.followed.insert(container.id.clone(), task);
                }
                Some(task) if task.is_finished() && !runs => {
                    self.followed.remove(&container.id);
                    if let ContainerState::Exited(status) = container.state {
                        let name = &container.service;
                        session.events.warning(format!(
                            "{name} ended with status {status}; `cargo xtask logs {name}` shows why, a save or `dev` starts it again"
                        ));
                    }
                }
                _ => {}
            }
        }
        self.followed.retain(|id, task| {
            !task.is_finished() || objects.containers.iter().any(|container| container.id == *id)
        });
        Ok(())
    }

    fn follow(&self, session: &Session, container: &ContainerId, service: String) -> JoinHandle<()> {
        let options = LogOptions { follow: true, tail: None, since: Some(self.since) };
        let mut lines = session.engine.logs(container, &options);
        let (events, ended) = (session.events.clone(), Arc::clone(&self.ended));
        tokio::spawn(async move {
            while let Some(line) = lines.next().await {
                events.send(Event::Log { service: service.clone(), stderr: line.stderr, line: line.text });
            }
            ended.notify_one();
        })
    }

    /// Resolves when a log that is followed has ended.
    pub(super) async fn container_ended(&self) {
        self.ended.notified().await;
    }

    /// Follows nothing more.
    pub(super) fn stop(self) {
        for task in self.followed.into_values() {
            task.abort();
        }
    }
}
