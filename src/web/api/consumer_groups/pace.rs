//! How far behind a consumer group is, how fast it reads, and how long until it has caught up.

use super::seconds;
use crate::metrics::pace::until_caught_up;
use crate::model::Timestamp;
use crate::model::bus::ConsumerGroup;
use crate::store::consumer_groups::ConsumerGroupSummary;
use crate::store::{Store, StoreError};
use crate::web::rates;

/// Lag over all partitions.
#[derive(Debug, Default, serde::Serialize, utoipa::ToSchema)]
#[schema(as = ConsumerGroupLag)]
pub(super) struct Lag {
    /// `end - committed`, as Kafka's own tools compute it; null when no partition's lag is known.
    raw_lag_messages: Option<u64>,
    /// Records there are to read, without those that were deleted before they were read, and without what is known to be no record.
    lag_messages: Option<u64>,
    /// Records deleted before they were read.
    deleted_messages: u64,
    /// How long ago the next record to read was written, of the partition furthest behind; null where it is not known.
    lag_seconds: Option<f64>,
    /// Certainly at least.
    lag_seconds_min: Option<f64>,
    /// Certainly at most; null when it is older than what was watched.
    lag_seconds_max: Option<f64>,
    /// Open dead letters whose consumer group it is.
    open_dead_letters: u64,
}

impl From<&ConsumerGroupSummary> for Lag {
    fn from(group: &ConsumerGroupSummary) -> Self {
        Self {
            raw_lag_messages: group.raw_lag_messages,
            lag_messages: group.lag_messages,
            deleted_messages: group.deleted_messages,
            lag_seconds: group.time_lag.and_then(|lag| lag.estimate).map(seconds),
            lag_seconds_min: group.time_lag.map(|lag| seconds(lag.min)),
            lag_seconds_max: group.time_lag.and_then(|lag| lag.max).map(seconds),
            open_dead_letters: group.open_dead_letters,
        }
    }
}

/// Lag, and the pace of the last five minutes.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
#[schema(as = ConsumerGroupPace)]
pub(super) struct Pace {
    #[serde(flatten)]
    lag: Lag,
    /// Messages that it commits per second, over the last five minutes; null where nobody has sampled it.
    messages_per_second: Option<f64>,
    /// Messages written per second to the topics that it reads, over the last five minutes; null where nobody has sampled one of them.
    written_per_second: Option<f64>,
    /// How long until nothing is left at this pace; 0 when nothing is, null while it does not catch up or nobody knows.
    caught_up_in_seconds: Option<f64>,
}

impl Pace {
    /// Reads it; `summary` is the group as lists tell it.
    pub(super) async fn load(
        store: &Store,
        group: &ConsumerGroup,
        summary: Option<ConsumerGroupSummary>,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let rates::Pace { read, written } = rates::pace(store, group, now).await?;
        let lag = summary.as_ref().map_or_else(Lag::default, Lag::from);
        let caught_up = until_caught_up(group.standing.status, lag.lag_messages, read, written);
        Ok(Self {
            lag,
            messages_per_second: read,
            written_per_second: written,
            caught_up_in_seconds: caught_up.map(|time| time.as_secs_f64()),
        })
    }
}
