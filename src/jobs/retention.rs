//! What ends, in small steps with a pause between them, so that no writer waits for us.

use std::future::Future;
use std::time::Duration;

use super::Run;
use crate::dead_letters::indexer::work;
use crate::lifecycle::changes::Noun;
use crate::model::Timestamp;
use crate::store::StoreError;
use crate::store::figures::ended::SILENCE;
use crate::store::figures::late::NEWS;

/// Rows of one step: some milliseconds of the writer.
const STEP: u32 = 500;
const PAUSE: Duration = Duration::from_millis(50);
/// Rebalances and resets are marked on drawings of a month.
const MARKED: Duration = Duration::from_hours(35 * 24);
/// Begins to make room when this much of the limit is used, and ends when it is no longer.
const FULL_RATIO: f64 = 0.95;

/// Removes what is past its time.
pub(super) async fn prune(run: &Run) -> anyhow::Result<()> {
    let (store, kept, now) = (&run.context.store, run.retention, Timestamp::now());
    let dead_letters = now.minus(kept.dead_letters);
    if in_steps(run, "dead_letters", || store.prune_dead_letters(dead_letters, STEP)).await? > 0 {
        run.context.changes.publish(Noun::DeadLetters);
    }
    let (audit, minutes, hours) = (now.minus(kept.audit), now.minus(kept.minutes), now.minus(kept.hours));
    in_steps(run, "audit", || store.prune_audit(audit, STEP)).await?;
    in_steps(run, "purges", || store.prune_purges(audit, STEP)).await?;
    in_steps(run, "discards", || store.prune_discards(audit, STEP)).await?;
    in_steps(run, "arrival_minutes", || store.prune_arrival_minutes(minutes, STEP)).await?;
    in_steps(run, "failure_group_events", || store.prune_failure_group_events(hours, STEP)).await?;
    in_steps(run, "arrivals", || store.prune_arrivals(hours, STEP)).await?;
    in_steps(run, "status_minutes", || store.prune_status_minutes(minutes, STEP)).await?;
    in_steps(run, "status_hours", || store.prune_status_hours(hours, STEP)).await?;
    in_steps(run, "late_arrivals", || store.prune_late_arrivals(now.minus(NEWS * 2), STEP)).await?;
    in_steps(run, "alerts", || store.prune_alerts(hours, STEP)).await?;
    in_steps(run, "silences", || store.prune_silences(hours, STEP)).await?;
    let raw = now.minus(kept.raw);
    in_steps(run, "figure_frames", || store.prune_frames(raw, STEP)).await?;
    in_steps(run, "figure_snapshots", || store.prune_snapshots(raw, STEP)).await?;
    in_steps(run, "figure_minutes", || store.prune_figure_minutes(minutes, STEP)).await?;
    in_steps(run, "figure_hours", || store.prune_figure_hours(hours, STEP)).await?;
    store.mark_silent_series(now).await?;
    in_steps(run, "series", || store.prune_series(now.minus(SILENCE), STEP)).await?;
    in_steps(run, "deliveries", || store.prune_deliveries(minutes, STEP)).await?;
    in_steps(run, "group_events", || store.prune_group_events(now.minus(kept.hours.min(MARKED)), STEP)).await?;
    in_steps(run, "search_blocks", || store.compact_search_blocks(STEP)).await?;
    store.prune_sessions(now.minus(kept.session_absolute), now.minus(kept.session_idle)).await?;
    Ok(())
}

/// Removes resolved and discarded dead letters, oldest first, while the store is nearly full. Open ones are never removed.
pub(super) async fn make_room(run: &Run) -> anyhow::Result<()> {
    let mut removed = 0;
    while !run.context.life.soft().is_cancelled() {
        let usage = run.context.store.usage().await?;
        let Some(limit) = usage.max_bytes else { break };
        #[expect(clippy::cast_precision_loss, reason = "a ratio of sizes")]
        let used = usage.used_bytes as f64 / limit.max(1) as f64;
        if used < FULL_RATIO {
            break;
        }
        let step = run.context.store.prune_for_space(STEP).await?;
        removed += step;
        run.context.metrics.retention_removed_total.with_label_values(&["dead_letters"]).inc_by(step);
        if step == 0 || !work::pause(&run.context.life, PAUSE).await {
            break;
        }
    }
    if removed > 0 {
        run.context.store.reuse_space().await?;
        tracing::info!(removed, "resolved and discarded dead letters were removed because the store is nearly full");
        run.context.changes.publish(Noun::DeadLetters);
    }
    Ok(())
}

/// Steps until one finds less than it may take.
async fn in_steps<F>(run: &Run, noun: &str, mut step: impl FnMut() -> F) -> Result<u64, StoreError>
where
    F: Future<Output = Result<u64, StoreError>>,
{
    let mut removed = 0;
    loop {
        let count = step().await?;
        removed += count;
        run.context.metrics.retention_removed_total.with_label_values(&[noun]).inc_by(count);
        if count < u64::from(STEP) || !work::pause(&run.context.life, PAUSE).await {
            return Ok(removed);
        }
    }
}
