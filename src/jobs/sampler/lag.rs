//! Watches what groups do from look to look: positions beside ends, and what that means.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt::Write as _;
use std::time::Duration;

use super::groups::LookedGroup;
use crate::bus::PartitionOffsets;
use crate::metrics::group::{self, Before};
use crate::metrics::history::{EndHistory, TimeLag};
use crate::metrics::status::{COUNTABLE, Found, Holder, Jump, Watch};
use crate::model::bus::GroupMember;
use crate::model::group_event::{GroupEvent, GroupEventKind};
use crate::model::lag::{GroupOffset, GroupStatus, TimeLagMillis, Verdict};
use crate::model::names::TopicPartition;
use crate::model::{GroupName, Timestamp, TopicName};
use crate::store::consumer_groups::{KnownGroup, SeenGroup};
use crate::store::topics::StoredTopic;

/// A group that holds a partition may take so long to its first commit.
const FIRST_COMMIT: Duration = Duration::from_mins(1);

/// Everything watched on one bus.
#[derive(Default)]
pub(super) struct Lags {
    groups: HashMap<GroupName, GroupWatch>,
    ends: HashMap<i64, EndHistory>,
    places: HashMap<TopicPartition, Place>,
    /// Topics on which offsets are not always records: compacted, or with transactions.
    uncountable: HashSet<TopicName>,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    id: i64,
    offsets: PartitionOffsets,
    at: Timestamp,
}

struct GroupWatch {
    before: Before,
    watches: HashMap<TopicPartition, Watch>,
    /// Positions as an earlier watch knew them.
    known: HashMap<TopicPartition, (i64, Option<Timestamp>)>,
    /// Since when a held partition has no commit.
    uncommitted: HashMap<TopicPartition, Timestamp>,
    members: Option<Members>,
    stored: Option<SeenGroup>,
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
    /// Ranges of offsets worth reading once.
    pub(super) to_count: Vec<(TopicPartition, i64, i64)>,
    /// Whether its positions or members moved.
    pub(super) moved: bool,
}

impl Lags {
    /// Begins with what an earlier sampler has stored.
    pub(super) fn begin(&mut self, groups: Vec<KnownGroup>) {
        for group in groups {
            let known = group.offsets.into_iter().filter_map(|offset| {
                let place = TopicPartition { topic: offset.topic, partition: offset.partition };
                Some((place, (offset.committed?, offset.moved_at)))
            });
            let before = Before { first_seen_at: group.first_seen_at, status: group.status.0, since: group.status.1 };
            self.groups.insert(group.name, GroupWatch { known: known.collect(), ..GroupWatch::new(before) });
        }
    }

    /// Takes ends of an earlier time.
    pub(super) fn remember(&mut self, at: Timestamp, ends: &[(i64, i64)]) {
        for (partition, end) in ends {
            self.ends.entry(*partition).or_default().add(at, *end);
        }
    }

