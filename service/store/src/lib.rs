//! Owns what the service keeps: items and the visitors' count, in Postgres and Redis, and the upkeep of both connections.
//! Knows nothing of HTTP and never names Rocket. Everything that waits is bounded, and nothing here needs Postgres or
//! Redis to be there when it starts.

mod backoff;
mod cache;
mod error;
mod in_doubt;
mod insertion;
mod items;
mod ledger;
mod link;
mod postgres;
mod probe;
mod schema;
mod sessions;
mod tables;
mod visitors;
mod writer;

use std::{sync::Arc, time::Duration};

use redis::{RedisError, aio::MultiplexedConnection};
use slog::Logger;
use tokio::task::JoinHandle;

use service_config::Config;
use service_telemetry::{
    metrics::{Kind, Metrics, Reading},
    spans::Place,
};

pub use error::{Dependency, StoreError};
pub use items::{
    Created, Cursor, DEEPEST_VALUE, IdempotencyKey, Item, ItemId, Items, LARGEST_PAGE, LONGEST_KEY,
    LONGEST_NAME, Limit, MOST_DIGITS, NewItem, Page, PageRequest, Refusal, USUAL_PAGE,
};
pub use probe::{Readiness, Verdict};
pub use schema::{MigrateError, migrate, migrate_from, migrate_to};

use cache::Cache;
use in_doubt::InDoubt;
use ledger::Ledger;
use link::{Link, Mend};
use postgres::Postgres;
use probe::Probe;
use visitors::Visitors;
use writer::Writer;

/// All that the service keeps. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    probe: Arc<Probe>,
    link: Arc<Link>,
    items: Items,
    visitors: Arc<Visitors>,
    ready_deadline: Duration,
    logger: Logger,
}

/// The store's background work: supervision, flushing, sweeping. Ends when dropped.
pub struct Upkeep {
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Upkeep {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Store {
    /// Opens the store within a tokio runtime: connects in the background, again and again until it succeeds.
    pub fn open(config: &Config, metrics: &Metrics, logger: &Logger) -> (Self, Upkeep) {
        let postgres = Arc::new(Postgres::new(&config.database, &metrics.store, logger));
        let probe = Arc::new(Probe::new(
            &config.database,
            config.timing.ready_deadline,
            Arc::clone(&postgres),
            logger,
        ));
        let link = Arc::new(Link::new(&config.redis, &metrics.store, logger));
        let cache =
            Arc::new(Cache::new(Arc::clone(&link), &config.redis, config.timing.cache_ttl, &metrics.store));
        let ledger = Ledger::new(Arc::clone(&postgres));
        let (visitors, teller) =
            Visitors::new(Arc::clone(&link), ledger, &config.redis.key_prefix, &metrics.store, logger);
        let in_doubt = Arc::new(InDoubt::default());
        let writer = Writer::start(&postgres, &cache, &in_doubt, &metrics.store, logger);
        let items = Items::new(Arc::clone(&postgres), Arc::clone(&cache), writer);
        metrics.add_readings(pool_readings(&postgres));

        let dependants = Dependants { cache: Arc::clone(&cache), visitors: Arc::clone(&visitors) };
        let tasks = vec![
            tokio::spawn(teller),
            tokio::spawn({
                let link = Arc::clone(&link);
                async move { link.supervise(&dependants).await }
            }),
            tokio::spawn({
                let probe = Arc::clone(&probe);
                async move { probe.supervise().await }
            }),
            tokio::spawn({
                let (cache, longest) = (Arc::clone(&cache), config.database.deadline);
                async move { in_doubt.settle(&cache, longest).await }
            }),
            tokio::spawn({
                let (visitors, interval) = (Arc::clone(&visitors), config.timing.flush_interval);
                async move { visitors.flush_every(interval).await }
            }),
            tokio::spawn(items.clone().sweep_every(
                config.timing.sweep_interval,
                config.timing.idempotency_ttl,
                logger.clone(),
            )),
        ];
        let store = Self {
            probe,
            link,
            items,
            visitors,
            ready_deadline: config.timing.ready_deadline,
            logger: logger.clone(),
        };
        (store, Upkeep { tasks })
    }

    /// The items.
    pub fn items(&self) -> &Items {
        &self.items
    }

    /// Counts a visit and gives its number; an estimate while Redis is away.
    pub async fn visit(&self, place: &Place) -> u64 {
        self.visitors.visit(place).await
    }

    /// The visitors' count; an estimate while Redis is away.
    pub async fn visitors(&self, place: &Place) -> u64 {
        self.visitors.read(place).await
    }

    /// Asks Postgres and Redis at once, each with the deadline of readiness.
    pub async fn readiness(&self) -> Readiness {
        let (postgres, redis) = tokio::join!(self.probe.ask(), self.link.ask(self.ready_deadline));
        Readiness { postgres, redis }
    }

    /// Brings to Postgres what it has not got yet. For the end; the interval does it otherwise.
    pub async fn flush(&self) {
        if let Err(error) = self.visitors.flush_last().await {
            slog::error!(self.logger, "counters could not be flushed at shutdown"; "error" => %error);
        }
    }
}

/// What is put in order when Redis comes back.
struct Dependants {
    cache: Arc<Cache>,
    visitors: Arc<Visitors>,
}

impl Mend for Dependants {
    async fn mend(&self, connection: &mut MultiplexedConnection) -> Result<(), RedisError> {
        self.visitors.recover(connection).await
    }

    async fn make_up(&self, connection: &mut MultiplexedConnection) -> Result<(), RedisError> {
        self.cache.renew(connection).await
    }
}

fn pool_readings(postgres: &Arc<Postgres>) -> Vec<Reading> {
    let gauge = |name, help, read: fn(&Postgres) -> u32| {
        let postgres = Arc::clone(postgres);
        let read = Box::new(move || f64::from(read(&postgres)));
        Reading { name, help, kind: Kind::Gauge, labels: Vec::new(), read }
    };
    vec![
        gauge("app_db_pool_size", "Connections that the pool may have.", Postgres::pool_size),
        gauge("app_db_pool_connections", "Connections that the pool has.", Postgres::pool_connections),
        gauge("app_db_pool_idle", "Connections that nobody uses.", Postgres::pool_idle),
    ]
}
