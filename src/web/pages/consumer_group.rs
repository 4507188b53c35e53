//! One consumer group: what it is doing and why that is thought, its history, its positions and its members.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::super::extract::{Partial, Path, Query, Viewer};
use super::super::rates::Pace;
use super::super::render::{Page, part, render};
use super::super::view::address::{Address, segment};
use super::super::view::freshness::Freshness;
use super::super::view::group::{self, GroupState};
use super::super::view::lines::seconds;
use super::super::view::listing::ShownOrder;
use super::super::view::number::with_commas;
use super::super::view::period::{Period, PeriodQuery};
use super::super::{Error, Layout, Section, WebState, filters};
use crate::metrics::pace::until_caught_up;
use crate::model::bus::{Capability, ConsumerGroup, GroupMember};
use crate::model::lag::{GroupOffset, GroupStatus, Standing};
use crate::model::{BusId, BusState, GroupName, Timestamp};
use crate::store::consumer_groups::ConsumerGroupSummary;

pub(super) mod exact;
pub(super) mod history;

use history::History;

/// Partitions shown at once over all topics; a group with more is a rare thing, and the API has all of them.
const PARTITIONS: usize = 1_000;

/// Rows that keep their place while their numbers change; those beyond stand where their numbers put them.
const KEPT: usize = 300;

/// What the address asks for.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct GroupQuery {
    range: Option<String>,
    from: Option<String>,
    to: Option<String>,
    /// The order of the rows that are shown, from a page that fetches itself.
    order: ShownOrder,
}

/// A topic with the group's partitions.
#[derive(Debug)]
struct TopicRows {
    topic: String,
    href: String,
    partitions: u64,
    lag: Option<u64>,
    without_commit: u64,
    /// Partitions that need somebody.
    troubled: u64,
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    status: GroupState,
    evidence: String,
    partition: i32,
    committed: Option<i64>,
    log_start: Option<i64>,
    end: Option<i64>,
    lag: Option<i64>,
    /// What the lag counts, and what not.
    lag_title: String,
    at_most: bool,
    time_lag: String,
    /// Whether the bus was asked for its bound.
    looked_up: bool,
    moved_at: Option<Timestamp>,
    deleted: i64,
    member: Option<String>,
    /// The records at the committed offset.
    records_href: Option<String>,
    /// Where the bus is asked how long ago the next record was written; where there is one.
    exact_href: Option<String>,
}

#[derive(Debug)]
struct MemberRow {
    client_id: String,
    member_id: String,
    instance_id: Option<String>,
    host: String,
    partitions: u64,
    assignment: String,
}

/// The worst partition at two moments.
#[derive(Debug)]
struct Looks {
    place: String,
    first: Timestamp,
    first_words: String,
    last: Timestamp,
    last_words: String,
}

/// The group's positions, added up.
#[derive(Debug, Default)]
struct Totals {
    lag: Option<u64>,
    deleted: u64,
    raw_lag: i64,
    not_records: i64,
    with_commit: u64,
    without_commit: u64,
}

#[derive(Template)]
#[template(path = "consumer_group/page.html", blocks = ["group"])]
struct GroupPage {
    layout: Layout,
    freshness: Freshness,
    /// Where the page fetches itself.
    live: String,
    period: Period,
    history: History,
    name: String,
    status: GroupState,
    standing: Standing,
    /// Two looks that the worst partition's status was read from.
    looks: Option<Looks>,
    time_lag: String,
    /// How long until it is caught up, in words; empty where nobody can tell.
    until: String,
    state: GroupState,
    kind: String,
    totals: Totals,
    topics: Vec<TopicRows>,
    /// The page with its rows put in order anew; empty while they are in order.
    sort_again: String,
    hidden: usize,
    members: Option<Vec<MemberRow>>,
    members_reason: String,
    open_dead_letters: Option<u64>,
    dead_letters_href: String,
    sampled_at: Timestamp,
}

