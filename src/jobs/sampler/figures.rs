//! Turns looks into samples: one frame per sweep, and the ends of all partitions beside it, from which the next one counts on.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::Context;
use super::lag::{Judged, Lags};
use crate::bus::PartitionOffsets;
use crate::metrics::bucket::Point;
use crate::metrics::ends;
use crate::metrics::group::{self, Before};
use crate::model::figure::{Figure, Labels, SeriesKey};
use crate::model::lag::{GroupOffset, GroupStatus};
use crate::model::{BusId, GroupName, Timestamp, TopicName};
use crate::store::StoreError;
use crate::store::consumer_groups::SeenGroup;
use crate::store::figures::NewFrame;
use crate::store::topics::StoredTopic;

/// Ends are kept for lag in time this often.
const SNAPSHOT: Duration = Duration::from_mins(1);
/// So far back lag in time can be read.
const HISTORY: Duration = Duration::from_hours(48);

/// By topic.
type Statuses = BTreeMap<TopicName, Stood>;

/// How a group stands on a topic.
#[derive(Debug, Clone, Copy)]
struct Stood {
    status: GroupStatus,
    since: Timestamp,
    /// What it was before nothing could be said: it goes on where it is the same afterwards.
    before: Option<(GroupStatus, Timestamp)>,
}

/// What the frames of one bus go on from.
pub(super) struct Figures {
    bus: BusId,
    source: String,
    /// When the newest frame was taken, and the ends of then.
    last: Option<(Timestamp, HashMap<i64, i64>)>,
    begun: bool,
    snapshot_at: Option<Timestamp>,
    /// Groups as last judged, for those that were not looked at this time.
    groups: HashMap<GroupName, SeenGroup>,
    /// Committed since the last frame.
    committed: BTreeMap<(GroupName, TopicName), i64>,
    /// Removed unread, and told in no frame yet.
    lost: BTreeMap<(GroupName, TopicName), i64>,
    /// The status of each group on each of its topics, and since when.
    statuses: HashMap<GroupName, Statuses>,
}

impl Figures {
    pub(super) fn new(bus: &BusId) -> Self {
        Self {
            bus: bus.clone(),
            source: format!("bus:{bus}"),
            last: None,
            begun: false,
            snapshot_at: None,
            groups: HashMap::new(),
            committed: BTreeMap::new(),
            lost: BTreeMap::new(),
            statuses: HashMap::new(),
        }
    }

    /// Takes up where the last sampler of this bus stopped.
    pub(super) async fn begin(&mut self, context: &Context, lags: &mut Lags, now: Timestamp) -> Result<(), StoreError> {
        if self.begun {
            return Ok(());
        }
        let store = &context.store;
        let damaged = |_| StoreError::Broken("the ends kept with the figures are damaged".to_owned());
        self.last = match store.figure_source(&self.source).await? {
            Some((at, state)) => {
                let ends = ends::decode(state.as_deref().unwrap_or_default()).map_err(damaged)?;
                Some((at, ends.into_iter().collect()))
            }
            None => None,
        };
        lags.begin(store.list_known_groups(&self.bus).await?);
        for (at, state) in store.list_snapshots(&self.source, now.minus(HISTORY), now).await? {
            lags.remember(at, &ends::decode(&state).map_err(damaged)?);
        }
        self.begun = true;
        Ok(())
    }

    /// Remembers what a look at groups came to, until the next frame.
    pub(super) fn judged(&mut self, judged: &Judged, now: Timestamp) {
        let name = &judged.seen.name;
        for (topic, offsets) in &judged.committed {
            *self.committed.entry((name.clone(), topic.clone())).or_default() += offsets;
        }
        // What an abandoned group does not read is nobody's loss.
        for (topic, offsets) in judged.lost.iter().filter(|_| !judged.seen.standing.parked) {
            *self.lost.entry((name.clone(), topic.clone())).or_default() += offsets;
        }
        self.stand(&judged.seen, now);
        self.groups.insert(name.clone(), judged.seen.clone());
    }

    /// Tells of lost records at once and in frames of their own, before the store knows the log starts by which they were found: who is
    /// killed in between counts them again, and forgets none.
    pub(super) async fn write_losses(&mut self, context: &Context, now: Timestamp) -> Result<(), StoreError> {
        if !self.lost.is_empty() {
            // Where another instance looked meanwhile, it has counted them too.
            add_frame(context, &format!("losses:{}", self.bus), self.loss_points(), now).await?;
            self.lost.clear();
        }
        Ok(())
    }

