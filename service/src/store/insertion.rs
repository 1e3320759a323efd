//! Owns the statements that insert a batch of items: one statement for items without keys, one transaction when some have
//! keys. Returns what came of each in the order given. Knows no queue and no thread.

use std::collections::BTreeMap;

use diesel::{
    Connection, ExpressionMethods, JoinOnDsl, PgConnection, QueryDsl, QueryResult, RunQueryDsl,
    pg::Pg,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    sql_types::{Array, BigInt, Nullable, Text, Timestamptz},
};
use time::OffsetDateTime;

use super::{
    items::{Created, IdempotencyKey, Item, NewItem},
    tables::{idempotency_keys, items},
};

/// One item of a batch.
pub(super) struct Insertion {
    pub(super) item: NewItem,
    pub(super) value: String,
    pub(super) key: Option<IdempotencyKey>,
}

impl Insertion {
    pub(super) fn new(item: NewItem, key: Option<IdempotencyKey>) -> Self {
        let value = item.value().to_string();
        Self { item, value, key }
    }
}

/// What came of one item of a committed batch.
pub(super) enum Outcome {
    /// It is stored, now or by an earlier request with its key.
    Stored(Created),
    /// Its key belongs to another item.
    KeyReused,
}

/// Inserts the batch and commits it.
pub(super) fn insert(connection: &mut PgConnection, batch: &[Insertion]) -> QueryResult<Vec<Outcome>> {
    if batch.iter().all(|insertion| insertion.key.is_none()) {
        return insert_new(connection, &batch.iter().map(|insertion| (None, insertion)).collect::<Vec<_>>())
            .map(|items| items.into_iter().map(|item| stored(item, false)).collect());
    }
    connection.transaction(|connection| insert_with_keys(connection, batch))
}

fn stored(item: Item, replayed: bool) -> Outcome {
    Outcome::Stored(Created { item, replayed })
}

/// Claims the keys, inserts what is new under the ids that the claims reserved, and looks up what the other keys made. A
/// claim waits for a rival's transaction to end; keys are claimed in one order everywhere, so that no two wait for each
/// other.
fn insert_with_keys(connection: &mut PgConnection, batch: &[Insertion]) -> QueryResult<Vec<Outcome>> {
    let mut keys: Vec<&str> =
        batch.iter().filter_map(|insertion| insertion.key.as_ref()).map(IdempotencyKey::as_str).collect();
    keys.sort_unstable();
    keys.dedup();
    let claimed: BTreeMap<String, i64> =
        ClaimKeys { keys: keys.iter().map(|key| (*key).to_owned()).collect() }
            .load(connection)?
            .into_iter()
            .collect();

    // The first of a batch to use a claimed key is its item; a later one is a repetition.
    let mut unused = claimed.clone();
    let mut new: Vec<(Option<i64>, &Insertion)> = Vec::with_capacity(batch.len());
    let mut place_of: Vec<Option<usize>> = Vec::with_capacity(batch.len());
    for insertion in batch {
        let reserved = insertion.key.as_ref().map(|key| unused.remove(key.as_str()));
        place_of.push(match reserved {
            Some(None) => None,
            id => {
                new.push((id.flatten(), insertion));
                Some(new.len() - 1)
            }
        });
    }
    let inserted = insert_new(connection, &new)?;

    let earlier: Vec<&str> = keys.into_iter().filter(|key| !claimed.contains_key(*key)).collect();
    let mut by_key = find_by_keys(connection, &earlier)?;
    for ((_, insertion), item) in new.iter().zip(&inserted) {
        if let Some(key) = &insertion.key {
            by_key.insert(key.as_str().to_owned(), item.clone());
        }
    }
    batch
        .iter()
        .zip(place_of)
        .map(|(insertion, place)| {
            if let Some(place) = place {
                return Ok(stored(inserted[place].clone(), false));
            }
            // A key that was there at the claim and is gone now was swept: the caller may try again.
            let key = insertion.key.as_ref().map_or("", IdempotencyKey::as_str);
            let item = by_key.get(key).ok_or(diesel::result::Error::RollbackTransaction)?;
            let equal = item.name == insertion.item.name() && item.value == *insertion.item.value();
            Ok(if equal { stored(item.clone(), true) } else { Outcome::KeyReused })
        })
        .collect()
}

type Found = (String, (i64, String, serde_json::Value, OffsetDateTime));

fn find_by_keys(connection: &mut PgConnection, keys: &[&str]) -> QueryResult<BTreeMap<String, Item>> {
    if keys.is_empty() {
        return Ok(BTreeMap::new());
    }
    let found: Vec<Found> = idempotency_keys::table
        .inner_join(items::table.on(items::id.eq(idempotency_keys::item_id)))
        .filter(idempotency_keys::key.eq_any(keys))
        .select((idempotency_keys::key, items::all_columns))
        .load(connection)?;
    Ok(found.into_iter().map(|(key, row)| (key, Item::from(row))).collect())
}

fn insert_new(connection: &mut PgConnection, rows: &[(Option<i64>, &Insertion)]) -> QueryResult<Vec<Item>> {
    let statement = InsertItems {
        ids: rows.iter().map(|(id, _)| *id).collect(),
        names: rows.iter().map(|(_, insertion)| insertion.item.name()).collect(),
        values: rows.iter().map(|(_, insertion)| insertion.value.as_str()).collect(),
    };
    let mut made: Vec<(i64, i64, OffsetDateTime)> = statement.load(connection)?;
    made.sort_unstable_by_key(|(place, ..)| *place);
    Ok(made
        .into_iter()
        .zip(rows)
        .map(|((_, id, created_at), (_, insertion))| insertion.item.clone().into_item(id, created_at))
        .collect())
}

/// A multi-row insert whose text does not depend on the number of rows, so that Postgres plans it once. The rows' places
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
             SELECT place, COALESCE(id, nextval('items_id_seq')) AS id, name, value::jsonb AS value FROM unnest(",
        );
        pass.push_bind_param::<Array<Nullable<BigInt>>, _>(&self.ids)?;
        pass.push_sql(", ");
        pass.push_bind_param::<Array<Text>, _>(&self.names)?;
        pass.push_sql(", ");
        pass.push_bind_param::<Array<Text>, _>(&self.values)?;
        pass.push_sql(
            ") WITH ORDINALITY AS rows (id, name, value, place)), \
             inserted AS (INSERT INTO items (id, name, value) SELECT id, name, value FROM input \
             RETURNING id, created_at) \
             SELECT place, id, created_at FROM inserted JOIN input USING (id)",
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
