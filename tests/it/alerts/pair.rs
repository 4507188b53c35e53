//! Two instances on one PostgreSQL: whatever happens to the one that looks, an alert is told once.

use std::time::{Duration, Instant};

use redrive::model::alert::{AlertState, Comparison, Label};
use redrive::model::figure::Figure;
use redrive::store::{Store, StoreSettings};

use super::super::harness::postgres;
use super::super::harness::redrive::{PATIENCE, Redrive, Setup};
use super::scene::{add_rule, alerts_of, outbox, receiver, terms};

/// Longer than a lease lasts, and than a transaction may stand still.
const PAST_THE_LEASE: Duration = Duration::from_secs(14);

pub(super) struct Pair {
    pub(super) instances: Vec<Redrive>,
    pub(super) store: Store,
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
        let mut pair = Self { instances, store, _database: database };
        pair.until("the useful rules are there", async |pair| pair.store.list_alert_rules().await.is_ok_and(|rules| !rules.is_empty()))
            .await;
        for rule in pair.store.list_alert_rules().await.expect("rules") {
            let entry = super::scene::entry("alert_rules.switch_off");
            assert!(pair.store.switch_alert_rule(rule.number, false, &entry).await.expect("kept"));
        }
        // What they may have begun is over before anybody can meet the failpoint.
        tokio::time::sleep(Duration::from_secs(2)).await;
        pair.until("they are over", async |pair| pair.store.list_living_alerts().await.is_ok_and(|alerts| alerts.is_empty())).await;
        assert!(pair.instances[0].stop().await.success());
        pair.instances[0].set_environment("REDRIVE_FAILPOINT", Some(failpoint));
        pair.instances[0].start().await;
        // The first one looks from its start on; only then there is a second one.
        tokio::time::sleep(Duration::from_secs(2)).await;
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

    /// A rule whose condition holds: the bus does not answer.
    async fn add_rule(&self) -> i64 {
        let to = receiver(&self.store, "Pager").await;
        add_rule(&self.store, "Down", terms(Figure::BusReachable, Comparison::Below, 1.0, &[Label::Bus], &[to])).await
    }

    async fn told_once(&self, rule: i64) {
        self.until("it is told", async |pair| !outbox(&pair.store).await.is_empty()).await;
        tokio::time::sleep(Duration::from_secs(4)).await;
        let alerts = alerts_of(&self.store, rule).await;
        assert_eq!((alerts.len(), alerts[0].standing.state), (1, AlertState::Firing), "{alerts:?}");
        let told = outbox(&self.store).await;
        assert_eq!(told.len(), 1, "{told:?}");
    }
}

/// The first instance freezes at a failpoint; the second takes over; the first wakes up.
async fn frozen(failpoint: &str) {
    let mut pair = Pair::begin(failpoint).await;
    let rule = pair.add_rule().await;
    pair.until("the first one is frozen", async |pair| pair.is_frozen()).await;
    assert_eq!(outbox(&pair.store).await.len(), 0, "it has written nothing yet");
    tokio::time::sleep(PAST_THE_LEASE).await;
    pair.told_once(rule).await;
    pair.instances[0].signal("CONT");
    tokio::time::sleep(Duration::from_secs(5)).await;
    pair.told_once(rule).await;
    for instance in &mut pair.instances {
        assert!(instance.stop().await.success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_freezes_before_it_writes_tells_nothing_when_it_wakes_up() {
    frozen("alerts.looked=1:stop").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_freezes_inside_of_its_transaction_tells_nothing_when_it_wakes_up() {
    frozen("alerts.before_commit=1:stop").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_killed_before_the_commit_is_followed_by_another_who_tells_it() {
    let mut pair = Pair::begin("alerts.before_commit=1").await;
    let rule = pair.add_rule().await;
    pair.instances[0].wait_for_exit(PATIENCE).await;
    pair.told_once(rule).await;
    assert!(pair.instances[1].stop().await.success());
}
