//! The batches that the writers make, without Postgres: who waits for whom, and what one that cannot be stored costs the rest.

use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::mpsc;

use super::{
    Arc, BATCH, BATCH_BYTES, Cache, Dependency, Handle, InDoubt, Insertion, Job, Mutex, NewItem, Outcome,
    Place, Postgres, StoreError, Thread, Writer, gather, oneshot, singly,
};
use crate::link::Link;
use service_config::{Database, Redis, Secret};
use service_telemetry::metrics::Metrics;

/// A writer without threads, the way to its jobs, and how long a job may wait.
fn writer(deadline: Duration) -> (Writer, mpsc::Receiver<Job>) {
    let (host, name, user) = ("127.0.0.1".to_owned(), "none".to_owned(), "none".to_owned());
    let password = Secret::new("none".to_owned());
    let database = Database { host, port: 1, name, user, password, pool_size: 2, deadline };
    let logger = slog::Logger::root(slog::Discard, slog::o!());
    let metrics = Metrics::new("0", &[]);
    let (queue, jobs) = mpsc::channel(1);
    let postgres = Arc::new(Postgres::new(&database, &metrics.store, &logger));
    (Writer { queue, postgres, in_doubt: Arc::default() }, jobs)
}

/// A job that may wait for so long, and the way of its answer.
fn job(name: &str, wait: Duration) -> (Job, oneshot::Receiver<Result<super::Created, StoreError>>) {
    let item = NewItem::new(name.to_owned(), Value::Null).expect("an item");
    let (answer, answered) = oneshot::channel();
    let insertion = Insertion { item, key: None };
    (Job { insertion, end: Instant::now() + wait, place: Place::NOWHERE, answer }, answered)
}

/// As long as no test takes.
const MINUTE: Duration = Duration::from_secs(60);

/// What a writer says of an item whose job is dropped as soon as `is_time` holds of it.
async fn dropped_when(deadline: Duration, is_time: fn(&Job) -> bool) -> StoreError {
    let (writer, mut jobs) = writer(deadline);
    let item = NewItem::new("n".to_owned(), Value::Null).expect("an item");
    let drop_it = async {
        let job = jobs.recv().await.expect("a job");
        // Not awaited: no timer fires meanwhile, as on a machine that is too busy for it.
        while !is_time(&job) {
            std::thread::yield_now();
        }
    };
    let (result, ()) = tokio::join!(writer.write(item, None, &Place::NOWHERE), drop_it);
    result.expect_err("no item")
}

#[test]
fn a_batch_is_full_by_its_items_or_their_bytes() {
    let large = BATCH_BYTES / 16;
    for (size, waiting, batches) in [
        (1, BATCH + 2, &[BATCH, 2][..]),
        (large, 40, &[16, 16, 8]),
        (2 * BATCH_BYTES, 2, &[1, 1]),
        (large, 3, &[3]),
    ] {
        let (sender, mut jobs) = mpsc::channel(waiting);
        for _ in 0..waiting {
            let item = NewItem::new("name".to_owned(), Value::String("x".repeat(size)));
            let item = item.expect("an item");
            let end = Instant::now() + Duration::from_secs(60);
            let (insertion, place) = (Insertion { item, key: None }, Place::NOWHERE);
            let job = Job { insertion, end, place, answer: oneshot::channel().0 };
            assert!(sender.try_send(job).is_ok(), "room");
        }
        drop(sender);
        let mut sizes = Vec::new();
        let mut batch = Vec::new();
        while gather(&mut jobs, &mut batch) {
            sizes.push(batch.drain(..).count());
        }
        assert_eq!(sizes, batches, "{waiting} of {size} bytes");
    }
}

#[test]
fn a_job_is_abandoned_when_nobody_waits_or_its_time_is_over() {
    let (now, minute) = (Instant::now(), Duration::from_secs(60));
    for (somebody_waits, end, abandoned) in
        [(true, now + minute, false), (true, now, true), (false, now + minute, true), (false, now, true)]
    {
        let (answer, answered) = oneshot::channel();
        let _kept = somebody_waits.then_some(answered);
        let item = NewItem::new("n".to_owned(), Value::Null).expect("an item");
        let job = Job { insertion: Insertion { item, key: None }, end, place: Place::NOWHERE, answer };
        assert_eq!(job.is_abandoned(now), abandoned, "somebody waits: {somebody_waits}");
    }
}

#[tokio::test]
async fn a_late_job_is_late_whoever_sees_it_first() {
    let error = dropped_when(Duration::from_millis(50), |job| job.end <= Instant::now()).await;
    assert!(matches!(error, StoreError::Deadline(Dependency::Postgres)), "{error:?}");
}

