//! Purge on a real Kafka, through the real binary: where each log begins afterwards, and what another client still reads, compared with
//! the test's own ledger.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::{Value, json};

use crate::harness::kafka::native::{Operation, Resource};
use crate::harness::kafka::{self, Kafka, Options, Outgoing, unique};
use crate::harness::redrive::{Redrive, Setup, ended_by_signal, http};

const PATIENCE: Duration = Duration::from_secs(90);
const PARTITIONS: i32 = 6;
const KILL: i32 = 9;

/// Key, value and headers of a record.
type Content = (Option<Vec<u8>>, Option<Vec<u8>>, Vec<(String, Option<Vec<u8>>)>);

/// What was written, by partition and offset.
type Ledger = BTreeMap<(i32, i64), Content>;

fn content(record: &Outgoing) -> Content {
    (record.key.clone(), record.value.clone(), record.headers.clone())
}

/// Dead letters in Spring's style, spread over the partitions; with null, empty and binary keys, values and headers.
fn letters(topic: &str, from: usize, count: usize) -> Vec<Outgoing> {
    let letter = |number: usize| {
        let byte = u8::try_from(number % 256).expect("a byte");
        let mut record = Outgoing::to(topic).partition(i32::try_from(number).expect("few") % PARTITIONS);
        if !number.is_multiple_of(5) {
            record = record.key(vec![0xff, byte, 0]);
        }
        if !number.is_multiple_of(7) {
            record = record.value(format!("order {number}").into_bytes());
        }
        record
            .header("kafka_dlt-original-topic", "orders")
            .header("kafka_dlt-exception-fqcn", "com.example.Broken")
            .header("kafka_dlt-exception-message", format!("order {number} is broken"))
            .null_header("tag")
            .header("tag", vec![byte, 0, 0x80])
    };
    (from..from + count).map(letter).collect()
}

async fn write(kafka: &Kafka, topic: &str, from: usize, count: usize, ledger: &mut Ledger) {
    let records = letters(topic, from, count);
    let places = kafka.produce(&records).await;
    ledger.extend(places.into_iter().zip(records.iter().map(content)));
}

/// Lines of a bus's section that make exactly this topic a dead-letter topic.
fn section(topic: &str) -> String {
    let others = r#"["*dlt*", "*DLT*", "*dlq*", "*DLQ*", "*dead*", "*Dead*", "*poison*", "error.*"]"#;
    format!("[bus.dead_letters]\npatterns = [\"{topic}\"]\nexclude = {others}\n")
}

async fn get(redrive: &Redrive, path: &str) -> Value {
    let answer = http().get(redrive.url(path)).send().await.expect("answered");
    // While it starts, every answer is that it is not ready.
    answer.json().await.unwrap_or_default()
}

async fn post(redrive: &Redrive, path: &str, body: &Value) -> (u16, Value) {
    let answer = http().post(redrive.url(path)).json(body).send().await.expect("answered");
    (answer.status().as_u16(), answer.json().await.expect("JSON"))
}

async fn until_indexed(redrive: &Redrive, topic: &str, count: u64) {
    let path = format!("/api/v1/failure-groups?bus=prod&topic={topic}");
    let indexed = async || {
        let groups = get(redrive, &path).await;
        let open = groups["items"].as_array().into_iter().flatten().filter_map(|group| group["counts"]["open"].as_u64());
        open.sum::<u64>() >= count
    };
    redrive.wait_until("all dead letters are indexed", PATIENCE, indexed).await;
}

async fn plan(redrive: &Redrive, topic: &str) -> Value {
    let (status, purge) = post(redrive, "/api/v1/purges", &json!({ "bus": "prod", "topic": topic })).await;
    assert_eq!(status, 201, "{purge}");
    purge
}

