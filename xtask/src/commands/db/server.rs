//! The server that holds the database: scripts given to its psql, the database replaced, and what must know of that.

use super::super::Context;
use crate::checklist::Checklist;
use crate::database::{CACHE, MIGRATE, Migration, NAME, SERVER, Target, sql};
use crate::engine::ExecEnd;
use crate::event::StepReporter;
use crate::failure::{Code, Failure};
use crate::limits;
use crate::plan::{Action, Container, ContainerId, ContainerState, Wanted};
use crate::project::{Before, digest_repeats, migrations};
use crate::session::Session;
use crate::stack::ServiceName;

/// The application's database in the stack's Postgres.
pub(super) struct Database<'a> {
    pub(super) context: &'a Context,
    pub(super) session: Session,
    pub(super) target: Target,
    /// Where Postgres runs, if it does.
    pub(super) container: Option<ContainerId>,
    /// Where the cache runs, if it does.
    cache: Option<ContainerId>,
    /// Whether the migrations that the stack's one-shot ran last are those of the checkout, as far as it says what they are.
    ran_todays: bool,
}

/// The SQLSTATE of "is being accessed by other users" (`object_in_use`).
const IN_USE: &str = "55006";

/// What is not known without the Compose file.
const UNTOLD: &str = "database and roles are those that the running postgres was made with: not known is whether it would be \
                      made otherwise now";

impl<'a> Database<'a> {
    /// For commands that change something: only where Postgres runs, and with the credentials that the stack was made with.
    /// One that may run the stack's one-shot (`by_file`) needs what the Compose file says of it.
    pub(super) async fn open(context: &'a Context, by_file: bool) -> Result<Self, Failure> {
        let mut database = if by_file {
            let (session, _) = Box::pin(context.session_as_found(true)).await?;
            Box::pin(Self::of(context, session)).await?
        } else {
            Self::as_found(context).await?
        };
        if database.container.is_none() {
            return Err(absent());
        }
        if !database.session.by_engine {
            (database.session.stack, _) = context.project.stack()?;
        }
        Ok(database)
    }

    /// For commands that need nothing but the server.
    pub(super) async fn as_found(context: &'a Context) -> Result<Self, Failure> {
        let (session, _) = Box::pin(context.session_by_engine(UNTOLD)).await?;
        Box::pin(Self::of(context, session)).await
    }

    async fn of(context: &'a Context, session: Session) -> Result<Self, Failure> {
        // Its commands take the turn at the database as a whole.
        let session = Session { waits_for_database: false, ..session };
        session.refuse_another_checkouts().await?;
        let seen = context
            .unless_stopped(Box::pin(async { Ok(session.engine.observe(&session.stack.project).await?) }))
            .await?;
        let running = |service: &str| {
            let is_it = |container: &&Container| {
                container.service.as_str() == service && matches!(container.state, ContainerState::Running(_))
            };
            seen.containers.iter().find(is_it).map(|container| container.id.clone())
        };
        let (container, cache) = (running(SERVER), running(CACHE));
        let target = if session.by_engine {
            let server = container.as_ref().ok_or_else(absent)?;
            Target::of_server(&session.engine.environment(server).await?)
        } else {
            Target::of(&session.stack)
        };
        let target = target.map_err(|error| Failure::new(Code::ComposeInvalid, error.to_string()))?;
        // Not known is as good as no.
        let ran_todays = !session.by_engine && ran_todays(&session, &seen.containers);
        Ok(Self { context, session, target, container, cache, ran_todays })
    }

    /// Gives a script to psql as the superuser, in the server's own database; what it answers.
    pub(super) async fn script(&self, text: &str) -> Result<String, Failure> {
        self.psql(&self.target.superuser, sql::MAINTENANCE, text).await
    }

    /// Gives a script to psql as the superuser, in the application's database; what it answers.
    pub(super) async fn in_application(&self, text: &str) -> Result<String, Failure> {
        self.psql(&self.target.superuser, &self.target.database, text).await
    }

    /// Gives a script to psql as the application's role, in its database; what it answers.
    pub(super) async fn as_application(&self, text: &str) -> Result<String, Failure> {
        self.psql(&self.target.role, &self.target.database, text).await
    }

