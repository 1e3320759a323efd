//! `cargo xtask test --coverage`: the same tests, built by cargo-llvm-cov so that the lines that run are counted, in
//! programs that tests start too; then a row a room, lcov and HTML under `target/homeport/coverage`.
//!
//! Must not: judge; `testing::coverage` does.

use std::path::{Path, PathBuf};

use super::Manner;
use crate::cli::Suite;
use crate::commands::tools::{self, Tool};
use crate::commands::{Context, keep};
use crate::event::Event;
use crate::failure::{Code, Failure};
use crate::limits;
use crate::process::{ProcessError, Program};
use crate::testing::coverage::{LEAST, RoomCoverage, judge, read_lcov, without_tests};
use crate::testing::rooms;

/// What is measured. The end-to-end tests build programs of their own and act on the engine: the rooms that they test are
/// promised no figure.
pub(super) const SUITES: [Suite; 2] = [Suite::Unit, Suite::Integration];

/// How the tests are called. The cluster's crate has no room with a promise, and compiles for long.
pub(super) const MANNER: Manner = Manner {
    words: &["llvm-cov", "--no-cfg-coverage", "--no-report", "test", "--locked", "--no-fail-fast"],
    asks: |call| !call.contains(&"xtask-cluster"),
};

/// What reads the measurement; one that is not the compiler's own cannot.
const READERS: [&str; 2] = ["llvm-profdata", "llvm-cov"];

/// Gets ready: finds what is needed (or installs it, when asked) and forgets earlier measurements.
pub(super) async fn prepare(context: &Context, suites: &[Suite], fix: bool) -> Result<(), Failure> {
    if let Some(suite) = suites.iter().find(|suite| !SUITES.contains(suite)) {
        let message = format!("coverage of {} is not measured, expected unit or integration", suite.title());
        return Err(Failure::new(Code::Usage, message).hint("`cargo xtask test --coverage` measures both"));
    }
    let missing = missing(context).await?;
    tools::need(context, "coverage", "`cargo xtask test --coverage --fix`", &missing, fix).await?;
    let clean = cargo(context, &["llvm-cov", "clean", "--workspace"]);
    clean.output().await.map(drop).map_err(|error| {
        Failure::new(Code::ChecksFailed, format!("cannot forget earlier measurements: {error}"))
    })
}

const CARGO_LLVM_COV: Tool =
    Tool { name: "cargo-llvm-cov", command: &["cargo", "install", "--locked", "cargo-llvm-cov"] };
const LLVM_TOOLS: Tool = Tool { name: "llvm-tools", command: &["rustup", "component", "add", "llvm-tools"] };

async fn missing(context: &Context) -> Result<Vec<Tool>, Failure> {
    let mut missing = Vec::new();
    match cargo(context, &["llvm-cov", "--version"]).output().await {
        Ok(_) => {}
        Err(ProcessError::Missing { program }) => {
            return Err(Failure::new(Code::ProgramMissing, format!("{program} is not on PATH")));
        }
        Err(_) => missing.push(CARGO_LLVM_COV),
    }
    // Both variables are cargo-llvm-cov's own, for a compiler that rustup did not install.
    let named = READERS.iter().all(|name| {
        let variable = name.to_uppercase().replace('-', "_");
        std::env::var_os(variable).is_some_and(|path| Path::new(&path).is_file())
    });
    let libraries = Program::new("rustc", limits::CHECK)
        .args(["--print", "target-libdir"])
        .directory(context.project.root())
        .output()
        .await
        .map_err(|error| Failure::new(Code::ProgramMissing, error.to_string()))?;
    let programs = PathBuf::from(libraries.trim()).with_file_name("bin");
    let found = |name: &&str| programs.join(format!("{name}{}", std::env::consts::EXE_SUFFIX)).is_file();
    if !named && !READERS.iter().all(found) {
        missing.push(LLVM_TOOLS);
    }
    Ok(missing)
}

/// Writes what was measured and says it; when `judged`, a room below the promise is a failure.
pub(super) async fn conclude(context: &Context, judged: bool) -> Result<(), Failure> {
    let directory = context.project.scratch().join("coverage");
    let lcov = directory.join("lcov.info");
    keep(&lcov, "")?;
    let shown = directory.display().to_string();
    let lcov_path = lcov.display().to_string();
    report(context, &["--lcov", "--output-path", &lcov_path]).await?;
    report(context, &["--html", "--output-dir", &shown]).await?;
    let rooms = read_rooms(context, &lcov)?;
    let summary = directory.join("rooms.json");
    let text = serde_json::to_string_pretty(&rooms)
        .map_err(|error| Failure::new(Code::Internal, format!("cannot write the rooms as JSON: {error}")))?;
    keep(&summary, &text)?;
    context.events.send(Event::Covered { rooms: rooms.clone() });
    let relative = context.project.relative(&directory).display().to_string();
    context.events.note(format!("coverage: {relative}/html/index.html, lcov.info and rooms.json beside it"));
    if !judged {
        return Ok(());
    }
    let below: Vec<String> = rooms
        .iter()
        .filter(|room| !room.enough)
        .map(|room| format!("{} ({} of {} lines)", room.room, room.covered, room.lines))
        .collect();
    if below.is_empty() {
        return Ok(());
    }
    let message = format!("tests reach less than {LEAST:.0} % of {}", below.join(", "));
    Err(Failure::new(Code::TestsFailed, message).hint(format!("{relative}/html/index.html shows the lines")))
}

fn read_rooms(context: &Context, lcov: &Path) -> Result<Vec<RoomCoverage>, Failure> {
    let text = std::fs::read_to_string(lcov).map_err(|error| {
        Failure::new(Code::ProjectInvalid, format!("cannot read {}: {error}", lcov.display()))
    })?;
    let root = context.project.root();
    let mut lines = read_lcov(&text, &root.display().to_string());
    without_tests(&mut lines, |path| std::fs::read_to_string(root.join(path)).ok());
    Ok(judge(&lines, rooms::reached()))
}

async fn report(context: &Context, arguments: &[&str]) -> Result<(), Failure> {
    let words: Vec<&str> = ["llvm-cov", "report"].iter().chain(arguments).copied().collect();
    cargo(context, &words).output().await.map(drop).map_err(|error| {
        let said = match &error {
            ProcessError::Failed { stderr, .. } => stderr.clone(),
            _ => Vec::new(),
        };
        Failure::new(Code::ChecksFailed, format!("cannot report the coverage: {error}")).details(said)
    })
}

fn cargo(context: &Context, arguments: &[&str]) -> Program {
    Program::new("cargo", limits::CHECK).args(arguments.iter().copied()).directory(context.project.root())
}
