//! Arrays: one statement and one round trip for any number of rows.

use sqlx::PgConnection;

use super::{Block, Bulk, Item, Row};
use crate::model::trace::{NotedSpan, TraceLink};
use crate::store::StoreError;

const ALLOCATE: &str = "select nextval('dead_letter_ids') from generate_series(1, $1)";
const LETTERS: &str = "insert into dead_letters (id, facet_id, status, failed_at, partition_id, record_offset, origin_partition, \
    origin_offset, origin_timestamp, record_timestamp, timestamp_kind, indexed_at, failed_at_source, backlog, attempts, trace_id, \
    message, key_prefix, key_size, value_size, custody_problem) \
    select id, facet_id, 0, failed_at, partition_id, record_offset, origin_partition, \
    origin_offset, origin_timestamp, record_timestamp, timestamp_kind, $11, failed_at_source, backlog, attempts, trace_id, \
    message, key_prefix, key_size, value_size, custody_problem \
    from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::int[], $7::bigint[], $8::bigint[], \
    $9::bigint[], $10::smallint[], $12::smallint[], $13::boolean[], $14::int[], $15::bytea[], $16::bytea[], $17::bytea[], \
    $18::bigint[], $19::bigint[], $20::text[]) \
    as r(id, facet_id, failed_at, partition_id, record_offset, origin_partition, origin_offset, origin_timestamp, \
    record_timestamp, timestamp_kind, failed_at_source, backlog, attempts, trace_id, message, key_prefix, key_size, value_size, \
    custody_problem)";
const CUSTODY: &str = "insert into custody (dead_letter_id, stack_trace_id, body) \
    select * from unnest($1::bigint[], $2::bigint[], $3::bytea[])";
const BLOCKS: &str = "insert into search_blocks (first_id, last_id, letters, oldest, newest, signature) \
    select * from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bytea[])";
const ITEMS: &str = "insert into replay_items (replay_id, position, dead_letter_id, result, reason, route, message_id, attempt, key_hash) \
    select cast($1 as bigint), r.* from unnest($2::bigint[], $3::bigint[], $4::smallint[], $5::text[], $6::int[], $7::bytea[], $8::int[], $9::bigint[]) as r";
const NOTED: &str = "insert into noted_spans (chunk_id, trace_id, span_id, parent_id, started_at, duration_us, operation, failed, service, \
    name, topic, partition, record_offset, consumer_group, cluster_id, broker) select cast($1 as bigint), r.* from unnest($2::bytea[], $3::bytea[], $4::bytea[], \
    $5::bigint[], $6::bigint[], $7::smallint[], $8::boolean[], $9::text[], $10::text[], $11::text[], $12::int[], $13::bigint[], \
    $14::text[], $15::text[], $16::text[]) as r on conflict do nothing";
const LINKS: &str = "insert into span_links (chunk_id, from_trace, from_span, to_trace, to_span) select cast($1 as bigint), r.* \
    from unnest($2::bytea[], $3::bytea[], $4::bytea[], $5::bytea[]) as r on conflict do nothing";

/// Statements that only this engine prepares.
pub(in crate::store) fn statements() -> Vec<(&'static str, &'static str)> {
    vec![
        ("allocate", ALLOCATE),
        ("letters", LETTERS),
        ("custody", CUSTODY),
        ("blocks", BLOCKS),
        ("items", ITEMS),
        ("noted spans", NOTED),
        ("span links", LINKS),
    ]
}

macro_rules! column {
    ($rows:expr, |$row:ident| $value:expr) => {
        $rows.iter().map(|$row| $value).collect::<Vec<_>>()
    };
}

impl Bulk for PgConnection {
    async fn allocate(&mut self, letters: usize) -> Result<Vec<i64>, StoreError> {
        let letters = i32::try_from(letters).unwrap_or(i32::MAX);
        let ids: Vec<(i64,)> = sqlx::query_as(ALLOCATE).bind(letters).fetch_all(self).await?;
        Ok(ids.into_iter().map(|(id,)| id).collect())
    }

