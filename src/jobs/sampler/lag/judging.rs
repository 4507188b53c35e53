//! One look at one group: its partitions one by one, who holds them, and what differs from the look before.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;
use std::time::Duration;

use super::super::groups::LookedGroup;
use super::{GroupWatch, Lags, Members, Place};
use crate::metrics::group::Before;
use crate::metrics::history::TimeLag;
use crate::metrics::status::{Found, Holder, Jump, Watch};
use crate::model::bus::GroupMember;
use crate::model::group_event::{GroupEvent, GroupEventKind};
use crate::model::lag::{GroupOffset, GroupStatus, Standing, TimeLagMillis, Verdict};
use crate::model::names::TopicPartition;
use crate::model::{Timestamp, TopicName};

/// A group that holds a partition may take so long to its first commit.
const FIRST_COMMIT: Duration = Duration::from_mins(1);

/// One group being judged.
pub(super) struct Judging<'a> {
    pub(super) lags: &'a Lags,
    pub(super) looked: &'a LookedGroup,
    pub(super) now: Timestamp,
    pub(super) stale: Duration,
    pub(super) events: Vec<GroupEvent>,
    pub(super) committed: BTreeMap<TopicName, i64>,
    pub(super) lost: BTreeMap<TopicName, i64>,
    pub(super) moved: bool,
}

