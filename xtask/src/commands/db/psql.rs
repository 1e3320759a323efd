//! `cargo xtask db psql`: a person, or a script, at the database.

use std::time::Duration;

use super::super::Context;
use super::server::{Database, absent};
use crate::failure::{Code, Failure};
use crate::limits;
use crate::process::{ProcessError, Program};
use crate::ui;

/// Runs psql in the container as the application's role. The terminal is attached by the engine's own command line, which
/// knows how to; without one, its streams are passed on as they are.
///
/// # Errors
/// When Postgres does not run, there is no `docker`, or psql ends with a status other than 0.
pub(super) async fn run(context: &Context, arguments: &[String]) -> Result<(), Failure> {
    let database = Database::as_found(context).await?;
    let container = database.container.as_ref().ok_or_else(absent)?;
    let at_terminal = ui::can_ask() && context.terminal.stdout_is_terminal;
    let streams = if at_terminal { "--interactive=true --tty=true" } else { "--interactive=true" };
    let program = docker(&database, Duration::MAX)
        .arg("exec")
        .args(streams.split(' '))
        // The root of the container cannot be written to.
        .args(["--env", "PSQL_HISTORY=/tmp/.psql_history"])
        .args([container.0.as_str(), "psql", "--username", &database.target.role])
        .args(["--dbname", &database.target.database])
        .args(arguments);
    let ended = program.interactive().await.map_err(|error| match error {
        ProcessError::Missing { .. } => {
            Failure::new(Code::ProgramMissing, "cannot attach psql: docker is not installed or not on PATH")
                .hint("`cargo xtask doctor` says how to install Docker's command line")
        }
        error => Failure::new(Code::Internal, format!("cannot attach psql: {error}")),
    })?;
    if ended.success() {
        return Ok(());
    }
    if let Some(why) = unreachable(&database, &container.0).await {
        let message =
            format!("cannot attach psql: docker ended with {ended}, and does not find the container");
        return Err(Failure::new(Code::EngineUnreachable, message).details(why));
    }
    match ended.code() {
        // `docker exec` could not run it (Docker's documentation, "docker container run", "Exit status").
        Some(status @ 125..=127) => {
            let message =
                format!("cannot attach psql: docker could not run it and ended with status {status}");
            Err(Failure::new(Code::EngineRefused, message))
        }
        _ => Err(Failure::new(Code::DatabaseRefused, format!("psql ended with {ended}"))),
    }
}

/// Docker's own command line, at the engine that the container was found in: by itself it may find another one.
fn docker(database: &Database<'_>, limit: Duration) -> Program {
    let program = Program::new("docker", limit);
    database.session.engine.variables().into_iter().fold(program, |program, (name, value)| match value {
        Some(value) => program.env(name, value),
        None => program.env_remove(name),
    })
}

/// What docker says when the container is nothing that it can reach: its status of a failure of its own is psql's, too.
async fn unreachable(database: &Database<'_>, container: &str) -> Option<Vec<String>> {
    let look = docker(database, limits::ENGINE_ANSWER).args(["container", "inspect", "--format", "{{.Id}}"]);
    match look.arg(container).output().await {
        Err(ProcessError::Failed { stderr, .. }) => Some(stderr),
        Err(error) => Some(vec![error.to_string()]),
        Ok(_) => None,
    }
}
