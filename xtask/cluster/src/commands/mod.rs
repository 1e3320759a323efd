//! The commands: one file a command. They compose rooms and decide nothing.

pub mod deploy;
pub mod deploy_kind;
pub mod destroy_kind;
mod images;
pub mod load;
mod ours;
pub mod rollback;
mod told;
pub mod verify;

use xtask::cli::ClusterCommand;
use xtask::commands::Context;
use xtask::failure::{Code, Failure};

/// The name of the service's image, without its tag.
const SERVICE_IMAGE: &str = "homeport/service";

/// Runs a command. Ctrl-C drops what is under way; the next command goes on from what it finds.
///
/// # Errors
/// The command's own; [`Code::Interrupted`].
pub async fn run(context: &Context, command: &ClusterCommand) -> Result<(), Failure> {
    let work = async {
        match command {
            ClusterCommand::DeployKind(arguments) => deploy_kind::run(context, arguments).await,
            ClusterCommand::DestroyKind => destroy_kind::run(context).await,
            ClusterCommand::Deploy(arguments) => deploy::run(context, arguments).await,
            ClusterCommand::Rollback(arguments) => rollback::run(context, arguments).await,
            // These end by themselves at Ctrl-C: one tells what it has measured, one takes its faults back.
            ClusterCommand::Load(arguments) => load::run(context, arguments).await,
            ClusterCommand::Verify(arguments) => verify::run(context, arguments).await,
        }
    };
    if matches!(command, ClusterCommand::Load(_) | ClusterCommand::Verify(_)) {
        return work.await;
    }
    tokio::select! {
        result = work => result,
        () = context.cancel.cancelled() => Err(
            Failure::new(
                Code::Interrupted,
                "stopped before everything was done; what was sent to the cluster takes effect there, unwatched",
            )
            .hint(match command {
                ClusterCommand::DeployKind(_) | ClusterCommand::Deploy(_) => {
                    "the same command goes on from here; `cargo xtask rollback` puts the version before back"
                }
                _ => "the same command goes on from here",
            }),
        ),
    }
}

/// The name of a command, as it is typed.
pub fn name(command: &ClusterCommand) -> &'static str {
    match command {
        ClusterCommand::DeployKind(_) => "deploy-kind",
        ClusterCommand::DestroyKind => "destroy-kind",
        ClusterCommand::Deploy(_) => "deploy",
        ClusterCommand::Rollback(_) => "rollback",
        ClusterCommand::Load(_) => "load",
        ClusterCommand::Verify(_) => "verify",
    }
}
