//! A dead letter as tables show it.

use super::address::Address;
use super::bytes::digits;
use super::look::{self, Look, short_class};
use super::number::{grouped, size};
use super::text::short;
use crate::model::dead_letter::DeadLetterSummary;
use crate::model::{Presence, Timestamp};

/// One row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LetterRow {
    /// Its id, for selection.
    pub id: String,
    /// Its page, with the filter it was found under.
    pub href: String,
    /// Its status.
    pub status: Look,
    /// Short class, or what stands for it.
    pub name: String,
    /// Message.
    pub message: String,
    /// Class and message whole, for the tooltip.
    pub title: String,
    /// Its bus.
    pub bus: String,
    /// Dead-letter topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Offset with thousands apart.
    pub offset: String,
    /// Key.
    pub key: KeyView,
    /// Attempts; empty when nothing tells.
    pub attempts: String,
    /// Whether the bus still holds it.
    pub presence: Look,
    /// Whether it is no longer where it was.
    pub is_away: bool,
    /// Size of the value, or `null`.
    pub value_size: String,
    /// When it failed.
    pub failed: Timestamp,
    /// What custody lacks.
    pub custody_problem: Option<String>,
}

/// A key on one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyView {
    /// Kafka's null.
    Null,
    /// No bytes.
    Empty,
    /// Text.
    Text(String),
    /// Bytes that are no text, in hexadecimal digits.
    Binary(String),
}

impl KeyView {
    /// Prepares a key, or its beginning.
    #[must_use]
    pub fn new(key: Option<&[u8]>, size_bytes: u64, max_chars: usize) -> Self {
        let Some(bytes) = key else { return Self::Null };
        let is_whole = bytes.len() as u64 >= size_bytes;
        match std::str::from_utf8(bytes) {
            Ok("") => Self::Empty,
            Ok(text) => Self::Text(shortened(text, max_chars, is_whole)),
            // A cut may have split the last character.
            Err(error) if !is_whole && error.error_len().is_none() => {
                Self::Text(shortened(&String::from_utf8_lossy(&bytes[..error.valid_up_to()]), max_chars, false))
            }
            Err(_) => {
                let shown = &bytes[..bytes.len().min(max_chars / 3)];
                let more = if shown.len() < bytes.len() || !is_whole { " …" } else { "" };
                Self::Binary(format!("{}{more}", digits(shown)))
            }
        }
    }
}

fn shortened(text: &str, max_chars: usize, is_whole: bool) -> String {
    let text = short(text, max_chars);
    if is_whole || text.ends_with('…') { text } else { text + "…" }
}

impl LetterRow {
    /// Prepares a dead letter; `list` is the address of the list it is in.
    #[must_use]
    pub fn new(letter: &DeadLetterSummary, list: &Address) -> Self {
        let message = letter.exception_message.as_deref().map(|m| short(m.trim(), 300)).unwrap_or_default();
        let name = match &letter.exception_class {
            Some(class) => short(short_class(class), 160),
            None if message.is_empty() => "No failure header".to_owned(),
            None => String::new(),
        };
        let title = [letter.exception_class.as_deref(), letter.exception_message.as_deref()];
        Self {
            id: letter.id.to_string(),
            href: letter_address(letter.id.0, list),
            status: look::status(letter.status),
            name,
            message,
            title: short(&title.into_iter().flatten().collect::<Vec<_>>().join(": "), 500),
            bus: letter.bus.to_string(),
            topic: short(letter.topic.as_str(), 249),
            partition: letter.partition,
            offset: grouped(letter.offset.unsigned_abs()),
            key: KeyView::new(letter.key.as_deref(), letter.key_size_bytes, 32),
            attempts: letter.attempts.map(|n| n.to_string()).unwrap_or_default(),
            presence: look::presence(letter.presence),
            is_away: !matches!(letter.presence, Presence::OnBroker),
            value_size: letter.value_size_bytes.map_or_else(|| "null".to_owned(), size),
            failed: letter.failed_at,
            custody_problem: letter.custody_problem.as_deref().map(|p| short(p, 300)),
        }
    }
}

/// The page of a dead letter, with the filter under which its neighbours are found.
#[must_use]
pub fn letter_address(id: i64, list: &Address) -> String {
    list.at(format!("/dead-letters/{id}")).without(&["cursor", "limit", "select", "sort", "view", "shown", "id", "at"]).to_string()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::model::{Convention, DeadLetterId, FailedAtSource, Origin, Status};

    pub(crate) fn letter(now: Timestamp) -> DeadLetterSummary {
        DeadLetterSummary {
            id: DeadLetterId(48_213),
            bus: "prod".into(),
            topic: "payments.authorise-dlt".into(),
            partition: 7,
            offset: 48_213,
            timestamp: Some(now),
            failed_at: now.minus(std::time::Duration::from_secs(12)),
            failed_at_source: FailedAtSource::Header,
            indexed_at: now,
            backlog: false,
            convention: Convention::built_in("spring_kafka"),
            status: Status::Open,
            presence: Presence::OnBroker,
            attempts: Some(3),
            fingerprint: "v1-9f3c1a7e20b40001".parse().unwrap(),
            origin: Origin { topic: Some("payments.authorise".into()), partition: Some(7), offset: Some(1_182_734), timestamp: Some(now) },
            consumer_group: Some("payment-service".into()),
            consumer_group_inferred: false,
            exception_class: Some("java.lang.NullPointerException".into()),
            exception_message: Some("token is null".into()),
            trace_id: None,
            key: Some(bytes::Bytes::from_static(b"ord-7841-c3")),
            key_size_bytes: 11,
            value_size_bytes: Some(1_318),
            custody_problem: None,
        }
    }

    #[test]
    fn a_row_leads_to_its_page_under_the_same_filter() {
        let now = Timestamp::parse_rfc3339("2026-11-24T03:14:20Z").unwrap();
        let list = Address::new("/dead-letters").and("topic", "payments.authorise-dlt").and("cursor", "5.6").and("sort", "x");
        let row = LetterRow::new(&letter(now), &list);
        assert_eq!(row.href, "/dead-letters/48213?topic=payments.authorise-dlt");
        assert_eq!((row.name.as_str(), row.message.as_str()), ("NullPointerException", "token is null"));
        assert_eq!((row.offset.as_str(), row.value_size.as_str()), ("48,213", "1.3 KB"));
    }

    #[test]
    fn keys_are_text_bytes_or_null() {
        for (key, size, shown) in [
            (None, 0, KeyView::Null),
            (Some(&b""[..]), 0, KeyView::Empty),
            (Some(b"ord-1"), 5, KeyView::Text("ord-1".into())),
            (Some(b"a\0b"), 3, KeyView::Text("a\\0b".into())),
            (Some(b"\xff\x00\x01"), 3, KeyView::Binary("ff 00 01".into())),
            (Some("12345é".as_bytes()), 9_000, KeyView::Text("12345é…".into())),
            (Some(&"12345é".as_bytes()[..6]), 9_000, KeyView::Text("12345…".into())),
        ] {
            assert_eq!(KeyView::new(key, size, 32), shown, "{key:?}");
        }
    }

    #[test]
    fn a_letter_without_headers_still_has_a_name() {
        let now = Timestamp::from_millis(0);
        let mut bare = letter(now);
        (bare.exception_class, bare.exception_message) = (None, None);
        assert_eq!(LetterRow::new(&bare, &Address::new("/dead-letters")).name, "No failure header");
    }
}
