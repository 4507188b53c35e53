//! Arrivals: how many dead letters came to their topics when, without backlog. What counts is when they arrived, not when they had
//! failed: one that failed six hours ago and arrives now is one of now ([`arrived_at`]).
//! A row per facet and hour, which also tells the minutes until retention forgets these: a day of forty facets is a thousand rows instead
//! of fifty thousand.
//!
//! [`arrived_at`]: crate::model::dead_letter::NewDeadLetter::arrived_at

use std::collections::BTreeMap;

use super::error::contradiction;
use super::facets::restricts_facets;
use super::indexing::id_list;
use super::{Store, StoreError};
use crate::model::{DeadLetterFilter, Timestamp};

statements! {
    const BY_MINUTE_OF = "select facet_id, hour, letters, by_minute, minutes from arrival_hours \
        where facet_id in (select cast(value as bigint) from json_each(cast($1 as text))) and hour >= $2 and hour <= $3";
    const BY_MINUTE = "select facet_id, hour, letters, by_minute, minutes from arrival_hours where hour >= $1 and hour <= $2";
    // A range of the primary key per facet and bucket: grouping by an expression would sort every row instead.
    const BY_HOUR_OF = "select f.id, b.bucket, (select cast(sum(a.letters) as bigint) from arrival_hours a where a.facet_id = f.id \
        and a.hour >= cast($3 as bigint) + b.bucket * cast($4 as bigint) \
        and a.hour < cast($3 as bigint) + (b.bucket + 1) * cast($4 as bigint)) \
        from (select cast(value as bigint) as id from json_each(cast($1 as text))) f, \
        (select cast(value as bigint) as bucket from json_each(cast($2 as text))) b";
    const HOURS = "select facet_id, hour, letters from arrival_hours where hour >= $1 and hour < $2";
    const HOURS_OF = "select facet_id, hour, letters from arrival_hours \
        where facet_id in (select cast(value as bigint) from json_each(cast($1 as text))) and hour >= $2 and hour < $3";
    const BY_HOUR = "select hour, cast(sum(letters) as bigint) from arrival_hours where hour >= $1 and hour < $2 group by hour";
    const FORGET_MINUTES = "update arrival_hours set by_minute = false, minutes = '' where by_minute and (facet_id, hour) in \
        (select facet_id, hour from arrival_hours where by_minute and hour < $1 order by hour limit $2)";
    const REMOVE_HOURS = "delete from arrival_hours where (facet_id, hour) in \
        (select facet_id, hour from arrival_hours where hour < $1 order by hour limit $2)";
}

const MINUTE_MILLIS: i64 = 60_000;
const HOUR_MILLIS: i64 = 60 * MINUTE_MILLIS;

/// Dead letters that arrived (without backlog), for the first page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Arrivals {
    /// Per bucket, oldest first.
    pub per_bucket: Vec<u64>,
    /// Sum of the range.
    pub total: u64,
    /// Sum of the range just before.
    pub before: u64,
}

/// The time range of arrivals: from (inclusive), to (exclusive), and how many equal buckets it is cut into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Buckets {
    /// Inclusive.
    pub from: Timestamp,
    /// Exclusive.
    pub to: Timestamp,
    /// Number of buckets, 1 to 400.
    pub count: u32,
}

impl Buckets {
    fn width_ms(&self) -> i64 {
        let width = self.to.as_millis().saturating_sub(self.from.as_millis()) / i64::from(self.count.max(1));
        width.max(1)
    }

    /// The minutes that begin inside.
    fn minutes(&self) -> (i64, i64) {
        let up = |time: Timestamp| time.as_millis().saturating_add(MINUTE_MILLIS - 1).div_euclid(MINUTE_MILLIS);
        (up(self.from), up(self.to))
    }

    /// First hour and hours per bucket, when no bucket cuts an hour.
    pub(super) fn whole_hours(&self) -> Option<(i64, i64)> {
        let (from, width, count) = (self.from.as_millis(), self.width_ms(), i64::from(self.count));
        let whole =
            from % HOUR_MILLIS == 0 && width % HOUR_MILLIS == 0 && from.checked_add(width.checked_mul(count)?)? == self.to.as_millis();
        whole.then(|| (from.div_euclid(HOUR_MILLIS), width / HOUR_MILLIS))
    }

    fn bucket_of(&self, minute: i64) -> i64 {
        minute.saturating_mul(MINUTE_MILLIS).saturating_sub(self.from.as_millis()) / self.width_ms()
    }

    pub(super) fn empty(&self) -> Vec<u64> {
        vec![0; self.count.clamp(1, 400) as usize]
    }

