//! What is known of the place that is written to: terminal or pipe, its size, whether colour is wanted.
//!
//! Must not: write. The judgement is a pure function of facts; only [`Terminal::detect`] and [`Terminal::as_large_as_now`] ask the system.

use std::io::IsTerminal as _;

use super::style::Style;
use crate::pipeline;

/// Rows of a terminal that does not tell its size: the VT100's.
const ROWS: usize = 24;
/// Columns of a terminal that does not tell its size: the VT100's.
const COLUMNS: usize = 80;

/// How the standard streams are to be written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own about the place that is written to"
)]
pub struct Terminal {
    /// Whether lines on standard error may be redrawn: it is a capable terminal and this is no CI job.
    pub live: bool,
    /// Whether standard error is a terminal, of whatever kind.
    pub stderr_is_terminal: bool,
    /// Whether standard output is a terminal.
    pub stdout_is_terminal: bool,
    /// The width in columns that tables and lines are fitted to; `None` where nothing is to be cut (pipes).
    pub columns: Option<usize>,
    /// The height in rows.
    pub rows: usize,
    /// Whether lines may be workflow commands of GitHub Actions (groups, annotations).
    pub workflow_commands: bool,
    /// How to paint standard error.
    pub stderr_style: Style,
    /// How to paint standard output.
    pub stdout_style: Style,
}

/// What the system says.
#[derive(Debug, Clone, Copy, Default)]
pub struct Facts<'a> {
    /// Whether standard error is a terminal.
    pub stderr_is_terminal: bool,
    /// Whether standard output is a terminal.
    pub stdout_is_terminal: bool,
    /// Rows and columns, when a terminal tells them.
    pub size: Option<(u16, u16)>,
    /// `NO_COLOR` (<https://no-color.org>: any value but the empty one).
    pub no_color: Option<&'a str>,
    /// `CLICOLOR_FORCE` (<https://bixense.com/clicolors>: any value but `0`).
    pub clicolor_force: Option<&'a str>,
    /// `TERM`.
    pub term: Option<&'a str>,
    /// `CI`, set by every common CI service.
    pub ci: Option<&'a str>,
    /// `GITHUB_ACTIONS`, `true` in a job of GitHub Actions.
    pub github_actions: Option<&'a str>,
}

impl Terminal {
    /// Asks the system.
    pub fn detect() -> Self {
        let variable = |name| std::env::var(name).ok();
        let (no_color, clicolor_force) = (variable("NO_COLOR"), variable("CLICOLOR_FORCE"));
        let (term, ci, github_actions) =
            (variable("TERM"), variable(pipeline::VARIABLE), variable("GITHUB_ACTIONS"));
        Self::judge(Facts {
            stderr_is_terminal: std::io::stderr().is_terminal(),
            stdout_is_terminal: std::io::stdout().is_terminal(),
            size: size(),
            no_color: no_color.as_deref(),
            clicolor_force: clicolor_force.as_deref(),
            term: term.as_deref(),
            ci: ci.as_deref(),
            github_actions: github_actions.as_deref(),
        })
    }

    /// The same terminal as it is now: its window may be another size.
    #[must_use]
    pub fn as_large_as_now(self) -> Self {
        match size() {
            Some((rows, columns)) => {
                let columns = self.columns.map(|_| usize::from(columns));
                Self { rows: usize::from(rows), columns, ..self }
            }
            None => self,
        }
    }

    /// Judges the facts.
    pub fn judge(facts: Facts<'_>) -> Self {
        let set = |value: Option<&str>| value.is_some_and(|value| !value.is_empty());
        let dumb = facts.term == Some("dumb");
        let ci = pipeline::is_said_by(facts.ci);
        let forced = set(facts.clicolor_force) && facts.clicolor_force != Some("0");
        let colour = |terminal: bool| {
            let wanted = !set(facts.no_color) && (forced || (terminal && !dumb && !ci));
            if wanted { Style::COLOUR } else { Style::PLAIN }
        };
        let live = facts.stderr_is_terminal && !dumb && !ci;
        let (rows, columns) =
            facts.size.map_or((ROWS, COLUMNS), |(rows, columns)| (usize::from(rows), usize::from(columns)));
        Self {
            live,
            stderr_is_terminal: facts.stderr_is_terminal,
            stdout_is_terminal: facts.stdout_is_terminal,
            columns: (facts.stderr_is_terminal || facts.stdout_is_terminal).then_some(columns),
            rows,
            workflow_commands: facts.github_actions == Some("true"),
            stderr_style: colour(facts.stderr_is_terminal),
            stdout_style: colour(facts.stdout_is_terminal),
        }
    }
}

/// Rows and columns, when a terminal tells them.
fn size() -> Option<(u16, u16)> {
    let size = console::Term::stderr().size_checked().or_else(|| console::Term::stdout().size_checked());
    size.filter(|&(rows, columns)| rows > 0 && columns > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_and_redrawing_follow_the_common_variables() {
        let terminal = Facts { stderr_is_terminal: true, stdout_is_terminal: true, ..Facts::default() };
        let pipe = Facts::default();
        // facts, redrawn, coloured
        let table = [
            ("terminal", terminal, true, true),
            ("pipe", pipe, false, false),
            ("NO_COLOR", Facts { no_color: Some("1"), ..terminal }, true, false),
            ("empty NO_COLOR", Facts { no_color: Some(""), ..terminal }, true, true),
            ("dumb", Facts { term: Some("dumb"), ..terminal }, false, false),
            ("CI", Facts { ci: Some("true"), ..terminal }, false, false),
            ("CI=false", Facts { ci: Some("false"), ..terminal }, true, true),
            ("forced in a pipe", Facts { clicolor_force: Some("1"), ..pipe }, false, true),
            ("forced with 0", Facts { clicolor_force: Some("0"), ..pipe }, false, false),
            (
                "forced and refused",
                Facts { clicolor_force: Some("1"), no_color: Some("1"), ..pipe },
                false,
                false,
            ),
        ];
        for (name, facts, live, colour) in table {
            let judged = Terminal::judge(facts);
            assert_eq!((judged.live, judged.stderr_style == Style::COLOUR), (live, colour), "{name}");
        }
    }

    #[test]
    fn a_pipe_has_no_width_and_a_silent_terminal_the_vt100s() {
        assert_eq!(Terminal::judge(Facts::default()).columns, None);
        let silent = Facts { stderr_is_terminal: true, ..Facts::default() };
        assert_eq!(Terminal::judge(silent).columns, Some(80));
        assert_eq!(Terminal::judge(Facts { size: Some((50, 132)), ..silent }).columns, Some(132));
    }
}
