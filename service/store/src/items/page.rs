//! Owns the statement that reads a page of items, and the bound on what one may hold: by number, and by bytes.

use diesel::{
    PgConnection, QueryResult, RunQueryDsl,
    connection::DefaultLoadingMode,
    pg::Pg,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    sql_types::{BigInt, Jsonb, Nullable, Text, Timestamptz},
};
use serde_json::Value;
use time::OffsetDateTime;

use super::{Cursor, Item, Page, PageRequest};

/// Bytes of values after which a page ends early, as long as it has one item: a hundred of the largest bodies would be
/// 6 MiB for each of the requests that read at once, beside a budget of 32 MiB. What clients keep is rarely more than a
/// few hundred bytes, so that it is the number that ends their pages.
const MOST_BYTES: i64 = 1 << 20;

/// An item, and which one follows it, on this page or the next.
type Row = (i64, String, Value, OffsetDateTime, Option<i64>);

pub(super) fn read(connection: &mut PgConnection, request: PageRequest) -> QueryResult<Page> {
    let statement = ReadPage {
        before: request.after.map_or(i64::MAX, |cursor| cursor.0),
        limit: i64::from(request.limit.0),
        // One more tells whether there is a next page.
        candidates: i64::from(request.limit.0) + 1,
    };
    let mut items = String::from("[");
    let mut next = None;
    // A value takes many times its text once it is read: one after the other.
    for row in RunQueryDsl::load_iter::<Row, DefaultLoadingMode>(statement, connection)? {
        let (id, name, value, created_at, following) = row?;
        if items.len() > 1 {
            items.push(',');
        }
        Item::from((id, name, value, created_at)).write_json(&mut items);
        next = following.map(|_| Cursor(id));
    }
    items.push(']');
    Ok(Page { items, next })
}

/// The newest items before an id: so many, or fewer if those have bytes enough.
#[derive(QueryId)]
struct ReadPage {
    before: i64,
    candidates: i64,
    limit: i64,
}

impl QueryFragment<Pg> for ReadPage {
    fn walk_ast<'b>(&'b self, mut pass: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        // Bytes are of the text that is sent: what a value takes in the table is compressed. Only what is sent leaves
        // the inner statement with its value; the others are pointers to it.
        pass.push_sql(
            "SELECT id, name, value, created_at, following FROM (\
             SELECT id, name, value, created_at, lead(id) OVER newer AS following, \
             COALESCE(sum(octet_length(value::text)) OVER newer, 0) AS bytes_before FROM (\
             SELECT id, name, value, created_at FROM items WHERE id < ",
        );
        pass.push_bind_param::<BigInt, _>(&self.before)?;
        pass.push_sql(" ORDER BY id DESC LIMIT ");
        pass.push_bind_param::<BigInt, _>(&self.candidates)?;
        pass.push_sql(
            ") AS candidates \
             WINDOW newer AS (ORDER BY id DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)) AS page \
             WHERE bytes_before < ",
        );
        pass.push_bind_param::<BigInt, _>(&MOST_BYTES)?;
        pass.push_sql(" ORDER BY id DESC LIMIT ");
        pass.push_bind_param::<BigInt, _>(&self.limit)
    }
}

impl Query for ReadPage {
    type SqlType = (BigInt, Text, Jsonb, Timestamptz, Nullable<BigInt>);
}

impl RunQueryDsl<PgConnection> for ReadPage {}
