//! Owns the pool of Postgres connections and the way to use one from async code: a permit, a blocking thread, a deadline.
//! Knows no table.

use std::{
    cell::Cell,
    sync::{
        Arc, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use diesel::{
    Connection, ConnectionError, PgConnection, QueryResult,
    connection::SimpleConnection,
    r2d2::{Pool, PooledConnection},
    result::{DatabaseErrorKind, Error as DieselError},
};
use prometheus::{Histogram, IntGauge};
use slog::Logger;
use tokio::sync::{Notify, Semaphore};

use super::{
    error::{Dependency, StoreError},
    sessions::{Complaint, Doubt, Session, Sessions},
};
use service_config::Database;
use service_telemetry::{
    metrics::StoreMetrics,
    spans::{Place, Span, Statement, works},
};

/// Connections that the writer's threads use: one commits while the other's batch gathers.
pub(super) const WRITERS: u32 = 2;

/// The pool, whether Postgres is there, and how long anyone waits for it.
pub(super) struct Postgres {
    pool: Pool<Sessions>,
    readers: Arc<Semaphore>,
    doubt: Arc<Doubt>,
    deadline: Duration,
    up: AtomicBool,
    up_gauge: IntGauge,
    wait: Histogram,
    /// Woken when a use failed, so that the probe looks at once.
    pub(super) suspicion: Notify,
    /// Whether a write was refused as a standby refuses it since the probe last looked.
    refused_write: AtomicBool,
}

impl Postgres {
    pub(super) fn new(database: &Database, metrics: &StoreMetrics, logger: &Logger) -> Self {
        let (doubt, complaint) = (Arc::new(Doubt::default()), Complaint::default());
        let url = connection_string(database, Waits::of(database.deadline));
        let pool = Pool::builder()
            .max_size(database.pool_size)
            .min_idle(Some(0))
            .connection_timeout(database.deadline)
            .test_on_check_out(true)
            .error_handler(Box::new(Complaints { logger: logger.clone(), last: Arc::clone(&complaint) }))
            .build_unchecked(Sessions::new(url, &doubt, complaint));
        let readers = database.pool_size.saturating_sub(WRITERS).max(1) as usize;
        Self {
            pool,
            readers: Arc::new(Semaphore::new(readers)),
            doubt,
            deadline: database.deadline,
            up: AtomicBool::new(false),
            up_gauge: metrics.postgres_up.clone(),
            wait: metrics.pool_wait.clone(),
            suspicion: Notify::new(),
            refused_write: AtomicBool::new(false),
        }
    }

    pub(super) fn deadline(&self) -> Duration {
        self.deadline
    }

    /// Notes what the probe saw; while Postgres is away, uses fail at once instead of after the deadline.
    pub(super) fn set_up(&self, up: bool) {
        self.up.store(up, Ordering::Release);
        self.up_gauge.set(i64::from(up));
    }

    /// Whether a write was refused as a standby refuses it since this was last asked.
    pub(super) fn take_refused_write(&self) -> bool {
        self.refused_write.swap(false, Ordering::AcqRel)
    }

    /// Postgres takes writes again: a connection that began while it did not may still take none, so none is used any more.
    pub(super) fn renew_connections(&self) {
        self.doubt.outdate();
    }

    pub(super) fn check_up(&self) -> Result<(), StoreError> {
        if self.up.load(Ordering::Acquire) {
            return Ok(());
        }
        Err(StoreError::unavailable(Dependency::Postgres, "the last probe found it away"))
    }

    /// Runs the statement `work` on a connection, as [`Postgres::run`], for the request at `place`. It only reads: where
    /// Postgres had ended the connection, it is asked again on another one, once.
    pub(super) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        place: &Place,
        statement: Statement,
        work: impl Fn(&mut PgConnection) -> QueryResult<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let below = place.clone();
        self.run_on(place, move |this, asked, end, wait| {
            let begun = Cell::new(false);
            let ask = |asked, end, wait| {
                this.run_on_session(asked, end, wait, |connection| {
                    begun.set(true);
                    query(&below, &statement, connection, &work)
                })
            };
            match ask(asked, end, wait) {
                Err(StoreError::Unavailable { .. }) if begun.get() => {
                    // With Postgres there a connection takes milliseconds; without, whoever asks is to know soon.
                    let now = Instant::now();
                    ask(now, end.min(now + this.deadline / 2), below.begin(works::POOL_WAIT))
                }
                result => result,
            }
        })
        .await
    }

    /// Runs `work` on a connection, in a blocking thread, within the deadline. After the deadline the work may still be
    /// done; its permit is held until then, so that no more threads wait than there are connections.
    pub(super) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        place: &Place,
        work: impl FnOnce(&mut PgConnection) -> QueryResult<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.run_on(place, move |this, asked, end, wait| this.run_on_session(asked, end, wait, work)).await
    }

    async fn run_on<T: Send + 'static>(
        self: &Arc<Self>,
        place: &Place,
        work: impl FnOnce(&Self, Instant, Instant, Span) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.check_up()?;
        let mut wait = place.begin(works::POOL_WAIT);
        let asked = Instant::now();
        let end = asked + self.deadline;
        let late = |_| StoreError::Deadline(Dependency::Postgres);
        let permit = tokio::time::timeout_at(end.into(), Arc::clone(&self.readers).acquire_owned())
            .await
            .map_err(|elapsed| {
                self.note_wait(asked);
                wait.fail("timeout");
                late(elapsed)
            })?
            .map_err(|closed| StoreError::Internal(closed.to_string()))?;
        let this = Arc::clone(self);
        let task = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work(&this, asked, end, wait)
        });
        tokio::time::timeout_at(end.into(), task)
            .await
            .map_err(|elapsed| {
                self.suspicion.notify_one();
                late(elapsed)
            })?
            .map_err(|panicked| StoreError::Internal(panicked.to_string()))?
    }

    /// Runs `work` on a connection in this thread, which may wait for a connection until `end`.
    pub(super) fn run_blocking<T>(
        &self,
        place: &Place,
        end: Instant,
        work: impl FnOnce(&mut PgConnection) -> QueryResult<T>,
    ) -> Result<T, StoreError> {
        self.run_on_session(Instant::now(), end, place.begin(works::POOL_WAIT), work)
    }

    fn run_on_session<T>(
        &self,
        asked: Instant,
        end: Instant,
        mut wait: Span,
        work: impl FnOnce(&mut PgConnection) -> QueryResult<T>,
    ) -> Result<T, StoreError> {
        let session = self.session(asked, end);
        if session.is_err() {
            wait.fail("unavailable");
        }
        drop(wait);
        let mut session = session?;
        let begun = Instant::now();
        let result = work(&mut session.connection);
        session.used = Instant::now();
        result.map_err(|error| self.classify(&error, &mut session, begun))
    }

    /// What an error of work that began then means, and whether the connection may be used again: when in doubt it is asked.
    /// The texts are in Postgres' own language, so nothing goes by them. Diesel hands on few of its codes; what names a
    /// place in a statement is a fault of that statement, and all other words of a Postgres that is there are about
    /// itself: that it is full, a standby, about to stop, or was told to give up.
    fn classify(&self, error: &DieselError, session: &mut Session, begun: Instant) -> StoreError {
        if let DieselError::DatabaseError(
            DatabaseErrorKind::CheckViolation | DatabaseErrorKind::NotNullViolation,
            information,
        ) = error
        {
            return StoreError::Refused(information.message().to_owned());
        }
        let took = begun.elapsed();
        if session.connection.batch_execute("SELECT 1").is_err() {
            session.broken = true;
            self.doubt.raise();
            self.suspicion.notify_one();
            return StoreError::unavailable(Dependency::Postgres, error);
        }
        match error {
            DieselError::DatabaseError(DatabaseErrorKind::ReadOnlyTransaction, information) => {
                // Whether the next one would take it, only a new one tells.
                session.broken = true;
                self.refused_write.store(true, Ordering::Release);
                self.suspicion.notify_one();
                StoreError::Unable(information.message().to_owned())
            }
            DieselError::DatabaseError(
                DatabaseErrorKind::Unknown
                | DatabaseErrorKind::SerializationFailure
                | DatabaseErrorKind::ClosedConnection,
                information,
            ) if information.statement_position().is_none() => {
                // Postgres ends a statement after whole milliseconds.
                if took.as_millis() >= self.deadline.as_millis() {
                    StoreError::Deadline(Dependency::Postgres)
                } else {
                    StoreError::Unable(information.message().to_owned())
                }
            }
            _ => StoreError::Internal(error.to_string()),
        }
    }

    fn session(&self, asked: Instant, end: Instant) -> Result<PooledConnection<Sessions>, StoreError> {
        let session = self
            .pool
            .get_timeout(end.saturating_duration_since(Instant::now()))
            .map_err(|error| StoreError::unavailable(Dependency::Postgres, error));
        self.note_wait(asked);
        if session.is_err() {
            self.suspicion.notify_one();
        }
        session
    }

    /// All of it: for a permit, for a thread, for the connection; also a wait that was in vain.
    fn note_wait(&self, asked: Instant) {
        self.wait.observe(asked.elapsed().as_secs_f64());
    }

    pub(super) fn pool_size(&self) -> u32 {
        self.pool.max_size()
    }

    pub(super) fn pool_connections(&self) -> u32 {
        self.pool.state().connections
    }

    pub(super) fn pool_idle(&self) -> u32 {
        self.pool.state().idle_connections
    }
}

