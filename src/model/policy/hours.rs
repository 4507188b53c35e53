//! Hours of the week, in a time zone.

use std::fmt;
use std::str::FromStr;

use jiff::tz::TimeZone;

use crate::model::Timestamp;
use crate::model::dead_letter::{UnknownWord, words};

words! {
    /// A day of the week, Monday first.
    Weekday {
        /// Monday.
        Monday = "mon" / 0,
        /// Tuesday.
        Tuesday = "tue" / 1,
        /// Wednesday.
        Wednesday = "wed" / 2,
        /// Thursday.
        Thursday = "thu" / 3,
        /// Friday.
        Friday = "fri" / 4,
        /// Saturday.
        Saturday = "sat" / 5,
        /// Sunday.
        Sunday = "sun" / 6,
    }
}

/// A time of day on some days of the week. An end before the start, or at it, lies on the next day.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Hours {
    days: Vec<String>,
    from: String,
    to: String,
    time_zone: String,
}

/// Why hours cannot be: the field and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} {problem}")]
pub struct InvalidHours {
    /// `days`, `from`, `to` or `time_zone`.
    pub field: &'static str,
    /// What is wrong.
    pub problem: &'static str,
}

impl Hours {
    /// Checks and keeps them. `from` and `to` are like `08:30`; `time_zone` is a name of the IANA table such as `Europe/Berlin`.
    ///
    /// # Errors
    /// Names the first field that is wrong.
    pub fn new(days: &[Weekday], from: &str, to: &str, time_zone: &str) -> Result<Self, InvalidHours> {
        let wrong = |field, problem| InvalidHours { field, problem };
        if days.is_empty() {
            return Err(wrong("days", "names at least one day: mon, tue, wed, thu, fri, sat, sun"));
        }
        let clock =
            |field, text| minutes(text).map(|m| format!("{:02}:{:02}", m / 60, m % 60)).ok_or(wrong(field, "is a time such as 08:30"));
        let (from, to) = (clock("from", from)?, clock("to", to)?);
        if TimeZone::get(time_zone).is_err() {
            return Err(wrong("time_zone", "is the name of a time zone such as Europe/Berlin or UTC"));
        }
        let mut days: Vec<Weekday> = days.to_vec();
        days.sort_by_key(|day| day.code());
        days.dedup();
        Ok(Self { days: days.iter().map(|day| day.as_str().to_owned()).collect(), from, to, time_zone: time_zone.to_owned() })
    }

    /// Days as words.
    #[must_use]
    pub fn days(&self) -> &[String] {
        &self.days
    }

    /// Start, as `08:30`.
    #[must_use]
    pub fn from(&self) -> &str {
        &self.from
    }

    /// End, as `17:00`.
    #[must_use]
    pub fn to(&self) -> &str {
        &self.to
    }

    /// Name of the time zone.
    #[must_use]
    pub fn time_zone(&self) -> &str {
        &self.time_zone
    }

    /// Whether a point in time lies inside. Hours that cannot be read hold nothing: what nobody can check is not allowed.
    #[must_use]
    pub fn contain(&self, now: Timestamp) -> bool {
        let (Some(from), Some(to), Ok(zone)) = (minutes(&self.from), minutes(&self.to), TimeZone::get(&self.time_zone)) else {
            return false;
        };
        let Ok(at) = jiff::Timestamp::from_millisecond(now.as_millis()) else { return false };
        let local = at.to_zoned(zone);
        let minute = u16::try_from(i32::from(local.hour()) * 60 + i32::from(local.minute())).unwrap_or_default();
        let today = local.weekday().to_monday_zero_offset();
        let begins_on = |day: i8| {
            let word = Weekday::ALL.iter().find(|word| i16::from(day) == word.code()).map(|word| word.as_str());
            word.is_some_and(|word| self.days.iter().any(|day| day == word))
        };
        let yesterday = (today + 6) % 7;
        if from < to {
            begins_on(today) && (from..to).contains(&minute)
        } else {
            (begins_on(today) && minute >= from) || (begins_on(yesterday) && minute < to)
        }
    }
}

/// Minutes after midnight of a time such as `08:30`.
fn minutes(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let digits = |part: &str| part.len() <= 2 && !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(hours) || !digits(minutes) || minutes.len() != 2 {
        return None;
    }
    let (hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
    (hours < 24 && minutes < 60).then_some(hours * 60 + minutes)
}

#[cfg(test)]
mod tests {
    use super::{Hours, Weekday};
    use crate::model::Timestamp;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    #[test]
    fn hours_are_those_of_their_time_zone_also_when_clocks_change() {
        let week = Hours::new(&[Weekday::Monday, Weekday::Friday], "8:00", "17:30", "Europe/Berlin").unwrap();
        assert_eq!((week.from(), week.to()), ("08:00", "17:30"));
        // A Monday in winter: Berlin is an hour ahead of UTC.
        for (time, inside) in [("06:59:59", false), ("07:00:00", true), ("16:29:59", true), ("16:30:00", false)] {
            assert_eq!(week.contain(at(&format!("2026-01-05T{time}Z"))), inside, "{time}");
        }
        // A Monday in summer: two hours.
        assert!(week.contain(at("2026-07-06T06:00:00Z")) && !week.contain(at("2026-07-06T15:30:00Z")));
        assert!(!week.contain(at("2026-01-06T12:00:00Z")), "a Tuesday");
    }

    #[test]
    fn hours_over_midnight_belong_to_the_day_they_begin_on() {
        let night = Hours::new(&[Weekday::Sunday], "22:00", "06:00", "UTC").unwrap();
        assert!(night.contain(at("2026-01-04T22:00:00Z")) && night.contain(at("2026-01-05T05:59:00Z")));
        assert!(!night.contain(at("2026-01-05T06:00:00Z")) && !night.contain(at("2026-01-04T05:00:00Z")));
        let all_day = Hours::new(&[Weekday::Monday], "00:00", "00:00", "UTC").unwrap();
        assert!(all_day.contain(at("2026-01-05T00:00:00Z")) && all_day.contain(at("2026-01-05T23:59:59Z")));
        assert!(!all_day.contain(at("2026-01-06T00:00:00Z")));
    }

    #[test]
    fn wrong_hours_name_their_field() {
        let field = |days: &[Weekday], from, to, zone| Hours::new(days, from, to, zone).unwrap_err().field;
        let monday = [Weekday::Monday];
        assert_eq!(field(&[], "08:00", "17:00", "UTC"), "days");
        assert_eq!(field(&monday, "24:00", "17:00", "UTC"), "from");
        assert_eq!(field(&monday, "08:00", "17", "UTC"), "to");
        assert_eq!(field(&monday, "08:00", "17:00", "Mars/Olympus"), "time_zone");
    }
}
