//! `/dead-letters`: lists, single ones with everything that is kept, their raw bytes, and the export.

use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::model::{DeadLetterFilter, DeadLetterId, Timestamp};
use crate::web::WebState;
use crate::web::error::{Error, Problem};
use crate::web::extract::{Path, Viewer};
use crate::web::view::filter::{ListQuery, Reading};
use crate::web::view::query::{Pairs, problems};

mod export;
mod item;

pub(super) fn routes() -> OpenApiRouter<WebState> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(export::export))
        .routes(routes!(detail))
        .routes(routes!(value))
        .routes(routes!(key))
        .routes(routes!(header_value))
}

/// Rows of a page unless `limit` says otherwise.
const ROWS: u32 = 100;
/// How long a search looks before it says how far it came.
const SCAN_MILLIS: u64 = 800;

/// What a list of dead letters is restricted to. Every field may be repeated: any of its values matches.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the query for the API's document; it is read by `ListQuery`")]
pub(super) struct FilterParams {
    /// Buses.
    bus: Option<Vec<String>>,
    /// Dead-letter topics.
    topic: Option<Vec<String>>,
    /// Topics the dead letters came from.
    origin_topic: Option<Vec<String>>,
    /// Consumer groups that failed, written or inferred.
    consumer_group: Option<Vec<String>>,
    /// Root-cause classes.
    exception_class: Option<Vec<String>>,
    /// Fingerprints, such as `v1-9f3c1a7e20b40001`.
    fingerprint: Option<Vec<String>>,
    /// Conventions, such as `spring_kafka`.
    convention: Option<Vec<String>>,
    /// `open`, `replaying`, `replayed`, `resolved`, `failed_again`, `discarded`. All when left out.
    status: Option<Vec<String>>,
    /// `on_broker`, `expired`, `purged`, `topic_deleted`, `unknown`.
    presence: Option<Vec<String>>,
    /// Words that must all occur, each as a case-insensitive substring of message, class, key, header values, stack trace or value.
    q: Option<String>,
    /// Earliest `failed_at`, inclusive.
    from: Option<String>,
    /// Latest `failed_at`, exclusive.
    to: Option<String>,
    /// Instead of `from` and `to`: the time before now, such as `1h`.
    range: Option<String>,
}

/// One page of dead letters, newest first by (`failed_at`, id).
#[derive(Debug, Serialize, ToSchema)]
struct DeadLetterList {
    /// The rows; may be empty with a cursor while a search goes on.
    items: Vec<item::Item>,
    /// Where the next page begins; null at the end.
    next_cursor: Option<String>,
    /// With `q`: everything newer has been looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    searched_back_to: Option<Timestamp>,
    /// With `q`: whether everything has been looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    search_complete: Option<bool>,
    /// With `q`: dead letters that were indexed but cannot be searched yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_yet_searchable: Option<u64>,
}

/// Lists dead letters.
#[utoipa::path(
    get,
    path = "/dead-letters",
    tag = "dead letters",
    params(FilterParams, ("cursor" = Option<String>, Query, description = "`next_cursor` of an earlier answer."), ("limit" = Option<u32>, Query, description = "Rows, 1 to 1,000; 100 unless given.")),
    responses((status = 200, body = DeadLetterList), (status = 422, description = "A field is wrong; the problem names it", body = Problem))
)]
async fn list(State(state): State<WebState>, Viewer(caller): Viewer, Pairs(pairs): Pairs) -> Result<axum::Json<DeadLetterList>, Error> {
    let query = ListQuery::parse(&pairs, Reading::Api, &[], caller.now).map_err(problems)?;
    let page = state.store().list_dead_letters(&query.filter, &query.page(ROWS), SCAN_MILLIS).await?;
    let searches = query.filter.q.is_some();
    let back_to = page.searched_back_to.or_else(|| page.items.last().map(|letter| letter.failed_at));
    Ok(axum::Json(DeadLetterList {
        searched_back_to: back_to.filter(|_| searches),
        search_complete: searches.then_some(page.search_complete),
        not_yet_searchable: searches.then_some(page.not_yet_searchable),
        items: page.items.into_iter().map(item::Item::from).collect(),
        next_cursor: page.next_cursor.map(|cursor| cursor.to_string()),
    }))
}

