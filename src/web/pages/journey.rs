//! One message's whole way on one page, with long waiting folded.

use std::time::Duration;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;

use super::super::api::journeys::{Gathered, JourneyQuery, LeftOut, MOST_LETTERS, MOST_SPANS, MOST_TOPICS, MOST_TRACES, Subject, gather};
use super::super::extract::{Partial, Query, Viewer};
use super::super::render::{Page, render};
use super::super::router::Routes;
use super::super::view::address::Address;
use super::super::view::lines::seconds;
use super::super::view::number::{counted, grouped};
use super::super::view::text::short;
use super::super::view::time::{duration_words, exact};
use super::super::view::timeline::{Bar, Timeline};
use super::super::{Error, Layout, Section, WebState, filters};
use crate::model::{DeadLetterId, Timestamp};
use crate::traces::journey::{End, Material, Step, StepKind, journey, records};

pub(super) fn routes() -> Routes {
    Routes::new().get("/journeys", page)
}

/// Steps drawn at once.
const MOST: usize = 200;

/// Which message, and whether waiting is folded.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct PageQuery {
    dead_letter: Option<DeadLetterId>,
    trace_id: Option<String>,
    bus: Option<String>,
    topic: Option<String>,
    partition: Option<i32>,
    offset: Option<i64>,
    /// `0`: waiting is drawn at its length.
    fold: Option<u8>,
}

/// A step as it is drawn.
struct Row {
    href: Option<String>,
    icon: &'static str,
    tone: &'static str,
    depth: u8,
    name: String,
    word: &'static str,
    note: String,
    text: String,
    evidence: String,
    /// All of it, for who hovers.
    title: String,
    at: Timestamp,
    bar: Bar,
    is_wait: bool,
    again: bool,
}

#[derive(Template)]
#[template(path = "journey/page.html")]
struct JourneyPage {
    layout: Layout,
    lede: (String, String),
    /// That it is not one message's; empty where it is.
    several: String,
    /// What is missing, in words.
    left_out: Option<String>,
    line: Timeline,
    rows: Vec<Row>,
    more: usize,
    fold_href: String,
    is_folded: bool,
    letter_href: Option<String>,
    traces: Vec<(String, String)>,
    spans: String,
}

impl Page for JourneyPage {
    fn part(&self, _: &str, _: Timestamp) -> Option<askama::Result<String>> {
        None
    }

    fn now(&self) -> Timestamp {
        self.layout.now
    }
}

async fn page(
    _: Viewer,
    State(state): State<WebState>,
    layout: Layout,
    partial: Partial,
    Query(query): Query<PageQuery>,
) -> Result<Response, Error> {
    let is_folded = query.fold != Some(0);
    let here = address(&query);
    let wanted = JourneyQuery {
        dead_letter: query.dead_letter,
        trace_id: query.trace_id,
        // The frame of every page may name a bus; here it counts with a place only.
        bus: query.bus.filter(|_| query.topic.is_some()),
        topic: query.topic,
        partition: query.partition,
        offset: query.offset,
    };
    let subject = wanted.subject()?;
    let Gathered { material, truncated } = gather(state.store(), &subject).await?;
    let steps = journey(&material);
    let fold_href = if is_folded { here.set("fold", "0") } else { here };
    let letter = material.letters.first().map(|letter| letter.id);
    let happened: Vec<(i64, i64)> = steps.iter().filter(|step| step.kind != StepKind::InTopic).map(bounds).collect();
    let line = Timeline::new(&happened, is_folded);
    let rows: Vec<Row> = steps.iter().take(MOST).map(|step| Row::new(step, &line)).collect();
    let title = title(&subject, letter);
    let layout = match subject {
        Subject::Letter(id) => layout.titled(Section::DeadLetters, title).crumb(format!("Dead letter {id}"), format!("/dead-letters/{id}")),
        _ => layout.titled(Section::Traces, title).crumb("Traces", "/traces"),
    };
    let page = JourneyPage {
        lede: lede(&steps, &material, state.config().retention.spans),
        several: several(&material),
        left_out: truncated.map(left_out),
        more: steps.len().saturating_sub(MOST),
        line,
        rows,
        fold_href: fold_href.to_string(),
        is_folded,
        letter_href: letter.map(|id| format!("/dead-letters/{id}")),
        traces: traces(&material),
        spans: format!(
            "{} of {}",
            counted(material.spans.len() as u64, "span", "spans"),
            counted(traces(&material).len() as u64, "trace", "traces")
        ),
        layout,
    };
    render(&page, &partial)
}

fn address(query: &PageQuery) -> Address {
    let pairs = [
        ("dead_letter", query.dead_letter.map(|id| id.to_string())),
        ("trace_id", query.trace_id.clone()),
        ("bus", query.bus.clone()),
        ("topic", query.topic.clone()),
        ("partition", query.partition.map(|partition| partition.to_string())),
        ("offset", query.offset.map(|offset| offset.to_string())),
    ];
    pairs.into_iter().fold(Address::new("/journeys"), |address, (name, value)| match value {
        Some(value) => address.and(name, &value),
        None => address,
    })
}

