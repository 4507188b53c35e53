//! One failure group: why, since when, and what its dead letters share.

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::super::extract::{Partial, Path, Viewer};
use super::super::render::{Page, part, render};
use super::super::router::Routes;
use super::super::view::address::{Address, segment};
use super::super::view::bytes::Body as BytesBody;
use super::super::view::chart::{Bar, BarChart};
use super::super::view::filter::{ListQuery, Reading, api_query};
use super::super::view::filter_bar::{Choice, ranges};
use super::super::view::group_row::{letters_of_group, name_and_message};
use super::super::view::json::JsonLine;
use super::super::view::letter_row::{KeyView, LetterRow};
use super::super::view::look::{self, Look};
use super::super::view::marks::Marks;
use super::super::view::number::{counted, grouped};
use super::super::view::query::{Pairs, parse_fingerprint, problems};
use super::super::view::range::Range;
use super::super::view::stack::StackLine;
use super::super::view::text::short;
use super::super::view::time::{age, exact_near};
use super::super::{Error, Layout, Section, WebState, filters};
use super::dead_letter::{Stack, application_packages};
use crate::model::failure_group::FailureGroup;
use crate::model::happening::Happened;
use crate::model::{BusId, DeadLetterFilter, GroupName, PageRequest, Role, Status, Timestamp, TopicName};
use crate::store::Store;
use crate::store::failure_groups::Buckets;
use crate::store::happenings::About;

/// Newest dead letters shown.
const LETTERS: u32 = 10;
/// Bars of the chart, about.
const BARS: u32 = 60;
/// Names of one kind listed before "and n more".
const NAMES: usize = 6;
/// Parameters of the stack trace.
const OWN_NAMES: &[&str] = &["stack", "stack_at", "stack_view"];

pub(super) fn routes() -> Routes {
    Routes::new().get("/buses/{bus}/failure-groups/{fingerprint}", failure_group)
}

#[derive(Template)]
#[template(path = "failure_group/failure_group.html", blocks = ["head", "figures", "stack", "rail"])]
struct FailureGroupPage {
    layout: Layout,
    name: String,
    place: String,
    title: String,
    message: String,
    open: u64,
    chip: Look,
    export_href: String,
    export_count: String,
    may_export: bool,
    /// The open ones, as a replay selects them.
    replay_filter: String,
    policy_href: String,
    /// Where its open ones are discarded.
    discard_href: String,
    figures: Vec<Figure>,
    ranges: Vec<Choice>,
    range: String,
    chart: BarChart,
    marks: Marks,
    stack: Option<Stack>,
    newest: Option<String>,
    letters: Vec<LetterRow>,
    letters_href: String,
    total: String,
    meter: Vec<MeterPart>,
    statuses: Vec<StatusCount>,
    about: Vec<(&'static str, Vec<Named>)>,
    class: Option<String>,
    fingerprint: String,
    parts: Vec<Part>,
}

/// A figure in the strip.
struct Figure {
    label: String,
    value: String,
    unit: String,
    note: String,
}

/// A piece of the meter of statuses.
struct MeterPart {
    bar: Bar,
    tone: &'static str,
}

struct StatusCount {
    look: Look,
    count: String,
    href: String,
    is_zero: bool,
}

/// A name that leads somewhere, with its share.
struct Named {
    name: String,
    href: Option<String>,
    note: String,
}

/// A part of the fingerprint.
struct Part {
    what: String,
    value: String,
}

impl Page for FailureGroupPage {
    fn part(&self, id: &str, now: Timestamp) -> Option<askama::Result<String>> {
        match id {
            "head" => Some(part(&self.as_head(), now)),
            "figures" => Some(part(&self.as_figures(), now)),
            "stack" => Some(part(&self.as_stack(), now)),
            "rail" => Some(part(&self.as_rail(), now)),
            _ => None,
        }
    }