impl Totals {
    fn of(offsets: &[GroupOffset]) -> Self {
        let mut totals = Self::default();
        for offset in offsets {
            if let Some(lag) = offset.lag_messages() {
                totals.lag = Some(totals.lag.unwrap_or(0) + lag.unsigned_abs());
            }
            totals.deleted += offset.deleted_messages().unwrap_or(0).unsigned_abs();
            totals.raw_lag += offset.raw_lag_messages().unwrap_or(0);
            totals.not_records += offset.not_records.unwrap_or(0);
            *if offset.committed.is_some() { &mut totals.with_commit } else { &mut totals.without_commit } += 1;
        }
        totals
    }
}

impl GroupPage {
    fn new(
        layout: Layout,
        bus: &BusState,
        group: ConsumerGroup,
        summary: Option<&ConsumerGroupSummary>,
        period: Period,
        history: History,
        order: &ShownOrder,
    ) -> Self {
        let name = group.name.to_string();
        let owners = owners(group.members.as_deref().unwrap_or_default());
        let totals = Totals::of(&group.offsets);
        let (offsets, moved) = in_order(group.offsets, order);
        let shown = ShownOrder::of(offsets.iter().take(KEPT).map(|(key, _)| key.as_str())).to_string();
        let offsets: Vec<GroupOffset> = offsets.into_iter().map(|(_, offset)| offset).collect();
        let here = address(&bus.id, &group.name).with_pairs(&period.pairs);
        let freshness = Freshness::of(bus, layout.now);
        let hidden = offsets.len().saturating_sub(PARTITIONS);
        let reason = bus.capabilities.reason_against(Capability::DescribeGroups).unwrap_or("the bus did not describe this group");
        Self {
            live: here.set("order", &shown).to_string(),
            sort_again: if moved { here.to_string() } else { String::new() },
            status: group::status_at(group.standing.status, group.standing.parked, &freshness),
            looks: looks(&offsets),
            time_lag: summary.and_then(|summary| summary.time_lag).map_or_else(String::new, group::time_lag),
            until: until(group.standing.status, summary.and_then(|summary| summary.lag_messages), history.pace),
            standing: group.standing,
            period,
            history,
            state: group::state(&group.state, &group.kind),
            kind: group::kind(&group.kind).to_owned(),
            totals,
            topics: topics((&bus.id, &group.name), &freshness, &offsets, &owners),
            freshness,
            hidden,
            members: group.members.map(|members| members.into_iter().map(Into::into).collect()),
            members_reason: reason.to_owned(),
            open_dead_letters: summary.map(|summary| summary.open_dead_letters),
            dead_letters_href: Address::new("/dead-letters").and("bus", bus.id.as_str()).and("consumer_group", &name).to_string(),
            sampled_at: group.sampled_at,
            name,
            layout,
        }
    }
}

impl From<GroupMember> for MemberRow {
    fn from(member: GroupMember) -> Self {
        let words = |(topic, partitions): &(_, Vec<i32>)| {
            let numbers: Vec<String> = partitions.iter().map(ToString::to_string).collect();
            format!("{topic} {}", numbers.join(", "))
        };
        Self {
            partitions: member.assignment.iter().map(|(_, partitions)| partitions.len() as u64).sum(),
            assignment: member.assignment.iter().map(words).collect::<Vec<_>>().join("; "),
            client_id: member.client_id,
            member_id: member.member_id,
            instance_id: member.instance_id,
            host: member.host,
        }
    }
}

/// Which member holds which partition.
fn owners(members: &[GroupMember]) -> BTreeMap<(&str, i32), &str> {
    let mut owners = BTreeMap::new();
    for member in members {
        for (topic, partitions) in &member.assignment {
            owners.extend(partitions.iter().map(|partition| ((topic.as_str(), *partition), member.client_id.as_str())));
        }
    }
    owners
}

