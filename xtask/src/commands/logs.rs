//! `cargo xtask logs [-f] [NAME…]`: what the services said, in the order of time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

use futures_util::stream::{BoxStream, StreamExt as _};

use super::Context;
use crate::cli::{self, Level};
use crate::engine::{Engine, LogLine, LogOptions};
use crate::event::{Event, Events};
use crate::failure::{Code, Failure};
use crate::following::{Following, Wanted, seconds};
use crate::plan::{Container, ContainerId};
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
        let known = show.past(&session.engine, &containers).await;
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
    /// What was logged until now, the logs of all containers merged by time.
    async fn past(&self, engine: &Engine, containers: &[Container]) -> Known {
        let now = SystemTime::now();
        let since = self.arguments.since.and_then(|since| now.checked_sub(since));
        // Nothing is told of what was left out here either.
        let from = if self.arguments.tail == Some(0) { Some(now) } else { since };
        let from = from.unwrap_or(SystemTime::UNIX_EPOCH);
        let options = LogOptions { follow: false, tail: self.arguments.tail, since: since.and_then(seconds) };
        let mut known = Known::new();
        let mut logs: Vec<Log> = Vec::new();
        for container in containers {
            known.insert(container.id.clone(), (container.service.clone(), from));
            let mut lines = engine.logs(&container.id, &options);
            let next = lines.next().await;
            logs.push(Log { container, lines, next });
        }
        while let Some(log) = logs
            .iter_mut()
            .filter(|log| log.next.is_some())
            .min_by_key(|log| log.next.as_ref().and_then(|line| line.at))
        {
            let Some(line) = log.next.take() else { break };
            if let (Some(at), Some((_, told))) = (line.at, known.get_mut(&log.container.id)) {
                *told = at;
            }
            self.line(&log.container.service, line);
            log.next = log.lines.next().await;
        }
        known
    }

    /// What is logged from now on, as it comes, of whichever containers then stand for the services; what was shown
    /// already is not shown again. Ends only when the engine can no longer be asked.
    async fn future(self, session: &Session, known: Known) -> Result<(), Failure> {
        let services = self.arguments.services.iter().cloned().collect();
        let wanted = Wanted { services, since: None };
        let listener = Arc::new(move |service: &ServiceName, line: LogLine| self.line(service, line));
        let mut following =
            Following::begin(&session.engine, &session.stack.project, wanted, known, listener);
        Err(following.broken().await.into())
    }

    fn line(&self, service: &ServiceName, line: LogLine) {
        let found = self.arguments.grep.as_ref().is_none_or(|pattern| pattern.is_match(&line.text));
        let matters = self.arguments.level.is_none_or(|least| level(&line.text).is_some_and(|l| l >= least));
        if found && matters {
            let service = service.to_string();
            self.events.send(Event::Log { service, stderr: line.stderr, line: line.text });
        }
    }
}

/// A log that is being read.
struct Log<'a> {
    container: &'a Container,
    lines: BoxStream<'static, LogLine>,
    next: Option<LogLine>,
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
