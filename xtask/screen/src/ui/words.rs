//! The wording that the terminal and the plain renderer share: durations, sizes, outcomes, failures, the table of
//! services.
//!
//! Must not: write, or move the cursor.

use std::time::Duration;

use super::style::{Role, Style, sanitize, state_sign};
use super::table::{Cell, Table};
use crate::event::{Event, LastMinute, Outcome, ServiceReport, StageOutcome};
use crate::finding::{Finding, Need, Status};
use crate::quantity::{self, Unit, duration};

/// That only one service's logs are shown, after its name; and that it is so no longer.
pub(super) const NARROWED: &str = " is the only one whose logs are shown; l shows the next, L all";
pub(super) const NARROWED_TO_ALL: &str = "the logs of all services are shown";

/// How a step ended, in the parts that every renderer shows.
pub(super) struct Ending<'a> {
    /// The sign in a terminal.
    pub(super) sign: &'static str,
    /// The word in plain lines.
    pub(super) word: &'static str,
    /// How sign and word look.
    pub(super) role: Role,
    /// What is worth telling beside the title.
    pub(super) remark: Option<String>,
    /// Evidence, to be shown below.
    pub(super) message: Option<&'a str>,
}

impl<'a> Ending<'a> {
    /// Words how a step of this title ended; a remark that the title makes already is not made again.
    pub(super) fn of(title: &str, outcome: &'a Outcome) -> Self {
        let (sign, word, role) = match outcome {
            Outcome::Done { .. } => ("✓", "done", Role::Good),
            Outcome::Unchanged => ("=", "unchanged", Role::Faint),
            Outcome::Skipped { .. } => ("–", "skipped", Role::Caution),
            Outcome::Cancelled => ("–", "cancelled", Role::Caution),
            Outcome::Failed { .. } => ("✗", "failed", Role::Bad),
        };
        let remark = match outcome {
            Outcome::Done { detail } => detail.clone().filter(|detail| !title.ends_with(detail.as_str())),
            Outcome::Skipped { because } => Some(format!("it needs \"{because}\"")),
            Outcome::Unchanged | Outcome::Cancelled | Outcome::Failed { .. } => None,
        };
        let message = match outcome {
            Outcome::Failed { message } => Some(message.as_str()),
            _ => None,
        };
        Self { sign, word, role, remark, message }
    }
}

/// How a stage ended: the sign in a terminal, the word in plain lines, how both look, and what is worth telling.
pub(super) fn stage_ending(outcome: &StageOutcome) -> (&'static str, &'static str, Role, Option<String>) {
    match outcome {
        StageOutcome::Passed => ("✓", "passed", Role::Good, None),
        StageOutcome::Failed { message } => ("✗", "failed", Role::Bad, Some(message.clone())),
        StageOutcome::Skipped { because } => {
            ("–", "skipped", Role::Caution, Some(format!("it needs stage {because}")))
        }
        StageOutcome::NotRun { why } => ("–", "not run", Role::Caution, Some(why.clone())),
    }
}

/// A text in a workflow command of GitHub Actions, whose own signs are escaped.
pub(super) fn workflow_data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// A failure: what and where, the evidence, and after a blank line what to do.
pub(super) fn failure(
    code: &str,
    message: &str,
    details: &[String],
    hint: Option<&str>,
    style: Style,
) -> Vec<String> {
    let head = style.paint(Role::Bad, &format!("error[{code}]:"));
    let mut lines = vec![format!("{head} {}", sanitize(message, false))];
    lines.extend(details.iter().map(|line| format!("    {}", sanitize(line, style.is_coloured()))));
    if let Some(hint) = hint {
        lines.push(String::new());
        lines.push(format!("{} {}", style.paint(Role::Link, "hint:"), sanitize(hint, false)));
    }
    lines
}

/// The services of a stack, one a row.
pub fn services(reports: &[ServiceReport]) -> Table {
    let mut table =
        Table::new(["SERVICE", "STATE", "UP", "URL", "IMAGE", "SOURCE", "REASON"]).spare(["IMAGE", "UP"]);
    for report in reports {
        let (sign, role) = state_sign(report.state);
        table.row([
            Cell::new(Role::Strong, &report.service),
            Cell::new(role, format!("{sign} {}", report.state.as_str())),
            Cell::plain(report.up_seconds.map(age).unwrap_or_default()),
            Cell::new(Role::Link, report.urls.join(" ")),
            Cell::plain(&report.image),
            Cell::plain(report.image_source.as_deref().unwrap_or_default()),
            Cell::plain(report.reason.as_deref().unwrap_or_default()),
        ]);
    }
    table
}

