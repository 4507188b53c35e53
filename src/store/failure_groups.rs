//! Failure groups: dead letters by cause.

use std::collections::HashMap;

use super::dead_letters::count::{FacetCounts, whole};
use super::error::contradiction;
use super::facets::{restricts_facets, statuses};
use super::indexing::id_list;
use super::rows::{fingerprint, text};
use super::search::words::Words;
use super::{Store, StoreError};
use crate::model::dead_letter::StatusCounts;
use crate::model::failure_group::FailureGroup;
use crate::model::{BusId, Cursor, DeadLetterFilter, Fingerprint, Page, PageRequest, Timestamp};
pub use crate::store::arrivals::{Arrivals, Buckets};

statements! {
    const GROUPS = "select g.id, b.bus, g.version, g.hash, g.title, g.parts, g.exception_class, g.message \
        from failure_groups g join buses b on b.id = g.bus_id \
        where g.id in (select cast(value as bigint) from json_each(cast($1 as text)))";
    const FACETS_OF = "select id, failure_group_id, topic, convention, origin_topic, consumer_group, inferred from facets \
        where id in (select cast(value as bigint) from json_each(cast($1 as text)))";
}

/// Order of a list of failure groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FailureGroupSort {
    /// Most open dead letters first.
    #[default]
    Open,
    /// Newest failure first.
    LastSeen,
    /// Newest group first.
    FirstSeen,
}

impl FailureGroupSort {
    /// The order's number in [`super::facets`].
    const fn code(self) -> i32 {
        match self {
            Self::Open => 0,
            Self::LastSeen => 1,
            Self::FirstSeen => 2,
        }
    }
}

impl Store {
    /// Groups that hold a dead letter matching `filter` (its `q` searches titles and messages of groups); counts are of the matching ones.
    /// The page's cursor is only valid for the same sort.
    pub async fn list_failure_groups(
        &self,
        filter: &DeadLetterFilter,
        sort: FailureGroupSort,
        buckets: Buckets,
        page: &PageRequest,
    ) -> Result<Page<FailureGroup>, StoreError> {
        let words = filter.q.as_deref().and_then(Words::parse);
        let plain = DeadLetterFilter { q: None, ..filter.clone() };
        if words.is_none() && filter.from.is_none() && filter.to.is_none() && filter.presence.is_empty() {
            return self.top_failure_groups(&plain, sort, buckets, page).await;
        }
        let mut sums = sum_groups(self.matching_facets(&plain).await?);
        if let Some(words) = words {
            let rows = self.group_rows(sums.iter().map(|sum| sum.id)).await?;
            sums.retain(|sum| rows.get(&sum.id).is_some_and(|row| row.holds(&words)));
        }
        sums.sort_unstable_by_key(|sum| std::cmp::Reverse((sum.sort_key(sort), sum.id)));
        if let Some(cursor) = &page.cursor {
            sums.retain(|sum| (sum.sort_key(sort), sum.id) < (cursor.key, cursor.id));
        }
        let more = sums.len() > page.limit as usize;
        sums.truncate(page.limit as usize);
        let next_cursor = sums.last().filter(|_| more).map(|sum| Cursor { key: sum.sort_key(sort), id: sum.id });
        Ok(Page { items: self.groups(sums, buckets).await?, next_cursor })
    }

    /// A page that counters alone decide: only its own facets are looked at.
    async fn top_failure_groups(
        &self,
        filter: &DeadLetterFilter,
        sort: FailureGroupSort,
        buckets: Buckets,
        page: &PageRequest,
    ) -> Result<Page<FailureGroup>, StoreError> {
        let after = page.cursor.as_ref().map(|cursor| (cursor.key, cursor.id));
        let mut top = self.top_groups(filter, sort.code(), after, page.limit.saturating_add(1)).await?;
        let more = top.len() > page.limit as usize;
        top.truncate(page.limit as usize);
        let next_cursor = top.last().filter(|_| more).map(|(id, key)| Cursor { key: *key, id: *id });
        let facets = self.facets_of_groups(filter, &top.iter().map(|(id, _)| *id).collect::<Vec<_>>()).await?;
        let statuses = statuses(filter);
        let matching = facets.into_iter().map(|facet| whole(facet, &statuses)).filter(|(_, counts)| counts.total() > 0);
        let mut sums: HashMap<i64, GroupSum> = sum_groups(matching.collect()).into_iter().map(|sum| (sum.id, sum)).collect();
        let sums = top.iter().filter_map(|(id, _)| sums.remove(id)).collect();
        Ok(Page { items: self.groups(sums, buckets).await?, next_cursor })
    }

