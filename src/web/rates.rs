//! Messages per second over the last minutes, for answers that tell what something does now.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use crate::metrics::bucket::Bucket;
use crate::model::bus::ConsumerGroup;
use crate::model::figure::{Figure, Labels};
use crate::model::{BusId, GroupName, Timestamp, TopicName};
use crate::store::figures::read::SeriesQuery;
use crate::store::{Store, StoreError};

/// How fast a consumer group reads, and how fast there comes more to read, in messages per second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Pace {
    /// What it commits, over all of its topics; `None` when nobody has sampled it.
    pub(super) read: Option<f64>,
    /// What is written to the topics that it reads; `None` when nobody has sampled one of them: a sum without it would promise too much.
    pub(super) written: Option<f64>,
}

/// A rate is taken over so long.
const LATELY: Duration = Duration::from_mins(5);

fn query(figure: Figure, labels: Labels, now: Timestamp) -> SeriesQuery {
    let step_ms = i64::try_from(LATELY.as_millis()).unwrap_or(i64::MAX);
    SeriesQuery { figure, labels, from: now.minus(LATELY), to: now, step_ms }
}

/// Messages written per second, of each of these topics that was sampled.
pub(super) async fn written(
    store: &Store,
    bus: &BusId,
    wanted: impl Fn(&TopicName) -> bool + Send,
    now: Timestamp,
) -> Result<HashMap<TopicName, f64>, StoreError> {
    let asked = query(Figure::TopicMessagesPerSecond, Labels::bus(bus), now);
    let found = store.read_series_where(&asked, move |labels| labels.topic.as_ref().is_some_and(&wanted)).await?;
    let rate = |bucket: Bucket| bucket.value(0.5);
    Ok(found.into_iter().filter_map(|series| Some((series.labels.topic.clone()?, rate(series.total()?)?))).collect())
}

/// Messages that a consumer group commits per second, over all of its topics; `None` when nobody has sampled it.
async fn read(store: &Store, bus: &BusId, group: &GroupName, now: Timestamp) -> Result<Option<f64>, StoreError> {
    let asked = query(Figure::ConsumerGroupMessagesPerSecond, Labels::bus(bus).consumer_group(group), now);
    let found = store.read_series(&asked).await?;
    let rates: Vec<f64> = found.iter().filter_map(|series| series.total()?.value(0.5)).collect();
    Ok((!rates.is_empty()).then(|| rates.iter().sum()))
}

/// The pace of a consumer group, and of the topics that it has partitions of.
pub(super) async fn pace(store: &Store, group: &ConsumerGroup, now: Timestamp) -> Result<Pace, StoreError> {
    let topics: HashSet<&TopicName> = group.offsets.iter().map(|offset| &offset.topic).collect();
    let rates = written(store, &group.bus, |topic| topics.contains(topic), now).await?;
    Ok(Pace { read: read(store, &group.bus, &group.name, now).await?, written: sum_of(&topics, &rates) })
}

/// Nothing where one of the topics has no rate.
fn sum_of(topics: &HashSet<&TopicName>, rates: &HashMap<TopicName, f64>) -> Option<f64> {
    let rates: Option<Vec<f64>> = topics.iter().map(|topic| rates.get(*topic).copied()).collect();
    rates.filter(|rates| !rates.is_empty()).map(|rates| rates.iter().sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_without_one_of_the_topics_is_none() {
        let names = ["a", "b"].map(TopicName::from);
        let topics: HashSet<&TopicName> = names.iter().collect();
        let rates = |of: &[(&str, f64)]| of.iter().map(|(topic, rate)| (TopicName::from(*topic), *rate)).collect();
        assert_eq!(sum_of(&topics, &rates(&[("a", 1.0), ("b", 2.5)])), Some(3.5));
        assert_eq!(sum_of(&topics, &rates(&[("a", 1.0)])), None, "nobody has sampled b");
        assert_eq!(sum_of(&topics, &rates(&[("a", 1.0), ("other", 2.0)])), None, "another topic stands for none");
        assert_eq!(sum_of(&HashSet::new(), &rates(&[])), None, "it reads nothing");
    }
}
