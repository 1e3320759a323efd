//! Owns the items: what one may be, how a page of them is read, and the way of a new one to the writer. Its types refuse
//! what Postgres would refuse, so that bad input never gets there.

mod page;
mod value;

use std::{
    fmt::{self, Write},
    sync::Arc,
    time::Duration,
};

use diesel::{
    OptionalExtension, PgConnection, QueryDsl, QueryResult, RunQueryDsl,
    sql_types::{BigInt, Double},
};
use serde_json::Value;
use slog::Logger;
use time::OffsetDateTime;

use super::{cache::Cache, error::StoreError, postgres::Postgres, tables::items, writer::Writer};
use service_telemetry::{
    spans::{Place, statements},
    timestamp::Timestamp,
};

pub use value::{DEEPEST_VALUE, MOST_DIGITS};

/// The longest name, in characters; the table's own check says the same.
pub const LONGEST_NAME: usize = 200;

/// The longest idempotency key, in characters: twice a UUID with room for a prefix.
pub const LONGEST_KEY: usize = 128;

/// Most items on a page.
pub const LARGEST_PAGE: u32 = 100;

/// Items on a page when the request does not say.
pub const USUAL_PAGE: u32 = 20;

/// Keys forgotten by one statement, so that a sweep never holds many rows at once.
const SWEEP_ROWS: i64 = 1000;

/// An item's number: unique, rising in the order of insertion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ItemId(pub(super) i64);

impl ItemId {
    /// Reads a number as it stands in a path: digits only, above zero.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|id| digits && *id > 0).map(Self)
    }
}

impl fmt::Display for ItemId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Why something is no item, key, cursor or limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A name of 0 or too many characters.
    #[error("`name` must have 1 to {LONGEST_NAME} characters")]
    NameLength,
    /// Postgres cannot store it.
    #[error("texts must not contain the NUL character")]
    Nul,
    /// Nested too deep.
    #[error("`value` must not be nested deeper than {DEEPEST_VALUE}")]
    Depth,
    /// Too long once it is kept.
    #[error("the numbers of `value` must not take more than {MOST_DIGITS} digits without exponents")]
    Digits,
    /// Not a key.
    #[error("`Idempotency-Key` must have 1 to {LONGEST_KEY} visible ASCII characters")]
    Key,
    /// Not a cursor that a page gave.
    #[error("`after` must be the cursor of an earlier page")]
    Cursor,
    /// Not a number of items.
    #[error("`limit` must be a whole number from 1 to {LARGEST_PAGE}")]
    Limit,
}

/// An item to be: checked, and in the one form in which it is stored, answered and compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewItem {
    name: String,
    value: String,
}

impl NewItem {
    /// Checks the two parts.
    ///
    /// # Errors
    /// The first that does not hold.
    pub fn new(name: String, value: Value) -> Result<Self, Refusal> {
        if name.is_empty() || name.chars().count() > LONGEST_NAME {
            return Err(Refusal::NameLength);
        }
        if name.contains('\0') {
            return Err(Refusal::Nul);
        }
        Ok(Self { name, value: value::canonical(value)?.to_string() })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The value as JSON.
    pub(super) fn value(&self) -> &str {
        &self.value
    }

    /// What it takes, in bytes.
    pub(super) fn size(&self) -> usize {
        self.name.len() + self.value.len()
    }

    /// Whether the stored item is what this would have become.
    pub(super) fn is_stored_as(&self, item: &Item) -> bool {
        self.name == item.name && self.value == item.value
    }

    pub(super) fn into_item(self, id: ItemId, created_at: OffsetDateTime) -> Item {
        Item { id, name: self.name, value: self.value, created_at }
    }
}

/// A stored item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its number.
    pub id: ItemId,
    /// Its name.
    pub name: String,
    /// Its value, as JSON.
    pub value: String,
    /// When Postgres took it, UTC.
    pub created_at: OffsetDateTime,
}

impl Item {
    /// The item as JSON.
    pub fn to_json(&self) -> String {
        // Room for the members' names, an id and a time stamp.
        let mut text = String::with_capacity(self.name.len() + self.value.len() + 96);
        self.write_json(&mut text);
        text
    }

    /// Appends the item as JSON. The value, which may be most of it, is copied as it is.
    fn write_json(&self, text: &mut String) {
        let (name, created_at) = (Value::from(self.name.as_str()), Timestamp::of(self.created_at));
        let written = write!(
            text,
            "{{\"id\":{},\"name\":{name},\"value\":{},\"created_at\":\"{}\"}}",
            self.id,
            self.value,
            created_at.as_str(),
        );
        debug_assert!(written.is_ok(), "a String takes whatever is written");
    }
}

/// What came of a new item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created {
    /// The item as stored.
    pub item: Item,
    /// Whether an earlier request with the same key made it.
    pub replayed: bool,
}