/// Beginning and end of a step in microseconds.
fn bounds(step: &Step) -> (i64, i64) {
    let from = step.at.as_millis().saturating_mul(1_000);
    (from, from.saturating_add(step.took_us.unwrap_or(0).max(0)))
}

/// What became of it, and what else to know.
fn lede(steps: &[Step], material: &Material, kept: Duration) -> (String, String) {
    let last = steps.iter().rev().find(|step| step.kind == StepKind::Outcome);
    let end = last.and_then(|step| step.end);
    let failures = steps.iter().filter(|step| step.kind == StepKind::Processed && step.failed).count() as u64;
    let open = material.letters.iter().filter(|letter| letter.outcome.is_none()).count() as u64;
    let first = match (end, last) {
        (Some(End::FailedAgain), _) => "It failed again after the replay.".to_owned(),
        (Some(End::Resolved), _) => "Resolved by its replay.".to_owned(),
        (Some(End::Replayed), _) => "Replayed; nobody knows yet what came of it.".to_owned(),
        (Some(End::Discarded), Some(step)) => discarded(step),
        _ => without_outcome(steps, material, open),
    };
    let mut rest = Vec::new();
    if open > 0 && matches!(end, Some(End::Resolved | End::Discarded)) {
        rest.push(format!("{} of the message still open.", counted(open, "dead letter is", "dead letters are")));
    }
    if failures > 0 {
        rest.push(format!("Processing failed {}.", if failures == 1 { "once".to_owned() } else { format!("{} times", grouped(failures)) }));
    }
    let mut others: Vec<&str> = steps.iter().filter(|step| step.again).filter_map(|step| step.consumer_group.as_deref()).collect();
    others.sort_unstable();
    others.dedup();
    if !others.is_empty() {
        rest.push(format!(
            "The replayed message was also processed by {}, which had processed it before or not failed on it.",
            others.join(", ")
        ));
    }
    if steps.iter().all(|step| step.span.is_none()) {
        rest.push("No span of it was received: this is what the bus itself tells.".to_owned());
    }
    rest.extend(too_old(steps, material, kept));
    (first, rest.join(" "))
}

/// That its sender's spans may have gone before it was a dead letter, which would have kept them.
fn too_old(steps: &[Step], material: &Material, kept: Duration) -> Option<String> {
    let is_sender = |step: &Step| step.kind == StepKind::Sent && step.span.is_some();
    if steps.iter().any(is_sender) {
        return None;
    }
    let first = material.letters.iter().min_by_key(|letter| letter.failed_at)?;
    let waited = first.origin_at?.age_at(first.failed_at);
    (waited > kept).then(|| {
        format!(
            "It failed {} after it was written, and spans are kept for {} unless their trace was remarkable: those of its sender may have \
             gone before (retention.spans).",
            duration_words(waited),
            duration_words(kept)
        )
    })
}

/// Where no step tells what became of it: it is open, or the act that ended it is not kept any more.
fn without_outcome(steps: &[Step], material: &Material, open: u64) -> String {
    let outcome = material.letters.iter().rev().find_map(|letter| letter.outcome.as_ref());
    match outcome.filter(|_| open == 0) {
        Some(outcome) => format!("Its dead letter is {}.", outcome.text),
        None if material.letters.is_empty() => format!("{}.", counted(steps.len() as u64, "step", "steps")),
        None => "It is a dead letter, and was not replayed.".to_owned(),
    }
}

/// A discard with its time, as the first words of the page.
fn discarded(step: &Step) -> String {
    let by = step.text.strip_prefix("discarded ").unwrap_or(&step.text);
    format!("Discarded {}, {}.", exact(step.at), short(by.trim_end_matches('.'), 300))
}

/// What is missing of the journey.
fn left_out(left: LeftOut) -> String {
    let counts = [
        (left.dead_letters, "dead letter", "dead letters"),
        (left.traces, "trace", "traces"),
        (left.parted_traces, "part of a trace", "parts of traces"),
        (left.spans, "span", "spans"),
        (left.topics, "topic's buses and groups", "topics' buses and groups"),
    ];
    let counts: Vec<String> =
        counts.into_iter().filter(|(count, ..)| *count > 0).map(|(count, one, many)| counted(count as u64, one, many)).collect();
    format!(
        "There is more than is told here. Left out, at least: {}. A journey is put together from {MOST_LETTERS} dead letters, {MOST_TRACES} \
         traces, {} spans and {MOST_TOPICS} topics at most.",
        counts.join(", "),
        grouped(MOST_SPANS as u64)
    )
}

fn title(subject: &Subject, letter: Option<i64>) -> String {
    match (subject, letter) {
        (Subject::Trace(trace), _) => format!("Journey of trace {}", &trace.to_string()[..8]),
        (_, Some(id)) => format!("Journey of dead letter {id}"),
        _ => "Journey".to_owned(),
    }
}

