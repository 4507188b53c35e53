//! Rows of the list of alerts, and the order in which they were shown.

use std::str::FromStr;

use super::told::Told;
use crate::model::Timestamp;
use crate::model::alert::{Alert, AlertRule, AlertState};
use crate::model::page::InvalidCursor;
use crate::web::view::alert as words;
use crate::web::view::look::Look;
use crate::web::view::text::short;
use crate::web::view::time;

/// Alerts that are listed at once; a page of more would help nobody.
const MOST: usize = 200;
/// What fires, what may or ends, what nobody is told of.
const SECTIONS: usize = 3;

/// Alerts in sections.
pub(super) struct Sections {
    sections: Vec<Vec<Alert>>,
    left_out: usize,
}

impl Sections {
    /// As somebody on call wants them: those that nobody has first, then the worst, then the newest.
    pub(super) fn of(mut alerts: Vec<Alert>, now: Timestamp) -> Self {
        let since = |alert: &Alert| alert.standing.started_at.or(alert.standing.pending_since);
        let urgency = |alert: &Alert| {
            (section(alert), alert.is_acknowledged(now), alert.details.severity, std::cmp::Reverse(since(alert)), alert.number)
        };
        alerts.sort_by_key(urgency);
        let left_out = alerts.len().saturating_sub(MOST);
        alerts.truncate(MOST);
        let mut sections: Vec<Vec<Alert>> = (0..SECTIONS).map(|_| Vec::new()).collect();
        for alert in alerts {
            sections[section(&alert)].push(alert);
        }
        Self { sections, left_out }
    }

    /// Numbers of the alerts, section by section, for an address.
    pub(super) fn order(&self) -> String {
        let numbers = |alerts: &Vec<Alert>| alerts.iter().map(|alert| alert.number.to_string()).collect::<Vec<_>>().join(".");
        self.sections.iter().map(numbers).collect::<Vec<_>>().join("_")
    }

    pub(super) const fn left_out(&self) -> usize {
        self.left_out
    }

    /// A heading that says how its rows stand now, and the rows.
    pub(super) fn rows(self, row: impl Fn(&Alert) -> Row) -> Vec<(String, Vec<Row>)> {
        let filled = self.sections.into_iter().filter(|alerts| !alerts.is_empty());
        filled.map(|alerts| (heading(&alerts), alerts.iter().map(&row).collect())).collect()
    }
}

/// `2 firing`; `1 pending, 1 recovering`.
fn heading(alerts: &[Alert]) -> String {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for alert in alerts {
        let word = words::state(alert).word;
        match counts.iter_mut().find(|(known, _)| *known == word) {
            Some((_, count)) => *count += 1,
            None => counts.push((word, 1)),
        }
    }
    counts.iter().map(|(word, count)| format!("{count} {}", word.to_lowercase())).collect::<Vec<_>>().join(", ")
}

const fn section(alert: &Alert) -> usize {
    match alert.standing.state {
        _ if alert.is_muted() => 2,
        AlertState::Firing => 0,
        _ => 1,
    }
}

/// Numbers of alerts as a page has shown them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ShownAlerts(Vec<Vec<i64>>);

impl ShownAlerts {
    pub(super) fn has(&self, number: i64) -> bool {
        self.numbers().any(|known| known == number)
    }

    pub(super) fn numbers(&self) -> impl Iterator<Item = i64> {
        self.0.iter().flatten().copied()
    }

    /// The same alerts in the same places.
    pub(super) fn place(&self, alerts: &[Alert]) -> Sections {
        let place =
            |numbers: &Vec<i64>| numbers.iter().filter_map(|number| alerts.iter().find(|alert| alert.number == *number)).cloned().collect();
        Sections { sections: self.0.iter().map(place).collect(), left_out: 0 }
    }
}

impl FromStr for ShownAlerts {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |text: &str| text.parse::<i64>().map_err(|_| InvalidCursor);
        let section = |text: &str| text.split('.').filter(|part| !part.is_empty()).map(number).collect::<Result<Vec<i64>, _>>();
        let sections = text.split('_').map(section).collect::<Result<Vec<_>, _>>()?;
        if sections.len() > SECTIONS || sections.iter().map(Vec::len).sum::<usize>() > MOST {
            return Err(InvalidCursor);
        }
        Ok(Self(sections))
    }
}

impl<'de> serde::Deserialize<'de> for ShownAlerts {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|_| serde::de::Error::custom("not an order of alerts; leave it out"))
    }
}

