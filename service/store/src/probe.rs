//! Owns the answer to "is it there?": Postgres asked on a connection of its own, never more than one question at a time,
//! so that a silent Postgres costs one thread and no pooled connection. What the answer is good for, callers decide.
//!
//! A question that is not answered within the deadline of readiness is an answer too: `/ready` says 503, and requests are
//! refused at once instead of after the deadline of Postgres, which is longer. The two go together, so that a replica that
//! says it is ready is one that serves. A stall of that length therefore costs some refusals, until the same question is
//! answered after all.

use std::{
    mem::Discriminant,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use diesel::{PgConnection, QueryResult};
use futures_util::future::{BoxFuture, FutureExt, Shared};
use slog::{Logger, error, info};

use super::{
    backoff::{Backoff, CALM},
    postgres::{Postgres, Waits, connect},
    schema,
};
use service_config::Database;

/// What was seen of a dependency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It answered as it should.
    Up,
    /// It answered, and takes no writes: it is a standby, or was told to be read-only.
    ReadOnly,
    /// It answered, but lacks this many migrations.
    Behind(usize),
    /// It refused, or the connection failed; the text is for the log.
    Down(String),
    /// It did not answer within the deadline.
    Silent,
}

impl Verdict {
    /// Whether it can be used for everything.
    pub fn is_up(&self) -> bool {
        matches!(self, Self::Up)
    }

    /// Whether it can be used at least for reading.
    pub fn is_readable(&self) -> bool {
        matches!(self, Self::Up | Self::ReadOnly)
    }
}

/// The state of both dependencies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// Postgres, with its schema.
    pub postgres: Verdict,
    /// Redis.
    pub redis: Verdict,
}

pub(super) struct Probe {
    database: Database,
    deadline: Duration,
    connection: Arc<Mutex<Option<PgConnection>>>,
    question: Mutex<Question>,
    conclusions: Arc<Conclusions>,
}

/// The question that was asked last.
struct Question {
    number: u64,
    answer: Option<Shared<BoxFuture<'static, Verdict>>>,
}

impl Probe {
    pub(super) fn new(
        database: &Database,
        deadline: Duration,
        postgres: Arc<Postgres>,
        logger: &Logger,
    ) -> Self {
        Self {
            database: database.clone(),
            deadline,
            connection: Arc::default(),
            question: Mutex::new(Question { number: 0, answer: None }),
            conclusions: Arc::new(Conclusions { postgres, logger: logger.clone(), last: Mutex::default() }),
        }
    }

    /// Asks Postgres, or joins the question that is being asked.
    pub(super) async fn ask(&self) -> Verdict {
        let (number, answer) = {
            let mut question = self.question.lock().unwrap_or_else(PoisonError::into_inner);
            match question.answer.as_ref() {
                Some(answer) if answer.peek().is_none() => (question.number, answer.clone()),
                _ => {
                    question.number += 1;
                    let number = question.number;
                    (number, question.answer.insert(self.question(number)).clone())
                }
            }
        };
        tokio::time::timeout(self.deadline, answer).await.unwrap_or_else(|_elapsed| {
            self.conclusions.draw(number, &Verdict::Silent);
            Verdict::Silent
        })
    }

    fn question(&self, number: u64) -> Shared<BoxFuture<'static, Verdict>> {
        let (connection, database, deadline) =
            (Arc::clone(&self.connection), self.database.clone(), self.deadline);
        let conclusions = Arc::clone(&self.conclusions);
        let task = tokio::task::spawn_blocking(move || {
            let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            if conclusions.postgres.take_refused_write() {
                // An old connection may know nothing of it.
                *connection = None;
            }
            let verdict = look(&mut connection, &database, deadline);
            if matches!(verdict, Verdict::Down(_)) {
                *connection = None;
            }
            conclusions.draw(number, &verdict);
            verdict
        });
        task.map(|verdict| verdict.unwrap_or_else(|panicked| Verdict::Down(panicked.to_string())))
            .boxed()
            .shared()
    }

    /// Asks for as long as the service runs.
    pub(super) async fn supervise(&self) {
        let mut backoff = Backoff::while_away();
        loop {
            if self.ask().await.is_up() {
                backoff.reset();
                // Many requests may have failed for one reason: one early look, then the usual pace.
                let suspicion = self.conclusions.postgres.suspicion.notified();
                let _woken = tokio::time::timeout(CALM, suspicion).await;
            } else {
                tokio::time::sleep(backoff.take()).await;
            }
        }
    }
}

/// What follows from the answers, in the order of the questions: requests are let through or not, and the log has one
/// line a change. Whoever asked, both know of it at once.
struct Conclusions {
    postgres: Arc<Postgres>,
    logger: Logger,
    last: Mutex<Last>,
}

#[derive(Default)]
struct Last {
    /// The newest question that was answered.
    answered: u64,
    /// Whether it has been read-only since it last was not.
    was_read_only: bool,
    /// What the log was told: the texts of one outage differ from question to question.
    state: Option<Discriminant<Verdict>>,
}

impl Conclusions {
    /// That nobody answered in time counts only until the question is answered.
    fn draw(&self, question: u64, verdict: &Verdict) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if question <= last.answered {
            return;
        }
        if *verdict != Verdict::Silent {
            last.answered = question;
        }
        match verdict {
            Verdict::ReadOnly => last.was_read_only = true,
            Verdict::Up if std::mem::take(&mut last.was_read_only) => self.postgres.renew_connections(),
            _ => {}
        }
        self.postgres.set_up(verdict.is_readable());
        let state = std::mem::discriminant(verdict);
        if last.state.replace(state) != Some(state) {
            report(verdict, &self.logger);
        }
    }
}

fn look(kept: &mut Option<PgConnection>, database: &Database, deadline: Duration) -> Verdict {
    let begun = Instant::now();
    if let Some(connection) = kept {
        match ask(connection) {
            // Whether a new one would be read-only too, this one cannot tell.
            Ok(Verdict::ReadOnly) => *kept = None,
            Ok(verdict) => return verdict,
            // A connection that was ended while nobody used it says nothing of Postgres now, and shows at once. A Postgres
            // that is silent takes its time.
            Err(_) if begun.elapsed() < deadline / 2 => *kept = None,
            Err(error) => return Verdict::Down(error.to_string()),
        }
    }
    match connect(database, Waits::of(deadline)) {
        Ok(fresh) => ask(kept.insert(fresh)).unwrap_or_else(|error| Verdict::Down(error.to_string())),
        Err(error) => Verdict::Down(error.to_string()),
    }
}

fn ask(connection: &mut PgConnection) -> QueryResult<Verdict> {
    let seen = schema::look(connection)?;
    Ok(match (seen.pending, seen.read_only) {
        (0, false) => Verdict::Up,
        (0, true) => Verdict::ReadOnly,
        (pending, _) => Verdict::Behind(pending),
    })
}

fn report(verdict: &Verdict, logger: &Logger) {
    match verdict {
        Verdict::Up => info!(logger, "postgres is up"),
        Verdict::ReadOnly => error!(logger, "postgres is read-only: writes are refused, trying again"),
        Verdict::Behind(pending) => {
            error!(logger, "postgres lacks migrations: run `service migrate`"; "pending" => pending);
        }
        Verdict::Down(cause) => error!(logger, "postgres is down, trying again"; "error" => cause.trim()),
        Verdict::Silent => error!(logger, "postgres does not answer, trying again"),
    }
}
