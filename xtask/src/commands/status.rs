//! `cargo xtask status`: what runs, and why it is or is not healthy; what was asked of it in the last minute.

use super::Context;
use crate::cli;
use crate::event::{Event, LastMinute, ServiceReport};
use crate::failure::Failure;
use crate::limits;
use crate::profile;
use crate::prometheus::{AskError, Prometheus, SERVICE, Series};
use crate::run_log;
use crate::session::Session;
use crate::stack::ServiceName;

/// The figures, by the rules that record them (compose/prometheus/service.rules.yml): asked for at once, so that they
/// are of one moment.
const RATE: &str = "service:app_requests:rate1m";
const NEW: &str = "service:app_requests:new1m";
const ERRORS: &str = "service:app_request_errors:ratio_rate1m";
const P95: &str = "service:app_request_latency_seconds:p95_1m";

/// What is not known without the Compose file.
const UNTOLD: &str = "told by the containers alone: not which services have none, whether what runs is what is configured, \
                      whether what ended should have, or at which port a `dev` passes requests on";

/// Runs `status`.
///
/// # Errors
/// When the engine does not answer. Services that are not well are an answer, no failure; nor
/// is a Prometheus that does not answer.
pub async fn run(context: &Context, arguments: &cli::Status) -> Result<(), Failure> {
    if arguments.start {
        last_start(context);
        return Ok(());
    }
    let (session, missing) = context.session_by_engine(UNTOLD).await?;
    if !missing.is_empty() {
        let missing = missing.join(", ");
        context
            .events
            .note(format!("compose/.env has no {missing} yet; `cargo xtask dev` makes what is missing"));
    }
    let services = context.unless_stopped(Box::pin(session.reports())).await?;
    let figures = context.unless_stopped(async { Ok(last_minute(&session, &services).await) }).await?;
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
async fn last_minute(session: &Session, services: &[ServiceReport]) -> Option<LastMinute> {
    let prometheus = if session.by_engine {
        let row = services.iter().find(|row| row.service == SERVICE)?;
        Prometheus::of_row(row, row.urls.first().cloned(), limits::LAST_MINUTE)
    } else {
        session.stack.services.get(&ServiceName::new(SERVICE))?;
        Prometheus::of(&session.stack, services, limits::LAST_MINUTE)
    };
    let asked = async {
        let names = [RATE, NEW, ERRORS, P95].join("|");
        let series = prometheus?.instant(&format!("{{__name__=~\"{names}\"}}"), None).await?;
        Ok::<_, AskError>(figures(&series))
    };
    Some(asked.await.unwrap_or_else(|error| LastMinute::Unknown { why: error.to_string() }))
}

fn figures(series: &[Series]) -> LastMinute {
    let figure = |name: &str| {
        let found = series.iter().find(|series| series.label("__name__") == name)?;
        found.points.first().map(|point| point.value).filter(|value| value.is_finite())
    };
    let (rate, new) = (figure(RATE), figure(NEW));
    if rate.is_none() && new.is_none() {
        let why = "Prometheus has seen no request to the service: it did not run in the last minute, or nobody but probes has asked it \
                   anything since it started";
        return LastMinute::Unknown { why: why.to_owned() };
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count, far below 2^52")]
    LastMinute::Measured {
        requests_per_second: rate.unwrap_or_default(),
        requests_before_rate: new.unwrap_or_default().round() as u64,
        error_ratio: figure(ERRORS),
        p95_seconds: figure(P95),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prometheus::Point;

    /// Series of these values.
    fn measured(values: &[(&str, f64)]) -> LastMinute {
        let series = values.iter().map(|(name, value)| Series {
            labels: [("__name__".to_owned(), (*name).to_owned())].into(),
            points: vec![Point { at: 0.0, value: *value }],
        });
        figures(&series.collect::<Vec<_>>())
    }

    #[test]
    fn what_no_rate_tells_of_is_known_beside_it() {
        let figures = |requests_per_second, requests_before_rate, error_ratio| LastMinute::Measured {
            requests_per_second,
            requests_before_rate,
            error_ratio,
            p95_seconds: None,
        };
        assert_eq!(measured(&[(RATE, 0.0), (NEW, 60.0)]), figures(0.0, 60, None));
        assert_eq!(measured(&[(NEW, 60.0)]), figures(0.0, 60, None), "one look makes no rate");
        assert_eq!(measured(&[(RATE, 2.0), (NEW, 0.0), (ERRORS, 0.5)]), figures(2.0, 0, Some(0.5)));
        assert_eq!(measured(&[(RATE, 0.0), (ERRORS, f64::NAN)]), figures(0.0, 0, None));
        assert!(matches!(measured(&[]), LastMinute::Unknown { .. }));
    }
}