    /// One group, all of its dead letters.
    pub async fn find_failure_group(
        &self,
        bus: &BusId,
        fingerprint: Fingerprint,
        buckets: Buckets,
    ) -> Result<Option<FailureGroup>, StoreError> {
        let filter = DeadLetterFilter { bus: vec![bus.clone()], fingerprint: vec![fingerprint], ..DeadLetterFilter::default() };
        let sums = sum_groups(self.matching_facets(&filter).await?);
        Ok(self.groups(sums, buckets).await?.pop())
    }

    /// Dead letters by status under a filter (without `q`).
    pub async fn count_by_status(&self, filter: &DeadLetterFilter) -> Result<StatusCounts, StoreError> {
        let plain = filter.from.is_none() && filter.to.is_none() && filter.presence.is_empty();
        let mut counts = StatusCounts::default();
        if plain && !restricts_facets(filter) {
            self.total_counts().await?.add_to(&mut counts, &statuses(filter));
        } else if plain {
            self.sum_facets(filter).await?.add_to(&mut counts, &statuses(filter));
        } else {
            self.matching_facets(filter).await?.iter().for_each(|(_, some)| add(&mut counts, some));
        }
        Ok(counts)
    }

    async fn group_rows(&self, ids: impl Iterator<Item = i64>) -> Result<HashMap<i64, GroupRow>, StoreError> {
        let ids = id_list(&ids.collect::<Vec<_>>());
        let rows: Vec<GroupRow> = read!(self, |pool| sqlx::query_as(GROUPS).bind(&ids).fetch_all(pool).await?)?;
        Ok(rows.into_iter().map(|row| (row.id, row)).collect())
    }

    /// Groups with everything that a list shows, in the order of their sums.
    async fn groups(&self, sums: Vec<GroupSum>, buckets: Buckets) -> Result<Vec<FailureGroup>, StoreError> {
        let mut rows = self.group_rows(sums.iter().map(|sum| sum.id)).await?;
        let facets: Vec<i64> = sums.iter().flat_map(|sum| sum.facets.keys().copied()).collect();
        let ids = id_list(&facets);
        let names: Vec<NamesRow> = read!(self, |pool| sqlx::query_as(FACETS_OF).bind(&ids).fetch_all(pool).await?)?;
        let mut of_group: HashMap<i64, Vec<NamesRow>> = HashMap::new();
        for name in names {
            of_group.entry(name.failure_group_id).or_default().push(name);
        }
        let mut per_facet: HashMap<i64, Vec<(i64, i64)>> = HashMap::new();
        for (facet, bucket, letters) in self.arrivals_of(Some(&facets), buckets).await? {
            per_facet.entry(facet).or_default().push((bucket, letters));
        }
        let mut groups = Vec::with_capacity(sums.len());
        for sum in sums {
            let Some(row) = rows.remove(&sum.id) else { continue };
            let (id, mut per_bucket) = (sum.id, buckets.empty());
            for (bucket, letters) in sum.facets.keys().filter_map(|facet| per_facet.get(facet)).flatten() {
                Buckets::add(&mut per_bucket, *bucket, *letters);
            }
            groups.push(row.into_group(&sum, of_group.remove(&id).unwrap_or_default(), per_bucket)?);
        }
        Ok(groups)
    }
}

/// The facets of a group that a filter selects, summed.
struct GroupSum {
    id: i64,
    counts: StatusCounts,
    first_seen: i64,
    last_seen: i64,
    /// Matching dead letters by facet.
    facets: HashMap<i64, u64>,
}

