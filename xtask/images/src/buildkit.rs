//! Builds by `BuildKit`: another program speaks to it, `xtask-buildkit`, compiled when the first such build is asked for.
//!
//! Must not: decide what is built.

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

use super::ImageError;
use crate::companion;
use crate::engine::{ImageBuild, Told};
use crate::event::StepReporter;
use crate::limits;
use crate::process::{ProcessError, Program};

/// The package, and the program in it.
const PACKAGE: &str = "xtask-buildkit";

/// Has an image built and hands on what is told, which ends with a refusal or a failure if there is one.
///
/// # Errors
/// When the program cannot be compiled or run.
pub(super) async fn build(
    order: ImageBuild,
    reporter: &StepReporter,
    mut on_told: impl FnMut(Told),
) -> Result<(), ImageError> {
    let program =
        companion::compile(PACKAGE, limits::SERVICE_BUILD, |line| reporter.message(line.trim())).await?;
    let limit = order.limit + limits::ENGINE_ANSWER;
    tokio::time::timeout(limit, converse(order, &program, &mut on_told))
        .await
        .map_err(|_| ProcessError::TimedOut { program: PACKAGE.to_owned(), limit })?
}

async fn converse(
    order: ImageBuild,
    program: &Program,
    on_told: &mut impl FnMut(Told),
) -> Result<(), ImageError> {
    let broken = |source| ProcessError::Io { program: PACKAGE.to_owned(), source };
    let mut running = program.feed()?;
    let mut input = running.stdin.take().expect("the stream was asked for as a pipe");
    let mut head = serde_json::to_vec(&order).expect("an order is JSON");
    head.push(b'\n');
    // It reads all before it says anything. One that ends before tells why by its status.
    let _ = input.write_all(&head).await;
    let _ = input.write_all(&order.context).await;
    drop(input);
    let output = running.stdout.take().expect("the stream was asked for as a pipe");
    let mut lines = BufReader::new(output).lines();
    let mut explained = false;
    while let Some(line) = lines.next_line().await.map_err(broken)? {
        let told = serde_json::from_str(&line).map_err(|error| broken(error.into()))?;
        explained |= matches!(told, Told::Refused(_) | Told::Failed(_));
        on_told(told);
    }
    let output = running.wait_with_output().await.map_err(broken)?;
    if output.status.success() || explained {
        return Ok(());
    }
    let stderr = String::from_utf8_lossy(&output.stderr).lines().map(str::to_owned).collect();
    Err(ProcessError::Failed { program: PACKAGE.to_owned(), status: output.status, stderr }.into())
}
