//! Statements of several rows: the texts of a few sizes are made once, so that the engine's cache knows them.

use std::sync::LazyLock;

use sqlx::SqliteConnection;

use super::{Block, Bulk, Row};
use crate::store::StoreError;

const ALLOCATE: &str = "update installation set next_dead_letter_id = next_dead_letter_id + $1 where id = 1 returning next_dead_letter_id";
const BLOCK: &str = "insert into search_blocks (first_id, last_id, letters, oldest, newest, signature) values ($1, $2, $3, $4, $5, $6)";
const LETTERS_HEAD: &str = "insert into dead_letters (id, facet_id, status, failed_at, partition_id, record_offset, origin_partition, \
    origin_offset, origin_timestamp, record_timestamp, timestamp_kind, indexed_at, failed_at_source, backlog, attempts, trace_id, \
    message, key_prefix, key_size, value_size, custody_problem) values ";
const CUSTODY_HEAD: &str = "insert into custody (dead_letter_id, stack_trace_id, body) values ";
const LETTERS_COLUMNS: usize = 21;
const CUSTODY_COLUMNS: usize = 3;

/// Rows per statement, largest first.
const SIZES: [usize; 3] = [64, 8, 1];

static LETTERS: LazyLock<[&'static str; 3]> = LazyLock::new(|| SIZES.map(|rows| text(LETTERS_HEAD, LETTERS_COLUMNS, rows)));
static CUSTODY: LazyLock<[&'static str; 3]> = LazyLock::new(|| SIZES.map(|rows| text(CUSTODY_HEAD, CUSTODY_COLUMNS, rows)));

fn text(head: &str, columns: usize, rows: usize) -> &'static str {
    let row = format!("({})", vec!["?"; columns].join(", "));
    String::leak(format!("{head}{}", vec![row.as_str(); rows].join(", ")))
}

/// Statements that only this engine prepares.
pub(in crate::store) fn statements() -> Vec<(&'static str, &'static str)> {
    let many = LETTERS.iter().map(|text| ("letters", *text)).chain(CUSTODY.iter().map(|text| ("custody", *text)));
    [("allocate", ALLOCATE), ("block", BLOCK)].into_iter().chain(many).collect()
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
            let size = SIZES.iter().position(|size| *size <= rest.len()).unwrap_or(SIZES.len() - 1);
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
}
