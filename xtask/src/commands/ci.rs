//! `cargo xtask ci [STAGE…]`: the pipeline, the same on a laptop and in CI. One stage after the other: cargo would let them
//! compile only in turn anyway; where each is a job of its own, they run at once.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::doctor::Examination;
use super::{Context, cluster, dev, down, image, lint, push, scan, test};
use crate::cli::{self, Check, Stage};
use crate::doctor::Need;
use crate::event::{Event, StageOutcome};
use crate::failure::{Code, Failure};
use crate::ui::{Answer, Cell, Role, Style, Table};

/// All stages, in the order in which they run.
const ALL: [Stage; 8] = [
    Stage::Lint,
    Stage::Security,
    Stage::Test,
    Stage::Stack,
    Stage::Build,
    Stage::Push,
    Stage::Deploy,
    Stage::Verify,
];

/// The file that a job of GitHub Actions shows as its summary.
const SUMMARY_VARIABLE: &str = "GITHUB_STEP_SUMMARY";

/// What a stage came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Report {
    stage: String,
    #[serde(flatten)]
    outcome: StageOutcome,
    seconds: f64,
    /// The command that runs it alone.
    command: String,
}

/// What all stages came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Reports {
    stages: Vec<Report>,
}

/// Runs `ci`. A stage that fails keeps only those from running that need it; the first failure is the result.
///
/// # Errors
/// The first stage's failure, with the command that reproduces it alone; [`Code::ChecksFailed`] when `CI` is set and a
/// stage could not be run.
pub async fn run(context: &Context, stages: &[Stage], fix: bool) -> Result<(), Failure> {
    let mut stages: Vec<Stage> = if stages.is_empty() { ALL.to_vec() } else { stages.to_vec() };
    stages.sort();
    stages.dedup();
    if fix {
        mend(context, &stages).await?;
    }
    let mut reports = Reports { stages: Vec::new() };
    let mut passed: BTreeMap<Stage, bool> = BTreeMap::new();
    let mut first: Option<(Stage, Failure)> = None;
    for stage in stages {
        let begun = Instant::now();
        context.events.send(Event::StageStarted { stage: name(stage) });
        let outcome = match need(stage).filter(|need| passed.get(need) == Some(&false)) {
            Some(need) => StageOutcome::Skipped { because: name(need) },
            None => match perform(context, stage).await {
                Ok(None) => StageOutcome::Passed,
                Ok(Some(why)) => StageOutcome::NotRun { why },
                Err(failure) if failure.code == Code::Interrupted => {
                    reports.interrupted(context, stage, begun, &failure)?;
                    return Err(failure);
                }
                Err(failure) => {
                    // Here, where the stage's other output is.
                    context.events.send(Event::from(&failure));
                    let message = failure.message.clone();
                    first.get_or_insert((stage, failure));
                    StageOutcome::Failed { message }
                }
            },
        };
        passed.insert(stage, outcome == StageOutcome::Passed);
        let took = begun.elapsed();
        context.events.send(Event::StageFinished { stage: name(stage), outcome: outcome.clone(), took });
        reports.stages.push(Report::new(stage, outcome, took));
    }
    reports.keep(context)?;
    context.answer(&reports)?;
    match first {
        Some((stage, failure)) => {
            Err(Failure::new(failure.code, format!("stage {} failed: {}", name(stage), failure.message))
                .hint(format!("`cargo xtask ci {}` runs this stage alone", name(stage))))
        }
        None => reports.judge(),
    }
}

/// Mends what the stages need of the machine.
async fn mend(context: &Context, stages: &[Stage]) -> Result<(), Failure> {
    let mut needs: Vec<Need> = stages.iter().map(|stage| machine(*stage)).collect();
    needs.dedup();
    let stack = context.project.stack_as_found().ok().map(|(stack, ..)| stack);
    Examination::new(context.project.root(), stack.as_ref(), &needs, false).ensure(&context.events).await
}

/// The command whose needs a stage has.
const fn machine(stage: Stage) -> Need {
    match stage {
        Stage::Security => Need::Scan,
        Stage::Test => Need::Test,
        Stage::Deploy | Stage::Verify => Need::DeployKind,
        Stage::Lint | Stage::Stack | Stage::Build | Stage::Push => Need::Dev,
    }
}

impl Report {
    fn new(stage: Stage, outcome: StageOutcome, took: Duration) -> Self {
        let command = format!("cargo xtask ci {}", name(stage));
        Self { stage: name(stage), outcome, seconds: took.as_secs_f64(), command }
    }
}

