//! Dead letters that were dealt with: changes of status counted by the minute and by the hour as they are written, so that a month of
//! them is a sum over hours, and stays one when retention has removed the dead letters themselves.

use std::collections::BTreeMap;

use super::indexing::{id_list, text_list};
use super::rows::{clean, status};
use super::{Store, StoreError};
use crate::model::purge::CutResult;
use crate::model::{BusId, Status, Timestamp};

statements! {
    const BUSES_OF = "select id, bus_id from facets where id in (select cast(value as bigint) from json_each(cast($1 as text)))";
    const ADD = "insert into status_changes (unit, number, bus_id, from_status, to_status, letters) values ($1, $2, $3, $4, $5, $6) \
        on conflict (unit, number, bus_id, from_status, to_status) do update set letters = status_changes.letters + excluded.letters";
    // Whole hours, the minutes before and after them, and hours at both ends whose minutes retention has forgotten: they count whole.
    const SUM = "select s.from_status, s.to_status, cast(sum(s.letters) as bigint), cast(max(s.cut) as bigint) from (\
        select bus_id, from_status, to_status, letters, 0 as cut from status_changes where unit = 1 and number >= $1 and number < $2 union all \
        select bus_id, from_status, to_status, letters, 0 as cut from status_changes where unit = 0 and number >= $3 and number < $4 union all \
        select bus_id, from_status, to_status, letters, 0 as cut from status_changes where unit = 0 and number >= $5 and number < $6 union all \
        select c.bus_id, c.from_status, c.to_status, c.letters, 1 as cut from status_changes c where c.unit = 1 and c.number in ($8, $9) \
        and not exists (select 1 from status_changes m where m.unit = 0 and m.number >= c.number * 60 and m.number < (c.number + 1) * 60)) s \
        where cast($7 as text) is null or s.bus_id in (select b.id from buses b where b.bus in \
        (select value from json_each(cast($7 as text)))) group by s.from_status, s.to_status";
    const SINCE = "select at from status_changes_since where id = 1";
    const PURGED = "select coalesce(cast(sum(p.letters) as bigint), 0) from purges u join purge_partitions p on p.purge_id = u.id \
        join buses b on b.id = u.bus_id where u.started_at < $2 and (u.ended_at is null or u.ended_at >= $1) and p.result = $3 \
        and p.done_at >= $1 and p.done_at < $2 \
        and (cast($4 as text) is null or b.bus in (select value from json_each(cast($4 as text))))";
    const PRUNE = "delete from status_changes where (unit, number, bus_id, from_status, to_status) in \
        (select unit, number, bus_id, from_status, to_status from status_changes where unit = $1 and number < $2 limit $3)";
}

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const MINUTES: i16 = 0;
const HOURS: i16 = 1;

/// What became of dead letters in a time, whenever they had arrived. One that was replayed and then resolved is in both counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Departures {
    /// Since when changes are counted; what happened before is in none of the counts but [`Self::purged`].
    pub since: Option<Timestamp>,
    /// Sent again by a replay.
    pub replayed: u64,
    /// Consumed, and nothing came back.
    pub resolved: u64,
    /// Came back; the one that came back is a dead letter of its own and has arrived.
    pub failed_again: u64,
    /// Discarded.
    pub discarded: u64,
    /// Discards taken back: open again.
    pub restored: u64,
    /// Deleted from the bus by a purge, whatever their status; custody keeps its copies.
    pub purged: u64,
    /// Whether an hour at the beginning or the end is in the counts as a whole, because its minutes are forgotten.
    pub by_whole_hours: bool,
}

