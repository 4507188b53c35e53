//! From the headers of a dead letter to a [`Failure`]. The decoder walks the rows of [`super::conventions`]; it knows no framework.
//! Whatever the bytes are, it answers: what cannot be read is said in [`Failure::problem`], and the rest still decodes.

use bytes::Bytes;

use crate::model::names::GroupName;
use crate::model::record::TimestampKind;
use crate::model::{Convention, Failure, Header, Origin, Record, TopicName};

use super::conventions::{Mapping, removed_headers};
use super::discovery::InvalidPattern;

mod compiled;
mod exception;
mod fields;
mod trace;
mod value;

#[cfg(test)]
mod tests;

use compiled::{Hits, Rows, TopicRules};
use fields::Fields;

/// Bytes of a stack trace that are read; the whole stays in custody.
pub const MAX_STACK_TRACE_BYTES: usize = 256 * 1024;

/// Bytes of a message that are read.
pub const MAX_MESSAGE_BYTES: usize = 16 * 1024;

/// Bytes of an exception class or stage that are read.
pub const MAX_WORD_BYTES: usize = 1024;

/// Decodes dead letters. Built once per bus; cheap to share behind a reference.
#[derive(Debug, Clone)]
pub struct Decoder {
    rows: Rows,
    topics: TopicRules,
}

impl Decoder {
    /// The built-in conventions and a bus's own mappings. A topic rule whose pattern cannot be understood is left out; see
    /// [`Self::problems`], which the configuration reports.
    #[must_use]
    pub fn new(mappings: &[Mapping]) -> Self {
        Self { rows: Rows::new(mappings), topics: TopicRules::new(mappings) }
    }

    /// Patterns of topic rules that cannot be understood.
    #[must_use]
    pub fn problems(mappings: &[Mapping]) -> Vec<InvalidPattern> {
        mappings
            .iter()
            .flat_map(|mapping| &mapping.topics)
            .filter_map(|rule| super::discovery::glob::Glob::new(&rule.topic).err())
            .collect()
    }

    /// The exact header names a convention writes, those of this decoder's mappings included: what a replay removes.
    #[must_use]
    pub fn removed_headers(&self, convention: &Convention) -> Vec<String> {
        let mut names: Vec<String> = removed_headers(convention).into_iter().map(str::to_owned).collect();
        names.extend(self.rows.mapped_headers(convention));
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Decodes one record of a dead-letter topic.
    #[must_use]
    pub fn decode(&self, record: &Record, dead_letter_topic: &TopicName) -> Failure {
        let hits = self.rows.find(&record.headers);
        let (matched, leading) = self.match_all(&hits, &record.headers, dead_letter_topic);
        let mut failure = leading.map_or_else(unknown, |fields| fields.into_failure(record, dead_letter_topic));
        failure.matched = matched;
        failure.trace_id = newest_trace(&hits, record);
        if record.timestamp_kind == Some(TimestampKind::LogAppendTime) {
            // The broker stamped the dead letter itself, whatever the framework asked for.
            failure.record_timestamp_is_failure_time = true;
        }
        self.topics.fill(&mut failure, dead_letter_topic);
        failure
    }

    /// What a replay must know of a record: which conventions wrote into it, and the original bytes where they moved these into headers.
    /// The same as [`Self::decode`] tells, without reading stack traces and messages.
    #[must_use]
    pub fn carried(&self, headers: &[Header], dead_letter_topic: &TopicName) -> Carried {
        let (matched, leading) = self.match_all(&self.rows.find(headers), headers, dead_letter_topic);
        let (original_key, original_value) = leading.map_or((None, None), |fields| fields.original());
        Carried { matched, original_key, original_value }
    }

    /// Every convention that matches, and the fields of the one that wrote last.
    fn match_all<'a>(&'a self, hits: &Hits, headers: &'a [Header], dead_letter_topic: &TopicName) -> (Vec<Convention>, Option<Fields<'a>>) {
        let mut matched: Vec<Convention> = Vec::new();
        let mut leading: Option<Fields<'_>> = None;
        for row in hits.matched() {
            let convention = &self.rows.get(row).convention;
            if !matched.contains(convention) {
                matched.push(convention.clone());
            }
            let fields = Fields::read(self.rows.get(row), &hits.resolve(row, self.rows.get(row)), headers);
            if leading.as_ref().is_none_or(|best| fields.is_newer_than(best, dead_letter_topic.as_str())) {
                leading = Some(fields);
            }
        }
        (matched, leading)
    }
}

/// What frameworks made of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carried {
    /// Every convention that matched.
    pub matched: Vec<Convention>,
    /// The original key, where a framework put it into a header.
    pub original_key: Option<Bytes>,
    /// The original value, where a framework put it into a header.
    pub original_value: Option<Bytes>,
}

/// A dead letter without any failure header.
fn unknown() -> Failure {
    Failure {
        convention: Convention::UNKNOWN,
        matched: Vec::new(),
        origin: Origin::default(),
        exception_class: None,
        message: None,
        stack_trace: None,
        stage: None,
        attempts: None,
        consumer_group: None::<GroupName>,
        consumer_group_inferred: false,
        failed_at: None,
        record_timestamp_is_failure_time: true,
        original_value: None,
        original_key: None,
        trace_id: None,
        is_pointer: false,
        problem: None,
    }
}

/// The last valid `traceparent`, else the last valid B3.
fn newest_trace(hits: &Hits, record: &Record) -> Option<[u8; 16]> {
    let newest = |wanted: fn(trace::TraceHeader) -> bool| {
        hits.traces().iter().rev().filter(|(kind, _)| wanted(*kind)).find_map(|&(kind, header)| {
            let value = record.headers.get(header)?.value.as_ref()?;
            trace::trace_id(kind, value)
        })
    };
    newest(|kind| kind == trace::TraceHeader::TraceParent).or_else(|| newest(|kind| kind != trace::TraceHeader::TraceParent))
}
