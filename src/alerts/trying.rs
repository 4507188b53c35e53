//! What a rule would have done: the same steps as when it is evaluated, over what was recorded.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::rule::{Reading, alert_labels, needs_source, observation};
use super::state::{PATIENCE, inactive, step_with};
use crate::model::alert::{AlertState, Standing, Terms};
use crate::model::figure::Labels;
use crate::model::{BusId, Timestamp};

/// One alert that there would have been.
#[derive(Debug, Clone, PartialEq)]
pub struct Episode {
    /// What it is about.
    pub labels: BTreeMap<String, String>,
    /// Since when the condition held.
    pub pending_since: Timestamp,
    /// When it would have fired.
    pub started_at: Timestamp,
    /// When it would have been over; `None`: it would fire still.
    pub ended_at: Option<Timestamp>,
    /// The worst value in it.
    pub worst: Option<f64>,
}

/// What a rule would have done.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Trial {
    /// Alerts, by the time they would have fired.
    pub episodes: Vec<Episode>,
    /// Alerts that were watched at all.
    pub watched: usize,
    /// How long alerts would have fired, added up.
    pub firing: Duration,
    /// The longest of them.
    pub longest: Duration,
}

/// Readings of one series, one per look.
pub type Recorded = (Labels, Vec<Option<Reading>>);

/// Whether buses answered, look by look; a bus that is not in it was never asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Heard(pub BTreeMap<BusId, Vec<bool>>);

impl Heard {
    /// Whether all of these buses answered at a look; `None` where nothing was recorded of that. Of no bus in particular: whether all did.
    fn all(&self, buses: &BTreeSet<BusId>, at: usize) -> Option<bool> {
        let answered = self.0.iter().filter(|(bus, _)| buses.is_empty() || buses.contains(*bus));
        answered.map(|(_, looks)| looks.get(at).copied().unwrap_or(false)).reduce(|one, other| one && other)
    }
}

struct Watched {
    buses: BTreeSet<BusId>,
    readings: Vec<Option<Reading>>,
    standing: Standing,
    open: Option<Episode>,
}

/// Runs a rule over readings of the series that its filter lets through, one per look; `looks` are in the order of time.
#[must_use]
pub fn run(terms: &Terms, looks: &[Timestamp], series: &[Recorded], heard: &Heard) -> Trial {
    let (Some(first), Some(last)) = (looks.first(), looks.last()) else { return Trial::default() };
    let mut watched: BTreeMap<BTreeMap<String, String>, Watched> = BTreeMap::new();
    if terms.by.is_empty() {
        watched.insert(BTreeMap::new(), fresh(looks.len(), *first));
    }
    for (labels, readings) in series {
        let of = watched.entry(alert_labels(&terms.by, labels)).or_insert_with(|| fresh(looks.len(), *first));
        of.buses.extend(labels.bus.clone());
        for (sum, reading) in of.readings.iter_mut().zip(readings) {
            match (sum.as_mut(), reading) {
                (Some(sum), Some(reading)) => sum.add(reading, terms),
                (None, Some(reading)) => *sum = Some(reading.clone()),
                (_, None) => {}
            }
        }
    }
    let patience = patience(looks);
    let mut episodes = Vec::new();
    let count = watched.len();
    for (at, now) in looks.iter().enumerate() {
        let any = watched.values().any(|of| of.readings[at].is_some());
        for (labels, of) in &mut watched {
            let answered = if needs_source(terms.figure) { heard.all(&of.buses, at) } else { None };
            let seen = observation(terms, of.readings[at].as_ref(), answered.unwrap_or(any));
            let (after, _) = step_with(&of.standing, terms, seen, *now, patience);
            of.standing = after;
            note(terms, labels, of, &mut episodes, *now);
        }
    }
    episodes.extend(watched.into_values().filter_map(|of| of.open));
    episodes.sort_by(|a, b| (a.started_at, &a.labels).cmp(&(b.started_at, &b.labels)));
    let lengths = episodes.iter().map(|episode| episode.started_at.age_at(episode.ended_at.unwrap_or(*last)));
    let (firing, longest) = lengths.fold((Duration::ZERO, Duration::ZERO), |(sum, longest), length| (sum + length, longest.max(length)));
    Trial { episodes, watched: count, firing, longest }
}

fn fresh(looks: usize, now: Timestamp) -> Watched {
    Watched { buses: BTreeSet::new(), readings: vec![None; looks], standing: inactive(now), open: None }
}

/// Recorded history has fewer looks than there were.
fn patience(looks: &[Timestamp]) -> Duration {
    let step = looks.windows(2).map(|pair| pair[0].age_at(pair[1])).max().unwrap_or_default();
    PATIENCE.max(step * 2)
}

