//! What is sent: the message as it was before the frameworks wrote their failure headers, with ours.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::partition;
use crate::bus::Outgoing;
use crate::dead_letters::decode::Decoder;
use crate::model::replay::{Partitioner, ReplayId, ReplayItem, Route};
use crate::model::{Convention, Header};
use crate::store::replays::sending::Sendable;
use crate::telemetry::{self, Replayed};

/// Prefix of our own headers.
const OURS: &[u8] = b"redrive-";
/// Holds the message's id over all replays.
pub(super) const MESSAGE_ID: &str = "redrive-message-id";
/// Counts replays.
pub(super) const ATTEMPT: &str = "redrive-attempt";
const REPLAY_ID: &str = "redrive-replay-id";
const CONSUMER_GROUP: &str = "redrive-consumer-group";
const ORIGINAL_TRACEPARENT: &str = "redrive-original-traceparent";

/// Lengths that a record's format writes beside each header (varints).
const HEADER_BYTES: usize = 10;

/// What stays of a dead letter.
struct Kept {
    key: Option<Bytes>,
    value: Option<Bytes>,
    headers: Vec<Header>,
}

/// Turns dead letters of one bus into messages.
#[derive(Debug)]
pub(super) struct Editor {
    decoder: Decoder,
    /// Header names by convention; looked up once.
    names: Mutex<HashMap<Convention, Arc<HashSet<Vec<u8>>>>>,
}

impl Editor {
    pub(super) fn new(decoder: Decoder) -> Self {
        Self { decoder, names: Mutex::default() }
    }

    /// The message of an item. `traceparent` is fresh for each.
    pub(super) fn message(
        &self,
        letter: Sendable,
        item: &ReplayItem,
        route: &Route,
        replay: &ReplayId,
        partitioner: Partitioner,
    ) -> Option<Outgoing> {
        let target = route.target.clone()?;
        let at = letter.origin.timestamp.unwrap_or(letter.failed_at);
        let origin_partition = letter.origin.partition;
        let original = original_traceparent(&letter.headers);
        let Kept { key, value, mut headers } = self.kept(letter);
        let mut add = |name: &'static str, value: String| headers.push(Header::new(Bytes::from_static(name.as_bytes()), value));
        add(MESSAGE_ID, item.message_id.to_string());
        add(ATTEMPT, item.attempt.to_string());
        add(REPLAY_ID, replay.to_string());
        if let Some(group) = &route.consumer_group {
            add(CONSUMER_GROUP, group.to_string());
        }
        let (replay_id, message_id) = (replay.to_string(), item.message_id.to_string());
        let traceparent = telemetry::traceparent(Replayed {
            topic: target.as_str(),
            consumer_group: route.consumer_group.as_ref().map(crate::model::GroupName::as_str),
            replay_id: &replay_id,
            message_id: &message_id,
            original: original.as_deref(),
        });
        add("traceparent", traceparent);
        if let Some(original) = original {
            headers.push(Header::new(Bytes::from_static(ORIGINAL_TRACEPARENT.as_bytes()), original));
        }
        let partition = partition::choose(route, partitioner, origin_partition, at, key.as_deref(), item.dead_letter_id.0);
        Some(Outgoing { topic: target, partition, key, value, headers })
    }

    /// What a dead letter's message takes before our headers, in bytes.
    pub(super) fn kept_bytes(&self, letter: Sendable) -> u64 {
        let Kept { key, value, headers } = self.kept(letter);
        let content = key.map_or(0, |key| key.len()) + value.map_or(0, |value| value.len());
        let headers: usize = headers.iter().map(|h| h.name.len() + h.value.as_ref().map_or(0, Bytes::len) + HEADER_BYTES).sum();
        (content + headers) as u64
    }

    /// The message without what frameworks, traces and earlier replays wrote.
    fn kept(&self, letter: Sendable) -> Kept {
        let carried = self.decoder.carried(&letter.headers, &letter.topic);
        let written: Vec<Arc<HashSet<Vec<u8>>>> = carried.matched.iter().map(|convention| self.names_of(convention)).collect();
        let (key, value) = match letter.resolved {
            Some(content) => content,
            None => (carried.original_key.or(letter.key), carried.original_value.or(letter.value)),
        };
        let ours = |name: &[u8]| is_ours_or_trace(name) || written.iter().any(|names| names.contains(name));
        Kept { key, value, headers: letter.headers.into_iter().filter(|header| !ours(&header.name)).collect() }
    }

    fn names_of(&self, convention: &Convention) -> Arc<HashSet<Vec<u8>>> {
        let mut known = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let names = known.entry(convention.clone()).or_insert_with(|| {
            let names = self.decoder.removed_headers(convention);
            Arc::new(names.into_iter().map(String::into_bytes).collect())
        });
        Arc::clone(names)
    }
}

/// Ours of an earlier replay, and what a fresh trace replaces.
fn is_ours_or_trace(name: &[u8]) -> bool {
    name.starts_with(OURS) || name == b"traceparent" || name == b"tracestate"
}

/// What was original at the first replay stays original; else the newest trace of the message.
fn original_traceparent(headers: &[Header]) -> Option<Bytes> {
    let newest = |name: &str| headers.iter().rev().find(|header| header.name == name.as_bytes()).and_then(|header| header.value.clone());
    newest(ORIGINAL_TRACEPARENT).or_else(|| newest("traceparent"))
}
