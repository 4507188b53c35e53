//! The event stream: one per visible page. It says what changed, never how; the page then fetches the parts it shows, so that there
//! is one way to render and one to check permissions.

use std::collections::{BTreeSet, HashMap};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::stream::{self, Stream};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::WebState;
use super::error::{Error, Problem};
use super::extract::Viewer;
use crate::lifecycle::changes::Noun;
use crate::telemetry::Metrics;

/// Streams that one person or token may hold: twenty visible windows.
const STREAMS_PER_CALLER: usize = 20;
/// Changes that come this close together are told together, so that a busy indexer does not flood pages.
const GATHER: Duration = Duration::from_millis(250);
/// A comment this often keeps proxies from closing a quiet stream.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// A stream ends after this time and the browser opens a new one, so that who may no longer read is noticed.
const LIFETIME: Duration = Duration::from_mins(5);
/// How long the browser waits before it opens a new one.
const RETRY: Duration = Duration::from_secs(2);

/// How many streams each caller holds.
#[derive(Debug, Default)]
pub(super) struct StreamCounts {
    open: Mutex<HashMap<String, usize>>,
}

impl StreamCounts {
    /// Takes a place; `None` when the caller has all of theirs.
    fn enter(self: &Arc<Self>, caller: &str, metrics: &Metrics) -> Option<Place> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let held = open.entry(caller.to_owned()).or_default();
        if *held >= STREAMS_PER_CALLER {
            return None;
        }
        *held += 1;
        metrics.http_event_streams.inc();
        Some(Place { counts: Arc::clone(self), caller: caller.to_owned(), metrics: metrics.clone() })
    }
}

/// One place among a caller's streams; given back when the stream ends, however it ends.
struct Place {
    counts: Arc<StreamCounts>,
    caller: String,
    metrics: Metrics,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.counts.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = open.get_mut(&self.caller) {
            *held -= 1;
            if *held == 0 {
                open.remove(&self.caller);
            }
        }
        self.metrics.http_event_streams.dec();
    }
}

/// Streams what changes: events named `dead_letters`, `buses`, `topics`, `consumer_groups`, `audit`, and `reload` when some were missed.
#[utoipa::path(
    get, path = "/events", tag = "events",
    responses((status = 200, content_type = "text/event-stream", body = String), (status = 429, body = Problem))
)]
pub(super) async fn events(
    viewer: Viewer,
    State(state): State<WebState>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Error> {
    let caller = viewer.identity.audit_name();
    let place = state.streams().enter(&caller, state.metrics()).ok_or(Error::TooMany(RETRY))?;
    let watcher = Watcher {
        receiver: state.changes().subscribe(),
        ends: Instant::now() + LIFETIME,
        soft: state.lifecycle().soft().clone(),
        waiting: std::iter::once(tell("hello").retry(RETRY)).collect(),
        _place: place,
    };
    let stream = stream::unfold(watcher, |mut watcher| async move {
        let event = watcher.next().await?;
        Some((Ok(event), watcher))
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE).text("still here")))
}

/// One stream.
struct Watcher {
    receiver: Receiver<Noun>,
    ends: Instant,
    soft: CancellationToken,
    waiting: Vec<Event>,
    _place: Place,
}

impl Watcher {
    /// The next event; `None` ends the stream.
    async fn next(&mut self) -> Option<Event> {
        if let Some(event) = self.waiting.pop() {
            return Some(event);
        }
        let mut nouns = BTreeSet::new();
        let first = tokio::select! {
            () = self.soft.cancelled() => return None,
            () = tokio::time::sleep_until(self.ends) => return None,
            received = self.receiver.recv() => received,
        };
        let mut missed = note(&first, &mut nouns)?;
        let gathered = Instant::now() + GATHER;
        while !missed {
            let received = tokio::select! {
                () = self.soft.cancelled() => return None,
                () = tokio::time::sleep_until(gathered) => break,
                received = self.receiver.recv() => received,
            };
            missed = note(&received, &mut nouns)?;
        }
        if missed {
            // What is still queued is covered by the reload.
            self.receiver = self.receiver.resubscribe();
            return Some(tell("reload"));
        }
        self.waiting = nouns.into_iter().map(|noun| tell(noun.as_str())).collect();
        self.waiting.pop()
    }
}

/// An event with its name as data: browsers drop events without any.
fn tell(name: &str) -> Event {
    Event::default().event(name).data(name)
}

/// Collects a noun; `Some(true)` when some were missed, `None` when nobody will publish any more.
fn note(received: &Result<Noun, RecvError>, nouns: &mut BTreeSet<Noun>) -> Option<bool> {
    match received {
        Ok(noun) => {
            nouns.insert(*noun);
            Some(false)
        }
        Err(RecvError::Lagged(_)) => Some(true),
        Err(RecvError::Closed) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{STREAMS_PER_CALLER, StreamCounts};
    use crate::lifecycle::changes::Noun;
    use crate::telemetry::Metrics;
    use std::sync::Arc;

    /// A part that waits for an event nobody sends would never be fresh.
    #[test]
    fn templates_wait_for_events_that_exist() {
        let known: Vec<&str> = Noun::ALL.iter().map(|noun| noun.as_str()).collect();
        let mut folders = vec![std::path::PathBuf::from("templates")];
        let mut seen = 0;
        while let Some(folder) = folders.pop() {
            for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let text = std::fs::read_to_string(&path).unwrap();
                for kind in ["live:", "slow:"] {
                    for waiting in text.split(kind).skip(1) {
                        let noun = waiting.split(' ').next().unwrap();
                        assert!(known.contains(&noun), "{}: {kind}{noun}", path.display());
                        seen += 1;
                    }
                }
            }
        }
        assert!(seen >= 5, "the templates were not found");
    }

    #[test]
    fn a_caller_gets_a_place_back_when_a_stream_ends() {
        let (counts, metrics) = (Arc::new(StreamCounts::default()), Metrics::new());
        let mut places: Vec<_> = (0..STREAMS_PER_CALLER).map(|_| counts.enter("user:mara", &metrics).unwrap()).collect();
        assert!(counts.enter("user:mara", &metrics).is_none());
        assert!(counts.enter("user:sam", &metrics).is_some());
        places.pop();
        assert!(counts.enter("user:mara", &metrics).is_some());
        drop(places);
        assert!(counts.open.lock().unwrap().is_empty(), "nothing is kept of who has gone");
        assert_eq!(metrics.http_event_streams.get(), 0);
    }
}
