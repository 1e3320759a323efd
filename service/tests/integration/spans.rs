//! Owns the promises of spans: a request is one tree under its caller's span, what is not sampled or not configured is not
//! sent, a collector that is away harms no request, and the last spans leave before the service does.

use std::{collections::BTreeSet, time::Duration};

use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind, status::StatusCode};
use rocket::{futures::future::join_all, http::Method};
use serde_json::json;

use crate::{
    application::{Answer, Application},
    collector::{Collector, attribute, hex, is_server, tree},
    proxy::{Mood, Proxy},
    servers::{self, until},
    tests,
    wire::{Connection, Served},
};

tests![
    a_request_is_a_tree_under_its_callers_span,
    statements_are_described_by_the_conventions,
    items_that_are_committed_together_share_a_span_that_links_to_each,
    only_what_is_sampled_is_sent,
    without_a_collector_nothing_is_sent,
    only_faults_of_ours_are_errors,
    what_is_asked_on_a_timer_begins_no_trace,
    a_collector_that_is_away_harms_no_request_and_is_said_once,
    a_batch_that_is_refused_for_the_moment_is_sent_again,
    a_collector_that_asks_for_time_gets_it_within_a_bound,
    the_last_spans_leave_before_the_service_does,
    a_collector_that_is_stuck_does_not_keep_the_service,
];

const CALLER: &str = "b7ad6b7169203331";

/// A trace of this test's own.
fn trace(number: u64) -> String {
    format!("0af7651916cd43dd8448{number:012x}")
}

fn traceparent(trace: &str, flags: &str) -> String {
    format!("00-{trace}-{CALLER}-{flags}")
}

async fn traced(collector: &Collector) -> Application {
    Application::start_with(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &Collector::endpoint(collector.port))]).await
}

async fn send(application: &Application, method: Method, path: &str, trace: &str) -> Answer {
    let (caller, body) = (traceparent(trace, "01"), json!({ "name": "n", "value": 1 }).to_string());
    let headers = [("traceparent", caller.as_str()), ("Content-Type", "application/json")];
    let body = if method == Method::Post { body.as_bytes() } else { b"" };
    application.send(method, path, &headers, body).await
}

fn caller() -> Vec<u8> {
    let number = u64::from_str_radix(CALLER, 16).expect("a span's id");
    number.to_be_bytes().to_vec()
}

async fn a_request_is_a_tree_under_its_callers_span() {
    let collector = Collector::start().await;
    let application = traced(&collector).await;
    for (number, (method, path, expected)) in (1..).zip([
        (
            Method::Post,
            "/api/data",
            "POST /api/data\n  write wait\n    write batch\n      pool wait\n      INSERT items\n      SET cache token\n",
        ),
        (Method::Get, "/api/data/1", "GET /api/data/{id}\n  pool wait\n  SELECT items\n"),
        (Method::Get, "/api/data", "GET /api/data\n  MGET cache\n  pool wait\n  SELECT items\n  SET cache\n"),
        (Method::Get, "/api/data", "GET /api/data\n  MGET cache\n"),
        (Method::Get, "/", "GET /\n  visitors wait\n    EVALSHA visitors\n"),
        (Method::Get, "/api/visitors", "GET /api/visitors\n  visitors wait\n    GET visitors\n"),
        (Method::Get, "/nothing", "GET\n"),
    ]) {
        let trace = trace(number);
        let answer = send(&application, method, path, &trace).await;
        let spans = collector.trace(&trace).await;
        assert_eq!(tree(&spans, &caller()), expected, "{spans:#?}");
        let lines = expected.lines().count();
        assert_eq!(spans.len(), lines, "and no other: {spans:#?}");
        let request = spans.iter().find(|span| is_server(span)).expect("the request's");
        let passed_on = format!("00-{trace}-{}-01", hex(&request.span_id));
        assert_eq!(answer.header("traceparent"), Some(passed_on.as_str()));
    }
    let lines = application.stop().await;
    for number in 1..=7 {
        assert_eq!(lines.iter().filter(|line| line["trace_id"] == trace(number)).count(), 1);
    }
}

