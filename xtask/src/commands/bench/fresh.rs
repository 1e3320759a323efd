//! What is measured of a fresh clone: how long the everyday command compiles; and how large what is shipped is.

use std::time::Instant;

use super::checkout::Checkout;
use super::{Bench, NotMeasured, cargo, output, program, quiet};
use crate::bench::{Entry, Runs, Work};
use crate::commands::image::identity;

pub(super) async fn measure(bench: &Bench<'_>) -> Result<Vec<Entry>, NotMeasured> {
    let image = image(bench).await.unwrap_or_else(|why| Entry::not_measured(Work::Image, why));
    let help = help(bench).await.unwrap_or_else(|why| Entry::not_measured(Work::Help, why));
    Ok(vec![image, help])
}

async fn image(bench: &Bench<'_>) -> Result<Entry, NotMeasured> {
    let (stack, ..) = bench.context.project.stack_as_found().map_err(|failure| failure.message)?;
    let made = identity::made_here(&stack).map_err(|failure| failure.message)?;
    let image = format!("{}:{}", made.repository, identity::VERSION);
    let built = "`cargo xtask image build` builds it";
    let asked = format!("{{{{.Size}}}} {{{{index .Config.Labels {:?}}}}}", identity::REVISION_LABEL);
    let inspect = program("docker").args(["image", "inspect", "--format", asked.as_str(), image.as_str()]);
    let said = output(&inspect).await.map_err(|why| format!("{why}; {built}"))?;
    let (size, revision) = said.split_once(' ').unwrap_or((&said, ""));
    // The page says of which commit it is.
    let head = identity::revision(bench.context).await.unwrap_or_default();
    if revision != head {
        return Err(format!("{image} is of another commit ({revision:?}); {built}"));
    }
    let size: f64 = size.parse().map_err(|_| format!("the engine calls its size {size:?}"))?;
    Ok(Entry::measured(Work::Image, Runs::once(image, size), None))
}

async fn help(bench: &Bench<'_>) -> Result<Entry, NotMeasured> {
    let checkout = Checkout::clone(bench, "fresh").await?;
    let cargo = |words: &[&str]| {
        cargo(&checkout.root).args(words.iter().copied()).env("CARGO_TARGET_DIR", &checkout.target)
    };
    // What is downloaded is no matter of the compiler.
    quiet(&cargo(&["fetch", "--locked"])).await?;
    bench.say("compiling `cargo xtask --help` from nothing");
    let begun = Instant::now();
    quiet(&cargo(&["xtask", "--help"])).await?;
    let seconds = begun.elapsed().as_secs_f64();
    Ok(Entry::measured(Work::Help, Runs::once("`cargo xtask --help`", seconds), None))
}
