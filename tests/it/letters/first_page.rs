//! The first page names what goes on failing and what was there before anybody looked.

use redrive::model::partition_problem::PartitionProblemKind;
use redrive::model::{DeadLetterId, Status};

use super::shop;
use crate::harness::letters::{Failing, Seeded};

const HOUR: u64 = 3_600;

fn timeout(group: &'static str, class: &str) -> Failing {
    Failing::spring("a-dlt", group, class, "Read timed out")
}

#[tokio::test]
async fn old_failure_groups_that_go_on_failing_are_named_with_their_number_and_since_when() {
    let mut shop = Seeded::new().await.bus("prod", &["a-dlt"]).await;
    let class = "java.net.SocketTimeoutException";
    let failing = [120, 900, 30 * HOUR, 50 * HOUR].map(|ago| timeout("labels", class).ago(ago));
    shop.index("prod", failing.into()).await;
    let words = shop.app().get("/").await.words();
    assert!(!words.contains("Nothing needs you now"), "{words}");
    let row = "Warning Still failing: SocketTimeoutException in CardTokenizer.tokenize 2 dead letters in the last hour, \
               the newest 2 min ago: Read timed out labels 2 d ago See failure group";
    assert!(words.contains(row), "{words}");
    let words = shop.app().get("/?range=7d").await.words();
    assert!(
        words.contains("Warning New failure: SocketTimeoutException in CardTokenizer.tokenize 4 dead letters in the last 7 d"),
        "{words}"
    );
}

#[tokio::test]
async fn what_is_more_than_a_few_failure_groups_is_counted() {
    let mut shop = Seeded::new().await.bus("prod", &["a-dlt"]).await;
    let groups = ["a", "b", "c", "d", "e"];
    let failing = groups.iter().flat_map(|group| [60, 48 * HOUR].map(|ago| timeout(group, "java.io.IOException").ago(ago)));
    shop.index("prod", failing.collect()).await;
    let app = shop.app();
    let page = app.get("/").await;
    let words = page.words();
    assert_eq!(words.matches("Warning Still failing: IOException").count(), 3, "{words}");
    assert!(
        words.contains("Warning 2 more failure groups are failing 2 open dead letters in the last hour 2 d ago See failure groups"),
        "{words}"
    );
    assert!(page.text().contains("href=\"/failure-groups?range=1h\""), "the row leads to all of them");
}

