//! Two instances on one PostgreSQL: whatever happens to the one that looks, an alert is told once when it begins and once when it ends.
//! What was intended is known from what the test has caused; a real receiver counts what it heard of it.

use std::time::{Duration, Instant};

use redrive::model::Timestamp;
use redrive::model::alert::{Comparison, Label};
use redrive::model::figure::Figure;
use redrive::model::receiver::ReceiverId;
use redrive::store::{Store, StoreSettings};
use serde_json::{Value, json};

use super::super::harness::chance::{Chance, kills};
use super::super::harness::notify::Receiver;
use super::super::harness::postgres;
use super::super::harness::redrive::{PATIENCE, Redrive, Setup, ended_by_signal, http};
use super::super::harness::told::Ledger;
use super::scene::{add_rule, entry, terms};

/// Longer than a lease lasts, and than a transaction may stand still.
const PAST_THE_LEASE: Duration = Duration::from_secs(14);
/// Whatever may come twice has time to come.
const QUIET: Duration = Duration::from_secs(3);
/// A key of 32 bytes.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=";

pub(super) struct Pair {
    pub(super) instances: Vec<Redrive>,
    pub(super) store: Store,
    pub(super) receiver: Receiver,
    to: ReceiverId,
    ledger: Ledger,
    /// Rules whose alerts go on.
    burning: Vec<(i64, String)>,
    _database: postgres::Database,
}

impl Pair {
    /// The first one looks, and meets this failpoint when there is something to write; the second one waits.
    pub(super) async fn begin(failpoint: &str) -> Self {
        let database = postgres::database().await;
        // Nobody listens there: the bus is unreachable.
        let allowing = "[notifications]\nallow_addresses = [\"127.0.0.0/8\"]";
        let instance = || Setup::new().without_login().store(database.url()).bus("prod", "127.0.0.1:9").tables(allowing).prepare();
        let mut instances = vec![instance(), instance()];
        let migrated = instances[0].command(&["migrate"], "");
        assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
        instances[0].start().await;
        let key = instances[0].folder().join("redrive.key");
        std::fs::copy(key, instances[1].folder().join("redrive.key")).expect("the key is there");
        let settings = StoreSettings { url: database.url().to_owned(), max_bytes: None, read_timeout: Duration::from_mins(1) };
        let store = Store::open(&settings).await.expect("the store opens");
        let receiver = Receiver::checking(SECRET).await;
        let to = hook(&instances[0], &receiver).await;
        let mut pair = Self { instances, store, receiver, to, ledger: Ledger::by_rule(), burning: Vec::new(), _database: database };
        pair.until("the useful rules are there", async |pair| pair.store.list_alert_rules().await.is_ok_and(|rules| !rules.is_empty()))
            .await;
        for rule in pair.store.list_alert_rules().await.expect("rules") {
            assert!(pair.store.switch_alert_rule(rule.number, false, &entry("alert_rules.switch_off")).await.expect("kept"));
        }
        // What they may have begun is over before anybody can meet the failpoint.
        tokio::time::sleep(Duration::from_secs(2)).await;
        pair.until("they are over", async |pair| pair.store.list_living_alerts().await.is_ok_and(|alerts| alerts.is_empty())).await;
        assert!(pair.instances[0].stop().await.success());
        pair.instances[0].set_environment("REDRIVE_FAILPOINT", Some(failpoint));
        let started = Timestamp::now();
        pair.instances[0].start().await;
        // The first one looks; only then there is a second one.
        let looks = async |pair: &Self| pair.store.alert_watching().await.is_ok_and(|watching| watching.looked_at > Some(started));
        pair.until("the first one looks", looks).await;
        pair.instances[1].start().await;
        pair
    }

    pub(super) async fn until(&self, what: &str, holds: impl AsyncFn(&Self) -> bool) {
        let begun = Instant::now();
        while !holds(self).await {
            let logs = || self.instances.iter().map(Redrive::log).collect::<Vec<_>>().join("\n--- the other ---\n");
            assert!(begun.elapsed() < PATIENCE, "still not: {what}\n{}", logs());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(super) fn is_frozen(&self) -> bool {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.instances[0].pid()));
        status.expect("it lives").contains("State:\tT")
    }

    /// Causes one alert: a rule whose condition holds, as the bus does not answer.
    pub(super) async fn cause(&mut self) {
        let name = format!("Down {}", self.ledger.len());
        let terms = terms(Figure::BusReachable, Comparison::Below, 1.0, &[Label::Bus], &[self.to]);
        self.ledger.begins(&name);
        self.burning.push((add_rule(&self.store, &name, terms).await, name));
    }

    /// Ends every alert: their rules are switched off.
    pub(super) async fn end_all(&mut self) {
        for (rule, name) in std::mem::take(&mut self.burning) {
            self.ledger.ends(&name);
            assert!(self.store.switch_alert_rule(rule, false, &entry("alert_rules.switch_off")).await.expect("kept"));
        }
    }