    /// Adds to a bucket; what rounding pushes beyond the end belongs to the last.
    pub(super) fn add(per_bucket: &mut [u64], bucket: i64, letters: i64) {
        let last = per_bucket.len() - 1;
        per_bucket[usize::try_from(bucket).unwrap_or(0).min(last)] += letters.unsigned_abs();
    }

    /// The range just before, of the same length.
    fn before(&self) -> Self {
        let length = self.to.as_millis().saturating_sub(self.from.as_millis());
        Self { from: Timestamp::from_millis(self.from.as_millis().saturating_sub(length)), to: self.from, count: 1 }
    }
}

impl Store {
    /// Arrivals over time under a filter (without `q`, whatever the status and presence). Exact to the minute; where retention has
    /// forgotten the minutes, an hour counts where it begins.
    pub async fn list_arrivals(&self, filter: &DeadLetterFilter, buckets: Buckets) -> Result<Arrivals, StoreError> {
        let facets = if restricts_facets(filter) {
            Some(self.resolve_facets(filter).await?.into_iter().map(|facet| facet.id).collect::<Vec<_>>())
        } else {
            None
        };
        let per_bucket = self.sum_arrivals(facets.as_deref(), buckets).await?;
        let before = self.sum_arrivals(facets.as_deref(), buckets.before()).await?;
        Ok(Arrivals { total: per_bucket.iter().sum(), before: before.iter().sum(), per_bucket })
    }

    /// Removes the minutes of at most `limit` hours that ended before `before`; the hours stay.
    pub async fn prune_arrival_minutes(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        Ok(touched!(self, sqlx::query(FORGET_MINUTES).bind(hour_of(before)).bind(i64::from(limit))))
    }

    /// Removes at most `limit` hours of arrivals that ended before `before`.
    pub async fn prune_arrivals(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        Ok(touched!(self, sqlx::query(REMOVE_HOURS).bind(hour_of(before)).bind(i64::from(limit))))
    }

    async fn sum_arrivals(&self, facets: Option<&[i64]>, buckets: Buckets) -> Result<Vec<u64>, StoreError> {
        let mut per_bucket = buckets.empty();
        for (_, bucket, letters) in self.arrivals_of(facets, buckets).await? {
            Buckets::add(&mut per_bucket, bucket, letters);
        }
        Ok(per_bucket)
    }

    /// Facet, bucket, arrivals; of all facets (together, as number 0) when none are named.
    pub(super) async fn arrivals_of(&self, facets: Option<&[i64]>, buckets: Buckets) -> Result<Vec<(i64, i64, i64)>, StoreError> {
        let Some((first, per_bucket)) = buckets.whole_hours() else { return self.arrivals_by_minute(facets, buckets).await };
        let Some(facets) = facets else {
            let end = first.saturating_add(per_bucket.saturating_mul(i64::from(buckets.count)));
            let rows: Vec<(i64, i64)> = read!(self, |pool| sqlx::query_as(BY_HOUR).bind(first).bind(end).fetch_all(pool).await?)?;
            return Ok(rows.into_iter().map(|(hour, letters)| (0, (hour - first) / per_bucket, letters)).collect());
        };
        let (ids, numbers) = (id_list(facets), id_list(&(0..i64::from(buckets.count)).collect::<Vec<_>>()));
        let rows: Vec<(i64, i64, Option<i64>)> =
            read!(self, |pool| sqlx::query_as(BY_HOUR_OF).bind(&ids).bind(&numbers).bind(first).bind(per_bucket).fetch_all(pool).await?)?;
        Ok(rows.into_iter().filter_map(|(facet, bucket, letters)| Some((facet, bucket, letters?))).collect())
    }

    /// Arrivals by facet and bucket, of these facets or of all.
    pub(super) async fn arrivals_by_facet(&self, facets: Option<&[i64]>, buckets: Buckets) -> Result<Vec<(i64, i64, i64)>, StoreError> {
        let Some((first, per_bucket)) = buckets.whole_hours() else { return self.arrivals_by_minute(facets, buckets).await };
        let end = first.saturating_add(per_bucket.saturating_mul(i64::from(buckets.count)));
        let rows: Vec<(i64, i64, i64)> = match facets {
            Some(facets) => {
                let ids = id_list(facets);
                read!(self, |pool| sqlx::query_as(HOURS_OF).bind(&ids).bind(first).bind(end).fetch_all(pool).await?)?
            }
            None => read!(self, |pool| sqlx::query_as(HOURS).bind(first).bind(end).fetch_all(pool).await?)?,
        };
        Ok(rows.into_iter().map(|(facet, hour, letters)| (facet, (hour - first) / per_bucket, letters)).collect())
    }