impl Departures {
    /// Replayed, or discarded and not taken back.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.replayed + self.discarded.saturating_sub(self.restored)
    }

    /// Whether every change since `from` is counted.
    #[must_use]
    pub fn is_known_since(&self, from: Timestamp) -> bool {
        self.since.is_none_or(|since| since <= from)
    }

    fn add(&mut self, from: Status, to: Status, letters: u64) {
        let count = match (from, to) {
            (_, Status::Replayed) => &mut self.replayed,
            (_, Status::Resolved) => &mut self.resolved,
            (_, Status::FailedAgain) => &mut self.failed_again,
            (_, Status::Discarded) => &mut self.discarded,
            (Status::Discarded, Status::Open) => &mut self.restored,
            // On its way, or back from there unsent: nothing has become of it.
            _ => return,
        };
        *count += letters;
    }
}

/// What a range is read from, each half-open: whole hours, and the minutes before and after them.
fn parts(from: Timestamp, to: Timestamp) -> [(i64, i64); 3] {
    let up = |at: Timestamp| at.as_millis().saturating_add(MINUTE_MS - 1).div_euclid(MINUTE_MS);
    let (first, end) = (up(from), up(to).max(up(from)));
    let begin = first.saturating_add(59).div_euclid(60);
    let hours = (begin, end.div_euclid(60).max(begin));
    [hours, (first, hours.0.saturating_mul(60).min(end)), (hours.1.saturating_mul(60).min(end), end)]
}

/// The hour that a part cuts; one that never was where it is empty.
const fn cut_hour((first, end): (i64, i64)) -> i64 {
    if first < end { first.div_euclid(60) } else { -1 }
}

impl Store {
    /// What became of dead letters of these buses (none means all) from `from` to before `to`, exact to the minute; where
    /// retention has forgotten the minutes, by whole hours.
    pub async fn count_departures(&self, buses: &[BusId], from: Timestamp, to: Timestamp) -> Result<Departures, StoreError> {
        let names: Vec<String> = buses.iter().map(|bus| clean(bus.as_str())).collect();
        let names = (!buses.is_empty()).then(|| text_list(&names.iter().map(String::as_str).collect::<Vec<_>>()));
        let [hours, before, after] = parts(from, to);
        let rows: Vec<(i16, i16, i64, i64)> = read!(self, |pool| sqlx::query_as(SUM)
            .bind(hours.0)
            .bind(hours.1)
            .bind(before.0)
            .bind(before.1)
            .bind(after.0)
            .bind(after.1)
            .bind(&names)
            .bind(cut_hour(before))
            .bind(cut_hour(after))
            .fetch_all(pool)
            .await?)?;
        let (since,): (i64,) = read!(self, |pool| sqlx::query_as(SINCE).fetch_one(pool).await?)?;
        let (purged,): (i64,) = read!(self, |pool| sqlx::query_as(PURGED)
            .bind(from.as_millis())
            .bind(to.as_millis())
            .bind(CutResult::Done.code())
            .bind(&names)
            .fetch_one(pool)
            .await?)?;
        let mut found = Departures {
            since: (since > 0).then(|| Timestamp::from_millis(since)),
            purged: purged.unsigned_abs(),
            ..Departures::default()
        };
        for (from, to, letters, cut) in rows {
            found.by_whole_hours |= cut > 0;
            found.add(status(from)?, status(to)?, letters.unsigned_abs());
        }
        Ok(found)
    }

    /// Removes at most `limit` minutes of changes from before `before`; their hours stay.
    pub async fn prune_status_minutes(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        // Whole hours only: one that has some of its minutes is not one that has none.
        let first = before.as_millis().div_euclid(HOUR_MS) * 60;
        Ok(touched!(self, sqlx::query(PRUNE).bind(MINUTES).bind(first).bind(i64::from(limit))))
    }

    /// Removes at most `limit` hours of changes from before `before`.
    pub async fn prune_status_hours(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        Ok(touched!(self, sqlx::query(PRUNE).bind(HOURS).bind(before.as_millis().div_euclid(HOUR_MS)).bind(i64::from(limit))))
    }
}

