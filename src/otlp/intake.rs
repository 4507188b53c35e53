//! Spans into the store: requests that come while one transaction is written share the next.

use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};

use super::{Intake, Kept, Refused};
use crate::lifecycle::Lifecycle;
use crate::lifecycle::failpoint;
use crate::model::Timestamp;
use crate::model::span::Spans;
use crate::store::spans::EncodedSpans;
use crate::store::{Store, StoreError};

/// Requests that wait to be written.
const WAITING: usize = 64;
/// Spans of one transaction, about, at most: some tens of milliseconds of the writer.
const MOST_SPANS: usize = 8_192;
/// When to come again after "full".
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// A request waits so long for a place before it is told to come again.
const PATIENCE: Duration = Duration::from_millis(500);

/// One request's spans and where its answer goes.
type Request = (Spans, oneshot::Sender<Result<(), Refused>>);

/// Hands spans to the writer.
#[derive(Debug, Clone)]
pub struct StoreIntake {
    requests: mpsc::Sender<Request>,
}

impl StoreIntake {
    /// Starts the writer.
    #[must_use]
    pub fn spawn(store: Store, life: &Lifecycle) -> Self {
        let (requests, waiting) = mpsc::channel(WAITING);
        let (soft, hard) = (life.soft().clone(), life.hard().clone());
        life.spawn("spans", async move {
            // Ends when the last receiver has ended, and not before the process does: there may be none.
            let written = async {
                write_all(&store, waiting).await;
                soft.cancelled().await;
            };
            tokio::select! {
                () = written => {}
                () = hard.cancelled() => {}
            }
            Ok(())
        });
        Self { requests }
    }
}

impl Intake for StoreIntake {
    fn keep(&self, spans: Spans) -> BoxFuture<'_, Result<Kept, Refused>> {
        async move {
            let (answer, answered) = oneshot::channel();
            match self.requests.send_timeout((spans, answer), PATIENCE).await {
                Ok(()) => {}
                Err(mpsc::error::SendTimeoutError::Timeout(_)) => return Err(Refused::Full { retry_after: RETRY_AFTER }),
                Err(mpsc::error::SendTimeoutError::Closed(_)) => return Err(ending()),
            }
            answered.await.unwrap_or_else(|_| Err(ending()))?;
            Ok(Kept::default())
        }
        .boxed()
    }
}

fn ending() -> Refused {
    Refused::Unavailable("Redrive is ending; send the spans again".to_owned())
}

/// Writes until nobody can send any more.
async fn write_all(store: &Store, mut waiting: mpsc::Receiver<Request>) {
    while let Some((mut spans, answer)) = waiting.recv().await {
        let mut answers = vec![answer];
        while spans.len() < MOST_SPANS
            && let Ok((more, answer)) = waiting.try_recv()
        {
            spans.extend(more);
            answers.push(answer);
        }
        let written = write(store, spans).await;
        for answer in answers {
            // Who does not wait any longer sends them again.
            let _ = answer.send(written.clone());
        }
    }
}

async fn write(store: &Store, spans: Spans) -> Result<(), Refused> {
    failpoint::pass("spans.received");
    let encoded = tokio::task::spawn_blocking(move || EncodedSpans::new(spans)).await;
    let encoded = encoded.unwrap_or_else(|error| Err(StoreError::Broken(format!("packing spans: {error}"))));
    let written = match encoded {
        Ok(encoded) => store.add_spans(encoded, Timestamp::now()).await,
        Err(error) => Err(error),
    };
    written.map_err(|error| {
        tracing::warn!(%error, "spans were not kept; their senders are told to send them again");
        match error {
            StoreError::Full(_) => Refused::Full { retry_after: Duration::from_secs(30) },
            other => Refused::Unavailable(other.to_string()),
        }
    })
}
