//! Topic generations, their partitions and offsets, and the gaps in what we could read.

use std::collections::HashMap;

use super::error::contradiction;
use super::indexing::id_list;
use super::rows::clean;
use super::{Store, StoreError};
use crate::model::bus::{Gap, PartitionState, TopicGeneration, TopicRole, TopicSummary};
use crate::model::{BusId, Cursor, Page, PageRequest, Timestamp, TopicName};

pub(super) mod record;

statements! {
    const GENERATIONS = "select g.id, b.bus, g.topic, g.topic_id, g.role, g.internal, g.first_seen_at, g.gone_at, g.compacted, g.config, \
        g.replication_factor, g.transactional from topic_generations g join buses b on b.id = g.bus_id \
        where b.bus = $1 and g.gone_at is null order by g.topic";
    const COUNT = "select count(*) from topic_generations g join buses b on b.id = g.bus_id \
        where b.bus = $1 and g.gone_at is null and not g.internal and g.role = $2";
    const PARTITIONS = "select p.id, p.generation_id, p.number, p.log_start, p.end_offset, p.last_stable, p.next, p.had_records, \
        p.purged_below, p.leader from partitions p join topic_generations g on g.id = p.generation_id \
        join buses b on b.id = g.bus_id where b.bus = $1 and g.gone_at is null order by p.generation_id, p.number";
    const PARTITIONS_OF = "select id, generation_id, number, log_start, end_offset, last_stable, next, had_records, purged_below, leader \
        from partitions where generation_id = $1 order by number";
    const LAST_GENERATION = "select g.id, b.bus, g.topic, g.topic_id, g.role, g.internal, g.first_seen_at, g.gone_at, g.compacted, \
        g.config, g.replication_factor, g.transactional from topic_generations g join buses b on b.id = g.bus_id \
        where b.bus = $1 and g.topic = $2 order by g.id desc limit 1";
    const SIZES = "select p.generation_id, count(*), cast(sum(p.end_offset - p.log_start) as bigint), max(p.sampled_at) \
        from partitions p where p.generation_id in (select cast(value as bigint) from json_each(cast($1 as text))) \
        group by p.generation_id";
    const GROUPS_ON = "select o.topic, count(distinct o.group_id) from group_topics o join consumer_groups c on c.id = o.group_id \
        join buses b on b.id = c.bus_id where b.bus = $1 and c.gone_at is null group by o.topic";
    const OPEN_ON = "select f.topic, cast(sum(f.open) as bigint) from facets f join buses b on b.id = f.bus_id \
        where b.bus = $1 and f.open > 0 group by f.topic";
    const OPEN_FROM = "select f.origin_topic, cast(sum(f.open) as bigint) from facets f join buses b on b.id = f.bus_id \
        where b.bus = $1 and f.open > 0 and f.origin_topic is not null group by f.origin_topic";
    const GAPS = "select q.id, b.bus, g.topic, p.number, q.from_offset, q.to_offset, q.noticed_at \
        from gaps q join partitions p on p.id = q.partition_id join topic_generations g on g.id = p.generation_id \
        join buses b on b.id = g.bus_id where q.id < $1 and (cast($2 as text) is null or b.bus = $2) \
        and (cast($3 as text) is null or g.topic = $3) order by q.id desc limit $4";
    const NOTICED = "select q.id, b.bus, g.topic, q.to_offset - q.from_offset, q.noticed_at \
        from gaps q join partitions p on p.id = q.partition_id join topic_generations g on g.id = p.generation_id \
        join buses b on b.id = g.bus_id where q.noticed_at > $1 and q.noticed_at <= $2 order by q.id";
}

/// Offsets of a dead-letter topic that were gone before we had read them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoticedGap {
    /// Ours.
    pub id: i64,
    /// The bus.
    pub bus: BusId,
    /// The topic.
    pub topic: TopicName,
    /// How many.
    pub lost: u64,
    /// When the indexer saw it.
    pub noticed_at: Timestamp,
}

