//! The form of a policy: what a browser sends, and what it shows.

use serde::Deserialize;

use super::super::super::Error;
use super::super::super::address;
use super::super::super::api::replay_policies::{ACCEPTABLE, check_terms, hours, millis, parse_name};
use super::super::super::view::filter::{ListQuery, Reading, api_query};
use super::super::super::view::query::problems;
use crate::model::policy::{Terms, Weekday};
use crate::model::replay::{Canary, OnFailed};
use crate::model::{Selection, Timestamp};

/// Every field as its text. Boxes that are not ticked are not sent.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(in crate::web::pages) struct Fields {
    pub(in crate::web::pages) name: String,
    /// The query of a list of the API.
    pub(in crate::web::pages) filter: String,
    pub(in crate::web::pages) first_delay: String,
    pub(in crate::web::pages) factor: String,
    pub(in crate::web::pages) attempt_limit: String,
    pub(in crate::web::pages) failed_percent: String,
    pub(in crate::web::pages) cool_down: String,
    pub(in crate::web::pages) give_up_after: String,
    pub(in crate::web::pages) hours: bool,
    pub(in crate::web::pages) day: Vec<String>,
    pub(in crate::web::pages) from: String,
    pub(in crate::web::pages) to: String,
    pub(in crate::web::pages) time_zone: String,
    pub(in crate::web::pages) daily_limit: String,
    pub(in crate::web::pages) rate: String,
    pub(in crate::web::pages) canary: String,
    pub(in crate::web::pages) settle: String,
    pub(in crate::web::pages) lag_limit: String,
    pub(in crate::web::pages) keep_order: bool,
    pub(in crate::web::pages) existing: bool,
    pub(in crate::web::pages) accept: Vec<String>,
}

impl Fields {
    /// What is proposed for dead letters that match a query.
    pub(in crate::web::pages) fn proposed(name: &str, filter: &str) -> Self {
        Self {
            name: name.to_owned(),
            filter: filter.to_owned(),
            first_delay: "5m".to_owned(),
            factor: "2".to_owned(),
            attempt_limit: "3".to_owned(),
            failed_percent: "20".to_owned(),
            cool_down: "15m".to_owned(),
            give_up_after: "3".to_owned(),
            hours: false,
            day: Weekday::ALL.iter().take(5).map(|day| day.as_str().to_owned()).collect(),
            from: "08:00".to_owned(),
            to: "18:00".to_owned(),
            time_zone: "UTC".to_owned(),
            daily_limit: "1000".to_owned(),
            rate: "100".to_owned(),
            canary: "10".to_owned(),
            settle: "60s".to_owned(),
            lag_limit: "10000".to_owned(),
            keep_order: true,
            existing: false,
            accept: Vec::new(),
        }
    }

    /// What was decided.
    pub(in crate::web::pages) fn of(name: &str, terms: &Terms) -> Self {
        let hours = terms.hours.as_ref();
        let proposed = Self::proposed(name, api_query("", &terms.filter).to_string().trim_start_matches('?'));
        Self {
            first_delay: duration(terms.first_delay_ms),
            factor: terms.factor.to_string(),
            attempt_limit: terms.attempt_limit.to_string(),
            failed_percent: format!("{:.0}", terms.failed_again_limit * 100.0),
            cool_down: duration(terms.cool_down_ms),
            give_up_after: terms.give_up_after.to_string(),
            hours: hours.is_some(),
            day: hours.map_or(proposed.day, |hours| hours.days().to_vec()),
            from: hours.map_or(proposed.from, |hours| hours.from().to_owned()),
            to: hours.map_or(proposed.to, |hours| hours.to().to_owned()),
            time_zone: hours.map_or(proposed.time_zone, |hours| hours.time_zone().to_owned()),
            daily_limit: terms.daily_limit.to_string(),
            rate: terms.rate.map_or_else(String::new, |rate| rate.to_string()),
            canary: terms.canary.count.to_string(),
            settle: duration(terms.canary.settle_ms),
            lag_limit: terms.lag_limit.map_or_else(String::new, |limit| limit.to_string()),
            keep_order: terms.on_failed == OnFailed::SkipKey,
            existing: terms.existing,
            accept: terms.accept.clone(),
            name: proposed.name,
            filter: proposed.filter,
        }
    }

