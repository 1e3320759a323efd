//! Owns the promises of the visitors' count: each visit counted once, whatever becomes of Redis, Postgres and the service
//! meanwhile, and by however many replicas.

use std::collections::BTreeSet;

use rocket::futures::future::join_all;

use crate::{
    application::Application,
    proxy::{Mood, Proxy},
    servers::{self, config, until},
    tests,
};

tests![
    numbers_are_given_once,
    a_restart_of_the_service_loses_nothing,
    a_kill_of_the_service_loses_nothing,
    a_redis_that_forgot_resumes_from_postgres,
    a_redis_that_forgot_under_a_running_service_resumes_from_what_it_knew,
    replicas_flush_at_once_without_counting_twice,
    visits_without_redis_are_counted_when_it_is_back,
    a_lost_answer_is_not_counted_twice,
    visits_without_redis_survive_a_restart_of_the_service,
    a_service_that_begins_without_redis_knows_the_past,
    visits_are_counted_while_both_are_away,
    a_greater_count_in_postgres_raises_redis,
    a_visit_waits_for_a_silent_postgres_no_longer_than_for_redis,
    a_count_that_is_no_number_takes_nothing_else_away,
];

const QUICK: (&str, &str) = ("FLUSH_INTERVAL_SECONDS", "0.1");

async fn visit(application: &Application, times: usize) -> Vec<u64> {
    let answers = join_all((0..times).map(|_| application.get("/"))).await;
    answers.iter().map(|answer| answer.json()["visitor"].as_u64().expect("a number")).collect()
}

async fn count(application: &Application) -> u64 {
    application.get("/api/visitors").await.json()["visitors"].as_u64().expect("a number")
}

/// The count in Postgres.
pub(crate) async fn kept(database: &str) -> i64 {
    servers::ask(database, "SELECT count AS number FROM visitors").await
}

async fn parked(database: &str) -> i64 {
    servers::ask(database, "SELECT coalesce(sum(visits), 0)::bigint AS number FROM visitor_debts").await
}

async fn until_kept(database: &str, count: i64) {
    until(&format!("{count} visitors in Postgres"), async || kept(database).await == count).await;
}

/// An application behind a relay to Redis.
async fn behind(proxy: &Proxy, database: &str) -> Application {
    let application = Application::assemble(&config(
        servers::postgres().await.port,
        database,
        proxy.port,
        &[QUICK, ("REDIS_DEADLINE_SECONDS", "1")],
    ))
    .await;
    application.until_ready("ok").await;
    application
}

async fn numbers_are_given_once() {
    // Flushes come in between all the time, and must not take a visit's number along.
    let busy = [("FLUSH_INTERVAL_SECONDS", "0.05")];
    let one = Application::start_with(&busy).await;
    let other = Application::start_on(&one.database, &busy).await;
    let mut numbers = BTreeSet::new();
    for _ in 0..20 {
        let (here, there) = tokio::join!(visit(&one, 20), visit(&other, 20));
        numbers.extend(here.into_iter().chain(there));
    }
    assert_eq!(numbers, (1..=800).collect());
    assert_eq!((count(&one).await, count(&other).await), (800, 800));
}

async fn a_restart_of_the_service_loses_nothing() {
    let application = Application::start().await;
    let database = application.database.clone();
    visit(&application, 7).await;
    application.stop().await;
    assert_eq!(kept(&database).await, 7);
    let application = Application::start_on(&database, &[]).await;
    assert_eq!(visit(&application, 1).await, [8]);
}

async fn a_kill_of_the_service_loses_nothing() {
    let application = Application::start_with(&[("FLUSH_INTERVAL_SECONDS", "3600")]).await;
    let database = application.database.clone();
    visit(&application, 7).await;
    // What is lost is never more than what has not reached Redis, which on a busy machine is away now and then.
    let key = format!("{database}:visitors:count");
    let redis = servers::redis().await.connection().await;
    until("the visits in Redis", async || {
        let count: Option<u64> =
            redis::cmd("GET").arg(&key).query_async(&mut redis.clone()).await.expect("an answer");
        count == Some(7)
    })
    .await;
    application.kill();
    assert_eq!(kept(&database).await, 0);
    let application = Application::start_on(&database, &[]).await;
    assert_eq!(count(&application).await, 7);
}

