//! Owns the promises of the items: created, found, paged through, and refused when they are not acceptable.

use std::collections::BTreeSet;

use rocket::{futures::future::join_all, http::Method};
use serde_json::{Value, json};

use crate::{application::Application, servers, tests};

tests![
    an_item_is_created_and_found,
    a_value_is_kept_as_it_was_sent,
    an_absent_item_is_a_404_problem,
    pages_are_newest_first_and_lead_to_the_last,
    paging_is_not_disturbed_by_new_items,
    pages_end_early_where_items_are_large,
    a_value_of_too_many_digits_is_refused,
    nonsense_in_the_query_is_a_422_problem,
    what_cannot_be_accepted_gets_its_own_status,
    many_at_once_are_each_kept_once,
];

async fn an_item_is_created_and_found() {
    let application = Application::start().await;
    let created = application.post(&json!({ "name": "a", "value": { "deep": [1, null, "é"] } }), None).await;
    assert_eq!(created.status, 201);
    assert_eq!(created.header("Location"), Some("/api/data/1"));
    assert_eq!(created.header("Idempotency-Replayed"), None);
    let item = created.json();
    assert_eq!(item["id"], 1);
    assert_eq!(item["name"], "a");
    assert_eq!(item["value"], json!({ "deep": [1, null, "é"] }));

    let found = application.get("/api/data/1").await;
    assert_eq!((found.status, found.text()), (200, created.text()));
    assert_eq!(application.get("/api/data").await.json(), json!({ "items": [item], "next": null }));
}

async fn a_value_is_kept_as_it_was_sent() {
    let application = Application::start().await;
    let sent = [
        json!(null),
        json!(false),
        json!(""),
        json!("\u{1}\u{7f}\u{ffff}😀\"\\/"),
        json!([]),
        json!({}),
        json!({ "": { "b": 1, "a": 2, "aa": 3 } }),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(0.1),
        json!(1e16),
        json!(1.5e300),
        json!(-5e-324),
    ];
    for value in sent {
        let created = application.post(&json!({ "name": "v", "value": value }), None).await;
        assert_eq!(created.status, 201, "{value}");
        let found = application.get(created.header("Location").unwrap()).await;
        assert_eq!(found.text(), created.text());
        let kept = &found.json()["value"];
        assert!(*kept == value || kept.as_f64() == value.as_f64(), "{kept} for {value}");
    }
}

async fn an_absent_item_is_a_404_problem() {
    let application = Application::start().await;
    for id in ["1", "0", "-1", "x", "1e3", "9223372036854775807", "9223372036854775808", "%31x", "%ff"] {
        let answer = application.get(&format!("/api/data/{id}")).await;
        assert_eq!((answer.status, answer.problem().as_str()), (404, "not-found"), "{id}");
    }
}

async fn create(application: &Application, count: usize) {
    let bodies: Vec<Value> =
        (0..count).map(|number| json!({ "name": format!("n{number}"), "value": number })).collect();
    for answer in join_all(bodies.iter().map(|body| application.post(body, None))).await {
        assert_eq!(answer.status, 201);
    }
}

fn ids(page: &Value) -> Vec<i64> {
    page["items"].as_array().unwrap().iter().map(|item| item["id"].as_i64().unwrap()).collect()
}

async fn pages_are_newest_first_and_lead_to_the_last() {
    let application = Application::start().await;
    create(&application, 45).await;
    assert_eq!(ids(&application.get("/api/data").await.json()), (26..=45).rev().collect::<Vec<_>>());

    for limit in [1, 7, 44, 45, 100] {
        let mut seen = Vec::new();
        let mut next = Some(format!("/api/data?limit={limit}"));
        while let Some(path) = next {
            let answer = application.get(&path).await;
            let page = answer.json();
            let link = page["next"].as_str().map(|path| format!("<{path}>; rel=\"next\""));
            assert_eq!(answer.header("Link"), link.as_deref());
            seen.extend(ids(&page));
            next = page["next"].as_str().map(str::to_owned);
        }
        assert_eq!(seen, (1..=45).rev().collect::<Vec<_>>(), "limit {limit}");
    }
}

async fn paging_is_not_disturbed_by_new_items() {
    let application = Application::start().await;
    create(&application, 10).await;
    let first = application.get("/api/data?limit=5").await.json();
    create(&application, 10).await;
    let second = application.get(first["next"].as_str().unwrap()).await.json();
    assert_eq!(ids(&second), [5, 4, 3, 2, 1]);
    assert_eq!(second["next"], Value::Null);
}

