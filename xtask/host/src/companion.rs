//! Programs of this workspace that the everyday one does without until it needs them, so that it compiles quickly:
//! `xtask-cluster` with its Kubernetes client, `xtask-buildkit` with its gRPC. Cargo builds one that is not up to date.
//!
//! Must not: know what they do.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::process::{ProcessError, Program, Stream};
use crate::program_sources::{date, newer, sources};

/// Variables that hold secrets of a pipeline. What is compiled runs build scripts of others, which are not to see them.
const SECRETS: [&str; 3] = ["HOMEPORT_KUBECONFIG", "HOMEPORT_REGISTRY_USER", "HOMEPORT_REGISTRY_PASSWORD"];

/// The checkout that this program was compiled from.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("this package is two directories below it")
}

/// Compiles a package where it is not up to date, tells what cargo says, and returns the package's program.
///
/// # Errors
/// When cargo cannot be run or does not compile it.
pub async fn compile(
    package: &str,
    limit: Duration,
    mut on_line: impl FnMut(&str),
) -> Result<Program, ProcessError> {
    let mut told = String::new();
    let told_of = |stream, line: &str| match stream {
        Stream::Stdout => told.extend([line, "\n"]),
        Stream::Stderr => on_line(line),
    };
    let begun = SystemTime::now();
    build(package, limit).run(told_of).await?;
    left_as_it_is(&place(package), begun);
    program(package, limit, &told)
}

/// The same, with cargo at this program's own terminal.
///
/// # Errors
/// As for [`compile`].
pub async fn compile_at_terminal(package: &str, limit: Duration) -> Result<Program, ProcessError> {
    let begun = SystemTime::now();
    let told = build(package, limit).answer().await?;
    left_as_it_is(&place(package), begun);
    program(package, limit, &told)
}

fn build(package: &str, limit: Duration) -> Program {
    let mut cargo = Program::new("cargo", limit).arg("build");
    // It compiles for a minute the first time, and for half of one after a `git pull`, which must be seen. Most often
    // there is nothing to do, which cargo would say each time.
    if is_up_to_date(&place(package)) {
        cargo = cargo.arg("--quiet");
    }
    for secret in SECRETS {
        cargo = cargo.env_remove(secret);
    }
    let manifest = root().join("Cargo.toml");
    cargo = cargo.arg("--manifest-path").arg(manifest).args(["--package", package, "--bin", package]);
    // Errors as ever on standard error, and on standard output what was made.
    cargo.args(["--message-format", "json-render-diagnostics"]).outside_cargo()
}

/// The program that cargo has told of. It is started by its path and not by cargo, which would see its secrets, and takes
/// a while to see again that all is compiled.
fn program(package: &str, limit: Duration, told: &str) -> Result<Program, ProcessError> {
    let executable = told.lines().find_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        let is_it = message["target"]["name"] == package;
        message["executable"].as_str().filter(|_| is_it).map(str::to_owned)
    });
    let nothing = || ProcessError::Io {
        program: "cargo build".to_owned(),
        source: std::io::Error::other(format!("it told of no program {package}")),
    };
    Ok(Program::new(executable.ok_or_else(nothing)?, limit))
}

/// Where cargo puts a program.
fn place(package: &str) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), Into::into);
    target.join("debug").join(package).with_extension(std::env::consts::EXE_EXTENSION)
}

/// Whether a program is there and no file that it was made from is newer. Cargo knows more (features, the compiler's
/// version) and has the last word.
fn is_up_to_date(program: &Path) -> bool {
    let built = std::fs::metadata(program).and_then(|program| program.modified());
    let (Ok(built), Ok(sources)) = (built, sources(program)) else { return false };
    newer(&sources, built).is_none()
}

/// Notes that cargo, at this time, has left a program as it is although a file is newer.
fn left_as_it_is(program: &Path, at: SystemTime) {
    if let Ok(sources) = sources(program) {
        // Otherwise cargo's closing line is seen once more, which harms nobody.
        let _ = date(program, &sources, at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_the_one_that_cargo_has_made() {
        let told = r#"{"reason":"compiler-artifact","target":{"name":"other","kind":["bin"]},"executable":"/t/other"}
{"reason":"compiler-artifact","target":{"name":"it","kind":["lib"]},"executable":null}
{"reason":"compiler-artifact","target":{"name":"it","kind":["bin"]},"executable":"/t/it"}
{"reason":"build-finished","success":true}
"#;
        assert_eq!(program("it", Duration::MAX, told).expect("it was told of").line(), "/t/it");
        program("none", Duration::MAX, told).expect_err("it was not");
    }

    /// What cargo does is seen when it may take long, and only then.
    #[test]
    fn a_program_is_up_to_date_until_a_file_of_it_is_newer() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name: &str| directory.path().join(name);
        let at = |seconds: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let write = |name: &str, text: &str, seconds: u64| {
            std::fs::write(path(name), text).expect("it can be written");
            let file = std::fs::File::options().write(true).open(path(name)).expect("it is there");
            file.set_modified(at(seconds)).expect("it can be dated");
        };
        let program = path("it");
        assert!(!is_up_to_date(&program), "it was never built");
        write("it", "", 2000);
        assert!(!is_up_to_date(&program), "nobody knows what it was made from");
        let source = path("main.rs");
        write("it.d", &format!("{}: {}\n", program.display(), source.display()), 2000);
        write("main.rs", "", 1000);
        assert!(is_up_to_date(&program));
        write("main.rs", "", 3000);
        assert!(!is_up_to_date(&program), "a file was pulled");
        left_as_it_is(&program, at(4000));
        assert!(is_up_to_date(&program), "cargo has looked since");
    }
}
