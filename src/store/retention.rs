//! What ends: in small steps, so that no writer waits.

use std::collections::{BTreeMap, HashMap};

use super::indexing::id_list;
use super::statuses::COUNT;
use super::usage::ROW_BYTES;
use super::{Store, StoreError};
use crate::model::{Status, Timestamp};

statements! {
    const ENDED = "select d.id from dead_letters d where d.status_at < $1 and d.status in (2, 3, 4, 5) \
        and not exists (select 1 from replay_items i join replays r on r.id = i.replay_id where i.dead_letter_id = d.id \
        and (r.state in (0, 1, 2, 3) or r.watch_until is not null)) order by d.status_at limit $2";
    const OLDEST_OF = "select id from dead_letters where status = $1 order by failed_at, id limit $2";
    const REMOVE = "delete from dead_letters where id in (select cast(value as bigint) from json_each(cast($1 as text))) \
        and status in (select cast(value as bigint) from json_each(cast($2 as text))) returning id, facet_id, status";
    const REMOVE_CUSTODY = "delete from custody where dead_letter_id in (select cast(value as bigint) from json_each(cast($1 as text))) \
        returning dead_letter_id, stack_trace_id, cast(length(body) as bigint)";
    const REMOVE_DISCARDS = "delete from discard_items where dead_letter_id in (select cast(value as bigint) from json_each(cast($1 as text)))";
    const RELEASE_BYTES = "update facets set bytes = bytes - $2 where id = $1";
    const RELEASE_FRAMES = "update stack_traces set uses = uses - $2 where id = $1";
    const REMOVE_FRAMES = "delete from stack_traces where id = $1 and uses <= 0";
    const BLOCKS_AROUND = "select id, first_id, last_id from search_blocks \
        where first_id <= $2 and first_id >= $1 - 10000 and last_id >= $1";
    const HOLDS_ANY = "select count(*) from (select 1 as one from dead_letters where id >= $1 and id <= $2 limit 1) d";
    const REMOVE_BLOCK = "delete from search_blocks where id = $1";
    const PRUNE_AUDIT = "delete from audit where id in (select id from audit where occurred_at < $1 order by occurred_at limit $2)";
}

/// Statuses after which nothing more happens, or, for `replayed`, nothing more was waited for.
const FINAL: &[Status] = &[Status::Replayed, Status::Resolved, Status::FailedAgain, Status::Discarded];

impl Store {
    /// Removes at most `limit` dead letters with a final status that was reached before `before`, with custody, and stack traces nobody needs any more. Answers how many.
    pub async fn prune_dead_letters(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let limit = i64::from(limit);
        let rows: Vec<(i64,)> = read!(self, |pool| sqlx::query_as(ENDED).bind(before.as_millis()).bind(limit).fetch_all(pool).await?)?;
        self.remove(rows, FINAL).await
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
            let rows: Vec<(i64,)> = read!(self, |pool| sqlx::query_as(OLDEST_OF).bind(status.code()).bind(left).fetch_all(pool).await?)?;
            removed += self.remove(rows, &[status]).await?;
        }
        Ok(removed)
    }
    /// Removes those that still have one of these statuses, in transactions of a few milliseconds.
    async fn remove(&self, rows: Vec<(i64,)>, statuses: &[Status]) -> Result<u64, StoreError> {
        let ids: Vec<i64> = rows.into_iter().map(|(id,)| id).collect();
        let statuses = id_list(&statuses.iter().map(|status| i64::from(status.code())).collect::<Vec<_>>());
        let mut removed = 0;
        for some in ids.chunks(STEP) {
            removed += write_on!(self, remove(some, &statuses));
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
    pub(in crate::store) async fn remove(tx: &mut Connection, ids: &[i64], statuses: &str) -> Result<u64, StoreError> {
        // Whoever removes the row also takes it out of the counters: an instance that does the same at the same time finds nothing.
        let gone: Vec<(i64, i64, i16)> = sqlx::query_as(REMOVE).bind(id_list(ids)).bind(statuses).fetch_all(&mut *tx).await?;
        let ids = id_list(&gone.iter().map(|(id, ..)| *id).collect::<Vec<_>>());
        let used: Vec<(i64, Option<i64>, i64)> = sqlx::query_as(REMOVE_CUSTODY).bind(&ids).fetch_all(&mut *tx).await?;
        sqlx::query(REMOVE_DISCARDS).bind(&ids).execute(&mut *tx).await?;
        let mut facets: BTreeMap<(i64, i16), i64> = BTreeMap::new();
        let mut frames: BTreeMap<i64, i64> = BTreeMap::new();
        for (_, facet, code) in &gone {
            *facets.entry((*facet, *code)).or_default() += 1;
        }
        let sizes: HashMap<i64, i64> = used.iter().map(|(id, _, bytes)| (*id, *bytes)).collect();
        let mut held: BTreeMap<i64, i64> = BTreeMap::new();
        for (id, facet, _) in &gone {
            *held.entry(*facet).or_default() += sizes.get(id).map_or(0, |bytes| ROW_BYTES + bytes);
        }
        for used in used.iter().filter_map(|(_, used, _)| *used) {
            *frames.entry(used).or_default() += 1;
        }
        for ((facet, code), letters) in facets {
            sqlx::query(COUNT).bind(facet).bind(i32::from(code)).bind(-letters).execute(&mut *tx).await?;
        }
        for (facet, bytes) in held {
            sqlx::query(RELEASE_BYTES).bind(facet).bind(bytes).execute(&mut *tx).await?;
        }
        for (id, uses) in frames {
            sqlx::query(RELEASE_FRAMES).bind(id).bind(uses).execute(&mut *tx).await?;
            sqlx::query(REMOVE_FRAMES).bind(id).execute(&mut *tx).await?;
        }
        let mut places: Vec<i64> = gone.iter().map(|(id, ..)| id / NEIGHBOURS).collect();
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
