//! Failure groups never seen before, and those that were resolved and arrive again, each once: written with the dead letter that tells.

use super::arrivals::Buckets;
use super::rows::clean;
use super::{Store, StoreError};
use crate::model::figure::Labels;
use crate::model::{BusId, Fingerprint, Timestamp, TopicName};

statements! {
    const ADD = "insert into failure_group_events (at, kind, bus_id, topic, failure_group_id) values ($1, $2, $3, $4, $5)";
    const RESOLVED = "select cast(value as bigint) from json_each(cast($1 as text)) where not exists (select 1 from facets f \
        where f.failure_group_id = cast(value as bigint) and (f.open > 0 or f.replaying > 0 or f.replayed > 0))";
    const SERIES = "select b.bus, e.topic, cast((e.at - $2) / $4 as bigint), count(*) from failure_group_events e \
        join buses b on b.id = e.bus_id where e.kind = $1 and e.at >= $2 and e.at < $3 \
        and (cast($5 as text) is null or b.bus = $5) and (cast($6 as text) is null or e.topic = $6) \
        group by 1, 2, 3 order by 1, 2, 3";
    const PRUNE = "delete from failure_group_events where id in (select id from failure_group_events where at < $1 order by at limit $2)";
}

/// What happened to a failure group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureGroupEvent {
    /// It was never seen before.
    New,
    /// It was resolved and arrives again.
    Returned,
}

impl FailureGroupEvent {
    /// The event's number in the store.
    pub(super) const fn code(self) -> i16 {
        match self {
            Self::New => 0,
            Self::Returned => 1,
        }
    }
}

/// A failure group that was new, or returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailureGroupNews {
    /// When.
    pub at: Timestamp,
    /// Which of both.
    pub event: FailureGroupEvent,
    /// The dead-letter topic on which it arrived.
    pub topic: TopicName,
    /// The failure group.
    pub fingerprint: Fingerprint,
    /// What it is called.
    pub title: String,
}

impl Store {
    /// How many failure groups were new, or returned, per bucket, by bus and topic; those without any are left out.
    pub async fn failure_group_series(
        &self,
        event: FailureGroupEvent,
        bus: Option<&BusId>,
        topic: Option<&TopicName>,
        buckets: Buckets,
    ) -> Result<Vec<(Labels, Vec<u64>)>, StoreError> {
        let (from, to) = (buckets.from.as_millis(), buckets.to.as_millis());
        let width = ((to - from) / i64::from(buckets.count.max(1))).max(1);
        let rows: Vec<(String, String, i64, i64)> = read!(self, |pool| sqlx::query_as(SERIES)
            .bind(event.code())
            .bind(from)
            .bind(to)
            .bind(width)
            .bind(bus.map(|bus| clean(bus.as_str())))
            .bind(topic.map(|topic| clean(topic.as_str())))
            .fetch_all(pool)
            .await?)?;
        let mut series: Vec<(Labels, Vec<u64>)> = Vec::new();
        for (bus, topic, bucket, groups) in rows {
            let labels = Labels::bus(&BusId::new(bus)).topic(&TopicName::new(topic));
            if series.last().is_none_or(|(last, _)| *last != labels) {
                series.push((labels, vec![0; buckets.count as usize]));
            }
            if let Some((_, counts)) = series.last_mut()
                && let Some(count) = usize::try_from(bucket).ok().and_then(|bucket| counts.get_mut(bucket))
            {
                *count += groups.unsigned_abs();
            }
        }
        Ok(series)
    }

    /// Removes at most `limit` events from before `before`.
    pub async fn prune_failure_group_events(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        Ok(touched!(self, sqlx::query(PRUNE).bind(before.as_millis()).bind(i64::from(limit))))
    }
}
