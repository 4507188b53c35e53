//! Watches what groups do from look to look: positions beside ends, and what that means.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use super::groups::{LookedGroup, Unknown};
use crate::bus::PartitionOffsets;
use crate::metrics::group::{self, Before};
use crate::metrics::history::EndHistory;
use crate::metrics::status::{COUNTABLE, Watch};
use crate::model::group_event::GroupEvent;
use crate::model::lag::{GroupOffset, GroupStatus, Standing, Verdict};
use crate::model::names::TopicPartition;
use crate::model::{GroupName, Timestamp, TopicName};
use crate::store::consumer_groups::{KnownGroup, SeenGroup};
use crate::store::topics::StoredTopic;

mod judging;

use judging::Judging;

/// Ends of an earlier sampler were asked for at most so long before they were there: the deadline of a request.
const ASKED: Duration = Duration::from_secs(10);

/// Everything watched on one bus.
#[derive(Default)]
pub(super) struct Lags {
    groups: HashMap<GroupName, GroupWatch>,
    ends: HashMap<i64, EndHistory>,
    places: HashMap<TopicPartition, Place>,
    /// Topics on which offsets are not always records, compacted or with transactions; each with the generation of which that is known.
    uncountable: HashMap<TopicName, i64>,
    /// Those of them that the store does not know yet.
    found: Vec<TopicName>,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    id: i64,
    generation: i64,
    offsets: PartitionOffsets,
    at: Timestamp,
    /// Whether it has a leader.
    led: bool,
}

impl Place {
    /// Whether its offsets were read so lately that they tell something.
    fn tells(&self, now: Timestamp, stale: Duration) -> bool {
        self.at.age_at(now) <= stale
    }

    /// Why its offsets could not be read.
    fn unread(&self) -> &'static str {
        if self.led { "the partition's offsets cannot be read" } else { "the partition has no leader: its offsets cannot be read" }
    }
}

struct GroupWatch {
    before: Before,
    watches: HashMap<TopicPartition, Watch>,
    /// Positions as an earlier watch knew them.
    known: HashMap<TopicPartition, Known>,
    /// Since when a held partition has no commit.
    uncommitted: HashMap<TopicPartition, Timestamp>,
    /// Partitions whose offsets told nothing when the group was last judged.
    untold: HashSet<TopicPartition>,
    members: Option<Members>,
    stored: Option<SeenGroup>,
}

/// A position as an earlier watch knew it.
#[derive(Debug, Clone, Copy)]
struct Known {
    committed: i64,
    moved_at: Option<Timestamp>,
    log_start: Option<i64>,
    /// Since when records are gone that it had not read.
    losing_since: Option<Timestamp>,
}

/// Who held what.
type Members = BTreeMap<String, BTreeSet<TopicPartition>>;

/// What a look at one group comes to.
pub(super) struct Judged {
    /// To be stored; `None` when the store has it already.
    pub(super) changed: Option<SeenGroup>,
    pub(super) seen: SeenGroup,
    pub(super) events: Vec<GroupEvent>,
    /// Offsets committed since the look before, by topic.
    pub(super) committed: BTreeMap<TopicName, i64>,
    /// Offsets removed since the look before that the group had not read, by topic.
    pub(super) lost: BTreeMap<TopicName, i64>,
    /// Ranges of offsets worth reading once.
    pub(super) to_count: Vec<(TopicPartition, i64, i64)>,
    /// Whether its positions or members moved.
    pub(super) moved: bool,
}

impl Judged {
    /// Nothing but how it stands.
    pub(super) fn untold(seen: SeenGroup, changed: Option<SeenGroup>) -> Self {
        let (committed, lost) = (BTreeMap::new(), BTreeMap::new());
        Self { changed, seen, events: Vec::new(), committed, lost, to_count: Vec::new(), moved: false }
    }
}

