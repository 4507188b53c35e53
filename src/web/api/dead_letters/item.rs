//! Dead letters as the API writes them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use utoipa::ToSchema;

use super::super::replays::LetterReplayItem;
use crate::model::dead_letter::{DeadLetterDetail, DeadLetterSummary};
use crate::model::{Header, Origin, Timestamp};
use crate::store::replays::LetterReplay;
use crate::web::view::headers::name_text;

/// A dead letter in a list.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = DeadLetter)]
pub(super) struct Item {
    /// Our id.
    id: String,
    /// Bus.
    bus: String,
    /// Dead-letter topic.
    topic: String,
    /// Partition on the dead-letter topic.
    partition: i32,
    /// Offset on the dead-letter topic.
    offset: i64,
    /// The record's own timestamp.
    #[schema(value_type = Option<String>, format = DateTime)]
    timestamp: Option<Timestamp>,
    /// When it failed; never missing, see the source.
    #[schema(value_type = String, format = DateTime)]
    failed_at: Timestamp,
    /// `header`, `record` or `indexed`.
    failed_at_source: &'static str,
    /// When Redrive stored it.
    #[schema(value_type = String, format = DateTime)]
    indexed_at: Timestamp,
    /// Whether it was there before Redrive first read the topic; such dead letters count in no arrival figure.
    backlog: bool,
    /// The framework's way of writing failure headers.
    convention: String,
    /// `open`, `replaying`, `replayed`, `resolved`, `failed_again` or `discarded`.
    status: &'static str,
    /// `on_broker`, `expired`, `purged`, `topic_deleted` or `unknown`.
    presence: &'static str,
    /// Deliveries or attempts before it was given up.
    attempts: Option<i32>,
    /// Key of its failure group on this bus.
    fingerprint: String,
    /// Where it came from.
    origin: OriginItem,
    /// Consumer group that failed.
    consumer_group: Option<String>,
    /// Whether that group was inferred instead of written in a header.
    consumer_group_inferred: bool,
    /// What failed.
    exception: ExceptionItem,
    /// Trace id in 32 hexadecimal digits.
    trace_id: Option<String>,
    /// Key as text; null when there is none or it is not UTF-8.
    key: Option<String>,
    /// Key as bytes; null when there is none. Lists cut it at 256 bytes, see `key_size`.
    key_base64: Option<String>,
    /// Whole length of the key in bytes.
    key_size: u64,
    /// Whole length of the value in bytes; null is a null value.
    value_size: Option<u64>,
    /// Why Redrive does not hold the content, when it does not.
    custody_problem: Option<String>,
}

/// Where a dead letter came from, as far as its headers tell.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Origin)]
pub(super) struct OriginItem {
    topic: Option<String>,
    partition: Option<i32>,
    offset: Option<i64>,
    #[schema(value_type = Option<String>, format = DateTime)]
    timestamp: Option<Timestamp>,
}

/// What failed.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Exception)]
pub(super) struct ExceptionItem {
    /// Class of the root cause.
    class: Option<String>,
    /// Its message; lists cut it at 1,000 characters.
    message: Option<String>,
}

/// One header, in stored order.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Header)]
pub(super) struct HeaderItem {
    /// Name; bytes that are not UTF-8 appear as `\xff`.
    name: String,
    /// Name as bytes, where it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    name_base64: Option<String>,
    /// Value as bytes; null is a null value.
    value_base64: Option<String>,
    /// Value as text; null when it is null or not UTF-8.
    text: Option<String>,
}

/// One dead letter with everything that is kept of it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeadLetterDetail)]
pub(super) struct Detail {
    #[serde(flatten)]
    item: Item,
    /// Headers in stored order, duplicates kept.
    headers: Vec<HeaderItem>,
    /// Value as bytes; null is a null value, or one that is not in custody (see `custody_problem`).
    value_base64: Option<String>,
    /// Stack trace as written.
    stack_trace: Option<String>,
    /// Processing stage or handler.
    stage: Option<String>,
    /// What could not be decoded, in words.
    decode_problem: Option<String>,
    /// What replays did with it, newest first; not in exports.
    #[serde(skip_serializing_if = "Option::is_none")]
    replays: Option<Vec<LetterReplayItem>>,
}

