//! What was there before this process looked. A rule that alerts of silence must tell of a group that was there before a restart and is
//! gone after it, and says nothing of those that ended long ago: recorded history knows which is which.
//!
//! Read once after the start and after a rule has changed: of each figure one bucket per series, whatever the number of rules.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::readings::{is_sampled, labels_since};
use super::series::WatchKey;
use super::{Evaluator, key_of};
use crate::alerts::rule::windows;
use crate::model::Timestamp;
use crate::model::alert::{NoData, Terms};
use crate::model::figure::Figure;
use crate::store::{Store, StoreError};

/// After a start samplers have so long for their first look, before what they do not show counts as silent.
pub(super) const SETTLED: Duration = Duration::from_secs(60);
/// So many figures are read in one look; the others in the looks after it.
const AT_ONCE: usize = 4;
/// Where the past could not be read in time nobody asks for it again for so long.
const PAUSE: Duration = Duration::from_mins(1);

impl Evaluator {
    /// Has the rules that alert of silence know what was there before.
    pub(super) async fn recall(&mut self, store: &Store, now: Timestamp) -> Result<(), StoreError> {
        let due = self.unknown_pasts();
        let pauses = self.recall_failed_at.is_some_and(|at| at <= now && at.age_at(now) < PAUSE);
        if due.is_empty() || pauses {
            return Ok(());
        }
        self.recall_failed_at = None;
        // Before our own samplers began: where nobody looked for an hour, what was there before that hour counts.
        let last = store.newest_frame_before(now.minus(SETTLED)).await?.unwrap_or(now).min(now);
        for ((figure, horizon_ms), keys) in due.into_iter().take(AT_ONCE) {
            let from = last.minus(Duration::from_millis(horizon_ms));
            let known = match labels_since(store, figure, from, now).await {
                Err(StoreError::Broken(error)) => {
                    tracing::warn!(figure = %figure, error, "the past of a figure cannot be read, and rules do not know what fell silent");
                    Vec::new()
                }
                Err(StoreError::Unavailable(error)) => {
                    tracing::warn!(figure = %figure, error, "the past of a figure is read later: until then rules do not know what fell silent");
                    self.recall_failed_at = Some(now);
                    return Ok(());
                }
                read => read?,
            };
            for key in keys {
                if let Some(watch) = self.watches.get_mut(&key) {
                    watch.recall(&known, horizon_ms, now);
                }
            }
        }
        Ok(())
    }

    /// Figures with how far back they must be known, and who watches them.
    fn unknown_pasts(&self) -> BTreeMap<(Figure, u64), BTreeSet<WatchKey>> {
        let mut due: BTreeMap<(Figure, u64), BTreeSet<WatchKey>> = BTreeMap::new();
        let telling = self.enabled().map(|rule| &rule.terms).filter(|terms| terms.no_data == NoData::Alert && is_sampled(terms.figure));
        for terms in telling {
            let (key, horizon_ms) = (key_of(terms), horizon_ms(terms));
            if self.watches.get(&key).is_some_and(|watch| !watch.has_recalled(horizon_ms)) {
                due.entry((terms.figure, horizon_ms)).or_default().insert(key);
            }
        }
        due
    }
}

/// What was sampled within this time is not silent yet, or only just.
fn horizon_ms(terms: &Terms) -> u64 {
    terms.no_data_after_ms.saturating_add(windows(terms).into_iter().max().unwrap_or(0))
}