    fn now(&self) -> Timestamp {
        self.layout.now
    }
}

async fn failure_group(
    _: Viewer,
    State(state): State<WebState>,
    layout: Layout,
    partial: Partial,
    Path((bus, fingerprint)): Path<(BusId, String)>,
    Pairs(pairs): Pairs,
) -> Result<Response, Error> {
    let fingerprint = parse_fingerprint(&fingerprint)?;
    let query = ListQuery::parse(&pairs, Reading::Page, OWN_NAMES, layout.now).map_err(problems)?;
    let range = if query.range == Range::All { Range::last("24h").expect("a length of time") } else { query.range };
    let store = state.store();
    let buckets = range.buckets(layout.now, BARS);
    let group = store.find_failure_group(&bus, fingerprint, buckets).await?.ok_or(Error::NotFound("failure group"))?;
    let filter = DeadLetterFilter { bus: vec![bus.clone()], fingerprint: vec![fingerprint], ..DeadLetterFilter::default() };
    let letters = store.list_dead_letters(&filter, &PageRequest::first(LETTERS), 1_000).await?.items;
    let newest = match letters.first() {
        Some(letter) => store.find_dead_letter(letter.id, &filter).await?,
        None => None,
    };
    let marks = marks(store, &group, buckets).await?;
    let path = super::super::view::group_row::group_address(&bus, fingerprint);
    let here = Address::new(path).with_pairs(&pairs);
    let packages = application_packages(&state, bus.as_str());
    let list = letters_of_group(&bus, fingerprint);
    let page = FailureGroupPage {
        stack: newest.as_ref().and_then(|l| l.stack_trace.as_deref()).map(|stack| Stack::new(stack, &here, &packages)),
        newest: letters.first().map(|letter| LetterRow::new(letter, &list).href),
        letters: letters.iter().map(|letter| LetterRow::new(letter, &list)).collect(),
        chart: BarChart::new(&group.per_bucket, buckets).marked(&marks.shown, buckets),
        marks,
        ..FailureGroupPage::new(layout, &group, &here, &filter, range)
    };
    render(&page, &partial)
}

/// What happened meanwhile to the consumer group that fails most and to the topics its dead letters come from; of alerts those of this
/// failure group, and those that name none.
async fn marks(store: &Store, group: &FailureGroup, buckets: Buckets) -> Result<Marks, Error> {
    let topics: Vec<&str> = group.origins.iter().filter_map(|(topic, _)| topic.as_deref()).collect();
    let consumer_group = group.consumer_groups.iter().find_map(|(name, ..)| name.as_deref()).map(GroupName::from);
    let topic = topics.first().map(|topic| TopicName::from(*topic));
    let about = match (&consumer_group, &topic) {
        (Some(name), _) => About::Group(name, &topics),
        (None, Some(topic)) => About::Topic(topic),
        (None, None) => About::Bus,
    };
    let mut happened = store.list_happenings(&group.bus, about, buckets.from, buckets.to).await?;
    let fingerprint = group.fingerprint.to_string();
    happened.retain(|happening| match &happening.what {
        Happened::AlertFired { labels, .. } => labels.get("fingerprint").is_none_or(|of| *of == fingerprint),
        _ => true,
    });
    Ok(Marks::of(&happened, buckets))
}

impl FailureGroupPage {
    fn new(layout: Layout, group: &FailureGroup, here: &Address, filter: &DeadLetterFilter, range: Range) -> Self {
        let (name, place, message) = name_and_message(group);
        let list = letters_of_group(&group.bus, group.fingerprint);
        let here = if here.get("from").is_none() && here.get("to").is_none() && here.get("range").is_none() {
            here.set("range", "24h")
        } else {
            here.clone()
        };
        let title = if place.is_empty() { name.clone() } else { format!("{name} in {place}") };
        Self {
            chip: if group.counts.open > 0 {
                look::status(Status::Open)
            } else {
                Look { word: "None open", icon: "circle-check", tone: "ok" }
            },
            open: group.counts.open,
            export_href: api_query("/api/v1/dead-letters/export", filter).to_string(),
            export_count: grouped(group.counts.total()),
            may_export: layout.may(Role::Operator),
            policy_href: Address::new("/replay-policies/new")
                .and("bus", group.bus.as_str())
                .and("fingerprint", &group.fingerprint.to_string())
                .and("name", &title)
                .to_string(),
            replay_filter: api_query("", &DeadLetterFilter { status: vec![Status::Open], ..filter.clone() }).to_string(),
            discard_href: api_query("/dead-letters/discard", filter).set("status", Status::Open.as_str()).to_string(),
            figures: figures(group, range, layout.now),
            ranges: ranges(&here).into_iter().filter(|choice| choice.label != "All").collect(),
            range: range.words(),
            chart: BarChart::new(&[], range.buckets(layout.now, BARS)),
            marks: Marks::default(),
            stack: None,
            newest: None,
            letters: Vec::new(),
            letters_href: list.to_string(),
            total: grouped(group.counts.total()),
            meter: meter(group),
            statuses: statuses(group, &list),
            about: about(group),
            class: group.exception_class.as_deref().map(|class| short(class, 300)),
            fingerprint: group.fingerprint.to_string(),
            parts: group.parts.iter().map(|part| Part::new(part)).collect(),
            layout: layout.crumb("Dead letters", "/failure-groups").titled(Section::DeadLetters, short(&title, 80)),
            name,
            place,
            title: short(&group.title, 500),
            message,
        }
    }

    fn chip_text(&self) -> String {
        if self.open > 0 { format!("{} open", grouped(self.open)) } else { self.chip.word.to_owned() }
    }