impl From<DeadLetterSummary> for Item {
    fn from(letter: DeadLetterSummary) -> Self {
        let whole_key = letter.key.as_ref().is_none_or(|key| key.len() as u64 >= letter.key_size_bytes);
        Self {
            id: letter.id.to_string(),
            bus: letter.bus.to_string(),
            topic: letter.topic.to_string(),
            partition: letter.partition,
            offset: letter.offset,
            timestamp: letter.timestamp,
            failed_at: letter.failed_at,
            failed_at_source: letter.failed_at_source.as_str(),
            indexed_at: letter.indexed_at,
            backlog: letter.backlog,
            convention: letter.convention.as_str().to_owned(),
            status: letter.status.as_str(),
            presence: letter.presence.as_str(),
            attempts: letter.attempts,
            fingerprint: letter.fingerprint.to_string(),
            origin: letter.origin.into(),
            consumer_group: letter.consumer_group.map(|group| group.to_string()),
            consumer_group_inferred: letter.consumer_group_inferred,
            exception: ExceptionItem { class: letter.exception_class, message: letter.exception_message },
            trace_id: letter.trace_id,
            key: letter.key.as_deref().and_then(|key| key_text(key, whole_key)),
            key_base64: letter.key.as_deref().map(|key| STANDARD.encode(key)),
            key_size: letter.key_size_bytes,
            value_size: letter.value_size_bytes,
            custody_problem: letter.custody_problem,
        }
    }
}

impl Detail {
    /// With what replays did with it.
    pub(super) fn with_replays(self, replays: Vec<LetterReplay>) -> Self {
        Self { replays: Some(replays.into_iter().map(LetterReplayItem::from).collect()), ..self }
    }
}

impl From<DeadLetterDetail> for Detail {
    fn from(letter: DeadLetterDetail) -> Self {
        let mut summary = letter.summary;
        // Here the key is whole; a key that is not in custody stays as short as the list has it.
        summary.key = letter.key.or(summary.key);
        Self {
            item: summary.into(),
            headers: letter.headers.into_iter().map(HeaderItem::from).collect(),
            value_base64: letter.value.as_deref().map(|value| STANDARD.encode(value)),
            stack_trace: letter.stack_trace,
            stage: letter.stage,
            decode_problem: letter.decode_problem,
            replays: None,
        }
    }
}

impl From<Origin> for OriginItem {
    fn from(origin: Origin) -> Self {
        Self {
            topic: origin.topic.map(|topic| topic.to_string()),
            partition: origin.partition,
            offset: origin.offset,
            timestamp: origin.timestamp,
        }
    }
}

impl From<Header> for HeaderItem {
    fn from(header: Header) -> Self {
        let utf8_name = std::str::from_utf8(&header.name).ok().map(str::to_owned);
        Self {
            name_base64: utf8_name.is_none().then(|| STANDARD.encode(&header.name)),
            name: utf8_name.unwrap_or_else(|| name_text(&header.name)),
            value_base64: header.value.as_deref().map(|value| STANDARD.encode(value)),
            text: header.value.as_deref().and_then(|value| std::str::from_utf8(value).ok()).map(str::to_owned),
        }
    }
}

/// A whole key is text or not; of one that was cut, the last character may be missing a piece.
fn key_text(key: &[u8], is_whole: bool) -> Option<String> {
    match std::str::from_utf8(key) {
        Ok(text) => Some(text.to_owned()),
        Err(error) if !is_whole && error.error_len().is_none() => std::str::from_utf8(&key[..error.valid_up_to()]).ok().map(str::to_owned),
        Err(_) => None,
    }
}