/// Counts changes of status inside somebody's transaction.
pub(in crate::store) trait AddDepartures {
    /// Dead letters by facet that went from one status to another.
    async fn add_departures(&mut self, facets: &BTreeMap<i64, i64>, from: Status, to: Status, now: Timestamp) -> Result<(), StoreError>;
}

impl AddDepartures for sqlx::SqliteConnection {
    async fn add_departures(&mut self, facets: &BTreeMap<i64, i64>, from: Status, to: Status, now: Timestamp) -> Result<(), StoreError> {
        on_sqlite::add(self, facets, from, to, now).await
    }
}

impl AddDepartures for sqlx::PgConnection {
    async fn add_departures(&mut self, facets: &BTreeMap<i64, i64>, from: Status, to: Status, now: Timestamp) -> Result<(), StoreError> {
        on_postgres::add(self, facets, from, to, now).await
    }
}

engines! {
    /// Counts dead letters by facet that went from one status to another.
    pub(in crate::store) async fn add(tx: &mut Connection, facets: &BTreeMap<i64, i64>, from: Status, to: Status, now: Timestamp) -> Result<(), StoreError> {
        let list = id_list(&facets.keys().copied().collect::<Vec<_>>());
        let of: Vec<(i64, i64)> = sqlx::query_as(BUSES_OF).bind(&list).fetch_all(&mut *tx).await?;
        let mut buses: BTreeMap<i64, i64> = BTreeMap::new();
        for (facet, bus) in of {
            *buses.entry(bus).or_default() += facets.get(&facet).copied().unwrap_or_default();
        }
        for (bus, letters) in buses {
            for (unit, length) in [(MINUTES, MINUTE_MS), (HOURS, HOUR_MS)] {
                sqlx::query(ADD)
                    .bind(unit)
                    .bind(now.as_millis().div_euclid(length))
                    .bind(bus)
                    .bind(from.code())
                    .bind(to.code())
                    .bind(letters)
                    .execute(&mut *tx)
                    .await?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_whole_hours_and_the_minutes_around_them() {
        let at = |minutes: i64, millis: i64| Timestamp::from_millis(minutes * MINUTE_MS + millis);
        assert_eq!(parts(at(120, 0), at(300, 0)), [(2, 5), (120, 120), (300, 300)]);
        assert_eq!(parts(at(90, 0), at(310, 0)), [(2, 5), (90, 120), (300, 310)]);
        assert_eq!(parts(at(90, 1), at(310, 1)), [(2, 5), (91, 120), (300, 311)], "a minute counts where it begins");
        assert_eq!(parts(at(61, 0), at(119, 0)), [(2, 2), (61, 119), (119, 119)], "inside one hour");
        assert_eq!(parts(at(110, 0), at(130, 0)), [(2, 2), (110, 120), (120, 130)], "across two, none of them whole");
        assert_eq!(parts(at(200, 0), at(100, 0)), [(4, 4), (200, 200), (200, 200)], "nothing");
        assert_eq!((cut_hour((110, 120)), cut_hour((120, 130)), cut_hour((120, 120))), (1, 2, -1));
    }

    #[test]
    fn only_what_has_ended_or_begun_again_counts() {
        let mut found = Departures::default();
        for (from, to, letters) in [
            (Status::Open, Status::Replaying, 50),
            (Status::Replaying, Status::Open, 3),
            (Status::Replaying, Status::Replayed, 47),
            (Status::Replayed, Status::Resolved, 40),
            (Status::Resolved, Status::FailedAgain, 2),
            (Status::Replayed, Status::FailedAgain, 5),
            (Status::Open, Status::Discarded, 10),
            (Status::Discarded, Status::Open, 4),
        ] {
            found.add(from, to, letters);
        }
        let wanted = Departures {
            since: None,
            replayed: 47,
            resolved: 40,
            failed_again: 7,
            discarded: 10,
            restored: 4,
            purged: 0,
            by_whole_hours: false,
        };
        assert_eq!((found.total(), &found), (53, &wanted), "four were taken back");
    }
}
