//! Owns the service's configuration: what the environment may say, within which bounds, and every fault in it at once.
//! Reads variables through a function, so that it can be tested as data; opens nothing and connects to nothing.
//!
//! | variable | default | meaning |
//! | --- | --- | --- |
//! | `APP_VERSION` | required | the version that `/`, `/metrics` and the logs show |
//! | `DB_HOST`, `DB_NAME`, `DB_USER`, `DB_PASSWORD` | required | Postgres; the role owns the database's schema |
//! | `DB_PORT` | 5432 | |
//! | `DB_POOL_SIZE` | 8 | connections, 2 to 100; two of them belong to the writer |
//! | `DB_DEADLINE_SECONDS` | 3 | the longest a request waits for Postgres, queueing included |
//! | `REDIS_HOST` | required | |
//! | `REDIS_PORT` | 6379 | |
//! | `REDIS_PASSWORD` | none | |
//! | `REDIS_KEY_PREFIX` | `homeport:` | before every key, so that several services can share a Redis |
//! | `REDIS_DEADLINE_SECONDS` | 0.5 | the longest a request waits for one answer of Redis, of which a page may need four; one that does not come takes Redis out of use |
//! | `READY_DEADLINE_SECONDS` | 1 | the longest `/ready` waits for either of them, also while the pool is exhausted: it has a connection of its own to each; a Postgres that is silent for so long, whoever asks, is away: what needs it is refused until it answers |
//! | `FLUSH_INTERVAL_SECONDS` | 5 | how often the visitors' count goes to Postgres |
//! | `CACHE_TTL_SECONDS` | 30 | how long a page may stay in the cache |
//! | `IDEMPOTENCY_TTL_SECONDS` | 86400 | how long an `Idempotency-Key` is remembered |
//! | `SWEEP_INTERVAL_SECONDS` | 60 | how often old keys are forgotten |
//! | `LISTEN_ADDRESS`, `PORT` | 0.0.0.0, 8000 | |
//! | `BODY_DEADLINE_SECONDS` | 10 | the longest a body may take once its first bytes are there; for those, and for a head, only what is in front of the service sets an end |
//! | `WORKERS` | the processors at hand | threads that serve requests |
//! | `REAL_IP_HEADER` | none | a header that a trusted proxy sets to the client's address |
//! | `LOG_LEVEL` | info | `debug`, `info`, `warning` or `error`; `info` has the line for each request |
//! | `SHUTDOWN_DRAIN_SECONDS` | 0 | after SIGTERM, how long requests are still taken while `/ready` says 503 |
//! | `SHUTDOWN_GRACE_SECONDS` | 20 | after that, how long requests in flight may take, until their clients have the answers |
//! | `MIGRATE_WAIT_SECONDS` | 60 | how long `migrate` waits for a connection to Postgres, then for another run to end, and then, for each migration, for the locks it needs |
//! | `OTEL_EXPORTER_OTLP_ENDPOINT` | none: no spans | where spans go, by OTLP/HTTP: `http://otel-collector:4318` |
//! | `OTEL_EXPORTER_OTLP_PROTOCOL` | `http/protobuf` | the only one there is |
//! | `OTEL_EXPORTER_OTLP_HEADERS` | none | `NAME=VALUE,…`, sent along |
//! | `OTEL_EXPORTER_OTLP_TIMEOUT` | 10000 | the longest that a batch of spans may take, in milliseconds |
//! | `OTEL_BSP_SCHEDULE_DELAY` | 1000 | how long spans gather before a batch is sent, in milliseconds |
//! | `OTEL_TRACES_SAMPLER` | `parentbased_always_on` | or `always_on`, `always_off`, `traceidratio`, `parentbased_…` |
//! | `OTEL_TRACES_SAMPLER_ARG` | 1 | the share of traces that a ratio records, 0 to 1 |
//! | `OTEL_SERVICE_NAME` | `service` | |
//! | `OTEL_RESOURCE_ATTRIBUTES` | none | `NAME=VALUE,…`, with every span |
//! | `OTEL_SDK_DISABLED` | false | `true`: no spans |
//!
//! Those of OpenTelemetry are looked at only where spans go somewhere.

mod tracing;
mod variables;

use std::{net::IpAddr, time::Duration};

pub use tracing::{Sampler, Tracing};
use variables::Variables;
pub use variables::{Fault, Secret};

/// The whole configuration, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// `APP_VERSION`.
    pub version: String,
    /// Where requests come in.
    pub listen: Listen,
    /// Postgres.
    pub database: Database,
    /// Redis.
    pub redis: Redis,
    /// The bounds on waiting, and the intervals.
    pub timing: Timing,
    /// The lowest level that is logged.
    pub log_level: slog::Level,
    /// Where spans go; `None`: nowhere.
    pub tracing: Option<Tracing>,
}

/// Where and how requests come in.
#[derive(Clone, Debug)]
pub struct Listen {
    /// `LISTEN_ADDRESS`.
    pub address: IpAddr,
    /// `PORT`.
    pub port: u16,
    /// `BODY_DEADLINE_SECONDS`.
    pub body_deadline: Duration,
    /// `WORKERS`, 1 to 64.
    pub workers: usize,
    /// `REAL_IP_HEADER`.
    pub real_ip_header: Option<String>,
}

/// How Postgres is reached.
#[derive(Clone, Debug)]
pub struct Database {
    /// `DB_HOST`.
    pub host: String,
    /// `DB_PORT`.
    pub port: u16,
    /// `DB_NAME`.
    pub name: String,
    /// `DB_USER`.
    pub user: String,
    /// `DB_PASSWORD`.
    pub password: Secret,
    /// `DB_POOL_SIZE`.
    pub pool_size: u32,
    /// `DB_DEADLINE_SECONDS`.
    pub deadline: Duration,
}

