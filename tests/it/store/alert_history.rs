//! What pages ask of alerts: counts by bus, those that are over in the order of their end, when rules fired, marks on drawings.

use std::collections::BTreeMap;
use std::time::Duration;

use redrive::alerts::defaults;
use redrive::alerts::rule::{details, fingerprint};
use redrive::model::alert::{Alert, AlertState, Comparison, Severity, Standing, Terms};
use redrive::model::figure::Figure;
use redrive::model::happening::Happened;
use redrive::model::{Actor, AuditEntry, BusKind, Cursor, PageRequest, Timestamp};
use redrive::store::alerts::history::OverFilter;
use redrive::store::alerts::round::Round;
use redrive::store::alerts::rules::NewRule;
use redrive::store::happenings::About;

use super::{START, World, on_both_engines};

on_both_engines! {
    /// Counts are those of a bus and of what belongs to none; what is silenced does not ring.
    alerts_are_counted_by_bus
    /// The last to end comes first, page by page, and what never fired is left out.
    what_is_over_is_listed_by_its_end
    /// An alert is a mark on the drawings of its topic, its group and its bus, and of no other.
    an_alert_is_a_mark_of_what_it_is_about
    /// Who changed a rule is told of that rule alone.
    changes_of_a_rule_are_its_own
}

fn at(seconds: u64) -> Timestamp {
    START.plus(Duration::from_secs(seconds))
}

fn alert(rule: i64, severity: Severity, state: AlertState, started: Option<u64>, ended: Option<u64>, labels: &[(&str, &str)]) -> Alert {
    let labels: BTreeMap<String, String> = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let terms = Terms { severity, ..defaults::usual(Figure::DeadLettersPerMinute, Comparison::Above, 10.0) };
    let standing = Standing {
        state,
        cause: None,
        pending_since: started.map(at),
        started_at: started.map(at),
        recovering_since: None,
        missing_since: None,
        unknown_since: None,
        resolved_at: ended.map(at),
        last_eval: at(started.unwrap_or(0)),
        last_value: Some(12.0),
    };
    Alert {
        number: 0,
        rule,
        fingerprint: fingerprint(rule, &labels),
        details: details("Fast", &terms, &labels, Some(12.0)),
        labels,
        standing,
        acknowledgement: None,
        first_acknowledged_at: None,
        silenced_by: None,
        inhibited_by: None,
    }
}

async fn write(world: &World, added: Vec<Alert>) {
    world.store.register_buses(&[("prod".into(), BusKind::Kafka), ("test".into(), BusKind::Kafka)]).await.expect("registered");
    let round = Round { added, ..Round::default() };
    assert!(world.store.write_alert_round(None, &round, START).await.expect("written"));
}

async fn alerts_are_counted_by_bus(world: World) {
    use AlertState::{Firing, Pending, Recovering};
    let silenced =
        Alert { silenced_by: Some(7), ..alert(4, Severity::Critical, Firing, Some(1), None, &[("bus", "prod"), ("topic", "b")]) };
    let alerts = vec![
        alert(1, Severity::Error, Firing, Some(1), None, &[("bus", "prod"), ("topic", "a")]),
        alert(2, Severity::Warning, Firing, Some(1), None, &[]),
        alert(3, Severity::Warning, Pending, None, None, &[("bus", "prod")]),
        silenced,
        alert(5, Severity::Critical, Recovering, Some(1), None, &[("bus", "test")]),
    ];
    write(&world, alerts).await;
    for (bus, active, firing, grave) in [(None, 5, 2, 1), (Some("prod"), 4, 2, 1), (Some("test"), 2, 1, 0)] {
        let counts = world.store.count_alerts(bus.map(Into::into).as_ref(), at(2)).await.expect("readable");
        assert_eq!((counts.active, counts.firing, counts.grave, counts.rules), (active, firing, grave, 0), "{bus:?}");
    }
}

