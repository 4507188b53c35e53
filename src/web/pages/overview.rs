//! The first page: what is wrong, where, since when. Without a bus: how to begin.

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::super::extract::{Partial, Viewer};
use super::super::render::{Page, part, render};
use super::super::router::Routes;
use super::super::view::address::{Address, segment};
use super::super::view::chart::BarChart;
use super::super::view::filter::{ListQuery, Reading};
use super::super::view::filter_bar::{Choice, ranges};
use super::super::view::group_row::GroupRow;
use super::super::view::lines::LineChart;
use super::super::view::listing::ShownOrder;
use super::super::view::marks::Marks;
use super::super::view::number::{counted, grouped};
use super::super::view::query::{Pairs, problems};
use super::super::view::range::Range;
use super::super::{Error, Layout, Section, WebState, filters};
use crate::model::{BusId, Timestamp};
use attention::Attention;
pub(in crate::web) use attention::attention;
use departures::InAndOut;
pub(in crate::web) use figures::Past;
use figures::{Figure, strip};
use flow::TopicRow;
use lede::{Calm, Lede, calm};
use lists::Lists;
use rows::{BusRow, GapRow, stored};

mod alert_trend;
pub(in crate::web) mod attention;
mod departures;
mod figures;
pub(in crate::web) mod flow;
mod latency;
mod lede;
mod lists;
pub(in crate::web) mod load;
mod rows;
pub(in crate::web) mod trend;

pub(in crate::web) use load::{WatchedBus, load};

pub(super) fn routes() -> Routes {
    Routes::new().get("/", overview)
}

/// What the address of the first page asks for.
#[derive(Debug)]
pub(in crate::web) struct Query {
    /// Only these buses; none means all.
    pub(in crate::web) buses: Vec<BusId>,
    /// The time of the figures.
    pub(in crate::web) range: Range,
}

impl Query {
    /// Reads an address.
    pub(in crate::web) fn parse(pairs: &[(String, String)], now: Timestamp) -> Result<Self, Error> {
        let known: Vec<_> = pairs.iter().filter(|(name, _)| ["bus", "range", "from", "to"].contains(&name.as_str())).cloned().collect();
        let query = ListQuery::parse(&known, Reading::Api, &[], now).map_err(problems)?;
        let range = match query.range {
            Range::All => Range::last("1h").expect("a length of time"),
            range => range,
        };
        Ok(Self { buses: query.filter.bus, range })
    }
}

#[derive(Template)]
#[template(path = "overview/overview.html", blocks = ["figures"])]
struct OverviewPage {
    layout: Layout,
    /// Where the page fetches itself: its rows stay where they are.
    live: String,
    lede: Lede,
    ranges: Vec<Choice>,
    calendar: Calendar,
    attention: Vec<Attention>,
    calm: Calm,
    figures: Vec<Figure>,
    chart: BarChart,
    lines: Vec<LineChart>,
    marks: Marks,
    trend: Option<trend::Trend>,
    busiest_topics: Vec<TopicRow>,
    worst_topics: Vec<TopicRow>,
    busiest_groups: Vec<flow::GroupRow>,
    worst_groups: Vec<flow::GroupRow>,
    in_and_out: InAndOut,
    exports: String,
    all_groups: u64,
    /// Groups of which nobody can tell what they are doing.
    unknown_groups: u64,
    /// What is known of groups that are not listed; empty where there are none.
    more_groups_note: String,
    /// The list of each bus that is shown.
    consumer_groups: Vec<(String, String)>,
    range: String,
    buses: Vec<BusRow>,
    groups: Vec<GroupRow>,
    groups_title: String,
    groups_href: String,
    more_groups: bool,
    show_bus: bool,
    gaps: Vec<GapRow>,
    more_gaps: bool,
    stored: Vec<(&'static str, String)>,
}

/// The form behind the calendar.
struct Calendar {
    hidden: Vec<(String, String)>,
    from: String,
    to: String,
}

/// What to write into the configuration for a first bus. It can be used as it stands.
const SAMPLE: &str = r#"[[bus]]
id = "prod"
kind = "kafka"
bootstrap_servers = "127.0.0.1:9092"

# [bus.client]
# "security.protocol" = "SASL_SSL"
# "ssl.ca.location" = "/etc/ssl/certs/kafka-ca.pem"
# "sasl.mechanisms" = "SCRAM-SHA-512"
# "sasl.username" = "redrive"
# "sasl.password_file" = "/run/secrets/kafka-password""#;

#[derive(Template)]
#[template(path = "overview/first_start.html")]
struct FirstStartPage {
    layout: Layout,
    listen: String,
    store: String,
}

impl Page for OverviewPage {
    fn part(&self, id: &str, now: Timestamp) -> Option<askama::Result<String>> {
        (id == "figures").then(|| part(&self.as_figures(), now))
    }

