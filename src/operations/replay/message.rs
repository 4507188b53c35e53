//! What is sent: the message as it was before the frameworks wrote their failure headers, with ours.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::partition;
use crate::bus::Outgoing;
use crate::dead_letters::decode::Decoder;
use crate::model::replay::{Partitioner, ReplayId, ReplayItem, Route};
use crate::model::{Convention, Header, Record};
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
        let record = Record {
            topic: letter.topic.clone(),
            partition: 0,
            offset: 0,
            timestamp: None,
            timestamp_kind: None,
            key: letter.key,
            value: letter.value,
            headers: letter.headers,
        };
        let failure = self.decoder.decode(&record, &letter.topic);
        let written: Vec<Arc<HashSet<Vec<u8>>>> = failure.matched.iter().map(|convention| self.names_of(convention)).collect();
        let (key, value) = match letter.resolved {
            Some(content) => content,
            None => (failure.original_key.or(record.key), failure.original_value.or(record.value)),
        };
        let original = original_traceparent(&record.headers);
        let mut headers: Vec<Header> = record
            .headers
            .into_iter()
            .filter(|header| !is_ours_or_trace(&header.name) && !written.iter().any(|names| names.contains(header.name.as_ref())))
            .collect();
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
        let at = letter.origin.timestamp.unwrap_or(letter.failed_at);
        let partition = partition::choose(route, partitioner, letter.origin.partition, at, key.as_deref(), item.dead_letter_id.0);
        Some(Outgoing { topic: target, partition, key, value, headers })
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
