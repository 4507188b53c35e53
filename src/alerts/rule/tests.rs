use super::*;
use crate::metrics::histogram::Histogram;
use crate::model::alert::{Alert, AlertState, BurnRate, Comparison, NoData, Severity, Standing};

/// Lag of consumer groups.
pub(in crate::alerts) fn terms() -> Terms {
    Terms {
        figure: Figure::ConsumerGroupLagMessages,
        quantile: None,
        filter: Filter::new(),
        by: vec![Label::Bus, Label::ConsumerGroup],
        window_ms: 300_000,
        burn_rate: None,
        comparison: Comparison::Above,
        threshold: 1_000.0,
        clear_threshold: None,
        for_ms: 0,
        keep_firing_for_ms: 0,
        no_data: NoData::Keep,
        no_data_after_ms: 300_000,
        severity: Severity::Error,
        labels: BTreeMap::new(),
        summary: String::new(),
        runbook_url: None,
        owner: None,
        receivers: Vec::new(),
        group_by: vec![crate::model::alert::GroupBy::Rule],
        group_wait_ms: 30_000,
        group_interval_ms: 300_000,
        repeat_interval_ms: 4 * 3_600_000,
    }
}

/// An alert that fires.
pub(crate) fn alert(number: i64, figure: Figure, labels: &[(&str, &str)]) -> Alert {
    let now = crate::model::Timestamp::from_millis(1_700_000_000_000);
    let terms = terms();
    let standing = Standing { state: AlertState::Firing, started_at: Some(now), ..crate::alerts::state::inactive(now) };
    Alert {
        number,
        rule: 1,
        fingerprint: fingerprint(1, &text(labels)),
        labels: text(labels),
        standing,
        details: details("Rule", &Terms { figure, ..terms.clone() }, &text(labels), None),
        acknowledgement: None,
        first_acknowledged_at: None,
        silenced_by: None,
        inhibited_by: None,
    }
}

fn labels(bus: &str, topic: &str, group: &str) -> Labels {
    Labels::bus(&bus.into()).topic(&topic.into()).consumer_group(&group.into())
}

