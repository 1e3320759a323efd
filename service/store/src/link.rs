//! Owns the one multiplexed connection to Redis: who may use it, when it counts as away, and how it comes back. While it
//! is away every use fails at once, so that no request waits for a Redis that is not there. The redis crate's own
//! reconnecting connection is not used because what depends on Redis must be mended before requests see it again.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use prometheus::IntGauge;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ErrorKind, FromRedisValue,
    IntoConnectionInfo, RedisConnectionInfo, RedisError, ServerErrorKind, aio::MultiplexedConnection,
};
use slog::{Logger, error, info, warn};
use tokio::sync::Notify;

use super::{
    backoff::{Backoff, CALM},
    probe::Verdict,
};
use service_config::Redis;
use service_telemetry::{
    metrics::StoreMetrics,
    spans::{Place, Span, Statement},
};

/// After this long a refusal of the same kind is said again: it may concern every request.
const SAY_AGAIN: Duration = Duration::from_secs(60);

pub(super) struct Link {
    client: Client,
    deadline: Duration,
    up: AtomicBool,
    up_gauge: IntGauge,
    current: RwLock<Option<Connected>>,
    connections: AtomicU64,
    /// Commands of [`Link::query_owed`] that found Redis away.
    owed: AtomicU64,
    lost: Notify,
    /// Why the connection was lost the last time.
    cause: Mutex<Option<String>>,
    /// When a refusal was last said, by its kind.
    refusals: Mutex<BTreeMap<String, Instant>>,
    logger: Logger,
}

/// What depends on Redis and must be in order before requests see it again.
pub(super) trait Mend {
    /// Puts it in order on a connection that nobody else uses yet.
    async fn mend(&self, connection: &mut MultiplexedConnection) -> Result<(), RedisError>;

    /// Makes up for what [`Link::query_owed`] could not do meanwhile; done again until nothing was added.
    async fn make_up(&self, connection: &mut MultiplexedConnection) -> Result<(), RedisError>;
}

#[derive(Clone)]
struct Connected {
    number: u64,
    connection: MultiplexedConnection,
}

/// Whether an error is one of the connection, or of a server that can do nothing for us now (it loads its data, or is a
/// replica, perhaps since a moment, and whoever connects again may find the new master). Any other is an answer to one
/// command, after which the next one may well succeed.
fn ends_the_connection(error: &RedisError) -> bool {
    !matches!(
        error.kind(),
        ErrorKind::Client
            | ErrorKind::Extension
            | ErrorKind::UnexpectedReturnType
            | ErrorKind::Server(
                ServerErrorKind::ResponseError
                    | ServerErrorKind::ExecAbort
                    | ServerErrorKind::NoScript
                    | ServerErrorKind::NoPerm
            )
    )
}

/// Ends the span of a use of Redis by what came of it.
pub(super) fn judged<T>(answer: Option<T>, mut span: Span) -> Option<T> {
    if answer.is_none() {
        span.fail("unavailable");
    }
    answer
}

impl Link {
    pub(super) fn new(config: &Redis, metrics: &StoreMetrics, logger: &Logger) -> Self {
        let mut settings = RedisConnectionInfo::default();
        if let Some(password) = &config.password {
            settings = settings.set_password(password.reveal());
        }
        let information: ConnectionInfo = ConnectionAddr::Tcp(config.host.clone(), config.port)
            .into_connection_info()
            .expect("a host and a port are an address")
            .set_redis_settings(settings);
        Self {
            client: Client::open(information).expect("a TCP address needs no parsing"),
            deadline: config.deadline,
            up: AtomicBool::new(false),
            up_gauge: metrics.redis_up.clone(),
            current: RwLock::new(None),
            connections: AtomicU64::new(0),
            owed: AtomicU64::new(0),
            lost: Notify::new(),
            cause: Mutex::default(),
            refusals: Mutex::default(),
            logger: logger.clone(),
        }
    }

    /// How long anything waits for Redis.
    pub(super) fn deadline(&self) -> Duration {
        self.deadline
    }

    pub(super) fn is_up(&self) -> bool {
        self.up.load(Ordering::Acquire)
    }

    /// Runs commands on the connection. A failure of the connection, or no answer within the deadline, takes Redis out
    /// of use until it was mended; a refusal of one command does not. `None`: Redis is away, or failed or refused now.
    pub(super) async fn run<T>(
        &self,
        work: impl AsyncFnOnce(&mut MultiplexedConnection) -> Result<T, RedisError>,
    ) -> Option<T> {
        self.run_on(ends_the_connection, work).await
    }

    async fn run_on<T>(
        &self,
        is_lost: fn(&RedisError) -> bool,
        work: impl AsyncFnOnce(&mut MultiplexedConnection) -> Result<T, RedisError>,
    ) -> Option<T> {
        let Connected { number, mut connection } = self.connected()?;
        match work(&mut connection).await {
            Ok(answer) => Some(answer),
            Err(error) if is_lost(&error) => {
                self.lose(number, &error.to_string());
                None
            }
            Err(error) => {
                self.say_refusal(&error);
                None
            }
        }
    }

