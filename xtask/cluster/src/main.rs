//! `xtask-cluster`: what `cargo xtask deploy-kind` and its siblings become. Reads the command line, starts the screen,
//! hands over to the command. Decides nothing else.

use std::process::ExitCode;

use clap::Parser;
use xtask::cli::ClusterCommand;
use xtask::failure::Code;
use xtask::frame::{Frame, Run};
use xtask::interrupt;
use xtask::ui::{Format, Settings};
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
    let frame = Frame::new(cli.format);
    frame.main(run(cli, frame))
}

async fn run(cli: Cli, frame: Frame) -> Result<(), Code> {
    let project = frame.checkout()?;
    let run = Run {
        name: commands::name(&cli.command),
        settings: Settings::new(frame.format, frame.terminal),
        is_kept: true,
        only_tells: false,
        last_words: interrupt::stopped_at_once(
            "what was sent to the cluster takes effect there",
            "the same command goes on from here; `cargo xtask destroy-kind` removes a kind cluster",
        ),
    };
    frame.run(project, run, async |context| commands::run(context, &cli.command).await).await
}