    async fn psql(&self, role: &str, database: &str, text: &str) -> Result<String, Failure> {
        let container = self.container.as_ref().ok_or_else(absent)?;
        let mut command = vec!["psql", "--no-psqlrc", "--quiet", "--no-align", "--tuples-only"];
        command.extend(["--set=ON_ERROR_STOP=1", "--set=VERBOSITY=verbose", "--file=-"]);
        command.extend(["--username", role, "--dbname", database]);
        let ended = self.session.engine.run_in(container, &command, text, limits::DATABASE).await?;
        if ended.status == 0 { Ok(ended.stdout) } else { Err(refused(&ended)) }
    }

    /// As [`Database::script`], for one that needs a database without connections: one that somebody opened in between is
    /// cut off by the next attempt.
    pub(super) async fn script_alone(&self, text: &str) -> Result<(), Failure> {
        let mut attempt = 1;
        loop {
            match self.script(text).await {
                Err(failure) if attempt < limits::DATABASE_ATTEMPTS && is_in_use(&failure) => attempt += 1,
                ended => return ended.map(|_| ()),
            }
        }
    }

    /// The migrations that the database has had, each with what this checkout has under its version; without it when their
    /// text was another one when they ran: what that did, nobody can tell.
    pub(super) async fn applied(&self) -> Result<Vec<Migration>, Failure> {
        let checkout = migrations(&self.context.project)?;
        let versions = self.as_application(&sql::applied()).await?;
        let known = |version: &str| checkout.iter().find(|migration| migration.version == version).cloned();
        let unknown = |version: &str| Migration { version: version.to_owned(), digest: None };
        let known = |version: &str| known(version).filter(|_| self.ran_todays);
        Ok(versions.lines().map(|version| known(version).unwrap_or_else(|| unknown(version))).collect())
    }

    /// Replaces the database by what `script` prepares beside it, and migrates that: before it is put in place where the
    /// stack's one-shot can be told its name, so that nobody ever meets a database without its tables.
    ///
    /// The container that has migrated goes before the database does: killed in between, the next `dev` finds it missing
    /// and migrates.
    pub(super) async fn replace(
        &self,
        title: &str,
        script: &str,
        migrate: bool,
        before: Before,
    ) -> Result<(), Failure> {
        if migrate {
            self.refuse_replacing().await?;
        }
        let put = format!("put it in the place of database {}", self.target.database);
        let remove = "remove the data it replaces".to_owned();
        let ahead = migrate && self.target.by_name;
        let prepare = async |_: &StepReporter| Ok((self.script_alone(script).await?, None));
        if ahead {
            let (events, cancel) = (&self.context.events, &self.context.cancel);
            Checklist::announce(events, cancel, vec![title.to_owned()]).step(prepare).await?;
            self.migrate_fresh(before).await?;
        }
        let first = (!ahead).then(|| title.to_owned());
        let titles = first.into_iter().chain([put]).chain(self.flush_title()).chain([remove]).collect();
        let mut list = self.checklist(titles);
        if !ahead {
            list.step(prepare).await?;
        }
        list.step(async |_| {
            if migrate {
                self.forget_migrations().await?;
            }
            Ok((self.script_alone(&sql::swap(&self.target)).await?, None))
        })
        .await?;
        // At once: what the cache holds is of the data before.
        self.flush(&mut list).await?;
        list.step(async |_| Ok((self.script_alone(&sql::clear()).await?, None))).await?;
        if migrate { self.migrate(before).await } else { Ok(()) }
    }

    /// Before anything is touched: the migration brings up what it depends on, and must not replace it. What is wanted may
    /// differ from what runs, where a `dev` was started with variables that this command does not have.
    async fn refuse_replacing(&self) -> Result<(), Failure> {
        let observed = self.session.observe().await?;
        let plan = self.session.plan_up(&observed, &migration())?;
        let others = plan.steps.iter().filter_map(|step| match &step.action {
            Action::CreateContainer(_) | Action::RemoveContainer { .. } => step.action.service(),
            _ => None,
        });
        let Some(other) = others.into_iter().find(|name| name.as_str() != MIGRATE) else { return Ok(()) };
        let message = format!(
            "cannot migrate: {other} runs otherwise than it is configured here, and would be replaced"
        );
        Err(Failure::new(Code::ProjectBusy, message)
            .hint("give this command the variables that `dev` was given, or run `cargo xtask dev` anew"))
    }