impl Judging<'_> {
    pub(super) fn offsets(&mut self, group: &mut GroupWatch) -> (Vec<GroupOffset>, Vec<(TopicPartition, i64, i64)>) {
        let holders = Holders::new(self.looked.members.as_deref());
        let committed: HashMap<&TopicPartition, i64> = self.looked.committed.iter().map(|(place, at)| (place, *at)).collect();
        group.watches.retain(|place, _| committed.contains_key(place));
        group.untold.clear();
        let (mut offsets, mut to_count, mut jumps) = (Vec::new(), Vec::new(), BTreeMap::<TopicName, Vec<Jump>>::new());
        for (place, at) in &self.looked.committed {
            let read = self.lags.places.get(place).copied();
            let Some(found) = read.filter(|found| found.tells(self.now, self.stale)) else {
                offsets.push(untold(group, (place, *at), read));
                group.untold.insert(place.clone());
                continue;
            };
            let found = Found {
                // Committed offsets are read before ends, so that lag is never negative. An end that could not be read this time was
                // read before: what was committed since says nothing about it, and the look is no newer than the end.
                at: found.at,
                committed: if found.at < self.looked.at { (*at).min(found.offsets.end) } else { *at },
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
            let uncountable = self.lags.uncountable.contains_key(&place.topic);
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
        let mut skipped = false;
        let (before, log_start) = if let Some(watch) = group.watches.get_mut(place) {
            let mut before = (Some(watch.newest().committed), Some(watch.newest().log_start));
            if found.at <= watch.newest().at {
                // The end is none that was read since, or a clock was set back: this look is not taken, and what it shows is counted
                // with the next one that is.
                before = (Some(found.committed), None);
            }
            // Whoever had read everything can only have read what came since, however seldom he does.
            let was_behind = watch.newest().committed < watch.newest().end;
            if let Some(jump) = watch.look(found) {
                skipped = jump.by_hand && was_behind;
                jumps.entry(place.topic.clone()).or_default().push(jump);
            }
            before
        } else {
            let known = group.known.remove(place);
            let moved_at = known.and_then(|known| if known.committed == found.committed { known.moved_at } else { Some(found.at) });
            let losing_since = known.and_then(|known| known.losing_since);
            group.watches.insert(place.clone(), Watch::new(found, moved_at).losing_since(losing_since));
            (known.map(|known| known.committed), known.and_then(|known| known.log_start))
        };
        self.moved |= before != Some(found.committed);
        // Who was set forward has read nothing of what lies between.
        let read = if skipped { 0 } else { read(before, log_start, found.committed) };
        *self.committed.entry(place.topic.clone()).or_default() += read;
        let lost = newly_lost(found.committed, found.log_start, log_start);
        if lost > 0 {
            *self.lost.entry(place.topic.clone()).or_default() += lost;
        }
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
        let read = self.lags.places.get(place);
        let found = read.filter(|found| found.tells(self.now, self.stale));
        let empty = found.is_some_and(|found| found.offsets.end == found.offsets.log_start);
        let status = if let Some(read) = read.filter(|_| found.is_none()) {
            Verdict { since: Some(read.at), ..verdict(GroupStatus::Unknown, read.unread().to_owned()) }
        } else if empty {
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

    pub(super) fn rebalance(&mut self, group: &mut GroupWatch) {
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

    pub(super) fn status_event(&mut self, before: &Before, now: &Standing) {
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
    /// How many there are; `None` where nobody knows.
    members: Option<usize>,
    held: HashSet<TopicPartition>,
}

impl Holders {
    fn new(members: Option<&[GroupMember]>) -> Self {
        Self { members: members.map(<[_]>::len), held: members.unwrap_or_default().iter().flat_map(held).collect() }
    }

    fn of(&self, place: &TopicPartition) -> Holder {
        match self.members {
            None => Holder::Unknown,
            Some(0) => Holder::NoMembers,
            Some(_) if self.held.contains(place) => Holder::Member,
            // While a group rebalances, none of its members holds anything.
            Some(_) => Holder::Nobody,
        }
    }
}

fn held(member: &GroupMember) -> impl Iterator<Item = TopicPartition> {
    let places = |(topic, numbers): &(TopicName, Vec<i32>)| {
        numbers.iter().map(|number| TopicPartition { topic: topic.clone(), partition: *number }).collect::<Vec<_>>()
    };
    member.assignment.iter().flat_map(places).collect::<Vec<_>>().into_iter()
}

/// Offsets that a group has read since the look before. What was gone by then it can only have passed over.
fn read(before: Option<i64>, log_start: Option<i64>, committed: i64) -> i64 {
    before.map_or(0, |before| (committed - before.max(log_start.unwrap_or(before))).max(0))
}

/// Offsets removed since the look before that were not read. What was gone when nobody had looked yet is nobody's news, and neither is
/// what a group that was set back had read before.
pub(super) fn newly_lost(committed: i64, log_start: i64, before: Option<i64>) -> i64 {
    before.map_or(0, |before| (log_start - committed.max(before)).max(0))
}

/// A position beside offsets that could not be read for too long, or never were.
fn untold(group: &GroupWatch, (place, committed): (&TopicPartition, i64), read: Option<Place>) -> GroupOffset {
    let (watch, known) = (group.watches.get(place), group.known.get(place));
    let evidence = read.map_or("the partition's offsets are not known", |read| read.unread());
    GroupOffset {
        // Up to here losses were counted: what is gone since then is told when the partition can be read again.
        log_start: watch
            .map(|watch| watch.newest().log_start)
            .or(known.and_then(|known| known.log_start))
            .or(read.map(|read| read.offsets.log_start)),
        moved_at: watch.and_then(Watch::moved_at).or(known.and_then(|known| known.moved_at)),
        verdict: Verdict { since: read.map(|read| read.at), ..verdict(GroupStatus::Unknown, evidence.to_owned()) },
        ..GroupOffset::new(place.topic.clone(), place.partition, Some(committed))
    }
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
    watch: &mut Watch,
    time_lag: Option<TimeLag>,
    uncountable: bool,
    now: Timestamp,
    stale: Duration,
) -> GroupOffset {
    let mut verdict = watch.judge(time_lag, now, stale);
    let found = watch.newest();
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

#[cfg(test)]
mod tests {
    use super::{newly_lost, read};

    #[test]
    fn what_was_gone_before_it_was_read_is_passed_over_and_not_read() {
        for (before, log_start, committed, count) in [
            (Some(40), Some(0), 100, 60),
            (Some(40), Some(90), 100, 10),
            // Read and then deleted, as Kafka Streams does: the log began before it.
            (Some(40), Some(40), 100, 60),
            (Some(100), Some(0), 40, 0),
            (Some(40), Some(90), 60, 0),
            (Some(40), None, 100, 60),
            (None, None, 100, 0),
        ] {
            assert_eq!(read(before, log_start, committed), count, "{before:?} {log_start:?} {committed}");
        }
    }

    #[test]
    fn what_is_removed_between_two_looks_and_was_not_read_is_lost_once() {
        for (committed, log_start, before, lost) in [
            (40, 100, Some(0), 60),
            (40, 100, Some(100), 0),
            (40, 130, Some(100), 30),
            (100, 100, Some(0), 0),
            (40, 100, None, 0),
            // Set back below what is gone: it had been read.
            (10, 100, Some(100), 0),
            // A new life of the topic.
            (40, 0, Some(1_000), 0),
        ] {
            assert_eq!(newly_lost(committed, log_start, before), lost, "{committed} {log_start} {before:?}");
        }
    }
}
