//! What the bus's metadata adds to a span: which bus it was on, and which consumer group it worked for where its instrumentation does
//! not know.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use crate::model::span::Messaging;
use crate::model::trace::NotedSpan;
use crate::model::{BusId, GroupName, TopicName};

/// What is known of all buses, as last sampled.
#[derive(Debug, Clone, Default)]
pub struct Bearings {
    clusters: HashMap<String, BusId>,
    /// Buses whose cluster is known.
    reached: HashSet<BusId>,
    /// Buses by the addresses of their brokers.
    addresses: HashMap<String, Only<BusId>>,
    /// By topic: the buses that have it.
    topics: HashMap<TopicName, Vec<Bearer>>,
    /// Consumer groups by the topics that they read.
    readers: HashSet<(BusId, TopicName, GroupName)>,
    /// By client id and topic, and by topic alone: the group, when there is only one.
    of_client: HashMap<(BusId, TopicName, String), Only<GroupName>>,
    of_topic: HashMap<(BusId, TopicName), Only<GroupName>>,
    buses: Vec<BusId>,
}

/// A bus that has a topic.
#[derive(Debug, Clone)]
struct Bearer {
    bus: BusId,
    /// How many partitions it has there; `None`: nobody knows.
    partitions: Option<usize>,
}

/// One thing, or several.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Only<T> {
    One(T),
    Several,
}

impl<T: PartialEq> Only<T> {
    fn add(&mut self, other: &T) {
        if !matches!(self, Self::One(known) if known == other) {
            *self = Self::Several;
        }
    }

    const fn one(&self) -> Option<&T> {
        match self {
            Self::One(only) => Some(only),
            Self::Several => None,
        }
    }
}

/// Where topics of a name are one and the same topic: offsets of one home say nothing of another's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Home {
    /// A bus that is watched.
    Bus(BusId),
    /// A cluster that no bus is known to be.
    Cluster(String),
    /// A system that is not watched, by its name.
    Elsewhere(String),
}

impl Home {
    /// The bus, when it is one that is watched.
    #[must_use]
    pub const fn bus(&self) -> Option<&BusId> {
        match self {
            Self::Bus(bus) => Some(bus),
            Self::Cluster(_) | Self::Elsewhere(_) => None,
        }
    }
}

/// Whether two spans may be about the same bus: they are not known to be about two.
#[must_use]
pub fn may_be_one(one: Option<&Home>, other: Option<&Home>) -> bool {
    one.zip(other).is_none_or(|(one, other)| one == other)
}

/// What a span tells of where it was.
#[derive(Debug, Clone, Copy)]
pub struct Traits<'a> {
    system: &'a str,
    cluster_id: Option<&'a str>,
    broker: Option<&'a str>,
    topic: Option<&'a str>,
    partition: Option<i32>,
    consumer_group: Option<&'a str>,
}

impl<'a> From<&'a Messaging> for Traits<'a> {
    fn from(messaging: &'a Messaging) -> Self {
        Self {
            system: &messaging.system,
            cluster_id: messaging.cluster_id.as_deref(),
            broker: messaging.broker.as_deref(),
            topic: messaging.destination.as_deref(),
            partition: messaging.partition,
            consumer_group: messaging.consumer_group.as_deref(),
        }
    }
}

impl<'a> From<&'a NotedSpan> for Traits<'a> {
    /// Spans are noted with a record's offset on systems that speak Kafka's protocol alone.
    fn from(span: &'a NotedSpan) -> Self {
        Self {
            system: "kafka",
            cluster_id: span.cluster_id.as_deref(),
            broker: span.broker.as_deref(),
            topic: span.topic.as_deref(),
            partition: span.partition,
            consumer_group: span.consumer_group.as_deref(),
        }
    }
}

impl Bearings {
    /// Adds a bus and, where it is known, its cluster's id.
    pub fn add_bus(&mut self, bus: &BusId, cluster_id: Option<&str>) {
        self.buses.push(bus.clone());
        if let Some(cluster) = cluster_id {
            self.clusters.insert(cluster.to_owned(), bus.clone());
            self.reached.insert(bus.clone());
        }
    }

    /// Adds an address of a broker of a bus, with its port.
    pub fn add_address(&mut self, bus: &BusId, address: &str) {
        self.addresses.entry(address.to_ascii_lowercase()).or_insert_with(|| Only::One(bus.clone())).add(bus);
    }

    /// Adds a topic of a bus with the number of its partitions, where it is known.
    pub fn add_topic(&mut self, bus: &BusId, topic: &TopicName, partitions: Option<usize>) {
        self.topics.entry(topic.clone()).or_default().push(Bearer { bus: bus.clone(), partitions });
    }

