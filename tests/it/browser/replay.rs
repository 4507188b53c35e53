//! Replays in a real browser: planned from a failure group, watched, stopped by the canary, paused, resumed, slowed and cancelled;
//! by mouse, by keyboard alone, and without script.

use serde_json::Value;

use super::acts::look;
use crate::harness::browser::{Browser, Script, keys};
use crate::harness::kafka;
use crate::harness::redrive::{PATIENCE, Redrive, Setup};
use crate::replay::outcome::{Service, Temper};
use crate::replay::scene::{Scene, get};

const KEYS: usize = 20;
/// Two letters of each key.
const FEW: usize = 2;
/// Those that come back last for two minutes at one a second, however long somebody looks at the page meanwhile.
const MANY: usize = 8;

/// Dead letters of one cause, a second consumer group on their origin topic, and a Redrive without login.
struct Desk {
    scene: Scene,
    redrive: Redrive,
}

impl Desk {
    async fn set(each: usize) -> Self {
        let kafka = kafka::shared();
        let mut scene = Scene::new(kafka, 2).await;
        scene.fail(kafka, KEYS, each).await;
        // Whoever else reads the topic reads what is replayed too: a plan warns of it.
        kafka.commit(&format!("{}-reports", scene.origin), &[(&scene.origin, 0, 0), (&scene.origin, 1, 0)]).await;
        let redrive = scene.setup(kafka, Setup::new()).start().await;
        scene.until_indexed(&redrive, KEYS * each).await;
        Self { scene, redrive }
    }

    fn serve(&self, temper: Temper) -> Service {
        Service::run(kafka::shared(), &self.scene, &self.scene.group.clone(), temper)
    }

    /// Opens the one failure group that has open dead letters.
    async fn open_failure_group(&self, browser: &Browser) {
        let groups = get(&self.redrive, &format!("/api/v1/failure-groups?bus=prod&topic={}", self.scene.dead_letters)).await;
        let fingerprint = groups["items"][0]["fingerprint"].as_str().expect("a failure group").to_owned();
        browser.goto(&self.redrive.url(&format!("/buses/prod/failure-groups/{fingerprint}"))).await;
        browser.wait_for_text("Replay").await;
    }

    /// The newest replay as the API tells it.
    async fn newest(&self) -> Value {
        get(&self.redrive, "/api/v1/replays?limit=1").await["items"][0].clone()
    }

    /// Waits until the page says this: by itself with script, by loading it again without.
    async fn watch(&self, browser: &Browser, script: Script, words: &str) {
        if script == Script::Off {
            // The page itself, also while a form below it is still being answered.
            let id = self.newest().await["id"].as_str().expect("an id").to_owned();
            let here = self.redrive.url(&format!("/replays/{id}"));
            let says = async || {
                browser.goto(&here).await;
                browser.text().await.contains(words)
            };
            self.redrive.wait_until(words, PATIENCE, says).await;
        }
        browser.wait_for_text(words).await;
    }
}

/// The page has sent a form that the server refused: the browser notes it, and nothing else.
async fn assert_only_refused(browser: &Browser) {
    let told = browser.complaints().await;
    assert!(told.iter().all(|told| told.contains("422")), "{told:?}");
}

/// A canary of a hundred and twenty, five seconds of rest, every warning ticked.
async fn fill_in_the_plan(browser: &Browser) {
    browser.fill("#rate", "fast").await;
    browser.fill("#canary_count", "120").await;
    browser.fill("#canary_settle", "5").await;
    browser.click("#start button[type=submit]").await;
    browser.wait_for("#rate-error").await;
    assert_only_refused(browser).await;
    look(browser, "replay-wrong-field").await;
    browser.fill("#rate", "").await;
    browser.click("#start button[type=submit]").await;
    browser.wait_for_text("Tick that you have read the warnings").await;
    assert_only_refused(browser).await;
    let typed = browser.evaluate("return [document.getElementById('canary_count').value, document.getElementById('canary_settle').value]");
    assert_eq!(typed.await, serde_json::json!(["120", "5"]), "what was typed stays");
    look(browser, "replay-unticked").await;
    browser.click("#start input[name=accept]").await;
    browser.click("#start button[type=submit]").await;
}

/// Messages fail again, the canary stops; the fix is deployed, and the rest goes out.
async fn stop_and_go_on(desk: &Desk, browser: &Browser, script: Script) {
    let service = desk.serve(Temper::FailsWithHeaders);
    desk.open_failure_group(browser).await;
    look(browser, "failure-group-open").await;
    browser.click("form[action='/replays'] button").await;
    browser.wait_for_address("/replays/").await;
    desk.watch(browser, script, "Start this replay").await;
    assert!(browser.text().await.contains("Replay 160 dead letters"));
    look(browser, "replay-plan").await;
    fill_in_the_plan(browser).await;
    desk.watch(browser, script, "Stopped by itself").await;
    desk.watch(browser, script, "120 of 160 sent, 0 resolved, 120 failed again").await;
    look(browser, "replay-stopped").await;
    assert_eq!(desk.newest().await["waiting"], 40);
    service.mend();
    browser.click("form[action$='/resume'] button").await;
    desk.watch(browser, script, "160 of 160 sent").await;
    look(browser, "replay-completed").await;
    assert_eq!(desk.newest().await["state"], "completed");
}

