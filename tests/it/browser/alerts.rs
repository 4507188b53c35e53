//! Alerts in a real browser: a tab that says by itself what fires, an alert that is acknowledged and silenced, a rule that is tried before
//! it is saved; on a desk, on a phone, and without script.

use std::time::Duration;

use redrive::metrics::bucket::Point;
use redrive::model::figure::{Figure, Labels, SeriesKey};
use redrive::model::{BusKind, Timestamp};
use redrive::store::figures::NewFrame;
use redrive::store::{Store, StoreSettings};
use serde_json::{Value, json};

use super::acts::look;
use crate::harness::browser::{Browser, Script, keys};
use crate::harness::redrive::{PATIENCE, Redrive, Setup, http};

const PASSWORD: &str = "correct horse battery";

/// A Redrive that remembers an hour of one consumer group that was behind for a while.
struct Desk {
    redrive: Redrive,
    client: reqwest::Client,
}

impl Desk {
    async fn set() -> Self {
        let mut redrive = Setup::new().without_login().prepare();
        seed(&redrive).await;
        redrive.start().await;
        Self { redrive, client: http().clone() }
    }

    /// Adds a rule and answers its id.
    async fn rule(&self, body: Value) -> String {
        let answer = self.client.post(self.redrive.url("/api/v1/alert-rules")).json(&body).send().await.expect("redrive answers");
        let answer: Value = answer.json().await.expect("an answer in JSON");
        answer["id"].as_str().unwrap_or_else(|| panic!("the rule is added: {answer}")).to_owned()
    }

    /// Waits until the page says this: by itself with script, by loading it again without.
    async fn watch(&self, browser: &Browser, script: Script, words: &str) {
        if script == Script::Off {
            let here = browser.address().await;
            let says = async || {
                browser.goto(&here).await;
                browser.text().await.contains(words)
            };
            self.redrive.wait_until(words, PATIENCE, says).await;
        }
        browser.wait_for_text(words).await;
    }
}

async fn seed(redrive: &Redrive) {
    let url = format!("sqlite:{}", redrive.folder().join("redrive.db").display());
    let store = Store::open(&StoreSettings { url, max_bytes: None, read_timeout: Duration::from_secs(30) }).await.expect("a store opens");
    store.register_buses(&[("prod".into(), BusKind::Kafka)]).await.expect("registered");
    let (now, mut after) = (Timestamp::now(), None);
    for minutes in (1..=60_u64).rev() {
        let at = now.minus(Duration::from_mins(minutes));
        let lag = if (20..32).contains(&minutes) { 900.0 } else { 12.0 };
        let labels = Labels::bus(&"prod".into()).topic(&"orders".into()).consumer_group(&"billing".into());
        let points = vec![(SeriesKey { figure: Figure::ConsumerGroupLagMessages, labels }, Point::Level(lag))];
        let frame = NewFrame { source: "bus:prod", after, taken_at: at, points, state: None, snapshot: false };
        assert!(store.add_frame(frame).await.expect("it is written"));
        after = Some(at);
    }
}

/// It fires at once and goes on: no receiver fails, which is at least none.
fn always() -> Value {
    json!({
        "name": "Rehearsal", "figure": "deliveries_failing", "comparison": ">=", "threshold": 0, "severity": "critical",
        "summary": "{value} fail: a rehearsal", "runbook_url": "https://runbooks.example/rehearsal"
    })
}

fn lags() -> Value {
    json!({
        "name": "Group lags", "figure": "consumer_group_lag_messages", "by": ["bus", "consumer_group"], "threshold": 5000,
        "severity": "error"
    })
}

#[derive(Clone, Copy)]
struct Way {
    script: Script,
    width: u32,
}

impl Way {
    async fn look(self, browser: &Browser, name: &str) {
        look(browser, name).await;
        browser.resize(self.width, 900).await;
    }
}