/// A topic as the sampler saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenTopic {
    /// Name.
    pub topic: TopicName,
    /// Topic id, where told.
    pub topic_id: Option<String>,
    /// Role by patterns and configuration.
    pub role: TopicRole,
    /// Whether the bus uses it for itself.
    pub internal: bool,
    /// Copies of each partition.
    pub replication_factor: u32,
    /// Whether its cleanup policy has `compact`.
    pub compacted: bool,
    /// Configuration that differs from the defaults.
    pub config: std::collections::BTreeMap<String, String>,
    /// Partitions and their leaders.
    pub partitions: std::collections::BTreeMap<i32, Option<i32>>,
}

/// New offsets of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeenOffsets {
    /// Our id of the partition.
    pub partition_id: i64,
    /// First offset the bus still holds.
    pub log_start: i64,
    /// High watermark.
    pub end: i64,
    /// Last stable offset, where known.
    pub last_stable: Option<i64>,
}

/// A topic with its partitions, as the sampler and the indexer need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredTopic {
    /// The living generation.
    pub generation: TopicGeneration,
    /// Its partitions by number.
    pub partitions: Vec<PartitionState>,
}

/// How the list of topics is restricted and ordered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TopicFilter {
    /// Case-insensitive substring of the name.
    pub q: Option<String>,
    /// Only topics of this role.
    pub role: Option<TopicRole>,
    /// Also topics that the bus uses for itself.
    pub internal: bool,
}

impl Store {
    /// The living topics with their partitions, without looking at the bus.
    pub async fn list_stored_topics(&self, bus: &BusId) -> Result<Vec<StoredTopic>, StoreError> {
        let generations: Vec<GenerationRow> = read!(self, |pool| sqlx::query_as(GENERATIONS).bind(bus.as_str()).fetch_all(pool).await?)?;
        let rows: Vec<PartitionRow> = read!(self, |pool| sqlx::query_as(PARTITIONS).bind(bus.as_str()).fetch_all(pool).await?)?;
        let mut partitions: HashMap<i64, Vec<PartitionState>> = HashMap::new();
        for row in rows {
            partitions.entry(row.generation_id).or_default().push(row.into_state());
        }
        generations
            .into_iter()
            .map(|row| {
                let partitions = partitions.remove(&row.id).unwrap_or_default();
                Ok(StoredTopic { generation: row.into_generation()?, partitions })
            })
            .collect()
    }

    /// Topics of a bus that live, by name.
    pub async fn list_topics(&self, bus: &BusId, filter: &TopicFilter) -> Result<Vec<TopicSummary>, StoreError> {
        let rows: Vec<GenerationRow> = read!(self, |pool| sqlx::query_as(GENERATIONS).bind(clean(bus.as_str())).fetch_all(pool).await?)?;
        let q = filter.q.as_deref().map(str::to_lowercase);
        let mut generations = rows.into_iter().map(GenerationRow::into_generation).collect::<Result<Vec<_>, _>>()?;
        generations.retain(|generation| {
            (filter.internal || !generation.internal)
                && filter.role.is_none_or(|role| role == generation.role)
                && q.as_deref().is_none_or(|q| generation.topic.as_str().to_lowercase().contains(q))
        });
        self.summarise(bus, generations).await
    }

    /// How many living topics have this role; those that the bus uses for itself are left out.
    pub async fn count_topics(&self, bus: &BusId, role: TopicRole) -> Result<u64, StoreError> {
        let bus = clean(bus.as_str());
        let (count,): (i64,) =
            read!(self, |pool| sqlx::query_as(COUNT).bind(&bus).bind(i32::from(role_code(role))).fetch_one(pool).await?)?;
        Ok(count.unsigned_abs())
    }