/// How Redis is reached.
#[derive(Clone, Debug)]
pub struct Redis {
    /// `REDIS_HOST`.
    pub host: String,
    /// `REDIS_PORT`.
    pub port: u16,
    /// `REDIS_PASSWORD`.
    pub password: Option<Secret>,
    /// `REDIS_KEY_PREFIX`.
    pub key_prefix: String,
    /// `REDIS_DEADLINE_SECONDS`.
    pub deadline: Duration,
}

/// Bounds on waiting and intervals that belong to no one store.
#[derive(Clone, Debug)]
pub struct Timing {
    /// `READY_DEADLINE_SECONDS`.
    pub ready_deadline: Duration,
    /// `FLUSH_INTERVAL_SECONDS`.
    pub flush_interval: Duration,
    /// `CACHE_TTL_SECONDS`.
    pub cache_ttl: Duration,
    /// `IDEMPOTENCY_TTL_SECONDS`.
    pub idempotency_ttl: Duration,
    /// `SWEEP_INTERVAL_SECONDS`.
    pub sweep_interval: Duration,
    /// `SHUTDOWN_DRAIN_SECONDS`.
    pub shutdown_drain: Duration,
    /// `SHUTDOWN_GRACE_SECONDS`.
    pub shutdown_grace: Duration,
    /// `MIGRATE_WAIT_SECONDS`.
    pub migrate_wait: Duration,
}

impl Config {
    /// Reads the process's environment.
    ///
    /// # Errors
    /// Every fault that the environment has, in the order of the table above.
    pub fn from_environment() -> Result<Self, Vec<Fault>> {
        Self::from_variables(|name| std::env::var(name).ok())
    }

    /// Reads the variables that `lookup` knows. An empty value counts as absent, as Compose passes an unset one.
    ///
    /// # Errors
    /// As [`Config::from_environment`].
    pub fn from_variables(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, Vec<Fault>> {
        let mut variables = Variables::new(&lookup);
        let config = Self {
            version: variables.text("APP_VERSION"),
            database: Database {
                host: variables.text("DB_HOST"),
                port: variables.number("DB_PORT", 5432, 1, u16::MAX),
                name: variables.text("DB_NAME"),
                user: variables.text("DB_USER"),
                password: variables.secret("DB_PASSWORD"),
                pool_size: variables.number("DB_POOL_SIZE", 8, 2, 100),
                deadline: variables.seconds("DB_DEADLINE_SECONDS", 3.0, 0.05, 60.0),
            },
            redis: Redis {
                host: variables.text("REDIS_HOST"),
                port: variables.number("REDIS_PORT", 6379, 1, u16::MAX),
                password: variables.optional("REDIS_PASSWORD").map(Secret::new),
                key_prefix: variables.optional("REDIS_KEY_PREFIX").unwrap_or_else(|| "homeport:".to_owned()),
                deadline: variables.seconds("REDIS_DEADLINE_SECONDS", 0.5, 0.01, 60.0),
            },
            timing: Timing {
                ready_deadline: variables.seconds("READY_DEADLINE_SECONDS", 1.0, 0.05, 60.0),
                flush_interval: variables.seconds("FLUSH_INTERVAL_SECONDS", 5.0, 0.05, 3600.0),
                cache_ttl: variables.seconds("CACHE_TTL_SECONDS", 30.0, 0.05, 86_400.0),
                idempotency_ttl: variables.seconds("IDEMPOTENCY_TTL_SECONDS", 86_400.0, 1.0, 31_536_000.0),
                sweep_interval: variables.seconds("SWEEP_INTERVAL_SECONDS", 60.0, 0.05, 86_400.0),
                shutdown_drain: variables.seconds("SHUTDOWN_DRAIN_SECONDS", 0.0, 0.0, 600.0),
                shutdown_grace: variables.seconds("SHUTDOWN_GRACE_SECONDS", 20.0, 0.0, 600.0),
                migrate_wait: variables.seconds("MIGRATE_WAIT_SECONDS", 60.0, 0.0, 3600.0),
            },
            listen: Listen {
                address: variables.address("LISTEN_ADDRESS", IpAddr::from([0, 0, 0, 0])),
                port: variables.number("PORT", 8000, 1, u16::MAX),
                // The largest body takes less on the slowest line that is of any use.
                body_deadline: variables.seconds("BODY_DEADLINE_SECONDS", 10.0, 0.05, 600.0),
                workers: variables.number("WORKERS", processors(), 1, 64),
                real_ip_header: variables.header_name("REAL_IP_HEADER"),
            },
            log_level: variables.level("LOG_LEVEL", slog::Level::Info),
            tracing: Tracing::read(&mut variables),
        };
        variables.finish(config)
    }

    /// `LISTEN_ADDRESS` and `PORT` alone, for `health`, which must answer for a service whose other variables are wrong.
    ///
    /// # Errors
    /// The faults in these two.
    pub fn listen_from_environment() -> Result<(IpAddr, u16), Vec<Fault>> {
        let lookup = |name: &str| std::env::var(name).ok();
        let mut variables = Variables::new(&lookup);
        let address = variables.address("LISTEN_ADDRESS", IpAddr::from([0, 0, 0, 0]));
        let port = variables.number("PORT", 8000, 1, u16::MAX);
        variables.finish((address, port))
    }
}

/// The processors this process may use, at most the bound of `WORKERS`; 1 when the system does not say.
fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(64)
}

#[cfg(test)]
mod tests;
