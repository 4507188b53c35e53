//! How many: exact, from the facets' counters where these know it, else counted on covering indexes.

use std::collections::HashMap;

use super::select::Key;
use super::{Status, Words, presence_sql, restricts_facets, statuses};
use crate::model::dead_letter::StatusCounts;
use crate::model::{BusId, DeadLetterFilter, DeadLetterId, Timestamp};
use crate::store::facets::FacetRow;
use crate::store::indexing::id_list;
use crate::store::rows::status;
use crate::store::{Store, StoreError};

statements! {
    const IN_TIME = "select count(*) from dead_letters where status = $1 and failed_at >= $2 and failed_at <= $3";
    // A range of an index per facet and status, all in one round trip.
    const OF_FACETS_IN_TIME = "select f.id, s.status, (select count(*) from dead_letters d where d.facet_id = f.id \
        and d.status = s.status and d.failed_at >= $3 and d.failed_at <= $4) \
        from (select cast(value as bigint) as id from json_each(cast($1 as text))) f, \
        (select cast(value as smallint) as status from json_each(cast($2 as text))) s";
    const BY_FACET_IN_TIME = "select facet_id, count(*) from dead_letters where status = $1 and failed_at >= $2 and failed_at <= $3 \
        group by facet_id";
    const BY_FACET_AND_PRESENCE = concat!("select d.facet_id, d.status, count(*) from dead_letters d join partitions p on p.id = d.partition_id \
        join topic_generations g on g.id = p.generation_id where d.failed_at >= $1 and d.failed_at <= $2 and ", presence_sql!(),
        " in (select cast(value as bigint) from json_each(cast($3 as text))) group by d.facet_id, d.status");
    // The limit keeps SQLite from looking through an index in the order of groups: these are the newest few.
    const NEWER = "select facet_id, status, count(*) from (select facet_id, status from dead_letters \
        where id > $1 and failed_at >= $2 and failed_at <= $3 limit 1000000) as newer group by facet_id, status";
    const BACKLOG = "select count(*) from (select 1 from dead_letters where backlog and failed_at >= $1 and failed_at < $2 \
        and (cast($3 as text) is null or facet_id in (select cast(value as bigint) from json_each(cast($3 as text)))) limit $4) as counted";
    const NEWER_KEYS = "select failed_at, id, facet_id, status from dead_letters where id > $1 and failed_at >= $2 and failed_at <= $3 \
        order by id limit 2000";
}

/// Facets whose time range is cut by the filter's are counted one by one up to so many.
const FEW_FACETS: usize = 200;
/// With a presence in the filter every row must be looked at: not beyond so many.
const MOST_LOOKED_AT: u64 = 200_000;

/// Backlog is counted up to so many: beyond, a number says no more to a person, and the first page would wait for it.
pub const MOST_BACKLOG_COUNTED: u64 = 100_000;

/// A facet with how many of its dead letters match, by status.
pub(in crate::store) type FacetCounts = (FacetRow, StatusCounts);

impl Store {
    /// How many match; `None` where only a long scan would tell: with `q`, and with a presence among very many.
    pub async fn count_dead_letters(&self, filter: &DeadLetterFilter) -> Result<Option<u64>, StoreError> {
        if filter.q.as_deref().and_then(Words::parse).is_some() {
            return Ok(None);
        }
        let in_time = filter.from.is_some() || filter.to.is_some();
        if !filter.presence.is_empty() {
            let plain = DeadLetterFilter { presence: Vec::new(), ..filter.clone() };
            if Box::pin(self.count_dead_letters(&plain)).await?.is_none_or(|count| count > MOST_LOOKED_AT) {
                return Ok(None);
            }
        } else if !restricts_facets(filter) {
            let totals = self.total_counts().await?;
            let mut count = 0;
            for status in statuses(filter).into_iter().filter(|status| totals.of(*status) > 0) {
                count += if in_time { self.count_in_time(status, filter).await? } else { totals.of(status) };
            }
            return Ok(Some(count));
        } else if !in_time {
            let sums = self.sum_facets(filter).await?;
            return Ok(Some(statuses(filter).into_iter().map(|status| sums.of(status)).sum()));
        }
        Ok(Some(self.matching_facets(filter).await?.iter().map(|(_, counts)| counts.total()).sum()))
    }

