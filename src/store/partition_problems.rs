//! What keeps partitions from being used, found by sampler and indexer of any instance and shown by all.

use super::error::contradiction;
use super::indexing::id_list;
use super::rows::clean;
use super::topics::role_of;
use super::{Store, StoreError};
use crate::model::partition_problem::{PartitionProblem, PartitionProblemKind};
use crate::model::{BusId, Timestamp, TopicName};

statements! {
    const LIST = "select q.partition_id, b.bus, g.topic, g.role, p.number, q.kind, q.reason, q.since from partition_problems q \
        join partitions p on p.id = q.partition_id join topic_generations g on g.id = p.generation_id join buses b on b.id = g.bus_id \
        where g.gone_at is null and b.configured and (cast($1 as text) is null or b.bus = $1) and (cast($2 as text) is null or g.topic = $2) \
        order by q.since, b.bus, g.topic, p.number, q.kind limit $3";
    const SET = "insert into partition_problems (partition_id, kind, reason, since) values ($1, $2, $3, $4) \
        on conflict (partition_id, kind) do update set reason = excluded.reason";
    const OVER = "delete from partition_problems where kind = $1 \
        and partition_id in (select cast(value as bigint) from json_each(cast($2 as text))) \
        and partition_id not in (select cast(value as bigint) from json_each(cast($3 as text)))";
}

/// Problems answered at once: beyond, their number says enough.
const MOST: i64 = 2_000;

/// A problem as it was found: partition and reason.
pub type FoundProblem = (i64, String);

impl Store {
    /// Problems of living topics, the oldest first, at most 2,000; of one bus and topic when asked.
    pub async fn list_partition_problems(
        &self,
        bus: Option<&BusId>,
        topic: Option<&TopicName>,
    ) -> Result<Vec<PartitionProblem>, StoreError> {
        let (bus, topic) = (bus.map(|bus| clean(bus.as_str())), topic.map(|topic| clean(topic.as_str())));
        let rows: Vec<Row> = read!(self, |pool| sqlx::query_as(LIST).bind(&bus).bind(&topic).bind(MOST).fetch_all(pool).await?)?;
        rows.into_iter().map(Row::into_problem).collect()
    }

    /// Says which of these partitions have a problem of this kind now. Those that had it keep their `since`; all others of
    /// `looked_at` have it no longer.
    pub async fn record_partition_problems(
        &self,
        looked_at: &[i64],
        kind: PartitionProblemKind,
        found: &[FoundProblem],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let looked_at = id_list(looked_at);
        let ids = id_list(&found.iter().map(|(partition_id, _)| *partition_id).collect::<Vec<_>>());
        in_transaction!(self, |tx| {
            sqlx::query(OVER).bind(kind.code()).bind(&looked_at).bind(&ids).execute(&mut *tx).await?;
            for (partition_id, reason) in found {
                let query = sqlx::query(SET).bind(partition_id).bind(kind.code()).bind(clean(reason)).bind(now.as_millis());
                query.execute(&mut *tx).await?;
            }
        });
        Ok(())
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    partition_id: i64,
    bus: String,
    topic: String,
    role: i16,
    number: i32,
    kind: i16,
    reason: String,
    since: i64,
}

impl Row {
    fn into_problem(self) -> Result<PartitionProblem, StoreError> {
        let kind = PartitionProblemKind::from_code(self.kind);
        Ok(PartitionProblem {
            partition_id: self.partition_id,
            bus: BusId::new(self.bus),
            topic: TopicName::new(self.topic),
            role: role_of(self.role)?,
            partition: self.number,
            kind: kind.ok_or_else(|| contradiction(format!("kind of partition problem {}", self.kind)))?,
            reason: self.reason,
            since: Timestamp::from_millis(self.since),
        })
    }
}