impl Lags {
    /// Begins with what an earlier sampler has stored.
    pub(super) fn begin(&mut self, groups: Vec<KnownGroup>) {
        for group in groups {
            let known = group.offsets.into_iter().filter_map(|offset| {
                let place = TopicPartition { topic: offset.topic, partition: offset.partition };
                let losing_since = offset.verdict.since.filter(|_| offset.verdict.status == GroupStatus::DataLoss);
                let (moved_at, log_start) = (offset.moved_at, offset.log_start);
                Some((place, Known { committed: offset.committed?, moved_at, log_start, losing_since }))
            });
            let (status, since) = group.status;
            let before = Before { first_seen_at: group.first_seen_at, status, since, behind_since: group.behind_since };
            self.groups.insert(group.name, GroupWatch { known: known.collect(), ..GroupWatch::new(before) });
        }
    }

    /// Takes ends of an earlier time. When these were asked for is not kept.
    pub(super) fn remember(&mut self, at: Timestamp, ends: &[(i64, i64)]) {
        for (partition, end) in ends {
            self.ends.entry(*partition).or_default().add_read(at.minus(ASKED), at, *end);
        }
    }

    /// Takes the ends of a look, asked for at the first moment and read at the second.
    pub(super) fn look(&mut self, topics: &[StoredTopic], offsets: &HashMap<i64, PartitionOffsets>, asked: Timestamp, now: Timestamp) {
        let mut living = HashSet::new();
        for topic in topics {
            let (name, generation) = (&topic.generation.topic, topic.generation.id);
            if topic.generation.compacted || topic.generation.transactional {
                self.uncountable.insert(name.clone(), generation);
            } else if self.uncountable.get(name).is_some_and(|known| *known != generation) {
                self.uncountable.remove(name);
            }
            for partition in &topic.partitions {
                living.insert(partition.id);
                let (place, led) = (TopicPartition { topic: name.clone(), partition: partition.partition }, partition.leader.is_some());
                let Some(found) = offsets.get(&partition.id) else {
                    // What it was last stays, with its time.
                    if let Some(known) = self.places.get_mut(&place) {
                        known.led = led;
                    }
                    continue;
                };
                self.ends.entry(partition.id).or_default().add_read(asked, now, found.end);
                self.places.insert(place, Place { id: partition.id, generation, offsets: *found, at: now, led });
                if found.last_stable.is_some_and(|stable| stable < found.end) {
                    self.find(name, generation);
                }
            }
        }
        self.ends.retain(|id, _| living.contains(id));
        self.places.retain(|_, place| living.contains(&place.id));
    }

    fn find(&mut self, topic: &TopicName, generation: i64) {
        if self.uncountable.insert(topic.clone(), generation) != Some(generation) {
            self.found.push(topic.clone());
        }
    }

    /// These could not be kept.
    pub(super) fn found_again(&mut self, topics: Vec<TopicName>) {
        self.found.extend(topics);
    }

    /// Topics that were found to have offsets that are no records, since the last time.
    pub(super) fn take_found(&mut self) -> Vec<TopicName> {
        std::mem::take(&mut self.found)
    }

    /// Whether a group's lag in time on a partition may be more than the threshold and may be no more, as of this moment: by its ends,
    /// when these were read then. What is few may be markers alone, and lag to nobody, until it was counted or has moved.
    pub(super) fn leaves_open(
        &self,
        group: &GroupName,
        (place, committed): (&TopicPartition, i64),
        threshold: Duration,
        now: Timestamp,
    ) -> bool {
        let Some(found) = self.places.get(place).filter(|found| found.at == now) else { return false };
        let (next, end) = (committed.max(found.offsets.log_start), found.offsets.end);
        if next >= end {
            return false;
        }
        let watch = self.groups.get(group).and_then(|group| group.watches.get(place)).filter(|watch| watch.newest().committed == committed);
        let moved = self.groups.get(group).is_some_and(|group| group.watches.contains_key(place)) && watch.is_none();
        let none_left = watch.filter(|watch| watch.newest().end == end).and_then(Watch::not_records);
        if end - committed <= COUNTABLE && !moved && none_left.is_none_or(|none| none >= end - next) {
            return false;
        }
        self.ends.get(&found.id).and_then(|ends| ends.time_lag(next)).is_some_and(|lag| lag.leaves_open(threshold))
    }

