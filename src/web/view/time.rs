//! Points in time and durations as the interface writes them: relative for a week, then the date. `static/app.js` holds the same rule
//! for what is relative, so that an open page goes on counting.

use std::time::Duration;

use crate::model::Timestamp;
pub use crate::model::quantity::duration_words;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// Up to this age a time is shown as an age, then as a date.
const RELATIVE_UP_TO: u64 = 7 * DAY;

/// `6 s ago`, `31 min ago`, `12 h ago`, `3 d ago`; then the date.
#[must_use]
pub fn relative(at: Timestamp, now: Timestamp) -> String {
    if at > now.plus(Duration::from_secs(MINUTE)) {
        return to_the_second(at);
    }
    let age = at.age_at(now);
    if age.as_secs() < RELATIVE_UP_TO { format!("{} ago", age_words(age)) } else { to_the_second(at)[..10].to_owned() }
}

/// An age in its largest unit, rounded down.
#[must_use]
pub fn age_words(age: Duration) -> String {
    match age.as_secs() {
        seconds if seconds < MINUTE => format!("{seconds} s"),
        seconds if seconds < HOUR => format!("{} min", seconds / MINUTE),
        seconds if seconds < DAY => format!("{} h", seconds / HOUR),
        seconds => format!("{} d", seconds / DAY),
    }
}

/// How long something has lasted: `12 s`, `33 min`, `7 h`, `21 d`.
#[must_use]
pub fn age(at: Timestamp, now: Timestamp) -> String {
    age_words(at.age_at(now))
}

/// `2026-11-24 03:14:14`, in UTC.
#[must_use]
pub fn to_the_second(at: Timestamp) -> String {
    let text = at.to_rfc3339();
    let (date, time) = text.split_once('T').unwrap_or((&text, ""));
    format!("{date} {}", time.get(..8).unwrap_or(time))
}

/// `03:14:14` on the day of `now`, else with the date.
#[must_use]
pub fn clock(at: Timestamp, now: Timestamp) -> String {
    near(to_the_second(at), now)
}

/// `2026-11-24 03:14:08.402 UTC`.
#[must_use]
pub fn exact(at: Timestamp) -> String {
    at.to_rfc3339().replace('T', " ").replace('Z', " UTC")
}

/// `03:14:08.402 UTC` on the day of `now`, else with the date.
#[must_use]
pub fn exact_near(at: Timestamp, now: Timestamp) -> String {
    near(exact(at), now)
}

fn near(exact: String, now: Timestamp) -> String {
    let today = now.to_rfc3339();
    if exact.get(..10) == today.get(..10) { exact.get(11..).unwrap_or_default().to_owned() } else { exact }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    #[test]
    fn ages_grow_into_dates() {
        let now = Timestamp::parse_rfc3339("2026-11-24T03:14:20Z").unwrap();
        let cases = [
            ("2026-11-24T03:14:20Z", "0 s ago"),
            ("2026-11-24T03:13:31Z", "49 s ago"),
            ("2026-11-24T02:43:15Z", "31 min ago"),
            ("2026-11-23T14:20:31Z", "12 h ago"),
            ("2026-11-17T03:14:21Z", "6 d ago"),
            ("2026-11-17T03:14:20Z", "2026-11-17"),
            ("2026-11-24T03:14:50Z", "0 s ago"),
            ("2026-11-24T03:20:00Z", "2026-11-24 03:20:00"),
            ("0001-01-01T00:00:00Z", "0001-01-01"),
        ];
        for (at, expected) in cases {
            assert_eq!(relative(Timestamp::parse_rfc3339(at).unwrap(), now), expected);
        }
        assert!(!relative(Timestamp::from_millis(i64::MIN), now).is_empty());
        assert!(!relative(Timestamp::from_millis(i64::MAX), now).is_empty());
    }

    #[test]
    fn durations_name_two_units_at_most() {
        let cases = [
            (40, "40 ms"),
            (1_500, "1.5 s"),
            (12_000, "12 s"),
            (200_000, "3 min 20 s"),
            (18_600_000, "5 h 10 min"),
            (187_200_000, "2 d 4 h"),
        ];
        for (millis, expected) in cases {
            assert_eq!(duration_words(Duration::from_millis(millis)), expected);
        }
    }

    #[test]
    fn today_needs_no_date_and_absurd_times_do_no_harm() {
        let now = at("2026-11-24T03:14:20Z");
        assert_eq!(exact(at("2026-11-24T03:14:08.402Z")), "2026-11-24 03:14:08.402 UTC");
        assert_eq!(exact_near(at("2026-11-24T03:14:08.402Z"), now), "03:14:08.402 UTC");
        assert_eq!(exact_near(at("2026-11-23T03:14:08.402Z"), now), "2026-11-23 03:14:08.402 UTC");
        assert_eq!(clock(at("2026-11-24T03:14:08.402Z"), now), "03:14:08");
        assert_eq!(clock(at("2026-11-23T03:14:08.402Z"), now), "2026-11-23 03:14:08");
        for absurd in [i64::MIN, i64::MAX, -1, 0] {
            assert!(!clock(Timestamp::from_millis(absurd), now).is_empty());
        }
    }
}
