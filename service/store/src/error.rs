//! Owns the store's errors: what a caller can match on, with a text for the log. Says nothing of HTTP.

use std::fmt;

/// What the store depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dependency {
    /// Items, keys, the kept count.
    Postgres,
    /// Counting and the cache.
    Redis,
}

impl fmt::Display for Dependency {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Postgres => "postgres",
            Self::Redis => "redis",
        })
    }
}

/// Why the store did not do what was asked. The texts are for the log, not for a client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The dependency is away, or went away meanwhile: whether a write was done is then unknown.
    #[error("{dependency} is not available: {cause}")]
    Unavailable {
        /// Which one.
        dependency: Dependency,
        /// What was seen.
        cause: String,
    },
    /// The dependency did not answer within the deadline: whether a write was done is unknown.
    #[error("{0} did not answer within the deadline")]
    Deadline(Dependency),
    /// Postgres is there and cannot do it now, for a reason of its own: it is read-only or full, or was told to give up;
    /// nothing was done.
    #[error("postgres cannot do it now: {0}")]
    Unable(String),
    /// Too much waits already; nothing was done.
    #[error("the queue of writes is full")]
    Busy,
    /// Postgres refuses the value itself; nothing was done.
    #[error("postgres refuses the value: {0}")]
    Refused(String),
    /// The idempotency key was used for another item; nothing was done.
    #[error("the idempotency key belongs to another item")]
    KeyReused,
    /// Anything else: a fault of ours.
    #[error("postgres answered: {0}")]
    Internal(String),
}

impl StoreError {
    pub(super) fn unavailable(dependency: Dependency, cause: impl fmt::Display) -> Self {
        Self::Unavailable { dependency, cause: cause.to_string() }
    }
}
