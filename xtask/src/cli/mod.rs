//! The command line, as clap reads it. Nothing here does anything.

mod cluster;
mod image;
mod quality;
mod stack;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Parser, Subcommand};

pub use cluster::{ClusterCommand, Deploy, DeployKind, Load, Rollback, Verify};
pub use image::{Compiler, Image, ImageBuild, PUSHED, Push};
pub use quality::{Bench, Check, Group, Lint, Mutants, Scan, Suite, Test};
pub use stack::{Db, Dev, Down, Level, Logs, Report, Status};

use crate::doctor::Need;
use crate::ui::Format;

/// The task runner: run the stack, test it, ship it.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, disable_help_subcommand = true)]
pub struct Cli {
    /// The form of the output: for a person, or JSON lines on standard output.
    #[arg(long, global = true, value_enum, default_value_t)]
    pub format: Format,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// A command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the stack: from a fresh clone to healthy, then logs and rebuild on save; Ctrl-C stops it.
    Dev(Dev),
    /// Stop the stack and remove its containers and network; data is kept.
    Down(Down),
    /// What runs, and why it is or is not healthy; what was asked of it in the last minute.
    Status(Status),
    /// A page with pictures of what the stack did: traffic, latency, errors, restarts, alerts, start-up times.
    Report(Report),
    /// The services' logs.
    Logs(Logs),
    /// The development database: migrated, emptied, filled, kept and put back.
    #[command(subcommand)]
    Db(Db),
    /// Run the tests: unit, integration and end-to-end.
    Test(Test),
    /// Change the code, one place at a time, and see whether a test notices; takes hours, a part of it minutes.
    Mutants(Mutants),
    /// Check format, clippy, YAML, workflows, Dockerfiles, the Compose file and the Prometheus rules.
    Lint(Lint),
    /// The images of the stack: where they come from, and bundles for machines without a registry.
    #[command(subcommand)]
    Image(Image),
    /// Publish the release image: version and revision as tags, the digest printed.
    Push(Push),
    /// Look for what is vulnerable, unlicensed, secret or too privileged.
    Scan(Scan),
    /// What is missing on this machine, and the command that mends it.
    Doctor {
        /// Mend what can be mended, after saying what will be done.
        #[arg(long)]
        fix: bool,
        /// Only what these commands need; `dev`, `test` and `deploy-kind` when not given. What `scan` and `lint` need is
        /// looked at only when they are named.
        #[arg(long = "for", value_parser = need())]
        needs: Vec<Need>,
        /// Ask nothing on the network.
        #[arg(long)]
        offline: bool,
    },
    /// Kubernetes; another program, `xtask-cluster`, does it.
    #[command(flatten)]
    Cluster(ClusterCommand),
    /// The pipeline: all stages, or those named.
    Ci {
        /// The stages; all of them when none is named.
        #[arg(value_enum)]
        stages: Vec<Stage>,
        /// Mend the machine first (see `doctor`), as far as these stages need it.
        #[arg(long)]
        fix: bool,
    },
    /// Measure the budgets side by side with what you would pick instead.
    Bench(Bench),
    /// Print a completion script for a shell.
    Completions {
        /// Which shell.
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
}

/// A stage of the pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Stage {
    /// Format, clippy, YAML, workflows, Dockerfiles, the Compose file, Prometheus rules.
    Lint,
    /// Secrets in the repository, its history and the logs of runs; manifests, Dockerfiles, dependencies.
    Security,
    /// Unit, integration and end-to-end tests; not those of Kubernetes (`cargo xtask test cluster`).
    Test,
    /// How far the unit and integration tests reach.
    Coverage,
    /// The stack, from nothing to healthy and down again, with nothing left.
    Stack,
    /// The release image, looked into, with its bill of materials.
    Build,
    /// The image to the repository that `HOMEPORT_REPOSITORY` names.
    Push,
    /// The image to a kind cluster, or what was pushed to the cluster that `HOMEPORT_CONTEXT` names; rolled out and tried.
    Deploy,
    /// What is deployed, tried; and on kind, bad revisions rolled back.
    Verify,
}

/// A command that needs something of the machine, by its name.
fn need() -> impl TypedValueParser<Value = Need> {
    let named =
        |need: Need| PossibleValue::new(need.as_str()).help(format!("`cargo xtask {}`", need.as_str()));
    PossibleValuesParser::new(Need::ALL.map(named))
        .try_map(|name| Need::ALL.into_iter().find(|need| need.as_str() == name).ok_or("no such command"))
}
