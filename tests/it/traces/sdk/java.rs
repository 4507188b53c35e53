//! The Java agent on plain clients, with old names, new names, and both at once.

use super::figures::Of;
use super::following::Consumer;
use super::ledger::Ledger;
use super::scene::{COUNT, Export, Scene};
use crate::harness::sdk;

/// What the agent is told of names, by the service.
const NAMES: [(&str, &str); 3] = [("old", ""), ("new", "messaging"), ("both", "messaging/dup")];

#[tokio::test(flavor = "multi_thread")]
async fn services_under_the_java_agent_are_understood() {
    let classes = tempfile::tempdir().expect("a scratch folder");
    sdk::compile("Shop", classes.path());
    let (scene, [topic]) = Scene::start([("java", &["old", "new", "both"])]).await;
    let program = |names: &str| {
        let mut command = sdk::java("Shop", classes.path());
        command.env("OTEL_SEMCONV_STABILITY_OPT_IN", names);
        command
    };
    let name = |role: &str, names: &str| format!("{topic}-{role}-{names}");
    let produce = async |(names, opt_in): (&str, &str), first: usize| {
        let mut command = program(opt_in);
        command.env("FIRST", first.to_string());
        scene.run(command, "produce", &topic, &name("shop", names), Export::Protobuf).await
    };
    let (old, new) = tokio::join!(produce(NAMES[0], 0), produce(NAMES[1], COUNT));
    let consume = async |(names, opt_in): (&str, &str), export: Export| {
        let mut command = program(opt_in);
        command.env("GROUP", format!("{topic}-{names}")).env("COUNT", (2 * COUNT).to_string());
        scene.run(command, "consume", &topic, &name("billing", names), export).await
    };
    let (first, second, third) =
        tokio::join!(consume(NAMES[0], Export::Protobuf), consume(NAMES[1], Export::Grpc), consume(NAMES[2], Export::Protobuf));
    let consumers = [first, second, third];
    compare(&scene, &topic, [&old, &new], &consumers).await;
}

/// Each message was processed by three groups that name themselves, in three generations of words.
async fn compare(scene: &Scene, topic: &str, producers: [&Ledger; 2], consumers: &[Ledger; 3]) {
    let groups = NAMES.map(|(names, _)| format!("{topic}-{names}"));
    let billing = NAMES.map(|(names, _)| format!("{topic}-billing-{names}"));
    let of = |number: usize| Of { service: &billing[number], topic, group: Some(groups[number].as_str()) };
    for service in &billing {
        scene.until_counted(service, 2 * COUNT).await;
    }
    let shops = [NAMES[0], NAMES[1]].map(|(names, _)| format!("{topic}-shop-{names}"));
    for shop in &shops {
        scene.until_counted(shop, COUNT).await;
    }
    // Both producers' messages are in each consumer's figures.
    let known: Vec<Consumer<'_>> = consumers
        .iter()
        .enumerate()
        .map(|(number, ledger)| Consumer { of: of(number), ledger, processes: true, by_metadata: false })
        .collect();
    scene.follow_all(&[(producers[0], shops[0].as_str()), (producers[1], shops[1].as_str())], &known).await;
    for (number, ledger) in consumers.iter().enumerate() {
        assert_eq!((ledger.handled.len(), ledger.failures()), (2 * COUNT, COUNT / 2));
        scene.assert_spans(of(number), "process", 2 * COUNT, COUNT / 2).await;
        let failed = scene.traces(&format!("outcome=failed&operation=process&consumer_group={}", groups[number])).await;
        assert_eq!(failed.len(), ledger.failures(), "a search finds the group by either name");
    }
    for shop in &shops {
        scene.assert_spans(Of { service: shop, topic, group: None }, "send", COUNT, 0).await;
    }
}
