//! The `selection` of a request: `{"ids": [...]}` or `{"filter": {...}}` with the names of the list's query.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::super::error::Error;
use super::super::view::filter::{FieldProblem, ListQuery, Reading, api_query};
use super::super::view::query::problems;
use crate::model::{DeadLetterFilter, DeadLetterId, Selection, Status, Timestamp};

/// Ids that one request may name; more are selected by a filter.
const MAX_IDS: usize = 50_000;

/// Which dead letters: `ids`, or a `filter` with the names of the list's query (without `status`: open ones).
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct SelectionBody {
    /// Ids of dead letters.
    #[schema(value_type = Option<Vec<String>>)]
    ids: Option<Vec<Value>>,
    /// Names and values of the list's query; a value is a text or a list of texts.
    #[schema(value_type = Option<Object>)]
    filter: Option<Map<String, Value>>,
}

impl SelectionBody {
    /// The selection; 422 with the field otherwise.
    pub(in crate::web) fn parse(self, now: Timestamp) -> Result<Selection, Error> {
        self.parse_for(Status::Open, now)
    }

    /// The selection, where a filter without `status` means this one.
    pub(in crate::web) fn parse_for(self, status: Status, now: Timestamp) -> Result<Selection, Error> {
        match (self.ids, self.filter) {
            (Some(ids), None) => parse_ids(&ids).map(Selection::Ids),
            (None, Some(filter)) => parse_filter(&filter, now).map(|filter| Selection::of_filter_for(filter, status)),
            _ => Err(Error::field("selection", "selection holds either ids or a filter")),
        }
    }
}

/// Ids that the audit names; the act itself keeps all of them.
const AUDITED_IDS: usize = 20;

/// A selection as the audit names it.
pub(in crate::web) fn audit_target(selection: &Selection) -> String {
    match selection {
        Selection::Ids(ids) => {
            let more = ids.len().saturating_sub(AUDITED_IDS);
            let named = ids.iter().take(AUDITED_IDS).map(|id| format!("id={id}")).collect::<Vec<_>>().join("&");
            if more > 0 { format!("{named} and {more} more") } else { named }
        }
        Selection::Filter(filter) => {
            // What somebody searched for may be a secret; that they searched is enough.
            let address = api_query("/dead-letters", filter);
            if filter.q.is_some() { address.set("q", "…").to_string() } else { address.to_string() }
        }
    }
}

fn parse_ids(ids: &[Value]) -> Result<Vec<DeadLetterId>, Error> {
    let wrong = |text: &str| Error::field("selection.ids", text);
    if ids.len() > MAX_IDS {
        return Err(wrong("selection.ids names more than 50,000 dead letters; use a filter"));
    }
    let mut parsed = Vec::with_capacity(ids.len());
    for id in ids {
        let number = match id {
            Value::String(text) => text.parse().ok(),
            Value::Number(number) => number.as_i64(),
            _ => None,
        };
        parsed.push(DeadLetterId(number.ok_or_else(|| wrong("selection.ids holds ids of dead letters, such as \"42\""))?));
    }
    parsed.sort_unstable();
    parsed.dedup();
    Ok(parsed)
}

fn parse_filter(filter: &Map<String, Value>, now: Timestamp) -> Result<DeadLetterFilter, Error> {
    let mut pairs = Vec::new();
    for (name, value) in filter {
        let values = match value {
            Value::Array(values) => values.as_slice(),
            Value::Null => &[],
            one => std::slice::from_ref(one),
        };
        for value in values {
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Number(number) => number.to_string(),
                _ => return Err(Error::field(format!("selection.filter.{name}"), format!("{name} is a text or a list of texts"))),
            };
            pairs.push((name.clone(), text));
        }
    }
    let named = |found: Vec<FieldProblem>| {
        let found = found.into_iter().map(|p| FieldProblem { field: format!("selection.filter.{}", p.field), ..p });
        problems(found.collect())
    };
    if let Some(name) = ["cursor", "limit"].into_iter().find(|name| filter.contains_key(*name)) {
        return Err(named(vec![FieldProblem { field: name.to_owned(), problem: "is not a field of this request".to_owned() }]));
    }
    ListQuery::parse(&pairs, Reading::Api, &[], now).map(|query| query.filter).map_err(named)
}

#[cfg(test)]
mod tests {
    use super::{Error, Selection, SelectionBody, Status, Timestamp, audit_target};
    use crate::model::DeadLetterId;

    fn parse(body: &str) -> Result<Selection, Error> {
        serde_json::from_str::<SelectionBody>(body).unwrap().parse(Timestamp::from_millis(0))
    }

    fn field(body: &str) -> Option<String> {
        match parse(body) {
            Err(Error::Invalid { field, .. }) => field,
            other => panic!("{body}: {other:?}"),
        }
    }

    #[test]
    fn ids_may_be_texts_or_numbers_and_count_once() {
        assert_eq!(parse(r#"{"ids":["7",3,"7"]}"#).unwrap(), Selection::Ids(vec![DeadLetterId(3), DeadLetterId(7)]));
        assert_eq!(field(r#"{"ids":["x"]}"#).as_deref(), Some("selection.ids"));
    }

    #[test]
    fn a_filter_has_the_names_of_the_list() {
        let Selection::Filter(filter) = parse(r#"{"filter":{"bus":"prod","topic":["a","b"],"q":"x"}}"#).unwrap() else {
            panic!("a filter")
        };
        assert_eq!((filter.topic.len(), filter.status.as_slice()), (2, &[Status::Open][..]));
        assert_eq!(field(r#"{"filter":{"colour":"red"}}"#).as_deref(), Some("selection.filter.colour"));
        assert_eq!(field(r#"{"filter":{"limit":5}}"#).as_deref(), Some("selection.filter.limit"));
        assert_eq!(field(r#"{"filter":{"status":{}}}"#).as_deref(), Some("selection.filter.status"));
        assert_eq!(field("{}").as_deref(), Some("selection"));
        assert_eq!(field(r#"{"ids":[],"filter":{}}"#).as_deref(), Some("selection"));
    }

    #[test]
    fn the_audit_names_the_scope_but_not_what_was_searched_for() {
        let selection = parse(r#"{"filter":{"bus":"prod","q":"4111 1111"}}"#).unwrap();
        assert_eq!(audit_target(&selection), "/dead-letters?bus=prod&status=open&q=%E2%80%A6");
        let ids = Selection::Ids((1..=25).map(DeadLetterId).collect());
        assert!(audit_target(&ids).starts_with("id=1&id=2&") && audit_target(&ids).ends_with("id=20 and 5 more"));
    }

    #[test]
    fn a_restore_means_what_is_discarded() {
        let body = serde_json::from_str::<SelectionBody>(r#"{"filter":{"bus":"prod"}}"#).unwrap();
        let Selection::Filter(filter) = body.parse_for(Status::Discarded, Timestamp::from_millis(0)).unwrap() else { panic!("a filter") };
        assert_eq!(filter.status, [Status::Discarded]);
    }
}
