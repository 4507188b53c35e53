//! Writes down what a look at groups and offsets has come to: groups first, then offsets, and only what differs from what the store has.

use std::collections::HashMap;

use super::groups::Looked;
use super::{Sampler, Trouble, counting};
use crate::bus::PartitionOffsets;
use crate::lifecycle::changes::Noun;
use crate::model::group_event::GroupEvent;
use crate::model::{GroupName, Timestamp};
use crate::store::consumer_groups::SeenGroup;
use crate::store::topics::SeenOffsets;

/// What a look at groups means.
#[derive(Default)]
struct Meaning {
    /// Groups that were read, and are not what the store has.
    changed: Vec<SeenGroup>,
    /// Groups that could not be read for too long, of which the store does not know that.
    unread: Vec<SeenGroup>,
    events: Vec<GroupEvent>,
    wishes: Vec<counting::Wish>,
}

impl Sampler {
    /// Answers what a short read should count.
    pub(super) async fn record(
        &mut self,
        mut looked: Looked,
        offsets: &HashMap<i64, PartitionOffsets>,
        now: Timestamp,
    ) -> Result<Vec<counting::Wish>, Trouble> {
        self.groups.look_again(&self.work, &self.lags, &mut looked).await?;
        if let Some(alive) = &looked.alive {
            self.lags.keep(alive);
            self.figures.keep(alive);
        }
        let meaning = self.judge(&looked, now);
        self.figures.write_losses(&self.context, now).await?;
        let store = &self.context.store;
        if !meaning.events.is_empty() {
            store.add_group_events(self.work.id(), &meaning.events).await?;
        }
        if !meaning.changed.is_empty() || looked.alive.is_some() {
            store.record_consumer_groups(self.work.id(), &meaning.changed, looked.alive.as_deref(), now).await?;
        }
        store.record_unread_consumer_groups(self.work.id(), &meaning.unread, now).await?;
        if looked.full {
            let read: Vec<GroupName> = looked.groups.iter().map(|group| group.name.clone()).collect();
            store.record_reads_of_consumer_groups(self.work.id(), &read, now).await?;
            let untracked = counting::gauge(self.groups.untracked(&self.lags));
            self.context.metrics.sampler_untracked_groups.with_label_values(&[self.work.id().as_str()]).set(untracked);
        }
        if !meaning.changed.is_empty() || !meaning.unread.is_empty() {
            self.context.changes.publish(Noun::ConsumerGroups);
        }
        for group in meaning.changed.into_iter().chain(meaning.unread) {
            self.lags.stored(group);
        }
        self.record_offsets(offsets, now).await?;
        self.note_transactions().await?;
        Ok(meaning.wishes)
    }

    fn judge(&mut self, looked: &Looked, now: Timestamp) -> Meaning {
        let (mut meaning, stale) = (Meaning::default(), self.stale());
        for group in &looked.groups {
            let judged = self.lags.judge(group, stale, now);
            let behind = judged.seen.offsets.iter().any(|offset| offset.lag_messages() > Some(0));
            self.groups.settle(group, judged.moved, behind);
            self.figures.judged(&judged, now);
            meaning.events.extend(judged.events);
            let name = &group.name;
            let wishes = judged.to_count.into_iter().map(|(place, from, to)| counting::Wish { group: name.clone(), place, from, to });
            meaning.wishes.extend(wishes);
            meaning.changed.extend(judged.changed);
        }
        for unknown in self.groups.unknown(stale, now) {
            if let Some(judged) = self.lags.unread(&unknown) {
                self.figures.judged(&judged, now);
                meaning.unread.extend(judged.changed);
            }
        }
        meaning
    }

    async fn record_offsets(&mut self, offsets: &HashMap<i64, PartitionOffsets>, now: Timestamp) -> Result<(), Trouble> {
        let changed: Vec<SeenOffsets> = offsets
            .iter()
            .filter(|(id, offsets)| self.offsets.get(id) != Some(offsets))
            .map(|(id, o)| SeenOffsets { partition_id: *id, log_start: o.log_start, end: o.end, last_stable: o.last_stable })
            .collect();
        if !changed.is_empty() {
            self.context.store.record_offsets(&changed, now).await?;
            self.context.changes.publish(Noun::Topics);
        }
        self.offsets.extend(offsets);
        Ok(())
    }

    /// Keeps which topics were found to have offsets that are no records: whoever samples next begins with it.
    pub(super) async fn note_transactions(&mut self) -> Result<(), Trouble> {
        let found = self.lags.take_found();
        if !found.is_empty() {
            let noted = self.context.store.note_transactions(self.work.id(), &found).await;
            noted.inspect_err(|_| self.lags.found_again(found))?;
        }
        Ok(())
    }
}
