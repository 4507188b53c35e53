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
use super::super::view::freshness::{Condition, Freshness, Look};
use super::super::view::group_row::GroupRow;
use super::super::view::lines::LineChart;
use super::super::view::listing::ShownOrder;
use super::super::view::look::capability_words;
use super::super::view::marks::Marks;
use super::super::view::number::{counted, grouped, size};
use super::super::view::query::{Pairs, problems};
use super::super::view::range::Range;
use super::super::view::text::short;
use super::super::view::time;
use super::super::{Error, Layout, Section, WebState, filters};
use crate::model::bus::Gap;
use crate::model::{BusId, BusState, Timestamp};
use crate::store::dead_letters::count::MOST_BACKLOG_COUNTED;
use attention::{Attention, attention};
use figures::{Figure, Past, strip};

mod alert_trend;
mod attention;
mod figures;
pub(in crate::web) mod flow;
mod latency;
mod load;
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
    topic_rows: Vec<flow::TopicRow>,
    group_states: Vec<flow::GroupRow>,
    all_groups: u64,
    consumer_groups_href: String,
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

/// What stands where nothing needs a person.
struct Calm {
    tone: &'static str,
    icon: &'static str,
    strong: &'static str,
    text: String,
}

/// The sentence under the title.
struct Lede {
    strong: String,
    rest: String,
}

/// The form behind the calendar.
struct Calendar {
    hidden: Vec<(String, String)>,
    from: String,
    to: String,
}

struct BusRow {
    name: String,
    href: String,
    kind: &'static str,
    word: &'static str,
    icon: &'static str,
    tone: &'static str,
    evidence: String,
    sampled_at: Option<Timestamp>,
    stale: bool,
    topics: String,
    open: String,
    open_href: String,
}

