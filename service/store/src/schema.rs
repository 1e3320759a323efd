//! Owns the migrations: embedded in the program, run under an advisory lock, and the question whether a database has
//! them. Each is safe beside the previous version of the service: it adds, and takes away only what no version uses; and it
//! waits for no lock as long as a request waits for Postgres.

use std::time::{Duration, Instant};

use diesel::{
    PgConnection, QueryResult, RunQueryDsl,
    connection::SimpleConnection,
    migration::{Migration, MigrationSource},
    pg::Pg,
    sql_types::{Array, BigInt, Bool, Text},
};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use slog::{Logger, info, warn};

use super::{
    backoff::Backoff,
    postgres::{Waits, connect},
};
use service_config::{Config, Database};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("../migrations");

/// The advisory lock that one migration run holds: "homeport" in ASCII, so that no other program hits on it by chance.
const LOCK: i64 = i64::from_be_bytes(*b"homeport");

/// A migration may rewrite a table: far more than a request's deadline, and still an end.
const STATEMENT_DEADLINE: Duration = Duration::from_secs(15 * 60);

/// The longest that a migration waits for a lock. Every request that comes meanwhile for the same table waits behind it,
/// which they can (`DB_DEADLINE_SECONDS`, 3 unless set); after it their turn comes, before the migration's next attempt.
const LOCK_DEADLINE: Duration = Duration::from_secs(1);

/// The longest that one attempt to connect takes: a Postgres that is there answers in milliseconds, and the log says every
/// so often that it is not.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);

/// The shortest, however little is left of the wait: a busy server is to have its chance, and libpq counts in seconds.
const CONNECT_AT_LEAST: Duration = Duration::from_secs(1);

/// Between two attempts to connect or to get a lock: a person waits for the first, and a log has a line for each.
fn backoff() -> Backoff {
    Backoff::new(Duration::from_millis(100), Duration::from_secs(2))
}

/// Why the schema was not brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// Postgres did not take a connection in time.
    #[error("connecting to postgres at {address} did not succeed within {waited:?}: {cause}")]
    Connect {
        /// Host and port.
        address: String,
        /// How long was tried.
        waited: Duration,
        /// The last answer.
        cause: String,
    },
    /// Postgres does not take the password; waiting does not change it.
    #[error(
        "postgres does not take the password of DB_USER; a database keeps the passwords of its first start, so put \
         those back or remove its volume: {cause}"
    )]
    Refused {
        /// Its answer.
        cause: String,
    },
    /// Another run held the lock all the time.
    #[error("another migration run held the lock for {0:?}")]
    Locked(Duration),
    /// Others used what a migration changes all the time; it and the later ones are not applied.
    #[error(
        "migration {name} did not get its locks within {waited:?}, others are using what it changes: {cause}"
    )]
    Hindered {
        /// Its name.
        name: String,
        /// How long was tried.
        waited: Duration,
        /// The last answer.
        cause: String,
    },
    /// A migration failed; it and the later ones are not applied.
    #[error("running the migrations failed: {0}")]
    Run(String),
}

/// Applies all pending migrations and returns their names. Waits for a connection to Postgres, then for another run to end,
/// and for what each migration changes, at most `MIGRATE_WAIT_SECONDS` each, and two seconds more where the last attempt
/// begins just before the end.
///
/// # Errors
/// See [`MigrateError`].
pub fn migrate(config: &Config, logger: &Logger) -> Result<Vec<String>, MigrateError> {
    migrate_to(config, logger, usize::MAX)
}

/// As [`migrate`], but at most `limit` migrations: for tests of earlier schemas.
///
/// # Errors
/// See [`MigrateError`].
pub fn migrate_to(config: &Config, logger: &Logger, limit: usize) -> Result<Vec<String>, MigrateError> {
    migrate_from(MIGRATIONS, config, logger, limit)
}

/// As [`migrate_to`], with others than those of the program: for tests of later schemas.
///
/// # Errors
/// See [`MigrateError`].
pub fn migrate_from(
    source: impl MigrationSource<Pg>,
    config: &Config,
    logger: &Logger,
    limit: usize,
) -> Result<Vec<String>, MigrateError> {
    let wait = config.timing.migrate_wait;
    let mut connection = connect_patiently(&config.database, wait, logger)?;
    lock(&mut connection, wait)?;
    // The lock ends with the connection, whatever happens.
    let pending =
        connection.pending_migrations(source).map_err(|error| MigrateError::Run(error.to_string()))?;
    let mut applied = Vec::new();
    for migration in pending.iter().take(limit) {
        let name = migration.name().to_string();
        run(&mut connection, migration.as_ref(), wait, logger)?;
        info!(logger, "migration applied"; "migration" => &name);
        applied.push(name);
    }
    Ok(applied)
}