    /// Ends the first alert whose beginning somebody has heard of.
    async fn end_one(&mut self) {
        let heard = self.ledger.to_end(&self.receiver);
        if let Some(place) = self.burning.iter().position(|(_, name)| heard.contains(name)) {
            let (rule, name) = self.burning.remove(place);
            self.ledger.ends(&name);
            assert!(self.store.switch_alert_rule(rule, false, &entry("alert_rules.switch_off")).await.expect("kept"));
        }
    }

    /// How many notifications are intended.
    pub(super) fn intended(&self) -> usize {
        self.ledger.len()
    }

    /// Whether everything that is intended was taken by the receiver.
    pub(super) fn is_told(&self) -> bool {
        self.ledger.missing(&self.receiver).is_empty()
    }

    /// Waits until everything that is intended is told, and for whatever may come twice: each has come under one id, and nothing else
    /// has. Answers how many posts were repeats.
    pub(super) async fn told_once(&self) -> usize {
        self.until("it is told", async |pair| pair.is_told()).await;
        tokio::time::sleep(QUIET).await;
        self.ledger.compare(&self.receiver)
    }

    /// Ends what goes on, hears of it, and ends the instances that live. Answers how many posts were repeats.
    pub(super) async fn finish(mut self) -> usize {
        self.end_all().await;
        let repeats = self.told_once().await;
        for instance in &mut self.instances {
            if instance.is_alive() {
                assert!(instance.stop().await.success());
            }
        }
        repeats
    }
}

async fn hook(instance: &Redrive, receiver: &Receiver) -> ReceiverId {
    let body = json!({ "name": "hook", "kind": "webhook", "url": receiver.url("/hook"), "secret": SECRET });
    let answer = http().post(instance.url("/api/v1/receivers")).json(&body).send().await.expect("an answer");
    assert_eq!(answer.status(), 201);
    let added = answer.json::<Value>().await.expect("JSON");
    added["id"].as_str().and_then(|id| id.parse().ok()).expect("an id")
}

/// The first instance freezes at a failpoint; the second takes over; the first wakes up. `written`: the alert is in the store by then.
async fn frozen(failpoint: &str, written: bool) {
    let mut pair = Pair::begin(failpoint).await;
    pair.cause().await;
    pair.until("the first one is frozen", async |pair| pair.is_frozen()).await;
    let since = Instant::now();
    if !written {
        assert_eq!(pair.receiver.requests().len(), 0, "it has written nothing yet");
    }
    pair.until("the second one tells it", async |pair| pair.is_told()).await;
    tokio::time::sleep(PAST_THE_LEASE.saturating_sub(since.elapsed())).await;
    assert_eq!((pair.is_frozen(), pair.told_once().await), (true, 0));
    pair.instances[0].signal("CONT");
    tokio::time::sleep(QUIET).await;
    assert_eq!(pair.finish().await, 0, "it began once and ended once, and nobody has even repeated it");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_freezes_before_it_writes_tells_nothing_when_it_wakes_up() {
    frozen("alerts.looked=1:stop", false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_freezes_inside_of_its_transaction_tells_nothing_when_it_wakes_up() {
    frozen("alerts.before_commit=1:stop", false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_freezes_after_its_commit_tells_nothing_again_when_it_wakes_up() {
    frozen("alerts.after_commit=1:stop", true).await;
}

/// The first instance dies at a failpoint while an alert begins; the second one tells of it, and of its end.
async fn killed(failpoint: &str) {
    let mut pair = Pair::begin(failpoint).await;
    pair.cause().await;
    assert!(ended_by_signal(pair.instances[0].wait_for_exit(PATIENCE).await, 9));
    assert_eq!(pair.told_once().await, 0);
    assert_eq!(pair.finish().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_killed_before_the_commit_is_followed_by_another_who_tells_it() {
    killed("alerts.before_commit=1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_killed_after_the_commit_is_followed_by_another_who_tells_it_once() {
    killed("alerts.after_commit=1").await;
}

/// Longer than whoever looks may be silent before another follows.
const PAST_THE_LOOKS: Duration = Duration::from_secs(8);

#[tokio::test(flavor = "multi_thread")]
async fn either_is_killed_or_frozen_at_any_moment_and_each_alert_is_told_once() {
    let (mut pair, mut chance) = (Pair::begin("nowhere=1").await, Chance::new());
    pair.instances[0].set_environment("REDRIVE_FAILPOINT", None);
    for round in 0..kills(2) {
        pair.cause().await;
        let victim = usize::try_from(chance.below(2)).expect("one of two");
        tokio::time::sleep(Duration::from_micros(chance.below(2_500_000))).await;
        // The first two are one of each.
        let kill = if round < 2 { round == 0 } else { chance.below(2) == 0 };
        if kill {
            assert!(ended_by_signal(pair.instances[victim].kill().await, 9));
            pair.end_one().await;
            pair.instances[victim].start().await;
        } else {
            pair.instances[victim].signal("STOP");
            pair.end_one().await;
            tokio::time::sleep(PAST_THE_LOOKS).await;
            pair.instances[victim].signal("CONT");
        }
    }
    pair.cause().await;
    let began = pair.intended();
    pair.told_once().await;
    let repeats = pair.finish().await;
    eprintln!("{began} tellings through kills and freezes of either, and the ends of the others; {repeats} repeated under their ids");
}
