//! The consumer groups of a bus.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::super::extract::{Partial, Path, Query, Viewer};
use super::super::render::{Page, part, render};
use super::super::view::address::{Address, segment};
use super::super::view::freshness::{Condition, Freshness};
use super::super::view::group::{self, GroupState};
use super::super::view::lines::{added_up, numbers, spark};
use super::super::view::listing::{self, After, AfterParam, Column, Listed, ShownOrder};
use super::super::view::range::Range;
use super::super::{Error, Layout, Section, WebState, filters};
use super::consumer_group::history::query;
use crate::model::bus::{Capability, TRACKED_GROUPS};
use crate::model::figure::{Figure, Labels};
use crate::model::lag::GroupStatus;
use crate::model::{BusId, BusState, GroupName, Timestamp};
use crate::store::consumer_groups::ConsumerGroupSummary;
use crate::store::{Store, StoreError};

/// Rows of one page.
const ROWS: usize = 200;
/// Steps of a small drawing, about.
const SPARK: u32 = 30;
/// Topics named in a row.
const TOPICS: usize = 3;

/// What the address restricts the list to.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct GroupsQuery {
    q: Option<String>,
    topic: Option<String>,
    /// Only groups that are said to do this now.
    status: Option<GroupStatus>,
    sort: Sort,
    after: Option<AfterParam>,
    /// The order of the rows that are shown, from a page that fetches itself.
    order: ShownOrder,
}

/// What the list is ordered by: numbers from the largest, names from A.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
enum Sort {
    #[default]
    Status,
    Lag,
    LagInTime,
    ConsumerGroup,
    Members,
    Deleted,
    OpenDeadLetters,
}

impl Sort {
    fn number(self, group: &ConsumerGroupSummary) -> u64 {
        match self {
            // The worst first, and of those alike the one with the most to read. A parked group is nobody's worry.
            Self::Status => {
                let rank = if group.standing.parked { 0 } else { group.standing.status.code().unsigned_abs() };
                u64::from(rank) << 48 | group.lag_messages.unwrap_or(0).min((1 << 48) - 1)
            }
            Self::Lag => group.lag_messages.unwrap_or(0),
            Self::LagInTime => group.time_lag.map_or(0, |lag| lag.max.unwrap_or(i64::MAX).unsigned_abs()),
            Self::ConsumerGroup => 0,
            Self::Members => group.members.unwrap_or(0).into(),
            Self::Deleted => group.deleted_messages,
            Self::OpenDeadLetters => group.open_dead_letters,
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Lag => "lag",
            Self::LagInTime => "lag_in_time",
            Self::ConsumerGroup => "consumer_group",
            Self::Members => "members",
            Self::Deleted => "deleted",
            Self::OpenDeadLetters => "open_dead_letters",
        }
    }
}

#[derive(Debug)]
struct Row {
    name: String,
    href: String,
    status: GroupState,
    /// Why, where somebody should look, or nobody knows.
    evidence: String,
    state: GroupState,
    kind: String,
    time_lag: String,
    spark: String,
    reads: String,
    reads_all: String,
    members: Option<u32>,
    lag: Option<u64>,
    deleted: u64,
    partitions: u32,
    open_dead_letters: u64,
    dead_letters_href: String,
}

/// Groups that match, taken together.
#[derive(Debug, Default)]
struct Totals {
    groups: u64,
    behind: u64,
    /// Groups that somebody should look at, without parked ones.
    troubled: u64,
    /// Groups whose lag nobody can tell.
    unknown: u64,
    /// Groups with a commit on any partition.
    committed: u64,
    /// Groups of which nobody can tell what they are doing, without parked ones.
    untold: u64,
    without_members: u64,
    deleted: u64,
    deleted_groups: u64,
}

impl Totals {
    fn of(groups: &[ConsumerGroupSummary]) -> Self {
        let mut totals = Self::default();
        for group in groups {
            let is_behind = group.lag_messages.is_some_and(|lag| lag > 0);
            totals.groups += 1;
            totals.behind += u64::from(is_behind);
            totals.troubled += u64::from(group.standing.status.needs_attention() && !group.standing.parked);
            totals.unknown += u64::from(group.lag_messages.is_none());
            totals.committed += u64::from(group.partitions > 0);
            totals.untold += u64::from(group.standing.status == GroupStatus::Unknown && !group.standing.parked);
            totals.without_members += u64::from(is_behind && group.members == Some(0));
            totals.deleted += group.deleted_messages;
            totals.deleted_groups += u64::from(group.deleted_messages > 0);
        }
        totals
    }
}

