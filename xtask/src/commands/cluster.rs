//! `cargo xtask deploy-kind`, `destroy-kind`, `deploy`, `rollback`, `verify`, `load`: handed over to `xtask-cluster`, a program of its
//! own, so that the everyday one does not contain a Kubernetes client and compiles quickly.
//!
//! Must not: read their arguments; the other program does, by the same types (`cli::ClusterCommand`).

use std::time::Duration;

use super::Context;
use crate::companion;
use crate::failure::{Code, Failure};
use crate::process::ProcessError;

/// The package, and the program in it.
const PACKAGE: &str = "xtask-cluster";

/// Becomes `xtask-cluster` with the arguments of this program; cargo builds it where it is not up to date. Returns only
/// when that failed.
pub async fn hand_over() -> Failure {
    missing(&companion::run(PACKAGE, Duration::MAX).args(std::env::args_os().skip(1)).replace().await)
}

/// Runs `deploy-kind` with an image that the engine has, as a part of something larger.
///
/// # Errors
/// With the exit status that it ended with: a rollout that was rolled back is one here too.
pub async fn deploy(context: &Context, image: &str) -> Result<(), Failure> {
    run(context, &["deploy-kind", "--image", image]).await
}

/// Runs `deploy` on a cluster that is named, with an image that it can pull, as a part of something larger.
///
/// # Errors
/// As for [`deploy`].
pub async fn deploy_by_context(context: &Context, name: &str, image: &str) -> Result<(), Failure> {
    run(context, &["deploy", "--context", name, "--image", image]).await
}

/// Runs `verify`, on the kind cluster or on the one that is named, as a part of something larger.
///
/// # Errors
/// With the exit status that it ended with.
pub async fn verify(context: &Context, name: Option<&str>) -> Result<(), Failure> {
    let words: Vec<&str> =
        ["verify"].into_iter().chain(name.map(|name| ["--context", name]).into_iter().flatten()).collect();
    run(context, &words).await
}

async fn run(context: &Context, words: &[&str]) -> Result<(), Failure> {
    let build = companion::build(PACKAGE, Duration::MAX).directory(context.project.root());
    // Its errors are for the terminal, as those of `cargo run` are; it then finds nothing left to compile.
    let status = build.interactive().await.map_err(|error| missing(&error))?;
    if !status.success() {
        return Err(Failure::new(
            Code::BuildFailed,
            format!("cannot compile {PACKAGE}: cargo ended with {status}"),
        ));
    }
    let program = companion::run(PACKAGE, Duration::MAX).args(words.iter().copied());
    let status = program.interactive().await.map_err(|error| missing(&error))?;
    let code = match status.code() {
        Some(0) => return Ok(()),
        Some(7) => Code::RolledBack,
        Some(6) => Code::NotHealthy,
        Some(4) => Code::ClusterUnusable,
        Some(130) | None => Code::Interrupted,
        _ => Code::ClusterRefused,
    };
    Err(Failure::new(code, format!("{} ended with {status}", words.join(" "))))
}

fn missing(error: &ProcessError) -> Failure {
    Failure::new(Code::ProgramMissing, format!("cannot start {PACKAGE}: {error}"))
        .hint("install Rust from https://rustup.rs")
}
