//! Figures of the buses as Prometheus text, for those who scrape them into a store of their own. Opt-in, and bounded.
//!
//! Durations are told as quantiles of the last minutes and not as histograms. A classic histogram has limits that somebody chose before
//! anything was measured, and must only ever grow, over restarts and whichever instance counts; a native one has no form in this text. Our
//! histograms tell any quantile within 2.2 %, so four of them say more with fewer series. What they cannot do is to be added up over
//! topics; `/api/v1/series?merged=true` does that.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use prometheus::{Encoder, GaugeVec, Opts, Registry, TextEncoder};

use crate::model::figure::{Figure, FigureKind, SeriesKey};

/// Series of one scrape; beyond, of figures with many the smallest names stay and [`LEFT_OUT`] says how many do not.
const MOST: usize = 10_000;
const LEFT_OUT: &str = "redrive_bus_figures_left_out";
/// Quantiles of durations, as the label tells them.
pub const QUANTILES: [(&str, f64); 4] = [("0.5", 0.5), ("0.9", 0.9), ("0.95", 0.95), ("0.99", 0.99)];

/// A number of a series.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The series.
    pub key: SeriesKey,
    /// What of it.
    pub part: Part,
    /// The number.
    pub value: f64,
}

/// What a number is of its series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The figure itself.
    Value,
    /// A quantile of durations, by the word of [`QUANTILES`].
    Quantile(&'static str),
    /// How many durations the quantiles are of.
    Measured,
}

/// Labels and a number.
type Row<'a> = (BTreeMap<&'static str, &'a str>, f64);

/// Samples as text; each series and part once.
#[must_use]
pub fn encode(mut samples: Vec<Sample>) -> String {
    samples.sort_by(|a, b| (&a.key, a.part).cmp(&(&b.key, b.part)));
    let mut by_metric: BTreeMap<(Figure, bool), Vec<Row<'_>>> = BTreeMap::new();
    for Sample { key, part, value } in &samples {
        let mut labels: BTreeMap<&'static str, &str> = key.labels.pairs().into_iter().collect();
        if let Part::Quantile(quantile) = part {
            labels.insert("quantile", quantile);
        }
        by_metric.entry((key.figure, *part == Part::Measured)).or_default().push((labels, *value));
    }
    let left_out = bound(&mut by_metric);
    let registry = Registry::new();
    for ((figure, is_count), rows) in by_metric {
        let names: Vec<&str> = rows.iter().flat_map(|(labels, _)| labels.keys().copied()).collect::<BTreeSet<_>>().into_iter().collect();
        let Ok(gauge) = GaugeVec::new(opts(figure, is_count), &names) else { continue };
        for (labels, value) in rows {
            let values: Vec<&str> = names.iter().map(|name| labels.get(name).copied().unwrap_or_default()).collect();
            gauge.with_label_values(&values).set(value);
        }
        // Each figure is registered once, so this cannot collide.
        let _ = registry.register(Box::new(gauge));
    }
    let mut text = Vec::new();
    if let Err(error) = TextEncoder::new().encode(&registry.gather(), &mut text) {
        tracing::error!(%error, "bus figures could not be written");
    }
    let mut text = String::from_utf8(text).unwrap_or_default();
    let _ = write!(text, "# HELP {LEFT_OUT} Series beyond the limit of one scrape.\n# TYPE {LEFT_OUT} gauge\n{LEFT_OUT} {left_out}\n");
    text
}

fn opts(figure: Figure, is_count: bool) -> Opts {
    let words = figure.as_str().replace('_', " ");
    let help = match (figure.kind(), is_count) {
        (FigureKind::Durations, false) => format!("{words}: quantiles of the last five minutes."),
        (FigureKind::Durations, true) => format!("{words}: how many the quantiles of the last five minutes are of."),
        _ => format!("{words} in {}.", figure.unit()),
    };
    Opts::new(format!("redrive_{figure}{}", if is_count { "_measured" } else { "" }), help)
}

/// Cuts to [`MOST`] rows and answers how many went. Figures with few series stay whole: a bus with a hundred thousand partitions must not
/// hide whether it can be reached.
fn bound<K>(by_metric: &mut BTreeMap<K, Vec<Row<'_>>>) -> usize {
    let mut smallest: Vec<&mut Vec<Row<'_>>> = by_metric.values_mut().collect();
    smallest.sort_by_key(|rows| rows.len());
    let (mut room, mut left_out, mut waiting) = (MOST, 0, smallest.len());
    for rows in smallest {
        let share = rows.len().min(room / waiting);
        left_out += rows.len() - share;
        rows.truncate(share);
        (room, waiting) = (room - share, waiting - 1);
    }
    left_out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::figure::Labels;

    fn sample(topic: &str, value: f64) -> Sample {
        let labels = Labels::bus(&"prod".into()).topic(&topic.into());
        Sample { key: SeriesKey { figure: Figure::TopicMessagesPerSecond, labels }, part: Part::Value, value }
    }

    #[test]
    fn figures_have_their_own_names_and_labels_and_odd_names_are_escaped() {
        let text = encode(vec![sample("or\"ders\n", 4.5), sample("payments", 0.0)]);
        assert!(text.contains("redrive_topic_messages_per_second{bus=\"prod\",topic=\"or\\\"ders\\n\"} 4.5"), "{text}");
        assert!(text.contains("redrive_topic_messages_per_second{bus=\"prod\",topic=\"payments\"} 0"), "{text}");
        assert!(text.ends_with("redrive_bus_figures_left_out 0\n"), "{text}");
    }

    #[test]
    fn durations_are_quantiles_and_how_many_they_are_of() {
        let key = SeriesKey { figure: Figure::EndToEndDurationSeconds, labels: Labels::bus(&"prod".into()).topic(&"orders".into()) };
        let part = |part, value| Sample { key: key.clone(), part, value };
        let text = encode(vec![part(Part::Measured, 120.0), part(Part::Quantile("0.99"), 2.5), part(Part::Quantile("0.5"), 0.25)]);
        for line in [
            "redrive_end_to_end_duration_seconds{bus=\"prod\",quantile=\"0.5\",topic=\"orders\"} 0.25",
            "redrive_end_to_end_duration_seconds{bus=\"prod\",quantile=\"0.99\",topic=\"orders\"} 2.5",
            "redrive_end_to_end_duration_seconds_measured{bus=\"prod\",topic=\"orders\"} 120",
        ] {
            assert!(text.lines().any(|other| other == line), "{line} in\n{text}");
        }
    }

    #[test]
    fn what_is_too_much_for_one_scrape_is_counted_and_hides_no_small_figure() {
        let mut samples: Vec<Sample> = (0..MOST + 5).map(|n| sample(&format!("t{n}"), 1.0)).collect();
        let labels = Labels::bus(&"prod".into());
        samples.push(Sample { key: SeriesKey { figure: Figure::BusReachable, labels }, part: Part::Value, value: 1.0 });
        let text = encode(samples);
        assert!(text.contains("redrive_bus_reachable{bus=\"prod\"} 1"), "the smallest is whole");
        assert!(text.ends_with("redrive_bus_figures_left_out 6\n"));
        assert_eq!(text.lines().filter(|line| line.starts_with("redrive_topic_messages_per_second{")).count(), MOST - 1);
    }
}
