//! Owns Postgres and Redis as tests meet them: one of each shared by a run, with a database and a key space for each test,
//! and others for tests that break them. Started through testcontainers.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use diesel::{Connection, PgConnection, QueryableByName, RunQueryDsl, connection::SimpleConnection};
use service::{config::Config, logging::Log};
use testcontainers::{
    ContainerAsync, GenericImage, ImageExt,
    core::{ContainerPort, WaitFor},
    runners::AsyncRunner,
};
use tokio::sync::{Mutex, OnceCell};

use crate::engine;

const POSTGRES_PORT: ContainerPort = ContainerPort::Tcp(5432);
const REDIS_PORT: ContainerPort = ContainerPort::Tcp(6379);

/// The role that owns every test's database.
const ROLE: &str = "app";
const PASSWORD: &str = "it's a \\ test";

/// The migrated database that others are copies of.
const TEMPLATE: &str = "template_app";

/// A container of this run.
pub(crate) type Container = ContainerAsync<GenericImage>;

/// Where a server listens, seen from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Port(pub(crate) u16);

/// Postgres in a container, with a template database that has the whole schema.
pub(crate) struct Postgres {
    pub(crate) container: Container,
    pub(crate) port: Port,
    admin: Mutex<PgConnection>,
}

/// Redis in a container.
pub(crate) struct Redis {
    pub(crate) container: Container,
    pub(crate) port: Port,
}

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A name that no other test of this run has.
pub(crate) fn unique(prefix: &str) -> String {
    format!("{prefix}_{}", NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// The Postgres that tests share.
pub(crate) async fn postgres() -> &'static Postgres {
    static SHARED: OnceCell<Postgres> = OnceCell::const_new();
    // Nothing here outlives the run: no need to wait for disks.
    SHARED.get_or_init(|| Postgres::start(&["-c", "fsync=off", "-c", "max_connections=400"])).await
}

/// The Redis that tests share.
pub(crate) async fn redis() -> &'static Redis {
    static SHARED: OnceCell<Redis> = OnceCell::const_new();
    SHARED.get_or_init(Redis::start).await
}

impl Postgres {
    /// Starts one with these arguments and migrates its template.
    pub(crate) async fn start(arguments: &[&str]) -> Self {
        let (name, tag) = engine::image("HOMEPORT_TEST_POSTGRES_IMAGE", "postgres:17").await;
        let host_port = free_port();
        let container = GenericImage::new(name, tag)
            .with_mapped_port(host_port, POSTGRES_PORT)
            .with_env_var("POSTGRES_USER", ROLE)
            .with_env_var("POSTGRES_PASSWORD", PASSWORD)
            .with_env_var("POSTGRES_DB", TEMPLATE)
            .with_label(engine::LABEL, engine::RUN.as_str())
            .with_cmd(["postgres"].iter().chain(arguments).copied())
            .start()
            .await
            .expect("postgres in a container");
        let port = Port(host_port);
        migrate(&config(port, TEMPLATE, port, &[])).await;
        let admin = PgConnection::establish(&url(port, "postgres")).expect("an administrator's connection");
        Self { container, port, admin: Mutex::new(admin) }
    }

    /// A new database with the whole schema, and nothing in it.
    pub(crate) async fn database(&self) -> String {
        self.create(&format!("TEMPLATE {TEMPLATE}")).await
    }

    /// A new database with nothing at all.
    pub(crate) async fn empty_database(&self) -> String {
        self.create("").await
    }

    async fn create(&self, how: &str) -> String {
        let name = unique("test");
        let mut admin = self.admin.lock().await;
        tokio::task::block_in_place(|| {
            diesel::sql_query(format!("CREATE DATABASE {name} {how}"))
                .execute(&mut *admin)
                .expect("a database")
        });
        name
    }
}

impl Redis {
    /// Starts one that keeps nothing on disk.
    pub(crate) async fn start() -> Self {
        let (name, tag) = engine::image("HOMEPORT_TEST_REDIS_IMAGE", "redis:8").await;
        let host_port = free_port();
        let container = GenericImage::new(name, tag)
            .with_wait_for(WaitFor::message_on_stdout("Ready to accept connections"))
            .with_mapped_port(host_port, REDIS_PORT)
            .with_label(engine::LABEL, engine::RUN.as_str())
            .with_cmd(["redis-server", "--save", "", "--appendonly", "no", "--protected-mode", "no"])
            .start()
            .await
            .expect("redis in a container");
        Self { container, port: Port(host_port) }
    }

    /// Forgets every key of this prefix, as a restart without persistence does for a service that has Redis for itself.
    pub(crate) async fn forget(&self, prefix: &str) {
        let mut connection = self.connection().await;
        let keys: Vec<String> = redis::cmd("KEYS")
            .arg(format!("{prefix}:*"))
            .query_async(&mut connection)
            .await
            .expect("the keys");
        redis::cmd("DEL").arg(keys).exec_async(&mut connection).await.expect("their removal");
    }