#[tokio::test]
async fn a_writer_that_gives_up_in_time_is_a_fault() {
    let error = dropped_when(Duration::from_secs(60), |_| true).await;
    assert!(matches!(error, StoreError::Internal(_)), "{error:?}");
}
/// What came of the job of a name.
type Tried = (String, Result<(), StoreError>);

/// Tries jobs of these names singly; which were tried, and what came of each. `commit` says what comes of a name.
fn tried_singly(
    names: &[&str],
    commit: impl Fn(&str) -> Result<(), StoreError>,
) -> (Vec<String>, Vec<Tried>) {
    let (jobs, _answers): (Vec<_>, Vec<_>) = names.iter().map(|name| job(name, MINUTE)).unzip();
    let mut tried = Vec::new();
    let results = singly(jobs, |one| {
        let name = one[0].insertion.item.name().to_owned();
        tried.push(name.clone());
        commit(&name).map(|()| vec![Outcome::KeyReused])
    });
    let results = results.into_iter().map(|(job, outcome)| {
        (
            job.insertion.item.name().to_owned(),
            outcome.map(|outcome| assert!(matches!(outcome, Outcome::KeyReused))),
        )
    });
    let results = results.collect();
    (tried, results)
}

#[test]
fn what_is_no_items_fault_is_not_tried_with_each() {
    let unable = || StoreError::Unable("full".to_owned());
    let fault = || StoreError::Internal("a fault".to_owned());
    let away = || StoreError::unavailable(Dependency::Postgres, "away");
    let late = || StoreError::Deadline(Dependency::Postgres);
    let names = ["a", "b", "c", "d"];
    for (error, tries) in [(unable(), 2), (fault(), 2), (away(), 1), (late(), 1)] {
        let (tried, results) = tried_singly(&names, |_| Err(error.clone()));
        assert_eq!(tried, names[..tries], "{error}");
        assert_eq!(results, names.map(|name| (name.to_owned(), Err(error.clone()))), "each has its answer");
    }
}

#[test]
fn what_is_an_items_own_fault_concerns_no_other() {
    let names = ["a", "bad", "b", "worse", "c"];
    let refused = || StoreError::Refused("no".to_owned());
    for (bad, worse) in [
        (refused(), refused()),
        (StoreError::Internal("a".to_owned()), StoreError::Internal("b".to_owned())),
        (refused(), StoreError::Unable("full".to_owned())),
        (StoreError::Unable("full".to_owned()), refused()),
    ] {
        let of = |name: &str| match name {
            "bad" => Err(bad.clone()),
            "worse" => Err(worse.clone()),
            _ => Ok(()),
        };
        let (tried, results) = tried_singly(&names, of);
        assert_eq!(tried, names);
        assert_eq!(results, names.map(|name| (name.to_owned(), of(name))));
    }
}

#[test]
fn whoever_waits_no_longer_is_not_tried() {
    let (waiting, _answer) = job("waiting", MINUTE);
    let (late, _its_answer) = job("late", Duration::ZERO);
    let (left, answer) = job("left", MINUTE);
    drop(answer);
    let mut tried = Vec::new();
    let results = singly(vec![late, left, waiting], |one| {
        tried.push(one[0].insertion.item.name().to_owned());
        // As one that became late while it waited for a connection.
        one.clear();
        Ok(Vec::new())
    });
    assert_eq!(tried, ["waiting"]);
    assert!(results.is_empty(), "and who became late meanwhile has no answer but that");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_nearly_late_takes_no_other_along() {
    let (writer, jobs) = writer(MINUTE);
    let logger = slog::Logger::root(slog::Discard, slog::o!());
    let metrics = Metrics::new("0", &[]);
    let (host, key_prefix) = ("127.0.0.1".to_owned(), String::new());
    let redis = Redis { host, port: 1, password: None, key_prefix, deadline: MINUTE };
    let link = Arc::new(Link::new(&redis, &metrics.store, &logger));
    let thread = Thread {
        jobs: Arc::new(Mutex::new(jobs)),
        postgres: Arc::clone(&writer.postgres),
        cache: Arc::new(Cache::new(link, &redis, MINUTE, &metrics.store)),
        in_doubt: Arc::new(InDoubt::default()),
        batch_rows: metrics.store.batch_rows.clone(),
        runtime: Handle::current(),
        logger,
    };
    // There is no Postgres: a batch waits for a connection as long as it may.
    let (nearly_late, _answer) = job("nearly late", Duration::from_millis(20));
    let (fresh, answered) = job("fresh", Duration::from_millis(300));
    let end = fresh.end;
    tokio::task::block_in_place(|| thread.write(vec![nearly_late, fresh]));
    let answer = answered.await.expect("an answer");
    assert!(Instant::now() >= end, "it was given up before its time");
    assert!(matches!(answer, Err(StoreError::Unavailable { .. })), "{answer:?}");
}
