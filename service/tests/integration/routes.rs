//! Owns the promises of every route but the items': statuses, bodies, headers, and what an answer to nonsense is.

use rocket::http::Method;
use serde_json::json;

use crate::{application::Application, servers::until, tests};

tests![
    the_greeting_counts_its_visitors,
    health_and_readiness_say_ok,
    head_is_get_without_a_body,
    an_unknown_path_is_a_404_problem,
    a_method_that_a_path_lacks_is_a_405_problem,
    a_form_changes_no_method,
    a_sane_request_id_is_repeated_and_another_replaced,
    a_valid_traceparent_is_passed_on_and_another_ignored,
    metrics_show_every_promised_name,
    the_openapi_document_is_served,
];

async fn the_greeting_counts_its_visitors() {
    let application = Application::start().await;
    for visitor in 1..=3 {
        let answer = application.get("/").await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("Content-Type"), Some("application/json"));
        let greeting = answer.json();
        assert_eq!(greeting["visitor"], visitor);
        assert_eq!(greeting["version"], "0.0.0-test");
        let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        assert_eq!(greeting["hostname"], hostname.trim());
    }
    assert_eq!(application.get("/api/visitors").await.json(), json!({ "visitors": 3 }));
    assert_eq!(application.get("/api/visitors").await.json(), json!({ "visitors": 3 }));
}

async fn health_and_readiness_say_ok() {
    let application = Application::start().await;
    let health = application.get("/health").await;
    assert_eq!((health.status, health.json()), (200, json!({ "status": "ok" })));
    let ready = application.get("/ready").await;
    assert_eq!(ready.status, 200);
    assert_eq!(
        ready.json(),
        json!({ "status": "ok", "postgres": { "status": "up" }, "redis": { "status": "up" } })
    );
}

async fn head_is_get_without_a_body() {
    let application = Application::start().await;
    for path in ["/health", "/ready", "/metrics", "/openapi.json", "/api/visitors", "/api/data"] {
        let answer = application.send(Method::Head, path, &[], b"").await;
        assert_eq!((answer.status, answer.body.len()), (200, 0), "{path}");
    }
}

async fn an_unknown_path_is_a_404_problem() {
    let application = Application::start().await;
    for path in ["/nothing", "/api", "/api/data/1/more", "/API/data", "/health/x", "/%00", "/..%2fetc"] {
        let answer = application.get(path).await;
        assert_eq!((answer.status, answer.problem().as_str()), (404, "not-found"), "{path}");
    }
}

async fn a_method_that_a_path_lacks_is_a_405_problem() {
    let application = Application::start().await;
    for (method, path, allow) in [
        (Method::Post, "/", "GET, HEAD"),
        (Method::Delete, "/health", "GET, HEAD"),
        (Method::Put, "/api/data", "GET, HEAD, POST"),
        (Method::Options, "/api/data", "GET, HEAD, POST"),
        (Method::Patch, "/api/data/1", "GET, HEAD"),
        (Method::Trace, "/metrics", "GET, HEAD"),
    ] {
        let answer = application.send(method, path, &[], b"").await;
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (405, "method-not-allowed"),
            "{method} {path}"
        );
        assert_eq!(answer.header("Allow"), Some(allow), "{method} {path}");
    }
}

async fn a_form_changes_no_method() {
    let application = Application::start().await;
    let form = "application/x-www-form-urlencoded";
    let sent = [
        (Method::Post, "/", "_method=get", form, 405),
        (Method::Post, "/", "&_method=GET&more=1", form, 405),
        (Method::Post, "/", "_method=head", "application/x-www-form-urlencoded; charset=utf-8", 405),
        (Method::Post, "/api/visitors", "_method=get&more=1", form, 405),
        (Method::Post, "/api/data", "_method=put", form, 415),
        (Method::Post, "/api/data", "_method=delete", form, 415),
        (Method::Post, "/api/data", "_method=post", form, 415),
        (Method::Post, "/api/data", "_method=nothing", form, 415),
        (Method::Post, "/api/data", "_method", form, 415),
        (Method::Post, "/api/data", "more=1&_method=put", form, 415),
        (Method::Post, "/api/data", "_method=put", "application/json", 400),
        (Method::Put, "/api/data", "_method=post", form, 405),
        (Method::Get, "/health", "", form, 200),
        (Method::Get, "/health", "_method=put", form, 200),
    ];
    for (number, (method, path, body, media_type, status)) in sent.iter().enumerate() {
        let headers = [("Content-Type", *media_type), ("X-Request-Id", &format!("form-{number}"))];
        let answer = application.send(*method, path, &headers, body.as_bytes()).await;
        assert_eq!(answer.status, *status, "{method} {path} {body:?}");
    }
    assert_eq!(application.get("/api/visitors").await.json(), json!({ "visitors": 0 }));
    let lines = application.stop().await;
    for (number, (method, ..)) in sent.iter().enumerate() {
        let id = format!("form-{number}");
        let line = lines.iter().find(|line| line["request_id"] == id).expect("a line");
        assert_eq!(line["method"], method.as_str(), "{line}");
    }
}

