//! Owns the cached pages. Each carries the token that was in force when its reading began; a write changes the token
//! before it is acknowledged, so a page read from older data is never taken for a fresh one, whenever it is put there.
//! A replica for which Redis is away cannot change it: until Redis is back for that one too, or the pages' time is over,
//! those for which it is there may serve pages from before its writes. A write does not wait for that.
//! Tokens are random: a Redis that lost its memory cannot repeat one. Equal readings at one time are done once.

use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::future::{BoxFuture, FutureExt, WeakShared};
use prometheus::IntCounter;
use redis::{ExistenceCheck, RedisError, SetExpiry, SetOptions, aio::MultiplexedConnection};

use super::{
    error::StoreError,
    items::{Cursor, Page, PageRequest},
    link::Link,
};
use service_config::Redis;
use service_telemetry::{
    metrics::StoreMetrics,
    spans::{Place, Span, statements, works},
};

/// Pages larger than this are not cached: a hundred items of 64 KiB would displace everything else.
const LARGEST_PAGE: usize = 256 * 1024;

type Reading = BoxFuture<'static, Result<Arc<Page>, StoreError>>;

pub(super) struct Cache {
    link: Arc<Link>,
    prefix: String,
    lifetime: Duration,
    hits: IntCounter,
    misses: IntCounter,
    readings: Mutex<HashMap<(String, PageRequest), WeakShared<Reading>>>,
}

impl Cache {
    pub(super) fn new(link: Arc<Link>, redis: &Redis, lifetime: Duration, metrics: &StoreMetrics) -> Self {
        Self {
            link,
            prefix: redis.key_prefix.clone(),
            lifetime,
            hits: metrics.cache_hits.clone(),
            misses: metrics.cache_misses.clone(),
            readings: Mutex::default(),
        }
    }

    /// The page from the cache, or from `read`, which is then kept.
    pub(super) async fn page(
        self: &Arc<Self>,
        request: PageRequest,
        place: &Place,
        read: impl Future<Output = Result<Page, StoreError>> + Send + 'static,
    ) -> Result<Arc<Page>, StoreError> {
        let Some(token) = self.look_up(request, place).await else {
            self.misses.inc();
            return read.await.map(Arc::new);
        };
        match token {
            Found::Page(page) => {
                self.hits.inc();
                Ok(Arc::new(page))
            }
            Found::Token(token) => {
                self.misses.inc();
                self.read_once(token, request, place, read).await
            }
        }
    }

    /// `None`: there is no Redis to ask.
    async fn look_up(&self, request: PageRequest, place: &Place) -> Option<Found> {
        let mut command = redis::cmd("MGET");
        command.arg(self.token_key()).arg(self.page_key(request));
        let (token, kept): (Option<String>, Option<String>) =
            self.link.query(place, &statements::CACHE_GET, &command).await?;
        let Some(token) = token else {
            return self.first_token(place).await.map(Found::Token);
        };
        let page = kept.as_deref().and_then(|text| read_entry(text, &token));
        Some(page.map_or(Found::Token(token), Found::Page))
    }

    /// Puts a token where none is, and returns the one in force.
    async fn first_token(&self, place: &Place) -> Option<String> {
        let mut command = redis::cmd("SET");
        command.arg(self.token_key()).arg(fresh_token());
        command.arg(SetOptions::default().conditional_set(ExistenceCheck::NX));
        self.link.query::<Option<String>>(place, &statements::CACHE_BEGIN, &command).await?;
        let mut command = redis::cmd("GET");
        command.arg(self.token_key());
        self.link.query::<Option<String>>(place, &statements::CACHE_TOKEN, &command).await?
    }

