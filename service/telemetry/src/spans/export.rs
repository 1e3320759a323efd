//! Owns the way of spans to the collector: a bounded queue, batches from a thread of their own, OTLP over HTTP with
//! protobuf (OTLP specification, section "OTLP/HTTP"). What finds no room or is not taken is dropped and counted; nobody
//! ever waits for it. A batch that a collector cannot take just now is sent again for some seconds: its restart costs no
//! span. One that is away for longer is said once, and once more when it is back.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use opentelemetry::{Context, KeyValue, trace::TracerProvider};
use opentelemetry_proto::{
    tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse},
    transform::{
        common::tonic::ResourceAttributesWithSchema, trace::tonic::group_spans_by_resource_and_scope,
    },
};
use opentelemetry_sdk::{
    Resource,
    error::{OTelSdkError, OTelSdkResult},
    resource::TelemetryResourceDetector,
    trace::{
        BatchConfigBuilder, BatchSpanProcessor, Sampler as SdkSampler, SdkTracerProvider, Span as SdkSpan,
        SpanData, SpanExporter, SpanProcessor,
    },
};
use prost::Message;
use slog::{Logger, info, warn};
use ureq::Agent;

use super::{Shared, System, Tracer};
use crate::metrics::SpanMetrics;
use service_config::{Config, Sampler, Tracing};

/// The name of the service where its environment gives none, and of what makes its spans.
const SERVICE: &str = "service";

/// Spans that may wait: of some 700 bytes each, 3 MB of the 32 MiB that the service may use, and some hundred
/// milliseconds of a saturated service.
const QUEUE: usize = 4096;

/// Most spans in one request to the collector: the SDK's own default, some 150 KB of protobuf.
const BATCH: usize = 512;

/// The pauses before a batch is sent again: together what a collector's restart takes. Within them a service with some
/// hundred requests a second fills the queue, so that more would only lose others.
const PAUSES: [Duration; 3] = [Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2)];

/// The most of what a collector asks for with `Retry-After` that it gets: the queue fills meanwhile, and what waits in it
/// is worth more to whoever looks at it now than a minute later.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How long the end of the service waits for the last batches: well within the time that Docker (10 s) leaves between a
/// signal and a kill.
const LAST: Duration = Duration::from_secs(2);

/// The most that is read of a collector's answer, in bytes: it is a number and a message.
const LONGEST_ANSWER: u64 = 64 * 1024;

/// The running export; nothing where spans go nowhere.
#[derive(Clone, Default)]
pub struct Export(Option<SdkTracerProvider>);

impl Export {
    /// Starts it when the configuration names a collector.
    pub fn start(config: &Config, host: &str, metrics: &SpanMetrics, logger: &Logger) -> (Tracer, Self) {
        let Some(tracing) = &config.tracing else { return (Tracer(None), Self(None)) };
        let waiting = Arc::new(AtomicUsize::new(0));
        let resource = resource(tracing, &config.version, host);
        let collector = Collector {
            agent: agent(tracing.timeout),
            tracing: tracing.clone(),
            resource: ResourceAttributesWithSchema::from(&resource),
            waiting: Arc::clone(&waiting),
            metrics: metrics.clone(),
            away: AtomicBool::new(false),
            logger: logger.clone(),
        };
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(QUEUE)
            .with_max_export_batch_size(BATCH)
            .with_scheduled_delay(tracing.gather)
            .build();
        let queue =
            Queue { inner: BatchSpanProcessor::new(collector, batches), waiting, metrics: metrics.clone() };
        let provider = SdkTracerProvider::builder()
            .with_sampler(sampler(tracing.sampler))
            .with_resource(resource)
            .with_span_processor(queue)
            .build();
        let (database, redis) = (&config.database, &config.redis);
        let shared = Shared {
            tracer: provider.tracer(SERVICE),
            postgres: System::Postgres.server(&database.host, database.port, &database.name),
            redis: System::Redis.server(&redis.host, redis.port, "0"),
        };
        (Tracer(Some(Arc::new(shared))), Self(Some(provider)))
    }

    /// Sends what is left, for at most two seconds, and ends the export.
    pub async fn finish(self, logger: &Logger) {
        let Some(provider) = self.0 else { return };
        let ended = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(LAST)).await;
        if !matches!(ended, Ok(Ok(()))) {
            warn!(logger, "the last spans could not be exported");
        }
    }
}

fn agent(timeout: Duration) -> Agent {
    Agent::config_builder()
        .timeout_global(Some(timeout))
        // The collector is where the configuration says, and nowhere else.
        .proxy(None)
        .max_redirects(0)
        // What a refusal says beside its status is read too.
        .http_status_as_error(false)
        .user_agent(concat!("homeport-service/", env!("CARGO_PKG_VERSION")))
        .build()
        .new_agent()
}

fn sampler(sampler: Sampler) -> SdkSampler {
    let root = match sampler {
        Sampler::AlwaysOn | Sampler::ParentBasedAlwaysOn => SdkSampler::AlwaysOn,
        Sampler::AlwaysOff | Sampler::ParentBasedAlwaysOff => SdkSampler::AlwaysOff,
        Sampler::Ratio(ratio) | Sampler::ParentBasedRatio(ratio) => SdkSampler::TraceIdRatioBased(ratio),
    };
    match sampler {
        Sampler::AlwaysOn | Sampler::AlwaysOff | Sampler::Ratio(_) => root,
        _ => SdkSampler::ParentBased(Box::new(root)),
    }
}