fn text(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn a_filter_fits_series_by_patterns_of_their_labels() {
    let filter = Filter::from([(Label::Topic, "orders.*".to_owned()), (Label::ConsumerGroup, "{billing,shipping:eu}".to_owned())]);
    let patterns = Patterns::new(&filter).expect("can be read");
    assert!(patterns.fit(&labels("prod", "orders.eu", "billing")));
    assert!(patterns.fit(&labels("prod", "orders.eu", "shipping:eu")), "groups may have any characters");
    assert!(!patterns.fit(&labels("prod", "orders", "billing")));
    assert!(!patterns.fit(&Labels::bus(&"prod".into()).topic(&"orders.eu".into())), "without a group no pattern of groups fits");
}

#[test]
fn series_with_the_same_labels_by_which_alerts_differ_make_one_alert() {
    let by = [Label::Bus, Label::ConsumerGroup];
    let one = alert_labels(&by, &labels("prod", "a", "billing"));
    assert_eq!(one, alert_labels(&by, &labels("prod", "b", "billing")));
    assert_eq!(one, text(&[("bus", "prod"), ("consumer_group", "billing")]));
    let print = fingerprint(7, &one);
    assert_eq!(print.len(), 16);
    assert_eq!(print, fingerprint(7, &one));
    assert_ne!(print, fingerprint(8, &one));
    assert_ne!(fingerprint(7, &text(&[("a", "bc")])), fingerprint(7, &text(&[("ab", "c")])));
    assert_eq!(fingerprint(1, &BTreeMap::new()), "cd2662154e6d76b2", "never changes: receivers remember it");
}

#[test]
fn messages_are_added_up_and_of_times_the_worst_counts() {
    let together = |terms: &Terms, numbers: &[f64]| {
        let mut all = Reading::Number(numbers[0]);
        numbers[1..].iter().for_each(|number| all.add(&Reading::Number(*number), terms));
        all.value(terms)
    };
    assert_eq!(together(&terms(), &[1.0, 2.0, 4.0]), Some(7.0));
    let seconds = Terms { figure: Figure::ConsumerGroupLagSeconds, ..terms() };
    assert_eq!(together(&seconds, &[1.0, 4.0, 2.0]), Some(4.0));
    let below = Terms { figure: Figure::BusReachable, comparison: Comparison::Below, ..terms() };
    assert_eq!(together(&below, &[1.0, 0.0, 1.0]), Some(0.0));
}

#[test]
fn shares_and_quantiles_are_made_of_all_that_was_counted() {
    let ratio = Terms { figure: Figure::SpansErrorRatio, ..terms() };
    let mut share = Reading::Share { part: 1.0, whole: 1.0 };
    share.add(&Reading::Share { part: 0.0, whole: 99.0 }, &ratio);
    assert_eq!(share.value(&ratio), Some(0.01), "not the mean of 100 % and 0 %");
    assert_eq!(Reading::Share { part: 0.0, whole: 0.0 }.value(&ratio), None);
    let slow = Terms { figure: Figure::ProcessingDurationSeconds, quantile: Some(0.99), ..terms() };
    let of = |seconds: f64, count: u64| {
        let mut histogram = Histogram::new();
        histogram.record_many(seconds, count);
        Reading::Durations(Box::new(histogram))
    };
    let mut both = of(0.1, 980);
    both.add(&of(8.0, 20), &slow);
    assert!((both.value(&slow).expect("there are some") - 8.0).abs() < 0.2, "within 2.5 %");
}

#[test]
fn a_budget_burns_when_both_windows_say_so_and_there_was_enough() {
    let burn = BurnRate { objective: 0.99, long_ms: 3_600_000, short_ms: 300_000, factor: 14.4, minimum_count: 100 };
    let terms = Terms { figure: Figure::SpansErrorRatio, burn_rate: Some(burn), threshold: 14.4, ..terms() };
    for (long, short, fires) in [
        ((20.0, 100.0), (20.0, 100.0), true),
        ((20.0, 100.0), (1.0, 100.0), false),
        ((1.0, 100.0), (20.0, 100.0), false),
        ((19.0, 99.0), (20.0, 99.0), false),
        ((20.0, 100.0), (0.0, 0.0), false),
    ] {
        let value = Reading::Burn { long, short }.value(&terms).expect("there is one");
        assert_eq!(terms.comparison.holds(value, terms.threshold), fires, "{long:?} {short:?}: {value}");
    }
}

#[test]
fn texts_have_their_placeholders_filled_and_run_nothing() {
    let terms = Terms {
        summary: "{consumer_group} is {value} behind on {topic} ({{{team}}}, over {threshold})".to_owned(),
        labels: text(&[("team", "pay")]),
        ..terms()
    };
    let about = text(&[("bus", "prod"), ("consumer_group", "{value}<b>")]);
    let said = summary("Lag", &terms, &about, Some(1_234.0));
    assert_eq!(
        said, "{value}<b> is 1,234 messages behind on any topic ({pay}, over 1,000 messages)",
        "what a label holds is no placeholder"
    );
    let usual = Terms { summary: String::new(), ..terms };
    assert_eq!(summary("Lag", &usual, &text(&[("bus", "prod")]), None), "Lag: no data > 1,000 messages (prod, any consumer group)");
}

type Change<'a> = &'a dyn Fn(&mut Terms);

#[test]
fn what_is_wrong_is_said_with_its_field() {
    let wrong = |change: Change<'_>| {
        let mut terms = terms();
        change(&mut terms);
        check(&terms).into_iter().map(|problem| problem.field).collect::<Vec<_>>()
    };
    assert!(wrong(&|_| {}).is_empty());
    let table: &[(&str, Change<'_>)] = &[
        ("quantile", &|terms| terms.quantile = Some(0.9)),
        ("quantile", &|terms| (terms.figure, terms.quantile, terms.by) = (Figure::BrokerDurationSeconds, Some(1.0), Vec::new())),
        ("filter.service", &|terms| terms.filter = Filter::from([(Label::Service, "*".to_owned())])),
        ("filter.topic", &|terms| terms.filter = Filter::from([(Label::Topic, "{a".to_owned())])),
        ("filter.topic", &|terms| terms.filter = Filter::from([(Label::Topic, String::new())])),
        ("by", &|terms| terms.by = vec![Label::Status]),
        ("by", &|terms| terms.by = vec![Label::Bus, Label::Bus]),
        ("window", &|terms| terms.window_ms = 59_999),
        ("for", &|terms| terms.for_ms = u64::MAX),
        ("no_data_after", &|terms| terms.no_data_after_ms = 0),
        ("threshold", &|terms| terms.threshold = f64::NAN),
        ("clear_threshold", &|terms| terms.clear_threshold = Some(1_001.0)),
        ("burn_rate", &|terms| {
            terms.burn_rate = Some(BurnRate { objective: 0.99, long_ms: 3_600_000, short_ms: 300_000, factor: 1.0, minimum_count: 1 });
        }),
        ("labels.bus", &|terms| terms.labels = text(&[("bus", "x")])),
        ("labels", &|terms| terms.labels = text(&[("a-b", "x")])),
        ("summary", &|terms| terms.summary = "{nothing}".to_owned()),
        ("summary", &|terms| terms.summary = "{value".to_owned()),
        ("runbook_url", &|terms| terms.runbook_url = Some("javascript:alert(1)".to_owned())),
        ("owner", &|terms| terms.owner = Some("x".repeat(101))),
        ("receivers", &|terms| terms.receivers = vec![crate::model::receiver::ReceiverId(1); 2]),
    ];
    for (field, change) in table {
        assert_eq!(wrong(*change), [*field]);
    }
    let burn = BurnRate { objective: 1.0, long_ms: 1, short_ms: 1, factor: 0.0, minimum_count: 1 };
    let fields = wrong(&|terms| {
        (terms.figure, terms.by) = (Figure::SpansErrorRatio, Vec::new());
        terms.burn_rate = Some(burn);
    });
    assert_eq!(fields, ["burn_rate.objective", "burn_rate.short", "burn_rate.long", "burn_rate.factor"]);
    assert!(check_name(" ").is_some() && check_name("Lag of billing").is_none());
}
