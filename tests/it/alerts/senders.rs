//! Two instances on one PostgreSQL, both of which send: whatever happens to the one that is sending, each alert that this test causes is
//! told under exactly one id when it begins and under exactly one when it ends.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use redrive::model::alert::{Comparison, Label};
use redrive::model::delivery::DeliveryState;
use redrive::model::figure::Figure;
use redrive::model::receiver::ReceiverId;
use serde_json::{Value, json};

use super::super::harness::notify::Receiver;
use super::super::harness::redrive::{PATIENCE, ended_by_signal, http};
use super::pair::Pair;
use super::scene::{add_rule, entry, outbox, terms};

/// Alerts that are caused until the first instance is the one that sends.
const TRIES: usize = 40;

struct Senders {
    pair: Pair,
    receiver: Receiver,
    to: ReceiverId,
    /// What is intended: one alert of each rule.
    rules: Vec<(i64, String)>,
}

impl Senders {
    /// The first instance meets this failpoint with its first delivery.
    async fn begin(failpoint: &str) -> Self {
        let (pair, receiver) = (Pair::begin(failpoint).await, Receiver::start(Vec::new()).await);
        let body = json!({ "name": "hook", "kind": "webhook", "url": receiver.url("/hook") });
        let url = pair.instances[1].url("/api/v1/receivers");
        let answer = http().post(url).json(&body).send().await.expect("an answer");
        assert_eq!(answer.status(), 201);
        let added = answer.json::<Value>().await.expect("JSON");
        let to = added["id"].as_str().and_then(|id| id.parse().ok()).expect("an id");
        Self { pair, receiver, to, rules: Vec::new() }
    }

    /// Causes one alert: the bus does not answer.
    async fn cause(&mut self) {
        let name = format!("Down {}", self.rules.len());
        let terms = terms(Figure::BusReachable, Comparison::Below, 1.0, &[Label::Bus], &[self.to]);
        self.rules.push((add_rule(&self.pair.store, &name, terms).await, name));
    }

    /// Causes alerts, each after the one before has left the outbox, until the first instance was sending one and met its failpoint.
    async fn cause_until(&mut self, what: &str, met: impl AsyncFn(&mut Pair) -> bool) {
        for _ in 0..TRIES {
            self.cause().await;
            let intended = self.rules.len();
            let begun = std::time::Instant::now();
            loop {
                if met(&mut self.pair).await {
                    return;
                }
                let told = outbox(&self.pair.store).await;
                if told.len() == intended && told.last().is_some_and(|one| one.ended_at.is_some()) {
                    break;
                }
                assert!(begun.elapsed() < PATIENCE, "neither told nor {what}: {told:?}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        panic!("after {TRIES} alerts the first instance has not {what}");
    }

    /// What the receiver heard: the ids by rule and state.
    fn heard(&self) -> BTreeMap<(String, String), BTreeSet<String>> {
        let mut heard: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
        for request in self.receiver.requests() {
            let body: Value = serde_json::from_str(&request.body).expect("JSON");
            let text = |name: &str| body["data"][name].as_str().expect("a text").to_owned();
            heard.entry((text("rule"), text("status"))).or_default().insert(request.id().to_owned());
        }
        heard
    }

    /// Everything is delivered, and each of these states was heard of each alert under one id of its own.
    async fn heard_once(&self, states: &[&str]) {
        let intended: BTreeSet<(String, String)> =
            self.rules.iter().flat_map(|(_, name)| states.iter().map(|state| (name.clone(), (*state).to_owned()))).collect();
        let all_told = async |pair: &Pair| {
            let told = outbox(&pair.store).await;
            told.len() >= intended.len() && told.iter().all(|one| one.state == DeliveryState::Delivered)
        };
        self.pair.until("everything is delivered", all_told).await;
        // Whatever may come twice has time to come.
        tokio::time::sleep(Duration::from_secs(3)).await;
        let heard = self.heard();
        assert_eq!(heard.keys().cloned().collect::<BTreeSet<_>>(), intended, "none is lost, and nothing else is told");
        assert!(heard.values().all(|ids| ids.len() == 1), "none is told under two ids: {heard:?}");
        assert_eq!(self.receiver.ids().len(), intended.len(), "no id stands for two");
    }

    /// Ends every alert, and hears of it.
    async fn end(mut self) -> usize {
        for (rule, _) in &self.rules {
            assert!(self.pair.store.switch_alert_rule(*rule, false, &entry("alert_rules.switch_off")).await.expect("kept"));
        }
        self.heard_once(&["firing", "resolved"]).await;
        for instance in &mut self.pair.instances {
            assert!(instance.stop().await.success());
        }
        self.receiver.requests().len() - self.receiver.ids().len()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_killed_while_it_sends_is_followed_by_the_other_and_nothing_is_lost_or_doubled() {
    let places = ["deliveries.claimed", "deliveries.sent", "deliveries.before_mark"];
    let mut senders = Senders::begin(&format!("{}=1", places[0])).await;
    for (number, place) in places.iter().enumerate() {
        senders.cause_until("died", async |pair| pair.instances[0].exit_status().is_some_and(|ended| ended_by_signal(ended, 9))).await;
        // Told by the other one, while the killed one's claim still stands.
        senders.cause().await;
        eprintln!("killed at {place}, after {} alerts", senders.rules.len());
        let next = places.get(number + 1).map(|place| format!("{place}=1"));
        senders.pair.instances[0].set_environment("REDRIVE_FAILPOINT", next.as_deref());
        senders.pair.instances[0].start().await;
    }
    senders.heard_once(&["firing"]).await;
    let (alerts, repeats) = (senders.rules.len(), senders.end().await);
    eprintln!("{alerts} alerts, each told once and ended once; {repeats} posts repeated under their ids");
    assert!(repeats >= 2, "what was sent and not marked is sent again under its id: {repeats}");
}

/// The first instance freezes while it sends; the second one takes over; the first one wakes up.
async fn frozen(place: &str) -> usize {
    let mut senders = Senders::begin(&format!("{place}=1:stop")).await;
    senders.cause_until("frozen", async |pair| pair.is_frozen()).await;
    senders.cause().await;
    senders.heard_once(&["firing"]).await;
    assert!(senders.pair.is_frozen());
    senders.pair.instances[0].signal("CONT");
    tokio::time::sleep(Duration::from_secs(3)).await;
    senders.heard_once(&["firing"]).await;
    senders.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_freezes_before_it_sends_sends_nothing_when_it_wakes_up() {
    assert_eq!(frozen("deliveries.claimed").await, 0, "nothing was posted twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_freezes_after_it_has_sent_is_followed_by_the_other_under_the_same_id() {
    assert_eq!(frozen("deliveries.sent").await, 1, "one post came twice, under one id");
}
