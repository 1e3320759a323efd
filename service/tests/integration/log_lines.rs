//! Owns the promises of the log and the metrics, as data: one line a request with the promised fields, counters that add
//! up, labels that stay bounded, and nothing secret.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use diesel::connection::SimpleConnection;
use rocket::{
    futures::future::{join, join_all},
    http::Method,
};
use serde_json::{Value, json};
use service::metrics::MOST_SERIES;
use tokio::runtime::Handle;

use crate::{
    application::Application,
    servers::{self, until},
    tests,
    wire::{Connection, Served},
};

tests![
    every_request_yields_exactly_one_line,
    the_latency_is_what_a_request_took,
    counters_and_lines_add_up_under_concurrency,
    labels_are_bounded_under_random_paths,
    a_clients_address_is_taken_from_the_header_of_a_trusted_proxy_only,
    nothing_secret_is_logged,
    a_fault_is_logged_under_the_id_of_its_request,
];

fn requests(lines: &[Value]) -> Vec<&Value> {
    lines.iter().filter(|line| line["msg"] == "request").collect()
}

async fn every_request_yields_exactly_one_line() {
    let application = Application::start().await;
    let long = format!("/{}", "%C3%A9".repeat(200));
    let sent = [
        (Method::Get, "/", "/", 200),
        (Method::Head, "/health", "/health", 200),
        (Method::Get, "/ready", "/ready", 200),
        (Method::Get, "/metrics", "/metrics", 200),
        (Method::Get, "/openapi.json", "/openapi.json", 200),
        (Method::Get, "/api/visitors", "/api/visitors", 200),
        (Method::Get, "/api/data?limit=3", "/api/data", 200),
        (Method::Get, "/api/data?limit=x", "/api/data", 422),
        (Method::Get, "/api/data/7", "/api/data/{id}", 404),
        (Method::Post, "/api/data", "/api/data", 415),
        (Method::Put, "/api/data", "unmatched", 405),
        (Method::Get, "/nothing", "unmatched", 404),
        (Method::Get, &long, "unmatched", 404),
    ];
    let mut took = Vec::new();
    for (number, (method, path, ..)) in sent.iter().enumerate() {
        let id = format!("request-{number}");
        took.push(application.send(*method, path, &[("X-Request-Id", &id)], b"").await.took.as_secs_f64());
    }
    let lines = application.stop().await;
    for (number, (method, path, endpoint, status)) in sent.iter().enumerate() {
        let id = format!("request-{number}");
        let of_it: Vec<&Value> = lines.iter().filter(|line| line["request_id"] == id).collect();
        assert_eq!(of_it.len(), 1, "{of_it:?}");
        let line = of_it[0].as_object().unwrap();
        assert_eq!(line["method"], method.as_str());
        assert_eq!(line["endpoint"], *endpoint);
        assert_eq!(line["status"], *status, "{line:?}");
        let bare = path.split('?').next().unwrap_or_default();
        assert_eq!(line["path"], &bare[..bare.len().min(512)], "without its query, and not endless");
        let within = |seconds| 0.0 < seconds && seconds <= took[number];
        assert!(line["latency"].as_f64().is_some_and(within), "{line:?} of {} s", took[number]);
        assert!(line["trace_id"].as_str().is_some_and(|id| id.len() == 32), "{line:?}");
        assert!(line["ip"].is_string() && line["timestamp"].as_str().unwrap().ends_with('Z'), "{line:?}");
        let names: BTreeSet<&str> = line.keys().map(String::as_str).collect();
        let promised = [
            "timestamp",
            "level",
            "msg",
            "method",
            "path",
            "endpoint",
            "status",
            "latency",
            "ip",
            "request_id",
            "trace_id",
        ];
        assert_eq!(names, BTreeSet::from(promised));
    }
}

async fn the_latency_is_what_a_request_took() {
    let application = Application::start_with(&[("DB_DEADLINE_SECONDS", "60")]).await;
    let database = &application.database;
    let mut holder = servers::sql(servers::postgres().await.port, database);
    holder.batch_execute("BEGIN; LOCK TABLE items IN ACCESS EXCLUSIVE MODE").expect("the lock");
    let waits = "SELECT count(*) AS number FROM pg_stat_activity WHERE datname = current_database() \
         AND wait_event_type = 'Lock'";
    let release = async {
        until("the request to wait", async || servers::ask(database, waits).await > 0).await;
        let begun = Instant::now();
        // Each a new connection to Postgres: some time passes.
        for _ in 0..5 {
            assert_eq!(servers::ask(database, waits).await, 1);
        }
        let held = begun.elapsed();
        holder.batch_execute("COMMIT").expect("the lock's end");
        held
    };
    let id = [("X-Request-Id", "held")];
    let (answer, held) = join(application.send(Method::Get, "/api/data/1", &id, b""), release).await;
    assert_eq!(answer.status, 404);
    let metrics = application.get("/metrics").await;
    let series = "app_request_latency_seconds_sum{endpoint=\"/api/data/{id}\",method=\"GET\"} ";
    let sum = metrics.text().lines().find_map(|line| line.strip_prefix(series)).expect("a sum");
    let lines = application.stop().await;
    let line = lines.iter().find(|line| line["request_id"] == "held").expect("a line");
    let latency = line["latency"].as_f64().expect("a number");
    let within = held.as_secs_f64()..=answer.took.as_secs_f64();
    assert!(within.contains(&latency), "{latency} in {within:?}");
    let sum: f64 = sum.parse().expect("a number");
    assert!(within.contains(&sum), "{sum} in {within:?}");
}

