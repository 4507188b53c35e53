//! Two times of the same length side by side, from hours: what arrived by cause, and since when anything is known.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

use super::indexing::{id_list, text_list};
use super::{Store, StoreError};
use crate::model::{BusId, Fingerprint, Timestamp};
use crate::store::rows::{fingerprint, text};

statements! {
    const KNOWN = "select max(first_read_at), count(*), count(first_read_at) from buses where configured \
        and (cast($1 as text) is null or bus in (select value from json_each(cast($1 as text))))";
    const GROUPS_OF = "select f.id, f.failure_group_id from facets f where f.id in (select cast(value as bigint) from json_each(cast($1 as text))) \
        and (cast($2 as text) is null or f.bus_id in (select b.id from buses b where b.bus in \
        (select value from json_each(cast($2 as text)))))";
    const NAMES = "select g.id, b.bus, g.version, g.hash, g.title from failure_groups g join buses b on b.id = g.bus_id \
        where g.id in (select cast(value as bigint) from json_each(cast($1 as text)))";
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
        let late = self.arrivals_of_hours(hour(from), hour(to)).await?;
        let early = self.arrivals_of_hours(hour(before), hour(from)).await?;
        let facets: BTreeSet<i64> = late.keys().chain(early.keys()).copied().collect();
        if facets.is_empty() {
            return Ok(Vec::new());
        }
        let (ids, names) = (id_list(&facets.into_iter().collect::<Vec<_>>()), names(buses));
        let groups: Vec<(i64, i64)> = read!(self, |pool| sqlx::query_as(GROUPS_OF).bind(&ids).bind(&names).fetch_all(pool).await?)?;
        let mut sums: HashMap<i64, (i64, i64)> = HashMap::new();
        for (facet, group) in groups {
            let sum = sums.entry(group).or_default();
            sum.0 += late.get(&facet).copied().unwrap_or_default();
            sum.1 += early.get(&facet).copied().unwrap_or_default();
        }
        let mut most: Vec<(i64, (i64, i64))> = sums.into_iter().filter(|(_, (late, early))| late.max(early) > &0).collect();
        most.sort_unstable_by_key(|(group, (late, early))| (Reverse(*late.max(early)), *group));
        most.truncate(limit as usize);
        let ids = id_list(&most.iter().map(|(group, _)| *group).collect::<Vec<_>>());
        let rows: Vec<NameRow> = read!(self, |pool| sqlx::query_as(NAMES).bind(&ids).fetch_all(pool).await?)?;
        let mut rows: HashMap<i64, NameRow> = rows.into_iter().map(|row| (row.0, row)).collect();
        let cause = |(group, (late, early)): (i64, (i64, i64))| {
            let (_, bus, version, hash, title) = rows.remove(&group)?;
            let of = fingerprint(version, hash);
            Some(of.map(|fingerprint| Cause {
                bus: BusId::new(bus),
                fingerprint,
                title: text(title),
                now: late.unsigned_abs(),
                before: early.unsigned_abs(),
            }))
        };
        most.into_iter().filter_map(cause).collect()
    }
}

/// Failure group, its bus, version and hash of its fingerprint, title.
type NameRow = (i64, String, i16, i64, Vec<u8>);

fn names(buses: &[BusId]) -> Option<String> {
    let names: Vec<&str> = buses.iter().map(BusId::as_str).filter(|name| !name.contains('\0')).collect();
    (!buses.is_empty()).then(|| text_list(&names))
}
