//! A real Redrive on a real Kafka: how soon an alert fires, and what a power cut takes away.

use std::time::{Duration, Instant};

use redrive::model::Timestamp;
use redrive::model::alert::{AlertState, Comparison, Filter, Label, Terms};
use redrive::model::figure::Figure;
use redrive::store::{Store, StoreSettings};

use super::super::harness::kafka::{self, Outgoing};
use super::super::harness::postgres;
use super::super::harness::redrive::{PATIENCE, Redrive, Setup};
use super::scene::{add_rule, alerts_of, outbox, receiver, terms};

/// From the arrival of a dead letter to the notification in the outbox.
const SOON: Duration = Duration::from_secs(5);

fn letter(topic: &str) -> Outgoing {
    Outgoing::to(topic)
        .timestamp(Timestamp::now().as_millis())
        .value("{\"order\":1}")
        .header("kafka_dlt-exception-fqcn", "com.example.OutOfStock")
        .header("kafka_dlt-exception-message", "no stock")
        .header("kafka_dlt-original-topic", "orders")
}

async fn open(url: &str) -> Store {
    let settings = StoreSettings { url: url.to_owned(), max_bytes: None, read_timeout: Duration::from_mins(1) };
    if url.starts_with("sqlite:") { Store::open_beside(&settings).await } else { Store::open(&settings).await }.expect("the store opens")
}

fn of_topic(topic: &str) -> Filter {
    Filter::from([(Label::Topic, topic.to_owned())])
}

async fn until_indexed(redrive: &Redrive, store: &Store, count: u64) {
    redrive
        .wait_until("dead letters are indexed", PATIENCE, async || store.usage().await.is_ok_and(|usage| usage.dead_letters >= count))
        .await;
}

async fn fires_with_the_dead_letter(setup: Setup, url: Option<String>) {
    let (kafka, stem) = (kafka::shared(), kafka::unique("alert"));
    let topic = format!("{stem}-lost");
    kafka.create_topic(&topic, 1, &[]).await;
    // One lies there already: that is backlog, and nobody is told of it.
    kafka.produce(&[letter(&topic)]).await;
    let section = format!(
        "[bus.dead_letters]\npatterns = [\"{stem}-*\"]\nexclude = {}\n",
        r#"["*dlt*", "*DLT*", "*dlq*", "*DLQ*", "*dead*", "*Dead*", "*poison*", "error.*"]"#
    );
    let mut redrive = setup.without_login().bus_with("prod", &kafka.bootstrap(), &section).start().await;
    let url = url.unwrap_or_else(|| format!("sqlite:{}", redrive.folder().join("redrive.db").display()));
    let store = open(&url).await;
    until_indexed(&redrive, &store, 1).await;
    let to = receiver(&store, "Pager").await;
    let by = [Label::Bus, Label::Topic];
    let arriving = terms(Figure::DeadLettersPerMinute, Comparison::Above, 0.0, &by, &[to]);
    let arriving = add_rule(&store, "Arriving", Terms { filter: of_topic(&topic), ..arriving }).await;
    let open_for_long = terms(Figure::DeadLettersOpen, Comparison::Above, 1.0, &by, &[to]);
    let waiting = Terms { filter: of_topic(&topic), for_ms: 12_000, ..open_for_long };
    let waiting = add_rule(&store, "Waiting", waiting).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!((alerts_of(&store, arriving).await.len(), outbox(&store).await.len()), (0, 0), "backlog is quiet");

    kafka.produce(&[letter(&topic)]).await;
    let arrived = Instant::now();
    redrive.wait_until("it is told", PATIENCE, async || !outbox(&store).await.is_empty()).await;
    let took = arrived.elapsed();
    eprintln!("from the dead letter to the outbox: {took:?}");
    assert!(took < SOON, "{took:?}");
    let alert = alerts_of(&store, arriving).await.remove(0);
    assert_eq!((alert.standing.state, alert.labels["topic"].as_str()), (AlertState::Firing, topic.as_str()));
    let since = alerts_of(&store, waiting).await[0].standing.pending_since;
    assert_eq!(alerts_of(&store, waiting).await[0].standing.state, AlertState::Pending);

    redrive.kill().await;
    redrive.start().await;
    redrive
        .wait_until("what was pending fires", PATIENCE, async || alerts_of(&store, waiting).await[0].standing.state == AlertState::Firing)
        .await;
    let after = alerts_of(&store, waiting).await.remove(0);
    assert_eq!(after.standing.pending_since, since, "the power cut took nothing away");
    let waited = since.expect("it was pending").age_at(after.standing.started_at.expect("it fired"));
    assert!((Duration::from_secs(12)..Duration::from_secs(30)).contains(&waited), "{waited:?}");
    redrive.wait_until("that is told", PATIENCE, async || outbox(&store).await.len() >= 2).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let told: Vec<_> = outbox(&store).await.into_iter().map(|one| one.notification.alerts[0].rule.clone()).collect();
    assert_eq!(told, ["Arriving", "Waiting"], "each once");
    assert!(redrive.stop().await.success());
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_is_told_in_moments_and_what_waits_survives_a_power_cut_on_sqlite() {
    fires_with_the_dead_letter(Setup::new(), None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_is_told_in_moments_and_what_waits_survives_a_power_cut_on_postgresql() {
    let database = postgres::database().await;
    let url = database.url().to_owned();
    fires_with_the_dead_letter(Setup::new().store(&url), Some(url)).await;
}
