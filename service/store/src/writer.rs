//! Owns the group commit: items wait in a bounded queue, a thread takes all that have gathered and commits them at once,
//! and each waits only for its own answer. An error in a batch is answered by trying its items singly, so that a bad one
//! fails alone. Answers leave only after the commit and after the cache was told.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use diesel::PgConnection;
use prometheus::Histogram;
use slog::Logger;
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
};

use super::{
    cache::Cache,
    error::{Dependency, StoreError},
    insertion::{Insertion, Outcome, insert},
    items::{Created, IdempotencyKey, NewItem},
    postgres::{Postgres, WRITERS},
};
use service_telemetry::{
    metrics::StoreMetrics,
    spans::{Place, Span, begin_shared, works},
};

/// Items that may wait. A batch takes some milliseconds, so this is far less than the deadline's worth of work; with
/// items of 64 KiB it bounds what waits to some 16 MiB.
const QUEUE: usize = 256;

/// Most items in one commit: enough that the commit's own cost no longer counts.
const BATCH: usize = 128;

/// Bytes of items after which a batch is full. A statement holds its items several times over while it is sent, and the
/// allocator keeps what the largest one needed: of the largest items a batch takes 17, of usual ones all [`BATCH`].
const BATCH_BYTES: usize = 1 << 20;

/// The way to the writing threads. They end when the last of these is dropped.
#[derive(Clone)]
pub(super) struct Writer {
    queue: mpsc::Sender<Job>,
    postgres: Arc<Postgres>,
}

type Answer = oneshot::Sender<Result<Created, StoreError>>;

struct Job {
    insertion: Insertion,
    end: Instant,
    /// Where its request waits for it.
    place: Place,
    answer: Answer,
}

impl Job {
    /// Whether nobody waits for it any more: it was answered with a deadline error, so it is not begun.
    fn is_abandoned(&self) -> bool {
        self.answer.is_closed() || self.end <= Instant::now()
    }
}

impl Writer {
    pub(super) fn start(
        postgres: &Arc<Postgres>,
        cache: &Arc<Cache>,
        metrics: &StoreMetrics,
        logger: &Logger,
    ) -> Self {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let jobs = Arc::new(Mutex::new(jobs));
        for number in 0..WRITERS {
            let thread = Thread {
                jobs: Arc::clone(&jobs),
                postgres: Arc::clone(postgres),
                cache: Arc::clone(cache),
                batch_rows: metrics.batch_rows.clone(),
                runtime: Handle::current(),
                logger: logger.clone(),
            };
            std::thread::Builder::new()
                .name(format!("writer-{number}"))
                .spawn(move || thread.run())
                .expect("a thread for the writer at start");
        }
        Self { queue, postgres: Arc::clone(postgres) }
    }

    /// Hands the item over and waits for its commit, within the deadline of Postgres.
    pub(super) async fn write(
        &self,
        item: NewItem,
        key: Option<IdempotencyKey>,
        place: &Place,
    ) -> Result<Created, StoreError> {
        let mut wait = place.begin(works::WRITE_WAIT);
        let result = self.hand_over(Insertion { item, key }, wait.place()).await;
        match &result {
            Err(StoreError::Busy) => wait.fail("busy"),
            Err(StoreError::Deadline(_)) => wait.fail("timeout"),
            Err(StoreError::Unavailable { .. }) => wait.fail("unavailable"),
            Err(StoreError::Internal(_)) => wait.fail("_OTHER"),
            Ok(_) | Err(StoreError::Refused(_) | StoreError::KeyReused) => {}
        }
        result
    }

    async fn hand_over(&self, insertion: Insertion, place: Place) -> Result<Created, StoreError> {
        let end = Instant::now() + self.postgres.deadline();
        let (answer, answered) = oneshot::channel();
        self.queue.try_send(Job { insertion, end, place, answer }).map_err(|_full| StoreError::Busy)?;
        match tokio::time::timeout_at(end.into(), answered).await {
            Ok(Ok(result)) => result,
            Ok(Err(_dropped)) if Instant::now() < end => {
                Err(StoreError::Internal("the writer gave up".to_owned()))
            }
            // A late job is dropped unanswered, which on a busy machine is seen before the timer.
            Ok(Err(_)) | Err(_) => {
                self.postgres.suspicion.notify_one();
                Err(StoreError::Deadline(Dependency::Postgres))
            }
        }
    }
}

struct Thread {
    jobs: Arc<Mutex<mpsc::Receiver<Job>>>,
    postgres: Arc<Postgres>,
    cache: Arc<Cache>,
    batch_rows: Histogram,
    runtime: Handle,
    logger: Logger,
}

impl Thread {
    fn run(&self) {
        let mut gathered = Vec::with_capacity(BATCH);
        loop {
            // The lock is held while waiting: the other thread is then writing, or waiting for its turn to wait.
            if !gather(&mut self.jobs.lock().unwrap_or_else(PoisonError::into_inner), &mut gathered) {
                return;
            }
            let batch: Vec<Job> = gathered.drain(..).filter(|job| !job.is_abandoned()).collect();
            if !batch.is_empty() {
                self.write(batch);
            }
        }
    }

