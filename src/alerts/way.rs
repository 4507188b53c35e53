//! The way from an alert to its cause: the filtered page that explains it, over the time in which it happened. Pages and notifications
//! lead to the same.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::Timestamp;
use crate::model::address::{Address, segment};
use crate::model::alert::Alert;
use crate::model::figure::Figure;

/// A page that explains an alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// Its address.
    pub href: String,
    /// What a link to it says.
    pub words: &'static str,
}

fn way(href: impl Into<String>, words: &'static str) -> Way {
    Way { href: href.into(), words }
}

/// Ways to the cause of an alert, the best first; there is always one.
#[must_use]
pub fn ways(alert: &Alert) -> Vec<Way> {
    let standing = &alert.standing;
    let from = standing.pending_since.or(standing.started_at).map(|at| at.minus(Duration::from_mins(15)));
    of(alert.details.figure, &alert.labels, from, standing.resolved_at)
}

/// The address that a notification leads to; `base` is how people reach Redrive.
#[must_use]
pub fn address(base: &str, alert: &Alert) -> String {
    let first = ways(alert).into_iter().next().map_or_else(|| "/".to_owned(), |way| way.href);
    format!("{}{first}", base.trim_end_matches('/'))
}

fn of(figure: Figure, labels: &BTreeMap<String, String>, from: Option<Timestamp>, to: Option<Timestamp>) -> Vec<Way> {
    let mut ways = match figure {
        Figure::DeadLettersPerMinute => letters(labels, from, to),
        Figure::DeadLettersOpen
        | Figure::DeadLettersOldestOpenSeconds
        | Figure::DeadLettersResolveSeconds
        | Figure::ReplayFailedAgainRatio
        | Figure::ReplayOutcomes
        | Figure::ReplayFailures => letters(labels, None, None),
        Figure::FailureGroupsNew | Figure::FailureGroupsReturned => {
            vec![way(list("/failure-groups", labels, &["bus", "topic"], from, to), "See failure groups")]
        }
        _ if figure.is_of_spans() => traces(figure, labels, from, to),
        Figure::StoreUsedRatio => vec![way("/#stored", "See what is stored")],
        Figure::DeliveriesFailing => vec![way("/receivers", "See receivers")],
        _ => Vec::new(),
    };
    let bus = labels.get("bus").map(|bus| segment(bus));
    if let (Some(bus), Some(group)) = (&bus, labels.get("consumer_group")) {
        ways.push(way(format!("/buses/{bus}/consumer-groups/{}{}", segment(group), time(from, to)), "See consumer group"));
    }
    if let (Some(bus), Some(topic)) = (&bus, labels.get("topic")) {
        ways.push(way(format!("/buses/{bus}/topics/{}{}", segment(topic), time(from, to)), "See topic"));
    }
    if ways.is_empty() {
        ways.push(if bus.is_some() { way("/buses", "See buses") } else { way("/", "See overview") });
    }
    ways
}

fn letters(labels: &BTreeMap<String, String>, from: Option<Timestamp>, to: Option<Timestamp>) -> Vec<Way> {
    let list = way(list("/dead-letters", labels, &["bus", "topic", "consumer_group"], from, to), "See dead letters");
    match (labels.get("bus"), labels.get("fingerprint")) {
        (Some(bus), Some(print)) => {
            vec![way(format!("/buses/{}/failure-groups/{}", segment(bus), segment(print)), "See failure group"), list]
        }
        _ => vec![list],
    }
}

fn traces(figure: Figure, labels: &BTreeMap<String, String>, from: Option<Timestamp>, to: Option<Timestamp>) -> Vec<Way> {
    let failed = matches!(figure, Figure::SpansErrorRatio | Figure::SpanErrorsPerSecond);
    let names = ["bus", "service", "topic", "consumer_group", "operation"];
    let mut address = list_address("/traces", labels, &names, from, to);
    if failed {
        address = address.set("outcome", "failed");
    }
    vec![way(address.to_string(), if failed { "See failed traces" } else { "See traces" })]
}

fn list(path: &str, labels: &BTreeMap<String, String>, names: &[&str], from: Option<Timestamp>, to: Option<Timestamp>) -> String {
    list_address(path, labels, names, from, to).to_string()
}

fn list_address(path: &str, labels: &BTreeMap<String, String>, names: &[&str], from: Option<Timestamp>, to: Option<Timestamp>) -> Address {
    let known = names.iter().filter_map(|name| Some((*name, labels.get(*name)?)));
    let address = known.fold(Address::new(path), |address, (name, value)| address.and(name, value));
    bounds(from, to).into_iter().fold(address, |address, (name, at)| address.and(name, &at))
}

/// Whole minutes around the time.
fn bounds(from: Option<Timestamp>, to: Option<Timestamp>) -> Vec<(&'static str, String)> {
    const MINUTE: i64 = 60_000;
    let minute = |at: Timestamp, up: i64| Timestamp::from_millis((at.as_millis().div_euclid(MINUTE) + up) * MINUTE).to_rfc3339();
    from.map(|at| ("from", minute(at, 0))).into_iter().chain(to.map(|at| ("to", minute(at, 1)))).collect()
}

fn time(from: Option<Timestamp>, to: Option<Timestamp>) -> String {
    bounds(from, to).into_iter().fold(Address::new(""), |address, (name, at)| address.and(name, &at)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(figure: Figure, pairs: &[(&str, &str)]) -> String {
        let labels = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let from = Timestamp::parse_rfc3339("2026-11-24T02:43:15Z");
        of(figure, &labels, from, None).remove(0).href
    }

    #[test]
    fn an_alert_leads_to_what_explains_it() {
        let from = "from=2026-11-24T02%3A43%3A00.000Z";
        for (figure, labels, page) in [
            (Figure::DeadLettersPerMinute, &[("bus", "prod"), ("topic", "t&x")][..], format!("/dead-letters?bus=prod&topic=t%26x&{from}")),
            (Figure::DeadLettersOpen, &[("bus", "prod"), ("fingerprint", "v1-0f")], "/buses/prod/failure-groups/v1-0f".to_owned()),
            (Figure::FailureGroupsNew, &[("bus", "prod")], format!("/failure-groups?bus=prod&{from}")),
            (
                Figure::ConsumerGroupLagMessages,
                &[("bus", "prod"), ("consumer_group", "a/b"), ("topic", "t")],
                format!("/buses/prod/consumer-groups/a%2Fb?{from}"),
            ),
            (Figure::TopicMessagesPerSecond, &[("bus", "prod"), ("topic", "t")], format!("/buses/prod/topics/t?{from}")),
            (Figure::SpansErrorRatio, &[("service", "s")], format!("/traces?service=s&{from}&outcome=failed")),
            (Figure::EndToEndDurationSeconds, &[("bus", "prod"), ("topic", "t")], format!("/traces?bus=prod&topic=t&{from}")),
            (Figure::BusReachable, &[("bus", "prod")], "/buses".to_owned()),
            (Figure::StoreUsedRatio, &[], "/#stored".to_owned()),
        ] {
            assert_eq!(first(figure, labels), page);
        }
    }

    #[test]
    fn a_notification_leads_where_the_page_leads() {
        use crate::alerts::rule::tests::alert;
        for figure in Figure::ALL {
            let alert = alert(1, *figure, &[("bus", "prod"), ("consumer_group", "billing")]);
            let here = ways(&alert).remove(0).href;
            assert_eq!(address("https://r.example/", &alert), format!("https://r.example{here}"), "{figure}");
        }
    }
}
