//! Watches what became of what was sent, for a day: consumed when the group has passed it, resolved when nothing came back within the
//! settle time and every dead-letter topic was read far enough, failed again when a dead letter came back, unknown when nobody can tell.
//!
//! One instance does it, under a lease. Every step is a compare-and-set, so that two at once would do no harm.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Duration;

use super::barrier::Barrier;
use super::{ReplayBus, Replays};
use crate::bus::BusError;
use crate::model::names::TopicPartition;
use crate::model::replay::{ItemResult, Replay};
use crate::model::{GroupName, Timestamp};
use crate::store::StoreError;
use crate::store::replays::outcome::Passed;

const LOOK: Duration = Duration::from_secs(1);
const LEASE: Duration = Duration::from_secs(10);
const LEASE_NAME: &str = "replay outcomes";
/// On a shared store ids become visible out of order: so many below the newest are looked at again.
const BEHIND: i64 = 20_000;
const OFFSETS_RESET: &str = "the group's offsets were moved past it while the group had no members";
const UNREADABLE: &str = "nobody can tell: ";

/// Starts the watch.
pub(super) fn spawn(replays: &Replays) {
    let (replays, life) = (replays.clone(), replays.inner.parts.life.clone());
    life.spawn("replay outcomes", async move {
        let mut watch = Watch::default();
        while !replays.inner.parts.life.soft().is_cancelled() {
            match watch.look(&replays).await {
                Ok(true) => replays.stepped(),
                Ok(false) => {}
                Err(error) => tracing::debug!(%error, "outcomes of replays cannot be looked at"),
            }
            tokio::select! {
                () = replays.inner.parts.life.soft().cancelled() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
        Ok(())
    });
}

/// What is remembered between two looks; a new watch begins without and is only slower.
#[derive(Default)]
struct Watch {
    groups: HashMap<(String, GroupName), Group>,
    barriers: HashMap<(i64, i32), Barrier>,
    /// Since when the oldest consumed item of a route is consumed: asked once, as a job may have a million.
    oldest: HashMap<(i64, i32), Option<Timestamp>>,
}

/// A group as it was seen last.
#[derive(Debug, Default, Clone)]
struct Group {
    committed: HashMap<TopicPartition, i64>,
    /// `None`: members cannot be described.
    had_members: Option<bool>,
    /// Commits before the newest, where members cannot be described: passed twice counts.
    before: HashMap<TopicPartition, i64>,
    seen: bool,
}

impl Watch {
    /// One look; whether anything changed.
    async fn look(&mut self, replays: &Replays) -> Result<bool, StoreError> {
        let (store, parts) = (replays.store(), &replays.inner.parts);
        if parts.shared && store.take_lease(LEASE_NAME, &parts.holder, LEASE, Timestamp::now()).await?.is_none() {
            *self = Self::default();
            return Ok(false);
        }
        let now = Timestamp::now();
        let watched = store.list_watched_replays(now).await?;
        // Which barriers were passed is asked before links are made: what lies before a barrier is linked before anything is resolved.
        let mut passed = Vec::new();
        for (place, barrier) in &self.barriers {
            if barrier.is_passed(replays).await? {
                passed.push(*place);
            }
        }
        let mut changed = false;
        while store.link_returns().await? > 0 {
            changed = true;
        }
        changed |= store.link_by_place(if parts.shared { BEHIND } else { 0 }).await? > 0;
        self.barriers.retain(|(number, _), _| watched.iter().any(|replay| replay.number == *number));
        self.oldest.retain(|(number, _), _| watched.iter().any(|replay| replay.number == *number));
        let mut fresh: HashMap<(String, GroupName), Option<Group>> = HashMap::new();
        for replay in &watched {
            let Some(bus) = parts.buses.get(&replay.bus) else { continue };
            changed |= store.record_failed_again(replay.number, now).await? > 0;
            changed |= self.consumed(replays, bus, replay, &mut fresh, now).await?;
            changed |= self.resolved(replays, bus, replay, &passed, now).await?;
        }
        for (key, group) in fresh {
            if let Some(group) = group {
                self.groups.insert(key, group);
            }
        }
        for replay in store.list_ended_watches(now).await? {
            store.end_watch(replay, "its outcome was watched for a day and could not be told", now).await?;
            changed = true;
        }
        Ok(changed)
    }

    /// Moves items that their group has passed.
    async fn consumed(
        &mut self,
        replays: &Replays,
        bus: &ReplayBus,
        replay: &Replay,
        fresh: &mut HashMap<(String, GroupName), Option<Group>>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        if replay.counts.sent + replay.counts.unknown == 0 {
            return Ok(false);
        }
        let (store, number) = (replays.store(), replay.number);
        let mut moved = 0;
        for route in store.list_routes(number).await? {
            let (Some(name), Some(target)) = (&route.consumer_group, &route.target) else { continue };
            let partitions = store.list_partitions_under_way(number, &route).await?;
            if partitions.is_empty() {
                continue;
            }
            let key = (replay.bus.to_string(), name.clone());
            let before = self.groups.get(&key);
            if !fresh.contains_key(&key) {
                let group = ask(bus, name, before).await;
                fresh.insert(key.clone(), group);
            }
            let Some(Some(group)) = fresh.get(&key) else { continue };
            let mut consumed = 0;
            for partition in partitions {
                let place = TopicPartition { topic: target.clone(), partition };
                let Some(step) = step(group, before, &place) else { continue };
                let passed = Passed { number, route: route.route, partition, from: step.from, below: step.below };
                if step.by_members {
                    consumed += store.record_passed(passed, ItemResult::Sent, ItemResult::Consumed, None, now).await?;
                    consumed += store.record_passed(passed, ItemResult::Unknown, ItemResult::Consumed, None, now).await?;
                } else {
                    moved += store.record_passed(passed, ItemResult::Sent, ItemResult::Unknown, Some(OFFSETS_RESET), now).await?;
                }
            }
            if let Some(oldest @ None) = self.oldest.get_mut(&(number, route.route)).filter(|_| consumed > 0) {
                *oldest = Some(now);
            }
            moved += consumed;
        }
        Ok(moved > 0)
    }

    /// Moves items that have settled.
    async fn resolved(
        &mut self,
        replays: &Replays,
        bus: &ReplayBus,
        replay: &Replay,
        passed: &[(i64, i32)],
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let store = replays.store();
        let routes = store.list_routes(replay.number).await?;
        let mut moved = 0;
        for route in routes.iter().filter(|route| route.consumer_group.is_some()) {
            let place = (replay.number, route.route);
            let settle = Duration::from_millis(route.settle_ms.max(0).unsigned_abs());
            if let Some(barrier) = self.barriers.get(&place) {
                let since = barrier.at.minus(settle);
                if passed.contains(&place) {
                    let (number, resolved) = (replay.number, (ItemResult::Resolved, None));
                    moved += store.record_settled(number, route.route, (ItemResult::Consumed, None), resolved, since, now).await?;
                    let like = format!("{UNREADABLE}%");
                    moved += store.record_settled(number, route.route, (ItemResult::Unknown, Some(&like)), resolved, since, now).await?;
                    self.barriers.remove(&place);
                    self.oldest.remove(&place);
                } else if let Some(reason) = barrier.obstacle(replays, &replay.bus).await? {
                    let unknown = (ItemResult::Unknown, Some(format!("{UNREADABLE}{reason}")));
                    let to = (unknown.0, unknown.1.as_deref());
                    moved += store.record_settled(replay.number, route.route, (ItemResult::Consumed, None), to, since, now).await?;
                    self.barriers.remove(&place);
                    self.oldest.remove(&place);
                }
                continue;
            }
            let oldest = match self.oldest.entry(place) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(unknown) => *unknown.insert(store.oldest_consumed(replay.number, route.route).await?),
            };
            let unreadable = replay.counts.unknown > 0;
            if oldest.is_some_and(|at| at.age_at(now) >= settle) || unreadable {
                let barrier = Barrier::raise(replays, bus, replay, std::slice::from_ref(route)).await?;
                self.barriers.insert(place, barrier);
            }
        }
        Ok(moved > 0)
    }
}

/// How far a group has gone since it was seen last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Step {
    from: i64,
    below: i64,
    /// Whether members of the group have read it, as far as anybody can tell.
    by_members: bool,
}

