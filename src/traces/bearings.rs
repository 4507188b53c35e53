//! What the bus's metadata adds to a span: which bus it was on, and which consumer group it worked for where its instrumentation does
//! not know.

use std::collections::{HashMap, HashSet};

use crate::model::span::Messaging;
use crate::model::{BusId, GroupName, TopicName};

/// What is known of all buses, as last sampled.
#[derive(Debug, Clone, Default)]
pub struct Bearings {
    clusters: HashMap<String, BusId>,
    /// Buses whose cluster is known.
    reached: HashSet<BusId>,
    /// By topic: the buses that have it.
    topics: HashMap<TopicName, Vec<BusId>>,
    /// By client id and topic, and by topic alone: the group, when there is only one.
    of_client: HashMap<(BusId, TopicName, String), Only>,
    of_topic: HashMap<(BusId, TopicName), Only>,
    buses: Vec<BusId>,
}

/// One group, or several.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Only {
    One(GroupName),
    Several,
}

impl Only {
    fn add(&mut self, group: &GroupName) {
        if !matches!(self, Self::One(known) if known == group) {
            *self = Self::Several;
        }
    }

    const fn one(&self) -> Option<&GroupName> {
        match self {
            Self::One(group) => Some(group),
            Self::Several => None,
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

    /// Adds a topic of a bus.
    pub fn add_topic(&mut self, bus: &BusId, topic: &TopicName) {
        self.topics.entry(topic.clone()).or_default().push(bus.clone());
    }

    /// Adds a consumer group that reads a topic, with the client ids of its members there.
    pub fn add_group<'a>(&mut self, bus: &BusId, topic: &TopicName, group: &GroupName, clients: impl Iterator<Item = &'a str>) {
        let one = || Only::One(group.clone());
        self.of_topic.entry((bus.clone(), topic.clone())).or_insert_with(one).add(group);
        for client in clients {
            self.of_client.entry((bus.clone(), topic.clone(), client.to_owned())).or_insert_with(one).add(group);
        }
    }

    /// Whether a span is about a bus of a kind that is watched.
    #[must_use]
    pub fn may_be_on(&self, messaging: &Messaging) -> bool {
        !self.buses.is_empty() && matches!(messaging.system.as_ref(), "kafka" | "unknown")
    }

    /// The bus of a span: by its cluster's id, else the only bus that has the topic, else the only bus there is. A cluster that no bus is
    /// known to be can only be one that was not reached yet.
    #[must_use]
    pub fn bus(&self, messaging: &Messaging) -> Option<&BusId> {
        if !self.may_be_on(messaging) {
            return None;
        }
        let cluster = messaging.cluster_id.as_ref();
        if let Some(bus) = cluster.and_then(|cluster| self.clusters.get(cluster)) {
            return Some(bus);
        }
        let with_topic = messaging.destination.as_deref().and_then(|topic| self.topics.get(&TopicName::from(topic)));
        let possible = with_topic.unwrap_or(&self.buses).iter().filter(|bus| cluster.is_none() || !self.reached.contains(*bus));
        possible.clone().next().filter(|_| possible.count() == 1)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::span::Operation;

    fn bearings() -> Bearings {
        let mut bearings = Bearings::default();
        let (prod, test) = (BusId::from("prod"), BusId::from("test"));
        bearings.add_bus(&prod, Some("abc"));
        bearings.add_bus(&test, None);
        bearings.add_topic(&prod, &"orders".into());
        bearings.add_topic(&test, &"tests".into());
        bearings.add_topic(&prod, &"shared".into());
        bearings.add_topic(&test, &"shared".into());
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
