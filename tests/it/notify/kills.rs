//! Notifications through kills of the process: dead letters on a real Kafka, rules of one alert per topic, a real receiver that is in
//! trouble. What is intended is known from what the test itself has caused; the receiver counts distinct ids: exactly one for each
//! intended notification, none lost, and every post signed. `REDRIVE_KILLS` says how many kills at random; `make soak` asks for 100.

use std::process::ExitStatus;
use std::time::Duration;

use redrive::model::Timestamp;
use serde_json::{Value, json};

use super::SECRET;
use crate::harness::chance::{Chance, kills};
use crate::harness::kafka::{self, Kafka, Outgoing};
use crate::harness::notify::{Answer, Receiver};
use crate::harness::redrive::{PATIENCE, Redrive, Setup, ended_by_signal, http};
use crate::harness::told::Ledger;

/// Kills at random in `make test`.
const FEW: usize = 8;
/// Where the process dies: around the commit of what an alert's change and its notifications are written by, after a claim, after
/// sending, before and after marking.
const FAILPOINTS: [&str; 8] = [
    "alerts.looked",
    "deliveries.before_commit",
    "alerts.before_commit",
    "alerts.after_commit",
    "deliveries.claimed",
    "deliveries.sent",
    "deliveries.before_mark",
    "deliveries.after_mark",
];
/// Whatever may come twice has time to come.
const QUIET: Duration = Duration::from_secs(3);

/// Topics that nobody has written to yet, what became of the others, and who is told of it.
struct Shop {
    kafka: &'static Kafka,
    redrive: Redrive,
    receiver: Receiver,
    /// Where redirects lead: nobody may come there.
    elsewhere: Receiver,
    quiet: Vec<String>,
    ledger: Ledger,
}

impl Shop {
    /// Room for so many incidents. Redrive knows the rule and the receiver, and does not run.
    async fn open(incidents: usize) -> Self {
        let (kafka, stem) = (kafka::shared(), kafka::unique("told"));
        let quiet: Vec<String> = (0..incidents).map(|number| format!("{stem}-{number}")).collect();
        futures::future::join_all(quiet.iter().map(|topic| kafka.create_topic(topic, 1, &[]))).await;
        let exclude = r#"["*dlt*", "*DLT*", "*dlq*", "*DLQ*", "*dead*", "*Dead*", "*poison*", "error.*"]"#;
        let section = format!("[bus.dead_letters]\npatterns = [\"{stem}-*\"]\nexclude = {exclude}\n");
        let setup = Setup::new().without_login().tables("[notifications]\nallow_addresses = [\"127.0.0.0/8\"]");
        let mut redrive = setup.bus_with("prod", &kafka.bootstrap(), &section).start().await;
        let (receiver, elsewhere) = (Receiver::checking(SECRET).await, Receiver::start(Vec::new()).await);
        let hook = json!({ "name": "hook", "kind": "webhook", "url": receiver.url("/hook"), "secret": SECRET });
        let hook = added(&redrive, "/api/v1/receivers", hook).await;
        let rule = json!({
            "name": "Open", "figure": "dead_letters_open", "by": ["bus", "topic"], "comparison": ">", "threshold": 0,
            "severity": "critical", "receivers": [hook["id"]],
        });
        added(&redrive, "/api/v1/alert-rules", rule).await;
        assert!(redrive.stop().await.success());
        Self { kafka, redrive, receiver, elsewhere, quiet, ledger: Ledger::by_topic() }
    }

    /// Begins so many incidents: one dead letter each, on topics of their own.
    async fn begin(&mut self, count: usize) {
        let topics = self.quiet.split_off(self.quiet.len() - count);
        let letter = |topic: &String| {
            Outgoing::to(topic)
                .timestamp(Timestamp::now().as_millis())
                .value("{\"order\":1}")
                .header("kafka_dlt-exception-fqcn", "com.example.OutOfStock")
                .header("kafka_dlt-exception-message", "no stock")
                .header("kafka_dlt-original-topic", "orders")
        };
        self.kafka.produce(&topics.iter().map(letter).collect::<Vec<_>>()).await;
        for topic in &topics {
            self.ledger.begins(topic);
        }
    }

