//! Records of a topic, opened on request: the form, pages of offsets, one record, hostile content, and a bus that does not answer.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use redrive::bus::{Bus, BusError};
use redrive::model::bus::TopicRole;
use redrive::model::record::{Header, TimestampKind};
use redrive::model::{BusKind, Record, Role, Timestamp};
use redrive::operations::Operations;

use super::site::{Answer, Site};
use super::topics::{fill, seen, text};
use crate::harness::memory_bus::MemoryBus;

const HOSTILE: &str = "<script>alert(1)</script>";

fn record(offset: i64) -> Record {
    Record {
        topic: "orders".into(),
        partition: 0,
        offset,
        timestamp: Some(Timestamp::from_millis(1_700_000_000_000 + 1_000 * offset)),
        timestamp_kind: Some(TimestampKind::CreateTime),
        key: Some(Bytes::from(format!("key-{offset}"))),
        value: Some(Bytes::from(format!("{{\"offset\": {offset}}}"))),
        headers: vec![Header::new("trace", "abc"), Header { name: Bytes::from_static(b"none"), value: None }],
    }
}

/// Offsets 100 to 199 without 150 to 152, and one that holds what an attacker wrote.
async fn site() -> (Site, String, Arc<MemoryBus>) {
    let mut records: Vec<Record> = (100..200).filter(|offset| !(150..153).contains(offset)).map(record).collect();
    let hostile = &mut records[20];
    hostile.key = Some(Bytes::from_static(b"\xff\x00\x01"));
    hostile.value = Some(Bytes::from(format!("{{\"{HOSTILE}\": \"{HOSTILE}\u{202e}\"}}")));
    hostile.headers = vec![Header::new(HOSTILE, HOSTILE), Header::new("number", 7_i32.to_be_bytes().to_vec())];
    with(MemoryBus::new("prod").with_partition("orders", 0, records).with_partition("orders", 1, Vec::new())).await
}

async fn with(bus: MemoryBus) -> (Site, String, Arc<MemoryBus>) {
    let bus = Arc::new(bus);
    let buses: HashMap<_, _> = std::iter::once((bus.id().clone(), Arc::clone(&bus) as Arc<dyn Bus>)).collect();
    let site = Site::with_operations(Operations::new(buses).with_deadline(Duration::from_millis(300))).await;
    site.store.register_buses(&[("prod".into(), BusKind::Kafka)]).await.expect("the bus is registered");
    fill(&site, &[seen("orders", TopicRole::Ordinary, 2)]).await;
    let mara = site.person("mara", Role::Viewer).await;
    (site, mara, bus)
}

const TAB: &str = "/buses/prod/topics/orders?tab=records";
const API: &str = "/api/v1/buses/prod/topics/orders/records";

/// Where a link of these words leads.
fn link(answer: &Answer, words: &str) -> String {
    let before = answer.text.split(&format!(">{words}")).next().expect("a link is an anchor with an address");
    assert!(before.len() < answer.text.len(), "no link {words:?}: {}", answer.text);
    let anchor = before.rsplit("<a ").next().expect("a link is an anchor with an address");
    anchor
        .split("href=\"")
        .nth(1)
        .expect("a link is an anchor with an address")
        .split('"')
        .next()
        .expect("a link is an anchor with an address")
        .replace("&#38;", "&")
        .replace("&amp;", "&")
}

#[tokio::test]
async fn nothing_is_read_before_somebody_asks() {
    let (site, mara, bus) = site().await;
    let page = site.get(TAB).by(&mara).send().await;
    assert!(text(&page).contains("Nothing has been read yet"), "{}", text(&page));
    for tab in ["partitions", "consumer_groups", "configuration"] {
        assert_eq!(site.get(&format!("/buses/prod/topics/orders?tab={tab}")).by(&mara).send().await.status, 200);
    }
    assert_eq!(bus.most_reads(), 0);
}

