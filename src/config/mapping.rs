//! `[[bus.dead_letters.mapping]]`: a team's own way of writing failures, for records that no framework wrote.

use super::bus::not_empty;
use super::read::{Section, nearest, text};
use crate::model::TopicName;

/// What a header may hold.
pub const FIELDS: [&str; 11] = [
    "origin_topic",
    "origin_partition",
    "origin_offset",
    "origin_timestamp",
    "consumer_group",
    "exception_class",
    "message",
    "stack_trace",
    "stage",
    "attempts",
    "failed_at",
];

/// How a header's value is written.
pub const ENCODINGS: [&str; 5] = ["auto", "text", "int32", "int64", "float64"];

/// A team's own convention.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MappingConfig {
    /// Its name on the screen.
    pub name: String,
    /// A record with this header is written in this way.
    pub marker: String,
    /// Which header holds which field.
    pub fields: Vec<FieldSource>,
    /// What a dead-letter topic's name tells about the origin.
    pub topics: Vec<TopicRule>,
}

/// A header and the field it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldSource {
    /// Name of the header.
    pub header: String,
    /// One of [`FIELDS`].
    pub field: String,
    /// One of [`ENCODINGS`].
    pub encoding: String,
}

/// What a dead-letter topic's name tells about the origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicRule {
    /// Pattern of the dead-letter topic; `*` stands for any characters.
    pub topic: String,
    /// Topic the records came from; `$1` is what the first `*` stood for.
    pub origin_topic: Option<TopicName>,
    /// Consumer group that failed, written in the same way.
    pub consumer_group: Option<String>,
}

impl MappingConfig {
    pub(super) fn read(section: Section<'_>) -> Self {
        let given = |text: &str| not_empty(text).map(str::to_owned);
        let read = Self {
            name: section.required("name", "a name such as \"outbox\"", given),
            marker: section.required("marker", "the name of a header that only such records have", given),
            fields: fields(&section.section("fields")),
            topics: section.sections("topics").into_iter().map(TopicRule::read).collect(),
        };
        section.finish();
        read
    }
}

impl TopicRule {
    fn read(section: Section<'_>) -> Self {
        let pattern: String =
            section.required("topic", "a topic's name or a pattern with \"*\"", |text| not_empty(text).map(str::to_owned));
        let stars = pattern.matches('*').count();
        let expected = format!("a name, in which $1 to ${stars} stand for what \"*\" matched");
        let named = |key| section.parsed(key, &expected, None, |text| template(text, stars).map(Some));
        let read =
            Self { origin_topic: named("origin_topic").map(TopicName::new), consumer_group: named("consumer_group"), topic: pattern };
        section.finish();
        read
    }
}

fn fields(section: &Section<'_>) -> Vec<FieldSource> {
    let mut fields = Vec::new();
    for (header, value) in section.entries() {
        let nested = value.as_dict();
        let part = |key| nested.and_then(|dict| dict.get(key)).and_then(text);
        let field = if nested.is_some() { part("field") } else { text(value) };
        let encoding = part("encoding").unwrap_or_else(|| "auto".to_owned());
        let Some(field) = field.filter(|field| FIELDS.contains(&field.as_str())) else {
            let written = nested.map_or_else(|| text(value), |_| part("field")).unwrap_or_default();
            let hint = nearest(&written, &FIELDS).map(|near| format!("; did you mean {near:?}?")).unwrap_or_default();
            section.problem(header, Some(value), format!("should be one of {}{hint}", FIELDS.join(", ")));
            continue;
        };
        if !ENCODINGS.contains(&encoding.as_str()) {
            section.problem(header, Some(value), format!("should have one of the encodings {}", ENCODINGS.join(", ")));
            continue;
        }
        if let Some(unknown) = nested.and_then(|dict| dict.keys().find(|key| !["field", "encoding"].contains(&key.as_str()))) {
            section.problem(header, Some(value), format!("should hold only field and encoding, not {unknown}"));
            continue;
        }
        fields.push(FieldSource { header: header.clone(), field, encoding });
    }
    fields
}

/// A name whose `$n` all refer to one of `stars` wildcards.
fn template(text: &str, stars: usize) -> Option<String> {
    let numbers = text.split('$').skip(1).map(|after| after.chars().next().and_then(|c| c.to_digit(10)));
    let known = numbers.into_iter().all(|number| number.is_some_and(|n| n >= 1 && usize::try_from(n).is_ok_and(|n| n <= stars)));
    (!text.is_empty() && known).then(|| text.to_owned())
}