    /// Takes the ends of a look.
    pub(super) fn look(&mut self, topics: &[StoredTopic], offsets: &HashMap<i64, PartitionOffsets>, now: Timestamp) {
        let mut living = HashSet::new();
        for topic in topics {
            let name = &topic.generation.topic;
            if topic.generation.compacted {
                self.uncountable.insert(name.clone());
            }
            for partition in &topic.partitions {
                living.insert(partition.id);
                let Some(found) = offsets.get(&partition.id) else { continue };
                self.ends.entry(partition.id).or_default().add(now, found.end);
                let place = TopicPartition { topic: name.clone(), partition: partition.partition };
                self.places.insert(place, Place { id: partition.id, offsets: *found, at: now });
                if found.last_stable.is_some_and(|stable| stable < found.end) {
                    self.uncountable.insert(name.clone());
                }
            }
        }
        self.ends.retain(|id, _| living.contains(id));
        self.places.retain(|_, place| living.contains(&place.id));
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

    /// Groups whose partitions' ends have passed what they had read.
    pub(super) fn outrun(&self) -> Vec<GroupName> {
        let outrun = self.groups.iter().filter(|(_, group)| {
            group.watches.iter().any(|(place, watch)| self.places.get(place).is_some_and(|found| found.offsets.end > watch.newest().end))
        });
        outrun.map(|(name, _)| name.clone()).collect()
    }

    /// Forgets groups that are gone.
    pub(super) fn keep(&mut self, alive: &[GroupName]) {
        let alive: HashSet<&GroupName> = alive.iter().collect();
        self.groups.retain(|name, _| alive.contains(name));
    }

    /// What a look at a group means; `stale` after which an offset tells nothing.
    pub(super) fn judge(&mut self, looked: &LookedGroup, stale: Duration, now: Timestamp) -> Judged {
        let first = Before { first_seen_at: now, status: GroupStatus::Unknown, since: None };
        let mut group = self.groups.remove(&looked.name).unwrap_or_else(|| GroupWatch::new(first));
        let mut judged = Judging { lags: self, looked, now, stale, events: Vec::new(), committed: BTreeMap::new(), moved: false };
        let (offsets, to_count) = judged.offsets(&mut group);
        judged.rebalance(&mut group);
        let members = looked.members.as_ref().map(Vec::len);
        let standing = group::standing(&offsets, members, group.before, now);
        judged.status_event(&group.before, &standing);
        let Judging { events, committed, moved, .. } = judged;
        // What is watched too shortly to say anything is no change: the status of before goes on until the next one is known.
        if standing.status != GroupStatus::Unknown || group.before.since.is_none() {
            group.before.status = standing.status;
            group.before.since = standing.since;
        }
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
        Judged { changed, seen, events, committed, to_count, moved }
    }

    /// The store has this now.
    pub(super) fn stored(&mut self, seen: SeenGroup) {
        if let Some(group) = self.groups.get_mut(&seen.name) {
            group.stored = Some(seen);
        }
    }

    /// Takes what a short read has counted.
    pub(super) fn counted(&mut self, group: &GroupName, place: &TopicPartition, from: i64, to: i64, records: i64) {
        if records < to - from {
            self.uncountable.insert(place.topic.clone());
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
        Self { before, watches: HashMap::new(), known: HashMap::new(), uncommitted: HashMap::new(), members: None, stored: None }
    }
}

/// One group being judged.
struct Judging<'a> {
    lags: &'a Lags,
    looked: &'a LookedGroup,
    now: Timestamp,
    stale: Duration,
    events: Vec<GroupEvent>,
    committed: BTreeMap<TopicName, i64>,
    moved: bool,
}

impl Judging<'_> {
    fn offsets(&mut self, group: &mut GroupWatch) -> (Vec<GroupOffset>, Vec<(TopicPartition, i64, i64)>) {
        let holders = Holders::new(self.looked.members.as_deref());
        let committed: HashMap<&TopicPartition, i64> = self.looked.committed.iter().map(|(place, at)| (place, *at)).collect();
        group.watches.retain(|place, _| committed.contains_key(place));
        let (mut offsets, mut to_count, mut jumps) = (Vec::new(), Vec::new(), BTreeMap::<TopicName, Vec<Jump>>::new());
        for (place, at) in &self.looked.committed {
            let Some(found) = self.lags.places.get(place).copied() else {
                offsets.push(GroupOffset {
                    verdict: verdict(GroupStatus::Unknown, "the partition's offsets are not known".to_owned()),
                    ..GroupOffset::new(place.topic.clone(), place.partition, Some(*at))
                });
                continue;
            };
            let found = Found {
                // Committed offsets are read before ends, so that lag is never negative.
                at: found.at.max(self.looked.at),
                committed: *at,
                log_start: found.offsets.log_start,
                end: found.offsets.end,
                last_stable: found.offsets.last_stable,
                holder: holders.of(place),
            };
            let watch = self.watch(group, place, found, &mut jumps);
            to_count.extend(watch.to_count().map(|(from, to)| (place.clone(), from, to)));
            let time_lag = self
                .lags
                .places
                .get(place)
                .and_then(|found| self.lags.ends.get(&found.id))
                .and_then(|ends| ends.time_lag(found_next(watch)));
            let uncountable = self.lags.uncountable.contains(&place.topic);
            offsets.push(offset(place, watch, time_lag, uncountable, self.now, self.stale));
        }
        self.jumps(jumps);
        group.uncommitted.retain(|place, _| holders.held.contains(place) && !committed.contains_key(place));
        for place in holders.held.iter().filter(|place| !committed.contains_key(place)) {
            let since = *group.uncommitted.entry(place.clone()).or_insert(self.now);
            offsets.push(self.without_commit(place, since));
        }
        offsets.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
        (offsets, to_count)
    }