async fn statements_are_described_by_the_conventions() {
    let collector = Collector::start().await;
    let application = traced(&collector).await;
    send(&application, Method::Get, "/api/data", &trace(1)).await;
    let spans = collector.trace(&trace(1)).await;
    let named = |name: &str| spans.iter().find(|span| span.name == name).expect("a span of this name");
    let (postgres, redis) = (servers::postgres().await.port.0, servers::redis().await.port.0);
    let [postgres, redis] = [postgres, redis].map(|port| port.to_string());
    for (name, attributes) in [
        (
            "SELECT items",
            [
                ("db.system.name", Some("postgresql")),
                ("db.namespace", Some(application.database.as_str())),
                ("db.operation.name", Some("SELECT")),
                ("db.collection.name", Some("items")),
                ("db.query.summary", Some("SELECT items")),
                ("server.address", Some("127.0.0.1")),
                ("server.port", Some(postgres.as_str())),
                ("db.query.text", None),
            ],
        ),
        (
            "MGET cache",
            [
                ("db.system.name", Some("redis")),
                ("db.namespace", Some("0")),
                ("db.operation.name", Some("MGET")),
                ("db.collection.name", None),
                ("db.query.summary", Some("MGET cache")),
                ("server.address", Some("127.0.0.1")),
                ("server.port", Some(redis.as_str())),
                ("db.query.text", None),
            ],
        ),
    ] {
        let span = named(name);
        assert_eq!(span.kind, SpanKind::Client as i32, "{span:#?}");
        for (attribute_name, value) in attributes {
            assert_eq!(
                attribute(&span.attributes, attribute_name).as_deref(),
                value,
                "{attribute_name} of {name}"
            );
        }
    }
    assert_eq!(named("pool wait").kind, SpanKind::Internal as i32);
}

async fn items_that_are_committed_together_share_a_span_that_links_to_each() {
    const ITEMS: u64 = 40;
    let collector = Collector::start().await;
    let application = traced(&collector).await;
    let ids: Vec<String> = (0..ITEMS).map(trace).collect();
    join_all(ids.iter().map(|id| send(&application, Method::Post, "/api/data", id))).await;
    for id in &ids {
        collector.trace(id).await;
    }
    let spans = collector.spans();
    let named = |name| spans.iter().filter(move |span: &&Span| span.name == name);
    let waits: BTreeSet<&[u8]> = named("write wait").map(|span| span.span_id.as_slice()).collect();
    assert_eq!(waits.len() as u64, ITEMS);
    let parents = named("write batch").map(|span| span.parent_span_id.as_slice());
    let links = named("write batch").flat_map(|span| &span.links).map(|link| link.span_id.as_slice());
    let told: Vec<&[u8]> = parents.chain(links).collect();
    assert_eq!(told.len() as u64, ITEMS, "each item is in one batch");
    assert_eq!(told.into_iter().collect::<BTreeSet<_>>(), waits);
}

