//! What a person reads on the pages.

use axum::http::StatusCode;

use super::shop;
use crate::harness::letters::{Failing, Seeded};

#[tokio::test]
async fn a_first_start_without_a_bus_says_how_to_begin() {
    let app = Seeded::new().await.app();
    let words = app.get("/").await.words();
    assert!(words.contains("Nothing is watched yet."), "{words}");
    assert!(words.contains("[[bus]]") && words.contains("redrive check-config --config redrive.toml --connect"), "{words}");
}

#[tokio::test]
async fn when_all_is_well_the_first_page_says_what_is_watched() {
    let app = Seeded::new().await.bus("prod", &["a-dlt", "b-dlt"]).await.app();
    let words = app.get("/").await.words();
    assert!(words.contains("Nothing waits. 2 dead-letter topics on 1 bus watched, the last look was"), "{words}");
    assert!(words.contains("Nothing needs you now") && words.contains("No gaps"), "{words}");
    let words = app.get("/failure-groups").await.words();
    assert!(words.contains("No open dead letters") && words.contains("2 dead-letter topics on 1 bus watched"), "{words}");
}

#[tokio::test]
async fn the_first_page_says_what_failed_since_when_and_what_was_lost() {
    let words = shop().await.app().get("/").await.words();
    assert!(words.contains("61 dead letters arrived in the last hour."), "{words}");
    assert!(words.contains("Critical Dead letters are arriving fast 61 in the last hour, none in the same time before; most: NullPointerException in CardTokenizer.tokenize"), "{words}");
    assert!(words.contains("Up to 1,204 records were gone before they were read"), "{words}");
    assert!(words.contains("email.outbound-dlt / 0 9 to 1,212 1,204"), "the gap names topic, partition, from and to: {words}");
    assert!(words.contains("NullPointerException in CardTokenizer.tokenize New"), "{words}");
    assert!(words.contains("Connected prod"), "{words}");
    assert!(words.contains("Dead letters 95 Without content none"), "{words}");
}

#[tokio::test]
async fn a_bus_that_is_down_is_said_with_its_reason_and_what_is_still_true() {
    let shop = shop().await;
    shop.unreachable("prod", "broker 101: connection refused").await;
    let words = shop.app().get("/").await.words();
    assert!(words.contains("Warning Bus does not answer Broker 101: connection refused. ") && words.contains("No answer prod"), "{words}");
    assert!(words.contains("61 dead letters arrived"), "one try that failed does not hide what failed: {words}");

    shop.reached_ago("prod", 120).await;
    shop.unreachable("prod", "broker 101: connection refused").await;
    let words = shop.app().get("/").await.words();
    assert!(words.contains("prod has not answered for"), "{words}");
    assert!(words.contains("Critical Bus does not answer Broker 101: connection refused. "), "{words}");
    assert!(words.contains("Unreachable prod"), "{words}");
    assert!(words.contains("Open dead letters 95"), "custody does not depend on the bus: {words}");
}

#[tokio::test]
async fn a_reason_for_not_being_ready_is_on_the_first_page() {
    let shop = Seeded::new().await.bus("prod", &["a-dlt"]).await;
    shop.lifecycle.readiness().set("store_full", "the store is full");
    let words = shop.app().get("/").await.words();
    assert!(words.contains("Critical This instance is not ready the store is full"), "{words}");
}

#[tokio::test]
async fn failure_groups_are_listed_by_what_is_open() {
    let app = shop().await.app();
    let words = app.get("/failure-groups").await.words();
    assert!(words.contains("95 open dead letters in 4 failure groups."), "{words}");
    let order = ["NullPointerException", "SocketTimeoutException", "MailSendException", "Dead letters of orders.placed-dlq"];
    let places: Vec<_> = order.iter().map(|name| words.find(name).unwrap_or_else(|| panic!("{name} in {words}"))).collect();
    assert!(places.is_sorted(), "most open first: {places:?}");
    assert!(words.contains("Origin unknown") && words.contains("payments.authorise payment-service 60"), "{words}");
    let latest = app.get("/failure-groups?sort=first_seen").await.words();
    assert!(latest.find("NullPointerException") < latest.find("SocketTimeoutException"), "{latest}");
}

