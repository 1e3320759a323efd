//! Owns the promises of the end: after SIGTERM whatever was accepted is answered to its last byte within the grace, after a
//! kill whatever was acknowledged is there.

use std::time::{Duration, SystemTime};

use diesel::connection::SimpleConnection;
use rocket::futures::future::join_all;
use serde_json::json;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    idempotency::count,
    process::{served, variables},
    servers::{self, Port, until},
    tests, visitors,
    wire::{Connection, End, Served},
};

tests![
    a_stop_under_load_loses_nothing,
    whoever_had_connected_is_answered,
    every_201_is_found_after_a_kill_and_a_retry_doubles_nothing,
    a_request_whose_body_is_still_to_come_is_waited_for,
    a_stuck_request_is_not_waited_for_beyond_the_grace,
    an_answer_that_a_client_reads_slowly_is_written_to_its_end,
    an_answer_that_nobody_reads_is_not_waited_for_beyond_the_grace,
];

/// What one client saw: requests answered by kind, and those that were left without an answer.
#[derive(Default)]
struct Seen {
    visits: i64,
    created: i64,
    /// On a connection that had been served before, which may not be.
    unanswered: usize,
    /// The first ones of their connections, by when they were sent.
    first_unanswered: Vec<SystemTime>,
}

/// Sends requests on kept connections until the service closes them, as it announces, and no longer takes new ones.
async fn press(port: Port) -> Seen {
    let mut seen = Seen::default();
    let body = json!({ "name": "n", "value": "x" }).to_string();
    while let Some(mut connection) = Connection::open(port).await {
        for number in 0.. {
            let asked = if number % 2 == 0 {
                connection.ask("GET", "/", &[], b"").await
            } else {
                let headers = [("Content-Type", "application/json")];
                connection.ask("POST", "/api/data", &headers, body.as_bytes()).await
            };
            let sent = SystemTime::now();
            let answer = if asked.is_some() { connection.read(false).await } else { None };
            let Some(answer) = answer else {
                if number > 0 {
                    seen.unanswered += 1;
                } else {
                    seen.first_unanswered.push(sent);
                }
                break;
            };
            match answer.status {
                200 => seen.visits += 1,
                201 => seen.created += 1,
                status => panic!("{status}: {}", answer.text()),
            }
            if answer.header("Connection") == Some("close") {
                assert!(connection.is_closed().await, "what is announced is done");
                break;
            }
        }
    }
    seen
}

async fn a_stop_under_load_loses_nothing() {
    // While it drains, every client must get an answer that tells it to go: long, for a machine where all wait for all.
    let changes = [("SHUTDOWN_DRAIN_SECONDS", "4"), ("FLUSH_INTERVAL_SECONDS", "3600")];
    let (served, database) = served(&changes).await;
    let clients: Vec<_> = (0..16).map(|_| tokio::spawn(press(served.port))).collect();
    // As many as show that all of them are at it; a machine where all wait for all takes its time for them.
    let many = async || {
        let metrics = served.get("/metrics").await;
        let visits = metrics.text().lines().find_map(|line| line.strip_prefix("app_visits_total "));
        visits.is_some_and(|visits| visits.parse::<f64>().is_ok_and(|visits| visits > 100.0))
    };
    until("a hundred visits", many).await;

    let metrics = served.get("/metrics").await;
    assert!(metrics.text().contains("\napp_log_lines_dropped_total 0\n"), "{}", metrics.text());
    served.signal("TERM").await;
    let unready = async || served.try_get("/ready").await.is_some_and(|answer| answer.status == 503);
    until("readiness to be 503 while requests are served", unready).await;
    let (end, took) = served.end().await;
    assert_eq!(end.status.code(), Some(0), "{}", end.errors);
    assert!(took < Duration::from_secs(15), "not the whole grace of 20 s after the 4 s: {took:?}");

    let closing = end.lines.iter().find(|line| line["msg"] == "closing the port").expect("a line");
    let closing = closing["timestamp"].as_str().and_then(|text| OffsetDateTime::parse(text, &Rfc3339).ok());
    let closing = SystemTime::from(closing.expect("a moment"));
    let mut sum = Seen::default();
    for seen in join_all(clients).await {
        let seen = seen.expect("a client that does not panic");
        sum.visits += seen.visits;
        sum.created += seen.created;
        sum.unanswered += seen.unanswered;
        assert!(seen.first_unanswered.len() <= 1, "whoever was turned away once finds nobody there");
        sum.first_unanswered.extend(seen.first_unanswered);
    }
    assert_eq!(sum.unanswered, 0);
    // What is sent while the port closes comes too late, of each client at most one.
    let early: Vec<_> = sum.first_unanswered.iter().filter(|sent| **sent < closing).collect();
    assert!(early.is_empty(), "sent before the port closed, at {closing:?}: {early:?}");
    assert!(sum.visits > 100 && sum.created > 0, "{} visits, {} items", sum.visits, sum.created);
    assert_eq!(count(&database).await, sum.created, "every 201 is there, and nothing else");
    assert_eq!(visitors::kept(&database).await, sum.visits, "the counters were flushed");
    assert!(end.lines.iter().any(|line| line["msg"] == "stopped"));
}