#[tokio::test]
async fn pages_of_offsets_lead_back_and_forth() {
    let (site, mara, _) = site().await;
    let newest = site.get(&format!("{TAB}&partition=0&limit=20")).by(&mara).send().await;
    assert!(text(&newest).contains("offsets 100 to 199") && text(&newest).contains("key-199") && text(&newest).contains("key-180"));
    assert!(!newest.text.contains("rel=\"next\""));
    let older = site.get(&link(&newest, "Older")).by(&mara).send().await;
    assert!(text(&older).contains("key-160") && text(&older).contains("key-179") && !text(&older).contains("key-180"), "{}", text(&older));
    let newer = site.get(&link(&older, "Newer")).by(&mara).send().await;
    assert!(text(&newer).contains("key-180"), "{}", text(&newer));
    let oldest = site.get(&link(&newest, "Oldest")).by(&mara).send().await;
    assert!(text(&oldest).contains("key-100") && !oldest.text.contains("rel=\"prev\""), "{}", text(&oldest));
    let by_time = site.get(&format!("{TAB}&partition=0&limit=20&timestamp=2023-11-14T22:15:30Z")).by(&mara).send().await;
    assert!(text(&by_time).contains("key-130") && !text(&by_time).contains("key-129"), "{}", text(&by_time));
    let empty = site.get(&format!("{TAB}&partition=1")).by(&mara).send().await;
    assert!(text(&empty).contains("No records here"), "{}", text(&empty));
}

#[tokio::test]
async fn one_record_is_shown_whole_and_harmless() {
    let (site, mara, _) = site().await;
    let page = site.get(&format!("{TAB}&partition=0&record=120")).by(&mara).send().await;
    let shown = text(&page);
    assert!(!page.text.contains(HOSTILE) && !page.text.contains('\u{202e}'), "{}", page.text);
    assert!(shown.contains("&#60;script&#62;alert(1)&#60;/script&#62;") && shown.contains("ff 00 01"), "{shown}");
    assert!(shown.contains("int32") && shown.contains("00 00 00 07") && shown.contains("set by the producer"), "{shown}");
    assert!(link(&page, "Newer").ends_with("record=121"));
    let hex = site.get(&format!("{TAB}&partition=0&record=119&view=hex")).by(&mara).send().await;
    assert!(text(&hex).contains("7b 22 6f 66 66 73 65 74"), "{}", text(&hex));
}

#[tokio::test]
async fn an_offset_without_a_record_shows_the_next_one_and_says_so() {
    let (site, mara, _) = site().await;
    let next = text(&site.get(&format!("{TAB}&partition=0&record=150")).by(&mara).send().await);
    assert!(next.contains("There is no record at offset 150.") && next.contains("offset 153"), "{next}");
    let beyond = site.get(&format!("{TAB}&partition=0&record=5,000")).by(&mara).send().await;
    assert_eq!(beyond.status, 404);
    assert!(text(&beyond).contains("No record at offset 5,000 or after it"), "{}", text(&beyond));
}

#[tokio::test]
async fn a_wrong_form_comes_back_with_what_was_typed() {
    let (site, mara, bus) = site().await;
    let cases = [
        ("partition=9", "Partitions are numbered from 0 to 1."),
        ("partition=-1", "Partitions are numbered from 0 to 1."),
        ("partition=x", "Partitions are numbered from 0 to 1."),
        ("partition=0&offset=-1", "An offset is a whole number from 0."),
        ("partition=0&offset=1e3", "An offset is a whole number from 0."),
        ("partition=0&timestamp=yesterday", "This is not a time"),
        ("partition=0&offset=1&timestamp=2026-03-01T00:00:00Z", "Give an offset or a time, not both."),
        ("partition=0&limit=0", "Give a number from 1 to 500."),
        ("partition=0&limit=501", "Give a number from 1 to 500."),
    ];
    for (query, words) in cases {
        let page = site.get(&format!("{TAB}&{query}")).by(&mara).send().await;
        assert_eq!(page.status, 422, "{query}");
        assert!(text(&page).contains(words), "{query}: {}", text(&page));
    }
    let page = site.get(&format!("{TAB}&partition=0&timestamp=yesterday")).by(&mara).send().await;
    assert!(page.text.contains("value=\"yesterday\""));
    assert_eq!(bus.most_reads(), 0);
}

