//! Drawings of figures in a real browser: hovered, zoomed by dragging, read as tables, with marks for what happened; and the same
//! drawing, legend and table without script.

use std::time::Duration;

use redrive::metrics::bucket::Point;
use redrive::model::bus::{Capabilities, TopicRole};
use redrive::model::figure::{Figure, Labels, SeriesKey};
use redrive::model::group_event::{GroupEvent, GroupEventKind};
use redrive::model::lag::{GroupOffset, Standing};
use redrive::model::{BusKind, GroupName, Timestamp};
use redrive::store::buses::SweepResult;
use redrive::store::consumer_groups::SeenGroup;
use redrive::store::figures::NewFrame;
use redrive::store::{Store, StoreSettings};

use super::acts::look;
use crate::harness::browser::{Browser, Script};
use crate::harness::redrive::{Redrive, Setup};
use crate::store::seen_topic;

const PAGE: &str = "/buses/shop/consumer-groups/billing";
/// The drawing's own surface, over which a mouse moves.
const SURFACE: &str = "#lag .u-over";

/// A group that has fallen behind for an hour since somebody set its offsets, on a bus that nobody reaches.
async fn scene() -> Redrive {
    let mut redrive = Setup::new().without_login().bus("shop", "127.0.0.1:9").prepare();
    let settings = StoreSettings {
        url: format!("sqlite:{}", redrive.folder().join("redrive.db").display()),
        max_bytes: None,
        read_timeout: Duration::from_mins(1),
    };
    let store = Store::open(&settings).await.expect("the store opens");
    let now = Timestamp::now();
    store.register_buses(&[("shop".into(), BusKind::Kafka)]).await.expect("registered");
    store.record_topics(&"shop".into(), &[seen_topic("orders", TopicRole::Ordinary, 1)], now).await.expect("topics");
    let group = SeenGroup {
        name: GroupName::from("billing"),
        kind: "consumer".to_owned(),
        state: "Stable".to_owned(),
        members: Some(Vec::new()),
        offsets: vec![GroupOffset { end: Some(9_000), log_start: Some(0), ..GroupOffset::new("orders".into(), 0, Some(100)) }],
        standing: Standing::default(),
    };
    store.record_consumer_groups(&"shop".into(), &[group], Some(&["billing".into()]), now).await.expect("groups");
    let reached = SweepResult::Reached {
        cluster_id: None,
        brokers: 1,
        addresses: Vec::new(),
        untracked_groups: 0,
        capabilities: Capabilities::default(),
    };
    store.record_sweep(&"shop".into(), &reached, now).await.expect("swept");
    let reset = GroupEvent {
        at: now.minus(Duration::from_mins(30)),
        kind: GroupEventKind::OffsetsSet,
        group: "billing".into(),
        topic: Some("orders".into()),
        detail: "orders/0 from 8,000 to 100".to_owned(),
    };
    store.add_group_events(&"shop".into(), &[reset]).await.expect("events");
    frames(&store, now).await;
    store.close().await;
    // Its lock goes with it.
    drop(store);
    redrive.start().await;
    redrive
}

/// A look each minute: 4,200 behind, always, so that every place of the line says the same.
async fn frames(store: &Store, now: Timestamp) {
    let labels = Labels::bus(&"shop".into()).topic(&"orders".into()).consumer_group(&"billing".into());
    let mut after = None;
    for minute in (0..60).rev() {
        let taken_at = now.minus(Duration::from_secs(60 * minute));
        let point = |figure, point| (SeriesKey { figure, labels: labels.clone() }, point);
        let points = vec![
            point(Figure::ConsumerGroupLagMessages, Point::Level(4_200.0)),
            point(Figure::ConsumerGroupLagSeconds, Point::Level(90.0)),
            point(Figure::ConsumerGroupMessagesPerSecond, Point::Count(60.0)),
        ];
        let frame = NewFrame { source: "bus:shop", after, taken_at, points, state: None, snapshot: false };
        assert!(store.add_frame(frame).await.expect("written"));
        after = Some(taken_at);
    }
}

/// Width of the drawing's surface, once it stands still: it follows the window with a short delay.
async fn width(browser: &Browser) -> f64 {
    let look = async || {
        let width = browser.evaluate("return document.querySelector('#lag .u-over').getBoundingClientRect().width").await;
        width.as_f64().expect("a width")
    };
    let mut before = look().await;
    loop {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let width = look().await;
        if (width - before).abs() < 0.5 {
            return width;
        }
        before = width;
    }
}

async fn newest(browser: &Browser) -> String {
    browser.text_of("#lag-panel [data-newest]").await
}