struct GapRow {
    bus: String,
    topic: String,
    href: String,
    partition: i32,
    from: String,
    to: String,
    offsets: String,
    at: Timestamp,
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
    let figures = load(state.store(), &query.buses, query.range, layout.now).await?;
    let kept = state.config().retention.hours;
    let trend = trend::Trend::load(state.store(), &query.buses, query.range, layout.now, kept).await?;
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
        let (lines, mut topic_rows, mut group_states) =
            (std::mem::take(&mut figures.flow.charts), std::mem::take(&mut figures.flow.topics), std::mem::take(&mut figures.flow.groups));
        let figures = &figures;
        let shown = Address::new("/").with_pairs(pairs);
        let order: ShownOrder = shown.get("order").and_then(|order| order.parse().ok()).unwrap_or_default();
        let here = shown.without(&["order"]);
        let here = if here.get("range").is_none() && here.get("from").is_none() && here.get("to").is_none() {
            here.set("range", "1h")
        } else {
            here
        };
        let mut attention = attention(figures, reasons, range, &here.at("/failure-groups").to_string());
        let sparks = load::spark_buckets(range, figures.now);
        let groups_title =
            if figures.groups_are_recent { format!("What failed in {}", range.words()) } else { "Open failure groups".to_owned() };
        let groups_list = here.at("/failure-groups");
        let groups_href = if figures.groups_are_recent { groups_list } else { groups_list.without(&["range", "from", "to"]) };
        let mut groups: Vec<_> = figures.groups.iter().map(|group| GroupRow::new(group, sparks, &range.words())).collect();
        order.keep(&mut groups, |row| &row.href);
        order.keep(&mut group_states, |row| &row.href);
        order.keep(&mut topic_rows, |row| &row.href);
        order.keep(&mut attention, |row| &row.what);
        attention::worst_first(&mut attention);
        let shown = groups.iter().map(|row| row.href.as_str()).chain(group_states.iter().map(|row| row.href.as_str()));
        let shown = shown.chain(topic_rows.iter().map(|row| row.href.as_str())).chain(attention.iter().map(|row| row.what.as_str()));
        let shown = ShownOrder::of(shown).to_string();
        let bound = |name| here.get(name).and_then(|v| v.get(..16)).unwrap_or_default().to_owned();
        Self {
            lede: Lede::new(figures, range),
            ranges: ranges(&here).into_iter().filter(|choice| choice.label != "All").collect(),
            calendar: Calendar { hidden: here.without(&["range", "from", "to"]).pairs().to_vec(), from: bound("from"), to: bound("to") },
            attention,
            calm: calm(figures, range),
            figures: strip(figures, range, &here),
            chart: BarChart::new(&figures.arrivals.per_bucket, figures.buckets).read_until(Past::of(figures).until(), figures.buckets),
            lines,
            marks: figures.flow.marks.clone(),
            trend: None,
            topic_rows,
            group_states,
            all_groups: figures.flow.all_groups,
            consumer_groups_href: figures
                .buses
                .first()
                .map_or_else(String::new, |bus| format!("/buses/{}/consumer-groups", segment(bus.state.id.as_str()))),
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

impl FirstStartPage {
    fn new(layout: Layout, state: &WebState) -> Self {
        let url = &state.config().store.url;
        let store =
            if url.starts_with("postgres") { "PostgreSQL".to_owned() } else { format!("SQLite in {}", url.trim_start_matches("sqlite:")) };
        Self { layout: layout.titled(Section::Overview, "Welcome"), listen: state.config().http.listen.to_string(), store }
    }
}

impl Lede {
    fn new(figures: &load::Overview, range: Range) -> Self {
        let when = range.words();
        let watched = watched(figures);
        if let Some(bus) = figures.buses.iter().find(|bus| Freshness::of(&bus.state, figures.now).is_unreachable()) {
            let name = short(bus.state.id.as_str(), 80);
            let strong = match bus.state.failing_since {
                Some(since) if bus.state.sampled_at.is_some() => format!("{name} has not answered for {}.", time::age(since, figures.now)),
                _ => format!("{name} was never reached."),
            };
            let rest = match bus.state.sampled_at {
                Some(at) => format!(
                    "What is shown of it is that of {}; dead letters in custody are complete up to then.",
                    time::clock(at, figures.now)
                ),
                None => "Redrive keeps trying; nothing is known of it yet.".to_owned(),
            };
            return Self { strong, rest };
        }
        let (arrived, backlog, open) = (figures.arrivals.total, figures.backlog, figures.counts.open);
        let letters = |count| counted(count, "dead letter", "dead letters");
        if arrived > 0 {
            let rest = most_of_them(figures).unwrap_or(watched);
            let rest = if backlog == 0 { rest } else { format!("{}. {rest}", more_backlog(backlog)) };
            return Self { strong: format!("{} arrived in {when}.", letters(arrived)), rest };
        }
        if backlog > 0 {
            let strong = format!("Nothing arrived in {when}, but {} of backlog failed then.", some(backlog));
            return Self { strong, rest: format!("Backlog was there before Redrive looked and is in no arrival figure. {watched}") };
        }
        if open > 0 {
            return Self { strong: format!("Nothing failed in {when}."), rest: format!("{} wait from before. {watched}", letters(open)) };
        }
        Self { strong: "Nothing waits.".to_owned(), rest: watched }
    }
}

/// A count of backlog, which is not counted to its end.
fn some(backlog: u64) -> String {
    if backlog < MOST_BACKLOG_COUNTED { grouped(backlog) } else { format!("{} or more", grouped(MOST_BACKLOG_COUNTED)) }
}

fn more_backlog(backlog: u64) -> String {
    let were = if backlog == 1 { "was" } else { "were" };
    format!("{} more from that time {were} there before Redrive looked", some(backlog))
}

/// Why nothing needs a person, and what is there nevertheless.
fn calm(figures: &load::Overview, range: Range) -> Calm {
    let when = range.words();
    if figures.buses.iter().any(|bus| Freshness::of(&bus.state, figures.now).condition == Condition::Never) {
        let text = "What needs you stands here as soon as its brokers have answered for the first time; that takes seconds.".to_owned();
        return Calm { tone: "idle", icon: "hourglass", strong: "Not everything has been read yet", text };
    }
    let failed = figures.arrivals.total + figures.backlog;
    let failed = match failed {
        0 => format!("nothing failed in {when}"),
        _ => format!("no dead letter that failed in {when} is open"),
    };
    let before = match figures.counts.open {
        0 => String::new(),
        open => format!(" {} open from before.", counted(open, "dead letter is", "dead letters are")),
    };
    let text = format!("Every bus answers, {failed}, and no record was lost.{before} This page goes on looking.");
    Calm { tone: "ok", icon: "circle-check", strong: "Nothing needs you now", text }
}

/// "214 of them failed with `NullPointerException` in payment-service, first seen 33 min ago."
fn most_of_them(figures: &load::Overview) -> Option<String> {
    let group = figures.groups.first().filter(|_| figures.groups_are_recent)?;
    let (name, _, _) = super::super::view::group_row::name_and_message(group);
    let place = match group.consumer_groups.first() {
        Some((Some(consumer_group), _, _)) => format!(" in {}", short(consumer_group, 80)),
        _ => String::new(),
    };
    Some(format!("{} open with {name}{place}, first seen {} ago.", grouped(group.counts.open), time::age(group.first_seen, figures.now)))
}

/// "11 dead-letter topics on 2 buses are watched, the last look was 6 s ago."
fn watched(figures: &load::Overview) -> String {
    let topics: u64 = figures.buses.iter().map(|bus| bus.dead_letter_topics).sum();
    let buses = counted(figures.buses.len() as u64, "bus", "buses");
    let topics = counted(topics, "dead-letter topic", "dead-letter topics");
    match figures.buses.iter().map(|bus| bus.state.sampled_at).min().flatten() {
        Some(at) => format!("{topics} on {buses} watched, the last look was {} ago.", time::age(at, figures.now)),
        None => format!("Redrive is reading {buses} for the first time."),
    }
}

fn stored(figures: &load::Overview) -> Vec<(&'static str, String)> {
    let usage = &figures.usage;
    let mut rows = vec![
        ("Dead letters", grouped(usage.dead_letters)),
        (
            "Without content",
            if usage.without_custody == 0 { "none".to_owned() } else { format!("{}, too large or gone", grouped(usage.without_custody)) },
        ),
        ("Oldest", usage.oldest.map_or_else(|| "nothing yet".to_owned(), |at| format!("{} ago", time::age(at, figures.now)))),
        ("In use", size(usage.used_bytes)),
        ("Limit", usage.max_bytes.map_or_else(|| "none, the disk decides".to_owned(), size)),
    ];
    if let Some(free) = usage.disk_free_bytes {
        rows.push(("Free on disk", size(free)));
    }
    rows.push(("Store", if usage.engine == "postgres" { "PostgreSQL".to_owned() } else { "SQLite".to_owned() }));
    rows
}

impl BusRow {
    fn new(bus: &WatchedBus, now: Timestamp) -> Self {
        let state: &BusState = &bus.state;
        let freshness = Freshness::of(state, now);
        let Look { word, icon, tone } = freshness.look();
        let evidence = match (&state.error, state.failing_since) {
            (Some(error), Some(since)) => format!("since {}: {}", time::clock(since, now), short(error, 300)),
            (Some(error), None) => short(error, 300),
            (None, _) if state.capabilities.unavailable.is_empty() => String::new(),
            (None, _) => {
                let lacks: Vec<_> = state.capabilities.unavailable.keys().map(|what| capability_words(*what).to_lowercase()).collect();
                format!("cannot {}", lacks.join(", "))
            }
        };
        let query = Address::new("/topics").and("bus", state.id.as_str());
        Self {
            name: short(state.id.as_str(), 80),
            href: query.to_string(),
            kind: "Kafka",
            word,
            icon,
            tone,
            evidence,
            sampled_at: state.sampled_at,
            stale: freshness.is_stale(),
            topics: if state.sampled_at.is_none() { "unknown".to_owned() } else { grouped(bus.dead_letter_topics) },
            open: grouped(bus.open),
            open_href: query.at("/failure-groups").to_string(),
        }
    }
}

impl GapRow {
    fn new(gap: &Gap) -> Self {
        use super::super::view::address::segment;
        Self {
            bus: short(gap.bus.as_str(), 80),
            topic: short(gap.topic.as_str(), 249),
            href: format!("/buses/{}/topics/{}", segment(gap.bus.as_str()), segment(gap.topic.as_str())),
            partition: gap.partition,
            from: grouped(gap.from_offset.unsigned_abs()),
            to: grouped(gap.to_offset.saturating_sub(1).unsigned_abs()),
            offsets: grouped(gap.offsets()),
            at: gap.at,
        }
    }
}
