//! `cargo xtask status`: what runs, and why it is or is not healthy; what was asked of it in the last minute.

use super::Context;
use crate::cli;
use crate::event::{Event, LastMinute, ServiceReport};
use crate::failure::Failure;
use crate::limits;
use crate::profile;
use crate::prometheus::{AskError, Prometheus, SERVICE};
use crate::run_log;
use crate::stack::{ServiceName, Stack};

/// The figures, by the rules that record them (compose/prometheus/service.rules.yml): asked for at once, so that they are of
/// one moment.
const RATE: &str = "service:app_requests:rate1m";
const ERRORS: &str = "service:app_request_errors:ratio_rate1m";
const P95: &str = "service:app_request_latency_seconds:p95_1m";

/// Runs `status`.
///
/// # Errors
/// When the Compose file is wrong or the engine does not answer. Services that are not well are an answer, no failure; nor
/// is a Prometheus that does not answer.
pub async fn run(context: &Context, arguments: &cli::Status) -> Result<(), Failure> {
    if arguments.start {
        last_start(context);
        return Ok(());
    }
    let (session, missing) = context.session_as_found(true).await?;
    if !missing.is_empty() {
        let missing = missing.join(", ");
        context
            .events
            .note(format!("compose/.env has no {missing} yet; `cargo xtask dev` makes what is missing"));
    }
    let services = context.unless_stopped(Box::pin(session.reports())).await?;
    let figures = context.unless_stopped(async { Ok(last_minute(&session.stack, &services).await) }).await?;
    context.events.send(Event::Summary { services });
    if let Some(figures) = figures {
        context.events.send(Event::LastMinute { figures });
    }
    Ok(())
}

/// Where the time of the last start went that had something to do, from its run log.
fn last_start(context: &Context) {
    match run_log::newest(&context.project.scratch(), "dev").find_map(|log| profile::read(&log)) {
        Some(start) => {
            let profile::Start { at, profile } = start;
            context.events.send(Event::StartProfiled { at: Some(at), profile });
        }
        None => context.events.note(
            "no run log under target/homeport/runs tells of a start that had something to do and came to its end",
        ),
    }
}

/// `None` for a stack that has no Prometheus.
async fn last_minute(stack: &Stack, services: &[ServiceReport]) -> Option<LastMinute> {
    stack.services.get(&ServiceName::new(SERVICE))?;
    let asked = async {
        let prometheus = Prometheus::of(stack, services, limits::LAST_MINUTE)?;
        let series = prometheus.instant(&format!("{{__name__=~\"{RATE}|{ERRORS}|{P95}\"}}"), None).await?;
        let figure = |name: &str| {
            let found = series.iter().find(|series| series.label("__name__") == name)?;
            found.points.first().map(|point| point.value).filter(|value| value.is_finite())
        };
        Ok::<_, AskError>(match figure(RATE) {
            Some(requests_per_second) => LastMinute::Measured {
                requests_per_second,
                error_ratio: figure(ERRORS),
                p95_seconds: figure(P95),
            },
            None => LastMinute::Unknown {
                why: "Prometheus has no figures of the service: it is away, or was never asked for anything"
                    .to_owned(),
            },
        })
    };
    Some(asked.await.unwrap_or_else(|error| LastMinute::Unknown { why: error.to_string() }))
}
