//! What ends: in small steps, so that no writer waits.

use std::collections::BTreeMap;

use super::indexing::id_list;
use super::statuses::COUNT;
use super::{Store, StoreError};
use crate::model::{Status, Timestamp};

statements! {
    const ENDED = "select d.id, d.facet_id, d.status, c.stack_trace_id from dead_letters d left join custody c on c.dead_letter_id = d.id \
        where d.status_at < $1 and d.status in (2, 3, 4, 5) order by d.status_at limit $2";
    const OLDEST_OF = "select d.id, d.facet_id, d.status, c.stack_trace_id from dead_letters d left join custody c on c.dead_letter_id = d.id \
        where d.status = $1 order by d.failed_at, d.id limit $2";
    const REMOVE_CUSTODY = "delete from custody where dead_letter_id in (select cast(value as bigint) from json_each(cast($1 as text)))";
    const REMOVE = "delete from dead_letters where id in (select cast(value as bigint) from json_each(cast($1 as text))) returning id";
    const RELEASE_FRAMES = "update stack_traces set uses = uses - $2 where id = $1";
    const REMOVE_FRAMES = "delete from stack_traces where id = $1 and uses <= 0";
    const BLOCKS_AROUND = "select id, first_id, last_id from search_blocks \
        where first_id <= $2 and first_id >= $1 - 10000 and last_id >= $1";
    const HOLDS_ANY = "select count(*) from (select 1 as one from dead_letters where id >= $1 and id <= $2 limit 1) d";
    const REMOVE_BLOCK = "delete from search_blocks where id = $1";
    const PRUNE_AUDIT = "delete from audit where id in (select id from audit where occurred_at < $1 order by occurred_at limit $2)";
    const OLD_ARRIVALS = "select facet_id, minute from arrivals where minute < $1 order by minute limit $2";
    const REMOVE_ARRIVALS = "delete from arrivals where facet_id = $1 and minute = $2";
}

/// Id, facet, status, frames.
type Ended = (i64, i64, i16, Option<i64>);

impl Store {
    /// Removes at most `limit` dead letters with a final status that was reached before `before`, with custody, and stack traces nobody needs any more. Answers how many.
    pub async fn prune_dead_letters(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let limit = i64::from(limit);
        let rows: Vec<Ended> = read!(self, |pool| sqlx::query_as(ENDED).bind(before.as_millis()).bind(limit).fetch_all(pool).await?)?;
        self.remove(rows).await
    }
    /// Removes at most `limit` entries of the audit from before `before`.
    pub async fn prune_audit(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let removed = write_one!(self, |pool| sqlx::query(PRUNE_AUDIT)
            .bind(before.as_millis())
            .bind(i64::from(limit))
            .execute(pool)
            .await
            .map(|done| done.rows_affected()))?;
        Ok(removed)
    }
    /// Removes at most `limit` resolved or discarded dead letters, oldest first, when the store is full.
    pub async fn prune_for_space(&self, limit: u32) -> Result<u64, StoreError> {
        let mut removed = 0;
        for status in [Status::Resolved, Status::Discarded] {
            let left = i64::from(limit).saturating_sub_unsigned(removed);
            let rows: Vec<Ended> = read!(self, |pool| sqlx::query_as(OLDEST_OF).bind(status.code()).bind(left).fetch_all(pool).await?)?;
            removed += self.remove(rows).await?;
        }
        Ok(removed)
    }
    /// Removes at most `limit` minutes of arrivals from before `before`.
    pub async fn prune_arrivals(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let (before, limit) = (before.as_millis().div_euclid(60_000), i64::from(limit));
        let rows: Vec<(i64, i64)> = read!(self, |pool| sqlx::query_as(OLD_ARRIVALS).bind(before).bind(limit).fetch_all(pool).await?)?;
        in_transaction!(self, |tx| {
            for (facet, minute) in &rows {
                sqlx::query(REMOVE_ARRIVALS).bind(facet).bind(minute).execute(&mut *tx).await?;
            }
        });
        Ok(rows.len() as u64)
    }

    /// Removes dead letters in transactions of a few milliseconds.
    async fn remove(&self, rows: Vec<Ended>) -> Result<u64, StoreError> {
        let mut removed = 0;
        for some in rows.chunks(STEP) {
            removed += write_on!(self, remove(some));
        }
        if removed > 0 {
            self.size_changed();
        }
        Ok(removed)
    }
}

/// Dead letters per transaction.
const STEP: usize = 200;
/// Ids that are looked up together.
const NEIGHBOURS: i64 = 64;

engines! {
    pub(in crate::store) async fn remove(tx: &mut Connection, rows: &[Ended]) -> Result<u64, StoreError> {
        let ids: Vec<i64> = rows.iter().map(|row| row.0).collect();
        // Whoever removes the row also takes it out of the counters: an instance that does the same at the same time finds nothing.
        let gone: std::collections::HashSet<i64> =
            sqlx::query_as(REMOVE).bind(id_list(&ids)).fetch_all(&mut *tx).await?.into_iter().map(|(id,): (i64,)| id).collect();
        sqlx::query(REMOVE_CUSTODY).bind(id_list(&ids)).execute(&mut *tx).await?;
        let mut facets: BTreeMap<(i64, i16), i64> = BTreeMap::new();
        let mut frames: BTreeMap<i64, i64> = BTreeMap::new();
        for (_, facet, code, used) in rows.iter().filter(|row| gone.contains(&row.0)) {
            *facets.entry((*facet, *code)).or_default() += 1;
            if let Some(used) = used {
                *frames.entry(*used).or_default() += 1;
            }
        }
        for ((facet, code), letters) in facets {
            sqlx::query(COUNT).bind(facet).bind(i32::from(code)).bind(-letters).execute(&mut *tx).await?;
        }
        for (id, uses) in frames {
            sqlx::query(RELEASE_FRAMES).bind(id).bind(uses).execute(&mut *tx).await?;
            sqlx::query(REMOVE_FRAMES).bind(id).execute(&mut *tx).await?;
        }
        let mut places: Vec<i64> = gone.iter().map(|id| id / NEIGHBOURS).collect();
        places.sort_unstable();
        places.dedup();
        for place in places {
            remove_blocks(tx, place * NEIGHBOURS, place * NEIGHBOURS + NEIGHBOURS - 1).await?;
        }
        Ok(gone.len() as u64)
    }

    /// Search blocks without any dead letter left.
    async fn remove_blocks(tx: &mut Connection, first: i64, last: i64) -> Result<(), StoreError> {
        let blocks: Vec<(i64, i64, i64)> = sqlx::query_as(BLOCKS_AROUND).bind(first).bind(last).fetch_all(&mut *tx).await?;
        for (id, first, last) in blocks {
            let (any,): (i64,) = sqlx::query_as(HOLDS_ANY).bind(first).bind(last).fetch_one(&mut *tx).await?;
            if any == 0 {
                sqlx::query(REMOVE_BLOCK).bind(id).execute(&mut *tx).await?;
            }
        }
        Ok(())
    }
}