async fn start(redrive: &Redrive, purge: &Value) {
    let warnings = purge["checks"].as_array().expect("a list").iter().filter(|check| check["level"] == "warning");
    let accept: Vec<&Value> = warnings.map(|check| &check["code"]).collect();
    let body = json!({ "confirm": purge["topic"], "accept": accept, "without_custody": purge["without_custody"] });
    let (status, answer) = post(redrive, &format!("{}/start", address(purge)), &body).await;
    assert_eq!(status, 200, "{answer}");
}

fn address(purge: &Value) -> String {
    format!("/api/v1/purges/{}", purge["id"].as_str().expect("an id"))
}

async fn ended(redrive: &Redrive, purge: &Value) -> Value {
    let path = address(purge);
    redrive.wait_until("the purge has ended", PATIENCE, async || get(redrive, &path).await["ended_at"].is_string()).await;
    get(redrive, &path).await
}

fn cuts(purge: &Value) -> Vec<i64> {
    purge["partitions"].as_array().expect("a list").iter().map(|cut| cut["cut"].as_i64().expect("an offset")).collect()
}

fn results(purge: &Value) -> Vec<&str> {
    purge["partitions"].as_array().expect("a list").iter().map(|cut| cut["result"].as_str().expect("a word")).collect()
}

async fn log_starts(kafka: &Kafka, topic: &str) -> Vec<i64> {
    let mut starts = Vec::new();
    for partition in 0..PARTITIONS {
        starts.push(kafka.watermarks(topic, partition).await.0);
    }
    starts
}

/// Everything that another client finds on the topic, from each partition's beginning.
async fn read(kafka: &'static Kafka, topic: &str) -> Ledger {
    let mut left = BTreeMap::new();
    for partition in 0..PARTITIONS {
        let (start, end) = kafka.watermarks(topic, partition).await;
        if start < end {
            left.insert(partition, end);
        }
    }
    let consumer: BaseConsumer = kafka.client().set("group.id", unique("reader")).create().expect("a consumer");
    let topic = topic.to_owned();
    let reading = move || {
        let mut list = TopicPartitionList::new();
        for partition in left.keys() {
            list.add_partition_offset(&topic, *partition, Offset::Beginning).expect("a valid offset");
        }
        consumer.assign(&list).expect("an assignment");
        let (mut found, begun) = (Ledger::new(), Instant::now());
        while !left.is_empty() {
            assert!(begun.elapsed() < PATIENCE, "{left:?} could not be read");
            let Some(message) = consumer.poll(Duration::from_millis(200)) else { continue };
            let message = message.expect("a record");
            let headers = message.headers().into_iter().flat_map(Headers::iter);
            let headers = headers.map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec))).collect();
            let content = (message.key().map(<[u8]>::to_vec), message.payload().map(<[u8]>::to_vec), headers);
            found.insert((message.partition(), message.offset()), content);
            if left.get(&message.partition()).is_some_and(|end| message.offset() + 1 >= *end) {
                left.remove(&message.partition());
            }
        }
        found
    };
    tokio::task::spawn_blocking(reading).await.expect("no panic")
}

