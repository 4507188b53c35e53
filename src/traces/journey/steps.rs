//! From what was joined to steps in the order of time.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

use super::{End, Joined, Letter, Material, SpanKey, Step, StepKind, is_retry_of, key};
use crate::model::Timestamp;
use crate::model::span::{Messaging, Operation, Span};
use crate::traces::bearings::{Bearings, Home};
use crate::traces::window::Place;

/// Clocks of two machines may differ by so much before it is said.
const CLOCKS_DIFFER_MS: i64 = 1;

pub(super) fn steps(material: &Material, joined: &Joined<'_>) -> Vec<Step> {
    let mut steps = Vec::new();
    let replayed: HashMap<&Place, &super::SentAgain> = material.replays.iter().map(|replay| (&replay.place, replay)).collect();
    sent(material, joined, &replayed, &mut steps);
    processed(material, joined, &replayed, &mut steps);
    in_topics(material, joined, &mut steps);
    letters(material, &mut steps);
    replays(material, &mut steps);
    steps.sort_by(|one, other| (one.at, one.kind, &one.topic).cmp(&(other.at, other.kind, &other.topic)));
    doubts(joined, &mut steps);
    steps
}

/// Says beside a record which spans were left out because they may be about another bus's record of the same coordinates.
fn doubts(joined: &Joined<'_>, steps: &mut [Step]) {
    for (place, spans) in &joined.doubtful {
        let mut there: Vec<&mut Step> = steps.iter_mut().filter(|step| step.is_at(place)).collect();
        there.sort_by_key(|step| step.kind != StepKind::InTopic);
        if let Some(step) = there.first_mut() {
            let count = spans.len();
            let spans = if count == 1 { "span" } else { "spans" };
            let _ = write!(step.evidence, "; left out: {count} {spans} of the same coordinates whose bus is not known");
        }
    }
}

fn step(kind: StepKind, at: Timestamp, evidence: impl Into<String>) -> Step {
    Step {
        kind,
        at,
        took_us: None,
        service: None,
        consumer_group: None,
        bus: None,
        topic: None,
        partition: None,
        offset: None,
        span: None,
        dead_letter_id: None,
        replay_id: None,
        failed: false,
        end: None,
        again: false,
        text: String::new(),
        evidence: evidence.into(),
    }
}

impl Step {
    fn at_place(mut self, place: &Place) -> Self {
        self.bus = place.home.as_ref().and_then(Home::bus).cloned();
        (self.topic, self.partition, self.offset) = (Some(place.topic.clone()), Some(place.partition), Some(place.offset));
        self
    }

    fn is_at(&self, place: &Place) -> bool {
        self.topic.as_ref() == Some(&place.topic)
            && (self.partition, self.offset) == (Some(place.partition), Some(place.offset))
            && self.bus.as_ref() == place.home.as_ref().and_then(Home::bus)
    }

    fn of_span(mut self, span: &Span, messaging: &Messaging, joined: &Joined<'_>) -> Self {
        let home = joined.place(span).map_or_else(|| joined.homes.get(&key(span)).cloned(), |place| place.home);
        self.bus = home.as_ref().and_then(Home::bus).cloned();
        self.took_us = i64::try_from(span.duration().as_micros()).ok();
        self.service = Some(span.service.to_string());
        self.consumer_group.clone_from(&messaging.consumer_group);
        self.topic.clone_from(&messaging.destination);
        (self.partition, self.offset) = (messaging.partition, messaging.offset);
        self.span = Some(key(span));
        self.failed = span.failed();
        self.text = failure_of(span);
        self
    }
}

fn failure_of(span: &Span) -> String {
    let exception = span.exception.as_ref();
    let class = exception.and_then(|exception| exception.class.clone()).or_else(|| span.error_type.clone());
    let message = exception.and_then(|exception| exception.message.clone()).or_else(|| Some(span.status_message.clone()));
    [class, message.filter(|message| !message.is_empty())].into_iter().flatten().collect::<Vec<_>>().join(": ")
}

