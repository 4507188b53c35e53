//! Export: what matches as JSON Lines, for operators, with an entry in the audit.

use std::time::{Duration, Instant};

use axum::http::{StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use redrive::model::{AuditEntry, PageRequest, Role};
use redrive::store::audit::AuditFilter;
use serde_json::Value;

use super::shop;
use crate::harness::letters::{Answer, Failing, Seeded};

fn lines(answer: &Answer) -> Vec<Value> {
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    answer.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The audit is written when the last byte has left.
async fn audited(shop: &Seeded) -> AuditEntry {
    let filter = AuditFilter { action: Some("dead_letters.export".to_owned()), ..AuditFilter::default() };
    let started = Instant::now();
    loop {
        let page = shop.store.list_audit(&filter, &PageRequest::first(1)).await.unwrap();
        if let Some(entry) = page.items.into_iter().next() {
            return entry;
        }
        assert!(started.elapsed() < Duration::from_secs(30), "the export was not recorded");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn what_matches_is_exported_whole_and_audited() {
    let shop = shop().await;
    let app = shop.app_as(Role::Operator).await;
    let answer = app.get("/api/v1/dead-letters/export?topic=shipping.label-requested-dlt").await;
    assert_eq!(answer.header("content-type"), "application/x-ndjson");
    assert!(answer.header("content-disposition").starts_with("attachment; filename=\"dead-letters-"));
    let exported = lines(&answer);
    assert_eq!(exported.len(), 25);
    let mut one = app.get(&format!("/api/v1/dead-letters/{}", exported[0]["id"].as_str().unwrap())).await.json();
    // What replays did with it is looked up for one dead letter, not for millions.
    assert!(one.as_object_mut().unwrap().remove("replays").is_some());
    assert_eq!(exported[0], one, "a line is the dead letter as the API has it");
    let entry = audited(&shop).await;
    assert_eq!((entry.count, entry.result.as_str()), (Some(25), "done"));
    assert_eq!(entry.target, "/dead-letters?topic=shipping.label-requested-dlt");
    assert!(entry.actor.name.starts_with("token:"), "{}", entry.actor.name);
}

#[tokio::test]
async fn a_selection_is_exported_by_its_ids() {
    let shop = shop().await;
    let exported = lines(&shop.app().get("/api/v1/dead-letters/export?id=3&id=70&id=999999").await);
    assert_eq!(exported.iter().map(|line| line["id"].as_str().unwrap()).collect::<Vec<_>>(), ["3", "70"]);
    assert_eq!(audited(&shop).await.count, Some(2));
}

#[tokio::test]
async fn a_viewer_may_read_but_not_export() {
    let shop = shop().await;
    let app = shop.app_as(Role::Viewer).await;
    let refused = app.get("/api/v1/dead-letters/export").await;
    assert_eq!((refused.status, &refused.json()["code"]), (StatusCode::FORBIDDEN, &"role_missing".into()));
    assert_eq!(app.get("/api/v1/dead-letters/1/value").await.status, StatusCode::OK, "reading is decoded and raw");
    assert!(app.get("/dead-letters").await.words().contains("Export needs the role operator"));
}

#[tokio::test]
async fn large_values_survive_the_export_byte_for_byte_and_gzip_is_used_when_accepted() {
    let mut shop = Seeded::new().await.bus("prod", &["a-dlt"]).await;
    let large: Vec<u8> = (0..3_000_000_u32).map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()[1]).collect();
    let failing = (0..8).map(|_| Failing::on("a-dlt").value(Some(large.clone()))).collect();
    shop.index("prod", failing).await;
    let app = shop.app();
    let exported = lines(&app.get("/api/v1/dead-letters/export").await);
    assert_eq!(exported.len(), 8);
    for line in &exported {
        assert!(STANDARD.decode(line["value_base64"].as_str().unwrap()).unwrap() == large, "the bytes differ");
    }
    let zipped = app.get_with("/api/v1/dead-letters/export?limit=1", header::ACCEPT_ENCODING, "gzip").await;
    assert_eq!(zipped.header("content-encoding"), "gzip");
    assert_eq!(zipped.body[..2], [0x1f, 0x8b]);
}

#[tokio::test]
async fn what_was_searched_for_stays_out_of_the_audit() {
    let shop = shop().await;
    let exported = lines(&shop.app().get("/api/v1/dead-letters/export?q=greylisted").await);
    assert_eq!(exported.len(), 9);
    assert!(!audited(&shop).await.target.contains("greylisted"));
}