    /// One topic (its living or else its last generation) with its partitions.
    pub async fn find_topic(&self, bus: &BusId, topic: &TopicName) -> Result<Option<(TopicSummary, Vec<PartitionState>)>, StoreError> {
        let (bus_name, name) = (clean(bus.as_str()), clean(topic.as_str()));
        let row: Option<GenerationRow> =
            read!(self, |pool| sqlx::query_as(LAST_GENERATION).bind(&bus_name).bind(&name).fetch_optional(pool).await?)?;
        let Some(generation) = row.map(GenerationRow::into_generation).transpose()? else { return Ok(None) };
        let id = generation.id;
        let rows: Vec<PartitionRow> = read!(self, |pool| sqlx::query_as(PARTITIONS_OF).bind(id).fetch_all(pool).await?)?;
        let summary = self.summarise(bus, vec![generation]).await?.pop();
        Ok(summary.map(|summary| (summary, rows.into_iter().map(PartitionRow::into_state).collect())))
    }

    /// Gaps, newest first; of one bus and topic when asked.
    pub async fn list_gaps(&self, bus: Option<&BusId>, topic: Option<&TopicName>, page: &PageRequest) -> Result<Page<Gap>, StoreError> {
        let before = page.cursor.as_ref().map_or(i64::MAX, |cursor| cursor.id);
        let (bus, topic) = (bus.map(|bus| clean(bus.as_str())), topic.map(|topic| clean(topic.as_str())));
        let rows: Vec<(i64, String, String, i32, i64, i64, i64)> = read!(self, |pool| sqlx::query_as(GAPS)
            .bind(before)
            .bind(&bus)
            .bind(&topic)
            .bind(i64::from(page.limit) + 1)
            .fetch_all(pool)
            .await?)?;
        let more = rows.len() > page.limit as usize;
        let items: Vec<Gap> = rows
            .into_iter()
            .take(page.limit as usize)
            .map(|(id, bus, topic, partition, from_offset, to_offset, at)| Gap {
                id,
                bus: BusId::new(bus),
                topic: TopicName::new(topic),
                partition,
                from_offset,
                to_offset,
                at: Timestamp::from_millis(at),
            })
            .collect();
        let next_cursor = items.last().filter(|_| more).map(|gap| Cursor { key: gap.at.as_millis(), id: gap.id });
        Ok(Page { items, next_cursor })
    }

    /// Offsets that were gone before we had read them, noticed after `after` and until `until`, in the order in which they were found.
    pub async fn list_noticed_gaps(&self, after: Timestamp, until: Timestamp) -> Result<Vec<NoticedGap>, StoreError> {
        let rows: Vec<(i64, String, String, i64, i64)> =
            read!(self, |pool| sqlx::query_as(NOTICED).bind(after.as_millis()).bind(until.as_millis()).fetch_all(pool).await?)?;
        let gap = |(id, bus, topic, lost, at): (i64, String, String, i64, i64)| NoticedGap {
            id,
            bus: BusId::new(bus),
            topic: TopicName::new(topic),
            lost: lost.max(0).unsigned_abs(),
            noticed_at: Timestamp::from_millis(at),
        };
        Ok(rows.into_iter().map(gap).collect())
    }

