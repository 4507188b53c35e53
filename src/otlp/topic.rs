//! Spans from Kafka topics, as a collector's Kafka exporter writes them: one `ExportTraceServiceRequest` per record.
//!
//! A batch of records is read, decoded and kept, and only then the positions move on; a crash in between brings spans again. What
//! cannot be decoded is counted, told without its contents, and passed over: it would not be better the next time, and behind it
//! others wait. When the intake is full, reading waits; the topic holds what is left.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::bus::share::{Share, ShareWatch};
use crate::bus::{BatchLimits, Bus, BusError, ReadBatch, Reader, ReaderEvent};
use crate::config::bus::{OtlpEncoding, OtlpTopic};
use crate::lifecycle::Lifecycle;
use crate::model::names::TopicPartition;
use crate::model::span::Spans;
use crate::model::{Record, TopicName};
use crate::store::{Store, StoreError};
use crate::telemetry::Metrics;

use super::assemble::Batch;
use super::{Encoding, Refused, SharedIntake, Undecodable, decode};
use plan::Plan;

mod plan;
mod share;

/// What the bus's client may hold ahead of us.
const READER_BYTES: usize = 8 * 1024 * 1024;
const LIMITS: BatchLimits = BatchLimits { records: 1_000, bytes: 8 * 1024 * 1024, wait: Duration::from_millis(200) };
/// How often we look whether there are other partitions to read.
const REFRESH: Duration = Duration::from_secs(10);
/// The same complaint is news again after this time.
const AGAIN: Duration = Duration::from_mins(1);

/// The topics of one bus that carry spans.
pub struct TopicSource {
    /// The bus.
    pub bus: Arc<dyn Bus>,
    /// Prefix of our consumer groups.
    pub id_prefix: String,
    /// The topics.
    pub topics: Vec<OtlpTopic>,
}

/// What reading needs around it.
#[derive(Debug, Clone)]
pub struct TopicContext {
    /// Where positions are kept.
    pub store: Store,
    /// Where spans go.
    pub intake: SharedIntake,
    /// What is counted.
    pub metrics: Metrics,
    /// The process's life.
    pub life: Lifecycle,
    /// Our client id.
    pub client_id: Arc<str>,
    /// Whether other instances may read the same topics.
    pub shared: bool,
}

impl fmt::Debug for TopicSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TopicSource").field("bus", self.bus.id()).field("topics", &self.topics).finish_non_exhaustive()
    }
}

