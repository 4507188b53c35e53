//! Who did what, when, to how many, with which result.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::WebState;
use super::super::error::{Error, Problem};
use super::super::extract::{CursorParam, LimitParam, Query, TimeParam, Viewer};
use crate::model::AuditEntry;
use crate::store::audit::AuditFilter;

pub(super) fn routes() -> OpenApiRouter<WebState> {
    OpenApiRouter::new().routes(routes!(list))
}

/// Restricts the list.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct AuditQuery {
    /// Actor, exact: `user:mara`, `token:ci`, `cli`, `system`.
    actor: Option<String>,
    /// Action or its noun: `user` finds `user.add`.
    action: Option<String>,
    /// Earliest, inclusive.
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<TimeParam>,
    /// Latest, exclusive.
    #[param(value_type = Option<String>, format = DateTime)]
    to: Option<TimeParam>,
    /// Where the page begins: `next_cursor` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<CursorParam>,
    /// Entries at most, 1 to 1,000; 100 unless told.
    #[param(value_type = Option<u32>)]
    limit: Option<LimitParam>,
}

/// One act.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct AuditItem {
    id: String,
    #[schema(value_type = String, format = DateTime)]
    at: crate::model::Timestamp,
    actor: String,
    address: Option<String>,
    action: String,
    target: String,
    count: Option<u64>,
    result: String,
}

/// A page of the audit.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct AuditList {
    items: Vec<AuditItem>,
    next_cursor: Option<String>,
}

/// Lists the audit, newest first.
#[utoipa::path(get, path = "/audit", tag = "audit", params(AuditQuery), responses((status = 200, body = AuditList), (status = 422, body = Problem)))]
async fn list(_: Viewer, State(state): State<WebState>, Query(query): Query<AuditQuery>) -> Result<Json<AuditList>, Error> {
    let filter = AuditFilter { actor: query.actor, action: query.action, from: query.from.map(|t| t.0), to: query.to.map(|t| t.0) };
    let page = state.store().list_audit(&filter, &LimitParam::page(query.cursor, query.limit, 100)).await?;
    let items = page.items.into_iter().map(AuditItem::from).collect();
    Ok(Json(AuditList { items, next_cursor: page.next_cursor.map(|cursor| cursor.to_string()) }))
}

impl From<AuditEntry> for AuditItem {
    fn from(entry: AuditEntry) -> Self {
        Self {
            id: entry.id.to_string(),
            at: entry.at,
            actor: entry.actor.name,
            address: entry.actor.address,
            action: entry.action,
            target: entry.target,
            count: entry.count,
            result: entry.result,
        }
    }
}
