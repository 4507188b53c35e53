//! Looks at one bus again and again and writes down what changed: topics, partitions, offsets, consumer groups, whether it answers.
//!
//! One task per bus: a bus that is down costs only the freshness of its own data. Committed offsets are read before end offsets, so
//! that lag is never negative. Nothing is taken away because a bus does not answer.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Context, lease};
use crate::bus::{BusError, Metadata, PartitionOffsets};
use crate::dead_letters::indexer::work::{self, Said};
use crate::dead_letters::indexer::{BusWork, another_cluster};
use crate::lifecycle::changes::Noun;
use crate::model::bus::{Capability, TopicRole};
use crate::model::names::TopicPartition;
use crate::model::{Timestamp, TopicName};
use crate::store::StoreError;
use crate::store::buses::SweepResult;
use crate::store::topics::{SeenTopic, StoredTopic};

mod counting;
mod figures;
mod groups;
mod lag;
mod lookups;
mod problems;
mod recording;
mod starts;
#[cfg(test)]
mod tests;

/// Longer than a sweep's pause, shorter than anybody's patience when an instance has died.
const LEASE: Duration = Duration::from_secs(30);

/// Why a sweep ended early.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    /// The bus's fault: recorded on the bus.
    #[error("{0}")]
    Bus(#[from] BusError),
    /// Not the cluster that it was: recorded on the bus.
    #[error("{0}")]
    Refused(String),
    /// The store's fault: nothing can be recorded.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// Another instance has taken over: what was seen is dropped.
    #[error("another instance samples this bus now")]
    Superseded,
}

/// Starts sampling of one bus.
pub fn spawn(context: &Context, work: &Arc<BusWork>) {
    let mut sampler = Sampler::new(context.clone(), Arc::clone(work));
    context.life.spawn("sampler", async move {
        sampler.run().await;
        Ok(())
    });
}

struct Sampler {
    context: Context,
    work: Arc<BusWork>,
    lease: String,
    /// Living topics as the store has them.
    topics: Vec<StoredTopic>,
    configs: HashMap<TopicName, BTreeMap<String, String>>,
    configs_read: Option<Instant>,
    /// Offsets as the store has them, by its id of the partition.
    offsets: HashMap<i64, PartitionOffsets>,
    groups: groups::Groups,
    lags: lag::Lags,
    lookups: lookups::Lookups,
    counting: counting::Turns,
    figures: figures::Figures,
    problems: problems::Problems,
    said: Said,
}

impl Sampler {
    fn new(context: Context, work: Arc<BusWork>) -> Self {
        Self {
            lease: format!("sampler:{}", work.id()),
            context,
            topics: Vec::new(),
            configs: HashMap::new(),
            configs_read: None,
            offsets: HashMap::new(),
            groups: groups::Groups::default(),
            lags: lag::Lags::default(),
            lookups: lookups::Lookups::default(),
            counting: counting::Turns::default(),
            figures: figures::Figures::new(work.id()),
            problems: problems::Problems::default(),
            said: Said::default(),
            work,
        }
    }

    async fn run(&mut self) {
        let mut full_at: Option<Instant> = None;
        while !self.context.life.soft().is_cancelled() {
            let periods = self.work.periods;
            let full = full_at.is_none_or(|at| at.elapsed() + periods.quick / 2 >= periods.full);
            let life = self.context.life.clone();
            let turned = tokio::select! {
                () = life.soft().cancelled() => break,
                turned = self.turn(full) => turned,
            };
            match turned {
                Ok(true) if full => full_at = Some(Instant::now()),
                Ok(true) => {}
                // Another instance writes now; whoever takes over begins with a full look and no memory of what the store has.
                Ok(false) => {
                    full_at = None;
                    self.offsets.clear();
                    self.groups = groups::Groups::default();
                    self.lags = lag::Lags::default();
                    self.figures = figures::Figures::new(self.work.id());
                    self.problems = problems::Problems::default();
                }
                Err(trouble) => {
                    full_at = None;
                    self.fail(&trouble).await;
                }
            }
            let work = Arc::clone(&self.work);
            tokio::select! {
                () = self.context.life.soft().cancelled() => {}
                () = tokio::time::sleep(periods.quick) => {}
                () = work.signals.sweep_asked() => {
                    full_at = None;
                    // Asked again and again, we still leave the bus some rest.
                    work::pause(&self.context.life, Duration::from_millis(500)).await;
                }
            }
        }
        lease::release(&self.context, &self.lease).await;
    }

    /// One look; `false` when another instance does it.
    async fn turn(&mut self, full: bool) -> Result<bool, Trouble> {
        if !lease::take(&self.context, &self.lease, LEASE).await? {
            return Ok(false);
        }
        let looked = if full { self.sweep().await } else { self.glance().await };
        looked.map(|()| true)
    }

