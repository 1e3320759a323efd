//! Owns the promises of the pool of Postgres connections that no outage shows: one that works is used again, one that
//! broke serves nobody a second time, one that is stuck is free again.

use std::time::{Duration, Instant};

use diesel::{QueryableByName, RunQueryDsl, connection::SimpleConnection, sql_types::Integer};

use crate::{
    application::Application,
    servers::{self, until},
    tests,
};

tests![
    a_connection_is_used_again_until_it_breaks,
    one_that_broke_while_nobody_used_it_fails_no_request,
    connections_that_end_while_nobody_uses_them_fail_no_request,
    what_nobody_waits_for_any_more_is_ended_in_postgres,
    a_wait_for_ones_turn_is_measured,
];

#[derive(QueryableByName)]
struct Session {
    #[diesel(sql_type = Integer)]
    pid: i32,
}

/// The sessions of a database that asked for one item last.
fn readers(database: &str, port: servers::Port) -> Vec<i32> {
    let query = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() \
         AND application_name = 'service' AND query LIKE '%\"items\".\"id\" = $1%'";
    sessions(query, database, port)
}

/// The sessions of a database whose statement is not done.
fn at_work(database: &str, port: servers::Port) -> Vec<i32> {
    let query = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() \
         AND application_name = 'service' AND wait_event_type = 'Lock'";
    sessions(query, database, port)
}

fn sessions(query: &str, database: &str, port: servers::Port) -> Vec<i32> {
    let sessions: Vec<Session> =
        diesel::sql_query(query).load(&mut servers::sql(port, database)).expect("the sessions");
    sessions.into_iter().map(|session| session.pid).collect()
}

/// One connection for readers, and nothing else that uses the pool meanwhile; deadlines that a busy machine meets.
const ONE_READER: [(&str, &str); 5] = [
    ("DB_POOL_SIZE", "3"),
    ("FLUSH_INTERVAL_SECONDS", "3600"),
    ("SWEEP_INTERVAL_SECONDS", "86400"),
    ("DB_DEADLINE_SECONDS", "30"),
    ("READY_DEADLINE_SECONDS", "30"),
];

/// Has Postgres end a session, which is there all the time: so says the probe, which has a connection of its own.
fn end_session(pid: i32, database: &str, port: servers::Port) {
    diesel::sql_query(format!("SELECT pg_terminate_backend({pid}, 10000)"))
        .execute(&mut servers::sql(port, database))
        .expect("its end");
}

async fn a_connection_is_used_again_until_it_breaks() {
    let application = Application::start_with(&ONE_READER).await;
    let port = servers::postgres().await.port;
    let ask = async || application.get("/api/data/1").await.status;
    assert_eq!(ask().await, 404);
    let before = readers(&application.database, port);
    assert_eq!(before.len(), 1, "{before:?}");
    assert_eq!(ask().await, 404);
    assert_eq!(readers(&application.database, port), before, "the same one");

    end_session(before[0], &application.database, port);
    assert_eq!(ask().await, 404, "it is asked again on another one");
    let after = readers(&application.database, port);
    assert!(after.len() == 1 && after != before, "{before:?} {after:?}");
}

async fn one_that_broke_while_nobody_used_it_fails_no_request() {
    let application = Application::start_with(&ONE_READER).await;
    let port = servers::postgres().await.port;
    let ask = async || application.get("/api/data/1").await.status;
    assert_eq!(ask().await, 404);
    let begun = Instant::now();
    let before = readers(&application.database, port);
    end_session(before[0], &application.database, port);
    // What was used just now is trusted, for half a second.
    until("a second gone by", async || begun.elapsed() > Duration::from_secs(1)).await;
    assert_eq!(ask().await, 404, "it is tried before it is used again");
    assert_ne!(readers(&application.database, port), before);
}

async fn connections_that_end_while_nobody_uses_them_fail_no_request() {
    let application =
        Application::start_with(&[("DB_DEADLINE_SECONDS", "30"), ("READY_DEADLINE_SECONDS", "30")]).await;
    let (port, database) = (servers::postgres().await.port, application.database.clone());
    let body = serde_json::json!({"name": "kept", "value": 1});
    for round in 0..5 {
        // Some connections for readers, and one for a writer.
        let readers =
            futures_util::future::join_all((0..8).map(|_| application.get("/api/data/999999"))).await;
        assert!(readers.iter().all(|answer| answer.status == 404), "{round}: {readers:?}");
        assert_eq!(application.post(&body, None).await.status, 201, "{round}");
        // As a restore does it: all of them at once, the probe's own too. Waited for, so that each is closed.
        let ended = diesel::sql_query(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = current_database() \
             AND pid <> pg_backend_pid()",
        )
        .execute(&mut servers::sql(port, &database))
        .expect("their end");
        assert!(ended > 1, "{round}: {ended} were there");
        let more = futures_util::future::join_all((0..8).map(|_| application.get("/api/data/999999"))).await;
        assert!(more.iter().all(|answer| answer.status == 404), "{round}: {more:?}");
        // Whoever writes is not asked to write twice, so the connections are doubted before.
        assert_eq!(application.post(&body, None).await.status, 201, "{round}");
        assert_eq!(application.get("/ready").await.status, 200, "{round}");
    }
}

async fn what_nobody_waits_for_any_more_is_ended_in_postgres() {
    let application = Application::start_with(&[("DB_DEADLINE_SECONDS", "2")]).await;
    let (port, database) = (servers::postgres().await.port, application.database.clone());
    let mut holder = servers::sql(port, &database);
    holder.batch_execute("BEGIN; LOCK TABLE items IN ACCESS EXCLUSIVE MODE").expect("the lock");
    // On a busy machine the deadline may be over before the statement has reached Postgres: then the next one is asked.
    until("a statement that waits", async || {
        let mut answer = std::pin::pin!(application.get("/api/data/1"));
        let arrived = until("it to wait, or its answer", async || !at_work(&database, port).is_empty());
        let (answer, seen) = tokio::select! {
            answer = &mut answer => (answer, false),
            () = arrived => (answer.await, true),
        };
        assert_eq!(answer.status, 503);
        seen
    })
    .await;
    // The lock is held all the time.
    until("no statement that waits", async || at_work(&database, port).is_empty()).await;
    holder.batch_execute("ROLLBACK").expect("the lock's end");
}

async fn a_wait_for_ones_turn_is_measured() {
    // One connection for readers: while one reads, the other has to wait for it.
    let application = Application::start_with(&[("DB_POOL_SIZE", "3")]).await;
    let (port, database) = (servers::postgres().await.port, application.database.clone());
    let mut holder = servers::sql(port, &database);
    holder.batch_execute("BEGIN; LOCK TABLE items IN ACCESS EXCLUSIVE MODE").expect("the lock");
    let release = async {
        // The two, and the one that asks.
        until("two requests", async || application.metric("app_requests_in_flight").await == 3).await;
        let begun = Instant::now();
        until("a second gone by", async || begun.elapsed() > Duration::from_secs(1)).await;
        holder.batch_execute("ROLLBACK").expect("the lock's end");
    };
    let (one, other, ()) =
        tokio::join!(application.get("/api/data/1"), application.get("/api/data/2"), release);
    assert_eq!((one.status, other.status), (404, 404));
    let waits =
        async |le: &str| application.metric(&format!("app_db_pool_wait_seconds_bucket{{le=\"{le}\"}}")).await;
    let (short, all) = (waits("0.5").await, waits("+Inf").await);
    assert!(short < all, "none of {all} waits was longer");
}
