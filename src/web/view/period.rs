//! The time a page of figures covers: read from its address, offered as choices, cut into steps.

use super::super::error::Error;
use super::address::Address;
use super::filter::FieldProblem;
use super::filter_bar::{Choice, ranges};
use super::query::problems;
use super::range::{Range, parse_time};
use crate::model::Timestamp;
use crate::store::failure_groups::Buckets;

/// Steps of a drawing, about.
const STEPS: u32 = 60;

/// What an address may say about time.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(default)]
pub struct PeriodQuery {
    /// A length of time before now, such as `1h`.
    pub range: Option<String>,
    /// Chosen beginning.
    pub from: Option<String>,
    /// Chosen end.
    pub to: Option<String>,
}

/// The time of a page.
#[derive(Debug, Clone)]
pub struct Period {
    /// As asked for; an hour unless told.
    pub range: Range,
    /// In steps.
    pub buckets: Buckets,
    /// Choices of the page.
    pub ranges: Vec<Choice>,
    /// What else the address says, for the form of the calendar.
    pub hidden: Vec<(String, String)>,
    /// Chosen beginning, as a date and time field wants it.
    pub from: String,
    /// Chosen end.
    pub to: String,
    /// Pairs of the address that choose it, for links to other pages; empty for the usual hour.
    pub pairs: Vec<(String, String)>,
}

impl PeriodQuery {
    /// Reads it; `here` is the page's own address without it.
    pub fn read(&self, here: &Address, now: Timestamp) -> Result<Period, Error> {
        let range = self.range(now).map_err(|problem| problems(vec![problem]))?;
        let pairs: Vec<(String, String)> = [("range", &self.range), ("from", &self.from), ("to", &self.to)]
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value.clone().filter(|value| !value.is_empty())?)))
            .collect();
        let full = pairs.iter().fold(here.clone(), |here, (name, value)| here.set(name, value));
        let full = if pairs.is_empty() { full.set("range", "1h") } else { full };
        let field = |value: &Option<String>| value.as_deref().and_then(|text| text.get(..16)).unwrap_or_default().to_owned();
        Ok(Period {
            buckets: range.buckets(now, STEPS),
            ranges: ranges(&full).into_iter().filter(|choice| choice.label != "All").collect(),
            hidden: here.pairs().to_vec(),
            from: field(&self.from),
            to: field(&self.to),
            range,
            pairs,
        })
    }

    fn range(&self, now: Timestamp) -> Result<Range, FieldProblem> {
        let wrong = |field: &str, problem: &str| FieldProblem { field: field.to_owned(), problem: problem.to_owned() };
        let time = |field, value: &Option<String>| match value.as_deref().filter(|text| !text.is_empty()) {
            None => Ok(None),
            Some(text) => parse_time(text).map(Some).ok_or_else(|| wrong(field, "is no time; write 2026-11-24T03:14Z")),
        };
        let (from, to) = (time("from", &self.from)?, time("to", &self.to)?);
        match self.range.as_deref().filter(|word| !word.is_empty()) {
            _ if from.is_some_and(|from| from >= to.unwrap_or(now)) => Err(wrong("from", "must lie before its end")),
            Some(_) if from.is_some() || to.is_some() => Err(wrong("range", "cannot be given beside from and to")),
            Some(word) => Range::last(word).ok_or_else(|| wrong("range", "is no length of time; write 15m, 1h or 30d, up to 400d")),
            None if from.is_some() || to.is_some() => Ok(Range::Between(from, to)),
            None => Ok(Range::last("1h").expect("a length of time")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        Timestamp::parse_rfc3339("2026-11-24T03:14:20Z").expect("a time")
    }

    fn query(range: &str, from: &str, to: &str) -> PeriodQuery {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        PeriodQuery { range: some(range), from: some(from), to: some(to) }
    }

    #[test]
    fn an_hour_is_usual_and_choices_keep_the_rest_of_the_address() {
        let here = Address::new("/x").and("topic", "orders");
        let period = query("", "", "").read(&here, now()).expect("it is legal");
        assert_eq!((period.buckets.count, period.pairs.len()), (60, 0));
        assert!(period.ranges.iter().any(|choice| choice.current && choice.label == "1 h"));
        assert!(period.ranges.iter().all(|choice| choice.href.contains("topic=orders")));
        let chosen = query("", "2026-11-01T00:00", "2026-11-02T00:00").read(&here, now()).expect("it is legal");
        assert_eq!((chosen.from.as_str(), chosen.pairs.len()), ("2026-11-01T00:00", 2));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (range, from, to) in [("yesterday", "", ""), ("", "soon", ""), ("1h", "2026-11-01", ""), ("", "2026-11-02", "2026-11-01")] {
            assert!(query(range, from, to).read(&Address::new("/x"), now()).is_err(), "{range} {from} {to}");
        }
    }
}
