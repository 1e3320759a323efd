//! `cargo xtask logs [-f] [NAME…]`: what the services said, in the order of time.

mod choice;
mod last;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use futures_util::future::join_all;
use futures_util::stream::{self, BoxStream, StreamExt as _};

use super::Context;
use crate::cli;
use crate::engine::{LogLine, LogOptions};
use crate::event::{Event, Events};
use crate::failure::{Code, Failure};
use crate::following::{Following, Known, Wanted, seconds};
use crate::plan::{Container, ContainerId};
use crate::run_log::{self, SaidLine};
use crate::session::Session;
use crate::stack::ServiceName;
use choice::{Choice, Verdict};
use last::Last;

/// What is not known without the Compose file.
const UNTOLD: &str =
    "the logs are those of the containers that there are: not known is which services have none";

/// Runs `logs`.
///
/// # Errors
/// When the engine does not answer, or a name is neither a service nor has a container.
pub async fn run(context: &Context, arguments: &cli::Logs) -> Result<(), Failure> {
    let (session, _) = context.session_by_engine(UNTOLD).await?;
    if context.unless_stopped(Box::pin(session.has_no_stack())).await? {
        return Ok(());
    }
    let objects = session.engine.observe(&session.stack.project).await?;
    for name in &arguments.services {
        let known = session.stack.services.contains_key(name)
            || objects.containers.iter().any(|container| container.service == *name);
        if !known {
            let of_containers = objects.containers.iter().map(|container| &container.service);
            let names: BTreeSet<&str> =
                session.stack.services.keys().chain(of_containers).map(ServiceName::as_str).collect();
            let names: Vec<&str> = names.into_iter().collect();
            return Err(Failure::new(Code::Usage, format!("the stack has no service {name}"))
                .hint(format!("it has {}", names.join(", "))));
        }
    }
    let mut containers = objects.containers;
    containers
        .retain(|container| arguments.services.is_empty() || arguments.services.contains(&container.service));
    let now = SystemTime::now();
    let since = arguments.since.map(|since| since.point(now));
    let choice = Mutex::new(Choice::of(arguments, context, since));
    let show = Show { events: context.events.clone(), arguments: arguments.clone(), choice, now, since };
    let told = async {
        let known = show.past(&session, &containers).await;
        if arguments.follow { show.future(&session, known).await } else { Ok(()) }
    };
    // The end that a person chose is a good one.
    context.cancel.run_until_cancelled(Box::pin(told)).await.unwrap_or(Ok(()))
}

/// What is shown, and where.
struct Show {
    events: Events,
    arguments: cli::Logs,
    choice: Mutex<Choice>,
    /// When it began, and from when on lines are wanted.
    now: SystemTime,
    since: Option<SystemTime>,
}

impl Show {
    /// What was logged until now, the logs of all containers merged by time, those that are gone among them as far as they
    /// are known; and what of it was left out.
    async fn past(&self, session: &Session, containers: &[Container]) -> Known {
        // Nothing is told of what was left out here either.
        let from = if self.arguments.tail == Some(0) { Some(self.now) } else { self.since };
        let from = from.unwrap_or(SystemTime::UNIX_EPOCH);
        let mut known: Known = (containers.iter())
            .map(|container| (container.id.clone(), (container.service.clone(), from)))
            .collect();
        let gone = self.gone(session, containers);
        let probes = match self.arguments.tail {
            Some(0) => 0,
            Some(most) => self.last(session, most, containers, gone, &mut known).await,
            None => self.whole(session, containers, gone, &mut known).await,
        };
        let mut choice = self.choice();
        let notes = [choice.told_of_probes(probes, self.arguments.follow), choice.told_of_levels()];
        notes.into_iter().flatten().for_each(|note| self.events.note(note));
        known
    }

    /// Shows all lines that are chosen, and returns how many probes were left out.
    async fn whole(
        &self,
        session: &Session,
        containers: &[Container],
        gone: Vec<Log>,
        known: &mut Known,
    ) -> usize {
        let options = LogOptions { follow: false, tail: None, since: self.since.and_then(seconds) };
        let mut logs = gone;
        logs.extend(containers.iter().map(|container| {
            Log::of(&container.id, &container.service, session.engine.logs(&container.id, &options))
        }));
        for log in &mut logs {
            log.next = log.lines.next().await;
        }
        let mut probes = 0;
        while let Some(log) = logs
            .iter_mut()
            .filter(|log| log.next.is_some())
            .min_by_key(|log| log.next.as_ref().and_then(|line| line.at))
        {
            let Some(line) = log.next.take() else { break };
            if let (Some(at), Some((_, told))) = (line.at, known.get_mut(&log.container)) {
                *told = at.max(*told);
            }
            match self.judge(&log.service, &log.container, &line) {
                Verdict::Chosen => self.events.send(shown(&log.service, line)),
                Verdict::Probe => probes += 1,
                Verdict::Other => {}
            }
            log.next = log.lines.next().await;
        }
        probes
    }