impl GroupSum {
    fn sort_key(&self, sort: FailureGroupSort) -> i64 {
        match sort {
            FailureGroupSort::Open => i64::try_from(self.counts.open).unwrap_or(i64::MAX),
            FailureGroupSort::LastSeen => self.last_seen,
            FailureGroupSort::FirstSeen => self.first_seen,
        }
    }
}

fn sum_groups(facets: Vec<FacetCounts>) -> Vec<GroupSum> {
    let mut groups: HashMap<i64, GroupSum> = HashMap::new();
    for (facet, counts) in facets {
        let sum = groups.entry(facet.failure_group_id).or_insert_with(|| GroupSum {
            id: facet.failure_group_id,
            counts: StatusCounts::default(),
            first_seen: facet.first_seen,
            last_seen: facet.last_seen,
            facets: HashMap::new(),
        });
        add(&mut sum.counts, &counts);
        sum.first_seen = sum.first_seen.min(facet.first_seen);
        sum.last_seen = sum.last_seen.max(facet.last_seen);
        sum.facets.insert(facet.id, counts.total());
    }
    groups.into_values().collect()
}

fn add(counts: &mut StatusCounts, more: &StatusCounts) {
    let mut more = *more;
    for status in crate::model::Status::ALL {
        *counts.of_mut(*status) += *more.of_mut(*status);
    }
}

#[derive(sqlx::FromRow)]
struct GroupRow {
    id: i64,
    bus: String,
    version: i16,
    hash: i64,
    title: Vec<u8>,
    parts: String,
    exception_class: Option<Vec<u8>>,
    message: Option<Vec<u8>>,
}

#[derive(sqlx::FromRow)]
struct NamesRow {
    id: i64,
    failure_group_id: i64,
    topic: String,
    convention: String,
    origin_topic: Option<Vec<u8>>,
    consumer_group: Option<Vec<u8>>,
    inferred: bool,
}

impl GroupRow {
    fn holds(&self, words: &Words) -> bool {
        let message = self.message.as_deref().unwrap_or_default();
        words.matches(&format!("{}\n{}", String::from_utf8_lossy(&self.title), String::from_utf8_lossy(message)))
    }

    fn into_group(self, sum: &GroupSum, facets: Vec<NamesRow>, per_bucket: Vec<u64>) -> Result<FailureGroup, StoreError> {
        let (mut origins, mut consumer_groups, mut topics) = (HashMap::new(), HashMap::new(), HashMap::new());
        let mut conventions = Vec::new();
        for facet in facets {
            let letters = sum.facets.get(&facet.id).copied().unwrap_or_default();
            *origins.entry(facet.origin_topic.map(text)).or_default() += letters;
            *consumer_groups.entry((facet.consumer_group.map(text), facet.inferred)).or_default() += letters;
            *topics.entry(facet.topic).or_default() += letters;
            conventions.push(facet.convention);
        }
        conventions.sort_unstable();
        conventions.dedup();
        Ok(FailureGroup {
            bus: BusId::new(self.bus),
            fingerprint: fingerprint(self.version, self.hash)?,
            title: text(self.title),
            exception_class: self.exception_class.map(text),
            message: self.message.map(text),
            parts: serde_json::from_str(&self.parts).map_err(|error| contradiction(format!("parts of a fingerprint: {error}")))?,
            counts: sum.counts,
            first_seen: Timestamp::from_millis(sum.first_seen),
            last_seen: Timestamp::from_millis(sum.last_seen),
            per_bucket,
            origins: most_first(origins),
            consumer_groups: most_first(consumer_groups).into_iter().map(|((name, inferred), letters)| (name, inferred, letters)).collect(),
            topics: most_first(topics),
            conventions,
        })
    }
}

fn most_first<T: Ord>(counts: HashMap<T, u64>) -> Vec<(T, u64)> {
    let mut counts: Vec<(T, u64)> = counts.into_iter().collect();
    counts.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    counts
}
