//! Facets: what a filter selects, resolved to a small number of ids with exact counts.

use super::rows::hex;
use super::{Store, StoreError};
use crate::model::dead_letter::StatusCounts;
use crate::model::{DeadLetterFilter, Fingerprint, Status};

statements! {
    const RESOLVE = "select f.id, f.failure_group_id, f.first_seen, f.last_seen, \
        f.open, f.replaying, f.replayed, f.resolved, f.failed_again, f.discarded \
        from facets f join buses b on b.id = f.bus_id \
        where (cast($1 as text) is null or b.bus in (select value from json_each(cast($1 as text)))) \
        and (cast($2 as text) is null or f.topic in (select value from json_each(cast($2 as text)))) \
        and (cast($3 as text) is null or f.convention in (select value from json_each(cast($3 as text)))) \
        and (cast($4 as text) is null or (f.origin_topic is not null and hex(f.origin_topic) in (select value from json_each(cast($4 as text))))) \
        and (cast($5 as text) is null or (f.consumer_group is not null and hex(f.consumer_group) in (select value from json_each(cast($5 as text))))) \
        and (cast($6 as text) is null or (f.exception_class is not null and hex(f.exception_class) in (select value from json_each(cast($6 as text))))) \
        and (cast($7 as text) is null or f.failure_group_id in (select cast(value as bigint) from json_each(cast($7 as text)))) \
        order by f.id";
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
        let groups = self.resolve_groups(&filter.fingerprint).await?;
        let lists = [
            list(filter.bus.iter().map(crate::model::BusId::as_str)),
            list(filter.topic.iter().map(crate::model::TopicName::as_str)),
            list(filter.convention.iter().map(String::as_str)),
            hex_list(filter.origin_topic.iter().map(crate::model::TopicName::as_str)),
            hex_list(filter.consumer_group.iter().map(crate::model::GroupName::as_str)),
            hex_list(filter.exception_class.iter().map(String::as_str)),
            groups,
        ];
        read!(self, |pool| {
            let query = lists.iter().fold(sqlx::query_as(RESOLVE), sqlx::query::QueryAs::bind);
            query.fetch_all(pool).await?
        })
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
