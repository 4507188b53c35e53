//! Two times of the same length side by side, from hours: what arrived by cause, and since when anything is known.

use super::indexing::text_list;
use super::{Store, StoreError};
use crate::model::{BusId, Fingerprint, Timestamp};
use crate::store::rows::{fingerprint, text};

statements! {
    const KNOWN = "select max(first_read_at), count(*), count(first_read_at) from buses where configured \
        and (cast($1 as text) is null or bus in (select value from json_each(cast($1 as text))))";
    const CAUSES = "select b.bus, g.version, g.hash, g.title, s.late, s.early from (select f.failure_group_id as g, \
        cast(sum(case when a.hour >= $2 then a.letters else 0 end) as bigint) as late, \
        cast(sum(case when a.hour < $2 then a.letters else 0 end) as bigint) as early \
        from arrival_hours a join facets f on f.id = a.facet_id where a.hour >= $1 and a.hour < $3 \
        and (cast($4 as text) is null or f.bus_id in (select b.id from buses b where b.bus in \
        (select value from json_each(cast($4 as text))))) \
        group by f.failure_group_id) s join failure_groups g on g.id = s.g join buses b on b.id = g.bus_id \
        order by case when s.late > s.early then s.late else s.early end desc, g.id limit $5";
}

const HOUR_MS: i64 = 3_600_000;

/// Dead letters of one cause in two times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// Bus.
    pub bus: BusId,
    /// Which failure group.
    pub fingerprint: Fingerprint,
    /// Its title.
    pub title: String,
    /// Arrived in the time itself.
    pub now: u64,
    /// Arrived in the time before.
    pub before: u64,
}

impl Store {
    /// Since when all of these buses (none means all) are read; `None` while one of them never was.
    pub async fn known_since(&self, buses: &[BusId]) -> Result<Option<Timestamp>, StoreError> {
        let names = names(buses);
        let (newest, all, read): (Option<i64>, i64, i64) = read!(self, |pool| sqlx::query_as(KNOWN).bind(&names).fetch_one(pool).await?)?;
        Ok(newest.filter(|_| all == read).map(Timestamp::from_millis))
    }

    /// Failure groups with the most arrivals in the hours from `before` to `from` or from there to `to`, most first.
    pub async fn compare_causes(
        &self,
        buses: &[BusId],
        (before, from, to): (Timestamp, Timestamp, Timestamp),
        limit: u32,
    ) -> Result<Vec<Cause>, StoreError> {
        let hour = |at: Timestamp| at.as_millis().div_euclid(HOUR_MS);
        let names = names(buses);
        let rows: Vec<(String, i16, i64, Vec<u8>, i64, i64)> = read!(self, |pool| sqlx::query_as(CAUSES)
            .bind(hour(before))
            .bind(hour(from))
            .bind(hour(to))
            .bind(&names)
            .bind(i64::from(limit))
            .fetch_all(pool)
            .await?)?;
        let cause = |(bus, version, hash, title, now, before): (String, i16, i64, Vec<u8>, i64, i64)| {
            Ok(Cause {
                bus: BusId::new(bus),
                fingerprint: fingerprint(version, hash)?,
                title: text(title),
                now: now.unsigned_abs(),
                before: before.unsigned_abs(),
            })
        };
        rows.into_iter().map(cause).collect()
    }
}

fn names(buses: &[BusId]) -> Option<String> {
    let names: Vec<&str> = buses.iter().map(BusId::as_str).filter(|name| !name.contains('\0')).collect();
    (!buses.is_empty()).then(|| text_list(&names))
}
