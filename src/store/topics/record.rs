//! What the sampler saw becomes what the store knows: generations begin and end, partitions appear, offsets move.

use std::collections::{HashMap, HashSet};

use super::{SeenOffsets, SeenTopic, StoredTopic, role_code};
use crate::model::bus::TopicRole;
use crate::model::{BusId, Timestamp, TopicName};
use crate::store::indexing::text_list;
use crate::store::rows::clean;
use crate::store::{Store, StoreError};

statements! {
    const CLAIM_BUS = "update buses set brokers = brokers where bus = $1 returning id, first_read_at";
    const FIRST_READ = "update buses set first_read_at = $2 where id = $1 and first_read_at is null";
    const LIVING = "select id, topic, topic_id, role, internal, compacted, config, replication_factor from topic_generations \
        where bus_id = $1 and gone_at is null";
    const LEADERS = "select p.generation_id, p.number, p.leader from partitions p join topic_generations g on g.id = p.generation_id \
        where g.bus_id = $1 and g.gone_at is null";
    const END = "update topic_generations set gone_at = $2 where id = $1";
    const REVIVE = "update topic_generations set gone_at = null where bus_id = $1 and topic = $2 and topic_id = $3 returning id";
    const BEGIN = "insert into topic_generations (bus_id, topic, topic_id, role, internal, first_seen_at, compacted, config, \
        replication_factor) values ($1, $2, $3, $4, $5, $6, $7, $8, $9) returning id";
    const CHANGE = "update topic_generations set topic_id = coalesce(topic_id, $2), role = $3, internal = $4, compacted = $5, \
        config = $6, replication_factor = $7 where id = $1";
    const HAD_RECORDS = "update partitions set had_records = true where generation_id = $1 and next is null";
    const ADD_PARTITION = "insert into partitions (generation_id, number, leader, had_records, backlog_below) \
        values ($1, $2, $3, $4, 0) on conflict (generation_id, number) do nothing";
    const PARTITIONS_CHANGED = "update topic_generations set partitions_changed_at = $2 where id = $1";
    const LEADER = "update partitions set leader = $3 where generation_id = $1 and number = $2";
    const SHRUNK = "select g.id from partitions p join topic_generations g on g.id = p.generation_id where p.id = $1 \
        and g.topic_id is null and g.gone_at is null and $2 < p.end_offset and $2 < p.next";
    const TRANSACTIONS = "update topic_generations set transactional = true where gone_at is null \
        and bus_id in (select id from buses where bus = $1) and topic in (select value from json_each(cast($2 as text)))";
    const OFFSETS = "update partitions set log_start = $2, end_offset = $3, last_stable = $4, sampled_at = $5 where id = $1";
}

/// Partitions per transaction: the writer is free again after a few milliseconds.
const OFFSETS_PER_TRANSACTION: usize = 500;

#[derive(sqlx::FromRow)]
struct Living {
    id: i64,
    topic: String,
    topic_id: Option<String>,
    role: i16,
    internal: bool,
    compacted: bool,
    config: String,
    replication_factor: i32,
}

/// What is in a row of topic generations, as the sampler saw it.
pub(in crate::store) struct Seen<'a> {
    topic: &'a SeenTopic,
    name: String,
    topic_id: Option<String>,
    config: String,
    replication_factor: i32,
}

impl<'a> Seen<'a> {
    fn of(topic: &'a SeenTopic) -> Self {
        Self {
            topic,
            name: clean(topic.topic.as_str()),
            topic_id: topic.topic_id.as_deref().map(clean),
            config: serde_json::to_string(&topic.config).expect("a map of strings is JSON"),
            replication_factor: i32::try_from(topic.replication_factor).unwrap_or(i32::MAX),
        }
    }

    fn is_another_life(&self, living: &Living) -> bool {
        matches!((&self.topic_id, &living.topic_id), (Some(seen), Some(stored)) if seen != stored)
    }

