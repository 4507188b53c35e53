//! Reads assigned partitions in order for the indexer.
//!
//! `next` of a partition is the offset after everything seen. Records tell their own; markers, aborted records and compaction gaps at
//! the end of a partition are told by librdkafka's end-of-partition event, whose offset lies after them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rdkafka::Offset;
use rdkafka::error::RDKafkaErrorCode as Code;
use tokio::task::JoinHandle;

use super::ffi::{Client, Failure, Polled};
use super::groups::place;
use super::watch::Watch;
use super::{Aside, client, errors, names};
use crate::bus::{BatchLimits, BusError, BusSettings, ReadBatch, Reader, ReaderEvent};
use crate::model::Record;
use crate::model::names::TopicPartition;

/// Once something has come and nothing more is at hand, a batch waits this long for company.
const LINGER: Duration = Duration::from_millis(10);

pub(super) struct KafkaReader {
    state: Aside<State>,
    /// A poll that was begun and not yet taken: a caller that gives up waiting loses nothing.
    pending: Option<JoinHandle<ReadBatch>>,
}

struct State {
    client: Client,
    watch: Arc<Watch>,
    book: Mutex<Book>,
}

/// What is assigned, and how far each partition has been read.
#[derive(Default)]
struct Book {
    positions: HashMap<TopicPartition, i64>,
    /// A record that did not fit into the last batch.
    left_over: Option<Record>,
}

impl KafkaReader {
    pub(super) fn open(settings: &BusSettings, memory_bytes: usize) -> Result<Self, BusError> {
        let watch = Arc::new(Watch::new(settings.id.clone()));
        let client = client::make(&client::reading(settings, memory_bytes), true, &watch)?;
        Ok(Self { state: Aside::new(State { client, watch, book: Mutex::default() }), pending: None })
    }
}

#[async_trait]
impl Reader for KafkaReader {
    async fn assign(&mut self, positions: Vec<(TopicPartition, i64)>) -> Result<(), BusError> {
        if let Some(pending) = &mut self.pending {
            // Whatever it brings belongs to the assignment that ends now.
            let _ = pending.await;
            self.pending = None;
        }
        let state = self.state.share();
        client::blocking(move || state.assign(positions)).await
    }

    async fn next_batch(&mut self, limits: BatchLimits) -> Result<ReadBatch, BusError> {
        let state = &self.state;
        let pending = self.pending.get_or_insert_with(|| {
            let state = state.share();
            tokio::task::spawn_blocking(move || state.fill(limits))
        });
        let batch = pending.await;
        self.pending = None;
        batch.map_err(|error| BusError::Other(format!("reading ended: {error}")))
    }
}

impl State {
    fn assign(&self, positions: Vec<(TopicPartition, i64)>) -> Result<(), BusError> {
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        let list = names::list(positions.iter().map(|(partition, position)| (partition, Offset::Offset(*position))));
        self.client.assign(&list).map_err(|f| errors::explain("assigning partitions", "READ on the topics", &f, &self.watch))?;
        *book = Book { positions: positions.into_iter().collect(), left_over: None };
        Ok(())
    }

    fn fill(&self, limits: BatchLimits) -> ReadBatch {
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        let mut filling = Filling { book: &mut book, batch: ReadBatch::default(), run: None, bytes: 0, limits };
        if let Some(record) = filling.book.left_over.take() {
            filling.add(record);
        }
        let deadline = Instant::now() + limits.wait;
        let mut idle_since: Option<Instant> = None;
        while !filling.is_full() {
            let now = Instant::now();
            let until = match idle_since {
                _ if filling.is_empty() => deadline,
                None => now,
                Some(since) => deadline.min(since + LINGER),
            };
            match self.client.poll(until.saturating_duration_since(now)) {
                Some(Polled::Record(record)) => {
                    idle_since = None;
                    filling.add(record);
                }
                Some(Polled::End(partition, offset)) => filling.end(&partition, offset),
                Some(Polled::Failed(partition, failure)) => self.hear(&mut filling, partition, &failure),
                None if until == now && !filling.is_empty() => idle_since = Some(now),
                None => {}
            }
            self.hear_of_the_bus(&mut filling.batch);
            if Instant::now() >= deadline || idle_since.is_some_and(|since| since.elapsed() >= LINGER) {
                break;
            }
        }
        filling.finish()
    }