async fn whoever_had_connected_is_answered() {
    let (served, _) = served(&[]).await;
    // As when it gets no processor: the kernel takes connections and requests, and nobody takes them from there.
    served.signal("STOP").await;
    let mut connections = Vec::new();
    for _ in 0..64 {
        let mut connection = Connection::open(served.port).await.expect("a connection");
        connection.ask("GET", "/", &[], b"").await.expect("room for a request");
        connections.push(connection);
    }
    served.signal("TERM").await;
    served.signal("CONT").await;
    for (number, connection) in connections.iter_mut().enumerate() {
        let answer = connection.read(false).await;
        assert_eq!(answer.map(|answer| answer.status), Some(200), "request {number}");
    }
    let (end, took) = served.end().await;
    assert_eq!(end.status.code(), Some(0), "{}", end.errors);
    assert!(!end.lines.iter().any(|line| line["msg"] == "the grace is over"), "{took:?} {:#?}", end.lines);
}

/// Sends keyed items until the service is gone; the keys that were sent, with the id of each that was acknowledged.
async fn press_keyed(port: Port, client: usize) -> Vec<(String, Option<i64>)> {
    let mut sent = Vec::new();
    let Some(mut connection) = Connection::open(port).await else { return sent };
    for number in 0.. {
        let key = format!("{client}-{number}");
        let headers = [("Content-Type", "application/json"), ("Idempotency-Key", key.as_str())];
        let body = json!({ "name": key, "value": number }).to_string();
        let answer = connection.send("POST", "/api/data", &headers, body.as_bytes()).await;
        let id = answer.map(|answer| {
            assert_eq!(answer.status, 201, "{}", answer.text());
            answer.json()["id"].as_i64().expect("an id")
        });
        sent.push((key, id));
        if id.is_none() {
            break;
        }
    }
    sent
}

async fn every_201_is_found_after_a_kill_and_a_retry_doubles_nothing() {
    let (served, database) = served(&[]).await;
    let clients: Vec<_> = (0..16).map(|client| tokio::spawn(press_keyed(served.port, client))).collect();
    until("some items", async || count(&database).await > 200).await;
    served.signal("KILL").await;
    let end = served.end().await.0;
    assert_eq!(end.status.code(), None, "killed");
    let sent: Vec<(String, Option<i64>)> = join_all(clients)
        .await
        .into_iter()
        .flat_map(|sent| sent.expect("a client that does not panic"))
        .collect();
    assert!(sent.iter().any(|(_, id)| id.is_none()), "killed in the middle");

    let successor = Served::start(&variables(&database, &[]).await).await;
    successor.until_ready("ok").await;
    for (key, id) in &sent {
        if let Some(id) = id {
            let found = successor.get(&format!("/api/data/{id}")).await;
            assert_eq!((found.status, &found.json()["name"]), (200, &json!(key)), "{id} was acknowledged");
        }
        let number: usize =
            key.split_once('-').and_then(|(_, number)| number.parse().ok()).expect("a number");
        let again = successor.post(&json!({ "name": key, "value": number }), Some(key)).await;
        let again = again.expect("an answer");
        assert_eq!(again.status, 201, "{}", again.text());
        if let Some(id) = id {
            assert_eq!(again.json()["id"], *id, "a retry is told of the first");
        }
    }
    assert_eq!(count(&database).await, i64::try_from(sent.len()).expect("a count"), "each item once");
    assert_eq!(successor.stop().await.status.code(), Some(0));
}

/// Far longer than an end takes that waits for nothing.
const NOT_AT_ONCE: Duration = Duration::from_secs(1);

async fn a_request_whose_body_is_still_to_come_is_waited_for() {
    let (mut served, database) = served(&[]).await;
    let body = json!({ "name": "n", "value": 1 }).to_string();
    let head = format!(
        "POST /api/data HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Expect: 100-continue\r\n\r\n",
        body.len()
    );
    let mut connection = Connection::open(served.port).await.expect("a connection");
    connection.write(head.as_bytes()).await.expect("a head");
    assert_eq!(connection.read(true).await.expect("a word that the head was read").status, 100);
    served.signal("TERM").await;
    served.until_closed().await;
    assert!(served.stays(NOT_AT_ONCE).await, "it ended before the request");
    connection.write(body.as_bytes()).await.expect("a body");
    assert_eq!(connection.read(false).await.expect("an answer").status, 201);
    let end = served.end().await.0;
    assert_eq!(end.status.code(), Some(0), "{}", end.errors);
    assert!(!end.lines.iter().any(|line| line["msg"] == "the grace is over"), "{:#?}", end.lines);
    assert_eq!(count(&database).await, 1);
}

