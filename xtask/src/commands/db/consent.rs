//! Nothing a person has is thrown away unless they said so: at the terminal, or beforehand by `--yes`.

use super::super::Context;
use super::server::Database;
use super::snapshots;
use crate::cli;
use crate::failure::{Code, Failure};
use crate::ui::{self, Format};

/// What a person has agreed to lose.
pub(super) enum Agreed {
    /// Whatever it is: they said so beforehand, or the command throws nothing away.
    Unasked,
    /// This, or nothing.
    To(Option<String>),
}

/// Asks whether a command may throw away what it does, unless the person has said so beforehand.
///
/// # Errors
/// As for [`ask`], and when Postgres does not tell what there is.
pub(super) async fn to(database: &Database<'_>, command: &cli::Db) -> Result<Agreed, Failure> {
    let Some(how) = asks(command) else { return Ok(Agreed::Unasked) };
    let lost = database.context.unless_stopped(lost_by(database, command)).await?;
    if let Some(what) = &lost {
        ask(database.context, what, &how).await?;
    }
    Ok(Agreed::To(lost))
}

impl Agreed {
    /// Looks once more, now that nobody else changes it: while a person thought, another command may have.
    ///
    /// # Errors
    /// [`Code::ProjectBusy`] when something else would be lost than what was agreed to.
    pub(super) async fn still_holds(
        &self,
        database: &Database<'_>,
        command: &cli::Db,
    ) -> Result<(), Failure> {
        let Self::To(agreed) = self else { return Ok(()) };
        match database.context.unless_stopped(lost_by(database, command)).await? {
            now if now == *agreed => Ok(()),
            now => Err(overtaken(now.as_deref().unwrap_or("nothing is lost"))),
        }
    }
}

fn overtaken(now: &str) -> Failure {
    let message = format!("another command was faster, and now {now}: nothing was changed");
    Failure::new(Code::ProjectBusy, message).hint("the same command asks again")
}

/// Of a command that throws something away and was not told to do so unasked: the one that is.
fn asks(command: &cli::Db) -> Option<String> {
    match command {
        cli::Db::Reset { yes: false } => Some("cargo xtask db reset --yes".to_owned()),
        cli::Db::Save { name, yes: false } => Some(format!("cargo xtask db save {name} --yes")),
        cli::Db::Restore { name, yes: false } => Some(format!("cargo xtask db restore {name} --yes")),
        cli::Db::Remove { name, yes: false } => Some(format!("cargo xtask db remove {name} --yes")),
        _ => None,
    }
}

/// What a command throws away, if anything, as things stand.
async fn lost_by(database: &Database<'_>, command: &cli::Db) -> Result<Option<String>, Failure> {
    match command {
        cli::Db::Reset { .. } => {
            Ok(Some(format!("all data of database {} is thrown away", database.target.database)))
        }
        cli::Db::Save { name, .. } => snapshots::lost_by_save(database, name).await,
        cli::Db::Restore { name, .. } => snapshots::lost_by_restore(database, name).await.map(Some),
        cli::Db::Remove { name, .. } => snapshots::lost_by_remove(database, name).await.map(Some),
        cli::Db::Migrate | cli::Db::Seed | cli::Db::List | cli::Db::Psql { .. } => Ok(None),
    }
}

/// Asks whether that may be done; `how` is the command that asks nothing.
///
/// # Errors
/// [`Code::Usage`] where nobody can be asked, [`Code::Interrupted`] when the answer is no.
async fn ask(context: &Context, what: &str, how: &str) -> Result<(), Failure> {
    if context.format == Format::Json || !ui::can_ask() {
        let message = format!("{what}, and without a terminal nobody can be asked: it was not begun");
        return Err(Failure::new(Code::Usage, message).hint(format!("`{how}` does it unasked")));
    }
    let question = format!("{what}; go on?");
    let asked = tokio::task::spawn_blocking(move || ui::agrees(&question));
    let answer = context.cancel.run_until_cancelled(asked).await;
    match answer {
        Some(Ok(Ok(true))) => Ok(()),
        Some(Ok(Err(error))) => Err(Failure::new(Code::Internal, format!("cannot ask: {error}"))),
        _ => Err(Failure::new(Code::Interrupted, "not agreed to: nothing was changed")),
    }
}