async fn only_what_is_sampled_is_sent() {
    let collector = Collector::start().await;
    let endpoint = Collector::endpoint(collector.port);
    let database = servers::postgres().await.database().await;
    for (number, (sampler, flags, sent)) in (1..).zip([
        (&[] as &[_], "00", false),
        (&[], "01", true),
        (&[("OTEL_TRACES_SAMPLER", "always_on")], "00", true),
        (&[("OTEL_TRACES_SAMPLER", "always_off")], "01", false),
        (&[("OTEL_TRACES_SAMPLER", "parentbased_always_off")], "01", true),
        (
            &[("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "0")],
            "01",
            true,
        ),
        (&[("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "0")], "01", false),
    ]) {
        let mut changes = vec![("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str())];
        changes.extend(sampler);
        let application = Application::start_on(&database, &changes).await;
        let trace = trace(number);
        let caller = traceparent(&trace, flags);
        let answer = application.send(Method::Get, "/api/data/1", &[("traceparent", &caller)], b"").await;
        let passed_on = answer.header("traceparent").expect("a trace goes on");
        assert_eq!(passed_on.ends_with("-01"), sent, "{sampler:?}: {passed_on}");
        assert!(passed_on.starts_with(&format!("00-{trace}-")), "{passed_on}");
        application.stop().await;
        let came = collector.spans().iter().filter(|span| hex(&span.trace_id) == trace).count();
        assert_eq!(came, if sent { 3 } else { 0 }, "{sampler:?} {flags}");
    }
}

async fn without_a_collector_nothing_is_sent() {
    let collector = Collector::start().await;
    let endpoint = Collector::endpoint(collector.port);
    for changes in [
        &[("OTEL_EXPORTER_OTLP_ENDPOINT", ""), ("OTEL_TRACES_SAMPLER", "always_on")],
        &[("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()), ("OTEL_SDK_DISABLED", "true")],
    ] {
        let application = Application::start_with(changes).await;
        let answer = send(&application, Method::Get, "/api/data/1", &trace(1)).await;
        let passed_on = answer.header("traceparent").expect("a trace goes on");
        assert!(passed_on.starts_with(&format!("00-{}-", trace(1))), "{passed_on}");
        assert_eq!(application.metric("app_spans_exported_total").await, 0);
        assert_eq!(application.metric("app_spans_dropped_total").await, 0);
        application.stop().await;
    }
    assert_eq!(collector.heads(), Vec::<String>::new());
}

async fn only_faults_of_ours_are_errors() {
    let collector = Collector::start().await;
    let proxy = Proxy::to(servers::postgres().await.port).await;
    let database = servers::postgres().await.database().await;
    let (redis, endpoint) = (servers::redis().await.port, Collector::endpoint(collector.port));
    let changes = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str())];
    let application = Application::assemble(&servers::config(proxy.port, &database, redis, &changes)).await;
    application.until_ready("ok").await;
    assert_eq!(send(&application, Method::Get, "/api/data/1", &trace(1)).await.status, 404);
    proxy.set(Mood::Cut);
    application.until_ready("unavailable").await;
    assert_eq!(send(&application, Method::Get, "/api/data/1", &trace(2)).await.status, 503);
    for (number, status, error) in [(1, StatusCode::Unset, None), (2, StatusCode::Error, Some("503"))] {
        let spans = collector.trace(&trace(number)).await;
        let request = spans.iter().find(|span| is_server(span)).expect("the request's");
        let said = request.status.as_ref().map_or(StatusCode::Unset as i32, |status| status.code);
        assert_eq!(said, status as i32, "{request:#?}");
        assert_eq!(attribute(&request.attributes, "error.type").as_deref(), error);
    }
}

async fn what_is_asked_on_a_timer_begins_no_trace() {
    let collector = Collector::start().await;
    let application = traced(&collector).await;
    let watched = ["/health", "/ready", "/metrics"];
    for path in watched {
        application.get(path).await;
    }
    application.get("/api/visitors").await;
    // Whoever brings a trace sees it go on.
    for (number, path) in (1..).zip(watched) {
        send(&application, Method::Get, path, &trace(number)).await;
    }
    application.stop().await;
    let spans = collector.spans();
    let requests: Vec<&str> = spans.iter().filter(|span| is_server(span)).map(|span| &*span.name).collect();
    assert_eq!(requests, ["GET /api/visitors", "GET /health", "GET /ready", "GET /metrics"]);
}

async fn a_collector_that_is_away_harms_no_request_and_is_said_once() {
    let collector = Collector::start().await;
    let proxy = Proxy::to(collector.port).await;
    proxy.set(Mood::Silent);
    let endpoint = Collector::endpoint(proxy.port);
    // Nothing is taken for as long as the collector is silent: a request that waited for it would not end.
    let changes =
        [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()), ("OTEL_EXPORTER_OTLP_TIMEOUT", "60000")];
    let application = Application::start_with(&changes).await;
    let dropped = async || application.metric("app_spans_dropped_total").await;
    let press = async || {
        let answers = join_all((0..200).map(|_| application.get("/api/visitors"))).await;
        assert!(answers.iter().all(|answer| answer.status == 200));
        dropped().await > 0
    };
    until("the queue to be full", press).await;
    assert_eq!(application.metric("app_spans_exported_total").await, 0);

    let said = |text: &str| application.lines.read().iter().filter(|line| line["msg"] == text).count();
    // What waits fails batch by batch; what is asked meanwhile is far less.
    let lost = dropped().await;
    proxy.set(Mood::Cut);
    until("many batches to have failed", async || dropped().await > lost + 4000).await;
    assert_eq!(said("spans cannot be exported, trying on"), 1);
    proxy.set(Mood::Passing);
    until("the collector to be back", async || {
        application.get("/api/visitors").await;
        said("spans are exported again") > 0
    })
    .await;
    assert_eq!(said("spans cannot be exported, trying on"), 1);
    send(&application, Method::Get, "/health", &trace(1)).await;
    collector.trace(&trace(1)).await;
    assert!(application.metric("app_spans_exported_total").await > 0);
}

async fn a_batch_that_is_refused_for_the_moment_is_sent_again() {
    let collector = Collector::start().await;
    let application = traced(&collector).await;
    for (number, refusals) in (1..).zip([
        &["503 Service Unavailable"] as &[_],
        &["429 Too Many Requests", "502 Bad Gateway", "504 Gateway Timeout"],
    ]) {
        for refusal in refusals {
            collector.refuse(refusal);
        }
        send(&application, Method::Get, "/api/data/1", &trace(number)).await;
        assert_eq!(collector.trace(&trace(number)).await.len(), 3, "all of it, once");
        assert_eq!(collector.refusals(), 0);
    }
    assert_eq!(application.metric("app_spans_dropped_total").await, 0);

    // What would be refused again is not sent again, and neither is what was refused often enough.
    for (number, refusals) in (3..).zip([1, 4]) {
        for _ in 0..refusals {
            collector.refuse(if refusals == 1 { "400 Bad Request" } else { "503 Service Unavailable" });
        }
        let lost = application.metric("app_spans_dropped_total").await;
        send(&application, Method::Get, "/api/data/1", &trace(number)).await;
        until("the batch to be given up", async || {
            application.metric("app_spans_dropped_total").await > lost
        })
        .await;
        assert_eq!(collector.refusals(), 0, "it was tried {refusals} times");
        // One that is taken, so that the collector is not held to be away.
        send(&application, Method::Get, "/api/data/1", &trace(10 + number)).await;
        collector.trace(&trace(10 + number)).await;
    }
}

async fn a_collector_that_asks_for_time_gets_it_within_a_bound() {
    const REFUSAL: &str = "503 Service Unavailable";
    // More than the first pause of its own, and what nobody would wait for.
    const SOME: &str = "503 Service Unavailable\r\nRetry-After: 2";
    const MUCH: &str = "429 Too Many Requests\r\nRetry-After: 3600";
    let cases = [
        (&[SOME] as &[_], 2),
        (&[MUCH], 5),
        // The batch is given up with the last refusal; the next one is not sent before its time.
        (&[REFUSAL, REFUSAL, REFUSAL, SOME], 2),
    ];
    join_all(cases.map(async |(refusals, least)| {
        let collector = Collector::start().await;
        let application = traced(&collector).await;
        for refusal in refusals {
            collector.refuse(refusal);
        }
        send(&application, Method::Get, "/api/data/1", &trace(1)).await;
        until("the refusals", async || collector.refusals() == 0).await;
        send(&application, Method::Get, "/api/data/1", &trace(2)).await;
        collector.trace(&trace(2)).await;
        let moments = collector.moments();
        let waited = moments[refusals.len()] - moments[refusals.len() - 1];
        assert!(waited >= Duration::from_secs(least), "{waited:?} after {refusals:?}");
    }))
    .await;
}

async fn the_last_spans_leave_before_the_service_does() {
    let collector = Collector::start().await;
    let endpoint = Collector::endpoint(collector.port);
    let database = servers::postgres().await.database().await;
    let (postgres, redis) = (servers::postgres().await.port, servers::redis().await.port);
    let changes = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
        ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=it%27s%20a%20key"),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test,service.version=9"),
        ("OTEL_SERVICE_NAME", "hello"),
        // None leaves before the end.
        ("OTEL_BSP_SCHEDULE_DELAY", "3600000"),
    ];
    let served = Served::start(&servers::variables(postgres, &database, redis, &changes)).await;
    served.until_ready("ok").await;
    let mut connection = Connection::open(served.port).await.expect("a connection");
    for number in 0..100 {
        let caller = traceparent(&trace(number), "01");
        let path = format!("/api/data/{}?secret=1", number + 1);
        connection.send("GET", &path, &[("traceparent", &caller)], b"").await.expect("an answer");
    }
    assert_eq!(collector.spans(), []);
    let end = served.stop().await;
    assert_eq!(end.status.code(), Some(0));

    let spans = collector.spans();
    for number in 0..100 {
        let of_it: Vec<_> = spans.iter().filter(|span| hex(&span.trace_id) == trace(number)).collect();
        assert_eq!(of_it.len(), 3, "{of_it:#?}");
    }
    let request =
        spans.iter().find(|span| is_server(span) && hex(&span.trace_id) == trace(7)).expect("a span");
    for (name, value) in [
        ("http.request.method", "GET"),
        ("http.route", "/api/data/{id}"),
        ("http.response.status_code", "404"),
        ("url.path", "/api/data/8"),
        ("url.scheme", "http"),
        ("client.address", "127.0.0.1"),
        ("server.address", "localhost"),
        ("server.port", "80"),
    ] {
        assert_eq!(attribute(&request.attributes, name).as_deref(), Some(value), "{name}: {request:#?}");
    }
    let resource = collector.resources().pop().expect("who sent it");
    for (name, value) in [
        ("service.name", "hello"),
        ("service.version", "9"),
        ("deployment.environment.name", "test"),
        ("telemetry.sdk.language", "rust"),
    ] {
        assert_eq!(attribute(&resource, name).as_deref(), Some(value), "{name}");
    }
    assert!(
        attribute(&resource, "host.name").is_some() && attribute(&resource, "service.instance.id").is_some()
    );
    let heads = collector.heads();
    assert!(
        heads.iter().all(|head| head.to_ascii_lowercase().contains("\r\napi-key: it's a key\r\n")),
        "{heads:?}"
    );
}

async fn a_collector_that_is_stuck_does_not_keep_the_service() {
    let proxy = Proxy::to(Collector::start().await.port).await;
    proxy.set(Mood::Silent);
    let endpoint = Collector::endpoint(proxy.port);
    let database = servers::postgres().await.database().await;
    let (postgres, redis) = (servers::postgres().await.port, servers::redis().await.port);
    // Longer than a test waits for an end.
    let changes =
        [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()), ("OTEL_EXPORTER_OTLP_TIMEOUT", "60000")];
    let served = Served::start(&servers::variables(postgres, &database, redis, &changes)).await;
    served.until_ready("ok").await;
    let mut connection = Connection::open(served.port).await.expect("a connection");
    connection.send("GET", "/api/visitors", &[], b"").await.expect("an answer");
    let end = served.stop().await;
    assert_eq!(end.status.code(), Some(0));
    assert!(
        end.lines.iter().any(|line| line["msg"] == "the last spans could not be exported"),
        "{:#?}",
        end.lines
    );
}
