//! Alerts by rule in a time beside the one before: how often they fired, and how long it took until somebody had them and until they
//! were over. A rule that fires often and that nobody takes is noise; a page that lists it says so.

use std::collections::BTreeMap;
use std::time::Duration;

use super::trend::Change;
use crate::metrics::trend::{Better, compare};
use crate::model::Timestamp;
use crate::store::alerts::AlertFigures;
use crate::store::{Store, StoreError};
use crate::web::view::number::grouped;
use crate::web::view::text::short;
use crate::web::view::time::duration_words;

/// Rules shown; those that fired most.
const ROWS: usize = 8;

/// A time: inclusive, and exclusive.
pub(super) type Span = (Timestamp, Timestamp);

/// A rule in both times.
#[derive(Debug)]
pub(in crate::web) struct AlertRow {
    pub(in crate::web) name: String,
    pub(in crate::web) href: String,
    pub(in crate::web) now_words: String,
    pub(in crate::web) before_words: String,
    pub(in crate::web) change: Change,
    /// Until somebody had it, on average, and of how many.
    pub(in crate::web) acknowledge: String,
    pub(in crate::web) acknowledged: String,
    /// Until it was over, on average.
    pub(in crate::web) resolve: String,
    pub(in crate::web) resolve_before: String,
    /// How often it fired, and in the time before, where that is known.
    pub(in crate::web) fired: (u64, Option<u64>),
    /// Until somebody had it and until it was over, on average.
    pub(in crate::web) times: (Option<Duration>, Option<Duration>),
}

/// Reads both times; the one before only where there is enough of it to compare with.
pub(super) async fn load(store: &Store, late: Span, early: Option<Span>) -> Result<Vec<AlertRow>, StoreError> {
    let now = store.alert_figures(late.0, late.1).await?;
    let before = match early {
        Some((from, to)) => Some(store.alert_figures(from, to).await?),
        None => None,
    };
    Ok(rows(now, before, days(late), early.map(days)))
}

fn days((from, to): Span) -> f64 {
    from.age_at(to).as_secs_f64() / 86_400.0
}

fn rows(now: Vec<AlertFigures>, before: Option<Vec<AlertFigures>>, days: f64, days_before: Option<f64>) -> Vec<AlertRow> {
    let compared = before.is_some();
    let mut early: BTreeMap<i64, AlertFigures> = before.into_iter().flatten().map(|figures| (figures.rule, figures)).collect();
    let mut both: Vec<(AlertFigures, Option<AlertFigures>)> =
        now.into_iter().map(|late| (late.rule, late)).map(|(rule, late)| (late, early.remove(&rule))).collect();
    // Rules that fired before and not since are the good news.
    both.extend(early.into_values().map(|early| (silent(&early), Some(early))));
    both.sort_by_key(|(late, early)| std::cmp::Reverse((late.fired, early.as_ref().map_or(0, |early| early.fired))));
    both.iter().take(ROWS).map(|(late, early)| row(late, early.as_ref(), days, days_before.filter(|_| compared))).collect()
}

/// The same rule where it did not fire.
fn silent(figures: &AlertFigures) -> AlertFigures {
    AlertFigures { fired: 0, acknowledged: 0, acknowledge: None, resolved: 0, resolve: None, ..figures.clone() }
}

fn row(late: &AlertFigures, early: Option<&AlertFigures>, days: f64, days_before: Option<f64>) -> AlertRow {
    #[expect(clippy::cast_precision_loss, reason = "a count of alerts")]
    let per_day = |fired: u64, days: f64| (days > 0.0).then(|| fired as f64 / days);
    let fired_before = early.map_or(0, |early| early.fired);
    let before = days_before.and_then(|days| per_day(fired_before, days));
    let (words, direction) = compare(per_day(late.fired, days), before, ("more", "fewer"), Better::Less);
    AlertRow {
        name: short(&late.name, 80),
        href: format!("/alerts?rule={}&range=30d", late.rule),
        now_words: grouped(late.fired),
        before_words: if days_before.is_some() { grouped(fired_before) } else { "not known".to_owned() },
        change: Change { words, direction },
        fired: (late.fired, days_before.map(|_| fired_before)),
        times: (late.acknowledge, late.resolve),
        acknowledge: late.acknowledge.map_or_else(|| "nobody did".to_owned(), duration_words),
        acknowledged: if late.fired == 0 { String::new() } else { format!("{} of {}", grouped(late.acknowledged), grouped(late.fired)) },
        resolve: late.resolve.map_or_else(|| if late.fired == 0 { String::new() } else { "go on".to_owned() }, duration_words),
        resolve_before: early
            .and_then(|early| early.resolve)
            .filter(|_| days_before.is_some())
            .map_or_else(String::new, |time| format!("{} before", duration_words(time))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(rule: i64, fired: u64, acknowledged: u64) -> AlertFigures {
        AlertFigures {
            rule,
            name: format!("rule {rule}"),
            fired,
            acknowledged,
            acknowledge: (acknowledged > 0).then_some(Duration::from_mins(3)),
            resolved: fired,
            resolve: (fired > 0).then_some(Duration::from_mins(41)),
        }
    }

    #[test]
    fn rules_are_compared_and_those_that_fell_silent_are_shown() {
        let rows = rows(vec![figures(1, 14, 7)], Some(vec![figures(1, 28, 2), figures(2, 9, 0)]), 7.0, Some(7.0));
        let brief: Vec<_> = rows
            .iter()
            .map(|row| (row.name.as_str(), row.now_words.as_str(), row.before_words.as_str(), row.acknowledged.as_str()))
            .collect();
        assert_eq!(brief, [("rule 1", "14", "28", "7 of 14"), ("rule 2", "0", "9", "")]);
        assert_eq!(
            (rows[0].acknowledge.as_str(), rows[0].resolve.as_str(), rows[0].resolve_before.as_str()),
            ("3 min", "41 min", "41 min before")
        );
        assert_eq!(rows[1].change.tone(), "ok");
    }

    #[test]
    fn nothing_is_compared_with_what_is_not_known() {
        let rows = rows(vec![figures(1, 3, 0)], None, 7.0, None);
        assert_eq!(
            (rows[0].before_words.as_str(), rows[0].acknowledge.as_str(), rows[0].change.tone()),
            ("not known", "nobody did", "idle")
        );
    }
}
