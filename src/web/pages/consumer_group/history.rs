//! What a group did over time: lag, lag in time, speed, and what happened to it.

use std::collections::HashSet;

use crate::model::bus::ConsumerGroup;
use crate::model::figure::{Figure, FigureKind, Labels};
use crate::model::group_event::{GroupEvent, GroupEventKind};
use crate::model::{BusId, GroupName, Timestamp, TopicName};
use crate::store::failure_groups::Buckets;
use crate::store::figures::read::{SeriesBuckets, SeriesQuery};
use crate::store::happenings::About;
use crate::store::{Store, StoreError};
use crate::web::pages::span_figures;
use crate::web::rates::{self, Pace};
use crate::web::view::lines::{LineChart, MOST, Named, Unit, added_up, numbers};
use crate::web::view::marks::Marks;
use crate::web::view::period::Period;

/// Events shown at once.
const EVENTS: u32 = 30;

/// Drawings and events of a group.
#[derive(Debug)]
pub(super) struct History {
    pub(super) charts: Vec<LineChart>,
    pub(super) marks: Marks,
    pub(super) events: Vec<EventRow>,
    pub(super) more_events: bool,
    /// How fast it reads now, whatever time is drawn.
    pub(super) pace: Pace,
}

/// Something that happened.
#[derive(Debug)]
pub(super) struct EventRow {
    pub(super) at: Timestamp,
    pub(super) icon: &'static str,
    pub(super) tone: &'static str,
    pub(super) word: &'static str,
    pub(super) detail: String,
}

/// Series of one figure over a time.
pub(in crate::web::pages) async fn series(
    store: &Store,
    figure: Figure,
    labels: Labels,
    buckets: Buckets,
) -> Result<Vec<SeriesBuckets>, StoreError> {
    store.read_series(&query(figure, labels, buckets)).await
}

/// What to read for a drawing.
pub(in crate::web::pages) fn query(figure: Figure, labels: Labels, buckets: Buckets) -> SeriesQuery {
    debug_assert_ne!(figure.kind(), FigureKind::Ratio);
    let step_ms = (buckets.to.as_millis() - buckets.from.as_millis()) / i64::from(buckets.count.max(1));
    SeriesQuery { figure, labels, from: buckets.from, to: buckets.to, step_ms }
}

impl History {
    pub(super) async fn load(
        store: &Store,
        of: &ConsumerGroup,
        topics: &[&str],
        period: &Period,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let (bus, group) = (&of.bus, &of.name);
        let (buckets, labels) = (period.buckets, Labels::bus(bus).consumer_group(group));
        let of_spans = labels.clone();
        let events = store.list_group_events(bus, Some(group), buckets.from, buckets.to, EVENTS + 1).await?;
        let lag = series(store, Figure::ConsumerGroupLagMessages, labels.clone(), buckets).await?;
        let time = series(store, Figure::ConsumerGroupLagSeconds, labels, buckets).await?;
        let (read, written) = read_and_written(store, bus, group, topics, buckets).await?;
        let happened = store.list_happenings(bus, About::Group(group, topics), buckets.from, buckets.to).await?;
        let marks = Marks::of(&happened, buckets);
        let both = vec![Named::new("read", read), Named::new("written", written).dashed()];
        let mut charts = vec![
            LineChart::new("lag", "Lag", Unit::Messages, buckets, by_topic(Figure::ConsumerGroupLagMessages, &lag), &marks.shown),
            LineChart::new(
                "lag-time",
                "Lag in time",
                Unit::Seconds,
                buckets,
                by_topic(Figure::ConsumerGroupLagSeconds, &time),
                &marks.shown,
            ),
            LineChart::new("rates", "Read and written", Unit::PerSecond, buckets, both, &marks.shown),
        ];
        charts.extend(span_figures::charts(store, &of_spans, buckets, &marks.shown).await?);
        let more_events = events.len() > EVENTS as usize;
        let events = events.into_iter().take(EVENTS as usize).map(Into::into).collect();
        Ok(Self { charts, marks, events, more_events, pace: rates::pace(store, of, now).await? })
    }
}

/// What a group reads and what is written to its topics, each second, step by step.
async fn read_and_written(
    store: &Store,
    bus: &BusId,
    group: &GroupName,
    topics: &[&str],
    buckets: Buckets,
) -> Result<(Vec<Option<f64>>, Vec<Option<f64>>), StoreError> {
    let read = series(store, Figure::ConsumerGroupMessagesPerSecond, Labels::bus(bus).consumer_group(group), buckets).await?;
    let topics: HashSet<&str> = topics.iter().copied().collect();
    let is_read = move |labels: &Labels| labels.topic.as_ref().is_some_and(|topic: &TopicName| topics.contains(topic.as_str()));
    let written = store.read_series_where(&query(Figure::TopicMessagesPerSecond, Labels::bus(bus), buckets), is_read).await?;
    let read = sum(Figure::ConsumerGroupMessagesPerSecond, &read, buckets);
    Ok((read, sum(Figure::TopicMessagesPerSecond, &written, buckets)))
}

