//! What the address of a list of dead letters or failure groups restricts it to. The names are those of the HTTP API; every value
//! is checked here, and every wrong one is named.

use std::str::FromStr;

use super::address::Address;
use super::range::{Range, parse_time};
use crate::model::{Cursor, DeadLetterFilter, Fingerprint, PageRequest, Presence, Status, Timestamp};

/// Names that restrict a list, in the order of the interface.
pub const FILTER_NAMES: &[&str] = &[
    "q",
    "bus",
    "topic",
    "origin_topic",
    "consumer_group",
    "exception_class",
    "fingerprint",
    "convention",
    "status",
    "presence",
    "range",
    "from",
    "to",
];

/// Values that one name may have at most; more is a mistake or an attack.
const MAX_VALUES: usize = 100;
/// Length of a text to search for.
const MAX_SEARCH_CHARS: usize = 500;

/// A value of the address that cannot be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldProblem {
    /// Name of the field.
    pub field: String,
    /// What is wrong and what would be right, as a sentence without the name.
    pub problem: String,
}

impl FieldProblem {
    fn new(field: &str, problem: impl Into<String>) -> Self {
        Self { field: field.chars().take(60).collect(), problem: problem.into() }
    }
}

/// What an address says about fields that were left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// A page: without `status` only what is open, `status=all` for everything; unknown names are somebody else's.
    Page,
    /// The API: without `status` everything; unknown names are mistakes.
    Api,
}

/// A list as its address asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListQuery {
    /// What it is restricted to; the range is resolved.
    pub filter: DeadLetterFilter,
    /// The range as asked for.
    pub range: Range,
    /// Where the page begins.
    pub cursor: Option<Cursor>,
    /// Rows, when given.
    pub limit: Option<u32>,
}

impl ListQuery {
    /// Reads the pairs of an address. `more` names fields that the caller reads itself.
    pub fn parse(pairs: &[(String, String)], reading: Reading, more: &[&str], now: Timestamp) -> Result<Self, Vec<FieldProblem>> {
        let mut reader = Reader { problems: Vec::new(), filter: DeadLetterFilter::default(), any_status: false };
        let (mut cursor, mut limit, mut last, mut from, mut to) = (None, None, None, None, None);
        for (name, value) in pairs.iter().filter(|(_, value)| !value.is_empty()) {
            match name.as_str() {
                "cursor" => cursor = reader.value(name, value, "expected the next_cursor of an earlier answer", |v| v.parse().ok()),
                "limit" => limit = reader.value(name, value, "expected a number from 1 to 1000", parse_limit),
                "range" => last = reader.value(name, value, "expected a length of time such as 15m, 6h or 30d", Range::last),
                "from" => from = reader.value(name, value, "expected a time such as 2026-11-24T03:14:00Z", parse_time),
                "to" => to = reader.value(name, value, "expected a time such as 2026-11-24T03:14:00Z", parse_time),
                name if more.contains(&name) => {}
                name => reader.restrict(name, value, reading),
            }
        }
        let range = match (last, from, to) {
            (_, None, None) => last.unwrap_or(Range::All),
            (None, from, to) => Range::Between(from, to),
            _ => {
                reader.problems.push(FieldProblem::new("range", "cannot be combined with from and to"));
                Range::All
            }
        };
        if let (Some(from), Some(to)) = (from, to)
            && from >= to
        {
            reader.problems.push(FieldProblem::new("to", "must be later than from"));
        }
        reader.finish()?;
        let mut filter = reader.filter;
        (filter.from, filter.to) = range.bounds(now);
        if reading == Reading::Page && filter.status.is_empty() && !reader.any_status {
            filter.status.push(Status::Open);
        }
        Ok(Self { filter, range, cursor, limit })
    }

    /// The page of the list, with so many rows unless the address says otherwise.
    #[must_use]
    pub fn page(&self, rows: u32) -> PageRequest {
        PageRequest { cursor: self.cursor.clone(), limit: self.limit.unwrap_or(rows) }
    }
}