/// Runs one migration, again and again while it does not get a lock. That it did not is told by the time that it took:
/// Postgres' words for it are in its own language. So one that fails late for another reason is tried again as well, in vain.
fn run(
    connection: &mut PgConnection,
    migration: &dyn Migration<Pg>,
    wait: Duration,
    logger: &Logger,
) -> Result<(), MigrateError> {
    let name = migration.name().to_string();
    // What is no transaction cannot be tried again, and is written so for the sake of weaker locks.
    let is_whole = migration.metadata().run_in_transaction();
    let bound = if is_whole { LOCK_DEADLINE } else { Duration::ZERO };
    connection
        .batch_execute(&format!("SET lock_timeout = {}", bound.as_millis()))
        .map_err(|error| MigrateError::Run(format!("{name}: {error}")))?;
    let start = Instant::now();
    let mut backoff = backoff();
    loop {
        let begun = Instant::now();
        let Err(error) = connection.run_migration(migration) else { return Ok(()) };
        if !is_whole || begun.elapsed() < LOCK_DEADLINE {
            return Err(MigrateError::Run(format!("{name}: {error}")));
        }
        if start.elapsed() + backoff.peek() > wait {
            return Err(MigrateError::Hindered { name, waited: start.elapsed(), cause: error.to_string() });
        }
        warn!(logger, "a migration waits for what others are using"; "migration" => &name, "error" => %error);
        std::thread::sleep(backoff.take());
    }
}

fn connect_patiently(
    database: &Database,
    wait: Duration,
    logger: &Logger,
) -> Result<PgConnection, MigrateError> {
    let start = Instant::now();
    let mut backoff = backoff();
    loop {
        let rest = wait.saturating_sub(start.elapsed());
        let waits =
            Waits { connect: rest.clamp(CONNECT_AT_LEAST, CONNECT_DEADLINE), statement: STATEMENT_DEADLINE };
        let cause = match connect(database, waits) {
            Ok(connection) => return Ok(connection),
            Err(error) => error.to_string(),
        };
        // A server that is still initializing listens on no network address: what it refuses once, it refuses always.
        if cause.contains("password authentication failed") {
            return Err(MigrateError::Refused { cause: cause.trim().to_owned() });
        }
        if start.elapsed() + backoff.peek() > wait {
            let address = format!("{}:{}", database.host, database.port);
            return Err(MigrateError::Connect { address, waited: start.elapsed(), cause });
        }
        warn!(logger, "postgres is not there yet"; "error" => cause.trim());
        std::thread::sleep(backoff.take());
    }
}

fn lock(connection: &mut PgConnection, wait: Duration) -> Result<(), MigrateError> {
    let start = Instant::now();
    let mut backoff = backoff();
    loop {
        let taken = diesel::select(pg_try_advisory_lock(LOCK))
            .get_result::<bool>(connection)
            .map_err(|error| MigrateError::Run(format!("taking the lock: {error}")))?;
        if taken {
            return Ok(());
        }
        if start.elapsed() + backoff.peek() > wait {
            return Err(MigrateError::Locked(start.elapsed()));
        }
        std::thread::sleep(backoff.take());
    }
}

#[diesel::declare_sql_function]
extern "SQL" {
    fn pg_try_advisory_lock(key: BigInt) -> Bool;
}

/// What a database has of the schema, and whether it takes writes.
pub(super) struct Seen {
    /// How many embedded migrations it lacks.
    pub(super) pending: usize,
    /// On this connection, at least.
    pub(super) read_only: bool,
}

pub(super) fn look(connection: &mut PgConnection) -> QueryResult<Seen> {
    #[derive(diesel::QueryableByName)]
    struct State {
        #[diesel(sql_type = Bool)]
        present: bool,
        #[diesel(sql_type = Bool)]
        read_only: bool,
    }
    #[derive(diesel::QueryableByName)]
    struct Applied {
        #[diesel(sql_type = BigInt)]
        applied: i64,
    }
    let versions = versions();
    let State { present, read_only } = diesel::sql_query(
        "SELECT to_regclass('__diesel_schema_migrations') IS NOT NULL AS present, \
         current_setting('transaction_read_only') = 'on' AS read_only",
    )
    .get_result(connection)?;
    if !present {
        return Ok(Seen { pending: versions.len(), read_only });
    }
    let Applied { applied } = diesel::sql_query(
        "SELECT count(*) AS applied FROM __diesel_schema_migrations WHERE version = ANY($1)",
    )
    .bind::<Array<Text>, _>(&versions)
    .get_result(connection)?;
    let pending = versions.len().saturating_sub(usize::try_from(applied).unwrap_or(0));
    Ok(Seen { pending, read_only })
}

fn versions() -> Vec<String> {
    let migrations: Vec<Box<dyn Migration<Pg>>> =
        MIGRATIONS.migrations().expect("migrations that were checked when they were embedded");
    migrations.iter().map(|migration| migration.name().version().to_string()).collect()
}
