//! The rules that everybody starts with, on a real Kafka on which much went wrong before Redrive came: they are quiet about it, and about
//! a consumer group that nobody uses any more; and they speak with the first dead letter that is new.

use std::time::Duration;

use redrive::alerts::defaults;
use redrive::model::Timestamp;
use serde_json::{Value, json};
use sqlx::Connection as _;

use super::super::harness::kafka::{self, Kafka, Outgoing};
use super::super::harness::notify::Receiver;
use super::super::harness::redrive::{PATIENCE, Redrive, Setup, http};

const BACKLOG: i64 = 300;
const HOUR: i64 = 3_600_000;
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=";

fn letter(topic: &str, class: &str, at: i64) -> Outgoing {
    Outgoing::to(topic)
        .timestamp(at)
        .value("{\"order\":1}")
        .header("kafka_dlt-exception-fqcn", format!("com.example.{class}"))
        .header("kafka_dlt-exception-message", "no stock")
        .header("kafka_dlt-original-topic", "orders")
}

async fn get(redrive: &Redrive, path: &str) -> Value {
    let answer = http().get(redrive.url(path)).send().await.expect("an answer");
    answer.json().await.unwrap_or_default()
}

/// Rule and labels of everything that fires or has fired, as far as it is about what this test has made.
async fn alerts(redrive: &Redrive, stem: &str) -> Vec<(String, String)> {
    let all = get(redrive, "/api/v1/alerts?limit=1000&state=firing&state=recovering&state=resolved").await;
    let all = all["items"].as_array().expect("a list").clone();
    let brief = |alert: Value| (alert["rule"].as_str().expect("a name").to_owned(), alert["labels"].to_string());
    all.into_iter().map(brief).filter(|(_, labels)| labels.contains(stem)).collect()
}

/// Rules as everybody has them, without their waiting, and for what this test has made alone.
async fn add_impatient_twins(redrive: &Redrive, stem: &str, receiver: &Receiver) {
    let hook = json!({ "name": "hook", "kind": "webhook", "url": receiver.url("/hook"), "secret": SECRET });
    let hook = http().post(redrive.url("/api/v1/receivers")).json(&hook).send().await.expect("an answer");
    let hook: Value = hook.json().await.expect("JSON");
    let rules = get(redrive, "/api/v1/alert-rules").await["items"].as_array().expect("a list").clone();
    assert_eq!(rules.len(), defaults::rules().len(), "they are there after the first start");
    assert!(rules.iter().all(|rule| rule["enabled"] == true), "and switched on");
    for mut rule in rules {
        let by = rule["by"].to_string();
        let Some(label) = ["consumer_group", "topic"].into_iter().find(|label| by.contains(label)) else { continue };
        rule["name"] = format!("{} at once", rule["name"].as_str().expect("a name")).into();
        rule["filter"][label] = format!("{stem}-*").into();
        for field in ["for", "group_wait"] {
            rule[field] = "0s".into();
        }
        rule["receivers"] = json!([hook["id"]]);
        let fields = rule.as_object_mut().expect("an object");
        fields.retain(|name, value| {
            !["id", "unit", "created_by", "created_at", "changed_at", "last_fired_at"].contains(&name.as_str()) && !value.is_null()
        });
        let answer = http().post(redrive.url("/api/v1/alert-rules")).json(&rule).send().await.expect("an answer");
        assert_eq!(answer.status(), 201, "{rule}: {}", answer.text().await.unwrap_or_default());
    }
}