    async fn arrivals_by_minute(&self, facets: Option<&[i64]>, buckets: Buckets) -> Result<Vec<(i64, i64, i64)>, StoreError> {
        let (first, end) = buckets.minutes();
        let (first_hour, last_hour) = (first.div_euclid(60), end.saturating_sub(1).div_euclid(60));
        let rows: Vec<HourRow> = match facets {
            Some(facets) => {
                let ids = id_list(facets);
                read!(self, |pool| sqlx::query_as(BY_MINUTE_OF).bind(&ids).bind(first_hour).bind(last_hour).fetch_all(pool).await?)?
            }
            None => read!(self, |pool| sqlx::query_as(BY_MINUTE).bind(first_hour).bind(last_hour).fetch_all(pool).await?)?,
        };
        let mut arrivals: Vec<(i64, i64, i64)> = Vec::new();
        for row in rows {
            for (minute, letters) in row.minutes()?.into_iter().filter(|(minute, _)| (first..end).contains(minute)) {
                let bucket = buckets.bucket_of(minute);
                match arrivals.last_mut() {
                    Some(last) if (last.0, last.1) == (row.facet_id, bucket) => last.2 += letters,
                    _ => arrivals.push((row.facet_id, bucket, letters)),
                }
            }
        }
        Ok(arrivals)
    }
}

fn hour_of(time: Timestamp) -> i64 {
    time.as_millis().div_euclid(HOUR_MILLIS)
}

/// An hour of a facet, as it stands in the store.
#[derive(sqlx::FromRow)]
struct HourRow {
    facet_id: i64,
    hour: i64,
    letters: i64,
    by_minute: bool,
    minutes: String,
}

impl HourRow {
    /// Minutes with their arrivals; the first of the hour has all of them where the minutes are forgotten.
    fn minutes(&self) -> Result<Vec<(i64, i64)>, StoreError> {
        if !self.by_minute {
            return Ok(vec![(self.hour * 60, self.letters)]);
        }
        Ok(read_minutes(self.hour, &self.minutes)?.into_iter().collect())
    }
}

/// Reads an hour's minutes: `7:12,8:3` are twelve in the eighth minute and three in the ninth.
pub(super) fn read_minutes(hour: i64, text: &str) -> Result<BTreeMap<i64, i64>, StoreError> {
    let mut minutes = BTreeMap::new();
    for pair in text.split(',').filter(|pair| !pair.is_empty()) {
        let read = pair.split_once(':').and_then(|(minute, letters)| Some((minute.parse::<i64>().ok()?, letters.parse::<i64>().ok()?)));
        let (minute, letters) = read.ok_or_else(|| contradiction("minutes of arrivals"))?;
        *minutes.entry(hour * 60 + minute).or_default() += letters;
    }
    Ok(minutes)
}

/// Writes what [`read_minutes`] reads.
pub(super) fn write_minutes(minutes: &BTreeMap<i64, i64>) -> String {
    let pairs: Vec<String> = minutes.iter().map(|(minute, letters)| format!("{}:{letters}", minute.rem_euclid(60))).collect();
    pairs.join(",")
}

/// Minutes by the hour they belong to.
pub(super) fn by_hour(minutes: &BTreeMap<i64, i64>) -> BTreeMap<i64, BTreeMap<i64, i64>> {
    let mut hours: BTreeMap<i64, BTreeMap<i64, i64>> = BTreeMap::new();
    for (minute, letters) in minutes {
        hours.entry(minute.div_euclid(60)).or_default().insert(*minute, *letters);
    }
    hours
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minutes_are_read_as_they_were_written() {
        let minutes = BTreeMap::from([(-1, 4), (0, 12), (59, 1), (60, 7)]);
        let hours = by_hour(&minutes);
        assert_eq!(hours.keys().copied().collect::<Vec<_>>(), [-1, 0, 1]);
        assert_eq!(write_minutes(&hours[&0]), "0:12,59:1");
        let again: BTreeMap<i64, i64> =
            hours.iter().flat_map(|(hour, minutes)| read_minutes(*hour, &write_minutes(minutes)).expect("was written so")).collect();
        assert_eq!(again, minutes);
        assert!(read_minutes(0, "1:x").is_err());
        assert!(read_minutes(0, "").expect("nothing").is_empty());
    }

    #[test]
    fn only_buckets_that_cut_no_hour_are_summed_by_the_hour() {
        let at = |minutes: i64| Timestamp::from_millis(minutes * MINUTE_MILLIS);
        let buckets = |from: i64, to: i64, count: u32| Buckets { from: at(from), to: at(to), count };
        assert_eq!(buckets(60, 300, 2).whole_hours(), Some((1, 2)));
        assert_eq!(buckets(61, 301, 2).whole_hours(), None, "begins inside an hour");
        assert_eq!(buckets(60, 210, 2).whole_hours(), None, "75 minutes each");
        assert_eq!(buckets(0, 601, 10).whole_hours(), None, "a minute is left over");
    }
}
