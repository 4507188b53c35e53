//! The time range of a page: `range=1h`, or `from` and `to` in UTC, or all there is.

use std::time::Duration;

use crate::model::Timestamp;
use crate::store::failure_groups::Buckets;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// The ranges that every page offers: word of the address, label.
pub const CHOICES: &[(&str, &str)] = &[("15m", "15 min"), ("1h", "1 h"), ("6h", "6 h"), ("24h", "24 h"), ("7d", "7 d"), ("30d", "30 d")];

/// Which stretch of time is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Range {
    /// Everything.
    All,
    /// The time before now.
    Last(Duration),
    /// Chosen bounds; at least one is given.
    Between(Option<Timestamp>, Option<Timestamp>),
}

impl Range {
    /// Reads a length of time such as `15m` or `30d`, up to 400 days.
    #[must_use]
    pub fn last(word: &str) -> Option<Self> {
        let split = word.len().checked_sub(1).filter(|&i| word.is_char_boundary(i))?;
        let (number, unit) = word.split_at(split);
        let seconds = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            "d" => 86_400,
            _ => return None,
        };
        let number = number.bytes().all(|b| b.is_ascii_digit()).then(|| number.parse::<u64>().ok())??;
        let seconds = number.checked_mul(seconds).filter(|s| (60..=400 * 86_400).contains(s))?;
        Some(Self::Last(Duration::from_secs(seconds)))
    }

    /// First and last moment (exclusive), where there are such.
    #[must_use]
    pub fn bounds(self, now: Timestamp) -> (Option<Timestamp>, Option<Timestamp>) {
        match self {
            Self::All => (None, None),
            Self::Last(duration) => (Some(now.minus(duration)), None),
            Self::Between(from, to) => (from, to),
        }
    }

    /// Equal buckets over the range for about `wanted` bars, on round minutes. Where the range has no beginning, the day before its end.
    #[must_use]
    pub fn buckets(self, now: Timestamp, wanted: u32) -> Buckets {
        let (from, to) = match self {
            Self::All => (now.as_millis() - DAY, now.as_millis()),
            Self::Last(duration) => (now.minus(duration).as_millis(), now.as_millis()),
            Self::Between(from, to) => {
                let to = to.map_or(now.as_millis(), Timestamp::as_millis);
                (from.map_or(to.saturating_sub(DAY), Timestamp::as_millis), to)
            }
        };
        let length = to.saturating_sub(from).max(MINUTE);
        let step = step_for(length, i64::from(wanted.clamp(1, 400)));
        let end = to.saturating_add(step - 1).div_euclid(step).saturating_mul(step);
        let count = (length.saturating_add(step - 1) / step).clamp(1, 400);
        Buckets {
            from: Timestamp::from_millis(end.saturating_sub(count.saturating_mul(step))),
            to: Timestamp::from_millis(end),
            count: u32::try_from(count).unwrap_or(1),
        }
    }

    /// The range in words, after "in": `the last 15 min`, `the chosen time`.
    #[must_use]
    pub fn words(self) -> String {
        match self {
            Self::All => "the last 24 h".to_owned(),
            Self::Last(duration) => {
                let seconds = duration.as_secs();
                let text = match seconds {
                    3_600 => return "the last hour".to_owned(),
                    s if s % 86_400 == 0 && s > 86_400 => format!("{} d", s / 86_400),
                    s if s % 3_600 == 0 => format!("{} h", s / 3_600),
                    s if s % 60 == 0 => format!("{} min", s / 60),
                    s => format!("{s} s"),
                };
                format!("the last {text}")
            }
            Self::Between(..) => "the chosen time".to_owned(),
        }
    }
}

