//! One topic: its partitions, configuration and consumer groups from the store, and its records from the bus. Records are read only
//! when somebody asks for them by partition.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::super::extract::{Partial, Path, Query, Viewer};
use super::super::render::{Page, part, render_with};
use super::super::view::address::{Address, segment};
use super::super::view::bytes::{Body as BytesBody, View};
use super::super::view::freshness::Freshness;
use super::super::view::json::JsonLine;
use super::super::view::lines::{LineChart, MOST, Named, Unit, numbers};
use super::super::view::listing::ShownOrder;
use super::super::view::marks::Marks;
use super::super::view::partition_problem::{self, TopicProblem};
use super::super::view::period::{Period, PeriodQuery};
use super::super::view::topic::cleanup_words;
use super::super::{Error, Layout, Section, WebState, filters};
use super::consumer_group::history::series;
use super::span_figures;
use crate::model::bus::{Capability, Gap, PartitionState, TopicRole, TopicSummary};
use crate::model::figure::{Figure, Labels};
use crate::model::partition_problem::{PartitionProblem, PartitionProblemKind};
use crate::model::{BusId, BusState, PageRequest, Role, Timestamp, TopicName};
use crate::store::figures::read::SeriesBuckets;
use crate::store::happenings::About;

mod groups;
mod records;

use groups::GroupRow;
use records::{Outcome, Records, RecordsQuery};

/// Gaps shown at once, newest first.
const GAPS: u32 = 50;
/// Partitions shown at once; a topic with more is rare, and its table would only slow the page down.
const PARTITIONS: usize = 1_000;

/// Which side of the topic is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
enum Tab {
    #[default]
    Partitions,
    ConsumerGroups,
    Records,
    Configuration,
}

impl Tab {
    const ALL: [Self; 4] = [Self::Partitions, Self::ConsumerGroups, Self::Records, Self::Configuration];

    const fn word(self) -> &'static str {
        match self {
            Self::Partitions => "partitions",
            Self::ConsumerGroups => "consumer_groups",
            Self::Records => "records",
            Self::Configuration => "configuration",
        }
    }

    const fn label(self) -> &'static str {
        match self {
            Self::Partitions => "Partitions",
            Self::ConsumerGroups => "Consumer groups",
            Self::Records => "Records",
            Self::Configuration => "Configuration",
        }
    }
}

/// What the address asks for.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct TopicQuery {
    tab: Tab,
    partition: Option<String>,
    offset: Option<String>,
    timestamp: Option<String>,
    limit: Option<String>,
    record: Option<String>,
    view: Option<String>,
    at: Option<usize>,
    range: Option<String>,
    from: Option<String>,
    to: Option<String>,
    /// The order of the consumer groups that are shown, from a page that fetches itself.
    order: ShownOrder,
}

/// A side of the topic to choose.
#[derive(Debug)]
struct TabLink {
    label: &'static str,
    href: String,
    count: Option<u64>,
    current: bool,
}

/// What stands under the tabs.
enum Body {
    Partitions { partitions: Vec<PartitionState>, hidden: usize, gaps: Vec<Gap> },
    ConsumerGroups { groups: Vec<GroupRow>, reason: Option<String> },
    Records(Box<Records>),
    Configuration { config: BTreeMap<String, String>, reason: Option<String> },
}

#[derive(Template)]
#[template(path = "topic/page.html", blocks = ["topic"])]
struct TopicPage {
    layout: Layout,
    freshness: Freshness,
    topic: TopicSummary,
    cleanup: String,
    /// The topic's own address, without a tab.
    href: Address,
    dead_letters_href: String,
    tabs: Vec<TabLink>,
    /// Where the page fetches itself.
    live: String,
    period: Period,
    charts: Vec<LineChart>,
    /// Failed spans and how long messages take; none where no span came.
    span_charts: Vec<LineChart>,
    marks: Marks,
    trouble: Trouble,
    body: Body,
    /// Why it cannot be purged, by this person or at all.
    against_purge: Option<String>,
}

/// What a person must know before anything else about this topic's partitions.
#[derive(Debug, Default)]
struct Trouble {
    problems: Vec<TopicProblem>,
    held_by_transaction: Vec<i32>,
    gap_offsets: u64,
}

