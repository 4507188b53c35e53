//! Reads from the store everything that may belong to a journey, as far as one answer can hold it.

use std::collections::{BTreeMap, BTreeSet};

use super::super::super::error::Error;
use super::Subject;
use crate::model::dead_letter::DeadLetterDetail;
use crate::model::replay::ItemResult;
use crate::model::span::{Messaging, Operation, SpanId, TraceId};
use crate::model::{BusId, DeadLetterFilter, DeadLetterId, Header, Status, Timestamp, TopicName};
use crate::store::Store;
use crate::traces::bearings::Home;
use crate::traces::journey::{self, Letter, Material, Place, SentAgain};

/// Dead letters of one message that are looked at, its repeated failures included.
const MOST_LETTERS: usize = 12;
/// Traces that are read for one journey.
const MOST_TRACES: usize = 24;
/// Spans that are read for one journey.
const MOST_SPANS: usize = 5_000;
/// Topics whose readers are looked up for one journey.
const MOST_TOPICS: usize = 12;

/// Reads everything that may belong to the journey.
pub(in crate::web) async fn gather(store: &Store, subject: &Subject) -> Result<Material, Error> {
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
            for id in store.list_letters_of_trace(*trace).await?.into_iter().take(MOST_LETTERS) {
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
    Ok(gathering.material)
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
}

impl<'a> Gathering<'a> {
    fn new(store: &'a Store) -> Self {
        let material = Material::default();
        let (letters, traces, topics) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
        Self { store, material, letters, traces, buses: Vec::new(), topics }
    }

    /// Adds a dead letter with its replays and what came back of them. `false`: it is not there.
    async fn add_letter(&mut self, first: DeadLetterId) -> Result<bool, Error> {
        let mut waiting = vec![first];
        let mut found = false;
        while let Some(id) = waiting.pop() {
            if self.letters.contains_key(&id) || self.letters.len() >= MOST_LETTERS {
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
            self.material.letters.push(letter(&detail, last_result));
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
            if self.topics.len() >= MOST_TOPICS || !self.topics.insert(topic.clone()) {
                continue;
            }
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
        let mut waiting: Vec<TraceId> = self.traces.iter().copied().collect();
        let mut read = BTreeSet::new();
        while let Some(trace) = waiting.pop() {
            if read.len() >= MOST_TRACES || self.material.spans.len() >= MOST_SPANS || !read.insert(trace) {
                continue;
            }
            let stored = self.store.find_trace(trace).await?;
            let links = stored.links_from.iter().chain(&stored.links_to).flat_map(|link| [link.from.0, link.to.0]);
            // A batch is linked with many: those that come first are enough.
            waiting.splice(0..0, links.filter(|other| !read.contains(other)).take(MOST_TRACES));
            self.material.spans.extend(stored.spans);
        }
        self.material.spans.truncate(MOST_SPANS);
        Ok(())
    }
}

/// Whether a consumer's span does not say for which group it worked.
fn is_nameless(messaging: &Messaging) -> bool {
    messaging.consumer_group.is_none() && matches!(messaging.operation, Operation::Receive | Operation::Process)
}

fn letter(detail: &DeadLetterDetail, last: Option<(ItemResult, Option<Timestamp>)>) -> Letter {
    let summary = &detail.summary;
    let origin = &summary.origin;
    let origin_place = origin.topic.as_ref().zip(origin.partition).zip(origin.offset);
    let failure = [summary.exception_class.as_deref(), summary.exception_message.as_deref()];
    let at = last.and_then(|(_, at)| at);
    let outcome = match summary.status {
        Status::Resolved => Some(("resolved: its group processed the replayed message and it did not come back".to_owned(), at, false)),
        Status::FailedAgain => Some(("failed again after the replay".to_owned(), at, true)),
        Status::Replayed => Some(("replayed; nobody knows yet what came of it".to_owned(), at, false)),
        _ => None,
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