/// Asks the bus; `None` when it does not answer.
async fn ask(bus: &ReplayBus, name: &GroupName, before: Option<&Group>) -> Option<Group> {
    let committed: HashMap<TopicPartition, i64> = bus.bus.committed_offsets(name).await.ok()?.into_iter().collect();
    let had_members = match bus.bus.describe_groups(std::slice::from_ref(name)).await {
        Ok(described) => described.first().and_then(|group| group.members.as_ref().ok()).map(|members| !members.is_empty()),
        Err(BusError::Unreachable(_)) => return None,
        Err(_) => None,
    };
    let older = before.map(|group| {
        let moved = |(place, offset): (&TopicPartition, &i64)| {
            let newer = committed.get(place).is_some_and(|now| now > offset);
            (place.clone(), if newer { *offset } else { group.before.get(place).copied().unwrap_or(i64::MIN) })
        };
        group.committed.iter().map(moved).collect()
    });
    Some(Group { committed, had_members, before: older.unwrap_or_default(), seen: true })
}

/// Which offsets of a partition the group has passed, and whether its members did it.
fn step(group: &Group, before: Option<&Group>, place: &TopicPartition) -> Option<Step> {
    let committed = *group.committed.get(place)?;
    match group.had_members {
        Some(true) => {
            // Offsets moved while nobody was there stay "unknown" until members pass them again.
            let from = i64::MIN;
            Some(Step { from, below: committed, by_members: true })
        }
        Some(false) => {
            let earlier = before.filter(|before| before.seen).and_then(|before| before.committed.get(place).copied());
            // Gone after it had read on: what was committed since the last look with members there was read by them.
            match (before.and_then(|before| before.had_members), earlier) {
                (Some(false), earlier) if earlier.is_none_or(|earlier| committed > earlier) => {
                    Some(Step { from: earlier.unwrap_or(i64::MIN), below: committed, by_members: false })
                }
                (Some(true), Some(earlier)) if committed >= earlier => Some(Step { from: i64::MIN, below: earlier, by_members: true }),
                _ => None,
            }
        }
        // The commit passed it and moved on once more.
        None => group.before.get(place).map(|older| Step { from: i64::MIN, below: (*older).min(committed), by_members: true }),
    }
}