impl Reports {
    /// Ends the stage in which the user stopped the pipeline, and writes what there is: the results of an earlier run
    /// must not be taken for this one's.
    fn interrupted(
        &mut self,
        context: &Context,
        stage: Stage,
        begun: Instant,
        failure: &Failure,
    ) -> Result<(), Failure> {
        let outcome = StageOutcome::Failed { message: failure.message.clone() };
        let took = begun.elapsed();
        context.events.send(Event::StageFinished { stage: name(stage), outcome: outcome.clone(), took });
        self.stages.push(Report::new(stage, outcome, took));
        self.keep(context)
    }

    /// Without a failure, what was not run decides.
    fn judge(&self) -> Result<(), Failure> {
        let not_run =
            self.stages.iter().filter(|report| matches!(report.outcome, StageOutcome::NotRun { .. }));
        let not_run: Vec<&str> = not_run.map(|report| report.stage.as_str()).collect();
        if not_run.is_empty() || std::env::var_os("CI").is_none() {
            return Ok(());
        }
        let message = format!("not every stage could be run: {}", not_run.join(", "));
        Err(Failure::new(Code::ChecksFailed, message))
    }

    /// Writes them for programs, and for whoever looks at a job.
    fn keep(&self, context: &Context) -> Result<(), Failure> {
        let path = context.project.scratch().join("ci.json");
        let text = serde_json::to_string_pretty(self).unwrap_or_default() + "\n";
        let written = super::write_with_directories(&path, &text);
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
    crate::ui::duration(Duration::from_secs_f64(seconds))
}

fn name(stage: Stage) -> String {
    clap::ValueEnum::to_possible_value(&stage).map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// The stage whose result another one works on.
const fn need(stage: Stage) -> Option<Stage> {
    match stage {
        Stage::Push | Stage::Deploy => Some(Stage::Build),
        Stage::Verify => Some(Stage::Deploy),
        _ => None,
    }
}

/// Runs a stage; what comes back is why it could not be run.
async fn perform(context: &Context, stage: Stage) -> Result<Option<String>, Failure> {
    let ran = match stage {
        Stage::Lint => lint::run(context).await,
        Stage::Security => scanned(context, &Check::OF_SOURCES).await,
        Stage::Test => {
            let arguments =
                cli::Test { suite: None, filter: None, coverage: false, fix: false, offline: false };
            test::run(context, &arguments).await
        }
        Stage::Stack => stack(context).await,
        Stage::Build => {
            let arguments = cli::ImageBuild { tags: Vec::new(), platform: None, compiler: None };
            image::run(context, &cli::Image::Build(arguments)).await?;
            scanned(context, &Check::OF_IMAGE).await
        }
        Stage::Push if push::named_by_environment().is_none() => {
            return Ok(Some(format!("{} names no repository", push::REPOSITORY_VARIABLE)));
        }
        Stage::Push => push::run(context, &cli::Push::default()).await,
        Stage::Deploy | Stage::Verify => {
            let (stack, ..) = context.project.stack_as_found()?;
            let made = image::identity::made_here(&stack)?;
            let image = format!("{}:{}", made.repository, image::identity::VERSION);
            cluster::deploy(context, &image).await
        }
    };
    ran.map(|()| None)
}

async fn scanned(context: &Context, checks: &[Check]) -> Result<(), Failure> {
    scan::run(context, &cli::Scan { checks: checks.to_vec(), ..cli::Scan::default() }).await
}

async fn stack(context: &Context) -> Result<(), Failure> {
    let arguments =
        cli::Dev { detach: true, dry_run: false, offline: false, fix: false, services: Vec::new() };
    let up = dev::run(context, &arguments).await;
    let gone = down::run(context, &cli::Down { volumes: true, verify: true }).await;
    up.and(gone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_shows_each_stage_and_its_command() {
        let report = |stage, outcome| Report {
            stage: name(stage),
            outcome,
            seconds: 61.5,
            command: format!("cargo xtask ci {}", name(stage)),
        };
        let reports = Reports {
            stages: vec![
                report(Stage::Lint, StageOutcome::Passed),
                report(Stage::Test, StageOutcome::Failed { message: "a | b".to_owned() }),
                report(Stage::Push, StageOutcome::Skipped { because: "build".to_owned() }),
            ],
        };
        let expected = "| stage | result | time | alone |\n| --- | --- | --- | --- |\n\
            | lint | passed | 1m 01s | `cargo xtask ci lint` |\n\
            | test | failed: a \\| b | 1m 01s | `cargo xtask ci test` |\n\
            | push | skipped: build | 1m 01s | `cargo xtask ci push` |\n";
        assert_eq!(reports.markdown(), expected);
    }

    #[test]
    fn a_stage_runs_after_the_one_it_needs() {
        for stage in ALL {
            let place = |wanted| ALL.iter().position(|stage| *stage == wanted);
            assert!(need(stage).is_none_or(|need| place(need) < place(stage)), "{stage:?}");
        }
        assert!(ALL.is_sorted(), "they run in the order in which they are listed");
    }
}
