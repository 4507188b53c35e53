//! One consumer group: its members, and its committed offsets beside what the partitions hold.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::super::extract::{Partial, Path, Viewer};
use super::super::render::{Page, part, render};
use super::super::view::address::{Address, segment};
use super::super::view::freshness::Freshness;
use super::super::view::group::{self, GroupState};
use super::super::{Error, Layout, Section, WebState, filters};
use crate::model::bus::{Capability, ConsumerGroup, GroupMember, GroupOffset};
use crate::model::{BusId, BusState, GroupName, Timestamp};
use crate::store::consumer_groups::ConsumerGroupSummary;

/// Partitions shown at once over all topics; a group with more is a rare thing, and the API has all of them.
const PARTITIONS: usize = 1_000;

/// A topic with the group's partitions.
#[derive(Debug)]
struct TopicRows {
    topic: String,
    href: String,
    partitions: u64,
    lag: Option<u64>,
    without_commit: u64,
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    partition: i32,
    committed: Option<i64>,
    log_start: Option<i64>,
    end: Option<i64>,
    lag: Option<i64>,
    deleted: i64,
    /// Share of the group's largest lag, in percent.
    share: u64,
    member: Option<String>,
    /// The records at the committed offset.
    records_href: Option<String>,
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

/// The group's positions, added up.
#[derive(Debug, Default)]
struct Totals {
    lag: Option<u64>,
    deleted: u64,
    with_commit: u64,
    without_commit: u64,
}

#[derive(Template)]
#[template(path = "consumer_group/page.html", blocks = ["group"])]
struct GroupPage {
    layout: Layout,
    freshness: Freshness,
    name: String,
    state: GroupState,
    kind: String,
    totals: Totals,
    topics: Vec<TopicRows>,
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
            *if offset.committed.is_some() { &mut totals.with_commit } else { &mut totals.without_commit } += 1;
        }
        totals
    }
}

impl GroupPage {
    fn new(layout: Layout, bus: &BusState, group: ConsumerGroup, summary: Option<&ConsumerGroupSummary>) -> Self {
        let name = group.name.to_string();
        let owners = owners(group.members.as_deref().unwrap_or_default());
        let totals = Totals::of(&group.offsets);
        let hidden = group.offsets.len().saturating_sub(PARTITIONS);
        let reason = bus.capabilities.reason_against(Capability::DescribeGroups).unwrap_or("the bus did not describe this group");
        Self {
            freshness: Freshness::of(bus, layout.now),
            state: group::state(&group.state),
            kind: group::kind(&group.kind).to_owned(),
            totals,
            topics: topics(&bus.id, group.offsets, &owners),
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

/// Topics by name, in each the partitions with the most to read first.
fn topics(bus: &BusId, mut offsets: Vec<GroupOffset>, owners: &BTreeMap<(&str, i32), &str>) -> Vec<TopicRows> {
    offsets.sort_by(|a, b| a.topic.cmp(&b.topic).then(b.lag_messages().cmp(&a.lag_messages())).then(a.partition.cmp(&b.partition)));
    let largest = offsets.iter().filter_map(GroupOffset::lag_messages).max().unwrap_or(0).max(1);
    let mut shown = 0;
    offsets
        .chunk_by(|a, b| a.topic == b.topic)
        .map(|offsets| {
            let topic = offsets[0].topic.as_str();
            let href = format!("/buses/{}/topics/{}", segment(bus.as_str()), segment(topic));
            let row = |offset: &GroupOffset| Row {
                partition: offset.partition,
                committed: offset.committed,
                log_start: offset.log_start,
                end: offset.end,
                lag: offset.lag_messages(),
                deleted: offset.deleted_messages().unwrap_or(0),
                share: offset.lag_messages().map_or(0, |lag| (lag * 100 / largest).unsigned_abs()),
                member: owners.get(&(topic, offset.partition)).map(|&member| member.to_owned()),
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
                rows,
                href,
            }
        })
        .collect()
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
    layout: Layout,
    partial: Partial,
) -> Result<Response, Error> {
    let bus = state.store().find_bus(&bus).await?.ok_or(Error::NotFound("bus"))?;
    let group = state.store().find_consumer_group(&bus.id, &name).await?.ok_or(Error::NotFound("consumer group"))?;
    let listed = state.store().list_consumer_groups(&bus.id, Some(name.as_str()), None).await?;
    let layout = layout.titled(Section::ConsumerGroups, name.as_str());
    let layout = layout.crumb("Consumer groups", format!("/buses/{}/consumer-groups", segment(bus.id.as_str())));
    render(&GroupPage::new(layout, &bus, group, listed.iter().find(|summary| summary.name == name)), &partial)
}