/// A client's name for one attempt to create.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// Checks a header's value.
    ///
    /// # Errors
    /// [`Refusal::Key`].
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        if text.is_empty() || text.len() > LONGEST_KEY || !visible {
            return Err(Refusal::Key);
        }
        Ok(Self(text.to_owned()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Where a page ends and the next begins: opaque to clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cursor(i64);

/// The first character of a cursor: its format's version.
const CURSOR_VERSION: &str = "1";

impl Cursor {
    /// Reads what [`Cursor`]'s `Display` wrote, and nothing else.
    ///
    /// # Errors
    /// [`Refusal::Cursor`].
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        text.strip_prefix(CURSOR_VERSION)
            .and_then(|hex| i64::from_str_radix(hex, 16).ok())
            .map(Self)
            .filter(|cursor| cursor.0 >= 0 && cursor.to_string() == text)
            .ok_or(Refusal::Cursor)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{CURSOR_VERSION}{:016x}", self.0)
    }
}

/// How many items a page has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Limit(u32);

impl Default for Limit {
    fn default() -> Self {
        Self(USUAL_PAGE)
    }
}

impl Limit {
    /// Reads a number of items: digits only.
    ///
    /// # Errors
    /// [`Refusal::Limit`].
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse()
            .ok()
            .filter(|limit| digits && (1..=LARGEST_PAGE).contains(limit))
            .map(Self)
            .ok_or(Refusal::Limit)
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Which page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PageRequest {
    /// How many items.
    pub limit: Limit,
    /// After which item, newest first; none: from the newest.
    pub after: Option<Cursor>,
}

/// One page, its items already written as JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// A JSON array of items.
    pub items: String,
    /// Where the next page begins, if there is one.
    pub next: Option<Cursor>,
}

/// Reading and creating items.
#[derive(Clone)]
pub struct Items {
    postgres: Arc<Postgres>,
    cache: Arc<Cache>,
    writer: Writer,
}

impl Items {
    pub(super) fn new(postgres: Arc<Postgres>, cache: Arc<Cache>, writer: Writer) -> Self {
        Self { postgres, cache, writer }
    }

    /// Stores an item and returns once it is committed. With a key that was used before for an equal item, returns that
    /// one instead.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn create(
        &self,
        item: NewItem,
        key: Option<IdempotencyKey>,
        place: &Place,
    ) -> Result<Created, StoreError> {
        self.postgres.check_up()?;
        self.writer.write(item, key, place).await
    }

    /// Finds one item.
    ///
    /// # Errors
    /// Postgres away, late or at fault.
    pub async fn find(&self, id: ItemId, place: &Place) -> Result<Option<Item>, StoreError> {
        self.postgres
            .read(place, statements::FIND_ITEM, move |connection| {
                items::table.find(id.0).first::<Row>(connection).optional()
            })
            .await
            .map(|row| row.map(Item::from))
    }

    /// Reads a page, from the cache when it is there and no write was acknowledged since.
    ///
    /// # Errors
    /// Postgres away, late or at fault.
    pub async fn page(&self, request: PageRequest, place: &Place) -> Result<Arc<Page>, StoreError> {
        let (postgres, below) = (Arc::clone(&self.postgres), place.clone());
        let read = async move {
            let work = move |connection: &mut PgConnection| page::read(connection, request);
            postgres.read(&below, statements::READ_PAGE, work).await
        };
        self.cache.page(request, place, read).await
    }

    /// Forgets old keys again and again. Each step is a use of its own of the pool, with a deadline of its own: however
    /// many keys there are, no request waits longer for a connection than for one step.
    pub(super) async fn sweep_every(self, interval: Duration, lifetime: Duration, logger: Logger) {
        loop {
            tokio::time::sleep(interval).await;
            match self.sweep(lifetime).await {
                Ok(0) => {}
                Ok(keys) => slog::debug!(logger, "idempotency keys forgotten"; "keys" => keys),
                Err(error) => slog::warn!(logger, "idempotency keys could not be swept"; "error" => %error),
            }
        }
    }

    async fn sweep(&self, lifetime: Duration) -> Result<usize, StoreError> {
        let mut forgotten = 0;
        loop {
            let some = move |connection: &mut PgConnection| forget_keys(connection, lifetime);
            let now = self.postgres.run(&Place::NOWHERE, some).await?;
            forgotten += now;
            if i64::try_from(now).unwrap_or(0) < SWEEP_ROWS {
                return Ok(forgotten);
            }
        }
    }
}

/// Forgets keys older than `lifetime`, at most [`SWEEP_ROWS`]; rows that another replica is forgetting are left to it.
fn forget_keys(connection: &mut PgConnection, lifetime: Duration) -> QueryResult<usize> {
    diesel::sql_query(
        "DELETE FROM idempotency_keys WHERE key IN (SELECT key FROM idempotency_keys \
         WHERE created_at < now() - make_interval(secs => $1) LIMIT $2 FOR UPDATE SKIP LOCKED)",
    )
    .bind::<Double, _>(lifetime.as_secs_f64())
    .bind::<BigInt, _>(SWEEP_ROWS)
    .execute(connection)
}

type Row = (i64, String, Value, OffsetDateTime);

impl From<Row> for Item {
    fn from((id, name, value, created_at): Row) -> Self {
        Self { id: ItemId(id), name, value: value.to_string(), created_at }
    }
}

#[cfg(test)]
mod tests;
