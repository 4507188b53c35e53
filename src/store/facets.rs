//! Facets: what a filter selects, resolved to a small number of ids with exact counts.

use super::indexing::id_list;
use super::rows::hex;
use super::{Store, StoreError};
use crate::model::dead_letter::StatusCounts;
use crate::model::{DeadLetterFilter, Fingerprint, Status};

/// A query over facets whose names a filter selects, parameters 1 to 7; `leading` is a condition that an index answers.
macro_rules! facets_sql {
    ($columns:literal, $leading:literal, $end:literal) => {
        concat!(
            "select ", $columns, " from facets f join buses b on b.id = f.bus_id where ", $leading,
            "(cast($1 as text) is null or b.bus in (select value from json_each(cast($1 as text)))) \
            and (cast($2 as text) is null or f.topic in (select value from json_each(cast($2 as text)))) \
            and (cast($3 as text) is null or f.convention in (select value from json_each(cast($3 as text)))) \
            and (cast($4 as text) is null or (f.origin_topic is not null and hex(f.origin_topic) in (select value from json_each(cast($4 as text))))) \
            and (cast($5 as text) is null or (f.consumer_group is not null and hex(f.consumer_group) in (select value from json_each(cast($5 as text))))) \
            and (cast($6 as text) is null or (f.exception_class is not null and hex(f.exception_class) in (select value from json_each(cast($6 as text))))) \
            and (cast($7 as text) is null or f.failure_group_id in (select cast(value as bigint) from json_each(cast($7 as text))))",
            $end
        )
    };
}

/// Rows of facets; see [`facets_sql`].
macro_rules! resolve_sql {
    ($leading:literal) => {
        facets_sql!(
            "f.id, f.failure_group_id, f.first_seen, f.last_seen, f.open, f.replaying, f.replayed, f.resolved, f.failed_again, f.discarded",
            $leading,
            " order by f.id"
        )
    };
}

/// Groups of facets with their sort key, highest first. Parameters 8 to 13 are 1 for each wanted status, 14 is the order (0: most dead
/// letters, 1: newest failure, 2: newest group), 15 and 16 are the last row of the page before, 17 is how many.
macro_rules! top_groups_sql {
    ($facets:expr) => {
        concat!(
            "select g, k from (select g, cast(case when cast($14 as integer) = 0 then sum(open) when cast($14 as integer) = 1 then max(last_seen) \
            else min(first_seen) end as bigint) as k from (", $facets, ") s where letters > 0 group by g) t \
            where k < $15 or (k = $15 and g < $16) order by k desc, g desc limit $17"
        )
    };
}

statements! {
    const TOP_GROUPS = top_groups_sql!(facets_sql!("f.failure_group_id as g, f.first_seen, f.last_seen, f.open * cast($8 as bigint) as open, \
        f.open * cast($8 as bigint) + f.replaying * cast($9 as bigint) + f.replayed * cast($10 as bigint) \
        + f.resolved * cast($11 as bigint) + f.failed_again * cast($12 as bigint) + f.discarded * cast($13 as bigint) as letters", "", ""));
    // Of whole buses: an index knows it all, in the order of groups.
    const TOP_GROUPS_OF_BUSES = top_groups_sql!("select f.failure_group_id as g, f.first_seen, f.last_seen, f.open * cast($8 as bigint) as open, \
        f.open * cast($8 as bigint) + f.replaying * cast($9 as bigint) + f.replayed * cast($10 as bigint) \
        + f.resolved * cast($11 as bigint) + f.failed_again * cast($12 as bigint) + f.discarded * cast($13 as bigint) as letters from facets f \
        where (cast($1 as text) is null or f.bus_id in (select b.id from buses b where b.bus in \
        (select value from json_each(cast($1 as text))))) \
        and coalesce(cast($2 as text), $3, $4, $5, $6, $7) is null");
    const RESOLVE = resolve_sql!("");
    const RESOLVE_BY_ORIGIN = resolve_sql!("substr(f.origin_topic, 1, 100) in \
        (select substr(unhex(value), 1, 100) from json_each(cast($4 as text))) and ");
    const RESOLVE_BY_GROUP = resolve_sql!("substr(f.consumer_group, 1, 100) in \
        (select substr(unhex(value), 1, 100) from json_each(cast($5 as text))) and ");
    const RESOLVE_BY_CLASS = resolve_sql!("substr(f.exception_class, 1, 100) in \
        (select substr(unhex(value), 1, 100) from json_each(cast($6 as text))) and ");
    const RESOLVE_BY_FAILURE_GROUP = resolve_sql!("f.failure_group_id in \
        (select cast(value as bigint) from json_each(cast($7 as text))) and ");
    const RESOLVE_SOME = resolve_sql!("f.id in (select cast(value as bigint) from json_each(cast($8 as text))) and ");
    const SUM = facets_sql!("coalesce(cast(sum(f.open) as bigint), 0) as open, coalesce(cast(sum(f.replaying) as bigint), 0) as replaying, \
        coalesce(cast(sum(f.replayed) as bigint), 0) as replayed, coalesce(cast(sum(f.resolved) as bigint), 0) as resolved, \
        coalesce(cast(sum(f.failed_again) as bigint), 0) as failed_again, coalesce(cast(sum(f.discarded) as bigint), 0) as discarded", "", "");
    const TOTALS = "select coalesce(cast(sum(open) as bigint), 0) as open, coalesce(cast(sum(replaying) as bigint), 0) as replaying, \
        coalesce(cast(sum(replayed) as bigint), 0) as replayed, coalesce(cast(sum(resolved) as bigint), 0) as resolved, \
        coalesce(cast(sum(failed_again) as bigint), 0) as failed_again, coalesce(cast(sum(discarded) as bigint), 0) as discarded \
        from facets";
    const GROUPS_OF = "select id from failure_groups where version = $1 and hash = $2";
}

