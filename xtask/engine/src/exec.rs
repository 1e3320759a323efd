//! A program run to its end in a container that runs already.
//!
//! The engine has no way to end such a program: one that nobody waits for any more goes on in the container. Whoever starts
//! one must bear that.

use std::time::Duration;

use bollard::container::LogOutput;
use bollard::exec::{CreateExecOptions, StartExecResults};
use futures_util::StreamExt as _;
use tokio::io::AsyncWriteExt as _;

use super::error::{EngineError, refusal};
use super::{Asked, Engine};
use crate::plan::ContainerId;

/// How a program in a container ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecEnd {
    /// Its exit status.
    pub status: i64,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

impl Engine {
    /// Runs a program in a container, feeds it a text and waits for its end, at most `limit`.
    ///
    /// # Errors
    /// When the engine refuses, or the program does not end in time.
    pub fn run_in<'a>(
        &'a self,
        container: &'a ContainerId,
        command: &'a [&'a str],
        input: &'a str,
        limit: Duration,
    ) -> Asked<'a, ExecEnd> {
        Box::pin(async move {
            let program = command.first().copied().unwrap_or_default();
            let object = || format!("{program} in container {container}");
            let options = CreateExecOptions {
                cmd: Some(command.iter().map(|&word| word.to_owned()).collect()),
                attach_stdin: Some(true),
                attach_stdout: Some(true),
                attach_stderr: Some(true),
                ..Default::default()
            };
            let run = async {
                let created = self.docker.create_exec(&container.0, options).await?;
                let mut end = ExecEnd { status: -1, stdout: String::new(), stderr: String::new() };
                if let StartExecResults::Attached { mut output, input: mut to } =
                    self.docker.start_exec(&created.id, None).await?
                {
                    let feed = async {
                        // One that has read enough closes its input: its status tells whether that was well.
                        if to.write_all(input.as_bytes()).await.is_ok() {
                            let _ = to.shutdown().await;
                        }
                    };
                    let read = async {
                        while let Some(chunk) = output.next().await {
                            match chunk? {
                                LogOutput::StdErr { message } => {
                                    end.stderr.push_str(&String::from_utf8_lossy(&message));
                                }
                                other => end.stdout.push_str(&String::from_utf8_lossy(&other.into_bytes())),
                            }
                        }
                        Ok::<_, bollard::errors::Error>(())
                    };
                    tokio::join!(feed, read).1?;
                }
                end.status = self.docker.inspect_exec(&created.id).await?.exit_code.unwrap_or(-1);
                Ok(end)
            };
            match tokio::time::timeout(limit, run).await {
                Ok(end) => end.map_err(|source| refusal("run", object(), source)),
                Err(_) => Err(EngineError::Silent { verb: "run", object: object(), limit }),
            }
        })
    }
}
