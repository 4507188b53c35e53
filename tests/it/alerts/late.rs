//! Dead letters count when they arrive: whatever their headers say, and whether or not Redrive was there. A real Redrive on a real Kafka.

use std::time::Duration;

use redrive::alerts::history::{Range, try_rule};
use redrive::model::alert::{AlertState, Comparison, Filter, Label, Terms};
use redrive::model::figure::Figure;
use redrive::model::notification::{NotifiedStatus, Reason};
use redrive::model::{DeadLetterFilter, Timestamp};
use redrive::store::arrivals::Buckets;
use redrive::store::{Store, StoreSettings};

use super::super::harness::kafka::{self, Outgoing};
use super::super::harness::redrive::{PATIENCE, Redrive, Setup};
use super::scene::{add_rule, alerts_of, outbox, receiver, states_of, terms};

const MINUTE: Duration = Duration::from_mins(1);
const SIX_HOURS: Duration = Duration::from_hours(6);
/// So long after a minute has ended rules look at it in any case, and a little longer.
const SETTLED: Duration = Duration::from_secs(15);

/// As Wolverine writes it, whose header tells when it failed.
fn letter(topic: &str, timestamp: Timestamp, failed_at: Timestamp) -> Outgoing {
    Outgoing::to(topic)
        .timestamp(timestamp.as_millis())
        .value("{\"order\":1}")
        .header("exception-type", "Shop.OutOfStock")
        .header("exception-message", "no stock")
        .header("failed-at", failed_at.as_millis().to_string())
}

async fn until_indexed(redrive: &Redrive, store: &Store, count: u64) {
    redrive
        .wait_until("dead letters are indexed", PATIENCE, async || store.usage().await.is_ok_and(|usage| usage.dead_letters >= count))
        .await;
}

/// Notifications that something fires, never those that it goes on or ends.
async fn told(store: &Store) -> usize {
    let began = |reason| matches!(reason, Reason::First | Reason::NewAlerts);
    let all = outbox(store).await;
    let firing = all.iter().filter(|one| began(one.notification.reason));
    firing.filter(|one| one.notification.alerts[0].status == NotifiedStatus::Firing).count()
}

/// Arrivals by the minute: of this one, and of the nine after it.
async fn by_minute(store: &Store, first: Timestamp) -> Vec<u64> {
    let from = Timestamp::from_millis(first.as_millis() / 60_000 * 60_000);
    let buckets = Buckets { from, to: from.plus(MINUTE * 10), count: 10 };
    store.list_arrivals(&DeadLetterFilter::default(), buckets).await.expect("arrivals").per_bucket
}

/// The worst that the rule would have told by what was recorded.
async fn worst(store: &Store, terms: &Terms) -> Option<f64> {
    let to = Timestamp::from_millis((Timestamp::now().as_millis() / 60_000 + 1) * 60_000);
    let range = Range { from: to.minus(MINUTE * 10), to, step_ms: 60_000 };
    let episodes = try_rule(store, terms, range).await.expect("recorded history").episodes;
    episodes.into_iter().filter_map(|episode| episode.worst).reduce(f64::max)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_arrives_is_told_whenever_it_failed_and_whoever_was_away_and_backlog_is_not() {
    let (kafka, stem) = (kafka::shared(), kafka::unique("late"));
    let topic = format!("{stem}-lost");
    kafka.create_topic(&topic, 1, &[]).await;
    // Backlog, of which one has just arrived.
    let now = Timestamp::now();
    let backlog = [now.minus(SIX_HOURS), now.minus(MINUTE), now].map(|at| letter(&topic, at, at));
    kafka.produce(&backlog).await;
    let section = format!(
        "[bus.dead_letters]\npatterns = [\"{stem}-*\"]\nexclude = {}\n",
        r#"["*dlt*", "*DLT*", "*dlq*", "*DLQ*", "*dead*", "*Dead*", "*poison*", "error.*", "alert-*"]"#
    );
    let mut redrive = Setup::new().without_login().bus_with("prod", &kafka.bootstrap(), &section).start().await;
    let url = format!("sqlite:{}", redrive.folder().join("redrive.db").display());
    let store = Store::open_beside(&StoreSettings { url, max_bytes: None, read_timeout: MINUTE }).await.expect("it opens");
    until_indexed(&redrive, &store, 3).await;
    let to = receiver(&store, "Pager").await;
    let arriving = terms(Figure::DeadLettersPerMinute, Comparison::Above, 0.0, &[Label::Bus, Label::Topic], &[to]);
    let arriving = Terms { filter: Filter::from([(Label::Topic, topic.clone())]), window_ms: 60_000, ..arriving };
    let rule = add_rule(&store, "Arriving", arriving.clone()).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!((alerts_of(&store, rule).await.len(), told(&store).await), (0, 0), "backlog is quiet");
    assert_eq!(by_minute(&store, now).await, [0; 10]);

    // Failed six hours ago, by its header and by the clock of who wrote it.
    let old = Timestamp::now().minus(SIX_HOURS);
    kafka.produce(&[letter(&topic, old, old)]).await;
    redrive.wait_until("it is told", PATIENCE, async || told(&store).await == 1).await;
    assert_eq!(alerts_of(&store, rule).await[0].standing.last_value, Some(1.0));
    assert_eq!(by_minute(&store, now).await.iter().sum::<u64>(), 1, "it has arrived now");
    redrive.wait_until("it is over", MINUTE * 3, async || states_of(&store, rule).await == [AlertState::Resolved]).await;

    // Two more arrive while nobody is there; their minute passes, and the time in which rules look at it in any case.
    redrive.kill().await;
    let away = Timestamp::now();
    kafka.produce(&[letter(&topic, away, away), letter(&topic, away, old)]).await;
    let next_minute = Duration::from_millis((60_000 - away.as_millis().rem_euclid(60_000)).unsigned_abs());
    tokio::time::sleep(next_minute + SETTLED).await;
    redrive.start().await;
    redrive.wait_until("it is told after the restart", PATIENCE, async || told(&store).await == 2).await;
    let alerts = alerts_of(&store, rule).await;
    assert_eq!((alerts[0].standing.state, alerts[0].standing.last_value), (AlertState::Firing, Some(2.0)), "the rate that there was");
    assert_eq!(by_minute(&store, away).await, [2, 0, 0, 0, 0, 0, 0, 0, 0, 0], "in the minute in which they arrived");
    assert_eq!(worst(&store, &arriving).await, Some(2.0), "a trial over what was recorded finds what was told");

    // Whoever starts again tells nothing again.
    redrive.kill().await;
    redrive.start().await;
    tokio::time::sleep(Duration::from_secs(40)).await;
    assert_eq!((told(&store).await, alerts_of(&store, rule).await.len()), (2, 2), "each once");
    redrive.wait_until("that is over, too", MINUTE * 5, async || states_of(&store, rule).await == [AlertState::Resolved; 2]).await;
    assert_eq!(told(&store).await, 2);
    assert!(redrive.stop().await.success());
    store.close().await;
}
