//! The topics of a bus.

use std::collections::HashMap;
use std::time::Duration;

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::super::extract::{Partial, Path, Query, Viewer};
use super::super::render::{Page, part, render};
use super::super::view::address::{Address, segment};
use super::super::view::freshness::{Condition, Freshness};
use super::super::view::lines::{decimal, numbers, spark};
use super::super::view::listing::{self, After, AfterParam, Column, Listed, ShownOrder};
use super::super::view::range::Range;
use super::super::view::topic::{RoleWord, cleanup_words, role_word};
use super::super::{Error, Layout, Section, WebState, filters};
use super::consumer_group::history::series;
use crate::model::bus::{Capability, TopicRole, TopicSummary};
use crate::model::figure::{Figure, Labels};
use crate::model::{BusId, BusState, Timestamp, TopicName};
use crate::store::topics::TopicFilter;
use crate::store::{Store, StoreError};

/// Rows of one page.
const ROWS: usize = 200;
/// Steps of a small drawing, about.
const SPARK: u32 = 30;

/// What the address restricts the list to.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct TopicsQuery {
    q: Option<String>,
    role: Option<RoleWord>,
    internal: bool,
    sort: Sort,
    after: Option<AfterParam>,
    /// The order of the rows that are shown, from a page that fetches itself.
    order: ShownOrder,
}

/// What the list is ordered by: names from A, numbers from the largest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
enum Sort {
    #[default]
    Topic,
    Partitions,
    Records,
    OpenDeadLetters,
    Groups,
}

impl Sort {
    fn number(self, topic: &TopicSummary) -> u64 {
        match self {
            Self::Topic => 0,
            Self::Partitions => topic.partitions.into(),
            Self::Records => topic.records_at_most.unwrap_or(0),
            Self::OpenDeadLetters => topic.open_dead_letters,
            Self::Groups => topic.consumer_groups.into(),
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Topic => "topic",
            Self::Partitions => "partitions",
            Self::Records => "records",
            Self::OpenDeadLetters => "open_dead_letters",
            Self::Groups => "groups",
        }
    }
}

/// A kind of topic to choose.
#[derive(Debug)]
struct Tab {
    label: &'static str,
    href: String,
    count: u64,
    current: bool,
}

#[derive(Debug)]
struct Row {
    name: String,
    href: String,
    role: TopicRole,
    internal: bool,
    /// Messages per second lately, and over the last hour.
    rate: String,
    spark: String,
    partitions: u64,
    records: Option<u64>,
    open_dead_letters: u64,
    dead_letters_href: String,
    groups: u64,
    groups_href: String,
    cleanup: String,
    copies: u32,
}

#[derive(Template)]
#[template(path = "topics/page.html", blocks = ["topics"])]
struct TopicsPage {
    layout: Layout,
    freshness: Freshness,
    /// The list's own address without a cursor, for parts that fetch themselves.
    here: Address,
    q: String,
    role: &'static str,
    internal: bool,
    tabs: Vec<Tab>,
    columns: Vec<Column>,
    listed: Listed<Row>,
    /// Whether rows are no longer in the order that their column names.
    moved: bool,
    /// Where the list fetches itself, in the order that is shown.
    live: String,
    counts: Counts,
    config_reason: Option<String>,
}

/// Topics of the bus that match the search, whatever their role.
#[derive(Debug, Default)]
struct Counts {
    all: u64,
    ordinary: u64,
    dead_letter: u64,
    retry: u64,
    open_dead_letters: u64,
    with_open: u64,
}

impl Counts {
    fn of(topics: &[TopicSummary]) -> Self {
        let mut counts = Self::default();
        for topic in topics {
            counts.all += 1;
            match topic.generation.role {
                TopicRole::Ordinary => counts.ordinary += 1,
                TopicRole::Retry => counts.retry += 1,
                TopicRole::DeadLetter => {
                    counts.dead_letter += 1;
                    counts.open_dead_letters += topic.open_dead_letters;
                    counts.with_open += u64::from(topic.open_dead_letters > 0);
                }
            }
        }
        counts
    }
}

impl TopicsPage {
    fn new(
        layout: Layout,
        bus: &BusState,
        mut topics: Vec<TopicSummary>,
        rates: &HashMap<TopicName, Vec<Option<f64>>>,
        query: &TopicsQuery,
        after: Option<&After>,
    ) -> Self {
        let here = query.address(&bus.id);
        topics.retain(|topic| query.internal || !topic.generation.internal);
        let counts = Counts::of(&topics);
        let tabs = tabs(&counts, &here, query.role);
        topics.retain(|topic| query.role.is_none_or(|role| topic.generation.role == role.role()));
        let mut listed = listing::list(topics, |topic| (query.sort.number(topic), topic.generation.topic.as_str()), after, ROWS);
        let moved = query.order.keep(&mut listed.rows, |topic| topic.generation.topic.as_str());
        let order = ShownOrder::of(listed.rows.iter().map(|topic| topic.generation.topic.as_str())).to_string();
        let live = after.iter().fold(here.clone(), |here, after| here.set("after", &after.to_string())).set("order", &order).to_string();
        Self {
            freshness: Freshness::of(bus, layout.now),
            q: query.q.clone().unwrap_or_default(),
            role: query.role.map_or("", |role| role_word(role.role())),
            internal: query.internal,
            tabs,
            columns: columns(&here, query.sort),
            listed: listed.map(|topic| Row::new(&bus.id, topic, rates)),
            counts,
            config_reason: bus.capabilities.reason_against(Capability::ReadConfigs).map(str::to_owned),
            here,
            moved,
            live,
            layout,
        }
    }
}