    async fn read_once(
        self: &Arc<Self>,
        token: String,
        request: PageRequest,
        place: &Place,
        read: impl Future<Output = Result<Page, StoreError>> + Send + 'static,
    ) -> Result<Arc<Page>, StoreError> {
        let (reading, _wait) = {
            let mut readings = self.readings.lock().unwrap_or_else(PoisonError::into_inner);
            let key = (token.clone(), request);
            if let Some(reading) = readings.get(&key).and_then(WeakShared::upgrade) {
                (reading, place.begin(works::READING_WAIT))
            } else {
                readings.retain(|_, reading| reading.upgrade().is_some());
                let this = Arc::clone(self);
                let reading = this.read_and_keep(token, request, place.clone(), read).boxed().shared();
                readings.extend(reading.downgrade().map(|weak| (key, weak)));
                (reading, Span::default())
            }
        };
        reading.await
    }

    async fn read_and_keep(
        self: Arc<Self>,
        token: String,
        request: PageRequest,
        place: Place,
        read: impl Future<Output = Result<Page, StoreError>>,
    ) -> Result<Arc<Page>, StoreError> {
        let page = Arc::new(read.await?);
        if page.items.len() <= LARGEST_PAGE {
            let milliseconds = u64::try_from(self.lifetime.as_millis()).unwrap_or(u64::MAX);
            let mut command = redis::cmd("SET");
            command.arg(self.page_key(request)).arg(write_entry(&page, &token));
            command.arg(SetOptions::default().with_expiration(SetExpiry::PX(milliseconds)));
            self.link.query::<()>(&place, &statements::CACHE_SET, &command).await;
        }
        Ok(page)
    }

    /// Makes every kept page old. When Redis is away there is nothing to do: [`Cache::renew`] runs before it is used
    /// again.
    pub(super) async fn invalidate(&self, place: &Place) {
        self.link.query_owed(place, &statements::CACHE_INVALIDATE, &self.set_token()).await;
    }

    /// As [`Cache::invalidate`], on a connection that is not in use yet.
    pub(super) async fn renew(&self, connection: &mut MultiplexedConnection) -> Result<(), RedisError> {
        self.set_token().exec_async(connection).await
    }

    fn set_token(&self) -> redis::Cmd {
        let mut command = redis::cmd("SET");
        command.arg(self.token_key()).arg(fresh_token());
        command
    }

    fn token_key(&self) -> String {
        format!("{}items:token", self.prefix)
    }

    fn page_key(&self, request: PageRequest) -> String {
        match request.after {
            Some(cursor) => format!("{}items:page:{}:{cursor}", self.prefix, request.limit),
            None => format!("{}items:page:{}", self.prefix, request.limit),
        }
    }
}

enum Found {
    Page(Page),
    Token(String),
}

fn fresh_token() -> String {
    format!("{:032x}", fastrand::u128(..))
}

/// Token, cursor of the next page or nothing, items: a line each.
fn write_entry(page: &Page, token: &str) -> String {
    let next = page.next.map(|cursor| cursor.to_string()).unwrap_or_default();
    format!("{token}\n{next}\n{}", page.items)
}

fn read_entry(text: &str, token: &str) -> Option<Page> {
    let (kept, rest) = text.split_once('\n')?;
    let (next, items) = rest.split_once('\n')?;
    let next = if next.is_empty() { None } else { Some(Cursor::parse(next).ok()?) };
    (kept == token).then(|| Page { items: items.to_owned(), next })
}

#[cfg(test)]
mod tests {
    use super::{Page, read_entry, write_entry};
    use crate::Cursor;

    #[test]
    fn an_entry_reads_back_under_its_token_only() {
        for next in [None, Cursor::parse("1000000000000002a").ok()] {
            let page = Page { items: "[{\"name\":\"a\\nb\"}]".to_owned(), next };
            let entry = write_entry(&page, "now");
            assert_eq!(read_entry(&entry, "now"), Some(page));
            assert_eq!(read_entry(&entry, "later"), None);
        }
        assert_eq!(read_entry("now\nnonsense\n[]", "now"), None);
        assert_eq!(read_entry("now", "now"), None);
    }
}
