//! How long ago the next record was written that a consumer group has to read on one partition: exact, because the bus is asked for
//! that record. An explicit act with two requests, within the deadline; everything else in lag is read from samples.

use std::time::Duration;

use super::records::{OpenRecordsError, RecordLimit};
use super::{Operations, ReadFrom};
use crate::model::names::TopicPartition;
use crate::model::record::TimestampKind;
use crate::model::{BusId, GroupName, Timestamp};

/// A group's lag on one partition, as of one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExactLag {
    /// When the bus was asked.
    pub at: Timestamp,
    /// Committed offset.
    pub committed: i64,
    /// First offset the bus still holds.
    pub log_start: i64,
    /// High watermark.
    pub end: i64,
    /// What is to be read next.
    pub next: Next,
}

/// What a group has to read next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// This record.
    Record {
        /// Its offset; after the committed one where there is none at that (deleted, compacted, a marker).
        offset: i64,
        /// When it was written.
        written_at: Timestamp,
        /// By whose clock.
        clock: Clock,
    },
    /// Nothing: only markers of transactions are left, or not even those.
    Nothing,
    /// An open transaction holds back what comes next, or the record has no time.
    Unknown,
}

/// Whose clock a record's time is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// The broker's, when the record arrived.
    Broker,
    /// The producer's, or whatever it has written there.
    Producer,
}

impl ExactLag {
    /// How long ago it was written; zero where nothing is left.
    #[must_use]
    pub fn lag(&self) -> Option<Duration> {
        match self.next {
            Next::Record { written_at, .. } => Some(written_at.age_at(self.at)),
            Next::Nothing => Some(Duration::ZERO),
            Next::Unknown => None,
        }
    }
}

impl Operations {
    /// Asks the bus for a group's commit on a partition and for the record that comes next; `None` when it has committed nothing there.
    ///
    /// # Errors
    /// See [`OpenRecordsError`]; nothing on the bus is ever changed by it.
    pub async fn exact_lag(&self, bus: &BusId, group: &GroupName, place: &TopicPartition) -> Result<Option<ExactLag>, OpenRecordsError> {
        let slot = self.buses.get(bus).ok_or_else(|| OpenRecordsError::UnknownBus(bus.clone()))?;
        let committed = tokio::time::timeout(self.deadline, slot.bus.committed_offsets(group))
            .await
            .map_err(|_| OpenRecordsError::DeadlineExceeded(self.deadline))??;
        let Some((_, committed)) = committed.into_iter().find(|(partition, _)| partition == place) else { return Ok(None) };
        let limit = RecordLimit::new(1).unwrap_or_default();
        let read = self.read_records(bus, place, ReadFrom::Offset(committed), limit).await?;
        let at = Timestamp::now();
        let next = match read.records.first() {
            Some(record) => match record.timestamp {
                Some(written_at) => {
                    let clock = if record.timestamp_kind == Some(TimestampKind::LogAppendTime) { Clock::Broker } else { Clock::Producer };
                    Next::Record { offset: record.offset, written_at, clock }
                }
                None => Next::Unknown,
            },
            None if read.next >= read.end => Next::Nothing,
            None => Next::Unknown,
        };
        Ok(Some(ExactLag { at, committed, log_start: read.log_start, end: read.end, next }))
    }
}