    fn differs(&self, living: &Living) -> bool {
        (self.topic_id.is_some() && living.topic_id.is_none())
            || role_code(self.topic.role) != living.role
            || self.topic.internal != living.internal
            || self.topic.compacted != living.compacted
            || self.config != living.config
            || self.replication_factor != living.replication_factor
    }
}

impl Store {
    /// Brings the store up to what the sampler saw: new topics, new partitions, changed roles and configurations; a topic id that
    /// differs ends the old generation and begins a new one; a living topic that is missing from `seen` is marked gone, and lives
    /// again when it comes back with the same topic id. Writes only what changed. Answers the living topics with their partitions.
    /// A partition remembers whether it was already there at the bus's first read, or before its topic became a dead-letter topic:
    /// see [`crate::store::indexing`] for what is backlog.
    pub async fn record_topics(&self, bus: &BusId, seen: &[SeenTopic], now: Timestamp) -> Result<Vec<StoredTopic>, StoreError> {
        let seen: Vec<Seen<'_>> = seen.iter().map(Seen::of).collect();
        write_on!(self, record(bus, &seen, now));
        self.list_stored_topics(bus).await
    }

    /// Notes that some offsets of these living topics are no records.
    pub async fn note_transactions(&self, bus: &BusId, topics: &[TopicName]) -> Result<(), StoreError> {
        let names: Vec<String> = topics.iter().map(|topic| clean(topic.as_str())).collect();
        let names = text_list(&names.iter().map(String::as_str).collect::<Vec<_>>());
        write_one!(self, |pool| sqlx::query(TRANSACTIONS).bind(bus.as_str()).bind(&names).execute(pool).await.map(|_| ()))?;
        Ok(())
    }

    /// Stores new offsets (the caller leaves out those that did not change). Small transactions. Where topic ids are not told, a
    /// partition whose end fell below both its last end and what we had read ends its topic's generation; the next
    /// [`Self::record_topics`] begins the new one.
    pub async fn record_offsets(&self, offsets: &[SeenOffsets], now: Timestamp) -> Result<(), StoreError> {
        for some in offsets.chunks(OFFSETS_PER_TRANSACTION) {
            write_on!(self, record_offsets(some, now));
        }
        Ok(())
    }
}