async fn a_stuck_request_is_not_waited_for_beyond_the_grace() {
    let changes = [("SHUTDOWN_GRACE_SECONDS", "0.4"), ("DB_DEADLINE_SECONDS", "30")];
    let (served, database) = served(&changes).await;
    let mut holder = servers::sql(servers::postgres().await.port, &database);
    holder.batch_execute("BEGIN; LOCK TABLE items IN ACCESS EXCLUSIVE MODE").expect("the lock");
    let port = served.port;
    let stuck = tokio::spawn(async move {
        Connection::open(port).await.expect("a connection").send("GET", "/api/data/1", &[], b"").await
    });
    let in_flight = async || served.get("/metrics").await.text().contains("app_requests_in_flight 2");
    until("the request to be stuck", in_flight).await;
    served.signal("INT").await;
    let (end, took) = served.end().await;
    assert_eq!(end.status.code(), Some(0));
    assert!(took < Duration::from_secs(15), "not until the request's deadline of 30 s: {took:?}");
    assert!(end.lines.iter().any(|line| line["msg"] == "the grace is over"), "{:#?}", end.lines);
    assert!(stuck.await.expect("no panic").is_none());
}

/// Fills the list with as much as one page holds, some 1.2 MB.
async fn fill(served: &Served) {
    let large = json!({ "name": "large", "value": "x".repeat(60_000) });
    for answer in join_all((0..20).map(|_| served.post(&large, None))).await {
        assert_eq!(answer.expect("an answer").status, 201);
    }
}

const LIST: &[u8] = b"GET /api/data?limit=100 HTTP/1.1\r\nHost: h\r\n\r\n";

/// The requests for the list that were answered, as the log has them.
fn answered(end: &End) -> usize {
    end.lines.iter().filter(|line| line["endpoint"] == "/api/data" && line["method"] == "GET").count()
}

async fn an_answer_that_a_client_reads_slowly_is_written_to_its_end() {
    // One answer is with the kernel when the service shuts down; of many, at once asked for, more than the kernel takes.
    for times in [1, 8] {
        let (mut served, _) = served(&[("SHUTDOWN_GRACE_SECONDS", "60")]).await;
        fill(&served).await;
        let mut connection = Connection::open_narrow(served.port).await.expect("a connection");
        connection.write(&LIST.repeat(times)).await.expect("requests");
        let line = r#"app_requests_total{endpoint="/api/data",method="GET",status="200"} "#;
        let begun = async || served.get("/metrics").await.text().contains(line);
        until("an answer to begin", begun).await;
        served.signal("TERM").await;
        served.until_closed().await;
        assert!(served.stays(NOT_AT_ONCE).await, "it ended before the client had its answer");

        let mut read = 0;
        while let Some(answer) = connection.read(false).await {
            assert_eq!(answer.status, 200);
            assert!(answer.json()["items"].as_array().is_some_and(|items| items.len() == 18));
            read += 1;
        }
        assert!(connection.is_at_an_end(), "a part of an answer");
        let end = served.end().await.0;
        assert_eq!(end.status.code(), Some(0), "{}", end.errors);
        assert!(!end.lines.iter().any(|line| line["msg"] == "the grace is over"), "{:#?}", end.lines);
        assert!((1..=times).contains(&read), "{read} answers");
        assert_eq!(answered(&end), read, "each that was begun came whole");
    }
}

async fn an_answer_that_nobody_reads_is_not_waited_for_beyond_the_grace() {
    for times in [1, 8] {
        let (served, _) = served(&[("SHUTDOWN_GRACE_SECONDS", "0.4")]).await;
        fill(&served).await;
        let mut connection = Connection::open_narrow(served.port).await.expect("a connection");
        connection.write(&LIST.repeat(times)).await.expect("requests");
        let line = r#"app_requests_total{endpoint="/api/data",method="GET",status="200"} "#;
        until("an answer", async || served.get("/metrics").await.text().contains(line)).await;
        let end = served.stop().await;
        assert_eq!(end.status.code(), Some(0), "{}", end.errors);
        let said = end.lines.iter().find(|line| line["msg"] == "the grace is over");
        let said = said.unwrap_or_else(|| panic!("{:#?}", end.lines));
        assert!(said["unsent_bytes"].as_u64().is_some_and(|bytes| bytes > 0), "{said}");
    }
}