    fn now(&self) -> Timestamp {
        self.layout.now
    }
}

impl Page for FirstStartPage {
    fn now(&self) -> Timestamp {
        self.layout.now
    }
}

async fn overview(
    _: Viewer,
    State(state): State<WebState>,
    layout: Layout,
    partial: Partial,
    Pairs(pairs): Pairs,
) -> Result<Response, Error> {
    let query = Query::parse(&pairs, layout.now)?;
    let layout = layout.titled(Section::Overview, "Overview");
    if state.config().buses.is_empty() && state.store().list_buses().await?.is_empty() {
        return render(&FirstStartPage::new(layout, &state), &partial);
    }
    let kept = state.config().retention.hours;
    let (figures, trend) = tokio::try_join!(
        load(state.store(), &query.buses, query.range, layout.now),
        trend::Trend::load(state.store(), &query.buses, query.range, layout.now, kept),
    )?;
    let reasons = state.lifecycle().readiness().reasons();
    let page = OverviewPage { trend, ..OverviewPage::new(layout, figures, &reasons, query.range, &pairs) };
    render(&page, &partial)
}

impl OverviewPage {
    fn new(
        layout: Layout,
        mut figures: load::Overview,
        reasons: &[(&'static str, String)],
        range: Range,
        pairs: &[(String, String)],
    ) -> Self {
        let mut lists = Lists::take(&mut figures.flow);
        let figures = &figures;
        let shown = Address::new("/").with_pairs(pairs);
        let order: ShownOrder = shown.get("order").and_then(|order| order.parse().ok()).unwrap_or_default();
        let here = with_range(shown.without(&["order"]));
        let mut attention = attention(figures, reasons, range, &here.at("/failure-groups").to_string());
        let sparks = load::spark_buckets(range, figures.now);
        let groups_title =
            if figures.groups_are_recent { format!("What failed in {}", range.words()) } else { "Open failure groups".to_owned() };
        let groups_list = here.at("/failure-groups");
        let groups_href = if figures.groups_are_recent { groups_list } else { groups_list.without(&["range", "from", "to"]) };
        let mut groups: Vec<_> = figures.groups.iter().map(|group| GroupRow::new(group, sparks, &range.words())).collect();
        order.keep(&mut groups, |row| &row.href);
        lists.keep(&order);
        order.keep(&mut attention, |row| &row.what);
        attention::worst_first(&mut attention);
        let shown = groups.iter().map(|row| row.href.as_str()).chain(lists.keys());
        let shown = shown.chain(attention.iter().map(|row| row.what.as_str()));
        let shown = ShownOrder::of(shown).to_string();
        let bound = |name| here.get(name).and_then(|v| v.get(..16)).unwrap_or_default().to_owned();
        Self {
            lede: Lede::new(figures, range),
            ranges: ranges(&here).into_iter().filter(|choice| choice.label != "All").collect(),
            calendar: Calendar { hidden: here.without(&["range", "from", "to"]).pairs().to_vec(), from: bound("from"), to: bound("to") },
            attention,
            calm: calm(figures, range),
            figures: strip(figures, range, &here),
            chart: BarChart::new(&figures.arrivals.per_bucket, figures.buckets)
                .read_until(Past::of(figures).until(), figures.buckets)
                .marked(&figures.flow.marks.shown, figures.buckets),
            lines: std::mem::take(&mut lists.drawn)
                .into_iter()
                .map(|drawn| drawn.chart(figures.buckets, &figures.flow.marks.shown))
                .collect(),
            marks: figures.flow.marks.clone(),
            trend: None,
            busiest_topics: lists.busiest_topics,
            worst_topics: lists.worst_topics,
            busiest_groups: lists.busiest_groups,
            worst_groups: lists.worst_groups,
            in_and_out: InAndOut::new(figures),
            exports: export_of(&here),
            all_groups: figures.flow.all_groups,
            unknown_groups: figures.flow.untold.len() as u64,
            more_groups_note: more_groups(figures),
            consumer_groups: consumer_groups_of(figures),
            range: range.words(),
            buses: figures.buses.iter().map(|bus| BusRow::new(bus, figures.now)).collect(),
            live: here.set("order", &shown).to_string(),
            groups,
            groups_title,
            groups_href: groups_href.to_string(),
            more_groups: figures.more_groups,
            show_bus: figures.buses.len() > 1,
            gaps: figures.gaps.iter().map(GapRow::new).collect(),
            more_gaps: figures.more_gaps,
            stored: stored(figures),
            layout,
        }
    }

    /// Whether every bus was read lately, so that nothing found may be called well.
    fn all_fresh(&self) -> bool {
        self.buses.iter().all(|bus| !bus.stale)
    }

    fn chart_note(&self) -> String {
        format!("per {}, {}", self.chart.step, self.range)
    }
}

/// The address with the time that is shown where none is asked for.
fn with_range(here: Address) -> Address {
    if ["range", "from", "to"].iter().any(|name| here.get(name).is_some()) { here } else { here.set("range", "1h") }
}

/// Each bus with the list of its consumer groups: there is none of several buses.
fn consumer_groups_of(figures: &load::Overview) -> Vec<(String, String)> {
    let names = figures.buses.iter().map(|bus| bus.state.id.as_str());
    names.map(|bus| (bus.to_owned(), format!("/buses/{}/consumer-groups", segment(bus)))).collect()
}

/// The export of what the page shows; it refuses what it does not read, where the page passes over it.
fn export_of(here: &Address) -> String {
    let pairs: Vec<_> = here.pairs().iter().filter(|(name, _)| ["bus", "range", "from", "to"].contains(&name.as_str())).cloned().collect();
    Address::new("/api/v1/overview/export").with_pairs(&pairs).to_string()
}

/// Consumer groups that stand in no list, in words; empty where there are none.
fn more_groups(figures: &load::Overview) -> String {
    let unwatched: u64 = figures.buses.iter().map(|bus| bus.state.untracked_groups).sum();
    let mut words = Vec::new();
    if unwatched > 0 {
        words.push(format!("{} more are not watched.", grouped(unwatched)));
    }
    if figures.flow.unlisted > 0 {
        let letters = counted(figures.flow.unlisted, "dead letter names", "dead letters name");
        words.push(format!("{letters} a consumer group that is not listed."));
    }
    words.join(" ")
}

impl FirstStartPage {
    fn new(layout: Layout, state: &WebState) -> Self {
        let url = &state.config().store.url;
        let store =
            if url.starts_with("postgres") { "PostgreSQL".to_owned() } else { format!("SQLite in {}", url.trim_start_matches("sqlite:")) };
        Self { layout: layout.titled(Section::Overview, "Welcome"), listen: state.config().http.listen.to_string(), store }
    }
}
