//! What is asked of Prometheus and shown as a picture, in the order of the page. What a request is, and what an error,
//! compose/prometheus/service.rules.yml decides.
//!
//! Must not: draw, or judge an answer.

use crate::quantity::Unit;
use crate::series::Span;

/// Why there is no picture of rates: what came before the first look is in none.
const NOBODY: &str = "no request came after Prometheus first looked at the service";

/// A picture.
#[derive(Debug, Clone)]
pub(super) struct Panel {
    /// Its name within the page.
    pub(super) id: &'static str,
    /// Its heading.
    pub(super) title: &'static str,
    /// What it shows, in a sentence or two.
    pub(super) about: &'static str,
    /// What a value counts.
    pub(super) unit: Unit,
    /// How it is drawn.
    pub(super) kind: Kind,
    /// What is asked for.
    pub(super) queries: Vec<Query>,
    /// Why there may be no data of it though Prometheus answers.
    pub(super) absent: &'static str,
}

/// How a picture is drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Kind {
    /// Curves from nothing, and a line at a value that is not to be exceeded, when there is one.
    Curves { bound: Option<(f64, &'static str)> },
    /// Curves on a logarithmic axis.
    Logarithmic,
    /// Areas on one another.
    Stacked,
    /// Colours for how many fell between two bounds.
    Heat,
}

/// A question, and what its series are called.
#[derive(Debug, Clone)]
pub(super) struct Query {
    /// The expression.
    pub(super) expr: String,
    /// When.
    pub(super) span: Span,
    /// How the series are called.
    pub(super) name: Name,
}

/// What a series is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    /// This.
    Is(&'static str),
    /// As this label says.
    Label(&'static str),
}

/// The columns of the heat map: wide enough to be told apart on a small screen.
const COLUMNS: u64 = 60;

/// Probes and scrapes are no requests of people.
const PEOPLE: &str = "endpoint!~\"/health|/ready|/metrics\"";

/// All panels.
pub(super) fn panels(span: Span) -> Vec<Panel> {
    let mut all = requests(span);
    all.extend(stores(span));
    all.extend(parts(span));
    all
}

fn query(expr: &str, span: Span, name: Name) -> Query {
    // Less than three scrapes would leave holes.
    let over = format!("{}s", span.step.max(15));
    Query { expr: expr.replace("$over", &over).replace("$people", PEOPLE), span, name }
}

fn requests(span: Span) -> Vec<Panel> {
    let ask = |expr, name| query(expr, span, name);
    let coarse = span.with_points(COLUMNS);
    vec![
        Panel {
            id: "traffic",
            title: "Requests",
            about: "Requests of people a second, by the class of the answer's status. Probes and scrapes do not count.",
            unit: Unit::RequestsPerSecond,
            kind: Kind::Stacked,
            queries: vec![ask(
                "sum by (class) (label_replace(avg_over_time(status:app_requests:rate1m[$over]), \"class\", \"${1}xx\", \"status\", \"(.)..\"))",
                Name::Label("class"),
            )],
            absent: NOBODY,
        },
        Panel {
            id: "errors",
            title: "Error ratio",
            about: "The part of the requests answered with 5xx, over a minute; the highest of each step. The dashed line is the objective, 0.1 %.",
            unit: Unit::Ratio,
            kind: Kind::Curves { bound: Some((0.001, "objective 0.1 %")) },
            queries: vec![ask(
                "max_over_time(service:app_request_errors:ratio_rate1m[$over])",
                Name::Is("5xx"),
            )],
            absent: NOBODY,
        },
        Panel {
            id: "latency",
            title: "Latency",
            about: "The time within which 50, 95 and 99 of 100 requests are answered, over a minute; the highest of each step.",
            unit: Unit::Seconds,
            kind: Kind::Logarithmic,
            queries: vec![
                ask("max_over_time(service:app_request_latency_seconds:p50_1m[$over])", Name::Is("p50")),
                ask("max_over_time(service:app_request_latency_seconds:p95_1m[$over])", Name::Is("p95")),
                ask("max_over_time(service:app_request_latency_seconds:p99_1m[$over])", Name::Is("p99")),
            ],
            absent: NOBODY,
        },
        Panel {
            id: "heat",
            title: "How many took how long",
            about: "Requests a second by how long they took, the stronger the more. Two bands are two kinds of requests.",
            unit: Unit::Seconds,
            kind: Kind::Heat,
            queries: vec![query(
                "sum by (le) (avg_over_time(service:app_request_latency_seconds_bucket:rate1m[$over]))",
                coarse,
                Name::Label("le"),
            )],
            absent: NOBODY,
        },
        Panel {
            id: "in-flight",
            title: "In flight",
            about: "Requests being answered at the same time, probes and scrapes included; the most of each step.",
            unit: Unit::Count,
            kind: Kind::Curves { bound: None },
            queries: vec![ask("sum(max_over_time(app_requests_in_flight[$over]))", Name::Is("requests"))],
            absent: "the service did not run",
        },
    ]
}

fn stores(span: Span) -> Vec<Panel> {
    let ask = |expr, name| query(expr, span, name);
    vec![
        Panel {
            id: "pool",
            title: "Connection pool",
            about: "Connections to Postgres, of all replicas; the most of each step. All of the size in use means that requests wait.",
            unit: Unit::Count,
            kind: Kind::Curves { bound: None },
            queries: vec![
                ask("sum(max_over_time(app_db_pool_size[$over]))", Name::Is("size")),
                ask("sum(max_over_time(app_db_pool_connections[$over]))", Name::Is("open")),
                ask(
                    "sum(max_over_time((app_db_pool_connections - app_db_pool_idle)[$over:5s]))",
                    Name::Is("in use"),
                ),
            ],
            absent: "the service did not run",
        },
        Panel {
            id: "cache",
            title: "Cache",
            about: "The part of the pages of items that was found in Redis, over five minutes.",
            unit: Unit::Ratio,
            kind: Kind::Curves { bound: None },
            queries: vec![ask(
                "avg_over_time(service:app_cache_hits:ratio_rate5m[$over])",
                Name::Is("found"),
            )],
            absent: "nobody asked for a page of items",
        },
        Panel {
            id: "visitors",
            title: "Visitors",
            about: "The visitors' count, as the replica that has seen the most knows it.",
            unit: Unit::Count,
            kind: Kind::Curves { bound: None },
            queries: vec![ask("max(max_over_time(app_visitors[$over]))", Name::Is("visitors"))],
            absent: "the service did not run",
        },
    ]
}

/// The exporters are told apart from what they watch. Of Postgres' processes nobody tells Prometheus.
const PARTS_BY_JOB: &str = "\"part\", \"$1 exporter\", \"job\", \"(postgres|redis)\"), \"part\", \"$1\", \"job\", \"(service|prometheus|grafana)\")";

fn parts(span: Span) -> Vec<Panel> {
    let by_part = |inner: &str| {
        query(
            &format!("sum by (part) (label_replace(label_replace({inner}, {PARTS_BY_JOB})"),
            span,
            Name::Label("part"),
        )
    };
    // Some programs tell their time in whole seconds only: over less than a minute it would jump.
    let rate = format!("{}s", span.step.max(60));
    vec![
        Panel {
            id: "memory",
            title: "Memory",
            about: "Resident memory of every part that tells it; the most of each step. Nobody tells that of Postgres' processes.",
            unit: Unit::Bytes,
            kind: Kind::Curves { bound: None },
            queries: vec![
                by_part("max_over_time(process_resident_memory_bytes[$over])"),
                query("sum(max_over_time(redis_memory_used_rss_bytes[$over]))", span, Name::Is("redis")),
            ],
            absent: "no part tells its memory",
        },
        Panel {
            id: "processor",
            title: "Processor",
            about: "Cores in use by every part that tells it. Nobody tells that of Postgres' processes.",
            unit: Unit::Cores,
            kind: Kind::Curves { bound: None },
            queries: vec![
                by_part(&format!("rate(process_cpu_seconds_total[{rate}])")),
                query(
                    &format!(
                        "sum(rate(redis_cpu_sys_seconds_total[{rate}]) + rate(redis_cpu_user_seconds_total[{rate}]))"
                    ),
                    span,
                    Name::Is("redis"),
                ),
            ],
            absent: "no part tells its processor time",
        },
    ]
}

/// When each process was started: a value that changes is a start.
pub(super) fn starts(span: Span) -> Query {
    query(
        "max by (job, instance) (max_over_time(process_start_time_seconds[$over]))",
        span,
        Name::Label("job"),
    )
}

/// What fired.
pub(super) fn alerts(span: Span) -> Query {
    query(
        "max by (alertname, severity, job, instance) (max_over_time(ALERTS{alertstate=\"firing\"}[$over]))",
        span,
        Name::Label("alertname"),
    )
}

/// The figures of the whole time, asked for at its end.
pub(super) struct Totals {
    pub(super) requests: String,
    pub(super) errors: String,
    pub(super) p95: String,
    pub(super) versions: String,
}

impl Totals {
    pub(super) fn of(span: Span) -> Self {
        let over = format!("{}s", span.end - span.start);
        let seconds = (span.end - span.start).to_string();
        let whole = |expr: &str| {
            expr.replace("$over", &over).replace("$seconds", &seconds).replace("$people", PEOPLE)
        };
        let counted = |by: &str, counter: &str| whole(&counted(by, counter));
        let latencies = counted(" by (le) ", "app_request_latency_seconds_bucket{$people}");
        Self {
            requests: counted("", "app_requests_total{$people}"),
            errors: counted("", "app_requests_total{$people, status=~\"5..\"}"),
            p95: format!("histogram_quantile(0.95, {latencies})"),
            versions: whole("group by (version) (max_over_time(app_build_info[$over]))"),
        }
    }
}

/// How far counters have come: by what `increase` sees, which begins with a counter's first value, and by that value where
/// its process is no older than the time. So what came before Prometheus first looked counts too.
fn counted(by: &str, counter: &str) -> String {
    format!(
        "sum{by}(increase({counter}[$over])) + (sum{by}((min_over_time({counter}[$over]) unless {counter} offset $over) \
         and on (job, instance) (max_over_time(process_start_time_seconds[$over]) > time() - $seconds)) \
         or 0 * sum{by}(increase({counter}[$over])))"
    )
}

/// Errors and latency minute by minute, for the worst one.
pub(super) struct Minutes {
    pub(super) errors: Query,
    pub(super) p95: Query,
}

impl Minutes {
    pub(super) fn of(span: Span) -> Self {
        // Full minutes, so that the rules over one minute are those of a minute of the clock.
        let span = Span { start: span.start.next_multiple_of(60), end: span.end, step: 60 };
        let ask = |expr, name| query(expr, span, Name::Is(name));
        Self {
            errors: ask("service:app_request_errors:ratio_rate1m", "errors"),
            p95: ask("service:app_request_latency_seconds:p95_1m", "p95"),
        }
    }
}
