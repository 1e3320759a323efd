//! Owns how often something is asked that is away: soon at first, because most outages are short, and then more seldom, so
//! that nobody is pressed who is just coming back. Sleeps nowhere.

use std::time::Duration;

/// Between two questions while all is well: what a silent death costs at most before somebody notices.
pub(super) const CALM: Duration = Duration::from_secs(1);

/// Rising waits between attempts.
pub(super) struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    /// For a Postgres or Redis that requests wait for: a tenth of a second is little beside the start of either, and a
    /// second is the word of `Retry-After`.
    pub(super) fn while_away() -> Self {
        Self::new(Duration::from_millis(100), Duration::from_secs(1))
    }

    /// Waits from `first`, each twice the one before, up to `longest`.
    pub(super) fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, next: first }
    }

    /// The wait before the next attempt, were it due now.
    pub(super) fn peek(&self) -> Duration {
        self.next
    }

    /// The wait before the next attempt.
    pub(super) fn take(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(self.longest);
        pause
    }

    /// The next outage is another one.
    pub(super) fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Backoff;

    #[test]
    fn waits_double_up_to_the_longest_and_begin_anew() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(500));
        let mut waits = || -> Vec<u128> { (0..5).map(|_| backoff.take().as_millis()).collect() };
        assert_eq!(waits(), [100, 200, 400, 500, 500]);
        assert_eq!(backoff.peek().as_millis(), 500);
        backoff.reset();
        assert_eq!(backoff.peek(), backoff.take());
        assert_eq!(backoff.take().as_millis(), 200);
    }
}
