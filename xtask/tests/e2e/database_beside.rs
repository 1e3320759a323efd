//! The development database under what happens to its commands: killed while they write, beside a `dev` that migrates, after
//! a migration that was edited, and with Docker's own command line on their way.

use std::os::unix::fs::PermissionsExt;

use xtask::engine::Engine;

use crate::checkout::{Checkout, until};

const STORE: &str = include_str!("stacks/store.yaml");

/// What psql answers.
#[track_caller]
fn ask(checkout: &Checkout, sql: &str) -> String {
    let answer = checkout.run(&["db", "psql", "--no-align", "--tuples-only", "-c", sql]).expect(0).stdout();
    answer.trim_end().to_owned()
}

#[test]
fn a_seed_that_is_killed_while_it_is_written_adds_nothing() {
    let checkout = Checkout::small("db-cut-off", STORE);
    // It waits for a lock in its middle, and is longer than all that holds it on its way. Wherever it is cut off there, what
    // came before is whole.
    let before = "INSERT INTO items VALUES ('first');\nSELECT pg_advisory_lock(7);\n";
    let seed = format!("{before}{}INSERT INTO items VALUES ('last');\n", "\n".repeat(16 << 20));
    checkout.write("compose/postgres/seed.sql", &seed);
    checkout.run(&["dev", "--detach", "migrate"]).expect(0);
    let waits = |granted: bool| {
        let sql = format!(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 7 AND granted = {granted}"
        );
        until("the lock", || (ask(&checkout, &sql) == "1").then_some(()));
    };
    let holds = checkout
        .xtask(&["db", "psql", "-c", "SELECT pg_advisory_lock(7)", "-c", "SELECT pg_sleep(3600)"])
        .start();
    waits(true);
    let seeding = checkout.start(&["db", "seed"]);
    waits(false);
    seeding.kill();
    ask(&checkout, "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE objid = 7 AND granted");
    holds.end();
    // psql reads on to the end of what has reached it.
    let others =
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'psql' AND pid <> pg_backend_pid()";
    until("its end", || (ask(&checkout, others) == "0").then_some(()));
    assert_eq!(ask(&checkout, "SELECT count(*) FROM items"), "0");

    checkout.write("compose/postgres/seed.sql", "INSERT INTO items VALUES ('all')");
    checkout.run(&["db", "seed"]).expect(0);
    assert_eq!(ask(&checkout, "SELECT name FROM items"), "all");
}

#[test]
fn a_seed_that_is_refused_is_told_by_its_own_lines() {
    let checkout = Checkout::small("db-refused", STORE);
    checkout.run(&["dev", "--detach", "migrate"]).expect(0);
    let table = [
        ("-- first\nINSERT INTO nowhere VALUES (1);\n", "2: ERROR:  42P01:", true),
        ("SELECT colour FROM items;\n", "1: ERROR:  42703:", true),
        ("\n\nINSRT;\n", "3: ERROR:  42601:", false),
    ];
    for (seed, expected, is_for_missing) in table {
        checkout.write("compose/postgres/seed.sql", seed);
        let told = checkout.run(&["db", "seed"]).expect(5).stderr();
        assert!(told.contains(&format!("compose/postgres/seed.sql:{expected}")), "{told}");
        assert_eq!(told.contains("cargo xtask db migrate"), is_for_missing, "{told}");
    }
}

#[test]
fn a_dev_that_is_to_migrate_waits_for_a_reset_and_then_looks_again() {
    let checkout = Checkout::small("db-turns", STORE);
    let mut dev = checkout.start(&["dev"]);
    dev.until("watching for saves");
    // The lock of `db`'s scripts: the reset stands still at its first one.
    let lock = format!("SELECT pg_advisory_lock({})", i64::from_be_bytes(*b"homeptdb"));
    let maintenance = ["db", "psql", "-c", "\\connect postgres"];
    let holds = checkout.xtask(&[&maintenance[..], &["-c", &lock, "-c", "SELECT pg_sleep(3600)"]].concat());
    let holds = holds.start();
    let advisory = "FROM pg_locks WHERE locktype = 'advisory' AND granted";
    until("the lock", || (ask(&checkout, &format!("SELECT count(*) {advisory}")) == "1").then_some(()));
    let reset = checkout.start(&["db", "reset", "--yes"]);
    let waiting = format!("SELECT count(*) {advisory} = false");
    until("the reset", || (ask(&checkout, &waiting) == "1").then_some(()));
    // Whoever would have to agree is asked before anybody waits.
    let unasked = checkout.run(&["db", "reset"]).expect(2);
    assert!(unasked.stderr().contains("db reset --yes"), "{}", unasked.stderr());
    // What `dev` is to remove, the reset removes, and leaves one of the older configuration.
    let more = "(name text)\" --command=\"CREATE TABLE IF NOT EXISTS more (name text)\"";
    checkout.edit(&[("VERSION: \"1\"", "VERSION: \"2\""), ("(name text)\"", more)]);
    dev.until(&format!(
        "waiting for cargo xtask db reset (pid {}), which works on the database",
        reset.pid()
    ));
    ask(&checkout, &format!("SELECT pg_terminate_backend(pid) {advisory}"));
    holds.end();
    reset.end().expect(0);
    dev.until("saved to served in");
    assert_eq!(ask(&checkout, "SELECT count(*) FROM more"), "0", "it was migrated as is wanted now");

    // The end of a `dev` waits for nobody; whoever comes after it does.
    let mut save = checkout.xtask(&["db", "save", "one"]).env("HOMEPORT_HALT", "before:1").start();
    save.until("halted");
    dev.interrupt();
    dev.end().expect(0);
    let mut down = checkout.start(&["down", "--volumes"]);
    let told = format!("waiting for cargo xtask db save (pid {}), which works on the database", save.pid());
    down.until(&told);
    save.interrupt();
    save.end().expect(130);
    down.end().expect(0);
}

