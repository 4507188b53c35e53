//! The page that explains an alert.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::model::figure::Figure;

/// The address of the page where somebody who is told of an alert begins.
pub(super) fn address(base: &str, figure: Figure, labels: &BTreeMap<String, String>) -> String {
    let label = |name: &str| labels.get(name).map(|value| encoded(value));
    let path = match figure {
        Figure::DeadLettersPerMinute
        | Figure::DeadLettersOpen
        | Figure::DeadLettersOldestOpenSeconds
        | Figure::ReplayFailedAgainRatio
        | Figure::ReplayOutcomes
        | Figure::ReplayFailures => match (label("bus"), label("fingerprint")) {
            (Some(bus), Some(fingerprint)) => format!("/buses/{bus}/failure-groups/{fingerprint}"),
            _ => with_query("/dead-letters", labels, &["bus", "topic", "consumer_group"]),
        },
        Figure::FailureGroupsNew | Figure::FailureGroupsReturned => with_query("/failure-groups", labels, &["bus", "topic"]),
        Figure::StoreUsedRatio | Figure::DeliveriesFailing => "/".to_owned(),
        _ => match (label("bus"), label("consumer_group"), label("topic")) {
            (Some(bus), Some(group), _) => format!("/buses/{bus}/consumer-groups/{group}"),
            (Some(bus), None, Some(topic)) => format!("/buses/{bus}/topics/{topic}"),
            (Some(_), None, None) => "/buses".to_owned(),
            _ => "/".to_owned(),
        },
    };
    format!("{}{path}", base.trim_end_matches('/'))
}

fn with_query(path: &str, labels: &BTreeMap<String, String>, names: &[&str]) -> String {
    let mut address = path.to_owned();
    for name in names {
        if let Some(value) = labels.get(*name) {
            let separator = if address.contains('?') { '&' } else { '?' };
            let _ = write!(address, "{separator}{name}={}", encoded(value));
        }
    }
    address
}

/// Keeps the unreserved characters of RFC 3986.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_leads_to_what_it_is_about() {
        let labels = |pairs: &[(&str, &str)]| pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        for (figure, pairs, page) in [
            (
                Figure::ConsumerGroupLagMessages,
                &[("bus", "prod"), ("consumer_group", "a/b"), ("topic", "t")][..],
                "/buses/prod/consumer-groups/a%2Fb",
            ),
            (Figure::TopicMessagesPerSecond, &[("bus", "prod"), ("topic", "t")], "/buses/prod/topics/t"),
            (Figure::DeadLettersPerMinute, &[("bus", "prod"), ("topic", "t&x")], "/dead-letters?bus=prod&topic=t%26x"),
            (Figure::DeadLettersOpen, &[("bus", "prod"), ("fingerprint", "v1-0f")], "/buses/prod/failure-groups/v1-0f"),
            (Figure::BusReachable, &[("bus", "prod")], "/buses"),
            (Figure::StoreUsedRatio, &[], "/"),
        ] {
            assert_eq!(address("https://r.example/", figure, &labels(pairs)), format!("https://r.example{page}"));
        }
    }
}
