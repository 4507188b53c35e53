//! Many rows at once: statements of several rows on SQLite, arrays on PostgreSQL.

use crate::model::trace::{NotedSpan, TraceLink};
use crate::store::StoreError;
use crate::store::indexing::encode::LetterRow;

pub(in crate::store) mod postgres;
pub(in crate::store) mod sqlite;

/// A dead letter with custody, ready to be inserted.
pub(in crate::store) struct Row {
    pub(in crate::store) id: i64,
    pub(in crate::store) facet_id: i64,
    pub(in crate::store) stack_trace_id: Option<i64>,
    pub(in crate::store) draft: LetterRow,
}

/// A search block, ready to be inserted.
pub(in crate::store) struct Block {
    pub(in crate::store) first_id: i64,
    pub(in crate::store) last_id: i64,
    pub(in crate::store) letters: i64,
    pub(in crate::store) oldest: i64,
    pub(in crate::store) newest: i64,
    pub(in crate::store) signature: Vec<u8>,
}

/// An item of a replay, ready to be inserted.
pub(in crate::store) struct Item {
    pub(in crate::store) position: i64,
    pub(in crate::store) dead_letter_id: i64,
    pub(in crate::store) result: i16,
    pub(in crate::store) reason: Option<&'static str>,
    pub(in crate::store) route: i32,
    pub(in crate::store) message_id: [u8; 16],
    pub(in crate::store) attempt: i32,
    pub(in crate::store) key_hash: Option<i64>,
}

/// What both connections can do, each in its own way.
pub(in crate::store) trait Bulk {
    /// Takes ids for new dead letters, ascending.
    async fn allocate(&mut self, letters: usize) -> Result<Vec<i64>, StoreError>;
    /// Inserts dead letters with custody.
    async fn insert_letters(&mut self, rows: Vec<Row>, indexed_at: i64) -> Result<(), StoreError>;
    /// Inserts search blocks.
    async fn insert_blocks(&mut self, blocks: Vec<Block>) -> Result<(), StoreError>;
    /// Inserts items of a replay.
    async fn insert_items(&mut self, replay: i64, items: Vec<Item>) -> Result<(), StoreError>;
    /// Inserts noted spans; those that are there already stay as they are.
    async fn insert_noted_spans(&mut self, chunk: i64, spans: Vec<NotedSpan>) -> Result<(), StoreError>;
    /// Inserts links between traces; those that are there already stay as they are.
    async fn insert_span_links(&mut self, chunk: i64, links: Vec<TraceLink>) -> Result<(), StoreError>;
}
