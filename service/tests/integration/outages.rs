//! Owns the promises about outages of Postgres: the right status at once, everything else still answered, recovery
//! without a restart, nothing acknowledged lost, retries that do not double. Each test breaks servers of its own.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use bollard::{
    models::{NetworkConnectRequest, NetworkDisconnectRequest},
    query_parameters::{
        InspectContainerOptions, KillContainerOptions, RestartContainerOptions, StartContainerOptions,
        StopContainerOptions,
    },
};
use diesel::connection::SimpleConnection;
use rocket::futures::{
    StreamExt,
    future::{join, join_all},
    stream::FuturesUnordered,
};
use serde_json::json;

use crate::{
    application::{Answer, Application},
    engine,
    idempotency::{count, count_on},
    proxy::{Mood, Proxy},
    servers::{self, Container, PATIENCE, Postgres, Redis, config, until},
    tests,
};

tests![
    a_paused_postgres_is_unready_within_the_deadline,
    a_stopped_postgres_is_survived,
    a_killed_postgres_loses_nothing_acknowledged,
    a_postgres_cut_off_from_its_network_is_survived,
    a_slow_postgres_is_unready_and_answers_late_or_not_at_all,
    a_full_pool_is_refused_and_recovers,
    a_full_queue_of_writes_is_refused,
    writes_that_wait_too_long_are_late_and_no_fault,
    a_restarted_postgres_costs_no_restart_of_the_service,
];

/// The tests' `READY_DEADLINE_SECONDS` and what a busy machine adds; less than `DB_DEADLINE_SECONDS` and that of tests
/// that break Redis, for which a readiness without a deadline of its own would wait.
pub(crate) const READY: Duration = Duration::from_secs(9);

/// Answers that wait for nothing, on a busy machine; less than the deadlines of the tests' requests, for which they would
/// wait otherwise.
pub(crate) const AT_ONCE: Duration = Duration::from_secs(7);

pub(crate) async fn on(postgres: &Postgres, redis: &Redis, changes: &[(&str, &str)]) -> Application {
    let database = postgres.database().await;
    let application = Application::assemble(&config(postgres.port, &database, redis.port, changes)).await;
    application.until_ready("ok").await;
    application
}

pub(crate) async fn stop(container: &Container) {
    let at_once = StopContainerOptions { t: Some(5), ..Default::default() };
    engine::connect().await.stop_container(container.id(), Some(at_once)).await.expect("a stopped container");
}

/// On a machine where all wait for all, runc finds its processes at work whenever it looks, and gives up; they then run on.
/// Or it succeeds and the answer comes too late, and whoever asks again is refused.
pub(crate) async fn pause(container: &Container) {
    until("a paused container", async || match container.pause().await {
        Ok(()) => true,
        Err(refusal) => format!("{refusal:?}").contains("already paused"),
    })
    .await;
}

pub(crate) async fn start(container: &Container) {
    let docker = engine::connect().await;
    docker.start_container(container.id(), None::<StartContainerOptions>).await.expect("a started container");
}

/// The writer's queue and the batches that its two threads hold: no more writes can wait.
const MOST_WAITING: usize = 256 + 2 * 128;

pub(crate) async fn create(application: &Application, name: &str, key: Option<&str>) -> Answer {
    application.post(&json!({ "name": name, "value": null }), key).await
}

/// What needs no Postgres answers while it is away.
async fn check_what_needs_no_postgres(application: &Application) {
    for path in ["/", "/health", "/metrics", "/openapi.json", "/api/visitors"] {
        check_at_once(application, path).await;
    }
}

/// It answers, and does not wait for what is away.
pub(crate) async fn check_at_once(application: &Application, path: &str) {
    let answer = application.get(path).await;
    assert!(
        answer.status == 200 && answer.took < AT_ONCE,
        "{path}: {} after {:?}",
        answer.status,
        answer.took
    );
}

/// What needs Postgres is refused at once once its absence is known.
async fn check_what_needs_postgres(application: &Application) {
    let answers = [
        application.get("/api/data/1").await,
        application.get("/api/data?limit=99").await,
        create(application, "refused", None).await,
    ];
    for answer in answers {
        assert_eq!((answer.status, answer.problem().as_str()), (503, "unavailable"));
        assert_eq!(answer.header("Retry-After"), Some("1"));
        assert!(answer.took < AT_ONCE, "{:?}", answer.took);
    }
}

