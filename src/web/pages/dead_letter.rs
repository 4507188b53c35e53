//! One dead letter: what is in it and why it failed.

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::super::extract::{Partial, Path, Viewer};
use super::super::render::{Page, part, render};
use super::super::router::Routes;
use super::super::view::address::Address;
use super::super::view::bytes::Body as BytesBody;
use super::super::view::filter::{ListQuery, Reading};
use super::super::view::headers::{HeaderView, ReadAs};
use super::super::view::json::JsonLine;
use super::super::view::letter_row::{KeyView, LetterRow, letter_address};
use super::super::view::look::{self, Look};
use super::super::view::query::{Pairs, problems};
use super::super::view::stack::{StackLine, StackView};
use super::super::view::text::short;
use super::super::view::viewer::{Viewer as BytesViewer, copyable};
use super::super::{Error, Layout, Section, WebState, filters};
use crate::model::dead_letter::DeadLetterDetail;
use crate::model::failure_group::FailureGroup;
use crate::model::{DeadLetterId, Role, Status, Timestamp};
use about::{About, Event, Fact, about, events};

mod about;

/// Bars do not matter here: only the group's name and counts are shown.
const GROUP_BARS: u32 = 1;
/// Parameters that belong to this page and not to the list it was opened from.
const OWN_NAMES: &[&str] = &["value_view", "value_at", "key_view", "key_at", "stack", "stack_at"];

pub(super) fn routes() -> Routes {
    Routes::new().get("/dead-letters/{id}", dead_letter)
}

#[derive(Template)]
#[template(path = "dead_letter/dead_letter.html", blocks = ["stack", "value", "key", "about"])]
struct DeadLetterPage {
    layout: Layout,
    id: String,
    title: String,
    whole_message: Option<String>,
    status: Look,
    coordinates: String,
    topic_href: String,
    failed_at: Timestamp,
    group: Option<GroupLink>,
    newer: Option<String>,
    older: Option<String>,
    list_href: String,
    notices: Vec<Notice>,
    stack: Option<Stack>,
    value: BytesViewer,
    /// Only where a key does not fit beside the other facts.
    key: Option<BytesViewer>,
    headers: Vec<HeaderView>,
    about: Vec<About>,
    events: Vec<Event>,
    same_origin: Vec<LetterRow>,
    show_bus: bool,
    replayable: Status,
    /// How many of the events are acts of people and jobs: these come first.
    acts: usize,
}

/// The failure group and its share.
struct GroupLink {
    href: String,
    title: String,
    counts: String,
}

/// Something about this dead letter that changes how the rest is to be read.
struct Notice {
    tone: &'static str,
    icon: &'static str,
    strong: String,
    rest: String,
}

/// The stack trace, read or as written.
pub(super) struct Stack {
    pub(super) facts: String,
    /// As written, for the copy button.
    pub(super) copy: Option<String>,
    pub(super) lines: Vec<StackLine>,
    /// As written; shown when asked for, or when nothing could be read.
    pub(super) written: Option<BytesViewer>,
    pub(super) read_href: Option<String>,
    pub(super) written_href: String,
}

impl Page for DeadLetterPage {
    fn part(&self, id: &str, now: Timestamp) -> Option<askama::Result<String>> {
        match id {
            "stack" => Some(part(&self.as_stack(), now)),
            "value" => Some(part(&self.as_value(), now)),
            "key" => Some(part(&self.as_key(), now)),
            "about" => Some(part(&self.as_about(), now)),
            _ => None,
        }
    }

    fn now(&self) -> Timestamp {
        self.layout.now
    }
}