    /// A connection past the service.
    pub(crate) async fn connection(&self) -> redis::aio::MultiplexedConnection {
        let client = redis::Client::open(("127.0.0.1", self.port.0)).expect("an address");
        client.get_multiplexed_async_connection().await.expect("a connection to redis")
    }
}

/// Where ports are looked for: below those that systems give to outgoing connections (Linux: from 32768), one of which
/// could otherwise take the port of a container that is stopped at the moment.
const PORTS: std::ops::Range<u32> = 10_000..20_000;

/// A port of this host that nothing uses now, and that a stopped container finds again when it starts.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Runs at once, which have processes of their own, begin at places of their own.
    let begin = std::process::id().wrapping_mul(97);
    let free = PORTS.map(|_| {
        let place = begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % (PORTS.end - PORTS.start);
        u16::try_from(PORTS.start + place).expect("a port")
    });
    let mut free = free.filter(|port| std::net::TcpListener::bind(("0.0.0.0", *port)).is_ok());
    free.next().expect("a free port")
}

/// A connection past the service.
pub(crate) fn sql(port: Port, database: &str) -> PgConnection {
    PgConnection::establish(&url(port, database)).expect("a connection to postgres")
}

/// Runs statements in a database of the shared Postgres, past the service.
pub(crate) async fn execute(database: &str, statements: &str) {
    let (port, database, statements) = (postgres().await.port, database.to_owned(), statements.to_owned());
    let run = move || sql(port, &database).batch_execute(&statements).expect("statements that succeed");
    tokio::task::spawn_blocking(run).await.expect("no panic");
}

/// The `number` that a query of a database of the shared Postgres gives, past the service.
pub(crate) async fn ask(database: &str, query: &str) -> i64 {
    #[derive(QueryableByName)]
    struct Answer {
        #[diesel(sql_type = diesel::sql_types::BigInt)]
        number: i64,
    }
    let (port, database, query) = (postgres().await.port, database.to_owned(), query.to_owned());
    let run = move || {
        let mut connection = sql(port, &database);
        diesel::sql_query(query).get_result::<Answer>(&mut connection).expect("an answer").number
    };
    tokio::task::spawn_blocking(run).await.expect("no panic")
}

fn url(port: Port, database: &str) -> String {
    let password = PASSWORD.replace('\\', "\\\\").replace('\'', "\\'");
    format!(
        "host=127.0.0.1 port={} dbname={database} user={ROLE} password='{password}' sslmode=disable",
        port.0
    )
}

/// The variables of a service on these servers; `changes` come last.
pub(crate) fn variables(
    postgres: Port,
    database: &str,
    redis: Port,
    changes: &[(&str, &str)],
) -> Vec<(String, String)> {
    let all = [
        ("APP_VERSION", "0.0.0-test".to_owned()),
        ("DB_HOST", "127.0.0.1".to_owned()),
        ("DB_PORT", postgres.0.to_string()),
        ("DB_NAME", database.to_owned()),
        ("DB_USER", ROLE.to_owned()),
        ("DB_PASSWORD", PASSWORD.to_owned()),
        ("REDIS_HOST", "127.0.0.1".to_owned()),
        ("REDIS_PORT", redis.0.to_string()),
        ("REDIS_KEY_PREFIX", format!("{database}:")),
        ("LISTEN_ADDRESS", "127.0.0.1".to_owned()),
        // Far from what a busy machine needs for an answer: a time-out in a test is then one that the test brought about.
        ("DB_DEADLINE_SECONDS", "10".to_owned()),
        ("REDIS_DEADLINE_SECONDS", "8".to_owned()),
        // What the probe does not see in time counts as away, and requests are refused.
        ("READY_DEADLINE_SECONDS", "3".to_owned()),
    ];
    let all = all.into_iter().map(|(name, value)| (name.to_owned(), value));
    all.chain(changes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))).collect()
}

/// As [`variables`], read.
pub(crate) fn config(postgres: Port, database: &str, redis: Port, changes: &[(&str, &str)]) -> Config {
    let variables = variables(postgres, database, redis, changes);
    let last =
        |name: &str| variables.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    Config::from_variables(last).expect("a valid configuration")
}

/// Brings a database's schema up to date, once its server is there.
pub(crate) async fn migrate(config: &Config) {
    let config = config.clone();
    let applied = tokio::task::spawn_blocking(move || {
        let log = Log::start(slog::Level::Error, Box::new(std::io::sink()));
        service::store::migrate(&config, &log.logger())
    });
    applied.await.expect("a migration that does not panic").expect("a migration that succeeds");
}

/// Longer than anything here takes, restarts of containers included.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until `holds` does; fails, with what was waited for, when it does not in time.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, wait).await.is_ok(), "waited {PATIENCE:?} in vain for {what}");
}