    /// Name and terms; 422 with the field otherwise, in the words of the form.
    pub(in crate::web::pages) fn parse(&self, now: Timestamp) -> Result<(String, Terms), Error> {
        self.read(now).map_err(in_words)
    }

    fn read(&self, now: Timestamp) -> Result<(String, Terms), Error> {
        let name = parse_name(&self.name)?;
        let pairs = address::pairs(self.filter.trim_start_matches('?'));
        let query = ListQuery::parse(&pairs, Reading::Api, &[], now).map_err(problems)?;
        let Selection::Filter(filter) = Selection::of_filter(query.filter) else { return Err(Error::Internal("a filter".to_owned())) };
        let percent: u32 = number("failed_percent", &self.failed_percent)?;
        let terms = Terms {
            filter: *filter,
            first_delay_ms: millis("first_delay", self.first_delay.trim())?,
            factor: number("factor", &self.factor)?,
            attempt_limit: number("attempt_limit", &self.attempt_limit)?,
            failed_again_limit: f64::from(percent) / 100.0,
            cool_down_ms: millis("cool_down", self.cool_down.trim())?,
            give_up_after: number("give_up_after", &self.give_up_after)?,
            hours: if self.hours { Some(hours(&self.days()?, self.from.trim(), self.to.trim(), self.time_zone.trim())?) } else { None },
            daily_limit: number("daily_limit", &self.daily_limit)?,
            rate: optional("rate", &self.rate)?,
            canary: Canary { count: number("canary", &self.canary)?, settle_ms: settle(self.settle.trim())? },
            lag_limit: optional("lag_limit", &self.lag_limit)?,
            on_failed: if self.keep_order { OnFailed::SkipKey } else { OnFailed::Continue },
            existing: self.existing,
            accept: self.accept.clone(),
        };
        Ok((name, check_terms(terms)?))
    }

    fn days(&self) -> Result<Vec<Weekday>, Error> {
        self.day.iter().map(|day| day.parse().map_err(|_| Error::field("hours.days", "days are those of a week"))).collect()
    }

    /// Days of the week as word, label and whether it is chosen.
    pub(in crate::web::pages) fn week(&self) -> Vec<(&'static str, &'static str, bool)> {
        const LABELS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
        let days = Weekday::ALL.iter().zip(LABELS);
        days.map(|(day, label)| (day.as_str(), label, self.day.iter().any(|chosen| chosen == day.as_str()))).collect()
    }

    /// Warnings as code, words and whether they are accepted.
    pub(in crate::web::pages) fn warnings(&self) -> Vec<(&'static str, &'static str, bool)> {
        ACCEPTABLE.iter().map(|(code, words)| (*code, *words, self.accept.iter().any(|accepted| accepted == code))).collect()
    }
}

