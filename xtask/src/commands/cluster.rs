//! The commands on Kubernetes (`deploy-kind`, `destroy-kind`, `deploy`, `rollback`, `verify`, `load`): handed over to
//! `xtask-cluster`, a program of its own, so that the everyday one has no Kubernetes client and compiles quickly.
//!
//! Must not: read their arguments; the other program does, by the same types (`cli::ClusterCommand`).

use std::process::ExitStatus;
use std::time::Duration;

use super::Context;
use crate::companion;
use crate::event::Event;
use crate::failure::{Code, Failure};
use crate::process::{ProcessError, Program, Stream};
use crate::ui::Format;

/// The package, and the program in it.
const PACKAGE: &str = "xtask-cluster";

/// Becomes `xtask-cluster` with the arguments of this program; cargo builds it where it is not up to date. Returns only
/// when that failed.
pub async fn hand_over() -> Failure {
    match compile().await {
        Ok(program) => missing(&program.args(std::env::args_os().skip(1)).replace().await),
        Err(failure) => failure,
    }
}

/// Its errors are for the terminal, as those of `cargo run` are.
async fn compile() -> Result<Program, Failure> {
    companion::compile_at_terminal(PACKAGE, Duration::MAX).await.map_err(|error| match error {
        ProcessError::Failed { status, .. } => {
            Failure::new(Code::BuildFailed, format!("cannot compile {PACKAGE}: cargo ended with {status}"))
        }
        error => missing(&error),
    })
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
    let program = compile().await?.args(words.iter().copied());
    if context.format == Format::Json {
        return told(context, program.args(["--format", "json"]).at_terminal(), words).await;
    }
    let status = program.interactive().await.map_err(|error| missing(&error))?;
    ended(status, words)
}

/// What its exit status says. What it said of it stands above.
fn ended(status: ExitStatus, words: &[&str]) -> Result<(), Failure> {
    let code = match status.code() {
        Some(0) => return Ok(()),
        Some(1) => Code::Internal,
        Some(2) => Code::Usage,
        Some(3) => Code::ProjectInvalid,
        Some(4) => Code::ClusterUnusable,
        Some(6) => Code::NotHealthy,
        Some(7) => Code::RolledBack,
        Some(130) | None => Code::Interrupted,
        _ => Code::ClusterRefused,
    };
    Err(Failure::new(code, format!("{} ended with {status}", words.join(" "))))
}

/// Runs it as a part of this stream of events: what it tells is told here, its beginning, its end and its failure apart,
/// which are this command's to tell.
async fn told(context: &Context, program: Program, words: &[&str]) -> Result<(), Failure> {
    let mut failure = None;
    let ran = program.run(|stream, line| {
        let Some(value) = serde_json::from_str(line).ok().filter(|_| stream == Stream::Stdout) else {
            let (source, line) = (PACKAGE.to_owned(), line.to_owned());
            return context.events.send(Event::Output { step: None, source, line });
        };
        match told_of(&value) {
            Told::Here => context.events.send(Event::Answered { lines: Vec::new(), value }),
            Told::Failure(told) => failure = Some(told),
            Told::Frame => {}
        }
    });
    match ran.await {
        Ok(()) => Ok(()),
        Err(ProcessError::Failed { status, .. }) => match failure {
            Some(failure) => Err(failure),
            None => ended(status, words),
        },
        Err(error) => Err(missing(&error)),
    }
}

/// What becomes of an event of the other program.
enum Told {
    /// It is told here as it is.
    Here,
    /// It is how the other program ended.
    Failure(Failure),
    /// It says that the other program began or ended.
    Frame,
}

fn told_of(event: &serde_json::Value) -> Told {
    let text = |name: &str| event[name].as_str();
    match text("event") {
        Some("run-started" | "run-finished") => Told::Frame,
        Some("failed") => {
            let code = Code::ALL.iter().find(|code| Some(code.as_str()) == text("code"));
            let details = event["details"].as_array().into_iter().flatten();
            let failure = Failure::new(*code.unwrap_or(&Code::Internal), text("message").unwrap_or_default())
                .details(details.filter_map(|line| line.as_str()).map(str::to_owned));
            Told::Failure(match text("hint") {
                Some(hint) => failure.hint(hint),
                None => failure,
            })
        }
        _ => Told::Here,
    }
}

fn missing(error: &ProcessError) -> Failure {
    Failure::new(Code::ProgramMissing, format!("cannot start {PACKAGE}: {error}"))
        .hint("install Rust from https://rustup.rs")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_comes_through_as_it_was_told() {
        let failure = Failure::new(Code::RolledBack, "the smoke test failed")
            .details(["GET / answered 500".to_owned()])
            .hint("`cargo xtask verify`");
        let event = serde_json::to_value(Event::from(&failure)).expect("an event is JSON");
        assert!(matches!(told_of(&event), Told::Failure(told) if told == failure));
        let note = serde_json::to_value(Event::Note { text: "x".to_owned() }).expect("an event is JSON");
        assert!(matches!(told_of(&note), Told::Here));
        let end = Event::RunFinished { took: Duration::ZERO, failure: None, exit: 0 };
        assert!(matches!(told_of(&serde_json::to_value(end).expect("an event is JSON")), Told::Frame));
    }

    #[cfg(unix)]
    #[test]
    fn each_exit_status_says_what_it_means() {
        use std::os::unix::process::ExitStatusExt as _;
        let code = |status: i32| ended(ExitStatus::from_raw(status << 8), &["deploy"]).err().map(|f| f.code);
        let table = [
            (0, None),
            (1, Some(Code::Internal)),
            (2, Some(Code::Usage)),
            (3, Some(Code::ProjectInvalid)),
            (5, Some(Code::ClusterRefused)),
            (7, Some(Code::RolledBack)),
            (130, Some(Code::Interrupted)),
        ];
        for (status, expected) in table {
            assert_eq!(code(status), expected, "{status}");
        }
    }
}