    /// Everything.
    async fn sweep(&mut self) -> Result<(), Trouble> {
        let (now, begun) = (Timestamp::now(), Instant::now());
        let work = Arc::clone(&self.work);
        let metadata = work.bus.metadata().await?;
        if let Some(found) = &metadata.cluster_id
            && let Err(stored) = self.context.store.claim_cluster(work.id(), found).await?
        {
            return Err(Trouble::Refused(another_cluster(work.id(), &stored, found)));
        }
        self.read_configs(&metadata).await?;
        // What the sweep before left is what the store had; the first one asks.
        let before = match std::mem::take(&mut self.topics) {
            topics if topics.is_empty() => self.context.store.list_stored_topics(work.id()).await?,
            topics => topics,
        };
        let seen = self.describe(&metadata);
        self.still_ours().await?;
        self.topics = self.context.store.record_topics(work.id(), &seen, now).await?;
        self.figures.begin(&self.context, &mut self.lags, now).await?;
        let stale = self.stale();
        let groups = self.groups.sweep(&self.context, &work, &self.lags, stale).await?;
        let asked_at = Timestamp::now();
        let offsets = self.read_offsets(&self.all_partitions()).await?;
        let looked_at = Timestamp::now();
        let started = starts::record(&self.context, work.id(), &self.topics, &offsets, asked_at).await?;
        self.lags.look(&self.topics, &offsets, asked_at, looked_at);
        self.lookups.ask(&self.context, &work, &mut self.lags, &groups.groups, looked_at).await?;
        let to_count = self.record(groups, &offsets, looked_at).await?;
        self.figures.write(&self.context, &self.topics, &offsets, looked_at).await?;
        for name in self.lags.outrun(stale, looked_at) {
            self.groups.outrun(&name);
        }
        self.problems.look(&self.context, &work, &self.topics, &offsets, now).await?;
        let brokers = u32::try_from(metadata.brokers.len()).unwrap_or(u32::MAX);
        let untracked_groups = self.groups.untracked(&self.lags) as u64;
        let (cluster_id, addresses) = (metadata.cluster_id, metadata.brokers);
        let reached = SweepResult::Reached { cluster_id, brokers, addresses, untracked_groups, capabilities: work.bus.capabilities() };
        self.context.store.record_sweep(work.id(), &reached, now).await?;
        let (metrics, label) = (&self.context.metrics, [work.id().as_str()]);
        metrics.sampler_last_sweep_timestamp_seconds.with_label_values(&label).set(now.as_millis() / 1000);
        metrics.sampler_sweep_duration_seconds.with_label_values(&label).observe(begun.elapsed().as_secs_f64());
        counting::count(&work, &mut self.lags, &mut self.counting, to_count).await;
        self.note_transactions().await?;
        self.context.changes.publish(Noun::Buses);
        if !same_topics(&before, &self.topics) {
            self.context.changes.publish(Noun::Topics);
        }
        if started || dead_letter_partitions(&before) != dead_letter_partitions(&self.topics) {
            work.signals.topics_changed();
        }
        Ok(())
    }

    /// Only what must be fresh: dead-letter topics and the consumer groups at work.
    async fn glance(&mut self) -> Result<(), Trouble> {
        let work = Arc::clone(&self.work);
        let groups = self.groups.glance(&work).await?;
        let mut partitions: Vec<(i64, TopicPartition)> = self.all_partitions();
        let committed: std::collections::HashSet<&TopicPartition> =
            groups.groups.iter().flat_map(|group| &group.committed).map(|(partition, _)| partition).collect();
        let dead_letter: std::collections::HashSet<i64> =
            dead_letter_partitions(&self.topics).into_iter().map(|(_, partition)| partition).collect();
        partitions.retain(|(id, partition)| dead_letter.contains(id) || committed.contains(partition));
        let asked_at = Timestamp::now();
        let offsets = self.read_offsets(&partitions).await?;
        let looked_at = Timestamp::now();
        self.still_ours().await?;
        self.lags.look(&self.topics, &offsets, asked_at, looked_at);
        self.record(groups, &offsets, looked_at).await.map(drop)
    }

    /// What was read longer ago than three sweeps tells nothing.
    fn stale(&self) -> Duration {
        self.work.periods.full * 3
    }

