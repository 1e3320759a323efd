//! The development database: kept, thrown away and put back under a running service, and never half.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::checkout::{Checkout, until};
use crate::engine;
use crate::http;

const SINGLE: &str = include_str!("stacks/single.yaml");

/// What psql answers the application's role.
#[track_caller]
fn ask(checkout: &Checkout, sql: &str) -> String {
    checkout.run(&["db", "psql", "--no-align", "--tuples-only", "-c", sql]).expect(0).stdout()
}

/// The names of all items, as the database has them.
#[track_caller]
fn items(checkout: &Checkout) -> Vec<String> {
    ask(checkout, "SELECT name FROM items ORDER BY id").lines().map(str::to_owned).collect()
}

#[track_caller]
fn add(checkout: &Checkout, name: &str) {
    ask(checkout, &format!("INSERT INTO items (name, value) VALUES ('{name}', '1')"));
}

/// The server's databases, as `name owner rights`.
#[track_caller]
fn databases(checkout: &Checkout) -> Vec<String> {
    let sql =
        "SELECT concat_ws(' ', datname, pg_get_userbyid(datdba), datacl) FROM pg_database ORDER BY datname";
    ask(checkout, sql).lines().map(str::to_owned).collect()
}

/// The service's sessions, as the server numbers them.
#[track_caller]
fn sessions(checkout: &Checkout) -> BTreeSet<String> {
    let sql = "SELECT pid FROM pg_stat_activity WHERE application_name = 'service'";
    ask(checkout, sql).lines().map(str::to_owned).collect()
}

/// The names that the service serves, newest first; `None` while it has not found its database again, or holds it away for
/// the moment.
fn served(base: &str) -> Option<Vec<String>> {
    let answer = http::get(&format!("{base}/api/data"));
    let items = (answer.status == 200).then(|| answer.json()["items"].clone())?;
    let name = |item: &Value| item["name"].as_str().expect("an item has a name").to_owned();
    Some(items.as_array().expect("a list").iter().map(name).collect())
}

#[test]
fn a_running_service_serves_what_is_put_back() {
    let checkout = Checkout::full("db-service");
    checkout.run(&["dev", "--detach", "service"]).expect(0);
    let base = format!("http://127.0.0.1:{}", checkout.variable("HOMEPORT_SERVICE_PORT"));
    let container = || engine::container_id(&format!("{}-service", checkout.name()));
    let (before, rights) = (container(), databases(&checkout));
    http::until_ready(&base);

    assert_eq!(until("a page", || served(&base)), [""; 0], "and the empty page is cached");
    let before_seeding = sessions(&checkout);
    checkout.run(&["db", "seed"]).expect(0);
    assert!(!sessions(&checkout).is_disjoint(&before_seeding), "seeding disconnects nobody");
    let seeded = until("a page", || served(&base));
    assert_eq!(seeded.len(), 5, "{seeded:?}");
    checkout.run(&["db", "seed"]).expect(0);
    assert_eq!(until("a page", || served(&base)), seeded, "seeding twice adds nothing");

    checkout.run(&["db", "save", "seeded"]).expect(0);
    // The service is connected again.
    let answer = http::create(&base, "later", &1.into());
    // Its connections find out one by one that they were cut off.
    let with_later = until("the service is connected again", || served(&base));
    assert_eq!(with_later.len(), 6, "{}", answer.body);

    checkout.run(&["db", "restore", "seeded", "--yes"]).expect(0);
    let again = until("the service is connected again", || served(&base));
    assert_eq!(again, seeded, "from the first answer on it is as before");
    assert_eq!(container(), before, "the service was not replaced");
    let with_snapshot = databases(&checkout);
    assert!(rights.iter().all(|database| with_snapshot.contains(database)), "{rights:?} {with_snapshot:?}");

    // Migrating anew leaves the service alone too, and `dev` finds nothing to do.
    checkout.run(&["db", "migrate"]).expect(0);
    assert_eq!(container(), before);
    let plan =
        checkout.run(&["dev", "--detach", "--dry-run", "--format", "json", "service"]).expect(0).plan();
    assert_eq!(plan, []);
}

