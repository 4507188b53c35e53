//! A failure group as tables show it.

use super::address::{Address, segment};
use super::chart::{Bar, bucket_of, spark};
use super::look::short_class;
use super::number::grouped;
use super::text::short;
use crate::model::failure_group::FailureGroup;
use crate::model::{BusId, Fingerprint, Status, Timestamp};
use crate::store::failure_groups::Buckets;

/// One row.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupRow {
    /// Fingerprint, which is also the row's id on the page.
    pub fingerprint: String,
    /// Its page.
    pub href: String,
    /// Its bus, named where several are shown.
    pub bus: String,
    /// Short class, or the title.
    pub name: String,
    /// Where it happened: class and method, or stage; may be empty.
    pub place: String,
    /// The whole title.
    pub title: String,
    /// Message of the newest.
    pub message: String,
    /// Whether its first dead letter lies in the range.
    pub is_new: bool,
    /// Origin with most dead letters.
    pub origin: String,
    /// How many other origins there are.
    pub more_origins: usize,
    /// Consumer group with most dead letters.
    pub consumer_group: String,
    /// Whether that was inferred.
    pub inferred: bool,
    /// How many other consumer groups there are.
    pub more_consumer_groups: usize,
    /// What is open.
    pub open: String,
    /// Dead letters with other statuses, in words.
    pub others: String,
    /// Arrivals.
    pub spark: Vec<Bar>,
    /// Arrivals in words.
    pub spark_label: String,
    /// First dead letter.
    pub first_seen: Timestamp,
    /// Newest dead letter.
    pub last_seen: Timestamp,
}

impl GroupRow {
    /// Prepares a group; `buckets` are those of its arrivals, `range` their words.
    #[must_use]
    pub fn new(group: &FailureGroup, buckets: Buckets, range: &str) -> Self {
        let (name, place, message) = name_and_message(group);
        let is_new = group.first_seen >= buckets.from && group.first_seen < buckets.to;
        let hot_from = is_new.then(|| bucket_of(group.first_seen, buckets)).flatten();
        let arrived: u64 = group.per_bucket.iter().sum();
        let (consumer_group, inferred) = match group.consumer_groups.first() {
            Some((Some(name), inferred, _)) => (short(name, 120), *inferred),
            _ => (String::new(), false),
        };
        Self {
            fingerprint: group.fingerprint.to_string(),
            href: group_address(&group.bus, group.fingerprint),
            bus: group.bus.to_string(),
            name,
            place,
            title: short(&group.title, 500),
            message,
            is_new,
            origin: group.origins.first().and_then(|(topic, _)| topic.as_deref()).map(|t| short(t, 120)).unwrap_or_default(),
            more_origins: group.origins.len().saturating_sub(1),
            consumer_group,
            inferred,
            more_consumer_groups: group.consumer_groups.len().saturating_sub(1),
            open: grouped(group.counts.open),
            others: other_statuses(group),
            spark: spark(&group.per_bucket, hot_from),
            spark_label: format!("{} arrived in {range}", grouped(arrived)),
            first_seen: group.first_seen,
            last_seen: group.last_seen,
        }
    }
}

/// Address of a failure group's page.
#[must_use]
pub fn group_address(bus: &BusId, fingerprint: Fingerprint) -> String {
    format!("/buses/{}/failure-groups/{fingerprint}", segment(bus.as_str()))
}

/// Address of the dead letters of a failure group, whatever their status.
#[must_use]
pub fn letters_of_group(bus: &BusId, fingerprint: Fingerprint) -> Address {
    Address::new("/dead-letters").and("bus", bus.as_str()).and("fingerprint", &fingerprint.to_string()).and("status", "all")
}

