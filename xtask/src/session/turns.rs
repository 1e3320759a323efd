//! What is to be done, planned in its turn: a plan that touches the database waits for the commands that work on it, and is
//! made anew after that.
//!
//! Must not: change anything.

use std::time::Duration;

use super::{Session, Setback, stopped};
use crate::database::is_touched_by;
use crate::failure::Failure;
use crate::limits;
use crate::plan::{self, Keep, Observed, Plan, Wanted};
use crate::project::{FOREGROUND_DEV, Holder, Lock, holder, lock_database};

/// What a plan is made for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Aim<'a> {
    /// What is wanted runs.
    Up(&'a Wanted),
    /// What was brought up and is not well yet is.
    Settled(&'a Wanted),
    /// Nothing is left.
    Down(Keep),
    /// Nothing runs.
    Stopped,
}

/// What there is, what is to be done about it, and the turn at the database when that is touched: no command on it changes
/// what was seen.
#[derive(Debug)]
pub(super) struct Due {
    pub(super) observed: Observed,
    pub(super) plan: Plan,
    turn: Option<Lock>,
}

impl Due {
    /// Lets the next command at the database; what there was.
    pub(super) fn end<T>(self, ended: &Result<T, Setback>) -> Observed {
        if let Some(turn) = self.turn {
            turn.finish(&ended.as_ref().map(drop).map_err(|setback| Failure::from(setback.clone())));
        }
        self.observed
    }
}

impl Session {
    /// Looks, plans, and waits where the plan touches the database and a command is at work on it.
    pub(super) async fn due(&self, aim: Aim<'_>) -> Result<Due, Failure> {
        let (observed, plan) = Box::pin(self.look(aim)).await?;
        if !self.waits_for_database || !is_touched_by(&plan) {
            return Ok(Due { observed, plan, turn: None });
        }
        // Whoever takes part in this holds the project's lock, which says what it is.
        let ours = holder(&self.project, &self.stack.project).filter(|one| one.pid == std::process::id());
        let command = ours.map_or_else(|| FOREGROUND_DEV.to_owned(), |holder| holder.command);
        let turn = self.take_turn(&command, limits::DATABASE, |_| true).await?;
        // Such a command may have ended since the look, and have left other containers than were seen then.
        match Box::pin(self.look(aim)).await {
            Ok((observed, plan)) => Ok(Due { observed, plan, turn: Some(turn) }),
            Err(failure) => {
                let ended = Err(failure);
                turn.finish(&ended);
                ended
            }
        }
    }

    async fn look(&self, aim: Aim<'_>) -> Result<(Observed, Plan), Failure> {
        match aim {
            Aim::Up(wanted) | Aim::Settled(wanted) => {
                let observed = self.observe().await?;
                let plan = self.plan_up(&observed, wanted)?;
                Ok((observed, if matches!(aim, Aim::Up(_)) { plan } else { plan.only_unsettled() }))
            }
            Aim::Down(keep) => {
                let observed = self.observe_objects().await?;
                let plan = plan::down(&self.stack, &observed, keep);
                Ok((observed, plan))
            }
            Aim::Stopped => {
                let observed = self.observe_objects().await?;
                let plan = plan::stop(&self.stack, &observed);
                Ok((observed, plan))
            }
        }
    }

    /// Takes the lock of the database, waiting up to `limit` for a command that is `worth` it, and says for which.
    ///
    /// # Errors
    /// When another command holds it; [`Code::Interrupted`](crate::failure::Code::Interrupted) at Ctrl-C.
    pub async fn take_turn(
        &self,
        command: &str,
        limit: Duration,
        worth: impl Fn(&Holder) -> bool,
    ) -> Result<Lock, Failure> {
        let mut told = false;
        let waiting = |holder: Holder| {
            let waits = worth(&holder);
            if waits && !std::mem::replace(&mut told, true) {
                let Holder { command, pid } = holder;
                self.events.note(format!(
                    "waiting for cargo xtask {command} (pid {pid}), which works on the database"
                ));
            }
            waits
        };
        let taken = lock_database(&self.project, &self.stack.project, command, limit, waiting);
        self.cancel.run_until_cancelled(taken).await.unwrap_or_else(|| Err(stopped()))
    }
}