/// The topics with the most, and what the others come to together: sums of messages, the longest of times.
fn by_topic(figure: Figure, series: &[SeriesBuckets]) -> Vec<Named> {
    let mut named: Vec<Named> = series
        .iter()
        .map(|series| {
            let topic = series.labels.topic.as_ref().map_or_else(String::new, ToString::to_string);
            Named::new(topic, numbers(figure, series, 0.5))
        })
        .collect();
    let peak = |named: &Named| named.values.iter().flatten().copied().fold(0.0, f64::max);
    named.sort_by(|a, b| peak(b).total_cmp(&peak(a)).then_with(|| a.label.cmp(&b.label)));
    if named.len() > MOST {
        let others = named.split_off(MOST - 1);
        let (label, all) = (format!("{} other topics", others.len()), others.into_iter().map(|named| named.values).collect::<Vec<_>>());
        named.push(Named::new(label, together(figure, &all)).dashed());
    }
    named
}

/// Messages are added up; of a time the longest is that of all.
fn together(figure: Figure, all: &[Vec<Option<f64>>]) -> Vec<Option<f64>> {
    let buckets = all.iter().map(Vec::len).max().unwrap_or_default();
    if figure == Figure::ConsumerGroupLagMessages {
        return added_up(all, buckets);
    }
    let longest = |bucket: usize| all.iter().filter_map(|values| values.get(bucket).copied().flatten()).reduce(f64::max);
    (0..buckets).map(longest).collect()
}

fn sum(figure: Figure, series: &[SeriesBuckets], buckets: Buckets) -> Vec<Option<f64>> {
    let all: Vec<Vec<Option<f64>>> = series.iter().map(|series| numbers(figure, series, 0.5)).collect();
    added_up(&all, buckets.count as usize)
}

impl From<GroupEvent> for EventRow {
    fn from(event: GroupEvent) -> Self {
        let (icon, tone, word) = match event.kind {
            GroupEventKind::Rebalanced => ("refresh-cw", "idle", "Rebalanced"),
            GroupEventKind::OffsetsSet => ("rewind", "warn", "Offsets set by hand"),
            GroupEventKind::OffsetsBack => ("rewind", "warn", "Offsets went back"),
            GroupEventKind::StatusChanged => ("activity", "idle", "Status"),
        };
        Self { at: event.at, icon, tone, word, detail: event.detail }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::bucket::{Bucket, Point};

    /// Topics `a`, `b`, ... whose level is this in the first of two steps, and unknown in the second but of the last two.
    fn levels(levels: &[f64]) -> Vec<SeriesBuckets> {
        let of = |(at, level): (usize, &f64)| {
            let name = char::from(b'a' + u8::try_from(at).expect("few")).to_string();
            let level = Bucket::of(Point::Level(*level), 60_000);
            let second = (at + 2 >= levels.len()).then(|| level.clone());
            let labels = Labels { topic: Some(name.as_str().into()), ..Labels::default() };
            SeriesBuckets { labels, buckets: vec![Some(level), second] }
        };
        levels.iter().enumerate().map(of).collect()
    }

    #[test]
    fn topics_that_have_no_line_of_their_own_have_one_together() {
        let seven = levels(&[70.0, 60.0, 50.0, 40.0, 30.0, 20.0, 10.0]);
        let drawn = by_topic(Figure::ConsumerGroupLagMessages, &seven);
        assert_eq!(drawn.iter().map(|named| named.label.as_str()).collect::<Vec<_>>(), ["a", "b", "c", "d", "3 other topics"]);
        assert_eq!(drawn[4].values, [Some(60.0), Some(30.0)], "a sum of messages");
        assert!(drawn[4].dashed && !drawn[3].dashed);
        assert_eq!(by_topic(Figure::ConsumerGroupLagSeconds, &seven)[4].values, [Some(30.0), Some(20.0)], "the longest time");
        let five = by_topic(Figure::ConsumerGroupLagMessages, &levels(&[5.0, 4.0, 3.0, 2.0, 1.0]));
        assert_eq!(five.iter().map(|named| named.label.as_str()).collect::<Vec<_>>(), ["a", "b", "c", "d", "e"]);
    }
}
