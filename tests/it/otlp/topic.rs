//! Spans from a topic of a real broker.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use prost::Message as _;
use redrive::bus::kafka::KafkaBus;
use redrive::bus::{Bus, BusSettings};
use redrive::config::bus::{OtlpEncoding, OtlpTopic};
use redrive::lifecycle::Lifecycle;
use redrive::model::bus::TopicRole;
use redrive::model::{BusId, BusKind, Timestamp};
use redrive::otlp::{Intake, Kept, Refused, TopicContext, TopicSource, spawn_topics};
use redrive::store::topics::SeenTopic;
use redrive::telemetry::Metrics;

use super::receivers::{Remembering, request, span};
use crate::harness::kafka::{Kafka, Outgoing, shared};
use crate::store::World;

/// A topic with spans, read by us.
struct Scene {
    kafka: &'static Kafka,
    world: World,
    bus: BusId,
    topic: String,
    intake: Arc<Remembering>,
    metrics: Metrics,
}

impl Scene {
    async fn new(world: World) -> Self {
        let kafka = shared();
        let topic = kafka.topic("otlp_spans", 2, &[]).await;
        let bus = BusId::from("prod");
        world.store.register_buses(&[(bus.clone(), BusKind::Kafka)]).await.expect("registered");
        Self { kafka, world, bus, topic, intake: Arc::new(Remembering::new()), metrics: Metrics::new() }
    }

    fn connect(&self) -> Arc<dyn Bus> {
        let settings = BusSettings {
            id: self.bus.clone(),
            kind: BusKind::Kafka,
            bootstrap_servers: self.kafka.bootstrap(),
            id_prefix: "redrive-".to_owned(),
            client: BTreeMap::new(),
            request_timeout: Duration::from_secs(20),
        };
        Arc::new(KafkaBus::connect(settings).expect("a valid configuration"))
    }

    /// As the sampler would.
    async fn sweep(&self) {
        let metadata = self.connect().metadata().await.expect("the broker answers");
        let topic = metadata.topics.into_iter().find(|topic| topic.topic.as_str() == self.topic).expect("is there");
        let seen = SeenTopic {
            topic: topic.topic,
            topic_id: topic.topic_id,
            role: TopicRole::Ordinary,
            internal: false,
            replication_factor: 1,
            compacted: false,
            config: BTreeMap::new(),
            partitions: topic.partitions,
        };
        self.world.store.record_topics(&self.bus, &[seen], Timestamp::now()).await.expect("stored");
    }

    fn start(&self, shared: bool) -> Lifecycle {
        let life = Lifecycle::new();
        let context = TopicContext {
            store: self.world.store.clone(),
            intake: Arc::clone(&self.intake) as Arc<dyn Intake>,
            metrics: self.metrics.clone(),
            life: life.clone(),
            client_id: "redrive-test".into(),
            shared,
        };
        let topics = vec![OtlpTopic { topic: self.topic.as_str().into(), encoding: OtlpEncoding::Auto }];
        spawn_topics(&context, TopicSource { bus: self.connect(), id_prefix: format!("{}-", self.topic), topics });
        life
    }

    async fn send(&self, partition: i32, values: &[&[u8]]) {
        let records: Vec<Outgoing> = values.iter().map(|value| Outgoing::to(&self.topic).partition(partition).value(*value)).collect();
        self.kafka.produce(&records).await;
    }

    async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !holds(self) {
            assert!(begun.elapsed() < Duration::from_mins(1), "still not: {what}; {:?}", self.names());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.intake.spans().into_iter().map(|span| span.name).collect();
        names.sort();
        names
    }
}

async fn end(life: &Lifecycle) {
    life.soft().cancel();
    tokio::time::timeout(Duration::from_secs(20), life.wait()).await.expect("ends");
    assert_eq!(life.cause_of_death(), None);
}

fn protobuf(name: &str) -> Vec<u8> {
    request(vec![span(name)]).encode_to_vec()
}

