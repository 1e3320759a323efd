//! What a `dev` that stays tells of its containers: their logs, that one ended by itself, and that it runs again; and what it
//! has answered in their place.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use tokio::task::JoinHandle;

use crate::engine::LogLine;
use crate::event::{Events, LogOrigin};
use crate::failure::Failure;
use crate::following::{Following, Listener, Wanted};
use crate::limits;
use crate::plan::{Container, ContainerId, ContainerState, Role};
use crate::proxy::{Own, OwnAnswers};
use crate::session::Session;
use crate::stack::ServiceName;

/// The containers that are attended to.
pub(super) struct Follower {
    logs: Following,
    seen: BTreeMap<ContainerId, Seen>,
    since: SystemTime,
    returning: Returning,
    answers: JoinHandle<()>,
}

/// A container that was seen.
#[derive(Debug)]
struct Seen {
    service: ServiceName,
    role: Role,
    began: SystemTime,
    /// Whether its end was told.
    told: bool,
}

impl Follower {
    /// Follows what is logged from now on.
    pub(super) fn begin(session: &Session) -> Self {
        let since = SystemTime::now();
        let answers =
            tokio::spawn(gather_answers(session.fronts.own_answers().clone(), session.events.clone()));
        Self {
            logs: follow(session, since),
            seen: BTreeMap::new(),
            since,
            returning: Returning::default(),
            answers,
        }
    }

    /// As [`Follower::look`]. An engine that does not answer may be restarted: it is waited for.
    pub(super) async fn attend(&mut self, session: &Session, since_run: bool) -> Result<(), Failure> {
        let Err(failure) = self.look(session, since_run).await else { return Ok(()) };
        session.until_it_answers(failure, async || self.look(session, since_run).await).await?;
        self.resume(session);
        Ok(())
    }

    /// Follows anew. Of what was logged meanwhile, lines may be missing.
    fn resume(&mut self, session: &Session) {
        self.logs = follow(session, SystemTime::now());
    }

    /// Looks at the containers between two runs, and tells of those that ended by themselves, or were removed: unless a run
    /// may have done that since the last look.
    async fn look(&mut self, session: &Session, since_run: bool) -> Result<(), Failure> {
        let containers = session.engine.containers(&session.stack.project).await?;
        // One that ended, or was started again by hand, is not where it was.
        session.fronts.align(&containers);
        for container in &containers {
            let Some(began) = began(container) else { continue };
            let known = self.seen.get(&container.id).filter(|seen| seen.began == began);
            let runs = matches!(container.state, ContainerState::Running(_));
            let told = known.is_some_and(|seen| seen.told);
            let ended_before = self.seen.get(&container.id).is_some_and(|seen| seen.told);
            let name = &container.service;
            if runs && ended_before {
                session.events.note(format!("{name} runs again"));
            } else if known.is_none() && self.seen.contains_key(&container.id) {
                session
                    .events
                    .note(format!("{name} was restarted by somebody else, or by its restart policy"));
            }
            if !runs
                && !told
                && (known.is_some() || began >= self.since)
                && let Some(status) = worth_telling(container, session.stack.is_one_shot(name))
            {
                session.events.warning(format!(
                    "{name} ended with status {status}; `cargo xtask logs {name}` shows why; a save, or `r`, starts it again"
                ));
                self.returning.ended(name, status, Instant::now());
            }
            let seen = Seen { service: name.clone(), role: container.role, began, told: !runs };
            self.seen.insert(container.id.clone(), seen);
        }
        if !since_run {
            for name in removed(&self.seen, &containers).filter(|name| !session.stack.is_one_shot(name)) {
                session.events.warning(format!(
                    "{name}'s container was removed by somebody else; a save, or `r`, makes it again"
                ));
            }
        }
        self.seen.retain(|id, _| containers.iter().any(|container| container.id == *id));
        session.fronts.explain_but(super::NOT_RUNNING, &self.returning.awaited(Instant::now()));
        Ok(())
    }

