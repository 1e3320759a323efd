//! `cargo xtask deploy-kind`, `destroy-kind`, `deploy`, `rollback`, `load`: handed over to `xtask-cluster`, a program of its
//! own, so that the everyday one does not contain a Kubernetes client and compiles quickly.
//!
//! Must not: read their arguments; the other program does, by the same types (`cli::ClusterCommand`).

use std::time::Duration;

use super::Context;
use crate::failure::{Code, Failure};
use crate::process::{ProcessError, Program};
use crate::project::Project;

/// The package, and the program in it.
const PACKAGE: &str = "xtask-cluster";

/// Becomes `xtask-cluster` with the arguments of this program; cargo builds it where it is not up to date. Returns only
/// when that failed.
pub async fn hand_over(project: &Project) -> Failure {
    missing(&program(project).args(std::env::args_os().skip(1)).replace().await)
}

/// Runs `deploy-kind` with an image that the engine has, as a part of something larger.
///
/// # Errors
/// With the exit status that it ended with: a rollout that was rolled back is one here too.
pub async fn deploy(context: &Context, image: &str) -> Result<(), Failure> {
    let program = program(&context.project).args(["deploy-kind", "--image", image]);
    let status = program.interactive().await.map_err(|error| missing(&error))?;
    let code = match status.code() {
        Some(0) => return Ok(()),
        Some(7) => Code::RolledBack,
        Some(6) => Code::NotHealthy,
        Some(4) => Code::ClusterUnusable,
        Some(130) | None => Code::Interrupted,
        _ => Code::ClusterRefused,
    };
    Err(Failure::new(code, format!("deploy-kind --image {image} ended with {status}")))
}

fn program(project: &Project) -> Program {
    let built =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| project.root().join("target"), Into::into);
    let built = built.join("debug").join(PACKAGE).with_extension(std::env::consts::EXE_EXTENSION).is_file();
    // The first time it compiles for minutes, which must be seen.
    let quiet: &[&str] = if built { &["--quiet"] } else { &[] };
    Program::new("cargo", Duration::MAX)
        .arg("run")
        .args(quiet.iter().copied())
        .args(["--package", PACKAGE, "--"])
        .outside_cargo()
}

fn missing(error: &ProcessError) -> Failure {
    Failure::new(Code::ProgramMissing, format!("cannot start {PACKAGE}: {error}"))
        .hint("install Rust from https://rustup.rs")
}