    async fn forget_migrations(&self) -> Result<(), Failure> {
        let seen = self.session.engine.observe(&self.session.stack.project).await?;
        for container in seen.containers.iter().filter(|container| container.service.as_str() == MIGRATE) {
            self.session.engine.remove_container(&container.id, std::time::Duration::ZERO).await?;
        }
        Ok(())
    }

    /// Runs the stack's one-shot that migrates, anew.
    pub(super) async fn migrate(&self, before: Before) -> Result<(), Failure> {
        self.refuse_replacing().await?;
        let up = Box::pin(self.session.bring_up(&migration(), before)).await?;
        up.failure.map_or(Ok(()), Err)
    }

    /// Runs the stack's one-shot on the database that is prepared and not in its place yet. Its container is not the one
    /// that the stack wants, and is replaced afterwards.
    async fn migrate_fresh(&self, before: Before) -> Result<(), Failure> {
        let mut session = self.session.clone();
        // A test that kills does so where the data changes hands.
        session.halt = None;
        if let Some(migrate) = session.stack.services.get_mut(&ServiceName::new(MIGRATE)) {
            migrate.environment.insert(NAME.to_owned(), sql::FRESH.to_owned());
        }
        let up = Box::pin(session.bring_up(&migration(), before)).await?;
        up.failure.map_or(Ok(()), Err)
    }

    /// The step that makes the service look at the database again, where there is a cache.
    pub(super) fn flush_title(&self) -> Option<String> {
        self.cache.as_ref().map(|_| format!("empty {CACHE}"))
    }

    /// Empties the cache: what it holds was made of data that is not there any more.
    pub(super) async fn flush(&self, list: &mut Checklist) -> Result<(), Failure> {
        let Some(cache) = &self.cache else { return Ok(()) };
        list.step(async |_| {
            let command = ["redis-cli", "-e", "FLUSHDB"];
            let ended = self.session.engine.run_in(cache, &command, "", limits::ENGINE_OPERATION).await?;
            if ended.status == 0 {
                return Ok(((), None));
            }
            let message = format!(
                "cannot empty {CACHE}, which may hold old data: redis-cli ended with status {}",
                ended.status
            );
            Err(Failure::new(Code::DatabaseRefused, message)
                .details(ended.stderr.lines().chain(ended.stdout.lines()).map(str::to_owned)))
        })
        .await
    }
}

fn ran_todays(session: &Session, containers: &[Container]) -> bool {
    let migrate = ServiceName::new(MIGRATE);
    let today = digest_repeats(&session.stack, session.project.root()).remove(&migrate);
    let ran = containers.iter().find(|container| container.service == migrate);
    today.is_none_or(|today| ran.is_some_and(|ran| ran.repeat_hash == today.digest))
}

/// The stack's one-shot, to be run anew.
fn migration() -> Wanted {
    let migrate = ServiceName::new(MIGRATE);
    Wanted { services: [migrate.clone()].into(), recreate: [migrate].into(), ..Wanted::default() }
}

/// What is told where Postgres does not run.
pub(super) fn absent() -> Failure {
    Failure::new(Code::DatabaseAbsent, "postgres does not run, and only it can reach its data")
        .hint("`cargo xtask dev --detach postgres` starts it")
}

/// psql's complaint, without the line of Postgres' own source.
fn refused(ended: &ExecEnd) -> Failure {
    let lines: Vec<String> =
        ended.stderr.lines().filter(|line| !line.starts_with("LOCATION:")).map(str::to_owned).collect();
    let message = format!("postgres refused: psql ended with status {}", ended.status);
    Failure::new(Code::DatabaseRefused, message).details(lines)
}

fn is_in_use(failure: &Failure) -> bool {
    failure.details.iter().any(|line| line.contains(IN_USE))
}
