//! Records that retention removed before they were read, by a consumer group or by us: a real Redrive on a real Kafka, and a power cut.

use std::time::Duration;

use redrive::model::Timestamp;
use redrive::model::alert::{AlertState, Comparison, Filter, Label, Terms};
use redrive::model::figure::Figure;
use redrive::store::{Store, StoreSettings};

use super::super::harness::kafka::{self, Outgoing};
use super::super::harness::redrive::{PATIENCE, Redrive, Setup};
use super::scene::{add_rule, alerts_of, outbox, receiver, terms};

fn letter(topic: &str) -> Outgoing {
    Outgoing::to(topic)
        .timestamp(Timestamp::now().as_millis())
        .value("{\"order\":1}")
        .header("kafka_dlt-exception-fqcn", "com.example.OutOfStock")
        .header("kafka_dlt-original-topic", "orders")
}

/// What fires: consumer group and value, in order; what we have lost has no group.
async fn lost(store: &Store, rule: i64) -> Vec<(String, Option<f64>)> {
    let alerts = alerts_of(store, rule).await.into_iter().filter(|alert| alert.standing.state == AlertState::Firing);
    let group = |labels: &std::collections::BTreeMap<String, String>| labels.get("consumer_group").cloned().unwrap_or_default();
    let mut lost: Vec<(String, Option<f64>)> = alerts.map(|alert| (group(&alert.labels), alert.standing.last_value)).collect();
    lost.sort_by(|a, b| a.0.cmp(&b.0));
    lost
}

async fn until_lost(redrive: &Redrive, store: &Store, rule: i64, expected: &[(&str, f64)]) {
    let expected: Vec<(String, Option<f64>)> = expected.iter().map(|(group, value)| ((*group).to_owned(), Some(*value))).collect();
    redrive.wait_until(&format!("lost: {expected:?}"), PATIENCE, async || lost(store, rule).await == expected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_removed_unread_is_told_once_whoever_did_not_read_it_and_whoever_was_away() {
    let (kafka, stem) = (kafka::shared(), kafka::unique("losses"));
    let (orders, letters, group) = (format!("{stem}-orders"), format!("{stem}-lost"), format!("{stem}-billing"));
    kafka.create_topic(&orders, 1, &[]).await;
    kafka.create_topic(&letters, 1, &[]).await;
    kafka.produce(&(0..20).map(|_| Outgoing::to(&orders).partition(0).value("v")).collect::<Vec<_>>()).await;
    kafka.produce(&[letter(&letters)]).await;
    // What was gone before anybody looked is nobody's news.
    kafka.commit(&group, &[(&orders, 0, 2)]).await;
    kafka.delete_records(&orders, 0, 5).await;
    let section = format!(
        "[bus.dead_letters]\npatterns = [\"{letters}\"]\nexclude = {}\n",
        r#"["*dlt*", "*DLT*", "*dlq*", "*DLQ*", "*dead*", "*Dead*", "*poison*", "error.*"]"#
    );
    let mut redrive = Setup::new().without_login().bus_with("prod", &kafka.bootstrap(), &section).start().await;
    let url = format!("sqlite:{}", redrive.folder().join("redrive.db").display());
    let store = Store::open_beside(&StoreSettings { url, max_bytes: None, read_timeout: Duration::from_mins(1) }).await.expect("it opens");
    redrive
        .wait_until("both are looked at", PATIENCE, async || {
            let known = store.list_known_groups(&"prod".into()).await.expect("groups");
            let looked = known.iter().any(|known| known.name.as_str() == group && known.offsets.iter().any(|at| at.log_start == Some(5)));
            looked && store.usage().await.expect("usage").dead_letters >= 1
        })
        .await;
    let to = receiver(&store, "Pager").await;
    let by = [Label::Bus, Label::Topic, Label::ConsumerGroup];
    let watched = Filter::from([(Label::Topic, format!("{stem}-*"))]);
    let rule = terms(Figure::RecordsLost, Comparison::Above, 0.0, &by, &[to]);
    let rule = add_rule(&store, "Lost", Terms { filter: watched, window_ms: 900_000, ..rule }).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(lost(&store, rule).await, []);

    kafka.delete_records(&orders, 0, 9).await;
    until_lost(&redrive, &store, rule, &[(&group, 4.0)]).await;

    redrive.kill().await;
    kafka.delete_records(&orders, 0, 11).await;
    kafka.produce(&(0..5).map(|_| letter(&letters)).collect::<Vec<_>>()).await;
    kafka.delete_records(&letters, 0, 4).await;
    redrive.start().await;
    until_lost(&redrive, &store, rule, &[("", 3.0), (&group, 6.0)]).await;

    redrive.kill().await;
    redrive.start().await;
    tokio::time::sleep(Duration::from_secs(25)).await;
    until_lost(&redrive, &store, rule, &[("", 3.0), (&group, 6.0)]).await;
    assert_eq!(outbox(&store).await.len(), 2, "each was told once");
    assert!(redrive.stop().await.success());
    store.close().await;
}