impl TopicsQuery {
    fn address(&self, bus: &BusId) -> Address {
        let mut address = Address::new(format!("/buses/{}/topics", segment(bus.as_str())));
        if let Some(q) = &self.q {
            address = address.set("q", q);
        }
        if let Some(role) = self.role {
            address = address.set("role", role_word(role.role()));
        }
        if self.internal {
            address = address.set("internal", "true");
        }
        if self.sort == Sort::default() { address } else { address.set("sort", self.sort.word()) }
    }
}

impl Row {
    fn new(bus: &BusId, topic: TopicSummary, rates: &HashMap<TopicName, Vec<Option<f64>>>) -> Self {
        let rates = rates.get(&topic.generation.topic);
        let name = topic.generation.topic.to_string();
        let href = format!("/buses/{}/topics/{}", segment(bus.as_str()), segment(&name));
        let side = if topic.generation.role == TopicRole::DeadLetter { "topic" } else { "origin_topic" };
        Self {
            dead_letters_href: Address::new("/dead-letters").and("bus", bus.as_str()).and(side, &name).to_string(),
            groups_href: format!("{href}?tab=consumer_groups"),
            href,
            name,
            rate: rates.and_then(|rates| lately(rates)).map_or_else(String::new, decimal),
            spark: rates.map_or_else(String::new, |rates| spark(rates)),
            role: topic.generation.role,
            internal: topic.generation.internal,
            partitions: topic.partitions.into(),
            records: topic.records_at_most,
            open_dead_letters: topic.open_dead_letters,
            groups: topic.consumer_groups.into(),
            cleanup: cleanup_words(&topic.generation),
            copies: topic.generation.replication_factor,
        }
    }
}

fn tabs(counts: &Counts, here: &Address, current: Option<RoleWord>) -> Vec<Tab> {
    let roles = [
        ("All", None, counts.all),
        ("Ordinary", Some(RoleWord::Ordinary), counts.ordinary),
        ("Dead-letter topics", Some(RoleWord::DeadLetter), counts.dead_letter),
        ("Retry topics", Some(RoleWord::Retry), counts.retry),
    ];
    let tab = |(label, role, count): (_, Option<RoleWord>, _)| {
        let all = here.without(&["role"]);
        let href = role.map_or_else(|| all.clone(), |role| all.set("role", role_word(role.role()))).to_string();
        Tab { label, href, count, current: role == current }
    };
    roles.map(tab).into()
}

fn columns(here: &Address, sort: Sort) -> Vec<Column> {
    let columns = [
        ("Topic", "grow", Sort::Topic),
        ("Partitions", "num", Sort::Partitions),
        ("Records at most", "num", Sort::Records),
        ("Open dead letters", "num", Sort::OpenDeadLetters),
        ("Groups", "num hide-s", Sort::Groups),
    ];
    columns.map(|(label, class, by)| Column::new(label, class, here, by.word(), by == sort, by == Sort::Topic)).into()
}

impl Page for TopicsPage {
    fn part(&self, id: &str, now: Timestamp) -> Option<askama::Result<String>> {
        (id == "topics").then(|| part(&self.as_topics(), now))
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
    Query(query): Query<TopicsQuery>,
    layout: Layout,
    partial: Partial,
) -> Result<Response, Error> {
    let bus = state.store().find_bus(&bus).await?.ok_or(Error::NotFound("bus"))?;
    let filter = TopicFilter { q: query.q.clone(), role: None, internal: true };
    let topics = state.store().list_topics(&bus.id, &filter).await?;
    let layout = layout.titled(Section::Topics, "Topics");
    let after = query.after.as_ref().map(|after| &after.0);
    let rates = rates(state.store(), &bus.id, layout.now).await?;
    render(&TopicsPage::new(layout, &bus, topics, &rates, &query, after), &partial)
}

/// Messages per second of every topic over the last hour.
async fn rates(store: &Store, bus: &BusId, now: Timestamp) -> Result<HashMap<TopicName, Vec<Option<f64>>>, StoreError> {
    let buckets = Range::Last(Duration::from_secs(3_600)).buckets(now, SPARK);
    let figure = Figure::TopicMessagesPerSecond;
    let found = series(store, figure, Labels::bus(bus), buckets).await?;
    Ok(found
        .into_iter()
        .filter_map(|series| {
            let values = numbers(figure, &series, 0.5);
            series.labels.topic.map(|topic| (topic, values))
        })
        .collect())
}

/// The newest step that holds a sample.
fn lately(rates: &[Option<f64>]) -> Option<f64> {
    rates.iter().rev().flatten().next().copied()
}
