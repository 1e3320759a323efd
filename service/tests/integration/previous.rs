//! Owns the promise that the version before this one keeps working on this one's schema and beside it, as in a rolling
//! update: it is run, against one Postgres and one Redis with today's.
//!
//! `cargo xtask test` takes its program out of git and names it; see `xtask/src/commands/test/previous.rs`.

use std::{collections::BTreeSet, io::Write as _, path::PathBuf};

use serde_json::json;

use crate::{
    process::variables,
    servers::{self, until},
    tests,
    visitors::kept,
    wire::{self, Served},
};

tests![
    it_finds_nothing_to_migrate,
    it_and_todays_serve_the_same_items,
    it_and_todays_answer_each_others_retries,
    it_and_todays_count_the_same_visitors,
];

const QUICK: (&str, &str) = ("FLUSH_INTERVAL_SECONDS", "0.1");

/// Its program; `None` where today's is the first version, or where nobody says which one it is, which is told.
fn program(test: &str) -> Option<PathBuf> {
    const VARIABLE: &str = "HOMEPORT_TEST_PREVIOUS";
    match std::env::var(VARIABLE) {
        Ok(path) if path.is_empty() => None,
        Ok(path) => Some(path.into()),
        Err(_) => {
            let missing =
                format!("{VARIABLE} names no program; `cargo xtask test integration previous` sets it");
            let pipeline = std::env::var("CI").is_ok_and(|value| !value.is_empty() && value != "false");
            assert!(!pipeline, "{missing}");
            // As `cargo xtask test` reads it; who has no standard output reads none of this.
            let _ = writeln!(std::io::stdout(), "not run: previous::{test}: {missing}");
            None
        }
    }
}

/// Both versions, ready, on one migrated database.
async fn both(test: &str) -> Option<(Served, Served, String)> {
    let program = program(test)?;
    let database = servers::postgres().await.database().await;
    let variables = variables(&database, &[QUICK]).await;
    let earlier = Served::start_of(&program, &variables).await;
    let todays = Served::start(&variables).await;
    earlier.until_ready("ok").await;
    todays.until_ready("ok").await;
    Some((earlier, todays, database))
}

/// Both end well, and what was made is there.
async fn end(earlier: Served, todays: Served) {
    for served in [earlier, todays] {
        let end = served.stop().await;
        assert_eq!(end.status.code(), Some(0), "{:#?} {}", end.lines, end.errors);
    }
}

async fn it_finds_nothing_to_migrate() {
    let Some(program) = program("it_finds_nothing_to_migrate") else { return };
    let database = servers::postgres().await.database().await;
    let end = wire::run_of(&program, "migrate", &variables(&database, &[]).await).await;
    assert_eq!(end.status.code(), Some(0), "{:#?} {}", end.lines, end.errors);
    assert!(end.lines.iter().all(|line| line["msg"] != "migration applied"), "{:#?}", end.lines);
}

async fn it_and_todays_serve_the_same_items() {
    let Some((earlier, todays, database)) = both("it_and_todays_serve_the_same_items").await else { return };
    let mut made = BTreeSet::new();
    for number in 0..6_u64 {
        let (writer, reader) = if number % 2 == 0 { (&earlier, &todays) } else { (&todays, &earlier) };
        let value = json!({ "nested": [number, "é\u{1f600}", 1.5e300, null] });
        let created = writer.post(&json!({ "name": format!("n{number}"), "value": value }), None).await;
        let created = created.expect("an answer");
        assert_eq!(created.status, 201, "{}", created.text());
        let location = created.header("location").expect("a place").to_owned();
        let read = reader.get(&location).await;
        assert_eq!((read.status, read.json()), (200, created.json()));
        made.insert(created.json()["id"].as_u64().expect("a number"));
        // Each version reads what the other has put into the cache.
        let pages = [writer.get("/api/data?limit=4").await, reader.get("/api/data?limit=4").await];
        assert_eq!(pages[0].json(), pages[1].json());
        assert_eq!(pages[0].json()["items"][0], created.json(), "newest first, and not an older page");
    }
    // A cursor that one version gives is taken by the other.
    let first = earlier.get("/api/data?limit=4").await.json();
    let next = first["next"].as_str().expect("a second page");
    let second = todays.get(next).await;
    assert_eq!(second.status, 200, "{}", second.text());
    let second = second.json();
    let seen = [&first, &second].into_iter().flat_map(|page| page["items"].as_array().expect("items"));
    let seen: BTreeSet<u64> = seen.map(|item| item["id"].as_u64().expect("a number")).collect();
    assert_eq!(seen, made);
    end(earlier, todays).await;
    assert_eq!(servers::ask(&database, "SELECT count(*) AS number FROM items").await, 6);
}

async fn it_and_todays_answer_each_others_retries() {
    let Some((earlier, todays, database)) = both("it_and_todays_answer_each_others_retries").await else {
        return;
    };
    let item = json!({ "name": "n", "value": { "a": 1 } });
    for (key, first, second) in [("one", &earlier, &todays), ("two", &todays, &earlier)] {
        let made = first.post(&item, Some(key)).await.expect("an answer");
        let again = second.post(&item, Some(key)).await.expect("an answer");
        assert_eq!(made.status, 201, "{}", made.text());
        assert_eq!((again.status, again.json()), (201, made.json()));
        let other = second.post(&json!({ "name": "other", "value": 1 }), Some(key)).await.expect("an answer");
        assert!((400..500).contains(&other.status), "one key, another item: {}", other.text());
    }
    end(earlier, todays).await;
    assert_eq!(servers::ask(&database, "SELECT count(*) AS number FROM items").await, 2);
}

async fn it_and_todays_count_the_same_visitors() {
    let Some((earlier, todays, database)) = both("it_and_todays_count_the_same_visitors").await else {
        return;
    };
    let mut numbers = BTreeSet::new();
    for _ in 0..5 {
        for served in [&earlier, &todays] {
            numbers.insert(served.get("/").await.json()["visitor"].as_u64().expect("a number"));
        }
    }
    assert_eq!(numbers, (1..=10).collect(), "each number is given once");
    for served in [&earlier, &todays] {
        until("ten visitors", async || served.get("/api/visitors").await.json()["visitors"] == 10).await;
    }
    end(earlier, todays).await;
    assert_eq!(kept(&database).await, 10);
}