/// The same restriction as a query of the API, with every default spelled out: what an export or a script needs.
#[must_use]
pub fn api_query(path: &str, filter: &DeadLetterFilter) -> Address {
    let mut pairs: Vec<(String, String)> = Vec::new();
    let mut add = |name: &str, value: &str| pairs.push((name.to_owned(), value.to_owned()));
    filter.bus.iter().for_each(|v| add("bus", v.as_str()));
    filter.topic.iter().for_each(|v| add("topic", v.as_str()));
    filter.origin_topic.iter().for_each(|v| add("origin_topic", v.as_str()));
    filter.consumer_group.iter().for_each(|v| add("consumer_group", v.as_str()));
    filter.exception_class.iter().for_each(|v| add("exception_class", v));
    filter.fingerprint.iter().for_each(|v| add("fingerprint", &v.to_string()));
    filter.convention.iter().for_each(|v| add("convention", v));
    filter.status.iter().for_each(|v| add("status", v.as_str()));
    filter.presence.iter().for_each(|v| add("presence", v.as_str()));
    filter.q.iter().for_each(|v| add("q", v));
    filter.from.iter().for_each(|v| add("from", &v.to_rfc3339()));
    filter.to.iter().for_each(|v| add("to", &v.to_rfc3339()));
    Address::new(path).with_pairs(&pairs)
}

struct Reader {
    problems: Vec<FieldProblem>,
    filter: DeadLetterFilter,
    any_status: bool,
}

impl Reader {
    fn value<T>(&mut self, name: &str, value: &str, expected: &str, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let parsed = parse(value);
        if parsed.is_none() {
            self.problems.push(FieldProblem::new(name, format!("{} is not valid; {expected}", quoted(value))));
        }
        parsed
    }

    fn restrict(&mut self, name: &str, value: &str, reading: Reading) {
        let filter = &mut self.filter;
        match name {
            "q" => filter.q = Some(value.trim().to_owned()).filter(|q| !q.is_empty()),
            "bus" => filter.bus.push(value.into()),
            "topic" => filter.topic.push(value.into()),
            "origin_topic" => filter.origin_topic.push(value.into()),
            "consumer_group" => filter.consumer_group.push(value.into()),
            "exception_class" => filter.exception_class.push(value.to_owned()),
            "convention" => filter.convention.push(value.to_owned()),
            "fingerprint" => match Fingerprint::from_str(value) {
                Ok(fingerprint) => filter.fingerprint.push(fingerprint),
                Err(error) => self.problems.push(FieldProblem::new(name, format!("{} is {error}", quoted(value)))),
            },
            "status" if reading == Reading::Page && value == "all" => self.any_status = true,
            "status" => match value.parse() {
                Ok(status) => filter.status.push(status),
                Err(error) => self.problems.push(FieldProblem::new(name, unknown_word(&error))),
            },
            "presence" => match value.parse::<Presence>() {
                Ok(presence) => filter.presence.push(presence),
                Err(error) => self.problems.push(FieldProblem::new(name, unknown_word(&error))),
            },
            _ if reading == Reading::Api => self.problems.push(FieldProblem::new(name, "is not a field of this request")),
            _ => {}
        }
    }

    fn finish(&mut self) -> Result<(), Vec<FieldProblem>> {
        if self.filter.q.as_ref().is_some_and(|q| q.chars().count() > MAX_SEARCH_CHARS) {
            self.problems.push(FieldProblem::new("q", format!("is longer than {MAX_SEARCH_CHARS} characters")));
        }
        let filter = &self.filter;
        for (name, count) in [
            ("bus", filter.bus.len()),
            ("topic", filter.topic.len()),
            ("origin_topic", filter.origin_topic.len()),
            ("consumer_group", filter.consumer_group.len()),
            ("exception_class", filter.exception_class.len()),
            ("fingerprint", filter.fingerprint.len()),
            ("convention", filter.convention.len()),
            ("status", filter.status.len()),
            ("presence", filter.presence.len()),
        ] {
            if count > MAX_VALUES {
                self.problems.push(FieldProblem::new(name, format!("is given more than {MAX_VALUES} times")));
            }
        }
        if self.problems.is_empty() { Ok(()) } else { Err(std::mem::take(&mut self.problems)) }
    }
}

