//! Writes batches, and waits with them in hand while the store cannot take them.

use std::time::Duration;

use super::work::{Backoff, Context};
use super::{health, work};
use crate::model::Timestamp;
use crate::store::StoreError;
use crate::store::indexing::{IndexBatch, IndexOutcome};

/// Writes one batch. While the store is gone, full or read-only the batch stays in hand and is tried again, until the process is to
/// end; readiness says why. A batch whose commit was not confirmed may have been written: the next try is then superseded by itself.
pub(super) async fn record(context: &Context, batch: &IndexBatch, now: Timestamp) -> Result<IndexOutcome, StoreError> {
    let readiness = context.life.readiness();
    let mut backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(5));
    let mut standing_still = false;
    loop {
        let error = match context.store.record_index_batch(batch.clone(), now).await {
            Ok(outcome) => {
                if standing_still {
                    health::report(readiness, Ok(()));
                    tracing::info!(bus = %batch.bus, "indexing goes on");
                }
                return Ok(outcome);
            }
            Err(error) => error,
        };
        health::report(readiness, Err(&error));
        if !standing_still {
            tracing::error!(bus = %batch.bus, reason = %error, "indexing stands still until the store takes writes again");
            standing_still = true;
        }
        if !work::pause(&context.life, backoff.next()).await {
            return Err(error);
        }
    }
}
