//! Owns the promises about a Postgres that is there and does not do what it is asked: it is read-only, full, or was told to
//! give up. That is no fault of the service, and it is over as soon as Postgres says otherwise.

use diesel::connection::SimpleConnection;
use rocket::futures::{FutureExt, future::join_all, join};
use serde_json::json;

use crate::{
    application::{Answer, Application},
    idempotency::count,
    outages::create,
    servers::{self, until},
    tests,
};

tests![
    a_read_only_postgres_is_degraded_and_recovers,
    what_postgres_cannot_do_now_is_no_fault,
    what_postgres_is_told_to_give_up_is_no_fault,
    a_faulty_statement_is_a_fault,
];

fn check_refused(answer: &Answer) {
    assert_eq!((answer.status, answer.problem().as_str()), (503, "unavailable"), "{}", answer.text());
    assert_eq!(answer.header("Retry-After"), Some("1"));
    assert!(answer.text().contains("postgres cannot do this now"), "{}", answer.text());
}

/// Runs statements as an administrator whom no setting of the test's database concerns.
async fn administer(statements: String) {
    servers::execute("postgres", &statements).await;
}

async fn a_read_only_postgres_is_degraded_and_recovers() {
    // A failover ends all connections; or the probe has kept one, which knows nothing of it.
    for spared in ["", "AND query NOT LIKE '%__diesel_schema_migrations%'"] {
        let application = Application::start_with(&[("FLUSH_INTERVAL_SECONDS", "0.05")]).await;
        let database = application.database.as_str();
        assert_eq!(create(&application, "first", None).await.status, 201);
        administer(format!("ALTER DATABASE {database} SET default_transaction_read_only = on")).await;
        let end = format!(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '{database}' {spared}"
        );
        administer(end).await;

        // Nobody else tells a probe that has kept its connection.
        let told = async || {
            let refused = create(&application, "second", None).await;
            assert_eq!(refused.status, 503, "{}", refused.text());
            application.get("/ready").await.json()["status"] == "degraded"
        };
        until("readiness to tell of it", told).await;
        let ready = application.get("/ready").await;
        assert_eq!(
            (ready.status, ready.json()["postgres"].clone()),
            (200, json!({ "status": "up", "reason": "read-only" }))
        );
        for answer in join_all((0..20).map(|_| create(&application, "second", Some("second")))).await {
            check_refused(&answer);
        }
        // More at once than there are connections: each of the pool's has been used.
        let paths = (0..40).map(|number| match number % 4 {
            0 => "/api/data/1".to_owned(),
            1 => format!("/api/data?limit={}", number + 1),
            2 => "/".to_owned(),
            _ => "/health".to_owned(),
        });
        let paths: Vec<String> = paths.collect();
        for answer in join_all(paths.iter().map(|path| application.get(path))).await {
            assert_eq!(answer.status, 200, "{}", answer.text());
        }

        administer(format!("ALTER DATABASE {database} RESET default_transaction_read_only")).await;
        application.until_ready("ok").await;
        let again = (0..20).map(|number| create(&application, "third", (number == 0).then_some("second")));
        for answer in join_all(again).await {
            assert_eq!(answer.status, 201, "{}", answer.text());
        }
        assert_eq!(count(database).await, 21);
        let database = database.to_owned();
        application.stop().await;
        assert_eq!(crate::visitors::kept(&database).await, 10, "visits were kept once that could be done");
    }
}

async fn what_postgres_cannot_do_now_is_no_fault() {
    let application = Application::start().await;
    assert_eq!(create(&application, "first", None).await.status, 201);
    let refuse = "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN RAISE EXCEPTION USING ERRCODE = TG_ARGV[0], MESSAGE = 'nicht jetzt'; END $$";
    servers::execute(&application.database, refuse).await;
    // Its manual, appendix A: full disk, memory, a lock that is not to be had, a cancelled statement, a deadlock, a conflict,
    // a failing disk, a shutdown, a standby.
    for code in ["53100", "53200", "55P03", "57014", "40P01", "40001", "58030", "57P01", "25006"] {
        let trigger = format!(
            "CREATE TRIGGER refuse BEFORE INSERT ON items FOR EACH ROW EXECUTE FUNCTION refuse('{code}')"
        );
        servers::execute(&application.database, &trigger).await;
        // One alone, and a batch.
        check_refused(&create(&application, "refused", None).await);
        for answer in join_all((0..20).map(|_| create(&application, "refused", None))).await {
            check_refused(&answer);
        }
        assert_eq!(application.get("/api/data/1").await.status, 200);
        application.until_ready("ok").await;
        servers::execute(&application.database, "DROP TRIGGER refuse ON items").await;
        assert_eq!(create(&application, "after", None).await.status, 201, "{code}");
    }
    assert_eq!(count(&application.database).await, 10);
}

async fn what_postgres_is_told_to_give_up_is_no_fault() {
    let application = Application::start_with(&[("DB_DEADLINE_SECONDS", "60")]).await;
    let database = application.database.as_str();
    let mut holder = servers::sql(servers::postgres().await.port, database);
    holder.batch_execute("BEGIN; LOCK TABLE items IN ACCESS EXCLUSIVE MODE").expect("the lock");
    let waiting = format!("datname = '{database}' AND wait_event_type = 'Lock'");
    let cancel =
        format!("SELECT count(pg_cancel_backend(pid)) AS number FROM pg_stat_activity WHERE {waiting}");
    let (write, read) = ("query LIKE 'WITH input%'", "query LIKE 'SELECT%'");
    // What was cancelled as one of a batch is tried again alone.
    let cancelled = async |which: &str| {
        let cancel = format!("{cancel} AND {which}");
        until("a statement to give up", async || servers::ask(database, &cancel).await > 0).await;
    };
    let (stored, ()) = join!(create(&application, "once", None), async {
        cancelled(write).await;
        let waits = format!("SELECT count(*) AS number FROM pg_stat_activity WHERE {waiting} AND {write}");
        until("the next attempt", async || servers::ask(database, &waits).await > 0).await;
        holder.batch_execute("COMMIT").expect("the lock's end");
    });
    assert_eq!(stored.status, 201, "{}", stored.text());

    holder.batch_execute("BEGIN; LOCK TABLE items IN ACCESS EXCLUSIVE MODE").expect("the lock");
    for (request, which) in [
        (create(&application, "again and again", None).boxed_local(), write),
        (application.get("/api/data/1").boxed_local(), read),
    ] {
        let again_and_again = async {
            loop {
                cancelled(which).await;
            }
        };
        let refused = tokio::select! {
            refused = request => refused,
            () = again_and_again => unreachable!("it has no end"),
        };
        check_refused(&refused);
    }
    holder.batch_execute("COMMIT").expect("the lock's end");
    assert_eq!(application.get("/api/data/1").await.status, 200);
    assert_eq!(count(database).await, 1);
}

async fn a_faulty_statement_is_a_fault() {
    let application = Application::start().await;
    servers::execute(&application.database, "ALTER TABLE items RENAME COLUMN name TO heading").await;
    for answer in [create(&application, "n", None).await, application.get("/api/data/1").await] {
        assert_eq!((answer.status, answer.problem().as_str()), (500, "internal"), "{}", answer.text());
        assert!(!answer.text().contains("heading"), "{}", answer.text());
    }
}