/// Says what is wrong as a person reads the form; the API speaks of its own fields.
fn in_words(error: Error) -> Error {
    let Error::Invalid { field: Some(field), .. } = &error else { return error };
    let (field, text) = match field.as_str() {
        "name" => ("name", "A name has 1 to 100 characters."),
        "first_delay" => ("first_delay", "First after: a length of time from 1s to 7d, such as 5m."),
        "factor" => ("factor", "Each time longer by: a number from 1 to 10."),
        "attempt_limit" => ("attempt_limit", "At most: a whole number of times from 1 to 20."),
        "failed_percent" | "failed_again_limit" => ("failed_percent", "Stop when more than: a whole number of percent from 0 to 99."),
        "cool_down" => ("cool_down", "Then wait: a length of time from 1s to 7d, such as 15m."),
        "canary" => ("canary", "And try: a whole number of messages from 1 to 1,000."),
        "settle" => ("settle", "That settle for: a length of time from 1s to 1h, such as 60s."),
        "give_up_after" => ("give_up_after", "Give up after: a whole number of stops from 1 to 20."),
        "daily_limit" => ("daily_limit", "Within 24 hours at most: a whole number of messages from 1 to 1,000,000."),
        "rate" => ("rate", "Per second at most: a whole number of messages from 1 to 1,000,000, or nothing."),
        "lag_limit" => ("lag_limit", "Group behind by: a whole number of messages, or nothing."),
        _ => return error,
    };
    Error::field(field, text)
}

/// As a person writes it: the largest unit that divides it.
fn duration(millis: u64) -> String {
    const UNITS: [(&str, u64); 4] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];
    let whole = UNITS.iter().find(|(_, unit)| millis.is_multiple_of(*unit));
    whole.map_or_else(|| format!("{millis}ms"), |(name, unit)| format!("{}{name}", millis / unit))
}

fn settle(text: &str) -> Result<u64, Error> {
    let settle = millis("settle", text)?;
    if settle > 3_600_000 { Err(Error::field("settle", "an hour at most")) } else { Ok(settle) }
}

fn number<T: std::str::FromStr>(field: &'static str, text: &str) -> Result<T, Error> {
    let text = text.trim().replace(',', "");
    text.parse().map_err(|_| Error::field(field, "not a number"))
}

fn optional<T: std::str::FromStr>(field: &'static str, text: &str) -> Result<Option<T>, Error> {
    if text.trim().is_empty() { Ok(None) } else { number(field, text).map(Some) }
}

#[cfg(test)]
mod tests {
    use super::Fields;
    use crate::model::Timestamp;
    use crate::web::Error;

    fn field(change: impl Fn(&mut Fields)) -> String {
        let mut fields = Fields::proposed("Payments", "bus=prod&fingerprint=v1-00000000000000ff");
        change(&mut fields);
        match fields.parse(Timestamp::from_millis(0)) {
            Err(Error::Invalid { field: Some(field), .. }) => field,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_proposed_can_be_saved_and_is_shown_again() {
        let fields = Fields { hours: true, ..Fields::proposed("Payments", "bus=prod&fingerprint=v1-00000000000000ff") };
        let (name, terms) = fields.parse(Timestamp::from_millis(0)).unwrap();
        let again = Fields::of(&name, &terms);
        assert_eq!(again.parse(Timestamp::from_millis(0)).unwrap(), (name, terms));
        assert_eq!((again.first_delay.as_str(), again.settle.as_str(), again.day.len()), ("5m", "1m", 5));
    }

    #[test]
    fn what_is_wrong_names_its_field() {
        assert_eq!(field(|f| f.name = " ".to_owned()), "name");
        assert_eq!(field(|f| f.filter = "topic=a".to_owned()), "selection.filter.bus");
        assert_eq!(field(|f| f.filter = "bus=prod&status=resolved".to_owned()), "selection.filter.status");
        assert_eq!(field(|f| f.first_delay = "soon".to_owned()), "first_delay");
        assert_eq!(field(|f| f.factor = "0.5".to_owned()), "factor");
        assert_eq!(field(|f| f.daily_limit = "0".to_owned()), "daily_limit");
        assert_eq!(field(|f| f.failed_percent = "100".to_owned()), "failed_percent");
        assert_eq!(field(|f| f.settle = "2h".to_owned()), "settle");
        assert_eq!(field(|f| f.accept = vec!["target_missing".to_owned()]), "accept");
        let night = |f: &mut Fields| {
            f.hours = true;
            f.to = "25:00".to_owned();
        };
        assert_eq!(field(night), "hours.to");
    }
}
