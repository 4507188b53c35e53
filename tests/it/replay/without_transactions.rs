//! A bus without transactions: the plan says so, and before anything is sent again the target is looked at. No Apache Kafka is so poor;
//! librdkafka's own cluster can be told to be.

use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::types::RDKafkaApiKey;
use serde_json::json;

use super::super::harness::kafka::{Outgoing, unique};
use super::super::harness::redrive::{Setup, ended_by_signal};
use super::scene::{PATIENCE, Scene, section, start, until};

async fn produce(client: &ClientConfig, records: &[Outgoing]) {
    let producer: FutureProducer = client.create().expect("a producer");
    for record in records {
        let mut out = FutureRecord::<[u8], [u8]>::to(&record.topic).partition(record.partition.expect("a partition"));
        out.key = record.key.as_deref();
        out.payload = record.value.as_deref();
        out.headers = record.owned_headers();
        producer.send(out, PATIENCE).await.expect("it is written");
    }
}

async fn dies_and_goes_on(failpoint: &str) {
    let cluster: &'static MockCluster<'static, _> = Box::leak(Box::new(MockCluster::new(1).expect("a cluster")));
    cluster.apiversion(RDKafkaApiKey::AddOffsetsToTxn, None, None).expect("it forgets transactions");
    let stem = unique("orders");
    let mut scene =
        Scene { dead_letters: format!("{stem}-failed"), group: format!("{stem}-service"), origin: stem, partitions: 2, ledger: Vec::new() };
    for topic in [&scene.origin, &scene.dead_letters] {
        cluster.create_topic(topic, 2, 1).expect("a topic");
    }
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", cluster.bootstrap_servers()).set("linger.ms", "0");
    let records = scene.failed(20, 20);
    produce(&client, &records).await;
    let setup = Setup::new().without_login().bus_with("prod", &cluster.bootstrap_servers(), &section(&[&scene.dead_letters]));
    let mut redrive = setup.start().await;
    scene.until_indexed(&redrive, 400).await;
    let plan = scene.plan(&redrive, &json!({})).await;
    assert_eq!(plan["delivery"], "at_least_once", "{plan}");
    let said = plan["checks"].as_array().unwrap().iter().find(|check| check["code"] == "at_least_once").expect("the plan says so");
    assert!(said["level"] == "warning" && said["text"].as_str().unwrap().contains("redrive-message-id"), "{said}");
    redrive.stop().await;
    redrive.set_environment("REDRIVE_FAILPOINT", Some(failpoint));
    redrive.start().await;
    start(&redrive, &plan).await;
    let status = redrive.wait_for_exit(PATIENCE).await;
    assert!(ended_by_signal(status, 9), "{failpoint}: {status}");
    redrive.set_environment("REDRIVE_FAILPOINT", None);
    redrive.start().await;
    let done = until(&redrive, &plan, "the replay is completed", |replay| replay["state"] == "completed").await;
    assert_eq!((done["sent_total"].as_u64(), done["waiting"].as_u64()), (Some(400), Some(0)), "{done}");
    // What had arrived was found and not sent again: here, too, each is there once.
    tokio::task::spawn_blocking(move || scene.compare_on(&client)).await.expect("it agrees with the ledger");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_without_transactions_dies_in_the_middle_of_sending_and_looks_before_it_sends_again() {
    dies_and_goes_on("replay.sending=1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_without_transactions_dies_before_its_items_are_marked() {
    dies_and_goes_on("replay.before_mark=1").await;
}
