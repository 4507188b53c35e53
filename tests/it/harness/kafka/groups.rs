//! Consumer groups as other people's applications have them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::{Offset, TopicPartitionList};

use super::acts::blocking;
use super::{Kafka, PATIENCE};

/// A running member of a consumer group; leaves when dropped.
pub(crate) struct Member {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Member {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Kafka {
    /// Commits offsets for a group without members.
    pub(crate) async fn commit(&self, group: &str, offsets: &[(&str, i32, i64)]) {
        let consumer: BaseConsumer = self.client().set("group.id", group).create().expect("a consumer");
        let mut list = TopicPartitionList::new();
        for (topic, partition, offset) in offsets {
            list.add_partition_offset(topic, *partition, Offset::Offset(*offset)).expect("a valid offset");
        }
        blocking(move || consumer.commit(&list, CommitMode::Sync).expect("offsets are committed")).await;
    }

    /// Joins a group (`protocol` is `classic` or `consumer`) with one member and waits until it has partitions.
    pub(crate) async fn member(&self, group: &str, protocol: &str, topics: &[&str], client_id: &str) -> Member {
        let mut config = self.client();
        config.set("group.id", group).set("group.protocol", protocol).set("client.id", client_id);
        config.set("enable.auto.commit", "false").set("auto.offset.reset", "earliest");
        let consumer: BaseConsumer = config.create().expect("a consumer");
        consumer.subscribe(topics).expect("a subscription");
        let consumer = blocking(move || {
            let deadline = Instant::now() + PATIENCE;
            while consumer.assignment().expect("an assignment").count() == 0 {
                assert!(Instant::now() < deadline, "the group did not assign partitions");
                let _ = consumer.poll(Duration::from_millis(50));
            }
            consumer
        })
        .await;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let _ = consumer.poll(Duration::from_millis(50));
            }
        });
        Member { stop, thread: Some(thread) }
    }
}