async fn a_sane_request_id_is_repeated_and_another_replaced() {
    let application = Application::start().await;
    for path in ["/health", "/nothing"] {
        let answer = application.send(Method::Get, path, &[("X-Request-Id", "a-sane_id.1")], b"").await;
        assert_eq!(answer.header("X-Request-Id"), Some("a-sane_id.1"));
        for id in ["", "with space", "quote\"", &"x".repeat(129)] {
            let answer = application.send(Method::Get, path, &[("X-Request-Id", id)], b"").await;
            let given = answer.header("X-Request-Id").unwrap();
            assert!(
                given.len() == 32 && given.bytes().all(|byte| byte.is_ascii_hexdigit()),
                "{given:?} for {id:?}"
            );
        }
    }
}

async fn a_valid_traceparent_is_passed_on_and_another_ignored() {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    let application = Application::start().await;
    let valid = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let answer = application.send(Method::Get, "/", &[("traceparent", &valid)], b"").await;
    let passed = answer.header("traceparent").unwrap();
    assert!(passed.starts_with(&format!("00-{TRACE}-")) && passed.ends_with("-01"), "{passed}");
    assert_ne!(passed, valid, "the answer names our own span");

    let twice = [("traceparent", valid.as_str()), ("traceparent", valid.as_str())];
    for headers in [&[][..], &[("traceparent", "nonsense")][..], &twice[..]] {
        let answer = application.send(Method::Get, "/", headers, b"").await;
        assert_eq!(answer.header("traceparent"), None);
        assert_eq!(answer.header("X-Content-Type-Options"), Some("nosniff"));
    }
    let lines = application.stop().await;
    let traces: Vec<&str> = lines.iter().filter_map(|line| line["trace_id"].as_str()).collect();
    assert_eq!(traces.iter().filter(|trace| **trace == TRACE).count(), 1, "{traces:?}");
    assert!(traces.iter().all(|trace| trace.len() == 32), "{traces:?}");
}

async fn metrics_show_every_promised_name() {
    let application = Application::start().await;
    application.get("/").await;
    application.post(&json!({ "name": "n", "value": 1 }), None).await;
    application.get("/api/data").await;
    // A Redis that is being given its count while the visit comes counts it a moment later.
    let counted = async || application.get("/metrics").await.text().contains("\napp_visitors_pending 0\n");
    until("the visit to be counted", counted).await;
    let answer = application.get("/metrics").await;
    assert!(answer.header("Content-Type").unwrap().starts_with("text/plain"), "{:?}", answer.headers);
    for name in [
        "app_requests_total{endpoint=\"/\",method=\"GET\",status=\"200\"} 1",
        "app_requests_total{endpoint=\"/api/data\",method=\"POST\",status=\"201\"} 1",
        "app_request_latency_seconds_bucket{endpoint=\"/\",method=\"GET\",le=\"+Inf\"} 1",
        "app_requests_in_flight 1",
        "app_db_pool_size 8",
        "app_db_pool_connections ",
        "app_db_pool_idle ",
        "app_db_pool_wait_seconds_count ",
        "app_db_batch_rows_count 1",
        "app_cache_hits_total ",
        "app_cache_misses_total 1",
        "app_visits_total 1",
        "app_visitors 1",
        "app_visitors_pending 0",
        "app_spans_exported_total 0",
        "app_spans_dropped_total 0",
        "app_postgres_up 1",
        "app_redis_up 1",
        "app_build_info{version=\"0.0.0-test\"} 1",
        "process_cpu_seconds_total ",
        "process_resident_memory_bytes ",
        "process_open_fds ",
        "process_start_time_seconds ",
        "tokio_workers ",
        "tokio_alive_tasks ",
        "tokio_global_queue_depth ",
        "tokio_worker_busy_seconds_total ",
    ] {
        assert!(answer.text().lines().any(|line| line.starts_with(name)), "{name} in\n{}", answer.text());
    }
}

async fn the_openapi_document_is_served() {
    let application = Application::start().await;
    let document = application.get("/openapi.json").await.json();
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["paths"].as_object().unwrap().len(), 8);
}