    fn loss_points(&self) -> Vec<(SeriesKey, Point)> {
        let labels = |group: &GroupName, topic: &TopicName| Labels::bus(&self.bus).topic(topic).consumer_group(group);
        let point =
            |((group, topic), lost): (&(GroupName, TopicName), &i64)| (key(Figure::RecordsLost, labels(group, topic)), count(*lost));
        self.lost.iter().map(point).collect()
    }

    /// Takes in how a group stands on each of its topics. Where that was not watched before, its standing as a whole goes on.
    fn stand(&mut self, seen: &SeenGroup, now: Timestamp) {
        let mut topics: BTreeMap<&TopicName, Vec<GroupOffset>> = BTreeMap::new();
        for offset in &seen.offsets {
            topics.entry(&offset.topic).or_default().push(offset.clone());
        }
        let (members, known) = (seen.members.as_ref().map(Vec::len), self.statuses.remove(&seen.name).unwrap_or_default());
        let stand = |(topic, offsets): (&TopicName, Vec<GroupOffset>)| {
            let known = known.get(topic);
            let told = |status: GroupStatus| status != GroupStatus::Unknown;
            let own = known.and_then(|stood| if told(stood.status) { Some((stood.status, stood.since)) } else { stood.before });
            let before = own.or(seen.standing.since.filter(|_| told(seen.standing.status)).map(|since| (seen.standing.status, since)));
            let (status, since) = before.map_or((GroupStatus::Unknown, None), |(status, since)| (status, Some(since)));
            let of_topic = group::standing(&offsets, members, Before { first_seen_at: now, status, since, behind_since: None }, now);
            let since = match known {
                Some(stood) if !told(of_topic.status) && !told(stood.status) => stood.since,
                _ => of_topic.since.unwrap_or(now),
            };
            (topic.clone(), Stood { status: of_topic.status, since, before: before.filter(|_| !told(of_topic.status)) })
        };
        let statuses = topics.into_iter().map(stand).collect();
        self.statuses.insert(seen.name.clone(), statuses);
    }

    /// Forgets groups that are gone.
    pub(super) fn keep(&mut self, alive: &[GroupName]) {
        let alive: std::collections::HashSet<&GroupName> = alive.iter().collect();
        self.groups.retain(|name, _| alive.contains(name));
        self.statuses.retain(|name, _| alive.contains(name));
    }

    /// Writes a sweep's samples.
    pub(super) async fn write(
        &mut self,
        context: &Context,
        topics: &[StoredTopic],
        offsets: &HashMap<i64, PartitionOffsets>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut ends: HashMap<i64, i64> = offsets.iter().map(|(id, offsets)| (*id, offsets.end)).collect();
        let mut points = self.topic_points(topics, &ends);
        self.group_points(&mut points, now);
        points.push((key(Figure::BusReachable, Labels::bus(&self.bus)), Point::Level(1.0)));
        if let Some((_, before)) = &self.last {
            // A partition that could not be read this time is counted on from where it was.
            let living: std::collections::HashSet<i64> = topics.iter().flat_map(|topic| topic.partitions.iter().map(|p| p.id)).collect();
            for (id, end) in before.iter().filter(|(id, _)| living.contains(*id)) {
                ends.entry(*id).or_insert(*end);
            }
        }
        let state = ends::encode(ends.iter().map(|(id, end)| (*id, *end)));
        let snapshot = self.snapshot_at.is_none_or(|at| at.age_at(now) >= SNAPSHOT);
        let after = self.last.as_ref().map(|(at, _)| *at);
        let frame = NewFrame { source: &self.source, after, taken_at: now, points, state: Some(state), snapshot };
        if context.store.add_frame(frame).await? {
            self.last = Some((now, ends));
            self.committed.clear();
            if snapshot {
                self.snapshot_at = Some(now);
            }
        } else {
            // Another instance sampled meanwhile, and has counted what we have: the next sweep asks again where the figures stand.
            self.begun = false;
            self.committed.clear();
        }
        Ok(())
    }

