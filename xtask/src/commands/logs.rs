//! `cargo xtask logs [-f] [NAME…]`: what the services said.

use std::time::SystemTime;

use futures_util::stream::{SelectAll, StreamExt as _};

use super::Context;
use crate::cli;
use crate::engine::LogOptions;
use crate::event::Event;
use crate::failure::{Code, Failure};

/// Runs `logs`.
///
/// # Errors
/// When the Compose file is wrong, the engine does not answer, or a name is neither a service nor has a container.
pub async fn run(context: &Context, arguments: &cli::Logs) -> Result<(), Failure> {
    context.make_credentials()?;
    let session = context.session(true).await?;
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
    let since = arguments.since.and_then(|since| {
        let from = SystemTime::now().checked_sub(since)?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        i32::try_from(from.as_secs()).ok()
    });
    let options = LogOptions { follow: arguments.follow, tail: arguments.tail, since };
    let mut lines = SelectAll::new();
    for container in &objects.containers {
        if !arguments.services.is_empty() && !arguments.services.contains(&container.service) {
            continue;
        }
        let service = container.service.to_string();
        let log = session.engine.logs(&container.id, &options);
        lines.push(log.map(move |line| (service.clone(), line)).boxed());
    }
    loop {
        tokio::select! {
            next = lines.next() => match next {
                Some((service, line)) => {
                    context.events.send(Event::Log { service, stderr: line.stderr, line: line.text });
                }
                None => return Ok(()),
            },
            // The end that a person chose is a good one.
            () = context.cancel.cancelled() => return Ok(()),
        }
    }
}