impl Trouble {
    fn of(partitions: &[PartitionState], problems: &[PartitionProblem], gaps: &[Gap]) -> Self {
        let held = partitions.iter().filter(|partition| partition.held_by_transaction() > 0);
        Self {
            problems: TopicProblem::of(problems),
            held_by_transaction: held.map(|partition| partition.partition).collect(),
            gap_offsets: gaps.iter().map(Gap::offsets).sum(),
        }
    }
}

impl TopicPage {
    fn is_dead_letter_topic(&self) -> bool {
        self.topic.generation.role == TopicRole::DeadLetter
    }

    /// Why a partition is not read, where that is so.
    fn unread(&self, partition: i32) -> Option<&TopicProblem> {
        let stops = |kind| matches!(kind, PartitionProblemKind::Unreadable | PartitionProblemKind::EndsEarly);
        self.trouble.problems.iter().find(|problem| stops(problem.kind) && problem.partitions.contains(&partition))
    }

    fn is_live(&self) -> bool {
        !matches!(self.body, Body::Records(_))
    }
}

impl Page for TopicPage {
    fn part(&self, id: &str, now: Timestamp) -> Option<askama::Result<String>> {
        (id == "topic").then(|| part(&self.as_topic(), now))
    }

    fn now(&self) -> Timestamp {
        self.layout.now
    }
}

/// The page.
pub(super) async fn show(
    _: Viewer,
    State(state): State<WebState>,
    Path((bus, name)): Path<(BusId, TopicName)>,
    Query(query): Query<TopicQuery>,
    layout: Layout,
    partial: Partial,
) -> Result<Response, Error> {
    let bus = state.store().find_bus(&bus).await?.ok_or(Error::NotFound("bus"))?;
    let (topic, partitions) = state.store().find_topic(&bus.id, &name).await?.ok_or(Error::NotFound("topic"))?;
    let gaps = state.store().list_gaps(Some(&bus.id), Some(&name), &PageRequest::first(GAPS)).await?.items;
    let problems = state.store().list_partition_problems(Some(&bus.id), Some(&name)).await?;
    let trouble = Trouble::of(&partitions, &problems, &gaps);
    let body = body(&state, &bus, &topic, partitions, gaps, &query).await?;
    let status = match &body {
        Body::Records(records) => records.status(),
        _ => StatusCode::OK,
    };
    let layout = layout.titled(Section::Topics, name.as_str()).crumb("Topics", format!("/buses/{}/topics", segment(bus.id.as_str())));
    let asked = PeriodQuery { range: query.range.clone(), from: query.from.clone(), to: query.to.clone() };
    let here = Address::new(format!("/buses/{}/topics/{}", segment(bus.id.as_str()), segment(name.as_str())));
    let here = if query.tab == Tab::default() { here } else { here.set("tab", query.tab.word()) };
    let period = asked.read(&here, layout.now)?;
    let drawn = if matches!(body, Body::Records(_)) { Drawn::default() } else { Drawn::load(&state, &bus.id, &name, &period).await? };
    let live = here.with_pairs(&period.pairs);
    let live = if let Body::ConsumerGroups { groups, .. } = &body { live.set("order", &groups::shown(groups).to_string()) } else { live };
    let live = live.to_string();
    let Drawn { charts, span_charts, marks } = drawn;
    let page = TopicPage { live, period, charts, span_charts, marks, ..TopicPage::new(layout, &bus, topic, trouble, query.tab, body) };
    render_with(status, &page, &partial)
}

/// Drawings of a topic over the time of the page.
#[derive(Debug, Default)]
struct Drawn {
    charts: Vec<LineChart>,
    span_charts: Vec<LineChart>,
    marks: Marks,
}

impl Drawn {
    /// Messages written, the lag of the groups that read it, and what its spans tell.
    async fn load(state: &WebState, bus: &BusId, topic: &TopicName, period: &Period) -> Result<Self, Error> {
        let (store, labels, buckets) = (state.store(), Labels::bus(bus).topic(topic), period.buckets);
        let written = series(store, Figure::TopicMessagesPerSecond, labels.clone(), buckets).await?;
        let written = written.iter().map(|series| Named::new("written", numbers(Figure::TopicMessagesPerSecond, series, 0.5))).collect();
        let lag = series(store, Figure::ConsumerGroupLagMessages, labels.clone(), buckets).await?;
        let marks = Marks::of(&store.list_happenings(bus, About::Topic(topic), buckets.from, buckets.to).await?, buckets);
        let mut charts = vec![LineChart::new("written", "Messages written", Unit::PerSecond, buckets, written, &marks.shown)];
        let lag = lag_by_group(&lag);
        if !lag.is_empty() {
            charts.push(LineChart::new("topic-lag", "Lag of its consumer groups", Unit::Messages, buckets, lag, &marks.shown));
        }
        let span_charts = span_figures::charts(store, &labels, buckets, &marks.shown).await?;
        Ok(Self { charts, span_charts, marks })
    }
}