    /// Adds a consumer group that reads a topic, with the client ids of its members there.
    pub fn add_group<'a>(&mut self, bus: &BusId, topic: &TopicName, group: &GroupName, clients: impl Iterator<Item = &'a str>) {
        let one = || Only::One(group.clone());
        self.readers.insert((bus.clone(), topic.clone(), group.clone()));
        self.of_topic.entry((bus.clone(), topic.clone())).or_insert_with(one).add(group);
        for client in clients {
            self.of_client.entry((bus.clone(), topic.clone(), client.to_owned())).or_insert_with(one).add(group);
        }
    }

    /// Whether a span is about a bus of a kind that is watched.
    #[must_use]
    pub fn may_be_on<'a>(&self, span: impl Into<Traits<'a>>) -> bool {
        !self.buses.is_empty() && matches!(span.into().system, "kafka" | "unknown")
    }

    /// Whether more than one bus is watched.
    #[must_use]
    pub const fn has_several(&self) -> bool {
        self.buses.len() > 1
    }

    /// The bus of a span: by its cluster's id, else the only bus that has the topic, else the only one of them that has the partition, the
    /// broker or the consumer group that the span names, else the only bus there is. A cluster that no bus is known to be can only be one
    /// that was not reached yet.
    #[must_use]
    pub fn bus<'a>(&self, span: impl Into<Traits<'a>>) -> Option<&BusId> {
        let span = span.into();
        if !self.may_be_on(span) {
            return None;
        }
        if let Some(bus) = span.cluster_id.and_then(|cluster| self.clusters.get(cluster)) {
            return Some(bus);
        }
        let free = |bus: &BusId| span.cluster_id.is_none() || !self.reached.contains(bus);
        let Some(bearers) = span.topic.and_then(|topic| self.topics.get(&TopicName::from(topic))) else {
            return only(self.buses.iter().filter(|bus| free(bus)));
        };
        let possible = || bearers.iter().filter(|bearer| free(&bearer.bus));
        only(possible().map(|bearer| &bearer.bus)).or_else(|| {
            let possible: Vec<&Bearer> = possible().collect();
            self.only_by_evidence(possible, span)
        })
    }

    /// Of several buses that have the topic, the one that everything else the span tells is true of.
    fn only_by_evidence<'a>(&'a self, mut possible: Vec<&'a Bearer>, span: Traits<'_>) -> Option<&'a BusId> {
        let mut narrow = |is_true: &dyn Fn(&Bearer) -> bool| {
            // What is true of none is news of a bus that changes, or a name of another network.
            if possible.iter().any(|bearer| is_true(bearer)) {
                possible.retain(|bearer| is_true(bearer));
            }
        };
        if let Some(partition) = span.partition.and_then(|partition| usize::try_from(partition).ok()) {
            narrow(&|bearer| bearer.partitions.is_none_or(|partitions| partition < partitions));
        }
        if let Some(address) = span.broker.and_then(|broker| self.addresses.get(&broker.to_ascii_lowercase())?.one()) {
            narrow(&|bearer| bearer.bus == *address);
        }
        if let Some((topic, group)) = span.topic.zip(span.consumer_group) {
            let (topic, group) = (TopicName::from(topic), GroupName::from(group));
            narrow(&|bearer| self.readers.contains(&(bearer.bus.clone(), topic.clone(), group.clone())));
        }
        only(possible.into_iter().map(|bearer| &bearer.bus))
    }

    /// Where the coordinates that a span names are to be understood; `None`: several buses have the topic, and nothing tells which it was.
    #[must_use]
    pub fn home<'a>(&self, span: impl Into<Traits<'a>>) -> Option<Home> {
        let span = span.into();
        if let Some(bus) = self.bus(span) {
            return Some(Home::Bus(bus.clone()));
        }
        if let Some(cluster) = span.cluster_id {
            return Some(Home::Cluster(cluster.to_owned()));
        }
        (!self.may_be_on(span)).then(|| Home::Elsewhere(span.system.to_owned()))
    }

    /// Whether a group is known to read a topic, be it one of several.
    #[must_use]
    pub fn has_reader(&self, bus: &BusId, topic: &str) -> bool {
        self.of_topic.contains_key(&(bus.clone(), TopicName::from(topic)))
    }

    /// The group of a consumer's span that names none: the one its client is a member of, else the only one that reads the topic.
    #[must_use]
    pub fn group(&self, bus: &BusId, topic: &str, client: Option<&str>) -> Option<&GroupName> {
        let topic = TopicName::from(topic);
        let of_client = client.and_then(|client| self.of_client.get(&(bus.clone(), topic.clone(), client.to_owned())));
        of_client.and_then(Only::one).or_else(|| self.of_topic.get(&(bus.clone(), topic))?.one())
    }
}

