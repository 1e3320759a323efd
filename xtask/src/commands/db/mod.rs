//! `cargo xtask db …`: the development database, worked on by `psql` in the stack's own Postgres container.

mod consent;
mod psql;
mod server;
mod snapshots;

use super::Context;
use crate::checklist::Checklist;
use crate::cli;
use crate::database::{refusal, sql};
use crate::failure::{Code, Failure};
use crate::limits;
use crate::project::{Before, Holder, Lock, holder, lock};
use server::Database;

/// The example data.
const SEED: &str = "compose/postgres/seed.sql";

/// Runs `db`.
///
/// # Errors
/// When Postgres does not run, refuses a script, or a person does not agree.
pub async fn run(context: &Context, command: &cli::Db) -> Result<(), Failure> {
    match command {
        cli::Db::List => Box::pin(snapshots::list(context)).await,
        cli::Db::Psql { arguments } => Box::pin(psql::run(context, arguments)).await,
        _ => {
            let by_file =
                matches!(command, cli::Db::Migrate | cli::Db::Reset { .. } | cli::Db::Restore { .. });
            let database = Box::pin(Database::open(context, by_file)).await?;
            // Nobody waits for a person who has not answered yet.
            let agreed = Box::pin(consent::to(&database, command)).await?;
            let locks = Locks::take(&database, &format!("db {}", name_of(command))).await?;
            let changed = Box::pin(async {
                agreed.still_holds(&database, command).await?;
                change(&database, command, locks.before()).await
            })
            .await;
            locks.finish(&changed);
            changed
        }
    }
}

/// One command at a time changes the database, and none while another changes the project. A `dev` that a person left
/// running holds the project all the time: beside it the database is changed, for that is what a person does while it runs.
struct Locks {
    database: Lock,
    project: Option<Lock>,
}

impl Locks {
    async fn take(of: &Database<'_>, command: &str) -> Result<Self, Failure> {
        let (checkout, name) = (&of.context.project, &of.session.stack.project);
        // A `dev` that stays holds it while it migrates, which ends.
        let database = of.session.take_turn(command, limits::COMPLETED, Holder::is_foreground_dev).await?;
        if holder(checkout, name).is_some_and(|holder| holder.is_foreground_dev()) {
            return Ok(Self { database, project: None });
        }
        match lock(checkout, name, command).await {
            Ok(project) => Ok(Self { database, project: Some(project) }),
            Err(failure) => {
                let ended = Err(failure);
                database.finish(&ended);
                ended
            }
        }
    }

    fn before(&self) -> Before {
        let cut_off = |lock: &Lock| lock.before() == Before::CutOff;
        let any = cut_off(&self.database) || self.project.as_ref().is_some_and(cut_off);
        if any { Before::CutOff } else { Before::Ended }
    }

    fn finish(self, ended: &Result<(), Failure>) {
        for lock in [Some(self.database), self.project].into_iter().flatten() {
            lock.finish(ended);
        }
    }
}

/// What changes something; the project is locked, and a person has agreed.
async fn change(database: &Database<'_>, command: &cli::Db, before: Before) -> Result<(), Failure> {
    match command {
        cli::Db::Migrate => migrate(database, before).await,
        cli::Db::Reset { .. } => reset(database, before).await,
        cli::Db::Seed => seed(database).await,
        cli::Db::Save { name, .. } => snapshots::save(database, name).await,
        cli::Db::Restore { name, .. } => snapshots::restore(database, name, before).await,
        cli::Db::Remove { name, .. } => snapshots::remove(database, name).await,
        cli::Db::List | cli::Db::Psql { .. } => Ok(()),
    }
}

fn name_of(command: &cli::Db) -> &'static str {
    match command {
        cli::Db::Migrate => "migrate",
        cli::Db::Reset { .. } => "reset",
        cli::Db::Seed => "seed",
        cli::Db::Save { .. } => "save",
        cli::Db::Restore { .. } => "restore",
        cli::Db::List => "list",
        cli::Db::Remove { .. } => "remove",
        cli::Db::Psql { .. } => "psql",
    }
}

async fn migrate(database: &Database<'_>, before: Before) -> Result<(), Failure> {
    if !database.target.migrates {
        let message =
            format!("the stack has no service {}, which runs the migrations", crate::database::MIGRATE);
        return Err(Failure::new(Code::ComposeInvalid, message));
    }
    database.migrate(before).await
}

async fn reset(database: &Database<'_>, before: Before) -> Result<(), Failure> {
    let extensions = database.in_application(&sql::extensions(&database.target)).await?;
    let script = sql::prepare_empty(&database.target, &extensions);
    database.replace("make an empty database", &script, database.target.migrates, before).await
}

async fn seed(database: &Database<'_>) -> Result<(), Failure> {
    let path = database.context.project.root().join(SEED);
    let text = std::fs::read_to_string(&path)
        .map_err(|error| Failure::new(Code::ProjectInvalid, format!("cannot read {SEED}: {error}")))?;
    let titles = std::iter::once(format!("run {SEED}")).chain(database.flush_title()).collect();
    let mut list = database.checklist(titles);
    list.step(async |_| {
        let seeded = database.as_application(&sql::whole(&text)).await;
        seeded.map_err(|failure| match failure.code {
            Code::DatabaseRefused => refused_seed(failure),
            _ => failure,
        })?;
        Ok(((), None))
    })
    .await?;
    database.flush(&mut list).await
}

/// A refusal of the example data, by the lines of its file.
fn refused_seed(failure: Failure) -> Failure {
    let is_for_missing = refusal::is_for_missing(&failure.details);
    let details = failure.details.iter().map(|line| refusal::of_file(line, SEED)).collect();
    let failure = Failure { details, ..failure };
    if is_for_missing {
        failure.hint("`cargo xtask db migrate` makes the tables that are missing")
    } else {
        failure.hint(format!("nothing of {SEED} is in the database: it is run as a whole or not at all"))
    }
}

/// The steps of a change, at which a test may kill it.
impl Database<'_> {
    fn checklist(&self, titles: Vec<String>) -> Checklist {
        Checklist::announce(&self.context.events, &self.context.cancel, titles)
            .halting(self.session.halt.clone())
    }
}