    /// Resolves when a container began or ended, was paused, or is judged anew, or did not return. Where the engine tells
    /// nothing more, because it could not be asked, it is listened to anew.
    pub(super) async fn news(&mut self, session: &Session) {
        let returns = async {
            match self.returning.next() {
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

/// With which status a container ended, when that is worth telling: others wait for a one-shot to complete, and tell how it
/// ended; one that has made way was let go.
fn worth_telling(container: &Container, is_one_shot: bool) -> Option<i64> {
    match container.state {
        ContainerState::Exited(status) if container.role != Role::Retired && !is_one_shot => Some(status),
        _ => None,
    }
}

/// The services whose containers are gone, and that have no other one: those that have made way are let go.
fn removed<'a>(
    seen: &'a BTreeMap<ContainerId, Seen>,
    containers: &'a [Container],
) -> impl Iterator<Item = &'a ServiceName> {
    let gone = seen.iter().filter(|(id, seen)| {
        seen.role != Role::Retired
            && !containers.iter().any(|one| one.id == **id || one.service == seen.service)
    });
    gone.map(|(_, seen)| &seen.service)
}

/// The services that ended and may be started again, each with the time until which: so long requests wait for it.
#[derive(Debug, Default)]
struct Returning(BTreeMap<ServiceName, Instant>);

impl Returning {
    /// A service ended now.
    fn ended(&mut self, name: &ServiceName, status: i64, now: Instant) {
        if may_return(status) {
            self.0.insert(name.clone(), now + limits::RESTARTED);
        } else {
            self.0.remove(name);
        }
    }

    /// Those that are still waited for.
    fn awaited(&mut self, now: Instant) -> BTreeSet<ServiceName> {
        self.0.retain(|_, until| *until > now);
        self.0.keys().cloned().collect()
    }

    /// When the first of them is waited for no more.
    fn next(&self) -> Option<Instant> {
        self.0.values().min().copied()
    }
}

/// Whether what ended was asked to, so that whoever did may start it again: it ended by a signal (128 and its number, as
/// shells tell it) or well. What crashes does not return by itself.
fn may_return(status: i64) -> bool {
    const BY_A_SIGNAL: i64 = 128;
    const SIGNALS: [i64; 3] = [2, 9, 15];
    status == 0 || SIGNALS.contains(&(status - BY_A_SIGNAL))
}

/// When a container last began.
fn began(container: &Container) -> Option<SystemTime> {
    humantime::parse_rfc3339_weak(container.started_at.as_deref()?).ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::event::Event;
    use crate::plan::Health;
    use crate::serving::samples::container;

    #[test]
    fn what_was_asked_to_end_may_be_started_again() {
        for (status, expected) in [(0, true), (137, true), (143, true), (139, false), (3, false)] {
            assert_eq!(may_return(status), expected, "{status}");
        }
    }

    #[test]
    fn each_service_that_ended_is_waited_for_by_itself() {
        let [web, mail] = ["web", "mail"].map(ServiceName::new);
        let begun = Instant::now();
        let second = Duration::from_secs(1);
        let mut returning = Returning::default();
        assert_eq!((returning.awaited(begun), returning.next()), (BTreeSet::new(), None));
        returning.ended(&web, 143, begun);
        returning.ended(&mail, 0, begun + second);
        assert_eq!(returning.awaited(begun + second), [web.clone(), mail.clone()].into());
        assert_eq!(returning.next(), Some(begun + limits::RESTARTED));
        // One that is late does not end the wait for the other.
        assert_eq!(returning.awaited(begun + limits::RESTARTED), [mail.clone()].into());
        returning.ended(&web, 3, begun + limits::RESTARTED);
        assert_eq!(returning.awaited(begun + limits::RESTARTED), [mail.clone()].into(), "it crashed");
        returning.ended(&mail, 3, begun + limits::RESTARTED);
        assert_eq!(returning.next(), None, "it returned, and crashed");
    }

    #[test]
    fn neither_a_one_shot_nor_what_has_made_way_ended_by_itself() {
        let table = [
            (Role::Holder, ContainerState::Exited(143), false, Some(143)),
            (Role::Holder, ContainerState::Exited(0), true, None),
            (Role::Retired, ContainerState::Exited(0), false, None),
            (Role::Holder, ContainerState::Dead, false, None),
            (Role::Holder, ContainerState::Running(Health::Healthy), false, None),
        ];
        for (role, state, is_one_shot, expected) in table {
            assert_eq!(
                worth_telling(&container("1", role, state), is_one_shot),
                expected,
                "{role:?} {state:?}"
            );
        }
    }

    #[test]
    fn a_container_is_missed_when_it_is_gone_and_has_made_way_for_none() {
        let seen = |role| Seen {
            service: ServiceName::new("web"),
            role,
            began: SystemTime::UNIX_EPOCH,
            told: false,
        };
        let of = |role| BTreeMap::from([(ContainerId("1".to_owned()), seen(role))]);
        let there = |id| vec![container(id, Role::Holder, ContainerState::Exited(137))];
        let table = [
            (Role::Holder, Vec::new(), 1),
            (Role::Holder, there("1"), 0),
            (Role::Holder, there("2"), 0),
            (Role::Retired, Vec::new(), 0),
        ];
        for (role, containers, expected) in table {
            assert_eq!(removed(&of(role), &containers).count(), expected, "{role:?} {containers:?}");
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
