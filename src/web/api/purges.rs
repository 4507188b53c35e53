//! Purges: plan, start, cancel, look.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::WebState;
use super::super::error::{Error, Problem};
use super::super::extract::{Admin, CursorParam, Json as Body, LimitParam, Path, Query, TimeParam, Viewer};
use crate::model::purge::{GroupLoss, Purge, PurgeId, PurgePartition, PurgeScope};
use crate::model::replay::Check;
use crate::model::{BusId, Timestamp, TopicName};
use crate::operations::purge::{Confirmation, PlanRequest, PurgeError, Purges, Wanted};

pub(super) fn routes() -> OpenApiRouter<WebState> {
    OpenApiRouter::new()
        .routes(routes!(list, plan))
        .routes(routes!(detail))
        .routes(routes!(start))
        .routes(routes!(cancel))
        .routes(routes!(check))
}

/// Purges of this site's buses.
pub(in crate::web) fn purges(state: &WebState) -> Purges {
    Purges::new(state.operations().clone(), state.store().clone(), state.changes().clone(), state.lifecycle().clone())
}

/// A purge's id in a path.
pub(in crate::web) fn parse_id(text: &str) -> Result<PurgeId, Error> {
    PurgeId::parse(text).ok_or(Error::NotFound("purge"))
}

impl From<PurgeError> for Error {
    fn from(error: PurgeError) -> Self {
        let text = error.to_string();
        let wrong =
            |code, field: &str, text| Self::Invalid { status: StatusCode::UNPROCESSABLE_ENTITY, code, field: Some(field.to_owned()), text };
        match error {
            PurgeError::NotFound => Self::NotFound("purge"),
            PurgeError::Field { field, text } => Self::field(field, text),
            PurgeError::NotDeadLetterTopic(_) => wrong("not_a_dead_letter_topic", "topic", text),
            PurgeError::Empty => Self::unprocessable("empty_selection", text),
            PurgeError::WrongState { .. } => Self::Conflict { code: "wrong_state", text },
            PurgeError::GenerationChanged(_) => Self::Conflict { code: "generation_changed", text },
            PurgeError::Blocked(_) => Self::unprocessable("blocked", text),
            PurgeError::ConfirmMismatch(_) => wrong("confirm_mismatch", "confirm", text),
            PurgeError::WarningsNotAccepted(_) => wrong("warnings_not_accepted", "accept", text),
            PurgeError::WithoutCustodyMismatch(_) => wrong("without_custody_mismatch", "without_custody", text),
            PurgeError::Bus(error) => error.into(),
            PurgeError::Store(error) => Self::Store(error),
        }
    }
}

/// What is to be purged: up to `partitions`' offsets, or what was written `before` a time, or, without both, all that is indexed.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PurgePlanBody)]
struct PlanBody {
    /// The bus.
    #[schema(value_type = String)]
    bus: BusId,
    /// The dead-letter topic.
    #[schema(value_type = String)]
    topic: TopicName,
    /// Partitions, each with the first offset that stays. Never more than what is indexed is cut off.
    partitions: Option<Vec<CutBody>>,
    /// The first record at or after this time stays, and everything after it.
    #[schema(value_type = Option<String>, format = DateTime)]
    before: Option<TimeParam>,
}

/// Where a partition is to be cut.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct CutBody {
    /// Number of the partition.
    partition: i32,
    /// First offset that stays.
    offset: i64,
}

impl PlanBody {
    fn request(self) -> Result<PlanRequest, Error> {
        let wanted = match (self.partitions, self.before) {
            (Some(_), Some(_)) => return Err(Error::field("before", "before cannot be combined with partitions")),
            (Some(cuts), None) => Wanted::Offsets(cuts.into_iter().map(|cut| (cut.partition, cut.offset)).collect()),
            (None, Some(before)) => Wanted::Before(before.0),
            (None, None) => Wanted::Indexed,
        };
        Ok(PlanRequest { bus: self.bus, topic: self.topic, wanted })
    }
}

/// What a person confirms.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PurgeStartBody)]
struct StartBody {
    /// The topic's name.
    #[serde(default)]
    confirm: String,
    /// Codes of all warnings.
    #[serde(default)]
    accept: Vec<String>,
    /// Records without custody, repeated; may be left out when there are none.
    without_custody: Option<u64>,
}

