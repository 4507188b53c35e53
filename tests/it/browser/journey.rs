//! What a person on call does, in a real browser, on the real binary and a real Kafka: on a desk and on a phone, with script and
//! without, while the dead letters hold everything that an attacker could write.

use serde_json::Value;

use super::corpus::{ATTACKS, hostile, ordinary};
use crate::harness::browser::{Browser, Script, keys};
use crate::harness::kafka::{Kafka, Options, Outgoing};
use crate::harness::redrive::{PATIENCE, Redrive, Setup};

const PASSWORD: &str = "correct horse battery";
const ORDERS: &str = "orders";
const LETTERS: &str = "orders-dlt";

/// A shop with failures, and a Redrive that has seen them.
struct Scene {
    redrive: Redrive,
    /// Ids of the hostile dead letters.
    hostile: Vec<String>,
    _kafka: Kafka,
}

impl Scene {
    async fn set() -> Self {
        let kafka = Kafka::start(&Options::default());
        kafka.create_topic(ORDERS, 2, &[]).await;
        kafka.create_topic(LETTERS, 1, &[]).await;
        let orders: Vec<Outgoing> = (0..10).map(|n| Outgoing::to(ORDERS).partition(0).value(format!("order {n}"))).collect();
        kafka.produce(&orders).await;
        kafka.commit("shipping-service", &[(ORDERS, 0, 4)]).await;
        kafka.produce(&ordinary(LETTERS, ORDERS)).await;
        kafka.produce(&hostile(LETTERS)).await;
        let setup = Setup::new().bus("shop", &kafka.bootstrap());
        let mut redrive = setup.prepare();
        redrive.add_user("mara", "admin", PASSWORD);
        redrive.start().await;
        let client = redrive.client("viewer");
        let get = async |path: &str| -> Value {
            let answer = client.get(redrive.url(path)).send().await.expect("redrive answers");
            answer.json().await.expect("the API answers JSON")
        };
        let all = ordinary(LETTERS, ORDERS).len() + ATTACKS.len();
        let items = |answer: &Value| answer["items"].as_array().cloned().unwrap_or_default();
        redrive
            .wait_until("every dead letter is indexed", PATIENCE, async || {
                items(&get("/api/v1/dead-letters?bus=shop&limit=1000").await).len() == all
            })
            .await;
        redrive
            .wait_until("the consumer group is sampled", PATIENCE, async || {
                !items(&get("/api/v1/buses/shop/consumer-groups").await).is_empty()
            })
            .await;
        let letters = items(&get("/api/v1/dead-letters?bus=shop&limit=1000").await);
        let is_hostile = |letter: &&Value| !matches!(letter["consumer_group"].as_str(), Some("shipping-service" | "payment-service"));
        let hostile: Vec<String> = letters.iter().filter(is_hostile).filter_map(|l| l["id"].as_str().map(str::to_owned)).collect();
        assert_eq!(hostile.len(), ATTACKS.len(), "{letters:?}");
        Self { redrive, hostile, _kafka: kafka }
    }
}

/// Nothing that a page must never do has happened: no script of others, no refused load, no sideways scroll.
async fn assert_calm(browser: &Browser) {
    let address = browser.address().await;
    let title = browser.title().await;
    assert!(title.ends_with(" - Redrive"), "{address}: title {title:?}");
    assert_eq!(
        browser.evaluate("return window.attacked === undefined && !document.querySelector('iframe, base')").await,
        true,
        "{address}"
    );
    let complaints = browser.complaints().await;
    assert!(complaints.is_empty(), "{address}: {complaints:?}");
    browser.assert_fits().await;
}

async fn log_in(browser: &Browser, redrive: &Redrive) {
    browser.goto(&redrive.url("/failure-groups")).await;
    browser.wait_for("#password").await;
    assert_calm(browser).await;
    browser.fill("#username", "mara").await;
    browser.fill("#password", PASSWORD).await;
    browser.click("button[type=submit]").await;
    browser.wait_for_text("SocketTimeoutException").await;
}

/// Opens an address, waits for what must stand there, and checks the page.
async fn look(browser: &Browser, redrive: &Redrive, path: &str, expected: &str) {
    browser.goto(&redrive.url(path)).await;
    browser.wait_for_text(expected).await;
    assert_calm(browser).await;
}