    /// Shows the last lines of each service that are chosen, and returns how many probes were left out among them.
    async fn last(
        &self,
        session: &Session,
        most: usize,
        containers: &[Container],
        gone: Vec<Log>,
        known: &mut Known,
    ) -> usize {
        let mut last: Vec<(ServiceName, Last)> = Vec::new();
        for mut log in gone {
            let mut kept = Last::of(most);
            while let Some(line) = log.lines.next().await {
                let verdict = self.judge(&log.service, &log.container, &line);
                kept.take(line, verdict);
            }
            last.push((log.service, kept));
        }
        let ends = containers.iter().map(|container| self.end(session, container, most));
        for (container, kept) in containers.iter().zip(join_all(ends).await) {
            if let (Some(at), Some((_, told))) = (kept.newest, known.get_mut(&container.id)) {
                *told = at.max(*told);
            }
            last.push((container.service.clone(), kept));
        }
        let (lines, probes) = last::merged(last, most);
        for (service, line) in lines {
            self.events.send(shown(&service, line));
        }
        probes
    }

    /// The last lines of a container that are chosen. The engine counts before they are, so it is asked for more until
    /// there are enough of them.
    async fn end(&self, session: &Session, container: &Container, most: usize) -> Last {
        let mut kept = Last::of(most);
        for tail in last::rounds(most) {
            kept = Last::of(most);
            self.choice().begins(&container.id);
            let options = LogOptions { follow: false, tail, since: self.since.and_then(seconds) };
            let mut lines = session.engine.logs(&container.id, &options);
            while let Some(line) = lines.next().await {
                let verdict = self.judge(&container.service, &container.id, &line);
                kept.take(line, verdict);
            }
            if kept.is_full() {
                break;
            }
        }
        kept
    }

    fn judge(&self, service: &ServiceName, container: &ContainerId, line: &LogLine) -> Verdict {
        self.choice().judge(service, container, line)
    }

    fn choice(&self) -> MutexGuard<'_, Choice> {
        self.choice.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The logs of containers that there are no more: what a `dev` in the foreground has followed of them.
    fn gone(&self, session: &Session, containers: &[Container]) -> Vec<Log> {
        let project = session.stack.project.as_str();
        let said = run_log::said(&session.project.scratch(), project, self.since);
        let wanted = &self.arguments.services;
        let mut gone: BTreeMap<(String, String), Vec<LogLine>> = BTreeMap::new();
        for line in said.lines {
            let is_there = containers.iter().any(|container| container.id.0 == line.container);
            let is_wanted = wanted.is_empty() || wanted.iter().any(|name| name.as_str() == line.service);
            if is_wanted && !is_there {
                let LineOfLog { key, line } = LineOfLog::from(line);
                gone.entry(key).or_default().push(line);
            }
        }
        if !gone.is_empty() && self.arguments.tail != Some(0) {
            let count = gone.len();
            let containers =
                if count == 1 { "1 container".to_owned() } else { format!("{count} containers") };
            let earlier = said.unread.as_ref().map(|path| {
                format!("; what they said earlier is in {}", session.project.relative(path).display())
            });
            self.events.note(format!(
                "with what {containers} said that there are no more, from the run logs of `dev` (target/homeport/runs){}",
                earlier.unwrap_or_default()
            ));
        }
        if let Some(path) = said.gap.filter(|_| self.arguments.tail != Some(0)) {
            self.events.note(format!(
                "{} had no room for all that was said: of containers that there are no more, lines are missing",
                session.project.relative(&path).display()
            ));
        }
        let log = |((service, container), lines): ((String, String), Vec<LogLine>)| {
            let lines = stream::iter(lines).boxed();
            Log::of(&ContainerId(container), &ServiceName::new(service), lines)
        };
        gone.into_iter().map(log).collect()
    }

    /// What is logged from now on, as it comes, of whichever containers then stand for the services; what was shown
    /// already is not shown again. An engine that goes away is waited for, as `dev` does. Ends only when it stays away.
    async fn future(self, session: &Session, mut known: Known) -> Result<(), Failure> {
        let services: BTreeSet<ServiceName> = self.arguments.services.iter().cloned().collect();
        let listener = Arc::new(move |service: &ServiceName, container: &ContainerId, line: LogLine| {
            if self.judge(service, container, &line) == Verdict::Chosen {
                self.events.send(shown(service, line));
            }
            self.choice().told_of_levels().into_iter().for_each(|note| self.events.note(note));
        });
        loop {
            let wanted = Wanted { services: services.clone(), since: None };
            let project = &session.stack.project;
            let mut following =
                Following::begin(&session.engine, project, wanted, known, Arc::clone(&listener) as _);
            let error = following.broken().await;
            known = following.end().await;
            let asks = async || Ok(session.engine.containers(project).await.map(drop)?);
            session.until_it_answers(error.into(), asks).await?;
        }
    }
}

/// A line, as it is shown.
fn shown(service: &ServiceName, line: LogLine) -> Event {
    Event::Log { service: service.to_string(), stderr: line.stderr, line: line.text, origin: None }
}

/// A log that is being read.
struct Log {
    container: ContainerId,
    service: ServiceName,
    lines: BoxStream<'static, LogLine>,
    next: Option<LogLine>,
}

impl Log {
    fn of(container: &ContainerId, service: &ServiceName, lines: BoxStream<'static, LogLine>) -> Self {
        Self { container: container.clone(), service: service.clone(), lines, next: None }
    }
}

/// A line of a run log, and whose it is: service and container.
struct LineOfLog {
    key: (String, String),
    line: LogLine,
}

impl From<SaidLine> for LineOfLog {
    fn from(said: SaidLine) -> Self {
        let SaidLine { at, service, container, stderr, text } = said;
        Self { key: (service, container), line: LogLine { at: Some(at), stderr, text } }
    }
}