/// Topics by name, in each the worst partitions first, unless they are shown in another order already; with a name for each, and
/// whether they would now stand elsewhere.
fn in_order(offsets: Vec<GroupOffset>, order: &ShownOrder) -> (Vec<(String, GroupOffset)>, bool) {
    let worst = |offset: &GroupOffset| (offset.verdict.status.needs_attention(), offset.verdict.status, offset.lag_messages());
    let mut rows: Vec<(String, GroupOffset)> =
        offsets.into_iter().map(|offset| (format!("{}/{}", offset.topic, offset.partition), offset)).collect();
    rows.sort_by(|(_, a), (_, b)| a.topic.cmp(&b.topic).then(worst(b).cmp(&worst(a))).then(a.partition.cmp(&b.partition)));
    let moved = order.keep(&mut rows, |(key, _)| key);
    rows.sort_by(|(_, a), (_, b)| a.topic.cmp(&b.topic));
    (rows, moved)
}

/// The rows of each topic.
fn topics(
    (bus, group): (&BusId, &GroupName),
    freshness: &Freshness,
    offsets: &[GroupOffset],
    owners: &BTreeMap<(&str, i32), &str>,
) -> Vec<TopicRows> {
    let mut shown = 0;
    offsets
        .chunk_by(|a, b| a.topic == b.topic)
        .map(|offsets| {
            let topic = offsets[0].topic.as_str();
            let href = format!("/buses/{}/topics/{}", segment(bus.as_str()), segment(topic));
            let row = |offset: &GroupOffset| Row {
                status: group::status_at(offset.verdict.status, false, freshness),
                evidence: offset.verdict.evidence.clone(),
                lag_title: lag_title(offset),
                at_most: offset.at_most,
                time_lag: offset.time_lag.map_or_else(String::new, group::time_lag),
                looked_up: offset.time_lag.is_some_and(|lag| lag.looked_up),
                moved_at: offset.moved_at,
                partition: offset.partition,
                committed: offset.committed,
                log_start: offset.log_start,
                end: offset.end,
                lag: offset.lag_messages(),
                deleted: offset.deleted_messages().unwrap_or(0),
                member: owners.get(&(topic, offset.partition)).map(|&member| member.to_owned()),
                exact_href: offset.lag_messages().filter(|lag| *lag > 0).map(|_| {
                    let exact = Address::new(format!("{}/lag", address(bus, group))).and("topic", topic);
                    exact.and("partition", &offset.partition.to_string()).to_string()
                }),
                records_href: offset.committed.map(|at| format!("{href}?tab=records&partition={}&offset={at}", offset.partition)),
            };
            let totals = Totals::of(offsets);
            let rows: Vec<Row> = offsets.iter().take(PARTITIONS.saturating_sub(shown)).map(row).collect();
            shown += rows.len();
            TopicRows {
                topic: topic.to_owned(),
                partitions: offsets.len() as u64,
                lag: totals.lag,
                without_commit: totals.without_commit,
                troubled: offsets.iter().filter(|offset| offset.verdict.status.needs_attention()).count() as u64,
                rows,
                href,
            }
        })
        .collect()
}

fn address(bus: &BusId, group: &GroupName) -> Address {
    Address::new(format!("/buses/{}/consumer-groups/{}", segment(bus.as_str()), segment(group.as_str())))
}

/// What the worst partition looked like at two moments.
fn looks(offsets: &[GroupOffset]) -> Option<Looks> {
    let worst = offsets.iter().filter(|offset| offset.verdict.looks.is_some());
    let worst = worst.max_by_key(|offset| (offset.verdict.status, offset.lag_messages()))?;
    let (first, last) = worst.verdict.looks?;
    let words = |look: crate::model::lag::Look| {
        format!("committed {}, end {}", with_commas(&look.committed.to_string()), with_commas(&look.end.to_string()))
    };
    (first.at < last.at && worst.verdict.status.needs_attention()).then(|| Looks {
        place: format!("{}/{}", worst.topic, worst.partition),
        first: first.at,
        first_words: words(first),
        last: last.at,
        last_words: words(last),
    })
}