#[cfg(test)]
mod tests {
    use super::{Group, HashMap, Step, TopicPartition, step};
    use crate::model::TopicName;

    fn place() -> TopicPartition {
        TopicPartition { topic: TopicName::from("orders"), partition: 0 }
    }

    fn group(committed: i64, had_members: Option<bool>, before: Option<i64>) -> Group {
        let before = before.map(|offset| HashMap::from([(place(), offset)])).unwrap_or_default();
        Group { committed: HashMap::from([(place(), committed)]), had_members, before, seen: true }
    }

    #[test]
    fn live_members_consume_what_lies_below_their_commit() {
        let now = group(50, Some(true), None);
        assert_eq!(step(&now, None, &place()), Some(Step { from: i64::MIN, below: 50, by_members: true }));
    }

    #[test]
    fn offsets_that_move_while_nobody_is_there_were_not_read_by_anybody() {
        let (before, now) = (group(10, Some(false), None), group(50, Some(false), None));
        assert_eq!(step(&now, Some(&before), &place()), Some(Step { from: 10, below: 50, by_members: false }));
        assert_eq!(step(&before, Some(&before), &place()), None, "nothing moved");
    }

    #[test]
    fn without_members_to_describe_a_commit_counts_when_it_has_moved_on_once_more() {
        assert_eq!(step(&group(50, None, None), None, &place()), None);
        assert_eq!(step(&group(60, None, Some(50)), None, &place()), Some(Step { from: i64::MIN, below: 50, by_members: true }));
    }
}
