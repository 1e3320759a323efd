//! What the stages came to: for people a table, for programs a file, for a job of GitHub Actions its summary.
//!
//! Must not: run a stage.

use std::io::Write as _;
use std::time::Duration;

use serde::Serialize;

use super::name;
use crate::cli::Stage;
use crate::commands::{Context, write_with_directories};
use crate::event::StageOutcome;
use crate::failure::{Code, Failure};
use crate::pipeline;
use crate::ui::{Answer, Cell, Role, Style, Table};

/// The file that a job of GitHub Actions shows as its summary.
const SUMMARY_VARIABLE: &str = "GITHUB_STEP_SUMMARY";

/// What a stage came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Report {
    stage: String,
    #[serde(flatten)]
    outcome: StageOutcome,
    seconds: f64,
    /// The command that runs it alone.
    command: String,
}

/// What all stages came to, in the order in which they are listed.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct Reports {
    stages: Vec<Report>,
}

impl Reports {
    /// Adds what a stage came to.
    pub(super) fn add(&mut self, stage: Stage, outcome: StageOutcome, took: Duration) {
        let command = format!("cargo xtask ci {}", name(stage));
        let report = Report { stage: name(stage), outcome, seconds: took.as_secs_f64(), command };
        self.stages.push(report);
    }

    /// Brings them into the order of the list, whichever ended first.
    pub(super) fn sort(&mut self, order: &[Stage]) {
        let place = |report: &Report| order.iter().position(|stage| name(*stage) == report.stage);
        self.stages.sort_by_key(place);
    }

    /// Without a failure, what was not run decides.
    pub(super) fn judge(&self) -> Result<(), Failure> {
        let not_run =
            self.stages.iter().filter(|report| matches!(report.outcome, StageOutcome::NotRun { .. }));
        let not_run: Vec<&str> = not_run.map(|report| report.stage.as_str()).collect();
        if not_run.is_empty() || !pipeline::is_here() {
            return Ok(());
        }
        let message = format!("not every stage could be run: {}", not_run.join(", "));
        Err(Failure::new(Code::ChecksFailed, message))
    }

    /// Writes them for programs, and for whoever looks at a job.
    pub(super) fn keep(&self, context: &Context) -> Result<(), Failure> {
        let path = context.project.scratch().join("ci.json");
        let text = serde_json::to_string_pretty(self).unwrap_or_default() + "\n";
        let written = write_with_directories(&path, &text);
        written.and_then(|()| self.summarize()).map_err(|error| {
            Failure::new(Code::ProjectInvalid, format!("cannot write what the stages came to: {error}"))
        })
    }

    fn summarize(&self) -> std::io::Result<()> {
        let Some(path) = std::env::var_os(SUMMARY_VARIABLE).filter(|path| !path.is_empty()) else {
            return Ok(());
        };
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
        file.write_all(self.markdown().as_bytes())
    }

    fn markdown(&self) -> String {
        let mut text = "| stage | result | time | alone |\n| --- | --- | --- | --- |\n".to_owned();
        for report in &self.stages {
            let (word, remark) = worded(&report.outcome);
            let remark = remark.map(|remark| format!(": {}", remark.replace('|', "\\|"))).unwrap_or_default();
            let line = format!(
                "| {} | {word}{remark} | {} | `{}` |\n",
                report.stage,
                duration(report.seconds),
                report.command
            );
            text.push_str(&line);
        }
        text
    }
}

impl Answer for Reports {
    fn human(&self, style: Style, columns: Option<usize>) -> Vec<String> {
        let mut table = Table::new(["STAGE", "RESULT", "TIME", "REMARK"]);
        for report in &self.stages {
            let (word, remark) = worded(&report.outcome);
            let role = match report.outcome {
                StageOutcome::Passed => Role::Good,
                StageOutcome::Failed { .. } => Role::Bad,
                _ => Role::Caution,
            };
            table.row([
                Cell::new(Role::Strong, &report.stage),
                Cell::new(role, word),
                Cell::plain(duration(report.seconds)),
                Cell::plain(remark.unwrap_or_default()),
            ]);
        }
        table.lines(style, columns)
    }
}

fn worded(outcome: &StageOutcome) -> (&'static str, Option<&str>) {
    match outcome {
        StageOutcome::Passed => ("passed", None),
        StageOutcome::Failed { message } => ("failed", Some(message)),
        StageOutcome::Skipped { because } => ("skipped", Some(because)),
        StageOutcome::NotRun { why } => ("not run", Some(why)),
    }
}

fn duration(seconds: f64) -> String {
    crate::quantity::duration(Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_shows_each_stage_and_its_command() {
        let mut reports = Reports::default();
        let took = Duration::from_millis(61_500);
        reports.add(Stage::Push, StageOutcome::Skipped { because: "build".to_owned() }, took);
        reports.add(Stage::Lint, StageOutcome::Passed, took);
        reports.add(Stage::Test, StageOutcome::Failed { message: "a | b".to_owned() }, took);
        reports.sort(&[Stage::Lint, Stage::Test, Stage::Push]);
        let expected = "| stage | result | time | alone |\n| --- | --- | --- | --- |\n\
            | lint | passed | 1m 01s | `cargo xtask ci lint` |\n\
            | test | failed: a \\| b | 1m 01s | `cargo xtask ci test` |\n\
            | push | skipped: build | 1m 01s | `cargo xtask ci push` |\n";
        assert_eq!(reports.markdown(), expected);
    }
}