#[test]
fn whoever_waits_for_a_dev_that_migrates_is_told_so_and_may_leave() {
    let checkout = Checkout::small("db-waits", STORE);
    checkout.run(&["dev", "--detach", "migrate"]).expect(0);
    checkout.edit(&[("(name text)\"", "(name text) \"")]);
    let mut dev = checkout.xtask(&["dev"]).env("HOMEPORT_HALT", "before:1").start();
    dev.until("halted");
    let mut seed = checkout.start(&["db", "seed"]);
    seed.until(&format!("waiting for cargo xtask dev (pid {}), which works on the database", dev.pid()));
    seed.interrupt();
    seed.end().expect(130);
    dev.kill();
}

#[test]
fn a_snapshot_under_a_text_that_never_ran_is_stale() {
    let checkout = Checkout::small("db-edited", STORE);
    let migration = "service/migrations/2026-01-01-000000_items/up.sql";
    checkout.write(migration, "-- the first text\n");
    checkout.run(&["dev", "--detach", "migrate"]).expect(0);
    // As diesel notes it.
    ask(
        &checkout,
        "CREATE TABLE __diesel_schema_migrations (version text); \
         INSERT INTO __diesel_schema_migrations VALUES ('20260101000000')",
    );
    let is_stale = |name: &str| {
        let run = checkout.run(&["db", "list", "--format", "json"]).expect(0);
        let listing = run.events().into_iter().find(|line| line["snapshots"].is_array()).expect("a listing");
        let rows = listing["snapshots"].as_array().expect("rows").clone();
        let row = rows.into_iter().find(|row| row["name"] == name).expect("a row");
        row["stale"].as_bool().expect("a word")
    };
    checkout.run(&["db", "save", "fits"]).expect(0);
    assert!(!is_stale("fits"));
    checkout.write(migration, "-- another text\n");
    checkout.run(&["db", "save", "edited"]).expect(0);
    assert!(is_stale("edited") && is_stale("fits"), "neither was made by that text");
    checkout.write(migration, "-- the first text\n");
    assert!(!is_stale("fits"));
}

#[test]
fn dockers_command_line_is_led_to_the_engine_and_told_from_psql() {
    let checkout = Checkout::small("db-psql", STORE);
    checkout.run(&["dev", "--detach", "postgres"]).expect(0);
    // Stands for Docker's command line at another engine.
    checkout.write(
        "bin/docker",
        "#!/bin/sh\necho \"docker $1 at $DOCKER_HOST, context '$DOCKER_CONTEXT'\" >&2\nexit 1\n",
    );
    let program = checkout.root().join("bin/docker");
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).expect("it was just written");
    let path =
        format!("{}:{}", checkout.root().join("bin").display(), std::env::var("PATH").expect("a path"));
    let host = Engine::docker_host().expect("an engine").expect("it has an address that Docker knows");
    let run = checkout.xtask(&["db", "psql"]).env("PATH", &path).run().expect(4);
    for told in [
        format!("docker exec at {host}, context ''"),
        "error[engine-unreachable]: cannot attach psql: docker ended with".to_owned(),
        format!("docker container at {host}"),
    ] {
        assert!(run.stderr().contains(&told), "{told:?} is not in\n{}", run.stderr());
    }
    let run = checkout.run(&["db", "psql", "-c", "SELECT nothing"]).expect(5);
    assert!(run.stderr().contains("error[database-refused]: psql ended with"), "{}", run.stderr());
}
