//! Rows of the busiest and the worst, and their order: what somebody on call looks at first.

use super::series::Values;
use super::spans::Share;
use crate::model::lag::GroupStatus;
use crate::model::{BusId, GroupName, TopicName};
use crate::store::consumer_groups::ConsumerGroupSummary;
use crate::web::view::address::segment;
use crate::web::view::chart::Bar;
use crate::web::view::freshness::Freshness;
use crate::web::view::group::{self, GroupState};
use crate::web::view::lines::{decimal, spark};
use crate::web::view::number::with_commas;

/// Rows of a short list.
pub(super) const ROWS: usize = 6;

/// A topic.
#[derive(Debug)]
pub(in crate::web) struct TopicRow {
    /// Tells it apart on a page that may list it twice.
    pub(in crate::web) key: String,
    pub(in crate::web) bus: BusId,
    pub(in crate::web) name: TopicName,
    pub(in crate::web) href: String,
    /// Mean messages per second.
    pub(in crate::web) rate: Option<f64>,
    /// That came from it.
    pub(in crate::web) dead_letters: u64,
    /// That arrived in it, where it is a dead-letter topic in which some did.
    pub(in crate::web) held: Option<u64>,
    pub(in crate::web) spans: Option<Share>,
    /// Messages over time.
    pub(in crate::web) spark: String,
    /// Dead letters over time.
    pub(in crate::web) bars: Vec<Bar>,
}

/// A consumer group.
#[derive(Debug)]
pub(in crate::web) struct GroupRow {
    /// Tells it apart on a page that may list it twice.
    pub(in crate::web) key: String,
    pub(in crate::web) bus: BusId,
    pub(in crate::web) name: GroupName,
    pub(in crate::web) href: String,
    pub(in crate::web) status: GroupState,
    /// The status's own word.
    pub(in crate::web) word: GroupStatus,
    /// Whether its figures are old ones.
    pub(in crate::web) stale: bool,
    /// Whether its bus is silent, so that nobody knows them now.
    pub(in crate::web) past: bool,
    pub(in crate::web) evidence: String,
    pub(in crate::web) lag: Option<u64>,
    /// How much more lag it has at the end of the range than at its beginning.
    pub(in crate::web) grew: Option<f64>,
    pub(in crate::web) time_lag: String,
    /// Mean messages per second.
    pub(in crate::web) rate: Option<f64>,
    /// That it failed on.
    pub(in crate::web) dead_letters: u64,
    pub(in crate::web) spans: Option<Share>,
    /// Lag over time, or messages.
    pub(in crate::web) spark: String,
}

/// What is known of a consumer group before anything is chosen.
#[derive(Debug, Clone, Copy)]
pub(super) struct GroupFacts<'a> {
    pub(super) summary: &'a ConsumerGroupSummary,
    pub(super) freshness: &'a Freshness,
    pub(super) lag: Option<&'a Values>,
    /// How much more lag it has at the end of the range than at its beginning.
    pub(super) grew: Option<f64>,
    pub(super) rate: Option<f64>,
    pub(super) dead_letters: u64,
    pub(super) spans: Option<Share>,
}

/// The status when somebody should look.
pub(super) fn needs(group: &ConsumerGroupSummary) -> Option<GroupStatus> {
    Some(group.standing.status).filter(|status| status.needs_attention() && *status != GroupStatus::NoCommit && !group.standing.parked)
}

impl TopicRow {
    pub(super) fn new(bus: BusId, name: TopicName) -> Self {
        let href = format!("/buses/{}/topics/{}", segment(bus.as_str()), segment(name.as_str()));
        Self {
            key: format!("worst {href}"),
            href,
            bus,
            name,
            rate: None,
            dead_letters: 0,
            held: None,
            spans: None,
            spark: String::new(),
            bars: Vec::new(),
        }
    }

    /// Messages per second in words.
    pub(in crate::web) fn rate_words(&self) -> String {
        rate_words(self.rate)
    }

    /// How many spans failed of how many; empty where no span came.
    pub(in crate::web) fn failed_title(&self) -> String {
        failed_title(self.spans)
    }

    /// What its bars are called.
    pub(in crate::web) fn bars_label(&self) -> String {
        format!("Dead letters of {} over time", self.name)
    }

    /// The share of failed spans in words; empty where no span came.
    pub(in crate::web) fn failed_words(&self) -> String {
        failed_words(self.spans)
    }
}

impl GroupRow {
    pub(super) fn new(facts: GroupFacts<'_>) -> Self {
        let group = facts.summary;
        let href = format!("/buses/{}/consumer-groups/{}", segment(group.bus.as_str()), segment(group.name.as_str()));
        Self {
            key: format!("worst {href}"),
            href,
            bus: group.bus.clone(),
            name: group.name.clone(),
            status: group::status_at(group.standing.status, false, facts.freshness),
            word: if facts.freshness.is_past() { GroupStatus::Unknown } else { group.standing.status },
            stale: facts.freshness.is_stale(),
            past: facts.freshness.is_past(),
            evidence: group.standing.evidence.clone(),
            lag: group.lag_messages,
            grew: facts.grew,
            time_lag: group.time_lag.map_or_else(String::new, group::time_lag),
            rate: facts.rate,
            dead_letters: facts.dead_letters,
            spans: facts.spans,
            spark: facts.lag.map_or_else(String::new, |values| spark(values)),
        }
    }

