//! Teams' own mappings.

use super::{expect, record, seen};
use crate::dead_letters::conventions::Mapping;
use crate::dead_letters::decode::Decoder;
use crate::model::Convention;

fn mappings() -> Vec<Mapping> {
    serde_json::from_value(serde_json::json!([
        {
            "name": "outbox",
            "marker": "x-failure",
            "fields": {
                "x-failure": {"field": "message"},
                "x-failure-class": {"field": "exception_class", "encoding": "text"},
                "x-topic": {"field": "origin_topic"},
                "x-offset": {"field": "origin_offset", "encoding": "int64"},
                "x-when": {"field": "failed_at", "encoding": "auto"}
            },
            "topics": [{"topic": "*.failed", "origin_topic": "$1", "consumer_group": "$1-service"}]
        },
        {"name": "broken", "topics": [{"topic": "a b"}]}
    ]))
    .unwrap()
}

#[test]
fn headers_are_read_as_the_team_says() {
    let decoder = Decoder::new(&mappings());
    let letter = record(&[
        ("x-failure", b"no stock"),
        ("x-failure-class", b"NoStock"),
        ("x-topic", b"orders.v2"),
        ("x-offset", b"\0\0\0\0\0\0\0\x2a"),
        ("x-when", b"2026-11-24T02:57:16Z"),
    ]);
    let failure = decoder.decode(&letter, &"orders.failed".into());
    assert_eq!(seen(&failure), expect("outbox", "orders.v2/?/42", Some("NoStock"), Some("no stock"), Some("orders-service")));
    assert!(failure.consumer_group_inferred);
    assert!(failure.failed_at.is_some());
    let removed = decoder.removed_headers(&Convention::named("outbox"));
    assert_eq!(removed, ["x-failure", "x-failure-class", "x-offset", "x-topic", "x-when"]);
}

#[test]
fn topic_names_fill_what_no_header_tells() {
    let failure = Decoder::new(&mappings()).decode(&record(&[]), &"orders.failed".into());
    assert_eq!(seen(&failure), expect("unknown", "orders/?/?", None, None, Some("orders-service")));
    assert!(failure.consumer_group_inferred);
    assert_eq!(seen(&Decoder::new(&mappings()).decode(&record(&[]), &"other".into())), expect("unknown", "?/?/?", None, None, None));
}

#[test]
fn patterns_that_cannot_be_understood_are_named() {
    let problems = Decoder::problems(&mappings());
    assert_eq!(problems.iter().map(|p| p.pattern.as_str()).collect::<Vec<_>>(), ["a b"]);
}