async fn pages_end_early_where_items_are_large() {
    let application = Application::start().await;
    let large = json!({ "name": "large", "value": "x".repeat(60_000) });
    for _ in 0..40 {
        assert_eq!(application.post(&large, None).await.status, 201);
    }
    // Of an earlier version: 5 bytes a number as JSON, 309 as Postgres keeps and sends it.
    let huge = "INSERT INTO items (name, value) \
        SELECT 'huge', (SELECT jsonb_agg('1e308'::jsonb) FROM generate_series(1, 10000)) FROM generate_series(1, 3)";
    servers::execute(&application.database, huge).await;
    create(&application, 2).await;

    let (mut sizes, mut seen) = (Vec::new(), Vec::new());
    let mut next = Some("/api/data?limit=100".to_owned());
    while let Some(path) = next {
        let answer = application.get(&path).await;
        assert_eq!(answer.status, 200, "{:.200}", answer.text());
        assert!(answer.body.len() < 1_300_000, "a page of {} bytes", answer.body.len());
        let page = answer.json();
        sizes.push(ids(&page).len());
        seen.extend(ids(&page));
        next = page["next"].as_str().map(str::to_owned);
    }
    // Each huge one ends the page that it is on; 18 large ones are more than a mebibyte.
    assert_eq!(sizes, [3, 1, 1, 18, 18, 4]);
    assert_eq!(seen, (1..=45).rev().collect::<Vec<_>>());
}

async fn a_value_of_too_many_digits_is_refused() {
    let application = Application::start().await;
    let answer = application.post(&json!({ "name": "n", "value": vec![1e308; 8000] }), None).await;
    assert_eq!((answer.status, answer.problem().as_str()), (422, "invalid-request"));
    assert!(answer.text().contains("digits"), "{}", answer.text());
}

async fn nonsense_in_the_query_is_a_422_problem() {
    let application = Application::start().await;
    for query in
        ["limit=0", "limit=101", "limit=", "limit=1&limit=1", "limit=1e1", "after=1", "after=", "after=%00"]
    {
        let answer = application.get(&format!("/api/data?{query}")).await;
        assert_eq!((answer.status, answer.problem().as_str()), (422, "invalid-request"), "{query}");
    }
    assert_eq!(application.get("/api/data?colour=red").await.status, 200);
}

async fn what_cannot_be_accepted_gets_its_own_status() {
    let application = Application::start().await;
    let good = r#"{"name":"n","value":1}"#;
    let large = format!(r#"{{"name":"n","value":"{}"}}"#, "x".repeat(64 * 1024));
    let largest = format!(r#"{{"name":"n","value":"{}"}}"#, "x".repeat(64 * 1024 - 23));
    let json = [("Content-Type", "application/json")];
    let charset = [("Content-Type", "application/json; charset=utf-8")];
    let text = [("Content-Type", "text/plain")];
    let plain = [json[0], ("Content-Encoding", "identity")];
    let coded = [json[0], ("Content-Encoding", "gzip")];
    let long = "k".repeat(129);
    let long_key = [json[0], ("Idempotency-Key", long.as_str())];
    let two_keys = [json[0], ("Idempotency-Key", "a"), ("Idempotency-Key", "b")];
    for (headers, body, status, problem) in [
        (&json[..], good, 201, ""),
        (&charset[..], good, 201, ""),
        (&plain[..], good, 201, ""),
        (&coded[..], good, 415, "unsupported-media-type"),
        (&json[..], &largest, 201, ""),
        (&json[..], &large, 413, "body-too-large"),
        (&[][..], good, 415, "unsupported-media-type"),
        (&text[..], good, 415, "unsupported-media-type"),
        (&json[..], "", 400, "malformed-body"),
        (&json[..], "{\"name\":", 400, "malformed-body"),
        (&json[..], r#"{"name":"n"}"#, 422, "invalid-request"),
        (&json[..], r#"{"name":"n\u0000","value":1}"#, 422, "invalid-request"),
        (&json[..], r#"{"name":"n","value":"\u0000"}"#, 422, "invalid-request"),
        (&json[..], r#"{"name":"n","value":{"\u0000":1}}"#, 422, "invalid-request"),
        (&json[..], r#"{"name":"n","value":"\ud800"}"#, 422, "invalid-request"),
        (&long_key[..], good, 422, "invalid-request"),
        (&two_keys[..], good, 422, "invalid-request"),
    ] {
        let answer = application.send(Method::Post, "/api/data", headers, body.as_bytes()).await;
        assert_eq!(answer.status, status, "{headers:?} {body:.60} {}", answer.text());
        if status != 201 {
            assert_eq!(answer.problem(), problem, "{headers:?} {body:.60}");
        }
    }
}

async fn many_at_once_are_each_kept_once() {
    let application = Application::start().await;
    create(&application, 200).await;
    let mut names = BTreeSet::new();
    let mut next = Some("/api/data?limit=100".to_owned());
    while let Some(path) = next {
        let page = application.get(&path).await.json();
        for item in page["items"].as_array().unwrap() {
            assert_eq!(item["name"], format!("n{}", item["value"]), "each name with its own value");
            names.insert(item["name"].as_str().unwrap().to_owned());
        }
        next = page["next"].as_str().map(str::to_owned);
    }
    assert_eq!(names.len(), 200);
    let commits = application.metric("app_db_batch_rows_count").await;
    assert!(commits < 200, "200 items in {commits} commits: none was shared");
}
