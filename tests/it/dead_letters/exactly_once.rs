//! 50,000 dead letters through every accident: none missing, none twice, gaps said as they were.

use std::time::{Duration, Instant};

use redrive::model::PageRequest;
use redrive::model::bus::Gap;

use super::super::harness::kafka::{self, Kafka};
use super::super::harness::postgres;
use super::super::harness::redrive::{Redrive, Setup, ended_by_signal};
use super::corpus::letters;
use super::ledger::{self, Ledger};
use super::soak;

/// Everything must be indexed after this time, whatever the machine is doing beside.
const PATIENCE: Duration = Duration::from_mins(3);

const KILL: i32 = 9;

#[tokio::test(flavor = "multi_thread")]
async fn every_dead_letter_is_in_custody_once_on_sqlite() {
    Story::begin(None).tell().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_dead_letter_is_in_custody_once_on_postgresql() {
    let database = postgres::database().await;
    Story::begin(Some(database.url())).tell().await;
}

struct Story {
    kafka: &'static Kafka,
    redrive: Redrive,
    store_url: String,
    ledger: Ledger,
    gaps: Vec<(String, i32, i64, i64)>,
    /// Written in great number, with transactions among them.
    bulk: String,
    /// Gets more partitions.
    growing: String,
    /// Compacted before it is read.
    compacted: String,
    /// Deleted and created again under the same name.
    reborn: String,
    /// Loses records before they are read.
    expiring: String,
    /// Appears while Redrive runs.
    late: String,
}

impl Story {
    /// A cluster with dead letters on it, and a Redrive that has not started yet.
    fn begin(store_url: Option<&str>) -> Self {
        let kafka = kafka::shared();
        let stem = kafka::unique("once");
        let name = |what: &str| format!("{stem}-{what}-lost");
        let mut setup = Setup::new().without_login().bus_with("prod", &kafka.bootstrap(), &super::only_topics(&format!("{stem}-*-lost")));
        if let Some(url) = store_url {
            setup = setup.store(url);
        }
        let redrive = setup.prepare();
        let store_url = store_url.map_or_else(|| format!("sqlite:{}", redrive.folder().join("redrive.db").display()), str::to_owned);
        Self {
            kafka,
            redrive,
            store_url,
            ledger: Ledger::default(),
            gaps: Vec::new(),
            bulk: name("bulk"),
            growing: name("growing"),
            compacted: name("compacted"),
            reborn: name("reborn"),
            expiring: name("expiring"),
            late: name("late"),
        }
    }

    async fn tell(mut self) {
        self.write_first_part().await;
        self.kill_around_the_commit().await;
        self.lose_records_while_stopped().await;
        self.kill_while_reading().await;
        self.change_topics_while_running().await;
        self.finish().await;
    }

    async fn write(&mut self, topic: &str, partitions: i32, first: usize, count: usize) {
        let records = letters(topic, partitions, first, count);
        let places = self.kafka.produce(&records).await;
        self.ledger.enter(&records, &places);
    }

    /// 44,000 dead letters; among those of the bulk, one transaction that was committed and three that were aborted.
    async fn write_first_part(&mut self) {
        let times = soak();
        let (bulk, growing, reborn, expiring) = (self.bulk.clone(), self.growing.clone(), self.reborn.clone(), self.expiring.clone());
        for (topic, partitions) in [(&bulk, 6), (&growing, 3), (&reborn, 2), (&expiring, 2)] {
            self.kafka.create_topic(topic, partitions, &[]).await;
        }
        for round in 0..3 {
            self.write(&bulk, 6, round * 12_000 * times, 12_000 * times).await;
            self.kafka.produce_aborted(&letters(&bulk, 6, 9_000_000 + round * 300, 300)).await;
        }
        let committed = letters(&bulk, 6, 8_000_000, 500);
        self.kafka.produce_committed(&committed).await;
        self.ledger.enter_somewhere(&committed);
        self.write(&growing, 3, 0, 3_000).await;
        self.write(&reborn, 2, 0, 2_000).await;
        self.write(&expiring, 2, 0, 2_000).await;
        self.write_compacted().await;
    }

    /// A topic whose cleaner has left holes between the offsets before anybody read it.
    async fn write_compacted(&mut self) {
        let topic = self.compacted.clone();
        let configs =
            [("cleanup.policy", "compact"), ("segment.ms", "200"), ("min.cleanable.dirty.ratio", "0.01"), ("delete.retention.ms", "0")];
        self.kafka.create_topic(&topic, 1, &configs).await;
        let mut records = letters(&topic, 1, 0, 1_500);
        // Such a topic takes no record without a key.
        for record in &mut records {
            record.key.get_or_insert_with(|| b"none".to_vec());
        }
        self.kafka.produce(&records).await;
        let begun = Instant::now();
        let mut extra = 1_000_000;
        let left = loop {
            // Another record closes the segment before it.
            let more = letters(&topic, 1, extra, 1);
            self.kafka.produce(&more).await;
            extra += 13;
            tokio::time::sleep(Duration::from_millis(500)).await;
            let left = self.kafka.read_all(&topic).await;
            if left.len() < 1_400 {
                break left;
            }
            assert!(begun.elapsed() < PATIENCE, "the cleaner has not run: {} records", left.len());
        };
        drop(left);
        // From here on nothing more is removed.
        self.kafka.configure_topic(&topic, &[("cleanup.policy", "delete"), ("retention.ms", "-1")]).await;
        let left = self.until_calm(&topic).await;
        self.ledger.enter_somewhere(&left);
    }

    async fn until_calm(&self, topic: &str) -> Vec<kafka::Outgoing> {
        let mut before = self.kafka.read_all(topic).await;
        loop {
            tokio::time::sleep(Duration::from_millis(1_500)).await;
            let now = self.kafka.read_all(topic).await;
            if now.len() == before.len() {
                return now;
            }
            before = now;
        }
    }

    /// kill -9 just before and just after the commit of the third batch.
    async fn kill_around_the_commit(&mut self) {
        let mut stored = Vec::new();
        for place in ["indexer.before_commit=3", "indexer.after_commit=3"] {
            self.redrive.set_environment("REDRIVE_FAILPOINT", Some(place));
            self.redrive.spawn();
            let status = self.redrive.wait_for_exit(PATIENCE).await;
            assert!(ended_by_signal(status, KILL), "{place}: {status}");
            stored.push(self.count().await);
        }
        self.redrive.set_environment("REDRIVE_FAILPOINT", None);
        assert!(stored[0] > 0 && stored[1] > stored[0], "batches were committed between the kills: {stored:?}");
        eprintln!("killed just before and just after a commit, with {stored:?} stored");
    }

    /// kill -9 twice, each time between 5 % and 95 % of the work.
    async fn kill_while_reading(&mut self) {
        let all = u64::try_from(self.ledger.len()).expect("small");
        for part in [all * 3 / 10, all * 6 / 10] {
            self.redrive.start().await;
            let mut seen = self.wait_for(part).await;
            self.redrive.kill().await;
            seen = seen.max(self.count().await);
            assert!(seen * 100 > all * 5 && seen * 100 < all * 95, "killed after {seen} of {all}");
            eprintln!("killed after {seen} of {all}");
        }
    }

    /// Retention overtakes: what it removes was not read yet, and is said to be missing from where we stood.
    async fn lose_records_while_stopped(&mut self) {
        let topic = self.expiring.clone();
        self.write(&topic, 2, 2_000, 1_000).await;
        let (_, end) = self.kafka.watermarks(&topic, 0).await;
        let next = self.position(&topic, 0).await;
        let below = end - 100;
        assert!(next < below, "{next} {below}");
        self.kafka.delete_records(&topic, 0, below).await;
        self.ledger.forget(&topic, 0, next, below);
        self.gaps.push((topic, 0, next, below));
    }

    /// A topic begins again under its name (twice), another gets partitions, a third appears.
    async fn change_topics_while_running(&mut self) {
        self.redrive.start().await;
        let (reborn, growing, late) = (self.reborn.clone(), self.growing.clone(), self.late.clone());
        self.wait_for(u64::try_from(self.ledger.len()).expect("small")).await;
        self.kafka.delete_topic(&reborn).await;
        self.kafka.create_topic(&reborn, 2, &[]).await;
        self.write(&reborn, 2, 10_000, 3_000).await;
        self.kafka.add_partitions(&growing, 5).await;
        self.write(&growing, 5, 10_000, 1_000).await;
        self.kafka.create_topic(&late, 2, &[]).await;
        self.write(&late, 2, 0, 1_000).await;
        self.wait_for(u64::try_from(self.ledger.len()).expect("small")).await;
        // Once more while nobody looks, shorter than the life before.
        let status = self.redrive.stop().await;
        assert!(status.success(), "{status}");
        self.kafka.delete_topic(&reborn).await;
        self.kafka.create_topic(&reborn, 1, &[]).await;
        self.write(&reborn, 1, 20_000, 500).await;
        self.redrive.start().await;
        self.wait_for(u64::try_from(self.ledger.len()).expect("small")).await;
    }

    async fn finish(mut self) {
        let status = self.redrive.stop().await;
        assert!(status.success(), "{status}");
        let store = ledger::open(&self.store_url).await;
        self.ledger.compare(&store).await;
        let gaps = store.list_gaps(None, None, &PageRequest::first(100)).await.expect("gaps are listed").items;
        let mut found: Vec<_> = gaps
            .into_iter()
            .map(|Gap { topic, partition, from_offset, to_offset, .. }| (topic.as_str().to_owned(), partition, from_offset, to_offset))
            .collect();
        found.sort();
        assert_eq!(found, self.gaps);
        eprintln!("{} dead letters, each in custody once; gaps {found:?}", self.ledger.len());
        store.close().await;
    }

    async fn count(&self) -> u64 {
        let store = ledger::open_beside(&self.store_url).await;
        let count = store.usage().await.expect("the store is readable").dead_letters;
        store.close().await;
        count
    }

    /// Waits until so many are stored and answers how many are.
    async fn wait_for(&mut self, wanted: u64) -> u64 {
        let store = ledger::open_beside(&self.store_url).await;
        let begun = Instant::now();
        loop {
            let count = store.usage().await.expect("the store is readable").dead_letters;
            if count >= wanted {
                store.close().await;
                return count;
            }
            assert!(self.redrive.exit_status().is_none(), "redrive has ended\n{}", self.redrive.log());
            assert!(begun.elapsed() < PATIENCE, "{count} of {wanted} after {PATIENCE:?}\n{}", self.redrive.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Where indexing of a partition stands.
    async fn position(&self, topic: &str, partition: i32) -> i64 {
        let store = ledger::open_beside(&self.store_url).await;
        let (_, partitions) = store.find_topic(&"prod".into(), &topic.into()).await.expect("readable").expect("the topic is known");
        store.close().await;
        partitions.into_iter().find(|p| p.partition == partition).and_then(|p| p.next).expect("the partition is indexed")
    }
}
