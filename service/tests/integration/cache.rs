//! Owns the promises of the cache: it is used, and nothing read after an acknowledged write is older than the write, through
//! whichever replica for which Redis is there as it is for the writer, whatever is put there late, and after an outage of
//! Redis.

use rocket::futures::future::join_all;
use serde_json::json;

use crate::{
    application::Application,
    proxy::{Mood, Proxy},
    servers::{self, config, until},
    tests,
};

tests![
    a_page_is_read_once,
    readings_at_once_are_one,
    an_acknowledged_write_is_seen_by_every_replica,
    a_late_filling_is_never_served,
    a_write_during_an_outage_of_redis_is_seen_after_it,
    a_write_that_redis_refuses_to_announce_is_seen,
    a_write_of_which_nobody_knows_whether_it_was_done_is_seen,
    a_redis_that_forgot_everything_does_no_harm,
    a_redis_with_a_password_is_told_it,
];

async fn newest(application: &Application) -> i64 {
    let page = application.get("/api/data?limit=1").await;
    assert_eq!(page.status, 200, "{}", page.text());
    page.json()["items"][0]["id"].as_i64().unwrap_or(0)
}

async fn create(application: &Application) -> i64 {
    let answer = application.post(&json!({ "name": "n", "value": 1 }), None).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()["id"].as_i64().expect("an id")
}

async fn a_page_is_read_once() {
    let application = Application::start().await;
    create(&application).await;
    let first = application.get("/api/data").await;
    for _ in 0..3 {
        assert_eq!(application.get("/api/data").await.text(), first.text());
    }
    assert_eq!(application.metric("app_cache_misses_total").await, 1);
    assert_eq!(application.metric("app_cache_hits_total").await, 3);
    application.get("/api/data?limit=2").await;
    assert_eq!(application.metric("app_cache_misses_total").await, 2);
}

async fn readings_at_once_are_one() {
    let proxy = Proxy::to(servers::postgres().await.port).await;
    let database = servers::postgres().await.database().await;
    // Nothing else uses the pool, and nobody finds Postgres away while it is silent.
    let changes = [
        ("FLUSH_INTERVAL_SECONDS", "3600"),
        ("SWEEP_INTERVAL_SECONDS", "86400"),
        ("READY_DEADLINE_SECONDS", "60"),
        ("DB_DEADLINE_SECONDS", "60"),
    ];
    let redis = servers::redis().await.port;
    let application = Application::assemble(&config(proxy.port, &database, redis, &changes)).await;
    application.until_ready("ok").await;
    create(&application).await;
    let before = application.metric("app_db_pool_wait_seconds_count").await;
    proxy.set(Mood::Silent);
    let readings = async {
        let answers = join_all((0..30).map(|_| application.get("/api/data"))).await;
        assert!(answers.iter().all(|answer| answer.status == 200 && answer.text() == answers[0].text()));
    };
    let release = async {
        until("30 misses", async || application.metric("app_cache_misses_total").await >= 30).await;
        proxy.set(Mood::Passing);
    };
    tokio::join!(readings, release);
    assert_eq!(
        application.metric("app_db_pool_wait_seconds_count").await - before,
        1,
        "one went to Postgres"
    );
}

async fn an_acknowledged_write_is_seen_by_every_replica() {
    let one = Application::start().await;
    let other = Application::start_on(&one.database, &[]).await;
    let write_and_look = async |writer: &Application, reader: &Application| {
        for _ in 0..30 {
            let id = create(writer).await;
            let (here, there) = tokio::join!(newest(writer), newest(reader));
            assert!(here >= id && there >= id, "{id} was acknowledged, {here} and {there} were read");
        }
    };
    tokio::join!(
        write_and_look(&one, &other),
        write_and_look(&other, &one),
        write_and_look(&one, &one),
        write_and_look(&other, &other),
    );
}

async fn a_late_filling_is_never_served() {
    let proxy = Proxy::to(servers::postgres().await.port).await;
    let quick = Application::start().await;
    let redis = servers::redis().await.port;
    let late = Application::assemble(&config(proxy.port, &quick.database, redis, &[])).await;
    late.until_ready("ok").await;
    assert_eq!(newest(&late).await, 0);
    let kept = quick.post(&json!({ "name": "kept-back", "value": 1 }), None).await;
    assert_eq!(kept.status, 201);
    let before = moment(&quick.database).await;
    // Its answer from Postgres is on the way, of before the write to come. A try of the connection is answered.
    proxy.set(Mood::Keeping("kept-back"));
    let (old, new) = tokio::join!(newest(&late), async {
        until("the reading to be done by Postgres", async || was_read(&quick.database, before).await).await;
        let id = create(&quick).await;
        proxy.set(Mood::Passing);
        id
    });
    assert_eq!(old, new - 1);
    assert_eq!((newest(&late).await, newest(&quick).await), (new, new));
}

/// Now, on the clock of Postgres, in microseconds.
async fn moment(database: &str) -> i64 {
    servers::ask(database, "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS number").await
}

/// Whether the last thing that some connection did in this database, since this moment, was to read a page.
async fn was_read(database: &str, since: i64) -> bool {
    let query = format!(
        "SELECT count(*) AS number FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle' \
         AND query LIKE 'SELECT%items%LIMIT%' AND extract(epoch FROM state_change) * 1000000 > {since}"
    );
    servers::ask(database, &query).await > 0
}

