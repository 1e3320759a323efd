//! Owns the promise that the previous version of the service keeps working on the new schema (expand, then contract).
//!
//! `statements/MIGRATION.sql` records every statement that the version with this newest migration sends. What Postgres
//! itself has seen of today's version is held to today's file; every file, so also those of earlier versions, is run
//! against the newest schema. That proves that each statement of an earlier version is still taken, with values of the
//! types it sends, and breaks no constraint; not that it means the same.
//!
//! After a change of a statement: `HOMEPORT_UPDATE=1 cargo xtask test integration statements` writes today's file anew.
//! With a new migration a new file begins, and the one before it stays.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

use diesel::{
    Connection, PgConnection, QueryableByName, RunQueryDsl, connection::SimpleConnection, sql_types::Text,
};
use serde_json::json;

use crate::{
    application::Application,
    idempotency::count,
    servers::{self, Port, Postgres, config, until},
    tests,
};

tests![
    todays_statements_are_recorded,
    every_recorded_version_works_on_the_newest_schema,
    a_schema_that_breaks_a_recorded_version_is_noticed,
];

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    text: String,
}

fn lines(connection: &mut PgConnection, query: &str) -> Vec<String> {
    let lines: Vec<Line> = diesel::sql_query(query).load(connection).expect("an answer");
    lines.into_iter().map(|line| line.text).collect()
}

fn crate_path(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn names(folder: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(crate_path(folder)).unwrap_or_else(|error| panic!("{folder}: {error}"));
    entries
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name in UTF-8"))
        .collect()
}

/// The file of the version whose newest migration is the newest there is.
fn todays_file() -> PathBuf {
    let newest = names("migrations").into_iter().next_back().expect("a migration");
    crate_path(&format!("tests/integration/statements/{newest}.sql"))
}

/// Statements, each with the types of its parameters where Postgres cannot infer them.
type Recorded = BTreeMap<String, Option<String>>;

/// What begins the line of types before a statement. Written by hand, and kept when a file is written anew.
const TYPES: &str = "-- types: ";

/// The statements of a file: paragraphs, after the comment at its top.
fn read(path: &Path) -> Recorded {
    let text = fs::read_to_string(path).unwrap_or_default();
    let paragraphs = text.split("\n\n").skip(1).map(str::trim).filter(|paragraph| !paragraph.is_empty());
    paragraphs
        .map(|paragraph| {
            let (types, statement) =
                match paragraph.strip_prefix(TYPES).and_then(|rest| rest.split_once('\n')) {
                    Some((types, statement)) => (Some(types.to_owned()), statement),
                    None => (None, paragraph),
                };
            (statement.trim_end_matches(';').to_owned(), types)
        })
        .collect()
}

fn write(path: &Path, statements: &BTreeSet<String>) {
    let before = read(path);
    let mut text =
        "-- Every statement that the version with this newest migration sends, as Postgres has seen it.\n"
            .to_owned();
    for statement in statements {
        let types = before.get(statement).cloned().flatten();
        let types = types.map(|types| format!("{TYPES}{types}\n")).unwrap_or_default();
        write!(text, "\n{types}{statement};\n").expect("a string takes everything");
    }
    fs::write(path, text).expect("a writable work tree");
}

/// Has today's version send every statement it knows.
async fn exercise(postgres: Port, database: &str) {
    let redis = servers::Redis::start().await;
    let changes = [
        ("FLUSH_INTERVAL_SECONDS", "0.05"),
        ("SWEEP_INTERVAL_SECONDS", "0.05"),
        ("IDEMPOTENCY_TTL_SECONDS", "1"),
        ("REDIS_DEADLINE_SECONDS", "0.2"),
    ];
    let application = Application::assemble(&config(postgres, database, redis.port, &changes)).await;
    application.until_ready("ok").await;
    let item = json!({ "name": "n", "value": 1 });
    for key in [None, Some("key"), Some("key")] {
        assert_eq!(application.post(&item, key).await.status, 201);
    }
    for path in ["/api/data/1", "/api/data/99", "/api/data", "/api/data?limit=1", "/api/visitors"] {
        application.get(path).await;
    }
    assert_eq!(application.get("/").await.status, 200);
    let keys = format!("SELECT count(*)::text AS text FROM idempotency_keys -- of {database}");
    until("a sweep", async || lines(&mut servers::sql(postgres, database), &keys) == ["0"]).await;
    // Visits that Redis cannot take are parked in Postgres, and paid in when it is back.
    redis.container.stop().await.expect("redis stops");
    application.until_ready("degraded").await;
    assert_eq!(application.get("/").await.status, 200);
    let parked = "SELECT count(*)::text AS text FROM visitor_debts";
    until("a parked visit", async || lines(&mut servers::sql(postgres, database), parked) != ["0"]).await;
    redis.container.start().await.expect("redis starts");
    application.until_ready("ok").await;
    until("a visit paid in", async || lines(&mut servers::sql(postgres, database), parked) == ["0"]).await;
    application.stop().await;
}

async fn todays_statements_are_recorded() {
    let watched = ["-c", "fsync=off", "-c", "shared_preload_libraries=pg_stat_statements"];
    let untracked = ["-c", "pg_stat_statements.track_utility=off"];
    let postgres = Postgres::start(&[watched.as_slice(), untracked.as_slice()].concat()).await;
    let database = postgres.database().await;
    let forget = "CREATE EXTENSION pg_stat_statements; SELECT pg_stat_statements_reset()";
    servers::sql(postgres.port, &database).batch_execute(forget).expect("the extension");
    exercise(postgres.port, &database).await;
    // Only what the service sent: it says who it is, and these tests do not.
    let seen = "SELECT DISTINCT query AS text FROM pg_stat_statements \
         WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())";
    let ours = |statement: &String| {
        // Postgres' own check of a reference is its own business. The probe's question names no table, and whether it
        // is asked depends on how long Postgres has been silent.
        ["AS text", "pg_stat_statements", "FROM ONLY"].iter().all(|mark| !statement.contains(mark))
            && statement != "SELECT $1"
    };
    let seen: BTreeSet<String> =
        lines(&mut servers::sql(postgres.port, &database), seen).into_iter().filter(ours).collect();
    if std::env::var_os("HOMEPORT_UPDATE").is_some() {
        write(&todays_file(), &seen);
    }
    let recorded: BTreeSet<String> = read(&todays_file()).into_keys().collect();
    assert!(
        seen == recorded,
        "{} is not what Postgres has seen; to write it: HOMEPORT_UPDATE=1\nnot recorded: {:#?}\nnot seen: {:#?}",
        todays_file().display(),
        seen.difference(&recorded).collect::<Vec<_>>(),
        recorded.difference(&seen).collect::<Vec<_>>()
    );
}

/// A value of a type, as a version of the service may send it.
fn value(of: &str) -> &'static str {
    match of {
        "bigint" | "integer" | "smallint" => "1",
        // Where a setting is asked for, it has to be one.
        "text" => "'TimeZone'",
        // A constant of the statement, which Postgres counts as a parameter; the only sequence there is.
        "regclass" => "'items_id_seq'",
        "jsonb" => "'1'",
        "timestamp with time zone" => "now()",
        "double precision" => "1.0",
        "interval" => "'1 second'",
        "bigint[]" => "ARRAY[NULL]::bigint[]",
        "text[]" => "ARRAY['1']",
        other => panic!("no value of type {other}: add one"),
    }
}

