//! Statements of several rows: the texts of a few sizes are made once, so that the engine's cache knows them.

use std::sync::LazyLock;

use sqlx::SqliteConnection;

use super::{Block, Bulk, Item, Row};
use crate::model::trace::{NotedSpan, TraceLink};
use crate::store::StoreError;

const ALLOCATE: &str = "update installation set next_dead_letter_id = next_dead_letter_id + $1 where id = 1 returning next_dead_letter_id";
const BLOCK: &str = "insert into search_blocks (first_id, last_id, letters, oldest, newest, signature) values ($1, $2, $3, $4, $5, $6)";
const LETTERS_HEAD: &str = "insert into dead_letters (id, facet_id, status, failed_at, partition_id, record_offset, origin_partition, \
    origin_offset, origin_timestamp, record_timestamp, timestamp_kind, indexed_at, failed_at_source, backlog, attempts, trace_id, \
    message, key_prefix, key_size, value_size, custody_problem) values ";
const CUSTODY_HEAD: &str = "insert into custody (dead_letter_id, stack_trace_id, body) values ";
const ITEMS_HEAD: &str =
    "insert into replay_items (replay_id, position, dead_letter_id, result, reason, route, message_id, attempt, key_hash) values ";
const NOTED_HEAD: &str = "insert or ignore into noted_spans (trace_id, span_id, parent_id, chunk_id, started_at, duration_us, operation, \
    failed, service, name, topic, partition, record_offset, consumer_group, cluster_id, broker) values ";
const LINKS_HEAD: &str = "insert or ignore into span_links (from_trace, from_span, to_trace, to_span, chunk_id) values ";
const LETTERS_COLUMNS: usize = 21;
const CUSTODY_COLUMNS: usize = 3;
const ITEMS_COLUMNS: usize = 9;
const NOTED_COLUMNS: usize = 16;
const LINKS_COLUMNS: usize = 5;

/// Rows per statement, largest first.
const SIZES: [usize; 3] = [64, 8, 1];

