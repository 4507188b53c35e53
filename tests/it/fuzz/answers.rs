//! Short texts of others: what a receiver answers about when to come again, times, lengths of time, sizes and addresses.

use std::time::Duration;

use proptest::{prop_assert, prop_assert_eq};
use redrive::alerts::notify::ladder;
use redrive::config::values::{is_bootstrap_servers, parse_duration, parse_listen, parse_size};
use redrive::model::Timestamp;

use super::mutation::Corpus;
use super::{alone, storm};

const LONGEST: Duration = Duration::from_hours(6);
/// 1 March 2026, 03:14:20 UTC.
const NOW: Timestamp = Timestamp::from_millis(1_772_334_860_000);

#[test]
fn no_receiver_puts_a_delivery_off_for_long_whatever_it_answers() {
    alone("fuzz::answers::no_receiver_puts_a_delivery_off_for_long_whatever_it_answers", || {
        let entries =
            ["120", "Sun, 01 Mar 2026 03:20:20 GMT", "2026-03-01T03:14:20.5Z", "5m", "64MiB", "127.0.0.1:9092,[::1]:9093", "0.5", "1h30m"];
        let tokens = ["0", "9", "-", ".", "e", "inf", "NaN", " ", "GMT", "+", "\u{661}", ":", ","];
        storm(&Corpus::new(entries, tokens), |bytes| {
            let text = String::from_utf8_lossy(bytes);
            let asked = ladder::retry_after(&text, NOW);
            prop_assert!(asked.is_none_or(|asked| asked <= LONGEST), "{asked:?}");
            if !text.is_empty() && text.len() < 5 && text.bytes().all(|byte| byte.is_ascii_digit()) {
                prop_assert_eq!(asked, Some(Duration::from_secs(text.parse().expect("digits")).min(LONGEST)));
            }
            for attempt in [0, 1, 7, u32::MAX] {
                let wait = ladder::wait(attempt, 0.5, asked);
                prop_assert!(wait <= LONGEST && asked.is_none_or(|asked| wait >= asked), "{wait:?} for {asked:?}");
            }
            if let Some(at) = Timestamp::parse_rfc3339(&text) {
                prop_assert_eq!(Timestamp::parse_rfc3339(&at.to_rfc3339()), Some(at));
            }
            let _ = (parse_duration(&text), parse_size(&text), parse_listen(&text), is_bootstrap_servers(&text));
            Ok(())
        });
    });
}
