//! From the form to a rule. Everything that cannot be read is told at once, each at its field.

use std::collections::BTreeMap;

use super::{Fields, Problems};
use crate::alerts::defaults::usual;
use crate::alerts::rule::{is_windowed, labels_of};
use crate::config::values::parse_duration;
use crate::model::alert::{BurnRate, Comparison, Filter, Label, NoData, Severity, Terms};
use crate::model::figure::{Figure, FigureKind};
use crate::store::alerts::rules::NewRule;

impl Fields {
    /// What was decided, with everything that cannot be read.
    pub(in crate::web::pages) fn parse(&self) -> (NewRule, Problems) {
        let mut problems = Problems::default();
        let figure = self.figure.parse().unwrap_or_else(|_| {
            problems.add("figure", "There is no such figure.");
            Figure::DeadLettersPerMinute
        });
        let base = usual(figure, Comparison::Above, 0.0);
        let unit = if self.burn { "times the error budget" } else { figure.unit() };
        let threshold = Self::value("threshold", &self.threshold, unit, &mut problems).unwrap_or(0.0);
        let clear = if self.clear_threshold.trim().is_empty() {
            None
        } else {
            Self::value("clear_threshold", &self.clear_threshold, unit, &mut problems)
        };
        let quantile = (figure.kind() == FigureKind::Durations)
            .then(|| read(&self.quantile, "quantile", "A share between 0 and 1, such as 0.95.", &mut problems));
        let terms = Terms {
            quantile: quantile.flatten(),
            filter: self.read_filter(figure),
            by: words_of(&self.by, "by", &mut problems),
            window_ms: if is_windowed(figure) { millis(&self.window, "window", &mut problems) } else { base.window_ms },
            burn_rate: self.burn.then(|| self.burn_rate(threshold, &mut problems)),
            comparison: self.comparison.parse().unwrap_or(Comparison::Above),
            threshold,
            clear_threshold: clear,
            for_ms: millis(&self.wait, "for", &mut problems),
            keep_firing_for_ms: millis(&self.keep_firing_for, "keep_firing_for", &mut problems),
            no_data: self.no_data.parse().unwrap_or(NoData::Keep),
            no_data_after_ms: millis(&self.no_data_after, "no_data_after", &mut problems),
            severity: self.severity.parse().unwrap_or(Severity::Warning),
            labels: self.read_labels(&mut problems),
            summary: self.summary.trim().to_owned(),
            runbook_url: optional(&self.runbook_url),
            owner: optional(&self.owner),
            receivers: self.receivers.iter().filter_map(|id| id.parse().ok()).collect(),
            group_by: words_of(&self.group_by, "group_by", &mut problems),
            group_wait_ms: millis(&self.group_wait, "group_wait", &mut problems),
            group_interval_ms: millis(&self.group_interval, "group_interval", &mut problems),
            repeat_interval_ms: millis(&self.repeat_interval, "repeat_interval", &mut problems),
            ..base
        };
        (NewRule { name: self.name.trim().to_owned(), enabled: self.enabled, terms }, problems)
    }

    fn read_filter(&self, figure: Figure) -> Filter {
        let pattern = |label: &Label| Some((*label, optional(self.filter(*label))?));
        labels_of(figure).iter().filter_map(pattern).collect()
    }

    fn burn_rate(&self, factor: f64, problems: &mut Problems) -> BurnRate {
        let percent: Option<f64> = read(&self.objective, "objective", "A number of percent below 100, such as 99.9.", problems);
        BurnRate {
            objective: percent.map_or(0.999, |percent| percent / 100.0),
            long_ms: millis(&self.long, "long", problems),
            short_ms: millis(&self.short, "short", problems),
            factor,
            minimum_count: read(&self.minimum_count, "minimum_count", "A whole number of events.", problems).unwrap_or(1),
        }
    }

    fn value(field: &str, text: &str, unit: &str, problems: &mut Problems) -> Option<f64> {
        let text = text.trim().trim_end_matches('%').trim();
        let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
        let value = match unit {
            "ratio" => number.map(|percent| percent / 100.0),
            "seconds" => number.or_else(|| parse_duration(text).map(|time| time.as_secs_f64())),
            _ => number,
        };
        if value.is_none() {
            let wanted = match unit {
                "seconds" => "A length of time such as 5m, or a number of seconds.",
                "ratio" => "A number of percent, such as 20.",
                _ => "A number.",
            };
            problems.add(field, wanted);
        }
        value
    }

    fn read_labels(&self, problems: &mut Problems) -> BTreeMap<String, String> {
        let mut labels = BTreeMap::new();
        for line in self.labels.lines().map(str::trim).filter(|line| !line.is_empty()) {
            match line.split_once('=') {
                Some((name, value)) => {
                    labels.insert(name.trim().to_owned(), value.trim().to_owned());
                }
                None => problems.add("labels", "One label on each line, such as team=payments."),
            }
        }
        labels
    }
}

fn optional(text: &str) -> Option<String> {
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn read<T: std::str::FromStr>(text: &str, field: &str, wanted: &str, problems: &mut Problems) -> Option<T> {
    let value = text.trim().parse().ok();
    if value.is_none() {
        problems.add(field, wanted);
    }
    value
}

fn words_of<T: std::str::FromStr>(words: &[String], field: &str, problems: &mut Problems) -> Vec<T> {
    let read: Vec<T> = words.iter().filter_map(|word| word.parse().ok()).collect();
    if read.len() < words.len() {
        problems.add(field, "One of these is not known.");
    }
    read
}

fn millis(text: &str, field: &str, problems: &mut Problems) -> u64 {
    let text = if text.trim().is_empty() { "0s" } else { text.trim() };
    let Some(length) = parse_duration(text) else {
        problems.add(field, "A length of time such as 90s or 5m.");
        return 0;
    };
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}
