//! `xtask-buildkit`: one build by `BuildKit`. Reads an order (a line of JSON, then the context as a tar archive) from
//! standard input, has the engine carry it out, and writes what is told on the way to standard output, a line of JSON each.
//! `xtask/images/src/buildkit.rs` is at the other end.
//!
//! Must not: decide what is built, or speak to a person.

use std::io::{Read as _, Write as _};
use std::process::ExitCode;

use xtask_engine::{Engine, ImageBuild, Told};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match build().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            say(&why);
            ExitCode::FAILURE
        }
    }
}

async fn build() -> Result<(), Told> {
    let order =
        order().map_err(|error| Told::Failed(format!("cannot read the order of a build: {error}")))?;
    let engine = Engine::connect().await.map_err(|error| Told::Failed(error.to_string()))?;
    engine.build_image_by_buildkit(order, |report| say(&report.into())).await.map_err(Told::from)
}

fn order() -> std::io::Result<ImageBuild> {
    let mut input = Vec::new();
    std::io::stdin().read_to_end(&mut input)?;
    let end = input.iter().position(|byte| *byte == b'\n').ok_or(std::io::ErrorKind::UnexpectedEof)?;
    let context = input.split_off(end + 1);
    Ok(ImageBuild { context, ..serde_json::from_slice(&input)? })
}

/// Whoever listens and is gone has ended this program too.
fn say(told: &Told) {
    let line = serde_json::to_string(told).expect("text is JSON");
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
