//! What both network receivers do with a request: check the token, take the bytes within the limits, unpack and decode them on
//! blocking threads, hand the spans on, and tell what became of them.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt as _};
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;

use super::assemble::Batch;
use super::budget::{Budget, Hold};
use super::refusal::Refusal;
use super::{Encoding, SharedIntake, decode};
use crate::config::OtlpConfig;
use crate::telemetry::Metrics;

/// How long a sender may take for a request, and for any part of it: what it holds here, others cannot have.
const WHOLE_REQUEST: Duration = Duration::from_mins(1);
const NEXT_PART: Duration = Duration::from_secs(10);
/// The same refusal is news again after this time.
const AGAIN: Duration = Duration::from_mins(1);
/// Unpacked in steps of this size, each paid for.
const STEP: usize = 256 * 1024;

/// Shared by the receivers.
#[derive(Debug)]
pub(super) struct Receiver {
    intake: SharedIntake,
    metrics: Metrics,
    /// Hash of the token, so that comparing tells nothing about it.
    token: Option<[u8; 32]>,
    pub(super) max_bytes: u64,
    budget: Budget,
    /// One request is decoded on each processor.
    decoding: Semaphore,
    /// When each kind of refusal was last told.
    told: Mutex<BTreeMap<&'static str, Instant>>,
}

/// A request's bytes and the memory they have paid for.
#[derive(Debug)]
pub(super) struct Body {
    bytes: Bytes,
    hold: Hold,
}

/// What became of a request's spans.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Taken {
    /// How many were not taken.
    pub(super) rejected: u64,
    /// Why, or what else the sender should know.
    pub(super) message: Option<String>,
}

impl Receiver {
    pub(super) fn new(config: &OtlpConfig, intake: SharedIntake, metrics: Metrics) -> Self {
        let processors = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        Self {
            intake,
            metrics,
            token: config.token.as_deref().map(|token| Sha256::digest(token).into()),
            max_bytes: config.max_bytes,
            budget: Budget::new(config.max_bytes),
            decoding: Semaphore::new(processors),
            told: Mutex::default(),
        }
    }

    /// Whether the sender may send: `authorization` is the header's value.
    pub(super) fn admit(&self, authorization: Option<&[u8]>) -> Result<(), Refusal> {
        let Some(token) = &self.token else { return Ok(()) };
        let given = authorization.and_then(|value| value.split_at_checked(7));
        let given = given.filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"bearer ")).map(|(_, token)| token.trim_ascii());
        if given.is_some_and(|given| Sha256::digest(given).as_slice() == token) { Ok(()) } else { Err(Refusal::Token) }
    }

    /// Takes a body as it arrives, at most `max_bytes` and what a frame around it needs.
    pub(super) async fn collect<S, E>(&self, mut parts: S, frame: u64) -> Result<Body, Refusal>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin + Send,
    {
        let mut hold = self.budget.hold();
        let mut all = BytesMut::new();
        let mut first = None;
        let until = tokio::time::Instant::now() + WHOLE_REQUEST;
        loop {
            let next = tokio::time::timeout_at(until.min(tokio::time::Instant::now() + NEXT_PART), parts.next());
            let Some(part) = next.await.map_err(|_| Refusal::slow())? else { break };
            // The sender went away, or broke the protocol; it will hardly hear the answer.
            let part = part.map_err(|_| Refusal::Malformed("the request broke off".to_owned()))?;
            if (all.len() + first.as_ref().map_or(0, Bytes::len) + part.len()) as u64 > self.max_bytes.saturating_add(frame) {
                return Err(Refusal::too_large(self.max_bytes));
            }
            if !hold.grow(part.len()) {
                return Err(Refusal::full());
            }
            match first.take() {
                None if all.is_empty() => first = Some(part),
                before => {
                    all.extend_from_slice(&before.unwrap_or_default());
                    all.extend_from_slice(&part);
                }
            }
        }
        // Most requests arrive in one part, and are not copied.
        Ok(Body { bytes: first.unwrap_or_else(|| all.freeze()), hold })
    }

    /// Decodes a body, hands its spans on, and returns when they are kept.
    pub(super) async fn work(&self, body: Body, gzip: bool, encoding: Encoding) -> Result<Taken, Refusal> {
        let Body { bytes, mut hold } = body;
        let max_bytes = self.max_bytes;
        let decoded = {
            let _turn = self.decoding.acquire().await.map_err(|_| Refusal::Broken)?;
            let decoding = tokio::task::spawn_blocking(move || {
                let bytes = if gzip { unpack(bytes, max_bytes, &mut hold)? } else { bytes };
                Ok::<_, Refusal>((decode(&bytes, encoding)?, hold))
            });
            decoding.await
        };
        let (batch, hold) = decoded.map_err(|error| {
            tracing::error!(%error, "decoding of spans died");
            Refusal::Broken
        })??;
        let taken = self.keep(batch).await;
        drop(hold);
        taken
    }

    async fn keep(&self, batch: Batch) -> Result<Taken, Refusal> {
        let (rejected, reasons, count) = (batch.rejected(), batch.reasons(), batch.spans.len());
        let mut warning = None;
        if count > 0 {
            warning = self.intake.keep(batch.spans).await?.warning;
        }
        self.metrics.otlp_spans_total.with_label_values(&["kept"]).inc_by(count as u64);
        self.metrics.otlp_spans_total.with_label_values(&["rejected"]).inc_by(rejected);
        Ok(Taken { rejected, message: reasons.or(warning) })
    }

    /// Counts how a request ended, and tells of a refusal now and then: senders often keep it to themselves.
    pub(super) fn count(&self, protocol: &'static str, ended: &Result<Taken, Refusal>) {
        let result = ended.as_ref().map_or_else(Refusal::word, |_| "taken");
        self.metrics.otlp_requests_total.with_label_values(&[protocol, result]).inc();
        if let Err(refusal) = ended
            && self.is_news(result)
        {
            tracing::warn!(protocol, reason = refusal.message(), "a request with spans was refused");
        }
    }

    fn is_news(&self, word: &'static str) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let news = told.get(word).is_none_or(|at| at.elapsed() >= AGAIN);
        if news {
            told.insert(word, Instant::now());
        }
        news
    }
}

impl Body {
    /// The bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The same without its first bytes, of which there are as many.
    pub(super) fn without_first(mut self, count: usize) -> Self {
        self.bytes = self.bytes.slice(count.min(self.bytes.len())..);
        self
    }
}

/// Unpacks gzip. What comes out is paid for as it comes, so that a bomb stops at the limit.
fn unpack(packed: Bytes, max_bytes: u64, hold: &mut Hold) -> Result<Bytes, Refusal> {
    let mut unpacked = Vec::new();
    let mut source = flate2::read::MultiGzDecoder::new(packed.as_ref());
    loop {
        let before = unpacked.len();
        let read = source.by_ref().take(STEP as u64).read_to_end(&mut unpacked);
        read.map_err(|_| Refusal::Malformed("the body is not gzip, or breaks off".to_owned()))?;
        if unpacked.len() as u64 > max_bytes {
            return Err(Refusal::too_large(max_bytes));
        }
        if !hold.grow(unpacked.len() - before) {
            return Err(Refusal::full());
        }
        if unpacked.len() - before < STEP {
            hold.shrink(packed.len());
            return Ok(unpacked.into());
        }
    }
}