/// One dead letter with headers, value, stack trace.
#[utoipa::path(
    get,
    path = "/dead-letters/{id}",
    tag = "dead letters",
    params(("id" = String, Path, description = "Id of the dead letter.")),
    responses((status = 200, body = item::Detail), (status = 404, description = "There is no such dead letter", body = Problem))
)]
async fn detail(State(state): State<WebState>, _: Viewer, Path(id): Path<i64>) -> Result<axum::Json<item::Detail>, Error> {
    let letter = state.store().find_dead_letter(DeadLetterId(id), &DeadLetterFilter::default()).await?;
    let letter: item::Detail = letter.ok_or(Error::NotFound("dead letter"))?.into();
    Ok(axum::Json(letter.with_replays(state.store().list_replays_of_letter(DeadLetterId(id)).await?)))
}

/// The value's bytes as stored.
#[utoipa::path(
    get,
    path = "/dead-letters/{id}/value",
    tag = "dead letters",
    params(("id" = String, Path, description = "Id of the dead letter.")),
    responses((status = 200, content_type = "application/octet-stream", body = Vec<u8>), (status = 404, description = "No such dead letter, or its value is null or not in custody", body = Problem))
)]
async fn value(State(state): State<WebState>, _: Viewer, Path(id): Path<i64>) -> Result<Response, Error> {
    let letter = state.store().find_dead_letter(DeadLetterId(id), &DeadLetterFilter::default()).await?;
    let bytes = letter.and_then(|letter| letter.value).ok_or(Error::NotFound("value"))?;
    Ok(download(bytes, &format!("dead-letter-{id}-value.bin")))
}

/// The key's bytes as stored.
#[utoipa::path(
    get,
    path = "/dead-letters/{id}/key",
    tag = "dead letters",
    params(("id" = String, Path, description = "Id of the dead letter.")),
    responses((status = 200, content_type = "application/octet-stream", body = Vec<u8>), (status = 404, description = "No such dead letter, or its key is null or not in custody", body = Problem))
)]
async fn key(State(state): State<WebState>, _: Viewer, Path(id): Path<i64>) -> Result<Response, Error> {
    let letter = state.store().find_dead_letter(DeadLetterId(id), &DeadLetterFilter::default()).await?;
    let bytes = letter.and_then(|letter| letter.key).ok_or(Error::NotFound("key"))?;
    Ok(download(bytes, &format!("dead-letter-{id}-key.bin")))
}

/// The bytes of one header's value as stored.
#[utoipa::path(
    get,
    path = "/dead-letters/{id}/headers/{number}",
    tag = "dead letters",
    params(("id" = String, Path, description = "Id of the dead letter."), ("number" = usize, Path, description = "Place in stored order, from 1.")),
    responses((status = 200, content_type = "application/octet-stream", body = Vec<u8>), (status = 404, description = "No such header, or its value is null", body = Problem))
)]
async fn header_value(State(state): State<WebState>, _: Viewer, Path((id, number)): Path<(i64, usize)>) -> Result<Response, Error> {
    let letter = state.store().find_dead_letter(DeadLetterId(id), &DeadLetterFilter::default()).await?;
    let header = letter.and_then(|letter| letter.headers.into_iter().nth(number.checked_sub(1)?));
    let bytes = header.and_then(|header| header.value).ok_or(Error::NotFound("header"))?;
    Ok(download(bytes, &format!("dead-letter-{id}-header-{number}.bin")))
}

/// Bytes that a browser saves and never looks into.
fn download(bytes: bytes::Bytes, name: &str) -> Response {
    let mut response = bytes.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff"));
    if let Ok(disposition) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
        headers.insert(header::CONTENT_DISPOSITION, disposition);
    }
    response
}