    async fn insert_letters(&mut self, rows: Vec<Row>, indexed_at: i64) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        let ids = column!(rows, |row| row.id);
        sqlx::query(LETTERS)
            .bind(&ids)
            .bind(column!(rows, |row| row.facet_id))
            .bind(column!(rows, |row| row.draft.failed_at))
            .bind(column!(rows, |row| row.draft.partition_id))
            .bind(column!(rows, |row| row.draft.record_offset))
            .bind(column!(rows, |row| row.draft.origin_partition))
            .bind(column!(rows, |row| row.draft.origin_offset))
            .bind(column!(rows, |row| row.draft.origin_timestamp))
            .bind(column!(rows, |row| row.draft.record_timestamp))
            .bind(column!(rows, |row| row.draft.timestamp_kind))
            .bind(indexed_at)
            .bind(column!(rows, |row| row.draft.failed_at_source))
            .bind(column!(rows, |row| row.draft.backlog))
            .bind(column!(rows, |row| row.draft.attempts))
            .bind(column!(rows, |row| row.draft.trace_id.as_ref().map(<[u8; 16]>::as_slice)))
            .bind(column!(rows, |row| row.draft.message.as_deref()))
            .bind(column!(rows, |row| row.draft.key_prefix.as_deref()))
            .bind(column!(rows, |row| row.draft.key_size))
            .bind(column!(rows, |row| row.draft.value_size))
            .bind(column!(rows, |row| row.draft.custody_problem.as_deref()))
            .execute(&mut *self)
            .await?;
        sqlx::query(CUSTODY)
            .bind(&ids)
            .bind(column!(rows, |row| row.stack_trace_id))
            .bind(column!(rows, |row| row.draft.body.as_slice()))
            .execute(self)
            .await?;
        Ok(())
    }

    async fn insert_blocks(&mut self, blocks: Vec<Block>) -> Result<(), StoreError> {
        sqlx::query(BLOCKS)
            .bind(column!(blocks, |block| block.first_id))
            .bind(column!(blocks, |block| block.last_id))
            .bind(column!(blocks, |block| block.letters))
            .bind(column!(blocks, |block| block.oldest))
            .bind(column!(blocks, |block| block.newest))
            .bind(column!(blocks, |block| block.signature.as_slice()))
            .execute(self)
            .await?;
        Ok(())
    }

    async fn insert_items(&mut self, replay: i64, items: Vec<Item>) -> Result<(), StoreError> {
        sqlx::query(ITEMS)
            .bind(replay)
            .bind(column!(items, |item| item.position))
            .bind(column!(items, |item| item.dead_letter_id))
            .bind(column!(items, |item| item.result))
            .bind(column!(items, |item| item.reason))
            .bind(column!(items, |item| item.route))
            .bind(column!(items, |item| item.message_id.as_slice()))
            .bind(column!(items, |item| item.attempt))
            .bind(column!(items, |item| item.key_hash))
            .execute(self)
            .await?;
        Ok(())
    }

    async fn insert_noted_spans(&mut self, chunk: i64, spans: Vec<NotedSpan>) -> Result<(), StoreError> {
        if spans.is_empty() {
            return Ok(());
        }
        sqlx::query(NOTED)
            .bind(chunk)
            .bind(column!(spans, |span| span.trace_id.0.as_slice()))
            .bind(column!(spans, |span| span.span_id.0.as_slice()))
            .bind(column!(spans, |span| span.parent.as_ref().map(|parent| parent.0.as_slice())))
            .bind(column!(spans, |span| span.started_at.as_millis()))
            .bind(column!(spans, |span| span.duration_us))
            .bind(column!(spans, |span| span.operation.code()))
            .bind(column!(spans, |span| span.failed))
            .bind(column!(spans, |span| span.service.as_str()))
            .bind(column!(spans, |span| span.name.as_str()))
            .bind(column!(spans, |span| span.topic.as_deref().unwrap_or_default()))
            .bind(column!(spans, |span| span.partition))
            .bind(column!(spans, |span| span.offset))
            .bind(column!(spans, |span| span.consumer_group.as_deref().unwrap_or_default()))
            .bind(column!(spans, |span| span.cluster_id.as_deref().unwrap_or_default()))
            .bind(column!(spans, |span| span.broker.as_deref().unwrap_or_default()))
            .execute(self)
            .await?;
        Ok(())
    }

    async fn insert_span_links(&mut self, chunk: i64, links: Vec<TraceLink>) -> Result<(), StoreError> {
        if links.is_empty() {
            return Ok(());
        }
        sqlx::query(LINKS)
            .bind(chunk)
            .bind(column!(links, |link| link.from.0.0.as_slice()))
            .bind(column!(links, |link| link.from.1.0.as_slice()))
            .bind(column!(links, |link| link.to.0.0.as_slice()))
            .bind(column!(links, |link| link.to.1.0.as_slice()))
            .execute(self)
            .await?;
        Ok(())
    }
}