/// A purge.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct PurgeShape {
    /// Its id.
    id: String,
    /// Its bus.
    bus: String,
    /// The dead-letter topic.
    topic: String,
    /// `planned`, `running`, `completed`, `failed`, `cancelled`.
    state: &'static str,
    /// Why: `by_person`, `expired`, `bus_unreachable`, `permission_denied`, `generation_changed`, `refused`.
    state_reason: Option<&'static str>,
    /// The reason in words.
    state_text: Option<String>,
    /// `indexed`, `before` or `offsets`.
    scope: &'static str,
    /// With `before`: the time.
    #[schema(value_type = Option<String>, format = DateTime)]
    before: Option<Timestamp>,
    /// Offsets below the cuts: at most this many records.
    records: u64,
    /// Offsets below the cuts that were made.
    purged: u64,
    /// Open dead letters below the cuts, when it was checked.
    open: u64,
    /// Records below the cuts that are not in custody.
    without_custody: u64,
    /// What was checked.
    checks: Vec<CheckShape>,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    checked_at: Timestamp,
    /// The cuts.
    partitions: Vec<PartitionShape>,
    /// Who planned it.
    planned_by: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// Who started it.
    started_by: Option<String>,
    /// When.
    #[schema(value_type = Option<String>, format = DateTime)]
    started_at: Option<Timestamp>,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    ended_at: Option<Timestamp>,
}

/// One check of a plan.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = PurgeCheck)]
struct CheckShape {
    /// Names it; what `accept` repeats.
    code: String,
    /// `blocked`, `warning` or `passed`. `without_custody` is blocked until its number is repeated at the start.
    level: &'static str,
    /// What it is about, counted.
    count: u64,
    /// In words.
    text: String,
}

/// One partition's cut.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct PartitionShape {
    /// Number.
    partition: i32,
    /// First offset that the bus held.
    start: i64,
    /// First offset that stays.
    cut: i64,
    /// End when it was planned.
    end: i64,
    /// Offsets below the cut: at most this many records.
    records: u64,
    /// Open dead letters below the cut.
    open: u64,
    /// Records below the cut that are not in custody.
    without_custody: u64,
    /// Consumer groups that have not read everything below the cut.
    consumer_groups: Vec<LossShape>,
    /// `waiting`, `done` or `failed`.
    result: &'static str,
    /// Why it failed.
    error: Option<String>,
}

/// A consumer group that would lose records.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct LossShape {
    /// Its name.
    consumer_group: String,
    /// Its committed offset.
    committed: i64,
    /// How many records it would never read, at most.
    records: u64,
}

impl From<Check> for CheckShape {
    fn from(check: Check) -> Self {
        Self { code: check.code, level: check.level.as_str(), count: check.count, text: check.text }
    }
}

impl From<GroupLoss> for LossShape {
    fn from(loss: GroupLoss) -> Self {
        Self { consumer_group: loss.group.to_string(), committed: loss.committed, records: loss.records }
    }
}

impl From<PurgePartition> for PartitionShape {
    fn from(cut: PurgePartition) -> Self {
        Self {
            partition: cut.partition,
            start: cut.start,
            cut: cut.cut,
            end: cut.end,
            records: cut.records(),
            open: cut.below.open,
            without_custody: cut.below.without_custody,
            consumer_groups: cut.losses.into_iter().map(Into::into).collect(),
            result: cut.result.as_str(),
            error: cut.error,
        }
    }
}

impl From<Purge> for PurgeShape {
    fn from(purge: Purge) -> Self {
        let below = purge.below();
        let (scope, before) = match purge.scope {
            PurgeScope::Indexed => ("indexed", None),
            PurgeScope::Before(time) => ("before", Some(time)),
            PurgeScope::Offsets => ("offsets", None),
        };
        Self {
            records: purge.records(),
            purged: purge.purged(),
            open: below.open,
            without_custody: below.without_custody,
            id: purge.id.to_string(),
            bus: purge.bus.to_string(),
            topic: purge.topic.to_string(),
            state: purge.state.as_str(),
            state_reason: purge.state_reason.map(crate::model::purge::PurgeReason::as_str),
            state_text: purge.state_text,
            scope,
            before,
            checks: purge.checks.into_iter().map(Into::into).collect(),
            checked_at: purge.checked_at,
            partitions: purge.partitions.into_iter().map(Into::into).collect(),
            planned_by: purge.planned_by.name,
            created_at: purge.created_at,
            started_by: purge.started_by.map(|actor| actor.name),
            started_at: purge.started_at,
            ended_at: purge.ended_at,
        }
    }
}

/// One page of purges, newest first.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct PurgeList {
    /// The rows.
    items: Vec<PurgeShape>,
    /// Where the next page begins; null at the end.
    next_cursor: Option<String>,
}

#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListQuery {
    /// Bus.
    #[param(value_type = Option<String>)]
    bus: Option<BusId>,
    /// Where the page begins.
    #[param(value_type = Option<String>)]
    cursor: Option<CursorParam>,
    /// Rows, 1 to 1,000; 100 unless told.
    #[param(value_type = Option<u32>)]
    limit: Option<LimitParam>,
}

