//! The pipeline: read and decode one batch while the one before is stored.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::care::Care;
use super::origins::Origins;
use super::plan::{self, Plan};
use super::work::{self, Backoff, BusWork, Context, Said};
use super::{Setback, health, pointers, prepare};
use crate::bus::share::{Share, ShareWatch};
use crate::bus::{BatchLimits, ReadBatch, Reader, ReaderEvent};
use crate::lifecycle::changes::Noun;
use crate::model::dead_letter::NewDeadLetter;
use crate::model::names::TopicPartition;
use crate::model::partition_problem::PartitionProblemKind;
use crate::model::{Failure, Record, Timestamp};
use crate::store::StoreError;
use crate::store::indexing::{Advance, EncodedBatch, IndexBatch, IndexOutcome};

/// What the bus's client may hold ahead of us.
const READER_BYTES: usize = 8 * 1024 * 1024;
const LIMITS: BatchLimits = BatchLimits { records: 2_000, bytes: 8 * 1024 * 1024, wait: Duration::from_millis(200) };
/// How often we look whether the plan is still right when no signal came.
const REFRESH: Duration = Duration::from_secs(10);

/// Why reading stops for a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// There may be another plan: topics, shares or positions have changed.
    Replan,
    /// The plan does not match the bus: try again, a little later each time.
    Doubt,
    /// The process is to end.
    End,
}

/// What outlives a session.
#[derive(Default)]
pub(super) struct Desk {
    reader: Option<Box<dyn Reader>>,
    care: Care,
    origins: Origins,
    said: Said,
    /// Whether anything was stored since this was last looked at.
    pub(super) progress: bool,
    store_failed: bool,
}

impl Desk {
    /// Makes ready for the next session after one that failed.
    pub(super) fn clear_after(&mut self, setback: &Setback) {
        match setback {
            Setback::Store(error) => {
                self.store_failed = true;
                if matches!(error, StoreError::Broken(_)) {
                    self.care = self.care.after_refusal();
                }
            }
            Setback::Bus(_) | Setback::Refused(_) | Setback::Thread(_) => self.reader = None,
        }
    }

    fn stored(&mut self, context: &Context) {
        self.progress = true;
        self.care = self.care.after_success();
        if std::mem::take(&mut self.store_failed) {
            health::report(context.life.readiness(), Ok(()));
            tracing::info!("the store takes writes again; indexing goes on");
        }
    }
}

/// Works on one bus until the process is to end, or something went wrong.
pub(super) async fn session(context: &Context, work: &Arc<BusWork>, share: &mut ShareWatch, desk: &mut Desk) -> Result<(), Setback> {
    let end = context.life.soft();
    tokio::select! {
        () = end.cancelled() => return Ok(()),
        checked = plan::check_cluster(context, work) => checked?,
    }
    let mut signal = work.signals.subscribe();
    let mut doubts = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
    loop {
        signal.mark_unchanged();
        let ours = share.borrow_and_update().clone();
        let plan = tokio::select! {
            () = end.cancelled() => return Ok(()),
            plan = plan::make(context, work, &ours, &mut desk.said) => plan?,
        };
        if plan.tracks.is_empty() {
            if !wait_for_work(context, &mut signal, share, plan.incomplete).await {
                return Ok(());
            }
            continue;
        }
        let mut reader = match desk.reader.take() {
            Some(reader) => reader,
            None => work.bus.open_reader(READER_BYTES).await?,
        };
        reader.assign(plan.positions()).await?;
        let (plan, origins, said) = (Arc::new(plan), std::mem::take(&mut desk.origins), std::mem::take(&mut desk.said));
        let mut pipeline = Pipeline { context, work, share: ours, reader, plan, origins, said, written: false };
        let stop = pipeline.run(&signal, share, desk).await;
        (desk.origins, desk.said) = (pipeline.origins, pipeline.said);
        if pipeline.written {
            doubts.reset();
        }
        desk.reader = Some(pipeline.reader);
        match stop? {
            Stop::End => return Ok(()),
            Stop::Replan => {}
            Stop::Doubt => {
                if !work::pause(&context.life, doubts.next_wait()).await {
                    return Ok(());
                }
            }
        }
    }
}

/// Waits until there may be something to read; `false` when the process is to end.
async fn wait_for_work(context: &Context, signal: &mut tokio::sync::watch::Receiver<u64>, share: &mut ShareWatch, soon: bool) -> bool {
    let wait = if soon { Duration::from_secs(1) } else { REFRESH };
    tokio::select! {
        () = context.life.soft().cancelled() => false,
        // Where nobody shares, the sender is gone and there is nothing to hear.
        Ok(()) = signal.changed() => true,
        Ok(()) = share.changed() => true,
        () = tokio::time::sleep(wait) => true,
    }
}

struct Pipeline<'a> {
    context: &'a Context,
    work: &'a Arc<BusWork>,
    share: Share,
    reader: Box<dyn Reader>,
    plan: Arc<Plan>,
    origins: Origins,
    said: Said,
    written: bool,
}