/// An open tab says what fires: in its title and beside the navigation, and the list does not move.
async fn hear(desk: &Desk, browser: &Browser, way: Way) {
    browser.goto(&desk.redrive.url("/alerts")).await;
    browser.wait_for_text("Nothing fires").await;
    assert_eq!(browser.title().await, "Alerts - Redrive");
    way.look(browser, "alerts-calm").await;
    desk.rule(always()).await;
    desk.watch(browser, way.script, "1 alert fires.").await;
    if way.script == Script::On {
        let rings = async || browser.title().await == "(1) Alerts - Redrive";
        desk.redrive.wait_until("the title says that one fires", PATIENCE, rings).await;
        assert_eq!(browser.evaluate("return document.querySelector('#nav .side-count[data-tone=bad]').textContent").await, "1");
        let icon = browser.evaluate("return document.querySelector('link[rel=icon]').getAttribute('href')").await;
        assert!(icon.as_str().is_some_and(|href| href.contains("favicon-firing")), "{icon}");
        second(desk, browser, way).await;
    }
    browser.wait_for_text("1 alert fires.").await;
    let one = async || {
        // What fires after the frame of a page was read and before its list was is in the list alone, until somebody looks again.
        if way.script == Script::Off {
            browser.goto(&desk.redrive.url("/alerts")).await;
        }
        browser.title().await == "(1) Alerts - Redrive"
    };
    desk.redrive.wait_until("the title says that one fires", PATIENCE, one).await;
    way.look(browser, "alerts-firing").await;
}

/// What fires while somebody looks at the list waits behind a link.
async fn second(desk: &Desk, browser: &Browser, way: Way) {
    let mut other = always();
    other["name"] = json!("Another");
    let other = desk.rule(other).await;
    browser.wait_for_text("Show 1 newer").await;
    assert_eq!(browser.count("#alerts tbody .act form").await, 1, "nothing moves by itself");
    way.look(browser, "alerts-newer").await;
    browser.click_link("Show 1 newer").await;
    browser.wait_for_text("2 alerts fire, and nobody has them yet.").await;
    let path = desk.redrive.url(&format!("/api/v1/alert-rules/{other}"));
    assert!(desk.client.delete(path).send().await.expect("redrive answers").status().is_success());
    let over = async || {
        browser.goto(&desk.redrive.url("/alerts")).await;
        browser.text().await.contains("1 alert fires.")
    };
    desk.redrive.wait_until("the other alert ends with its rule", PATIENCE, over).await;
}

/// Somebody has it, and then nobody is told of it for a while.
async fn act(desk: &Desk, browser: &Browser, way: Way) {
    browser.click_link("Rehearsal").await;
    browser.wait_for_text("Nobody has it yet.").await;
    browser.wait_for_text("What changed just before").await;
    assert_eq!(browser.text_of(".page-head .btn-primary").await, "See receivers", "the way to the cause is one click");
    way.look(browser, "alert-firing").await;
    browser.fill("#note", "Looking at it").await;
    browser.fill("#until", "2h").await;
    browser.click("aside form button[type=submit]").await;
    browser.wait_for_text("Rehearsal acknowledged").await;
    browser.wait_for_text("Looking at it").await;
    way.look(browser, "alert-acknowledged").await;
    browser.click("a[href^='/silences/new?alert=']").await;
    browser.wait_for_text("It covers the one alert that is active now.").await;
    way.look(browser, "silence-new").await;
    browser.fill("input[name=value0]", "Something else").await;
    browser.click("button[value=preview]").await;
    browser.wait_for_text("It does not cover the one alert that is active now.").await;
    browser.fill("input[name=value0]", "Rehearsal").await;
    browser.fill("#comment", "A rehearsal").await;
    browser.click("button[value=save]").await;
    browser.wait_for_text("1 silence is in force.").await;
    way.look(browser, "silences").await;
    desk.watch(browser, way.script, "1 alert goes on without telling anybody.").await;
    if way.script == Script::On {
        let calm = async || browser.title().await == "Silences - Redrive";
        desk.redrive.wait_until("the title is calm again", PATIENCE, calm).await;
    }
    browser.goto(&desk.redrive.url("/alerts")).await;
    browser.wait_for_text("1 silenced").await;
    way.look(browser, "alerts-silenced").await;
}