/// Who speaks: what the configuration says comes last, and wins.
fn resource(tracing: &Tracing, version: &str, host: &str) -> Resource {
    let own = [
        ("service.name", SERVICE.to_owned()),
        ("service.version", version.to_owned()),
        ("service.instance.id", format!("{host}-{:016x}", fastrand::u64(..))),
        ("host.name", host.to_owned()),
    ];
    let own = own.map(|(name, value)| KeyValue::new(name, value));
    let given = tracing.resource.iter().map(|(name, value)| KeyValue::new(name.clone(), value.clone()));
    let name = tracing.service_name.iter().map(|name| KeyValue::new("service.name", name.clone()));
    Resource::builder_empty()
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_attributes(own)
        .with_attributes(given)
        .with_attributes(name)
        .build()
}

/// The SDK's batches behind a bound of our own: the SDK does not tell how many it drops.
#[derive(Debug)]
struct Queue {
    inner: BatchSpanProcessor,
    waiting: Arc<AtomicUsize>,
    metrics: SpanMetrics,
}

impl SpanProcessor for Queue {
    fn on_start(&self, _: &mut SdkSpan, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if self.waiting.fetch_add(1, Ordering::AcqRel) < QUEUE {
            self.inner.on_end(span);
        } else {
            self.waiting.fetch_sub(1, Ordering::AcqRel);
            self.metrics.dropped.inc();
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }
}

/// The collector, as the exporting thread sees it.
struct Collector {
    agent: Agent,
    tracing: Tracing,
    resource: ResourceAttributesWithSchema,
    waiting: Arc<AtomicUsize>,
    metrics: SpanMetrics,
    away: AtomicBool,
    logger: Logger,
}

impl std::fmt::Debug for Collector {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Collector").finish_non_exhaustive()
    }
}

impl SpanExporter for Collector {
    /// Blocks the thread that the batches have for themselves.
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        self.waiting.fetch_sub(spans, Ordering::AcqRel);
        let request = ExportTraceServiceRequest {
            resource_spans: group_spans_by_resource_and_scope(batch, &self.resource),
        };
        let sent = self.send_patiently(&request.encode_to_vec());
        let spans = spans as u64;
        let taken = sent.as_ref().map_or(0, |refused| spans.saturating_sub(*refused));
        self.metrics.exported.inc_by(taken);
        self.metrics.dropped.inc_by(spans - taken);
        self.tell(sent.as_ref().err());
        sent.map(|_| ()).map_err(|refusal| OTelSdkError::InternalFailure(refusal.error.to_string()))
    }
}

impl Collector {
    /// Sends one batch, again and again if that may help. Once a collector is known to be away each batch has one try: they
    /// would only be lost in the queue instead. A collector that asks for time gets it, within a bound, also before the
    /// next batch.
    fn send_patiently(&self, body: &[u8]) -> Result<u64, Refusal> {
        let mut pauses = PAUSES.into_iter();
        loop {
            let refusal = match self.send(body) {
                Ok(refused) => return Ok(refused),
                Err(refusal) => refusal,
            };
            let again = refusal.is_passing() && !self.away.load(Ordering::Acquire);
            let own = pauses.next().filter(|_| again);
            let asked =
                refusal.retry_after.filter(|_| refusal.is_passing()).unwrap_or_default().min(LONGEST_PAUSE);
            std::thread::sleep(own.unwrap_or_default().max(asked));
            if own.is_none() {
                return Err(refusal);
            }
        }
    }

    /// Sends one batch; how many of its spans the collector refused.
    fn send(&self, body: &[u8]) -> Result<u64, Refusal> {
        let mut request =
            self.agent.post(&self.tracing.endpoint).header("Content-Type", "application/x-protobuf");
        for (name, value) in &self.tracing.headers {
            request = request.header(name, value.reveal());
        }
        let mut response = request.send(body)?;
        if !response.status().is_success() {
            let error = ureq::Error::StatusCode(response.status().as_u16());
            return Err(Refusal { error, retry_after: retry_after(response.headers()) });
        }
        let answer = response.body_mut().with_config().limit(LONGEST_ANSWER).read_to_vec()?;
        // A collector that answers in another form has taken all, as its status says.
        let partial =
            ExportTraceServiceResponse::decode(&*answer).ok().and_then(|answer| answer.partial_success);
        Ok(partial.map_or(0, |partial| u64::try_from(partial.rejected_spans).unwrap_or(0)))
    }

    fn tell(&self, error: Option<&Refusal>) {
        let was_away = self.away.swap(error.is_some(), Ordering::AcqRel);
        match error {
            Some(error) if !was_away => {
                warn!(self.logger, "spans cannot be exported, trying on"; "error" => %error.error);
            }
            None if was_away => info!(self.logger, "spans are exported again"),
            _ => {}
        }
    }
}

/// Why a batch was not taken.
struct Refusal {
    error: ureq::Error,
    /// The time that the collector asks for.
    retry_after: Option<Duration>,
}

impl From<ureq::Error> for Refusal {
    fn from(error: ureq::Error) -> Self {
        Self { error, retry_after: None }
    }
}

impl Refusal {
    /// Whether the same batch may be taken a moment later: the statuses are those that OTLP names ("Retryable Response
    /// Codes"). Whoever did not answer in time may have taken it, and has been waited for.
    fn is_passing(&self) -> bool {
        match &self.error {
            ureq::Error::StatusCode(status) => matches!(status, 429 | 502 | 503 | 504),
            ureq::Error::Io(_) | ureq::Error::HostNotFound | ureq::Error::ConnectionFailed => true,
            _ => false,
        }
    }
}

/// `Retry-After` in seconds (RFC 9110 section 10.2.3); its other form, a date, is not what collectors send.
fn retry_after(headers: &ureq::http::HeaderMap) -> Option<Duration> {
    headers.get("Retry-After")?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}
