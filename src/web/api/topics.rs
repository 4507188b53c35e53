//! `/buses/{bus}/topics`: the topics of a bus as last sampled, and one with its partitions, configuration and gaps.

use std::collections::{BTreeMap, HashSet};

use axum::Json;
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::WebState;
use super::super::error::{Error, Problem};
use super::super::extract::{LimitParam, Path, Query, Viewer};
use super::super::rates;
use super::super::view::listing::{self, AfterParam};
use super::super::view::topic::{RoleWord, role_word};
use crate::model::bus::{Capability, Gap, PartitionState, TopicSummary};
use crate::model::partition_problem::PartitionProblem;
use crate::model::{BusId, PageRequest, Timestamp, TopicName};
use crate::store::topics::TopicFilter;

/// Gaps answered with a topic.
const GAPS: u32 = 100;

pub(super) fn routes() -> OpenApiRouter<WebState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(show))
}

/// Restricts the list.
#[derive(Debug, Default, serde::Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct TopicsQuery {
    /// Case-insensitive part of the name.
    q: Option<String>,
    /// Only topics of this role: `ordinary`, `dead_letter`, `retry`.
    #[param(value_type = Option<String>)]
    role: Option<RoleWord>,
    /// Also topics that the bus uses for itself.
    internal: bool,
    /// Where the page begins: `next_cursor` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<AfterParam>,
    /// Topics at most, from 1 to 1,000; 100 unless told.
    #[param(value_type = Option<u32>)]
    limit: Option<LimitParam>,
}

/// A page of topics.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
struct TopicList {
    items: Vec<Topic>,
    next_cursor: Option<String>,
}

/// Lists the topics of a bus as last sampled, by name.
#[utoipa::path(
    get,
    path = "/buses/{bus}/topics",
    tag = "topics",
    params(("bus" = String, Path, description = "Bus"), TopicsQuery),
    responses((status = 200, body = TopicList), (status = 404, body = Problem), (status = 422, body = Problem))
)]
async fn list(
    viewer: Viewer,
    State(state): State<WebState>,
    Path(bus): Path<BusId>,
    Query(query): Query<TopicsQuery>,
) -> Result<Json<TopicList>, Error> {
    let bus = state.store().find_bus(&bus).await?.ok_or(Error::NotFound("bus"))?;
    let filter = TopicFilter { q: query.q, role: query.role.map(RoleWord::role), internal: query.internal };
    let topics = state.store().list_topics(&bus.id, &filter).await?;
    let limit = query.limit.map_or(100, |limit| limit.0 as usize);
    let after = query.cursor.as_ref().map(|after| &after.0);
    let listed = listing::list(topics, |topic| (0, topic.generation.topic.as_str()), after, limit);
    let next_cursor = listed.next.as_ref().map(ToString::to_string);
    let shown: HashSet<&TopicName> = listed.rows.iter().map(|topic| &topic.generation.topic).collect();
    let rates = rates::written(state.store(), &bus.id, |topic| shown.contains(topic), viewer.now).await?;
    let item = |topic: TopicSummary| Topic { messages_per_second: rates.get(&topic.generation.topic).copied(), ..topic.into() };
    Ok(Json(TopicList { items: listed.rows.into_iter().map(item).collect(), next_cursor }))
}

/// One topic with its partitions, configuration and gaps.
#[utoipa::path(
    get,
    path = "/buses/{bus}/topics/{topic}",
    tag = "topics",
    params(("bus" = String, Path, description = "Bus"), ("topic" = String, Path, description = "Topic")),
    responses((status = 200, body = TopicDetail), (status = 404, body = Problem))
)]
async fn show(
    viewer: Viewer,
    State(state): State<WebState>,
    Path((bus, topic)): Path<(BusId, TopicName)>,
) -> Result<Json<TopicDetail>, Error> {
    let bus = state.store().find_bus(&bus).await?.ok_or(Error::NotFound("bus"))?;
    let (summary, partitions) = state.store().find_topic(&bus.id, &topic).await?.ok_or(Error::NotFound("topic"))?;
    let gaps = state.store().list_gaps(Some(&bus.id), Some(&topic), &PageRequest::first(GAPS)).await?;
    let problems = state.store().list_partition_problems(Some(&bus.id), Some(&topic)).await?;
    let rates = rates::written(state.store(), &bus.id, |of| *of == topic, viewer.now).await?;
    Ok(Json(TopicDetail {
        config: summary.generation.config.clone(),
        config_reason: bus.capabilities.reason_against(Capability::ReadConfigs).map(str::to_owned),
        partitions: partitions.iter().map(Into::into).collect(),
        gaps: gaps.items.into_iter().map(Into::into).collect(),
        problems: problems.into_iter().map(Into::into).collect(),
        topic: Topic { messages_per_second: rates.get(&topic).copied(), ..summary.into() },
    }))
}

