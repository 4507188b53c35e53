//! Reads a few records anywhere in a partition, for a person who looks at them.
//!
//! Committed records only, as an application with `read_committed` sees them: what a transaction has aborted or not yet committed is
//! not shown. Markers, aborted records and compacted offsets are passed.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::client::{self, left};
use super::ffi::{Client, Polled};
use super::groups::place;
use super::{Failure, Shared, names};
use crate::bus::{BusError, ReadFrom, ReadRecords};
use crate::model::Record;
use crate::model::bus::Capability;
use crate::model::names::TopicPartition;

/// Reads at once; more wait for their turn.
const CONCURRENT: usize = 4;
/// Clients kept with their connections for the next read.
const KEPT: usize = 2;
const MEMORY_BYTES: usize = 8 * 1024 * 1024;
/// A read ends early when its records hold so much together; its `next` tells where to go on.
const BYTES: usize = 32 * 1024 * 1024;

/// Consumers for random reads: connecting one costs more than reading with it.
pub(super) struct Pool {
    turns: Semaphore,
    idle: Mutex<Vec<Client>>,
}

impl Pool {
    pub(super) const fn new() -> Self {
        Self { turns: Semaphore::const_new(CONCURRENT), idle: Mutex::new(Vec::new()) }
    }

    /// Waits for a turn.
    pub(super) async fn permit(&self) -> Option<SemaphorePermit<'_>> {
        self.turns.acquire().await.ok()
    }

    fn take(&self, shared: &Shared) -> Result<Client, BusError> {
        if let Some(client) = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop() {
            return Ok(client);
        }
        let mut config = client::reading(&shared.settings, MEMORY_BYTES);
        // A position that has just been removed is read from where the log begins now.
        config.set("auto.offset.reset", "earliest");
        config.set("fetch.wait.max.ms", "50");
        config.set("queued.min.messages", "200");
        client::make(&config, false, &shared.watch)
    }

    fn give_back(&self, client: Client) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < KEPT {
            idle.push(client);
        }
    }
}

impl Shared {
    pub(super) fn read(&self, partition: &TopicPartition, from: ReadFrom, limit: usize) -> Result<ReadRecords, BusError> {
        let deadline = self.deadline();
        let one = std::slice::from_ref(partition);
        let offsets = self.offsets(one)?.remove(partition).ok_or_else(|| self.absence(partition))?;
        let stable = offsets.last_stable.unwrap_or(offsets.end);
        let start = match from {
            ReadFrom::Offset(offset) => offset,
            ReadFrom::Time(time) => {
                let found = self.offsets_at(one, time);
                self.note(Capability::OffsetsForTimes, &found);
                // Nothing is as new; which is not the same as that nobody has told.
                found?.remove(partition).ok_or_else(|| self.absence(partition))?.unwrap_or(offsets.end)
            }
            ReadFrom::Newest => stable.saturating_sub(size(limit)),
        };
        let start = start.clamp(offsets.log_start, offsets.end);
        let span = Span { partition, log_start: offsets.log_start, stable, limit, deadline };
        let client = self.readers.take(self)?;
        let read = if from == ReadFrom::Newest { self.newest(&client, &span, start) } else { self.forward(&client, &span, start) };
        let found = read?;
        client.assign(&TopicPartitionList::new()).map_err(|f| self.explain("reading", "READ on the topic", &f))?;
        self.readers.give_back(client);
        Ok(ReadRecords { records: found.records.into(), log_start: offsets.log_start, end: offsets.end, next: found.next })
    }

    /// Up to `limit` records from `start` on.
    fn forward(&self, client: &Client, span: &Span<'_>, start: i64) -> Result<Found, BusError> {
        self.collect(client, span, start, false)
    }

    /// The last `limit` records: steps back as long as markers or gaps stood where records were expected.
    fn newest(&self, client: &Client, span: &Span<'_>, start: i64) -> Result<Found, BusError> {
        let mut start = start;
        loop {
            let found = self.collect(client, span, start, true)?;
            if found.is_full(span.limit) || start <= span.log_start || Instant::now() >= span.deadline {
                return Ok(found);
            }
            let width = span.stable.saturating_sub(start).max(16).saturating_mul(4);
            start = span.stable.saturating_sub(width).max(span.log_start);
        }
    }

    /// Reads from `start` on: the first records, or up to the end and then the last ones.
    fn collect(&self, client: &Client, span: &Span<'_>, start: i64, last: bool) -> Result<Found, BusError> {
        let mut found = Found { records: VecDeque::new(), bytes: 0, cut: false, next: start };
        if start >= span.stable || span.limit == 0 {
            return Ok(found);
        }
        let act = format!("reading {}", place(&span.partition.topic, span.partition.partition));
        let explain = |failure: &Failure| self.explain(&act, "READ on the topic", failure);
        client.assign(&names::list([(span.partition, Offset::Offset(start))])).map_err(|f| explain(&f))?;
        while (last || !found.is_full(span.limit)) && found.next < span.stable {
            if Instant::now() >= span.deadline {
                // What has come is shown; nothing at all is silence.
                return if found.records.is_empty() { Err(explain(&Failure::timed_out())) } else { Ok(found) };
            }
            match client.poll(left(span.deadline)) {
                Some(Polled::Record(record)) if record.offset >= span.stable => break,
                Some(Polled::Record(record)) => found.add(record, if last { span.limit } else { usize::MAX }),
                Some(Polled::End(_, offset)) => {
                    found.next = found.next.max(offset);
                    break;
                }
                Some(Polled::Failed(Some(_), failure)) => return Err(explain(&failure)),
                // The client's own affairs, such as a group it has no right to and does not use.
                Some(Polled::Failed(None, _)) | None => {}
            }
        }
        Ok(found)
    }

    /// Why a partition has no offsets.
    fn absence(&self, partition: &TopicPartition) -> BusError {
        let place = place(&partition.topic, partition.partition);
        match self.describe_one(&partition.topic, self.settings.request_timeout) {
            Some(Ok(topic)) => match topic.partitions.get(&partition.partition) {
                None => BusError::NotFound(format!("{place} does not exist")),
                Some(None) => BusError::Unreachable(format!("{place} has no leader")),
                Some(Some(_)) => BusError::Unreachable(format!("the offsets of {place} could not be read")),
            },
            Some(Err(failure)) => self.explain(&format!("reading {place}"), "DESCRIBE on the topic", &failure),
            None => BusError::NotFound(format!("{place} does not exist")),
        }
    }
}

/// What a random read has found.
struct Found {
    records: VecDeque<Record>,
    bytes: usize,
    /// Whether records had to go because of [`BYTES`].
    cut: bool,
    next: i64,
}

impl Found {
    /// Whether there is as much as may be shown; one large record alone always may.
    fn is_full(&self, limit: usize) -> bool {
        self.records.len() >= limit || self.bytes >= BYTES || self.cut
    }

    /// Adds the next record; beyond `keep` records, or beyond [`BYTES`], the oldest go.
    fn add(&mut self, record: Record, keep: usize) {
        self.next = record.offset + 1;
        self.bytes += record.size_bytes();
        self.records.push_back(record);
        while self.records.len() > keep || (keep < usize::MAX && self.bytes > BYTES && self.records.len() > 1) {
            self.cut |= self.records.len() <= keep;
            self.bytes -= self.records.pop_front().map_or(0, |r| r.size_bytes());
        }
    }
}

/// Where a random read may go.
struct Span<'a> {
    partition: &'a TopicPartition,
    log_start: i64,
    stable: i64,
    limit: usize,
    deadline: Instant,
}

fn size(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