    fn watch<'g>(
        &mut self,
        group: &'g mut GroupWatch,
        place: &TopicPartition,
        found: Found,
        jumps: &mut BTreeMap<TopicName, Vec<Jump>>,
    ) -> &'g mut Watch {
        let before = if let Some(watch) = group.watches.get_mut(place) {
            let before = watch.newest().committed;
            if let Some(jump) = watch.look(found) {
                jumps.entry(place.topic.clone()).or_default().push(jump);
            }
            Some(before)
        } else {
            let known = group.known.remove(place);
            let moved_at = known.and_then(|(before, moved_at)| if before == found.committed { moved_at } else { Some(found.at) });
            group.watches.insert(place.clone(), Watch::new(found, moved_at));
            known.map(|(before, _)| before)
        };
        self.moved |= before != Some(found.committed);
        let read = found.committed - before.unwrap_or(found.committed);
        *self.committed.entry(place.topic.clone()).or_default() += read.max(0);
        group.watches.get_mut(place).expect("was there or was inserted")
    }

    fn jumps(&mut self, jumps: BTreeMap<TopicName, Vec<Jump>>) {
        for (topic, jumps) in jumps {
            let back: i64 = jumps.iter().map(|jump| jump.from - jump.to).filter(|back| *back > 0).sum();
            let forward: i64 = jumps.iter().map(|jump| jump.to - jump.from).filter(|forward| *forward > 0).sum();
            let by_hand = jumps.iter().any(|jump| jump.by_hand);
            let kind = if by_hand { GroupEventKind::OffsetsSet } else { GroupEventKind::OffsetsBack };
            let mut detail = format!("{} {} of {topic}", jumps.len(), if jumps.len() == 1 { "partition" } else { "partitions" });
            for (offsets, way) in [(back, "back"), (forward, "forward")] {
                if offsets > 0 {
                    let _ = write!(detail, ", {offsets} {way}");
                }
            }
            self.event(kind, Some(topic), detail);
        }
    }

    fn without_commit(&self, place: &TopicPartition, since: Timestamp) -> GroupOffset {
        let found = self.lags.places.get(place);
        let empty = found.is_some_and(|found| found.offsets.end == found.offsets.log_start);
        let status = if empty {
            verdict(GroupStatus::CaughtUp, "nothing to read, and nothing committed".to_owned())
        } else if since.age_at(self.now) < FIRST_COMMIT {
            verdict(GroupStatus::Unknown, "held just now, and nothing committed yet".to_owned())
        } else {
            Verdict { since: Some(since), ..verdict(GroupStatus::NoCommit, "held by a member, and nothing was ever committed".to_owned()) }
        };
        GroupOffset {
            log_start: found.map(|found| found.offsets.log_start),
            end: found.map(|found| found.offsets.end),
            last_stable: found.and_then(|found| found.offsets.last_stable),
            verdict: status,
            ..GroupOffset::new(place.topic.clone(), place.partition, None)
        }
    }

    fn rebalance(&mut self, group: &mut GroupWatch) {
        let Some(members) = &self.looked.members else { return };
        let now: Members = members.iter().map(|member| (member.member_id.clone(), held(member).collect())).collect();
        if let Some(before) = group.members.replace(now.clone())
            && before != now
        {
            self.moved = true;
            let (came, went) =
                (now.keys().filter(|id| !before.contains_key(*id)).count(), before.keys().filter(|id| !now.contains_key(*id)).count());
            let mut detail = format!("{} {} now", now.len(), if now.len() == 1 { "member" } else { "members" });
            for (members, what) in [(came, "came"), (went, "went")] {
                if members > 0 {
                    let _ = write!(detail, ", {members} {what}");
                }
            }
            if came + went == 0 {
                detail.push_str(", partitions moved between them");
            }
            self.event(GroupEventKind::Rebalanced, None, detail);
        }
    }

    fn status_event(&mut self, before: &Before, now: &crate::model::lag::Standing) {
        // What was never judged has no status to change from.
        let told = |status: GroupStatus| status != GroupStatus::Unknown;
        if before.status != now.status && before.since.is_some() && told(now.status) && told(before.status) {
            let words = |status: GroupStatus| status.as_str().replace('_', " ");
            let detail = format!("{} after {}: {}", words(now.status), words(before.status), now.evidence);
            self.event(GroupEventKind::StatusChanged, None, detail);
        }
    }

    fn event(&mut self, kind: GroupEventKind, topic: Option<TopicName>, detail: String) {
        self.events.push(GroupEvent { at: self.now, kind, group: self.looked.name.clone(), topic, detail });
    }
}

