//! Reads from the store everything that may belong to a journey, as far as one answer can hold it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::super::super::error::Error;
use super::Subject;
use crate::model::dead_letter::DeadLetterDetail;
use crate::model::discard::LetterDiscard;
use crate::model::replay::ItemResult;
use crate::model::span::{Messaging, Operation, Span, SpanId, TraceId};
use crate::model::{BusId, DeadLetterFilter, DeadLetterId, Header, Status, Timestamp, TopicName};
use crate::store::Store;
use crate::traces::bearings::Home;
use crate::traces::journey::{self, End, Letter, Material, Outcome, Place, SentAgain};

/// Dead letters of one message that are looked at, its repeated failures included.
pub(in crate::web) const MOST_LETTERS: usize = 12;
/// Traces that are read for one journey.
pub(in crate::web) const MOST_TRACES: usize = 24;
/// Spans that are read for one journey.
pub(in crate::web) const MOST_SPANS: usize = 5_000;
/// Topics whose readers are looked up for one journey.
pub(in crate::web) const MOST_TOPICS: usize = 12;

/// What was left out of a journey because there is too much of it; at least so many of each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub(in crate::web) struct LeftOut {
    /// Dead letters that were not looked at.
    pub(in crate::web) dead_letters: usize,
    /// Traces that were not read.
    pub(in crate::web) traces: usize,
    /// Traces of which only a part was read: their spans came in more pieces than are read for one trace.
    pub(in crate::web) parted_traces: usize,
    /// Spans of the last trace that was read.
    pub(in crate::web) spans: usize,
    /// Topics whose buses and consumer groups were not looked up: their spans may be without a group, or left out.
    pub(in crate::web) topics: usize,
}

/// What was found of a journey.
pub(in crate::web) struct Gathered {
    /// What belongs to it.
    pub(in crate::web) material: Material,
    /// What is missing; `None`: nothing.
    pub(in crate::web) truncated: Option<LeftOut>,
}

/// Reads everything that may belong to the journey.
pub(in crate::web) async fn gather(store: &Store, subject: &Subject) -> Result<Gathered, Error> {
    let mut gathering = Gathering::new(store);
    gathering.add_buses().await?;
    match subject {
        Subject::Letter(id) => {
            if !gathering.add_letter(*id).await? {
                return Err(Error::NotFound("dead letter"));
            }
        }
        Subject::Trace(trace) => {
            gathering.material.trace = Some(*trace);
            gathering.traces.insert(*trace);
            for id in store.list_letters_of_trace(*trace).await? {
                gathering.add_letter(id).await?;
            }
        }
        Subject::Record(bus, topic, partition, offset) => {
            gathering.material.place = Some(place(bus, topic, *partition, *offset));
            gathering.add_letters_about(bus, topic, *partition, *offset).await?;
        }
    }
    gathering.follow().await?;
    if gathering.material.letters.is_empty() && gathering.material.spans.is_empty() {
        return Err(Error::NotFound("journey"));
    }
    Ok(gathering.into_gathered())
}

/// On which bus a span was that touched a message, as far as the span and the buses tell.
pub(in crate::web) async fn bus_of(store: &Store, messaging: &Messaging) -> Result<Option<BusId>, Error> {
    let mut gathering = Gathering::new(store);
    gathering.add_buses().await?;
    gathering.learn(messaging.destination.iter().map(|topic| TopicName::from(topic.as_str())).collect()).await?;
    Ok(gathering.material.bearings.bus(messaging).cloned())
}

/// A record of a bus.
fn place(bus: &BusId, topic: &str, partition: i32, offset: i64) -> Place {
    Place { home: Some(Home::Bus(bus.clone())), topic: topic.to_owned(), partition, offset }
}

struct Gathering<'a> {
    store: &'a Store,
    material: Material,
    letters: BTreeMap<DeadLetterId, BusId>,
    traces: BTreeSet<TraceId>,
    buses: Vec<BusId>,
    /// Topics of which it is known who has and reads them.
    topics: BTreeSet<TopicName>,
    more: More,
}

/// What there was no room for.
#[derive(Default)]
struct More {
    letters: BTreeSet<DeadLetterId>,
    traces: BTreeSet<TraceId>,
    parted: usize,
    spans: usize,
    topics: BTreeSet<TopicName>,
}

impl<'a> Gathering<'a> {
    fn new(store: &'a Store) -> Self {
        let material = Material::default();
        let (letters, traces, topics) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
        Self { store, material, letters, traces, buses: Vec::new(), topics, more: More::default() }
    }

    fn into_gathered(self) -> Gathered {
        let More { letters, traces, parted, spans, topics } = self.more;
        let (dead_letters, traces, topics) = (letters.len(), traces.len(), topics.len());
        let left = LeftOut { dead_letters, traces, parted_traces: parted, spans, topics };
        Gathered { material: self.material, truncated: Some(left).filter(|left| *left != LeftOut::default()) }
    }

