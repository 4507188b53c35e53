//! What a silence covers.

use std::collections::BTreeMap;

use regex::{Regex, RegexBuilder};

use super::rule::Problem;
use crate::model::Timestamp;
use crate::model::alert::{Alert, Matcher, MatcherKind, Silence};

/// A compiled expression may take so much memory.
const LARGEST: usize = 1 << 20;
const MATCHERS: usize = 20;
const LONGEST: usize = 1_000;

/// The matchers of a silence, ready to be used.
#[derive(Debug, Clone)]
pub struct Matchers(Vec<(String, Test)>);

#[derive(Debug, Clone)]
enum Test {
    Equal(String),
    NotEqual(String),
    Matches(Regex),
    MatchesNot(Regex),
}

impl Test {
    fn holds(&self, value: &str) -> bool {
        match self {
            Self::Equal(expected) => value == expected,
            Self::NotEqual(other) => value != other,
            Self::Matches(pattern) => pattern.is_match(value),
            Self::MatchesNot(pattern) => !pattern.is_match(value),
        }
    }
}

impl Matchers {
    /// Reads matchers.
    ///
    /// # Errors
    /// With the field: when there are none or too many, when an expression cannot be read, or when they cover every alert there is.
    pub fn new(matchers: &[Matcher]) -> Result<Self, Problem> {
        let wrong = |field: String, text: &str| Problem { field, text: text.to_owned() };
        if matchers.is_empty() || matchers.len() > MATCHERS {
            return Err(wrong("matchers".to_owned(), "a silence has 1 to 20 matchers"));
        }
        let mut tests = Vec::with_capacity(matchers.len());
        for (at, matcher) in matchers.iter().enumerate() {
            if matcher.label.is_empty() || matcher.label.len() > 60 {
                return Err(wrong(format!("matchers[{at}].label"), "a label has a name, 60 characters at most"));
            }
            if matcher.value.len() > LONGEST {
                return Err(wrong(format!("matchers[{at}].value"), "a value has 1,000 characters at most"));
            }
            let pattern = || {
                let whole = format!("^(?:{})$", matcher.value);
                RegexBuilder::new(&whole)
                    .size_limit(LARGEST)
                    .build()
                    .map_err(|_| wrong(format!("matchers[{at}].value"), "is no regular expression, or too large a one"))
            };
            let test = match matcher.operator {
                MatcherKind::Equal => Test::Equal(matcher.value.clone()),
                MatcherKind::NotEqual => Test::NotEqual(matcher.value.clone()),
                MatcherKind::Matches => Test::Matches(pattern()?),
                MatcherKind::MatchesNot => Test::MatchesNot(pattern()?),
            };
            tests.push((matcher.label.clone(), test));
        }
        if tests.iter().all(|(_, test)| test.holds("")) {
            return Err(wrong("matchers".to_owned(), "at least one matcher asks for a label that is there; these cover every alert"));
        }
        Ok(Self(tests))
    }

    /// Whether labels fit all of them; a label that is not there is empty.
    #[must_use]
    pub fn cover(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|(name, test)| test.holds(labels.get(name).map_or("", String::as_str)))
    }
}

/// The labels of an alert that silences see: its own, `rule` (also as `alertname`) and `severity`.
#[must_use]
pub fn labels_of(alert: &Alert) -> BTreeMap<String, String> {
    let mut labels = alert.labels.clone();
    labels.insert("rule".to_owned(), alert.details.rule.clone());
    labels.insert("alertname".to_owned(), alert.details.rule.clone());
    labels.insert("severity".to_owned(), alert.details.severity.as_str().to_owned());
    labels
}

/// The silences in force now, ready to be used.
#[derive(Debug, Clone, Default)]
pub struct Active(Vec<(i64, Matchers)>);

impl Active {
    /// Those of these that are in force.
    #[must_use]
    pub fn new(silences: &[Silence], now: Timestamp) -> Self {
        let active = silences.iter().filter(|silence| silence.is_active(now));
        Self(active.filter_map(|silence| Some((silence.number, Matchers::new(&silence.matchers).ok()?))).collect())
    }

    /// The first that covers an alert.
    #[must_use]
    pub fn covering(&self, alert: &Alert) -> Option<i64> {
        if self.0.is_empty() {
            return None;
        }
        let labels = labels_of(alert);
        self.0.iter().find(|(_, matchers)| matchers.cover(&labels)).map(|(number, _)| *number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matcher(text: &str) -> Matcher {
        let (label, kind, value) = ["!=", "=~", "!~", "="]
            .iter()
            .find_map(|kind| text.split_once(kind).map(|(label, value)| (label, *kind, value)))
            .expect("has a kind");
        Matcher { label: label.to_owned(), operator: kind.parse().expect("is a kind"), value: value.to_owned() }
    }

    #[test]
    fn matchers_cover_what_fits_all_of_them() {
        let labels = BTreeMap::from([("bus", "prod"), ("topic", "orders.eu")].map(|(name, value)| (name.to_owned(), value.to_owned())));
        for (matchers, covers) in [
            (&["bus=prod"][..], true),
            (&["bus=pro"], false),
            (&["bus=~pro"], false),
            (&["bus=~pro."], true),
            (&["topic=~orders\\..*|x"], true),
            (&["topic=~x|orders"], false),
            (&["bus=prod", "topic!=orders"], true),
            (&["bus=prod", "topic!~orders.*"], false),
            (&["bus=prod", "team="], true),
            (&["team=~.+"], false),
        ] {
            let read: Vec<Matcher> = matchers.iter().map(|text| matcher(text)).collect();
            assert_eq!(Matchers::new(&read).expect("can be read").cover(&labels), covers, "{matchers:?}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_its_field() {
        for (matchers, field) in [
            (&[][..], "matchers"),
            (&["team="], "matchers"),
            (&["topic=~.*"], "matchers"),
            (&["topic!=x"], "matchers"),
            (&["bus=prod", "topic=~("], "matchers[1].value"),
            (&["bus=~(a{900}){900}"], "matchers[0].value"),
            (&["=x"], "matchers[0].label"),
        ] {
            let read: Vec<Matcher> = matchers.iter().map(|text| matcher(text)).collect();
            assert_eq!(Matchers::new(&read).expect_err("is refused").field, field, "{matchers:?}");
        }
    }
}
