//! `cargo xtask ci [STAGE…]`: the pipeline, the same on a laptop and in CI.

use std::time::{Duration, Instant};

use super::{Context, dev, down, lint, test};
use crate::cli::{self, Stage};
use crate::failure::{Code, Failure};

/// All stages, in the order in which they run.
const ALL: [Stage; 3] = [Stage::Lint, Stage::Test, Stage::Stack];

/// Runs `ci`. A stage that fails does not keep the others from running; the first failure is the result.
///
/// # Errors
/// The first stage's failure, with the command that reproduces it alone.
pub async fn run(context: &Context, stages: &[Stage]) -> Result<(), Failure> {
    let stages: Vec<Stage> = if stages.is_empty() { ALL.to_vec() } else { stages.to_vec() };
    let mut table: Vec<(Stage, Duration, Option<Failure>)> = Vec::new();
    for stage in stages {
        context.events.note(format!("stage {}", name(stage)));
        let begun = Instant::now();
        let failure = perform(context, stage).await.err();
        if let Some(failure) = &failure
            && failure.code == Code::Interrupted
        {
            return Err(failure.clone());
        }
        table.push((stage, begun.elapsed(), failure));
    }
    for (stage, took, failure) in &table {
        let took = crate::ui::duration(*took);
        let verdict =
            failure.as_ref().map_or_else(|| "passed".to_owned(), |f| format!("failed: {}", f.message));
        context.events.note(format!("stage {} {verdict} in {took}", name(*stage)));
    }
    let failed = table.into_iter().find_map(|(stage, _, failure)| Some((stage, failure?)));
    failed.map_or(Ok(()), |(stage, failure)| {
        let hint = format!("`cargo xtask ci {}` runs this stage alone", name(stage));
        Err(Failure {
            hint: Some(failure.hint.map_or(hint.clone(), |own| format!("{own}; {hint}"))),
            ..failure
        })
    })
}

fn name(stage: Stage) -> String {
    clap::ValueEnum::to_possible_value(&stage).map(|value| value.get_name().to_owned()).unwrap_or_default()
}

async fn perform(context: &Context, stage: Stage) -> Result<(), Failure> {
    match stage {
        Stage::Lint => lint::run(context).await,
        Stage::Test => {
            let arguments = cli::Test { suite: None, filter: None, fix: false, offline: false };
            test::run(context, &arguments).await
        }
        Stage::Stack => {
            let arguments =
                cli::Dev { detach: true, dry_run: false, offline: false, fix: false, services: Vec::new() };
            let up = dev::run(context, &arguments).await;
            let gone = down::run(context, &cli::Down { volumes: true, verify: true }).await;
            up.and(gone)
        }
    }
}
