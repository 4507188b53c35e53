//! Discard and restore: statuses that people set, with a reason, and take back.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::WebState;
use super::super::error::{Error, Problem};
use super::super::extract::{Json as Body, Operator, Path, Viewer};
use super::selection::{SelectionBody, audit_target};
use crate::model::discard::{Discard, DiscardId, DiscardKind, DiscardState, Reason};
use crate::model::{Status, Timestamp};
use crate::operations::discard::{DiscardError, Discards, Restore};

pub(super) fn routes() -> OpenApiRouter<WebState> {
    OpenApiRouter::new().routes(routes!(discard)).routes(routes!(restore)).routes(routes!(find))
}

/// Acts on statuses over this site's store.
pub(in crate::web) fn discards(state: &WebState) -> Discards {
    Discards::new(state.store().clone(), state.changes().clone(), state.lifecycle().clone())
}

impl From<DiscardError> for Error {
    fn from(error: DiscardError) -> Self {
        match error {
            DiscardError::EmptySelection => Self::unprocessable("empty_selection", "Nothing matches: there is no dead letter to change."),
            DiscardError::NotFound => Self::NotFound("discard"),
            DiscardError::Store(error) => Self::Store(error),
        }
    }
}

/// The reason of a discard; 422 otherwise.
pub(in crate::web) fn parse_reason(text: &str) -> Result<Reason, Error> {
    Reason::new(text).ok_or_else(|| Error::field("reason", "reason says why, in 1 to 500 characters"))
}

/// The id of a discard or restore; there is none with another form.
pub(in crate::web) fn parse_id(text: &str) -> Result<DiscardId, Error> {
    DiscardId::parse(text).ok_or(Error::NotFound("discard"))
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct DiscardBody {
    /// Which dead letters; a filter without `status` means the open ones.
    selection: SelectionBody,
    /// Why, in 1 to 500 characters.
    reason: String,
}

/// Either a `selection` (a filter without `status` means the discarded ones), or the discard to take back.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct RestoreBody {
    /// Which dead letters.
    selection: Option<SelectionBody>,
    /// What this discard changed and is still discarded by it.
    discard_id: Option<String>,
}

/// How many a discard changed.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Discarded {
    /// Names the discard, to take it back.
    discard_id: String,
    /// Dead letters that are discarded now.
    changed: u64,
    /// Dead letters that were not open and were left alone.
    skipped: u64,
    /// `running` while it goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
}

/// How many a restore changed.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Restored {
    /// Names the restore.
    restore_id: String,
    /// The discard that was taken back.
    discard_id: Option<String>,
    /// Dead letters that are open again.
    changed: u64,
    /// Dead letters that were not discarded, or by somebody else since, and were left alone.
    skipped: u64,
    /// `running` while it goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
}

/// A discard or restore.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Act {
    /// Its id.
    id: String,
    /// `discard` or `restore`.
    kind: &'static str,
    /// `running`, `completed`, or `stopped`: taken back before its end.
    state: &'static str,
    /// Who asked.
    actor: String,
    /// Why; null for a restore.
    reason: Option<String>,
    /// The scope as the audit names it.
    target: String,
    /// The discard that a restore takes back.
    undoes: Option<String>,
    /// Dead letters in its scope, as far as it is frozen.
    total: u64,
    /// Dead letters it has changed.
    changed: u64,
    /// Dead letters it has left alone.
    skipped: u64,
    /// When it was asked.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    ended_at: Option<Timestamp>,
    /// When a discard was taken back.
    #[schema(value_type = Option<String>, format = DateTime)]
    undone_at: Option<Timestamp>,
    /// By whom.
    undone_by: Option<String>,
}

impl From<Discard> for Act {
    fn from(act: Discard) -> Self {
        let (undone_at, undone_by) = act.undone.unzip();
        Self {
            id: act.id.to_string(),
            kind: act.kind.as_str(),
            state: act.state.as_str(),
            actor: act.actor.name,
            reason: (act.kind == DiscardKind::Discard).then_some(act.reason),
            target: act.target,
            undoes: act.undoes.map(|id| id.to_string()),
            total: act.total,
            changed: act.changed,
            skipped: act.skipped,
            created_at: act.created_at,
            ended_at: act.ended_at,
            undone_at,
            undone_by,
        }
    }
}

