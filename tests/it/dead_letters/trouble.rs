//! Bus and store go away, fill up, refuse: it is said, nothing is lost, and all goes on when they are back.

use redrive::model::{DeadLetterFilter, PageRequest};

use super::super::harness::kafka::{self, Kafka, Options, Outgoing};
use super::super::harness::postgres;
use super::super::harness::redrive::Setup;
use super::corpus::letters;
use super::ledger::Ledger;
use super::scene::Scene;

async fn write(kafka: &Kafka, ledger: &mut Ledger, topic: &str, first: usize, count: usize) {
    let records = letters(topic, 1, first, count);
    let places = kafka.produce(&records).await;
    ledger.enter(&records, &places);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_down_at_the_start_or_later_costs_only_freshness() {
    let (kafka, topic) = (Kafka::start(&Options::default()), "down-lost");
    let mut ledger = Ledger::default();
    kafka.create_topic(topic, 1, &[]).await;
    write(&kafka, &mut ledger, topic, 0, 300).await;
    kafka.kill();

    let mut scene = Scene::on_sqlite(&kafka.bootstrap(), &super::only_topics("*-lost"), Setup::new()).await;
    scene.until("the bus is said to be down", async |scene| scene.bus().await.error.is_some()).await;
    let bus = scene.bus().await;
    assert!(bus.failing_since.is_some() && bus.sampled_at.is_none(), "{bus:?}");
    assert_eq!(scene.readiness().await, (true, vec![]), "a bus that is down does not make us unready");

    kafka.start_again();
    scene.until_stored(300).await;
    scene.until("the bus is well again", async |scene| scene.bus().await.error.is_none()).await;
    let sampled = scene.bus().await.sampled_at;
    kafka.kill();
    scene.until("the bus is said to be down again", async |scene| scene.bus().await.error.is_some()).await;
    let bus = scene.bus().await;
    assert!(bus.sampled_at >= sampled && bus.failing_since.is_some(), "what was known stays, with its time: {bus:?}");

    kafka.start_again();
    write(&kafka, &mut ledger, topic, 300, 300).await;
    scene.until_stored(600).await;
    scene.end(&ledger).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_full_stops_indexing_says_so_and_goes_on_with_more_room() {
    let (kafka, topic) = (kafka::shared(), kafka::unique("full-lost"));
    let mut ledger = Ledger::default();
    kafka.create_topic(&topic, 1, &[]).await;
    // More than fits, in bytes that cannot be compressed.
    let records: Vec<Outgoing> = (0..1_500_u64).map(|number| Outgoing::to(&topic).partition(0).value(noise(number, 64 * 1024))).collect();
    for some in records.chunks(200) {
        let places = kafka.produce(some).await;
        ledger.enter(some, &places);
    }
    let setup = Setup::new().environment("REDRIVE__RETENTION__STORE_MAX_BYTES", "64MiB");
    let mut scene = Scene::on_sqlite(&kafka.bootstrap(), &super::only_topics(&topic), setup).await;
    scene.until("readiness names the reason", async |scene| scene.readiness().await == (false, vec!["store_full".to_owned()])).await;
    let count = scene.count().await;
    assert!(count > 100 && count < 1_500, "{count}");

    let status = scene.redrive.stop().await;
    assert!(status.success(), "{status}");
    scene.redrive.set_environment("REDRIVE__RETENTION__STORE_MAX_BYTES", Some("1GiB"));
    scene.redrive.start().await;
    scene.until_stored(1_500).await;
    scene.until("it is ready", async |scene| scene.readiness().await.0).await;
    scene.end(&ledger).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_read_only_or_gone_stops_indexing_says_so_and_goes_on_when_it_is_back() {
    let (kafka, topic, database) = (kafka::shared(), kafka::unique("gone-lost"), postgres::database().await);
    let mut ledger = Ledger::default();
    kafka.create_topic(&topic, 1, &[]).await;
    write(kafka, &mut ledger, &topic, 0, 500).await;
    let redrive =
        Setup::new().without_login().store(database.url()).bus_with("prod", &kafka.bootstrap(), &super::only_topics(&topic)).start().await;
    let mut scene = Scene::of(redrive, database.url().to_owned()).await;
    scene.until_stored(500).await;

    database.set_read_only(true).await;
    write(kafka, &mut ledger, &topic, 500, 500).await;
    scene.until("readiness says read-only", async |scene| scene.readiness().await == (false, vec!["store_read_only".to_owned()])).await;
    database.set_read_only(false).await;
    scene.until_stored(1_000).await;
    scene.until("it is ready", async |scene| scene.readiness().await.0).await;

    database.set_reachable(false).await;
    write(kafka, &mut ledger, &topic, 1_000, 500).await;
    scene.until("readiness says gone", async |scene| scene.readiness().await == (false, vec!["store_unavailable".to_owned()])).await;
    database.set_reachable(true).await;
    scene.until("all is stored", async |scene| scene.store.usage().await.is_ok_and(|usage| usage.dead_letters == 1_500)).await;
    scene.until("it is ready", async |scene| scene.readiness().await.0).await;
    scene.end(&ledger).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_transaction_holds_its_partition_and_that_is_seen() {
    let (kafka, topic) = (kafka::shared(), kafka::unique("held-lost"));
    let mut ledger = Ledger::default();
    kafka.create_topic(&topic, 1, &[]).await;
    write(kafka, &mut ledger, &topic, 0, 10).await;
    let open = letters(&topic, 1, 100, 5);
    let transaction = kafka.begin_transaction(&kafka::unique("tx"), &open).await;
    write(kafka, &mut ledger, &topic, 10, 10).await;

    let mut scene = Scene::on_sqlite(&kafka.bootstrap(), &super::only_topics(&topic), Setup::new()).await;
    let name = topic.as_str().into();
    scene
        .until("the partition is seen to be held", async |scene| {
            let Some((_, partitions)) = scene.store.find_topic(&"prod".into(), &name).await.expect("readable") else { return false };
            let held = partitions.first().and_then(|p| Some((p.last_stable?, p.end?, p.next?)));
            held == Some((10, 25, 10))
        })
        .await;
    assert_eq!(scene.count().await, 10, "what comes after an open transaction waits");

    transaction.commit().await;
    ledger.enter_somewhere(&open);
    scene.until_stored(25).await;
    scene.end(&ledger).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_cluster_under_the_same_id_is_refused_in_words_and_not_indexed() {
    let (first, second) = (Kafka::start(&Options::default()), kafka::shared());
    let topic = kafka::unique("moved-lost");
    let mut ledger = Ledger::default();
    first.create_topic(&topic, 1, &[]).await;
    write(&first, &mut ledger, &topic, 0, 50).await;
    let mut scene = Scene::on_sqlite(&first.bootstrap(), &super::only_topics(&topic), Setup::new()).await;
    scene.until_stored(50).await;
    assert!(scene.redrive.stop().await.success());

    second.create_topic(&topic, 1, &[]).await;
    second.produce(&letters(&topic, 1, 1_000, 80)).await;
    scene.redrive.set_environment("REDRIVE__BUS__0__BOOTSTRAP_SERVERS", Some(&second.bootstrap()));
    scene.redrive.start().await;
    scene.until("the bus is refused", async |scene| scene.bus().await.error.is_some_and(|error| error.contains("id of its own"))).await;
    let page = scene.store.list_for_export(&DeadLetterFilter::default(), &PageRequest::first(1_000)).await.expect("readable");
    assert_eq!(page.0.len(), 50);
    scene.end(&ledger).await;
}

/// Bytes that cannot be compressed, the same for the same seed.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let step = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    std::iter::repeat_with(step).take(length / 8).flatten().collect()
}
