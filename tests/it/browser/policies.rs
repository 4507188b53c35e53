//! A replay policy in a real browser: made from a failure group by an administrator, switched on, watched, edited, switched off and
//! deleted; on a desk and on a phone, with script and without.

use serde_json::Value;

use super::acts::look;
use crate::harness::browser::{Browser, Script};
use crate::harness::kafka;
use crate::harness::redrive::{PATIENCE, Redrive, Setup};
use crate::replay::outcome::{Service, Temper};
use crate::replay::scene::{Scene, section};

const LETTERS: usize = 12;
const PASSWORD: &str = "correct horse battery";

/// Twelve dead letters of one cause, a service that is mended, and a Redrive with an administrator.
struct Desk {
    scene: Scene,
    redrive: Redrive,
    client: reqwest::Client,
    _service: Service,
}

impl Desk {
    async fn set() -> Self {
        let kafka = kafka::shared();
        let mut scene = Scene::new(kafka, 2).await;
        scene.fail(kafka, 6, 2).await;
        // Whoever else reads the topic reads what is replayed too: a plan warns of it.
        kafka.commit(&format!("{}-reports", scene.origin), &[(&scene.origin, 0, 0), (&scene.origin, 1, 0)]).await;
        let mut redrive = Setup::new().bus_with("prod", &kafka.bootstrap(), &section(&[&scene.dead_letters])).prepare();
        redrive.add_user("mara", "admin", PASSWORD);
        redrive.start().await;
        let client = redrive.client("viewer");
        let service = Service::run(kafka, &scene, &scene.group.clone(), Temper::Fine);
        let desk = Self { scene, redrive, client, _service: service };
        let path = format!("/api/v1/dead-letters?bus=prod&topic={}&status=open&limit=1000", desk.scene.dead_letters);
        let indexed = async || desk.get(&path).await["items"].as_array().map(Vec::len) == Some(LETTERS);
        desk.redrive.wait_until("every dead letter is indexed", PATIENCE, indexed).await;
        desk
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.client.get(self.redrive.url(path)).send().await.expect("redrive answers");
        answer.json().await.unwrap_or_default()
    }