/// The status of an answer, and what it says of an act that goes on.
fn progress(act: &Discard) -> (StatusCode, Option<&'static str>) {
    if act.state == DiscardState::Running { (StatusCode::ACCEPTED, Some(act.state.as_str())) } else { (StatusCode::OK, None) }
}

/// Sets open dead letters aside, with a reason.
///
/// Nothing is removed and the bus is not touched. Those that are not open are skipped. The scope is frozen when it is asked. Above
/// 5,000 dead letters the answer does not wait: 202 with `state: "running"`; `GET /discards/{id}` tells how far it is.
#[utoipa::path(post, path = "/dead-letters/discard", tag = "dead letters", request_body = DiscardBody,
    responses((status = 200, body = Discarded), (status = 202, description = "It goes on", body = Discarded),
        (status = 403, description = "Needs the role operator", body = Problem),
        (status = 422, description = "A field is wrong, or nothing matches (`empty_selection`)", body = Problem)))]
async fn discard(Operator(caller): Operator, State(state): State<WebState>, Body(body): Body<DiscardBody>) -> Result<Response, Error> {
    let reason = parse_reason(&body.reason)?;
    let selection = body.selection.parse(caller.now)?;
    let target = audit_target(&selection);
    let act = discards(&state).discard(selection, reason, target, caller.actor, caller.now).await?;
    let (status, state) = progress(&act);
    let answer = Discarded { discard_id: act.id.to_string(), changed: act.changed, skipped: act.skipped, state };
    Ok((status, Json(answer)).into_response())
}

/// Opens discarded dead letters again.
///
/// With `discard_id`: those that this discard changed and that nobody has restored or discarded since; one that goes on is stopped.
#[utoipa::path(post, path = "/dead-letters/restore", tag = "dead letters", request_body = RestoreBody,
    responses((status = 200, body = Restored), (status = 202, description = "It goes on", body = Restored),
        (status = 403, description = "Needs the role operator", body = Problem),
        (status = 404, description = "There is no such discard", body = Problem),
        (status = 422, description = "A field is wrong, or nothing matches (`empty_selection`)", body = Problem)))]
async fn restore(Operator(caller): Operator, State(state): State<WebState>, Body(body): Body<RestoreBody>) -> Result<Response, Error> {
    let (what, target) = match (body.selection, body.discard_id) {
        (Some(selection), None) => {
            let selection = selection.parse_for(Status::Discarded, caller.now)?;
            let target = audit_target(&selection);
            (Restore::Selection(selection), target)
        }
        (None, Some(id)) => {
            let id = parse_id(&id)?;
            let target = format!("discard_id={id}");
            (Restore::Discard(id), target)
        }
        _ => return Err(Error::field("selection", "a restore names either a selection or a discard_id")),
    };
    let act = discards(&state).restore(what, target, caller.actor, caller.now).await?;
    let (status, state) = progress(&act);
    let answer = Restored {
        restore_id: act.id.to_string(),
        discard_id: act.undoes.map(|id| id.to_string()),
        changed: act.changed,
        skipped: act.skipped,
        state,
    };
    Ok((status, Json(answer)).into_response())
}

/// How far a discard or restore is.
#[utoipa::path(get, path = "/discards/{id}", tag = "dead letters",
    params(("id" = String, Path, description = "Id of the discard or restore.")),
    responses((status = 200, body = Act), (status = 404, description = "There is no such discard", body = Problem)))]
async fn find(_: Viewer, State(state): State<WebState>, Path(id): Path<String>) -> Result<Json<Act>, Error> {
    let act = discards(&state).find(&parse_id(&id)?).await?;
    act.map(|act| Json(act.into())).ok_or(Error::NotFound("discard"))
}
