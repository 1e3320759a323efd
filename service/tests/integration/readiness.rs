//! Owns the promises of `/ready`: what it says of each dependency, and that its own deadline holds whatever else the
//! service is busy with.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use diesel::connection::SimpleConnection;
use rocket::futures::{StreamExt, stream::FuturesUnordered};
use serde_json::{Value, json};

use crate::{
    application::Application,
    process::{served, variables},
    proxy::{Mood, Proxy},
    servers::{self, config, until},
    tests,
    wire::{Connection, Served},
};

tests![
    readiness_tells_silence_from_refusal,
    while_shutting_down_readiness_is_503_and_requests_are_served,
    readiness_does_not_wait_behind_an_exhausted_pool,
    a_silent_postgres_is_told_before_those_who_wait_for_it,
    readiness_has_its_turn_among_many_clients,
];

async fn while_shutting_down_readiness_is_503_and_requests_are_served() {
    let application = Application::start().await;
    assert_eq!(application.get("/").await.header("Connection"), None);
    application.parts.draining.begin();
    let ready = application.get("/ready").await;
    assert_eq!((ready.status, ready.json()["status"].as_str()), (503, Some("shutting-down")));
    for path in ["/", "/health", "/api/data"] {
        let answer = application.get(path).await;
        assert_eq!((answer.status, answer.header("Connection")), (200, Some("close")), "{path}");
    }
    until("the end of every request", async || application.parts.recording.open_requests() == 0).await;
}

async fn readiness_tells_silence_from_refusal() {
    let (postgres, redis) = (servers::postgres().await, servers::redis().await);
    // Whichever of the two deadlines is over first.
    for (command, ready) in [("0.5", "20"), ("20", "0.5")] {
        let proxy = Proxy::to(redis.port).await;
        let changes = [("REDIS_DEADLINE_SECONDS", command), ("READY_DEADLINE_SECONDS", ready)];
        let database = postgres.database().await;
        let application =
            Application::assemble(&config(postgres.port, &database, proxy.port, &changes)).await;
        let reason = async || application.get("/ready").await.json()["redis"]["reason"].clone();
        // The service looks by itself too: where it was quicker, there is no connection any more that could be silent.
        until("silence to be told", async || {
            proxy.set(Mood::Passing);
            application.until_ready("ok").await;
            proxy.set(Mood::Silent);
            reason().await == "timeout"
        })
        .await;
        proxy.set(Mood::Cut);
        until("a refusal to be told", async || reason().await == "unreachable").await;
    }
}

/// Far more than there are connections to Postgres and threads that could wait for one.
const MANY: usize = 100;

/// Whoever waits for Postgres waits longer than a test takes; readiness less, and more than a busy machine needs for it.
const PATIENT: [(&str, &str); 3] =
    [("DB_POOL_SIZE", "4"), ("DB_DEADLINE_SECONDS", "60"), ("READY_DEADLINE_SECONDS", "10")];

/// Sends requests that need Postgres, on a connection each, and waits until the service has all of them. `None`: one was
/// not answered before the end.
async fn press(served: &Served) -> FuturesUnordered<impl Future<Output = Option<u16>> + use<>> {
    let port = served.port;
    let body = json!({ "name": "n", "value": 1 }).to_string();
    let requests: FuturesUnordered<_> = (0..MANY)
        .map(|number| {
            let body = body.clone();
            // Each at once, whether anybody waits for it or not.
            let sent = tokio::spawn(async move {
                let mut connection = Connection::open(port).await.expect("a connection");
                let headers = [("Content-Type", "application/json")];
                let (method, path, body) = match number % 3 {
                    0 => ("POST", "/api/data", body.as_bytes()),
                    1 => ("GET", "/api/data/1", &b""[..]),
                    _ => ("GET", "/api/data?limit=7", &b""[..]),
                };
                Some(connection.send(method, path, &headers, body).await?.status)
            });
            async { sent.await.expect("no panic") }
        })
        .collect();
    let waiting = format!("\napp_requests_in_flight {}\n", MANY + 1);
    until("all to wait", async || served.get("/metrics").await.text().contains(&waiting)).await;
    requests
}

