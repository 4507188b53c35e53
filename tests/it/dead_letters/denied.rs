//! A topic that may be seen but not read: that is on its page and on the first page, and over when it is mended.

use super::super::harness::kafka::native::{Operation, Resource};
use super::super::harness::kafka::{Kafka, Options};
use super::super::harness::redrive::{Setup, http};
use super::corpus::letters;
use super::scene::Scene;

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_may_not_be_read_is_said_until_it_may() {
    let options = Options { sasl_users: vec![("narrow".to_owned(), "narrow-secret".to_owned())], ..Options::default() };
    let kafka = tokio::task::spawn_blocking(move || Kafka::start(&options)).await.expect("no panic");
    for topic in ["open-lost", "closed-lost"] {
        kafka.create_topic(topic, 1, &[]).await;
        kafka.produce(&letters(topic, 1, 0, 20)).await;
    }
    let kafka = tokio::task::spawn_blocking(move || {
        kafka.allow("narrow", Operation::Read, Resource::Topic("open-lost"));
        kafka.allow("narrow", Operation::Describe, Resource::Topic("closed-lost"));
        kafka
    });
    let kafka = kafka.await.expect("no panic");
    let login = "client = { \"security.protocol\" = \"SASL_PLAINTEXT\", \"sasl.mechanisms\" = \"PLAIN\", \
                 \"sasl.username\" = \"narrow\", \"sasl.password\" = \"narrow-secret\" }";
    let section = format!("{login}\n{}", super::only_topics("*-lost"));
    let mut scene = Scene::on_sqlite(&kafka.sasl_bootstrap(), &section, Setup::new()).await;
    scene.until_stored(20).await;
    scene.until("the problem is known", async |scene| !problems(scene).await.is_empty()).await;
    let known = problems(&scene).await;
    assert_eq!((known[0]["topic"].as_str(), known[0]["code"].as_str()), (Some("closed-lost"), Some("unreadable")), "{known:?}");
    assert!(known[0]["text"].as_str().is_some_and(|text| text.contains("READ on the topic")), "{known:?}");
    let page =
        http().get(scene.redrive.url("/buses/prod/topics/closed-lost")).send().await.expect("it answers").text().await.expect("a page");
    assert!(page.contains("1 partition cannot be read"), "{page}");

    let kafka = tokio::task::spawn_blocking(move || {
        kafka.allow("narrow", Operation::Read, Resource::Topic("closed-lost"));
        kafka
    });
    let kafka = kafka.await.expect("no panic");
    scene.until_stored(40).await;
    scene.until("the problem is over", async |scene| problems(scene).await.is_empty()).await;
    assert!(scene.redrive.stop().await.success());
    drop(kafka);
}

async fn problems(scene: &Scene) -> Vec<serde_json::Value> {
    let answer = http().get(scene.redrive.url("/api/v1/overview")).send().await.expect("it answers");
    let body: serde_json::Value = answer.json().await.expect("JSON");
    body["partition_problems"].as_array().expect("a list").clone()
}
