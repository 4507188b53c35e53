//! Failure groups: dead letters by cause.

use std::collections::HashMap;

use super::dead_letters::count::FacetCounts;
use super::error::contradiction;
use super::facets::{restricts_facets, statuses};
use super::indexing::id_list;
use super::rows::{fingerprint, text};
use super::search::words::Words;
use super::{Store, StoreError};
use crate::model::dead_letter::StatusCounts;
use crate::model::failure_group::FailureGroup;
use crate::model::{BusId, Cursor, DeadLetterFilter, Fingerprint, Page, PageRequest, Timestamp};

statements! {
    const GROUPS = "select g.id, b.bus, g.version, g.hash, g.title, g.parts, g.exception_class, g.message \
        from failure_groups g join buses b on b.id = g.bus_id \
        where g.id in (select cast(value as bigint) from json_each(cast($1 as text)))";
    const FACETS_OF = "select id, failure_group_id, topic, convention, origin_topic, consumer_group, inferred from facets \
        where id in (select cast(value as bigint) from json_each(cast($1 as text)))";
    const ARRIVALS_OF = "select facet_id, ((minute * 60000) - $2) / $3 as bucket, cast(sum(letters) as bigint) from arrivals \
        where facet_id in (select cast(value as bigint) from json_each(cast($1 as text))) and minute >= $4 and minute < $5 \
        group by facet_id, bucket";
    const ARRIVALS = "select ((minute * 60000) - $1) / $2 as bucket, cast(sum(letters) as bigint) from arrivals \
        where minute >= $3 and minute < $4 group by bucket";
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
        let up = |time: Timestamp| time.as_millis().saturating_add(59_999).div_euclid(60_000);
        (up(self.from), up(self.to))
    }

    fn empty(&self) -> Vec<u64> {
        vec![0; self.count.clamp(1, 400) as usize]
    }

    /// Adds to a bucket; what rounding pushes beyond the end belongs to the last.
    fn add(per_bucket: &mut [u64], bucket: i64, letters: i64) {
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
        let plain = filter.from.is_none() && filter.to.is_none() && filter.presence.is_empty() && !restricts_facets(filter);
        let mut counts = StatusCounts::default();
        if plain {
            self.total_counts().await?.add_to(&mut counts, &statuses(filter));
        } else {
            self.matching_facets(filter).await?.iter().for_each(|(_, some)| add(&mut counts, some));
        }
        Ok(counts)
    }

    /// Arrivals over time under a filter (without `q`, whatever the status and presence; exact to the minute).
    pub async fn list_arrivals(&self, filter: &DeadLetterFilter, buckets: Buckets) -> Result<Arrivals, StoreError> {
        let facets = if restricts_facets(filter) {
            Some(self.resolve_facets(filter).await?.into_iter().map(|facet| facet.id).collect::<Vec<_>>())
        } else {
            None
        };
        let per_bucket = self.arrivals(facets.as_deref(), buckets).await?;
        let before = self.arrivals(facets.as_deref(), buckets.before()).await?;
        Ok(Arrivals { total: per_bucket.iter().sum(), before: before.iter().sum(), per_bucket })
    }

    async fn arrivals(&self, facets: Option<&[i64]>, buckets: Buckets) -> Result<Vec<u64>, StoreError> {
        let (from, width, (first, end)) = (buckets.from.as_millis(), buckets.width_ms(), buckets.minutes());
        let mut per_bucket = buckets.empty();
        if let Some(facets) = facets {
            let rows = self.arrivals_of(facets, buckets).await?;
            for (_, bucket, letters) in rows {
                Buckets::add(&mut per_bucket, bucket, letters);
            }
        } else {
            let rows: Vec<(i64, i64)> =
                read!(self, |pool| sqlx::query_as(ARRIVALS).bind(from).bind(width).bind(first).bind(end).fetch_all(pool).await?)?;
            for (bucket, letters) in rows {
                Buckets::add(&mut per_bucket, bucket, letters);
            }
        }
        Ok(per_bucket)
    }

    /// Facet, bucket, arrivals.
    async fn arrivals_of(&self, facets: &[i64], buckets: Buckets) -> Result<Vec<(i64, i64, i64)>, StoreError> {
        let (ids, (first, end)) = (id_list(facets), buckets.minutes());
        read!(self, |pool| sqlx::query_as(ARRIVALS_OF)
            .bind(&ids)
            .bind(buckets.from.as_millis())
            .bind(buckets.width_ms())
            .bind(first)
            .bind(end)
            .fetch_all(pool)
            .await?)
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
        for (facet, bucket, letters) in self.arrivals_of(&facets, buckets).await? {
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