async fn a_redis_that_forgot_resumes_from_postgres() {
    let application = Application::start_with(&[QUICK]).await;
    let database = application.database.clone();
    visit(&application, 10).await;
    until_kept(&database, 10).await;
    application.kill();
    servers::redis().await.forget(&database).await;
    let application = Application::start_on(&database, &[QUICK]).await;
    assert_eq!(count(&application).await, 10);
    assert_eq!(visit(&application, 1).await, [11]);
}

async fn a_redis_that_forgot_under_a_running_service_resumes_from_what_it_knew() {
    let application = Application::start_with(&[("FLUSH_INTERVAL_SECONDS", "3600")]).await;
    visit(&application, 10).await;
    servers::redis().await.forget(&application.database).await;
    assert_eq!(visit(&application, 1).await, [11]);
    servers::redis().await.forget(&application.database).await;
    assert_eq!(count(&application).await, 11);
}

async fn replicas_flush_at_once_without_counting_twice() {
    let quickest = [("FLUSH_INTERVAL_SECONDS", "0.05")];
    let one = Application::start_with(&quickest).await;
    let others = join_all((0..3).map(|_| Application::start_on(&one.database, &quickest))).await;
    let replicas: Vec<&Application> = others.iter().chain([&one]).collect();
    for _ in 0..5 {
        join_all(replicas.iter().map(|replica| visit(replica, 20))).await;
    }
    until_kept(&one.database, 400).await;
    for replica in replicas {
        assert_eq!(count(replica).await, 400);
    }
    for replica in others {
        replica.stop().await;
    }
    assert_eq!(kept(&one.database).await, 400);
}

async fn visits_without_redis_are_counted_when_it_is_back() {
    let proxy = Proxy::to(servers::redis().await.port).await;
    let application = behind(&proxy, &servers::postgres().await.database().await).await;
    assert_eq!(visit(&application, 5).await.into_iter().max(), Some(5));
    proxy.set(Mood::Cut);
    application.until_ready("degraded").await;
    assert_eq!(visit(&application, 1).await, [6]);
    until("the visit to be parked", async || parked(&application.database).await == 1).await;
    assert_eq!(visit(&application, 1).await, [7]);
    assert_eq!(count(&application).await, 7);
    proxy.set(Mood::Passing);
    application.until_ready("ok").await;
    until_kept(&application.database, 7).await;
    until("the debt to be struck out", async || parked(&application.database).await == 0).await;
    assert_eq!(count(&application).await, 7);
    assert_eq!(visit(&application, 1).await, [8]);
    assert_eq!(application.metric("app_visitors_pending").await, 0);
}

async fn a_lost_answer_is_not_counted_twice() {
    let proxy = Proxy::to(servers::redis().await.port).await;
    let application = behind(&proxy, &servers::postgres().await.database().await).await;
    visit(&application, 5).await;
    for round in 1..=3 {
        // Redis gets the batch, and its answer does not come back.
        proxy.set(Mood::Mute);
        assert_eq!(visit(&application, 10).await.len(), 10);
        proxy.set(Mood::Cut);
        application.until_ready("degraded").await;
        visit(&application, 3).await;
        proxy.set(Mood::Passing);
        application.until_ready("ok").await;
        until_kept(&application.database, 5 + 13 * round).await;
    }
    assert_eq!(count(&application).await, 44);
}

async fn visits_without_redis_survive_a_restart_of_the_service() {
    let proxy = Proxy::to(servers::redis().await.port).await;
    let application = behind(&proxy, &servers::postgres().await.database().await).await;
    let database = application.database.clone();
    visit(&application, 5).await;
    proxy.set(Mood::Mute);
    visit(&application, 10).await;
    proxy.set(Mood::Cut);
    application.until_ready("degraded").await;
    visit(&application, 3).await;
    application.stop().await;

    let successor = Application::start_on(&database, &[QUICK]).await;
    until("all visits", async || count(&successor).await == 18).await;
    until_kept(&database, 18).await;
    assert_eq!(parked(&database).await, 0);
}

async fn a_service_that_begins_without_redis_knows_the_past() {
    let proxy = Proxy::to(servers::redis().await.port).await;
    let application = behind(&proxy, &servers::postgres().await.database().await).await;
    let database = application.database.clone();
    visit(&application, 5).await;
    until_kept(&database, 5).await;
    proxy.set(Mood::Cut);
    application.until_ready("degraded").await;
    visit(&application, 3).await;
    application.stop().await;
    assert!(parked(&database).await > 0);

    let successor =
        Application::assemble(&config(servers::postgres().await.port, &database, proxy.port, &[QUICK])).await;
    until("the past", async || count(&successor).await == 8).await;
    assert_eq!(visit(&successor, 1).await, [9]);
    proxy.set(Mood::Passing);
    successor.until_ready("ok").await;
    until_kept(&database, 9).await;
    assert_eq!(count(&successor).await, 9);
}

