//! Where traces, dead letters and replays meet.

use super::keys::Wanted;
use crate::model::span::TraceId;
use crate::model::{BusId, DeadLetterId, Timestamp};
use crate::store::rows::{clean, text};
use crate::store::{Store, StoreError};

statements! {
    const NEWEST_LETTER = "select coalesce(max(id), 0) from dead_letters";
    const LETTERS = "select d.id, b.bus, d.trace_id, f.origin_topic, d.origin_partition, d.origin_offset from dead_letters d \
        join facets f on f.id = d.facet_id join buses b on b.id = f.bus_id where d.id > $1 and d.indexed_at < $2 order by d.id limit $3";
    const OF_RECORD = "select d.id from dead_letters d join facets f on f.id = d.facet_id join buses b on b.id = f.bus_id \
        where d.origin_offset = $3 and d.origin_partition = $2 and f.origin_topic = $1 and b.bus = $4 order by d.id limit 20";
    const AT = "select d.id from dead_letters d join partitions p on p.id = d.partition_id \
        join topic_generations g on g.id = p.generation_id join buses b on b.id = g.bus_id \
        where g.topic = $1 and p.number = $2 and d.record_offset = $3 and b.bus = $4 order by d.id limit 20";
    const SENT_TO = "select distinct i.dead_letter_id from replay_items i \
        join replay_routes r on r.replay_id = i.replay_id and r.route = i.route \
        join replays p on p.id = i.replay_id join buses b on b.id = p.bus_id \
        where i.sent_offset = $3 and i.sent_partition = $2 and r.target = $1 and b.bus = $4 order by i.dead_letter_id limit 20";
    const OF_TRACE = "select id from dead_letters where trace_id = $1 order by id limit 20";
    const REPLAYED_TO = "select count(*) from (select 1 as one from replay_items i \
        join replay_routes r on r.replay_id = i.replay_id and r.route = i.route \
        join replays p on p.id = i.replay_id join buses b on b.id = p.bus_id \
        where i.sent_offset = $3 and i.sent_partition = $2 and r.target = $1 and b.bus = $4 limit 1) t";
}

/// A dead letter, as far as its traces go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TracedLetter {
    /// Its id.
    pub id: i64,
    /// Its bus.
    pub bus: BusId,
    /// The trace that its headers name.
    pub trace: Option<TraceId>,
    /// Topic, partition and offset of its origin.
    pub origin: Option<(String, i32, i64)>,
}

type LetterRow = (i64, String, Option<Vec<u8>>, Option<Vec<u8>>, Option<i32>, Option<i64>);

impl Store {
    /// The newest dead letter's number; 0 before the first.
    pub async fn newest_letter_number(&self) -> Result<i64, StoreError> {
        let (id,): (i64,) = read!(self, |pool| sqlx::query_as(NEWEST_LETTER).fetch_one(pool).await?)?;
        Ok(id)
    }

    /// Dead letters after a number, in their order, that were indexed before `before`.
    pub async fn list_traced_letters(&self, after: i64, before: Timestamp, limit: u32) -> Result<Vec<TracedLetter>, StoreError> {
        let rows: Vec<LetterRow> = read!(self, |pool| {
            sqlx::query_as(LETTERS).bind(after).bind(before.as_millis()).bind(i64::from(limit)).fetch_all(pool).await?
        })?;
        let letter = |(id, bus, trace, topic, partition, offset): LetterRow| TracedLetter {
            id,
            bus: BusId::new(bus),
            trace: trace.and_then(|trace| TraceId::from_bytes(&trace)),
            origin: topic.map(text).zip(partition).zip(offset).map(|((topic, partition), offset)| (topic, partition, offset)),
        };
        Ok(rows.into_iter().map(letter).collect())
    }

    /// Dead letters that came from a record, and the one that is this record.
    pub async fn list_letters_about(&self, bus: &BusId, topic: &str, partition: i32, offset: i64) -> Result<Vec<DeadLetterId>, StoreError> {
        let (bus, name) = (clean(bus.as_str()), clean(topic));
        let mut rows: Vec<(i64,)> = read!(self, |pool| {
            sqlx::query_as(OF_RECORD).bind(topic.as_bytes()).bind(partition).bind(offset).bind(&bus).fetch_all(pool).await?
        })?;
        let own: Vec<(i64,)> =
            read!(self, |pool| sqlx::query_as(AT).bind(&name).bind(partition).bind(offset).bind(&bus).fetch_all(pool).await?)?;
        rows.extend(own);
        Ok(rows.into_iter().map(|(id,)| DeadLetterId(id)).collect())
    }

    /// Dead letters that a replay has sent to this record.
    pub async fn list_letters_sent_to(
        &self,
        bus: &BusId,
        topic: &str,
        partition: i32,
        offset: i64,
    ) -> Result<Vec<DeadLetterId>, StoreError> {
        let (bus, topic) = (clean(bus.as_str()), clean(topic));
        let rows: Vec<(i64,)> =
            read!(self, |pool| sqlx::query_as(SENT_TO).bind(&topic).bind(partition).bind(offset).bind(&bus).fetch_all(pool).await?)?;
        Ok(rows.into_iter().map(|(id,)| DeadLetterId(id)).collect())
    }

    /// Dead letters whose headers name a trace.
    pub async fn list_letters_of_trace(&self, trace: TraceId) -> Result<Vec<DeadLetterId>, StoreError> {
        let rows: Vec<(i64,)> = read!(self, |pool| sqlx::query_as(OF_TRACE).bind(trace.0.as_slice()).fetch_all(pool).await?)?;
        Ok(rows.into_iter().map(|(id,)| DeadLetterId(id)).collect())
    }

    /// Whether spans of a trace are in hot chunks.
    pub async fn has_hot_spans(&self, trace: TraceId) -> Result<bool, StoreError> {
        Ok(!self.span_chunks_with(&[Wanted::Trace(trace)]).await?.is_empty())
    }

    /// Whether a replay has written this record.
    pub async fn is_replayed_record(&self, bus: &BusId, topic: &str, partition: i32, offset: i64) -> Result<bool, StoreError> {
        let (bus, topic) = (clean(bus.as_str()), clean(topic));
        let (count,): (i64,) =
            read!(self, |pool| sqlx::query_as(REPLAYED_TO).bind(&topic).bind(partition).bind(offset).bind(&bus).fetch_one(pool).await?)?;
        Ok(count > 0)
    }
}