    /// Messages written, by topic and in all.
    fn topic_points(&self, topics: &[StoredTopic], ends: &HashMap<i64, i64>) -> Vec<(SeriesKey, Point)> {
        let Some((at, before)) = &self.last else { return Vec::new() };
        let (mut points, mut all) = (Vec::new(), 0);
        for topic in topics {
            // What appeared since has been written since; what could not be read before has not.
            let new = topic.generation.first_seen_at > *at;
            let written = |partition: i64| {
                let end = ends.get(&partition)?;
                let before = before.get(&partition).copied().or(new.then_some(0))?;
                Some((end - before).max(0))
            };
            let told: Vec<i64> = topic.partitions.iter().filter_map(|partition| written(partition.id)).collect();
            if told.is_empty() && !topic.partitions.is_empty() {
                // Nobody knows, which is not nothing.
                continue;
            }
            let written: i64 = told.iter().sum();
            if !topic.generation.internal {
                all += written;
            }
            points.push((key(Figure::TopicMessagesPerSecond, Labels::bus(&self.bus).topic(&topic.generation.topic)), count(written)));
        }
        points.push((key(Figure::BusMessagesPerSecond, Labels::bus(&self.bus)), count(all)));
        points
    }

    /// Lag, speed and status of groups.
    fn group_points(&self, points: &mut Vec<(SeriesKey, Point)>, now: Timestamp) {
        for (name, group) in &self.groups {
            let labels = || Labels::bus(&self.bus).consumer_group(name);
            let mut topics: BTreeMap<&TopicName, OfTopic> = BTreeMap::new();
            for offset in &group.offsets {
                topics.entry(&offset.topic).or_default().add(offset);
            }
            for (topic, sums) in topics {
                let of_topic = || labels().topic(topic);
                if let Some(lag) = sums.lag.filter(|_| sums.unread == 0) {
                    points.push((key(Figure::ConsumerGroupLagMessages, of_topic()), level(lag)));
                }
                // Nor does anybody worry how late it is. Where some partitions cannot be read, the others are late all the same.
                if let Some(millis) = sums.lag_millis
                    && (sums.unread == 0 || millis > 0)
                    && !group.standing.parked
                {
                    #[expect(clippy::cast_precision_loss, reason = "a time in seconds")]
                    points.push((key(Figure::ConsumerGroupLagSeconds, of_topic()), Point::Level(millis as f64 / 1e3)));
                }
                if let Some(stood) = self.statuses.get(name).and_then(|statuses| statuses.get(topic))
                    && !group.standing.parked
                {
                    points.extend(status_point(of_topic(), stood.status, stood.since, now));
                    // What cannot be read has not got better: who waits for it to end goes on waiting.
                    if let Some((status, since)) = stood.before.filter(|_| sums.unread > 0) {
                        points.extend(status_point(of_topic(), status, since, now));
                    }
                }
                if self.last.is_some() && sums.unread < sums.partitions {
                    let read = self.committed.get(&(name.clone(), topic.clone())).copied().unwrap_or(0);
                    points.push((key(Figure::ConsumerGroupMessagesPerSecond, of_topic()), count(read)));
                }
            }
            // Without a position there is no topic to name.
            if group.offsets.is_empty()
                && !group.standing.parked
                && let Some(since) = group.standing.since
            {
                points.extend(status_point(labels(), group.standing.status, since, now));
            }
        }
    }
}

/// Positions on one topic, added up.
#[derive(Default)]
struct OfTopic {
    lag: Option<i64>,
    lag_millis: Option<i64>,
    partitions: usize,
    /// Partitions of which nobody knows how much is left: a sum without them would look as if it were less.
    unread: usize,
}

impl OfTopic {
    fn add(&mut self, offset: &GroupOffset) {
        if let Some(lag) = offset.lag_messages() {
            self.lag = Some(self.lag.unwrap_or(0) + lag);
        }
        self.lag_millis = self.lag_millis.max(lag_millis(offset));
        self.partitions += 1;
        self.unread += usize::from(offset.committed.is_some() && offset.end.is_none());
    }
}

/// For how long a status lasts; to be up to date is none that anybody waits for to end.
fn status_point(labels: Labels, status: GroupStatus, since: Timestamp, now: Timestamp) -> Option<(SeriesKey, Point)> {
    let labels = labels.status(status.as_str());
    let told = (key(Figure::ConsumerGroupStatusSeconds, labels), Point::Level(since.age_at(now).as_secs_f64()));
    (status != GroupStatus::CaughtUp).then_some(told)
}

const fn key(figure: Figure, labels: Labels) -> SeriesKey {
    SeriesKey { figure, labels }
}

/// Says that the bus did not answer; a source of its own, so that counts go on from the last sweep that did.
pub(super) async fn unreachable(context: &Context, bus: &BusId, now: Timestamp) -> Result<(), StoreError> {
    let points = vec![(key(Figure::BusReachable, Labels::bus(bus)), Point::Level(0.0))];
    add_frame(context, &format!("reach:{bus}"), points, now).await
}