async fn counters_and_lines_add_up_under_concurrency() {
    const THREADS: usize = 4;
    let application = Application::start().await;
    let sent = [
        (Method::Get, "/"),
        (Method::Get, "/health"),
        (Method::Head, "/api/visitors"),
        (Method::Get, "/api/data"),
        (Method::Get, "/api/data?limit=x"),
        (Method::Get, "/api/data/1"),
        (Method::Post, "/api/data"),
        (Method::Get, "/nothing"),
        (Method::Put, "/nothing/else"),
    ];
    let runtime = Handle::current();
    // Threads, because what one thread does at once it counts one after the other.
    tokio::task::block_in_place(|| {
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    let all = (0..100).flat_map(|_| &sent);
                    let all = all.map(|(method, path)| application.send(*method, path, &[], b""));
                    runtime.block_on(join_all(all));
                });
            }
        });
    });
    let text = application.get("/metrics").await.text().to_owned();
    let each = (THREADS * 100) as u64;
    assert_eq!(sum(&text, "app_visits_total"), each);
    assert_eq!(sum(&text, "app_requests_in_flight"), 1, "the one that asks");
    let lines = application.stop().await;
    // What others ask, readiness and metrics, is asked meanwhile too.
    let mut said: BTreeMap<String, u64> = BTreeMap::new();
    for line in requests(&lines).into_iter().filter(|line| line["path"] != "/metrics") {
        let [endpoint, method] = ["endpoint", "method"].map(|name| line[name].as_str().expect("a text"));
        let labels = format!("endpoint=\"{endpoint}\",method=\"{method}\"");
        *said.entry(format!("app_requests_total{{{labels},status=\"{}\"}}", line["status"])).or_default() +=
            1;
        *said.entry(format!("app_request_latency_seconds_count{{{labels}}}")).or_default() += 1;
    }
    let counted = text.lines().filter_map(|line| line.rsplit_once(' '));
    let counted = counted.filter(|(series, _)| {
        series.starts_with("app_requests_total{") || series.starts_with("app_request_latency_seconds_count{")
    });
    let counted: BTreeMap<String, u64> =
        counted.map(|(series, value)| (series.to_owned(), value.parse().expect("a number"))).collect();
    assert_eq!(counted, said, "every series is what the log says");
    assert_eq!(said["app_requests_total{endpoint=\"/api/data\",method=\"GET\",status=\"422\"}"], each);
    assert_eq!(said["app_requests_total{endpoint=\"unmatched\",method=\"PUT\",status=\"404\"}"], each);
}

fn sum(metrics: &str, series: &str) -> u64 {
    let values = metrics.lines().filter(|line| line.starts_with(series));
    values.map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum()
}

fn series(metrics: &str) -> usize {
    metrics.lines().filter(|line| !line.starts_with('#')).count()
}

async fn labels_are_bounded_under_random_paths() {
    let application = Application::start().await;
    let methods = [
        Method::Get,
        Method::Post,
        Method::Put,
        Method::Delete,
        Method::Patch,
        Method::Head,
        Method::Options,
    ];
    let send = async |numbers: std::ops::Range<usize>| {
        for number in numbers {
            let path = format!("/{:x}/{:x}", number * 7919, number * 104_729);
            application.send(methods[number % methods.len()], &path, &[], b"").await;
            application.get(&format!("/api/data/{}", number * 31)).await;
        }
    };
    send(0..300).await;
    // The request for the metrics has series of its own, which the next one shows.
    application.get("/metrics").await;
    let metrics = application.get("/metrics").await;
    let all = series(metrics.text());
    assert!((50..=MOST_SERIES).contains(&all), "{all} series");
    assert_eq!(service::routes::endpoints().len(), 17, "MOST_SERIES counts them");
    send(300..600).await;
    assert_eq!(series(application.get("/metrics").await.text()), all, "none is new for another path");
    let endpoints: BTreeSet<&str> = metrics
        .text()
        .lines()
        .filter_map(|line| line.split_once("endpoint=\"")?.1.split_once('"'))
        .map(|(endpoint, _)| endpoint)
        .collect();
    let known = [
        "/",
        "/health",
        "/ready",
        "/metrics",
        "/openapi.json",
        "/api/visitors",
        "/api/data",
        "/api/data/{id}",
        "unmatched",
    ];
    assert!(endpoints.iter().all(|endpoint| known.contains(endpoint)), "{endpoints:?}");
    let counters = metrics.text().lines().filter(|line| line.starts_with("app_requests_total{")).count();
    assert!(counters < 20, "{counters} series");
}

