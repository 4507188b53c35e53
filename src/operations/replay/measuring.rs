//! The exact size of messages that may be too large for their target. Most are far below the limit and are not read for it.

use std::collections::HashMap;

use super::Replays;
use super::planning::PlanError;
use crate::model::{BusId, DeadLetterId};
use crate::store::replays::planning::DraftFacts;

/// Our headers and the batch around a record.
pub(super) const ADDED_BYTES: u64 = 600;
/// Headers that a message may keep before it is measured; more than that would be seen in its compressed form.
const HEADER_ALLOWANCE: u64 = 64 * 1024;
/// How well headers and stack traces compress, at most, as far as this estimate cares.
const COMPRESSION: u64 = 8;
/// Bytes held at once while measuring.
const HELD_BYTES: usize = 8 * 1024 * 1024;

/// Replaces the size of what may not fit (`most_bytes`: what its target takes) with the size of the message that would be sent, kept
/// headers included.
pub(super) async fn measure(
    replays: &Replays,
    bus: &BusId,
    most_bytes: impl Fn(&DraftFacts) -> Option<u64>,
    facts: &mut HashMap<DeadLetterId, DraftFacts>,
) -> Result<(), PlanError> {
    let mut near: Vec<DeadLetterId> =
        facts.iter().filter(|(_, facts)| most_bytes(facts).is_some_and(|most| may_not_fit(facts, most))).map(|(id, _)| *id).collect();
    near.sort_unstable();
    let mut rest = near.as_slice();
    while !rest.is_empty() {
        let (letters, looked_at) = replays.store().list_sendable(rest, HELD_BYTES).await?;
        let measuring = (replays.clone(), bus.clone());
        let measure = move || {
            let editor = measuring.0.inner.editors.get(&measuring.1);
            letters.into_iter().filter_map(|(id, letter)| Some((id, editor?.kept_bytes(letter)))).collect::<Vec<_>>()
        };
        let sizes = tokio::task::spawn_blocking(measure).await.map_err(|error| PlanError::Hopeless(error.to_string()))?;
        for (id, bytes) in sizes {
            if let Some(facts) = facts.get_mut(&id) {
                facts.size_bytes = bytes;
            }
        }
        rest = &rest[looked_at..];
    }
    Ok(())
}

fn may_not_fit(facts: &DraftFacts, most: u64) -> bool {
    facts.custody_problem.is_none()
        && (facts.size_bytes + HEADER_ALLOWANCE + ADDED_BYTES > most || facts.custody_bytes.saturating_mul(COMPRESSION) > most)
}
