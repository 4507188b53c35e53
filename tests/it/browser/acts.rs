//! Discard, undo and purge in a real browser: by keyboard and by mouse, with script and without, on every width and in both themes.
//! `REDRIVE_PICTURES=folder` keeps a picture of each page.

use std::path::PathBuf;

use serde_json::Value;

use crate::harness::browser::{Browser, Script};
use crate::harness::kafka::{self, Outgoing, unique};
use crate::harness::redrive::{PATIENCE, Redrive, Setup, http};

const LETTERS: usize = 30;

/// Thirty dead letters on three partitions, a consumer group that has not read all of them, and a Redrive without login.
struct Scene {
    redrive: Redrive,
    topic: String,
    group: String,
}

impl Scene {
    async fn set() -> Self {
        let kafka = kafka::shared();
        let topic = kafka.topic("acts", 3, &[]).await;
        let letter = |n: usize| {
            Outgoing::to(topic.as_str())
                .partition(i32::try_from(n % 3).expect("few"))
                .key(format!("ord-{n}"))
                .value(format!(r#"{{"orderId":{n}}}"#))
                .header("kafka_dlt-original-topic", "orders")
                .header("kafka_dlt-original-consumer-group", "payment-service")
                .header("kafka_dlt-exception-fqcn", "java.lang.IllegalStateException")
                .header("kafka_dlt-exception-message", "token expired")
        };
        kafka.produce(&(0..LETTERS).map(letter).collect::<Vec<_>>()).await;
        let group = unique("archiver");
        kafka.commit(&group, &[(&topic, 1, 4)]).await;
        let others = r#"["*dlt*", "*DLT*", "*dlq*", "*DLQ*", "*dead*", "*Dead*", "*poison*", "error.*"]"#;
        let section = format!("[bus.dead_letters]\npatterns = [\"{topic}\"]\nexclude = {others}\n");
        let redrive = Setup::new().without_login().bus_with("prod", &kafka.bootstrap(), &section).start().await;
        let scene = Self { redrive, topic, group };
        let all = async || scene.list("").await.len() == LETTERS;
        scene.redrive.wait_until("every dead letter is indexed", PATIENCE, all).await;
        scene
    }

    async fn list(&self, query: &str) -> Vec<Value> {
        let answer = http().get(self.redrive.url(&format!("/api/v1/dead-letters?limit=1000{query}"))).send().await.expect("answered");
        // While it starts, every answer is that it is not ready.
        let answer = answer.json::<Value>().await.unwrap_or_default();
        answer["items"].as_array().cloned().unwrap_or_default()
    }

    fn url(&self, path: &str) -> String {
        self.redrive.url(path)
    }
}

/// The page as it stands, on every width and in both themes: nothing is refused, nothing scrolls sideways.
pub(super) async fn look(browser: &Browser, name: &str) {
    for (width, height, dark) in [(1024, 768, false), (390, 844, false), (390, 844, true), (1440, 900, true), (1440, 900, false)] {
        browser.resize(width, height).await;
        browser.prefer_dark(dark).await;
        browser.assert_fits().await;
        if let Some(folder) = std::env::var_os("REDRIVE_PICTURES") {
            let theme = if dark { "dark" } else { "light" };
            browser.screenshot(&PathBuf::from(folder).join(format!("{name}-{width}-{theme}.png"))).await;
        }
    }
    let complaints = browser.complaints().await;
    assert!(complaints.is_empty(), "{name}: {complaints:?}");
}

async fn by_keyboard(browser: &Browser, scene: &Scene) {
    browser.goto(&scene.url("/dead-letters")).await;
    browser.wait_for_text("token expired").await;
    browser.press(&['j', 'x', 'j', 'x']).await;
    browser.wait_for_text("2 selected").await;
    look(browser, "list-selected").await;
    browser.press(&['d']).await;
    browser.wait_for_address("/dead-letters/discard?id=").await;
    browser.wait_for_text("Discard 2 dead letters").await;
    look(browser, "discard-ask").await;
    // The field has the focus: what is typed is the reason, and no key of the page.
    browser.press(&"duplicate of yesterday's".chars().collect::<Vec<_>>()).await;
    browser.click("form[action='/dead-letters/discard'] button[type=submit]").await;
    browser.wait_for_text("2 dead letters discarded").await;
    assert!(browser.address().await.ends_with("/dead-letters"), "back to the list: {}", browser.address().await);
    // What has the focus stays, however long somebody looks at it.
    browser.evaluate("document.querySelector('#toasts form button').focus()").await;
    look(browser, "list-undo").await;
    assert_eq!(scene.list("&status=discarded").await.len(), 2);
    browser.click("#toasts form button").await;
    browser.wait_for_text("2 dead letters open again").await;
    assert_eq!(scene.list("&status=discarded").await.len(), 0);
}

async fn one_and_all(browser: &Browser, scene: &Scene) {
    let id = scene.list("").await[0]["id"].as_str().expect("an id").to_owned();
    browser.goto(&scene.url(&format!("/dead-letters/{id}"))).await;
    browser.click("a[href^='/dead-letters/discard']").await;
    browser.fill("#reason", "customer was called").await;
    browser.click("form[action='/dead-letters/discard'] button[type=submit]").await;
    browser.wait_for_text("1 dead letter discarded").await;
    browser.wait_for_text("customer was called").await;
    look(browser, "letter-discarded").await;
    browser.goto(&scene.url(&format!("/dead-letters?topic={}&select=all", scene.topic))).await;
    browser.wait_for_text("All 29 that match are selected").await;
    look(browser, "list-all").await;
    browser.click("a[href^='/dead-letters/discard']").await;
    browser.wait_for_text("Discard 29 dead letters").await;
    browser.fill("#reason", "load test").await;
    browser.click("form[action='/dead-letters/discard'] button[type=submit]").await;
    browser.wait_for_text("29 dead letters discarded").await;
    browser.click("#toasts a[href^='/discards/']").await;
    browser.wait_for_text("Discard of 29 dead letters").await;
    look(browser, "discard-act").await;
    browser.click("form[action='/dead-letters/restore'] button").await;
    browser.wait_for_text("Taken back").await;
    browser.goto(&scene.url("/dead-letters?status=discarded&select=all")).await;
    browser.wait_for_text("All 1 that match are selected").await;
    look(browser, "list-discarded").await;
    browser.click("button[form='restore-all']").await;
    browser.wait_for_text("1 dead letter open again").await;
    assert_eq!(scene.list("&status=open").await.len(), LETTERS);
}

async fn purge(browser: &Browser, scene: &Scene, script: Script) {
    browser.goto(&scene.url("/purges")).await;
    look(browser, "purges").await;
    browser.goto(&scene.url(&format!("/buses/prod/topics/{}", scene.topic))).await;
    browser.click("details.pop-end > summary.btn-danger").await;
    look(browser, "topic-purge").await;
    browser.click("form[action='/purges'] button[type=submit]").await;
    browser.wait_for_text("One cut per partition").await;
    let text = browser.text().await;
    assert!(text.contains(&format!("{} would never read 6 records", scene.group)), "{text}");
    look(browser, "purge-plan").await;
    let off = async || browser.evaluate("return document.querySelector('[data-when-confirmed]').disabled").await;
    assert_eq!(off().await, script == Script::On, "with script the button waits for the name");
    browser.fill("#typed", "wrong").await;
    if script == Script::Off {
        browser.click("[data-when-confirmed]").await;
        browser.wait_for("#typed-error").await;
        let told = browser.complaints().await;
        assert!(told.iter().all(|told| told.contains("422")), "the browser notes that the server refused, and nothing else: {told:?}");
        look(browser, "purge-refused").await;
    }
    assert_eq!(off().await, script == Script::On);
    browser.fill("#typed", &scene.topic).await;
    for warning in 0..browser.count("input[name=accept]").await {
        browser.evaluate(&format!("document.querySelectorAll('input[name=accept]')[{warning}].checked = true")).await;
    }
    assert_eq!(off().await, false);
    browser.click("[data-when-confirmed]").await;
    if script == Script::On {
        browser.wait_for_text("Completed").await;
    } else {
        let purges = async || {
            let answer = http().get(scene.url("/api/v1/purges")).send().await.expect("answered").json::<Value>().await.expect("JSON");
            answer["items"][0]["state"] == "completed"
        };
        scene.redrive.wait_until("the purge has completed", PATIENCE, purges).await;
        browser.goto(&browser.address().await).await;
    }
    browser.wait_for_text("30 of 30 records deleted").await;
    look(browser, "purge-done").await;
    assert_eq!(scene.list("&presence=purged&status=open").await.len(), LETTERS, "custody and status stay");
    browser.goto(&scene.url("/purges")).await;
    browser.wait_for_text("Completed").await;
    look(browser, "purges-one").await;
}

#[tokio::test]
async fn discard_undo_and_purge_work_by_keyboard_and_by_mouse() {
    let scene = Scene::set().await;
    let browser = Browser::open(Script::On).await;
    by_keyboard(&browser, &scene).await;
    one_and_all(&browser, &scene).await;
    purge(&browser, &scene, Script::On).await;
}

#[tokio::test]
async fn discard_undo_and_purge_work_without_script() {
    let scene = Scene::set().await;
    let browser = Browser::open(Script::Off).await;
    one_and_all(&browser, &scene).await;
    purge(&browser, &scene, Script::Off).await;
}
