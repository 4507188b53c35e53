//! Several instances on one PostgreSQL: the work is divided, and whatever happens to one of them, nothing is read twice.

use std::time::{Duration, Instant};

use redrive::store::Store;

use super::super::harness::kafka::{self, Kafka};
use super::super::harness::postgres;
use super::super::harness::redrive::{Redrive, Setup};
use super::corpus::letters;
use super::ledger::{self, Ledger};
use super::soak;

const PATIENCE: Duration = Duration::from_mins(3);
/// Longer than the bus waits for a member that does not answer.
const PAST_THE_CLAIM: Duration = Duration::from_secs(14);

struct Pair {
    kafka: &'static Kafka,
    topics: [String; 2],
    ledger: Ledger,
    instances: Vec<Redrive>,
    store: Store,
    url: String,
    written: usize,
    _database: postgres::Database,
}

impl Pair {
    /// 20,000 dead letters wait on two topics of six partitions; nobody reads yet.
    async fn begin() -> Self {
        let (kafka, database) = (kafka::shared(), postgres::database().await);
        let (stem, url) = (kafka::unique("pair"), database.url().to_owned());
        let topics = ["a", "b"].map(|what| format!("{stem}-{what}-lost"));
        let instance = || {
            let section = super::only_topics(&format!("{stem}-*-lost"));
            Setup::new().without_login().store(&url).bus_with("prod", &kafka.bootstrap(), &section).prepare()
        };
        let instances = vec![instance(), instance()];
        let migrated = instances[0].command(&["migrate"], "");
        assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
        let store = ledger::open_beside(&url).await;
        for topic in &topics {
            kafka.create_topic(topic, 6, &[]).await;
        }
        let mut pair = Self { kafka, topics, ledger: Ledger::default(), instances, store, url, written: 0, _database: database };
        pair.write(10_000 * soak()).await;
        pair
    }

    /// So many more on each topic.
    async fn write(&mut self, count: usize) {
        for topic in &self.topics {
            let records = letters(topic, 6, self.written, count);
            let places = self.kafka.produce(&records).await;
            self.ledger.enter(&records, &places);
        }
        self.written += count;
    }

    async fn count(&self) -> u64 {
        self.store.usage().await.expect("the store is readable").dead_letters
    }

    async fn wait_for(&self, wanted: u64) {
        let begun = Instant::now();
        loop {
            let count = self.count().await;
            if count >= wanted {
                return;
            }
            let logs = || self.instances.iter().map(Redrive::log).collect::<Vec<_>>().join("\n--- the other ---\n");
            assert!(begun.elapsed() < PATIENCE, "{count} of {wanted} after {PATIENCE:?}\n{}", logs());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn until_frozen(&self, instance: usize) {
        let status = format!("/proc/{}/status", self.instances[instance].pid());
        let begun = Instant::now();
        while !std::fs::read_to_string(&status).expect("it lives").contains("State:\tT") {
            assert!(begun.elapsed() < PATIENCE, "never frozen\n{}", self.instances[instance].log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn all(&self) -> u64 {
        u64::try_from(self.ledger.len()).expect("small")
    }

    async fn finish(mut self) {
        self.wait_for(self.all()).await;
        for instance in &mut self.instances {
            let status = instance.stop().await;
            assert!(status.success(), "{status}");
        }
        self.store.close().await;
        let store = ledger::open(&self.url).await;
        self.ledger.compare(&store).await;
        store.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_instances_share_the_work_and_the_survivor_of_a_kill_ends_it() {
    let mut pair = Pair::begin().await;
    pair.instances[0].start().await;
    pair.instances[1].start().await;
    pair.wait_for(pair.all() / 5).await;
    pair.instances[0].kill().await;
    let seen = pair.count().await;
    assert!(seen < pair.all() * 95 / 100, "killed too late to show anything: {seen}");
    pair.wait_for(pair.all()).await;
    // The killed one comes back, and both are at work on what arrives then.
    pair.instances[0].start().await;
    pair.write(2_000).await;
    pair.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_frozen_past_its_claim_writes_nothing_twice_when_it_wakes_up() {
    let mut pair = Pair::begin().await;
    // It freezes inside the transaction of a batch: rows written, not committed, locks held.
    pair.instances[0].set_environment("REDRIVE_FAILPOINT", Some("indexer.before_commit=3:stop"));
    pair.instances[0].start().await;
    pair.until_frozen(0).await;
    let seen = pair.count().await;
    assert!(seen > 0 && seen < pair.all() * 95 / 100, "{seen} of {}", pair.all());
    // The other one takes over what the frozen one has in hand.
    pair.instances[1].start().await;
    tokio::time::sleep(PAST_THE_CLAIM).await;
    pair.wait_for(pair.all()).await;
    pair.instances[0].signal("CONT");
    pair.write(2_000).await;
    pair.finish().await;
}
