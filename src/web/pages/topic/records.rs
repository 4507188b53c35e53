//! Records of one partition, read from the bus when somebody asks: a page of them by offset, by time or the newest, or one whole.

use std::collections::BTreeMap;

use axum::http::StatusCode;

use super::super::super::view::address::{Address, segment};
use super::super::super::view::bytes::{BytesView, Shape, View, digits};
use super::super::super::view::headers::HeaderView;
use super::super::super::view::range::parse_time;
use super::super::super::view::text::short;
use super::super::super::{Error, WebState};
use super::TopicQuery;
use crate::model::bus::{Capability, PartitionState};
use crate::model::names::TopicPartition;
use crate::model::record::TimestampKind;
use crate::model::{BusState, Record, Timestamp, TopicName};
use crate::operations::{OpenRecordsError, ReadFrom, ReadRecords, RecordLimit};

/// Numbers of records to choose from.
const LIMITS: [usize; 4] = [20, 50, 100, 500];
/// Characters of a key and of a value in the list.
const PREVIEW_CHARS: usize = 160;
/// Bytes of a binary key or value in the list.
const PREVIEW_BYTES: usize = 24;
/// One record is read with so many before it, to know its elder neighbour: markers of transactions leave holes of one offset.
const NEIGHBOURS: i64 = 3;

/// The form as it was filled in.
#[derive(Debug, Clone, Default)]
pub(super) struct RecordsQuery {
    partition: Option<String>,
    offset: Option<String>,
    timestamp: Option<String>,
    limit: Option<String>,
    record: Option<String>,
    view: View,
    at: usize,
}

impl From<&TopicQuery> for RecordsQuery {
    fn from(query: &TopicQuery) -> Self {
        Self {
            partition: query.partition.clone(),
            offset: query.offset.clone(),
            timestamp: query.timestamp.clone(),
            limit: query.limit.clone(),
            record: query.record.clone(),
            view: View::from_word(query.view.as_deref().unwrap_or_default()),
            at: query.at.unwrap_or(0),
        }
    }
}

/// What stands under the tab.
#[derive(Debug)]
pub(super) struct Records {
    pub(super) partition: String,
    pub(super) offset: String,
    pub(super) timestamp: String,
    pub(super) limits: Vec<(usize, bool)>,
    pub(super) highest_partition: usize,
    /// What is wrong with the form, by field.
    pub(super) problems: BTreeMap<&'static str, String>,
    /// Why this bus cannot be read, in words.
    pub(super) reason: Option<String>,
    pub(super) outcome: Outcome,
}

/// What came of asking.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Nobody has asked.
    NotAsked,
    /// It failed; `again` is the same request when it may succeed later.
    Failed { error: OpenRecordsError, again: Option<String> },
    /// A page of records.
    List(RecordList),
    /// One record.
    One(Box<OneRecord>),
    /// There is no record at or after this offset.
    Gone { offset: i64, log_start: i64, end: i64 },
}

/// A page of records.
#[derive(Debug)]
pub(super) struct RecordList {
    pub(super) rows: Vec<RecordRow>,
    pub(super) log_start: i64,
    pub(super) end: i64,
    pub(super) older: Option<String>,
    pub(super) newer: Option<String>,
    pub(super) oldest: String,
    pub(super) newest: String,
}

/// A record in the list.
#[derive(Debug)]
pub(super) struct RecordRow {
    pub(super) offset: i64,
    pub(super) href: String,
    pub(super) timestamp: Option<Timestamp>,
    pub(super) key: Preview,
    pub(super) value: Preview,
    pub(super) headers: u64,
    pub(super) size_bytes: u64,
}

/// The beginning of a key or value.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Preview {
    pub(super) text: String,
    /// `null`, `empty` or `binary` where that is not to be mixed up with text.
    pub(super) note: &'static str,
}

impl Preview {
    fn of(bytes: Option<&[u8]>) -> Self {
        let shape = Shape::of(bytes);
        let bytes = bytes.unwrap_or_default();
        match shape {
            Shape::Null | Shape::Empty => Self { text: String::new(), note: shape.word() },
            Shape::Json | Shape::Text => Self { text: short(&String::from_utf8_lossy(bytes), PREVIEW_CHARS), note: "" },
            Shape::Binary => {
                let rest = if bytes.len() > PREVIEW_BYTES { " …" } else { "" };
                Self { text: digits(&bytes[..bytes.len().min(PREVIEW_BYTES)]) + rest, note: shape.word() }
            }
        }
    }
}