/// Numbers by status, as they stand in a row.
#[derive(Debug, Clone, Copy, Default, sqlx::FromRow)]
pub(super) struct CountsRow {
    open: i64,
    replaying: i64,
    replayed: i64,
    resolved: i64,
    failed_again: i64,
    discarded: i64,
}

impl CountsRow {
    /// The count of one status.
    pub(super) const fn of(&self, status: Status) -> u64 {
        match status {
            Status::Open => self.open,
            Status::Replaying => self.replaying,
            Status::Replayed => self.replayed,
            Status::Resolved => self.resolved,
            Status::FailedAgain => self.failed_again,
            Status::Discarded => self.discarded,
        }
        .unsigned_abs()
    }

    /// Adds the counts of some statuses.
    pub(super) fn add_to(&self, counts: &mut StatusCounts, statuses: &[Status]) {
        for status in statuses {
            *counts.of_mut(*status) += self.of(*status);
        }
    }
}

/// Parameters 1 to 7 of statements over facets: lists for `json_each`; `None` restricts nothing.
pub(super) struct Names([Option<String>; 7]);

impl Names {
    pub(super) fn iter(&self) -> impl Iterator<Item = &Option<String>> {
        self.0.iter()
    }

    /// The statement whose index leaves least: anybody may write any number of names into headers, and a scan would pass by all.
    const fn statement(&self) -> &'static str {
        match &self.0 {
            [.., Some(_)] => RESOLVE_BY_FAILURE_GROUP,
            [.., Some(_), None] => RESOLVE_BY_CLASS,
            [.., Some(_), None, None] => RESOLVE_BY_GROUP,
            [.., Some(_), None, None, None] => RESOLVE_BY_ORIGIN,
            _ => RESOLVE,
        }
    }
}

/// A facet that a filter selects.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(super) struct FacetRow {
    pub(super) id: i64,
    pub(super) failure_group_id: i64,
    pub(super) first_seen: i64,
    pub(super) last_seen: i64,
    #[sqlx(flatten)]
    pub(super) counts: CountsRow,
}

/// The statuses that a filter selects: all when it names none.
pub(super) fn statuses(filter: &DeadLetterFilter) -> Vec<Status> {
    let mut statuses = if filter.status.is_empty() { Status::ALL.to_vec() } else { filter.status.clone() };
    statuses.sort_unstable();
    statuses.dedup();
    statuses
}

/// Whether a filter restricts anything that facets know, other than the status.
pub(super) const fn restricts_facets(filter: &DeadLetterFilter) -> bool {
    !(filter.bus.is_empty()
        && filter.topic.is_empty()
        && filter.origin_topic.is_empty()
        && filter.consumer_group.is_empty()
        && filter.exception_class.is_empty()
        && filter.fingerprint.is_empty()
        && filter.convention.is_empty())
}

/// A list for `json_each`; `None` restricts nothing. Text columns hold no NUL, so names with one find nothing.
fn list<'a>(values: impl Iterator<Item = &'a str>) -> Option<String> {
    let values: Vec<&str> = values.collect();
    let sane: Vec<&&str> = values.iter().filter(|value| !value.contains('\0')).collect();
    (!values.is_empty()).then(|| serde_json::to_string(&sane).expect("a list of strings is JSON"))
}

