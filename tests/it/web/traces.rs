//! What the page of traces says of figures that are not exact.

use std::time::Duration;

use redrive::model::{Role, Timestamp};
use serde_json::{Value, json};

use super::site::Site;
use super::topics::text;

#[tokio::test]
async fn what_the_figures_of_spans_do_not_know_is_said_with_its_count() {
    let site = Site::new().await;
    let mara = site.person("mara", Role::Viewer).await;
    let calm = text(&site.get("/traces").by(&mara).send().await);
    assert!(!calm.contains("so far"), "{calm}");
    let now = Timestamp::now();
    for (what, count, at) in [
        ("skewed", 12, now.minus(Duration::from_mins(5))),
        ("skewed", 1_000, now),
        ("crowded", 1, now),
        ("unpaired", 61_000, now),
        ("uncompared", 3_400, now),
        ("unplaced", 7, now.minus(Duration::from_hours(72))),
        ("uncounted", 52, now),
    ] {
        site.store.note_span_loss(what, count, at).await.expect("it is noted");
    }
    let shown = text(&site.get("/traces?range=1h").by(&mara).send().await);
    for expected in [
        "by the clocks of two machines: 1,012 messages so far, the last ",
        "the span of their producer was not found: 61,000 messages so far, the last ",
        "Counted as service (other), without topic and consumer group: 1 span so far,",
        "Not known to be slow or not: 3,400 spans so far,",
        "52 spans were dropped before they were counted,",
    ] {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
    assert!(!shown.contains("without a bus"), "three days ago is not in the time that is shown: {shown}");
    let week = text(&site.get("/traces?range=7d").by(&mara).send().await);
    assert!(week.contains("Counted without a bus: 7 spans so far, the last 3 d ago."), "{week}");
    let answer: Value = serde_json::from_str(&site.get("/api/v1/traces").by(&mara).send().await.text).expect("JSON");
    let losses = answer["losses"].as_array().expect("a list").iter().map(|loss| (loss["what"].clone(), loss["spans"].clone()));
    let expected = [("crowded", 1), ("skewed", 1_012), ("uncompared", 3_400), ("uncounted", 52), ("unpaired", 61_000), ("unplaced", 7)];
    assert_eq!(losses.collect::<Vec<_>>(), expected.map(|(what, count)| (json!(what), json!(count))));
}