#[tokio::test]
async fn filters_live_in_the_address_and_each_can_be_removed() {
    let app = shop().await.app();
    let page = app.get("/failure-groups?consumer_group=mailer&range=30d").await;
    let words = page.words();
    assert!(words.contains("9 open dead letters in 1 failure group match."), "{words}");
    assert!(words.contains("MailSendException") && !words.contains("SocketTimeoutException in"), "{words}");
    assert!(
        page.page().contains("href=\"/failure-groups?range=30d\" aria-label=\"Remove filter consumer group mailer\""),
        "{}",
        page.page()
    );
    let none = app.get("/failure-groups?origin_topic=nowhere").await.words();
    assert!(none.contains("Nothing matches") && none.contains("Clear filters"), "{none}");
    let found = app.get("/failure-groups?q=greylisted").await.words();
    assert!(found.contains("MailSendException") && !found.contains("NullPointerException in"), "{found}");
}

#[tokio::test]
async fn dead_letters_are_walked_page_by_page() {
    let app = shop().await.app();
    let first = app.get("/dead-letters").await;
    assert!(first.words().contains("95 open dead letters."), "{}", first.words());
    assert_eq!(first.page().matches("<tr id=\"d-").count(), 50);
    let older =
        first.page().split("href=\"").find(|link| link.starts_with("/dead-letters?cursor=")).and_then(|link| link.split('"').next());
    let second = app.get(older.expect("a link to what is older")).await;
    assert_eq!(second.page().matches("<tr id=\"d-").count(), 45);
    assert!(second.page().contains("<a class=\"btn\" href=\"/dead-letters\">Newest</a>"));
    assert!(!second.page().contains("rel=\"next\""), "the end is the end");
}

#[tokio::test]
async fn some_or_all_that_match_can_be_selected() {
    let app = shop().await.app();
    let page = app.get("/dead-letters?topic=shipping.label-requested-dlt").await;
    assert!(page.words().contains("Select all 25 that match"), "{}", page.words());
    let all = app.get("/dead-letters?topic=shipping.label-requested-dlt&select=all").await;
    for words in ["All 25 that match are selected", "Export 25", "Replay 25"] {
        assert!(all.words().contains(words), "{words}: {}", all.words());
    }
    assert_eq!(all.page().matches("name=\"id\"").count(), all.page().matches("\" checked aria-label=\"Select shipping").count());
    assert!(all.page().contains("/api/v1/dead-letters/export?topic=shipping.label-requested-dlt&#38;status=open"), "{}", all.page());
}

#[tokio::test]
async fn a_list_says_how_much_is_newer_instead_of_moving() {
    let mut shop = shop().await;
    let app = shop.app();
    let page = app.get("/dead-letters?topic=payments.authorise-dlt").await;
    let fetch = page.page().split("hx-get=\"").find(|link| link.contains("newest=")).and_then(|link| link.split('"').next());
    let fetch = fetch.expect("the list asks for what is newer").replace("&#38;", "&");
    assert!(!app.part(&fetch, "newer").await.page().contains("Show"));
    let again = || Failing::spring("payments.authorise-dlt", "payment-service", "java.lang.IllegalStateException", "closed").ago(1);
    let elsewhere = Failing::spring("email.outbound-dlt", "mailer", "java.lang.IllegalStateException", "closed").ago(1);
    shop.index("prod", vec![again(), again(), elsewhere]).await;
    let part = app.part(&fetch, "newer").await;
    assert!(part.words().contains("Show 2 newer"), "{}", part.text());
    assert!(!part.page().contains("<html"), "only the part is sent");
}

#[tokio::test]
async fn a_search_says_how_far_it_looked() {
    let app = shop().await.app();
    let found = app.get("/dead-letters?q=GREYLISTED%20mail").await;
    let words = found.words();
    assert_eq!(found.page().matches("<tr id=\"d-").count(), 9, "{words}");
    assert!(words.contains("Searched everything: 9 dead letters match."), "{words}");
    let none = app.get("/dead-letters?q=nothing-like-this").await.words();
    assert!(none.contains("Nothing matches") || none.contains("Searched everything: 0 dead letters match."), "{none}");
}

#[tokio::test]
async fn one_failure_group_says_why_these_are_one() {
    let app = shop().await.app();
    let list = app.get("/failure-groups").await;
    let href =
        list.page().split("href=\"").find(|link| link.starts_with("/buses/prod/failure-groups/")).and_then(|link| link.split('"').next());
    let page = app.get(&format!("{}?range=1h", href.unwrap())).await;
    let words = page.words();
    assert!(words.contains("NullPointerException in CardTokenizer.tokenize 60 open"), "{words}");
    assert!(words.contains("root cause first, 3 application frames"), "{words}");
    assert!(words.contains("Why these are one group"), "{words}");
    assert!(words.contains("Arrived 60 in the last hour"), "{words}");
    assert!(words.contains("10 of 60"), "{words}");
    assert_eq!(page.page().matches("<li class=\"own\">").count(), 3, "application frames are set off");
}

