//! What the rule saw around the moment: the values, the threshold, when it fired, and what happened meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::alerts::course::{courses, worst};
use crate::alerts::defaults::usual;
use crate::alerts::history::{NotTried, Range as Looks, recorded};
use crate::model::alert::{Alert, AlertRule, Comparison, Label, Terms};
use crate::model::{BusId, GroupName, Timestamp, TopicName};
use crate::store::failure_groups::Buckets;
use crate::store::happenings::About;
use crate::store::{Store, StoreError};
use crate::web::view::alert as words;
use crate::web::view::lines::{LineChart, Named, Watch};
use crate::web::view::marks::Marks;
use crate::web::view::range::Range;

/// So much of the time before is shown at least.
const BEFORE: Duration = Duration::from_hours(1);
/// And of the time after.
const AFTER: Duration = Duration::from_mins(20);
/// Steps of the drawing, about.
const STEPS: u32 = 120;

/// The time around an alert: from an hour before it began, or as long before as it lasted, until now or a little after its end.
pub(super) fn around(alert: &Alert, now: Timestamp) -> (Timestamp, Timestamp) {
    let standing = &alert.standing;
    let began = standing.pending_since.into_iter().chain(standing.started_at).min().unwrap_or(now);
    let end = standing.resolved_at.map_or(now, |at| at.plus(AFTER).min(now));
    // A week of firing is shown with a day before it, not with another week.
    let before = (began.age_at(end) / 2).clamp(BEFORE, BEFORE * 24);
    (began.minus(before), end)
}

pub(super) async fn load(
    store: &Store,
    alert: &Alert,
    rule: Option<&AlertRule>,
    bus: Option<&BusId>,
    now: Timestamp,
) -> Result<(LineChart, Marks), StoreError> {
    let (from, to) = around(alert, now);
    let buckets = Range::Between(Some(from), Some(to)).buckets(now, STEPS);
    let terms = terms(alert, rule);
    let step_ms = (buckets.to.as_millis() - buckets.from.as_millis()) / i64::from(buckets.count.max(1));
    let looks = Looks { from: buckets.from, to: buckets.to, step_ms };
    let count = looks.looks().len();
    let read = match recorded(store, &terms, looks).await {
        Err(NotTried::Unread(error)) => return Err(error),
        // A rule about very many series: the time that it fired is drawn, without its values.
        read => read.unwrap_or_default(),
    };
    let courses = courses(&terms, count, &read);
    // A name with signs of a pattern may fit others as well.
    let own = courses.get(&own_labels(alert));
    let mut values = own.cloned().unwrap_or_else(|| worst(&terms, courses.values()));
    values.resize(buckets.count as usize, None);
    hide_future(&mut values, buckets, now);
    let marks = marks(store, alert, bus, buckets).await?;
    let unit = words::drawn_unit(&alert.details.unit);
    let standing = &alert.standing;
    let fires = standing.started_at.map(|at| (at, standing.resolved_at.unwrap_or(now)));
    let watch = Watch {
        threshold: Some(terms.threshold),
        words: format!("{} {}", words::comparison(terms.comparison), words::value(terms.threshold, &alert.details.unit)),
        fires: fires.into_iter().collect(),
        beside: Vec::new(),
    };
    let title = words::figure(alert.details.figure);
    let named = vec![Named::new(words::about(&alert.labels, false), values)];
    Ok((LineChart::watched("alert-chart", title, unit, buckets, named, &marks.shown, &watch), marks))
}

/// What the rule says now, for this alert alone; of a rule that is gone or watches something else, what the alert kept of it.
fn terms(alert: &Alert, rule: Option<&AlertRule>) -> Terms {
    let details = &alert.details;
    let kept = rule.filter(|rule| rule.terms.figure == details.figure).map(|rule| rule.terms.clone());
    let mut terms = kept.unwrap_or_else(|| usual(details.figure, Comparison::Above, details.threshold));
    terms.threshold = details.threshold;
    terms.quantile = details.quantile;
    let label = |(name, value): (String, String)| Some((name.parse::<Label>().ok()?, literal(&value)));
    let labels: BTreeMap<Label, String> = own_labels(alert).into_iter().filter_map(label).collect();
    terms.by = labels.keys().copied().collect();
    terms.filter.extend(labels);
    terms
}

/// The alert's labels without those that its rule adds.
fn own_labels(alert: &Alert) -> BTreeMap<String, String> {
    alert.labels.iter().filter(|(name, _)| name.parse::<Label>().is_ok()).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// A pattern that fits this name and no other.
fn literal(name: &str) -> String {
    name.chars().map(|c| if "*?{}".contains(c) { '?' } else { c }).collect()
}

/// What is not yet over is not nothing.
fn hide_future(values: &mut [Option<f64>], buckets: Buckets, now: Timestamp) {
    for (value, start) in values.iter_mut().zip(crate::web::view::chart::bucket_starts(buckets)) {
        if start >= now {
            *value = None;
        }
    }
}

async fn marks(store: &Store, alert: &Alert, bus: Option<&BusId>, buckets: Buckets) -> Result<Marks, StoreError> {
    let Some(bus) = bus else { return Ok(Marks::default()) };
    let topic = alert.labels.get("topic").map(|topic| TopicName::from(topic.as_str()));
    let group = alert.labels.get("consumer_group").map(|group| GroupName::from(group.as_str()));
    let topics: Vec<&str> = topic.iter().map(TopicName::as_str).collect();
    let about = match (&group, &topic) {
        (Some(group), _) => About::Group(group, &topics),
        (None, Some(topic)) => About::Topic(topic),
        (None, None) => About::Bus,
    };
    let mut happened = store.list_happenings(bus, about, buckets.from, buckets.to).await?;
    // The alert itself is the shaded time.
    happened.retain(|one| !matches!(one.what, crate::model::happening::Happened::AlertFired { number, .. } if number == alert.number));
    Ok(Marks::of(&happened, buckets))
}
