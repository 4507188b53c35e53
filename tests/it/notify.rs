//! Notifications on their way to real receivers: what is posted, what happens when it is not taken, and where nothing is ever posted to.

use std::collections::BTreeMap;
use std::time::Duration;

use redrive::alerts::delivery::Deliveries;
use redrive::alerts::receivers::ReceiverTerms;
use redrive::config::Config;
use redrive::lifecycle::Lifecycle;
use redrive::lifecycle::changes::Changes;
use redrive::model::alert::Severity;
use redrive::model::delivery::{Delivery, DeliveryFilter, DeliveryState};
use redrive::model::notification::{Notification, NotifiedAlert, NotifiedStatus, Reason};
use redrive::model::receiver::{Endpoint, ReceiverId, ReceiverKind, Secret};
use redrive::model::{Actor, PageRequest, Timestamp};

use super::harness::notify::{DEADLINE, deliveries_within, vault};
use super::store::World;

mod alertmanager;
mod bodies;
mod detours;
mod kills;
mod mail;
mod outbox;
mod pages;
mod refused;
mod secrets;
mod ssrf;
mod tls;

/// A key of 32 bytes.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=";

/// A store with what posts from it.
struct Scene {
    world: World,
    deliveries: Deliveries,
    life: Lifecycle,
    deadline: Duration,
}

impl Scene {
    async fn new() -> Self {
        Self::on(World::sqlite().await).await
    }

    /// What does not answer is waited for 2 s.
    async fn hurried() -> Self {
        let scene = Self { deadline: Duration::from_secs(2), ..Self::new().await };
        Self { deliveries: posting(&scene.world, &scene.life, scene.deadline), ..scene }
    }

    async fn on(world: World) -> Self {
        world.store.claim_sealing_key(vault().key_id()).await.expect("the key is known");
        let (life, deadline) = (Lifecycle::new(), DEADLINE);
        let deliveries = posting(&world, &life, deadline);
        Self { world, deliveries, life, deadline }
    }

    /// Another instance goes on from here, which knows only what the store knows.
    fn restart(&mut self) {
        self.deliveries = posting(&self.world, &self.life, self.deadline);
    }

    async fn add(&self, name: &str, kind: ReceiverKind, url: &str) -> ReceiverId {
        let endpoint = Endpoint {
            url: Some(Secret::new(url)),
            secret: (kind == ReceiverKind::Webhook).then(|| Secret::new(SECRET)),
            routing_key: (kind == ReceiverKind::Pagerduty).then(|| Secret::new("0123456789abcdef0123456789abcdef")),
            ..Endpoint::default()
        };
        self.add_terms(ReceiverTerms { name: name.to_owned(), kind, endpoint, remove: Vec::new() }).await
    }

    async fn add_terms(&self, terms: ReceiverTerms) -> ReceiverId {
        self.deliveries.receivers().add(terms, &actor(), Timestamp::now()).await.expect("the receiver is added").id
    }

    /// Writes deliveries as the evaluation of rules does.
    async fn tell(&self, notification: &Notification, receivers: &[ReceiverId]) -> Vec<String> {
        self.world.store.enqueue(notification, receivers, Timestamp::now()).await.expect("the outbox takes it")
    }

    /// Works as if it were `ahead` later, until a delivery is in a state.
    async fn until(&self, id: &str, state: DeliveryState, ahead: Duration) -> Delivery {
        let begun = std::time::Instant::now();
        loop {
            self.deliveries.go_on(Timestamp::now().plus(ahead)).await.expect("the store answers");
            let delivery = self.find(id).await;
            if delivery.state == state {
                return delivery;
            }
            assert!(begun.elapsed() < Duration::from_secs(40), "never {state}: {delivery:?}");
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    async fn find(&self, id: &str) -> Delivery {
        self.world.store.find_delivery(id).await.expect("the store answers").expect("it is there")
    }

    async fn all(&self) -> Vec<Delivery> {
        self.world.store.list_deliveries(&DeliveryFilter::default(), &PageRequest::first(1_000)).await.expect("a list").items
    }
}

fn posting(world: &World, life: &Lifecycle, deadline: Duration) -> Deliveries {
    let text = "[notifications]\nallow_addresses = [\"127.0.0.0/8\"]";
    let config = Config::parse(None, text, [], &redrive::app::CHECKS).expect("the configuration is right");
    deliveries_within(deadline, &world.store, &config, &Changes::new(), life)
}

fn actor() -> Actor {
    Actor { name: "user:ann".to_owned(), address: None }
}

fn alert(number: u64, status: NotifiedStatus) -> NotifiedAlert {
    let labels = [("bus", "prod"), ("consumer_group", "billing"), ("topic", "orders")];
    NotifiedAlert {
        fingerprint: format!("{number:016x}"),
        status,
        rule: "Consumer group stalled".to_owned(),
        severity: Severity::Critical,
        labels: labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        value: Some(12_345.0),
        threshold: 10_000.0,
        unit: "messages".to_owned(),
        summary: format!("billing has not committed on orders-{number}"),
        started_at: Timestamp::from_millis(1_767_225_600_000),
        ended_at: (status == NotifiedStatus::Resolved).then(|| Timestamp::from_millis(1_767_229_200_000)),
        url: "https://redrive.example.com/buses/prod/consumer-groups/billing".to_owned(),
        runbook_url: Some("https://runbooks.example.com/lag".to_owned()),
        owner: Some("payments".to_owned()),
    }
}

fn notification(reason: Reason, alerts: Vec<NotifiedAlert>) -> Notification {
    let group_labels = BTreeMap::from([("bus".to_owned(), "prod".to_owned())]);
    Notification { group_key: "stalled/prod".to_owned(), reason, at: Timestamp::now(), group_labels, alerts }
}

fn firing(number: u64) -> Notification {
    notification(Reason::First, vec![alert(number, NotifiedStatus::Firing)])
}