/// One record with everything in it.
#[derive(Debug)]
pub(super) struct OneRecord {
    pub(super) partition: i32,
    pub(super) offset: i64,
    /// The offset that was asked for, when there is no record at it.
    pub(super) instead_of: Option<i64>,
    pub(super) timestamp: Option<Timestamp>,
    pub(super) timestamp_words: &'static str,
    pub(super) key: BytesView,
    pub(super) value: BytesView,
    pub(super) headers: Vec<HeaderView>,
    pub(super) size_bytes: u64,
    pub(super) here: Address,
    pub(super) older: Option<String>,
    pub(super) newer: Option<String>,
    pub(super) list: String,
}

/// A well-formed request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    List { partition: i32, from: ReadFrom, limit: RecordLimit },
    One { partition: i32, offset: i64 },
}

impl Records {
    /// Reads what the form asks for, when it asks for something and is right.
    pub(super) async fn open(
        state: &WebState,
        bus: &BusState,
        topic: &TopicName,
        partitions: &[PartitionState],
        query: RecordsQuery,
    ) -> Self {
        let mut problems = BTreeMap::new();
        let asked = query.asked(partitions.len(), &mut problems);
        let address = Address::new(format!("/buses/{}/topics/{}", segment(bus.id.as_str()), segment(topic.as_str()))).and("tab", "records");
        let outcome = match asked {
            Some(asked) if problems.is_empty() => read(state, bus, topic, asked, &query, &address).await,
            _ => Outcome::NotAsked,
        };
        let limit = query.limit.as_deref().and_then(|limit| limit.parse().ok()).unwrap_or(RecordLimit::default().get());
        Self {
            partition: query.partition.unwrap_or_else(|| "0".to_owned()),
            offset: query.offset.unwrap_or_default(),
            timestamp: query.timestamp.unwrap_or_default(),
            limits: LIMITS.map(|choice| (choice, choice == limit)).into(),
            highest_partition: partitions.len().saturating_sub(1),
            problems,
            reason: bus.capabilities.reason_against(Capability::RandomRead).map(str::to_owned),
            outcome,
        }
    }

    /// An error as a sentence.
    pub(super) fn sentence(error: &OpenRecordsError) -> String {
        let text = error.to_string();
        let mut chars = text.chars();
        let first = chars.next().map(char::to_uppercase).into_iter().flatten();
        first.chain(chars).chain(std::iter::once('.')).collect()
    }

    /// Status of the answer: a page with a wrong form, or about a bus that does not answer, is no success.
    pub(super) fn status(&self) -> StatusCode {
        match &self.outcome {
            _ if !self.problems.is_empty() => StatusCode::UNPROCESSABLE_ENTITY,
            Outcome::Failed { error, .. } => Error::from(error.clone()).status(),
            Outcome::Gone { .. } => StatusCode::NOT_FOUND,
            Outcome::NotAsked | Outcome::List(_) | Outcome::One(_) => StatusCode::OK,
        }
    }
}

impl RecordsQuery {
    /// What is asked for; `None` for nothing. What is wrong is added to `problems`.
    fn asked(&self, partitions: usize, problems: &mut BTreeMap<&'static str, String>) -> Option<Asked> {
        let partition = self.partition.as_deref()?;
        let partition = match partition.trim().parse::<i32>() {
            Ok(partition) if usize::try_from(partition).is_ok_and(|number| number < partitions) => partition,
            _ => {
                problems.insert("partition", format!("Partitions are numbered from 0 to {}.", partitions.saturating_sub(1)));
                return None;
            }
        };
        if let Some(record) = &self.record {
            return offset(record, "record", problems).map(|offset| Asked::One { partition, offset });
        }
        let limit = self.limit.as_deref().map_or(Some(RecordLimit::default()), |limit| RecordLimit::new(limit.trim().parse().ok()?));
        let Some(limit) = limit else {
            problems.insert("limit", format!("Give a number from 1 to {}.", RecordLimit::MAX));
            return None;
        };
        let from = match (&self.offset, &self.timestamp) {
            (Some(_), Some(_)) => {
                problems.insert("timestamp", "Give an offset or a time, not both.".to_owned());
                return None;
            }
            (Some(text), None) => ReadFrom::Offset(offset(text, "offset", problems)?),
            (None, Some(text)) => ReadFrom::Time(parse_time(text.trim()).or_else(|| {
                problems.insert("timestamp", "This is not a time; write it as 2026-03-01T03:14:20Z.".to_owned());
                None
            })?),
            (None, None) => ReadFrom::Newest,
        };
        Some(Asked::List { partition, from, limit })
    }
}

