//! Golden headers: the bytes that frameworks write, and what must be read from them.

use bytes::Bytes;

use super::Decoder;
use crate::dead_letters::fingerprint::fingerprint;
use crate::model::record::TimestampKind;
use crate::model::{Failure, Header, Record, Timestamp};

mod chosen;
mod damaged;
mod jvm;
mod mapped;
mod observed;
mod others;

/// A header as a test writes it: name and value.
pub(super) type Written<'a> = (&'a str, &'a [u8]);

pub(super) fn record(headers: &[Written<'_>]) -> Record {
    Record {
        topic: "orders.dlq".into(),
        partition: 0,
        offset: 0,
        timestamp: Some(Timestamp::from_millis(1_795_454_334_656)),
        timestamp_kind: Some(TimestampKind::CreateTime),
        key: Some(Bytes::from_static(b"ord-1")),
        value: Some(Bytes::from_static(b"{}")),
        headers: headers.iter().map(|(name, value)| Header::new(name.as_bytes().to_vec(), value.to_vec())).collect(),
    }
}

pub(super) fn decode(topic: &str, headers: &[Written<'_>]) -> Failure {
    Decoder::new(&[]).decode(&record(headers), &topic.into())
}

/// What tests compare: convention, origin as `topic/partition/offset`, class, message, group.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) convention: String,
    pub(super) origin: String,
    pub(super) class: Option<String>,
    pub(super) message: Option<String>,
    pub(super) group: Option<String>,
}

pub(super) fn seen(failure: &Failure) -> Seen {
    let part = |part: Option<String>| part.unwrap_or_else(|| "?".to_owned());
    let origin = &failure.origin;
    Seen {
        convention: failure.convention.as_str().to_owned(),
        origin: format!(
            "{}/{}/{}",
            part(origin.topic.as_ref().map(ToString::to_string)),
            part(origin.partition.map(|n| n.to_string())),
            part(origin.offset.map(|n| n.to_string()))
        ),
        class: failure.exception_class.clone(),
        message: failure.message.clone(),
        group: failure.consumer_group.as_ref().map(ToString::to_string),
    }
}

pub(super) fn expect(convention: &str, origin: &str, class: Option<&str>, message: Option<&str>, group: Option<&str>) -> Seen {
    let owned = |text: Option<&str>| text.map(str::to_owned);
    Seen { convention: convention.to_owned(), origin: origin.to_owned(), class: owned(class), message: owned(message), group: owned(group) }
}

pub(super) fn group_of(failure: &Failure) -> String {
    fingerprint(failure, &"orders.dlq".into(), &[]).fingerprint.to_string()
}
