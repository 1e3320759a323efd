//! Owns the promises about outages of Redis: degraded within its deadline, everything still answered, recovery without a
//! restart, no visit lost or counted twice. Each test breaks servers of its own.

use std::time::Duration;

use rocket::futures::future::join_all;

use crate::{
    application::Application,
    outages::{READY, check_at_once, create, cut_off, on, pause, start, stop},
    proxy::{Mood, Proxy},
    servers::{self, Redis, config, until},
    tests,
};

tests![
    a_stopped_redis_degrades_and_loses_no_visitor,
    a_paused_redis_degrades_within_the_deadline,
    a_redis_cut_off_from_its_network_is_survived,
    a_slow_redis_is_waited_for_within_its_deadline_and_loses_no_visitor,
];

/// Of tests that break Redis: what asks it without a deadline of its own waits for this long, and is found out.
const REDIS: (&str, &str) = ("REDIS_DEADLINE_SECONDS", "20");

/// What is promised while Redis is away.
async fn check_degraded(application: &Application) {
    let ready = application.get("/ready").await;
    assert_eq!((ready.status, ready.json()["status"].as_str()), (200, Some("degraded")));
    assert!(ready.took < READY, "{:?}", ready.took);
    let created = create(application, "meanwhile", None).await;
    assert_eq!(created.status, 201);
    for path in ["/", "/health", "/api/visitors", "/api/data", created.header("Location").expect("a place")] {
        check_at_once(application, path).await;
    }
    let newest = application.get("/api/data?limit=1").await.json();
    assert_eq!(newest["items"][0]["id"], created.json()["id"]);
}

/// Visits before, during and after an outage of Redis; each is counted once.
async fn visit_through(redis: &Redis, outage: impl AsyncFnOnce(&Application)) {
    let changes = [("FLUSH_INTERVAL_SECONDS", "0.1"), REDIS];
    let application = on(servers::postgres().await, redis, &changes).await;
    let mut visits = 0;
    let mut visit = async |times: i64| {
        for answer in join_all((0..times).map(|_| application.get("/"))).await {
            assert_eq!(answer.status, 200);
        }
        visits += times;
        visits
    };
    let sum = visit(25).await;
    let database = &application.database;
    until("the first visits in Postgres", async || crate::visitors::kept(database).await == sum).await;
    outage(&application).await;
    visit(25).await;
    application.until_ready("ok").await;
    // `check_degraded` is one visit more.
    let sum = visit(25).await + 1;
    until("all visits in Postgres", async || crate::visitors::kept(database).await == sum).await;
    assert_eq!(application.get("/api/visitors").await.json()["visitors"], sum);
}

async fn a_stopped_redis_degrades_and_loses_no_visitor() {
    let redis = Redis::start().await;
    visit_through(&redis, async |application| {
        stop(&redis.container).await;
        check_degraded(application).await;
        start(&redis.container).await;
    })
    .await;
}

async fn a_paused_redis_degrades_within_the_deadline() {
    let redis = Redis::start().await;
    visit_through(&redis, async |application| {
        pause(&redis.container).await;
        check_degraded(application).await;
        redis.container.unpause().await.expect("a running container");
    })
    .await;
}

async fn a_redis_cut_off_from_its_network_is_survived() {
    let redis = Redis::start().await;
    visit_through(&redis, async |application| {
        Box::pin(cut_off(&redis.container, check_degraded(application))).await;
    })
    .await;
}

async fn a_slow_redis_is_waited_for_within_its_deadline_and_loses_no_visitor() {
    let (postgres, proxy) = (servers::postgres().await, Proxy::to(servers::redis().await.port).await);
    let database = postgres.database().await;
    let changes = [("FLUSH_INTERVAL_SECONDS", "0.1"), ("REDIS_DEADLINE_SECONDS", "2")];
    let application = Application::assemble(&config(postgres.port, &database, proxy.port, &changes)).await;
    application.until_ready("ok").await;
    let visit = async |times: usize| {
        let answers = join_all((0..times).map(|_| application.get("/"))).await;
        assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
        answers.into_iter().map(|answer| answer.took).max()
    };
    visit(10).await;
    proxy.set(Mood::Slow(Duration::from_millis(40)));
    assert!(visit(10).await >= Some(Duration::from_millis(80)), "its answer is waited for");

    // Redis is told after everybody has left, and told again meanwhile; each visit is counted once all the same.
    proxy.set(Mood::Slow(Duration::from_secs(6)));
    visit(10).await;
    application.until_ready("degraded").await;
    visit(10).await;
    proxy.set(Mood::Passing);
    application.until_ready("ok").await;
    visit(10).await;
    until("all visits in Postgres", async || crate::visitors::kept(&database).await == 50).await;
    // What was sent again comes the first time only now.
    until("the late visits in Redis", async || !proxy.delays()).await;
    visit(1).await;
    until("the last visit in Postgres", async || crate::visitors::kept(&database).await >= 51).await;
    assert_eq!(application.get("/api/visitors").await.json()["visitors"], 51);
}