/// The line of the last minute: rate, errors, latency, or why they are not known.
pub(super) fn last_minute(figures: &LastMinute, style: Style) -> String {
    let label = style.paint(Role::Faint, "last minute:");
    match figures {
        LastMinute::Unknown { why } => {
            format!("{label} {}", style.paint(Role::Caution, &sanitize(&format!("unknown; {why}"), false)))
        }
        // A rate that rounds to nothing is one request that is almost a minute ago.
        LastMinute::Measured { requests_per_second, requests_before_rate, .. }
            if *requests_per_second == 0.0 =>
        {
            match requests_before_rate {
                0 => format!("{label} no requests"),
                new => format!("{label} {}, too new for a rate", requests(*new)),
            }
        }
        LastMinute::Measured { requests_per_second, requests_before_rate, error_ratio, p95_seconds } => {
            let errors = error_ratio.map(|ratio| {
                let role = if ratio > 0.0 { Role::Bad } else { Role::Good };
                style.paint(role, &format!("{} errors", quantity::text(ratio, Unit::Ratio)))
            });
            let p95 = p95_seconds.map(|seconds| format!("p95 {}", quantity::text(seconds, Unit::Seconds)));
            let rate = quantity::text(*requests_per_second, Unit::RequestsPerSecond);
            let new = Some(*requests_before_rate).filter(|new| *new > 0);
            let new = new.map(|new| format!("beside {} too new for a rate", requests(new)));
            let parts: Vec<String> = std::iter::once(rate).chain(errors).chain(p95).chain(new).collect();
            format!("{label} {}", parts.join(", "))
        }
    }
}

fn requests(count: u64) -> String {
    if count == 1 { "1 request".to_owned() } else { format!("{count} requests") }
}

/// Findings of the doctor: a table, then what each that is not well means and what mends it.
pub(super) fn diagnosis(findings: &[Finding], style: Style, columns: Option<usize>) -> Vec<String> {
    let mut table = Table::new(["CHECK", "STATUS", "NEEDED BY", "FOUND"]);
    for finding in findings {
        let (sign, role) = status_sign(finding.status);
        table.row([
            Cell::new(Role::Strong, finding.check.to_string()),
            Cell::new(role, format!("{sign} {}", finding.status.as_str())),
            Cell::new(Role::Faint, needed_by(finding)),
            Cell::plain(&finding.seen),
        ]);
    }
    let mut lines = table.lines(style, columns);
    for finding in findings {
        let meaning = finding.meaning.as_deref().filter(|_| finding.status != Status::Ok);
        let Some(meaning) = meaning else { continue };
        let (sign, role) = status_sign(finding.status);
        lines.push(String::new());
        lines.push(format!("{} {meaning}", style.paint(role, &format!("{sign} {}:", finding.check))));
        for command in finding.remedy.iter().flat_map(|remedy| &remedy.commands) {
            lines.push(format!("    {}", style.paint(Role::Link, command)));
        }
    }
    lines
}

/// The commands that need what was looked at.
fn needed_by(finding: &Finding) -> String {
    match finding.needed_for.as_slice() {
        [] => "nothing".to_owned(),
        needs if needs == Need::BY_DEFAULT => "everything".to_owned(),
        needs => needs.iter().map(|need| need.as_str()).collect::<Vec<_>>().join(" "),
    }
}

const fn status_sign(status: Status) -> (&'static str, Role) {
    match status {
        Status::Ok => ("✓", Role::Good),
        Status::Warning => ("!", Role::Caution),
        Status::Missing => ("✗", Role::Bad),
    }
}

/// How long something has been up, in its two largest units at most: `59s`, `12m`, `1h 02m`, `3d 4h`.
fn age(seconds: u64) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    match seconds {
        ..MINUTE => format!("{seconds}s"),
        MINUTE..HOUR => format!("{}m", seconds / MINUTE),
        HOUR..DAY => format!("{}h {:02}m", seconds / HOUR, seconds % HOUR / MINUTE),
        _ => format!("{}d {}h", seconds / DAY, seconds % DAY / HOUR),
    }
}

/// The last line of a run.
pub(super) struct Close {
    /// The sign in a terminal.
    pub(super) sign: &'static str,
    /// How it looks.
    pub(super) role: Role,
    /// The sentence.
    pub(super) text: String,
}

/// Words the end of a run: `done in 3.2s`, `failed after 3.2s (port-taken, exit status 4)`.
pub(super) fn close(took: Duration, code: Option<&str>, exit: u8) -> Close {
    let took = duration(took);
    match code {
        None if exit == 0 => Close { sign: "✓", role: Role::Good, text: format!("done in {took}") },
        None => {
            Close { sign: "✗", role: Role::Bad, text: format!("ended after {took} (exit status {exit})") }
        }
        Some("interrupted") => {
            Close { sign: "–", role: Role::Caution, text: format!("interrupted after {took}") }
        }
        Some(code) => Close {
            sign: "✗",
            role: Role::Bad,
            text: format!("failed after {took} ({code}, exit status {exit})"),
        },
    }
}

/// Words the beginning of a plan.
pub(super) fn planned(steps: usize) -> String {
    match steps {
        0 => "nothing to do".to_owned(),
        1 => "1 step".to_owned(),
        steps => format!("{steps} steps"),
    }
}

/// The service an event is about, for its colour and the width of its name.
pub(super) fn services_of(event: &Event) -> Vec<&str> {
    match event {
        Event::StepStarted { service: Some(service), .. }
        | Event::Log { service, .. }
        | Event::LogsNarrowed { to: Some(service) } => vec![service],
        Event::Summary { services } => services.iter().map(|report| report.service.as_str()).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_read_well() {
        let ages = [(59, "59s"), (3_599, "59m"), (3_725, "1h 02m"), (90_061, "1d 1h")];
        for (seconds, text) in ages {
            assert_eq!(age(seconds), text);
        }
    }
}
