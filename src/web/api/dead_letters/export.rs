//! Export: whole dead letters as JSON Lines, streamed. At most [`CHUNK_BYTES`] of content are in memory at a time, however many match
//! and however slowly the client reads.

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::item::Detail;
use crate::model::dead_letter::DeadLetterDetail;
use crate::model::{AuditEntry, Cursor, DeadLetterFilter, DeadLetterId, PageRequest};
use crate::store::{Store, StoreError};
use crate::web::WebState;
use crate::web::error::{Error, Problem};
use crate::web::extract::{Caller, Operator};
use crate::web::view::filter::{FILTER_NAMES, FieldProblem, ListQuery, Reading, api_query};
use crate::web::view::query::{Pairs, only, problems};

/// Content that is read at once: a value of custody's default limit fits.
const CHUNK_BYTES: u64 = 8 * 1024 * 1024;
/// Dead letters looked at ahead, to see how large they are.
const PEEK_ROWS: u32 = 500;
/// Dead letters that can be named by id; more are a filter.
const MAX_IDS: usize = 1_000;
/// How long a search looks before it says how far it came.
const SCAN_MILLIS: u64 = 1_000;

/// Streams what matches as JSON Lines.
///
/// Each line is one dead letter as `GET /dead-letters/{id}` answers it, newest first. `id` (repeatable) names single ones instead of a
/// filter. The answer is compressed with gzip where the client accepts it. Needs the role operator; the audit holds who exported how many.
#[utoipa::path(
    get,
    path = "/dead-letters/export",
    tag = "dead letters",
    params(super::FilterParams, ("id" = Option<Vec<String>>, Query, description = "Single dead letters instead of a filter, at most 1,000.")),
    responses(
        (status = 200, description = "JSON Lines", content_type = "application/x-ndjson", body = super::item::Detail),
        (status = 403, description = "Needs the role operator", body = Problem),
        (status = 422, description = "A field is wrong; the problem names it", body = Problem),
    )
)]
pub(super) async fn export(State(state): State<WebState>, Operator(caller): Operator, Pairs(pairs): Pairs) -> Result<Response, Error> {
    let scope = Scope::parse(&pairs, &caller)?;
    let (sender, receiver) = mpsc::channel(2);
    let exporter = Exporter { store: state.store().clone(), sender, exported: 0 };
    let name = format!("dead-letters-{}.jsonl", caller.now.to_rfc3339().get(..16).unwrap_or_default().replace(':', ""));
    state.lifecycle().spawn_short(exporter.run(scope, caller));
    let mut response = Body::from_stream(ReceiverStream::new(receiver)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    if let Ok(disposition) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
        headers.insert(header::CONTENT_DISPOSITION, disposition);
    }
    Ok(response)
}

/// What is exported.
enum Scope {
    Ids(Vec<DeadLetterId>),
    Filter(Box<DeadLetterFilter>),
}

impl Scope {
    fn parse(pairs: &[(String, String)], caller: &Caller) -> Result<Self, Error> {
        only(pairs, &[FILTER_NAMES, &["id"]].concat())?;
        let query = ListQuery::parse(pairs, Reading::Api, &["id"], caller.now).map_err(problems)?;
        let given: Vec<_> = pairs.iter().filter(|(name, value)| name == "id" && !value.is_empty()).map(|(_, id)| id).collect();
        let wrong = |problem: &str| problems(vec![FieldProblem { field: "id".to_owned(), problem: problem.to_owned() }]);
        if given.is_empty() {
            return Ok(Self::Filter(Box::new(query.filter)));
        }
        if query.filter != DeadLetterFilter::default() {
            return Err(wrong("cannot be combined with a filter"));
        }
        if given.len() > MAX_IDS {
            return Err(wrong("is given more than 1,000 times; use a filter"));
        }
        let ids: Option<Vec<_>> = given.iter().map(|id| id.parse().ok()).collect();
        ids.map(Self::Ids).ok_or_else(|| wrong("must be the id of a dead letter, a whole number"))
    }

    /// As the audit names it.
    fn target(&self) -> String {
        match self {
            Self::Ids(ids) => ids.iter().take(20).map(|id| format!("id={id}")).collect::<Vec<_>>().join("&"),
            Self::Filter(filter) => {
                // What somebody searched for may be a secret; that they searched is enough.
                let address = api_query("/dead-letters", filter);
                if filter.q.is_some() { address.set("q", "…").to_string() } else { address.to_string() }
            }
        }
    }
}

