//! The pages of replay policies, by forms alone.

use redrive::model::Role;

use crate::harness::letters::{Failing, Seeded};

const FIELDS: [(&str, &str); 14] = [
    ("name", "Cards"),
    ("filter", "bus=prod&topic=orders.DLT"),
    ("first_delay", "5m"),
    ("factor", "2"),
    ("attempt_limit", "3"),
    ("failed_percent", "20"),
    ("cool_down", "15m"),
    ("give_up_after", "3"),
    ("daily_limit", "500"),
    ("rate", ""),
    ("canary", "10"),
    ("settle", "60s"),
    ("lag_limit", ""),
    ("keep_order", "true"),
];

fn with(field: &'static str, value: &'static str) -> Vec<(&'static str, &'static str)> {
    FIELDS.iter().map(|(name, old)| (*name, if *name == field { value } else { *old })).collect()
}

async fn seeded() -> Seeded {
    let mut seeded = Seeded::new().await.bus("prod", &["orders.DLT"]).await;
    seeded.reached("prod").await;
    seeded.index("prod", vec![Failing::spring("orders.DLT", "billing", "com.example.CardDeclined", "declined")]).await;
    seeded
}

#[tokio::test]
async fn a_policy_is_made_from_a_failure_group_by_a_form_and_shows_again_what_is_wrong() {
    let seeded = seeded().await;
    let app = seeded.app_as(Role::Admin).await;
    let group = app.get("/api/v1/failure-groups").await.json()["items"][0]["fingerprint"].as_str().expect("one").to_owned();
    let page = app.get(&format!("/buses/prod/failure-groups/{group}")).await;
    let href = format!("/replay-policies/new?bus=prod&#38;fingerprint={group}&#38;name=");
    assert!(page.page().contains(&href), "the way to it: {}", page.text());
    let form = app.get(&format!("/replay-policies/new?bus=prod&fingerprint={group}&name=Cards")).await;
    assert!(form.page().contains(&format!("value=\"bus=prod&#38;fingerprint={group}\"")), "{}", form.text());

    let wrong = app.post_form("/replay-policies", &with("first_delay", "soon")).await;
    assert_eq!(wrong.status, 422);
    let shown = wrong.text();
    assert!(
        shown.contains("First after: a length of time") && shown.contains("value=\"soon\"") && shown.contains("value=\"Cards\""),
        "{shown}"
    );
    assert_eq!(app.get("/api/v1/replay-policies").await.json()["items"], serde_json::json!([]), "nothing was saved");
}

#[tokio::test]
async fn only_administrators_keep_policies_and_everybody_reads_them() {
    let seeded = seeded().await;
    for role in [Role::Viewer, Role::Operator] {
        let app = seeded.app_as(role).await;
        assert_eq!(app.post_form("/replay-policies", &FIELDS).await.status, 403, "{role}");
        assert_eq!(app.get("/replay-policies/new").await.status, 403, "{role}");
        let list = app.get("/replay-policies").await;
        assert!(list.page().contains("No policies") && !list.text().contains("New policy"), "{role}: {}", list.text());
    }
    let admin = seeded.app_as(Role::Admin).await;
    assert!(admin.get("/replay-policies").await.page().contains("New policy"));
    assert_eq!(admin.get("/replay-policies/7").await.status, 404);
    assert_eq!(admin.get("/replay-policies/x").await.status, 404);
    // The bus is known to the store, and not configured in this process: what nobody could replay is refused by name.
    let refused = admin.post_form("/replay-policies", &FIELDS).await;
    assert!(refused.status == 422 && refused.text().contains("there is no bus prod"), "{}", refused.text());
}
