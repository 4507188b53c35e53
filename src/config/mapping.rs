//! `[[bus.dead_letters.mapping]]`: a team's own way of writing failures, for records that no framework wrote.

use super::Checks;
use super::bus::not_empty;
use super::read::{Section, text};
use crate::model::TopicName;

/// A team's own convention.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MappingConfig {
    /// Its name on the screen.
    pub name: String,
    /// A record with this header is written in this way; empty where only topic rules are given.
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
    /// A field of the decoder.
    pub field: String,
    /// An encoding of the decoder.
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
    pub(super) fn read(section: Section<'_>, checks: &Checks) -> Self {
        let fields = fields(&section.section("fields"), checks);
        let topics = section.sections("topics").into_iter().map(|rule| TopicRule::read(rule, checks)).collect();
        let header = "the name of a header that only such records have";
        let marker = if fields.is_empty() {
            section.parsed("marker", header, String::new(), |text| Some(text.to_owned()))
        } else {
            section.required("marker", header, |text| not_empty(text).map(str::to_owned))
        };
        let name = section.required("name", "a name such as \"outbox\"", |text| not_empty(text).map(str::to_owned));
        let read = Self { name, marker, fields, topics };
        section.finish();
        read
    }
}

impl TopicRule {
    fn read(section: Section<'_>, checks: &Checks) -> Self {
        let expected = "a topic's name or a pattern with \"*\"";
        let pattern: String = section.required("topic", expected, |text| (checks.pattern)(text).is_ok().then(|| text.to_owned()));
        let stars = pattern.matches('*').count();
        let expected = format!("a name, in which $1 to ${stars} stand for what \"*\" matched");
        let named = |key| section.parsed(key, &expected, None, |text| template(text, stars).map(Some));
        let read =
            Self { origin_topic: named("origin_topic").map(TopicName::new), consumer_group: named("consumer_group"), topic: pattern };
        section.finish();
        read
    }
}

fn fields(section: &Section<'_>, checks: &Checks) -> Vec<FieldSource> {
    let mut fields = Vec::new();
    for (header, value) in section.entries() {
        let nested = value.as_dict();
        let part = |key| nested.and_then(|dict| dict.get(key)).and_then(text);
        let field = if nested.is_some() { part("field") } else { text(value) }.unwrap_or_default();
        let encoding = part("encoding").unwrap_or_else(|| "auto".to_owned());
        let unknown = nested.and_then(|dict| dict.keys().find(|key| !["field", "encoding"].contains(&key.as_str())));
        let checked = (checks.field)(&field).and_then(|()| (checks.encoding)(&encoding));
        match (checked, unknown) {
            (Ok(()), None) => fields.push(FieldSource { header: header.clone(), field, encoding }),
            (Err(reason), _) => section.problem(header, Some(value), format!("does not name a field: {reason}")),
            (_, Some(unknown)) => section.problem(header, Some(value), format!("should hold only field and encoding, not {unknown}")),
        }
    }
    fields
}

/// A name whose `$n` all refer to one of `stars` wildcards.
fn template(text: &str, stars: usize) -> Option<String> {
    let numbers = text.split('$').skip(1).map(|after| after.chars().next().and_then(|c| c.to_digit(10)));
    let known = numbers.into_iter().all(|number| number.is_some_and(|n| n >= 1 && usize::try_from(n).is_ok_and(|n| n <= stars)));
    (!text.is_empty() && known).then(|| text.to_owned())
}