    async fn summarise(&self, bus: &BusId, generations: Vec<TopicGeneration>) -> Result<Vec<TopicSummary>, StoreError> {
        let ids = id_list(&generations.iter().map(|generation| generation.id).collect::<Vec<_>>());
        let bus = clean(bus.as_str());
        let sizes: Vec<(i64, i64, Option<i64>, Option<i64>)> =
            read!(self, |pool| sqlx::query_as(SIZES).bind(&ids).fetch_all(pool).await?)?;
        let groups: Vec<(String, i64)> = read!(self, |pool| sqlx::query_as(GROUPS_ON).bind(&bus).fetch_all(pool).await?)?;
        let on: Vec<(String, i64)> = read!(self, |pool| sqlx::query_as(OPEN_ON).bind(&bus).fetch_all(pool).await?)?;
        let from: Vec<(Vec<u8>, i64)> = read!(self, |pool| sqlx::query_as(OPEN_FROM).bind(&bus).fetch_all(pool).await?)?;
        let sizes: HashMap<i64, _> = sizes.into_iter().map(|(id, partitions, records, at)| (id, (partitions, records, at))).collect();
        let groups: HashMap<String, i64> = groups.into_iter().collect();
        let on: HashMap<String, i64> = on.into_iter().collect();
        let from: HashMap<Vec<u8>, i64> = from.into_iter().collect();
        let summaries = generations.into_iter().map(|generation| {
            let (partitions, records, sampled_at) = sizes.get(&generation.id).copied().unwrap_or_default();
            let topic = generation.topic.as_str();
            let open = if generation.role == TopicRole::DeadLetter { on.get(topic) } else { from.get(topic.as_bytes()) };
            TopicSummary {
                partitions: u32::try_from(partitions).unwrap_or(u32::MAX),
                records_at_most: records.map(|records| records.max(0).unsigned_abs()),
                consumer_groups: groups.get(topic).map_or(0, |groups| u32::try_from(*groups).unwrap_or(u32::MAX)),
                open_dead_letters: open.map_or(0, |open| open.unsigned_abs()),
                sampled_at: sampled_at.map(Timestamp::from_millis),
                generation,
            }
        });
        Ok(summaries.collect())
    }
}

#[derive(sqlx::FromRow)]
struct GenerationRow {
    id: i64,
    bus: String,
    topic: String,
    topic_id: Option<String>,
    role: i16,
    internal: bool,
    first_seen_at: i64,
    gone_at: Option<i64>,
    compacted: bool,
    config: String,
    replication_factor: i32,
    transactional: bool,
}

impl GenerationRow {
    fn into_generation(self) -> Result<TopicGeneration, StoreError> {
        Ok(TopicGeneration {
            id: self.id,
            bus: BusId::new(self.bus),
            topic: TopicName::new(self.topic),
            topic_id: self.topic_id,
            role: role_of(self.role)?,
            internal: self.internal,
            first_seen_at: Timestamp::from_millis(self.first_seen_at),
            gone_at: self.gone_at.map(Timestamp::from_millis),
            compacted: self.compacted,
            transactional: self.transactional,
            config: serde_json::from_str(&self.config).map_err(|error| contradiction(format!("topic configuration: {error}")))?,
            replication_factor: self.replication_factor.unsigned_abs(),
        })
    }
}

#[derive(sqlx::FromRow)]
struct PartitionRow {
    id: i64,
    generation_id: i64,
    number: i32,
    log_start: Option<i64>,
    end_offset: Option<i64>,
    last_stable: Option<i64>,
    next: Option<i64>,
    had_records: bool,
    purged_below: Option<i64>,
    leader: Option<i32>,
}

impl PartitionRow {
    const fn into_state(self) -> PartitionState {
        PartitionState {
            id: self.id,
            generation_id: self.generation_id,
            partition: self.number,
            log_start: self.log_start,
            end: self.end_offset,
            last_stable: self.last_stable,
            next: self.next,
            had_records: self.had_records,
            purged_below: self.purged_below,
            leader: self.leader,
        }
    }
}

pub(in crate::store) const fn role_code(role: TopicRole) -> i16 {
    match role {
        TopicRole::Ordinary => 0,
        TopicRole::DeadLetter => 1,
        TopicRole::Retry => 2,
    }
}

pub(super) fn role_of(code: i16) -> Result<TopicRole, StoreError> {
    match code {
        0 => Ok(TopicRole::Ordinary),
        1 => Ok(TopicRole::DeadLetter),
        2 => Ok(TopicRole::Retry),
        _ => Err(contradiction(format!("topic role {code}"))),
    }
}
