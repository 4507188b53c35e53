//! Dead letters that are known only some time after they arrived, as nobody read meanwhile: they count in the minute of their arrival,
//! and whoever looks at the last minutes alone would never see them. So it is kept for a while which minutes were added to when.

use std::time::Duration;

use super::letters::labels_of;
use crate::model::Timestamp;
use crate::model::figure::Labels;
use crate::store::rows::fingerprint;
use crate::store::{Store, StoreError};

statements! {
    // `where true`: SQLite would take `on conflict` for the condition of a join.
    const ADD = "insert into late_arrivals (facet_id, minute, indexed_at) \
        select cast($1 as bigint), cast(value as bigint), cast($3 as bigint) from json_each(cast($2 as text)) where true \
        on conflict (facet_id, minute) do update set indexed_at = excluded.indexed_at";
    const LIST = "select l.minute, b.bus, f.topic, f.consumer_group, g.version, g.hash from late_arrivals l \
        join facets f on f.id = l.facet_id join buses b on b.id = f.bus_id join failure_groups g on g.id = f.failure_group_id \
        where l.indexed_at >= $1 and l.minute >= $2 order by l.minute desc, l.facet_id limit $3";
    const PRUNE = "delete from late_arrivals where (facet_id, minute) in \
        (select facet_id, minute from late_arrivals where indexed_at < $1 order by indexed_at limit $2)";
}

const MINUTE_MS: i64 = 60_000;
/// What had arrived longer ago when it was read is history, and no news.
pub const NEWS: Duration = Duration::from_hours(24);
/// Minutes of facets read at once, the newest first.
const READ: i64 = 50_000;

/// Whether a minute was over when dead letters of it were indexed, and not for too long.
pub(in crate::store) fn is_late(minute: i64, now: Timestamp) -> bool {
    let (first, this) = (now.minus(NEWS).as_millis().div_euclid(MINUTE_MS), now.as_millis().div_euclid(MINUTE_MS));
    (first..this).contains(&minute)
}

type Row = (i64, String, String, Option<Vec<u8>>, i16, i64);

impl Store {
    /// Minutes (since 1970) of which dead letters were indexed only after they were over, from `indexed_since` on, by the labels of
    /// their series; minutes from before `from` are left out.
    pub async fn list_late_arrivals(&self, indexed_since: Timestamp, from: Timestamp) -> Result<Vec<(Labels, i64)>, StoreError> {
        let minute = from.as_millis().div_euclid(MINUTE_MS);
        let since = indexed_since.as_millis();
        let rows: Vec<Row> = read!(self, |pool| sqlx::query_as(LIST).bind(since).bind(minute).bind(READ).fetch_all(pool).await?)?;
        let late =
            |(minute, bus, topic, group, version, hash): Row| Ok((labels_of(bus, topic, group, fingerprint(version, hash)?), minute));
        rows.into_iter().map(late).collect()
    }

    /// Forgets at most `limit` minutes that were added to before `before`; what arrived in them stays.
    pub async fn prune_late_arrivals(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        Ok(touched!(self, sqlx::query(PRUNE).bind(before.as_millis()).bind(i64::from(limit))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_is_late_once_it_is_over_and_for_a_day() {
        let now = Timestamp::from_millis(100_000 * MINUTE_MS + 7_000);
        let minutes = [100_001, 100_000, 99_999, 100_000 - 1_440, 100_000 - 1_441];
        assert_eq!(minutes.map(|minute| is_late(minute, now)), [false, false, true, true, false]);
    }
}
