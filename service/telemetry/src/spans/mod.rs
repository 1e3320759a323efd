//! Owns spans: what a trace of a request shows, under which names, and their way to a collector (OTLP over HTTP). Decides
//! nothing about a request and knows neither Rocket nor a database. Where no collector is configured, or a trace is not
//! sampled, every span here is nothing: an empty `Option` is what each costs then.
//!
//! A [`Place`] is where in a trace work is done; it is handed along as a plain argument, because work changes threads.

mod export;
mod names;

use std::sync::Arc;

use opentelemetry::{
    Context, KeyValue,
    trace::{
        Link, Span as _, SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags,
        TraceId, TraceState, Tracer as _,
    },
};
use opentelemetry_sdk::trace::{SdkTracer, Span as SdkSpan};

pub use export::Export;
pub use names::{Request, System};
pub use names::{Statement, Work, statements, works};

/// Begins the spans of requests; nothing where spans go nowhere.
#[derive(Clone, Default)]
pub struct Tracer(Option<Arc<Shared>>);

struct Shared {
    tracer: SdkTracer,
    /// What every statement's span says of its server.
    postgres: Vec<KeyValue>,
    redis: Vec<KeyValue>,
}

/// The span that a request says it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The trace.
    pub trace_id: u128,
    /// The span.
    pub span_id: u64,
    /// Whether it is recorded there.
    pub sampled: bool,
}

impl Caller {
    fn context(self) -> SpanContext {
        let flags = TraceFlags::default().with_sampled(self.sampled);
        let (trace, span) = (TraceId::from(self.trace_id), SpanId::from(self.span_id));
        SpanContext::new(trace, span, flags, true, TraceState::NONE)
    }
}

impl Tracer {
    /// Begins a request's span, under its caller's when it names one. `None`: spans go nowhere.
    pub fn begin(&self, caller: Option<Caller>, method: &'static str) -> Option<Span> {
        let shared = self.0.as_ref()?;
        let parent = caller
            .map_or_else(Context::new, |caller| Context::new().with_remote_span_context(caller.context()));
        let builder = SpanBuilder::from_name(method).with_kind(SpanKind::Server);
        Some(Span::start(shared, builder, &parent))
    }
}

/// A place in a trace that is recorded, or nowhere. Cheap to clone.
#[derive(Clone, Default)]
pub struct Place(Option<Arc<Parent>>);

/// The span under which work is done.
struct Parent {
    shared: Arc<Shared>,
    context: Context,
}

impl Place {
    /// Outside of every trace: for work that no request asked for.
    pub const NOWHERE: Self = Self(None);

    /// Begins a span for work inside of this process.
    pub fn begin(&self, work: Work) -> Span {
        self.child(|_| SpanBuilder::from_name(work.0).with_kind(SpanKind::Internal))
    }

    /// Begins the span of a statement that is sent to a database.
    pub fn query(&self, statement: &Statement) -> Span {
        self.child(|shared| query(shared, statement))
    }

    fn child(&self, builder: impl FnOnce(&Shared) -> SpanBuilder) -> Span {
        match &self.0 {
            Some(parent) => Span::start(&parent.shared, builder(&parent.shared), &parent.context),
            None => Span(None),
        }
    }

    fn span_context(&self) -> Option<SpanContext> {
        self.0.as_ref().map(|parent| parent.context.span().span_context().clone())
    }
}

/// Begins the one span of work that is done for many at once: under the first of them that is recorded, with links to the
/// others, so that a batch of one is an ordinary child.
pub fn begin_shared<'a>(places: impl Iterator<Item = &'a Place>, work: Work) -> Span {
    share(places, |_| SpanBuilder::from_name(work.0).with_kind(SpanKind::Internal))
}

/// As [`begin_shared`], for a statement.
pub fn query_shared<'a>(places: impl Iterator<Item = &'a Place>, statement: &Statement) -> Span {
    share(places, |shared| query(shared, statement))
}

fn share<'a>(places: impl Iterator<Item = &'a Place>, builder: impl FnOnce(&Shared) -> SpanBuilder) -> Span {
    let mut recorded = places.filter(|place| place.0.is_some());
    let Some(first) = recorded.next() else { return Span(None) };
    let links = recorded.filter_map(Place::span_context).map(Link::with_context).collect();
    first.child(|shared| builder(shared).with_links(links))
}

fn query(shared: &Shared, statement: &Statement) -> SpanBuilder {
    let server = match statement.system {
        System::Postgres => &shared.postgres,
        System::Redis => &shared.redis,
    };
    SpanBuilder::from_name(statement.summary)
        .with_kind(SpanKind::Client)
        .with_attributes(statement.attributes().into_iter().chain(server.iter().cloned()))
}

/// A span that has begun, and ends when it is dropped; nothing where it is not recorded.
#[derive(Default)]
pub struct Span(Option<Box<Begun>>);

struct Begun {
    span: SdkSpan,
    shared: Arc<Shared>,
}

impl Span {
    fn start(shared: &Arc<Shared>, builder: SpanBuilder, parent: &Context) -> Self {
        let span = shared.tracer.build_with_context(builder, parent);
        Self(Some(Box::new(Begun { span, shared: Arc::clone(shared) })))
    }

    /// Trace, span, and whether it is recorded; `None` where there is no span.
    pub fn identity(&self) -> Option<Caller> {
        let context = self.0.as_ref()?.span.span_context();
        Some(Caller {
            trace_id: u128::from_be_bytes(context.trace_id().to_bytes()),
            span_id: u64::from_be_bytes(context.span_id().to_bytes()),
            sampled: context.is_sampled(),
        })
    }

    /// Where work is done that belongs under this span.
    pub fn place(&self) -> Place {
        let recorded = self.0.as_ref().filter(|begun| begun.span.is_recording());
        Place(recorded.map(|begun| {
            let context = Context::new().with_remote_span_context(begun.span.span_context().clone());
            Arc::new(Parent { shared: Arc::clone(&begun.shared), context })
        }))
    }

    /// Says that it failed, and how, in one of a few words.
    pub fn fail(&mut self, kind: &'static str) {
        if let Some(begun) = &mut self.0 {
            begun.span.set_attribute(KeyValue::new(names::ERROR_TYPE, kind));
            begun.span.set_status(Status::error(""));
        }
    }

    /// Says what the request was and what was answered, and ends it.
    pub fn answer(mut self, request: &Request<'_>) {
        let Some(begun) = &mut self.0 else { return };
        if !begun.span.is_recording() {
            return;
        }
        begun.span.update_name(request.span_name());
        begun.span.set_attributes(request.attributes());
        if request.status >= 500 {
            begun.span.set_status(Status::error(""));
        }
    }
}
