//! What a test has caused, beside what its receiver heard. The ledger is kept by the test alone: Redrive's own outbox is not asked.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::notify::{Receiver, Request};

/// What somebody is to be told: about what, and in which state.
pub(crate) type Telling = (String, String);

/// Every notification that a test intends, once each.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// Reads from a notification's `data` what it is about.
    subject: fn(&Value) -> &Value,
    intended: BTreeSet<Telling>,
}

impl Ledger {
    /// Of incidents that differ by their topic.
    pub(crate) const fn by_topic() -> Self {
        Self { subject: |data| &data["labels"]["topic"], intended: BTreeSet::new() }
    }

    /// Of incidents that differ by their rule.
    pub(crate) const fn by_rule() -> Self {
        Self { subject: |data| &data["rule"], intended: BTreeSet::new() }
    }

    /// Enters that an incident begins now.
    pub(crate) fn begins(&mut self, subject: &str) {
        assert!(self.intended.insert((subject.to_owned(), "firing".to_owned())), "{subject} begins once");
    }

    /// Enters that it ends now.
    pub(crate) fn ends(&mut self, subject: &str) {
        assert!(self.intended.insert((subject.to_owned(), "resolved".to_owned())), "{subject} ends once");
    }

    /// How much is intended.
    pub(crate) fn len(&self) -> usize {
        self.intended.len()
    }

    /// Incidents whose beginning was posted and whose end is not entered yet.
    pub(crate) fn to_end(&self, receiver: &Receiver) -> Vec<String> {
        let posted = receiver.requests();
        let began = posted.iter().map(|request| self.telling(request)).filter(|(_, status)| status == "firing");
        let began: BTreeSet<String> = began.map(|(subject, _)| subject).collect();
        began.into_iter().filter(|subject| !self.intended.contains(&(subject.clone(), "resolved".to_owned()))).collect()
    }

    /// What is intended and was not taken yet.
    pub(crate) fn missing(&self, receiver: &Receiver) -> Vec<Telling> {
        let posted = receiver.requests();
        let taken: BTreeSet<Telling> = posted.iter().filter(|request| request.taken).map(|request| self.telling(request)).collect();
        self.intended.difference(&taken).cloned().collect()
    }

    /// Exactly one id was heard for each intended notification and for nothing else; each was taken; what came again under an id is the
    /// same to the byte; and whoever knows the secret believes every post. Answers how many posts were repeats.
    ///
    /// # Panics
    /// When it is not so.
    pub(crate) fn compare(&self, receiver: &Receiver) -> usize {
        assert_eq!(self.missing(receiver), [], "nothing is lost, and everything was taken in the end");
        let posted = receiver.requests();
        let mut heard: BTreeMap<Telling, BTreeSet<&str>> = BTreeMap::new();
        let mut bodies: BTreeMap<&str, &str> = BTreeMap::new();
        for request in &posted {
            assert_eq!(request.forged, None, "the signature holds: {request:?}");
            assert!(!request.id().is_empty(), "each has an id: {request:?}");
            heard.entry(self.telling(request)).or_default().insert(request.id());
            let first = bodies.entry(request.id()).or_insert(&request.body);
            assert_eq!(*first, request.body, "an id stands for one notification");
        }
        let strangers: Vec<&Telling> = heard.keys().filter(|telling| !self.intended.contains(*telling)).collect();
        assert!(strangers.is_empty(), "nothing else is told: {strangers:?}");
        let doubled: Vec<_> = heard.iter().filter(|(_, ids)| ids.len() != 1).collect();
        assert!(doubled.is_empty(), "none is told under two ids: {doubled:?}");
        assert_eq!(bodies.len(), self.intended.len(), "as many ids as notifications");
        posted.len() - bodies.len()
    }

    fn telling(&self, request: &Request) -> Telling {
        let body: Value = serde_json::from_str(&request.body).expect("a notification is JSON");
        let data = &body["data"];
        let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("a text in {body}")).to_owned();
        assert_eq!(body["type"], format!("alert.{}", text(&data["status"])), "the type says the state, too");
        (text((self.subject)(data)), text(&data["status"]))
    }
}
