//! Exactly-once indexing: rows and the next position in one transaction, guarded by a compare-and-set on the expected position.
//!
//! Backlog. A partition row keeps `backlog_below`: offsets below it were there before we first read. It is the end offset seen at
//! the bus's first read, or when an existing topic became a dead-letter topic; 0 for a topic or partition that appears between two
//! metadata reads. The indexer asks with [`PartitionPosition::backlog_below`] and marks each dead letter.

use std::collections::HashMap;

use super::dialect::Db;
use super::{Store, StoreError};
use crate::model::dead_letter::NewDeadLetter;
use crate::model::{BusId, DeadLetterId, Timestamp};

pub(super) mod encode;
pub(super) mod write;

pub use encode::EncodedBatch;
use write::{Attempt, Ground};

statements! {
    const START = "update partitions set next = $2, backlog_below = $3, caught_up_at = $4 where id = $1 and next is null";
    const POSITIONS = "select id, next, backlog_below, caught_up_at from partitions where next is not null \
        and id in (select cast(value as bigint) from json_each(cast($1 as text))) order by id";
    const CAUGHT_UP = "update partitions set caught_up_at = $2 where (caught_up_at is null or caught_up_at < $2) \
        and id in (select cast(value as bigint) from json_each(cast($1 as text)))";
    const GROUNDS = "select p.id, g.bus_id, g.id, g.topic from partitions p join topic_generations g on g.id = p.generation_id \
        where p.id in (select cast(value as bigint) from json_each(cast($1 as text)))";
    const NEWEST = "select id from dead_letters order by id desc limit 1";
}

/// Where indexing of a partition stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionPosition {
    /// Our id of the partition.
    pub partition_id: i64,
    /// Next offset to read.
    pub next: i64,
    /// Offsets below were there before we first read the topic.
    pub backlog_below: i64,
    /// What is still to be read, and is no backlog, came to the topic after this moment; `None` where nobody knows.
    pub caught_up_at: Option<Timestamp>,
}

/// A partition's advance in a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advance {
    /// Our id of the partition.
    pub partition_id: i64,
    /// Where it must stand for the batch to count.
    pub expected: i64,
    /// Where it stands afterwards.
    pub next: i64,
    /// The missing range that the bus removed before we read it, when there is one: from, to (exclusive).
    pub gap: Option<(i64, i64)>,
}

/// What is written together.
#[derive(Debug, Clone)]
pub struct IndexBatch {
    /// Bus.
    pub bus: BusId,
    /// Positions.
    pub advances: Vec<Advance>,
    /// Dead letters with the id of their partition, in reading order.
    pub letters: Vec<(i64, NewDeadLetter)>,
}

/// How a batch ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IndexOutcome {
    /// Written, with how many dead letters.
    Written(u64),
    /// Another instance has moved these partitions on; nothing was written.
    Superseded(Vec<i64>),
}

impl Store {
    /// Starts indexing of partitions that have no position yet (at `start`, with `backlog_below`), and answers where all stand now.
    pub async fn start_positions(&self, starts: &[PartitionPosition]) -> Result<Vec<PartitionPosition>, StoreError> {
        in_transaction!(self, |tx| {
            for start in starts {
                let query = sqlx::query(START).bind(start.partition_id).bind(start.next).bind(start.backlog_below);
                let query = query.bind(start.caught_up_at.map(Timestamp::as_millis));
                query.execute(&mut *tx).await?;
            }
        });
        let ids: Vec<i64> = starts.iter().map(|start| start.partition_id).collect();
        self.list_positions(&ids).await
    }

    /// Where partitions stand, by our ids; those that are not indexed are left out.
    pub async fn list_positions(&self, partition_ids: &[i64]) -> Result<Vec<PartitionPosition>, StoreError> {
        let ids = id_list(partition_ids);
        let rows: Vec<(i64, i64, i64, Option<i64>)> = read!(self, |pool| sqlx::query_as(POSITIONS).bind(&ids).fetch_all(pool).await?)?;
        let position = |(partition_id, next, backlog_below, caught_up_at): (i64, i64, i64, Option<i64>)| PartitionPosition {
            partition_id,
            next,
            backlog_below,
            caught_up_at: caught_up_at.map(Timestamp::from_millis),
        };
        Ok(rows.into_iter().map(position).collect())
    }

    /// Says that these partitions were read to their ends at this time, by our ids: what comes later has arrived later.
    pub async fn record_caught_up(&self, partition_ids: &[i64], at: Timestamp) -> Result<(), StoreError> {
        touched!(self, sqlx::query(CAUGHT_UP).bind(id_list(partition_ids)).bind(at.as_millis()));
        Ok(())
    }