/// An alert that is not over, or was not when the page was made.
pub(super) struct Row {
    pub(super) number: i64,
    pub(super) name: String,
    pub(super) about: String,
    pub(super) summary: String,
    pub(super) look: Look,
    pub(super) severity: Look,
    pub(super) value: String,
    pub(super) condition: String,
    pub(super) since: Option<Timestamp>,
    /// Who was told, in few words.
    pub(super) told: Option<Look>,
    pub(super) told_words: String,
    /// Who has it: name and since when.
    pub(super) taken: Option<(String, Timestamp)>,
    pub(super) is_over: bool,
}

impl Row {
    pub(super) fn new(alert: &Alert, rule: Option<&AlertRule>, told: &Told, show_bus: bool, now: Timestamp) -> Self {
        let (standing, details) = (&alert.standing, &alert.details);
        let (told, told_words) = told.words(alert, rule, now);
        Self {
            number: alert.number,
            name: short(&details.rule, 100),
            about: words::about(&alert.labels, show_bus),
            summary: short(&details.summary, 300),
            look: words::state(alert),
            severity: words::severity(details.severity, standing.state != AlertState::Resolved),
            value: value(alert),
            condition: condition(alert, rule, now),
            since: standing.started_at.or(standing.pending_since),
            told,
            told_words,
            taken: alert.acknowledgement.as_ref().filter(|note| note.counts(now)).map(|note| (who(&note.by), note.at)),
            is_over: standing.state == AlertState::Resolved,
        }
    }
}

/// The value as it is now.
pub(in crate::web::pages) fn value(alert: &Alert) -> String {
    match (alert.standing.cause, alert.standing.last_value) {
        (Some(_), _) | (None, None) => "no data".to_owned(),
        (None, Some(value)) => words::value(value, &alert.details.unit),
    }
}

/// What the value is compared with; since when nothing is known, where that is so.
pub(in crate::web::pages) fn condition(alert: &Alert, rule: Option<&AlertRule>, now: Timestamp) -> String {
    let standing = &alert.standing;
    if let Some(since) = standing.unknown_since.or(standing.missing_since) {
        return format!("no data for {}", time::age(since, now));
    }
    match (standing.state, rule) {
        (AlertState::Recovering, Some(rule)) if rule.terms.clear_threshold.is_some() => {
            let clear = rule.terms.clear_threshold.unwrap_or(rule.terms.threshold);
            format!("clears at {}", words::value(clear, &alert.details.unit))
        }
        (_, Some(rule)) if rule.terms.figure == alert.details.figure => words::condition(&rule.terms),
        _ => format!("threshold {}", words::value(alert.details.threshold, &alert.details.unit)),
    }
}

/// A person's name without what kind of caller they are.
pub(in crate::web::pages) fn who(actor: &str) -> String {
    short(actor.trim_start_matches("user:"), 60)
}

/// An alert that is over.
pub(in crate::web::pages) struct OverRow {
    pub(in crate::web::pages) number: i64,
    pub(in crate::web::pages) name: String,
    pub(in crate::web::pages) about: String,
    pub(in crate::web::pages) look: Look,
    pub(in crate::web::pages) severity: Look,
    pub(in crate::web::pages) started_at: Option<Timestamp>,
    pub(in crate::web::pages) lasted: String,
    pub(in crate::web::pages) taken_by: String,
}

impl OverRow {
    pub(in crate::web::pages) fn new(alert: &Alert, show_bus: bool) -> Self {
        let standing = &alert.standing;
        let lasted = standing.started_at.zip(standing.resolved_at).map(|(from, to)| time::duration_words(from.age_at(to)));
        Self {
            number: alert.number,
            name: short(&alert.details.rule, 100),
            about: words::about(&alert.labels, show_bus),
            look: words::state(alert),
            severity: words::severity(alert.details.severity, standing.state != AlertState::Resolved),
            started_at: standing.started_at,
            lasted: lasted.unwrap_or_else(|| "goes on".to_owned()),
            taken_by: alert.acknowledgement.as_ref().map_or_else(|| "nobody".to_owned(), |note| who(&note.by)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_of_alerts_is_read_back_and_nonsense_is_refused() {
        let order: ShownAlerts = "12.15_18_".parse().expect("an order");
        assert_eq!(order.0, [vec![12, 15], vec![18], vec![]]);
        assert!(order.has(18) && !order.has(13));
        for wrong in ["x", "1_2_3_4", "1.x"] {
            assert_eq!(wrong.parse::<ShownAlerts>(), Err(InvalidCursor), "{wrong}");
        }
        let long = vec!["1"; MOST + 1].join(".");
        assert_eq!(long.parse::<ShownAlerts>(), Err(InvalidCursor));
    }
}