async fn a_write_during_an_outage_of_redis_is_seen_after_it() {
    let proxy = Proxy::to(servers::redis().await.port).await;
    let postgres = servers::postgres().await;
    let database = postgres.database().await;
    let application = Application::assemble(&config(postgres.port, &database, proxy.port, &[])).await;
    application.until_ready("ok").await;
    for mood in [Mood::Cut, Mood::Silent] {
        let before = create(&application).await;
        assert_eq!(newest(&application).await, before);
        proxy.set(mood);
        application.until_ready("degraded").await;
        let during = create(&application).await;
        assert_eq!(newest(&application).await, during);
        proxy.set(Mood::Passing);
        application.until_ready("ok").await;
        assert_eq!(newest(&application).await, during, "{mood:?}");
    }
    let causes = || -> Vec<serde_json::Value> {
        let lines = application.lines.read().into_iter();
        lines.filter(|line| line["msg"] == "redis is away, trying again").collect()
    };
    // Lines reach the log a moment later.
    until("a line an outage", async || causes().len() >= 2).await;
    let told = |line: &serde_json::Value| line["error"].as_str().is_some_and(|cause| !cause.is_empty());
    assert!(causes().iter().all(told), "{:#?}", causes());
}

async fn a_write_that_redis_refuses_to_announce_is_seen() {
    let (postgres, redis) = (servers::postgres().await, servers::Redis::start().await);
    let database = postgres.database().await;
    let application = Application::assemble(&config(postgres.port, &database, redis.port, &[])).await;
    application.until_ready("ok").await;
    let before = create(&application).await;
    assert_eq!(newest(&application).await, before);
    // Full: the cache can be read, and no write be announced in it.
    let mut connection = redis.connection().await;
    let mut bound = async |bytes: &str| {
        let mut set = redis::cmd("CONFIG");
        set.arg("SET").arg("maxmemory").arg(bytes);
        set.exec_async(&mut connection).await.expect("a bound");
    };
    bound("1").await;
    let during = create(&application).await;
    assert_eq!(newest(&application).await, during);
    bound("0").await;
    application.until_ready("ok").await;
    assert_eq!(newest(&application).await, during);
}

async fn a_write_of_which_nobody_knows_whether_it_was_done_is_seen() {
    let (postgres, redis) = (servers::postgres().await, servers::redis().await);
    let proxy = Proxy::to(postgres.port).await;
    let database = postgres.database().await;
    // No page ages by itself during a test.
    let kept = [("CACHE_TTL_SECONDS", "3600")];
    let writer = Application::assemble(&config(proxy.port, &database, redis.port, &kept)).await;
    let reader = Application::assemble(&config(postgres.port, &database, redis.port, &kept)).await;
    writer.until_ready("ok").await;
    reader.until_ready("ok").await;
    let item = json!({ "name": "n", "value": 1 });
    for (number, way) in ["silence", "end"].into_iter().enumerate() {
        let before = create(&writer).await;
        assert_eq!(newest(&reader).await, before);
        // The commit is done, and nobody is told.
        proxy.set(Mood::Keeping("COMMIT"));
        let key = format!("key-{number}");
        let cut = async {
            if way == "end" {
                until("the commit", async || stored(&database).await > before).await;
                proxy.set(Mood::Cut);
            }
        };
        let (answer, ()) = tokio::join!(writer.post(&item, Some(&key)), cut);
        assert_eq!((answer.status, answer.problem().as_str()), (503, "unavailable"), "{}", answer.text());
        until("the write to be seen", async || newest(&reader).await > before).await;
        proxy.set(Mood::Passing);
        writer.until_ready("ok").await;
        let again = writer.post(&item, Some(&key)).await;
        assert_eq!((again.status, again.header("Idempotency-Replayed")), (201, Some("true")), "{way}");
        assert_eq!(newest(&reader).await, again.json()["id"], "{way}");
    }
}

/// The newest item that Postgres has.
async fn stored(database: &str) -> i64 {
    servers::ask(database, "SELECT COALESCE(max(id), 0) AS number FROM items").await
}

async fn a_redis_that_forgot_everything_does_no_harm() {
    let application = Application::start().await;
    for _ in 0..3 {
        let id = create(&application).await;
        assert_eq!(newest(&application).await, id);
        servers::redis().await.forget(&application.database).await;
        assert_eq!(newest(&application).await, id);
        assert_eq!(newest(&application).await, id);
    }
}

async fn a_redis_with_a_password_is_told_it() {
    let (postgres, redis) = (servers::postgres().await, servers::Redis::start().await);
    let mut set = redis::cmd("CONFIG");
    set.arg("SET").arg("requirepass").arg("it's a test");
    set.exec_async(&mut redis.connection().await).await.expect("a password");
    // Redis refuses who names no password now, and refused before who names one.
    let (database, changes) = (postgres.database().await, [("REDIS_PASSWORD", "it's a test")]);
    let application = Application::assemble(&config(postgres.port, &database, redis.port, &changes)).await;
    application.until_ready("ok").await;
    assert_eq!(newest(&application).await, 0);
}
