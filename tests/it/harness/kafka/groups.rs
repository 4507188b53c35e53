//! Consumer groups as other people's applications have them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use super::acts::blocking;
use super::{Kafka, PATIENCE};

/// A running member of a consumer group; leaves when dropped.
pub(crate) struct Member {
    consumer: Arc<BaseConsumer>,
    stop: Arc<AtomicBool>,
    hang: Arc<AtomicBool>,
    hangs: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Member {
    /// Commits offsets as the member that it is.
    pub(crate) async fn commit(&self, offsets: &[(&str, i32, i64)]) {
        let (consumer, list) = (Arc::clone(&self.consumer), positions(offsets));
        blocking(move || consumer.commit(&list, CommitMode::Sync).expect("the member's offsets are committed")).await;
    }

    /// Sends heartbeats from now on, and does nothing else: it gives no partition back. Not before it has left its last poll, in which
    /// it would still do so.
    pub(crate) async fn hang(&self) {
        self.hang.store(true, Ordering::Relaxed);
        while !self.hangs.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn holds_something(&self) -> bool {
        self.consumer.assignment().expect("an assignment").count() > 0
    }
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
        let list = positions(offsets);
        blocking(move || {
            let deadline = Instant::now() + PATIENCE;
            loop {
                match consumer.commit(&list, CommitMode::Sync) {
                    // The broker makes its topic of offsets with the first group, and needs a moment for it.
                    Err(error) if error.rdkafka_error_code().is_some_and(is_coming) && Instant::now() < deadline => {
                        std::thread::sleep(Duration::from_millis(100));
                    }
                    committed => return committed.expect("offsets are committed"),
                }
            }
        })
        .await;
    }

    /// Joins a group (`protocol` is `classic` or `consumer`) with one member and waits until it has partitions.
    pub(crate) async fn member(&self, group: &str, protocol: &str, topics: &[&str], client_id: &str) -> Member {
        let member = self.joining(group, protocol, topics, client_id);
        let deadline = Instant::now() + PATIENCE;
        while !member.holds_something() {
            assert!(Instant::now() < deadline, "the group did not assign partitions");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        member
    }

    /// The same without waiting.
    pub(crate) fn joining(&self, group: &str, protocol: &str, topics: &[&str], client_id: &str) -> Member {
        let mut config = self.client();
        config.set("group.id", group).set("group.protocol", protocol).set("client.id", client_id);
        config.set("enable.auto.commit", "false").set("auto.offset.reset", "earliest");
        // Who hangs stays a member for as long as a test may take.
        config.set("max.poll.interval.ms", "1200000");
        let consumer: Arc<BaseConsumer> = Arc::new(config.create().expect("a consumer"));
        consumer.subscribe(topics).expect("a subscription");
        let [stop, hang, hangs] = [(); 3].map(|()| Arc::new(AtomicBool::new(false)));
        let (polling, stopped, shall_hang, does) = (Arc::clone(&consumer), Arc::clone(&stop), Arc::clone(&hang), Arc::clone(&hangs));
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                if shall_hang.load(Ordering::Relaxed) {
                    does.store(true, Ordering::Relaxed);
                    std::thread::sleep(Duration::from_millis(50));
                } else {
                    let _ = polling.poll(Duration::from_millis(50));
                }
            }
        });
        Member { consumer, stop, hang, hangs, thread: Some(thread) }
    }
}

fn positions(offsets: &[(&str, i32, i64)]) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for (topic, partition, offset) in offsets {
        list.add_partition_offset(topic, *partition, Offset::Offset(*offset)).expect("a valid offset");
    }
    list
}

/// A line of `kafka-consumer-groups.sh --describe`: group, topic, partition, committed, end, lag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ToolLag {
    pub group: String,
    pub topic: String,
    pub partition: i32,
    pub committed: Option<i64>,
    pub end: i64,
    pub lag: Option<i64>,
}

impl Kafka {
    /// Runs Kafka's own tool for consumer groups.
    pub(crate) async fn consumer_groups_tool(&self, arguments: &[&str]) -> String {
        let mut command = std::process::Command::new("java");
        command
            .args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp"])
            .arg(super::lib().join("*"))
            .args(["org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", "--bootstrap-server", &self.bootstrap()])
            .args(arguments);
        let output = blocking(move || command.output().expect("java runs")).await;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        text
    }

    /// What the tool says of every group.
    pub(crate) async fn lag_by_the_tool(&self) -> Vec<ToolLag> {
        self.described_by_the_tool(&["--all-groups"]).await
    }

    /// What the tool says of these groups.
    pub(crate) async fn lag_of_groups_by_the_tool(&self, groups: &[&str]) -> Vec<ToolLag> {
        let named: Vec<&str> = groups.iter().flat_map(|group| ["--group", group]).collect();
        self.described_by_the_tool(&named).await
    }

    async fn described_by_the_tool(&self, groups: &[&str]) -> Vec<ToolLag> {
        let text = self.consumer_groups_tool(&[&["--describe"], groups].concat()).await;
        let number = |word: &str| word.parse::<i64>().ok();
        let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let lines = lines.filter(|words| words.len() >= 6 && words[0] != "GROUP" && words[2].parse::<i32>().is_ok());
        let lag = |words: Vec<&str>| ToolLag {
            group: words[0].to_owned(),
            topic: words[1].to_owned(),
            partition: words[2].parse().expect("a partition"),
            committed: number(words[3]),
            end: number(words[4]).expect("an end"),
            lag: number(words[5]),
        };
        lines.map(lag).collect()
    }
}

const fn is_coming(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::NotCoordinator | RDKafkaErrorCode::CoordinatorNotAvailable | RDKafkaErrorCode::CoordinatorLoadInProgress
    )
}