    /// Takes what the bus says of a threshold before the newest look at a partition.
    pub(super) fn learn(&mut self, place: &TopicPartition, threshold: Duration, first: Option<i64>) {
        if let Some(ends) = self.places.get(place).and_then(|found| self.ends.get_mut(&found.id)) {
            ends.learn(threshold, first);
        }
    }

    /// Groups of which there is more to say than when they were judged: ends of their partitions have passed what they had read, or
    /// cannot be read any more, or can be again.
    pub(super) fn outrun(&self, stale: Duration, now: Timestamp) -> Vec<GroupName> {
        let passed =
            |(place, watch): (&TopicPartition, &Watch)| self.places.get(place).is_some_and(|found| found.offsets.end > watch.newest().end);
        let untold = |place: &TopicPartition| self.places.get(place).is_none_or(|found| !found.tells(now, stale));
        let outrun = self.groups.iter().filter(|(_, group)| {
            group.watches.iter().any(passed)
                || group.untold.iter().any(|place| !untold(place))
                || group.watches.keys().any(|place| untold(place) && !group.untold.contains(place))
        });
        outrun.map(|(name, _)| name.clone()).collect()
    }

    /// Groups that are known.
    pub(super) fn names(&self) -> impl Iterator<Item = &GroupName> {
        self.groups.keys()
    }

    /// Whether a group was ever read.
    pub(super) fn knows(&self, group: &GroupName) -> bool {
        self.groups.contains_key(group)
    }

    /// Whether records seem to be gone that a group had not read. Its positions were read before the log starts: who deletes what he has
    /// just read (Kafka Streams does, on topics of its own) may have committed meanwhile.
    pub(super) fn seems_to_lose(&self, looked: &LookedGroup) -> bool {
        looked.committed.iter().any(|(place, at)| self.seems_lost(&looked.name, place, *at))
    }

    fn seems_lost(&self, group: &GroupName, place: &TopicPartition, at: i64) -> bool {
        let Some((found, group)) = self.places.get(place).zip(self.groups.get(group)) else { return false };
        let before = match group.watches.get(place) {
            Some(watch) => Some(watch.newest().log_start),
            None => group.known.get(place).and_then(|known| known.log_start),
        };
        judging::newly_lost(at, found.offsets.log_start, before) > 0
    }

    /// Takes positions that were read after the log starts, where records seemed to be gone; none passes the end.
    pub(super) fn catch_up(&self, looked: &mut LookedGroup, newer: &[(TopicPartition, i64)]) {
        let newer: HashMap<&TopicPartition, i64> = newer.iter().map(|(place, at)| (place, *at)).collect();
        for (place, at) in &mut looked.committed {
            if let Some((found, newer)) = self.places.get(place).zip(newer.get(place))
                && self.seems_lost(&looked.name, place, *at)
            {
                *at = (*at).max((*newer).min(found.offsets.end));
            }
        }
    }

    /// Forgets groups that are gone.
    pub(super) fn keep(&mut self, alive: &[GroupName]) {
        let alive: HashSet<&GroupName> = alive.iter().collect();
        self.groups.retain(|name, _| alive.contains(name));
    }