    /// How many match and are newer than `id` in the order of indexing: the "show n newer" of a live list. With `q` or a presence,
    /// among the next 2,000.
    pub async fn count_newer(&self, filter: &DeadLetterFilter, id: DeadLetterId) -> Result<u64, StoreError> {
        let wanted = statuses(filter);
        let facets = if restricts_facets(filter) { Some(self.plan(filter).await?.facets.unwrap_or_default()) } else { None };
        let (from, to) = times(filter);
        let belongs =
            |facet: &i64, status: Status| wanted.contains(&status) && facets.as_ref().is_none_or(|facets| facets.contains_key(facet));
        if filter.presence.is_empty() && filter.q.is_none() {
            let rows: Vec<(i64, i16, i64)> =
                read!(self, |pool| sqlx::query_as(NEWER).bind(id.0).bind(from).bind(to).fetch_all(pool).await?)?;
            let mut count = 0;
            for (facet, code, letters) in rows {
                count += if belongs(&facet, status(code)?) { letters.unsigned_abs() } else { 0 };
            }
            return Ok(count);
        }
        let rows: Vec<(i64, i64, i64, i16)> =
            read!(self, |pool| sqlx::query_as(NEWER_KEYS).bind(id.0).bind(from).bind(to).fetch_all(pool).await?)?;
        let mut keys = Vec::new();
        for (failed_at, id, facet_id, code) in rows {
            if belongs(&facet_id, status(code)?) {
                keys.push(Key { failed_at, id, facet_id });
            }
        }
        let keys = self.with_presence(keys, &filter.presence).await?;
        let Some(words) = filter.q.as_deref().and_then(Words::parse) else { return Ok(keys.len() as u64) };
        Ok(self.with_words(&keys, &words).await?.len() as u64)
    }

    /// Backlog of some buses (none means all) that failed from `from` (inclusive) to `to` (exclusive), up to [`MOST_BACKLOG_COUNTED`].
    pub async fn count_backlog(&self, buses: &[BusId], from: Option<Timestamp>, to: Option<Timestamp>) -> Result<u64, StoreError> {
        let facets = if buses.is_empty() {
            None
        } else {
            let filter = DeadLetterFilter { bus: buses.to_vec(), ..DeadLetterFilter::default() };
            Some(id_list(&self.resolve_facets(&filter).await?.into_iter().map(|facet| facet.id).collect::<Vec<_>>()))
        };
        let (from, to) = (from.map_or(i64::MIN, Timestamp::as_millis), to.map_or(i64::MAX, Timestamp::as_millis));
        let most = MOST_BACKLOG_COUNTED.cast_signed();
        let (count,): (i64,) =
            read!(self, |pool| sqlx::query_as(BACKLOG).bind(from).bind(to).bind(&facets).bind(most).fetch_one(pool).await?)?;
        Ok(count.unsigned_abs())
    }

    /// The facets that a filter (without `q`) selects with their matching dead letters; those without any are left out.
    pub(in crate::store) async fn matching_facets(&self, filter: &DeadLetterFilter) -> Result<Vec<FacetCounts>, StoreError> {
        let facets = self.resolve_facets(filter).await?;
        let statuses = statuses(filter);
        let mut matching = if !filter.presence.is_empty() {
            self.count_by_presence(facets, &statuses, filter).await?
        } else if filter.from.is_some() || filter.to.is_some() {
            self.count_facets_in_time(facets, &statuses, filter).await?
        } else {
            facets.into_iter().map(|facet| whole(facet, &statuses)).collect()
        };
        matching.retain(|(_, counts)| counts.total() > 0);
        Ok(matching)
    }

    async fn count_in_time(&self, status: Status, filter: &DeadLetterFilter) -> Result<u64, StoreError> {
        let (from, to) = times(filter);
        let (count,): (i64,) = read!(self, |pool| sqlx::query_as(IN_TIME).bind(status.code()).bind(from).bind(to).fetch_one(pool).await?)?;
        Ok(count.unsigned_abs())
    }

