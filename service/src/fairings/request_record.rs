//! Owns the record of a request: id, trace, the one log line and the metrics. It is begun when Rocket hands the request over,
//! which is when its head and the first bytes of its body, if it has one, are there, and ended when the answer's head is
//! ready; whatever happens between, there is exactly one line.

use std::{
    fmt,
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use rocket::{
    Data, Request, Response,
    fairing::{Fairing, Info, Kind},
};
use slog::{Logger, error, info};

use super::{method, shutdown::Draining, trace::TraceContext};
use crate::{
    metrics::RequestMetrics,
    spans::{self, Place, Span, Tracer},
};

/// A request's id may be this long: longer than any id format in use, short enough to be repeated in every answer.
const LONGEST_ID: usize = 128;

/// A path is logged up to here, so that no request can write a page of log.
const LONGEST_PATH: usize = 512;

/// What others ask on a timer: they would fill a collector with traces that say nothing.
const WATCHED: [&str; 3] = ["/health", "/ready", "/metrics"];

/// Attaches a [`RequestRecord`] to every request. To be attached as a fairing and managed as state.
#[derive(Clone)]
pub struct Recording(Arc<Shared>);

struct Shared {
    metrics: Arc<RequestMetrics>,
    tracer: Tracer,
    logger: Logger,
    draining: Draining,
}

impl Recording {
    /// Records into these; while `draining`, tells each client to leave.
    pub fn new(metrics: Arc<RequestMetrics>, tracer: Tracer, logger: Logger, draining: Draining) -> Self {
        Self(Arc::new(Shared { metrics, tracer, logger, draining }))
    }

    /// Requests whose answer, body included, has not been handed to the connection. One whose body has not begun to arrive
    /// is none yet, and an answer that was handed over may still have to be written.
    pub fn open_requests(&self) -> i64 {
        self.0.metrics.in_flight.get()
    }
}

/// What is known of one request. Lives as long as Rocket's request, which ends when its answer was handed over.
pub struct RequestRecord {
    begun: Instant,
    method: &'static str,
    id: Option<String>,
    trace: TraceContext,
    /// Whether the trace is the request's own.
    proceeds: bool,
    /// Taken when it ends.
    span: Mutex<Option<Span>>,
    place: Place,
    announced: AtomicBool,
    recording: Option<Arc<Shared>>,
}

impl RequestRecord {
    /// The record of this request, begun now if it was not.
    pub fn of<'r>(request: &'r Request<'_>) -> &'r Self {
        request.local_cache(|| Self::begin(request))
    }

    fn begin(request: &Request<'_>) -> Self {
        let recording = request.rocket().state::<Recording>().map(|recording| Arc::clone(&recording.0));
        if let Some(recording) = &recording {
            recording.metrics.in_flight.inc();
        }
        let mut traceparents = request.headers().get("traceparent");
        let trace = match (traceparents.next(), traceparents.next()) {
            (Some(header), None) => TraceContext::proceed(header),
            _ => None,
        };
        let (method, proceeds) = (request.method().as_str(), trace.is_some());
        let caller = trace.and_then(|trace| trace.caller());
        // Whoever brings a trace wants to see it go on, there too.
        let is_traced = caller.is_some() || !WATCHED.contains(&request.uri().path().as_str());
        let tracer = recording.as_ref().filter(|_| is_traced).map(|recording| &recording.tracer);
        let span = tracer.and_then(|tracer| tracer.begin(caller, method));
        let mut trace = trace.unwrap_or_else(TraceContext::start);
        if let Some(identity) = span.as_ref().and_then(Span::identity) {
            trace = trace.with_span(identity);
        }
        Self {
            begun: Instant::now(),
            method,
            id: request.headers().get_one("X-Request-Id").filter(|id| is_sane(id)).map(str::to_owned),
            trace,
            proceeds,
            place: span.as_ref().map(Span::place).unwrap_or_default(),
            span: Mutex::new(span),
            announced: AtomicBool::new(false),
            recording,
        }
    }

    /// The request's id: the client's own if it brought a sane one, else the trace's.
    pub fn request_id(&self) -> String {
        self.id.clone().unwrap_or_else(|| self.trace.trace_id().as_str().to_owned())
    }

    /// Where in its trace the request's work is done.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Whether Rocket took the request for one: what it cannot read goes to a catcher without any fairing.
    pub fn is_announced(&self) -> bool {
        self.announced.load(Ordering::Acquire)
    }

    /// Logs why an answer is a fault of ours.
    pub fn log_cause(&self, cause: &str) {
        if let Some(recording) = &self.recording {
            error!(recording.logger, "a request failed"; "request_id" => self.request_id(), "cause" => cause);
        }
    }

    /// Ends a request that Rocket could not read, with this answer.
    pub fn end_unread(&self, request: &Request<'_>, response: &mut Response<'_>) {
        self.end(request, response, UNREAD_METHOD);
    }

    fn end(&self, request: &Request<'_>, response: &mut Response<'_>, method: &str) {
        let Some(recording) = &self.recording else { return };
        let latency = self.begun.elapsed();
        let status = response.status().code;
        let endpoint = request.route().and_then(|route| route.name.as_deref());
        self.end_span(request, endpoint, status, method);
        let series = recording.metrics.series(method, endpoint);
        series.count(status, latency);
        let trace_id = self.trace.trace_id();
        let ip = Ip(request.client_ip());
        // slog hands the pairs to a drain in reverse.
        info!(recording.logger, "request";
            "trace_id" => trace_id.as_str(),
            "request_id" => self.id.as_deref().unwrap_or(trace_id.as_str()),
            "ip" => %ip,
            "latency" => latency.as_secs_f64(),
            "status" => status,
            "endpoint" => series.endpoint(),
            "path" => shortened(request.uri().path().as_str()),
            "method" => method,
        );
        response.set_raw_header("X-Request-Id", self.request_id());
        if self.proceeds {
            response.set_raw_header("traceparent", self.trace.to_string());
        }
        if recording.draining.has_begun() {
            // RFC 9112 section 9.6: clients turn elsewhere while requests are still served.
            response.set_raw_header("Connection", "close");
        }
    }
}

impl RequestRecord {
    fn end_span(&self, request: &Request<'_>, route: Option<&str>, status: u16, method: &str) {
        let Some(span) = self.span.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        let host = request.host().map(|host| (host.domain().as_str(), host.port()));
        span.answer(&spans::Request {
            method: (method != UNREAD_METHOD).then_some(self.method),
            route,
            path: shortened(request.uri().path().as_str()),
            status,
            client: request.client_ip(),
            host,
        });
    }
}

impl Drop for RequestRecord {
    fn drop(&mut self) {
        if let Some(recording) = &self.recording {
            recording.metrics.in_flight.dec();
        }
    }
}

/// The method of a request that Rocket could not read: what it read is not known.
const UNREAD_METHOD: &str = "OTHER";

/// A client's address; nothing where there is none, as in process.
struct Ip(Option<IpAddr>);

impl fmt::Display for Ip {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |ip| ip.fmt(formatter))
    }
}

/// Visible ASCII without what would need escaping in a log or a header.
fn is_sane(id: &str) -> bool {
    !id.is_empty()
        && id.len() <= LONGEST_ID
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:+/=".contains(&byte))
}

fn shortened(path: &str) -> &str {
    // A URL is ASCII, so the first end fits; should one not be, a character is up to four bytes.
    (0..=LONGEST_PATH.min(path.len())).rev().find_map(|end| path.get(..end)).unwrap_or_default()
}

#[rocket::async_trait]
impl Fairing for Recording {
    fn info(&self) -> Info {
        Info { name: "request record", kind: Kind::Request | Kind::Response }
    }

    async fn on_request(&self, request: &mut Request<'_>, data: &mut Data<'_>) {
        method::restore(request, data).await;
        RequestRecord::of(request).announced.store(true, Ordering::Release);
    }

    async fn on_response<'r>(&self, request: &'r Request<'_>, response: &mut Response<'r>) {
        let record = RequestRecord::of(request);
        record.end(request, response, record.method);
    }
}
