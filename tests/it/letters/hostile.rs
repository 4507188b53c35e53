//! What strangers put into keys, headers, payloads and names: it is stored exactly and shown harmlessly.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::harness::letters::{Failing, Seeded};

const SCRIPT: &str = "<script>alert(1)</script>";
const SNEAKY: &str = "\"><img src=x onerror=alert(1)>\u{202e}gpj\0\u{1b}[31m{{7*7}}'--";

async fn attacked() -> Seeded {
    let mut shop = Seeded::new().await.bus("prod", &["a-dlt"]).await;
    let nasty = Failing::spring("a-dlt", SNEAKY, &format!("com.acme.{SCRIPT}"), &format!("{SCRIPT} {SNEAKY}"))
        .key(Some(SCRIPT))
        .value(Some(format!("{{\"{SCRIPT}\": \"{SCRIPT}\"}}")))
        .header("x-nasty", SNEAKY)
        .raw_header(b"x-\xff<b>", Some(b"\xff\xfe<i>"));
    let huge =
        Failing::on("a-dlt").key(Some("k".repeat(1_000_000))).value(Some("é".repeat(500_000))).header("x-huge", "h".repeat(1_000_000));
    let lines = Failing::on("a-dlt").value(Some("[".repeat(100_000)));
    shop.index("prod", vec![nasty, huge, lines]).await;
    shop
}

#[tokio::test]
async fn no_markup_of_strangers_reaches_a_page() {
    let app = attacked().await.app();
    let group = {
        let letter = app.get("/dead-letters/1").await;
        let links = letter.page().split("href=\"").filter(|link| link.starts_with("/buses/prod/failure-groups/"));
        links.map(|link| link.split('"').next().unwrap().to_owned()).next().unwrap()
    };
    for path in ["/", "/failure-groups", "/dead-letters", "/dead-letters/1", "/dead-letters/1?value_view=text&stack=written", &group] {
        let answer = app.get(path).await;
        let page = answer.page();
        for bad in [SCRIPT, "<img src=x", "<i>", "<b>\u{202e}", "\u{202e}", "\u{1b}", "\0"] {
            assert!(!page.contains(bad), "{path} holds {bad:?}");
        }
        assert!(page.contains("&#60;script&#62;"), "{path} shows it as text");
    }
}

#[tokio::test]
async fn a_megabyte_leaves_the_page_small_and_stays_reachable() {
    let app = attacked().await.app();
    let page = app.get("/dead-letters/2").await;
    assert!(page.page().len() < 600_000, "{} bytes", page.page().len());
    assert!(page.words().contains("The first 65,536 of 1,000,000 bytes are shown."), "{}", &page.words()[..2_000]);
    assert!(page.words().contains("Download all 1,000,000 bytes"), "the header");
    for (path, size) in [("value", 1_000_000), ("key", 1_000_000), ("headers/1", 1_000_000)] {
        let raw = app.get(&format!("/api/v1/dead-letters/2/{path}")).await;
        assert_eq!(raw.body.len(), size, "{path}");
        assert_eq!(raw.header("content-type"), "application/octet-stream");
        assert!(raw.header("content-disposition").starts_with("attachment; filename=\"dead-letter-2-"));
        assert_eq!(raw.header("x-content-type-options"), "nosniff");
    }
    let next = app.part("/dead-letters/2?value_view=text&value_at=65536", "value").await;
    assert!(next.words().contains("Bytes 65,537 to"), "{}", &next.words()[..500]);
    assert!(app.get("/dead-letters").await.page().len() < 200_000);
}

#[tokio::test]
async fn bytes_come_back_exactly_as_they_were() {
    let app = attacked().await.app();
    let letter = app.get("/api/v1/dead-letters/1").await.json();
    assert_eq!(letter["key"], SCRIPT);
    assert_eq!(letter["consumer_group"], SNEAKY);
    let headers = letter["headers"].as_array().unwrap();
    let nasty = headers.iter().find(|header| header["name"] == "x-nasty").unwrap();
    assert_eq!(nasty["text"], SNEAKY);
    let binary = headers.last().unwrap();
    assert_eq!(binary["name"], "x-\\xff<b>");
    assert_eq!(binary["name_base64"], STANDARD.encode(b"x-\xff<b>"));
    assert_eq!((&binary["value_base64"], &binary["text"]), (&STANDARD.encode(b"\xff\xfe<i>").into(), &serde_json::Value::Null));
}

#[tokio::test]
async fn a_filter_by_a_hostile_name_finds_it() {
    let app = attacked().await.app();
    let encoded: String = SNEAKY.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let found = app.get(&format!("/api/v1/dead-letters?consumer_group={encoded}")).await.json();
    assert_eq!(found["items"].as_array().unwrap().len(), 1, "{found}");
}
