//! What series have to say, and what several have to say together.

use crate::alerts::state::Observation;
use crate::metrics::bucket::Bucket;
use crate::metrics::histogram::Histogram;
use crate::model::alert::Terms;
use crate::model::figure::Figure;

/// Quantile of durations unless told.
const USUAL_QUANTILE: f64 = 0.95;

/// What one or several series have to say.
#[derive(Debug, Clone, PartialEq)]
pub enum Reading {
    /// A level, a rate or a count.
    Number(f64),
    /// Events, and those of them that went wrong.
    Share {
        /// Those that went wrong.
        part: f64,
        /// All of them.
        whole: f64,
    },
    /// Shares over a long and a short window.
    Burn {
        /// Wrong and all of the long window.
        long: (f64, f64),
        /// Wrong and all of the short window.
        short: (f64, f64),
    },
    /// A rate over this window, which is always there, and over earlier ones in the order of their places; several series have the same
    /// windows, and those in which nothing was and nothing is news may be left out.
    Windows(Vec<OneWindow>),
    /// Durations.
    Durations(Box<Histogram>),
}

/// A rate over one window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OneWindow {
    /// Which window: the newest is 0, and the same place is the same window for all series.
    pub place: usize,
    /// The rate.
    pub value: f64,
    /// Whether something of it was not known when it was this one.
    pub news: bool,
}

/// Figures whose series say nothing while nothing happens: what is not there is none.
#[must_use]
pub const fn is_sparse(figure: Figure) -> bool {
    matches!(
        figure,
        Figure::DeadLettersPerMinute
            | Figure::DeadLettersOpen
            | Figure::DeadLettersOldestOpenSeconds
            | Figure::FailureGroupsNew
            | Figure::FailureGroupsReturned
            | Figure::ReplayFailedAgainRatio
            | Figure::ReplayFailures
            | Figure::ReplayOutcomes
            | Figure::RecordsLost
            | Figure::ConsumerGroupStatusSeconds
            | Figure::DeliveriesFailing
    )
}

/// The figures of which a share is made: all, and those that went wrong.
#[must_use]
pub const fn parts_of(figure: Figure) -> Option<(Figure, Figure)> {
    match figure {
        Figure::SpansErrorRatio => Some((Figure::SpansPerSecond, Figure::SpanErrorsPerSecond)),
        Figure::ReplayFailedAgainRatio => Some((Figure::ReplayOutcomes, Figure::ReplayFailures)),
        _ => None,
    }
}

/// Whether several series of a figure make a sum; of the others the worst counts.
const fn is_additive(figure: Figure) -> bool {
    matches!(
        figure,
        Figure::TopicMessagesPerSecond
            | Figure::BusMessagesPerSecond
            | Figure::ConsumerGroupMessagesPerSecond
            | Figure::ConsumerGroupLagMessages
            | Figure::RecordsLost
            | Figure::DeadLettersPerMinute
            | Figure::DeadLettersOpen
            | Figure::FailureGroupsNew
            | Figure::FailureGroupsReturned
            | Figure::SpansPerSecond
            | Figure::SpanErrorsPerSecond
            | Figure::ReplayOutcomes
            | Figure::ReplayFailures
            | Figure::DeliveriesFailing
    )
}

/// What a look shows that read this, or nothing. `alive`: the source is heard of, and what happens there would be known.
#[must_use]
pub fn observation(terms: &Terms, reading: Option<&Reading>, alive: bool) -> Observation {
    match reading.map(|reading| reading.value(terms)) {
        // A window empties while nobody looks. What is known is at least what happened: too much of it is too much, and all else is unknown.
        Some(Some(value)) if !alive && empties(terms) && !is_too_much(terms, value) => Observation::Missing,
        Some(Some(value)) => Observation::Value(value),
        Some(None) | None if is_sparse(terms.figure) && (alive || !needs_source(terms.figure)) => Observation::Value(0.0),
        None if alive => Observation::Gone,
        Some(None) | None => Observation::Missing,
    }
}

fn is_too_much(terms: &Terms, value: f64) -> bool {
    terms.comparison.is_upwards() && terms.comparison.holds(value, terms.threshold)
}

