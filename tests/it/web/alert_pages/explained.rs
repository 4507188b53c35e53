//! Alerts that another explains, on both of their pages.

use std::time::Duration;

use redrive::metrics::bucket::Point;
use redrive::model::alert::{Alert, Comparison, Label, Terms};
use redrive::model::figure::{Figure, Labels, SeriesKey};
use redrive::store::alerts::round::Round;
use redrive::store::alerts::rules::NewRule;
use redrive::store::buses::SweepResult;
use redrive::store::figures::NewFrame;

use super::{MINUTE, Scene, entry, text};

#[tokio::test]
async fn an_alert_that_another_explains_says_so_even_where_that_one_is_not_known() {
    let mut scene = Scene::new().await;
    let alert = scene.fire().await;
    let path = format!("/alerts/{}", alert.number);
    assert!(!text(&scene.page(&path).await).contains("Nobody is told"));
    for other in [-1, 9_999] {
        let moved = vec![Alert { inhibited_by: Some(other), ..alert.clone() }];
        assert!(scene.site.store.write_alert_round(None, &Round { moved, ..Round::default() }, scene.now).await.expect("written"));
        let page = scene.page(&path).await;
        assert!(text(&page).contains("Nobody is told: another alert explains it."), "{other}: {page}");
        assert!(!page.contains("See that alert"), "there is nothing to see: {other}");
    }
}

#[tokio::test]
async fn an_alert_that_mutes_many_names_some_and_counts_the_others() {
    let mut scene = Scene::new().await;
    let lags = scene.fire().await;
    let mut down = Alert { fingerprint: "00000000000000ff".to_owned(), ..lags.clone() };
    down.labels.remove("consumer_group");
    down.details.figure = Figure::BusReachable;
    let write = async |added: Vec<Alert>| {
        let round = Round { added, ..Round::default() };
        assert!(scene.site.store.write_alert_round(None, &round, scene.now).await.expect("written"));
    };
    write(vec![down]).await;
    let living = scene.site.store.list_living_alerts().await.expect("readable");
    let number = living.iter().find(|alert| alert.details.figure == Figure::BusReachable).expect("it is written").number;
    let muted = |i: usize| Alert { fingerprint: format!("{i:016x}"), inhibited_by: Some(number), ..lags.clone() };
    write((0..50).map(muted).collect()).await;
    let path = format!("/alerts/{number}");
    let some = text(&scene.page(&path).await);
    assert!(some.contains("It mutes") && !some.contains("and 1 more"), "{some}");
    write((50..53).map(muted).collect()).await;
    let many = text(&scene.page(&path).await);
    assert!(many.contains("and 3 more"), "{many}");
}

#[tokio::test]
async fn a_bus_that_does_not_answer_explains_its_alerts_and_what_nobody_knows() {
    let mut scene = Scene::new().await;
    let lag = scene.fire().await;
    let down = redrive::alerts::defaults::usual(Figure::BusReachable, Comparison::Below, 1.0);
    let rule = NewRule { name: "Bus down".to_owned(), enabled: true, terms: Terms { by: vec![Label::Bus], ..down } };
    let store = scene.site.store.clone();
    store.add_alert_rule(&rule, &entry(scene.now)).await.expect("added");
    let failed = SweepResult::Failed("no broker answers".to_owned());
    store.record_sweep(&"prod".into(), &failed, scene.now).await.expect("recorded");
    let reach = SeriesKey { figure: Figure::BusReachable, labels: Labels::bus(&"prod".into()) };
    let at = scene.now.plus(Duration::from_secs(1));
    let points = vec![(reach, Point::Level(0.0))];
    let frame = NewFrame { source: "reach:prod", after: None, taken_at: at, points, state: None, snapshot: false };
    assert!(store.add_frame(frame).await.expect("it is written"));
    for seconds in [1, 2] {
        scene.evaluator.look(&store, None, true, scene.now.plus(Duration::from_secs(seconds))).await.expect("a look");
    }
    let living = store.list_living_alerts().await.expect("readable");
    let down = living.iter().find(|alert| alert.details.figure == Figure::BusReachable).expect("it fires").number;
    let page = text(&scene.page(&format!("/alerts/{}", lag.number)).await);
    assert!(page.contains("Nobody is told: Bus down explains it."), "{page}");
    assert!(!page.contains("No data since"), "{page}");
    let page = text(&scene.page(&format!("/alerts/{down}")).await);
    assert!(page.contains("It mutes") && page.contains("Group lags prod, billing"), "{page}");
    scene.evaluator.look(&store, None, true, scene.now.plus(MINUTE * 2)).await.expect("a look");
    let page = text(&scene.page(&format!("/alerts/{}", lag.number)).await);
    assert!(page.contains("No data since") && page.contains("prod has not answered since"), "{page}");
    assert!(page.contains("(no broker answers)") && page.contains("The alert stays as it is until somebody knows better"), "{page}");
}
