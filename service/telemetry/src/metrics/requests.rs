//! Owns the metrics of requests, with every series of a route found once and kept: on the request's way nothing is looked
//! up by label. Label values are bounded: known methods, templates of routes, statuses.

use std::{sync::OnceLock, time::Duration};

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
};

/// The `endpoint` of a request that no route took.
const UNMATCHED: &str = "unmatched";

/// The methods Rocket knows, and `OTHER` for those it does not.
const METHODS: [&str; 10] =
    ["GET", "PUT", "POST", "DELETE", "OPTIONS", "HEAD", "TRACE", "CONNECT", "PATCH", "OTHER"];

/// Latencies: a page from memory takes some 20 µs, one from Postgres some milliseconds; 3 s is the default deadline of
/// Postgres, 10 s beyond every bound.
const LATENCY_BUCKETS: [f64; 13] =
    [0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.01, 0.025, 0.1, 0.5, 1.0, 3.0, 10.0];

/// HTTP has statuses of three digits, 100 to 599 (RFC 9110 section 15).
const STATUSES: usize = 500;

/// Requests counted, timed and in flight.
pub struct RequestMetrics {
    /// `app_requests_in_flight`
    pub in_flight: IntGauge,
    matched: Vec<Series>,
    unmatched: Vec<Series>,
}

/// The series of one method and endpoint.
pub struct Series {
    method: &'static str,
    endpoint: &'static str,
    total: IntCounterVec,
    latencies: HistogramVec,
    /// Found at the first answer, so that only what was asked for shows up.
    latency: OnceLock<Histogram>,
    statuses: Box<[OnceLock<IntCounter>]>,
}

impl RequestMetrics {
    pub(super) fn new(registry: &Registry, endpoints: &[(&'static str, &'static str)]) -> Self {
        let total = super::added(
            registry,
            IntCounterVec::new(
                Opts::new("app_requests_total", "Requests answered."),
                &["method", "endpoint", "status"],
            ),
        );
        let latency = super::added(
            registry,
            HistogramVec::new(
                HistogramOpts::from(Opts::new(
                    "app_request_latency_seconds",
                    "Time from a request's head, and the first bytes of its body, to its answer's head.",
                ))
                .buckets(LATENCY_BUCKETS.to_vec()),
                &["method", "endpoint"],
            ),
        );
        let in_flight =
            super::added(registry, IntGauge::new("app_requests_in_flight", "Requests being answered."));
        let series = |method, endpoint| Series {
            method,
            endpoint,
            total: total.clone(),
            latencies: latency.clone(),
            latency: OnceLock::new(),
            statuses: (0..STATUSES).map(|_| OnceLock::new()).collect(),
        };
        Self {
            in_flight,
            matched: endpoints.iter().map(|(method, endpoint)| series(method, endpoint)).collect(),
            unmatched: METHODS.iter().map(|method| series(method, UNMATCHED)).collect(),
        }
    }

    /// The series of a method and the template of the route that took it, if one did. A pair that was not announced
    /// counts as unmatched, an unknown method as `OTHER`, so that labels stay bounded.
    pub fn series(&self, method: &str, endpoint: Option<&str>) -> &Series {
        let is_it = |series: &&Series| series.method == method;
        endpoint
            .and_then(|endpoint| {
                self.matched.iter().find(|series| series.endpoint == endpoint && series.method == method)
            })
            .or_else(|| self.unmatched.iter().find(is_it))
            .unwrap_or_else(|| &self.unmatched[METHODS.len() - 1])
    }
}

impl Series {
    /// The template that this counts.
    pub fn endpoint(&self) -> &'static str {
        self.endpoint
    }

    /// Counts one answer.
    pub fn count(&self, status: u16, latency: Duration) {
        self.latency
            .get_or_init(|| self.latencies.with_label_values(&[self.method, self.endpoint]))
            .observe(latency.as_secs_f64());
        if let Some(counter) = self.statuses.get(usize::from(status).wrapping_sub(100)) {
            counter
                .get_or_init(|| {
                    self.total.with_label_values(&[self.method, self.endpoint, status.to_string().as_str()])
                })
                .inc();
        }
    }
}
