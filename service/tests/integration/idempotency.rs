//! Owns the promise of `Idempotency-Key`: one item a key, whatever is retried, whenever, and through whichever replica.

use std::collections::BTreeSet;

use diesel::RunQueryDsl;
use rocket::futures::future::join_all;
use serde_json::json;

use crate::{
    application::{Answer, Application},
    servers::{self, until},
    tests,
};

tests![
    a_retry_returns_the_first_answer,
    a_key_belongs_to_one_item,
    retries_at_once_make_one_item,
    retries_through_two_replicas_make_one_item,
    keyed_and_unkeyed_items_share_a_batch,
    a_bad_row_fails_alone,
    an_old_key_is_forgotten,
    many_old_keys_are_forgotten_some_at_a_time,
];

async fn a_retry_returns_the_first_answer() {
    let application = Application::start().await;
    let body = json!({ "name": "n", "value": { "b": 1e300, "a": [0.1, 1e16, -7] } });
    let first = application.post(&body, Some("key")).await;
    application.post(&json!({ "name": "other", "value": 1 }), None).await;
    for _ in 0..3 {
        let again = application.post(&body, Some("key")).await;
        assert_eq!((again.status, again.text()), (201, first.text()));
        assert_eq!(again.header("Location"), first.header("Location"));
        assert_eq!(again.header("Idempotency-Replayed"), Some("true"));
    }
    assert_eq!(count(&application.database).await, 2);
}

async fn a_key_belongs_to_one_item() {
    let application = Application::start().await;
    let body = json!({ "name": "n", "value": 1 });
    assert_eq!(application.post(&body, Some("key")).await.status, 201);
    for other in [
        json!({ "name": "m", "value": 1 }),
        json!({ "name": "n", "value": 2 }),
        json!({ "name": "n", "value": "1" }),
    ] {
        let answer = application.post(&other, Some("key")).await;
        assert_eq!((answer.status, answer.problem().as_str()), (422, "idempotency-key-reused"), "{other}");
    }
    assert_eq!(application.post(&body, Some("KEY")).await.status, 201);
    assert_eq!(count(&application.database).await, 2);
}

async fn retries_at_once_make_one_item() {
    let application = Application::start().await;
    let body = json!({ "name": "n", "value": 1 });
    let answers = join_all((0..50).map(|_| application.post(&body, Some("key")))).await;
    let texts: BTreeSet<&str> = answers.iter().map(Answer::text).collect();
    assert_eq!(texts.len(), 1, "{texts:?}");
    assert!(answers.iter().all(|answer| answer.status == 201));
    assert_eq!(answers.iter().filter(|answer| answer.header("Idempotency-Replayed").is_none()).count(), 1);
    assert_eq!(count(&application.database).await, 1);
}

async fn retries_through_two_replicas_make_one_item() {
    let one = Application::start().await;
    let other = Application::start_on(&one.database, &[]).await;
    let bodies: Vec<_> =
        (0..20).map(|number| (json!({ "name": "n", "value": number }), number.to_string())).collect();
    let posts =
        bodies.iter().flat_map(|(body, key)| [one.post(body, Some(key)), other.post(body, Some(key))]);
    let answers = join_all(posts).await;
    for pair in answers.chunks(2) {
        assert_eq!((pair[0].status, pair[0].text()), (201, pair[1].text()));
    }
    assert_eq!(count(&one.database).await, 20);
}

async fn keyed_and_unkeyed_items_share_a_batch() {
    let application = Application::start().await;
    let bodies: Vec<_> =
        (0..60).map(|number| json!({ "name": format!("n{number}"), "value": number })).collect();
    let keys: Vec<Option<String>> =
        (0..60).map(|number| (number % 3 == 0).then(|| format!("k{number}"))).collect();
    let posts = bodies.iter().zip(&keys).map(|(body, key)| application.post(body, key.as_deref()));
    for (answer, body) in join_all(posts).await.iter().zip(&bodies) {
        assert_eq!(answer.status, 201);
        assert_eq!((&answer.json()["name"], &answer.json()["value"]), (&body["name"], &body["value"]));
        assert_eq!(application.get(answer.header("Location").unwrap()).await.text(), answer.text());
    }
    assert_eq!(count(&application.database).await, 60);
}

async fn a_bad_row_fails_alone() {
    let application = Application::start().await;
    // What the application cannot know beforehand: the database itself refuses one row.
    let poison = "ALTER TABLE items ADD CONSTRAINT no_poison CHECK (name <> 'poison')";
    servers::execute(&application.database, poison).await;
    let bodies: Vec<_> = (0..40)
        .map(|number| json!({ "name": if number == 20 { "poison" } else { "good" }, "value": number }))
        .collect();
    let answers = join_all(bodies.iter().map(|body| application.post(body, None))).await;
    for (number, answer) in answers.iter().enumerate() {
        assert_eq!(answer.status, if number == 20 { 422 } else { 201 }, "{number}: {}", answer.text());
    }
    assert!(!answers[20].text().contains("no_poison"), "no internals: {}", answers[20].text());
    assert_eq!(count(&application.database).await, 39);
}

async fn an_old_key_is_forgotten() {
    let application =
        Application::start_with(&[("IDEMPOTENCY_TTL_SECONDS", "1"), ("SWEEP_INTERVAL_SECONDS", "0.1")]).await;
    let body = json!({ "name": "n", "value": 1 });
    assert_eq!(application.post(&body, Some("key")).await.status, 201);
    until("the key to be forgotten", async || {
        let answer = application.post(&body, Some("key")).await;
        answer.status == 201 && answer.header("Idempotency-Replayed").is_none()
    })
    .await;
    assert_eq!(count(&application.database).await, 2);
    until("the sweep to give its connection back", async || {
        let connections = application.metric("app_db_pool_connections").await;
        connections > 0 && application.metric("app_db_pool_idle").await == connections
    })
    .await;
}

async fn many_old_keys_are_forgotten_some_at_a_time() {
    // Nothing else uses the pool.
    let changes = [("SWEEP_INTERVAL_SECONDS", "0.5"), ("FLUSH_INTERVAL_SECONDS", "3600")];
    let application = Application::start_with(&changes).await;
    let before = application.metric("app_db_pool_wait_seconds_count").await;
    let plant = "WITH made AS (INSERT INTO items (name, value) SELECT 'n', '1' FROM generate_series(1, 2500) RETURNING id) \
        INSERT INTO idempotency_keys SELECT id::text, id, now() - interval '1 year' FROM made";
    servers::execute(&application.database, plant).await;
    let keys = "SELECT count(*) AS number FROM idempotency_keys";
    until("the keys to be forgotten", async || servers::ask(&application.database, keys).await == 0).await;
    let uses = application.metric("app_db_pool_wait_seconds_count").await - before;
    assert!(uses >= 3, "{uses} uses of the pool: a thousand keys each");
}

/// How many items there are, asked past the service.
pub(crate) async fn count(database: &str) -> i64 {
    count_on(servers::postgres().await.port, database).await
}

/// As [`count`], on another server.
pub(crate) async fn count_on(port: servers::Port, database: &str) -> i64 {
    #[derive(diesel::QueryableByName)]
    struct Count {
        #[diesel(sql_type = diesel::sql_types::BigInt)]
        count: i64,
    }
    let database = database.to_owned();
    let run = move || {
        let mut connection = servers::sql(port, &database);
        diesel::sql_query("SELECT count(*) FROM items")
            .get_result::<Count>(&mut connection)
            .expect("a count")
            .count
    };
    tokio::task::spawn_blocking(run).await.expect("no panic")
}
