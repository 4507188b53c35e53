//! What on the first page needs a person, worst first, each with its evidence and where to go.

use super::load::Overview;
use crate::alerts::watching;
use crate::model::alert::{Alert, Severity};
use crate::model::failure_group::FailureGroup;
use crate::model::policy::Policy;
use crate::model::{BusState, Timestamp};
use crate::store::StoreUsage;
use crate::web::view::address::segment;
use crate::web::view::alert::{self as words, about};
use crate::web::view::freshness::{Condition, Freshness};
use crate::web::view::group_row::{group_address, name_and_message};
use crate::web::view::look::Look;
use crate::web::view::number::{counted, grouped, size};
use crate::web::view::range::Range;
use crate::web::view::text::short;
use crate::web::view::time;

mod consumer_groups;
mod partitions;

/// Rows of one kind; the page they lead to has the others.
const MAX_OF_A_KIND: usize = 3;
/// Named in the row that stands for the others of a kind.
const FEW: usize = 5;
/// Arrivals below this are never called fast.
const FAST_AT_LEAST: u64 = 10;
/// Arrivals this many times those of the range before are fast.
const FAST_FACTOR: u64 = 3;

/// One thing that needs a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::web) struct Attention {
    /// `bad` or `warn`.
    pub(in crate::web) tone: &'static str,
    /// What it is.
    pub(in crate::web) what: String,
    /// The numbers behind it.
    pub(in crate::web) evidence: String,
    /// Where: a bus or consumer group.
    pub(in crate::web) place: String,
    /// Since when.
    pub(in crate::web) since: Option<Timestamp>,
    /// The page that explains it.
    pub(in crate::web) href: String,
    /// What that page is.
    pub(in crate::web) action: &'static str,
    /// Of an alert, what its rule says how bad it is.
    pub(in crate::web) severity: Option<Severity>,
}

impl Attention {
    /// How bad it is.
    pub(super) fn look(&self) -> Look {
        words::severity(self.how_bad(), true)
    }

    pub(in crate::web) fn how_bad(&self) -> Severity {
        self.severity.unwrap_or(if self.is_bad() { Severity::Critical } else { Severity::Warning })
    }

    pub(super) const fn is_bad(&self) -> bool {
        matches!(self.tone.as_bytes(), b"bad")
    }
}

