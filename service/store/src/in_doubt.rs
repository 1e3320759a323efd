//! Owns what becomes of cached pages when nobody knows whether a write was done: Postgres went away, or did not answer in
//! time. The write may be there, and may still come: until then it is as good as done. Nobody waits for this.

use std::{future::pending, time::Duration};

use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use super::cache::Cache;
use service_telemetry::spans::Place;

/// Whether there was such a write.
#[derive(Default)]
pub(super) struct InDoubt {
    noted: Notify,
}

impl InDoubt {
    /// There was one.
    pub(super) fn note(&self) {
        self.noted.notify_one();
    }

    /// Makes every kept page old for each, at once and once more after `longest`, which is how long Postgres may go on with a
    /// statement whose client it has lost. For as long as the service runs.
    pub(super) async fn settle(&self, cache: &Cache, longest: Duration) {
        let mut again: Option<Instant> = None;
        loop {
            let later = async {
                match again {
                    Some(moment) => sleep_until(moment).await,
                    None => pending().await,
                }
            };
            again = tokio::select! {
                () = self.noted.notified() => Some(Instant::now() + longest),
                () = later => None,
            };
            cache.invalidate(&Place::NOWHERE).await;
        }
    }
}