    /// Topic configurations: for new topics at once, for all now and then. Where they cannot be read, names alone decide.
    async fn read_configs(&mut self, metadata: &Metadata) -> Result<(), Trouble> {
        let all = self.configs_read.is_none_or(|at| at.elapsed() >= self.work.periods.configs);
        let wanted: Vec<TopicName> = metadata
            .topics
            .iter()
            .filter(|topic| topic.error.is_none() && (all || !self.configs.contains_key(&topic.topic)))
            .map(|topic| topic.topic.clone())
            .collect();
        if !wanted.is_empty() && self.work.bus.capabilities().reason_against(Capability::ReadConfigs).is_none() {
            match self.work.bus.topic_configs(&wanted).await {
                Ok(configs) => self.configs.extend(configs),
                Err(BusError::Denied(_) | BusError::Unsupported(_) | BusError::NotFound(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if all {
            self.configs_read = Some(Instant::now());
        }
        let living: std::collections::HashSet<&TopicName> = metadata.topics.iter().map(|topic| &topic.topic).collect();
        self.configs.retain(|topic, _| living.contains(topic));
        Ok(())
    }

    fn describe(&self, metadata: &Metadata) -> Vec<SeenTopic> {
        let none = BTreeMap::new();
        let topics = metadata.topics.iter();
        let described = topics.filter(|topic| topic.error.is_none() || !topic.partitions.is_empty()).map(|topic| {
            let config = self.configs.get(&topic.topic).unwrap_or(&none);
            SeenTopic {
                topic: topic.topic.clone(),
                topic_id: topic.topic_id.clone(),
                role: if topic.internal { TopicRole::Ordinary } else { (self.work.role)(&topic.topic, config) },
                internal: topic.internal,
                replication_factor: topic.replication_factor,
                compacted: config.get("cleanup.policy").is_some_and(|policy| policy.split(',').any(|word| word.trim() == "compact")),
                config: config.clone(),
                partitions: topic.partitions.clone(),
            }
        });
        described.collect()
    }

    fn all_partitions(&self) -> Vec<(i64, TopicPartition)> {
        let partitions = self.topics.iter().flat_map(|topic| {
            let name = &topic.generation.topic;
            topic.partitions.iter().map(move |p| (p.id, TopicPartition { topic: name.clone(), partition: p.partition }))
        });
        partitions.collect()
    }

    async fn read_offsets(&self, partitions: &[(i64, TopicPartition)]) -> Result<HashMap<i64, PartitionOffsets>, Trouble> {
        if partitions.is_empty() {
            return Ok(HashMap::new());
        }
        let names: Vec<TopicPartition> = partitions.iter().map(|(_, partition)| partition.clone()).collect();
        let found = self.work.bus.offsets(&names).await?;
        Ok(partitions.iter().filter_map(|(id, partition)| Some((*id, *found.get(partition)?))).collect())
    }

    /// An instance that was frozen must not write what it saw before.
    async fn still_ours(&self) -> Result<(), Trouble> {
        if lease::take(&self.context, &self.lease, LEASE).await? { Ok(()) } else { Err(Trouble::Superseded) }
    }

    async fn fail(&mut self, trouble: &Trouble) {
        let bus = self.work.id();
        let text = trouble.to_string();
        self.context.metrics.sampler_errors_total.with_label_values(&[bus.as_str()]).inc();
        if self.said.is_news(&text) {
            tracing::warn!(%bus, reason = text, "the bus could not be sampled; what is known of it stays and grows older");
        }
        if matches!(trouble, Trouble::Bus(_) | Trouble::Refused(_)) {
            let failed = SweepResult::Failed(text);
            match self.context.store.record_sweep(bus, &failed, Timestamp::now()).await {
                Ok(()) => {
                    self.context.changes.publish(Noun::Buses);
                    if let Err(error) = figures::unreachable(&self.context, bus, Timestamp::now()).await {
                        tracing::debug!(%bus, %error, "that the bus does not answer could not be recorded");
                    }
                }
                Err(error) => tracing::debug!(%bus, %error, "the failed sweep could not be recorded"),
            }
        }
    }
}

/// Whether topics and who leads their partitions are the same; offsets move all the time.
fn same_topics(before: &[StoredTopic], now: &[StoredTopic]) -> bool {
    let same = |(before, now): (&StoredTopic, &StoredTopic)| {
        let partitions = |topic: &StoredTopic| topic.partitions.iter().map(|p| (p.id, p.leader)).collect::<Vec<_>>();
        before.generation == now.generation && partitions(before) == partitions(now)
    };
    before.len() == now.len() && before.iter().zip(now).all(same)
}

/// What the indexer reads: generations and partitions of dead-letter topics.
fn dead_letter_partitions(topics: &[StoredTopic]) -> std::collections::BTreeSet<(i64, i64)> {
    let dead_letter = topics.iter().filter(|topic| topic.generation.role == TopicRole::DeadLetter);
    dead_letter.flat_map(|topic| topic.partitions.iter().map(|p| (topic.generation.id, p.id))).collect()
}
