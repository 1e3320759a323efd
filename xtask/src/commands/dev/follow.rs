//! What a `dev` that stays tells of its containers: their logs, that one ended by itself, and that it runs again; and what it
//! has answered in their place.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use tokio::task::JoinHandle;

use crate::engine::LogLine;
use crate::event::{Events, LogOrigin};
use crate::failure::Failure;
use crate::following::{Following, Listener, Wanted};
use crate::limits;
use crate::plan::{Container, ContainerId, ContainerState, Role};
use crate::serving::proxy::{Own, OwnAnswers};
use crate::session::Session;
use crate::stack::ServiceName;

/// The containers that are attended to.
pub(super) struct Follower {
    logs: Following,
    /// Those that were seen: when each began, and whether its end was told.
    seen: BTreeMap<ContainerId, (SystemTime, bool)>,
    since: SystemTime,
    /// Until when what has ended may be started again: so long requests wait for it.
    may_return: Option<Instant>,
    answers: JoinHandle<()>,
}

impl Follower {
    /// Follows what is logged from now on.
    pub(super) fn begin(session: &Session) -> Self {
        let since = SystemTime::now();
        let answers =
            tokio::spawn(gather_answers(session.fronts.own_answers().clone(), session.events.clone()));
        Self { logs: follow(session, since), seen: BTreeMap::new(), since, may_return: None, answers }
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
        for container in &containers {
            let Some(began) = began(container) else { continue };
            let known = self.seen.get(&container.id).filter(|(at, _)| *at == began);
            let runs = matches!(container.state, ContainerState::Running(_));
            let told = known.is_some_and(|(_, told)| *told);
            let ended_before = self.seen.get(&container.id).is_some_and(|(_, told)| *told);
            let name = &container.service;
            if runs && ended_before {
                session.events.note(format!("{name} runs again"));
            } else if known.is_none() && self.seen.contains_key(&container.id) {
                session
                    .events
                    .note(format!("{name} was restarted by somebody else, or by its restart policy"));
            }
            if !runs && !told && (known.is_some() || began >= self.since) {
                tell_end(session, container);
                if may_return(container.state) {
                    self.may_return = Some(Instant::now() + limits::RESTARTED);
                }
            }
            self.seen.insert(container.id.clone(), (began, !runs));
        }
        self.seen.retain(|id, _| containers.iter().any(|container| container.id == *id));
        if self.may_return.is_none_or(|until| until <= Instant::now()) {
            self.may_return = None;
            session.fronts.explain(super::NOT_RUNNING);
        }
        Ok(())
    }

    /// Resolves when a container began or ended, was paused, or is judged anew, or did not return. Where the engine tells
    /// nothing more, because it could not be asked, it is listened to anew.
    pub(super) async fn news(&mut self, session: &Session) {
        let returns = async {
            match self.may_return {
                Some(until) => tokio::time::sleep_until(until.into()).await,
                None => std::future::pending().await,
            }
        };
        let heard = tokio::select! {
            heard = self.logs.news() => heard,
            () = returns => Ok(()),
        };
        if let Err(error) = heard {
            session.events.warning(format!("{error}; listening to the engine anew"));
            self.resume(session);
        }
    }

    /// Shows what is still on its way of what services have said, and follows nothing more.
    pub(super) async fn stop(self, session: &Session) {
        self.answers.abort();
        tell_answers(session.fronts.own_answers(), &session.events);
        self.logs.rest(limits::ENGINE_SETTLES).await;
    }
}

/// Tells what was answered in the place of services, which their own logs and metrics do not know of: the first at once, and
/// what follows gathered.
async fn gather_answers(answers: OwnAnswers, events: Events) {
    loop {
        answers.come().await;
        tell_answers(&answers, &events);
        tokio::time::sleep(limits::GATHER_ANSWERS).await;
    }
}

fn tell_answers(answers: &OwnAnswers, events: &Events) {
    for (Own { name, status, why }, times) in answers.take() {
        let requests = if times == 1 { "1 request".to_owned() } else { format!("{times} requests") };
        events.warning(format!(
            "{requests} to {name} answered {status} by `dev` itself: {why}; its own logs and metrics do not have them"
        ));
    }
}

fn follow(session: &Session, since: SystemTime) -> Following {
    let wanted = Wanted { since: Some(since), ..Wanted::default() };
    let listener = listener(session.stack.project.to_string(), session.events.clone());
    Following::begin(&session.engine, &session.stack.project, wanted, BTreeMap::new(), listener)
}

/// Shows lines as they come. Whose each is stands in the run log: a save may take the container away, and its own log with it.
fn listener(project: String, events: Events) -> Listener {
    Arc::new(move |service: &ServiceName, container: &ContainerId, line: LogLine| {
        let origin = Some(LogOrigin { project: project.clone(), container: container.0.clone() });
        events.offer_line(service.to_string(), line.stderr, line.text, origin);
    })
}

/// That a container ended is worth telling, unless others wait for it to complete: whoever waits tells how it ended.
fn tell_end(session: &Session, container: &Container) {
    let name = &container.service;
    match container.state {
        // It was let go.
        _ if container.role == Role::Retired => {}
        ContainerState::Exited(_) if session.stack.is_one_shot(name) => {}
        ContainerState::Exited(status) => session.events.warning(format!(
            "{name} ended with status {status}; `cargo xtask logs {name}` shows why; a save, or `r`, starts it again"
        )),
        _ => {}
    }
}

/// Whether what ended was asked to, so that whoever did may start it again: it ended by a signal (128 and its number, as
/// shells tell it) or well. What crashes does not return by itself.
fn may_return(state: ContainerState) -> bool {
    const BY_A_SIGNAL: i64 = 128;
    const SIGNALS: [i64; 3] = [2, 9, 15];
    matches!(state, ContainerState::Exited(status) if status == 0 || SIGNALS.contains(&(status - BY_A_SIGNAL)))
}

/// When a container last began.
fn began(container: &Container) -> Option<SystemTime> {
    humantime::parse_rfc3339_weak(container.started_at.as_deref()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;
    use crate::plan::Health;

    #[test]
    fn what_was_asked_to_end_may_be_started_again() {
        let table = [
            (ContainerState::Exited(0), true),
            (ContainerState::Exited(137), true),
            (ContainerState::Exited(143), true),
            (ContainerState::Exited(139), false),
            (ContainerState::Exited(3), false),
            (ContainerState::Dead, false),
            (ContainerState::Running(Health::Healthy), false),
        ];
        for (state, expected) in table {
            assert_eq!(may_return(state), expected, "{state:?}");
        }
    }

    #[test]
    fn what_was_answered_in_the_place_of_a_service_is_told_once() {
        let (events, mut arrived) = Events::channel();
        let answers = OwnAnswers::default();
        let own = |status, why: &str| Own { name: "web".to_owned(), status, why: why.to_owned() };
        for own in [own(502, "it broke off"), own(503, "its build failed"), own(502, "it broke off")] {
            answers.note(own);
        }
        tell_answers(&answers, &events);
        tell_answers(&answers, &events);
        let mut told = Vec::new();
        while let Ok(Event::Warning { text }) = arrived.try_recv() {
            told.push(text);
        }
        let unknown = "its own logs and metrics do not have them";
        let expected = [
            format!("2 requests to web answered 502 by `dev` itself: it broke off; {unknown}"),
            format!("1 request to web answered 503 by `dev` itself: its build failed; {unknown}"),
        ];
        assert_eq!(told, expected);
    }
}