/// What stands on the first line (the failure, and where it happened) and on the second (the message of the newest).
/// Titles are `Class in Place`, `Class: normalised message`, or a sentence.
#[must_use]
pub fn name_and_message(group: &FailureGroup) -> (String, String, String) {
    let message = group.message.as_deref().map(|m| short(m.trim(), 400)).unwrap_or_default();
    let class = group.exception_class.as_deref().map(short_class);
    if let Some(rest) = class.and_then(|class| group.title.strip_prefix(class)) {
        if let Some(place) = rest.strip_prefix(" in ") {
            return (short(class.unwrap_or_default(), 160), short(place, 200), message);
        }
        if rest.is_empty() || (rest.starts_with(": ") && !message.is_empty()) {
            return (short(class.unwrap_or_default(), 160), String::new(), message);
        }
    }
    let title = short(&group.title, 300);
    let message = if title.contains(&message) { String::new() } else { message };
    (title, String::new(), message)
}

fn other_statuses(group: &FailureGroup) -> String {
    let mut counts = group.counts;
    let mut words = Vec::new();
    for status in Status::ALL.iter().filter(|s| **s != Status::Open) {
        let count = *counts.of_mut(*status);
        if count > 0 {
            words.push(format!("{} {}", grouped(count), super::look::status(*status).word.to_lowercase()));
        }
    }
    words.join(", ")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::model::dead_letter::StatusCounts;
    use std::time::Duration;

    pub(crate) fn group(now: Timestamp) -> FailureGroup {
        FailureGroup {
            bus: "prod".into(),
            fingerprint: "v1-9f3c1a7e20b40001".parse().unwrap(),
            title: "NullPointerException in CardTokenizer.tokenize".into(),
            exception_class: Some("java.lang.NullPointerException".into()),
            message: Some("token is null".into()),
            parts: vec!["payment-service".into()],
            counts: StatusCounts { open: 214, failed_again: 6, resolved: 1_009, ..StatusCounts::default() },
            first_seen: now.minus(Duration::from_secs(1_980)),
            last_seen: now.minus(Duration::from_secs(12)),
            per_bucket: vec![0, 0, 3, 8],
            origins: vec![(Some("payments.authorise".into()), 230), (None, 1)],
            consumer_groups: vec![(Some("payment-service".into()), true, 231)],
            topics: vec![("payments.authorise-dlt".into(), 231)],
            conventions: vec!["spring_kafka".into()],
        }
    }

    pub(crate) fn four_hours(now: Timestamp) -> Buckets {
        Buckets { from: now.minus(Duration::from_secs(4 * 900)), to: now.plus(Duration::from_millis(1)), count: 4 }
    }

    #[test]
    fn a_row_says_what_failed_where_and_since_when() {
        let now = Timestamp::parse_rfc3339("2026-11-24T03:14:20Z").unwrap();
        let row = GroupRow::new(&group(now), four_hours(now), "the last hour");
        assert_eq!(
            (row.name.as_str(), row.place.as_str(), row.message.as_str()),
            ("NullPointerException", "CardTokenizer.tokenize", "token is null")
        );
        assert_eq!(row.href, "/buses/prod/failure-groups/v1-9f3c1a7e20b40001");
        assert_eq!((row.open.as_str(), row.others.as_str()), ("214", "1,009 resolved, 6 failed again"));
        assert_eq!((row.origin.as_str(), row.more_origins), ("payments.authorise", 1));
        assert!(row.inferred && row.is_new);
        assert_eq!(row.spark_label, "11 arrived in the last hour");
        assert_eq!(row.spark.iter().map(|b| b.hot).collect::<Vec<_>>(), [false, false, true, true]);
    }

    #[test]
    fn a_group_without_a_class_goes_by_its_title() {
        let now = Timestamp::from_millis(0);
        let mut bare = group(now);
        bare.exception_class = None;
        bare.title = "insufficient stock for sku <int>".into();
        bare.message = None;
        assert_eq!(name_and_message(&bare), ("insufficient stock for sku <int>".to_owned(), String::new(), String::new()));
        bare.bus = "a/b".into();
        assert!(GroupRow::new(&bare, four_hours(now), "").href.starts_with("/buses/a%2Fb/"));
    }
}
