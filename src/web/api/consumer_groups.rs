//! `/buses/{bus}/consumer-groups`: groups as last sampled, and one with its members and committed offsets.

use axum::Json;
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::WebState;
use super::super::error::{Error, Problem};
use super::super::extract::{LimitParam, Path, Query, Viewer};
use super::super::view::listing::{self, AfterParam};
use crate::model::bus::{Capability, ConsumerGroup as SampledGroup, GroupMember};
use crate::model::lag::{GroupOffset, GroupStatus, Look};
use crate::model::{BusId, GroupName, Timestamp};
use crate::store::consumer_groups::ConsumerGroupSummary;

mod exact;
mod pace;

use pace::{Lag, Pace};

pub(super) fn routes() -> OpenApiRouter<WebState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(show)).merge(exact::routes())
}

/// Restricts the list.
#[derive(Debug, Default, serde::Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct GroupsQuery {
    /// Case-insensitive part of the name.
    q: Option<String>,
    /// Only groups with commits on this topic.
    topic: Option<String>,
    /// Where the page begins: `next_cursor` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<AfterParam>,
    /// Groups at most, from 1 to 1,000; 100 unless told.
    #[param(value_type = Option<u32>)]
    limit: Option<LimitParam>,
}

/// A page of consumer groups.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
struct ConsumerGroupList {
    items: Vec<ConsumerGroupListing>,
    next_cursor: Option<String>,
    /// Groups of the bus that are not watched, as there are too many or they could never be read: of them nothing else is known.
    untracked_groups: u64,
}

/// Lists the consumer groups of a bus as last sampled, by name; our own are left out.
#[utoipa::path(
    get,
    path = "/buses/{bus}/consumer-groups",
    tag = "consumer groups",
    params(("bus" = String, Path, description = "Bus"), GroupsQuery),
    responses((status = 200, body = ConsumerGroupList), (status = 404, body = Problem), (status = 422, body = Problem))
)]
async fn list(
    _: Viewer,
    State(state): State<WebState>,
    Path(bus): Path<BusId>,
    Query(query): Query<GroupsQuery>,
) -> Result<Json<ConsumerGroupList>, Error> {
    let bus = state.store().find_bus(&bus).await?.ok_or(Error::NotFound("bus"))?;
    let groups = state.store().list_consumer_groups(&bus.id, query.q.as_deref(), query.topic.as_deref()).await?;
    let limit = query.limit.map_or(100, |limit| limit.0 as usize);
    let after = query.cursor.as_ref().map(|after| &after.0);
    let listed = listing::list(groups, |group| (0, group.name.as_str()), after, limit);
    let next_cursor = listed.next.as_ref().map(ToString::to_string);
    let items = listed.rows.into_iter().map(Into::into).collect();
    Ok(Json(ConsumerGroupList { items, next_cursor, untracked_groups: bus.untracked_groups }))
}

/// One consumer group with its members and committed offsets.
#[utoipa::path(
    get,
    path = "/buses/{bus}/consumer-groups/{group}",
    tag = "consumer groups",
    params(("bus" = String, Path, description = "Bus"), ("group" = String, Path, description = "Consumer group")),
    responses((status = 200, body = ConsumerGroup), (status = 404, body = Problem))
)]
async fn show(
    viewer: Viewer,
    State(state): State<WebState>,
    Path((bus, name)): Path<(BusId, GroupName)>,
) -> Result<Json<ConsumerGroup>, Error> {
    let bus = state.store().find_bus(&bus).await?.ok_or(Error::NotFound("bus"))?;
    let group = state.store().find_consumer_group(&bus.id, &name).await?.ok_or(Error::NotFound("consumer group"))?;
    let reason = bus.capabilities.reason_against(Capability::DescribeGroups).map(str::to_owned);
    let listed = state.store().list_consumer_groups(&bus.id, Some(name.as_str()), None).await?;
    let summary = listed.into_iter().find(|summary| summary.name == name);
    let pace = Pace::load(state.store(), &group, summary, viewer.now).await?;
    Ok(Json(ConsumerGroup::new(group, reason, pace)))
}

