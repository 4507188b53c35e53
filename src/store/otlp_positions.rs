//! How far topics with spans have been read. Moved on after the spans were kept, so that a crash in between brings them again, which
//! whoever keeps spans must bear anyway.

use std::collections::HashMap;

use super::indexing::id_list;
use super::{Store, StoreError};

statements! {
    const START = "insert into otlp_positions (partition_id, next) values ($1, $2) on conflict (partition_id) do nothing";
    const LIST = "select partition_id, next from otlp_positions \
        where partition_id in (select cast(value as bigint) from json_each(cast($1 as text))) order by partition_id";
    const ADVANCE = "update otlp_positions set next = $3 where partition_id = $1 and next = $2";
}

/// A move of one position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OtlpAdvance {
    /// Our id of the partition.
    pub partition_id: i64,
    /// Where it must stand.
    pub expected: i64,
    /// Where it stands afterwards.
    pub next: i64,
}

impl Store {
    /// Begins partitions (our id, first offset to read) that have no position yet, and answers where all of these stand.
    pub async fn start_otlp_positions(&self, starts: &[(i64, i64)]) -> Result<HashMap<i64, i64>, StoreError> {
        in_transaction!(self, |tx| {
            for (partition_id, next) in starts {
                sqlx::query(START).bind(partition_id).bind(next).execute(&mut *tx).await?;
            }
        });
        self.list_otlp_positions(&starts.iter().map(|(partition_id, _)| *partition_id).collect::<Vec<_>>()).await
    }

    /// Where partitions stand; those that were never read are left out.
    pub async fn list_otlp_positions(&self, partition_ids: &[i64]) -> Result<HashMap<i64, i64>, StoreError> {
        let ids = id_list(partition_ids);
        let rows: Vec<(i64, i64)> = read!(self, |pool| sqlx::query_as(LIST).bind(&ids).fetch_all(pool).await?)?;
        Ok(rows.into_iter().collect())
    }

    /// Moves positions on; `false` when one stood elsewhere, because another instance reads there, and stays as it is.
    pub async fn advance_otlp_positions(&self, advances: &[OtlpAdvance]) -> Result<bool, StoreError> {
        let moved = in_transaction!(self, |tx| {
            let mut moved = 0;
            for OtlpAdvance { partition_id, expected, next } in advances {
                let query = sqlx::query(ADVANCE).bind(partition_id).bind(expected).bind(next);
                moved += query.execute(&mut *tx).await?.rows_affected();
            }
            moved
        });
        Ok(moved == advances.len() as u64)
    }
}
