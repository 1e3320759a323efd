//! Owns the statements that insert a batch of items: one statement for items without keys, one transaction when some have
//! keys. Returns what came of each in the order given. Knows no queue and no thread.

use std::collections::{BTreeMap, BTreeSet};

use diesel::{
    Connection, ExpressionMethods, JoinOnDsl, PgConnection, QueryDsl, QueryResult, RunQueryDsl,
    pg::Pg,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    sql_types::{Array, BigInt, Nullable, Text, Timestamptz},
};
use time::OffsetDateTime;

use super::{
    items::{IdempotencyKey, Item, ItemId, NewItem},
    postgres::query,
    tables::{idempotency_keys, items},
};
use service_telemetry::spans::{Place, statements};

/// One item of a batch.
pub(super) struct Insertion {
    pub(super) item: NewItem,
    pub(super) key: Option<IdempotencyKey>,
}

impl Insertion {
    fn key(&self) -> Option<&str> {
        self.key.as_ref().map(IdempotencyKey::as_str)
    }
}

/// What came of one item of a committed batch.
#[derive(Clone, Copy)]
pub(super) enum Outcome {
    /// It is stored.
    Stored(Receipt),
    /// An equal item was stored under its key before.
    Replayed(Receipt),
    /// Its key belongs to another item.
    KeyReused,
}

/// What Postgres gives a stored item: its number, and when.
#[derive(Clone, Copy)]
pub(super) struct Receipt {
    pub(super) id: ItemId,
    pub(super) created_at: OffsetDateTime,
}

/// Inserts the batch and commits it, for the batch's span at `at`.
pub(super) fn insert(
    connection: &mut PgConnection,
    batch: &[&Insertion],
    at: &Place,
) -> QueryResult<Vec<Outcome>> {
    if batch.iter().all(|insertion| insertion.key.is_none()) {
        let new: Vec<_> = batch.iter().map(|insertion| (None, &insertion.item)).collect();
        return Ok(insert_new(connection, &new, at)?.into_iter().map(Outcome::Stored).collect());
    }
    connection.transaction(|connection| insert_with_keys(connection, batch, at))
}

/// Claims the keys, inserts what is new under the ids that the claims reserved, and looks up what the other keys made. A
/// claim waits for a rival's transaction to end; keys are claimed in one order everywhere, so that no two wait for each
/// other.
fn insert_with_keys(
    connection: &mut PgConnection,
    batch: &[&Insertion],
    at: &Place,
) -> QueryResult<Vec<Outcome>> {
    let keys: BTreeSet<&str> = batch.iter().filter_map(|insertion| insertion.key()).collect();
    let claim = ClaimKeys { keys: keys.iter().map(|key| (*key).to_owned()).collect() };
    let claimed: Vec<(String, i64)> =
        query(at, &statements::CLAIM_KEYS, connection, |connection| claim.load(connection))?;
    let mut claimed: BTreeMap<String, i64> = claimed.into_iter().collect();
    let earlier: Vec<&str> = keys.into_iter().filter(|key| !claimed.contains_key(*key)).collect();

    // The first of a batch to use a claimed key is its item; a later one repeats it, or misuses the key.
    let mut new = Vec::with_capacity(batch.len());
    let mut made: BTreeMap<&str, (usize, &NewItem)> = BTreeMap::new();
    // Which of the new ones each is; `None`: it is not new.
    let mut numbers = Vec::with_capacity(batch.len());
    for insertion in batch {
        let reserved = insertion.key().map(|key| (key, claimed.remove(key)));
        let id = match reserved {
            None => Some(None),
            Some((key, Some(id))) => {
                made.insert(key, (new.len(), &insertion.item));
                Some(Some(id))
            }
            Some((_, None)) => None,
        };
        numbers.push(id.map(|id| {
            new.push((id, &insertion.item));
            new.len() - 1
        }));
    }
    let receipts = insert_new(connection, &new, at)?;
    let found = find_by_keys(connection, &earlier, at)?;

    let judge = |(insertion, number): (&&Insertion, Option<usize>)| {
        if let Some(number) = number {
            return Ok(Outcome::Stored(receipts[number]));
        }
        let key = insertion.key().unwrap_or_default();
        let (equal, receipt) = match (made.get(key), found.get(key)) {
            (Some((number, item)), _) => (**item == insertion.item, receipts[*number]),
            (None, Some(item)) => {
                (insertion.item.is_stored_as(item), Receipt { id: item.id, created_at: item.created_at })
            }
            // A key that was there at the claim and is gone now was swept: the caller may try again.
            (None, None) => return Err(diesel::result::Error::RollbackTransaction),
        };
        Ok(if equal { Outcome::Replayed(receipt) } else { Outcome::KeyReused })
    };
    batch.iter().zip(numbers).map(judge).collect()
}