/// Who holds which partition.
struct Holders {
    known: bool,
    members: usize,
    held: HashSet<TopicPartition>,
    topics: HashSet<TopicName>,
}

impl Holders {
    fn new(members: Option<&[GroupMember]>) -> Self {
        let held: HashSet<TopicPartition> = members.unwrap_or_default().iter().flat_map(held).collect();
        let topics = held.iter().map(|place| place.topic.clone()).collect();
        Self { known: members.is_some(), members: members.map_or(0, <[_]>::len), held, topics }
    }

    fn of(&self, place: &TopicPartition) -> Holder {
        if !self.known {
            Holder::Unknown
        } else if self.members == 0 {
            Holder::NoMembers
        } else if self.held.contains(place) {
            Holder::Member
        } else if self.topics.contains(&place.topic) {
            Holder::Nobody
        } else {
            // Members that read other topics: nobody is there for this one.
            Holder::NoMembers
        }
    }
}

fn held(member: &GroupMember) -> impl Iterator<Item = TopicPartition> {
    let places = |(topic, numbers): &(TopicName, Vec<i32>)| {
        numbers.iter().map(|number| TopicPartition { topic: topic.clone(), partition: *number }).collect::<Vec<_>>()
    };
    member.assignment.iter().flat_map(places).collect::<Vec<_>>().into_iter()
}

/// The next offset that can be read.
fn found_next(watch: &Watch) -> i64 {
    let found = watch.newest();
    found.committed.max(found.log_start) + watch.not_records().filter(|none| *none == found.end - found.committed).unwrap_or(0)
}

fn verdict(status: GroupStatus, evidence: String) -> Verdict {
    Verdict { status, since: None, evidence, looks: None }
}

fn offset(
    place: &TopicPartition,
    watch: &Watch,
    time_lag: Option<TimeLag>,
    uncountable: bool,
    now: Timestamp,
    stale: Duration,
) -> GroupOffset {
    let found = watch.newest();
    let mut verdict = watch.judge(time_lag, now, stale);
    if verdict.status == GroupStatus::CaughtUp && watch.lag() == 0 {
        // Nothing moved: two looks would say nothing, and differ each time.
        verdict.looks = None;
    }
    let millis = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    GroupOffset {
        topic: place.topic.clone(),
        partition: place.partition,
        committed: Some(found.committed),
        log_start: Some(found.log_start),
        end: Some(found.end),
        last_stable: found.last_stable,
        not_records: watch.not_records(),
        at_most: uncountable && watch.lag() > 0 && watch.not_records().is_none(),
        time_lag: time_lag.map(|lag| TimeLagMillis {
            min: millis(lag.min),
            max: lag.max.map(millis),
            estimate: lag.estimate.map(millis),
            looked_up: lag.looked_up,
        }),
        moved_at: watch.moved_at(),
        verdict,
    }
}