/// Lists purges, newest first.
#[utoipa::path(get, path = "/purges", tag = "purges", params(ListQuery), responses((status = 200, body = PurgeList)))]
async fn list(_: Viewer, State(state): State<WebState>, Query(query): Query<ListQuery>) -> Result<Json<PurgeList>, Error> {
    let page = state.store().list_purges(query.bus.as_ref(), &LimitParam::page(query.cursor, query.limit, 100)).await?;
    let next_cursor = page.next_cursor.map(|cursor| cursor.to_string());
    Ok(Json(PurgeList { items: page.items.into_iter().map(Into::into).collect(), next_cursor }))
}

/// Plans a purge: freezes one cut per partition and checks it. Nothing is deleted.
#[utoipa::path(post, path = "/purges", tag = "purges", request_body = PlanBody,
    responses((status = 201, body = PurgeShape), (status = 403, description = "Needs the role admin", body = Problem),
        (status = 409, description = "The topic was just created again (`generation_changed`)", body = Problem),
        (status = 422, description = "A field is wrong, or nothing lies below the cuts (`empty_selection`)", body = Problem),
        (status = 503, description = "The bus does not answer", body = Problem)))]
async fn plan(
    Admin(caller): Admin,
    State(state): State<WebState>,
    Body(body): Body<PlanBody>,
) -> Result<(StatusCode, Json<PurgeShape>), Error> {
    let purge = purges(&state).plan(&body.request()?, &caller.actor, caller.now).await?;
    Ok((StatusCode::CREATED, Json(purge.into())))
}

/// One purge.
#[utoipa::path(get, path = "/purges/{id}", tag = "purges", params(("id" = String, Path, description = "Id of the purge.")),
    responses((status = 200, body = PurgeShape), (status = 404, description = "There is no such purge", body = Problem)))]
async fn detail(_: Viewer, State(state): State<WebState>, Path(id): Path<String>) -> Result<Json<PurgeShape>, Error> {
    Ok(Json(purges(&state).find(&parse_id(&id)?).await?.into()))
}

/// Starts a plan. It goes on by itself, partition by partition, also after a crash.
#[utoipa::path(post, path = "/purges/{id}/start", tag = "purges", params(("id" = String, Path, description = "Id of the purge.")),
    request_body = StartBody,
    responses((status = 200, body = PurgeShape), (status = 403, description = "Needs the role admin", body = Problem),
        (status = 404, description = "There is no such purge", body = Problem),
        (status = 409, description = "`wrong_state`, or `generation_changed`: the topic is not the one that was planned for", body = Problem),
        (status = 422, description = "`confirm_mismatch`, `warnings_not_accepted`, `without_custody_mismatch`, `blocked`", body = Problem),
        (status = 503, description = "The bus does not answer; the plan stays", body = Problem)))]
async fn start(
    Admin(caller): Admin,
    State(state): State<WebState>,
    Path(id): Path<String>,
    body: Option<Body<StartBody>>,
) -> Result<Json<PurgeShape>, Error> {
    let body = body.map(|Body(body)| body).unwrap_or_default();
    let given = Confirmation { confirm: body.confirm, accept: body.accept, without_custody: body.without_custody };
    Ok(Json(purges(&state).start(&parse_id(&id)?, &given, &caller.actor, caller.now).await?.into()))
}

/// Cancels a plan, or a running purge before its next partition.
#[utoipa::path(post, path = "/purges/{id}/cancel", tag = "purges", params(("id" = String, Path, description = "Id of the purge.")),
    responses((status = 200, body = PurgeShape), (status = 403, description = "Needs the role admin", body = Problem),
        (status = 404, description = "There is no such purge", body = Problem), (status = 409, description = "`wrong_state`", body = Problem)))]
async fn cancel(Admin(caller): Admin, State(state): State<WebState>, Path(id): Path<String>) -> Result<Json<PurgeShape>, Error> {
    Ok(Json(purges(&state).cancel(&parse_id(&id)?, &caller.actor, caller.now).await?.into()))
}

/// Runs a plan's checks again. Its cuts stay.
#[utoipa::path(post, path = "/purges/{id}/check", tag = "purges", params(("id" = String, Path, description = "Id of the purge.")),
    responses((status = 200, body = PurgeShape), (status = 403, description = "Needs the role admin", body = Problem),
        (status = 404, description = "There is no such purge", body = Problem), (status = 409, description = "`wrong_state`", body = Problem),
        (status = 503, description = "The bus does not answer; the plan stays", body = Problem)))]
async fn check(Admin(caller): Admin, State(state): State<WebState>, Path(id): Path<String>) -> Result<Json<PurgeShape>, Error> {
    Ok(Json(purges(&state).check(&parse_id(&id)?, caller.now).await?.into()))
}