/// A rule that never fired is tried, found too dull, corrected and saved.
async fn mend(desk: &Desk, browser: &Browser, way: Way) {
    let rule = desk.rule(lags()).await;
    let path = format!("/alert-rules/{rule}");
    browser.goto(&desk.redrive.url("/alert-rules")).await;
    browser.wait_for_text("Group lags").await;
    way.look(browser, "rules").await;
    browser.goto(&desk.redrive.url(&path)).await;
    browser.wait_for_text("It would not have fired.").await;
    way.look(browser, "rule").await;
    browser.fill("#for", "soon").await;
    browser.click("button[value=try]").await;
    browser.wait_for("#for-error").await;
    let told = browser.complaints().await;
    assert!(told.iter().all(|told| told.contains("422")), "the browser notes that the server refused, and nothing else: {told:?}");
    way.look(browser, "rule-wrong").await;
    browser.fill("#for", "2m").await;
    browser.fill("#threshold", "500").await;
    browser.click("button[value=try]").await;
    browser.wait_for_text("It would have fired once").await;
    browser.wait_for_text("The rule as saved would not have fired.").await;
    browser.wait_for_text("prod, billing").await;
    way.look(browser, "rule-tried").await;
    browser.click("button[value=save]").await;
    browser.wait_for_text("Rule saved").await;
    assert_eq!(browser.evaluate("return document.getElementById('threshold').value").await, "500");
    browser.goto(&desk.redrive.url("/alert-rules/new")).await;
    browser.wait_for_text("Not tried yet").await;
    way.look(browser, "rule-new").await;
    browser.evaluate("const s = document.getElementById('figure'); s.value = 'spans_error_ratio'; s.dispatchEvent(new Event('change', { bubbles: true }))").await;
    if way.script == Script::Off {
        browser.click("button[value=figure]").await;
    }
    browser.wait_for("#filter_service").await;
    browser.wait_for_text("Error budget of a goal").await;
}

async fn journey(way: Way) {
    let desk = Desk::set().await;
    let browser = Browser::open(way.script).await;
    browser.resize(way.width, 900).await;
    hear(&desk, &browser, way).await;
    act(&desk, &browser, way).await;
    mend(&desk, &browser, way).await;
    assert!(browser.complaints().await.is_empty());
}

/// Puts the page behind another tab, or in front of it, as a browser tells it.
async fn hide(browser: &Browser, hidden: bool) {
    let state = if hidden { "hidden" } else { "visible" };
    let script = format!(
        "const says = (name, value) => Object.defineProperty(document, name, {{ value, configurable: true }});
        says('hidden', {hidden}); says('visibilityState', '{state}'); document.dispatchEvent(new Event('visibilitychange'))"
    );
    browser.evaluate(&script).await;
}

/// How often the page has asked for what stands around it.
async fn asked(browser: &Browser) -> u64 {
    let script = "return performance.getEntriesByType('resource').filter((entry) => entry.name.includes('/shell?')).length";
    browser.evaluate(script).await.as_u64().expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tab_that_nobody_sees_says_what_fires_and_stays_as_it_is_when_the_session_ends() {
    let mut redrive = Setup::new().prepare();
    redrive.add_user("mara", "admin", PASSWORD);
    redrive.start().await;
    let client = redrive.client("admin");
    let browser = Browser::open(Script::On).await;
    browser.goto(&redrive.url("/login?next=%2Falerts")).await;
    browser.fill("#username", "mara").await;
    browser.fill("#password", &format!("{PASSWORD}{}", keys::ENTER)).await;
    browser.wait_for_text("Nothing fires").await;
    hide(&browser, true).await;
    let added = client.post(redrive.url("/api/v1/alert-rules")).json(&always()).send().await.expect("redrive answers");
    assert!(added.status().is_success(), "{added:?}");
    let rings = async || browser.title().await == "(1) Alerts - Redrive";
    redrive.wait_until("the title says that one fires", PATIENCE, rings).await;
    assert_eq!(browser.evaluate("return document.querySelector('#nav .side-count[data-tone=bad]').textContent").await, "1");
    let icon = browser.evaluate("return document.querySelector('link[rel=icon]').getAttribute('href')").await;
    assert!(icon.as_str().is_some_and(|href| href.contains("favicon-firing")), "{icon}");
    assert!(browser.text_of("#alerts").await.contains("Nothing fires"), "only what is seen of a tab is fetched");
    hide(&browser, false).await;
    browser.wait_for_text("1 alert fires.").await;

    let left = browser.evaluate("return fetch('/logout', { method: 'POST' }).then((answer) => answer.ok)").await;
    assert_eq!(left, true);
    let address = browser.address().await;
    hide(&browser, true).await;
    let before = asked(&browser).await;
    redrive.wait_until("it has asked once more", PATIENCE, async || asked(&browser).await > before).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!((browser.address().await, browser.title().await.as_str()), (address, "(1) Alerts - Redrive"), "nothing is lost");
    assert_eq!(browser.count("#toasts .toast").await, 0, "and nobody is disturbed");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_is_heard_of_taken_and_silenced_and_a_rule_is_mended_on_a_desk() {
    journey(Way { script: Script::On, width: 1440 }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_is_heard_of_taken_and_silenced_and_a_rule_is_mended_on_a_phone() {
    journey(Way { script: Script::On, width: 390 }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_is_seen_taken_and_silenced_and_a_rule_is_mended_without_script() {
    journey(Way { script: Script::Off, width: 390 }).await;
}