/// Dead letters of six kinds over three days up to now, and groups that are two hours behind.
async fn past(kafka: &Kafka, stem: &str, groups: &[&str]) -> i64 {
    let (lost, orders) = (format!("{stem}-lost"), format!("{stem}-orders"));
    kafka.create_topic(&lost, 2, &[]).await;
    kafka.create_topic(&orders, 1, &[]).await;
    let now = Timestamp::now().as_millis();
    let age = |number: i64| (BACKLOG - 1 - number) * 72 * HOUR / BACKLOG;
    let letters = (0..BACKLOG).map(|number| letter(&lost, &format!("OldTrouble{}", number % 6), now - age(number)));
    kafka.produce(&letters.collect::<Vec<_>>()).await;
    kafka.produce(&(0..100).map(|_| Outgoing::to(&orders).partition(0).value("v").timestamp(now - 2 * HOUR)).collect::<Vec<_>>()).await;
    for group in groups {
        kafka.commit(group, &[(&orders, 0, 20)]).await;
    }
    now
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_rules_are_quiet_about_the_past_and_a_parked_group_and_speak_of_the_first_new_letter() {
    let (kafka, stem) = (kafka::shared(), kafka::unique("quiet"));
    let (lost, parked, left) = (format!("{stem}-lost"), format!("{stem}-parked"), format!("{stem}-left"));
    past(kafka, &stem, &[&parked, &left]).await;
    let exclude = r#"["*dlt*", "*DLT*", "*dlq*", "*DLQ*", "*dead*", "*Dead*", "*poison*", "error.*"]"#;
    let section = format!("[bus.dead_letters]\npatterns = [\"{stem}-lost\"]\nexclude = {exclude}\n");
    let setup = Setup::new().without_login().tables("[notifications]\nallow_addresses = [\"127.0.0.0/8\"]");
    let mut redrive = setup.bus_with("prod", &kafka.bootstrap(), &section).start().await;
    let group = async |redrive: &Redrive, name: &str| get(redrive, &format!("/api/v1/buses/prod/consumer-groups/{name}")).await;
    let indexed = async || {
        let letters = get(&redrive, "/api/v1/dead-letters?limit=1000").await;
        let known = group(&redrive, &parked).await;
        letters["items"].as_array().map(Vec::len) == usize::try_from(BACKLOG).ok() && known["group"] == parked.as_str()
    };
    redrive.wait_until("the past is known", PATIENCE, indexed).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let about_letters = async || alerts(&redrive, &stem).await.into_iter().filter(|(_, labels)| labels.contains(&lost)).collect::<Vec<_>>();
    assert_eq!(about_letters().await, [], "what lies there is backlog");

    // A week later, as far as one of the groups goes.
    assert!(redrive.stop().await.success());
    let url = format!("sqlite:{}", redrive.folder().join("redrive.db").display());
    let mut store = sqlx::SqliteConnection::connect(&url).await.expect("nobody else has it open");
    let back = "update consumer_groups set first_seen_at = first_seen_at - 691200000 where name = $1";
    assert_eq!(sqlx::query(back).bind(parked.as_bytes()).execute(&mut store).await.expect("changed").rows_affected(), 1);
    store.close().await.expect("closed");
    redrive.start().await;
    let looked_up = async |name: &str| group(&redrive, name).await["partitions"][0]["method"] == "looked_up";
    let known = async || group(&redrive, &parked).await["parked"] == true && looked_up(&parked).await && looked_up(&left).await;
    redrive.wait_until("the groups are known again", PATIENCE, known).await;
    let receiver = Receiver::checking(SECRET).await;
    add_impatient_twins(&redrive, &stem, &receiver).await;
    let lags =
        |alerts: &[(String, String)]| alerts.iter().any(|(rule, labels)| rule == "Consumer group lags at once" && labels.contains(&left));
    redrive.wait_until("the other group is told of", PATIENCE, async || lags(&alerts(&redrive, &stem).await)).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    let so_far = alerts(&redrive, &stem).await;
    let wrong: Vec<_> = so_far.iter().filter(|(_, labels)| labels.contains(&parked) || labels.contains(&lost)).collect();
    assert!(wrong.is_empty(), "nobody is told of the past, however impatient: {wrong:?}");
    let told = |rule: &str| receiver.requests().into_iter().filter(|post| post.body.contains(rule)).collect::<Vec<_>>();
    assert_eq!(told("New failure group").len(), 0);

    kafka.produce(&[letter(&lost, "NewTrouble", Timestamp::now().as_millis())]).await;
    redrive.wait_until("the new one is told", PATIENCE, async || !told("New failure group").is_empty()).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let posts = told("New failure group");
    let body: Value = serde_json::from_str(&posts[0].body).expect("JSON");
    assert_eq!((posts.len(), &body["data"]["labels"]["topic"], &body["data"]["value"]), (1, &json!(lost), &json!(1.0)), "{body}");
    assert!(receiver.requests().iter().all(|post| post.forged.is_none()));
    let mut rules: Vec<String> =
        alerts(&redrive, &stem).await.into_iter().filter(|(_, labels)| labels.contains(&lost)).map(|(rule, _)| rule).collect();
    rules.sort_unstable();
    assert_eq!(rules, ["New failure group", "New failure group at once"], "the rule that everybody has fires as well, and no other");
    assert!(redrive.stop().await.success());
}
