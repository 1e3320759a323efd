//! `xtask-cluster`: what `cargo xtask deploy-kind` and its siblings become. Reads the command line, starts the screen, hands
//! over to the command. Decides nothing else.

use std::process::ExitCode;
use std::time::{Instant, SystemTime};

use clap::Parser;
use xtask::cli::ClusterCommand;
use xtask::commands::Context;
use xtask::event::{Event, Events};
use xtask::failure::{Code, Failure};
use xtask::interrupt;
use xtask::project::Project;
use xtask::run_log::RunLog;
use xtask::ui::{Format, Screen, Settings, Terminal, leave_terminal, show_failure};
use xtask_cluster::commands;

/// The commands of the cluster. `cargo xtask` hands them over as they were typed.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, disable_help_subcommand = true)]
struct Cli {
    /// The form of the output: for a person, or JSON lines on standard output.
    #[arg(long, global = true, value_enum, default_value_t)]
    format: Format,
    /// What to do.
    #[command(subcommand)]
    command: ClusterCommand,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let terminal = Terminal::detect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let ended = match runtime {
        Ok(runtime) => {
            let ended = runtime.block_on(run(&cli, terminal));
            runtime.shutdown_background();
            ended
        }
        Err(error) => {
            let failure = Failure::new(Code::Internal, format!("cannot start the runtime: {error}"));
            show_failure(cli.format, &terminal, &failure);
            Err(failure.code)
        }
    };
    ended.map_or_else(|code| ExitCode::from(code.exit() as u8), |()| ExitCode::SUCCESS)
}

async fn run(cli: &Cli, terminal: Terminal) -> Result<(), Code> {
    let early = |failure: Failure| {
        show_failure(cli.format, &terminal, &failure);
        failure.code
    };
    let project = Project::find().map_err(early)?;
    let format = cli.format;
    let last_words = interrupt::stopped_at_once(
        "what was sent to the cluster takes effect there",
        "the same command goes on from here; `cargo xtask destroy-kind` removes a kind cluster",
    );
    let last_words = move || {
        leave_terminal();
        show_failure(format, &terminal, &last_words);
    };
    let cancel = interrupt::watch(last_words)
        .map_err(|error| early(Failure::new(Code::Internal, format!("cannot watch for Ctrl-C: {error}"))))?;
    let name = commands::name(&cli.command);
    let (events, receiver) = Events::channel();
    let log = RunLog::create(&project.scratch(), name, SystemTime::now());
    let screen = Screen::start(Settings::new(cli.format, terminal), receiver, log.ok());
    let reader_gone = screen.reader_gone();
    let begun = Instant::now();
    events.send(Event::RunStarted {
        command: name.to_owned(),
        directory: project.root().display().to_string(),
    });
    let context = Context {
        project,
        events: events.clone(),
        cancel,
        format: cli.format,
        terminal,
        begun,
        in_turn: false,
    };
    let result = tokio::select! {
        result = commands::run(&context, &cli.command) => result,
        () = reader_gone.cancelled() => Ok(()),
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
    failure.map_or(Ok(()), |failure| Err(failure.code))
}
