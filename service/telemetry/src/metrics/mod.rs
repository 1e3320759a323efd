//! Owns the service's metrics: their names, help, labels and buckets, and the text that `/metrics` gives. One registry for
//! each application, none for the process, so that tests run side by side. Measures nothing itself but what is read at
//! the scrape: process, tokio runtime, and what others registered a reading for.

mod readings;
mod requests;
mod runtime;

use std::sync::Arc;

use prometheus::{
    Encoder, Histogram, HistogramOpts, IntCounter, IntGauge, Opts, Registry, TextEncoder,
    process_collector::ProcessCollector,
};

pub use readings::{Kind, Reading};
pub use requests::{RequestMetrics, Series};

/// The most series that one process ever has: 27 pairs of method and endpoint (17 of routes, 10 of what no route takes),
/// each with 16 of its latency and one for each status (a POST has nine, no other pair as many), and some 60 that have no
/// label that a request could set. Paths, identifiers and names of clients are in no label.
pub const MOST_SERIES: usize = 27 * (16 + 9) + 60;

/// The media type of [`Metrics::text`].
pub const TEXT_FORMAT: &str = prometheus::TEXT_FORMAT;

/// All metrics of one application.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    /// Requests: counted, timed, in flight.
    pub requests: Arc<RequestMetrics>,
    /// What the store counts.
    pub store: StoreMetrics,
    /// What becomes of spans.
    pub spans: SpanMetrics,
}

/// What becomes of spans.
#[derive(Clone, Debug)]
pub struct SpanMetrics {
    /// `app_spans_exported_total`
    pub exported: IntCounter,
    /// `app_spans_dropped_total`
    pub dropped: IntCounter,
}

/// What the store counts.
#[derive(Clone)]
pub struct StoreMetrics {
    /// `app_db_pool_wait_seconds`
    pub pool_wait: Histogram,
    /// `app_db_batch_rows`
    pub batch_rows: Histogram,
    /// `app_cache_hits_total`
    pub cache_hits: IntCounter,
    /// `app_cache_misses_total`
    pub cache_misses: IntCounter,
    /// `app_visits_total`
    pub visits: IntCounter,
    /// `app_visitors`
    pub visitors: IntGauge,
    /// `app_visitors_pending`
    pub visitors_pending: IntGauge,
    /// `app_postgres_up`
    pub postgres_up: IntGauge,
    /// `app_redis_up`
    pub redis_up: IntGauge,
}

/// Waits for a pooled connection: from an uncontended checkout (some microseconds) to the default deadline of 3 s.
const WAIT_BUCKETS: [f64; 10] = [0.000_01, 0.000_1, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 3.0];

/// Rows in one commit of the writer: doubling up to its largest batch.
const BATCH_BUCKETS: [f64; 8] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0];

impl Metrics {
    /// The metrics of an application of this version that answers these `(method, endpoint)` pairs.
    pub fn new(version: &str, endpoints: &[(&'static str, &'static str)]) -> Self {
        let registry = Registry::new();
        let metrics = Self {
            requests: Arc::new(RequestMetrics::new(&registry, endpoints)),
            store: StoreMetrics::new(&registry),
            spans: SpanMetrics::new(&registry),
            registry,
        };
        metrics.register(Box::new(ProcessCollector::for_self()));
        metrics.add_readings(vec![Reading {
            name: "app_build_info",
            help: "Which version runs: always 1.",
            kind: Kind::Gauge,
            labels: vec![("version", version.to_owned())],
            read: Box::new(|| 1.0),
        }]);
        metrics
    }

    /// Adds values that are read at each scrape.
    pub fn add_readings(&self, readings: Vec<Reading>) {
        self.register(Box::new(readings::Readings::new(readings)));
    }

    /// Adds the readings of the tokio runtime that this is called in.
    pub fn observe_runtime(&self) {
        self.add_readings(runtime::readings(&tokio::runtime::Handle::current()));
    }

    /// The Prometheus text format of all of them.
    pub fn text(&self) -> Vec<u8> {
        let mut text = Vec::with_capacity(16 * 1024);
        TextEncoder::new()
            .encode(&self.registry.gather(), &mut text)
            .expect("metrics with valid names into memory");
        text
    }

    fn register(&self, collector: Box<dyn prometheus::core::Collector>) {
        self.registry.register(collector).expect("each metric registered once, under a valid name");
    }
}

impl SpanMetrics {
    fn new(registry: &Registry) -> Self {
        let counter = |name: &str, help: &str| added(registry, IntCounter::new(name, help));
        Self {
            exported: counter("app_spans_exported_total", "Spans that the collector took."),
            dropped: counter(
                "app_spans_dropped_total",
                "Spans lost for want of room or because the collector did not take them.",
            ),
        }
    }
}

impl StoreMetrics {
    fn new(registry: &Registry) -> Self {
        let counter = |name: &str, help: &str| added(registry, IntCounter::new(name, help));
        let gauge = |name: &str, help: &str| added(registry, IntGauge::new(name, help));
        let histogram = |name: &str, help: &str, buckets: &[f64]| {
            let options = HistogramOpts::from(Opts::new(name, help)).buckets(buckets.to_vec());
            added(registry, Histogram::with_opts(options))
        };
        Self {
            pool_wait: histogram(
                "app_db_pool_wait_seconds",
                "Wait for a pooled connection, turn and thread included.",
                &WAIT_BUCKETS,
            ),
            batch_rows: histogram("app_db_batch_rows", "Items inserted by one commit.", &BATCH_BUCKETS),
            cache_hits: counter("app_cache_hits_total", "Pages found in the cache."),
            cache_misses: counter(
                "app_cache_misses_total",
                "Pages not found in the cache, or no cache to ask.",
            ),
            visits: counter("app_visits_total", "Visits counted by this process."),
            visitors: gauge("app_visitors", "The visitors' count as this process last saw it."),
            visitors_pending: gauge(
                "app_visitors_pending",
                "Visits that have not reached Redis or Postgres yet.",
            ),
            postgres_up: gauge("app_postgres_up", "Whether Postgres answered the last time it was asked."),
            redis_up: gauge("app_redis_up", "Whether Redis answered the last time it was asked."),
        }
    }
}

fn added<C: prometheus::core::Collector + Clone + 'static>(
    registry: &Registry,
    made: prometheus::Result<C>,
) -> C {
    let collector = made.expect("a valid name and help");
    registry.register(Box::new(collector.clone())).expect("each metric registered once");
    collector
}