/// A consumer group in a list.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
struct ConsumerGroupListing {
    /// Its bus.
    bus: String,
    /// Its name.
    group: String,
    /// `classic`, `consumer` (KIP-848) or `unknown`.
    #[serde(rename = "type")]
    kind: String,
    /// State in the bus's words.
    state: String,
    /// Members; null where they are not known.
    member_count: Option<u32>,
    /// Topics with commits or assignments.
    topics: Vec<String>,
    /// Partitions with a commit.
    partition_count: u32,
    /// What it is doing, as for the group alone.
    #[schema(value_type = String)]
    status: GroupStatus,
    /// Since when it is doing so, as far as it was watched.
    #[schema(value_type = Option<String>, format = DateTime)]
    status_since: Option<Timestamp>,
    /// Since when something of note has been left to read, whether it gets closer meanwhile or not; null when nothing is.
    #[schema(value_type = Option<String>, format = DateTime)]
    behind_since: Option<Timestamp>,
    /// What `status` rests on, in words.
    evidence: String,
    /// No members, and no commit for seven days.
    parked: bool,
    #[serde(flatten)]
    lag: Lag,
    /// When it was last read.
    #[schema(value_type = String, format = DateTime)]
    sampled_at: Timestamp,
}

impl From<ConsumerGroupSummary> for ConsumerGroupListing {
    fn from(group: ConsumerGroupSummary) -> Self {
        Self {
            lag: Lag::from(&group),
            bus: group.bus.to_string(),
            group: group.name.to_string(),
            kind: group.kind,
            state: group.state,
            member_count: group.members,
            topics: group.topics,
            partition_count: group.partitions,
            status: group.standing.status,
            status_since: group.standing.since,
            behind_since: group.standing.behind_since,
            evidence: group.standing.evidence,
            parked: group.standing.parked,
            sampled_at: group.sampled_at,
        }
    }
}

/// One consumer group.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
struct ConsumerGroup {
    /// Its bus.
    bus: String,
    /// Its name.
    group: String,
    /// `classic`, `consumer` (KIP-848) or `unknown`.
    #[serde(rename = "type")]
    kind: String,
    /// State in the bus's words.
    state: String,
    /// Members; null where they are not known, see `members_reason`.
    members: Option<Vec<Member>>,
    /// Why the members are not known, in words.
    members_reason: Option<String>,
    /// What it is doing: the worst of its partitions. `caught_up`, `catching_up`, `falling_behind`, `stalled`, `stopped`, `rewound`,
    /// `no_commit`, `data_loss`, `unassigned`, `transaction_blocked` or `unknown`.
    #[schema(value_type = String)]
    status: GroupStatus,
    /// Since when it is doing so, as far as it was watched.
    #[schema(value_type = Option<String>, format = DateTime)]
    status_since: Option<Timestamp>,
    /// Since when something of note has been left to read, whether it gets closer meanwhile or not; null when nothing is.
    #[schema(value_type = Option<String>, format = DateTime)]
    behind_since: Option<Timestamp>,
    /// What `status` rests on, in words.
    evidence: String,
    /// No members, and no commit for seven days: stopped, and no error.
    parked: bool,
    /// How far behind it is over all partitions, and how fast it reads.
    #[serde(flatten)]
    pace: Pace,
    /// When it was last read.
    #[schema(value_type = String, format = DateTime)]
    sampled_at: Timestamp,
    /// Committed offsets beside the partitions' own.
    partitions: Vec<GroupPartition>,
}

/// A member of a consumer group.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
#[expect(clippy::struct_field_names, reason = "the names of the API")]
struct Member {
    /// Id the coordinator gave it.
    member_id: String,
    /// Static membership id (KIP-345).
    instance_id: Option<String>,
    /// Client id.
    client_id: String,
    /// Host.
    host: String,
    /// Assigned partitions.
    assignment: Vec<Assignment>,
}

/// Partitions of one topic that a member holds.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
struct Assignment {
    /// Topic.
    topic: String,
    /// Partitions.
    partitions: Vec<i32>,
}

