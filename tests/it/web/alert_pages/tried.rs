//! Trials of rules on their pages and in the API: what they say beside the answer, and what is said when there is none.

use axum::http::StatusCode;
use redrive::metrics::bucket::Point;
use redrive::model::figure::{Figure, Labels, SeriesKey};
use redrive::store::figures::NewFrame;
use serde_json::json;

use super::{MINUTE, Scene, form, text};

impl Scene {
    /// So many groups that lag, once.
    async fn crowd(&self, groups: usize) {
        let point = |group: usize| {
            let labels = Labels::bus(&"prod".into()).topic(&"orders".into()).consumer_group(&format!("group-{group}").as_str().into());
            (SeriesKey { figure: Figure::ConsumerGroupLagMessages, labels }, Point::Level(500.0))
        };
        let taken_at = self.now.minus(MINUTE);
        let frame =
            NewFrame { source: "bus:prod", after: None, taken_at, points: (0..groups).map(point).collect(), state: None, snapshot: false };
        assert!(self.site.store.add_frame(frame).await.expect("it is written"));
    }

    async fn tried(&self, changes: &[(&str, &str)]) -> String {
        let changes: Vec<(&str, &str)> = [("act", "try")].iter().chain(changes).copied().collect();
        let answer = self.site.post(&format!("/alert-rules/{}", self.rule)).by(&self.admin).form(&form(&changes)).send().await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        answer.text
    }
}

#[tokio::test]
async fn a_short_time_is_tried_sample_by_sample_beside_what_really_fired() {
    let mut scene = Scene::new().await;
    let alert = scene.fire().await;
    let tried = scene.tried(&[("range", "6h"), ("threshold", "50")]).await;
    let said = text(&tried);
    assert!(said.contains("Tried over the last 6 h") && said.contains("It would have fired once"), "{said}");
    assert!(!said.contains("Looked at coarsely"), "{said}");
    assert!(said.contains("What happened meanwhile") && said.contains("Alert: Group lags ("), "{said}");
    assert!(tried.contains(&format!("href=\"/alerts/{}\"", alert.number)), "the mark leads to the alert");
    assert!(tried.contains("<line class=\"mark\""), "the mark is drawn");
    let shown = text(&scene.page(&format!("/alert-rules/{}", scene.rule)).await);
    assert!(shown.contains("Alert: Group lags ("), "{shown}");
}

#[tokio::test]
async fn what_is_too_much_is_not_tried_and_the_form_stays() {
    let scene = Scene::new().await;
    scene.crowd(2_200).await;
    let tried = scene.tried(&[("range", "24h"), ("threshold", "77")]).await;
    let said = text(&tried);
    assert!(said.contains("Could not be tried") && said.contains("This rule watches 2,200 series, and with 1,440 looks"), "{said}");
    assert!(tried.contains("value=\"77\"") && tried.contains("Try this rule"), "the form stays");
    let shown = text(&scene.page(&format!("/alert-rules/{}", scene.rule)).await);
    assert!(shown.contains("Could not be tried") && shown.contains("Save rule"), "{shown}");
    let narrow = text(&scene.tried(&[("range", "24h"), ("filter_consumer_group", "group-1*")]).await);
    assert!(narrow.contains("It would have fired"), "{narrow}");
    assert!(narrow.contains("The rule as saved watches too much to be tried beside it."), "{narrow}");
    let short = text(&scene.tried(&[("range", "6h")]).await);
    assert!(
        short.contains("It would have fired") && short.contains("Looked at coarsely, every 1m"),
        "by the minute it is not too much: {short}"
    );

    let rule = |group: &str| {
        json!({"rule": {"name": "a", "figure": "consumer_group_lag_messages", "filter": {"consumer_group": group}, "by": ["consumer_group"],
            "comparison": ">", "threshold": 100, "severity": "error"}})
    };
    let asked = async |body: &serde_json::Value| scene.site.post("/api/v1/alert-rules/try").by(&scene.viewer).json(body).send().await;
    let refused = asked(&rule("*")).await;
    assert_eq!(
        (refused.status, refused.problem().2.as_deref()),
        (StatusCode::UNPROCESSABLE_ENTITY, Some("rule.filter")),
        "{}",
        refused.text
    );
    let narrow = asked(&rule("group-7")).await.json();
    assert_eq!((&narrow["tried"]["watched"], &narrow["step"]), (&json!(1), &json!("60s")), "{narrow}");
    let mut short = rule("group-7");
    short["from"] = json!(scene.now.minus(MINUTE * 60).to_rfc3339());
    let short = asked(&short).await.json();
    assert_eq!((&short["step"], &short["coarse"]), (&json!("15s"), &json!(null)), "{short}");
}

#[tokio::test]
async fn what_cannot_be_read_is_not_tried_and_the_page_is_there() {
    let mut scene = Scene::new().await;
    scene.fire().await;
    scene.site.run("update figure_frames set points = x'ffffffffff'").await;
    for page in [scene.page(&format!("/alert-rules/{}", scene.rule)).await, scene.tried(&[("range", "6h")]).await] {
        let said = text(&page);
        assert!(said.contains("Could not be tried") && said.contains("The log of this instance says why"), "{said}");
        assert!(page.contains("name=\"threshold\""), "the form is there");
    }
}
