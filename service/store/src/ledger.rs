//! Owns the visitors' count in Postgres: the kept count, and visits parked for Redis. Decides nothing about when.

use std::sync::Arc;

use diesel::{PgConnection, QueryDsl, QueryResult, RunQueryDsl, SelectableHelper, sql_types::BigInt};

use super::{
    error::StoreError,
    postgres::Postgres,
    tables::{visitor_debts, visitors},
};
use service_telemetry::spans::Place;

/// Visits that one instance of the service counted and could not bring to Redis. `(instance, batch)` names them for good.
#[derive(Clone, Debug, PartialEq, Eq, diesel::Queryable, diesel::Selectable, diesel::Insertable)]
#[diesel(table_name = visitor_debts)]
pub(super) struct Debt {
    pub(super) instance: String,
    pub(super) batch: i64,
    pub(super) visits: i64,
}

/// The visitors' tables.
#[derive(Clone)]
pub(super) struct Ledger {
    postgres: Arc<Postgres>,
}

impl Ledger {
    pub(super) fn new(postgres: Arc<Postgres>) -> Self {
        Self { postgres }
    }

    /// Whether Postgres is there, as far as is known.
    pub(super) fn check_up(&self) -> Result<(), StoreError> {
        self.postgres.check_up()
    }

    /// The count as last kept.
    pub(super) async fn read(&self) -> Result<u64, StoreError> {
        self.postgres
            .run(&Place::NOWHERE, |connection| {
                visitors::table.select(visitors::count).first::<i64>(connection)
            })
            .await
            .map(to_count)
    }

    /// Keeps `count` unless more is kept already, so that any number of replicas may do it in any order; returns what is
    /// kept now.
    pub(super) async fn keep(&self, count: u64) -> Result<u64, StoreError> {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.postgres
            .run(&Place::NOWHERE, move |connection| {
                #[derive(diesel::QueryableByName)]
                struct Kept {
                    #[diesel(sql_type = BigInt)]
                    count: i64,
                }
                diesel::sql_query("UPDATE visitors SET count = GREATEST(count, $1) RETURNING count")
                    .bind::<BigInt, _>(count)
                    .get_result::<Kept>(connection)
                    .map(|kept| kept.count)
            })
            .await
            .map(to_count)
    }

    /// Parks visits; doing it again with the same names changes nothing.
    pub(super) async fn park(&self, debt: Debt) -> Result<(), StoreError> {
        self.postgres
            .run(&Place::NOWHERE, move |connection| {
                diesel::insert_into(visitor_debts::table)
                    .values(&debt)
                    .on_conflict_do_nothing()
                    .execute(connection)
                    .map(|_| ())
            })
            .await
    }

    /// What is parked, each instance's batches in their order.
    pub(super) async fn parked(&self) -> Result<Vec<Debt>, StoreError> {
        self.postgres
            .run(&Place::NOWHERE, |connection| {
                visitor_debts::table
                    .order((visitor_debts::instance, visitor_debts::batch))
                    .select(Debt::as_select())
                    .load(connection)
            })
            .await
    }

    /// Strikes out what was paid.
    pub(super) async fn strike(&self, debts: Vec<Debt>) -> Result<(), StoreError> {
        self.postgres.run(&Place::NOWHERE, move |connection| strike(connection, &debts)).await
    }
}

fn strike(connection: &mut PgConnection, debts: &[Debt]) -> QueryResult<()> {
    for debt in debts {
        diesel::delete(visitor_debts::table.find((&debt.instance, debt.batch))).execute(connection)?;
    }
    Ok(())
}

fn to_count(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}