#[tokio::test]
async fn a_drawing_is_hovered_zoomed_and_read_as_a_table() {
    let redrive = scene().await;
    let browser = Browser::open(Script::On).await;
    browser.goto(&redrive.url(PAGE)).await;
    browser.wait_for(SURFACE).await;
    assert_eq!(newest(&browser).await, "4,200");
    // Under the mouse stand the value and the time of that place; on the mark also what happened.
    browser.hover(SURFACE, -40.0, 0.0).await;
    assert_eq!(newest(&browser).await, "4,200");
    let title = browser.evaluate("return document.querySelector('#lag').title").await;
    assert!(title.as_str().is_some_and(|title| title.ends_with('Z')), "{title}");
    let width = width(&browser).await;
    let near = async || {
        for place in 0..40 {
            browser.hover(SURFACE, width * (f64::from(place) / 40.0 - 0.5), 0.0).await;
            let title = browser.evaluate("return document.querySelector('#lag').title").await;
            if title.as_str().is_some_and(|title| title.contains("Offsets of billing set by hand")) {
                return true;
            }
        }
        false
    };
    assert!(near().await, "the mark says what happened");
    look(&browser, "drawing").await;

    // T opens the exact figures behind every drawing, and closes them.
    browser.press(&['t']).await;
    browser.wait_for("#lag-panel details[open] tbody tr").await;
    assert!(browser.text_of("#lag-panel details[open] tbody").await.contains("4,200"));
    look(&browser, "drawing-table").await;
    // A live refresh leaves open what is open.
    browser.evaluate("htmx.trigger(document.body, 'live:consumer_groups'); return 0").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    browser.wait_for("#lag-panel details[open] tbody tr").await;
    browser.press(&['t']).await;
    browser.wait_for("#lag-panel details:not([open])").await;

    // Dragging over a quarter of the hour leads to a page of that quarter, and the address keeps it.
    let width = self::width(&browser).await;
    browser.drag(SURFACE, -width / 4.0, 0.0).await;
    browser.wait_for_address("from=").await;
    browser.wait_for(SURFACE).await;
    let address = browser.address().await;
    assert!(address.contains("&to=") && !address.contains("range="), "{address}");
    let minutes = browser
        .evaluate("const d = JSON.parse(document.querySelector('#lag').dataset.lines); return (d.times.at(-1) - d.times[0]) / 60")
        .await;
    assert!(minutes.as_f64().is_some_and(|minutes| (10.0..25.0).contains(&minutes)), "{minutes}");
    browser.goto(&address).await;
    browser.wait_for(SURFACE).await;
    look(&browser, "drawing-zoomed").await;
}

#[tokio::test]
async fn without_script_the_drawing_its_legend_and_its_table_are_there() {
    let redrive = scene().await;
    let browser = Browser::open(Script::Off).await;
    for width in [1440, 390] {
        browser.resize(width, 900).await;
        browser.goto(&redrive.url(PAGE)).await;
        browser.wait_for("#lag svg.plot path").await;
        browser.wait_for("#lag svg.plot .mark").await;
        let legend = browser.text_of(".marked").await;
        assert!(legend.contains("Offsets of billing set by hand: orders/0 from 8,000 to 100"), "{legend}");
        browser.click("#lag-panel details summary").await;
        browser.wait_for("#lag-panel details[open] tbody tr").await;
        let table = browser.text_of("#lag-panel details[open] tbody").await;
        assert!(table.contains("4,200"), "{table}");
        look(&browser, &format!("drawing-without-script-{width}")).await;
    }
}

/// The colour behind everything, and whether what these name is shown at all.
async fn shown(browser: &Browser, names: &[&str]) -> (String, Vec<bool>) {
    let colour = browser.evaluate("return getComputedStyle(document.documentElement).backgroundColor").await;
    let mut all = Vec::new();
    for name in names {
        let script = format!("return [...document.querySelectorAll('{name}')].some((one) => one.getClientRects().length > 0)");
        all.push(browser.evaluate(&script).await == serde_json::Value::Bool(true));
    }
    (colour.as_str().unwrap_or_default().to_owned(), all)
}

#[tokio::test]
async fn on_paper_the_first_page_is_light_has_no_navigation_and_shows_its_drawings() {
    let redrive = scene().await;
    let browser = Browser::open(Script::On).await;
    browser.on_paper(false).await;
    browser.goto(&redrive.url("/?range=1h")).await;
    browser.wait_for("#most-lag .u-over").await;
    let names = [".side", ".top", ".actions", ".uplot", "#most-lag svg.plot", "#arrivals svg.plot", "#in-and-out"];
    let (dark, screen) = shown(&browser, &names).await;
    assert_eq!(screen, [true, true, true, true, false, true, true]);
    browser.on_paper(true).await;
    browser.resize(720, 1_020).await;
    let (light, paper) = shown(&browser, &names).await;
    assert_eq!(paper, [false, false, false, false, true, true, true]);
    assert!(light != dark && ["rgb(255, 255, 255)", "rgba(0, 0, 0, 0)"].contains(&light.as_str()), "{light} beside {dark}");
    browser.assert_fits().await;
    if let Some(folder) = std::env::var_os("REDRIVE_PICTURES") {
        browser.screenshot(&std::path::PathBuf::from(folder).join("overview-on-paper.png")).await;
    }
    browser.on_paper(false).await;
    browser.wait_for("#most-lag .u-over").await;
}
