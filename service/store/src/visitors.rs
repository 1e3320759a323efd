//! Owns the visitors' count. Redis has the number; Postgres keeps it.
//!
//! - Visits that arrive together go to Redis as one batch, and each gets its own number. Batches of an instance are
//!   numbered, and Redis remembers the last, so that one whose answer was lost can be sent again and counts once.
//! - While Redis is away visits are counted here and parked in Postgres at each flush; whoever sees Redis next pays them
//!   in. Numbers are then estimates: the last known count and what was counted here since.
//! - Flushing keeps the greater of Redis's and Postgres's number, so replicas may flush at once; a Redis that lost its
//!   memory is raised to what Postgres kept, so it loses at most what came since the last flush.

mod scripts;

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use redis::{RedisError, aio::MultiplexedConnection};
use slog::{Logger, warn};
use tokio::sync::{Mutex, mpsc, oneshot};

use super::{
    error::StoreError,
    ledger::{Debt, Ledger},
    link::{Link, judged},
};
use scripts::Batch;
use service_telemetry::{
    metrics::StoreMetrics,
    spans::{Place, query_shared, statements, works},
};

/// Most visits and readings that share one command.
const GATHER: usize = 1024;

/// What a request waits for, and where.
enum Ask {
    Visit(oneshot::Sender<u64>, Place),
    Read(oneshot::Sender<u64>, Place),
}

impl Ask {
    fn place(&self) -> &Place {
        let (Self::Visit(_, place) | Self::Read(_, place)) = self;
        place
    }
}

/// What this instance has sent. Locked while it sends.
#[derive(Default)]
struct Sent {
    /// Sent, with no answer seen: to be sent again, first of all.
    doubtful: Option<Batch>,
    batches: u64,
}

/// What this instance has parked in Postgres. Locked while it flushes.
#[derive(Default)]
struct Parked {
    /// Being parked, with no answer seen: to be parked again under the same number.
    doubtful: Option<Batch>,
    batches: u64,
    /// Parked for certain, and not seen to be paid.
    visits: u64,
}

pub(super) struct Visitors {
    link: Arc<Link>,
    ledger: Ledger,
    prefix: String,
    instance: String,
    asks: mpsc::UnboundedSender<Ask>,
    sent: Mutex<Sent>,
    parked: Mutex<Parked>,
    /// The greatest count seen.
    known: AtomicU64,
    /// Counted here and neither sent nor parked.
    unsent: AtomicU64,
    /// In doubt or parked: counted here, not known to be in Redis.
    held: AtomicU64,
    /// Parked by others before this instance began: part of an estimate until Redis tells its count.
    recalled: AtomicU64,
    metrics: StoreMetrics,
    logger: Logger,
}

impl Visitors {
    /// The count, and the work of sending it, to be run in the background.
    pub(super) fn new(
        link: Arc<Link>,
        ledger: Ledger,
        prefix: &str,
        metrics: &StoreMetrics,
        logger: &Logger,
    ) -> (Arc<Self>, impl Future<Output = ()> + Send + 'static) {
        let (asks, asked) = mpsc::unbounded_channel();
        let visitors = Arc::new(Self {
            link,
            ledger,
            prefix: prefix.to_owned(),
            instance: format!("{:032x}", fastrand::u128(..)),
            asks,
            sent: Mutex::default(),
            parked: Mutex::default(),
            known: AtomicU64::new(0),
            unsent: AtomicU64::new(0),
            held: AtomicU64::new(0),
            recalled: AtomicU64::new(0),
            metrics: metrics.clone(),
            logger: logger.clone(),
        });
        let teller = Arc::clone(&visitors).tell(asked);
        (visitors, teller)
    }

    /// Counts a visit; its number.
    pub(super) async fn visit(&self, place: &Place) -> u64 {
        self.metrics.visits.inc();
        if self.link.is_up() {
            let (answer, answered) = oneshot::channel();
            let wait = place.begin(works::VISITORS_WAIT);
            if self.asks.send(Ask::Visit(answer, wait.place())).is_ok()
                && let Ok(number) = answered.await
            {
                return number;
            }
        }
        let unsent = self.unsent.fetch_add(1, Ordering::AcqRel) + 1;
        self.past() + self.held.load(Ordering::Acquire) + unsent
    }

    /// The count.
    pub(super) async fn read(&self, place: &Place) -> u64 {
        if self.link.is_up() {
            let (answer, answered) = oneshot::channel();
            let wait = place.begin(works::VISITORS_WAIT);
            if self.asks.send(Ask::Read(answer, wait.place())).is_ok()
                && let Ok(number) = answered.await
            {
                return number;
            }
        }
        self.estimate()
    }

    fn estimate(&self) -> u64 {
        self.past() + self.owed()
    }

    /// What is known of the visits that were not counted here.
    fn past(&self) -> u64 {
        self.known.load(Ordering::Acquire) + self.recalled.load(Ordering::Acquire)
    }

