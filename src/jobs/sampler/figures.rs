//! Turns looks into samples: one frame per sweep, and the ends of all partitions beside it, from which the next one counts on.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::Context;
use super::lag::{Judged, Lags};
use crate::bus::PartitionOffsets;
use crate::metrics::bucket::Point;
use crate::metrics::ends;
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
    pub(super) fn judged(&mut self, judged: &Judged) {
        let name = &judged.seen.name;
        for (topic, offsets) in &judged.committed {
            *self.committed.entry((name.clone(), topic.clone())).or_default() += offsets;
        }
        self.groups.insert(name.clone(), judged.seen.clone());
    }

    /// Forgets groups that are gone.
    pub(super) fn keep(&mut self, alive: &[GroupName]) {
        let alive: std::collections::HashSet<&GroupName> = alive.iter().collect();
        self.groups.retain(|name, _| alive.contains(name));
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
            // Another instance sampled meanwhile: the next sweep asks again where the figures stand.
            self.begun = false;
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
            let written: i64 = topic.partitions.iter().filter_map(|partition| written(partition.id)).sum();
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
            let mut topics: BTreeMap<&TopicName, (Option<i64>, Option<i64>, i64)> = BTreeMap::new();
            for offset in &group.offsets {
                let sums = topics.entry(&offset.topic).or_default();
                if let Some(lag) = offset.lag_messages() {
                    sums.0 = Some(sums.0.unwrap_or(0) + lag);
                }
                sums.1 = sums.1.max(lag_millis(offset));
                sums.2 += offset.deleted_messages().unwrap_or(0);
            }
            for (topic, (lag, millis, deleted)) in topics {
                let of_topic = || labels().topic(topic);
                if let Some(lag) = lag {
                    points.push((key(Figure::ConsumerGroupLagMessages, of_topic()), level(lag)));
                }
                // Nor does anybody worry how late it is.
                if let Some(millis) = millis
                    && !group.standing.parked
                {
                    #[expect(clippy::cast_precision_loss, reason = "a time in seconds")]
                    points.push((key(Figure::ConsumerGroupLagSeconds, of_topic()), Point::Level(millis as f64 / 1e3)));
                }
                // What an abandoned group does not read is nobody's loss.
                if deleted > 0 && !group.standing.parked {
                    points.push((key(Figure::RecordsLost, of_topic()), level(deleted)));
                }
                if self.last.is_some() {
                    let read = self.committed.get(&(name.clone(), topic.clone())).copied().unwrap_or(0);
                    points.push((key(Figure::ConsumerGroupMessagesPerSecond, of_topic()), count(read)));
                }
            }
            if group.standing.status != GroupStatus::CaughtUp
                && !group.standing.parked
                && let Some(since) = group.standing.since
            {
                let seconds = since.age_at(now).as_secs_f64();
                let labels = labels().status(group.standing.status.as_str());
                points.push((key(Figure::ConsumerGroupStatusSeconds, labels), Point::Level(seconds)));
            }
        }
    }
}

const fn key(figure: Figure, labels: Labels) -> SeriesKey {
    SeriesKey { figure, labels }
}

/// Says that the bus did not answer; a source of its own, so that counts go on from the last sweep that did.
pub(super) async fn unreachable(context: &Context, bus: &BusId, now: Timestamp) -> Result<(), StoreError> {
    let source = format!("reach:{bus}");
    let after = context.store.figure_source(&source).await?.map(|(at, _)| at);
    let points = vec![(SeriesKey { figure: Figure::BusReachable, labels: Labels::bus(bus) }, Point::Level(0.0))];
    context.store.add_frame(NewFrame { source: &source, after, taken_at: now, points, state: None, snapshot: false }).await?;
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
    use crate::model::lag::{Standing, TimeLagMillis};

    #[test]
    fn what_a_parked_group_did_not_read_is_lost_to_nobody() {
        let now = Timestamp::from_millis(1_767_225_600_000);
        let lost = |parked| {
            let time_lag = Some(TimeLagMillis { min: 7_200_000, max: None, estimate: None, looked_up: true });
            let offset = GroupOffset { log_start: Some(70), end: Some(100), time_lag, ..GroupOffset::new("orders".into(), 0, Some(40)) };
            let standing = Standing { status: GroupStatus::Stopped, since: Some(now), evidence: String::new(), parked };
            let group = SeenGroup {
                name: "billing".into(),
                kind: "classic".to_owned(),
                state: "Empty".to_owned(),
                members: None,
                offsets: vec![offset],
                standing,
            };
            let mut figures = Figures::new(&"prod".into());
            figures.groups.insert(group.name.clone(), group);
            let mut points = Vec::new();
            figures.group_points(&mut points, now);
            let of = |figure| points.iter().find(|(key, _)| key.figure == figure).map(|(_, point)| point.clone());
            [Figure::RecordsLost, Figure::ConsumerGroupLagSeconds, Figure::ConsumerGroupLagMessages].map(of)
        };
        let level = |value| Some(Point::Level(value));
        assert_eq!(lost(false), [level(30.0), level(7_200.0), level(30.0)]);
        assert_eq!(lost(true), [None, None, level(30.0)], "what it has to read is told all the same");
    }
}