/// A trace's journey is that of all its records.
fn several(material: &Material) -> String {
    let Some(trace) = material.trace else { return String::new() };
    let of_trace: Vec<_> = material.spans.iter().filter(|span| span.trace_id == trace).cloned().collect();
    match records(&of_trace) {
        0 | 1 => String::new(),
        records => format!(
            "Its trace holds {} records, of one message sent on or of several: these are the steps of all of them. A span that tells its \
             offset leads to its message's own journey.",
            grouped(records as u64)
        ),
    }
}

fn traces(material: &Material) -> Vec<(String, String)> {
    let mut ids: Vec<_> = material.spans.iter().map(|span| span.trace_id).collect();
    ids.sort_unstable();
    ids.dedup();
    ids.into_iter().map(|id| (id.to_string(), format!("/traces/{id}"))).collect()
}

impl Row {
    fn new(step: &Step, line: &Timeline) -> Self {
        let (from, to) = bounds(step);
        let place = || {
            let topic = step.topic.as_deref().unwrap_or("unknown topic");
            let numbers = [step.partition.map(|partition| partition.to_string()), step.offset.map(|offset| grouped(offset.unsigned_abs()))];
            numbers.into_iter().flatten().fold(short(topic, 120), |place, number| format!("{place} / {number}"))
        };
        let who = || short(step.consumer_group.as_deref().or(step.service.as_deref()).unwrap_or("somebody"), 120);
        let (icon, depth, name, word) = match step.kind {
            StepKind::Sent => ("send", 0, who(), "sent"),
            StepKind::InTopic => ("rows-3", 1, place(), ""),
            StepKind::Processed if step.failed => ("circle-x", 1, who(), "failed"),
            StepKind::Processed => ("users", 1, who(), if step.again { "processed it too" } else { "processed" }),
            StepKind::Retried => ("refresh-cw", 1, place(), "to be tried again"),
            StepKind::DeadLettered => ("inbox", 1, place(), "dead-lettered"),
            StepKind::Replayed => ("redo-2", 0, place(), "replayed"),
            StepKind::Outcome => (icon_of(step.end), 0, "Outcome".to_owned(), ""),
        };
        let tone = match step.kind {
            StepKind::Processed | StepKind::Outcome if step.failed => "bad",
            StepKind::Outcome if step.end == Some(End::Discarded) => "",
            StepKind::DeadLettered => "warn",
            StepKind::Processed | StepKind::Outcome => "ok",
            _ => "",
        };
        let took = step.took_us.map(|micros| seconds(in_seconds(micros)));
        let note = match step.kind {
            StepKind::InTopic => took.map_or_else(String::new, |took| format!("waited {took}")),
            _ => took.unwrap_or_default(),
        };
        Self {
            href: href(step),
            icon,
            tone,
            depth,
            name,
            word,
            note,
            title: format!(
                "{}. {}Known by: {}",
                exact(step.at),
                if step.text.is_empty() { String::new() } else { format!("{}. ", short(&step.text, 300)) },
                step.evidence
            ),
            text: short(&step.text, 300),
            evidence: step.evidence.clone(),
            at: step.at,
            bar: line.bar(from, to),
            is_wait: step.kind == StepKind::InTopic,
            again: step.again,
        }
    }
}

const fn icon_of(end: Option<End>) -> &'static str {
    match end {
        Some(End::FailedAgain) => "circle-x",
        Some(End::Discarded) => "archive",
        _ => "circle-check",
    }
}

fn href(step: &Step) -> Option<String> {
    match (&step.replay_id, step.dead_letter_id, step.span) {
        (Some(replay), ..) => Some(format!("/replays/{replay}")),
        (None, Some(letter), _) => Some(format!("/dead-letters/{letter}")),
        (None, None, Some((trace, span))) => Some(format!("/traces/{trace}?span={span}")),
        _ => None,
    }
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of a step")]
fn in_seconds(micros: i64) -> f64 {
    micros as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traces::journey::{Letter, Place};

    #[test]
    fn a_message_that_failed_long_after_it_was_written_may_have_lost_its_senders_spans() {
        let letter = |hours: u64| Letter {
            id: 1,
            place: Place { topic: "orders.DLT".to_owned(), partition: 0, offset: 1, home: None },
            failed_at: Timestamp::from_millis(0).plus(Duration::from_hours(hours)),
            consumer_group: None,
            failure: String::new(),
            origin: None,
            origin_at: Some(Timestamp::from_millis(0)),
            named: Vec::new(),
            outcome: None,
        };
        let words = |letters: Vec<Letter>| too_old(&[], &Material { letters, ..Material::default() }, Duration::from_hours(2));
        assert_eq!(words(vec![letter(2)]), None, "its letter came in time to keep them");
        assert_eq!(words(vec![letter(9), letter(1)]), None, "the first one counts");
        let told = words(vec![letter(5)]).expect("they are not kept for so long");
        assert!(told.starts_with("It failed 5 h after it was written, and spans are kept for 2 h"), "{told}");
        assert_eq!(words(Vec::new()), None);
    }
}
