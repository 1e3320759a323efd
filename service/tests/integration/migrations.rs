//! Owns the promises of the migrations: from nothing, from every earlier schema, twice at once, back again; and that a
//! service is patient with an older schema and content with a newer one.

use std::{
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use diesel::{RunQueryDsl, connection::SimpleConnection, sql_types::BigInt};
use diesel_migrations::FileBasedMigrations;
use rocket::futures::{future::join_all, join};
use serde_json::json;
use service::{logging::Log, store};

use crate::{
    application::Application,
    idempotency::count,
    servers::{self, config, until},
    tests, wire,
};

tests![
    every_earlier_schema_is_brought_up_to_date_under_a_waiting_service,
    two_processes_at_once_migrate_once,
    a_held_lock_is_waited_for_and_then_given_up,
    a_refused_password_is_not_waited_for,
    every_migration_can_be_taken_back,
    a_service_works_on_a_newer_schema,
    a_migration_under_load_fails_no_request,
    a_migration_that_waits_for_a_long_transaction_lets_others_pass,
    a_migration_that_gets_no_lock_gives_up_and_says_so,
];

/// How many migrations there are.
const ALL: usize = 3;

async fn migrate_some(database: &str, limit: usize) -> Vec<String> {
    let config = config(servers::postgres().await.port, database, servers::redis().await.port, &[]);
    let run = move || {
        let log = Log::start(slog::Level::Error, Box::new(std::io::sink()));
        store::migrate_to(&config, &log.logger(), limit).expect("a migration that succeeds")
    };
    tokio::task::spawn_blocking(run).await.expect("no panic")
}

async fn every_earlier_schema_is_brought_up_to_date_under_a_waiting_service() {
    for earlier in 0..ALL {
        let database = servers::postgres().await.empty_database().await;
        assert_eq!(migrate_some(&database, earlier).await.len(), earlier);
        // What the earlier version has kept.
        if earlier > 0 {
            servers::execute(&database, "INSERT INTO items (name, value) VALUES ('earlier', '[1]')").await;
        }
        let (postgres, redis) = (servers::postgres().await.port, servers::redis().await.port);
        let application = Application::assemble(&config(postgres, &database, redis, &[])).await;
        application.until_ready("unavailable").await;
        let ready = application.get("/ready").await;
        assert_eq!(ready.status, 503);
        assert_eq!(ready.json()["postgres"], json!({ "status": "down", "reason": "schema-behind" }));
        assert_eq!(application.get("/").await.status, 200);

        assert_eq!(migrate_some(&database, usize::MAX).await.len(), ALL - earlier);
        application.until_ready("ok").await;
        let created = application.post(&json!({ "name": "n", "value": 1 }), Some("key")).await;
        assert_eq!(created.status, 201, "from schema {earlier}: {}", created.text());
        let first = application.get("/api/data/1").await.json();
        let name = if earlier > 0 { "earlier" } else { "n" };
        assert_eq!(first["name"], name, "from schema {earlier}: {first}");
    }
}

async fn two_processes_at_once_migrate_once() {
    let postgres = servers::postgres().await;
    for _ in 0..3 {
        let database = postgres.empty_database().await;
        let variables = servers::variables(postgres.port, &database, servers::redis().await.port, &[]);
        let (one, other, third) = tokio::join!(
            wire::run("migrate", &variables),
            wire::run("migrate", &variables),
            wire::run("migrate", &variables),
        );
        let mut applied = 0;
        for end in [one, other, third] {
            assert_eq!(end.status.code(), Some(0), "{:?} {}", end.lines, end.errors);
            applied += end.lines.iter().filter(|line| line["msg"] == "migration applied").count();
        }
        assert_eq!(applied, ALL);
    }
}

async fn a_held_lock_is_waited_for_and_then_given_up() {
    let postgres = servers::postgres().await;
    let database = postgres.empty_database().await;
    // As long as a busy machine may need for the connection.
    let changes = [("MIGRATE_WAIT_SECONDS", "10")];
    let variables = servers::variables(postgres.port, &database, servers::redis().await.port, &changes);
    let mut holder = servers::sql(postgres.port, &database);
    let key = i64::from_be_bytes(*b"homeport");
    diesel::sql_query("SELECT pg_advisory_lock($1)")
        .bind::<BigInt, _>(key)
        .execute(&mut holder)
        .expect("the lock");
    let end = wire::run("migrate", &variables).await;
    assert_eq!(end.status.code(), Some(5));
    assert!(end.lines[0]["error"].as_str().unwrap().contains("held the lock"), "{:?}", end.lines);
    drop(holder);
    assert_eq!(wire::run("migrate", &variables).await.status.code(), Some(0));
}

async fn a_refused_password_is_not_waited_for() {
    let postgres = servers::postgres().await;
    let database = postgres.empty_database().await;
    // Long enough that the run's own bound would end the test first.
    let changes = [("DB_PASSWORD", "not the password"), ("MIGRATE_WAIT_SECONDS", "600")];
    let variables = servers::variables(postgres.port, &database, servers::redis().await.port, &changes);
    let end = wire::run("migrate", &variables).await;
    assert_eq!(end.status.code(), Some(5));
    let error = end.lines[0]["error"].as_str().unwrap_or_default();
    assert!(error.contains("remove its volume"), "{:?}", end.lines);
}

async fn every_migration_can_be_taken_back() {
    let database = servers::postgres().await.database().await;
    let mut migrations: Vec<_> = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations"))
        .expect("the migrations")
        .map(|entry| entry.expect("a migration").path())
        .collect();
    migrations.sort();
    assert_eq!(migrations.len(), ALL);
    for migration in migrations.iter().rev() {
        let back = std::fs::read_to_string(migration.join("down.sql")).expect("a way back");
        servers::execute(&database, &back).await;
    }
    servers::execute(&database, "DELETE FROM __diesel_schema_migrations").await;
    assert_eq!(migrate_some(&database, usize::MAX).await.len(), ALL);
}

async fn a_service_works_on_a_newer_schema() {
    let database = servers::postgres().await.database().await;
    // What a next version would add by the rule "expand, then contract".
    let expansion =
        "ALTER TABLE items ADD COLUMN colour TEXT; ALTER TABLE items ADD COLUMN size INT NOT NULL DEFAULT 1;
        ALTER TABLE visitors ADD COLUMN note TEXT; CREATE TABLE later (id INT);
        INSERT INTO __diesel_schema_migrations (version) VALUES ('20990101000000')";
    servers::execute(&database, expansion).await;
    let application = Application::start_on(&database, &[]).await;
    let created = application.post(&json!({ "name": "n", "value": 1 }), Some("key")).await;
    assert_eq!(created.status, 201, "{}", created.text());
    assert_eq!(application.get("/api/data/1").await.text(), created.text());
    assert_eq!(application.get("/api/data").await.json()["items"][0]["id"], 1);
    assert_eq!(application.get("/").await.json()["visitor"], 1);
    application.stop().await;
    assert_eq!(crate::visitors::kept(&database).await, 1);
}

/// Where the migrations of a next version are, which change every table.
const NEXT: &str = "tests/integration/next_migrations";

/// Applies the next version's migrations; their names.
async fn migrate_to_next(database: &str) -> Vec<String> {
    let config = config(servers::postgres().await.port, database, servers::redis().await.port, &[]);
    let run = move || {
        let log = Log::start(slog::Level::Error, Box::new(std::io::sink()));
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(NEXT);
        let next = FileBasedMigrations::from_path(path).expect("the next migrations");
        store::migrate_from(next, &config, &log.logger(), usize::MAX).expect("a migration that succeeds")
    };
    tokio::task::spawn_blocking(run).await.expect("no panic")
}

/// Writes and reads without a pause until `ended`, and sees that each succeeds; how many there were.
async fn use_it(application: &Application, worker: usize, ended: &AtomicBool) -> usize {
    let mut number = 0;
    while !ended.load(Ordering::Acquire) {
        let key = format!("{worker}-{number}");
        let created = application.post(&json!({ "name": key, "value": 1 }), Some(&key)).await;
        assert_eq!(created.status, 201, "{}", created.text());
        let path = format!("/api/data/{}", created.json()["id"]);
        let found = application.get(&path).await;
        assert_eq!((found.status, found.text()), (200, created.text()));
        number += 1;
    }
    number
}

async fn a_migration_under_load_fails_no_request() {
    let application = Application::start_with(&[("FLUSH_INTERVAL_SECONDS", "0.05")]).await;
    let ended = AtomicBool::new(false);
    let workers = join_all((0..4).map(|worker| use_it(&application, worker, &ended)));
    let migration = async {
        let many = async || count(&application.database).await > 20;
        until("load", many).await;
        let applied = migrate_to_next(&application.database).await;
        let before = count(&application.database).await;
        until("load on the new schema", async || count(&application.database).await > before + 20).await;
        ended.store(true, Ordering::Release);
        applied
    };
    let (numbers, applied) = join!(workers, migration);
    assert_eq!(applied.len(), 1);
    let all = i64::try_from(numbers.iter().sum::<usize>()).expect("a number");
    assert_eq!(count(&application.database).await, all, "every 201 is there, once");
    application.until_ready("ok").await;
}

async fn a_migration_that_waits_for_a_long_transaction_lets_others_pass() {
    let application = Application::start().await;
    let database = &application.database;
    let mut holder = servers::sql(servers::postgres().await.port, database);
    holder.batch_execute("BEGIN; SELECT * FROM items").expect("a long transaction");
    let migration = migrate_to_next(database);
    let others = async {
        // Of the service's own statements none waits for a lock of that mode.
        let waits = "SELECT count(*) AS number FROM pg_locks JOIN pg_database ON pg_database.oid = database \
             WHERE datname = current_database() AND NOT granted AND mode = 'AccessExclusiveLock'";
        let is_behind = async || servers::ask(database, waits).await > 0;
        until("the migration to wait", is_behind).await;
        // Each behind it, were its wait not bounded, until its deadline.
        for number in 0..5 {
            let created = application.post(&json!({ "name": "n", "value": number }), None).await;
            assert_eq!(created.status, 201, "{}", created.text());
            let path = format!("/api/data/{}", created.json()["id"]);
            assert_eq!(application.get(&path).await.status, 200);
            until("the migration to wait again", is_behind).await;
        }
        holder.batch_execute("COMMIT").expect("its end");
    };
    let (applied, ()) = join!(migration, others);
    assert_eq!(applied.len(), 1, "once the way is free it goes on");
    assert_eq!(application.post(&json!({ "name": "n", "value": 1 }), None).await.status, 201);
}

async fn a_migration_that_gets_no_lock_gives_up_and_says_so() {
    let postgres = servers::postgres().await;
    let database = postgres.empty_database().await;
    assert_eq!(migrate_some(&database, 1).await.len(), 1);
    let changes = [("MIGRATE_WAIT_SECONDS", "8")];
    let variables = servers::variables(postgres.port, &database, servers::redis().await.port, &changes);
    // The next one refers to the items.
    let mut holder = servers::sql(postgres.port, &database);
    holder.batch_execute("BEGIN; LOCK TABLE items IN ROW EXCLUSIVE MODE").expect("a long transaction");
    let end = wire::run("migrate", &variables).await;
    assert_eq!(end.status.code(), Some(5), "{:?}", end.lines);
    let said = end.lines.last().expect("a line")["error"].as_str().unwrap_or_default().to_owned();
    assert!(said.contains("create_idempotency_keys did not get its locks"), "{said}");
    let again = end.lines.iter().filter(|line| line["msg"] == "a migration waits for what others are using");
    assert!(again.count() > 0, "it tried more than once: {:?}", end.lines);
    holder.batch_execute("COMMIT").expect("its end");
    assert_eq!(wire::run("migrate", &variables).await.status.code(), Some(0));
}