/// The smallest round step that needs no more than `wanted` buckets.
fn step_for(length: i64, wanted: i64) -> i64 {
    const STEPS: [i64; 17] = [
        MINUTE,
        2 * MINUTE,
        5 * MINUTE,
        10 * MINUTE,
        15 * MINUTE,
        30 * MINUTE,
        HOUR,
        2 * HOUR,
        3 * HOUR,
        6 * HOUR,
        12 * HOUR,
        DAY,
        2 * DAY,
        7 * DAY,
        30 * DAY,
        90 * DAY,
        365 * DAY,
    ];
    let enough = |step: &i64| length.saturating_add(step - 1) / step <= wanted;
    STEPS.into_iter().find(enough).unwrap_or_else(|| (length / wanted / DAY + 1) * DAY)
}

/// Reads a time of an address: RFC 3339, or what a date and time field sends (`2026-11-24T03:14`, a date alone), which is UTC.
#[must_use]
pub fn parse_time(text: &str) -> Option<Timestamp> {
    Timestamp::parse_rfc3339(text).or_else(|| match text.len() {
        10 => Timestamp::parse_rfc3339(&format!("{text}T00:00:00Z")),
        16 => Timestamp::parse_rfc3339(&format!("{text}:00Z")),
        19.. => Timestamp::parse_rfc3339(&format!("{text}Z")),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        parse_time(text).unwrap()
    }

    #[test]
    fn words_of_the_address_are_lengths_of_time() {
        assert_eq!(Range::last("15m"), Some(Range::Last(Duration::from_secs(900))));
        assert_eq!(Range::last("30d"), Some(Range::Last(Duration::from_secs(30 * 86_400))));
        for wrong in ["", "m", "1", "1y", "-1h", "1.5h", "0m", "9999999d", "99999999999999999999h", "15é", "+1h"] {
            assert_eq!(Range::last(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn times_are_utc_however_a_form_writes_them() {
        let expected = Timestamp::parse_rfc3339("2026-11-24T03:14:00Z").unwrap();
        for text in ["2026-11-24T03:14", "2026-11-24T03:14:00", "2026-11-24T03:14:00Z", "2026-11-24T04:14:00+01:00"] {
            assert_eq!(parse_time(text), Some(expected), "{text}");
        }
        assert_eq!(parse_time("2026-11-24"), Some(at("2026-11-24T00:00:00Z")));
        for wrong in ["", "yesterday", "2026-13-01", "2026-11-24T25:00", "1732417200000"] {
            assert_eq!(parse_time(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn buckets_lie_on_round_times_and_cover_now() {
        let now = at("2026-11-24T03:14:20Z");
        for (word, count, step_minutes) in
            [("15m", 15, 1), ("1h", 60, 1), ("6h", 36, 10), ("24h", 48, 30), ("7d", 56, 180), ("30d", 60, 720)]
        {
            let buckets = Range::last(word).unwrap().buckets(now, 60);
            let length = buckets.to.as_millis() - buckets.from.as_millis();
            assert_eq!((buckets.count, length / i64::from(buckets.count) / MINUTE), (count, step_minutes), "{word}");
            assert!(buckets.to >= now && buckets.to.as_millis() % (step_minutes * MINUTE) == 0, "{word}");
        }
    }

    #[test]
    fn chosen_bounds_may_be_open_backwards_or_absurd() {
        let now = at("2026-11-24T03:14:20Z");
        let chosen = Range::Between(Some(at("2026-11-01")), Some(at("2026-11-02")));
        assert_eq!(chosen.bounds(now), (Some(at("2026-11-01")), Some(at("2026-11-02"))));
        let buckets = chosen.buckets(now, 60);
        assert_eq!((buckets.from, buckets.to, buckets.count), (at("2026-11-01"), at("2026-11-02"), 48));
        for odd in [
            Range::Between(Some(at("2026-11-02")), Some(at("2026-11-01"))),
            Range::Between(Some(Timestamp::from_millis(i64::MIN)), Some(Timestamp::from_millis(i64::MAX))),
            Range::Between(None, Some(Timestamp::from_millis(i64::MIN))),
        ] {
            let buckets = odd.buckets(now, 60);
            assert!((1..=400).contains(&buckets.count));
        }
    }
}
