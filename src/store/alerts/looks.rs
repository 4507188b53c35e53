//! When rules were last looked at: written by whoever looks, read by every instance.

use std::time::Duration;

use crate::model::Timestamp;
use crate::model::figure::Figure;
use crate::store::replays::json;
use crate::store::{Store, StoreError};

statements! {
    const NOTE = "insert into alert_looks (id, looked_at, unread) values (1, $1, $2) \
        on conflict (id) do update set looked_at = excluded.looked_at, unread = excluded.unread";
    const WATCHING = "select (select count(*) from alert_rules where enabled), \
        (select looked_at from alert_looks where id = 1), (select unread from alert_looks where id = 1)";
}

/// Rules are looked at every second; after so long without a look something is wrong.
const OVERDUE: Duration = Duration::from_secs(30);

/// How rules are watched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Watching {
    /// Rules that are switched on.
    pub rules: u64,
    /// When they were last looked at, to about five seconds; `None`: never.
    pub looked_at: Option<Timestamp>,
    /// Figures that could not be read then: rules on them know nothing.
    pub unread: Vec<Figure>,
}

impl Watching {
    /// How long ago they were last looked at.
    #[must_use]
    pub fn age(&self, now: Timestamp) -> Option<Duration> {
        // What lies ahead was written before a clock went back.
        self.looked_at.map(|at| at.age_at(now).max(now.age_at(at)))
    }

    /// Whether there are rules, and nobody looks at them.
    #[must_use]
    pub fn is_overdue(&self, now: Timestamp) -> bool {
        self.rules > 0 && self.age(now).is_none_or(|age| age > OVERDUE)
    }
}

impl Store {
    /// Says that rules were looked at, and which figures could not be read.
    pub async fn note_alert_look(&self, now: Timestamp, unread: &[Figure]) -> Result<(), StoreError> {
        let unread = json(&unread.iter().map(|figure| figure.as_str()).collect::<Vec<_>>())?;
        write_one!(self, |pool| sqlx::query(NOTE).bind(now.as_millis()).bind(&unread).execute(pool).await.map(|_| ()))?;
        Ok(())
    }

    /// How rules are watched.
    pub async fn alert_watching(&self) -> Result<Watching, StoreError> {
        let (rules, looked_at, unread): (i64, Option<i64>, Option<String>) =
            read!(self, |pool| sqlx::query_as(WATCHING).fetch_one(pool).await?)?;
        // A figure that only another version knows is none of which a rule of ours could know nothing.
        let words: Vec<String> = unread.and_then(|unread| serde_json::from_str(&unread).ok()).unwrap_or_default();
        Ok(Watching {
            rules: rules.unsigned_abs(),
            looked_at: looked_at.map(Timestamp::from_millis),
            unread: words.iter().filter_map(|word| word.parse().ok()).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_that_nobody_looks_at_are_overdue() {
        let now = Timestamp::from_millis(1_767_225_600_000);
        let overdue = |rules, looked_at| Watching { rules, looked_at, unread: Vec::new() }.is_overdue(now);
        let ago = |seconds| Some(now.minus(Duration::from_secs(seconds)));
        assert_eq!((overdue(1, ago(0)), overdue(1, ago(30)), overdue(1, ago(31)), overdue(1, None)), (false, false, true, true));
        assert!(!overdue(0, None) && !overdue(0, ago(3_600)), "there is nothing to look at");
        assert!(overdue(1, Some(now.plus(Duration::from_mins(5)))), "before a clock went back");
    }
}