async fn visits_are_counted_while_both_are_away() {
    let (postgres, redis) = (servers::postgres().await, servers::redis().await);
    let (to_postgres, to_redis) = (Proxy::to(postgres.port).await, Proxy::to(redis.port).await);
    let database = postgres.database().await;
    let application =
        Application::assemble(&config(to_postgres.port, &database, to_redis.port, &[QUICK])).await;
    application.until_ready("ok").await;
    visit(&application, 5).await;
    to_postgres.set(Mood::Cut);
    to_redis.set(Mood::Cut);
    application.until_ready("unavailable").await;
    for answer in join_all((0..4).map(|_| application.get("/"))).await {
        assert_eq!(answer.status, 200);
    }
    to_redis.set(Mood::Passing);
    until("Redis", async || application.get("/ready").await.json()["redis"]["status"] == "up").await;
    assert_eq!(visit(&application, 1).await, [10]);
    to_postgres.set(Mood::Passing);
    application.until_ready("ok").await;
    until_kept(&database, 10).await;
}

async fn a_greater_count_in_postgres_raises_redis() {
    let application = Application::start_with(&[QUICK]).await;
    visit(&application, 5).await;
    until_kept(&application.database, 5).await;
    servers::ask(&application.database, "UPDATE visitors SET count = 100 RETURNING count AS number").await;
    until("Redis to be raised", async || count(&application).await == 100).await;
    assert_eq!(visit(&application, 1).await, [101]);
}

async fn a_visit_waits_for_a_silent_postgres_no_longer_than_for_redis() {
    let (postgres, redis) = (servers::postgres().await, servers::redis().await);
    let proxy = Proxy::to(postgres.port).await;
    let database = postgres.database().await;
    // Postgres is not known to be away for as long as the test lasts.
    let changes =
        [("REDIS_DEADLINE_SECONDS", "1"), ("DB_DEADLINE_SECONDS", "60"), ("READY_DEADLINE_SECONDS", "60")];
    let application = Application::assemble(&config(proxy.port, &database, redis.port, &changes)).await;
    application.until_ready("ok").await;
    proxy.set(Mood::Silent);
    redis.forget(&database).await;
    let answer = application.get("/").await;
    assert_eq!((answer.status, &answer.json()["visitor"]), (200, &1.into()));
    assert!(answer.took < servers::PATIENCE, "{:?}", answer.took);
}

async fn a_count_that_is_no_number_takes_nothing_else_away() {
    let application = Application::start_with(&[QUICK]).await;
    assert_eq!(visit(&application, 5).await.into_iter().max(), Some(5));
    // What Redis loses before it is kept is lost.
    until_kept(&application.database, 5).await;
    let key = format!("{}:visitors:count", application.database);
    let mut redis = servers::redis().await.connection().await;
    redis::pipe().del(&key).lpush(&key, "no number").exec_async(&mut redis).await.expect("a list");

    // To the one that runs, and to one that begins with it, Redis is there, and the cache works.
    let successor = Application::start_on(&application.database, &[QUICK]).await;
    for one in [&application, &successor] {
        assert_eq!(visit(one, 3).await.len(), 3);
        for _ in 0..3 {
            assert_eq!(one.get("/api/data").await.status, 200);
        }
        assert!(one.metric("app_cache_hits_total").await >= 2);
        let said = |text: &str| -> Vec<String> {
            let lines = one.lines.read().into_iter().filter(|line| line["msg"] == text);
            lines.map(|line| line["error"].as_str().expect("a cause").to_owned()).collect()
        };
        // Lines reach the log a moment later.
        until("a word on it", async || !said("redis refused a command").is_empty()).await;
        let refusals = said("redis refused a command");
        assert!(refusals.len() == 1 && refusals[0].contains("WRONGTYPE"), "said once: {refusals:?}");
        assert_eq!(said("redis is away, trying again"), [""; 0]);
    }

    redis::cmd("DEL").arg(&key).exec_async(&mut redis).await.expect("no list");
    until_kept(&application.database, 11).await;
    until("all visits", async || count(&application).await == 11 && count(&successor).await == 11).await;
}