/// Asks for readiness; none of those who wait for Postgres may be answered before.
async fn ready_before(
    served: &Served,
    waiting: &mut FuturesUnordered<impl Future<Output = Option<u16>>>,
) -> Value {
    tokio::select! {
        biased;
        ready = served.get("/ready") => ready.json(),
        other = waiting.next() => panic!("{other:?} came before readiness"),
    }
}

async fn readiness_does_not_wait_behind_an_exhausted_pool() {
    let (served, database) = served(&PATIENT).await;
    let mut holder = servers::sql(servers::postgres().await.port, &database);
    holder.batch_execute("BEGIN; LOCK TABLE items IN ACCESS EXCLUSIVE MODE").expect("the lock");
    let mut waiting = press(&served).await;
    for _ in 0..3 {
        let up = json!({ "status": "up" });
        let ready = ready_before(&served, &mut waiting).await;
        assert_eq!(ready, json!({ "status": "ok", "postgres": up, "redis": up }));
    }
    holder.batch_execute("ROLLBACK").expect("the lock's end");
    let answers: Vec<Option<u16>> = waiting.collect().await;
    assert!(answers.iter().all(|status| matches!(status, Some(200 | 201 | 404))), "{answers:?}");
    assert_eq!(served.stop().await.status.code(), Some(0));
}

async fn a_silent_postgres_is_told_before_those_who_wait_for_it() {
    let proxy = Proxy::to(servers::postgres().await.port).await;
    let database = servers::postgres().await.database().await;
    let variables = servers::variables(proxy.port, &database, servers::redis().await.port, &PATIENT);
    let served = Served::start(&variables).await;
    served.until_ready("ok").await;
    // All of them are let in before anybody knows; the probe's next question is the first to find out.
    let mut holder = servers::sql(servers::postgres().await.port, &database);
    holder.batch_execute("BEGIN; LOCK TABLE items IN ACCESS EXCLUSIVE MODE").expect("the lock");
    let mut waiting = press(&served).await;
    proxy.set(Mood::Silent);
    let timeout = json!({ "status": "down", "reason": "timeout" });
    until("silence to be told", async || ready_before(&served, &mut waiting).await["postgres"] == timeout)
        .await;
    // Whoever comes now does not join them.
    tokio::select! {
        biased;
        refused = served.get("/api/data/1") => assert_eq!(refused.problem(), "unavailable"),
        other = waiting.next() => panic!("{other:?} came before a refusal"),
    }
    proxy.set(Mood::Passing);
    holder.batch_execute("ROLLBACK").expect("the lock's end");
    served.until_ready("ok").await;
}

async fn readiness_has_its_turn_among_many_clients() {
    // One thread serves all of them. The deadline is what a machine may need on which all tests wait for all.
    let database = servers::postgres().await.database().await;
    let changes = [("WORKERS", "1"), ("READY_DEADLINE_SECONDS", "20")];
    let served = Served::start(&variables(&database, &changes).await).await;
    served.until_ready("ok").await;
    let (end, ends) = tokio::sync::watch::channel(false);
    let (port, answered) = (served.port, Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..MANY)
        .map(|_| {
            let (ends, answered) = (ends.clone(), Arc::clone(&answered));
            tokio::spawn(async move {
                let mut connection = Connection::open(port).await.expect("a connection");
                let mut ask = async || {
                    assert_eq!(connection.send("GET", "/", &[], b"").await.expect("an answer").status, 200);
                };
                ask().await;
                answered.fetch_add(1, Ordering::Relaxed);
                while !*ends.borrow() {
                    ask().await;
                }
            })
        })
        .collect();
    until("each to be served", async || answered.load(Ordering::Relaxed) == MANY).await;
    for _ in 0..20 {
        let ready = served.get("/ready").await;
        assert_eq!((ready.status, &ready.json()["status"]), (200, &json!("ok")), "{}", ready.text());
    }
    end.send_replace(true);
    for client in clients {
        client.await.expect("a client whose every answer was good");
    }
}
