//! The test broker itself does what the other tests rely on.

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Message, Offset, TopicPartitionList};

use crate::harness::kafka::{Outgoing, PATIENCE, shared};

#[tokio::test]
async fn a_record_comes_back_from_the_shared_broker() {
    let kafka = shared();
    let topic = kafka.topic("harness", 2, &[("retention.ms", "3600000")]).await;
    let written = kafka.produce(&[Outgoing::to(&topic).partition(1).key("k").value("v").header("a", "1").null_header("a")]).await;
    assert_eq!(written, [(1, 0)]);
    assert_eq!(kafka.watermarks(&topic, 1).await, (0, 1));

    let consumer: BaseConsumer = kafka.client().set("group.id", "unused").create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&topic, 1, Offset::Beginning).unwrap();
    consumer.assign(&list).unwrap();
    let value = tokio::task::spawn_blocking(move || {
        let message = consumer.poll(PATIENCE).expect("a message in time").expect("no error");
        message.payload().map(<[u8]>::to_vec)
    });
    assert_eq!(value.await.unwrap().as_deref(), Some(&b"v"[..]));
}

#[tokio::test]
async fn records_of_transactions_and_deletions_move_the_watermarks() {
    let kafka = shared();
    let topic = kafka.topic("harness", 1, &[]).await;
    kafka.produce_aborted(&[Outgoing::to(&topic).partition(0).value("gone")]).await;
    kafka.produce_committed(&[Outgoing::to(&topic).partition(0).value("kept")]).await;
    assert_eq!(kafka.watermarks(&topic, 0).await, (0, 4), "two records and two markers");
    kafka.delete_records(&topic, 0, 2).await;
    assert_eq!(kafka.watermarks(&topic, 0).await, (2, 4));
    kafka.delete_topic(&topic).await;
}
