//! Programs of this workspace that the everyday one does without until it needs them, so that it compiles quickly:
//! `xtask-cluster` with its Kubernetes client, `xtask-buildkit` with its gRPC. Cargo builds one that is not up to date.
//!
//! Must not: know what they do.

use std::path::Path;
use std::time::Duration;

use crate::process::Program;

/// Variables that hold secrets of a pipeline. What is compiled runs build scripts of others, which are not to see them.
const SECRETS: [&str; 3] = ["HOMEPORT_KUBECONFIG", "HOMEPORT_REGISTRY_USER", "HOMEPORT_REGISTRY_PASSWORD"];

/// The checkout that this program was compiled from.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is a member of the workspace")
}

/// Compiles a package, or finds it compiled.
pub fn build(package: &str, limit: Duration) -> Program {
    let mut build = cargo("build", package, limit);
    for secret in SECRETS {
        build = build.env_remove(secret);
    }
    build
}

/// Runs a package's program with the arguments that are added; compiles it first where it is not up to date.
pub fn run(package: &str, limit: Duration) -> Program {
    cargo("run", package, limit).arg("--")
}

fn cargo(verb: &str, package: &str, limit: Duration) -> Program {
    let program = Program::new("cargo", limit).arg(verb);
    // The first time it compiles for a minute or more, which must be seen.
    let program = if is_built(package) { program.arg("--quiet") } else { program };
    let manifest = root().join("Cargo.toml");
    program.arg("--manifest-path").arg(manifest).args(["--package", package]).outside_cargo()
}

fn is_built(package: &str) -> bool {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), Into::into);
    target.join("debug").join(package).with_extension(std::env::consts::EXE_EXTENSION).is_file()
}