    /// What a look at a group means; `stale` after which an offset tells nothing.
    pub(super) fn judge(&mut self, looked: &LookedGroup, stale: Duration, now: Timestamp) -> Judged {
        let first = Before { first_seen_at: now, status: GroupStatus::Unknown, since: None, behind_since: None };
        let mut group = self.groups.remove(&looked.name).unwrap_or_else(|| GroupWatch::new(first));
        let (committed, lost) = (BTreeMap::new(), BTreeMap::new());
        let mut judged = Judging { lags: self, looked, now, stale, events: Vec::new(), committed, lost, moved: false };
        let (offsets, to_count) = judged.offsets(&mut group);
        judged.rebalance(&mut group);
        let members = looked.members.as_ref().map(Vec::len);
        let standing = group::standing(&offsets, members, group.before, now);
        judged.status_event(&group.before, &standing);
        let Judging { events, committed, lost, moved, .. } = judged;
        // What is watched too shortly to say anything is no change: the status of before goes on until the next one is known.
        if standing.status != GroupStatus::Unknown || group.before.since.is_none() {
            group.before.status = standing.status;
            group.before.since = standing.since;
        }
        group.before.behind_since = standing.behind_since;
        let seen = SeenGroup {
            name: looked.name.clone(),
            kind: looked.kind.clone(),
            state: looked.state.clone(),
            members: looked.members.clone(),
            offsets,
            standing,
        };
        let changed = (group.stored.as_ref() != Some(&seen)).then(|| seen.clone());
        self.groups.insert(looked.name.clone(), group);
        Judged { changed, seen, events, committed, lost, to_count, moved }
    }

    /// A group that can no longer be read: what it had committed is told, and nothing of what that means. `None` for one that was never
    /// read.
    pub(super) fn unread(&mut self, unknown: &Unknown) -> Option<Judged> {
        let group = self.groups.get_mut(&unknown.name)?;
        let verdict = Verdict {
            status: GroupStatus::Unknown,
            since: Some(unknown.since),
            evidence: format!("the group cannot be read: {}", unknown.reason),
            looks: None,
        };
        let watched = group.watches.iter().map(|(place, watch)| {
            let found = watch.newest();
            (place, Known { committed: found.committed, moved_at: watch.moved_at(), log_start: Some(found.log_start), losing_since: None })
        });
        let known = group.known.iter().map(|(place, known)| (place, *known)).chain(watched);
        let mut offsets: Vec<GroupOffset> = known
            .map(|(place, known)| GroupOffset {
                moved_at: known.moved_at,
                log_start: known.log_start,
                verdict: verdict.clone(),
                ..GroupOffset::new(place.topic.clone(), place.partition, Some(known.committed))
            })
            .collect();
        offsets.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
        let stored = group.stored.as_ref();
        let words = |word: fn(&SeenGroup) -> &String| stored.map_or_else(|| "unknown".to_owned(), |stored| word(stored).clone());
        let seen = SeenGroup {
            name: unknown.name.clone(),
            kind: words(|stored| &stored.kind),
            state: words(|stored| &stored.state),
            members: None,
            offsets,
            standing: Standing {
                status: verdict.status,
                since: verdict.since,
                evidence: verdict.evidence,
                parked: stored.is_some_and(|stored| stored.standing.parked),
                behind_since: group.before.behind_since,
            },
        };
        let changed = (stored != Some(&seen)).then(|| seen.clone());
        Some(Judged::untold(seen, changed))
    }

    /// The store has this now.
    pub(super) fn stored(&mut self, seen: SeenGroup) {
        if let Some(group) = self.groups.get_mut(&seen.name) {
            group.stored = Some(seen);
        }
    }

    /// Takes what a short read has counted.
    pub(super) fn counted(&mut self, group: &GroupName, place: &TopicPartition, from: i64, to: i64, records: i64) {
        let generation = self.places.get(place).map(|found| found.generation);
        if let Some(generation) = generation.filter(|_| records < to - from) {
            self.find(&place.topic, generation);
        }
        if let Some(watch) = self.groups.get_mut(group).and_then(|group| group.watches.get_mut(place))
            && watch.to_count() == Some((from, to))
        {
            watch.counted(records);
        }
    }
}

impl GroupWatch {
    fn new(before: Before) -> Self {
        Self {
            before,
            watches: HashMap::new(),
            known: HashMap::new(),
            uncommitted: HashMap::new(),
            untold: HashSet::new(),
            members: None,
            stored: None,
        }
    }
}