/// Everything that needs a person.
/// `groups_href` is the list of the failure groups that failed in the range.
pub(in crate::web) fn attention(figures: &Overview, reasons: &[(&'static str, String)], range: Range, groups_href: &str) -> Vec<Attention> {
    // That nobody looks at the rules has a row of its own.
    let mut list: Vec<_> = reasons.iter().filter(|(code, _)| *code != watching::CODE).map(|(_, text)| not_ready(text)).collect();
    list.extend(unwatched(figures));
    list.extend(firing(figures));
    list.extend(figures.buses.iter().filter_map(|bus| bus_trouble(&bus.state, figures.now)));
    let fast = arrivals(figures, range);
    list.extend(groups(figures, range, fast.as_ref().map(|fast| fast.href.as_str()), groups_href));
    list.extend(fast);
    list.extend(consumer_groups::behind(&figures.flow.troubled));
    list.extend(consumer_groups::untold(&figures.flow.untold, figures.now));
    list.extend(figures.stopped_policies.iter().map(stopped_policy));
    list.extend(partitions::partitions(&figures.problems));
    list.extend(gaps(figures));
    list.extend(store(&figures.usage));
    worst_first(&mut list);
    list
}

/// What is as bad as something else keeps its place.
pub(super) fn worst_first(list: &mut [Attention]) {
    list.sort_by_key(Attention::how_bad);
}

/// The first few of a list, and how many more there are.
fn few(mut words: Vec<String>, separator: &str) -> String {
    let more = words.len().saturating_sub(FEW);
    words.truncate(FEW);
    let named = words.join(separator);
    if more == 0 { named } else { format!("{named} and {} more", grouped(more as u64)) }
}

fn not_ready(text: &str) -> Attention {
    Attention {
        tone: "bad",
        what: "This instance is not ready".to_owned(),
        evidence: short(text, 300),
        place: String::new(),
        since: None,
        href: "/health/ready".to_owned(),
        action: "See readiness",
        severity: None,
    }
}

/// Rules that nobody looks at, or that know nothing.
fn unwatched(figures: &Overview) -> Option<Attention> {
    let watching = &figures.watching;
    let row = |tone, what: &str, evidence, since| Attention {
        tone,
        what: what.to_owned(),
        evidence,
        place: String::new(),
        since,
        href: "/alerts".to_owned(),
        action: "See alerts",
        severity: None,
    };
    if watching.is_overdue(figures.now) {
        let evidence = format!("{} Nothing fires and nothing is over meanwhile", watching::words(watching, figures.now));
        return Some(row("bad", "Alert rules are not looked at", evidence, watching.looked_at));
    }
    let unread: Vec<&str> = watching.unread.iter().map(|figure| words::figure(*figure)).collect();
    let evidence = format!("{}; other rules are looked at", unread.join(", "));
    (!unread.is_empty()).then(|| row("warn", "Alert rules know nothing of a figure that cannot be read", evidence, None))
}

/// Alerts that fire and are told: those that nobody has first.
fn firing(figures: &Overview) -> Vec<Attention> {
    let row = |alert: &Alert| {
        let taken = alert.acknowledgement.as_ref().filter(|note| note.counts(figures.now));
        let taken = taken
            .map_or_else(|| "nobody has it yet".to_owned(), |note| format!("{} has it", short(note.by.trim_start_matches("user:"), 60)));
        let summary = short(&alert.details.summary, 200);
        Attention {
            tone: if alert.details.severity <= Severity::Error { "bad" } else { "warn" },
            what: format!("Alert: {}", short(&alert.details.rule, 100)),
            evidence: if summary.is_empty() { taken } else { format!("{summary}; {taken}") },
            place: about(&alert.labels, false),
            since: alert.standing.started_at,
            href: format!("/alerts/{}", alert.number),
            action: "See alert",
            severity: Some(alert.details.severity),
        }
    };
    let mut rows: Vec<Attention> = figures.firing.iter().take(MAX_OF_A_KIND).map(row).collect();
    if let Some(rest) = figures.firing.get(MAX_OF_A_KIND..).filter(|rest| !rest.is_empty()) {
        let names: std::collections::BTreeSet<String> = rest.iter().map(|alert| short(&alert.details.rule, 80)).collect();
        rows.push(Attention {
            tone: if rest.iter().any(|alert| alert.details.severity <= Severity::Error) { "bad" } else { "warn" },
            what: counted(rest.len() as u64, "more alert fires", "more alerts fire"),
            evidence: short(&names.into_iter().collect::<Vec<_>>().join(", "), 300),
            place: String::new(),
            since: rest.iter().filter_map(|alert| alert.standing.started_at).min(),
            href: "/alerts".to_owned(),
            action: "See alerts",
            severity: rest.iter().map(|alert| alert.details.severity).min(),
        });
    }
    rows
}

fn bus_trouble(state: &BusState, now: Timestamp) -> Option<Attention> {
    let name = short(state.id.as_str(), 80);
    let href = "/buses".to_owned();
    let row = |tone, what, evidence, since| Attention {
        tone,
        what,
        evidence,
        place: name.clone(),
        since,
        href,
        action: "See bus",
        severity: None,
    };
    let freshness = Freshness::of(state, now);
    let (tone, reason) = (freshness.look().tone, freshness.reason().map(|reason| short(&reason, 400)));
    match (freshness.condition, reason) {
        (Condition::Fresh, _) | (Condition::Never, None) => None,
        (Condition::Never, Some(reason)) => Some(row(tone, "Bus was never reached".to_owned(), reason, state.failing_since)),
        (_, Some(reason)) => Some(row(
            tone,
            "Bus does not answer".to_owned(),
            format!("{reason} What is shown of it is as old as its last answer."),
            state.failing_since,
        )),
        (_, None) => {
            Some(row(tone, "Bus has not been read lately".to_owned(), "What is shown of it is as old as that".to_owned(), state.sampled_at))
        }
    }
}

fn stopped_policy(policy: &Policy) -> Attention {
    let name = short(&policy.name, 80);
    let bad = policy.gave_up_at.is_some();
    Attention {
        tone: if bad { "bad" } else { "warn" },
        what: if bad { format!("Replay policy {name} has given up") } else { format!("Replay policy {name} has stopped for a while") },
        evidence: short(policy.text.as_deref().unwrap_or_default(), 300),
        place: policy.terms.filter.consumer_group.first().map(|group| short(group.as_str(), 80)).unwrap_or_default(),
        since: policy.gave_up_at,
        href: format!("/replay-policies/{}", policy.number),
        action: "See policy",
        severity: None,
    }
}

/// "Usual" is the same time just before; nothing longer is known here.
fn arrivals(figures: &Overview, range: Range) -> Option<Attention> {
    let (now, before) = (figures.arrivals.total, figures.arrivals.before);
    if now < FAST_AT_LEAST || now < before.saturating_mul(FAST_FACTOR) {
        return None;
    }
    let most = figures.groups.first().filter(|_| figures.groups_are_recent);
    let named = most.map(|group| {
        let (name, place, _) = name_and_message(group);
        if place.is_empty() { format!("; most: {name}") } else { format!("; most: {name} in {place}") }
    });
    let (href, action, place) = match most {
        Some(group) => {
            let place = group.consumer_groups.first().and_then(|(name, _, _)| name.as_deref()).map(|name| short(name, 80));
            (group_address(&group.bus, group.fingerprint), "See failure group", place.unwrap_or_default())
        }
        None => ("/failure-groups".to_owned(), "See failure groups", String::new()),
    };
    let first = figures.arrivals.per_bucket.iter().position(|count| *count > 0);
    let since = first.and_then(|i| crate::web::view::chart::bucket_starts(figures.buckets).get(i).copied());
    let most = named.unwrap_or_default();
    let before = if before == 0 { "none".to_owned() } else { grouped(before) };
    Some(Attention {
        tone: "bad",
        what: "Dead letters are arriving fast".to_owned(),
        evidence: format!("{} in {}, {before} in the same time before{most}", grouped(now), range.words()),
        place,
        since,
        href,
        action,
        severity: None,
    })
}

/// Groups that failed in the range: those that began in it and those that go on, but the one that arrives fast, which is said already.
fn groups(figures: &Overview, range: Range, said: Option<&str>, href: &str) -> Vec<Attention> {
    let is_said = |group: &FailureGroup| said.is_some_and(|href| href == group_address(&group.bus, group.fingerprint));
    let failing = figures.groups.iter().filter(|group| figures.groups_are_recent && group.counts.open > 0 && !is_said(group));
    let from = range.bounds(figures.now).0;
    let (new, old): (Vec<&FailureGroup>, Vec<_>) = failing.partition(|group| from.is_some_and(|from| group.first_seen >= from));
    let mut list: Vec<Attention> =
        new.iter().take(MAX_OF_A_KIND).map(|group| failing_group("New failure", group, figures, range)).collect();
    list.extend(old.iter().take(MAX_OF_A_KIND).map(|group| failing_group("Still failing", group, figures, range)));
    let rest: Vec<&FailureGroup> = new.into_iter().skip(MAX_OF_A_KIND).chain(old.into_iter().skip(MAX_OF_A_KIND)).collect();
    list.extend(more_groups(&rest, figures.more_groups, range, href));
    list
}

fn failing_group(what: &str, group: &FailureGroup, figures: &Overview, range: Range) -> Attention {
    let (name, place, message) = name_and_message(group);
    let place = if place.is_empty() { String::new() } else { format!(" in {place}") };
    let message = if message.is_empty() { String::new() } else { format!(": {}", short(&message, 160)) };
    let failed = counted(group.counts.open, "dead letter", "dead letters");
    let newest = time::relative(group.last_seen, figures.now);
    Attention {
        tone: "warn",
        what: format!("{what}: {name}{place}"),
        evidence: format!("{failed} in {}, the newest {newest}{message}", range.words()),
        place: group.consumer_groups.first().and_then(|(name, _, _)| name.as_deref()).map(|n| short(n, 80)).unwrap_or_default(),
        since: Some(group.first_seen),
        href: group_address(&group.bus, group.fingerprint),
        action: "See failure group",
        severity: None,
    }
}

/// What is left over when the first few were named; `beyond` says that there are more than were read.
fn more_groups(rest: &[&FailureGroup], beyond: bool, range: Range, href: &str) -> Option<Attention> {
    let oldest = rest.iter().map(|group| group.first_seen).min();
    if oldest.is_none() && !beyond {
        return None;
    }
    let (groups, letters) = (rest.len() as u64, rest.iter().map(|group| group.counts.open).sum());
    let what = match groups {
        0 => "More failure groups are failing".to_owned(),
        _ if beyond => format!("At least {} failing", counted(groups, "more failure group is", "more failure groups are")),
        _ => format!("{} failing", counted(groups, "more failure group is", "more failure groups are")),
    };
    let from = range.words();
    Some(Attention {
        tone: "warn",
        what,
        evidence: match groups {
            0 => format!("each has fewer open dead letters from {from} than those named here"),
            _ if beyond => format!("{} in {from}, and those of the others", counted(letters, "open dead letter", "open dead letters")),
            _ => format!("{} in {from}", counted(letters, "open dead letter", "open dead letters")),
        },
        place: String::new(),
        since: oldest,
        href: href.to_owned(),
        action: "See failure groups",
        severity: None,
    })
}

fn gaps(figures: &Overview) -> Vec<Attention> {
    let recent = figures.gaps.iter().filter(|gap| gap.at >= figures.buckets.from);
    recent
        .take(MAX_OF_A_KIND)
        .map(|gap| Attention {
            tone: "warn",
            what: format!("Up to {} gone before they were read", counted(gap.offsets(), "record was", "records were")),
            evidence: format!(
                "{} / {}: offsets {} to {}",
                short(gap.topic.as_str(), 120),
                gap.partition,
                grouped(gap.from_offset.unsigned_abs()),
                grouped(gap.to_offset.saturating_sub(1).unsigned_abs())
            ),
            place: short(gap.bus.as_str(), 80),
            since: Some(gap.at),
            href: format!("/buses/{}/topics/{}", segment(gap.bus.as_str()), segment(gap.topic.as_str())),
            action: "See topic",
            severity: None,
        })
        .collect()
}

fn store(usage: &StoreUsage) -> Option<Attention> {
    let max = usage.max_bytes.filter(|max| *max > 0)?;
    let percent = usage.used_bytes.saturating_mul(100) / max;
    let (tone, what) = match percent {
        0..90 => return None,
        90..100 => ("warn", "The store is nearly full"),
        _ => ("bad", "The store is full"),
    };
    Some(Attention {
        tone,
        what: what.to_owned(),
        evidence: format!(
            "{} of {} used; when full, resolved and discarded dead letters go first, then indexing stops",
            size(usage.used_bytes),
            size(max)
        ),
        place: String::new(),
        since: None,
        href: "#stored".to_owned(),
        action: "See what is stored",
        severity: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_stands_where_its_rule_says_among_what_has_no_rule() {
        let item = |what: &str, tone, severity| Attention { what: what.to_owned(), tone, severity, ..not_ready("") };
        let mut list = vec![
            item("slow", "warn", None),
            item("alert", "bad", Some(Severity::Error)),
            item("fast", "bad", None),
            item("note", "warn", Some(Severity::Info)),
            item("page", "bad", Some(Severity::Critical)),
        ];
        worst_first(&mut list);
        assert_eq!(list.iter().map(|item| item.what.as_str()).collect::<Vec<_>>(), ["fast", "page", "alert", "slow", "note"]);
    }
}