    fn write(&self, batch: Vec<Job>) {
        let span = begin_shared(batch.iter().map(|job| &job.place), works::WRITE_BATCH);
        let place = span.place();
        let end = batch.iter().map(|job| job.end).min().unwrap_or_else(Instant::now);
        let (insertions, answers): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|job| (job.insertion, (job.answer, job.end))).unzip();
        let outcomes = match self.commit(&insertions, end, &place) {
            Ok(outcomes) => outcomes.into_iter().map(Ok).collect(),
            Err(error @ (StoreError::Unavailable { .. } | StoreError::Deadline(_))) => {
                vec![Err(error); answers.len()]
            }
            Err(error @ StoreError::Refused(_)) if insertions.len() == 1 => vec![Err(error)],
            // A lone item is tried again too: a rival's deadlock or a key swept at this moment is over by then.
            Err(error) => {
                slog::warn!(self.logger, "a batch failed, trying its items singly"; "error" => %error);
                insertions
                    .chunks(1)
                    .zip(&answers)
                    .map(|(one, (_, end))| self.commit_one(one, *end, &place))
                    .collect()
            }
        };
        let results = insertions
            .into_iter()
            .zip(outcomes)
            .map(|(insertion, outcome)| outcome.and_then(|outcome| answer(insertion.item, outcome)));
        self.send(answers.into_iter().map(|(answer, _)| answer).zip(results).collect(), span);
    }

    fn commit_one(&self, one: &[Insertion], end: Instant, place: &Place) -> Result<Outcome, StoreError> {
        self.commit(one, end, place)?
            .pop()
            .ok_or_else(|| StoreError::Internal("a commit without a row".to_owned()))
    }

    fn commit(
        &self,
        insertions: &[Insertion],
        end: Instant,
        place: &Place,
    ) -> Result<Vec<Outcome>, StoreError> {
        let work = |connection: &mut PgConnection| insert(connection, insertions, place);
        let outcomes = self.postgres.run_blocking(place, end, work)?;
        #[expect(clippy::cast_precision_loss, reason = "at most BATCH")]
        self.batch_rows.observe(insertions.len() as f64);
        Ok(outcomes)
    }

    /// Tells the cache, then the waiting: on the runtime, so that this thread goes on to the next batch.
    fn send(&self, answers: Vec<(Answer, Result<Created, StoreError>)>, span: Span) {
        let cache = Arc::clone(&self.cache);
        self.runtime.spawn(async move {
            if answers.iter().any(|(_, result)| result.is_ok()) {
                cache.invalidate(&span.place()).await;
            }
            drop(span);
            for (answer, result) in answers {
                // Whoever no longer waits has been answered with a deadline error.
                drop(answer.send(result));
            }
        });
    }
}

/// Waits for a job, and takes what waits behind it until the batch is full; `false` when no more can come.
fn gather(jobs: &mut mpsc::Receiver<Job>, batch: &mut Vec<Job>) -> bool {
    let Some(first) = jobs.blocking_recv() else { return false };
    let mut bytes = first.insertion.item.size();
    batch.push(first);
    while batch.len() < BATCH
        && bytes < BATCH_BYTES
        && let Ok(next) = jobs.try_recv()
    {
        bytes += next.insertion.item.size();
        batch.push(next);
    }
    true
}

fn answer(item: NewItem, outcome: Outcome) -> Result<Created, StoreError> {
    let (receipt, replayed) = match outcome {
        Outcome::Stored(receipt) => (receipt, false),
        Outcome::Replayed(receipt) => (receipt, true),
        Outcome::KeyReused => return Err(StoreError::KeyReused),
    };
    Ok(Created { item: item.into_item(receipt.id, receipt.created_at), replayed })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use serde_json::Value;
    use tokio::sync::mpsc;

    use super::{
        Arc, BATCH, BATCH_BYTES, Dependency, Insertion, Job, NewItem, Place, Postgres, StoreError, Writer,
        gather, oneshot,
    };
    use service_config::{Database, Secret};
    use service_telemetry::metrics::Metrics;

    /// A writer without threads, the way to its jobs, and how long a job may wait.
    fn writer(deadline: Duration) -> (Writer, mpsc::Receiver<Job>) {
        let (host, name, user) = ("127.0.0.1".to_owned(), "none".to_owned(), "none".to_owned());
        let password = Secret::new("none".to_owned());
        let database = Database { host, port: 1, name, user, password, pool_size: 2, deadline };
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let metrics = Metrics::new("0", &[]);
        let (queue, jobs) = mpsc::channel(1);
        (Writer { queue, postgres: Arc::new(Postgres::new(&database, &metrics.store, &logger)) }, jobs)
    }

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
            assert_eq!(job.is_abandoned(), abandoned, "somebody waits: {somebody_waits}");
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
}
