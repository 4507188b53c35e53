//! Help, finding things, and the parts of the frame that keep themselves fresh.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;

use super::super::extract::{Partial, Query, Viewer};
use super::super::render::{Page, part, render};
use super::super::router::Routes;
use super::super::view::alert as words;
use super::super::{Error, Layout, Section, WebState, address, filters};
use crate::model::{BusId, DeadLetterFilter, DeadLetterId, Fingerprint, PageRequest, Timestamp};
use crate::store::failure_groups::{Buckets, FailureGroupSort};
use crate::store::topics::TopicFilter;

/// Hits of one kind that are shown; the search pages have the rest.
const HITS: usize = 6;

pub(super) fn routes() -> Routes {
    Routes::new().get("/help", help).get("/find", find).get("/shell", shell)
}

#[derive(Template)]
#[template(path = "help/help.html")]
struct HelpPage {
    layout: Layout,
}

impl Page for HelpPage {
    fn now(&self) -> Timestamp {
        self.layout.now
    }
}

/// Age of the data, counts and state of the bus: the parts of the frame that change while a page is open.
#[derive(Template)]
#[template(path = "layout/shell.html")]
struct ShellPage {
    layout: Layout,
}

impl Page for ShellPage {
    fn now(&self) -> Timestamp {
        self.layout.now
    }
}

#[derive(Template)]
#[template(path = "find/find.html", blocks = ["results"])]
struct FindPage {
    layout: Layout,
    q: String,
    groups: Vec<Hits>,
    letters_address: String,
    groups_address: String,
}

struct Hits {
    title: &'static str,
    icon: &'static str,
    found: Vec<Hit>,
}

struct Hit {
    text: String,
    note: String,
    address: String,
}

impl Page for FindPage {
    fn part(&self, id: &str, now: Timestamp) -> Option<askama::Result<String>> {
        (id == "find-results").then(|| part(&self.as_results(), now))
    }

    fn now(&self) -> Timestamp {
        self.layout.now
    }
}

async fn help(_: Viewer, layout: Layout, partial: Partial) -> Result<Response, Error> {
    render(&HelpPage { layout: layout.titled(Section::Nowhere, "Help") }, &partial)
}

#[derive(Deserialize)]
struct ShellQuery {
    #[serde(default)]
    section: Section,
}

