//! kafkajs: new names, each attempt a span, no group.

use super::following::{Consumer, Services};
use super::ledger::Ledger;
use super::scene::{COUNT, Export, Scene};
use crate::harness::sdk;

#[tokio::test(flavor = "multi_thread")]
async fn services_with_kafkajs_are_understood() {
    let (scene, [messages, batches]) = Scene::start([("kafkajs", &["billing"]), ("kafkajs-batches", &["billing", "others"])]).await;
    tokio::join!(each_message(&scene, &messages), each_batch(&scene, &batches));
}

async fn exchange(scene: &Scene, services: &Services, consume: &str, exports: [Export; 2]) -> (Ledger, Ledger) {
    let sent = scene.run(sdk::node("with_kafkajs"), "produce", &services.topic, &services.shop, exports[0]).await;
    let mut consumer = sdk::node("with_kafkajs");
    consumer.env("GROUP", &services.group);
    let taken = scene.run(consumer, consume, &services.topic, &services.billing, exports[1]).await;
    assert_eq!((sent.sent.len(), taken.attempts().len()), (COUNT, COUNT));
    (sent, taken)
}

/// A child of the producer's span for each attempt; the group by the bus's metadata.
async fn each_message(scene: &Scene, topic: &str) {
    let services = Services::on(topic);
    let (sent, taken) = exchange(scene, &services, "consume", [Export::Json, Export::Protobuf]).await;
    assert_eq!(taken.failures(), COUNT / 4);
    let attempts = taken.handled.len();
    scene.until_counted(&services.shop, COUNT).await;
    scene.until_counted(&services.billing, attempts).await;
    let of = services.billing_for(Some(&services.group));
    scene.follow(&sent, &services.shop, &[Consumer { of, ledger: &taken, processes: true, by_metadata: true }]).await;
    scene.assert_spans(services.shop_alone(), "send", COUNT, 0).await;
    scene.assert_spans(of, "process", attempts, taken.failures()).await;
    for handled in taken.handled.iter().filter(|handled| handled.failed) {
        let steps = scene.journey(topic, handled.partition, handled.offset).await;
        let texts: Vec<&str> = steps[2..].iter().filter_map(|step| step["text"].as_str()).collect();
        assert_eq!(texts, [format!("CardDeclined: card of {} declined", handled.id).as_str(), "attempt 2"]);
    }
}

/// A trace of its own for each batch, in which each message has a span with a link; two groups read the topic, so none is named.
async fn each_batch(scene: &Scene, topic: &str) {
    let services = Services::on(topic);
    let (sent, taken) = exchange(scene, &services, "consume-batches", [Export::Protobuf, Export::Json]).await;
    scene.until_counted(&services.shop, COUNT).await;
    scene.until_counted(&services.billing, COUNT + taken.batches.len()).await;
    let of = services.billing_for(None);
    scene.follow(&sent, &services.shop, &[Consumer { of, ledger: &taken, processes: true, by_metadata: false }]).await;
    scene.assert_spans(of, "process", COUNT, 0).await;
    scene.assert_spans(of, "receive", taken.batches.len(), 0).await;
}
