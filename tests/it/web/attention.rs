//! What needs attention on the first page beside dead letters: consumer groups on any bus.

use std::time::Duration;

use redrive::model::lag::{GroupStatus, Standing};
use redrive::model::{BusKind, Capabilities, Timestamp};
use redrive::store::buses::SweepResult;
use redrive::store::consumer_groups::SeenGroup;

use super::site::Site;
use super::topics::{site, text};

/// A group that has done so for some seconds.
fn group(name: &str, status: GroupStatus, seconds: u64) -> SeenGroup {
    let since = Some(Timestamp::now().minus(Duration::from_secs(seconds)));
    SeenGroup {
        name: name.into(),
        kind: "classic".to_owned(),
        state: "Stable".to_owned(),
        members: None,
        offsets: Vec::new(),
        standing: Standing { status, since, evidence: format!("why {name}"), ..Standing::default() },
    }
}

async fn record(site: &Site, bus: &str, groups: &[SeenGroup]) {
    let names: Vec<_> = groups.iter().map(|group| group.name.clone()).collect();
    site.store.record_consumer_groups(&bus.into(), groups, Some(&names), Timestamp::now()).await.expect("groups are stored");
}

#[tokio::test]
async fn groups_that_need_a_look_beyond_the_first_few_are_counted_on_the_bus_they_are_of() {
    let (site, mara) = site(Duration::from_secs(5), &[]).await;
    let buses = ["prod", "staging"].map(|bus| (bus.into(), BusKind::Kafka));
    site.store.register_buses(&buses).await.expect("the store takes it");
    let reached = SweepResult::Reached {
        cluster_id: Some("c-2".into()),
        brokers: 3,
        addresses: Vec::new(),
        untracked_groups: 0,
        capabilities: Capabilities::default(),
    };
    site.store.record_sweep(&"staging".into(), &reached, Timestamp::now()).await.expect("the store takes it");
    record(&site, "prod", &["a", "b", "c"].map(|name| group(name, GroupStatus::DataLoss, 60))).await;
    record(&site, "staging", &["x", "y"].map(|name| group(name, GroupStatus::Stalled, 300))).await;
    let page = site.get("/").by(&mara).send().await;
    let row = "Critical 2 more consumer groups need a look x stalled, y stalled staging 5 min ago See groups";
    assert!(text(&page).contains(row), "{}", text(&page));
    let told = site.get("/api/v1/overview").by(&mara).send().await.json();
    let urls: Vec<_> = told["attention"].as_array().expect("a list").iter().filter_map(|item| item["url"].as_str()).collect();
    assert!(urls.iter().any(|url| url.ends_with("/buses/staging/consumer-groups")), "{urls:?}");
    assert!(!urls.iter().any(|url| url.ends_with("/buses/prod/consumer-groups")), "nothing more is there: {urls:?}");
}
