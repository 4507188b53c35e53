//! Domain words as fields of requests: times, cursors, limits, roles. Parsed at the border, with errors that say what would be right.

use std::str::FromStr;

use serde::de::{self, Deserialize, Deserializer};

use crate::model::{Cursor, PageRequest, Role, Timestamp};

fn parse<'de, D: Deserializer<'de>, T>(deserializer: D, expected: &str, parse: impl FnOnce(&str) -> Option<T>) -> Result<T, D::Error> {
    let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
    let shown: String = text.chars().take(40).collect();
    parse(&text).ok_or_else(|| de::Error::custom(format!("{shown:?} is not {expected}")))
}

/// A point in time: RFC 3339, or milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeParam(pub Timestamp);

impl<'de> Deserialize<'de> for TimeParam {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = |text: &str| match text.parse() {
            Ok(millis) => Some(Timestamp::from_millis(millis)),
            Err(_) => Timestamp::parse_rfc3339(text),
        };
        parse(deserializer, "a time such as 2026-03-01T03:14:20Z", read).map(Self)
    }
}

/// Where a page of a list begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CursorParam(pub Cursor);

impl<'de> Deserialize<'de> for CursorParam {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parse(deserializer, "a cursor of this list; begin without one", |text| Cursor::from_str(text).ok()).map(Self)
    }
}

/// How many items a page of a list holds: 1 to 1,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitParam(pub u32);

impl LimitParam {
    /// The page that a cursor and a limit ask for.
    #[must_use]
    pub fn page(cursor: Option<CursorParam>, limit: Option<Self>, default: u32) -> PageRequest {
        PageRequest { cursor: cursor.map(|cursor| cursor.0), limit: limit.map_or(default, |limit| limit.0) }
    }
}

impl<'de> Deserialize<'de> for LimitParam {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parse(deserializer, "a number from 1 to 1,000", |text| text.parse().ok().filter(|limit| (1..=1000).contains(limit))).map(Self)
    }
}

/// A role by its word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoleParam(pub Role);

impl<'de> Deserialize<'de> for RoleParam {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parse(deserializer, "a role; expected viewer, operator or admin", |text| text.parse().ok()).map(Self)
    }
}