async fn dead_letter(
    _: Viewer,
    State(state): State<WebState>,
    layout: Layout,
    partial: Partial,
    Path(id): Path<i64>,
    Pairs(pairs): Pairs,
) -> Result<Response, Error> {
    let query = ListQuery::parse(&pairs, Reading::Page, OWN_NAMES, layout.now).map_err(problems)?;
    let store = state.store();
    let letter = store.find_dead_letter(DeadLetterId(id), &query.filter).await?.ok_or(Error::NotFound("dead letter"))?;
    let buckets = query.range.buckets(layout.now, GROUP_BARS);
    let group = store.find_failure_group(&letter.summary.bus, letter.summary.fingerprint, buckets).await?;
    let same_origin = store.list_same_origin(DeadLetterId(id)).await?;
    let here = Address::new(format!("/dead-letters/{id}")).with_pairs(&pairs);
    let packages = application_packages(&state, letter.summary.bus.as_str());
    let now = layout.now;
    let page = DeadLetterPage::new(layout, &letter, group.as_ref(), &here, &packages)
        .with_same_origin(same_origin.iter().map(|row| LetterRow::new(row, &Address::new("").and("status", "all"))).collect())
        .with_acts(about::replay_events(&store.list_replays_of_letter(DeadLetterId(id)).await?, now))
        .with_acts(about::discard_events(&store.list_discards_of_letter(DeadLetterId(id)).await?, now))
        .among(state.config().buses.len());
    render(&page, &partial)
}

/// The beginnings of the team's own class names on this bus.
pub(super) fn application_packages(state: &WebState, bus: &str) -> Vec<String> {
    let bus = state.config().buses.iter().find(|configured| configured.id.as_str() == bus);
    bus.map(|bus| bus.dead_letters.application_packages.clone()).unwrap_or_default()
}

impl DeadLetterPage {
    fn new(layout: Layout, letter: &DeadLetterDetail, group: Option<&FailureGroup>, here: &Address, packages: &[String]) -> Self {
        let summary = &letter.summary;
        let list = here.at("/dead-letters").without(OWN_NAMES);
        let id = summary.id.to_string();
        let coordinates = format!("{} / {} / {}", short(summary.topic.as_str(), 249), summary.partition, summary.offset);
        let raw = |what: &str| format!("/api/v1/dead-letters/{id}/{what}");
        let neighbour = |id: Option<DeadLetterId>| id.map(|id| letter_address(id.0, &list));
        let group_href = super::super::view::group_row::group_address(&summary.bus, summary.fingerprint);
        let class = summary.exception_class.as_deref().map(look::short_class);
        Self {
            title: title(class, summary.exception_message.as_deref()),
            whole_message: whole_message(summary.exception_message.as_deref()),
            status: look::status(summary.status),
            topic_href: about::topic_address(&summary.bus, summary.topic.as_str()),
            failed_at: summary.failed_at,
            group: group.map(|group| GroupLink::new(group, group_href.clone())),
            newer: neighbour(letter.newer),
            older: neighbour(letter.older),
            list_href: list.to_string(),
            notices: notices(letter),
            stack: letter.stack_trace.as_deref().map(|stack| Stack::new(stack, here, packages)),
            value: BytesViewer::new("value", "Value", letter.value.as_deref(), here, raw("value")),
            key: needs_viewer(letter).then(|| BytesViewer::new("key", "Key", letter.key.as_deref(), here, raw("key"))),
            headers: HeaderView::list(&letter.headers),
            about: about(letter, layout.now),
            events: events(letter, layout.now),
            same_origin: Vec::new(),
            show_bus: false,
            replayable: summary.status,
            acts: 0,
            layout: layout
                .crumb("Dead letters", "/failure-groups")
                .crumb(class.map_or_else(|| summary.fingerprint.to_string(), |class| short(class, 60)), group_href)
                .titled(Section::DeadLetters, format!("{} / {}", summary.partition, summary.offset)),
            coordinates,
            id,
        }
    }

    fn with_same_origin(mut self, rows: Vec<LetterRow>) -> Self {
        self.same_origin = rows;
        self
    }

