//! What arrives, read by implementations that are not ours.

use std::time::Duration;

use redrive::alerts::receivers::ReceiverTerms;
use redrive::model::Timestamp;
use redrive::model::delivery::DeliveryState;
use redrive::model::receiver::{CustomHeader, Endpoint, ReceiverKind, Secret};
use standardwebhooks::Webhook;

use super::{SECRET, Scene, actor, firing};
use crate::harness::notify::{Receiver, Request};

fn verified(secret: &str, request: &Request) -> Result<(), String> {
    let mut headers = hyper::HeaderMap::new();
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        headers.insert(name, request.headers[name].parse().expect("a header's value"));
    }
    Webhook::new(secret).expect("a secret").verify(request.body.as_bytes(), &headers).map_err(|error| error.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn signatures_hold_by_an_independent_implementation_also_while_secrets_change_over() {
    let scene = Scene::new().await;
    let receiver = Receiver::start(Vec::new()).await;
    let endpoint = Endpoint {
        url: Some(Secret::new(receiver.url("/hook?token=abc"))),
        secret: Some(Secret::new(SECRET)),
        headers: vec![CustomHeader { name: "Authorization".to_owned(), value: Secret::new("Bearer of-a-gateway") }],
        ..Endpoint::default()
    };
    let terms = ReceiverTerms { name: "hook".to_owned(), kind: ReceiverKind::Webhook, endpoint, remove: Vec::new() };
    let id = scene.add_terms(terms).await;
    let first = scene.tell(&firing(1), &[id]).await;
    scene.until(&first[0], DeliveryState::Delivered, Duration::ZERO).await;
    let new = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let endpoint = Endpoint { secret: Some(Secret::new(new)), ..Endpoint::default() };
    let terms = ReceiverTerms { name: "hook".to_owned(), kind: ReceiverKind::Webhook, endpoint, remove: Vec::new() };
    scene.deliveries.receivers().change(id, terms, &actor(), Timestamp::now()).await.unwrap();
    let second = scene.tell(&firing(2), &[id]).await;
    scene.until(&second[0], DeliveryState::Delivered, Duration::ZERO).await;
    let requests = receiver.requests();
    assert_eq!((verified(SECRET, &requests[0]), verified(new, &requests[0]).is_err()), (Ok(()), true));
    assert_eq!((verified(SECRET, &requests[1]), verified(new, &requests[1])), (Ok(()), Ok(())));
    assert!(requests.iter().all(|request| request.headers["authorization"] == "Bearer of-a-gateway"));
    assert_eq!(requests[0].line, "POST /hook?token=abc HTTP/1.1");
    let mut forged = requests[0].clone();
    forged.body = forged.body.replace("firing", "resolved");
    assert!(verified(SECRET, &forged).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_goes_the_way_of_real_notifications_and_is_sent_once() {
    let scene = Scene::new().await;
    let receiver = Receiver::start(vec![crate::harness::notify::Answer::Status(500, "", "no".to_owned())]).await;
    let hook = scene.add("hook", ReceiverKind::Webhook, &receiver.url("/hook")).await;
    let failed = scene.deliveries.test(hook, &actor(), Timestamp::now()).await.unwrap();
    assert_eq!((failed.state, failed.attempts, failed.last_status), (DeliveryState::GivenUp, 1, Some(500)));
    let arrived = scene.deliveries.test(hook, &actor(), Timestamp::now()).await.unwrap();
    assert_eq!(arrived.state, DeliveryState::Delivered);
    assert!(verified(SECRET, &receiver.requests()[1]).is_ok());
    let pager = Receiver::start(Vec::new()).await;
    let pagerduty = scene.add("pager", ReceiverKind::Pagerduty, &pager.url("/v2/enqueue")).await;
    assert_eq!(scene.deliveries.test(pagerduty, &actor(), Timestamp::now()).await.unwrap().state, DeliveryState::Delivered);
    let resolve = scene.all().await.into_iter().next().unwrap();
    scene.until(&resolve.id, DeliveryState::Delivered, Duration::ZERO).await;
    let keys: Vec<(String, String)> = pager
        .requests()
        .iter()
        .map(|request| serde_json::from_str::<serde_json::Value>(&request.body).unwrap())
        .map(|event| (event["event_action"].as_str().unwrap().to_owned(), event["dedup_key"].as_str().unwrap().to_owned()))
        .collect();
    assert_eq!(keys.iter().map(|(action, _)| action.as_str()).collect::<Vec<_>>(), ["trigger", "resolve"]);
    assert_eq!(keys[0].1, keys[1].1, "what a test opens it closes");
    let installation = scene.world.store.installation_id().await.unwrap();
    assert!(keys[0].1.starts_with(&format!("{installation}-")), "others may tell the same service: {keys:?}");
}
