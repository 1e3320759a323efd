//! `cargo xtask logs [-f] [NAME…]`: what the services said, in the order of time.

use std::collections::BTreeMap;
use std::time::SystemTime;

use futures_util::future::ready;
use futures_util::stream::{BoxStream, SelectAll, StreamExt as _};

use super::Context;
use crate::cli::{self, Level};
use crate::engine::{Engine, LogLine, LogOptions};
use crate::event::{Event, Events};
use crate::failure::{Code, Failure};
use crate::plan::{Container, ContainerId, ContainerState};
use crate::ui::log_line;

/// Runs `logs`.
///
/// # Errors
/// When the Compose file is wrong, the engine does not answer, or a name is neither a service nor has a container.
pub async fn run(context: &Context, arguments: &cli::Logs) -> Result<(), Failure> {
    let (session, _) = context.session_as_found(true).await?;
    let objects = session.engine.observe(&session.stack.project).await?;
    for name in &arguments.services {
        let known = session.stack.services.contains_key(name)
            || objects.containers.iter().any(|container| container.service == *name);
        if !known {
            let names: Vec<&str> =
                session.stack.services.keys().map(crate::stack::ServiceName::as_str).collect();
            return Err(Failure::new(Code::Usage, format!("the stack has no service {name}"))
                .hint(format!("it has {}", names.join(", "))));
        }
    }
    let mut containers = objects.containers;
    containers
        .retain(|container| arguments.services.is_empty() || arguments.services.contains(&container.service));
    let show = Show { events: &context.events, arguments };
    let told = async {
        let last = show.past(&session.engine, &containers).await;
        if arguments.follow {
            show.future(&session.engine, &containers, &last).await;
        }
    };
    // The end that a person chose is a good one.
    context.cancel.run_until_cancelled(told).await;
    Ok(())
}

/// What is shown, and where.
struct Show<'a> {
    events: &'a Events,
    arguments: &'a cli::Logs,
}

impl Show<'_> {
    /// What was logged until now, the logs of all containers merged by time. Gives the time of each one's last line.
    async fn past(&self, engine: &Engine, containers: &[Container]) -> BTreeMap<ContainerId, SystemTime> {
        let since = self.arguments.since.and_then(|since| SystemTime::now().checked_sub(since));
        let options = LogOptions { follow: false, tail: self.arguments.tail, since: since.and_then(seconds) };
        let mut last = BTreeMap::new();
        let mut logs: Vec<Log> = Vec::new();
        for container in containers {
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
            if let Some(at) = line.at {
                last.insert(log.container.id.clone(), at);
            }
            self.line(log.container, line);
            log.next = log.lines.next().await;
        }
        last
    }

    /// What is logged from now on, as it comes; what was shown already is not shown again.
    async fn future(
        &self,
        engine: &Engine,
        containers: &[Container],
        last: &BTreeMap<ContainerId, SystemTime>,
    ) {
        let now = SystemTime::now();
        let mut lines = SelectAll::new();
        // The engine would wait for one that was never started.
        let running = |container: &&Container| matches!(container.state, ContainerState::Running(_));
        for container in containers.iter().filter(running) {
            let shown = last.get(&container.id).copied();
            let options = LogOptions { follow: true, tail: None, since: seconds(shown.unwrap_or(now)) };
            let log = engine.logs(&container.id, &options);
            let new = log.filter(move |line| ready(line.at.is_none() || line.at > shown));
            lines.push(new.map(move |line| (container, line)).boxed());
        }
        while let Some((container, line)) = lines.next().await {
            self.line(container, line);
        }
    }

    fn line(&self, container: &Container, line: LogLine) {
        let found = self.arguments.grep.as_ref().is_none_or(|pattern| pattern.is_match(&line.text));
        let matters = self.arguments.level.is_none_or(|least| level(&line.text).is_some_and(|l| l >= least));
        if found && matters {
            let service = container.service.to_string();
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

/// Whole seconds since the epoch, as the engine counts.
fn seconds(time: SystemTime) -> Option<i32> {
    i32::try_from(time.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs()).ok()
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