/// A batch that has been read, decoded, checked and encoded.
struct Prepared {
    batch: EncodedBatch,
    read_at: Timestamp,
}

impl Pipeline<'_> {
    async fn run(&mut self, signal: &tokio::sync::watch::Receiver<u64>, share: &ShareWatch, desk: &mut Desk) -> Result<Stop, Setback> {
        let mut pending: Option<Prepared> = None;
        let mut looked = Instant::now();
        loop {
            let (context, work) = (self.context, self.work);
            let (read, stored) = tokio::join!(self.read(desk.care), store(context, work, pending.take()));
            if !self.is_written(stored?, desk).await? {
                return Ok(Stop::Replan);
            }
            let (prepared, doubt) = read?;
            let stop = if self.context.life.soft().is_cancelled() {
                Some(Stop::End)
            } else if doubt {
                Some(Stop::Doubt)
            } else if signal.has_changed().unwrap_or(false) || share.has_changed().unwrap_or(false) {
                Some(Stop::Replan)
            } else if looked.elapsed() >= REFRESH {
                looked = Instant::now();
                self.keep_caught_up().await?;
                self.outdated().await?.then_some(Stop::Replan)
            } else {
                None
            };
            if stop.is_none() && desk.care == Care::Usual {
                pending = prepared;
                continue;
            }
            // What is in hand is stored before anything else happens.
            let stored = store(self.context, self.work, prepared).await?;
            if !self.is_written(stored, desk).await? {
                return Ok(Stop::Replan);
            }
            if let Some(stop) = stop {
                return Ok(stop);
            }
        }
    }

    /// Takes note of how a batch ended; `false` when it was superseded, and with it the one that was read after it.
    async fn is_written(&mut self, outcome: Option<IndexOutcome>, desk: &mut Desk) -> Result<bool, Setback> {
        match outcome {
            None => Ok(true),
            Some(IndexOutcome::Superseded(_)) => Ok(false),
            Some(IndexOutcome::Written(_)) => {
                self.written = true;
                desk.stored(self.context);
                self.reader.acknowledge().await?;
                Ok(true)
            }
        }
    }

    /// Reads one batch. Answers it ready to be stored (nothing when nothing came), and whether the plan is in doubt.
    async fn read(&mut self, care: Care) -> Result<(Option<Prepared>, bool), Setback> {
        let asked_at = Timestamp::now();
        let mut batch = self.reader.next_batch(BatchLimits { records: care.records(LIMITS.records), ..LIMITS }).await?;
        let mut doubt = self.hear(&batch.events).await?;
        let read_at = Timestamp::now();
        let mut advances = self.advances(&batch);
        if advances.is_empty() {
            self.advance(&advances, &batch, asked_at);
            return Ok((None, doubt));
        }
        let records = std::mem::take(&mut batch.records);
        let (work, plan) = (Arc::clone(self.work), Arc::clone(&self.plan));
        let decoding = tokio::task::spawn_blocking(move || prepare::letters(&work, &plan, records, read_at));
        // Asked after the records were fetched and before they are stored: were they written under the topic id we believe?
        let ids = plan::topic_ids(self.work, advances.keys().map(|partition| &partition.topic));
        let (letters, ids) = tokio::join!(decoding, ids);
        let (mut letters, ids) = (letters?, ids?);
        for topic in advances.keys().map(|partition| &partition.topic) {
            let expected = self.plan.topic_ids.get(topic).cloned().flatten();
            if plan::same_generation(ids.as_ref(), topic, expected).is_none() {
                tracing::warn!(bus = %self.work.id(), %topic, "the topic was deleted or began again while it was read; this batch is dropped");
                self.work.signals.ask_for_sweep();
                return Ok((None, true));
            }
        }
        let cut = pointers::resolve(self.work, &mut letters, &mut advances).await?;
        self.infer_groups(&mut letters).await?;
        doubt |= cut;
        if care.is_bare() {
            for (_, letter) in &mut letters {
                prepare::strip(self.work, letter);
            }
        }
        self.advance(&advances, &batch, asked_at);
        let batch = IndexBatch { bus: self.work.id().clone(), advances: advances.into_values().collect(), letters };
        let batch = self.context.store.encode_index_batch(batch).await?;
        Ok((Some(Prepared { batch, read_at }), doubt))
    }

    /// How far each planned partition goes with this batch.
    fn advances(&self, batch: &ReadBatch) -> HashMap<TopicPartition, Advance> {
        let mut next = batch.next.clone();
        for Record { topic, partition, offset, .. } in &batch.records {
            let partition = TopicPartition { topic: topic.clone(), partition: *partition };
            let next = next.entry(partition).or_insert(0);
            *next = (*next).max(offset + 1);
        }
        let forward = next.into_iter().filter_map(|(partition, next)| {
            let track = self.plan.tracks.get(&partition).filter(|track| next > track.next)?;
            Some((partition, Advance { partition_id: track.partition_id, expected: track.next, next, gap: None }))
        });
        forward.collect()
    }

    /// Moves the plan on, so that the next batch expects what this one leaves behind, and knows since when nothing had been there.
    fn advance(&mut self, advances: &HashMap<TopicPartition, Advance>, batch: &ReadBatch, asked_at: Timestamp) {
        let (mut everywhere, mut troubled) = (false, HashSet::new());
        for event in &batch.events {
            match event {
                ReaderEvent::BusError(_) => everywhere = true,
                ReaderEvent::PositionOutOfRange { partition, .. } | ReaderEvent::PartitionError { partition, .. } => {
                    troubled.insert(partition);
                }
            }
        }
        for (partition, track) in &mut Arc::make_mut(&mut self.plan).tracks {
            let next = advances.get(partition).map_or(track.next, |advance| advance.next);
            track.polled(next, batch.ended.get(partition).copied(), everywhere || troubled.contains(partition), asked_at);
            track.next = next;
        }
    }

    /// Keeps for the next start that everything was read where reading waits at the end.
    async fn keep_caught_up(&mut self) -> Result<(), Setback> {
        let at_end: Vec<(i64, Timestamp)> = self
            .plan
            .tracks
            .values()
            .filter(|track| track.at_end)
            .filter_map(|track| Some((track.partition_id, track.caught_up_at?)))
            .collect();
        // The earliest holds of all.
        if let Some(at) = at_end.iter().map(|(_, at)| *at).min() {
            let ids: Vec<i64> = at_end.iter().map(|(id, _)| *id).collect();
            self.context.store.record_caught_up(&ids, at).await?;
        }
        Ok(())
    }

    /// Says what the reader met; answers whether the plan is in doubt.
    async fn hear(&mut self, events: &[ReaderEvent]) -> Result<bool, Setback> {
        let bus = self.work.id();
        for event in events {
            if !self.said.is_news(&format!("{event:?}")) {
                continue;
            }
            match event {
                ReaderEvent::PositionOutOfRange { partition, position } => {
                    tracing::warn!(%bus, topic = %partition.topic, partition = partition.partition, position,
                        "the bus does not hold our position");
                }
                ReaderEvent::PartitionError { partition, reason } => {
                    tracing::warn!(%bus, topic = %partition.topic, partition = partition.partition, reason, "a partition cannot be read");
                    if let Some(track) = self.plan.tracks.get(partition) {
                        let (id, kind) = (track.partition_id, PartitionProblemKind::Unreadable);
                        self.context.store.record_partition_problems(&[id], kind, &[(id, reason.clone())], Timestamp::now()).await?;
                        self.context.changes.publish(Noun::Topics);
                        self.context.changes.publish(Noun::Buses);
                    }
                }
                ReaderEvent::BusError(reason) => tracing::warn!(%bus, reason, "the bus cannot be read"),
            }
        }
        Ok(events.iter().any(|event| matches!(event, ReaderEvent::PositionOutOfRange { .. })))
    }

    async fn infer_groups(&mut self, letters: &mut [(i64, NewDeadLetter)]) -> Result<(), Setback> {
        let unknown = |failure: &Failure| failure.consumer_group.is_none() && failure.origin.topic.is_some();
        if !letters.iter().any(|(_, letter)| unknown(&letter.failure)) {
            return Ok(());
        }
        self.origins.refresh(&self.context.store, self.work.id()).await?;
        for (_, NewDeadLetter { failure, .. }) in letters {
            if let (None, Some(topic)) = (&failure.consumer_group, &failure.origin.topic) {
                failure.consumer_group = self.origins.sole_group(topic);
                failure.consumer_group_inferred = failure.consumer_group.is_some();
            }
        }
        Ok(())
    }

    /// Whether other partitions are ours now than when the plan was made, or some that had to wait may be ready.
    async fn outdated(&mut self) -> Result<bool, Setback> {
        Ok(self.plan.incomplete || plan::list_ours(self.context, self.work.id(), &self.share).await? != self.plan.ours)
    }
}

