//! `cargo xtask logs [-f] [NAME…]`: what the services said, in the order of time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::SystemTime;

use futures_util::stream::{self, BoxStream, StreamExt as _};

use super::Context;
use crate::cli::{self, Level};
use crate::engine::{LogLine, LogOptions};
use crate::event::{Event, Events};
use crate::failure::{Code, Failure};
use crate::following::{Following, Wanted, seconds};
use crate::plan::{Container, ContainerId};
use crate::run_log::{self, SaidLine};
use crate::session::Session;
use crate::stack::ServiceName;
use crate::ui::log_line;

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
    let show = Show { events: context.events.clone(), arguments: arguments.clone() };
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
}

/// The containers whose logs were told, each with the time until which.
type Known = BTreeMap<ContainerId, (ServiceName, SystemTime)>;

impl Show {
    /// What was logged until now, the logs of all containers merged by time, those that are gone among them as far as they
    /// are known.
    async fn past(&self, session: &Session, containers: &[Container]) -> Known {
        let now = SystemTime::now();
        let since = self.arguments.since.and_then(|since| now.checked_sub(since));
        // Nothing is told of what was left out here either.
        let from = if self.arguments.tail == Some(0) { Some(now) } else { since };
        let from = from.unwrap_or(SystemTime::UNIX_EPOCH);
        let options = LogOptions { follow: false, tail: self.arguments.tail, since: since.and_then(seconds) };
        let mut known = Known::new();
        let mut logs: Vec<Log> = self.gone(session, containers, since);
        for container in containers {
            known.insert(container.id.clone(), (container.service.clone(), from));
            let lines = session.engine.logs(&container.id, &options);
            logs.push(Log::of(&container.id, &container.service, lines));
        }
        for log in &mut logs {
            log.next = log.lines.next().await;
        }
        let mut last = LastLines::of(self.arguments.tail);
        while let Some(log) = logs
            .iter_mut()
            .filter(|log| log.next.is_some())
            .min_by_key(|log| log.next.as_ref().and_then(|line| line.at))
        {
            let Some(line) = log.next.take() else { break };
            if let (Some(at), Some((_, told))) = (line.at, known.get_mut(&log.container)) {
                *told = at;
            }
            if let Some((service, line)) = last.pass(&log.service, line) {
                self.line(&service, line);
            }
            log.next = log.lines.next().await;
        }
        for (service, line) in last.rest() {
            self.line(&service, line);
        }
        known
    }

    /// The logs of containers that there are no more: what a `dev` in the foreground has followed of them.
    fn gone(&self, session: &Session, containers: &[Container], since: Option<SystemTime>) -> Vec<Log> {
        let project = session.stack.project.as_str();
        let said = run_log::said(&session.project.scratch(), project, since);
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
    /// already is not shown again. Ends only when the engine can no longer be asked.
    async fn future(self, session: &Session, known: Known) -> Result<(), Failure> {
        let services = self.arguments.services.iter().cloned().collect();
        let wanted = Wanted { services, since: None };
        let listener =
            Arc::new(move |service: &ServiceName, _: &ContainerId, line: LogLine| self.line(service, line));
        let mut following =
            Following::begin(&session.engine, &session.stack.project, wanted, known, listener);
        Err(following.broken().await.into())
    }

    fn line(&self, service: &ServiceName, line: LogLine) {
        let found = self.arguments.grep.as_ref().is_none_or(|pattern| pattern.is_match(&line.text));
        let matters = self.arguments.level.is_none_or(|least| level(&line.text).is_some_and(|l| l >= least));
        if found && matters {
            let service = service.to_string();
            self.events.send(Event::Log { service, stderr: line.stderr, line: line.text, origin: None });
        }
    }
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

/// The last lines of each service, where only those are wanted: whichever of its containers said them.
struct LastLines {
    most: Option<usize>,
    held: VecDeque<(ServiceName, LogLine)>,
    count: BTreeMap<ServiceName, usize>,
}

impl LastLines {
    fn of(most: Option<usize>) -> Self {
        Self { most, held: VecDeque::new(), count: BTreeMap::new() }
    }

    /// Takes a line, and gives it back when it need not be held.
    fn pass(&mut self, service: &ServiceName, line: LogLine) -> Option<(ServiceName, LogLine)> {
        if self.most.is_none() {
            return Some((service.clone(), line));
        }
        *self.count.entry(service.clone()).or_default() += 1;
        self.held.push_back((service.clone(), line));
        None
    }

    /// What is left to be told, in its order.
    fn rest(mut self) -> Vec<(ServiceName, LogLine)> {
        let most = self.most.unwrap_or_default();
        let is_late = |(service, _): &(ServiceName, LogLine)| {
            let left = self.count.entry(service.clone()).or_default();
            *left = left.saturating_sub(1);
            *left < most
        };
        self.held.into_iter().filter(is_late).collect()
    }
}

/// The level of a JSON line, whichever of the usual words it uses.
fn level(line: &str) -> Option<Level> {
    match log_line::level(line)?.as_str() {
        "trace" | "trce" | "debug" | "debg" => Some(Level::Debug),
        "info" | "notice" => Some(Level::Info),
        "warn" | "warning" => Some(Level::Warn),
        "error" | "erro" | "crit" | "critical" | "fatal" | "panic" => Some(Level::Error),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_those_of_a_service_whichever_container_said_them() {
        let told = |most: Option<usize>| {
            let mut last = LastLines::of(most);
            let mut told = Vec::new();
            for (service, text) in [("a", "1"), ("b", "2"), ("a", "3"), ("a", "4")] {
                let line = LogLine { at: None, stderr: false, text: text.to_owned() };
                told.extend(last.pass(&ServiceName::new(service), line));
            }
            told.extend(last.rest());
            told.into_iter().map(|(_, line)| line.text).collect::<Vec<_>>()
        };
        assert_eq!(told(None), ["1", "2", "3", "4"]);
        assert_eq!(told(Some(2)), ["2", "3", "4"]);
        assert_eq!(told(Some(1)), ["2", "4"]);
        assert_eq!(told(Some(0)), [""; 0]);
    }

    #[test]
    fn levels_are_ordered_whatever_their_words() {
        let lines = [
            (r#"{"level":"TRCE"}"#, Some(Level::Debug)),
            (r#"{"level":"INFO"}"#, Some(Level::Info)),
            (r#"{"level":"WARN"}"#, Some(Level::Warn)),
            (r#"{"level":"CRIT"}"#, Some(Level::Error)),
            (r#"{"level":"loud"}"#, None),
            ("ERROR: plain", None),
        ];
        for (line, expected) in lines {
            assert_eq!(level(line), expected, "{line}");
        }
        assert!(Level::Debug < Level::Info && Level::Info < Level::Warn && Level::Warn < Level::Error);
    }
}