engines! {
    /// Brings one bus's topics up to what was seen.
    pub(in crate::store) async fn record(
        tx: &mut Connection,
        bus: &BusId,
        seen: &[Seen<'_>],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        // The update makes instances that sample at the same time wait for each other.
        let row: Option<(i64, Option<i64>)> = sqlx::query_as(CLAIM_BUS).bind(bus.as_str()).fetch_optional(&mut *tx).await?;
        let (bus_id, first_read_at) = row.ok_or_else(|| StoreError::Broken(format!("bus {bus} is not registered")))?;
        let first_read = first_read_at.is_none();
        sqlx::query(FIRST_READ).bind(bus_id).bind(now.as_millis()).execute(&mut *tx).await?;
        let living: Vec<Living> = sqlx::query_as(LIVING).bind(bus_id).fetch_all(&mut *tx).await?;
        let mut living: HashMap<String, Living> = living.into_iter().map(|row| (row.topic.clone(), row)).collect();
        let rows: Vec<(i64, i32, Option<i32>)> = sqlx::query_as(LEADERS).bind(bus_id).fetch_all(&mut *tx).await?;
        let mut leaders: HashMap<i64, HashMap<i32, Option<i32>>> = HashMap::new();
        for (generation, number, leader) in rows {
            leaders.entry(generation).or_default().insert(number, leader);
        }
        let mut done = HashSet::new();
        for seen in seen {
            if !done.insert(seen.name.as_str()) {
                continue;
            }
            let mut stored = living.remove(&seen.name);
            if let Some(old) = stored.take_if(|living| seen.is_another_life(living)) {
                sqlx::query(END).bind(old.id).bind(now.as_millis()).execute(&mut *tx).await?;
            }
            let generation = match &stored {
                Some(living) => {
                    change(tx, seen, living).await?;
                    living.id
                }
                None => begin(tx, bus_id, seen, now).await?,
            };
            let known = leaders.remove(&generation).unwrap_or_default();
            let grown = !known.is_empty() && seen.topic.partitions.keys().any(|number| !known.contains_key(number));
            if grown {
                sqlx::query(PARTITIONS_CHANGED).bind(generation).bind(now.as_millis()).execute(&mut *tx).await?;
            }
            partitions(tx, seen, generation, &known, first_read && stored.is_none()).await?;
        }
        for gone in living.values() {
            sqlx::query(END).bind(gone.id).bind(now.as_millis()).execute(&mut *tx).await?;
        }
        Ok(())
    }

    async fn change(tx: &mut Connection, seen: &Seen<'_>, living: &Living) -> Result<(), StoreError> {
        if !seen.differs(living) {
            return Ok(());
        }
        if seen.topic.role == TopicRole::DeadLetter && living.role != role_code(TopicRole::DeadLetter) {
            sqlx::query(HAD_RECORDS).bind(living.id).execute(&mut *tx).await?;
        }
        sqlx::query(CHANGE)
            .bind(living.id)
            .bind(&seen.topic_id)
            .bind(role_code(seen.topic.role))
            .bind(seen.topic.internal)
            .bind(seen.topic.compacted)
            .bind(&seen.config)
            .bind(seen.replication_factor)
            .execute(tx)
            .await?;
        Ok(())
    }

    /// A new generation, or the one of this topic id again when it had only been out of sight.
    async fn begin(tx: &mut Connection, bus_id: i64, seen: &Seen<'_>, now: Timestamp) -> Result<i64, StoreError> {
        if seen.topic_id.is_some() {
            let query = sqlx::query_as(REVIVE).bind(bus_id).bind(&seen.name).bind(&seen.topic_id);
            let revived: Option<(i64,)> = query.fetch_optional(&mut *tx).await?;
            if let Some((id,)) = revived {
                return Ok(id);
            }
        }
        let (id,): (i64,) = sqlx::query_as(BEGIN)
            .bind(bus_id)
            .bind(&seen.name)
            .bind(&seen.topic_id)
            .bind(role_code(seen.topic.role))
            .bind(seen.topic.internal)
            .bind(now.as_millis())
            .bind(seen.topic.compacted)
            .bind(&seen.config)
            .bind(seen.replication_factor)
            .fetch_one(tx)
            .await?;
        Ok(id)
    }

    async fn partitions(
        tx: &mut Connection,
        seen: &Seen<'_>,
        generation: i64,
        known: &HashMap<i32, Option<i32>>,
        had_records: bool,
    ) -> Result<(), StoreError> {
        for (number, leader) in &seen.topic.partitions {
            match known.get(number) {
                Some(stored) if stored == leader => {}
                Some(_) => {
                    sqlx::query(LEADER).bind(generation).bind(number).bind(leader).execute(&mut *tx).await?;
                }
                None => {
                    let query = sqlx::query(ADD_PARTITION).bind(generation).bind(number).bind(leader).bind(had_records);
                    query.execute(&mut *tx).await?;
                }
            }
        }
        Ok(())
    }

    /// Stores the offsets of some partitions.
    pub(in crate::store) async fn record_offsets(
        tx: &mut Connection,
        offsets: &[SeenOffsets],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        for seen in offsets {
            let shrunk: Option<(i64,)> =
                sqlx::query_as(SHRUNK).bind(seen.partition_id).bind(seen.end).fetch_optional(&mut *tx).await?;
            if let Some((generation,)) = shrunk {
                sqlx::query(END).bind(generation).bind(now.as_millis()).execute(&mut *tx).await?;
                continue;
            }
            sqlx::query(OFFSETS)
                .bind(seen.partition_id)
                .bind(seen.log_start)
                .bind(seen.end)
                .bind(seen.last_stable)
                .bind(now.as_millis())
                .execute(&mut *tx)
                .await?;
        }
        Ok(())
    }
}
