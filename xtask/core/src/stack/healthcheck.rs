//! `healthcheck` of a service.

use std::time::Duration;

use super::cursor::Cursor;
use super::model::{HealthCheck, Probe};
use super::quantity;
use super::yaml::Value;

/// The engine's default between two checks and for one check (Dockerfile reference, "HEALTHCHECK").
const DEFAULT_INTERVAL: Duration = Duration::from_secs(30);
/// The engine's default number of failures (Dockerfile reference, "HEALTHCHECK").
const DEFAULT_RETRIES: u32 = 3;

/// The health check; numbers that are not given, or zero, are the engine's own.
pub(super) fn read(at: &Cursor<'_>) -> Option<HealthCheck> {
    let mut section = at.section();
    let disable = section.take("disable").and_then(|at| at.boolean()).unwrap_or(false);
    let test_at = section.take("test");
    let mut duration = |key| section.take(key).and_then(|at| at.parsed_text(quantity::duration));
    let interval = duration("interval");
    let timeout = duration("timeout");
    let start_period = duration("start_period");
    let retries = section.take("retries").and_then(|at| at.integer::<u32>());
    section.finish(&["start_interval"]);
    let test = match test_at {
        Some(at) => probe(&at)?,
        None if disable => Probe::Disabled,
        None => {
            at.fault("needs a `test`, or `disable: true`");
            return None;
        }
    };
    if disable || test == Probe::Disabled {
        return Some(HealthCheck {
            test: Probe::Disabled,
            interval: DEFAULT_INTERVAL,
            timeout: DEFAULT_INTERVAL,
            retries: DEFAULT_RETRIES,
            start_period: Duration::ZERO,
        });
    }
    Some(HealthCheck {
        test,
        interval: interval.filter(|time| !time.is_zero()).unwrap_or(DEFAULT_INTERVAL),
        timeout: timeout.filter(|time| !time.is_zero()).unwrap_or(DEFAULT_INTERVAL),
        retries: retries.filter(|count| *count > 0).unwrap_or(DEFAULT_RETRIES),
        start_period: start_period.unwrap_or_default(),
    })
}

/// A plain string, or a list that begins with `NONE`, `CMD` or `CMD-SHELL`.
fn probe(at: &Cursor<'_>) -> Option<Probe> {
    if let Value::Text(_) = at.node.value {
        return at.filled_text().map(Probe::Shell);
    }
    let words: Vec<String> = at.list().iter().map(Cursor::text).collect::<Option<_>>()?;
    match words.split_first() {
        Some((kind, rest)) if kind == "NONE" && rest.is_empty() => Some(Probe::Disabled),
        Some((kind, rest)) if kind == "CMD" && !rest.is_empty() => Some(Probe::Command(rest.to_vec())),
        Some((kind, [script])) if kind == "CMD-SHELL" => Some(Probe::Shell(script.clone())),
        _ => {
            at.fault("expected [\"CMD\", program, argument…], [\"CMD-SHELL\", script], [\"NONE\"] or a script as text");
            None
        }
    }
}
