//! Points in time as the interface writes them: relative for a week, then the date, always with the exact time in UTC at hand.

use crate::model::Timestamp;

/// A point in time in the forms that pages use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// RFC 3339, for `datetime`.
    pub iso: String,
    /// `2026-11-24 03:14:08.402 UTC`.
    pub exact: String,
    /// `12 s ago`, `2 h ago`, after a week `2 Nov 2026`.
    pub ago: String,
    /// How long ago without the word: `33 min`, `21 d`.
    pub age: String,
}

impl Moment {
    /// A point in time seen from `now`.
    #[must_use]
    pub fn new(at: Timestamp, now: Timestamp) -> Self {
        let iso = at.to_rfc3339();
        let exact = exact(at);
        let age = age(at, now);
        let ago = match now.as_millis().saturating_sub(at.as_millis()) {
            i64::MIN..-5_000 => exact[..exact.len() - 8].to_owned() + " UTC",
            -5_000..1_000 => "now".to_owned(),
            1_000..=604_800_000 => format!("{age} ago"),
            _ => date(at),
        };
        Self { iso, exact, ago, age }
    }
}

/// How long something has lasted: `12 s`, `33 min`, `7 h`, `21 d`.
#[must_use]
pub fn age(at: Timestamp, now: Timestamp) -> String {
    match at.age_at(now).as_secs() {
        s @ 0..60 => format!("{s} s"),
        s @ 60..3_600 => format!("{} min", s / 60),
        s @ 3_600..86_400 => format!("{} h", s / 3_600),
        s => format!("{} d", s / 86_400),
    }
}

/// `2026-11-24 03:14:08.402 UTC`.
#[must_use]
pub fn exact(at: Timestamp) -> String {
    at.to_rfc3339().replace('T', " ").replace('Z', " UTC")
}

/// `03:14:08.402 UTC` on the day of `now`, else with the date.
#[must_use]
pub fn exact_near(at: Timestamp, now: Timestamp) -> String {
    let exact = exact(at);
    let today = now.to_rfc3339();
    if exact.get(..10) == today.get(..10) { exact.get(11..).unwrap_or_default().to_owned() } else { exact }
}

/// `2 Nov 2026`.
fn date(at: Timestamp) -> String {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let text = at.to_rfc3339();
    let Some((day, _)) = text.split_once('T') else { return text };
    let mut parts = day.rsplitn(3, '-');
    let (Some(day), Some(month), Some(year)) = (parts.next(), parts.next(), parts.next()) else { return text };
    let month = month.parse::<usize>().ok().and_then(|m| MONTHS.get(m.checked_sub(1)?)).copied().unwrap_or("?");
    format!("{} {month} {year}", day.trim_start_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    #[test]
    fn near_times_are_relative_and_far_ones_are_dates() {
        let now = at("2026-11-24T03:14:20Z");
        for (time, ago, age) in [
            ("2026-11-24T03:14:19.500Z", "now", "0 s"),
            ("2026-11-24T03:14:08Z", "12 s ago", "12 s"),
            ("2026-11-24T02:41:07Z", "33 min ago", "33 min"),
            ("2026-11-23T14:20:31Z", "12 h ago", "12 h"),
            ("2026-11-19T11:03:52Z", "4 d ago", "4 d"),
            ("2026-11-02T16:05:10Z", "2 Nov 2026", "21 d"),
            ("2026-11-24T03:20:00Z", "2026-11-24 03:20:00 UTC", "0 s"),
        ] {
            let moment = Moment::new(at(time), now);
            assert_eq!((moment.ago.as_str(), moment.age.as_str()), (ago, age), "{time}");
        }
        assert_eq!(Moment::new(at("2026-11-24T03:14:08.402Z"), now).exact, "2026-11-24 03:14:08.402 UTC");
    }

    #[test]
    fn today_needs_no_date_and_absurd_times_do_no_harm() {
        let now = at("2026-11-24T03:14:20Z");
        assert_eq!(exact_near(at("2026-11-24T03:14:08.402Z"), now), "03:14:08.402 UTC");
        assert_eq!(exact_near(at("2026-11-23T03:14:08.402Z"), now), "2026-11-23 03:14:08.402 UTC");
        for absurd in [i64::MIN, i64::MAX, -1, 0] {
            let moment = Moment::new(Timestamp::from_millis(absurd), now);
            assert!(!moment.ago.is_empty(), "{moment:?}");
        }
    }
}