/// From the failure groups over a filter to one dead letter.
async fn find_the_cause(browser: &Browser, redrive: &Redrive) {
    look(browser, redrive, "/failure-groups?bus=shop", "SocketTimeoutException").await;
    look(browser, redrive, "/dead-letters?bus=shop", "token expired").await;
    browser.fill("form.filters input[name=q]", &format!("carrier{}", keys::ENTER)).await;
    browser.wait_for_address("q=carrier").await;
    browser.wait_for_text("carrier timed out").await;
    assert!(!browser.text().await.contains("token expired"), "the filter holds");
    assert_calm(browser).await;
    browser.click("tbody td.grow a").await;
    browser.wait_for_text("CarrierClient").await;
    assert!(browser.address().await.contains("/dead-letters/"));
    let text = browser.text().await;
    assert!(text.contains("orderId") && text.contains("shipping-service"), "{text}");
    assert_calm(browser).await;
}

/// The pages of the bus itself.
async fn look_around(browser: &Browser, redrive: &Redrive) {
    let pages = [
        ("/?bus=shop", "SocketTimeoutException"),
        ("/buses", "Connected"),
        ("/buses/shop/topics", LETTERS),
        ("/buses/shop/topics/orders-dlt", "Dead-letter topic"),
        ("/buses/shop/topics/orders?tab=consumer_groups", "shipping-service"),
        ("/buses/shop/topics/orders?tab=configuration", "Cleanup"),
        ("/buses/shop/topics/orders-dlt?tab=records", "Nothing has been read yet"),
        ("/buses/shop/topics/orders-dlt?tab=records&partition=0&offset=20&limit=20", "attacked"),
        ("/buses/shop/topics/orders-dlt?tab=records&partition=0&record=3", "carrier timed out"),
        ("/buses/shop/topics/orders-dlt?tab=records&partition=0&record=25", "attacked"),
        ("/buses/shop/consumer-groups", "shipping-service"),
        ("/buses/shop/consumer-groups/shipping-service", "6 records left to read"),
        ("/audit", "Log in"),
    ];
    for (path, expected) in pages {
        look(browser, redrive, path, expected).await;
    }
}

/// Every page that shows what attackers wrote.
async fn look_at_attacks(browser: &Browser, scene: &Scene) {
    look(browser, &scene.redrive, "/failure-groups?bus=shop&status=all", "attacked").await;
    look(browser, &scene.redrive, "/dead-letters?bus=shop&status=all", "attacked").await;
    for id in &scene.hostile {
        look(browser, &scene.redrive, &format!("/dead-letters/{id}"), "Headers").await;
    }
}

async fn use_the_palette(browser: &Browser) {
    browser.press(&[keys::CONTROL, 'k']).await;
    browser.wait_for("#palette[open]").await;
    browser.fill("#palette input[name=q]", "orders").await;
    browser.wait_for("#palette-list a[href*='/topics/orders']").await;
    assert_calm(browser).await;
    browser.press(&[keys::ESCAPE]).await;
    browser.wait_for("#palette:not([open])").await;
}

async fn log_out(browser: &Browser, redrive: &Redrive) {
    // On a phone the navigation is a sheet behind a button.
    if browser.evaluate("return getComputedStyle(document.querySelector('.menu-open')).display !== 'none'").await == true {
        browser.click(".menu-open").await;
    }
    browser.click("form[action='/logout'] button").await;
    browser.wait_for("#password").await;
    browser.goto(&redrive.url("/dead-letters")).await;
    browser.wait_for("#password").await;
    assert_calm(browser).await;
}

#[tokio::test]
async fn somebody_on_call_finds_the_cause_and_no_dead_letter_runs_a_script() {
    let scene = Scene::set().await;
    for (width, height) in [(1440, 900), (390, 844)] {
        let browser = Browser::open(Script::On).await;
        browser.resize(width, height).await;
        log_in(&browser, &scene.redrive).await;
        find_the_cause(&browser, &scene.redrive).await;
        use_the_palette(&browser).await;
        look_around(&browser, &scene.redrive).await;
        look_at_attacks(&browser, &scene).await;
        log_out(&browser, &scene.redrive).await;
    }
    let browser = Browser::open(Script::Off).await;
    browser.resize(390, 844).await;
    log_in(&browser, &scene.redrive).await;
    find_the_cause(&browser, &scene.redrive).await;
    look_around(&browser, &scene.redrive).await;
    look_at_attacks(&browser, &scene).await;
    log_out(&browser, &scene.redrive).await;
}