    async fn log_in(&self, browser: &Browser) {
        browser.goto(&self.redrive.url("/failure-groups")).await;
        browser.wait_for("#password").await;
        browser.fill("#username", "mara").await;
        browser.fill("#password", PASSWORD).await;
        browser.click("button[type=submit]").await;
        browser.wait_for_text("CardDeclined").await;
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

/// Where the journey is made: all widths are looked at, and this one is worked with.
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

/// From the failure group to a policy that is saved, and does nothing yet.
async fn make(desk: &Desk, browser: &Browser, way: Way) {
    browser.goto(&desk.redrive.url("/replay-policies")).await;
    browser.wait_for_text("No policies").await;
    way.look(browser, "policies-none").await;
    browser.goto(&desk.redrive.url("/failure-groups")).await;
    browser.click("tbody td.grow a").await;
    browser.wait_for_text("Replay by policy").await;
    browser.click("a[href^='/replay-policies/new']").await;
    browser.wait_for_text("It is saved switched off").await;
    way.look(browser, "policy-new").await;
    browser.fill("#name", "Card payments").await;
    browser.click("input[name=existing]").await;
    browser.fill("#first_delay", "1s").await;
    browser.fill("#settle", "1s").await;
    browser.click("input[name=accept][value=other_consumer_groups]").await;
    browser.click("form[action='/replay-policies'] button[type=submit]").await;
    browser.wait_for_text("It is switched off until you switch it on").await;
    browser.wait_for_text("No runs yet").await;
    assert_eq!(browser.text_of("h1 .status-chip").await, "Off");
    way.look(browser, "policy-off").await;
    assert_eq!(desk.get("/api/v1/replays").await["items"], serde_json::json!([]), "switched off, it replays nothing");
}

/// Switched on, it replays everything by a run that carries its name.
async fn run(desk: &Desk, browser: &Browser, way: Way) {
    browser.click("form[action$='/switch'] button").await;
    browser.wait_for_text("Policy switched on").await;
    let here = browser.address().await;
    desk.watch(browser, way.script, "in 1 run").await;
    let resolved = async || desk.get("/api/v1/replays").await["items"][0]["resolved"] == LETTERS;
    desk.redrive.wait_until("its run has repaired everything", PATIENCE, resolved).await;
    desk.watch(browser, way.script, "Completed").await;
    way.look(browser, "policy-ran").await;
    browser.click("#runs tbody a").await;
    browser.wait_for_address("/replays/").await;
    browser.wait_for_text("12 of 12 sent").await;
    assert_eq!(browser.text_of("h1 bdi").await, "Card payments", "the run has the policy's name");
    way.look(browser, "policy-run").await;
    browser.goto(&here).await;
}

/// Wrong terms are named, what was typed is kept, and right ones are shown as they were written.
async fn edit(browser: &Browser, way: Way) {
    const SAVE: &str = "form.panel button[type=submit]";
    browser.fill("#give_up_after", "7").await;
    browser.fill("#cool_down", "90m").await;
    browser.fill("#first_delay", "soon").await;
    browser.click(SAVE).await;
    browser.wait_for("#first_delay-error").await;
    assert!(browser.text_of("#first_delay-error").await.contains("First after: a length of time from 1s to 7d"));
    let told = browser.complaints().await;
    assert!(told.iter().all(|told| told.contains("422")), "the browser notes that the server refused, and nothing else: {told:?}");
    let typed = "return ['first_delay', 'give_up_after', 'cool_down', 'name'].map((id) => document.getElementById(id).value)";
    assert_eq!(browser.evaluate(typed).await, serde_json::json!(["soon", "7", "90m", "Card payments"]), "what was typed stays");
    assert_eq!(browser.evaluate("return document.activeElement.id").await, "first_delay", "the field that is wrong has the focus");
    way.look(browser, "policy-wrong-field").await;
    browser.fill("#first_delay", "10m").await;
    browser.click(SAVE).await;
    browser.wait_for_text("Policy saved").await;
    assert_eq!(browser.evaluate(typed).await, serde_json::json!(["10m", "7", "90m", "Card payments"]));
}

async fn end(desk: &Desk, browser: &Browser, way: Way) {
    browser.goto(&desk.redrive.url("/replay-policies")).await;
    browser.wait_for_text("1 policy is switched on").await;
    way.look(browser, "policies").await;
    browser.click_link("Card payments").await;
    browser.wait_for_text("Switch off").await;
    browser.click("form[action$='/switch'] button").await;
    browser.wait_for_text("Policy switched off").await;
    assert_eq!(browser.text_of("h1 .status-chip").await, "Off");
    browser.click("details.pop-end > summary.btn-danger").await;
    way.look(browser, "policy-delete").await;
    browser.click("form[action$='/delete'] button").await;
    browser.wait_for_text("Policy deleted").await;
    browser.wait_for_text("No policies").await;
    browser.goto(&desk.redrive.url("/replays")).await;
    browser.wait_for_text("Card payments").await;
    way.look(browser, "policy-replays").await;
}

async fn journey(way: Way) {
    let desk = Desk::set().await;
    let browser = Browser::open(way.script).await;
    browser.resize(way.width, 900).await;
    desk.log_in(&browser).await;
    make(&desk, &browser, way).await;
    run(&desk, &browser, way).await;
    edit(&browser, way).await;
    end(&desk, &browser, way).await;
    assert!(browser.complaints().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_is_made_switched_on_edited_and_deleted_on_a_desk() {
    journey(Way { script: Script::On, width: 1440 }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_is_made_switched_on_edited_and_deleted_on_a_phone() {
    journey(Way { script: Script::On, width: 390 }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_is_made_switched_on_edited_and_deleted_without_script() {
    journey(Way { script: Script::Off, width: 390 }).await;
}