static LETTERS: LazyLock<[&'static str; 3]> = LazyLock::new(|| SIZES.map(|rows| text(LETTERS_HEAD, LETTERS_COLUMNS, rows)));
static CUSTODY: LazyLock<[&'static str; 3]> = LazyLock::new(|| SIZES.map(|rows| text(CUSTODY_HEAD, CUSTODY_COLUMNS, rows)));
static ITEMS: LazyLock<[&'static str; 3]> = LazyLock::new(|| SIZES.map(|rows| text(ITEMS_HEAD, ITEMS_COLUMNS, rows)));
static NOTED: LazyLock<[&'static str; 3]> = LazyLock::new(|| SIZES.map(|rows| text(NOTED_HEAD, NOTED_COLUMNS, rows)));
static LINKS: LazyLock<[&'static str; 3]> = LazyLock::new(|| SIZES.map(|rows| text(LINKS_HEAD, LINKS_COLUMNS, rows)));

fn text(head: &str, columns: usize, rows: usize) -> &'static str {
    let row = format!("({})", vec!["?"; columns].join(", "));
    String::leak(format!("{head}{}", vec![row.as_str(); rows].join(", ")))
}

/// Statements that only this engine prepares.
pub(in crate::store) fn statements() -> Vec<(&'static str, &'static str)> {
    let mut all = vec![("allocate", ALLOCATE), ("block", BLOCK)];
    let texts = [("letters", &LETTERS), ("custody", &CUSTODY), ("items", &ITEMS), ("noted spans", &NOTED), ("span links", &LINKS)];
    for (name, texts) in texts {
        all.extend(texts.iter().map(|text| (name, *text)));
    }
    all
}

/// Which of the sizes fits so many rows.
fn fitting(rows: usize) -> usize {
    SIZES.iter().position(|size| *size <= rows).unwrap_or(SIZES.len() - 1)
}

impl Bulk for SqliteConnection {
    async fn allocate(&mut self, letters: usize) -> Result<Vec<i64>, StoreError> {
        let letters = i64::try_from(letters).unwrap_or(i64::MAX);
        let (next,): (i64,) = sqlx::query_as(ALLOCATE).bind(letters).fetch_one(self).await?;
        Ok((next - letters..next).collect())
    }

    async fn insert_letters(&mut self, rows: Vec<Row>, indexed_at: i64) -> Result<(), StoreError> {
        let mut rows = rows;
        let mut rest = rows.as_mut_slice();
        while !rest.is_empty() {
            let size = fitting(rest.len());
            let (some, others) = rest.split_at_mut(SIZES[size]);
            rest = others;
            let mut letters = sqlx::query(LETTERS[size]);
            let mut custody = sqlx::query(CUSTODY[size]);
            for row in some {
                let draft = &mut row.draft;
                letters = letters
                    .bind(row.id)
                    .bind(row.facet_id)
                    .bind(0_i16)
                    .bind(draft.failed_at)
                    .bind(draft.partition_id)
                    .bind(draft.record_offset)
                    .bind(draft.origin_partition)
                    .bind(draft.origin_offset)
                    .bind(draft.origin_timestamp)
                    .bind(draft.record_timestamp)
                    .bind(draft.timestamp_kind)
                    .bind(indexed_at)
                    .bind(draft.failed_at_source)
                    .bind(draft.backlog)
                    .bind(draft.attempts)
                    .bind(draft.trace_id.map(|id| id.to_vec()))
                    .bind(draft.message.take())
                    .bind(draft.key_prefix.as_ref().map(|key| key.to_vec()))
                    .bind(draft.key_size)
                    .bind(draft.value_size)
                    .bind(draft.custody_problem.take());
                custody = custody.bind(row.id).bind(row.stack_trace_id).bind(std::mem::take(&mut draft.body));
            }
            letters.execute(&mut *self).await?;
            custody.execute(&mut *self).await?;
        }
        Ok(())
    }

    async fn insert_blocks(&mut self, blocks: Vec<Block>) -> Result<(), StoreError> {
        for block in blocks {
            sqlx::query(BLOCK)
                .bind(block.first_id)
                .bind(block.last_id)
                .bind(block.letters)
                .bind(block.oldest)
                .bind(block.newest)
                .bind(block.signature)
                .execute(&mut *self)
                .await?;
        }
        Ok(())
    }

    async fn insert_items(&mut self, replay: i64, items: Vec<Item>) -> Result<(), StoreError> {
        let mut rest = items.as_slice();
        while !rest.is_empty() {
            let size = fitting(rest.len());
            let (some, others) = rest.split_at(SIZES[size]);
            rest = others;
            let mut query = sqlx::query(ITEMS[size]);
            for item in some {
                query = query
                    .bind(replay)
                    .bind(item.position)
                    .bind(item.dead_letter_id)
                    .bind(item.result)
                    .bind(item.reason)
                    .bind(item.route)
                    .bind(item.message_id.to_vec())
                    .bind(item.attempt)
                    .bind(item.key_hash);
            }
            query.execute(&mut *self).await?;
        }
        Ok(())
    }

    async fn insert_noted_spans(&mut self, chunk: i64, spans: Vec<NotedSpan>) -> Result<(), StoreError> {
        let mut rest = spans.as_slice();
        while !rest.is_empty() {
            let size = fitting(rest.len());
            let (some, others) = rest.split_at(SIZES[size]);
            rest = others;
            let mut query = sqlx::query(NOTED[size]);
            for span in some {
                query = query
                    .bind(span.trace_id.0.as_slice())
                    .bind(span.span_id.0.as_slice())
                    .bind(span.parent.as_ref().map(|parent| parent.0.as_slice()))
                    .bind(chunk)
                    .bind(span.started_at.as_millis())
                    .bind(span.duration_us)
                    .bind(span.operation.code())
                    .bind(span.failed)
                    .bind(&span.service)
                    .bind(&span.name)
                    .bind(span.topic.as_deref().unwrap_or_default())
                    .bind(span.partition)
                    .bind(span.offset)
                    .bind(span.consumer_group.as_deref().unwrap_or_default())
                    .bind(span.cluster_id.as_deref().unwrap_or_default())
                    .bind(span.broker.as_deref().unwrap_or_default());
            }
            query.execute(&mut *self).await?;
        }
        Ok(())
    }

    async fn insert_span_links(&mut self, chunk: i64, links: Vec<TraceLink>) -> Result<(), StoreError> {
        let mut rest = links.as_slice();
        while !rest.is_empty() {
            let size = fitting(rest.len());
            let (some, others) = rest.split_at(SIZES[size]);
            rest = others;
            let mut query = sqlx::query(LINKS[size]);
            for TraceLink { from, to } in some {
                query =
                    query.bind(from.0.0.as_slice()).bind(from.1.0.as_slice()).bind(to.0.0.as_slice()).bind(to.1.0.as_slice()).bind(chunk);
            }
            query.execute(&mut *self).await?;
        }
        Ok(())
    }
}