/// Runs the statement that `work` is, for the request at `place`.
pub(super) fn query<T>(
    place: &Place,
    statement: &Statement,
    connection: &mut PgConnection,
    work: impl FnOnce(&mut PgConnection) -> QueryResult<T>,
) -> QueryResult<T> {
    let mut span = place.query(statement);
    let result = work(connection);
    if let Err(error) = &result {
        span.fail(sqlstate(error));
    }
    result
}

/// The error's SQLSTATE where diesel tells it (Postgres' manual, appendix A), else the conventions' word for all others.
fn sqlstate(error: &DieselError) -> &'static str {
    let DieselError::DatabaseError(kind, _) = error else { return "_OTHER" };
    match kind {
        DatabaseErrorKind::NotNullViolation => "23502",
        DatabaseErrorKind::ForeignKeyViolation => "23503",
        DatabaseErrorKind::UniqueViolation => "23505",
        DatabaseErrorKind::CheckViolation => "23514",
        DatabaseErrorKind::ReadOnlyTransaction => "25006",
        DatabaseErrorKind::SerializationFailure => "40001",
        _ => "_OTHER",
    }
}

/// The pool's complaints, at debug level and each once until a connection is made again: the probe says that Postgres is
/// away, the pool would say it without end.
#[derive(Debug)]
struct Complaints {
    logger: Logger,
    last: Complaint,
}