#[tokio::test]
async fn a_bus_that_hangs_or_refuses_is_told_apart() {
    let (hanging, mara, _) = with(MemoryBus::new("prod").hanging().with_partition("orders", 0, Vec::new())).await;
    let page = hanging.get(&format!("{TAB}&partition=0&offset=7")).by(&mara).send().await;
    assert_eq!(page.status, 504);
    assert!(text(&page).contains("The bus did not answer within 0 s. Nothing was changed."), "{}", text(&page));
    assert!(link(&page, "Try again").contains("offset=7"));
    assert_eq!(hanging.get(&format!("{API}?partition=0")).by(&mara).send().await.problem(), (504, "bus_timeout".into(), None));

    let (site, mara, bus) = site().await;
    let cases = [
        (BusError::Unreachable("broker 1: refused".into()), 503, "bus_unreachable"),
        (BusError::Denied("READ on topic orders".into()), 502, "bus_denied"),
        (BusError::Other("odd".into()), 502, "bus_failed"),
        (BusError::NotFound("orders".into()), 404, "not_found"),
    ];
    for (error, status, code) in cases {
        bus.fail(Some(error));
        assert_eq!(site.get(&format!("{API}?partition=0")).by(&mara).send().await.problem(), (status, code.into(), None));
        assert_eq!(site.get(&format!("{TAB}&partition=0")).by(&mara).send().await.status, status);
    }
}

#[tokio::test]
async fn the_api_answers_bytes_as_they_are() {
    let (site, mara, _) = site().await;
    let page = site.get(&format!("{API}?partition=0&offset=119&limit=2")).by(&mara).send().await.json();
    assert_eq!((page["log_start"].as_i64(), page["end"].as_i64(), page["next_offset"].as_i64()), (Some(100), Some(200), Some(121)));
    let (first, hostile) = (&page["items"][0], &page["items"][1]);
    assert_eq!((first["offset"].as_i64(), first["key"].as_str()), (Some(119), Some("key-119")));
    assert_eq!((first["timestamp"].as_str(), first["timestamp_type"].as_str()), (Some("2023-11-14T22:15:19.000Z"), Some("create_time")));
    assert!(first["headers"][1]["value_base64"].is_null());
    assert!(hostile["key"].is_null());
    assert_eq!((hostile["key_base64"].as_str(), hostile["headers"][0]["name"].as_str()), (Some("/wAB"), Some(HOSTILE)));
    let end = site.get(&format!("{API}?partition=0&offset=199")).by(&mara).send().await.json();
    assert!(end["next_offset"].is_null());
}

#[tokio::test]
async fn the_api_names_what_is_asked_wrongly() {
    let (site, mara, _) = site().await;
    let cases = [
        ("", "partition"),
        ("?partition=9", "partition"),
        ("?partition=-1", "partition"),
        ("?partition=0&offset=-1", "offset"),
        ("?partition=0&offset=99999999999999999999", "offset"),
        ("?partition=0&offset=18446744073709551615", "offset"),
        ("?partition=0&timestamp=yesterday", "timestamp"),
        ("?partition=0&offset=1&timestamp=2026-03-01T00:00:00Z", "timestamp"),
        ("?partition=0&limit=501", "limit"),
    ];
    for (query, field) in cases {
        let problem = site.get(&format!("{API}{query}")).by(&mara).send().await.problem();
        assert_eq!(problem, (422, "invalid_field".into(), Some(field.into())), "{query}");
    }
    let unknown = site.get("/api/v1/buses/prod/topics/nothing/records?partition=0").by(&mara).send().await.problem();
    assert_eq!(unknown, (404, "not_found".into(), None));
}