    /// Messages per second in words.
    pub(in crate::web) fn rate_words(&self) -> String {
        rate_words(self.rate)
    }

    /// How many spans failed of how many; empty where no span came.
    pub(in crate::web) fn failed_title(&self) -> String {
        failed_title(self.spans)
    }

    /// The share of failed spans in words; empty where no span came.
    pub(in crate::web) fn failed_words(&self) -> String {
        failed_words(self.spans)
    }

    /// How lag has changed, in words; empty where that is not known.
    pub(in crate::web) fn grew_words(&self) -> String {
        match self.grew {
            None => String::new(),
            Some(grew) if grew.abs() < 0.5 => "no change".to_owned(),
            Some(grew) => format!("{}{}", if grew > 0.0 { "+" } else { "−" }, with_commas(&format!("{:.0}", grew.abs()))),
        }
    }
}

fn rate_words(rate: Option<f64>) -> String {
    rate.map_or_else(|| "no sample".to_owned(), decimal)
}

/// How many of how many.
fn failed_title(spans: Option<Share>) -> String {
    spans.filter(|share| share.spans > 0.0).map_or_else(String::new, |share| {
        format!(
            "{} of {} spans that touched a message",
            with_commas(&format!("{:.0}", share.failed)),
            with_commas(&format!("{:.0}", share.spans))
        )
    })
}

fn failed_words(spans: Option<Share>) -> String {
    spans.and_then(Share::ratio).map_or_else(String::new, |ratio| format!("{:.1} %", ratio * 100.0))
}

/// Whether a group has anything that somebody on call would look at.
pub(super) fn is_worth_a_row(facts: &GroupFacts<'_>) -> bool {
    let failed = facts.spans.is_some_and(|share| share.failed > 0.0);
    let behind = facts.summary.lag_messages > Some(0);
    !facts.summary.standing.parked && (behind || facts.dead_letters > 0 || failed || needs(facts.summary).is_some())
}

/// What needs somebody first; then by dead letters, by how much lag grew, by the share of failed spans, and by lag.
pub(super) fn worst_first(a: &GroupFacts<'_>, b: &GroupFacts<'_>) -> std::cmp::Ordering {
    let grew = |facts: &GroupFacts<'_>| facts.grew.unwrap_or_default().max(0.0);
    let share = |facts: &GroupFacts<'_>| facts.spans.map_or(0.0, Share::rank);
    let lag = |facts: &GroupFacts<'_>| facts.summary.lag_messages.unwrap_or(0);
    (needs(b.summary).cmp(&needs(a.summary)))
        .then_with(|| b.dead_letters.cmp(&a.dead_letters))
        .then_with(|| grew(b).total_cmp(&grew(a)))
        .then_with(|| share(b).total_cmp(&share(a)))
        .then_with(|| lag(b).cmp(&lag(a)))
        .then_with(|| (&a.summary.bus, &a.summary.name).cmp(&(&b.summary.bus, &b.summary.name)))
}

/// Topics that failed: by dead letters, then by the share of failed spans.
pub(super) fn worst_topics(mut topics: Vec<TopicRow>) -> Vec<TopicRow> {
    let share = |row: &TopicRow| row.spans.map_or(0.0, Share::rank);
    topics.retain(|row| row.dead_letters > 0 || row.spans.is_some_and(|share| share.failed > 0.0));
    topics.sort_by(|a, b| {
        (b.dead_letters.cmp(&a.dead_letters))
            .then_with(|| share(b).total_cmp(&share(a)))
            .then_with(|| (&a.bus, &a.name).cmp(&(&b.bus, &b.name)))
    });
    topics.truncate(ROWS);
    topics
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(name: &str, dead_letters: u64, failed: f64, spans: f64) -> TopicRow {
        TopicRow { dead_letters, spans: Some(Share { failed, spans }), ..TopicRow::new("prod".into(), name.into()) }
    }

    #[test]
    fn topics_are_ranked_by_dead_letters_and_then_by_the_share_that_failed() {
        let topics = vec![
            topic("quiet", 0, 0.0, 900.0),
            topic("flaky", 0, 90.0, 100.0),
            topic("one-of-one", 0, 1.0, 1.0),
            topic("few", 2, 0.0, 100.0),
            topic("many", 40, 1.0, 100.0),
            topic("slightly", 0, 1.0, 100.0),
        ];
        let names: Vec<String> = worst_topics(topics).iter().map(|row| row.name.to_string()).collect();
        assert_eq!(names, ["many", "few", "flaky", "slightly", "one-of-one"], "few spans rank last, and are not hidden");
        assert_eq!((topic("a", 0, 5.0, 100.0).failed_words(), topic("a", 0, 0.0, 0.0).failed_words()), ("5.0 %".to_owned(), String::new()));
    }
}
