//! Carries changes between the instances on one store, so that a page is live whichever of them serves it.

use super::Run;
use crate::lifecycle::changes::Noun;

/// Counts what we changed, and tells our pages what others changed.
pub(super) async fn carry(run: &Run) -> anyhow::Result<()> {
    let (store, changes) = (&run.context.store, &run.context.changes);
    let ours = changes.take_unsent();
    for noun in &ours {
        store.bump_revision(noun.as_str()).await?;
    }
    let now = store.list_revisions().await?;
    let before = run.seen_revisions().replace(now.clone());
    let Some(before) = before else { return Ok(()) };
    for noun in Noun::ALL {
        let count = |revisions: &std::collections::BTreeMap<String, i64>| revisions.get(noun.as_str()).copied().unwrap_or(0);
        let own = i64::from(ours.contains(noun));
        if count(&now) != count(&before) + own {
            changes.relay(*noun);
        }
    }
    Ok(())
}