/// Whether nothing can be told of a sparse figure while its bus does not answer; the others stand in our own tables.
#[must_use]
pub const fn needs_source(figure: Figure) -> bool {
    matches!(
        figure,
        Figure::RecordsLost
            | Figure::ConsumerGroupStatusSeconds
            | Figure::DeadLettersPerMinute
            | Figure::FailureGroupsNew
            | Figure::FailureGroupsReturned
            | Figure::ReplayFailedAgainRatio
            | Figure::ReplayOutcomes
            | Figure::ReplayFailures
    )
}

/// Whether a rule counts what happens in a window, so that silence looks like calm. Rates are taken over the time that was looked at.
#[must_use]
pub const fn empties(terms: &Terms) -> bool {
    terms.burn_rate.is_some() || (needs_source(terms.figure) && !matches!(terms.figure, Figure::ConsumerGroupStatusSeconds))
}

impl Reading {
    /// What a bucket of a series has to say; `None` for a rate of no time, and for levels of what is counted: an older version, which may
    /// still run beside this one, told lost records so.
    #[must_use]
    pub fn of(figure: Figure, bucket: &Bucket) -> Option<Self> {
        Some(match bucket {
            Bucket::Level { .. } if figure.is_few() => return None,
            Bucket::Level { last, .. } => Self::Number(*last),
            Bucket::Count { total, .. } if figure.is_few() => Self::Number(*total),
            Bucket::Count { .. } => Self::Number(bucket.value(0.5)?),
            Bucket::Durations(histogram) => Self::Durations(Box::new(histogram.clone())),
        })
    }

    /// Adds what another series of the same alert has to say.
    pub fn add(&mut self, other: &Self, terms: &Terms) {
        match (self, other) {
            (Self::Number(sum), Self::Number(other)) if is_additive(terms.figure) => *sum += other,
            (Self::Number(worst), Self::Number(other)) => {
                *worst = if terms.comparison.is_upwards() { worst.max(*other) } else { worst.min(*other) };
            }
            (Self::Share { part, whole }, Self::Share { part: p, whole: w }) => (*part, *whole) = (*part + p, *whole + w),
            (Self::Burn { long, short }, Self::Burn { long: l, short: s }) => {
                *long = (long.0 + l.0, long.1 + l.1);
                *short = (short.0 + s.0, short.1 + s.1);
            }
            (Self::Windows(sums), Self::Windows(others)) => {
                for other in others {
                    match sums.binary_search_by_key(&other.place, |window| window.place) {
                        Ok(at) => {
                            sums[at].value += other.value;
                            sums[at].news |= other.news;
                        }
                        Err(at) => sums.insert(at, *other),
                    }
                }
            }
            (Self::Durations(histogram), Self::Durations(other)) => histogram.merge(other),
            _ => {}
        }
    }

    /// The value that is compared; `None` where nothing happened of which there could be a share or a quantile.
    #[must_use]
    pub fn value(&self, terms: &Terms) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            // Too few arrive now or not at all; too many may have arrived unseen.
            Self::Windows(windows) if terms.comparison.is_upwards() => {
                windows.iter().filter(|window| window.news).map(|window| window.value).reduce(f64::max)
            }
            Self::Windows(windows) => windows.first().map(|window| window.value),
            Self::Share { part, whole } => share(*part, *whole),
            Self::Burn { long, short } => {
                let burn = terms.burn_rate?;
                #[expect(clippy::cast_precision_loss, reason = "a count of events")]
                let enough = long.1 >= burn.minimum_count as f64;
                if !enough {
                    return Some(0.0);
                }
                let budget = (1.0 - burn.objective).max(f64::EPSILON);
                let rate = |(part, whole): (f64, f64)| share(part, whole).unwrap_or(0.0) / budget;
                Some(rate(*long).min(rate(*short)))
            }
            Self::Durations(histogram) => histogram.quantile(terms.quantile.unwrap_or(USUAL_QUANTILE)),
        }
    }
}

