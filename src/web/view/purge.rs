//! How purges look.

use std::collections::BTreeMap;

use super::look::Look;
use crate::model::purge::{CutResult, Purge, PurgeReason, PurgeState};

const fn look(word: &'static str, icon: &'static str, tone: &'static str) -> Look {
    Look { word, icon, tone }
}

/// The state of a purge.
#[must_use]
pub fn state(purge: &Purge) -> Look {
    match (purge.state, purge.state_reason) {
        (PurgeState::Planned, _) => look("Planned", "clock", "idle"),
        (PurgeState::Running, Some(PurgeReason::BusUnreachable)) => look("Waits for the bus", "unplug", "warn"),
        (PurgeState::Running, _) if purge.cancel_asked_by.is_some() => look("Being cancelled", "circle-slash", "busy"),
        (PurgeState::Running, _) => look("Running", "refresh-cw", "busy"),
        (PurgeState::Completed, _) => look("Completed", "circle-check", "ok"),
        (PurgeState::Failed, _) => look("Failed", "circle-x", "bad"),
        (PurgeState::Cancelled, Some(PurgeReason::Expired)) => look("Expired", "hourglass", "idle"),
        (PurgeState::Cancelled, _) => look("Cancelled", "circle-slash", "idle"),
    }
}

/// The state with how far it came, where it did not come to its end.
#[must_use]
pub fn state_words(purge: &Purge) -> String {
    let (done, all) = (purge.count(CutResult::Done), purge.partitions.len());
    let word = state(purge).word;
    match purge.state {
        PurgeState::Running => format!("{word}, {done} of {all} partitions"),
        PurgeState::Failed | PurgeState::Cancelled if done > 0 => format!("{word} after {done} of {all} partitions"),
        _ => word.to_owned(),
    }
}

/// What became of a cut.
#[must_use]
pub const fn cut(result: CutResult, state: PurgeState) -> Look {
    match result {
        CutResult::Waiting if matches!(state, PurgeState::Planned | PurgeState::Running) => look("Waiting", "clock", "idle"),
        CutResult::Waiting => look("Not purged", "circle-slash", "idle"),
        CutResult::Done => look("Purged", "circle-check", "ok"),
        CutResult::Failed => look("Failed", "circle-x", "bad"),
    }
}

/// Groups that lose records over all partitions, with how many, by name.
#[must_use]
pub fn losses(purge: &Purge) -> Vec<(String, u64)> {
    let mut groups: BTreeMap<String, u64> = BTreeMap::new();
    for loss in purge.partitions.iter().flat_map(|cut| &cut.losses) {
        *groups.entry(loss.group.to_string()).or_default() += loss.records;
    }
    groups.into_iter().collect()
}