#[tokio::test]
async fn rows_of_the_first_page_stay_where_they_are_when_it_fetches_itself() {
    let mut shop = Seeded::new().await.bus("prod", &["a-dlt"]).await;
    let of = |group, count: u64| (0..count).map(move |i| timeout(group, "java.io.IOException").ago(60 + i));
    shop.index("prod", of("first", 3).chain(of("second", 2)).collect()).await;
    let app = shop.app();
    let page = app.get("/").await;
    let order = |page: &str| (page.rfind("first</bdi>"), page.rfind("second</bdi>"));
    let (first, second) = order(page.text());
    assert!(first.is_some() && first < second, "{}", page.text());
    shop.index("prod", of("second", 4).collect()).await;
    let live = page.text().split("id=\"figures\" hx-get=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("it fetches itself");
    let part = app.part(&live.replace("&#38;", "&").replace("&amp;", "&"), "figures").await;
    let (first, second) = order(part.text());
    assert!(first < second, "nothing has moved: {}", part.text());
    let (first, second) = order(app.get("/").await.text());
    assert!(second < first, "whoever loads the page again gets the present order");
}

#[tokio::test]
async fn on_a_first_connection_backlog_is_named_apart_from_arrivals() {
    let mut shop = Seeded::new().await.bus("prod", &["a-dlt"]).await;
    let failing = [300, 600, 10 * HOUR].map(|ago| timeout("labels", "java.io.IOException").ago(ago).backlog());
    shop.index("prod", failing.into()).await;
    let app = shop.app();
    let words = app.get("/").await.words();
    let lede = "Nothing arrived in the last hour, but 2 of backlog failed then. \
                Backlog was there before Redrive looked and is in no arrival figure.";
    assert!(words.contains(lede), "{words}");
    assert!(!words.contains("Nothing failed") && !words.contains("Nothing needs you now"), "{words}");
    assert!(words.contains("Arrived in the last hour 0 and 2 of backlog"), "{words}");
    assert!(words.contains("Still failing: IOException in CardTokenizer.tokenize 2 dead letters in the last hour"), "{words}");
    assert_eq!(app.get("/api/v1/overview?range=24h").await.json()["dead_letters"]["backlog"], 3);
    assert_eq!(app.get("/api/v1/overview?range=24h&bus=other").await.json()["dead_letters"]["backlog"], 0);
    assert_eq!(app.get("/api/v1/overview?range=24h&bus=prod").await.json()["dead_letters"]["backlog"], 3);
}

#[tokio::test]
async fn arrivals_and_backlog_of_the_same_time_stand_beside_each_other() {
    let words = shop().await.app().get("/").await.words();
    assert!(words.contains("61 dead letters arrived in the last hour. 1 more from that time was there before Redrive looked."), "{words}");
    assert!(words.contains("Arrived in the last hour 61 and 1 of backlog"), "{words}");
}

#[tokio::test]
async fn when_nothing_needs_a_person_what_waits_is_said_all_the_same() {
    let mut shop = Seeded::new().await.bus("prod", &["a-dlt"]).await;
    shop.index("prod", vec![timeout("labels", "java.io.IOException").ago(50 * HOUR)]).await;
    let words = shop.app().get("/").await.words();
    let calm = "Nothing needs you now Every bus answers, nothing failed in the last hour, and no record was lost. \
                1 dead letter is open from before.";
    assert!(words.contains(calm), "{words}");
}

#[tokio::test]
async fn what_failed_and_was_dealt_with_is_not_called_nothing() {
    let mut shop = Seeded::new().await.bus("prod", &["a-dlt"]).await;
    shop.index("prod", vec![timeout("labels", "java.io.IOException").ago(60)]).await;
    let moved = shop.store.change_status(&[DeadLetterId(1)], Status::Open, Status::Discarded, shop.now).await;
    assert_eq!(moved.expect("the store can be written"), 1);
    let words = shop.app().get("/").await.words();
    assert!(words.contains("Every bus answers, no dead letter that failed in the last hour is open, and no record was lost."), "{words}");
}

#[tokio::test]
async fn partitions_of_dead_letter_topics_that_cannot_be_used_are_said_in_words_with_since_when() {
    let shop = Seeded::new().await.bus("prod", &["a-dlt", "b-dlt"]).await;
    let topics = shop.store.list_stored_topics(&"prod".into()).await.expect("the store answers");
    let (denied, leaderless) = (topics[0].partitions[0].id, topics[1].partitions[0].id);
    let reason = "not allowed: reading a-dlt / 0 needs READ on the topic".to_owned();
    let since = |seconds| shop.now.minus(std::time::Duration::from_secs(seconds));
    let store = &shop.store;
    let tell = async |id: i64, kind, reason: String, since| store.record_partition_problems(&[id], kind, &[(id, reason)], since).await;
    tell(denied, PartitionProblemKind::Unreadable, reason, since(7_200)).await.expect("the store takes it");
    let app = shop.app();
    let words = app.get("/").await.words();
    let row = "Critical 1 partition cannot be read on a-dlt 0: not allowed: reading a-dlt / 0 needs READ on the topic. \
               Dead letters on it are not seen until that is mended; then indexing goes on where it stopped. prod 2 h ago See topic";
    assert!(words.contains(row), "{words}");
    tell(leaderless, PartitionProblemKind::Leaderless, String::new(), since(60)).await.expect("the store takes it");
    let words = app.get("/").await.words();
    assert!(words.contains("Critical 1 partition has no leader on b-dlt 0: Nobody can write dead letters to it"), "{words}");
    let told = app.get("/api/v1/overview").await.json()["partition_problems"].clone();
    assert_eq!((told[0]["code"].as_str(), told[1]["topic"].as_str()), (Some("unreadable"), Some("b-dlt")));
    shop.store.record_partition_problems(&[denied, leaderless], PartitionProblemKind::Unreadable, &[], shop.now).await.expect("over");
    assert!(!app.get("/").await.words().contains("cannot be read"), "it is over");
}