    async fn count_facets_in_time(
        &self,
        facets: Vec<FacetRow>,
        statuses: &[Status],
        filter: &DeadLetterFilter,
    ) -> Result<Vec<FacetCounts>, StoreError> {
        let (from, to) = times(filter);
        let overlapping: Vec<FacetRow> = facets.into_iter().filter(|facet| facet.last_seen >= from && facet.first_seen <= to).collect();
        let (inside, cut): (Vec<_>, Vec<_>) = overlapping.into_iter().partition(|facet| facet.first_seen >= from && facet.last_seen <= to);
        let mut matching: Vec<FacetCounts> = inside.into_iter().map(|facet| whole(facet, statuses)).collect();
        let counted = if cut.len() > FEW_FACETS {
            self.count_all_in_time(statuses, filter).await?
        } else {
            self.count_some_in_time(&cut, statuses, from, to).await?
        };
        for facet in cut {
            let mut counts = StatusCounts::default();
            for status in statuses {
                *counts.of_mut(*status) = counted.get(&(facet.id, *status)).copied().unwrap_or_default();
            }
            matching.push((facet, counts));
        }
        Ok(matching)
    }

    async fn count_some_in_time(
        &self,
        facets: &[FacetRow],
        statuses: &[Status],
        from: i64,
        to: i64,
    ) -> Result<HashMap<(i64, Status), u64>, StoreError> {
        let held = |wanted: &Status| facets.iter().any(|facet| facet.counts.of(*wanted) > 0);
        let statuses = id_list(&statuses.iter().filter(|wanted| held(wanted)).map(|wanted| i64::from(wanted.code())).collect::<Vec<_>>());
        let ids = id_list(&facets.iter().map(|facet| facet.id).collect::<Vec<_>>());
        let rows: Vec<(i64, i16, i64)> = read!(self, |pool| {
            sqlx::query_as(OF_FACETS_IN_TIME).bind(&ids).bind(&statuses).bind(from).bind(to).fetch_all(pool).await?
        })?;
        rows.into_iter().map(|(facet, code, count)| Ok(((facet, status(code)?), count.unsigned_abs()))).collect()
    }

    async fn count_all_in_time(&self, statuses: &[Status], filter: &DeadLetterFilter) -> Result<HashMap<(i64, Status), u64>, StoreError> {
        let (from, to) = times(filter);
        let mut all = HashMap::new();
        for status in statuses {
            let rows: Vec<(i64, i64)> =
                read!(self, |pool| sqlx::query_as(BY_FACET_IN_TIME).bind(status.code()).bind(from).bind(to).fetch_all(pool).await?)?;
            all.extend(rows.into_iter().map(|(facet, count)| ((facet, *status), count.unsigned_abs())));
        }
        Ok(all)
    }

    async fn count_by_presence(
        &self,
        facets: Vec<FacetRow>,
        statuses: &[Status],
        filter: &DeadLetterFilter,
    ) -> Result<Vec<FacetCounts>, StoreError> {
        let (from, to) = times(filter);
        let presences: Vec<i16> = filter.presence.iter().map(|presence| presence.code()).collect();
        let presences = serde_json::to_string(&presences).expect("a list of numbers is JSON");
        let rows: Vec<(i64, i16, i64)> =
            read!(self, |pool| sqlx::query_as(BY_FACET_AND_PRESENCE).bind(from).bind(to).bind(&presences).fetch_all(pool).await?)?;
        let mut counts: HashMap<i64, StatusCounts> = HashMap::new();
        for (facet, code, letters) in rows {
            let status = status(code)?;
            if statuses.contains(&status) {
                *counts.entry(facet).or_default().of_mut(status) += letters.unsigned_abs();
            }
        }
        Ok(facets.into_iter().filter_map(|facet| Some((facet.clone(), counts.remove(&facet.id)?))).collect())
    }
}

/// A facet with all of its dead letters of these statuses.
pub(in crate::store) fn whole(facet: FacetRow, statuses: &[Status]) -> FacetCounts {
    let mut counts = StatusCounts::default();
    facet.counts.add_to(&mut counts, statuses);
    (facet, counts)
}

/// The filter's times, both inclusive.
fn times(filter: &DeadLetterFilter) -> (i64, i64) {
    (filter.from.map_or(i64::MIN, Timestamp::as_millis), filter.to.map_or(i64::MAX, |to| to.as_millis().saturating_sub(1)))
}