    /// Why it cannot be replayed, when it cannot.
    fn against_replay(&self) -> Option<&'static str> {
        if !self.layout.may(Role::Operator) {
            return Some("Replay needs the role operator");
        }
        match self.replayable {
            Status::Replaying => Some("It is in a replay"),
            Status::Discarded => Some("It is discarded"),
            Status::FailedAgain => Some("It came back; replay its successor"),
            Status::Open | Status::Replayed | Status::Resolved => None,
        }
    }

    /// Whether it was replayed before.
    fn again(&self) -> bool {
        matches!(self.replayable, Status::Replayed | Status::Resolved)
    }

    /// What people and jobs did about it comes first, newest first.
    fn with_acts(mut self, acts: Vec<Event>) -> Self {
        self.acts += acts.len();
        self.events.splice(0..0, acts);
        self.events[..self.acts].sort_by_key(|event| std::cmp::Reverse(event.at));
        self
    }

    fn is_open(&self) -> bool {
        self.replayable == Status::Open
    }

    fn is_discarded(&self) -> bool {
        self.replayable == Status::Discarded
    }

    fn may_discard(&self) -> bool {
        self.layout.may(Role::Operator)
    }

    fn among(mut self, buses: usize) -> Self {
        self.show_bus = buses > 1;
        self
    }
}

impl GroupLink {
    fn new(group: &FailureGroup, href: String) -> Self {
        use super::super::view::number::grouped;
        let counts = format!("1 of {}", grouped(group.counts.total()));
        let some_open = group.counts.open > 0 && group.counts.open < group.counts.total();
        let counts = if some_open { format!("{counts} ({} open)", grouped(group.counts.open)) } else { counts };
        Self { href, title: short(&group.title, 200), counts }
    }
}

impl Stack {
    pub(super) fn new(stack: &str, here: &Address, packages: &[String]) -> Self {
        let read = StackView::new(stack, packages);
        let copy = copyable(stack.as_bytes());
        let wants_written = here.get("stack") == Some("written");
        let written_href = here.set("stack", "written").to_string();
        if read.lines.is_empty() || wants_written {
            // The trace goes through the viewer of values: the same limits, the same steps through a large one.
            let viewer = BytesViewer::new("stack", "Stack trace", Some(stack.as_bytes()), &here.set("stack_view", "text"), String::new());
            let read_href = (!read.lines.is_empty()).then(|| here.without(&["stack", "stack_view", "stack_at"]).to_string());
            return Self { facts: viewer.facts.clone(), copy, lines: Vec::new(), written: Some(viewer), read_href, written_href };
        }
        Self { facts: read.facts, copy, lines: read.lines, written: None, read_href: None, written_href }
    }
}

/// Characters of a message in the title; what is longer has a place of its own.
const TITLE_MESSAGE: usize = 120;

fn title(class: Option<&str>, message: Option<&str>) -> String {
    let message = message.map(str::trim).filter(|message| !message.is_empty());
    match (class, message) {
        (Some(class), Some(message)) => format!("{}: {}", short(class, 120), short(message, TITLE_MESSAGE)),
        (Some(text), None) | (None, Some(text)) => short(text, 240),
        (None, None) => "No failure header".to_owned(),
    }
}

/// The message where the title had to cut it.
fn whole_message(message: Option<&str>) -> Option<String> {
    message.map(str::trim).filter(|message| message.chars().count() > TITLE_MESSAGE).map(|message| short(message, 1_000))
}

/// A key that is long or no text gets a viewer of its own.
fn needs_viewer(letter: &DeadLetterDetail) -> bool {
    letter
        .key
        .as_deref()
        .is_some_and(|key| key.len() > 200 || std::str::from_utf8(key).is_err() || matches!(key.first(), Some(b'{' | b'[')))
}

fn notices(letter: &DeadLetterDetail) -> Vec<Notice> {
    let mut notices = Vec::new();
    if let Some(problem) = &letter.summary.custody_problem {
        notices.push(Notice {
            tone: "warn",
            icon: "database",
            strong: "Redrive does not hold the content.".to_owned(),
            rest: sentence(problem),
        });
    }
    if let Some(problem) = &letter.decode_problem {
        notices.push(Notice {
            tone: "warn",
            icon: "circle-alert",
            strong: "Not everything could be decoded.".to_owned(),
            rest: format!("{} The headers below are as stored.", sentence(problem)),
        });
    }
    notices
}

fn sentence(text: &str) -> String {
    let text = short(text, 300);
    let mut chars = text.chars();
    let first: String = chars.next().map(char::to_uppercase).into_iter().flatten().collect();
    let sentence = first + chars.as_str();
    if sentence.ends_with('.') { sentence } else { sentence + "." }
}
