//! `cargo xtask deploy-kind`, `destroy-kind`, `deploy`, `rollback`, `load`: handed over to `xtask-cluster`, a program of its
//! own, so that the everyday one does not contain a Kubernetes client and compiles quickly.
//!
//! Must not: read the arguments; the other program does, by the same types (`cli::ClusterCommand`).

use std::time::Duration;

use crate::failure::{Code, Failure};
use crate::process::Program;
use crate::project::Project;

/// The package, and the program in it.
const PACKAGE: &str = "xtask-cluster";

/// Becomes `xtask-cluster` with the arguments of this program; cargo builds it where it is not up to date. Returns only
/// when that failed.
pub async fn hand_over(project: &Project) -> Failure {
    let built =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| project.root().join("target"), Into::into);
    let built = built.join("debug").join(PACKAGE).with_extension(std::env::consts::EXE_EXTENSION).is_file();
    // The first time it compiles for minutes, which must be seen.
    let quiet: &[&str] = if built { &["--quiet"] } else { &[] };
    let program = Program::new("cargo", Duration::MAX)
        .arg("run")
        .args(quiet.iter().copied())
        .args(["--package", PACKAGE, "--"])
        .args(std::env::args_os().skip(1));
    let error = program.replace().await;
    Failure::new(Code::ProgramMissing, format!("cannot start {PACKAGE}: {error}"))
        .hint("install Rust from https://rustup.rs")
}
