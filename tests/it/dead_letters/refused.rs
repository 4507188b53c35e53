//! A record that the store will not take as it was decoded costs its own decoding, and never stops its partition.

use redrive::model::{DeadLetterFilter, PageRequest};

use super::super::harness::kafka::{self, Outgoing};
use super::super::harness::postgres;
use super::super::harness::redrive::Setup;
use super::ledger::Ledger;
use super::scene::Scene;

/// As a constraint would that nobody foresaw: nothing that says `poison` may be stored.
const REFUSE: &str = "create function refuse() returns trigger language plpgsql as $$ begin raise exception 'no poison here'; end $$; \
    create trigger refuse before insert on dead_letters for each row \
    when (position('poison'::bytea in new.message) > 0) execute function refuse()";

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_the_store_refuses_is_kept_undecoded_and_the_others_go_on() {
    let (kafka, topic, database) = (kafka::shared(), kafka::unique("refused-lost"), postgres::database().await);
    kafka.create_topic(&topic, 1, &[]).await;
    let section = super::only_topics(&topic);
    let redrive = Setup::new().without_login().store(database.url()).bus_with("prod", &kafka.bootstrap(), &section).prepare();
    let migrated = redrive.command(&["migrate"], "");
    assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
    database.query(REFUSE).await;

    let mut ledger = Ledger::default();
    let records: Vec<Outgoing> = (0..300).map(|number| letter(&topic, number)).collect();
    let places = kafka.produce(&records).await;
    ledger.enter(&records, &places);
    let mut redrive = redrive;
    redrive.start().await;
    let mut scene = Scene::of(redrive, database.url().to_owned()).await;
    scene.until_stored(300).await;

    let all = scene.store.list_dead_letters(&DeadLetterFilter::default(), &PageRequest::first(500), 1_000).await.expect("readable");
    let undecoded: Vec<i64> = all.items.iter().filter(|item| item.exception_message.is_none()).map(|item| item.offset).collect();
    assert_eq!(undecoded, [170, 41], "only the two that were refused, newest first");
    assert!(scene.redrive.log().contains("what was decoded could not be stored"), "it is logged");
    assert_eq!(scene.readiness().await, (true, vec![]));
    // With the ledger: key, value and headers of all 300 are in custody, byte for byte.
    scene.end(&ledger).await;
}

fn letter(topic: &str, number: i64) -> Outgoing {
    let message = if [41, 170].contains(&number) { "poison in the cup" } else { "Read timed out" };
    Outgoing::to(topic)
        .partition(0)
        .timestamp(1_700_000_000_000 + number)
        .key(format!("key-{number}"))
        .value(format!("value {number}"))
        .header("kafka_dlt-original-topic", "orders")
        .header("kafka_dlt-original-partition", 0_i32.to_be_bytes())
        .header("kafka_dlt-original-offset", number.to_be_bytes())
        .header("kafka_dlt-exception-fqcn", "java.net.SocketTimeoutException")
        .header("kafka_dlt-exception-message", message)
}