fn parse_limit(value: &str) -> Option<u32> {
    value.parse().ok().filter(|limit| (1..=1_000).contains(limit))
}

fn unknown_word(error: &crate::model::dead_letter::UnknownWord) -> String {
    format!("{} is not known; expected one of {}", quoted(&error.given), error.expected)
}

/// A value as given, cut where it would fill the page.
fn quoted(value: &str) -> String {
    format!("“{}”", super::text::short(value, 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(query: &str) -> Vec<(String, String)> {
        query.split('&').filter(|p| !p.is_empty()).map(|p| p.split_once('=').unwrap()).map(|(n, v)| (n.to_owned(), v.to_owned())).collect()
    }

    fn now() -> Timestamp {
        Timestamp::parse_rfc3339("2026-11-24T03:14:20Z").unwrap()
    }

    fn page(query: &str) -> Result<ListQuery, Vec<FieldProblem>> {
        ListQuery::parse(&pairs(query), Reading::Page, &["sort"], now())
    }

    fn api(query: &str) -> Result<ListQuery, Vec<FieldProblem>> {
        ListQuery::parse(&pairs(query), Reading::Api, &[], now())
    }

    #[test]
    fn a_page_shows_what_is_open_and_the_api_everything() {
        assert_eq!(page("").unwrap().filter.status, [Status::Open]);
        assert_eq!(page("status=all").unwrap().filter.status, []);
        assert_eq!(page("status=resolved&status=discarded").unwrap().filter.status, [Status::Resolved, Status::Discarded]);
        assert_eq!(api("").unwrap().filter, DeadLetterFilter::default());
    }

    #[test]
    fn every_name_of_the_api_restricts() {
        let query = api(
            "bus=prod&topic=a-dlt&topic=b-dlt&origin_topic=a&consumer_group=g&exception_class=java.lang.Error&fingerprint=v1-00000000000000ff\
             &convention=spring_kafka&status=open&presence=expired&q= card  token &from=2026-11-01T00:00:00Z&to=2026-11-02T00:00:00Z&limit=7&cursor=5.9",
        )
        .unwrap();
        assert_eq!(query.filter.topic.len(), 2);
        assert_eq!(query.filter.q.as_deref(), Some("card  token"));
        assert_eq!((query.limit, query.cursor), (Some(7), Some(Cursor { key: 5, id: 9 })));
        let again = api_query("/x", &query.filter);
        let reread = ListQuery::parse(again.pairs(), Reading::Api, &[], now()).unwrap();
        assert_eq!(reread.filter, query.filter, "what is written can be read");
    }

    #[test]
    fn every_wrong_value_is_named_at_once() {
        let problems =
            api("cursor=zzz&limit=0&range=1y&from=yesterday&to=2026-99-01&status=broken&presence=gone&fingerprint=v1-xyz&colour=red")
                .unwrap_err();
        let fields: Vec<_> = problems.iter().map(|p| p.field.as_str()).collect();
        assert_eq!(fields, ["cursor", "limit", "range", "from", "to", "status", "presence", "fingerprint", "colour"]);
        assert!(problems[5].problem.contains("open, replaying"), "{:?}", problems[5]);
        assert_eq!(api("limit=1001").unwrap_err()[0].field, "limit");
        assert_eq!(api("range=1h&from=2026-11-01T00:00:00Z").unwrap_err()[0].field, "range");
        assert_eq!(api("from=2026-11-02T00:00:00Z&to=2026-11-01T00:00:00Z").unwrap_err()[0].field, "to");
        assert_eq!(api(&format!("q={}", "x".repeat(501))).unwrap_err()[0].field, "q");
        assert_eq!(page("colour=red&sort=open").unwrap().filter.status, [Status::Open], "a page leaves strangers alone");
    }

    #[test]
    fn a_range_is_resolved_and_empty_fields_are_left_out() {
        let query = page("range=15m&from=&to=&q=").unwrap();
        assert_eq!(query.filter.from, Timestamp::parse_rfc3339("2026-11-24T02:59:20Z"));
        assert_eq!((query.filter.to, query.filter.q), (None, None));
    }
}
