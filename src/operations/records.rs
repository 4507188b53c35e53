//! Opening records of a topic: a random read with a deadline.

use std::time::Duration;

use super::Operations;
use crate::bus::{BusError, ReadFrom, ReadRecords};
use crate::model::BusId;
use crate::model::names::TopicPartition;

/// How long opening records may take, waiting for a free place included. A person looks at the page meanwhile; a broker that is
/// well answers within milliseconds.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// How many records one read may bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordLimit(usize);

impl RecordLimit {
    /// Most records of one read: they are held in memory at once.
    pub const MAX: usize = 500;

    /// `None` unless from 1 to [`Self::MAX`].
    #[must_use]
    pub const fn new(records: usize) -> Option<Self> {
        if records >= 1 && records <= Self::MAX { Some(Self(records)) } else { None }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> usize {
        self.0
    }
}

impl Default for RecordLimit {
    fn default() -> Self {
        Self(50)
    }
}

/// Why records could not be opened, by what the person who asked can do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenRecordsError {
    /// No bus of this id is configured.
    #[error("there is no bus {0}")]
    UnknownBus(BusId),
    /// The topic or partition is not there (any more).
    #[error("the bus has no such topic or partition: {0}")]
    NotFound(String),
    /// The bus did not answer in time; try again.
    #[error("the bus did not answer within {} s", .0.as_secs())]
    DeadlineExceeded(Duration),
    /// The bus cannot be reached; look at the bus.
    #[error("the bus cannot be reached: {0}")]
    Unreachable(String),
    /// Access rules of the bus forbid it; grant what is named.
    #[error("the bus does not allow it: {0}")]
    Denied(String),
    /// This bus cannot be read at random.
    #[error("this bus cannot do it: {0}")]
    Unsupported(String),
    /// All places for reads on this bus were taken until the deadline; try again.
    #[error("{0} other reads of this bus are under way; try again in a moment")]
    Busy(usize),
    /// Anything else, in the client's words.
    #[error("the bus failed: {0}")]
    Failed(String),
}

impl OpenRecordsError {
    /// Whether the same request may succeed later without anybody changing anything here.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        matches!(self, Self::DeadlineExceeded(_) | Self::Unreachable(_) | Self::Busy(_))
    }
}

impl From<BusError> for OpenRecordsError {
    fn from(error: BusError) -> Self {
        match error {
            BusError::Unreachable(reason) => Self::Unreachable(reason),
            BusError::Denied(reason) => Self::Denied(reason),
            BusError::Unsupported(reason) => Self::Unsupported(reason),
            BusError::NotFound(reason) => Self::NotFound(reason),
            BusError::Configuration(reason) | BusError::Other(reason) => Self::Failed(reason),
        }
    }
}

impl Operations {
    /// Reads records of one partition from the bus, within the deadline.
    ///
    /// # Errors
    /// See [`OpenRecordsError`]; nothing on the bus is ever changed by it.
    pub async fn read_records(
        &self,
        bus: &BusId,
        partition: &TopicPartition,
        from: ReadFrom,
        limit: RecordLimit,
    ) -> Result<ReadRecords, OpenRecordsError> {
        let slot = self.buses.get(bus).ok_or_else(|| OpenRecordsError::UnknownBus(bus.clone()))?;
        let end = tokio::time::Instant::now() + self.deadline;
        let place = tokio::time::timeout_at(end, slot.reads.acquire()).await;
        // A place that comes free when the time is over is left to others: the read would be begun and dropped.
        let _place = match place {
            Ok(Ok(place)) if tokio::time::Instant::now() < end => place,
            _ => return Err(OpenRecordsError::Busy(super::READS_PER_BUS)),
        };
        tokio::time::timeout_at(end, slot.bus.read(partition, from, limit.get()))
            .await
            .map_err(|_| OpenRecordsError::DeadlineExceeded(self.deadline))?
            .map_err(Into::into)
    }
}
