//! The bounds of a front, each with its reason.

use std::time::Duration;

/// How many connections of clients a front of `dev` has at once: a load test opens some hundred, and each costs two
/// descriptors. Fewer where the system gives fewer.
pub(crate) const CLIENTS: usize = 400;

/// How many descriptors `dev` asks the system for: those of two busy fronts and [`OTHER_DESCRIPTORS`]. macOS gives 256 unasked,
/// Linux 1024.
pub const DESCRIPTORS: u64 = 2048;

/// How many of them are not the fronts': the engine's connections, logs, what is watched, and what is compiled.
pub(crate) const OTHER_DESCRIPTORS: u64 = 128;

/// How long a request waits for a version that is on its way: the longest that a person looks at a blank page before it
/// is reloaded, and below the half minute that clients give an answer.
pub(crate) const HOLD: Duration = Duration::from_secs(15);

/// The pause before a request is offered again to a server that did not take it, or broke off without a word; each further
/// one is twice as long. A process that is restarted listens again within some ten milliseconds at best.
pub(crate) const PAUSE: Duration = Duration::from_millis(20);

/// The longest such pause: what a person waits for is noticed soon, and four hundred clients ask for some thousand
/// connections a second at most.
pub(crate) const PAUSE_AT_MOST: Duration = Duration::from_millis(250);

/// How long a request that may be sent twice bears connections that break under it. While a container ends, the engine's own
/// proxy still takes connections and closes them, until it has cleared away: some hundred milliseconds, on two busy
/// cores a second. A server that breaks off at each such request is asked some fifteen times.
pub const BREAKS: Duration = Duration::from_secs(3);

/// How long a connection to a server that has just failed is looked at before something is sent over it: where the engine's
/// own proxy finds nobody in the container, it closes it within a millisecond.
pub(crate) const DOUBT: Duration = Duration::from_millis(20);

/// How long a connection to a server on this machine may take; it is refused or made within a millisecond.
pub(crate) const CONNECT: Duration = Duration::from_secs(5);

/// The pause after a client that could not be accepted: this process may have no descriptor left, and others give theirs back
/// when an answer is done.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(60);

/// How long a version that starts may take to say whether it is ready: it asks its stores, each with a deadline of its
/// own of at most some seconds.
pub(crate) const READY: Duration = Duration::from_secs(5);