    fn owed(&self) -> u64 {
        self.held.load(Ordering::Acquire) + self.unsent.load(Ordering::Acquire)
    }

    fn learn(&self, count: u64) -> u64 {
        let known = self.known.fetch_max(count, Ordering::AcqRel).max(count);
        self.metrics.visitors.set(i64::try_from(known).unwrap_or(i64::MAX));
        known
    }

    /// Serves visits and readings, as many at once as have gathered.
    async fn tell(self: Arc<Self>, mut asked: mpsc::UnboundedReceiver<Ask>) {
        let mut gathered = Vec::with_capacity(GATHER);
        while asked.recv_many(&mut gathered, GATHER).await > 0 {
            let counts = gathered.iter().any(|ask| matches!(ask, Ask::Visit(..)));
            let statement = if counts { &statements::VISITORS_ADD } else { &statements::VISITORS_READ };
            let span = query_shared(gathered.iter().map(Ask::place), statement);
            let (mut visits, mut reads) = (Vec::new(), Vec::new());
            for ask in gathered.drain(..) {
                match ask {
                    Ask::Visit(answer, _) => visits.push(answer),
                    Ask::Read(answer, _) => reads.push(answer),
                }
            }
            let count = judged(self.count(visits.len() as u64).await, span);
            let last = count.unwrap_or_else(|| self.estimate());
            let first = (last + 1).saturating_sub(visits.len() as u64);
            for (number, answer) in (first..).zip(visits) {
                // Whoever no longer waits has nothing to be told.
                let _gone = answer.send(number);
            }
            for answer in reads {
                let _gone = answer.send(last);
            }
        }
    }

    /// Brings visits to Redis and returns the count; `None`: Redis went away, and the visits are owed.
    async fn count(&self, visits: u64) -> Option<u64> {
        if visits == 0 && self.owed() == 0 {
            let key = self.count_key();
            let get = async |connection: &mut MultiplexedConnection| {
                redis::cmd("GET").arg(key).query_async(connection).await
            };
            let count: Option<u64> = self.link.run(get).await?;
            if let Some(count) = count {
                return Some(self.learn(count));
            }
        }
        // Counted under the lock: whoever else sends meanwhile would take them along, and their numbers with them.
        let mut sent = self.sent.lock().await;
        self.unsent.fetch_add(visits, Ordering::AcqRel);
        let count = self.link.run(async |connection| self.settle(connection, &mut sent).await).await;
        drop(sent);
        self.metrics.visitors_pending.set(i64::try_from(self.owed()).unwrap_or(i64::MAX));
        if count.is_some() {
            self.recalled.store(0, Ordering::Release);
        }
        count?
    }

    /// Sends what is in doubt, then what is unsent. `None`: Redis has no count and nobody knows one to begin with.
    async fn settle(
        &self,
        connection: &mut MultiplexedConnection,
        sent: &mut Sent,
    ) -> Result<Option<u64>, RedisError> {
        if sent.doubtful.is_some() && self.send_doubtful(connection, sent).await?.is_none() {
            return Ok(None);
        }
        let visits = self.unsent.swap(0, Ordering::AcqRel);
        if visits == 0 {
            let count: Option<u64> = redis::cmd("GET").arg(self.count_key()).query_async(connection).await?;
            let count = match count {
                Some(count) => Some(count),
                None => self.seed(connection).await?,
            };
            return Ok(count.map(|count| self.learn(count)));
        }
        sent.batches += 1;
        self.held.fetch_add(visits, Ordering::AcqRel);
        sent.doubtful = Some(Batch { number: sent.batches, visits });
        self.send_doubtful(connection, sent).await
    }

    async fn send_doubtful(
        &self,
        connection: &mut MultiplexedConnection,
        sent: &mut Sent,
    ) -> Result<Option<u64>, RedisError> {
        let Some(batch) = sent.doubtful else { return Ok(None) };
        let mut count = self.add(connection, &self.instance, batch).await?;
        if count.is_none() && self.seed(connection).await?.is_some() {
            count = self.add(connection, &self.instance, batch).await?;
        }
        if let Some(count) = count {
            sent.doubtful = None;
            self.held.fetch_sub(batch.visits, Ordering::AcqRel);
            self.learn(count);
        }
        Ok(count)
    }

    async fn add(
        &self,
        connection: &mut MultiplexedConnection,
        instance: &str,
        batch: Batch,
    ) -> Result<Option<u64>, RedisError> {
        let last = format!("{}visitors:batch:{instance}", self.prefix);
        scripts::add(connection, &self.count_key(), &last, batch).await
    }

    /// Gives Redis a count to begin with: the kept one, or the last that this instance saw if that is more. Visits wait
    /// meanwhile, so Postgres is waited for no longer than they would wait for Redis.
    async fn seed(&self, connection: &mut MultiplexedConnection) -> Result<Option<u64>, RedisError> {
        let known = self.known.load(Ordering::Acquire);
        match tokio::time::timeout(self.link.deadline(), self.ledger.read()).await {
            Ok(Ok(kept)) => self.raise(connection, kept.max(known)).await.map(Some),
            _ if known > 0 => self.raise(connection, known).await.map(Some),
            _ => Ok(None),
        }
    }

