//! What a `dev` that stays tells of its containers: their logs, that one ended by itself, and that it runs again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use crate::engine::LogLine;
use crate::event::Events;
use crate::failure::Failure;
use crate::following::{Following, Listener, Wanted};
use crate::limits;
use crate::plan::{Container, ContainerId, ContainerState, Role};
use crate::session::Session;
use crate::stack::ServiceName;

/// The containers that are attended to.
pub(super) struct Follower {
    logs: Following,
    /// Those that were seen: when each began, and whether its end was told.
    seen: BTreeMap<ContainerId, (SystemTime, bool)>,
    since: SystemTime,
}

impl Follower {
    /// Follows what is logged from now on.
    pub(super) fn begin(session: &Session) -> Self {
        let since = SystemTime::now();
        Self { logs: follow(session, since), seen: BTreeMap::new(), since }
    }

    /// As [`Follower::look`]. An engine that does not answer may be restarted: it is waited for.
    pub(super) async fn attend(&mut self, session: &Session) -> Result<(), Failure> {
        let Err(failure) = self.look(session).await else { return Ok(()) };
        session.events.warning(format!("{failure}; waiting for the engine"));
        let begun = Instant::now();
        loop {
            tokio::time::sleep(limits::ENGINE_LOOK).await;
            match self.look(session).await {
                Ok(()) => break,
                Err(failure) if begun.elapsed() > limits::ENGINE_RETURNS => return Err(failure),
                Err(_) => {}
            }
        }
        session.events.note("the engine answers again");
        self.resume(session);
        Ok(())
    }

    /// Follows anew. Of what was logged meanwhile, lines may be missing.
    fn resume(&mut self, session: &Session) {
        self.logs = follow(session, SystemTime::now());
    }

    /// Looks at the containers between two runs, and tells of those that ended by themselves.
    async fn look(&mut self, session: &Session) -> Result<(), Failure> {
        let containers = session.engine.containers(&session.stack.project).await?;
        // One that ended, or was started again by hand, is not where it was.
        session.fronts.align(&containers);
        session.fronts.explain(super::NOT_RUNNING);
        for container in &containers {
            let Some(began) = began(container) else { continue };
            let known = self.seen.get(&container.id).filter(|(at, _)| *at == began);
            let runs = matches!(container.state, ContainerState::Running(_));
            let told = known.is_some_and(|(_, told)| *told);
            let ended_before = self.seen.get(&container.id).is_some_and(|(_, told)| *told);
            if runs && ended_before {
                session.events.note(format!("{} runs again", container.service));
            }
            if !runs && !told && (known.is_some() || began >= self.since) {
                tell_end(session, container);
            }
            self.seen.insert(container.id.clone(), (began, !runs));
        }
        self.seen.retain(|id, _| containers.iter().any(|container| container.id == *id));
        Ok(())
    }

    /// Resolves when a container began or ended, was paused, or is judged anew. Where the engine tells nothing more, because
    /// it could not be asked, it is listened to anew.
    pub(super) async fn news(&mut self, session: &Session) {
        if let Err(error) = self.logs.news().await {
            session.events.warning(format!("{error}; listening to the engine anew"));
            self.resume(session);
        }
    }

    /// Shows what is still on its way of what services have said, and follows nothing more.
    pub(super) async fn stop(self) {
        self.logs.rest(limits::ENGINE_SETTLES).await;
    }
}

fn follow(session: &Session, since: SystemTime) -> Following {
    let wanted = Wanted { since: Some(since), ..Wanted::default() };
    let listener = listener(session.events.clone());
    Following::begin(&session.engine, &session.stack.project, wanted, BTreeMap::new(), listener)
}

/// Shows lines as they come.
fn listener(events: Events) -> Listener {
    Arc::new(move |service: &ServiceName, line: LogLine| {
        events.offer_line(service.to_string(), line.stderr, line.text);
    })
}

/// That a container ended is worth telling, unless it is one that others wait for to complete, and it did.
fn tell_end(session: &Session, container: &Container) {
    let name = &container.service;
    match container.state {
        // It was let go.
        _ if container.role == Role::Retired => {}
        ContainerState::Exited(0) if session.stack.is_one_shot(name) => {}
        ContainerState::Exited(status) => session.events.warning(format!(
            "{name} ended with status {status}; `cargo xtask logs {name}` shows why; a save, or `r`, starts it again"
        )),
        _ => {}
    }
}

/// When a container last began.
fn began(container: &Container) -> Option<SystemTime> {
    humantime::parse_rfc3339_weak(container.started_at.as_deref()?).ok()
}
