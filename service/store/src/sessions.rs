//! Owns the pool's connections: how one is made, and whether it may be used. Knows no statement.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use diesel::{
    Connection, ConnectionError, PgConnection, connection::SimpleConnection, r2d2::ManageConnection,
    result::Error as DieselError,
};

/// A connection unused for longer is tried before use: its Postgres, or the way to it, may have gone without a word
/// meanwhile. Shorter than any restart.
const TRUSTED_FOR: Duration = Duration::from_millis(500);

/// One connection of the pool.
pub(super) struct Session {
    pub(super) connection: PgConnection,
    /// When it began.
    made: Instant,
    /// When somebody last had an answer over it.
    pub(super) used: Instant,
    /// Whether it is not to be used again.
    pub(super) broken: bool,
}

/// What the log was last told about connections that could not be made; nothing once one was made.
pub(super) type Complaint = Arc<Mutex<Option<String>>>;

/// Makes and judges the pool's connections.
pub(super) struct Sessions {
    url: String,
    doubt: Arc<Doubt>,
    complaint: Complaint,
}

/// What is thought of connections that nobody uses: when one of them turns out to have ended, so may have all that were not
/// used since.
pub(super) struct Doubt {
    /// When this was made.
    epoch: Instant,
    /// Microseconds since then, of the last time.
    raised: AtomicU64,
    /// The same of when all that had begun by then became too old.
    outdated: AtomicU64,
}

impl Default for Doubt {
    fn default() -> Self {
        Self { epoch: Instant::now(), raised: AtomicU64::new(0), outdated: AtomicU64::new(0) }
    }
}

impl Doubt {
    pub(super) fn raise(&self) {
        self.raised.fetch_max(self.micros(Instant::now()), Ordering::Relaxed);
    }

    /// No connection that has begun by now is used again.
    pub(super) fn outdate(&self) {
        self.outdated.fetch_max(self.micros(Instant::now()), Ordering::Relaxed);
    }

    fn outdates(&self, made: Instant) -> bool {
        self.micros(made) <= self.outdated.load(Ordering::Relaxed)
    }

    fn concerns(&self, used: Instant) -> bool {
        self.micros(used) <= self.raised.load(Ordering::Relaxed)
    }

    fn micros(&self, time: Instant) -> u64 {
        // From 1 on: 0 is never.
        u64::try_from(time.saturating_duration_since(self.epoch).as_micros())
            .unwrap_or(u64::MAX)
            .saturating_add(1)
    }
}

impl Sessions {
    pub(super) fn new(url: String, doubt: &Arc<Doubt>, complaint: Complaint) -> Self {
        Self { url, doubt: Arc::clone(doubt), complaint }
    }
}

impl ManageConnection for Sessions {
    type Connection = Session;
    type Error = diesel::r2d2::Error;

    fn connect(&self) -> Result<Session, Self::Error> {
        // Before it is there: what changes while it is made may come too late for it.
        let made = Instant::now();
        let connection = PgConnection::establish(&self.url).map_err(Self::Error::ConnectionError)?;
        self.complaint.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ok(Session { connection, made, used: Instant::now(), broken: false })
    }

    fn is_valid(&self, session: &mut Session) -> Result<(), Self::Error> {
        if self.doubt.outdates(session.made) {
            let why = ConnectionError::BadConnection("it began while Postgres took no writes".to_owned());
            return Err(Self::Error::ConnectionError(why));
        }
        let ended = farewell(&mut session.connection).or_else(|| {
            if session.used.elapsed() < TRUSTED_FOR && !self.doubt.concerns(session.used) {
                return None;
            }
            session.connection.batch_execute("SELECT 1").err()
        });
        match ended {
            None => Ok(()),
            Some(error) => {
                self.doubt.raise();
                Err(Self::Error::QueryError(error))
            }
        }
    }

    fn has_broken(&self, session: &mut Session) -> bool {
        session.broken || std::thread::panicking()
    }
}

/// Why Postgres has ended an idle session, when it has: it says so and closes the connection, which can be seen without
/// asking. A restore of the database and a restart end all of them at once, and nobody's request is to be told of that.
fn farewell(connection: &mut PgConnection) -> Option<DieselError> {
    // The first look may read the last words only, the second one the end behind them. Nobody listens for notifications.
    (0..2).find_map(|_| connection.notifications_iter().next()?.err())
}