fn note(terms: &Terms, labels: &BTreeMap<String, String>, of: &mut Watched, episodes: &mut Vec<Episode>, now: Timestamp) {
    let standing = &of.standing;
    if let (AlertState::Firing, Some(started_at)) = (standing.state, standing.started_at) {
        let episode = of.open.get_or_insert_with(|| Episode {
            labels: labels.clone(),
            pending_since: standing.pending_since.unwrap_or(started_at),
            started_at,
            ended_at: None,
            worst: None,
        });
        if let Some(value) = standing.last_value {
            let worse = |known: f64| if terms.comparison.is_upwards() { known.max(value) } else { known.min(value) };
            episode.worst = Some(episode.worst.map_or(value, worse));
        }
    }
    if standing.state == AlertState::Resolved {
        if let Some(mut episode) = of.open.take() {
            episode.ended_at = standing.resolved_at;
            episodes.push(episode);
        }
        of.standing = inactive(now);
    }
}

#[cfg(test)]
mod tests {
    use super::super::rule::tests::terms;
    use super::*;
    use crate::model::alert::{Label, NoData};
    use crate::model::figure::Figure;

    fn at(minute: usize) -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000 + i64::try_from(minute).unwrap() * 60_000)
    }

    fn group(name: &str, values: &[f64]) -> Recorded {
        let number = |value: &f64| value.is_finite().then_some(Reading::Number(*value));
        (Labels::bus(&"prod".into()).consumer_group(&name.into()), values.iter().map(number).collect())
    }

    #[test]
    fn a_rule_is_tried_over_what_was_recorded() {
        let terms = Terms { for_ms: 120_000, keep_firing_for_ms: 60_000, threshold: 10.0, by: vec![Label::ConsumerGroup], ..terms() };
        let looks: Vec<Timestamp> = (0..10).map(at).collect();
        let series = [
            group("billing", &[0.0, 11.0, 12.0, 13.0, 99.0, 5.0, 5.0, 0.0, 0.0, 0.0]),
            group("shipping", &[0.0, 11.0, 12.0, 0.0, 0.0, 0.0, 0.0, 20.0, 21.0, 22.0]),
        ];
        let none = Heard::default();
        let trial = run(&terms, &looks, &series, &none);
        let brief: Vec<_> = trial
            .episodes
            .iter()
            .map(|e| (e.labels["consumer_group"].as_str(), e.pending_since, e.started_at, e.ended_at, e.worst))
            .collect();
        assert_eq!(brief, [("billing", at(1), at(3), Some(at(6)), Some(99.0)), ("shipping", at(7), at(9), None, Some(22.0)),]);
        assert_eq!((trial.watched, trial.firing, trial.longest), (2, Duration::from_mins(3), Duration::from_mins(3)));
        let quiet = run(&Terms { threshold: 1_000.0, ..terms.clone() }, &looks, &series, &none);
        assert_eq!((quiet.episodes.len(), quiet.watched), (0, 2));
        assert_eq!(run(&terms, &[], &series, &none), Trial::default());
    }

    #[test]
    fn steps_of_an_hour_do_not_stop_the_waiting() {
        let terms = Terms { for_ms: 3 * 3_600_000, threshold: 10.0, by: Vec::new(), ..terms() };
        let looks: Vec<Timestamp> = (0..6).map(|hour| at(hour * 60)).collect();
        let trial = run(&terms, &looks, &[group("a", &[11.0; 6])], &Heard::default());
        assert_eq!(trial.episodes.iter().map(|e| e.started_at).collect::<Vec<_>>(), [at(180)]);
    }

    #[test]
    fn gaps_are_as_the_rule_wants_them() {
        let gap = [11.0, f64::NAN, f64::NAN, f64::NAN, f64::NAN, 11.0];
        let looks: Vec<Timestamp> = (0..6).map(at).collect();
        let fired = |no_data| {
            let terms = Terms { threshold: 10.0, by: Vec::new(), no_data, no_data_after_ms: 60_000, ..terms() };
            run(&terms, &looks, &[group("a", &gap)], &Heard::default()).episodes.len()
        };
        assert_eq!([fired(NoData::Keep), fired(NoData::Ok), fired(NoData::Alert)], [1, 2, 1]);
    }

    #[test]
    fn a_window_that_empties_while_the_bus_does_not_answer_ends_nothing() {
        let figure = Figure::DeadLettersPerMinute;
        let terms = Terms { figure, threshold: 10.0, by: vec![Label::Bus], no_data: NoData::Keep, no_data_after_ms: 60_000, ..terms() };
        let looks: Vec<Timestamp> = (0..8).map(at).collect();
        let series = [group("a", &[0.0, 11.0, 3.0, 0.0, 0.0, 0.0, 0.0, 0.0])];
        let ended = |answered: [bool; 8]| {
            let heard = Heard(BTreeMap::from([("prod".into(), answered.to_vec())]));
            run(&terms, &looks, &series, &heard).episodes.iter().map(|episode| episode.ended_at).collect::<Vec<_>>()
        };
        assert_eq!(ended([true; 8]), [Some(at(2))]);
        assert_eq!(ended([true, false, false, false, false, true, true, true]), [Some(at(5))], "as soon as somebody knows");
        assert_eq!(ended([true, false, false, false, false, false, false, false]), [None]);
    }
}
