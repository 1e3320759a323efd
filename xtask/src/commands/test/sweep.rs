//! Takes away what runs of tests have left in the engine.
//!
//! Must not: touch what a run that lives may need.

use crate::commands::Context;
use crate::engine::{Engine, Run, labels};
use crate::failure::Failure;
use crate::process::is_running;

/// Whose objects are to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::commands) enum Whose {
    /// Of runs that have ended, and so were killed. One that runs still may be that of another checkout.
    Ended,
    /// Of this run.
    Ours,
}

impl Whose {
    /// Whether an object whose label has this value is to go.
    fn includes(self, run: &str) -> bool {
        match (self, run.parse::<Run>()) {
            (Self::Ours, Ok(run)) => run == *Run::this(),
            (Self::Ours, Err(_)) => false,
            (Self::Ended, Ok(run)) => run.has_ended(is_running),
            (Self::Ended, Err(_)) => true,
        }
    }
}

/// Removes what a run of tests has left in the engine: nothing, unless it was killed.
pub(in crate::commands) async fn sweep(
    context: &Context,
    engine: &Engine,
    whose: Whose,
) -> Result<(), Failure> {
    let mut swept = Vec::new();
    for label in [labels::TEST, labels::TOOL] {
        swept.extend(engine.sweep(label, |run| whose.includes(run)).await?);
    }
    if !swept.is_empty() {
        let who = if whose == Whose::Ours { "this run" } else { "earlier runs" };
        context.events.note(format!("removed what {who} left: {}", swept.join(", ")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_no_living_run_needs_is_swept() {
        let ours = Run::this().to_string();
        // A process that has ended: one that we have waited for.
        let mut child = std::process::Command::new(std::env::current_exe().expect("this program"))
            .arg("--list")
            .stdout(std::process::Stdio::null())
            .spawn()
            .expect("this program, again");
        let ended = child.id().to_string();
        child.wait().expect("its end");
        let table = [
            (Whose::Ended, ours.as_str(), false),
            (Whose::Ended, ended.as_str(), true),
            (Whose::Ended, "1", false),
            (Whose::Ended, "planted", true),
            (Whose::Ours, ours.as_str(), true),
            (Whose::Ours, ended.as_str(), false),
            (Whose::Ours, "planted", false),
        ];
        for (whose, run, included) in table {
            assert_eq!(whose.includes(run), included, "{whose:?} {run}");
        }
    }
}