/// How long until nothing is left, at the pace of the last minutes.
fn until(status: GroupStatus, lag: Option<u64>, pace: Pace) -> String {
    if lag.is_none_or(|lag| lag == 0) {
        return String::new();
    }
    if let Some(time) = until_caught_up(status, lag, pace.read, pace.written) {
        return format!("caught up in about {} at this speed", seconds(time.as_secs_f64()));
    }
    match (status, pace.read, pace.written) {
        (GroupStatus::FallingBehind, Some(read), Some(written)) if read > 0.0 => {
            format!("reads {} of every 100 messages written", (read / written.max(read) * 100.0).round())
        }
        _ => String::new(),
    }
}

fn lag_title(offset: &GroupOffset) -> String {
    let mut parts = Vec::new();
    if let Some(raw) = offset.raw_lag_messages() {
        parts.push(format!("end less committed: {raw}"));
    }
    if let Some(deleted) = offset.deleted_messages().filter(|deleted| *deleted > 0) {
        parts.push(format!("deleted unread: {deleted}"));
    }
    if let Some(none) = offset.not_records.filter(|none| *none > 0) {
        parts.push(format!("no records (markers, aborted or compacted): {none}"));
    }
    if offset.at_most {
        parts.push("may count offsets that are no records".to_owned());
    }
    parts.join("; ")
}

impl Page for GroupPage {
    fn part(&self, id: &str, now: Timestamp) -> Option<askama::Result<String>> {
        (id == "group").then(|| part(&self.as_group(), now))
    }

    fn now(&self) -> Timestamp {
        self.layout.now
    }
}

/// The page.
pub(super) async fn show(
    _: Viewer,
    State(state): State<WebState>,
    Path((bus, name)): Path<(BusId, GroupName)>,
    Query(query): Query<GroupQuery>,
    layout: Layout,
    partial: Partial,
) -> Result<Response, Error> {
    let bus = state.store().find_bus(&bus).await?.ok_or(Error::NotFound("bus"))?;
    let group = state.store().find_consumer_group(&bus.id, &name).await?.ok_or(Error::NotFound("consumer group"))?;
    let listed = state.store().list_consumer_groups(&bus.id, Some(name.as_str()), None).await?;
    let layout = layout.titled(Section::ConsumerGroups, name.as_str());
    let layout = layout.crumb("Consumer groups", format!("/buses/{}/consumer-groups", segment(bus.id.as_str())));
    let asked = PeriodQuery { range: query.range, from: query.from, to: query.to };
    let period = asked.read(&address(&bus.id, &name), layout.now)?;
    let mut read: Vec<&str> = group.offsets.iter().map(|offset| offset.topic.as_str()).collect();
    read.dedup();
    let history = History::load(state.store(), &group, &read, &period, layout.now).await?;
    let summary = listed.iter().find(|summary| summary.name == name);
    render(&GroupPage::new(layout, &bus, group, summary, period, history, &query.order), &partial)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_until_caught_up_is_told_where_both_speeds_are_known() {
        use GroupStatus::{CatchingUp, CaughtUp, FallingBehind};
        let pace = |read, written| Pace { read, written };
        assert_eq!(until(CatchingUp, Some(600), pace(Some(30.0), Some(20.0))), "caught up in about 1.0 min at this speed");
        assert_eq!(until(CatchingUp, Some(600), pace(Some(30.0), None)), "", "one of its topics was not sampled");
        assert_eq!(until(CatchingUp, Some(600), pace(Some(20.0), Some(20.0))), "", "it does not gain");
        assert_eq!(until(CaughtUp, Some(0), pace(Some(30.0), Some(20.0))), "", "nothing is left");
        assert_eq!(until(FallingBehind, Some(600), pace(Some(5.0), Some(20.0))), "reads 25 of every 100 messages written");
        assert_eq!(until(FallingBehind, Some(600), pace(Some(5.0), None)), "");
    }
}