    /// Writes dead letters, gaps and positions in one transaction, or nothing. Failpoints `indexer.before_commit` and
    /// `indexer.after_commit` lie around the commit.
    pub async fn record_index_batch(&self, batch: IndexBatch, now: Timestamp) -> Result<IndexOutcome, StoreError> {
        let encoded = self.encode_index_batch(batch).await?;
        self.record_encoded_batch(encoded, now).await
    }

    /// The first half of [`Self::record_index_batch`]: all that needs no transaction, so that one batch can be encoded while the one
    /// before is being written.
    pub async fn encode_index_batch(&self, batch: IndexBatch) -> Result<EncodedBatch, StoreError> {
        let partitions: Vec<i64> = batch.advances.iter().map(|advance| advance.partition_id).collect();
        if let Some((stray, _)) = batch.letters.iter().find(|(partition, _)| !partitions.contains(partition)) {
            return Err(StoreError::Broken(format!("a dead letter of partition {stray} came without an advance of that partition")));
        }
        let grounds = self.grounds(&partitions).await?;
        encode::encode(batch, grounds.into_iter().map(|(partition, ground)| (partition, ground.1)).collect()).await
    }

    /// The second half of [`Self::record_index_batch`].
    pub async fn record_encoded_batch(&self, mut batch: EncodedBatch, now: Timestamp) -> Result<IndexOutcome, StoreError> {
        self.check_fullness().await?;
        let partitions: Vec<i64> = batch.advances.iter().map(|advance| advance.partition_id).collect();
        let grounds = self.grounds(&partitions).await?;
        let letters = batch.letters() as u64;
        for _ in 0..3 {
            match self.try_batch(&mut batch, &grounds, now).await? {
                Attempt::Written(ids) => {
                    self.inner.caches.groups.extend(ids.groups);
                    self.inner.caches.facets.extend(ids.facets);
                    self.inner.caches.stack_traces.extend(ids.frames);
                    return Ok(IndexOutcome::Written(letters));
                }
                Attempt::Superseded(partitions) => return Ok(IndexOutcome::Superseded(partitions)),
                Attempt::Stale => self.inner.caches.clear_ids(),
            }
        }
        Err(StoreError::Unavailable("rows that a batch refers to were removed again and again".to_owned()))
    }

    /// The newest dead letter's id, for live pages.
    pub async fn newest_dead_letter(&self) -> Result<Option<DeadLetterId>, StoreError> {
        let row: Option<(i64,)> = read!(self, |pool| sqlx::query_as(NEWEST).fetch_optional(pool).await?)?;
        Ok(row.map(|(id,)| DeadLetterId(id)))
    }

    async fn try_batch(&self, batch: &mut EncodedBatch, grounds: &HashMap<i64, Ground>, now: Timestamp) -> Result<Attempt, StoreError> {
        let caches = &self.inner.caches;
        match &self.inner.db {
            Db::Sqlite { write: pool, .. } => {
                let mut tx = self.inner.begin(pool, "indexing").await?;
                let attempt = write::on_sqlite::write(&mut tx, batch, grounds, caches, now).await?;
                if matches!(attempt, Attempt::Written(_)) {
                    write::before_commit();
                    tx.commit().await?;
                    write::after_commit();
                } else {
                    tx.rollback().await?;
                }
                Ok(attempt)
            }
            Db::Postgres(pool) => {
                let mut tx = pool.begin().await?;
                let attempt = write::on_postgres::write(&mut tx, batch, grounds, caches, now).await?;
                if matches!(attempt, Attempt::Written(_)) {
                    write::before_commit();
                    tx.commit().await?;
                    write::after_commit();
                } else {
                    tx.rollback().await?;
                }
                Ok(attempt)
            }
        }
    }

    /// Bus, generation and topic of partitions; these never change.
    async fn grounds(&self, partitions: &[i64]) -> Result<HashMap<i64, Ground>, StoreError> {
        let cache = &self.inner.caches.partitions;
        let mut grounds: HashMap<i64, Ground> = partitions.iter().filter_map(|id| Some((*id, cache.get(id)?))).collect();
        let missing: Vec<i64> = partitions.iter().copied().filter(|id| !grounds.contains_key(id)).collect();
        if !missing.is_empty() {
            let ids = id_list(&missing);
            let rows: Vec<(i64, i64, i64, String)> = read!(self, |pool| sqlx::query_as(GROUNDS).bind(&ids).fetch_all(pool).await?)?;
            let found = rows.into_iter().map(|(id, bus, generation, topic)| (id, (bus, generation, topic)));
            grounds.extend(found.clone());
            cache.extend(found);
        }
        Ok(grounds)
    }
}

/// A list for `json_each`.
pub(super) fn id_list(ids: &[i64]) -> String {
    serde_json::to_string(ids).expect("a list of numbers is JSON")
}

/// A list for `json_each`.
pub(super) fn text_list(texts: &[&str]) -> String {
    serde_json::to_string(texts).expect("a list of strings is JSON")
}
