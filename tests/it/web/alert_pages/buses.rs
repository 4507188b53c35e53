//! The bus of an alert whose labels name none.

use redrive::metrics::bucket::Point;
use redrive::model::BusKind;
use redrive::model::alert::{Comparison, Label, Terms};
use redrive::model::figure::{Figure, Labels, SeriesKey};
use redrive::model::group_event::{GroupEvent, GroupEventKind};
use redrive::store::alerts::rules::NewRule;
use redrive::store::figures::NewFrame;

use super::{MINUTE, Scene, entry, terms, text};

impl Scene {
    /// Adds a rule.
    async fn add(&self, name: &str, terms: Terms) {
        let rule = NewRule { name: name.to_owned(), enabled: true, terms };
        self.site.store.add_alert_rule(&rule, &entry(self.now)).await.expect("added");
    }

    /// The page of the alert of this rule, as text, and how much happened before it by the API.
    async fn before(&self, rule: &str) -> (String, usize) {
        let living = self.site.store.list_living_alerts().await.expect("readable");
        let number = living.iter().find(|alert| alert.details.rule == rule).expect("it fires").number;
        let detail = self.get(&format!("/api/v1/alerts/{number}"), &self.viewer).await.json();
        let before = detail["before"].as_array().expect("a list");
        let offsets = before.iter().filter(|happened| happened.to_string().contains("offsets_set")).count();
        (text(&self.page(&format!("/alerts/{number}")).await), offsets)
    }
}

#[tokio::test]
async fn what_changed_before_an_alert_is_told_of_its_bus_even_where_no_label_names_it() {
    let mut scene = Scene::new().await;
    let all = Terms { by: vec![Label::ConsumerGroup], ..terms() };
    scene.add("Of prod alone", Terms { filter: [(Label::Bus, "prod".to_owned())].into(), ..all.clone() }).await;
    scene.add("Of some", Terms { filter: [(Label::Bus, "{prod,test}".to_owned())].into(), ..all.clone() }).await;
    scene.add("Of every bus", all).await;
    scene.add("Of no bus", redrive::alerts::defaults::usual(Figure::DeliveriesFailing, Comparison::AtLeast, 0.0)).await;
    let store = scene.site.store.clone();
    store.register_buses(&[("prod".into(), BusKind::Kafka), ("test".into(), BusKind::Kafka)]).await.expect("registered");
    let event = GroupEvent {
        at: scene.now.minus(MINUTE * 4),
        kind: GroupEventKind::OffsetsSet,
        group: "billing".into(),
        topic: None,
        detail: "to the beginning".to_owned(),
    };
    store.add_group_events(&"prod".into(), &[event]).await.expect("added");
    scene.fire().await;
    let set = "Offsets of billing set by hand: to the beginning";
    for rule in ["Of prod alone", "Of some", "Of every bus"] {
        let (page, offsets) = scene.before(rule).await;
        assert!(page.contains(set) && offsets == 1, "the group is on prod alone: {rule}: {page}");
    }
    let (page, _) = scene.before("Of no bus").await;
    assert!(page.contains("The alert is about no bus"), "{page}");

    let labels = Labels::bus(&"test".into()).topic(&"orders".into()).consumer_group(&"billing".into());
    let points = vec![(SeriesKey { figure: Figure::ConsumerGroupLagMessages, labels }, Point::Level(7.0))];
    let frame = NewFrame { source: "bus:test", after: None, taken_at: scene.now, points, state: None, snapshot: false };
    assert!(store.add_frame(frame).await.expect("it is written"));
    let (page, offsets) = scene.before("Of prod alone").await;
    assert!(page.contains(set) && offsets == 1, "{page}");
    for (rule, why) in
        [("Of some", "its rule is for every bus that fits {prod,test}, and"), ("Of every bus", "its rule is for every bus, and")]
    {
        let (page, offsets) = scene.before(rule).await;
        assert!(page.contains("The alert is over several buses (prod, test)") && page.contains(why), "{rule}: {page}");
        assert!(!page.contains("about no bus") && !page.contains(set) && offsets == 0, "{rule}: {page}");
    }
}