    /// Adds a dead letter with its replays and what came back of them. `false`: it is not there.
    async fn add_letter(&mut self, first: DeadLetterId) -> Result<bool, Error> {
        let mut waiting = vec![first];
        let mut found = false;
        while let Some(id) = waiting.pop() {
            if self.letters.contains_key(&id) {
                continue;
            }
            if self.letters.len() >= MOST_LETTERS {
                self.more.letters.insert(id);
                continue;
            }
            let Some(detail) = self.store.find_dead_letter(id, &DeadLetterFilter::default()).await? else { continue };
            found = true;
            self.letters.insert(id, detail.summary.bus.clone());
            let mut last_result = None;
            for replay in self.store.list_replays_of_letter(id).await? {
                let item = &replay.item;
                waiting.extend(item.successor_id);
                let Some(((partition, offset), at)) = item.partition.zip(item.offset).zip(item.sent_at) else { continue };
                last_result = last_result.or(Some((item.result, item.result_at)));
                let Some(topic) = replay.target else { continue };
                self.material.replays.push(SentAgain {
                    replay_id: replay.replay.to_string(),
                    name: replay.name,
                    dead_letter_id: id.0,
                    place: place(&detail.summary.bus, &topic, partition, offset),
                    at,
                    attempt: item.attempt,
                });
            }
            // What failed before, of the same record or of the record that a replay has written.
            let origin = &detail.summary.origin;
            if let Some(((topic, partition), offset)) = origin.topic.as_ref().zip(origin.partition).zip(origin.offset) {
                let bus = &detail.summary.bus;
                waiting.extend(self.store.list_letters_about(bus, topic.as_str(), partition, offset).await?);
                waiting.extend(self.store.list_letters_sent_to(bus, topic.as_str(), partition, offset).await?);
            }
            let discard = match detail.summary.status {
                Status::Discarded => self.store.list_discards_of_letter(id).await?.into_iter().find(|discard| discard.restored.is_none()),
                _ => None,
            };
            self.material.letters.push(letter(&detail, last_result, discard));
            self.traces.extend(self.material.letters.last().into_iter().flat_map(|letter| &letter.named).map(|key| key.0));
        }
        Ok(found)
    }

    async fn add_letters_about(&mut self, bus: &BusId, topic: &str, partition: i32, offset: i64) -> Result<(), Error> {
        let mut ids = self.store.list_letters_about(bus, topic, partition, offset).await?;
        ids.extend(self.store.list_letters_sent_to(bus, topic, partition, offset).await?);
        for id in ids {
            self.add_letter(id).await?;
        }
        Ok(())
    }

    async fn add_buses(&mut self) -> Result<(), Error> {
        for bus in self.store.list_buses().await? {
            self.material.bearings.add_bus(&bus.id, bus.cluster_id.as_deref());
            bus.addresses.iter().for_each(|address| self.material.bearings.add_address(&bus.id, address));
            self.buses.push(bus.id);
        }
        Ok(())
    }

    /// Learns which buses have these topics, and who reads them there; of a bounded number of topics.
    async fn learn(&mut self, topics: BTreeSet<TopicName>) -> Result<(), Error> {
        for topic in topics {
            if self.topics.contains(&topic) {
                continue;
            }
            if self.topics.len() >= MOST_TOPICS {
                self.more.topics.insert(topic);
                continue;
            }
            self.topics.insert(topic.clone());
            for bus in &self.buses {
                let Some((_, partitions)) = self.store.find_topic(bus, &topic).await? else { continue };
                let bearings = &mut self.material.bearings;
                bearings.add_topic(bus, &topic, Some(partitions.len()));
                for group in self.store.list_consumer_groups(bus, None, Some(topic.as_str())).await? {
                    let members = self.store.find_consumer_group(bus, &group.name).await?.and_then(|group| group.members);
                    let members = members.unwrap_or_default();
                    let there = members.iter().filter(|member| member.assignment.iter().any(|(assigned, _)| *assigned == topic));
                    bearings.add_group(bus, &topic, &group.name, there.map(|member| member.client_id.as_str()));
                }
            }
        }
        Ok(())
    }

    /// Follows coordinates and links to other traces, and reads their spans.
    async fn follow(&mut self) -> Result<(), Error> {
        let letters = self.material.letters.iter().flat_map(|letter| letter.origin.iter().chain([&letter.place]));
        let replays = self.material.replays.iter().map(|replay| &replay.place);
        let places: BTreeSet<Place> = letters.chain(replays).chain(&self.material.place).cloned().collect();
        self.learn(places.iter().map(|place| TopicName::from(place.topic.as_str())).collect()).await?;
        for place in places {
            for span in self.store.list_noted_at(&place.topic, place.partition, place.offset).await? {
                match self.material.bearings.home(&span) {
                    home if home == place.home => drop(self.traces.insert(span.trace_id)),
                    None => self.material.doubtful.push((place.clone(), (span.trace_id, span.span_id))),
                    Some(_) => {}
                }
            }
        }
        self.read_traces().await?;
        let of_spans = self.material.spans.iter().filter_map(|span| span.messaging.as_deref());
        let unsure = of_spans.filter(|messaging| self.material.bearings.has_several() || is_nameless(messaging));
        let topics = unsure.filter_map(|messaging| messaging.destination.as_deref()).map(TopicName::from).collect();
        self.learn(topics).await
    }

