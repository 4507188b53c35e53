//! Membership in the group of instances that share the indexing.
//!
//! The group protocol is used for one thing: who reads what. The consumer's partitions are paused as they are assigned, nothing is
//! ever fetched or committed; positions live in the store. A thread of its own polls, so that the membership is alive as long as the
//! process runs: a process that is frozen or gone stops its heartbeats and loses its share after [`SESSION_TIMEOUT`].

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use tokio::sync::watch;

use super::ffi::{Failure, Observer};
use super::watch::Watch;
use super::{client, errors, names};
use crate::bus::{BusError, BusSettings, Membership, Share};
use crate::model::TopicName;
use crate::model::names::TopicPartition;

/// A member that was not heard of for this long loses its share. Low, so that another instance takes over soon; not below
/// Kafka's default floor of 6 s (`group.min.session.timeout.ms`).
const SESSION_TIMEOUT: Duration = Duration::from_secs(10);
const HEARTBEAT: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(200);

type State = Result<Share, BusError>;

pub(super) struct KafkaMembership {
    /// Held by the thread that polls, so that it is the one that waits while the group is left.
    consumer: Weak<BaseConsumer<Listener>>,
    state: watch::Receiver<State>,
    ended: Arc<AtomicBool>,
    watch: Arc<Watch>,
}

impl KafkaMembership {
    pub(super) fn join(settings: &BusSettings, group: &str, client_id: &str) -> Result<Self, BusError> {
        let mut config = client::base(settings);
        config.set("group.id", group);
        config.set("client.id", client_id);
        config.set("session.timeout.ms", SESSION_TIMEOUT.as_millis().to_string());
        config.set("heartbeat.interval.ms", HEARTBEAT.as_millis().to_string());
        config.set("max.poll.interval.ms", "60000");
        // Partitions that stay with an instance are never taken away in between.
        config.set("partition.assignment.strategy", "cooperative-sticky");
        // New topics of the subscription are shared soon after they appear.
        config.set("topic.metadata.refresh.interval.ms", "10000");
        config.set("enable.auto.commit", "false");
        let watch = Arc::new(Watch::new(settings.id.clone()));
        let (sender, state) = watch::channel(Ok(Share::none()));
        let listener = Listener { watch: Arc::clone(&watch), owned: Mutex::default(), state: sender };
        let consumer: BaseConsumer<Listener> =
            config.create_with_context(listener).map_err(|error| BusError::Configuration(error.to_string()))?;
        let consumer = Arc::new(consumer);
        let ended = Arc::new(AtomicBool::new(false));
        let member = Self { consumer: Arc::downgrade(&consumer), state, ended: Arc::clone(&ended), watch };
        std::thread::Builder::new()
            .name("kafka-member".to_owned())
            .spawn(move || keep_alive(&consumer, &ended))
            .map_err(|error| BusError::Other(format!("no thread for the membership: {error}")))?;
        Ok(member)
    }
}

impl Drop for KafkaMembership {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

#[async_trait]
impl Membership for KafkaMembership {
    async fn set_topics(&mut self, topics: Vec<TopicName>) -> Result<(), BusError> {
        let (consumer, watch) = (Weak::clone(&self.consumer), Arc::clone(&self.watch));
        client::blocking(move || {
            let Some(consumer) = consumer.upgrade() else { return Ok(()) };
            let topics: Vec<&str> = topics.iter().filter(|t| names::is_topic(t)).map(TopicName::as_str).collect();
            if topics.is_empty() {
                consumer.unsubscribe();
                return Ok(());
            }
            consumer.subscribe(&topics).map_err(|error| {
                let failure = Failure { code: error.rdkafka_error_code().unwrap_or(Code::Fail), words: error.to_string() };
                errors::explain("sharing topics", "READ on the topics", &failure, &watch)
            })
        })
        .await
    }

    async fn changed(&mut self) -> Result<Share, BusError> {
        match self.state.changed().await {
            Ok(()) => self.state.borrow_and_update().clone(),
            Err(_) => Err(BusError::Other("the membership has ended".to_owned())),
        }
    }
}

/// Polls until the membership is dropped; then leaves the group as the consumer closes.
fn keep_alive(consumer: &BaseConsumer<Listener>, ended: &AtomicBool) {
    while !ended.load(Ordering::Relaxed) {
        // A record can only come in the moment between assignment and pause; nobody waits for it.
        if let Some(Err(error)) = consumer.poll(POLL) {
            consumer.context().fail(&error);
        }
    }
}

struct Listener {
    watch: Arc<Watch>,
    owned: Mutex<BTreeSet<TopicPartition>>,
    state: watch::Sender<State>,
}

impl Listener {
    fn change(&self, change: impl FnOnce(&mut BTreeSet<TopicPartition>)) {
        let mut owned = self.owned.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut owned);
        let _ = self.state.send_replace(Ok(Share::Some(owned.iter().cloned().collect())));
    }

    /// What keeps us out of the group for good is told; what passes by itself is not.
    fn fail(&self, error: &KafkaError) {
        let code = error.rdkafka_error_code().unwrap_or(Code::Fail);
        let denied = [Code::GroupAuthorizationFailed, Code::TopicAuthorizationFailed, Code::Authentication, Code::SaslAuthenticationFailed];
        if denied.contains(&code) || matches!(error, KafkaError::MessageConsumptionFatal(_)) {
            let failure = Failure { code, words: error.to_string() };
            let needs = "READ on the group and on the dead-letter topics";
            let _ = self.state.send_replace(Err(errors::explain("sharing the indexing", needs, &failure, &self.watch)));
        }
    }
}

impl ClientContext for Listener {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        self.watch.log(level as i32, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        Observer::error(self.watch.as_ref(), error.rdkafka_error_code().unwrap_or(Code::Fail), reason);
        self.watch.take_errors();
    }
}

impl ConsumerContext for Listener {
    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(partitions) => {
                if let Err(error) = consumer.pause(partitions) {
                    tracing::warn!(%error, "assigned partitions could not be paused; they are fetched in vain");
                }
                self.change(|owned| owned.extend(named(partitions)));
            }
            Rebalance::Revoke(partitions) => {
                let revoked: Vec<TopicPartition> = named(partitions).collect();
                self.change(|owned| owned.retain(|p| !revoked.contains(p)));
            }
            Rebalance::Error(error) => self.fail(error),
        }
    }
}

fn named(list: &TopicPartitionList) -> impl Iterator<Item = TopicPartition> {
    let elements: Vec<_> = list.elements().iter().map(|e| TopicPartition { topic: e.topic().into(), partition: e.partition() }).collect();
    elements.into_iter()
}
