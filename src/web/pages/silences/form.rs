//! The form of a silence: conditions on labels, why, and until when.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::alerts::rule::Problem as Found;
use crate::config::values::parse_duration;
use crate::model::Timestamp;
use crate::model::alert::{Matcher, MatcherKind, Silence};
use crate::store::alerts::silences::NewSilence;
use crate::web::Error;
use crate::web::view::range::parse_time;

/// Conditions of a silence at most.
const MOST: usize = 20;
/// Empty lines that wait for a condition.
const SPARE: usize = 2;

/// Lengths that are offered: word, label.
pub(in crate::web::pages) const LENGTHS: [(&str, &str); 7] =
    [("30m", "30 min"), ("1h", "1 h"), ("2h", "2 h"), ("8h", "8 h"), ("24h", "24 h"), ("3d", "3 d"), ("7d", "7 d")];

/// One condition as its texts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::web::pages) struct Line {
    pub(in crate::web::pages) label: String,
    pub(in crate::web::pages) operator: String,
    pub(in crate::web::pages) value: String,
}

/// Every field as its text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::web::pages) struct Fields {
    pub(in crate::web::pages) act: String,
    pub(in crate::web::pages) lines: Vec<Line>,
    pub(in crate::web::pages) comment: String,
    /// Empty: now.
    pub(in crate::web::pages) starts_at: String,
    /// A length of time, unless there is an end.
    pub(in crate::web::pages) length: String,
    pub(in crate::web::pages) ends_at: String,
}

impl Fields {
    /// What a browser has sent: conditions are `label0`, `operator0`, `value0` and so on.
    pub(in crate::web::pages) fn read(sent: &BTreeMap<String, String>) -> Self {
        let text = |name: &str| sent.get(name).cloned().unwrap_or_default();
        let line = |at: usize| Line {
            label: text(&format!("label{at}")).trim().to_owned(),
            operator: text(&format!("operator{at}")),
            value: text(&format!("value{at}")),
        };
        let lines = (0..MOST).map(line).filter(|line| !line.label.is_empty() || !line.value.is_empty()).collect();
        Self {
            act: text("act"),
            lines,
            comment: text("comment"),
            starts_at: text("starts_at"),
            length: text("length"),
            ends_at: text("ends_at"),
        }
    }

    /// A silence that begins with these conditions.
    pub(in crate::web::pages) fn proposed(matchers: &[Matcher]) -> Self {
        Self { lines: matchers.iter().map(Line::of).collect(), length: "2h".to_owned(), ..Self::default() }
    }

    /// A silence as it was made.
    pub(in crate::web::pages) fn of(silence: &Silence) -> Self {
        Self {
            lines: silence.matchers.iter().map(Line::of).collect(),
            comment: silence.comment.clone(),
            starts_at: field_time(silence.starts_at),
            ends_at: field_time(silence.ends_at),
            ..Self::default()
        }
    }

    /// Lines of the form: those with something in them, and empty ones.
    pub(in crate::web::pages) fn shown(&self) -> Vec<Line> {
        let spare = std::iter::repeat_n(Line { operator: "=".to_owned(), ..Line::default() }, SPARE);
        self.lines.iter().cloned().chain(spare).take(MOST).collect()
    }

    pub(in crate::web::pages) fn lengths(&self) -> Vec<(&'static str, &'static str, bool)> {
        LENGTHS.iter().map(|(word, label)| (*word, *label, *word == self.length)).collect()
    }

    pub(in crate::web::pages) fn matchers(&self) -> Vec<Matcher> {
        self.lines.iter().map(Line::matcher).collect()
    }

    /// What was decided; 422 with the field otherwise.
    pub(in crate::web::pages) fn parse(&self, now: Timestamp) -> Result<NewSilence, Error> {
        let time = |field: &'static str, text: &str| {
            parse_time(text.trim()).ok_or_else(|| Error::field(field, "A time in UTC such as 2026-11-24T03:14."))
        };
        let starts_at = if self.starts_at.trim().is_empty() { now } else { time("starts_at", &self.starts_at)? };
        let ends_at = if self.ends_at.trim().is_empty() {
            let length = parse_duration(&self.length).filter(|length| *length > Duration::ZERO);
            let wrong = || Error::field("ends_at", "Until when: a length of time, or a time in UTC.");
            // A silence that begins later lasts as long.
            starts_at.max(now).plus(length.ok_or_else(wrong)?)
        } else {
            time("ends_at", &self.ends_at)?
        };
        Ok(NewSilence { matchers: self.matchers(), comment: self.comment.trim().to_owned(), starts_at, ends_at })
    }
}

