//! The wording of what tests said, of how much they reach, and of where the time of a start went: tables.
//!
//! Must not: write, or judge.

use std::time::Duration;

use super::style::{Role, Style};
use super::table::{Cell, Table};
use super::words;
use crate::event::Event;
use crate::profile::Profile;
use crate::quantity::duration;
use crate::quantity::{self, Unit};
use crate::testing::coverage::{LEAST, RoomCoverage};
use crate::testing::{CaseOutcome, SuiteReport, slowest};

/// How many of the slowest tests are shown: what a person would look at to make a run shorter.
const SLOWEST: usize = 8;

/// What a command found, as both renderers for people show it; nothing for events that tell of a run's course.
pub(super) fn told(event: &Event, style: Style, columns: Option<usize>) -> Vec<String> {
    match event {
        Event::Summary { services } => words::services(services).lines(style, columns),
        Event::StartProfiled { at, profile } => start(at.as_deref(), profile, style, columns),
        Event::LastMinute { figures } => vec![words::last_minute(figures, style)],
        Event::Diagnosis { findings } => words::diagnosis(findings, style, columns),
        Event::Tested { suites } => tests(suites, style, columns),
        Event::Covered { rooms } => coverage(rooms).lines(style, columns),
        _ => Vec::new(),
    }
}

/// Where the time went: a row a suite, then the slowest tests.
fn tests(suites: &[SuiteReport], style: Style, columns: Option<usize>) -> Vec<String> {
    let mut table = Table::new(["SUITE", "PASSED", "FAILED", "SKIPPED", "COMPILING", "TESTS", "IN ALL"]);
    for suite in suites {
        let count = |outcome| suite.count(outcome).to_string();
        let failed = suite.count(CaseOutcome::Failed);
        table.row([
            Cell::new(Role::Strong, &suite.suite),
            Cell::plain(count(CaseOutcome::Passed)),
            Cell::new(if failed == 0 { Role::Good } else { Role::Bad }, failed.to_string()),
            Cell::plain(count(CaseOutcome::Skipped)),
            Cell::plain(duration(suite.compiling)),
            Cell::plain(duration(suite.programs.iter().map(|program| program.took).sum())),
            Cell::plain(duration(suite.took)),
        ]);
    }
    let mut lines = table.lines(style, columns);
    let mut table = Table::new(["TOOK", "SUITE", "SLOWEST TESTS"]);
    let slow = slowest(suites, SLOWEST);
    if slow.is_empty() {
        return lines;
    }
    for (suite, case) in slow {
        table.row([
            Cell::new(Role::Strong, duration(case.took)),
            Cell::plain(suite),
            Cell::plain(&case.name),
        ]);
    }
    lines.push(String::new());
    lines.extend(table.lines(style, columns));
    lines
}

/// A step that worked for less is not worth a row beside those that a start waits for.
const BRIEF: Duration = Duration::from_millis(20);

/// Where the time of a start went: a row a step of the chain that it was as long as, then the other steps.
fn start(at: Option<&str>, profile: &Profile, style: Style, columns: Option<usize>) -> Vec<String> {
    let seconds = |time: Duration| quantity::text(time.as_secs_f64(), Unit::Seconds);
    let of = at.map(|at| format!(" of {at}")).unwrap_or_default();
    let mut lines = vec![style.paint(
        Role::Strong,
        &format!(
            "start{of}: ready after {}, of which {} until the first step; what it waited for, one after the other:",
            seconds(profile.took),
            seconds(profile.before)
        ),
    )];
    let mut table = Table::new(["STEP", "WORKED", "ENDED AT", "WAITED"]);
    for link in &profile.path {
        let waited = link.waited.as_ref().map(|waited| format!("{} for {}", seconds(waited.time), waited.on));
        table.row([
            Cell::new(Role::Strong, &link.step),
            Cell::plain(seconds(link.worked)),
            Cell::plain(seconds(link.until)),
            Cell::plain(waited.unwrap_or_default()),
        ]);
    }
    lines.extend(table.lines(style, columns));
    let (told, brief): (Vec<_>, Vec<_>) = profile.others.iter().partition(|other| other.worked >= BRIEF);
    let mut table = Table::new(["OTHER STEP", "WORKED", "ENDED AT", "COULD HAVE ENDED LATER BY"]);
    for other in told {
        table.row([
            Cell::plain(&other.step),
            Cell::plain(seconds(other.worked)),
            Cell::plain(seconds(other.until)),
            Cell::plain(seconds(other.slack)),
        ]);
    }
    if !table.is_empty() {
        lines.push(String::new());
        lines.extend(table.lines(style, columns));
    }
    if !brief.is_empty() {
        let steps = if brief.len() == 1 { "1 step".to_owned() } else { format!("{} steps", brief.len()) };
        let brief = format!("and {steps} of less than {}", seconds(BRIEF));
        lines.push(style.paint(Role::Faint, &brief));
    }
    lines
}

/// A row a room.
fn coverage(rooms: &[RoomCoverage]) -> Table {
    let mut table = Table::new(["ROOM", "COVERED", "LINES", "LEAST", "NOT REACHED"]);
    for room in rooms {
        let gaps: Vec<String> =
            room.gaps.iter().map(|(path, missing)| format!("{path} ({missing})")).collect();
        // Cut, not rounded, so that 89.99 is not "90.0".
        let percent = (room.percent * 10.0).floor() / 10.0;
        table.row([
            Cell::new(Role::Strong, &room.room),
            Cell::new(if room.enough { Role::Good } else { Role::Bad }, format!("{percent:.1} %")),
            Cell::plain(room.lines.to_string()),
            Cell::plain(format!("{LEAST:.0} %")),
            Cell::plain(gaps.join(", ")),
        ]);
    }
    table
}