fn share(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| (part / whole).clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::super::tests::terms;
    use super::*;
    use crate::model::alert::{BurnRate, Comparison};

    #[test]
    fn what_empties_while_nobody_looks_is_no_calm() {
        let rule = |figure, comparison| Terms { figure, comparison, threshold: 10.0, ..terms() };
        let number = Reading::Number;
        for figure in [Figure::DeadLettersPerMinute, Figure::FailureGroupsNew, Figure::FailureGroupsReturned, Figure::RecordsLost] {
            let above = rule(figure, Comparison::Above);
            for (reading, alive, seen) in [
                (Some(number(11.0)), false, Observation::Value(11.0)),
                (Some(number(9.0)), false, Observation::Missing),
                (None, false, Observation::Missing),
                (Some(number(9.0)), true, Observation::Value(9.0)),
                (None, true, Observation::Value(0.0)),
            ] {
                assert_eq!(observation(&above, reading.as_ref(), alive), seen, "{figure}, alive: {alive}");
            }
            let below = rule(figure, Comparison::Below);
            assert_eq!(observation(&below, Some(&number(9.0)), false), Observation::Missing, "{figure}: more may have come");
        }
        // What lies in our own tables is known whoever answers, and levels and rates are what they are.
        let open = rule(Figure::DeadLettersOpen, Comparison::Above);
        assert_eq!(observation(&open, None, false), Observation::Value(0.0));
        let rate = rule(Figure::TopicMessagesPerSecond, Comparison::Above);
        assert_eq!(observation(&rate, Some(&number(9.0)), false), Observation::Value(9.0));
        assert_eq!(observation(&rate, None, false), Observation::Missing);
    }

    #[test]
    fn what_is_counted_is_no_level() {
        use crate::metrics::bucket::Point;
        let of = |point| Reading::of(Figure::RecordsLost, &Bucket::of(point, 15_000));
        assert_eq!((of(Point::Level(30.0)), of(Point::Count(30.0))), (None, Some(Reading::Number(30.0))));
    }

    #[test]
    fn a_budget_of_which_nothing_is_heard_is_not_saved() {
        let burn = BurnRate { objective: 0.9, long_ms: 3_600_000, short_ms: 300_000, factor: 2.0, minimum_count: 1 };
        let terms =
            Terms { figure: Figure::SpansErrorRatio, burn_rate: Some(burn), threshold: 2.0, comparison: Comparison::Above, ..terms() };
        let silent = Reading::Burn { long: (50.0, 100.0), short: (0.0, 0.0) };
        assert_eq!(observation(&terms, Some(&silent), true), Observation::Value(0.0));
        assert_eq!(observation(&terms, Some(&silent), false), Observation::Missing);
    }

    #[test]
    fn of_several_windows_the_worst_that_is_news_counts_for_all_series_together() {
        let windows = |values: &[(f64, bool)]| {
            let window = |(place, (value, news)): (usize, &(f64, bool))| OneWindow { place, value: *value, news: *news };
            Reading::Windows(values.iter().enumerate().map(window).collect())
        };
        let above = Terms { figure: Figure::DeadLettersPerMinute, comparison: Comparison::Above, ..terms() };
        let mut sum = windows(&[(1.0, true), (50.0, false), (4.0, true), (9.0, false)]);
        assert_eq!(sum.value(&above), Some(4.0));
        sum.add(&windows(&[(2.0, true), (0.0, false), (0.0, false), (1.0, true)]), &above);
        assert_eq!(sum, windows(&[(3.0, true), (50.0, false), (4.0, true), (10.0, true)]));
        assert_eq!(sum.value(&above), Some(10.0));
        let some = [OneWindow { place: 0, value: 1.0, news: true }, OneWindow { place: 4, value: 20.0, news: true }];
        sum.add(&Reading::Windows(some.to_vec()), &above);
        assert_eq!(
            sum,
            windows(&[(4.0, true), (50.0, false), (4.0, true), (10.0, true), (20.0, true)]),
            "those that are left out are zero"
        );
        assert_eq!(sum.value(&above), Some(20.0));
        assert_eq!(sum.value(&Terms { comparison: Comparison::Below, ..above }), Some(4.0), "too few: only now counts");
    }
}
