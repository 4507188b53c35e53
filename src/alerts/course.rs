//! The values that a rule saw, look by look: what a drawing of an alert or of a trial shows. Pure.

use std::collections::BTreeMap;

use super::rule::{Reading, alert_labels, is_sparse};
use super::trying::Recorded;
use crate::model::alert::Terms;

/// A value per look; `None` where nothing is known.
pub type Course = Vec<Option<f64>>;

/// The values of each alert that a rule watches, by its labels.
#[must_use]
pub fn courses(terms: &Terms, looks: usize, series: &[Recorded]) -> BTreeMap<BTreeMap<String, String>, Course> {
    let mut sums: BTreeMap<BTreeMap<String, String>, Vec<Option<Reading>>> = BTreeMap::new();
    for (labels, readings) in series {
        let of = sums.entry(alert_labels(&terms.by, labels)).or_insert_with(|| vec![None; looks]);
        for (sum, reading) in of.iter_mut().zip(readings) {
            match (sum.as_mut(), reading) {
                (Some(sum), Some(reading)) => sum.add(reading, terms),
                (None, Some(reading)) => *sum = Some(reading.clone()),
                (_, None) => {}
            }
        }
    }
    let value = |reading: Option<Reading>| match reading {
        Some(reading) => reading.value(terms),
        // Nothing of what only counts when it happens is none of it.
        None => is_sparse(terms.figure).then_some(0.0),
    };
    sums.into_iter().map(|(labels, readings)| (labels, readings.into_iter().map(value).collect())).collect()
}

/// The worst of several at each look.
#[must_use]
pub fn worst<'a>(terms: &Terms, courses: impl Iterator<Item = &'a Course>) -> Course {
    let mut worst: Course = Vec::new();
    for course in courses {
        worst.resize(worst.len().max(course.len()), None);
        for (known, value) in worst.iter_mut().zip(course) {
            *known = worse(terms, *known, *value);
        }
    }
    worst
}

/// Fewer values: of each `together` the worst.
#[must_use]
pub fn coarser(terms: &Terms, course: &[Option<f64>], together: usize) -> Course {
    course.chunks(together.max(1)).map(|some| some.iter().fold(None, |worst, value| worse(terms, worst, *value))).collect()
}

fn worse(terms: &Terms, one: Option<f64>, other: Option<f64>) -> Option<f64> {
    match (one, other) {
        (Some(one), Some(other)) if terms.comparison.is_upwards() => Some(one.max(other)),
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::super::rule::tests::terms;
    use super::*;
    use crate::model::alert::{Comparison, Label};
    use crate::model::figure::Labels;

    fn group(name: &str, topic: &str, values: &[Option<f64>]) -> Recorded {
        let labels = Labels::bus(&"prod".into()).consumer_group(&name.into()).topic(&topic.into());
        (labels, values.iter().map(|value| value.map(Reading::Number)).collect())
    }

    #[test]
    fn series_of_one_alert_are_added_up_and_the_worst_is_drawn() {
        let terms = Terms { by: vec![Label::ConsumerGroup], ..terms() };
        let series = [
            group("a", "x", &[Some(1.0), None, Some(3.0)]),
            group("a", "y", &[Some(2.0), None, None]),
            group("b", "x", &[Some(1.0), Some(9.0), None]),
        ];
        let courses = courses(&terms, 3, &series);
        let of = |name: &str| courses.iter().find(|(labels, _)| labels["consumer_group"] == name).map(|(_, course)| course.clone());
        assert_eq!(of("a"), Some(vec![Some(3.0), None, Some(3.0)]));
        let worst = worst(&terms, courses.values());
        assert_eq!(worst, [Some(3.0), Some(9.0), Some(3.0)]);
        assert_eq!(coarser(&terms, &worst, 2), [Some(9.0), Some(3.0)]);
        let below = Terms { comparison: Comparison::Below, ..terms };
        assert_eq!(coarser(&below, &worst, 3), [Some(3.0)]);
    }
}
