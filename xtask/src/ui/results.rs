//! The wording of what tests said and of how much they reach: tables.
//!
//! Must not: write, or judge.

use super::style::{Role, Style};
use super::table::{Cell, Table};
use super::words::duration;
use crate::testing::coverage::{LEAST, RoomCoverage};
use crate::testing::{CaseOutcome, SuiteReport, slowest};

/// How many of the slowest tests are shown: what a person would look at to make a run shorter.
const SLOWEST: usize = 8;

/// Where the time went: a row a suite, then the slowest tests.
pub(super) fn tests(suites: &[SuiteReport], style: Style, columns: Option<usize>) -> Vec<String> {
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

/// A row a room.
pub(super) fn coverage(rooms: &[RoomCoverage]) -> Table {
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