/// Adds to a source that keeps nothing but its frames.
async fn add_frame(context: &Context, source: &str, points: Vec<(SeriesKey, Point)>, now: Timestamp) -> Result<(), StoreError> {
    let after = context.store.figure_source(source).await?.map(|(at, _)| at);
    context.store.add_frame(NewFrame { source, after, taken_at: now, points, state: None, snapshot: false }).await?;
    Ok(())
}

/// Lag in time that is shown: in between where both bounds are known, else what is certain.
fn lag_millis(offset: &GroupOffset) -> Option<i64> {
    offset.time_lag.map(|lag| lag.estimate.unwrap_or(lag.min))
}

#[expect(clippy::cast_precision_loss, reason = "offsets between two sweeps")]
fn count(offsets: i64) -> Point {
    Point::Count(offsets as f64)
}

#[expect(clippy::cast_precision_loss, reason = "messages left to read")]
fn level(messages: i64) -> Point {
    Point::Level(messages as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::lag::{Standing, TimeLagMillis, Verdict};

    const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_000);

    fn seen(offsets: Vec<GroupOffset>, status: GroupStatus, since: Option<Timestamp>, parked: bool) -> SeenGroup {
        SeenGroup {
            name: "billing".into(),
            kind: "classic".to_owned(),
            state: "Stable".to_owned(),
            members: None,
            offsets,
            standing: Standing { status, since, evidence: String::new(), parked, behind_since: None },
        }
    }

    fn offset(topic: &str, status: GroupStatus) -> GroupOffset {
        let verdict = Verdict { status, since: None, evidence: String::new(), looks: None };
        GroupOffset { log_start: Some(70), end: Some(100), verdict, ..GroupOffset::new(topic.into(), 0, Some(40)) }
    }

    fn judged(seen: SeenGroup, lost: i64) -> Judged {
        let lost = BTreeMap::from([("orders".into(), lost)]);
        Judged { lost, ..Judged::untold(seen, None) }
    }

    fn points(figures: &Figures, figure: Figure, now: Timestamp) -> Vec<(Labels, Point)> {
        let mut points = Vec::new();
        figures.group_points(&mut points, now);
        points.into_iter().filter(|(key, _)| key.figure == figure).map(|(key, point)| (key.labels, point)).collect()
    }

    #[test]
    fn what_a_parked_group_did_not_read_is_lost_to_nobody() {
        let lost = |parked| {
            let mut figures = Figures::new(&"prod".into());
            let time_lag = Some(TimeLagMillis { min: 7_200_000, max: None, estimate: None, looked_up: true });
            let offset = || GroupOffset { time_lag, ..offset("orders", GroupStatus::Stopped) };
            let group = || seen(vec![offset()], GroupStatus::Stopped, Some(NOW), parked);
            figures.judged(&judged(group(), 30), NOW);
            figures.judged(&judged(group(), 12), NOW);
            let of = |figure| points(&figures, figure, NOW).pop().map(|(_, point)| point);
            let lost: Vec<Point> = figures.loss_points().into_iter().map(|(_, point)| point).collect();
            (lost, [Figure::ConsumerGroupLagSeconds, Figure::ConsumerGroupLagMessages].map(of))
        };
        let level = |value| Some(Point::Level(value));
        assert_eq!(lost(false), (vec![Point::Count(42.0)], [level(7_200.0), level(30.0)]), "since the last frame, added up");
        assert_eq!(lost(true), (Vec::new(), [None, level(30.0)]), "what it has to read is told all the same");
    }

    #[test]
    fn of_a_topic_that_nobody_tells_of_no_throughput_is_sampled() {
        let topics = [super::super::tests::topic(&[1, 2])];
        let mut figures = Figures::new(&"prod".into());
        figures.last = Some((NOW, HashMap::from([(1, 10), (2, 20)])));
        let written = |ends: &[(i64, i64)]| {
            let points = figures.topic_points(&topics, &ends.iter().copied().collect());
            points.into_iter().find(|(key, _)| key.figure == Figure::TopicMessagesPerSecond).map(|(_, point)| point)
        };
        assert_eq!(written(&[(1, 10), (2, 25)]), Some(Point::Count(5.0)));
        assert_eq!(written(&[(2, 20)]), Some(Point::Count(0.0)), "what is told of some");
        assert_eq!(written(&[]), None, "which is not nothing");
    }

    #[test]
    fn of_a_topic_with_a_partition_that_cannot_be_read_no_lag_is_sampled() {
        let mut figures = Figures::new(&"prod".into());
        figures.last = Some((NOW, HashMap::new()));
        let unread = || GroupOffset { partition: 1, end: None, ..offset("orders", GroupStatus::Unknown) };
        let group = |offsets| judged(seen(offsets, GroupStatus::Unknown, Some(NOW), false), 0);
        let lag = |figures: &Figures| points(figures, Figure::ConsumerGroupLagMessages, NOW).len();
        let reads = |figures: &Figures| points(figures, Figure::ConsumerGroupMessagesPerSecond, NOW).len();
        figures.judged(&group(vec![offset("orders", GroupStatus::CaughtUp), offset("returns", GroupStatus::CaughtUp)]), NOW);
        assert_eq!((lag(&figures), reads(&figures)), (2, 2));
        figures.judged(&group(vec![offset("orders", GroupStatus::CaughtUp), unread(), offset("returns", GroupStatus::CaughtUp)]), NOW);
        assert_eq!((lag(&figures), reads(&figures)), (1, 2), "what the others have left is not what the group has left");
        figures.judged(&group(vec![unread()]), NOW);
        assert_eq!((lag(&figures), reads(&figures)), (0, 0));
    }

    #[test]
    fn who_stood_still_before_he_could_not_be_read_is_told_to_stand_still() {
        let mut figures = Figures::new(&"prod".into());
        let group = |of| judged(seen(vec![of], GroupStatus::Unknown, Some(NOW), false), 0);
        figures.judged(&group(offset("orders", GroupStatus::Stalled)), NOW);
        let later = NOW.plus(Duration::from_secs(600));
        figures.judged(&group(GroupOffset { end: None, ..offset("orders", GroupStatus::Unknown) }), later);
        let told = points(&figures, Figure::ConsumerGroupStatusSeconds, later.plus(Duration::from_secs(5)));
        let of = |status: &str| Labels::bus(&"prod".into()).topic(&"orders".into()).consumer_group(&"billing".into()).status(status);
        assert!(told.contains(&(of("unknown"), Point::Level(5.0))) && told.contains(&(of("stalled"), Point::Level(605.0))), "{told:?}");
    }

    #[test]
    fn a_status_is_told_by_topic_and_goes_on_over_restarts() {
        let mut figures = Figures::new(&"prod".into());
        let group = |orders, returns| {
            let offsets = vec![offset("orders", orders), offset("returns", returns)];
            seen(offsets, GroupStatus::Stalled, Some(NOW.minus(Duration::from_secs(600))), false)
        };
        // What a former life knew of the group as a whole goes on where a topic stands the same.
        figures.judged(&judged(group(GroupStatus::Stalled, GroupStatus::CaughtUp), 0), NOW);
        let later = NOW.plus(Duration::from_secs(60));
        figures.judged(&judged(group(GroupStatus::Stalled, GroupStatus::FallingBehind), 0), later);
        let of =
            |topic: &str, status: &str| Labels::bus(&"prod".into()).topic(&topic.into()).consumer_group(&"billing".into()).status(status);
        let told = points(&figures, Figure::ConsumerGroupStatusSeconds, later.plus(Duration::from_secs(5)));
        let expected = [(of("orders", "stalled"), Point::Level(665.0)), (of("returns", "falling_behind"), Point::Level(5.0))];
        assert_eq!(told, expected);
        // What can be said of nothing for a moment begins nothing anew.
        let unknown = later.plus(Duration::from_secs(60));
        figures.judged(&judged(group(GroupStatus::Unknown, GroupStatus::Unknown), 0), unknown);
        let told = points(&figures, Figure::ConsumerGroupStatusSeconds, unknown.plus(Duration::from_secs(5)));
        assert_eq!(told, [(of("orders", "unknown"), Point::Level(5.0)), (of("returns", "unknown"), Point::Level(5.0))]);
        figures.judged(&judged(group(GroupStatus::Stalled, GroupStatus::CaughtUp), 0), unknown.plus(Duration::from_secs(15)));
        let told = points(&figures, Figure::ConsumerGroupStatusSeconds, unknown.plus(Duration::from_secs(15)));
        assert_eq!(told, [(of("orders", "stalled"), Point::Level(735.0))]);
        figures.judged(&judged(seen(Vec::new(), GroupStatus::NoCommit, Some(NOW), false), 0), later);
        let labels = Labels::bus(&"prod".into()).consumer_group(&"billing".into()).status("no_commit");
        assert_eq!(points(&figures, Figure::ConsumerGroupStatusSeconds, later), [(labels, Point::Level(60.0))], "no position, no topic");
    }
}