/// The one thing, when there is one and no more.
fn only<T>(mut things: impl Iterator<Item = T>) -> Option<T> {
    things.next().filter(|_| things.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::span::Operation;

    fn bearings() -> Bearings {
        let mut bearings = Bearings::default();
        let (prod, test) = (BusId::from("prod"), BusId::from("test"));
        bearings.add_bus(&prod, Some("abc"));
        bearings.add_bus(&test, None);
        bearings.add_topic(&prod, &"orders".into(), None);
        bearings.add_topic(&test, &"tests".into(), None);
        bearings.add_topic(&prod, &"shared".into(), Some(12));
        bearings.add_topic(&test, &"shared".into(), Some(3));
        bearings.add_address(&prod, "Kafka-1.prod:9092");
        bearings.add_address(&test, "kafka-1.test:9092");
        bearings.add_address(&prod, "localhost:9092");
        bearings.add_address(&test, "localhost:9092");
        bearings.add_group(&prod, &"orders".into(), &"billing".into(), ["billing-1", "twin"].into_iter());
        bearings.add_group(&prod, &"orders".into(), &"shipping".into(), ["shipping-1", "twin"].into_iter());
        bearings.add_group(&prod, &"shared".into(), &"audit".into(), std::iter::empty());
        bearings
    }

    #[test]
    fn a_span_s_bus_is_known_by_cluster_or_topic_and_never_guessed() {
        let bearings = bearings();
        let on = |cluster: Option<&str>, topic: &str, system: &'static str| {
            let mut messaging = Messaging::new(system.into(), Operation::Send);
            messaging.cluster_id = cluster.map(str::to_owned);
            messaging.destination = Some(topic.to_owned());
            bearings.bus(&messaging).map(BusId::as_str)
        };
        assert_eq!(on(Some("abc"), "anything", "kafka"), Some("prod"));
        assert_eq!(on(Some("other"), "orders", "kafka"), None, "another cluster with the same topic");
        assert_eq!(on(None, "orders", "kafka"), Some("prod"));
        assert_eq!(on(None, "shared", "kafka"), None, "two have it");
        assert_eq!(on(Some("other"), "tests", "kafka"), Some("test"), "a bus that was not reached yet may be that cluster");
        assert_eq!(on(Some("other"), "shared", "kafka"), Some("test"), "the other one with this topic is another cluster");
        assert_eq!(on(None, "orders", "rabbitmq"), None);
        assert_eq!(on(None, "nowhere", "kafka"), None);
    }

    #[test]
    fn of_two_buses_with_the_topic_everything_the_span_tells_decides_or_nothing() {
        let bearings = bearings();
        let on = |partition: Option<i32>, broker: Option<&str>, group: Option<&str>| {
            let mut messaging = Messaging::new("kafka".into(), Operation::Process);
            messaging.destination = Some("shared".to_owned());
            (messaging.partition, messaging.broker) = (partition, broker.map(str::to_owned));
            messaging.consumer_group = group.map(str::to_owned);
            bearings.bus(&messaging).map(|bus| bus.as_str().to_owned())
        };
        let (prod, test) = (Some("prod".to_owned()), Some("test".to_owned()));
        assert_eq!(on(Some(7), None, None), prod, "the other has no such partition");
        assert_eq!(on(Some(2), None, None), None, "both have it");
        assert_eq!(on(Some(99), None, None), None, "neither has it: partitions were added");
        assert_eq!(on(Some(2), Some("KAFKA-1.test:9092"), None), test);
        assert_eq!(on(Some(2), Some("localhost:9092"), None), None, "both have a broker of this name");
        assert_eq!(on(Some(2), Some("elsewhere:9092"), None), None);
        assert_eq!(on(Some(2), None, Some("audit")), prod, "only there it reads the topic");
        assert_eq!(on(Some(2), None, Some("nobody")), None);
    }

    #[test]
    fn coordinates_have_a_home_unless_several_buses_may_be_meant() {
        let bearings = bearings();
        let home = |bearings: &Bearings, system: &'static str, cluster: Option<&str>, topic: &str| {
            let mut messaging = Messaging::new(system.into(), Operation::Send);
            (messaging.cluster_id, messaging.destination) = (cluster.map(str::to_owned), Some(topic.to_owned()));
            bearings.home(&messaging)
        };
        assert_eq!(home(&bearings, "kafka", None, "orders"), Some(Home::Bus("prod".into())));
        assert_eq!(home(&bearings, "kafka", None, "shared"), None);
        assert_eq!(home(&bearings, "kafka", Some("other"), "orders"), Some(Home::Cluster("other".to_owned())));
        assert_eq!(home(&bearings, "pulsar", None, "shared"), Some(Home::Elsewhere("pulsar".to_owned())));
        assert_eq!(home(&Bearings::default(), "kafka", None, "shared"), Some(Home::Elsewhere("kafka".to_owned())), "no bus is watched");
        let (one, other) = (Home::Bus("prod".into()), Home::Bus("test".into()));
        assert!(may_be_one(Some(&one), Some(&one)) && may_be_one(Some(&one), None) && !may_be_one(Some(&one), Some(&other)));
    }

    #[test]
    fn a_group_is_known_by_client_or_when_there_is_one_only() {
        let (bearings, prod) = (bearings(), BusId::from("prod"));
        let of = |topic: &str, client: Option<&str>| bearings.group(&prod, topic, client).map(GroupName::as_str);
        assert_eq!(of("orders", Some("billing-1")), Some("billing"));
        assert_eq!(of("orders", Some("twin")), None, "two groups have a client of this id");
        assert_eq!(of("orders", None), None);
        assert_eq!(of("shared", Some("anything")), Some("audit"));
        assert!(bearings.has_reader(&prod, "orders") && !bearings.has_reader(&prod, "tests"));
    }
}
