//! Cursors and filters in addresses: a page, or a refusal that names the field.

use std::fmt::Write as _;

use proptest::prop_assert;
use redrive::model::{BusKind, Role};
use tokio::runtime::Runtime;

use super::mutation::Corpus;
use super::{alone, storm};
use crate::web::site::Site;

/// Lists of the API, and the fields whose values come from outside.
const LISTS: [(&str, &[&str]); 10] = [
    ("/dead-letters", &["cursor", "limit", "from", "fingerprint", "q"]),
    ("/failure-groups", &["cursor", "sort"]),
    ("/audit", &["cursor", "limit"]),
    ("/alerts", &["cursor", "limit"]),
    ("/deliveries", &["cursor", "limit"]),
    ("/replays", &["cursor", "limit"]),
    ("/purges", &["cursor"]),
    ("/traces", &["cursor", "from"]),
    ("/buses/prod/consumer-groups", &["cursor", "q"]),
    ("/buses/prod/topics", &["cursor", "q"]),
];

#[test]
fn any_cursor_is_a_page_or_a_refusal_that_names_the_field() {
    alone("fuzz::cursors::any_cursor_is_a_page_or_a_refusal_that_names_the_field", || {
        let runtime = Runtime::new().expect("a runtime");
        let (site, mara) = runtime.block_on(async {
            let site = Site::new().await;
            site.store.register_buses(&[("prod".into(), BusKind::Kafka)]).await.expect("a bus");
            let mara = site.person("mara", Role::Viewer).await;
            (site, mara)
        });
        let entries =
            ["1760000000000.5", "0.0", "-1.9223372036854775807", "12.orders", "v1-00ff00ff00ff00ff", "100", "2026-03-01T03:14:20Z"];
        let tokens = [".", "-", "9", "\u{0}", "'", "%", "&cursor=", "\u{202e}"];
        storm(&Corpus::new(entries, tokens), |bytes| {
            let choice = bytes.iter().map(|byte| usize::from(*byte)).sum::<usize>();
            let (path, fields) = LISTS[choice % LISTS.len()];
            let field = fields[choice / LISTS.len() % fields.len()];
            // Addresses end somewhere.
            let value = bytes.iter().take(4_000).fold(String::new(), |mut text, byte| {
                let _ = write!(text, "%{byte:02x}");
                text
            });
            let answer = runtime.block_on(site.get(&format!("/api/v1{path}?{field}={value}")).by(&mara).send());
            match answer.status.as_u16() {
                200 => {
                    let page: serde_json::Value = serde_json::from_str(&answer.text).expect("is JSON");
                    prop_assert!(page["items"].is_array(), "{path}?{field}: {}", answer.text);
                }
                400 | 422 => {
                    let kind = answer.headers.get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
                    prop_assert!(kind.starts_with("application/problem+json"), "{path}?{field}: {kind}");
                    prop_assert!(answer.text.contains(field), "{path}?{field}: {}", answer.text);
                }
                status => prop_assert!(false, "{path}?{field}: {status} {}", answer.text),
            }
            Ok(())
        });
    });
}