/// A group's position on one partition.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
struct GroupPartition {
    /// Topic.
    topic: String,
    /// Partition.
    partition: i32,
    /// Committed offset; null when there is no commit.
    committed: Option<i64>,
    /// First offset the bus still holds.
    log_start: Option<i64>,
    /// High watermark.
    end: Option<i64>,
    /// `end - committed`, as Kafka's own tools compute it.
    raw_lag_messages: Option<i64>,
    /// Raw lag without deleted records.
    lag_messages: Option<i64>,
    /// Records deleted before they were read: `max(0, log_start - committed)`.
    deleted_messages: Option<i64>,
    /// Offsets left to read that are no records (markers of transactions, aborted, compacted); null where nobody has counted.
    not_records: Option<i64>,
    /// Whether `lag_messages` may count offsets that are no records: the topic is compacted or has transactions.
    lag_is_at_most: bool,
    /// How long ago the next record to read was written; null where it is not known.
    lag_seconds: Option<f64>,
    /// Certainly at least.
    lag_seconds_min: Option<f64>,
    /// Certainly at most; null when it is older than what was watched.
    lag_seconds_max: Option<f64>,
    /// How the lag in time is known: `sampled` (between two looks at the end of the log) or `looked_up` (an alert rule's threshold lay
    /// between these, so the bus was asked where the log had come to that long ago); null where it is not.
    method: Option<&'static str>,
    /// When the committed offset was last seen to move.
    #[schema(value_type = Option<String>, format = DateTime)]
    committed_moved_at: Option<Timestamp>,
    /// What the group is doing on it, as for the group.
    #[schema(value_type = String)]
    status: GroupStatus,
    /// What `status` rests on, in words.
    evidence: String,
    /// The two looks that `evidence` was read from.
    looks: Option<[GroupLook; 2]>,
}

/// One look at a group's position.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
struct GroupLook {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// Committed offset.
    committed: i64,
    /// High watermark.
    end: i64,
}

impl ConsumerGroup {
    /// A sampled group; `members_reason` tells why the bus does not describe members, where it does not.
    fn new(group: SampledGroup, members_reason: Option<String>, pace: Pace) -> Self {
        let members_reason = if group.members.is_some() { None } else { members_reason };
        Self {
            bus: group.bus.to_string(),
            group: group.name.to_string(),
            kind: group.kind,
            state: group.state,
            members: group.members.map(|members| members.into_iter().map(Into::into).collect()),
            members_reason,
            status: group.standing.status,
            status_since: group.standing.since,
            behind_since: group.standing.behind_since,
            evidence: group.standing.evidence,
            parked: group.standing.parked,
            pace,
            sampled_at: group.sampled_at,
            partitions: group.offsets.iter().map(Into::into).collect(),
        }
    }
}

impl From<GroupMember> for Member {
    fn from(member: GroupMember) -> Self {
        let assignment = member.assignment.into_iter();
        Self {
            member_id: member.member_id,
            instance_id: member.instance_id,
            client_id: member.client_id,
            host: member.host,
            assignment: assignment.map(|(topic, partitions)| Assignment { topic: topic.to_string(), partitions }).collect(),
        }
    }
}

impl From<&GroupOffset> for GroupPartition {
    fn from(offset: &GroupOffset) -> Self {
        let look = |look: Look| GroupLook { at: look.at, committed: look.committed, end: look.end };
        Self {
            topic: offset.topic.to_string(),
            partition: offset.partition,
            committed: offset.committed,
            log_start: offset.log_start,
            end: offset.end,
            raw_lag_messages: offset.raw_lag_messages(),
            lag_messages: offset.lag_messages(),
            deleted_messages: offset.deleted_messages(),
            not_records: offset.not_records,
            lag_is_at_most: offset.at_most,
            lag_seconds: offset.time_lag.and_then(|lag| lag.estimate).map(seconds),
            lag_seconds_min: offset.time_lag.map(|lag| seconds(lag.min)),
            lag_seconds_max: offset.time_lag.and_then(|lag| lag.max).map(seconds),
            method: offset.time_lag.map(|lag| lag.method()),
            committed_moved_at: offset.moved_at,
            status: offset.verdict.status,
            evidence: offset.verdict.evidence.clone(),
            looks: offset.verdict.looks.map(|(first, last)| [look(first), look(last)]),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a time in seconds")]
fn seconds(millis: i64) -> f64 {
    millis as f64 / 1e3
}