#[derive(Template)]
#[template(path = "consumer_groups/page.html", blocks = ["groups"])]
struct GroupsPage {
    layout: Layout,
    freshness: Freshness,
    /// The list's own address without a cursor.
    here: Address,
    q: String,
    topic: String,
    /// What the status that is asked for is called; empty where none is.
    status: String,
    columns: Vec<Column>,
    totals: Totals,
    listed: Listed<Row>,
    /// Whether rows are no longer in the order that their column names.
    moved: bool,
    /// Where the list fetches itself, in the order that is shown.
    live: String,
    list_reason: Option<String>,
    describe_reason: Option<String>,
    /// Groups of the bus that are not watched.
    untracked: u64,
    /// Groups of a bus that are watched at most.
    tracked: u64,
}

impl GroupsPage {
    fn new(
        layout: Layout,
        bus: &BusState,
        totals: Totals,
        (listed, moved): (Listed<ConsumerGroupSummary>, bool),
        sparks: &HashMap<GroupName, Vec<Option<f64>>>,
        query: &GroupsQuery,
    ) -> Self {
        let here = query.address(&bus.id);
        let reason = |capability| bus.capabilities.reason_against(capability).map(str::to_owned);
        let freshness = Freshness::of(bus, layout.now);
        let after: Option<&After> = query.after.as_ref().map(|after| &after.0);
        let order = ShownOrder::of(listed.rows.iter().map(|group| group.name.as_str())).to_string();
        let live = after.iter().fold(here.clone(), |here, after| here.set("after", &after.to_string())).set("order", &order).to_string();
        Self {
            q: query.q.clone().unwrap_or_default(),
            topic: query.topic.clone().unwrap_or_default(),
            status: query.status.map_or_else(String::new, |status| group::status(status, false).word),
            columns: columns(&here, query.sort),
            totals,
            listed: listed.map(|group| Row::new(&bus.id, &freshness, group, sparks)),
            freshness,
            list_reason: reason(Capability::ListGroups),
            describe_reason: reason(Capability::DescribeGroups),
            untracked: bus.untracked_groups,
            tracked: TRACKED_GROUPS as u64,
            here,
            moved,
            live,
            layout,
        }
    }
}

impl GroupsQuery {
    /// The rows of the page, and whether they stand in another order than they would.
    fn list(&self, groups: Vec<ConsumerGroupSummary>) -> (Listed<ConsumerGroupSummary>, bool) {
        let after = self.after.as_ref().map(|after| &after.0);
        let mut listed = listing::list(groups, |group| (self.sort.number(group), group.name.as_str()), after, ROWS);
        let moved = self.order.keep(&mut listed.rows, |group| group.name.as_str());
        (listed, moved)
    }

    fn address(&self, bus: &BusId) -> Address {
        let address = Address::new(format!("/buses/{}/consumer-groups", segment(bus.as_str())));
        let address = self.q.iter().fold(address, |address, q| address.set("q", q));
        let address = self.topic.iter().fold(address, |address, topic| address.set("topic", topic));
        let address = self.status.iter().fold(address, |address, status| address.set("status", status.as_str()));
        if self.sort == Sort::default() { address } else { address.set("sort", self.sort.word()) }
    }
}

impl GroupsPage {
    /// Whether the address leaves groups out.
    fn is_filtered(&self) -> bool {
        !(self.q.is_empty() && self.topic.is_empty() && self.status.is_empty())
    }

    /// The status that is asked for, as the address has it.
    fn status_word(&self) -> &str {
        self.here.get("status").unwrap_or_default()
    }
}

