//! Messages per second over the last minutes, for answers that tell what something does now.

use std::collections::HashMap;
use std::time::Duration;

use crate::metrics::bucket::Bucket;
use crate::model::figure::{Figure, Labels};
use crate::model::{BusId, GroupName, Timestamp, TopicName};
use crate::store::figures::read::SeriesQuery;
use crate::store::{Store, StoreError};

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
    let found = store.read_series_where(&asked, move |labels| labels.topic.as_ref().is_some_and(|topic| wanted(topic))).await?;
    let rate = |bucket: Bucket| bucket.value(0.5);
    Ok(found.into_iter().filter_map(|series| Some((series.labels.topic.clone()?, rate(series.total()?)?))).collect())
}

/// Messages that a consumer group commits per second, over all of its topics; `None` when nobody has sampled it.
pub(super) async fn read(store: &Store, bus: &BusId, group: &GroupName, now: Timestamp) -> Result<Option<f64>, StoreError> {
    let asked = query(Figure::ConsumerGroupMessagesPerSecond, Labels::bus(bus).consumer_group(group), now);
    let found = store.read_series(&asked).await?;
    let rates: Vec<f64> = found.iter().filter_map(|series| series.total()?.value(0.5)).collect();
    Ok((!rates.is_empty()).then(|| rates.iter().sum()))
}