#[test]
fn data_is_thrown_away_only_when_that_was_agreed_to() {
    let checkout = Checkout::full("db-consent");
    let run = checkout.run(&["db", "save", "one"]).expect(4);
    for told in ["error[database-absent]", "`cargo xtask dev --detach postgres`"] {
        assert!(run.stderr().contains(told), "{told:?} is not in\n{}", run.stderr());
    }
    checkout.run(&["dev", "--detach", "migrate"]).expect(0);
    add(&checkout, "first");
    checkout.run(&["db", "save", "one"]).expect(0);
    add(&checkout, "second");
    let rights = databases(&checkout);
    for (command, what) in [
        (&["db", "reset"] as &[_], "all data of database app is thrown away"),
        (&["db", "restore", "one"], "all data of database app is thrown away for snapshot one"),
        (&["db", "save", "one"], "snapshot one of"),
    ] {
        let run = checkout.run(command).expect(2);
        assert!(run.stderr().contains(what) && run.stderr().contains("--yes"), "{}", run.stderr());
    }
    assert_eq!(
        (items(&checkout), databases(&checkout)),
        (vec!["first".to_owned(), "second".to_owned()], rights.clone())
    );

    checkout.run(&["db", "save", "one", "--yes"]).expect(0);
    checkout.run(&["db", "reset", "--yes"]).expect(0);
    assert_eq!(
        (items(&checkout), databases(&checkout)),
        (vec![], rights),
        "empty, migrated, with the same rights"
    );
    checkout.run(&["db", "restore", "one", "--yes"]).expect(0);
    assert_eq!(items(&checkout), ["first", "second"]);

    let run = checkout.run(&["db", "restore", "two", "--yes"]).expect(2);
    assert!(
        run.stderr().contains("no snapshot two") && run.stderr().contains("the snapshots are: one"),
        "{}",
        run.stderr()
    );
    let run = checkout.run(&["db", "save", "Robert'; --"]).expect(2);
    assert!(run.stderr().contains("lower-case letters"), "{}", run.stderr());
    let listing = &checkout.run(&["db", "list", "--format", "json"]).expect(0);
    let listing = listing.events().into_iter().find(|line| line["snapshots"].is_array()).expect("a listing");
    let row = &listing["snapshots"][0];
    assert_eq!((row["name"].as_str(), row["stale"].as_bool()), (Some("one"), Some(false)), "{listing}");
    let unasked = checkout.run(&["db", "remove", "one"]).expect(2);
    assert!(unasked.stderr().contains("db remove one --yes"), "{}", unasked.stderr());
    checkout.run(&["db", "remove", "one", "--yes"]).expect(0);
    assert!(checkout.run(&["db", "list"]).expect(0).stdout().contains("no snapshots"));

    // One command at a time.
    let mut first = checkout.xtask(&["db", "save", "held"]).env("HOMEPORT_HALT", "before:1").start();
    first.until("halted");
    let run = checkout.run(&["db", "reset", "--yes"]).expect(4);
    assert!(run.stderr().contains("cargo xtask db save (pid"), "{}", run.stderr());
    first.kill();
    checkout.run(&["db", "save", "held"]).expect(0);
}

/// What an init script makes beside data, and a person by hand, is there after all data was thrown away. What the
/// application's role made itself is its migrations' to make again.
#[test]
fn what_the_server_was_given_outlives_a_reset() {
    let checkout = Checkout::full("db-given");
    checkout.run(&["dev", "--detach", "migrate"]).expect(0);
    let as_superuser = |sql: &str| {
        let script =
            format!("psql -v ON_ERROR_STOP=1 -U \"$POSTGRES_USER\" -d \"$POSTGRES_DB\" -c \"{sql}\"");
        engine::run_in(&format!("{}-postgres", checkout.name()), &["sh", "-c", &script]);
    };
    as_superuser("CREATE SCHEMA words AUTHORIZATION CURRENT_USER");
    as_superuser("CREATE EXTENSION pg_trgm SCHEMA words");
    as_superuser("CREATE EXTENSION hstore");
    ask(&checkout, "CREATE EXTENSION citext");
    let role = ask(&checkout, "SELECT current_user").trim_end().to_owned();
    as_superuser(&format!("ALTER ROLE {role} IN DATABASE app SET statement_timeout = '7s'"));
    as_superuser("ALTER DATABASE app SET lock_timeout = '3s'");
    let given = || {
        ask(
            &checkout,
            "SELECT extname, extnamespace::regnamespace, pg_get_userbyid(extowner) FROM pg_extension ORDER BY extname; \
             SHOW statement_timeout; SHOW lock_timeout",
        )
    };
    let before = given();
    assert!(before.contains("citext|") && before.ends_with("7s\n3s\n"), "{before}");

    checkout.run(&["db", "reset", "--yes"]).expect(0);
    let expected: String =
        before.lines().filter(|line| !line.starts_with("citext|")).map(|line| format!("{line}\n")).collect();
    assert_eq!(given(), expected);
    checkout.run(&["db", "save", "given"]).expect(0);
    checkout.run(&["db", "restore", "given", "--yes"]).expect(0);
    assert_eq!(given(), expected);
}

