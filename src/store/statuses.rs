//! Changes of status, with the counters that belong to them.

use std::collections::BTreeMap;

use super::departures::AddDepartures as _;
use super::indexing::id_list;
use super::{Store, StoreError};
use crate::model::{DeadLetterId, Status, Timestamp};

statements! {
    // `+`: by the ids. By the index of statuses SQLite would pass by everything that stands at this one.
    const CHANGE = "update dead_letters set status = $2, status_at = $3 \
        where id in (select cast(value as bigint) from json_each(cast($1 as text))) and +status = $4 returning id, facet_id";
    const COUNT = "update facets set \
        open = open + case when $2 = 0 then $3 else 0 end, replaying = replaying + case when $2 = 1 then $3 else 0 end, \
        replayed = replayed + case when $2 = 2 then $3 else 0 end, resolved = resolved + case when $2 = 3 then $3 else 0 end, \
        failed_again = failed_again + case when $2 = 4 then $3 else 0 end, discarded = discarded + case when $2 = 5 then $3 else 0 end \
        where id = $1";
}

/// Dead letters per transaction.
const STEP: usize = 1_000;

impl Store {
    /// Moves dead letters from one status to another; those that stand elsewhere are left alone. Answers how many moved.
    pub async fn change_status(&self, ids: &[DeadLetterId], from: Status, to: Status, now: Timestamp) -> Result<u64, StoreError> {
        let mut changed = 0;
        for some in ids.chunks(STEP) {
            let ids: Vec<i64> = some.iter().map(|id| id.0).collect();
            changed += write_on!(self, change(&ids, from, to, now)).len() as u64;
        }
        Ok(changed)
    }
}

/// Moves dead letters inside a transaction.
pub(in crate::store) trait ChangeStatus {
    /// Moves those that stand at `from`; answers their ids.
    async fn change_status(&mut self, ids: &[i64], from: Status, to: Status, now: Timestamp) -> Result<Vec<i64>, StoreError>;
}

impl ChangeStatus for sqlx::SqliteConnection {
    async fn change_status(&mut self, ids: &[i64], from: Status, to: Status, now: Timestamp) -> Result<Vec<i64>, StoreError> {
        on_sqlite::change(self, ids, from, to, now).await
    }
}

impl ChangeStatus for sqlx::PgConnection {
    async fn change_status(&mut self, ids: &[i64], from: Status, to: Status, now: Timestamp) -> Result<Vec<i64>, StoreError> {
        on_postgres::change(self, ids, from, to, now).await
    }
}

engines! {
    /// Answers the ids of those that moved.
    pub(in crate::store) async fn change(tx: &mut Connection, ids: &[i64], from: Status, to: Status, now: Timestamp) -> Result<Vec<i64>, StoreError> {
        // What is on its way has no status that ends: only those count for retention.
        let since = (!matches!(to, Status::Open | Status::Replaying)).then_some(now.as_millis());
        let rows: Vec<(i64, i64)> =
            sqlx::query_as(CHANGE).bind(id_list(ids)).bind(to.code()).bind(since).bind(from.code()).fetch_all(&mut *tx).await?;
        let mut facets: BTreeMap<i64, i64> = BTreeMap::new();
        for (_, facet) in &rows {
            *facets.entry(*facet).or_default() += 1;
        }
        for (facet, letters) in &facets {
            count(tx, *facet, from, -letters).await?;
            count(tx, *facet, to, *letters).await?;
        }
        tx.add_departures(&facets, from, to, now).await?;
        Ok(rows.into_iter().map(|(id, _)| id).collect())
    }

    /// Adds to a facet's counter of one status.
    async fn count(tx: &mut Connection, facet: i64, status: Status, letters: i64) -> Result<(), StoreError> {
        sqlx::query(COUNT).bind(facet).bind(i32::from(status.code())).bind(letters).execute(tx).await?;
        Ok(())
    }
}