    fn say_refusal(&self, error: &RedisError) {
        let kind = error.code().map_or_else(|| format!("{:?}", error.kind()), str::to_owned);
        let now = Instant::now();
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        if refusals.get(&kind).is_none_or(|said| now.duration_since(*said) >= SAY_AGAIN) {
            refusals.insert(kind, now);
            warn!(self.logger, "redis refused a command"; "error" => %error);
        }
    }

    /// One command that must not be forgotten: when Redis is away, or refuses it, it is made up for before Redis is used
    /// again.
    pub(super) async fn query_owed(&self, place: &Place, statement: &Statement, command: &redis::Cmd) {
        // A connection may fail and be replaced during the command, which then is due on the new one; each turn needs
        // an outage of its own, so the bound is never the reason to stop.
        for _ in 0..8 {
            let away = {
                let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
                if current.is_none() {
                    self.owed.fetch_add(1, Ordering::AcqRel);
                }
                current.is_none()
            };
            if away {
                return;
            }
            let span = place.query(statement);
            let done = self.run_on(|_| true, async |connection| command.exec_async(connection).await).await;
            if judged(done, span).is_some() {
                return;
            }
        }
    }

    /// One command, as [`Link::run`], for the request at `place`.
    pub(super) async fn query<T: FromRedisValue>(
        &self,
        place: &Place,
        statement: &Statement,
        command: &redis::Cmd,
    ) -> Option<T> {
        let span = place.query(statement);
        judged(self.run(async |connection| command.query_async(connection).await).await, span)
    }

    fn lose(&self, number: u64, cause: &str) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref().is_some_and(|connected| connected.number == number) {
            *current = None;
            *self.cause.lock().unwrap_or_else(PoisonError::into_inner) = Some(cause.to_owned());
            self.up.store(false, Ordering::Release);
            self.up_gauge.set(0);
            self.lost.notify_one();
        }
    }

    /// Whether Redis answers now. One that does not in time is out of use until it was mended.
    pub(super) async fn ask(&self, deadline: Duration) -> Verdict {
        let Some(Connected { number, mut connection }) = self.connected() else {
            return Verdict::Down("no connection".to_owned());
        };
        let ping = redis::cmd("PING");
        let answer = tokio::time::timeout(deadline, ping.exec_async(&mut connection)).await;
        let verdict = match answer {
            Ok(Ok(())) => return Verdict::Up,
            Ok(Err(error)) if error.is_timeout() => Verdict::Silent,
            Ok(Err(error)) => Verdict::Down(error.to_string()),
            Err(_elapsed) => Verdict::Silent,
        };
        let cause = if let Verdict::Down(cause) = &verdict { cause } else { "it did not answer in time" };
        self.lose(number, cause);
        verdict
    }

    fn connected(&self) -> Option<Connected> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Keeps the connection for as long as the service runs: tries it now and then, and when it is away makes a new one
    /// and has what depends on it put in order before anybody else may use it.
    pub(super) async fn supervise(&self, dependants: &impl Mend) {
        // What was said of one outage: each cause once.
        let mut said = BTreeSet::new();
        let mut backoff = Backoff::while_away();
        loop {
            if self.is_up() {
                let _woken = tokio::time::timeout(CALM, self.lost.notified()).await;
                // Whoever finds it away, this or a request, leaves the cause.
                let _verdict = self.ask(self.deadline).await;
                if self.is_up() {
                    continue;
                }
            }
            let lost = self.cause.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(cause) = lost {
                self.say_away(cause, &mut said);
                backoff.reset();
            }
            match self.connect(dependants).await {
                Ok(()) => {
                    info!(self.logger, "redis is up");
                    said.clear();
                }
                Err(cause) => {
                    self.say_away(cause.to_string(), &mut said);
                    tokio::time::sleep(backoff.take()).await;
                }
            }
        }
    }

    fn say_away(&self, cause: String, said: &mut BTreeSet<String>) {
        if !said.contains(&cause) {
            error!(self.logger, "redis is away, trying again"; "error" => &cause);
            said.insert(cause);
        }
    }

    async fn connect(&self, dependants: &impl Mend) -> Result<(), RedisError> {
        let settings = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.deadline))
            .set_response_timeout(Some(self.deadline));
        let mut connection = self.client.get_multiplexed_async_connection_with_config(&settings).await?;
        redis::cmd("PING").exec_async(&mut connection).await?;
        match dependants.mend(&mut connection).await {
            Err(error) if ends_the_connection(&error) => return Err(error),
            // What cannot be mended now its own commands will find so, and whoever does not need it shall not miss Redis.
            Err(error) => self.say_refusal(&error),
            Ok(()) => {}
        }
        loop {
            let owed = self.owed.load(Ordering::Acquire);
            dependants.make_up(&mut connection).await?;
            let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
            if self.owed.load(Ordering::Acquire) == owed {
                let number = self.connections.fetch_add(1, Ordering::Relaxed);
                *current = Some(Connected { number, connection });
                self.up.store(true, Ordering::Release);
                self.up_gauge.set(1);
                return Ok(());
            }
        }
    }
}
