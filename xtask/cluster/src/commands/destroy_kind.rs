//! `cargo xtask destroy-kind`: the cluster gone, with its data. Only one that is ours.

use xtask::commands::Context;
use xtask::failure::Failure;

use super::ours::{self, Found};
use crate::steps::{Finished, Steps};

/// Runs `destroy-kind`.
///
/// # Errors
/// When the cluster is somebody else's, or kind fails.
pub async fn run(context: &Context) -> Result<(), Failure> {
    let kind = ours::of_project(context)?;
    let _lock = ours::exclusively(context, kind.name(), "destroy-kind").await?;
    let steps = Steps::new(context.events.clone(), None);
    steps
        .run(format!("delete kind cluster {}", kind.name()), async |reporter| {
            match ours::find(&kind, reporter).await? {
                Found::Absent => Ok(Finished::unchanged(())),
                Found::Foreign(seen) => Err(ours::left_alone(&kind, &seen)),
                Found::Ours(_) | Found::OursBroken(_) => {
                    kind.delete().await?;
                    Ok(Finished::changed((), "with its data"))
                }
            }
        })
        .await
}