    fn hear(&self, filling: &mut Filling<'_>, partition: Option<TopicPartition>, failure: &Failure) {
        // librdkafka looks for the coordinator of a group that we name but never use.
        if matches!(failure.code, Code::GroupAuthorizationFailed | Code::CoordinatorNotAvailable | Code::NotCoordinator) {
            return;
        }
        let event = match partition {
            None => ReaderEvent::BusError(errors::explain("reading", "READ on the topics", failure, &self.watch).to_string()),
            Some(partition) => {
                let Some(position) = filling.position(&partition) else { return };
                if matches!(failure.code, Code::AutoOffsetReset | Code::OffsetOutOfRange | Code::LogTruncation) {
                    ReaderEvent::PositionOutOfRange { partition, position }
                } else {
                    let act = format!("reading {}", place(&partition.topic, partition.partition));
                    let reason = errors::explain(&act, "READ on the topic", failure, &self.watch).to_string();
                    ReaderEvent::PartitionError { partition, reason }
                }
            }
        };
        filling.say(event);
    }

    fn hear_of_the_bus(&self, batch: &mut ReadBatch) {
        for (code, words) in self.watch.take_errors() {
            if matches!(code, Code::AllBrokersDown | Code::Authentication | Code::SaslAuthenticationFailed | Code::SSL | Code::Fatal) {
                let explained = errors::explain("reading", "READ on the topics", &Failure { code, words }, &self.watch);
                let event = ReaderEvent::BusError(explained.to_string());
                if !batch.events.contains(&event) {
                    batch.events.push(event);
                }
            }
        }
    }
}

/// A batch in the making.
struct Filling<'a> {
    book: &'a mut Book,
    batch: ReadBatch,
    /// Records come in runs of one partition; its position is booked when the run ends.
    run: Option<(TopicPartition, i64)>,
    bytes: usize,
    limits: BatchLimits,
}

impl Filling<'_> {
    fn is_full(&self) -> bool {
        self.batch.records.len() >= self.limits.records || self.bytes >= self.limits.bytes || self.book.left_over.is_some()
    }

    fn is_empty(&self) -> bool {
        self.batch.records.is_empty() && self.batch.events.is_empty() && self.batch.next.is_empty()
    }

    fn position(&self, partition: &TopicPartition) -> Option<i64> {
        match &self.run {
            Some((current, position)) if current == partition => Some(*position),
            _ => self.book.positions.get(partition).copied(),
        }
    }

    fn add(&mut self, record: Record) {
        let continues = self.run.as_ref().is_some_and(|(p, _)| p.partition == record.partition && p.topic == record.topic);
        if !continues {
            self.close_run();
            let partition = TopicPartition { topic: record.topic.clone(), partition: record.partition };
            let Some(position) = self.book.positions.get(&partition).copied() else { return };
            self.run = Some((partition, position));
        }
        let Some((_, position)) = &mut self.run else { return };
        // Fetched for an assignment that has been replaced.
        if record.offset < *position {
            return;
        }
        let size = record.size_bytes();
        if !self.batch.records.is_empty() && self.bytes + size > self.limits.bytes {
            self.book.left_over = Some(record);
            return;
        }
        *position = record.offset + 1;
        self.bytes += size;
        self.batch.records.push(record);
    }

    /// Takes everything up to a partition's end as seen.
    fn end(&mut self, partition: &TopicPartition, offset: i64) {
        self.close_run();
        let Some(position) = self.book.positions.get_mut(partition) else { return };
        self.batch.ended.insert(partition.clone(), offset);
        if offset > *position {
            *position = offset;
            self.batch.next.insert(partition.clone(), offset);
        }
    }

    fn say(&mut self, event: ReaderEvent) {
        if !self.batch.events.contains(&event) {
            self.batch.events.push(event);
        }
    }

    fn close_run(&mut self) {
        let Some((partition, position)) = self.run.take() else { return };
        if let Some(booked) = self.book.positions.get_mut(&partition)
            && position > *booked
        {
            *booked = position;
            self.batch.next.insert(partition, position);
        }
    }

    fn finish(mut self) -> ReadBatch {
        self.close_run();
        self.batch
    }
}