/// An offset as people write it: commas between the thousands are fine.
fn offset(text: &str, field: &'static str, problems: &mut BTreeMap<&'static str, String>) -> Option<i64> {
    let offset = text.trim().replace(',', "").parse().ok().filter(|offset| *offset >= 0);
    if offset.is_none() {
        problems.insert(field, "An offset is a whole number from 0.".to_owned());
    }
    offset
}

async fn read(state: &WebState, bus: &BusState, topic: &TopicName, asked: Asked, query: &RecordsQuery, address: &Address) -> Outcome {
    let (partition, from, limit) = match asked {
        Asked::List { partition, from, limit } => (partition, from, limit),
        Asked::One { partition, offset } => {
            let window = RecordLimit::new(usize::try_from(NEIGHBOURS + 2).unwrap_or(1)).unwrap_or_default();
            (partition, ReadFrom::Offset((offset - NEIGHBOURS).max(0)), window)
        }
    };
    let address = address.and("partition", &partition.to_string());
    let place = TopicPartition { topic: topic.clone(), partition };
    let read = state.operations().read_records(&bus.id, &place, from, limit).await;
    match (read, asked) {
        (Err(error), _) => {
            let again = error.is_passing().then(|| query.address(&address).to_string());
            Outcome::Failed { error, again }
        }
        (Ok(read), Asked::List { .. }) => Outcome::List(RecordList::new(&read, limit, &address)),
        (Ok(read), Asked::One { offset, .. }) => one(read, offset, query, &address),
    }
}

impl RecordsQuery {
    fn address(&self, address: &Address) -> Address {
        let fields = [("offset", &self.offset), ("timestamp", &self.timestamp), ("limit", &self.limit), ("record", &self.record)];
        fields.iter().fold(address.clone(), |address, (name, value)| match value {
            Some(value) => address.set(name, value),
            None => address,
        })
    }
}

impl RecordList {
    fn new(read: &ReadRecords, limit: RecordLimit, address: &Address) -> Self {
        let address = address.set("limit", &limit.get().to_string());
        let at = |offset: i64| address.set("offset", &offset.to_string()).to_string();
        let first = read.records.first().map_or(read.next, |record| record.offset);
        let back = first.saturating_sub(i64::try_from(limit.get()).unwrap_or(i64::MAX)).max(read.log_start);
        Self {
            rows: read.records.iter().map(|record| RecordRow::new(record, &address)).collect(),
            log_start: read.log_start,
            end: read.end,
            older: (first > read.log_start).then(|| at(back)),
            newer: (read.next < read.end).then(|| at(read.next)),
            oldest: at(read.log_start),
            newest: address.to_string(),
        }
    }
}

impl RecordRow {
    fn new(record: &Record, address: &Address) -> Self {
        Self {
            offset: record.offset,
            href: address.without(&["limit"]).set("record", &record.offset.to_string()).to_string(),
            timestamp: record.timestamp,
            key: Preview::of(record.key.as_deref()),
            value: Preview::of(record.value.as_deref()),
            headers: record.headers.len() as u64,
            size_bytes: record.size_bytes() as u64,
        }
    }
}

/// The record at `offset`, or the first one after it.
fn one(read: ReadRecords, offset: i64, query: &RecordsQuery, address: &Address) -> Outcome {
    let (log_start, end) = (read.log_start, read.end);
    let Some(index) = read.records.iter().position(|record| record.offset >= offset) else {
        return Outcome::Gone { offset, log_start, end };
    };
    let link = |record: Option<&Record>| record.map(|record| address.set("record", &record.offset.to_string()).to_string());
    let record = &read.records[index];
    let back = address.set("offset", &(record.offset - 20).max(log_start).to_string());
    let older = link(index.checked_sub(1).and_then(|before| read.records.get(before)));
    let next = read.next.max(record.offset + 1);
    let newer = link(read.records.get(index + 1)).or_else(|| (next < end).then(|| address.set("record", &next.to_string()).to_string()));
    Outcome::One(Box::new(OneRecord {
        partition: record.partition,
        offset: record.offset,
        instead_of: (record.offset != offset).then_some(offset),
        timestamp: record.timestamp,
        timestamp_words: match record.timestamp_kind {
            Some(TimestampKind::CreateTime) => "set by the producer",
            Some(TimestampKind::LogAppendTime) => "set by the broker when it was appended",
            None => "",
        },
        key: BytesView::new(record.key.as_deref(), View::Auto, 0),
        value: BytesView::new(record.value.as_deref(), query.view, query.at),
        headers: HeaderView::list(&record.headers),
        size_bytes: record.size_bytes() as u64,
        here: address.set("record", &record.offset.to_string()),
        older: older.or_else(|| (record.offset > log_start).then(|| back.to_string())),
        newer,
        list: back.to_string(),
    }))
}