impl Line {
    fn of(matcher: &Matcher) -> Self {
        Self { label: matcher.label.clone(), operator: matcher.operator.as_str().to_owned(), value: matcher.value.clone() }
    }

    fn matcher(&self) -> Matcher {
        let operator = self.operator.parse().unwrap_or(MatcherKind::Equal);
        Matcher { label: self.label.clone(), operator, value: self.value.clone() }
    }

    /// Ways to compare: word, label, whether it is chosen.
    pub(in crate::web::pages) fn operators(&self) -> Vec<(&'static str, &'static str, bool)> {
        let label = |kind: MatcherKind| match kind {
            MatcherKind::Equal => "is",
            MatcherKind::NotEqual => "is not",
            MatcherKind::Matches => "fits",
            MatcherKind::MatchesNot => "does not fit",
        };
        MatcherKind::ALL.iter().map(|kind| (kind.as_str(), label(*kind), self.operator == kind.as_str())).collect()
    }
}

/// As a date and time field wants it.
fn field_time(at: Timestamp) -> String {
    at.to_rfc3339().get(..16).unwrap_or_default().to_owned()
}

/// Which field of the form a problem with matchers belongs to, and what it says.
pub(in crate::web::pages) fn of_matchers(problem: Found) -> Error {
    let field = problem.field.strip_prefix("matchers[").and_then(|rest| rest.split_once(']')).map(|(at, _)| format!("value{at}"));
    let text = match problem.text.as_str() {
        "a silence has 1 to 20 matchers" => "Name at least one label: a silence of everything would hide what is new.".to_owned(),
        text => format!("{}{}.", text[..1].to_uppercase(), &text[1..]),
    };
    Error::field(field.unwrap_or_else(|| "matchers".to_owned()), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn empty_lines_are_left_out_and_an_empty_value_is_one() {
        let fields = Fields::read(&sent(&[
            ("label0", "topic"),
            ("operator0", "=~"),
            ("value0", "a.*"),
            ("label1", ""),
            ("value1", ""),
            ("label2", "team"),
            ("operator2", "="),
        ]));
        let brief: Vec<_> = fields.matchers().into_iter().map(|one| (one.label, one.operator, one.value)).collect();
        assert_eq!(
            brief,
            [("topic".to_owned(), MatcherKind::Matches, "a.*".to_owned()), ("team".to_owned(), MatcherKind::Equal, String::new())]
        );
        assert_eq!(fields.shown().len(), 4);
    }

    #[test]
    fn an_end_is_a_length_or_a_time() {
        let now = parse_time("2026-11-24T03:00").expect("a time");
        let fields = Fields { length: "2h".to_owned(), comment: " why ".to_owned(), ..Fields::default() };
        let silence = fields.parse(now).expect("can be read");
        assert_eq!((silence.starts_at, silence.ends_at, silence.comment.as_str()), (now, now.plus(Duration::from_hours(2)), "why"));
        let later = Fields { starts_at: "2026-11-25T03:00".to_owned(), ..fields.clone() }.parse(now).expect("can be read");
        assert_eq!(later.starts_at.age_at(later.ends_at), Duration::from_hours(2));
        let until = Fields { ends_at: "2026-11-24T06:30".to_owned(), ..fields.clone() }.parse(now).expect("can be read");
        assert_eq!(until.ends_at, parse_time("2026-11-24T06:30").expect("a time"));
        for wrong in [Fields { length: String::new(), ..fields.clone() }, Fields { ends_at: "soon".to_owned(), ..fields.clone() }] {
            assert!(wrong.parse(now).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_silence_comes_back_from_its_form() {
        let at = |text| parse_time(text).expect("a time");
        let silence = Silence {
            number: 7,
            matchers: vec![Matcher { label: "topic".to_owned(), operator: MatcherKind::NotEqual, value: "x".to_owned() }],
            comment: "maintenance".to_owned(),
            starts_at: at("2026-11-24T03:00"),
            ends_at: at("2026-11-24T06:00"),
            created_by: "user:mara".to_owned(),
            created_at: at("2026-11-24T02:00"),
        };
        let read = Fields::of(&silence).parse(at("2026-11-24T04:00")).expect("can be read");
        assert_eq!((read.matchers, read.starts_at, read.ends_at), (silence.matchers, silence.starts_at, silence.ends_at));
    }
}