/// Why reading begins again from the stored positions.
#[derive(Debug, thiserror::Error)]
enum Setback {
    #[error("{0}")]
    Bus(#[from] BusError),
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error("{0}")]
    Refused(String),
    #[error("the decoder's thread ended: {0}")]
    Thread(#[from] tokio::task::JoinError),
}

/// Starts reading: a task that runs until the process ends, and a second one where instances share the work. Nothing to do without
/// topics.
pub fn spawn_topics(context: &TopicContext, source: TopicSource) {
    if source.topics.is_empty() {
        return;
    }
    let source = Arc::new(source);
    let share = share::spawn(context, &source);
    let context = context.clone();
    let life = context.life.clone();
    life.spawn("otlp_topics", async move {
        run(&context, &source, share).await;
        Ok(())
    });
}

async fn run(context: &TopicContext, source: &TopicSource, mut share: ShareWatch) {
    let mut wait = FIRST_WAIT;
    let mut said = None;
    while !context.life.soft().is_cancelled() {
        let mut progress = false;
        let Err(setback) = session(context, source, &mut share, &mut progress).await else { return };
        if progress {
            (wait, said) = (FIRST_WAIT, None);
        }
        let reason = setback.to_string();
        if said.as_ref() != Some(&reason) {
            tracing::warn!(bus = %source.bus.id(), reason, "reading of spans pauses, positions stay, and it will try again");
            said = Some(reason);
        }
        if !pause(&context.life, wait).await {
            return;
        }
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Reads until the process is to end, or something went wrong.
async fn session(context: &TopicContext, source: &TopicSource, share: &mut ShareWatch, progress: &mut bool) -> Result<(), Setback> {
    plan::check_cluster(context, source).await?;
    let mut reader: Option<Box<dyn Reader>> = None;
    while !context.life.soft().is_cancelled() {
        let ours = share.borrow_and_update().clone();
        let plan = plan::make(context, source, &ours).await?;
        if plan.is_empty() {
            wait_for_work(&context.life, share).await;
            continue;
        }
        let mut open = match reader.take() {
            Some(reader) => reader,
            None => source.bus.open_reader(READER_BYTES).await?,
        };
        open.assign(plan.positions()).await?;
        let mut reading = Reading { context, source, plan, reader: open, complained: None, unsaid: 0 };
        reading.run(&ours, share, progress).await?;
        reader = Some(reading.reader);
    }
    Ok(())
}

async fn wait_for_work(life: &Lifecycle, share: &mut ShareWatch) {
    tokio::select! {
        () = life.soft().cancelled() => {}
        // Where nobody shares, the sender is gone and there is nothing to hear.
        Ok(()) = share.changed() => {}
        () = tokio::time::sleep(REFRESH) => {}
    }
}

struct Reading<'a> {
    context: &'a TopicContext,
    source: &'a TopicSource,
    plan: Plan,
    reader: Box<dyn Reader>,
    /// When something was last complained about, and how much has been passed over since.
    complained: Option<Instant>,
    unsaid: u64,
}

impl Reading<'_> {
    /// Reads by one plan, until there may be another.
    async fn run(&mut self, ours: &Share, share: &ShareWatch, progress: &mut bool) -> Result<(), Setback> {
        let mut looked = Instant::now();
        while !self.context.life.soft().is_cancelled() && !share.has_changed().unwrap_or(false) {
            let batch = self.reader.next_batch(LIMITS).await?;
            let doubt = self.hear(&batch.events);
            if !self.take(batch).await? || doubt {
                return Ok(());
            }
            *progress = true;
            if looked.elapsed() >= REFRESH {
                looked = Instant::now();
                if plan::list_ours(self.context, self.source, ours).await? != *self.plan.ours() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Keeps a batch's spans and moves the positions on; `false` when there must be another plan.
    async fn take(&mut self, batch: ReadBatch) -> Result<bool, Setback> {
        let advances = self.plan.advances(&batch);
        if advances.is_empty() {
            return Ok(true);
        }
        let records: Arc<[Record]> = batch.records.into();
        if !records.is_empty() && !self.keep(&records).await? {
            return Ok(false);
        }
        if !self.context.store.advance_otlp_positions(&advances).await? {
            tracing::info!(bus = %self.source.bus.id(), "another instance has moved positions of spans on; going on from there");
            return Ok(false);
        }
        self.plan.advance(&batch.next, &records);
        self.reader.acknowledge().await?;
        Ok(true)
    }

    /// Until the spans are kept; `false` when the process is to end before. Decoded anew for each try, which is rare, instead of
    /// copied for each batch.
    async fn keep(&mut self, records: &Arc<[Record]>) -> Result<bool, Setback> {
        let mut first = true;
        loop {
            let (topics, shared) = (self.source.topics.clone(), Arc::clone(records));
            let decoded = tokio::task::spawn_blocking(move || decode_all(&topics, &shared)).await?;
            if first {
                self.tell(&decoded);
            }
            first = false;
            let kept = decoded.spans.len() as u64;
            let refused = match if kept == 0 { Ok(()) } else { self.context.intake.keep(decoded.spans).await.map(|_| ()) } {
                Ok(()) => {
                    self.context.metrics.otlp_spans_total.with_label_values(&["kept"]).inc_by(kept);
                    return Ok(true);
                }
                Err(refused) => refused,
            };
            let wait = match refused {
                Refused::Full { retry_after } => retry_after.clamp(FIRST_WAIT, LONGEST_WAIT),
                Refused::Unavailable(reason) => return Err(Setback::Refused(reason)),
            };
            if !pause(&self.context.life, wait).await {
                return Ok(false);
            }
        }
    }

    /// Counts what was read and complains, now and then, of what could not be.
    fn tell(&mut self, decoded: &Decoded) {
        let requests =
            |result: &str, count: u64| self.context.metrics.otlp_requests_total.with_label_values(&["kafka", result]).inc_by(count);
        requests("taken", decoded.records - decoded.undecodable);
        requests("malformed", decoded.undecodable);
        self.context.metrics.otlp_spans_total.with_label_values(&["rejected"]).inc_by(decoded.rejected);
        let Some(Complaint { topic, partition, offset, reason }) = &decoded.complaint else { return };
        self.unsaid += decoded.undecodable;
        if self.complained.is_some_and(|at| at.elapsed() < AGAIN) {
            return;
        }
        tracing::warn!(bus = %self.source.bus.id(), %topic, partition, offset, reason, records_passed_over = self.unsaid,
            "spans on a topic could not be taken and are passed over");
        (self.complained, self.unsaid) = (Some(Instant::now()), 0);
    }

    /// Says what the reader met; answers whether the plan is in doubt.
    fn hear(&mut self, events: &[ReaderEvent]) -> bool {
        let bus = self.source.bus.id();
        for event in events {
            match event {
                ReaderEvent::PositionOutOfRange { partition, position } => {
                    tracing::warn!(%bus, topic = %partition.topic, partition = partition.partition, position, "the bus does not hold our position among spans");
                }
                ReaderEvent::PartitionError { partition, reason } => {
                    tracing::debug!(%bus, topic = %partition.topic, partition = partition.partition, reason, "a partition with spans cannot be read");
                }
                ReaderEvent::BusError(reason) => tracing::debug!(%bus, reason, "the bus cannot be read"),
            }
        }
        events.iter().any(|event| matches!(event, ReaderEvent::PositionOutOfRange { .. }))
    }
}

/// What records held.
#[derive(Debug, Default)]
struct Decoded {
    spans: Spans,
    records: u64,
    undecodable: u64,
    rejected: u64,
    complaint: Option<Complaint>,
}

/// The first thing that was wrong, and where.
#[derive(Debug)]
struct Complaint {
    topic: TopicName,
    partition: i32,
    offset: i64,
    reason: String,
}

fn decode_all(topics: &[OtlpTopic], records: &[Record]) -> Decoded {
    let mut all = Decoded::default();
    for record in records {
        let Some(value) = record.value.as_deref().filter(|value| !value.is_empty()) else { continue };
        all.records += 1;
        let configured = topics.iter().find(|topic| topic.topic == record.topic).map_or(OtlpEncoding::Auto, |topic| topic.encoding);
        let reason = match decode_as(configured, value) {
            Ok(batch) => all.take(batch),
            Err(undecodable) => {
                all.undecodable += 1;
                Some(match undecodable {
                    Undecodable::Malformed(reason) => reason,
                    Undecodable::TooMany => "the record holds too many spans, attributes, events and links".to_owned(),
                })
            }
        };
        if let (None, Some(reason)) = (&all.complaint, reason) {
            let Record { topic, partition, offset, .. } = record;
            all.complaint = Some(Complaint { topic: topic.clone(), partition: *partition, offset: *offset, reason });
        }
    }
    all
}

impl Decoded {
    /// Adds a batch; answers what was wrong in it.
    fn take(&mut self, batch: Batch) -> Option<String> {
        self.rejected += batch.rejected();
        let reasons = batch.reasons();
        self.spans.extend(batch.spans);
        reasons
    }
}

/// JSON begins with a brace, which no message of OTLP does. With space before it nothing is sure: a line break and a brace are also how a
/// message begins whose first part is 123 bytes long. So that is taken for JSON only when it is no message.
fn decode_as(encoding: OtlpEncoding, value: &[u8]) -> Result<Batch, Undecodable> {
    match encoding {
        OtlpEncoding::Proto => decode(value, Encoding::Protobuf),
        OtlpEncoding::Json => decode(value, Encoding::Json),
        OtlpEncoding::Auto if value.starts_with(b"{") => decode(value, Encoding::Json),
        OtlpEncoding::Auto => match decode(value, Encoding::Protobuf) {
            Err(Undecodable::Malformed(_)) if value.trim_ascii_start().starts_with(b"{") => decode(value, Encoding::Json),
            other => other,
        },
    }
}

/// Waits, or returns at once with `false` when the process is to end.
async fn pause(life: &Lifecycle, wait: Duration) -> bool {
    tokio::select! {
        () = life.soft().cancelled() => false,
        () = tokio::time::sleep(wait) => true,
    }
}

/// How far a batch goes on each partition, markers and gaps of compaction included.
fn ends(batch_next: &HashMap<TopicPartition, i64>, records: &[Record]) -> HashMap<TopicPartition, i64> {
    let mut ends = batch_next.clone();
    for Record { topic, partition, offset, .. } in records {
        let end = ends.entry(TopicPartition { topic: topic.clone(), partition: *partition }).or_insert(0);
        *end = (*end).max(offset + 1);
    }
    ends
}

#[cfg(test)]
mod tests;
