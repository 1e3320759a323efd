//! Reads the Compose file anew while `dev` runs, once the secrets are made that the template has new.
//!
//! Must not: ask for another engine than the one the stack runs on.

use std::collections::BTreeSet;

use super::{Context, Errand, in_foreground};
use crate::failure::{Code, Failure};
use crate::plan::Wanted;
use crate::project::{Added, outlived_secrets, read_env_file};
use crate::session::Session;

/// What is known of the last reading.
#[derive(Debug)]
pub(super) struct Reading {
    /// The names that `compose/.env` had then. One of them that is missing is no new one: it was removed, or the file is
    /// being written at this moment, and what is made in its place would not fit the data.
    made: BTreeSet<String>,
    /// Whether it failed. What for may be over at the next save, whatever that is of.
    failed: bool,
}

impl Reading {
    /// After the first one, which went well.
    pub(super) fn done(context: &Context) -> Self {
        Self { made: made(context).unwrap_or_default(), failed: false }
    }

    /// Whether what is to be done asks for another one.
    pub(super) fn is_due(&self, context: &Context, errand: &Errand) -> bool {
        let in_compose = context.project.root().join("compose");
        let saved = matches!(errand, Errand::Save(burst) if burst.paths.iter().any(|path| path.starts_with(&in_compose)));
        saved || self.failed
    }

    /// Reads the Compose file; the session is as before when that fails.
    pub(super) async fn again(
        &mut self,
        context: &Context,
        session: &mut Session,
        wanted: &Wanted,
    ) -> Result<(), Failure> {
        self.failed = true;
        let added =
            if self.made.is_subset(&made(context)?) { context.make_credentials().await? } else { Vec::new() };
        let (stack, warnings) = context.project.stack()?;
        for warning in warnings {
            context.events.warning(warning);
        }
        // Neither locked nor looked at: it may be another checkout's.
        if stack.project != session.stack.project {
            let (now, runs) = (&stack.project, &session.stack.project);
            let message = format!("the project is called {now} now, and {runs} runs");
            return Err(Failure::new(Code::ProjectBusy, message).hint("stop this `dev` and start it again"));
        }
        *session = in_foreground(Session { stack, ..session.clone() }, wanted);
        *self = Self::done(context);
        warn_of_outlived(context, session, &added).await
    }
}

fn made(context: &Context) -> Result<BTreeSet<String>, Failure> {
    Ok(read_env_file(&context.project.environment_file())?.into_keys().collect())
}

/// Warns of data that was made with other secrets than those that were just made.
pub(super) async fn warn_of_outlived(
    context: &Context,
    session: &Session,
    made: &[Added],
) -> Result<(), Failure> {
    if !made.is_empty() {
        let volumes = session.engine.observe(&session.stack.project).await?.volumes;
        for warning in outlived_secrets(&session.stack, &volumes, made) {
            context.events.warning(warning);
        }
    }
    Ok(())
}