/// What came back is replayed slowly: paused, resumed, slowed further, cancelled.
async fn steer(desk: &Desk, browser: &Browser, script: Script) {
    let open = async || {
        get(&desk.redrive, &format!("/api/v1/dead-letters?bus=prod&topic={}&status=open&limit=1000", desk.scene.dead_letters)).await
    };
    desk.redrive.wait_until("what came back is open", PATIENCE, async || open().await["items"].as_array().map(Vec::len) == Some(120)).await;
    desk.open_failure_group(browser).await;
    browser.click("form[action='/replays'] button").await;
    browser.wait_for_address("/replays/").await;
    desk.watch(browser, script, "Start this replay").await;
    browser.fill("#rate", "1").await;
    browser.click("#start input[name=canary]").await;
    browser.click("#start input[name=accept]").await;
    browser.click("#start button[type=submit]").await;
    desk.watch(browser, script, "of 120 sent").await;
    look(browser, "replay-running").await;
    browser.click("form[action$='/pause'] button").await;
    desk.watch(browser, script, "Paused by a person").await;
    look(browser, "replay-paused").await;
    browser.click("form[action$='/resume'] button").await;
    desk.watch(browser, script, "Running").await;
    // Typed as a person does, with the focus in the field: nothing may be swapped under it.
    browser.click("form[action$='/rate'] input").await;
    browser.press(&[keys::CONTROL, 'a']).await;
    browser.press(&['0', keys::ENTER]).await;
    browser.wait_for("#rate-error").await;
    assert_only_refused(browser).await;
    browser.click("form[action$='/cancel'] button").await;
    desk.watch(browser, script, "the rest is open again").await;
    look(browser, "replay-cancelled").await;
    let ended = desk.newest().await;
    let sent = ended["sent_total"].as_u64().expect("a number");
    assert!(ended["state"] == "cancelled" && (1..120).contains(&sent), "{ended}");
    browser.goto(&desk.redrive.url("/replays")).await;
    browser.wait_for_text("Cancelled").await;
    look(browser, "replays").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_is_stopped_by_its_canary_and_steered_by_a_person() {
    let desk = Desk::set(MANY).await;
    let browser = Browser::open(Script::On).await;
    stop_and_go_on(&desk, &browser, Script::On).await;
    steer(&desk, &browser, Script::On).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_is_stopped_and_steered_without_script() {
    let desk = Desk::set(MANY).await;
    let browser = Browser::open(Script::Off).await;
    stop_and_go_on(&desk, &browser, Script::Off).await;
    steer(&desk, &browser, Script::Off).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_keys_lead_from_a_failure_group_to_a_finished_replay() {
    let desk = Desk::set(FEW).await;
    let _service = desk.serve(Temper::Fine);
    let browser = Browser::open(Script::On).await;
    desk.open_failure_group(&browser).await;
    browser.press(&['r']).await;
    browser.wait_for_text("I have read the 1 warning").await;
    browser.press(&['a', 'r']).await;
    browser.wait_for_text("Canary settling").await;
    look(&browser, "replay-settling").await;
    // The canary rests for a minute; who is sure that it is well ends the rest by planning without one. Here it is waited for.
    let finished = async || desk.newest().await["state"] == "completed";
    desk.redrive.wait_until("the replay is finished", PATIENCE * 3, finished).await;
    browser.wait_for_text("40 of 40 sent").await;
    browser.wait_for_text("Completed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tab_and_enter_lead_there_too_on_a_phone() {
    let desk = Desk::set(FEW).await;
    let _service = desk.serve(Temper::Fine);
    let browser = Browser::open(Script::On).await;
    browser.resize(390, 844).await;
    desk.open_failure_group(&browser).await;
    tab_to(&browser, "form[action='/replays'] button").await;
    browser.press(&[keys::ENTER]).await;
    browser.wait_for_text("I have read the 1 warning").await;
    tab_to(&browser, "#start input[name=canary]").await;
    browser.press(&[' ']).await;
    tab_to(&browser, "#start input[name=accept]").await;
    browser.press(&[' ', keys::ENTER]).await;
    browser.wait_for_text("40 of 40 sent").await;
    browser.wait_for_text("Completed").await;
    look(&browser, "replay-by-keyboard").await;
}

/// Presses Tab until something has the focus, as somebody without a mouse does.
async fn tab_to(browser: &Browser, css: &str) {
    for _ in 0..150 {
        browser.press(&[keys::TAB]).await;
        if browser.evaluate(&format!("return document.activeElement.matches(\"{css}\")")).await == true {
            let seen =
                browser.evaluate("const r = document.activeElement.getBoundingClientRect(); return r.top >= 0 && r.bottom <= innerHeight");
            assert_eq!(seen.await, true, "{css} has the focus but cannot be seen");
            return;
        }
    }
    panic!("Tab never reaches {css}");
}