fn hex_list<'a>(values: impl Iterator<Item = &'a str>) -> Option<String> {
    let values: Vec<String> = values.map(|value| hex(value.as_bytes()).to_uppercase()).collect();
    (!values.is_empty()).then(|| serde_json::to_string(&values).expect("a list of strings is JSON"))
}

impl Store {
    /// The facets that a filter selects, whatever their counts.
    pub(super) async fn resolve_facets(&self, filter: &DeadLetterFilter) -> Result<Vec<FacetRow>, StoreError> {
        let names = self.names(filter).await?;
        read!(self, |pool| names.iter().fold(sqlx::query_as(names.statement()), sqlx::query::QueryAs::bind).fetch_all(pool).await?)
    }

    /// The facets of some failure groups that a filter selects.
    pub(super) async fn facets_of_groups(&self, filter: &DeadLetterFilter, groups: &[i64]) -> Result<Vec<FacetRow>, StoreError> {
        let mut names = self.names(filter).await?;
        names.0[6] = Some(id_list(groups));
        read!(self, |pool| names.iter().fold(sqlx::query_as(names.statement()), sqlx::query::QueryAs::bind).fetch_all(pool).await?)
    }

    /// Those of some facets that a filter selects.
    pub(super) async fn resolve_some(&self, filter: &DeadLetterFilter, facets: &[i64]) -> Result<Vec<FacetRow>, StoreError> {
        let (names, some) = (self.names(filter).await?, id_list(facets));
        read!(self, |pool| names.iter().fold(sqlx::query_as(RESOLVE_SOME), sqlx::query::QueryAs::bind).bind(&some).fetch_all(pool).await?)
    }

    /// Sums over the facets that a filter selects.
    pub(super) async fn sum_facets(&self, filter: &DeadLetterFilter) -> Result<CountsRow, StoreError> {
        let names = self.names(filter).await?;
        read!(self, |pool| names.iter().fold(sqlx::query_as(SUM), sqlx::query::QueryAs::bind).fetch_one(pool).await?)
    }

    /// Ids of at most `limit` failure groups in which a filter (of names and statuses alone) selects anything, highest sort key first, ids
    /// too; after `after`.
    pub(super) async fn top_groups(
        &self,
        filter: &DeadLetterFilter,
        order: i32,
        after: Option<(i64, i64)>,
        limit: u32,
    ) -> Result<Vec<(i64, i64)>, StoreError> {
        let names = self.names(filter).await?;
        let wanted = statuses(filter);
        let (key, id) = after.unwrap_or((i64::MAX, i64::MAX));
        let statement = if names.0[1..].iter().all(Option::is_none) { TOP_GROUPS_OF_BUSES } else { TOP_GROUPS };
        read!(self, |pool| {
            let query = names.iter().fold(sqlx::query_as(statement), sqlx::query::QueryAs::bind);
            let query = Status::ALL.iter().fold(query, |query, status| query.bind(i64::from(wanted.contains(status))));
            query.bind(order).bind(key).bind(id).bind(i64::from(limit)).fetch_all(pool).await?
        })
    }

    /// What statements over facets are given of a filter.
    pub(super) async fn names(&self, filter: &DeadLetterFilter) -> Result<Names, StoreError> {
        let groups = self.resolve_groups(&filter.fingerprint).await?;
        Ok(Names([
            list(filter.bus.iter().map(crate::model::BusId::as_str)),
            list(filter.topic.iter().map(crate::model::TopicName::as_str)),
            list(filter.convention.iter().map(String::as_str)),
            hex_list(filter.origin_topic.iter().map(crate::model::TopicName::as_str)),
            hex_list(filter.consumer_group.iter().map(crate::model::GroupName::as_str)),
            hex_list(filter.exception_class.iter().map(String::as_str)),
            groups,
        ]))
    }

    /// Sums over all facets.
    pub(super) async fn total_counts(&self) -> Result<CountsRow, StoreError> {
        read!(self, |pool| sqlx::query_as(TOTALS).fetch_one(pool).await?)
    }

    async fn resolve_groups(&self, fingerprints: &[Fingerprint]) -> Result<Option<String>, StoreError> {
        if fingerprints.is_empty() {
            return Ok(None);
        }
        let mut ids = Vec::new();
        for fingerprint in fingerprints {
            let (version, hash) = (i16::from(fingerprint.version), fingerprint.hash.cast_signed());
            let found: Vec<(i64,)> = read!(self, |pool| sqlx::query_as(GROUPS_OF).bind(version).bind(hash).fetch_all(pool).await?)?;
            ids.extend(found.into_iter().map(|(id,)| id));
        }
        Ok(Some(serde_json::to_string(&ids).expect("a list of numbers is JSON")))
    }
}
