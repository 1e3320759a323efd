//! The frame of a run: what stands around the command in each of this workspace's programs. The runtime, Ctrl-C, the
//! screen, the run's log, its first and its last event, the exit status.
//!
//! Must not: know any command.

use std::pin::pin;
use std::process::ExitCode;
use std::time::{Instant, SystemTime};

use crate::commands::Context;
use crate::event::{Event, Events};
use crate::execute::{HALT_VARIABLE, Halt};
use crate::failure::{Code, Failure};
use crate::interrupt;
use crate::project::Project;
use crate::run_log::RunLog;
use crate::tty::leave_terminal;
use crate::ui::{Format, Screen, Settings, Terminal, show_failure};

/// The frame of a program's only run. Made once its command line has been read.
#[derive(Debug, Clone, Copy)]
pub struct Frame {
    /// The form of the output.
    pub format: Format,
    /// What is written to.
    pub terminal: Terminal,
}

/// What a command's run looks like.
#[derive(Debug)]
pub struct Run {
    /// The command's name, as it is told and its log is called.
    pub name: &'static str,
    /// How the screen shows it.
    pub settings: Settings,
    /// Whether what it did is worth keeping.
    pub is_kept: bool,
    /// Whether it does nothing but tell: then it is done when nobody reads any more.
    pub only_tells: bool,
    /// What is told when a second Ctrl-C ends it at once.
    pub last_words: Failure,
}

impl Frame {
    /// One that writes as `--format` says.
    pub fn new(format: Format) -> Self {
        Self { format, terminal: Terminal::detect() }
    }

    /// Does its work, on a runtime, and says with which status the process ends.
    pub fn main(self, work: impl Future<Output = Result<(), Code>>) -> ExitCode {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let ended = match runtime {
            Ok(runtime) => {
                let ended = runtime.block_on(work);
                // Blocking reads (a bundle, a log) must not hold back the end.
                runtime.shutdown_background();
                ended
            }
            Err(error) => {
                Err(self.refuse(&Failure::new(Code::Internal, format!("cannot start the runtime: {error}"))))
            }
        };
        ended.map_or_else(|code| ExitCode::from(code.exit() as u8), |()| ExitCode::SUCCESS)
    }

    /// The checkout that it works on.
    ///
    /// # Errors
    /// When there is none, which is told.
    pub fn checkout(&self) -> Result<Project, Code> {
        Project::find().map_err(|failure| self.refuse(&failure))
    }

    /// Where a test wants the run to stand still. One that is misspelt would be waited for in vain.
    fn halt(&self) -> Result<Option<Halt>, Code> {
        let halt = std::env::var(HALT_VARIABLE).ok().filter(|halt| !halt.is_empty());
        let halt = halt.map(|halt| Halt::parse(&halt)).transpose();
        halt.map_err(|error| self.refuse(&Failure::new(Code::Usage, error)))
    }

    /// Tells a failure that comes before there is a screen.
    pub fn refuse(&self, failure: &Failure) -> Code {
        show_failure(self.format, &self.terminal, failure);
        failure.code
    }

    /// Runs a command: its events are shown and kept from the first to the last, and the terminal is given back.
    ///
    /// # Errors
    /// The code of its failure, which is told.
    pub async fn run(
        &self,
        project: Project,
        run: Run,
        command: impl AsyncFnOnce(&Context) -> Result<(), Failure>,
    ) -> Result<(), Code> {
        let halt = self.halt()?;
        let (frame, last_words) = (*self, run.last_words);
        let cancel = interrupt::watch(move || {
            leave_terminal();
            frame.refuse(&last_words);
        });
        let cancel = cancel.map_err(|error| {
            self.refuse(&Failure::new(Code::Internal, format!("cannot watch for Ctrl-C: {error}")))
        })?;
        let (events, receiver) = Events::channel();
        let log = run.is_kept.then(|| RunLog::create(&project.scratch(), run.name, SystemTime::now()));
        let screen = Screen::start(run.settings, receiver, log.and_then(Result::ok));
        let reader_gone = screen.reader_gone();
        let begun = Instant::now();
        events.send(Event::RunStarted {
            command: run.name.to_owned(),
            directory: project.root().display().to_string(),
        });
        let context = Context {
            project,
            events: events.clone(),
            cancel,
            format: self.format,
            terminal: self.terminal,
            begun,
            halt,
            in_turn: false,
        };
        let mut work = pin!(command(&context));
        let result = tokio::select! {
            result = &mut work => result,
            () = reader_gone.cancelled() => {
                if run.only_tells {
                    Ok(())
                } else {
                    // As at Ctrl-C: it ends cleanly, and not as if it were done.
                    context.cancel.cancel();
                    work.await
                }
            }
        };
        let failure = result.err();
        if let Some(failure) = &failure {
            events.send(Event::from(failure));
        }
        events.send(Event::RunFinished {
            took: begun.elapsed(),
            failure: failure.as_ref().map(|failure| failure.code.as_str()),
            exit: failure.as_ref().map_or(0, |failure| failure.code.exit() as u8),
        });
        screen.finish().await;
        // A task that has not been ended yet may still hold it.
        leave_terminal();
        failure.map_or(Ok(()), |failure| Err(failure.code))
    }
}
