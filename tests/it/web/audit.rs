//! Who did what.

use axum::http::StatusCode;
use redrive::model::{Actor, AuditEntry, Role, Timestamp};

use super::site::Site;

async fn record(site: &Site, n: i64) {
    let entry = AuditEntry {
        id: 0,
        at: Timestamp::from_millis(1_700_000_000_000 + n * 1000),
        actor: Actor { name: format!("user:person{}", n % 3), address: Some("192.0.2.9".to_owned()) },
        action: if n % 2 == 0 { "user.add" } else { "dead_letters.export" }.to_owned(),
        target: if n % 2 == 0 { format!("target {n}") } else { "?bus=prod".to_owned() },
        count: (n % 2 == 1).then_some(12_345),
        result: "done".to_owned(),
    };
    site.store.record_audit(&entry).await.expect("the entry is recorded");
}

#[tokio::test]
async fn the_audit_pages_filters_and_says_what_is_newer() {
    let site = Site::new().await;
    let mara = site.person("mara", Role::Viewer).await;
    for n in 0..120 {
        record(&site, n).await;
    }
    let first = site.get("/audit").by(&mara).send().await;
    assert!(
        first.text.contains("Add user") && first.text.contains("12,345") && first.text.contains("href=\"/dead-letters?bus=prod\""),
        "{}",
        first.text
    );
    let older = first
        .text
        .split("rel=\"next\" href=\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .expect("there is more")
        .replace("&#38;", "&");
    let second = site.get(&older).by(&mara).send().await;
    assert!(second.status.is_success() && second.text.contains("Newest"));
    let one = site.get("/audit?actor=user%3Aperson1&action=user.add").by(&mara).send().await;
    assert!(one.text.contains("20 entries") && one.text.contains("Clear filters"), "{}", one.text);
    assert!(site.get("/audit?actor=user%3Anobody").by(&mara).send().await.text.contains("Nobody did that"));

    let part = async |id: &str| {
        site.get(&format!("/audit?newer_than={id}")).by(&mara).header("hx-request", "true").header("hx-target", "newer").send().await.text
    };
    let newest =
        first.text.split("newer_than=").nth(1).and_then(|rest| rest.split('"').next()).expect("the page knows its newest").to_owned();
    let quiet = part(&newest).await;
    assert!(quiet.trim().starts_with("<span id=\"newer\"") && !quiet.contains("Show"), "{quiet}");
    site.log_in("mara").await;
    assert!(part(&newest).await.contains("Show 1 newer"));
}

#[tokio::test]
async fn an_operator_exports_what_the_filter_matches() {
    let site = Site::new().await;
    let sam = site.person("sam", Role::Operator).await;
    for n in 0..1_100 {
        record(&site, n).await;
    }
    let csv = site.get("/audit/export?action=user.add").by(&sam).send().await;
    assert_eq!((csv.status, csv.header("content-type")), (StatusCode::OK, "text/csv; charset=utf-8"));
    assert!(csv.header("content-disposition").contains("attachment"));
    assert_eq!(csv.text.lines().count(), 1 + 550 + 1, "head, entries, and sam's own");
    assert!(csv.text.starts_with("at,actor,address,action,target,count,result\r\n"));
    assert_eq!(site.audit().await[0].0, "audit.export");
    let api = site.get("/api/v1/audit?action=dead_letters&limit=2").by(&sam).send().await.json();
    assert_eq!(api["items"].as_array().map(Vec::len), Some(2));
    assert_eq!(api["items"][0]["count"], 12_345);
    let next = api["next_cursor"].as_str().expect("there is more");
    let rest = site.get(&format!("/api/v1/audit?action=dead_letters&limit=1000&cursor={next}")).by(&sam).send().await.json();
    assert_eq!((rest["items"].as_array().map(Vec::len), rest["next_cursor"].clone()), (Some(548), serde_json::Value::Null));
}
