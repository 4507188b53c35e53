//! The audit as CSV, streamed page by page.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures::stream;

use super::super::super::extract::{Operator, Query};
use super::super::super::view::csv;
use super::super::super::{Error, WebState};
use super::AuditQuery;
use crate::lifecycle::changes::Noun;
use crate::model::{AuditEntry, Cursor, PageRequest};
use crate::store::audit::AuditFilter;

/// Entries read at a time.
const STEP: u32 = 500;
const HEAD: &str = "at,actor,address,action,target,count,result\r\n";

/// `GET /audit/export`: what the list's filter matches, newest first.
pub(super) async fn export(operator: Operator, State(state): State<WebState>, Query(query): Query<AuditQuery>) -> Result<Response, Error> {
    let filter = query.filter(operator.now);
    // The first page is read before the answer begins, so that a store that is gone is an error and not an empty file.
    let first = state.store().list_audit(&filter, &PageRequest::first(STEP)).await?;
    let target = query.address("", query.range, ("", ""));
    let entry = AuditEntry {
        id: 0,
        at: operator.now,
        actor: operator.actor.clone(),
        action: "audit.export".to_owned(),
        target,
        count: None,
        result: "done".to_owned(),
    };
    state.store().record_audit(&entry).await?;
    state.changes().publish(Noun::Audit);
    let begin = Step::Rows(first.items, first.next_cursor);
    let rows = stream::unfold((state, filter, begin), |(state, filter, step)| async move {
        let (text, next) = step.write(&state, &filter).await?;
        Some((Ok::<_, std::io::Error>(text), (state, filter, next)))
    });
    let head = stream::iter([Ok(HEAD.to_owned())]);
    let mut response = Body::from_stream(futures::StreamExt::chain(head, rows)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8"));
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"redrive-audit.csv\""));
    Ok(response)
}

/// What is written next.
enum Step {
    Rows(Vec<AuditEntry>, Option<Cursor>),
    Read(Cursor),
    End,
}

impl Step {
    async fn write(self, state: &WebState, filter: &AuditFilter) -> Option<(String, Self)> {
        let (items, next) = match self {
            Self::Rows(items, next) => (items, next),
            Self::Read(cursor) => {
                let page = PageRequest { cursor: Some(cursor), limit: STEP };
                match state.store().list_audit(filter, &page).await {
                    Ok(page) => (page.items, page.next_cursor),
                    Err(error) => {
                        tracing::error!(%error, "an export of the audit broke off");
                        return Some(("# the export broke off here; the store did not answer\r\n".to_owned(), Self::End));
                    }
                }
            }
            Self::End => return None,
        };
        Some((items.iter().map(line).collect(), next.map_or(Self::End, Self::Read)))
    }
}

fn line(entry: &AuditEntry) -> String {
    let at = entry.at.to_rfc3339();
    let count = entry.count.map(|count| count.to_string()).unwrap_or_default();
    let address = entry.actor.address.as_deref().unwrap_or_default();
    let cells = [&at, &entry.actor.name, address, &entry.action, &entry.target, &count, &entry.result];
    csv::line(&cells.map(csv::cell))
}
