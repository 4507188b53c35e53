//! What a store promises, on SQLite and on PostgreSQL alike.

use std::time::Duration;

use redrive::model::bus::TopicRole;
use redrive::model::{BusId, BusKind, Timestamp, TopicName};
use redrive::store::indexing::PartitionPosition;
use redrive::store::topics::SeenTopic;
use redrive::store::{Store, StoreSettings};
use sqlx::Connection;
use tempfile::TempDir;

use crate::harness::postgres::{self, Database};

mod access;
mod alert_history;
mod alerts;
mod arrivals;
mod consumer_groups;
mod departures;
mod discards;
mod figures;
mod happened;
mod ids;
mod indexing;
mod instances;
mod late;
mod letter_figures;
pub(crate) mod letters;
mod lists;
mod model;
mod names;
mod opening;
mod otlp_positions;
mod partition_problems;
mod policies;
mod purges;
mod retention;
mod search;
mod span_keeps;
mod span_keys;
mod spans;
mod topics;

/// A time to begin at: 2026-01-01.
const START: Timestamp = Timestamp::from_millis(1_767_225_600_000);

/// Runs a test once per engine.
macro_rules! on_both_engines {
    ($($(#[$doc:meta])* $name:ident)+) => {
        $(mod $name {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_sqlite() {
                super::$name(crate::store::World::sqlite().await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_postgres() {
                super::$name(crate::store::World::postgres().await).await;
            }
        })+
    };
}
pub(crate) use on_both_engines;

/// An open store with what it lives in.
pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) settings: StoreSettings,
    ground: Ground,
}

/// Where the store lives.
pub(crate) enum Ground {
    Folder(#[expect(dead_code, reason = "kept until the test ends")] TempDir),
    Database(Database),
}

impl World {
    pub(crate) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let url = format!("sqlite:{}", folder.path().join("redrive.db").display());
        Self::open(url, Ground::Folder(folder)).await
    }

    pub(crate) async fn postgres() -> Self {
        let database = postgres::database().await;
        Self::open(database.url().to_owned(), Ground::Database(database)).await
    }

    async fn open(url: String, ground: Ground) -> Self {
        let settings = StoreSettings { url, max_bytes: None, read_timeout: Duration::from_mins(1) };
        let store = Store::open(&settings).await.expect("an empty store opens");
        Self { store, settings, ground }
    }

    /// Whether it lives in PostgreSQL.
    pub(crate) const fn is_postgres(&self) -> bool {
        matches!(self.ground, Ground::Database(_))
    }

    /// Another instance on the same store: on SQLite a command beside the server.
    pub(crate) async fn beside(&self) -> Store {
        match self.ground {
            Ground::Folder(_) => Store::open_beside(&self.settings).await,
            Ground::Database(_) => Store::open(&self.settings).await,
        }
        .expect("a second connection opens")
    }

    /// Runs statements as somebody who is not Redrive.
    pub(crate) async fn run(&self, statements: &str) {
        match &self.ground {
            Ground::Folder(_) => {
                let mut connection = sqlx::SqliteConnection::connect(&self.settings.url).await.expect("connected");
                let statements = sqlx::AssertSqlSafe(statements.to_owned());
                sqlx::raw_sql(statements).execute(&mut connection).await.expect("the statements are done");
                connection.close().await.expect("closed");
            }
            Ground::Database(database) => drop(database.query(statements).await),
        }
    }

    /// The number that a query answers, asked by somebody who is not Redrive.
    pub(crate) async fn number(&self, query: &str) -> i64 {
        match &self.ground {
            Ground::Folder(_) => {
                let mut connection = sqlx::SqliteConnection::connect(&self.settings.url).await.expect("connected");
                let query = sqlx::AssertSqlSafe(query.to_owned());
                let (number,): (i64,) = sqlx::query_as(query).fetch_one(&mut connection).await.expect("an answer");
                connection.close().await.expect("closed");
                number
            }
            Ground::Database(database) => database.query(query).await.parse().expect("a number"),
        }
    }

    /// A bus with a dead-letter topic, its partitions started at 0. Answers our ids of the partitions.
    pub(crate) async fn dead_letter_topic(&self, bus: &str, topic: &str, partitions: i32) -> Vec<i64> {
        let bus = BusId::from(bus);
        self.store.register_buses(&[(bus.clone(), BusKind::Kafka)]).await.expect("registered");
        let mut seen: Vec<SeenTopic> = Vec::new();
        for stored in self.store.list_stored_topics(&bus).await.expect("topics") {
            let generation = stored.generation;
            seen.push(SeenTopic {
                topic: generation.topic,
                topic_id: generation.topic_id,
                role: generation.role,
                internal: generation.internal,
                replication_factor: generation.replication_factor,
                compacted: generation.compacted,
                config: generation.config,
                partitions: stored.partitions.iter().map(|partition| (partition.partition, partition.leader)).collect(),
            });
        }
        seen.push(seen_topic(topic, TopicRole::DeadLetter, partitions));
        let stored = self.store.record_topics(&bus, &seen, START).await.expect("topics");
        let stored = stored.into_iter().find(|stored| stored.generation.topic == TopicName::from(topic)).expect("the topic lives");
        let ids: Vec<i64> = stored.partitions.iter().map(|partition| partition.id).collect();
        let starts: Vec<PartitionPosition> =
            ids.iter().map(|id| PartitionPosition { partition_id: *id, next: 0, backlog_below: 0, caught_up_at: None }).collect();
        self.store.start_positions(&starts).await.expect("started");
        ids
    }
}

/// A topic as a sampler sees it.
pub(crate) fn seen_topic(topic: &str, role: TopicRole, partitions: i32) -> SeenTopic {
    SeenTopic {
        topic: TopicName::from(topic),
        topic_id: Some(format!("id-of-{topic}")),
        role,
        internal: false,
        replication_factor: 1,
        compacted: false,
        config: std::collections::BTreeMap::new(),
        partitions: (0..partitions).map(|number| (number, Some(1))).collect(),
    }
}

async fn every_statement_is_understood(world: World) {
    assert!(world.store.prepare_statements().await.expect("every statement can be prepared") > 80);
}

on_both_engines! { every_statement_is_understood }