impl diesel::r2d2::HandleError<diesel::r2d2::Error> for Complaints {
    fn handle_error(&self, error: diesel::r2d2::Error) {
        let text = error.to_string();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_ref() != Some(&text) {
            slog::debug!(self.logger, "the pool could not make a connection"; "error" => &text);
            *last = Some(text);
        }
    }
}

/// How long Postgres is waited for on a connection.
#[derive(Clone, Copy)]
pub(super) struct Waits {
    /// For the connection, and for a sign of life on one that is silent.
    pub(super) connect: Duration,
    /// For each statement.
    pub(super) statement: Duration,
}

impl Waits {
    /// The same for both.
    pub(super) fn of(deadline: Duration) -> Self {
        Self { connect: deadline, statement: deadline }
    }
}

/// Opens a connection outside the pool.
pub(super) fn connect(database: &Database, waits: Waits) -> Result<PgConnection, ConnectionError> {
    PgConnection::establish(&connection_string(database, waits))
}

/// libpq's connection string. A dead peer is noticed by TCP within seconds, a slow statement ended by Postgres itself.
fn connection_string(database: &Database, waits: Waits) -> String {
    let quoted = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"));
    let (silence, statement) = (waits.connect.as_millis(), waits.statement.as_millis());
    [
        format!("host={}", quoted(&database.host)),
        format!("port={}", database.port),
        format!("dbname={}", quoted(&database.name)),
        format!("user={}", quoted(&database.user)),
        format!("password={}", quoted(database.password.reveal())),
        "application_name=service sslmode=disable gssencmode=disable client_encoding=UTF8".to_owned(),
        // libpq counts in whole seconds, and 0 is without an end.
        format!("connect_timeout={}", waits.connect.as_secs().max(1)),
        format!("options='-c statement_timeout={statement} -c TimeZone=UTC'"),
        format!("tcp_user_timeout={silence} keepalives_idle=2 keepalives_interval=1 keepalives_count=3"),
    ]
    .join(" ")
}

#[cfg(test)]
mod tests {
    use std::{
        sync::Arc,
        time::{Duration, Instant},
    };

    use super::{Dependency, Postgres, StoreError};
    use service_config::{Database, Secret};
    use service_telemetry::metrics::Metrics;

    #[tokio::test]
    async fn a_wait_for_a_permit_is_a_wait_for_a_connection() {
        let (host, name, user) = ("127.0.0.1".to_owned(), "none".to_owned(), "none".to_owned());
        let password = Secret::new("none".to_owned());
        let deadline = Duration::from_millis(50);
        let database = Database { host, port: 1, name, user, password, pool_size: 4, deadline };
        let metrics = Metrics::new("0", &[]);
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let postgres = Arc::new(Postgres::new(&database, &metrics.store, &logger));
        postgres.set_up(true);
        let _others = postgres.readers.clone().acquire_many_owned(2).await.expect("all permits");

        let begun = Instant::now();
        let error =
            postgres.run(&service_telemetry::spans::Place::NOWHERE, |_| Ok(())).await.expect_err("no permit");
        let waited = begun.elapsed().as_secs_f64();
        assert_eq!(error, StoreError::Deadline(Dependency::Postgres));
        let (count, sum) =
            (metrics.store.pool_wait.get_sample_count(), metrics.store.pool_wait.get_sample_sum());
        assert!(count == 1 && (0.05..=waited).contains(&sum), "{count} waits of {sum} s, waited {waited} s");
    }
}