/// Why an export ended early.
enum Stopped {
    ClientGone,
    Store(StoreError),
}

impl From<StoreError> for Stopped {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

struct Exporter {
    store: Store,
    sender: mpsc::Sender<std::io::Result<Bytes>>,
    exported: u64,
}

impl Exporter {
    async fn run(mut self, scope: Scope, caller: Caller) {
        let outcome = match &scope {
            Scope::Ids(ids) => self.ids(ids).await,
            Scope::Filter(filter) => self.filter(filter).await,
        };
        let result = match outcome {
            Ok(()) => "done".to_owned(),
            Err(Stopped::ClientGone) => "failed: the client went away".to_owned(),
            Err(Stopped::Store(error)) => {
                tracing::error!(%error, exported = self.exported, "an export ended early");
                // An error in the body breaks the answer off, so that no client takes a part for the whole.
                let _ = self.sender.send(Err(std::io::Error::other("the store failed"))).await;
                "failed: the store did not answer".to_owned()
            }
        };
        let entry = AuditEntry {
            id: 0,
            at: caller.now,
            actor: caller.actor,
            action: "dead_letters.export".to_owned(),
            target: scope.target(),
            count: Some(self.exported),
            result,
        };
        if let Err(error) = self.store.record_audit(&entry).await {
            tracing::error!(%error, exported = self.exported, "an export could not be recorded in the audit");
        }
    }

    async fn ids(&mut self, ids: &[DeadLetterId]) -> Result<(), Stopped> {
        for id in ids {
            if let Some(letter) = self.store.find_dead_letter(*id, &DeadLetterFilter::default()).await? {
                self.send(vec![letter]).await?;
            }
        }
        Ok(())
    }

    async fn filter(&mut self, filter: &DeadLetterFilter) -> Result<(), Stopped> {
        let mut cursor: Option<Cursor> = None;
        loop {
            let page = PageRequest { cursor: cursor.clone(), limit: PEEK_ROWS };
            let ahead = self.store.list_dead_letters(filter, &page, SCAN_MILLIS).await?;
            for rows in chunks(ahead.items.iter().map(|letter| letter.value_size_bytes.unwrap_or(0))) {
                let (letters, next) = self.store.list_for_export(filter, &PageRequest { cursor, limit: rows }).await?;
                self.send(letters).await?;
                cursor = next;
                if cursor.is_none() {
                    return Ok(());
                }
            }
            if ahead.items.is_empty() {
                cursor = ahead.next_cursor;
            }
            if cursor.is_none() || self.sender.is_closed() {
                return if cursor.is_none() { Ok(()) } else { Err(Stopped::ClientGone) };
            }
        }
    }

    async fn send(&mut self, letters: Vec<DeadLetterDetail>) -> Result<(), Stopped> {
        for letter in letters {
            let mut line = serde_json::to_vec(&Detail::from(letter)).map_err(|error| StoreError::Broken(error.to_string()))?;
            line.push(b'\n');
            self.sender.send(Ok(Bytes::from(line))).await.map_err(|_| Stopped::ClientGone)?;
            self.exported += 1;
        }
        Ok(())
    }
}

/// Numbers of consecutive rows whose content fits into memory together; a row that does not fit is alone.
fn chunks(sizes: impl Iterator<Item = u64>) -> Vec<u32> {
    let mut chunks = Vec::new();
    let (mut rows, mut bytes) = (0_u32, 0_u64);
    for size in sizes {
        if rows > 0 && bytes + size > CHUNK_BYTES {
            chunks.push(rows);
            (rows, bytes) = (0, 0);
        }
        rows += 1;
        bytes += size;
    }
    if rows > 0 {
        chunks.push(rows);
    }
    chunks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_values_are_read_alone_and_small_ones_together() {
        let mb = 1024 * 1024;
        assert_eq!(chunks([1_000; 500].into_iter()), [500]);
        assert_eq!(chunks([8 * mb, 8 * mb, 10, 10].into_iter()), [1, 1, 2]);
        assert_eq!(chunks([3 * mb, 3 * mb, 3 * mb].into_iter()), [2, 1]);
        assert_eq!(chunks([].into_iter()), [0_u32; 0]);
    }
}
