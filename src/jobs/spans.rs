//! Spans and traces that end: by age, and the oldest first when they take too much.

use super::Run;
use crate::dead_letters::indexer::work;
use crate::model::Timestamp;

/// Between two chunks others may write.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(5);
/// Kept traces that go in one step.
const STEP: u32 = 50;
/// Share of the limit that kept traces may take: beyond it they go before hot spans.
const KEPT_SHARE: u64 = 2;

/// Removes what is past its time or too much.
pub(super) async fn expire(run: &Run) -> anyhow::Result<()> {
    let (store, kept, now) = (&run.context.store, run.retention, Timestamp::now());
    let (hot_before, kept_before) = (now.minus(kept.spans), now.minus(kept.kept_traces));
    // Whoever counts may be behind: what is in no figure yet stays, as long as there is room.
    let counted = store.spans_counted_to().await?;
    while store.expire_span_chunk(hot_before, counted, false, now).await? {
        if !work::pause(&run.context.life, PAUSE).await {
            return Ok(());
        }
    }
    while store.expire_kept_traces(kept_before, false, STEP, now).await? == u64::from(STEP) {
        if !work::pause(&run.context.life, PAUSE).await {
            return Ok(());
        }
    }
    loop {
        let usage = store.span_usage().await?;
        if usage.hot_bytes + usage.kept_bytes <= kept.spans_max_bytes {
            return Ok(());
        }
        let kept_first = usage.kept_bytes > kept.spans_max_bytes / KEPT_SHARE;
        let removed = if kept_first {
            store.expire_kept_traces(kept_before, true, STEP, now).await? > 0
        } else {
            let mut removed = false;
            let counted = store.spans_counted_to().await?;
            // Some at a time: asking what they take reads every chunk's head.
            for _ in 0..20 {
                removed |= store.expire_span_chunk(hot_before, counted, true, now).await?;
            }
            removed
        };
        if !removed || !work::pause(&run.context.life, PAUSE).await {
            return Ok(());
        }
    }
}