async fn what_is_over_is_listed_by_its_end(world: World) {
    use AlertState::{Firing, Resolved};
    let over = |rule, severity, from, to, bus| alert(rule, severity, Resolved, Some(from), Some(to), &[("bus", bus)]);
    let alerts = vec![
        over(1, Severity::Error, 10, 500, "prod"),
        over(2, Severity::Info, 20, 100, "prod"),
        over(3, Severity::Error, 30, 300, "test"),
        alert(4, Severity::Error, Resolved, None, Some(200), &[]),
        alert(5, Severity::Error, Firing, Some(40), None, &[]),
    ];
    write(&world, alerts).await;
    let list = async |filter: OverFilter, cursor: Option<Cursor>| {
        let page = world.store.list_over_alerts(&filter, &PageRequest { cursor, limit: 2 }).await.expect("readable");
        (page.items.iter().map(|alert| alert.rule).collect::<Vec<_>>(), page.next_cursor)
    };
    let (first, next) = list(OverFilter::default(), None).await;
    assert_eq!(first, [1, 3]);
    assert_eq!(list(OverFilter::default(), next).await, (vec![2], None));
    assert_eq!(list(OverFilter { from: Some(at(250)), ..OverFilter::default() }, None).await.0, [1, 3]);
    assert_eq!(list(OverFilter { severity: Some(Severity::Info), ..OverFilter::default() }, None).await.0, [2]);
    assert_eq!(list(OverFilter { bus: Some("test".into()), ..OverFilter::default() }, None).await.0, [3]);
    assert_eq!(list(OverFilter { rule: Some(1), ..OverFilter::default() }, None).await.0, [1]);
    assert_eq!(world.store.count_over_alerts(None, at(0), at(400)).await.expect("readable"), 2);
    let mut fired = world.store.last_fired().await.expect("readable");
    fired.sort_unstable();
    assert_eq!(fired, [(1, at(10)), (2, at(20)), (3, at(30)), (5, at(40))]);
    let these = world.store.list_these_alerts(&[1, 3, 999]).await.expect("readable");
    assert_eq!(these.iter().map(|alert| alert.number).collect::<Vec<_>>(), [1, 3]);
    write(&world, vec![over(1, Severity::Error, 600, 700, "prod")]).await;
    let newest = world.store.list_over_alerts(&OverFilter::default(), &PageRequest::first(1)).await.expect("readable").items.remove(0);
    let earlier = world.store.list_earlier_alerts(&newest, 5).await.expect("readable");
    assert_eq!(earlier.iter().map(|alert| alert.standing.started_at).collect::<Vec<_>>(), [Some(at(10))], "of the same rule and labels");
}

async fn an_alert_is_a_mark_of_what_it_is_about(world: World) {
    use AlertState::Firing;
    let alerts = vec![
        alert(1, Severity::Error, Firing, Some(10), None, &[("bus", "prod"), ("topic", "a")]),
        alert(2, Severity::Error, Firing, Some(20), None, &[("bus", "prod"), ("consumer_group", "g")]),
        alert(3, Severity::Error, Firing, Some(30), None, &[("bus", "prod")]),
        alert(4, Severity::Error, Firing, Some(40), None, &[("bus", "test"), ("topic", "a")]),
    ];
    write(&world, alerts).await;
    let marks = async |about: About<'_>| {
        let happened = world.store.list_happenings(&"prod".into(), about, at(0), at(100)).await.expect("readable");
        let number = |what: &Happened| if let Happened::AlertFired { number, .. } = what { Some(*number) } else { None };
        happened.iter().filter_map(|one| number(&one.what)).collect::<Vec<_>>()
    };
    assert_eq!(marks(About::Bus).await, [1, 2, 3]);
    assert_eq!(marks(About::Topic(&"a".into())).await, [1, 3]);
    assert_eq!(marks(About::Topic(&"b".into())).await, [3]);
    assert_eq!(marks(About::Group(&"g".into(), &["b"])).await, [2, 3]);
    assert_eq!(marks(About::Group(&"h".into(), &["a"])).await, [1, 3]);
}

async fn changes_of_a_rule_are_its_own(world: World) {
    let entry = |action: &str, target: String| AuditEntry {
        id: 0,
        at: START,
        actor: Actor { name: "user:ann".to_owned(), address: None },
        action: action.to_owned(),
        target,
        count: None,
        result: "done".to_owned(),
    };
    let terms = defaults::usual(Figure::DeadLettersPerMinute, Comparison::Above, 10.0);
    let rule = NewRule { name: "Fast".to_owned(), enabled: true, terms };
    let one = world.store.add_alert_rule(&rule, &entry("alert_rules.add", String::new())).await.expect("kept");
    let target = format!("/alert-rules/{} (Fast)", one.number);
    world.store.record_audit(&entry("alert_rules.change", target)).await.expect("kept");
    world.store.record_audit(&entry("alert_rules.change", format!("/alert-rules/{}1 (Fast)", one.number))).await.expect("kept");
    let changes = world.store.list_alert_rule_changes(one.number, 10).await.expect("readable");
    assert_eq!(changes.iter().map(|entry| entry.action.as_str()).collect::<Vec<_>>(), ["alert_rules.change", "alert_rules.add"]);
}
