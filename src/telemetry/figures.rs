//! Figures of the buses as Prometheus text, for those who scrape them into a store of their own. Opt-in, and bounded.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use prometheus::{Encoder, GaugeVec, Opts, Registry, TextEncoder};

use crate::model::figure::{Figure, SeriesKey};

/// Series of one scrape; beyond, the smallest names stay and [`LEFT_OUT`] says how many do not.
const MOST: usize = 10_000;
const LEFT_OUT: &str = "redrive_bus_figures_left_out";

/// Labels and a number.
type Sample<'a> = (BTreeMap<&'static str, &'a str>, f64);

/// The newest sample of every series as text.
#[must_use]
pub fn encode(mut samples: Vec<(SeriesKey, f64)>) -> String {
    samples.sort_by(|(a, _), (b, _)| a.cmp(b));
    let left_out = samples.len().saturating_sub(MOST);
    samples.truncate(MOST);
    let mut by_figure: BTreeMap<Figure, Vec<Sample<'_>>> = BTreeMap::new();
    for (key, value) in &samples {
        by_figure.entry(key.figure).or_default().push((key.labels.pairs().into_iter().collect(), *value));
    }
    let registry = Registry::new();
    for (figure, rows) in by_figure {
        let names: Vec<&str> = rows.iter().flat_map(|(labels, _)| labels.keys().copied()).collect::<BTreeSet<_>>().into_iter().collect();
        let opts = Opts::new(format!("redrive_{figure}"), format!("{} in {}.", figure.as_str().replace('_', " "), figure.unit()));
        let Ok(gauge) = GaugeVec::new(opts, &names) else { continue };
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::figure::Labels;

    fn sample(topic: &str, value: f64) -> (SeriesKey, f64) {
        let labels = Labels::bus(&"prod".into()).topic(&topic.into());
        (SeriesKey { figure: Figure::TopicMessagesPerSecond, labels }, value)
    }

    #[test]
    fn figures_have_their_own_names_and_labels_and_odd_names_are_escaped() {
        let text = encode(vec![sample("or\"ders\n", 4.5), sample("payments", 0.0)]);
        assert!(text.contains("redrive_topic_messages_per_second{bus=\"prod\",topic=\"or\\\"ders\\n\"} 4.5"), "{text}");
        assert!(text.contains("redrive_topic_messages_per_second{bus=\"prod\",topic=\"payments\"} 0"), "{text}");
        assert!(text.ends_with("redrive_bus_figures_left_out 0\n"), "{text}");
    }

    #[test]
    fn what_is_too_much_for_one_scrape_is_counted() {
        let text = encode((0..MOST + 5).map(|n| sample(&format!("t{n}"), 1.0)).collect());
        assert!(text.ends_with("redrive_bus_figures_left_out 5\n"));
    }
}