    async fn read_traces(&mut self) -> Result<(), Error> {
        // The last one is read first: the one that was asked for.
        let asked = self.material.trace;
        let mut waiting: Vec<TraceId> = self.traces.iter().copied().filter(|trace| Some(*trace) != asked).chain(asked).collect();
        let (mut read, mut known) = (BTreeSet::new(), self.traces.clone());
        while let Some(trace) = waiting.pop() {
            if read.contains(&trace) {
                continue;
            }
            if read.len() >= MOST_TRACES || self.material.spans.len() >= MOST_SPANS {
                self.more.traces.insert(trace);
                continue;
            }
            read.insert(trace);
            let stored = self.store.find_trace(trace).await?;
            self.more.parted += usize::from(stored.truncated);
            // What else came with the message in a batch is other messages' way, unless the batch itself was asked for.
            let is_asked = asked == Some(trace);
            let batches: BTreeSet<SpanId> =
                stored.spans.iter().filter(|span| !is_asked && is_batch(span)).map(|span| span.span_id).collect();
            let from = stored.links_from.iter().filter(|link| !batches.contains(&link.from.1)).map(|link| link.to.0);
            let others = from.chain(stored.links_to.iter().map(|link| link.from.0));
            let others: Vec<TraceId> = others.filter(|other| !read.contains(other) && known.insert(*other)).collect();
            waiting.splice(0..0, others);
            self.material.spans.extend(stored.spans);
        }
        self.more.spans = self.material.spans.len().saturating_sub(MOST_SPANS);
        self.material.spans.truncate(MOST_SPANS);
        Ok(())
    }
}

/// Whether a consumer's span is about several messages.
fn is_batch(span: &Span) -> bool {
    let is_consumer = |messaging: &Messaging| matches!(messaging.operation, Operation::Receive | Operation::Process);
    span.links.len() > 1 && span.messaging.as_deref().is_some_and(is_consumer)
}

/// Whether a consumer's span does not say for which group it worked.
fn is_nameless(messaging: &Messaging) -> bool {
    messaging.consumer_group.is_none() && matches!(messaging.operation, Operation::Receive | Operation::Process)
}

fn letter(detail: &DeadLetterDetail, last: Option<(ItemResult, Option<Timestamp>)>, discard: Option<LetterDiscard>) -> Letter {
    let summary = &detail.summary;
    let origin = &summary.origin;
    let origin_place = origin.topic.as_ref().zip(origin.partition).zip(origin.offset);
    let failure = [summary.exception_class.as_deref(), summary.exception_message.as_deref()];
    let at = last.and_then(|(_, at)| at);
    let ended = |end, text: &str| Outcome { end, at, text: text.to_owned() };
    let outcome = match summary.status {
        Status::Resolved => Some(ended(End::Resolved, "resolved: its group processed the replayed message and it did not come back")),
        Status::FailedAgain => Some(ended(End::FailedAgain, "failed again after the replay")),
        Status::Replayed => Some(ended(End::Replayed, "replayed; nobody knows yet what came of it")),
        Status::Discarded => Some(discarded(discard)),
        Status::Open | Status::Replaying => None,
    };
    Letter {
        id: summary.id.0,
        place: place(&summary.bus, summary.topic.as_str(), summary.partition, summary.offset),
        failed_at: summary.failed_at,
        consumer_group: summary.consumer_group.as_ref().map(ToString::to_string),
        failure: failure.into_iter().flatten().collect::<Vec<_>>().join(": "),
        origin: origin_place.map(|((topic, partition), offset)| place(&summary.bus, topic.as_str(), partition, offset)),
        origin_at: origin.timestamp,
        named: named(&detail.headers),
        outcome,
    }
}

/// By whom and why, as long as the discard itself is kept.
fn discarded(discard: Option<LetterDiscard>) -> Outcome {
    match discard {
        Some(LetterDiscard { actor, reason, at, .. }) => {
            let text = format!("discarded by {}: {reason}", actor.trim_start_matches("user:"));
            Outcome { end: End::Discarded, at: Some(at), text }
        }
        None => Outcome { end: End::Discarded, at: None, text: "discarded; when, by whom and why is not kept any more".to_owned() },
    }
}

/// Spans that headers name, each once, in the order of the headers.
fn named(headers: &[Header]) -> Vec<(TraceId, SpanId)> {
    let mut named = Vec::new();
    for header in headers.iter().filter(|header| matches!(&*header.name, b"traceparent" | b"redrive-original-traceparent")) {
        if let Some(key) = header.value.as_deref().and_then(journey::traceparent)
            && !named.contains(&key)
        {
            named.push(key);
        }
    }
    named
}
