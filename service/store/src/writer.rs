//! Owns the group commit: items wait in a bounded queue, a thread takes all that have gathered and commits them at once,
//! and each waits only for its own answer. An error in a batch is answered by trying its items singly, so that a bad one
//! fails alone, until it shows that the items are not to blame. Answers leave only after the commit and after the cache was told.

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
    in_doubt::InDoubt,
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
    in_doubt: Arc<InDoubt>,
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
    fn is_abandoned(&self, now: Instant) -> bool {
        self.answer.is_closed() || self.end <= now
    }
}

impl Writer {
    pub(super) fn start(
        postgres: &Arc<Postgres>,
        cache: &Arc<Cache>,
        in_doubt: &Arc<InDoubt>,
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
                in_doubt: Arc::clone(in_doubt),
                batch_rows: metrics.batch_rows.clone(),
                runtime: Handle::current(),
                logger: logger.clone(),
            };
            std::thread::Builder::new()
                .name(format!("writer-{number}"))
                .spawn(move || thread.run())
                .expect("a thread for the writer at start");
        }
        Self { queue, postgres: Arc::clone(postgres), in_doubt: Arc::clone(in_doubt) }
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
            Err(StoreError::Unavailable { .. } | StoreError::Unable(_)) => wait.fail("unavailable"),
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
                self.in_doubt.note();
                Err(StoreError::Deadline(Dependency::Postgres))
            }
        }
    }
}

struct Thread {
    jobs: Arc<Mutex<mpsc::Receiver<Job>>>,
    postgres: Arc<Postgres>,
    cache: Arc<Cache>,
    in_doubt: Arc<InDoubt>,
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
            let now = Instant::now();
            let batch: Vec<Job> = gathered.drain(..).filter(|job| !job.is_abandoned(now)).collect();
            if !batch.is_empty() {
                self.write(batch);
            }
        }
    }

    fn write(&self, mut batch: Vec<Job>) {
        let span = begin_shared(batch.iter().map(|job| &job.place), works::WRITE_BATCH);
        let place = span.place();
        let outcomes = match self.commit(&mut batch, &place) {
            Ok(outcomes) => outcomes.into_iter().map(Ok).collect(),
            Err(error) if is_nobodys_fault(&error) => vec![Err(error); batch.len()],
            Err(error @ StoreError::Refused(_)) if batch.len() == 1 => vec![Err(error)],
            // A lone item is tried again too: a rival's deadlock or a key swept at this moment is over by then.
            Err(error) => {
                slog::warn!(self.logger, "a batch failed, trying its items singly"; "error" => %error);
                let outcomes;
                (batch, outcomes) = singly(batch, |one| self.commit(one, &place)).into_iter().unzip();
                outcomes
            }
        };
        if outcomes.iter().any(|outcome| outcome.as_ref().is_err_and(is_nobodys_fault)) {
            self.in_doubt.note();
        }
        let answers = batch.into_iter().zip(outcomes).map(|(job, outcome)| {
            (job.answer, outcome.and_then(|outcome| answer(job.insertion.item, outcome)))
        });
        self.send(answers.collect(), span);
    }

    /// Commits what is not abandoned by the time that there is a connection; the rest leaves the batch. It is waited for as
    /// long as any of them may wait: one that is nearly late takes no other along.
    fn commit(&self, batch: &mut Vec<Job>, place: &Place) -> Result<Vec<Outcome>, StoreError> {
        let end = batch.iter().map(|job| job.end).max().unwrap_or_else(Instant::now);
        let work = |connection: &mut PgConnection| {
            let now = Instant::now();
            batch.retain(|job| !job.is_abandoned(now));
            let insertions: Vec<&Insertion> = batch.iter().map(|job| &job.insertion).collect();
            if insertions.is_empty() { Ok(Vec::new()) } else { insert(connection, &insertions, place) }
        };
        let outcomes = self.postgres.run_blocking(place, end, work)?;
        if !outcomes.is_empty() {
            #[expect(clippy::cast_precision_loss, reason = "at most BATCH")]
            self.batch_rows.observe(outcomes.len() as f64);
        }
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

/// Whether Postgres is away or silent: no item is to blame, and whether it was done is unknown.
fn is_nobodys_fault(error: &StoreError) -> bool {
    matches!(error, StoreError::Unavailable { .. } | StoreError::Deadline(_))
}

/// Commits each item alone; those that nobody waits for any more are left out. What keeps two items from being stored, or is
/// no item's fault at all, would keep the others too: they are told so without being tried, or each would wait its whole
/// time for it.
fn singly(
    batch: Vec<Job>,
    mut commit: impl FnMut(&mut Vec<Job>) -> Result<Vec<Outcome>, StoreError>,
) -> Vec<(Job, Result<Outcome, StoreError>)> {
    let mut tried = Vec::with_capacity(batch.len());
    let mut seen = None;
    let mut final_word: Option<StoreError> = None;
    for job in batch {
        if job.is_abandoned(Instant::now()) {
            continue;
        }
        if let Some(error) = &final_word {
            tried.push((job, Err(error.clone())));
            continue;
        }
        let mut one = vec![job];
        let outcome = commit(&mut one).map(|mut outcomes| outcomes.pop());
        if let Err(error) = &outcome
            && !matches!(error, StoreError::Refused(_))
        {
            let is_repeated = seen.as_ref() == Some(error);
            seen = Some(error.clone());
            final_word = seen.clone().filter(|error| is_repeated || is_nobodys_fault(error));
        }
        // One that became late meanwhile has left.
        tried.extend(one.pop().zip(outcome.transpose()));
    }
    tried
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
mod tests;