/// Stores a batch, if there is one, and tells the pages.
async fn store(context: &Context, work: &BusWork, prepared: Option<Prepared>) -> Result<Option<IndexOutcome>, Setback> {
    let Some(Prepared { batch, read_at }) = prepared else { return Ok(None) };
    let begun = Instant::now();
    let outcome = context.store.record_encoded_batch(batch, read_at).await?;
    let (metrics, bus) = (&context.metrics, [work.id().as_str()]);
    match outcome {
        IndexOutcome::Written(letters) => {
            metrics.indexer_dead_letters_total.with_label_values(&bus).inc_by(letters);
            metrics.indexer_batches_total.with_label_values(&bus).inc();
            #[expect(clippy::cast_precision_loss, reason = "a batch has some thousand records")]
            metrics.indexer_batch_records.with_label_values(&bus).observe(letters as f64);
            metrics.indexer_commit_duration_seconds.with_label_values(&bus).observe(begun.elapsed().as_secs_f64());
            if letters > 0 {
                context.changes.publish(Noun::DeadLetters);
            }
        }
        IndexOutcome::Superseded(_) => {
            metrics.indexer_superseded_total.with_label_values(&bus).inc();
            tracing::info!(bus = %work.id(), "another instance has moved these positions on; going on from there");
        }
    }
    Ok(Some(outcome))
}