/// The groups with the most.
fn lag_by_group(lag: &[SeriesBuckets]) -> Vec<Named> {
    let mut lag: Vec<Named> = lag
        .iter()
        .filter_map(|series| {
            let group = series.labels.consumer_group.as_ref()?;
            Some(Named::new(group.as_str(), numbers(Figure::ConsumerGroupLagMessages, series, 0.5)))
        })
        .collect();
    let peak = |named: &Named| named.values.iter().flatten().copied().fold(0.0, f64::max);
    lag.sort_by(|a, b| peak(b).total_cmp(&peak(a)).then_with(|| a.label.cmp(&b.label)));
    lag.truncate(MOST);
    // By name, so that a line keeps its colour while their numbers change.
    lag.sort_by(|a, b| a.label.cmp(&b.label));
    lag
}

async fn body(
    state: &WebState,
    bus: &BusState,
    topic: &TopicSummary,
    mut partitions: Vec<PartitionState>,
    gaps: Vec<Gap>,
    query: &TopicQuery,
) -> Result<Body, Error> {
    let reason = |capability| bus.capabilities.reason_against(capability).map(str::to_owned);
    let name = &topic.generation.topic;
    Ok(match query.tab {
        Tab::Partitions => {
            let hidden = partitions.len().saturating_sub(PARTITIONS);
            partitions.truncate(PARTITIONS);
            Body::Partitions { partitions, hidden, gaps }
        }
        Tab::ConsumerGroups => {
            let groups = groups::list(state, &bus.id, name, &query.order).await?;
            Body::ConsumerGroups { groups, reason: reason(Capability::ListGroups) }
        }
        Tab::Records => Body::Records(Box::new(Records::open(state, bus, name, &partitions, RecordsQuery::from(query)).await)),
        Tab::Configuration => Body::Configuration { config: topic.generation.config.clone(), reason: reason(Capability::ReadConfigs) },
    })
}

impl TopicPage {
    fn new(layout: Layout, bus: &BusState, topic: TopicSummary, trouble: Trouble, tab: Tab, body: Body) -> Self {
        let name = topic.generation.topic.as_str();
        let href = Address::new(format!("/buses/{}/topics/{}", segment(bus.id.as_str()), segment(name)));
        let side = if topic.generation.role == TopicRole::DeadLetter { "topic" } else { "origin_topic" };
        let link = |this: Tab| TabLink {
            label: this.label(),
            href: if this == Tab::default() { href.to_string() } else { href.set("tab", this.word()).to_string() },
            count: match this {
                Tab::Partitions => Some(topic.partitions.into()),
                Tab::ConsumerGroups => Some(topic.consumer_groups.into()),
                Tab::Records | Tab::Configuration => None,
            },
            current: this == tab,
        };
        Self {
            freshness: Freshness::of(bus, layout.now),
            cleanup: cleanup_words(&topic.generation),
            dead_letters_href: Address::new("/dead-letters").and("bus", bus.id.as_str()).and(side, name).to_string(),
            tabs: Tab::ALL.map(link).into(),
            live: String::new(),
            period: PeriodQuery::default().read(&href, layout.now).expect("an hour is a legal time"),
            charts: Vec::new(),
            span_charts: Vec::new(),
            marks: Marks::default(),
            href,
            trouble,
            body,
            against_purge: against_purge(&layout, bus, &topic),
            topic,
            layout,
        }
    }
}

fn against_purge(layout: &Layout, bus: &BusState, topic: &TopicSummary) -> Option<String> {
    if !layout.may(Role::Admin) {
        return Some("Purge needs the role admin".to_owned());
    }
    let policy = topic.generation.config.get("cleanup.policy").map_or("compact", String::as_str);
    if topic.generation.compacted && !policy.contains("delete") {
        return Some("A compacted topic cannot be purged; discard its dead letters".to_owned());
    }
    bus.capabilities.reason_against(Capability::DeleteRecords).map(|reason| format!("The bus deletes no records: {reason}"))
}