/// Every acknowledged item is there, under its id, with its name.
async fn check_acknowledged(application: &Application, acknowledged: &BTreeMap<i64, String>) {
    for (id, name) in acknowledged {
        let answer = application.get(&format!("/api/data/{id}")).await;
        assert_eq!(answer.status, 200, "{id} was acknowledged");
        assert_eq!(answer.json()["name"], name.as_str());
    }
}

/// Creates items without a pause until `ends`, each with a key and tried until it is acknowledged.
async fn insist(
    application: &Application,
    worker: usize,
    ends: &tokio::sync::watch::Receiver<bool>,
) -> BTreeMap<i64, String> {
    let mut acknowledged = BTreeMap::new();
    for number in 0.. {
        let name = format!("{worker}-{number}");
        let answer = loop {
            let answer = create(application, &name, Some(&name)).await;
            if answer.status == 201 {
                break answer;
            }
            assert_eq!(answer.status, 503, "{}", answer.text());
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        acknowledged.insert(answer.json()["id"].as_i64().expect("an id"), name);
        if *ends.borrow() {
            break;
        }
    }
    acknowledged
}

/// Creates items through an outage, with retries, and checks that each is there once.
async fn write_through(application: &Application, postgres: &Postgres, outage: impl Future<Output = ()>) {
    let earlier = count_on(postgres.port, &application.database).await;
    let (end, ends) = tokio::sync::watch::channel(false);
    let workers = join_all((0..8).map(|worker| insist(application, worker, &ends)));
    let outage = async {
        outage.await;
        application.until_ready("ok").await;
        // Some go through after the outage too.
        let before = application.metric("app_db_batch_rows_sum").await;
        let more = async || application.metric("app_db_batch_rows_sum").await > before + 20;
        until("items after the outage", more).await;
        end.send_replace(true);
    };
    let (acknowledged, ()) = join(workers, outage).await;
    let lists = acknowledged.len();
    let all: BTreeMap<i64, String> = acknowledged.into_iter().flatten().collect();
    assert!(lists == 8 && all.len() > 8, "{} items", all.len());
    check_acknowledged(application, &all).await;
    let names: BTreeSet<&String> = all.values().collect();
    assert_eq!(names.len(), all.len(), "no name was acknowledged under two ids");
    let there = count_on(postgres.port, &application.database).await - earlier;
    assert_eq!(there, i64::try_from(all.len()).expect("a count"), "retries made no item twice");
}

async fn a_paused_postgres_is_unready_within_the_deadline() {
    let postgres = Postgres::start(&[]).await;
    let application = on(&postgres, servers::redis().await, &[]).await;
    let first = create(&application, "first", None).await;
    assert_eq!(first.status, 201);
    let outage = async {
        pause(&postgres.container).await;
        let ready = application.get("/ready").await;
        assert_eq!((ready.status, ready.json()["postgres"]["status"].as_str()), (503, Some("down")));
        assert!(ready.took < READY, "{:?}", ready.took);
        check_what_needs_no_postgres(&application).await;
        check_what_needs_postgres(&application).await;
        postgres.container.unpause().await.expect("a running container");
    };
    write_through(&application, &postgres, Box::pin(outage)).await;
    assert_eq!(application.get("/api/data/1").await.text(), first.text());
}

async fn a_stopped_postgres_is_survived() {
    let postgres = Postgres::start(&[]).await;
    let application = on(&postgres, servers::redis().await, &[]).await;
    let outage = async {
        stop(&postgres.container).await;
        let ready = application.get("/ready").await;
        assert!(ready.status == 503 && ready.took < READY, "{} after {:?}", ready.status, ready.took);
        check_what_needs_no_postgres(&application).await;
        check_what_needs_postgres(&application).await;
        start(&postgres.container).await;
    };
    write_through(&application, &postgres, Box::pin(outage)).await;
}

async fn a_killed_postgres_loses_nothing_acknowledged() {
    let postgres = Postgres::start(&[]).await;
    let application = on(&postgres, servers::redis().await, &[]).await;
    let outage = async {
        let docker = engine::connect().await;
        let id = postgres.container.id();
        for _ in 0..2 {
            let before = application.metric("app_db_batch_rows_sum").await;
            let more = async || application.metric("app_db_batch_rows_sum").await > before + 50;
            until("items before the kill", more).await;
            docker.kill_container(id, None::<KillContainerOptions>).await.expect("a killed container");
            application.until_ready("unavailable").await;
            start(&postgres.container).await;
            application.until_ready("ok").await;
        }
    };
    write_through(&application, &postgres, Box::pin(outage)).await;
}

async fn a_restarted_postgres_costs_no_restart_of_the_service() {
    let postgres = Postgres::start(&[]).await;
    let application = on(&postgres, servers::redis().await, &[]).await;
    let outage = async {
        let docker = engine::connect().await;
        let options = RestartContainerOptions { t: Some(5), ..Default::default() };
        docker
            .restart_container(postgres.container.id(), Some(options))
            .await
            .expect("a restarted container");
    };
    write_through(&application, &postgres, Box::pin(outage)).await;
}

/// Takes a container out of its network and puts it back after `meanwhile`.
pub(crate) async fn cut_off(container: &Container, meanwhile: impl Future<Output = ()>) {
    let docker = engine::connect().await;
    let id = container.id().to_owned();
    let seen = docker.inspect_container(&id, None::<InspectContainerOptions>).await.expect("the container");
    let networks = seen.network_settings.and_then(|settings| settings.networks).expect("its networks");
    let network = networks.into_keys().next().expect("a network");
    let leave = NetworkDisconnectRequest { container: id.clone(), force: Some(true) };
    docker.disconnect_network(&network, leave).await.expect("a container without network");
    meanwhile.await;
    let join = NetworkConnectRequest { container: id, endpoint_config: None };
    docker.connect_network(&network, join).await.expect("a container in its network");
}

async fn a_postgres_cut_off_from_its_network_is_survived() {
    let postgres = Postgres::start(&[]).await;
    let application = on(&postgres, servers::redis().await, &[]).await;
    let outage = cut_off(&postgres.container, async {
        let ready = application.get("/ready").await;
        assert!(ready.status == 503 && ready.took < READY, "{} after {:?}", ready.status, ready.took);
        check_what_needs_no_postgres(&application).await;
        check_what_needs_postgres(&application).await;
    });
    write_through(&application, &postgres, Box::pin(outage)).await;
}

async fn a_slow_postgres_is_unready_and_answers_late_or_not_at_all() {
    let postgres = servers::postgres().await;
    let proxy = Proxy::to(postgres.port).await;
    let database = postgres.database().await;
    let changes = [("DB_DEADLINE_SECONDS", "2")];
    let application =
        Application::assemble(&config(proxy.port, &database, servers::redis().await.port, &changes)).await;
    application.until_ready("ok").await;
    assert_eq!(create(&application, "first", None).await.status, 201);

    proxy.set(Mood::Slow(Duration::from_millis(40)));
    let late = application.get("/api/data/1").await;
    assert!(
        late.status == 200 && late.took > Duration::from_millis(80),
        "{} after {:?}",
        late.status,
        late.took
    );
    assert_eq!(application.get("/ready").await.status, 200);

    let too_slow = Duration::from_secs(8);
    proxy.set(Mood::Slow(too_slow));
    let begun = Instant::now();
    let (ready, refused, created) = tokio::join!(
        application.get("/ready"),
        application.get("/api/data/1"),
        create(&application, "second", Some("second")),
    );
    assert_eq!((ready.status, refused.status, created.status), (503, 503, 503));
    assert!(begun.elapsed() < too_slow, "Postgres was not waited for: {:?}", begun.elapsed());
    check_what_needs_no_postgres(&application).await;

    proxy.set(Mood::Passing);
    application.until_ready("ok").await;
    assert_eq!(create(&application, "second", Some("second")).await.status, 201);
    assert_eq!(count(&database).await, 2);
}

async fn a_full_pool_is_refused_and_recovers() {
    let changes = [("DB_DEADLINE_SECONDS", "2"), ("DB_POOL_SIZE", "4")];
    let application = Application::start_with(&changes).await;
    assert_eq!(create(&application, "first", None).await.status, 201);
    let (port, database) = (servers::postgres().await.port, application.database.clone());
    let mut holder = servers::sql(port, &database);
    holder.batch_execute("BEGIN; LOCK TABLE items IN ACCESS EXCLUSIVE MODE").expect("the lock");

    let begun = Instant::now();
    for answer in join_all((0..40).map(|_| application.get("/api/data/1"))).await {
        assert_eq!((answer.status, answer.problem().as_str()), (503, "unavailable"));
    }
    // One after the other, each waiting for its own deadline, they would need some 40 s.
    assert!(begun.elapsed() < Duration::from_secs(15), "all within the deadline: {:?}", begun.elapsed());
    // Postgres itself is well, and says so on the probe's own connection.
    assert_eq!(application.get("/ready").await.status, 200);
    check_what_needs_no_postgres(&application).await;

    holder.batch_execute("ROLLBACK").expect("the lock's end");
    let well = async || application.get("/api/data/1").await.status == 200;
    until("a pool that recovered", well).await;
    for answer in join_all((0..40).map(|_| application.get("/api/data/1"))).await {
        assert_eq!(answer.status, 200);
    }
    assert!(application.metric("app_db_pool_connections").await <= 4);
}

async fn a_full_queue_of_writes_is_refused() {
    // No deadline is over before the lock is: what is refused is refused for want of room, and what is queued is stored.
    let application = Application::start_with(&[("DB_DEADLINE_SECONDS", "60")]).await;
    let (port, database) = (servers::postgres().await.port, application.database.clone());
    let mut holder = servers::sql(port, &database);
    holder.batch_execute("BEGIN; LOCK TABLE items IN ACCESS EXCLUSIVE MODE").expect("the lock");
    let names: Vec<String> = (0..1000).map(|number| number.to_string()).collect();
    let mut posts: FuturesUnordered<_> =
        names.iter().map(|name| create(&application, name, Some(name))).collect();
    let refuse = async {
        for _ in 0..1000 - MOST_WAITING {
            let answer = posts.next().await.expect("an answer");
            assert_eq!((answer.status, answer.problem().as_str()), (503, "unavailable"));
            assert!(answer.text().contains("too many writes"), "{}", answer.text());
            assert_eq!(answer.header("Retry-After"), Some("1"));
        }
    };
    let refused = tokio::time::timeout(PATIENCE, refuse).await;
    assert!(refused.is_ok(), "more than {MOST_WAITING} writes wait");
    holder.batch_execute("ROLLBACK").expect("the lock's end");
    let rest: Vec<Answer> = posts.collect().await;
    let stored = rest.iter().filter(|answer| answer.status == 201).count();
    let full = rest.iter().filter(|answer| answer.text().contains("too many writes")).count();
    assert_eq!(stored + full, rest.len(), "stored or refused at once, and nothing else: {stored}, {full}");
    assert!(stored > 0, "what waited is stored");
    assert_eq!(count(&database).await, i64::try_from(stored).expect("a count"));

    // Each goes through on a retry, and those that are there are not doubled.
    for some in names.chunks(100) {
        for answer in join_all(some.iter().map(|name| create(&application, name, Some(name)))).await {
            assert_eq!(answer.status, 201, "{}", answer.text());
        }
    }
    assert_eq!(count(&database).await, 1000);
}

async fn writes_that_wait_too_long_are_late_and_no_fault() {
    let application = Application::start_with(&[("DB_DEADLINE_SECONDS", "2")]).await;
    let (port, database) = (servers::postgres().await.port, application.database.clone());
    let mut holder = servers::sql(port, &database);
    holder.batch_execute("BEGIN; LOCK TABLE items IN ACCESS EXCLUSIVE MODE").expect("the lock");
    // More than two batches: some are late in the queue, where the writer's threads find them.
    let posts = (0..MOST_WAITING).map(|_| create(&application, "late", None));
    for answer in join_all(posts).await {
        assert_eq!((answer.status, answer.problem().as_str()), (503, "unavailable"), "{}", answer.text());
    }
    holder.batch_execute("ROLLBACK").expect("the lock's end");
    let well = async || create(&application, "again", None).await.status == 201;
    until("writes that go through", well).await;
}