    async fn raise(&self, connection: &mut MultiplexedConnection, count: u64) -> Result<u64, RedisError> {
        Ok(self.learn(scripts::raise(connection, &self.count_key(), count).await?))
    }

    /// Puts a Redis that was away in order: it has at least what Postgres kept, and what is owed. Postgres may be away
    /// too; the next flush then does the rest.
    pub(super) async fn recover(&self, connection: &mut MultiplexedConnection) -> Result<(), RedisError> {
        self.seed(connection).await?;
        let mut sent = self.sent.lock().await;
        self.settle(connection, &mut sent).await?;
        Ok(())
    }

    pub(super) async fn flush_every(&self, interval: Duration) {
        let mut said = false;
        let mut recalled = self.recall().await;
        loop {
            tokio::time::sleep(interval).await;
            recalled = recalled || self.recall().await;
            match self.flush().await {
                Ok(()) => said = false,
                Err(error) if !said => {
                    warn!(self.logger, "the visitors' count could not be kept"; "error" => %error);
                    said = true;
                }
                Err(_) => {}
            }
        }
    }

    /// Reads what Postgres has of the past, for an instance that begins while Redis is away. Whether that is done.
    async fn recall(&self) -> bool {
        if self.link.is_up() {
            return true;
        }
        let (Ok(kept), Ok(debts)) = (self.ledger.read().await, self.ledger.parked().await) else {
            return false;
        };
        let visits = debts.iter().map(|debt| u64::try_from(debt.visits).unwrap_or(0)).sum();
        self.learn(kept);
        self.recalled.store(visits, Ordering::Release);
        true
    }

    /// Brings the count to Postgres: Redis's number when it is there, else what was counted here.
    pub(super) async fn flush(&self) -> Result<(), StoreError> {
        let mut parked = self.parked.lock().await;
        match self.count(0).await {
            Some(count) => self.keep(count, &mut parked).await,
            None => self.park(&mut parked).await,
        }
    }

    /// The last flush: parks also what is in doubt, which nobody will send again.
    pub(super) async fn flush_last(&self) -> Result<(), StoreError> {
        self.flush().await?;
        let mut sent = self.sent.lock().await;
        if let Some(batch) = sent.doubtful {
            self.ledger.park(debt(&self.instance, batch)).await?;
            sent.doubtful = None;
        }
        Ok(())
    }

    async fn keep(&self, count: u64, parked: &mut Parked) -> Result<(), StoreError> {
        self.park_doubtful(parked).await?;
        let debts = self.ledger.parked().await?;
        let paid = if debts.is_empty() { Some(count) } else { self.pay(&debts).await };
        let Some(count) = paid else { return Ok(()) };
        let kept = self.ledger.keep(count).await?;
        if !debts.is_empty() {
            self.ledger.strike(debts).await?;
        }
        self.held.fetch_sub(std::mem::take(&mut parked.visits), Ordering::AcqRel);
        if kept > count {
            self.link.run(async |connection| self.raise(connection, kept).await).await;
        }
        Ok(())
    }

    async fn park(&self, parked: &mut Parked) -> Result<(), StoreError> {
        self.park_doubtful(parked).await?;
        // What is begun must be ended here: with Postgres known to be away, Redis may be back before it.
        self.ledger.check_up()?;
        let visits = self.unsent.swap(0, Ordering::AcqRel);
        if visits > 0 {
            self.held.fetch_add(visits, Ordering::AcqRel);
            parked.batches += 1;
            parked.doubtful = Some(Batch { number: parked.batches, visits });
            self.park_doubtful(parked).await?;
        }
        self.learn(self.ledger.read().await?);
        Ok(())
    }

    async fn park_doubtful(&self, parked: &mut Parked) -> Result<(), StoreError> {
        if let Some(batch) = parked.doubtful {
            self.ledger.park(debt(&format!("{}.parked", self.instance), batch)).await?;
            parked.doubtful = None;
            parked.visits += batch.visits;
        }
        Ok(())
    }

    async fn pay(&self, debts: &[Debt]) -> Option<u64> {
        self.link
            .run(async |connection| {
                let mut count = None;
                for debt in debts {
                    let batch = Batch {
                        number: u64::try_from(debt.batch).unwrap_or(0),
                        visits: u64::try_from(debt.visits).unwrap_or(0),
                    };
                    count = self.add(connection, &debt.instance, batch).await?;
                }
                Ok(count.map(|count| self.learn(count)))
            })
            .await?
    }

    fn count_key(&self) -> String {
        format!("{}visitors:count", self.prefix)
    }
}

fn debt(instance: &str, batch: Batch) -> Debt {
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    Debt { instance: instance.to_owned(), batch: number(batch.number), visits: number(batch.visits) }
}