fn sent(material: &Material, joined: &Joined<'_>, replayed: &HashMap<&Place, &super::SentAgain>, steps: &mut Vec<Step>) {
    let origins: HashSet<&str> = material.letters.iter().filter_map(|letter| Some(letter.origin.as_ref()?.topic.as_str())).collect();
    for (span, evidence) in joined.producers.values() {
        let Some(messaging) = span.messaging.as_deref() else { continue };
        let topic = messaging.destination.as_deref().unwrap_or_default();
        // A dead letter and a replay have a step of their own.
        let is_letter = material.is_letter_topic(topic, joined.homes.get(&key(span)));
        if is_letter || joined.place(span).is_some_and(|place| replayed.contains_key(&place)) {
            continue;
        }
        let kind = if is_retry_of(topic, &origins) { StepKind::Retried } else { StepKind::Sent };
        steps.push(step(kind, span.started_at(), *evidence).of_span(span, messaging, joined));
    }
}

fn processed(material: &Material, joined: &Joined<'_>, replayed: &HashMap<&Place, &super::SentAgain>, steps: &mut Vec<Step>) {
    let processing: HashSet<&str> = joined
        .consumers
        .values()
        .filter(|(span, _)| span.messaging.as_deref().is_some_and(|messaging| messaging.operation == Operation::Process))
        .map(|(span, _)| span.service.as_ref())
        .collect();
    let failed_groups: HashSet<&str> = material.letters.iter().filter_map(|letter| letter.consumer_group.as_deref()).collect();
    let mut attempts: HashMap<(String, Option<Place>), u32> = HashMap::new();
    let mut consumers: Vec<&(&Span, &'static str)> = joined.consumers.values().collect();
    consumers.sort_by_key(|(span, _)| span.start);
    for (span, evidence) in consumers {
        let Some(messaging) = span.messaging.as_deref() else { continue };
        // Where a service says when it processed, that it received is not another step.
        if messaging.operation != Operation::Process && processing.contains(span.service.as_ref()) {
            continue;
        }
        let place = joined.place(span);
        let attempt = attempts.entry((span.service.to_string(), place.clone())).or_insert(0);
        *attempt += 1;
        let mut step = step(StepKind::Processed, span.started_at(), *evidence).of_span(span, messaging, joined);
        if messaging.consumer_group.is_none()
            && let Some(group) = group_on_bus(&material.bearings, messaging)
        {
            step.consumer_group = Some(group);
            step.evidence.push_str("; consumer group by the bus's metadata");
        }
        if span.links.len() > 1 {
            step.text = format!("in a batch of {} messages{}{}", span.links.len(), if step.text.is_empty() { "" } else { ": " }, step.text);
        } else if *attempt > 1 {
            step.text = format!("attempt {attempt}{}{}", if step.text.is_empty() { "" } else { ": " }, step.text);
        }
        let group = step.consumer_group.as_deref();
        step.again = place.is_some_and(|place| replayed.contains_key(&place)) && group.is_some_and(|group| !failed_groups.contains(group));
        steps.push(step);
    }
}

/// The consumer group of a span that names none.
fn group_on_bus(bearings: &Bearings, messaging: &Messaging) -> Option<String> {
    let bus = bearings.bus(messaging)?;
    bearings.group(bus, messaging.destination.as_deref()?, messaging.client_id.as_deref()).map(ToString::to_string)
}

fn in_topics(material: &Material, joined: &Joined<'_>, steps: &mut Vec<Step>) {
    let letter_places: HashSet<&Place> = material.letters.iter().map(|letter| &letter.place).collect();
    let origins = material.letters.iter().filter_map(|letter| Some((letter.origin.clone()?, letter.origin_at?))).collect();
    let replays = material.replays.iter().map(|replay| (replay.place.clone(), replay.at)).collect();
    let known: [HashMap<Place, Timestamp>; 3] = [origins, replays, sent_unplaced(joined)];
    for (place, evidence) in &joined.places {
        if letter_places.contains(place) {
            continue;
        }
        let senders = joined.producers.values().filter(|(span, _)| joined.place(span).as_ref() == Some(place));
        let sent = senders.map(|(span, _)| span.ended_at()).min();
        let Some(at) = sent.or_else(|| known.iter().find_map(|times| times.get(place).copied())) else { continue };
        let readers = joined.consumers.values().filter(|(span, _)| joined.place(span).as_ref() == Some(place));
        let taken = readers.map(|(span, _)| span.started_at()).min();
        steps.push(waited(step(StepKind::InTopic, at, *evidence).at_place(place), taken));
    }
    somewhere(joined, steps);
}

/// Where neither half of a message's way names an offset: the topic, between the two spans.
fn somewhere(joined: &Joined<'_>, steps: &mut Vec<Step>) {
    for (key, (sender, _)) in joined.producers.iter().filter(|(_, (sender, _))| joined.place(sender).is_none()) {
        let Some(messaging) = sender.messaging.as_deref() else { continue };
        let consumers: Vec<&Span> = takers_of(key, joined).collect();
        let Some(first) = consumers.iter().map(|span| span.started_at()).min() else { continue };
        if consumers.iter().any(|span| joined.place(span).is_some()) {
            continue;
        }
        let mut step = step(StepKind::InTopic, sender.ended_at(), "between its sender's and its consumer's span");
        (step.topic, step.partition) = (messaging.destination.clone(), messaging.partition);
        steps.push(waited(step, Some(first)));
    }
}

/// When the records of places were sent, where their senders do not name the place: that of the first consumer that names the sender.
fn sent_unplaced(joined: &Joined<'_>) -> HashMap<Place, Timestamp> {
    let mut sent = HashMap::new();
    for (key, (sender, _)) in joined.producers.iter().filter(|(_, (sender, _))| joined.place(sender).is_none()) {
        let placed = takers_of(key, joined).filter_map(|span| Some((span.start, joined.place(span)?)));
        if let Some((_, place)) = placed.min() {
            let at = sent.entry(place).or_insert_with(|| sender.ended_at());
            *at = (*at).min(sender.ended_at());
        }
    }
    sent
}

/// Consumers that name a sender.
fn takers_of<'a>(sender: &SpanKey, joined: &'a Joined<'_>) -> impl Iterator<Item = &'a Span> {
    joined.taken.get(sender).into_iter().flatten().filter_map(|by| joined.consumers.get(by)).map(|(span, _)| *span)
}

/// A step in a topic until a consumer took the message.
fn waited(mut step: Step, taken: Option<Timestamp>) -> Step {
    let waited = taken.map(|taken| taken.as_millis().saturating_sub(step.at.as_millis()));
    step.took_us = waited.map(|waited| waited.saturating_mul(1_000).max(0));
    if let Some(waited) = waited.filter(|waited| *waited < -CLOCKS_DIFFER_MS) {
        step.text = format!("clocks differ: taken {} ms before it was sent", -waited);
    }
    step
}

fn letters(material: &Material, steps: &mut Vec<Step>) {
    for letter in &material.letters {
        let mut step = step(StepKind::DeadLettered, letter.failed_at, "the dead letter").at_place(&letter.place);
        step.consumer_group.clone_from(&letter.consumer_group);
        step.dead_letter_id = Some(letter.id);
        step.failed = true;
        step.text.clone_from(&letter.failure);
        steps.push(step);
        steps.extend(outcome(material, letter));
    }
}

fn outcome(material: &Material, letter: &Letter) -> Option<Step> {
    let outcome = letter.outcome.as_ref()?;
    let of_replay = || material.replays.iter().filter(|replay| replay.dead_letter_id == letter.id).map(|replay| replay.at).max();
    // A discard has nothing to do with a replay before it.
    let (at, evidence) = match outcome.end {
        End::Discarded => (outcome.at?, "the discard"),
        _ => (outcome.at.or_else(of_replay)?, "status of the dead letter"),
    };
    let mut step = step(StepKind::Outcome, at, evidence);
    step.dead_letter_id = Some(letter.id);
    step.consumer_group.clone_from(&letter.consumer_group);
    step.failed = outcome.end == End::FailedAgain;
    step.end = Some(outcome.end);
    step.text.clone_from(&outcome.text);
    Some(step)
}

fn replays(material: &Material, steps: &mut Vec<Step>) {
    for replay in &material.replays {
        let mut step = step(StepKind::Replayed, replay.at, "the replay's item").at_place(&replay.place);
        step.service = Some("redrive".to_owned());
        step.dead_letter_id = Some(replay.dead_letter_id);
        step.replay_id = Some(replay.replay_id.clone());
        step.text = format!("{}, attempt {}", replay.name, replay.attempt);
        steps.push(step);
    }
}