#[test]
fn a_stale_snapshot_is_named_before_it_is_used() {
    const LAST: &str = "20260101000002";
    let checkout = Checkout::full("db-stale");
    checkout.run(&["dev", "--detach", "migrate"]).expect(0);
    add(&checkout, "kept");
    // As the checkout was before its last migration.
    ask(&checkout, "DROP TABLE visitors, visitor_debts");
    ask(&checkout, &format!("DELETE FROM __diesel_schema_migrations WHERE version = '{LAST}'"));
    checkout.run(&["db", "save", "older"]).expect(0);
    checkout.run(&["db", "migrate"]).expect(0);
    assert_eq!(ask(&checkout, "SELECT count FROM visitors"), "0\n", "the migration was run again");
    // As another branch would leave it.
    ask(&checkout, "INSERT INTO __diesel_schema_migrations (version) VALUES ('29990101000000')");
    checkout.run(&["db", "save", "other"]).expect(0);

    let listing = checkout.run(&["db", "list"]).expect(0).stdout();
    let row = |name: &str| listing.lines().find(|line| line.starts_with(name)).expect("a row").to_owned();
    assert!(row("older").contains("stale") && row("older").contains(&format!("lacks {LAST}")), "{listing}");
    assert!(row("other").contains("has 29990101000000, unknown to this checkout"), "{listing}");

    let lacks = format!("snapshot older is stale: it lacks {LAST}");
    let run = checkout.run(&["db", "restore", "older"]).expect(2);
    assert!(run.stderr().contains(&lacks), "{}", run.stderr());
    let run = checkout.run(&["db", "restore", "older", "--yes"]).expect(0);
    let (named, used) = (run.stderr().find(&lacks), run.stderr().find("copy snapshot older"));
    assert!(named.is_some() && named < used, "{}", run.stderr());
    assert_eq!(ask(&checkout, "SELECT count FROM visitors"), "0\n", "it was migrated after it was put back");
    assert_eq!(items(&checkout), ["kept"]);

    let run = checkout.run(&["db", "restore", "other", "--yes"]).expect(0);
    assert!(run.stderr().contains("snapshot other is stale: it has 29990101000000"), "{}", run.stderr());
}

#[test]
fn a_restore_that_is_killed_leaves_the_old_or_the_new_data() {
    let checkout = Checkout::full("db-killed");
    checkout.run(&["dev", "--detach", "migrate"]).expect(0);
    add(&checkout, "old");
    checkout.run(&["db", "save", "old"]).expect(0);
    let kill_at = |arguments: &[&str], halt: &str| {
        let mut run = checkout.xtask(arguments).env("HOMEPORT_HALT", halt).start();
        run.until("halted");
        run.kill();
    };
    // Copied, swapped, the rest removed.
    for (halt, expected) in [
        ("before:1", "new"),
        ("after:1", "new"),
        ("before:2", "new"),
        ("after:2", "old"),
        ("before:3", "old"),
        ("after:3", "old"),
    ] {
        ask(&checkout, "UPDATE items SET name = 'new'");
        kill_at(&["db", "restore", "old", "--yes"], halt);
        assert_eq!(items(&checkout), [expected], "killed {halt}");
        checkout.run(&["db", "restore", "old", "--yes"]).expect(0);
        assert_eq!(items(&checkout), ["old"], "after a kill {halt}");
        let left = databases(&checkout);
        assert!(
            !left.iter().any(|database| database.contains("fresh") || database.contains("gone")),
            "{left:?}"
        );
    }
    // A snapshot that is replaced is the old one or the new one too.
    kill_at(&["db", "save", "old", "--yes"], "before:1");
    checkout.run(&["db", "restore", "old", "--yes"]).expect(0);
    // An empty database has its tables before it is put in place.
    kill_at(&["db", "reset", "--yes"], "before:1");
    assert_eq!(items(&checkout), ["old"]);
    kill_at(&["db", "reset", "--yes"], "after:1");
    assert_eq!(items(&checkout), [""; 0]);
    checkout.run(&["dev", "--detach", "migrate"]).expect(0);
    assert_eq!(items(&checkout), [""; 0]);
}

#[test]
fn a_stack_without_postgres_has_no_database() {
    let checkout = Checkout::small("db-none", SINGLE);
    let run = checkout.run(&["db", "reset", "--yes"]).expect(3);
    assert!(run.stderr().contains("the stack has no service postgres"), "{}", run.stderr());
}

#[test]
fn the_database_is_changed_beside_a_dev_in_the_foreground() {
    let checkout = Checkout::full("db-beside");
    let mut dev = checkout.start(&["dev", "service"]);
    dev.until("watching for saves");
    let base = format!("http://127.0.0.1:{}", checkout.variable("HOMEPORT_SERVICE_PORT"));
    checkout.run(&["db", "seed"]).expect(0);
    checkout.run(&["db", "save", "seeded"]).expect(0);
    checkout.run(&["db", "reset", "--yes"]).expect(0);
    assert_eq!(until("the service is connected again", || served(&base)), [""; 0]);
    checkout.run(&["db", "restore", "seeded", "--yes"]).expect(0);
    assert_eq!(until("the service is connected again", || served(&base)).len(), 5);
    // What would change the project itself is refused as ever.
    let run = checkout.run(&["down"]).expect(4);
    assert!(run.stderr().contains("error[project-busy]"), "{}", run.stderr());
    dev.interrupt();
    dev.end().expect(0);
}
