//! The form that starts a replay: what it shows, and what a person has typed into it.

use serde::Deserialize;

use super::super::super::view::number::grouped;
use super::super::replays::CANARY;
use crate::model::replay::{Canary, ReplaySettings};

/// Messages per second that may be asked for.
const RATES: (u64, u64) = (1, 1_000_000);
/// Messages of a canary.
const CANARIES: (u64, u64) = (1, 100_000);
/// Seconds that a canary may settle.
const SETTLES: (u64, u64) = (0, 86_400);
/// How far a group may be behind.
const LAGS: (u64, u64) = (0, 1_000_000_000_000);

/// Fields as a browser sends them, and as they come back when one of them is wrong.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a box to tick")]
pub(super) struct StartForm {
    pub(super) rate: String,
    pub(super) canary: bool,
    pub(super) canary_count: String,
    pub(super) canary_settle: String,
    pub(super) stop_failed: bool,
    pub(super) stop_failed_percent: String,
    pub(super) stop_lag: bool,
    pub(super) stop_lag_messages: String,
    pub(super) accept: bool,
    #[serde(skip)]
    problems: Vec<(&'static str, String)>,
}

impl StartForm {
    /// What was planned, before anybody has typed.
    pub(super) fn of(settings: &ReplaySettings) -> Self {
        let canary = settings.canary.unwrap_or(Canary { count: CANARY, settle_ms: 60_000 });
        let percent = (settings.failed_again_limit.unwrap_or(0.05) * 10_000.0).round() / 100.0;
        Self {
            rate: settings.rate.map_or_else(String::new, |rate| rate.to_string()),
            canary: settings.canary.is_some(),
            canary_count: canary.count.to_string(),
            canary_settle: canary.settle_ms.div_ceil(1_000).to_string(),
            stop_failed: settings.failed_again_limit.is_some(),
            stop_failed_percent: percent.to_string(),
            stop_lag: settings.lag_limit.is_some(),
            stop_lag_messages: settings.lag_limit.unwrap_or(10_000).to_string(),
            accept: false,
            problems: Vec::new(),
        }
    }

    /// What is decided; `None` when a field is wrong, and then the form says which. A field whose box is not ticked does not matter.
    pub(super) fn settings(&mut self, planned: &ReplaySettings) -> Option<ReplaySettings> {
        let mut problems = Vec::new();
        let mut number = |name, text: &str, bounds| {
            whole(text, bounds).unwrap_or_else(|| {
                problems.push((name, format!("A whole number from {} to {}", grouped(bounds.0), grouped(bounds.1))));
                bounds.0
            })
        };
        let small = |number| u32::try_from(number).unwrap_or(u32::MAX);
        let rate = (!self.rate.trim().is_empty()).then(|| small(number("rate", &self.rate, RATES)));
        let canary = self.canary.then(|| Canary {
            count: small(number("canary_count", &self.canary_count, CANARIES)),
            settle_ms: number("canary_settle", &self.canary_settle, SETTLES) * 1_000,
        });
        let lag_limit = self.stop_lag.then(|| number("stop_lag_messages", &self.stop_lag_messages, LAGS));
        let percent = self.stop_failed_percent.trim().parse::<f64>().ok().filter(|percent| (0.0..=100.0).contains(percent));
        if self.stop_failed && percent.is_none() {
            problems.push(("stop_failed_percent", "A share from 0 to 100 percent".to_owned()));
        }
        let failed_again_limit = percent.filter(|_| self.stop_failed).map(|percent| percent / 100.0);
        self.problems = problems;
        self.problems.is_empty().then(|| ReplaySettings { rate, canary, failed_again_limit, lag_limit, ..planned.clone() })
    }

    /// What is decided where nothing but the rate is asked; `None` when it is wrong.
    pub(super) fn rate_alone(&mut self) -> Option<ReplaySettings> {
        let unasked = Self { canary: false, stop_failed: false, stop_lag: false, ..self.clone() };
        *self = unasked;
        self.settings(&ReplaySettings::default())
    }

    /// Whether a field is wrong.
    pub(super) const fn is_wrong(&self) -> bool {
        !self.problems.is_empty()
    }

    /// Where the cursor begins: in the first field that is wrong.
    pub(super) fn begins_at(&self, name: &str) -> bool {
        self.problems.first().is_some_and(|(field, _)| *field == name)
    }

    /// What is wrong with a field.
    pub(super) fn problem(&self, name: &str) -> Option<&String> {
        self.problems.iter().find(|(field, _)| *field == name).map(|(_, text)| text)
    }
}

/// A whole number as people type it, with or without commas.
fn whole(text: &str, (from, to): (u64, u64)) -> Option<u64> {
    text.replace([',', ' '], "").parse().ok().filter(|number| (from..=to).contains(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_planned_is_what_the_form_decides() {
        let planned = ReplaySettings {
            canary: Some(Canary { count: 5, settle_ms: 2_000 }),
            failed_again_limit: Some(0.025),
            attempt_limit: 7,
            ..ReplaySettings::default()
        };
        let mut form = StartForm::of(&planned);
        assert_eq!(form.stop_failed_percent, "2.5");
        assert_eq!(form.settings(&planned), Some(planned.clone()));
        let none = ReplaySettings { rate: None, canary: None, failed_again_limit: None, lag_limit: None, ..planned };
        assert_eq!(StartForm::of(&none).settings(&none), Some(none.clone()));
    }

    #[test]
    fn every_wrong_field_is_named_and_nothing_is_lost() {
        let planned = ReplaySettings::default();
        let mut form = StartForm {
            rate: "fast".to_owned(),
            canary_count: "0".to_owned(),
            canary_settle: "-1".to_owned(),
            stop_failed_percent: "101".to_owned(),
            stop_lag_messages: String::new(),
            ..StartForm::of(&planned)
        };
        assert_eq!(form.settings(&planned), None);
        for name in ["rate", "canary_count", "canary_settle", "stop_failed_percent", "stop_lag_messages"] {
            assert!(form.problem(name).is_some(), "{name}");
        }
        assert_eq!(form.rate, "fast");
        // What is switched off is not read.
        form = StartForm { rate: "1,000".to_owned(), canary: false, stop_failed: false, stop_lag: false, ..form };
        assert_eq!(form.settings(&planned).map(|settings| settings.rate), Some(Some(1_000)));
    }
}