type Found = (String, (i64, String, serde_json::Value, OffsetDateTime));

fn find_by_keys(
    connection: &mut PgConnection,
    keys: &[&str],
    at: &Place,
) -> QueryResult<BTreeMap<String, Item>> {
    if keys.is_empty() {
        return Ok(BTreeMap::new());
    }
    let statement = idempotency_keys::table
        .inner_join(items::table.on(items::id.eq(idempotency_keys::item_id)))
        .filter(idempotency_keys::key.eq_any(keys))
        .select((idempotency_keys::key, items::all_columns));
    let found: Vec<Found> =
        query(at, &statements::FIND_BY_KEYS, connection, |connection| statement.load(connection))?;
    Ok(found.into_iter().map(|(key, row)| (key, Item::from(row))).collect())
}

fn insert_new(
    connection: &mut PgConnection,
    rows: &[(Option<i64>, &NewItem)],
    at: &Place,
) -> QueryResult<Vec<Receipt>> {
    let statement = InsertItems {
        ids: rows.iter().map(|(id, _)| *id).collect(),
        names: rows.iter().map(|(_, item)| item.name()).collect(),
        values: rows.iter().map(|(_, item)| item.value()).collect(),
    };
    let mut made: Vec<(i64, i64, OffsetDateTime)> =
        query(at, &statements::INSERT_ITEMS, connection, |connection| statement.load(connection))?;
    made.sort_unstable_by_key(|(row, ..)| *row);
    Ok(made.into_iter().map(|(_, id, created_at)| Receipt { id: ItemId(id), created_at }).collect())
}

/// A multi-row insert whose text does not depend on the number of rows, so that Postgres plans it once. The rows' numbers
/// come back with their ids: the order of a `RETURNING` is not promised.
struct InsertItems<'a> {
    ids: Vec<Option<i64>>,
    names: Vec<&'a str>,
    values: Vec<&'a str>,
}

impl QueryId for InsertItems<'_> {
    type QueryId = InsertItems<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl QueryFragment<Pg> for InsertItems<'_> {
    fn walk_ast<'b>(&'b self, mut pass: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        pass.push_sql(
            "WITH input AS MATERIALIZED (\
             SELECT number, COALESCE(id, nextval('items_id_seq')) AS id, name, value::jsonb AS value FROM unnest(",
        );
        pass.push_bind_param::<Array<Nullable<BigInt>>, _>(&self.ids)?;
        pass.push_sql(", ");
        pass.push_bind_param::<Array<Text>, _>(&self.names)?;
        pass.push_sql(", ");
        pass.push_bind_param::<Array<Text>, _>(&self.values)?;
        pass.push_sql(
            ") WITH ORDINALITY AS rows (id, name, value, number)), \
             inserted AS (INSERT INTO items (id, name, value) SELECT id, name, value FROM input \
             RETURNING id, created_at) \
             SELECT number, id, created_at FROM inserted JOIN input USING (id)",
        );
        Ok(())
    }
}

impl Query for InsertItems<'_> {
    type SqlType = (BigInt, BigInt, Timestamptz);
}

impl RunQueryDsl<PgConnection> for InsertItems<'_> {}

/// Claims keys that nobody has, each with a fresh item id.
#[derive(QueryId)]
struct ClaimKeys {
    keys: Vec<String>,
}

impl QueryFragment<Pg> for ClaimKeys {
    fn walk_ast<'b>(&'b self, mut pass: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        pass.push_sql(
            "INSERT INTO idempotency_keys (key, item_id) SELECT key, nextval('items_id_seq') FROM unnest(",
        );
        pass.push_bind_param::<Array<Text>, _>(&self.keys)?;
        pass.push_sql(") AS claims (key) ORDER BY key ON CONFLICT (key) DO NOTHING RETURNING key, item_id");
        Ok(())
    }
}

impl Query for ClaimKeys {
    type SqlType = (Text, BigInt);
}

impl RunQueryDsl<PgConnection> for ClaimKeys {}