    /// Ends the incidents that were told, as far as the process takes it: whoever has no answer asks again.
    async fn end_told(&mut self) {
        for topic in self.ledger.to_end(&self.receiver) {
            let body = json!({ "selection": { "filter": { "bus": "prod", "topic": topic } }, "reason": "done by hand" });
            let asked = http().post(self.redrive.url("/api/v1/dead-letters/discard")).timeout(Duration::from_secs(20)).json(&body);
            let Ok(answer) = asked.send().await else { return };
            // Nothing is open any more when an earlier answer was lost on its way.
            let (status, told) = (answer.status().as_u16(), answer.text().await.unwrap_or_default());
            if status == 200 || told.contains("empty_selection") {
                self.ledger.ends(&topic);
            }
        }
    }

    /// Goes on until the process dies at its failpoint.
    async fn until_dead(&mut self) -> ExitStatus {
        let begun = std::time::Instant::now();
        loop {
            if let Some(status) = self.redrive.exit_status() {
                return status;
            }
            assert!(begun.elapsed() < PATIENCE, "it still lives\n{}", self.redrive.log());
            self.end_told().await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The receiver is well again: everything is told, and nothing twice. Answers how many notifications there were and how many repeats.
    async fn close(mut self) -> (usize, usize) {
        self.receiver.plan(Vec::new());
        self.redrive.set_environment("REDRIVE_FAILPOINT", None);
        self.redrive.start().await;
        // A receiver that takes something new is told at once what has failed before.
        self.begin(1).await;
        let begun = std::time::Instant::now();
        loop {
            self.end_told().await;
            let missing = self.ledger.missing(&self.receiver);
            if missing.is_empty() && self.ledger.to_end(&self.receiver).is_empty() {
                break;
            }
            self.redrive.assert_running();
            assert!(begun.elapsed() < PATIENCE, "lost: {missing:?}\n{}", self.redrive.log());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        tokio::time::sleep(QUIET).await;
        let repeats = self.ledger.compare(&self.receiver);
        assert_eq!(self.elsewhere.connections(), 0, "redirects are not followed");
        assert!(self.redrive.stop().await.success());
        (self.ledger.len(), repeats)
    }

    fn redirect(&self, code: u16) -> Answer {
        let target = Box::leak(format!("location: {}\r\n", self.elsewhere.url("/stolen")).into_boxed_str());
        Answer::Status(code, target, String::new())
    }

    /// Every kind of trouble: those that are over at once, and from the fifth on those that last until a deadline.
    fn trouble(&self, kind: usize) -> Answer {
        match kind {
            0 => Answer::Status(500, "", "no".to_owned()),
            1 => self.redirect(302),
            2 => Answer::Hangup,
            3 => Answer::Huge,
            4 => self.redirect(307),
            5 => Answer::Silence,
            6 => Answer::DripHead,
            _ => Answer::DripBody,
        }
    }
}

async fn added(redrive: &Redrive, path: &str, body: Value) -> Value {
    let answer = http().post(redrive.url(path)).json(&body).send().await.expect("an answer");
    let (status, text) = (answer.status(), answer.text().await.expect("a body"));
    assert_eq!(status, 201, "{text}");
    serde_json::from_str(&text).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn each_alert_is_told_once_through_a_kill_at_every_place_and_a_receiver_in_trouble() {
    let mut shop = Shop::open(FAILPOINTS.len() + 1).await;
    for place in FAILPOINTS {
        // What is slow is cut off by the kill, as long as one of four that are sent together has an end.
        let trouble = match place {
            "deliveries.sent" => [0, 1, 2, 3].as_slice(),
            "deliveries.before_mark" => &[5, 0, 6, 4],
            "deliveries.after_mark" => &[7, 3, 2, 0],
            _ => &[],
        };
        shop.receiver.plan(trouble.iter().map(|kind| shop.trouble(*kind)).collect());
        shop.begin(1).await;
        shop.redrive.set_environment("REDRIVE_FAILPOINT", Some(&format!("{place}=1")));
        shop.redrive.spawn();
        let status = shop.until_dead().await;
        assert!(ended_by_signal(status, 9), "at {place}: {status}\n{}", shop.redrive.log());
    }
    let (intended, repeats) = shop.close().await;
    assert_eq!(intended, (FAILPOINTS.len() + 1) * 2);
    assert!(repeats >= 2, "what was sent and not marked is sent again under its id: {repeats}");
    eprintln!("a kill at each of {} places: {intended} notifications, 0 lost, {repeats} repeated under their own ids", FAILPOINTS.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_last_until_the_deadline_and_a_kill_before_it_is_written_down_lose_and_double_nothing() {
    let mut shop = Shop::open(5).await;
    shop.receiver.plan([5, 6, 7, 5].map(|kind| shop.trouble(kind)).into());
    shop.redrive.set_environment("REDRIVE_FAILPOINT", Some("deliveries.sent=1"));
    // All at once: they are told together, by an instance that finds them at its start.
    shop.begin(4).await;
    shop.redrive.spawn();
    let status = shop.until_dead().await;
    assert!(ended_by_signal(status, 9), "{status}\n{}", shop.redrive.log());
    let posted = shop.receiver.requests().len();
    let (intended, repeats) = shop.close().await;
    assert_eq!(intended, 10);
    assert!(repeats >= 1, "the receiver has heard of it, and nobody has written that down");
    eprintln!("{posted} posts before the kill; {intended} notifications, {repeats} repeated under their own ids");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_alert_is_told_once_through_kills_at_random_moments_and_a_receiver_in_any_trouble() {
    let (kills, mut chance) = (kills(FEW), Chance::new());
    let mut shop = Shop::open(kills * 2 + 1).await;
    for kill in 0..kills {
        let trouble = (0..chance.below(5)).map(|_| usize::try_from(chance.below(8)).expect("small"));
        shop.receiver.plan(trouble.map(|kind| shop.trouble(kind)).collect());
        shop.begin(usize::try_from(chance.below(3)).expect("small")).await;
        shop.redrive.spawn();
        // One in four dies on its way to being there, the others at work.
        let life = if chance.below(4) == 0 {
            Duration::from_millis(chance.below(1_500))
        } else {
            shop.redrive.wait_until_listening().await;
            Duration::from_micros(chance.below(3_000_000))
        };
        let working = async {
            loop {
                shop.end_told().await;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let _: Result<(), _> = tokio::time::timeout(life, working).await;
        let status = shop.redrive.kill().await;
        assert!(ended_by_signal(status, 9), "kill {kill} after {life:?}: {status}\n{}", shop.redrive.log());
    }
    let (intended, repeats) = shop.close().await;
    assert!(intended >= 2, "at least the last one");
    eprintln!("{kills} kills: {intended} notifications, 0 lost, {repeats} repeated under their own ids");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_sender_repeats_at_most_under_the_same_id() {
    let receiver = Receiver::checking(SECRET).await;
    let setup = Setup::new().tables("[notifications]\nallow_addresses = [\"127.0.0.0/8\"]");
    let redrive = setup.environment("REDRIVE_FAILPOINT", "deliveries.sent=1:stop").start().await;
    let admin = redrive.client("admin");
    let new = json!({ "name": "hook", "kind": "webhook", "url": receiver.url("/hook"), "secret": SECRET });
    assert_eq!(admin.post(redrive.url("/api/v1/receivers")).json(&new).send().await.unwrap().status(), 201);
    let telling = admin.post(redrive.url("/api/v1/receivers/1/test")).timeout(Duration::from_secs(90)).send();
    let waking = async {
        let is_frozen = || std::fs::read_to_string(format!("/proc/{}/status", redrive.pid())).is_ok_and(|text| text.contains("State:\tT"));
        let begun = std::time::Instant::now();
        while !is_frozen() && begun.elapsed() < Duration::from_secs(60) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(is_frozen(), "it has met its failpoint");
        tokio::time::sleep(Duration::from_secs(3)).await;
        redrive.signal("CONT");
    };
    let (answer, ()) = tokio::join!(telling, waking);
    let told: Value = serde_json::from_str(&answer.unwrap().text().await.unwrap()).unwrap();
    assert_eq!(told["state"], "delivered");
    assert_eq!(receiver.ids().into_keys().collect::<Vec<_>>(), [told["id"].as_str().unwrap()]);
    assert!(receiver.requests().iter().all(|request| request.forged.is_none()));
}