async fn a_clients_address_is_taken_from_the_header_of_a_trusted_proxy_only() {
    for (changes, logged) in [
        (&[("REAL_IP_HEADER", "X-Client")] as &[_], ["192.0.2.7", "127.0.0.1", "127.0.0.1"]),
        (&[], ["127.0.0.1"; 3]),
    ] {
        let database = servers::postgres().await.database().await;
        let (postgres, redis) = (servers::postgres().await.port, servers::redis().await.port);
        let served = Served::start(&servers::variables(postgres, &database, redis, changes)).await;
        for header in [("X-Client", "192.0.2.7"), ("X-Real-IP", "192.0.2.8"), ("X-Client", "nobody")] {
            let mut connection = Connection::open(served.port).await.expect("a connection");
            connection.send("GET", "/nothing", &[header], b"").await.expect("an answer");
        }
        let end = served.stop().await;
        let lines = end.lines.iter().filter(|line| line["path"] == "/nothing");
        let addresses: Vec<&str> = lines.map(|line| line["ip"].as_str().expect("an address")).collect();
        assert_eq!(addresses, logged, "{changes:?}");
    }
}

async fn nothing_secret_is_logged() {
    let changes = [("LOG_LEVEL", "debug"), ("REAL_IP_HEADER", "X-Client")];
    let database = servers::postgres().await.database().await;
    let (postgres, redis) = (servers::postgres().await.port, servers::redis().await.port);
    // The program itself, because only there libraries log what the service logs.
    let served = Served::start(&servers::variables(postgres, &database, redis, &changes)).await;
    let body = json!({ "name": "body-secret", "value": "body-secret" }).to_string();
    let headers = [
        ("Content-Type", "application/json"),
        ("Authorization", "Bearer header-secret"),
        ("Cookie", "session=header-secret"),
        ("Idempotency-Key", "header-secret"),
        ("X-Client", "header-secret"),
    ];
    // Taken, taken by no route, and some that Rocket cannot read.
    for (method, path) in [
        ("POST", "/api/data?token=query-secret"),
        ("GET", "/api/data?token=query-secret"),
        ("GET", "/nothing?token=query-secret"),
        ("DANCE", "/api/data?token=query-secret"),
        ("POST", "me:query-secret@localhost:80"),
    ] {
        let mut connection = Connection::open(served.port).await.expect("a connection");
        connection.send(method, path, &headers, body.as_bytes()).await.expect("an answer");
    }
    // Rocket drops what is no UTF-8, and would say so of each.
    let mut connection = Connection::open(served.port).await.expect("a connection");
    connection
        .write(b"GET /health HTTP/1.1\r\nHost: h\r\nheader-secret: \xff\r\n\r\n")
        .await
        .expect("a head");
    connection.read(false).await.expect("an answer");
    let end = served.stop().await;
    let text = end.lines.iter().map(Value::to_string).collect::<String>() + &end.errors;
    assert!(requests(&end.lines).len() >= 4);
    assert!(text.contains("rocket::launch"), "libraries are heard: {text}");
    for secret in ["body-secret", "header-secret", "query-secret", "it's a", "it\\\\'s a"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

async fn a_fault_is_logged_under_the_id_of_its_request() {
    let database = crate::servers::postgres().await.empty_database().await;
    let (postgres, redis) = (crate::servers::postgres().await.port, crate::servers::redis().await.port);
    let application = Application::assemble(&crate::servers::config(postgres, &database, redis, &[])).await;
    application.until_ready("unavailable").await;
    let says = |line: &Value| line["msg"].as_str().is_some_and(|text| text.contains("service migrate"));
    until("a line that names the remedy", async || application.lines.read().iter().any(says)).await;
    let answer = application.send(Method::Get, "/api/data/1", &[("X-Request-Id", "faulty")], b"").await;
    assert_eq!((answer.status, answer.problem().as_str()), (503, "unavailable"));
    assert_eq!(answer.header("Retry-After"), Some("1"));
    let lines = application.stop().await;
    let causes: Vec<&Value> = lines.iter().filter(|line| line["request_id"] == "faulty").collect();
    assert_eq!(causes.len(), 2, "{causes:?}");
    assert!(
        causes.iter().any(|line| line["cause"].as_str().is_some_and(|cause| cause.starts_with("postgres")))
    );
}