/// A topic in a list.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
#[expect(clippy::struct_field_names, reason = "the names of the API")]
struct Topic {
    /// Its bus.
    bus: String,
    /// Its name.
    topic: String,
    /// Topic id (KIP-516), where the bus tells it.
    topic_id: Option<String>,
    /// `ordinary`, `dead_letter` (indexed) or `retry`.
    role: &'static str,
    /// Whether the bus uses it for itself.
    internal: bool,
    /// Whether its cleanup policy has `compact`.
    compacted: bool,
    /// Number of partitions.
    partition_count: u32,
    /// Copies of each partition.
    replication_factor: u32,
    /// Sum of end - log start: at most this many records, as transaction markers, aborted and compacted ones count too.
    records_at_most: Option<u64>,
    /// Messages written per second over the last five minutes; null where nobody has sampled it.
    messages_per_second: Option<f64>,
    /// Consumer groups with commits on it.
    consumer_group_count: u32,
    /// Open dead letters on it (dead-letter topics), or that came from it.
    open_dead_letters: u64,
    /// When we first saw this generation of it.
    #[schema(value_type = String, format = DateTime)]
    first_seen_at: Timestamp,
    /// When it was found to be gone.
    #[schema(value_type = Option<String>, format = DateTime)]
    gone_at: Option<Timestamp>,
    /// When the offsets were read.
    #[schema(value_type = Option<String>, format = DateTime)]
    sampled_at: Option<Timestamp>,
}

impl From<TopicSummary> for Topic {
    fn from(topic: TopicSummary) -> Self {
        let generation = topic.generation;
        Self {
            bus: generation.bus.to_string(),
            topic: generation.topic.to_string(),
            topic_id: generation.topic_id,
            role: role_word(generation.role),
            internal: generation.internal,
            compacted: generation.compacted,
            partition_count: topic.partitions,
            replication_factor: generation.replication_factor,
            records_at_most: topic.records_at_most,
            messages_per_second: None,
            consumer_group_count: topic.consumer_groups,
            open_dead_letters: topic.open_dead_letters,
            first_seen_at: generation.first_seen_at,
            gone_at: generation.gone_at,
            sampled_at: topic.sampled_at,
        }
    }
}

/// One topic.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
struct TopicDetail {
    /// What lists tell.
    #[serde(flatten)]
    topic: Topic,
    /// Its partitions by number.
    partitions: Vec<Partition>,
    /// What was set on the topic, and what the broker sets for all (compaction, largest batch) where it is not Kafka's default; where it
    /// can be read.
    config: BTreeMap<String, String>,
    /// Why the configuration cannot be read, in words.
    config_reason: Option<String>,
    /// Ranges that the bus removed before we had read them, newest first, at most 100.
    gaps: Vec<TopicGap>,
    /// What keeps its partitions from being used, the longest standing first.
    problems: Vec<Problematic>,
}

/// A partition with its newest sample.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
#[expect(clippy::struct_field_names, reason = "the names of the API")]
struct Partition {
    /// Number, from 0.
    partition: i32,
    /// Broker that leads it; null when nobody does.
    leader: Option<i32>,
    /// First offset the bus still holds.
    log_start: Option<i64>,
    /// High watermark: the offset after the last record.
    end: Option<i64>,
    /// Last stable offset; below `end` while a transaction is open.
    last_stable: Option<i64>,
    /// Next offset to be indexed; null when the partition is not indexed.
    indexed_to: Option<i64>,
    /// Offsets between `indexed_to` and `end`.
    not_indexed: Option<u64>,
    /// Where a purge has cut.
    purged_below: Option<i64>,
}

impl From<&PartitionState> for Partition {
    fn from(partition: &PartitionState) -> Self {
        Self {
            partition: partition.partition,
            leader: partition.leader,
            log_start: partition.log_start,
            end: partition.end,
            last_stable: partition.last_stable,
            indexed_to: partition.next,
            not_indexed: partition.not_indexed(),
            purged_below: partition.purged_below,
        }
    }
}

/// A partition that cannot be used.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
#[schema(as = PartitionProblem)]
struct Problematic {
    /// Its number.
    partition: i32,
    /// `leaderless`, `offsets_unread`, `unreadable` or `ends_early`.
    code: &'static str,
    /// Why, in the words of the bus; may be empty.
    reason: String,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    since: Timestamp,
}

impl From<PartitionProblem> for Problematic {
    fn from(problem: PartitionProblem) -> Self {
        Self { partition: problem.partition, code: problem.kind.as_str(), reason: problem.reason, since: problem.since }
    }
}

/// A range that is missing.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
struct TopicGap {
    /// Partition.
    partition: i32,
    /// First offset that is missing.
    from_offset: i64,
    /// First offset that is there again.
    to_offset: i64,
    /// How many offsets are missing: at most this many records.
    offsets: u64,
    /// When it was noticed.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
}

impl From<Gap> for TopicGap {
    fn from(gap: Gap) -> Self {
        Self { partition: gap.partition, from_offset: gap.from_offset, to_offset: gap.to_offset, offsets: gap.offsets(), at: gap.at }
    }
}