    fn chart_note(&self) -> String {
        format!("per {}, {}", self.chart.step, self.range)
    }
}

fn figures(group: &FailureGroup, range: Range, now: Timestamp) -> Vec<Figure> {
    let figure =
        |label: &str, value: String, unit: &str, note: String| Figure { label: label.to_owned(), value, unit: unit.to_owned(), note };
    let since = |label: &str, at: Timestamp, note: String| {
        let age = age(at, now);
        let (value, unit) = age.split_once(' ').unwrap_or((&age, ""));
        figure(label, value.to_owned(), &format!("{unit} ago"), note)
    };
    let arrived: u64 = group.per_bucket.iter().sum();
    let quiet = now.as_millis() - group.last_seen.as_millis();
    let lately = group.per_bucket.iter().rev().take(2).any(|count| *count > 0) && quiet < 15 * 60_000;
    vec![
        figure("Open", grouped(group.counts.open), "", format!("of {} kept", grouped(group.counts.total()))),
        since("First seen", group.first_seen, exact_near(group.first_seen, now)),
        since("Last seen", group.last_seen, if lately { "still arriving".to_owned() } else { exact_near(group.last_seen, now) }),
        figure("Arrived", grouped(arrived), "", format!("in {}", range.words())),
    ]
}

/// Shares of the statuses on one line, wide enough to be seen each.
fn meter(group: &FailureGroup) -> Vec<MeterPart> {
    let mut counts = group.counts;
    let total = counts.total().max(1);
    let present: Vec<_> = Status::ALL.iter().map(|s| (*s, *counts.of_mut(*s))).filter(|(_, count)| *count > 0).collect();
    let mut x = 0.0;
    present
        .into_iter()
        .map(|(status, count)| {
            let permille = u32::try_from(count.saturating_mul(1_000) / total).unwrap_or(1_000).max(10);
            let width = f64::from(permille) / 10.0;
            let bar = Bar { x, width, y: 0.0, height: 6.0, hot: false, title: format!("{} {}", grouped(count), look::status(status).word) };
            x += width;
            MeterPart { bar, tone: look::status(status).tone }
        })
        .collect()
}

fn statuses(group: &FailureGroup, list: &Address) -> Vec<StatusCount> {
    let mut counts = group.counts;
    Status::ALL
        .iter()
        .map(|status| (*status, *counts.of_mut(*status)))
        .filter(|(status, count)| *count > 0 || *status == Status::Open)
        .map(|(status, count)| StatusCount {
            look: look::status(status),
            count: grouped(count),
            href: list.set("status", status.as_str()).to_string(),
            is_zero: count == 0,
        })
        .collect()
}

fn about(group: &FailureGroup) -> Vec<(&'static str, Vec<Named>)> {
    let bus = segment(group.bus.as_str());
    let topic = |name: &str| format!("/buses/{bus}/topics/{}", segment(name));
    let several = |len: usize, count: u64| if len > 1 { grouped(count) } else { String::new() };
    let origins = group.origins.iter().map(|(name, count)| Named {
        name: name.as_deref().map_or_else(|| "unknown".to_owned(), |name| short(name, 249)),
        href: name.as_deref().map(topic),
        note: several(group.origins.len(), *count),
    });
    let consumer_groups = group.consumer_groups.iter().map(|(name, inferred, count)| Named {
        name: name.as_deref().map_or_else(|| "unknown".to_owned(), |name| short(name, 200)),
        href: name.as_deref().map(|name| format!("/buses/{bus}/consumer-groups/{}", segment(name))),
        note: match (inferred, several(group.consumer_groups.len(), *count)) {
            (true, note) if note.is_empty() => "inferred".to_owned(),
            (true, note) => format!("{note}, inferred"),
            (false, note) => note,
        },
    });
    let topics = group.topics.iter().map(|(name, count)| Named {
        name: short(name, 249),
        href: Some(topic(name)),
        note: several(group.topics.len(), *count),
    });
    let conventions =
        group.conventions.iter().map(|slug| Named { name: short(look::convention(slug), 120), href: None, note: String::new() });
    vec![
        ("Origin", first_names(origins.collect())),
        ("Consumer group", first_names(consumer_groups.collect())),
        ("Dead-letter topic", first_names(topics.collect())),
        ("Convention", first_names(conventions.collect())),
        ("Bus", vec![Named { name: short(group.bus.as_str(), 80), href: Some(format!("/topics?bus={bus}")), note: String::new() }]),
    ]
}

fn first_names(mut names: Vec<Named>) -> Vec<Named> {
    let more = names.len().saturating_sub(NAMES);
    names.truncate(NAMES);
    if more > 0 {
        names.push(Named { name: counted(more as u64, "more", "more"), href: None, note: String::new() });
    }
    if names.is_empty() {
        names.push(Named { name: "unknown".to_owned(), href: None, note: String::new() });
    }
    names
}

impl Part {
    /// Parts are readable: `exception: java.lang.NullPointerException`.
    fn new(part: &str) -> Self {
        let (what, value) = part.split_once(": ").unwrap_or(("part", part));
        let what = short(what, 40);
        let mut chars = what.chars();
        let first: String = chars.next().map(char::to_uppercase).into_iter().flatten().collect();
        Self { what: first + chars.as_str(), value: short(value, 400) }
    }
}