impl Row {
    fn new(bus: &BusId, freshness: &Freshness, group: ConsumerGroupSummary, sparks: &HashMap<GroupName, Vec<Option<f64>>>) -> Self {
        let name = group.name.to_string();
        let more = group.topics.len().saturating_sub(TOPICS);
        let mut reads = group.topics.iter().take(TOPICS).cloned().collect::<Vec<_>>().join(", ");
        if more > 0 {
            reads = format!("{reads} and {more} more");
        }
        Self {
            href: format!("/buses/{}/consumer-groups/{}", segment(bus.as_str()), segment(&name)),
            dead_letters_href: Address::new("/dead-letters").and("bus", bus.as_str()).and("consumer_group", &name).to_string(),
            name,
            status: group::status_at(group.standing.status, group.standing.parked, freshness),
            evidence: if is_explained(group.standing.status) && !group.standing.parked { group.standing.evidence } else { String::new() },
            time_lag: group.time_lag.map_or_else(String::new, group::time_lag),
            spark: sparks.get(&group.name).map_or_else(String::new, |values| spark(values)),
            state: group::state(&group.state, &group.kind),
            kind: group::kind(&group.kind).to_owned(),
            reads,
            reads_all: group.topics.iter().take(50).cloned().collect::<Vec<_>>().join(", "),
            members: group.members,
            lag: group.lag_messages,
            deleted: group.deleted_messages,
            partitions: group.partitions,
            open_dead_letters: group.open_dead_letters,
        }
    }
}

/// The status that the row says; none where it says that the group is parked.
fn does(group: &ConsumerGroupSummary, is_past: bool) -> Option<GroupStatus> {
    if is_past { Some(GroupStatus::Unknown) } else { Some(group.standing.status).filter(|_| !group.standing.parked) }
}

fn is_explained(status: GroupStatus) -> bool {
    status.needs_attention() || status == GroupStatus::Unknown
}

/// Lag of the groups that are shown, over the last hour.
async fn sparks(
    store: &Store,
    bus: &BusId,
    now: Timestamp,
    shown: &HashSet<&GroupName>,
) -> Result<HashMap<GroupName, Vec<Option<f64>>>, StoreError> {
    let buckets = Range::Last(Duration::from_secs(3_600)).buckets(now, SPARK);
    let figure = Figure::ConsumerGroupLagMessages;
    let mut sums: HashMap<GroupName, Vec<Vec<Option<f64>>>> = HashMap::new();
    let query = query(figure, Labels::bus(bus), buckets);
    let is_shown = |labels: &Labels| labels.consumer_group.as_ref().is_some_and(|group| shown.contains(group));
    for series in store.read_series_where(&query, is_shown).await? {
        let values = numbers(figure, &series, 0.5);
        if let Some(group) = series.labels.consumer_group {
            sums.entry(group).or_default().push(values);
        }
    }
    Ok(sums.into_iter().map(|(group, all)| (group, added_up(&all, buckets.count as usize))).collect())
}

fn columns(here: &Address, sort: Sort) -> Vec<Column> {
    let columns = [
        ("Status", "fit", Sort::Status),
        ("Consumer group", "grow", Sort::ConsumerGroup),
        ("Lag", "num", Sort::Lag),
        ("Lag in time", "num", Sort::LagInTime),
        ("Deleted unread", "num hide-s", Sort::Deleted),
        ("Open dead letters", "num", Sort::OpenDeadLetters),
        ("Members", "num", Sort::Members),
    ];
    columns.map(|(label, class, by)| Column::new(label, class, here, by.word(), by == sort, by == Sort::default())).into()
}

impl Page for GroupsPage {
    fn part(&self, id: &str, now: Timestamp) -> Option<askama::Result<String>> {
        (id == "groups").then(|| part(&self.as_groups(), now))
    }

    fn now(&self) -> Timestamp {
        self.layout.now
    }
}

/// The page.
pub(super) async fn show(
    _: Viewer,
    State(state): State<WebState>,
    Path(bus): Path<BusId>,
    Query(query): Query<GroupsQuery>,
    layout: Layout,
    partial: Partial,
) -> Result<Response, Error> {
    let bus = state.store().find_bus(&bus).await?.ok_or(Error::NotFound("bus"))?;
    let mut groups = state.store().list_consumer_groups(&bus.id, query.q.as_deref(), query.topic.as_deref()).await?;
    let is_past = Freshness::of(&bus, layout.now).is_past();
    groups.retain(|group| query.status.is_none_or(|status| does(group, is_past) == Some(status)));
    let totals = Totals::of(&groups);
    let listed = query.list(groups);
    let shown: HashSet<&GroupName> = listed.0.rows.iter().map(|group| &group.name).collect();
    let sparks = sparks(state.store(), &bus.id, layout.now, &shown).await?;
    let layout = layout.titled(Section::ConsumerGroups, "Consumer groups");
    render(&GroupsPage::new(layout, &bus, totals, listed, &sparks, &query), &partial)
}
