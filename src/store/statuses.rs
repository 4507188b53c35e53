//! Changes of status, with the counters that belong to them.

use std::collections::BTreeMap;

use super::indexing::id_list;
use super::{Store, StoreError};
use crate::model::{DeadLetterId, Status, Timestamp};

statements! {
    const CHANGE = "update dead_letters set status = $2, status_at = $3 \
        where id in (select cast(value as bigint) from json_each(cast($1 as text))) and status = $4 returning facet_id";
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
            changed += write_on!(self, change(&ids, from, to, now));
        }
        Ok(changed)
    }
}

engines! {
    pub(in crate::store) async fn change(tx: &mut Connection, ids: &[i64], from: Status, to: Status, now: Timestamp) -> Result<u64, StoreError> {
        let since = (to != Status::Open).then_some(now.as_millis());
        let rows: Vec<(i64,)> =
            sqlx::query_as(CHANGE).bind(id_list(ids)).bind(to.code()).bind(since).bind(from.code()).fetch_all(&mut *tx).await?;
        let mut facets: BTreeMap<i64, i64> = BTreeMap::new();
        for (facet,) in &rows {
            *facets.entry(*facet).or_default() += 1;
        }
        for (facet, letters) in facets {
            count(tx, facet, from, -letters).await?;
            count(tx, facet, to, letters).await?;
        }
        Ok(rows.len() as u64)
    }

    /// Adds to a facet's counter of one status.
    async fn count(tx: &mut Connection, facet: i64, status: Status, letters: i64) -> Result<(), StoreError> {
        sqlx::query(COUNT).bind(facet).bind(i32::from(status.code())).bind(letters).execute(tx).await?;
        Ok(())
    }
}