/// What must still be there: everything from the cuts on, byte for byte.
fn compare(found: &Ledger, ledger: &Ledger, cuts: &[i64]) {
    let cut = |partition: i32| cuts[usize::try_from(partition).expect("not negative")];
    let expected: Ledger =
        ledger.iter().filter(|((partition, offset), _)| *offset >= cut(*partition)).map(|(k, v)| (*k, v.clone())).collect();
    let missing: Vec<_> = expected.keys().filter(|place| !found.contains_key(place)).take(5).collect();
    let strange: Vec<_> = found.keys().filter(|place| !expected.contains_key(place)).take(5).collect();
    assert!(missing.is_empty() && strange.is_empty(), "missing {missing:?}, too much {strange:?}");
    assert!(*found == expected, "what was not purged is byte for byte as it was written");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_are_purged_while_new_ones_arrive_and_no_new_one_is_touched() {
    let kafka = kafka::shared();
    let topic = format!("{}-lost", unique("purge"));
    kafka.create_topic(&topic, PARTITIONS, &[]).await;
    let mut ledger = Ledger::new();
    write(kafka, &topic, 0, 10_000, &mut ledger).await;
    let group = unique("archiver");
    kafka.commit(&group, &[(&topic, 2, 1_000)]).await;
    let redrive = Setup::new().without_login().bus_with("prod", &kafka.bootstrap(), &section(&topic)).start().await;
    until_indexed(&redrive, &topic, 10_000).await;

    let stop = AtomicBool::new(false);
    let arriving = async {
        let (mut more, mut number) = (Ledger::new(), 10_000);
        while !stop.load(Ordering::Relaxed) {
            write(kafka, &topic, number, 60, &mut more).await;
            number += 60;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        more
    };
    let purging = async {
        let planned = plan(&redrive, &topic).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        start(&redrive, &planned).await;
        let done = ended(&redrive, &planned).await;
        stop.store(true, Ordering::Relaxed);
        (planned, done)
    };
    let (mut more, (planned, done)) = tokio::join!(arriving, purging);
    ledger.append(&mut more);
    let cuts = cuts(&planned);
    let groups = planned["checks"].as_array().expect("a list").iter().find(|check| check["code"] == "consumer_groups").expect("checked");
    let text = groups["text"].as_str().expect("words");
    let named = format!("{group} would never read {} records (partition 2: committed 1000, cut at {})", cuts[2] - 1_000, cuts[2]);
    assert!(groups["level"] == "warning" && text.contains(&named), "{text}");

    assert_eq!((&done["state"], done["purged"].as_i64()), (&json!("completed"), Some(cuts.iter().sum())), "{done}");
    assert_eq!(log_starts(kafka, &topic).await, cuts, "each log begins at its cut");
    assert!(
        cuts.iter().sum::<i64>() >= 10_000 && ledger.len() > usize::try_from(cuts.iter().sum::<i64>()).expect("positive") + 60,
        "{cuts:?}"
    );
    compare(&read(kafka, &topic).await, &ledger, &cuts);
    until_indexed(&redrive, &topic, ledger.len() as u64).await;
    let purged = get(&redrive, &format!("/api/v1/dead-letters?topic={topic}&presence=purged&limit=1")).await;
    assert_eq!(purged["items"][0]["status"], "open", "custody survives, and so does the status: {purged}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purge_that_is_killed_around_a_cut_goes_on_by_itself() {
    let kafka = kafka::shared();
    let topic = format!("{}-lost", unique("purge-killed"));
    kafka.create_topic(&topic, PARTITIONS, &[]).await;
    let mut ledger = Ledger::new();
    write(kafka, &topic, 0, 600, &mut ledger).await;
    let setup = Setup::new().without_login().bus_with("prod", &kafka.bootstrap(), &section(&topic));
    let mut redrive = setup.environment("REDRIVE_FAILPOINT", "purge.before_delete=3").start().await;
    until_indexed(&redrive, &topic, 600).await;
    let planned = plan(&redrive, &topic).await;
    write(kafka, &topic, 600, 60, &mut ledger).await;
    start(&redrive, &planned).await;
    assert!(ended_by_signal(redrive.wait_for_exit(PATIENCE).await, KILL));
    assert_eq!(log_starts(kafka, &topic).await, [100, 100, 0, 0, 0, 0]);
    // The cut was made, and nobody has written it down.
    redrive.set_environment("REDRIVE_FAILPOINT", Some("purge.after_delete=2"));
    redrive.spawn();
    assert!(ended_by_signal(redrive.wait_for_exit(PATIENCE).await, KILL), "it went on without being asked");
    assert_eq!(log_starts(kafka, &topic).await, [100, 100, 100, 100, 0, 0]);
    redrive.set_environment("REDRIVE_FAILPOINT", None);
    redrive.start().await;
    let done = ended(&redrive, &planned).await;
    assert_eq!((&done["state"], results(&done)), (&json!("completed"), vec!["done"; 6]), "{done}");
    assert_eq!(log_starts(kafka, &topic).await, cuts(&planned));
    compare(&read(kafka, &topic).await, &ledger, &cuts(&planned));
    let audit = get(&redrive, "/api/v1/audit?action=purges").await;
    let acts: Vec<_> = audit["items"].as_array().expect("a list").iter().map(|entry| entry["action"].as_str().expect("a word")).collect();
    assert_eq!(acts, ["purges.end", "purges.start", "purges.plan"], "each act once");
    assert_eq!(audit["items"][0]["count"], 600);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_denied_in_the_middle_is_a_partial_result_that_says_so() {
    let users = vec![("narrow".to_owned(), "narrow-secret".to_owned())];
    let options = Options { sasl_users: users, ..Options::default() };
    let kafka: &'static Kafka = tokio::task::spawn_blocking(move || Box::leak(Box::new(Kafka::start(&options)))).await.expect("it starts");
    let topic = format!("{}-lost", unique("purge-denied"));
    kafka.create_topic(&topic, PARTITIONS, &[]).await;
    let mut ledger = Ledger::new();
    write(kafka, &topic, 0, 600, &mut ledger).await;
    let named = topic.clone();
    let rules =
        move |operations: &[Operation]| operations.iter().for_each(|operation| kafka.allow("narrow", *operation, Resource::Topic(&named)));
    let rights = [Operation::Read, Operation::Describe, Operation::DescribeConfigs, Operation::Delete];
    tokio::task::spawn_blocking(move || rules(&rights)).await.expect("the rules are made");
    let login = "client = { \"security.protocol\" = \"SASL_PLAINTEXT\", \"sasl.mechanisms\" = \"PLAIN\", \"sasl.username\" = \"narrow\", \
                 \"sasl.password\" = \"narrow-secret\" }\n";
    let setup = Setup::new().without_login().bus_with("prod", &kafka.sasl_bootstrap(), &(login.to_owned() + &section(&topic)));
    let redrive = setup.environment("REDRIVE_FAILPOINT", "purge.before_delete=3:stop").start().await;
    until_indexed(&redrive, &topic, 600).await;
    let planned = plan(&redrive, &topic).await;
    let permission = planned["checks"].as_array().expect("a list").iter().find(|check| check["code"] == "permission").expect("checked");
    assert_eq!(permission["level"], "passed", "{permission}");
    start(&redrive, &planned).await;
    until_frozen(redrive.pid()).await;
    let named = topic.clone();
    let forbid = move || kafka.forbid("narrow", Operation::Delete, Resource::Topic(&named));
    tokio::task::spawn_blocking(forbid).await.expect("the rule is made");
    redrive.signal("CONT");
    let failed = ended(&redrive, &planned).await;
    assert_eq!((&failed["state"], &failed["state_reason"]), (&json!("failed"), &json!("permission_denied")), "{failed}");
    assert_eq!(results(&failed), ["done", "done", "failed", "failed", "failed", "failed"], "{failed}");
    assert_eq!(failed["purged"], 200);
    let error = failed["partitions"][2]["error"].as_str().expect("words");
    assert!(error.contains("not allowed") && error.contains("DELETE"), "{error}");
    assert!(failed["state_text"].as_str().is_some_and(|text| text.starts_with("2 of 6 partitions were purged")), "{failed}");
    assert_eq!(log_starts(kafka, &topic).await, [100, 100, 0, 0, 0, 0]);
    let again = plan(&redrive, &topic).await;
    let permission = again["checks"].as_array().expect("a list").iter().find(|check| check["code"] == "permission").expect("checked");
    assert_eq!(permission["level"], "blocked", "the next plan knows it beforehand: {permission}");
}

async fn until_frozen(pid: u32) {
    let begun = Instant::now();
    loop {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process lives");
        if stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T')) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "it does not freeze: {stat}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