async fn shell(_: Viewer, layout: Layout, Query(query): Query<ShellQuery>) -> Result<Response, Error> {
    render(&ShellPage { layout: layout.titled(query.section, "").out_of_band() }, &Partial::Full)
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct FindQuery {
    q: Option<String>,
}

async fn find(
    _: Viewer,
    State(state): State<WebState>,
    layout: Layout,
    partial: Partial,
    Query(query): Query<FindQuery>,
) -> Result<Response, Error> {
    let q: String = query.q.unwrap_or_default().trim().chars().filter(|c| !c.is_control()).take(200).collect();
    let groups = if q.is_empty() { Vec::new() } else { search(&state, &layout, &q).await? };
    let bus = layout.bus.as_ref().map_or("", BusId::as_str);
    let search = |path: &str| format!("{path}{}", address::query([("bus", bus), ("q", &q)]));
    let (letters_address, groups_address) = (search("/dead-letters"), search("/failure-groups"));
    render(&FindPage { layout: layout.titled(Section::Nowhere, "Find"), q, groups, letters_address, groups_address }, &partial)
}

async fn search(state: &WebState, layout: &Layout, q: &str) -> Result<Vec<Hits>, Error> {
    let buses: Vec<BusId> = state.store().list_buses().await?.into_iter().map(|bus| bus.id).collect();
    let buses: Vec<BusId> = buses.into_iter().filter(|bus| layout.bus.as_ref().is_none_or(|chosen| chosen == bus)).collect();
    let hits = [
        Hits { title: "Ids", icon: "arrow-right", found: by_id(state, &buses, q, layout.now).await? },
        Hits { title: "Topics", icon: "rows-3", found: topics(state, &buses, q).await? },
        Hits { title: "Consumer groups", icon: "users", found: consumer_groups(state, &buses, q).await? },
        Hits { title: "Alerts", icon: "bell", found: alerts(state, layout, q).await? },
        Hits { title: "Failure groups", icon: "inbox", found: failure_groups(state, &buses, q, layout.now).await? },
    ];
    Ok(hits.into_iter().filter(|hits| !hits.found.is_empty()).collect())
}

/// A dead letter by its id, a failure group by its fingerprint.
async fn by_id(state: &WebState, buses: &[BusId], q: &str, now: Timestamp) -> Result<Vec<Hit>, Error> {
    let mut hits = Vec::new();
    if let Ok(id) = q.parse::<DeadLetterId>()
        && let Some(found) = state.store().find_dead_letter(id, &DeadLetterFilter::default()).await?
    {
        let summary = &found.summary;
        let note = format!("{} / {} / {}", summary.topic, summary.partition, summary.offset);
        hits.push(Hit { text: format!("Dead letter {id}"), note, address: format!("/dead-letters/{id}") });
    }
    if let Ok(fingerprint) = q.parse::<Fingerprint>() {
        for bus in buses {
            if let Some(group) = state.store().find_failure_group(bus, fingerprint, last_day(now)).await? {
                hits.push(Hit { text: group.title, note: bus.to_string(), address: group_address(bus, fingerprint) });
            }
        }
    }
    Ok(hits)
}

async fn topics(state: &WebState, buses: &[BusId], q: &str) -> Result<Vec<Hit>, Error> {
    let filter = TopicFilter { q: Some(q.to_owned()), ..TopicFilter::default() };
    let mut hits = Vec::new();
    for bus in buses {
        let topics = state.store().list_topics(bus, &filter).await?;
        hits.extend(topics.into_iter().take(HITS).map(|topic| {
            let name = topic.generation.topic.as_str();
            let address = format!("/buses/{}/topics/{}", address::encode(bus.as_str()), address::encode(name));
            Hit { text: name.to_owned(), note: bus.to_string(), address }
        }));
    }
    hits.truncate(HITS);
    Ok(hits)
}

async fn consumer_groups(state: &WebState, buses: &[BusId], q: &str) -> Result<Vec<Hit>, Error> {
    let mut hits = Vec::new();
    for bus in buses {
        let groups = state.store().list_consumer_groups(bus, Some(q), None).await?;
        hits.extend(groups.into_iter().take(HITS).map(|group| {
            let name = group.name.as_str();
            let address = format!("/buses/{}/consumer-groups/{}", address::encode(bus.as_str()), address::encode(name));
            Hit { text: name.to_owned(), note: bus.to_string(), address }
        }));
    }
    hits.truncate(HITS);
    Ok(hits)
}

async fn failure_groups(state: &WebState, buses: &[BusId], q: &str, now: Timestamp) -> Result<Vec<Hit>, Error> {
    let filter = DeadLetterFilter { bus: buses.to_vec(), q: Some(q.to_owned()), ..DeadLetterFilter::default() };
    let page = PageRequest::first(u32::try_from(HITS).unwrap_or(1));
    let found = state.store().list_failure_groups(&filter, FailureGroupSort::default(), last_day(now), &page).await?;
    let hit = |group: crate::model::failure_group::FailureGroup| Hit {
        address: group_address(&group.bus, group.fingerprint),
        text: group.title,
        note: format!("{} open, {}", group.counts.open, group.bus),
    };
    Ok(found.items.into_iter().map(hit).collect())
}

/// Alerts that fire, and rules, by name or by what they are about.
async fn alerts(state: &WebState, layout: &Layout, q: &str) -> Result<Vec<Hit>, Error> {
    let asked = q.to_lowercase();
    let fits = |text: &str| text.to_lowercase().contains(&asked);
    let mut hits = Vec::new();
    for alert in state.store().list_living_alerts().await? {
        let of_bus = layout.bus.as_ref().is_none_or(|bus| alert.bus().is_none_or(|of| of == *bus));
        if alert.standing.state.is_firing() && of_bus && (fits(&alert.details.rule) || alert.labels.values().any(|value| fits(value))) {
            let note = format!("{}, {}", words::about(&alert.labels, false), words::state(&alert).word.to_lowercase());
            hits.push(Hit { text: alert.details.rule, note, address: format!("/alerts/{}", alert.number) });
        }
    }
    for rule in state.store().list_alert_rules().await? {
        if fits(&rule.name) {
            let note = format!("Rule, {}", words::condition(&rule.terms));
            hits.push(Hit { text: rule.name, note, address: format!("/alert-rules/{}", rule.number) });
        }
    }
    hits.truncate(HITS);
    Ok(hits)
}

fn group_address(bus: &BusId, fingerprint: Fingerprint) -> String {
    format!("/buses/{}/failure-groups/{fingerprint}", address::encode(bus.as_str()))
}

/// Groups come with arrivals over time, which nobody looks at here.
fn last_day(now: Timestamp) -> Buckets {
    Buckets { from: now.minus(std::time::Duration::from_hours(24)), to: now, count: 1 }
}