const JSON: &[u8] = br#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"5b8efff798038103d269b633813fc60c",
    "spanId":"eee19b7ec3c1b174","startTimeUnixNano":"1","name":"json"}]}]}]}"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spans_are_kept_whatever_lies_between_them_and_reading_goes_on_where_it_ended() {
    let scene = Scene::new(World::sqlite().await).await;
    // The bus was read before, so this topic is new and is read from its beginning.
    scene.world.store.record_topics(&scene.bus, &[], Timestamp::now()).await.expect("stored");
    scene.sweep().await;
    scene.send(0, &[&protobuf("a"), b"no spans", JSON]).await;
    scene.send(1, &[&protobuf("b")]).await;
    let life = scene.start(false);
    scene.until("three spans", |scene| scene.names() == ["a", "b", "json"]).await;
    end(&life).await;
    assert_eq!(scene.metrics.otlp_requests_total.with_label_values(&["kafka", "malformed"]).get(), 1);
    scene.send(1, &[&protobuf("c")]).await;
    let life = scene.start(false);
    scene.until("one more span", |scene| scene.names().contains(&"c".to_owned())).await;
    end(&life).await;
    assert_eq!(scene.names(), ["a", "b", "c", "json"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spans_that_retention_removed_before_they_were_read_are_said() {
    let scene = Scene::new(World::sqlite().await).await;
    scene.world.store.record_topics(&scene.bus, &[], Timestamp::now()).await.expect("stored");
    scene.sweep().await;
    scene.send(0, &[&protobuf("a")]).await;
    let life = scene.start(false);
    scene.until("the first span", |scene| scene.names() == ["a"]).await;
    end(&life).await;
    scene.send(0, &[&protobuf("b"), &protobuf("c"), &protobuf("d")]).await;
    scene.kafka.delete_records(&scene.topic, 0, 3).await;
    let life = scene.start(false);
    scene.until("what is left", |scene| scene.names() == ["a", "d"]).await;
    end(&life).await;
    let losses = scene.world.store.list_span_losses().await.expect("they are read");
    assert_eq!(losses.iter().map(|loss| (loss.what.as_str(), loss.spans)).collect::<Vec<_>>(), [("topic", 2)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_else_in_our_group_is_said_until_they_are_gone() {
    let scene = Scene::new(World::postgres().await).await;
    scene.world.store.record_topics(&scene.bus, &[], Timestamp::now()).await.expect("stored");
    scene.sweep().await;
    scene.world.store.register_instance("redrive-test", Timestamp::now()).await.expect("registered");
    let life = scene.start(true);
    let group = format!("{}-otlp-{}", scene.topic, scene.world.store.installation_id().await.expect("made by the first migration"));
    let elsewhere = scene.connect();
    let mut membership = elsewhere.join(&group, "restored-copy").await.expect("nothing keeps it away");
    membership.set_topics(vec![scene.topic.as_str().into()]).await.expect("joined");
    let reasons = || life.readiness().reasons();
    let begun = Instant::now();
    while !reasons().iter().any(|(code, text)| *code == "stranger_in_otlp_group" && text.contains("restored-copy at ")) {
        assert!(begun.elapsed() < Duration::from_mins(1), "{:?}", reasons());
        tokio::select! {
            changed = membership.changed() => drop(changed.expect("a member")),
            () = tokio::time::sleep(Duration::from_millis(100)) => {}
        }
    }
    assert!(reasons().iter().all(|(_, text)| !text.contains("redrive-test")), "our own instance is no stranger: {:?}", reasons());
    drop(membership);
    while !reasons().is_empty() {
        assert!(begun.elapsed() < Duration::from_mins(2), "{:?}", reasons());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    end(&life).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_there_before_the_bus_was_read_is_left() {
    let scene = Scene::new(World::sqlite().await).await;
    scene.send(0, &[&protobuf("old")]).await;
    scene.sweep().await;
    let life = scene.start(false);
    // Positions are there once the plan is made.
    let begun = Instant::now();
    while scene.positions().await < 2 {
        assert!(begun.elapsed() < Duration::from_mins(1));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    scene.send(0, &[&protobuf("new")]).await;
    scene.until("the new span", |scene| scene.names() == ["new"]).await;
    end(&life).await;
}

impl Scene {
    /// How many partitions have a position.
    async fn positions(&self) -> usize {
        let topics = self.world.store.list_stored_topics(&self.bus).await.expect("topics");
        let ids: Vec<i64> = topics.iter().flat_map(|topic| &topic.partitions).map(|partition| partition.id).collect();
        self.world.store.list_otlp_positions(&ids).await.expect("positions").len()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_intake_holds_reading_and_loses_nothing() {
    let scene = Scene::new(World::postgres().await).await;
    scene.world.store.record_topics(&scene.bus, &[], Timestamp::now()).await.expect("stored");
    scene.sweep().await;
    scene.intake.answer(Err(Refused::Full { retry_after: Duration::from_millis(1) }));
    scene.send(0, &[&protobuf("a")]).await;
    // Shared: the partitions come by the bus's own group.
    let life = scene.start(true);
    scene.until("two tries", |scene| scene.intake.called.available_permits() >= 2).await;
    assert!(scene.names().is_empty());
    scene.intake.answer(Err(Refused::Unavailable("the store is full".to_owned())));
    scene.until("more tries", |scene| scene.intake.called.available_permits() >= 5).await;
    scene.intake.answer(Ok(Kept::default()));
    scene.until("the span", |scene| scene.names() == ["a"]).await;
    end(&life).await;
}
