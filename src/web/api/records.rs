//! `/buses/{bus}/topics/{topic}/records`: raw records, read from the bus at once.

use axum::Json;
use axum::extract::State;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::WebState;
use super::super::error::{Error, Problem};
use super::super::extract::{Path, Query, TimeParam, Viewer};
use crate::model::names::TopicPartition;
use crate::model::record::{Header, TimestampKind};
use crate::model::{BusId, Record, Timestamp, TopicName};
use crate::operations::{ReadFrom, RecordLimit};

pub(super) fn routes() -> OpenApiRouter<WebState> {
    OpenApiRouter::new().routes(routes!(list))
}

/// Which records.
#[derive(Debug, Default, serde::Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct RecordsQuery {
    /// Partition; may be left out on topics with one partition.
    #[param(minimum = 0)]
    partition: Option<u32>,
    /// First offset; the next record is answered where there is none at it. Without offset and timestamp: the newest records.
    #[param(minimum = 0)]
    offset: Option<u64>,
    /// From the first record at or after this time.
    #[param(value_type = Option<String>, format = DateTime)]
    timestamp: Option<TimeParam>,
    /// Records at most, from 1 to 500; 50 unless told.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
}

/// Records of one partition.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
struct RecordPage {
    /// Records in offset order.
    items: Vec<RawRecord>,
    /// Always null: positions of a partition are offsets, see `next_offset`.
    next_cursor: Option<String>,
    /// Where a next page begins; null at the end of the partition.
    next_offset: Option<i64>,
    /// First offset that the bus holds.
    log_start: i64,
    /// High watermark.
    end: i64,
}

/// A record as the bus holds it.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
struct RawRecord {
    /// Topic.
    topic: String,
    /// Partition.
    partition: i32,
    /// Offset.
    offset: i64,
    /// The record's timestamp.
    #[schema(value_type = Option<String>, format = DateTime)]
    timestamp: Option<Timestamp>,
    /// `create_time` (set by the producer) or `log_append_time`.
    timestamp_type: Option<&'static str>,
    /// Key as text; null when it is null or not UTF-8.
    key: Option<String>,
    /// Key, byte for byte; null is a null key.
    key_base64: Option<String>,
    /// Value as text; null when it is null or not UTF-8.
    value: Option<String>,
    /// Value, byte for byte; null is a null value.
    value_base64: Option<String>,
    /// Length of the value.
    value_size: Option<u64>,
    /// Headers in stored order, duplicates kept.
    headers: Vec<RawHeader>,
}

/// A record header.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
struct RawHeader {
    /// Name; bytes that are not UTF-8 are replaced, see `name_base64`.
    name: String,
    /// Name, byte for byte, where it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    name_base64: Option<String>,
    /// Value, byte for byte; null is a null value.
    value_base64: Option<String>,
    /// Value as text; null when it is null or not UTF-8.
    text: Option<String>,
}

/// Reads records of one partition from the bus, with a deadline of 10 s.
#[utoipa::path(
    get,
    path = "/buses/{bus}/topics/{topic}/records",
    tag = "topics",
    params(("bus" = String, Path, description = "Bus"), ("topic" = String, Path, description = "Topic"), RecordsQuery),
    responses(
        (status = 200, body = RecordPage),
        (status = 404, body = Problem),
        (status = 422, body = Problem),
        (status = 503, description = "The bus cannot be reached, or too many reads are under way", body = Problem),
        (status = 504, description = "The bus did not answer in time", body = Problem)
    )
)]
async fn list(
    _: Viewer,
    State(state): State<WebState>,
    Path((bus, topic)): Path<(BusId, TopicName)>,
    Query(query): Query<RecordsQuery>,
) -> Result<Json<RecordPage>, Error> {
    let bus = state.store().find_bus(&bus).await?.ok_or(Error::NotFound("bus"))?;
    let (_, partitions) = state.store().find_topic(&bus.id, &topic).await?.ok_or(Error::NotFound("topic"))?;
    let numbers: Vec<i32> = partitions.iter().map(|partition| partition.partition).collect();
    let partition = TopicPartition { topic, partition: query.partition(&numbers)? };
    let read = state.operations().read_records(&bus.id, &partition, query.from()?, query.limit()?).await?;
    Ok(Json(RecordPage {
        next_offset: (read.next < read.end).then_some(read.next),
        items: read.records.into_iter().map(Into::into).collect(),
        next_cursor: None,
        log_start: read.log_start,
        end: read.end,
    }))
}

impl RecordsQuery {
    fn partition(&self, known: &[i32]) -> Result<i32, Error> {
        match (self.partition, known) {
            (None, [only]) => Ok(*only),
            (None, _) => Err(Error::field("partition", format!("this topic has {} partitions; name one", known.len()))),
            (Some(number), _) => {
                let found = known.iter().copied().find(|partition| u32::try_from(*partition) == Ok(number));
                found.ok_or_else(|| Error::field("partition", format!("this topic has no partition {number}")))
            }
        }
    }

    fn from(&self) -> Result<ReadFrom, Error> {
        match (self.offset, self.timestamp) {
            (Some(_), Some(_)) => Err(Error::field("timestamp", "give an offset or a timestamp, not both".to_owned())),
            (Some(offset), None) => {
                let offset = i64::try_from(offset).map_err(|_| Error::field("offset", "no offset is that large".to_owned()))?;
                Ok(ReadFrom::Offset(offset))
            }
            (None, Some(time)) => Ok(ReadFrom::Time(time.0)),
            (None, None) => Ok(ReadFrom::Newest),
        }
    }

    fn limit(&self) -> Result<RecordLimit, Error> {
        let limit = self.limit.map_or(Some(RecordLimit::default()), RecordLimit::new);
        limit.ok_or_else(|| Error::field("limit", format!("give a number from 1 to {}", RecordLimit::MAX)))
    }
}

impl From<Record> for RawRecord {
    fn from(record: Record) -> Self {
        Self {
            topic: record.topic.to_string(),
            partition: record.partition,
            offset: record.offset,
            timestamp: record.timestamp,
            timestamp_type: record.timestamp_kind.map(|kind| match kind {
                TimestampKind::CreateTime => "create_time",
                TimestampKind::LogAppendTime => "log_append_time",
            }),
            key: text(record.key.as_deref()),
            key_base64: record.key.as_deref().map(|bytes| STANDARD.encode(bytes)),
            value: text(record.value.as_deref()),
            value_base64: record.value.as_deref().map(|bytes| STANDARD.encode(bytes)),
            value_size: record.value.as_ref().map(|bytes| bytes.len() as u64),
            headers: record.headers.iter().map(Into::into).collect(),
        }
    }
}

impl From<&Header> for RawHeader {
    fn from(header: &Header) -> Self {
        let name = String::from_utf8_lossy(&header.name);
        let is_text = matches!(name, std::borrow::Cow::Borrowed(_));
        Self {
            name_base64: (!is_text).then(|| STANDARD.encode(&header.name)),
            name: name.into_owned(),
            value_base64: header.value.as_deref().map(|bytes| STANDARD.encode(bytes)),
            text: text(header.value.as_deref()),
        }
    }
}

fn text(bytes: Option<&[u8]>) -> Option<String> {
    std::str::from_utf8(bytes?).ok().map(str::to_owned)
}