#[tokio::test]
async fn one_dead_letter_shows_what_is_in_it_and_why_it_failed() {
    let shop = shop().await;
    let app = shop.app();
    let page = app.get("/dead-letters/2").await;
    let words = page.words();
    assert!(words.contains("NullPointerException: Cannot invoke &#34;CardToken.bin()&#34;"), "{words}");
    assert!(words.contains("payments.authorise / 7 / 1,182,734"), "{words}");
    assert!(words.contains("JSON,") && words.contains("&#34;orderId&#34; :"), "{words}");
    assert!(words.contains("kafka_dlt-original-partition 7 00 00 00 07 int32 4"), "{words}");
    assert!(words.contains("kept whole by Redrive"), "{words}");
    assert!(page.page().contains("8c1f0b6e4d2a97f35be1c0447a91d2e6"), "the trace id");
    let newer = page.page().split("<a ").find(|link| link.contains("rel=\"prev\"")).unwrap_or_default();
    assert!(newer.contains("href=\"/dead-letters/"), "newer: {newer}");
    assert!(page.page().contains("rel=\"next\" data-shortcut=\"j\""), "older");
    let mail = app.get("/dead-letters/2?consumer_group=mailer").await;
    assert!(mail.page().contains("consumer_group=mailer\" rel=\"next\""), "neighbours are those of the filter: {}", mail.page());
}

#[tokio::test]
async fn bytes_can_be_looked_at_as_json_text_and_hex() {
    let app = shop().await.app();
    let hex = app.part("/dead-letters/1?value_view=hex", "value").await;
    assert!(hex.page().contains("7b 22 6f 72 64 65 72 49 64 22 3a 22 37 38 34 31"), "{}", hex.page());
    assert!(!hex.page().contains("<html") && !hex.page().contains("Stack trace"), "only the viewer is sent");
    let raw = app.part("/dead-letters/1?value_view=text", "value").await;
    assert!(raw.page().contains("{&#34;orderId&#34;:&#34;7841&#34;"), "{}", raw.page());
    let written = app.part("/dead-letters/1?stack=written", "stack").await;
    assert!(written.words().contains("Caused by: java.lang.NullPointerException"), "{}", written.page());
}

#[tokio::test]
async fn what_the_bus_no_longer_holds_is_still_here() {
    let shop = shop().await;
    shop.log_start("prod", "payments.authorise-dlt", 30).await;
    let app = shop.app();
    let words = app.get("/dead-letters/2").await.words();
    assert!(words.contains("Expired The broker&#39;s retention has removed the record."), "{words}");
    assert!(words.contains("kept whole by Redrive"), "{words}");
    let expired = app.get("/dead-letters?presence=expired").await.words();
    assert!(expired.contains("Expired") && !expired.contains("SocketTimeoutException Read"), "{expired}");
}

#[tokio::test]
async fn what_custody_lacks_is_said() {
    let mut shop = Seeded::new().await.bus("prod", &["a-dlt"]).await;
    let large = Failing::on("a-dlt").value(None::<Vec<u8>>).without_custody("the record is larger than custody.max_record_bytes");
    shop.index("prod", vec![large]).await;
    let app = shop.app();
    let words = app.get("/dead-letters/1").await.words();
    assert!(words.contains("Redrive does not hold the content. The record is larger than custody.max_record_bytes."), "{words}");
    assert!(app.get("/dead-letters").await.words().contains("No content"));
    assert_eq!(app.get("/api/v1/dead-letters/1/value").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn null_and_empty_are_not_the_same() {
    let mut shop = Seeded::new().await.bus("prod", &["a-dlt"]).await;
    let null = Failing::on("a-dlt").key(None::<Vec<u8>>).value(None::<Vec<u8>>).raw_header(b"x-null", None);
    let empty = Failing::on("a-dlt").key(Some(Vec::new())).value(Some(Vec::new())).raw_header(b"x-empty", Some(b""));
    shop.index("prod", vec![null, empty]).await;
    let app = shop.app();
    let null = app.get("/dead-letters/1").await.words();
    assert!(null.contains("Key null") && null.contains("Value null") && null.contains("x-null null null"), "{null}");
    let empty = app.get("/dead-letters/2").await.words();
    assert!(empty.contains("Key empty") && empty.contains("Value empty") && empty.contains("x-empty empty empty"), "{empty}");
}
