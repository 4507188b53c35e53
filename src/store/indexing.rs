//! Exactly-once indexing: rows and the next position in one transaction, guarded by a compare-and-set on the expected position.
//!
//! Backlog. A partition row keeps `backlog_below`: offsets below it were there before we first read. It is the end offset seen at
//! the bus's first read, or when an existing topic became a dead-letter topic; 0 for a topic or partition that appears between two
//! metadata reads. The indexer asks with [`PartitionPosition::backlog_below`] and marks each dead letter.

use super::{Store, StoreError};
use crate::model::dead_letter::NewDeadLetter;
use crate::model::{BusId, DeadLetterId, Timestamp};

/// Where indexing of a partition stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionPosition {
    /// Our id of the partition.
    pub partition_id: i64,
    /// Next offset to read.
    pub next: i64,
    /// Offsets below were there before we first read the topic.
    pub backlog_below: i64,
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
    pub async fn start_positions(&self, _starts: &[PartitionPosition]) -> Result<Vec<PartitionPosition>, StoreError> {
        unimplemented!()
    }
    /// Where partitions stand, by our ids.
    pub async fn list_positions(&self, _partition_ids: &[i64]) -> Result<Vec<PartitionPosition>, StoreError> {
        unimplemented!()
    }
    /// Writes dead letters, gaps and positions in one transaction, or nothing. Failpoints `indexer.before_commit` and
    /// `indexer.after_commit` lie around the commit.
    pub async fn record_index_batch(&self, _batch: IndexBatch, _now: Timestamp) -> Result<IndexOutcome, StoreError> {
        unimplemented!()
    }
    /// The newest dead letter's id, for live pages.
    pub async fn newest_dead_letter(&self) -> Result<Option<DeadLetterId>, StoreError> {
        unimplemented!()
    }
}