/// Runs a statement as the service does: prepared, with values of the types that Postgres finds in it.
fn run(connection: &mut PgConnection, statement: &str, types: Option<&str>) -> Result<(), String> {
    let given = types.map(|types| format!("({types})")).unwrap_or_default();
    connection.test_transaction::<_, diesel::result::Error, _>(|connection| {
        let tried = (|| {
            // What statements refer to.
            connection.batch_execute("INSERT INTO items (id, name, value) VALUES (1, 'x', '1')")?;
            connection.batch_execute(&format!("PREPARE recorded{given} AS {statement}"))?;
            let types = lines(
                connection,
                "SELECT unnest(parameter_types)::text AS text FROM pg_prepared_statements WHERE name = 'recorded'",
            );
            let values: Vec<&str> = types.iter().map(|of| value(of)).collect();
            let values = if values.is_empty() { String::new() } else { format!("({})", values.join(", ")) };
            connection.batch_execute(&format!("EXECUTE recorded{values}; DEALLOCATE recorded"))
        })();
        Ok(tried.map_err(|error: diesel::result::Error| format!("{error}: {statement}")))
    })
}

/// What the newest schema refuses of what is recorded.
fn refused(connection: &mut PgConnection) -> Vec<String> {
    let files = names("tests/integration/statements");
    assert!(!files.is_empty(), "statements are recorded");
    let mut refused = Vec::new();
    for file in files {
        let statements = read(&crate_path(&format!("tests/integration/statements/{file}")));
        assert!(!statements.is_empty(), "{file} has statements");
        refused.extend(
            statements
                .iter()
                .filter_map(|(statement, types)| run(connection, statement, types.as_deref()).err()),
        );
    }
    refused
}

async fn every_recorded_version_works_on_the_newest_schema() {
    let postgres = servers::postgres().await;
    let database = postgres.database().await;
    assert_eq!(refused(&mut servers::sql(postgres.port, &database)), [""; 0]);
    assert_eq!(count(&database).await, 0, "every one was taken back");
}

async fn a_schema_that_breaks_a_recorded_version_is_noticed() {
    let postgres = servers::postgres().await;
    // What a careless next migration would do to a version that knows nothing of it.
    for careless in [
        "ALTER TABLE items RENAME COLUMN name TO title",
        "ALTER TABLE items ADD COLUMN colour TEXT NOT NULL",
        "ALTER TABLE visitors RENAME TO guests",
        "DROP TABLE visitor_debts",
        "ALTER TABLE idempotency_keys ADD CONSTRAINT later CHECK (length(key) > 100)",
    ] {
        let database = postgres.database().await;
        let mut connection = servers::sql(postgres.port, &database);
        connection.batch_execute(careless).expect("a careless migration");
        assert_ne!(refused(&mut connection), [""; 0], "{careless}");
    }
}
