//! Which dead letters a page shows: their keys, found by scans of indexes that stop as soon as the page is full.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use super::{FacetRow, Words, id_list, presence_sql, restricts_facets, statuses};
use crate::model::{Cursor, DeadLetterFilter, PageRequest, Presence, Status};
use crate::store::{Store, StoreError};

statements! {
    const BY_STATUS = "select failed_at, id, facet_id from dead_letters where status = $1 and failed_at >= $2 \
        and failed_at <= $3 and (failed_at < $3 or id < $4) order by failed_at desc, id desc limit $5";
    const BY_STATUS_UP = "select failed_at, id, facet_id from dead_letters where status = $1 and failed_at <= $2 \
        and failed_at >= $3 and (failed_at > $3 or id > $4) order by failed_at, id limit $5";
    const BY_FACET = "select failed_at, id, facet_id from dead_letters where facet_id = $6 and status = $1 and failed_at >= $2 \
        and failed_at <= $3 and (failed_at < $3 or id < $4) order by failed_at desc, id desc limit $5";
    const BY_FACET_UP = "select failed_at, id, facet_id from dead_letters where facet_id = $6 and status = $1 and failed_at <= $2 \
        and failed_at >= $3 and (failed_at > $3 or id > $4) order by failed_at, id limit $5";
    const PRESENCES = concat!("select d.id, cast(", presence_sql!(), " as bigint) from dead_letters d join partitions p on p.id = d.partition_id \
        join topic_generations g on g.id = p.generation_id where d.id in (select cast(value as bigint) from json_each(cast($1 as text)))");
}

/// Facets are scanned one by one up to so many; beyond, one ordered scan passes by what does not belong.
const FEW_FACETS: usize = 24;
/// Rows of an ordered scan that may be passed by before the facets are scanned one by one after all.
const PASSED_BY: usize = 20_000;
/// Rows per step of a scan that looks at each row.
const STEP: u32 = 1_000;
/// Rows that are looked at before the facets of a filter are resolved: most filters find a page among these.
const PEEK: u32 = 250;

/// Sort key of a dead letter, and its facet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, sqlx::FromRow)]
pub(in crate::store) struct Key {
    pub(in crate::store) failed_at: i64,
    pub(in crate::store) id: i64,
    pub(in crate::store) facet_id: i64,
}

/// Between which keys a scan goes.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct Bounds {
    /// Newest first, or oldest first.
    pub(in crate::store) newest_first: bool,
    /// The key before the first wanted one.
    pub(in crate::store) after: (i64, i64),
    /// Newest first: the earliest time wanted; oldest first: the latest.
    pub(in crate::store) until: i64,
}

impl Bounds {
    /// Everything that a filter's times and a page's cursor leave, newest first.
    pub(in crate::store) fn of(filter: &DeadLetterFilter, cursor: Option<&Cursor>) -> Self {
        let to = filter.to.map_or((i64::MAX, i64::MAX), |to| (to.as_millis(), i64::MIN));
        let after = cursor.map_or(to, |cursor| to.min((cursor.key, cursor.id)));
        Self { newest_first: true, after, until: filter.from.map_or(i64::MIN, crate::model::Timestamp::as_millis) }
    }

    /// Whether `a` comes before `b` in this direction.
    fn before(&self, a: &Key, b: &Key) -> std::cmp::Ordering {
        let order = (a.failed_at, a.id).cmp(&(b.failed_at, b.id));
        if self.newest_first { order.reverse() } else { order }
    }
}

/// The scans that a filter needs, resolved once per request.
pub(in crate::store) struct Plan {
    /// Statuses that hold anything.
    pub(in crate::store) statuses: Vec<Status>,
    /// Facets by id; `None`: all.
    pub(in crate::store) facets: Option<HashMap<i64, FacetRow>>,
    /// Dead letters of these facets and statuses, and of these statuses.
    selected: u64,
    total: u64,
}

impl Plan {
    const fn is_empty(&self) -> bool {
        self.selected == 0
    }

    /// How many dead letters facets and statuses select, whatever their times.
    pub(in crate::store) const fn selected(&self) -> u64 {
        self.selected
    }

    /// Whether an ordered scan over all facets meets the wanted ones often enough.
    fn prefers_ordered_scan(&self, facets: usize, limit: u32) -> bool {
        let limit = u64::from(limit);
        facets > FEW_FACETS && self.total.saturating_mul(limit) / self.selected.max(1) < 40 * facets as u64
    }
}

/// The outcome of [`Store::select`].
#[derive(Debug, Default)]
pub(in crate::store) struct Selection {
    pub(in crate::store) keys: Vec<Key>,
    pub(in crate::store) next: Option<Cursor>,
    pub(in crate::store) searched_back_to: Option<i64>,
    pub(in crate::store) complete: bool,
}

impl Selection {
    /// Cuts what was found to a page; `found` holds one more than the page when there is more.
    pub(in crate::store) fn page(mut found: Vec<Key>, limit: usize) -> Self {
        let more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().filter(|_| more).map(|key| Cursor { key: key.failed_at, id: key.id });
        Self { keys: found, next, searched_back_to: None, complete: !more }
    }
}

impl Store {
    /// Facets and statuses behind a filter.
    pub(in crate::store) async fn plan(&self, filter: &DeadLetterFilter) -> Result<Plan, StoreError> {
        let totals = self.total_counts().await?;
        let statuses: Vec<Status> = statuses(filter).into_iter().filter(|status| totals.of(*status) > 0).collect();
        let total = statuses.iter().map(|status| totals.of(*status)).sum();
        if !restricts_facets(filter) {
            return Ok(Plan { statuses, facets: None, selected: total, total });
        }
        let holds = |facet: &FacetRow| statuses.iter().any(|status| facet.counts.of(*status) > 0);
        let facets: HashMap<i64, FacetRow> =
            self.resolve_facets(filter).await?.into_iter().filter(holds).map(|facet| (facet.id, facet)).collect();
        let selected = facets.values().map(|facet| statuses.iter().map(|status| facet.counts.of(*status)).sum::<u64>()).sum();
        Ok(Plan { statuses, facets: Some(facets), selected, total })
    }

    /// The keys of one page.
    pub(in crate::store) async fn select(
        &self,
        filter: &DeadLetterFilter,
        page: &PageRequest,
        scan_millis: u64,
    ) -> Result<Selection, StoreError> {
        let bounds = Bounds::of(filter, page.cursor.as_ref());
        if let Some(keys) = self.peek(filter, bounds, page.limit.saturating_add(1)).await? {
            return Ok(Selection::page(keys, page.limit as usize));
        }
        let plan = self.plan(filter).await?;
        let words = filter.q.as_deref().and_then(Words::parse);
        let deadline = Instant::now() + Duration::from_millis(scan_millis);
        if let Some(words) = words {
            return self.search(&plan, filter, bounds, page.limit as usize, &words, deadline).await;
        }
        if !filter.presence.is_empty() {
            return self.select_by_looking(&plan, &filter.presence, bounds, page.limit as usize, deadline).await;
        }
        Ok(Selection::page(self.scan(&plan, bounds, page.limit.saturating_add(1)).await?, page.limit as usize))
    }

    /// The first keys that a filter selects, when a short scan in order holds them all; resolves no more facets than this meets.
    pub(in crate::store) async fn peek(
        &self,
        filter: &DeadLetterFilter,
        bounds: Bounds,
        limit: u32,
    ) -> Result<Option<Vec<Key>>, StoreError> {
        if filter.q.as_deref().and_then(Words::parse).is_some() || !filter.presence.is_empty() {
            return Ok(None);
        }
        if !restricts_facets(filter) {
            return Ok(Some(self.scan_statuses(&statuses(filter), bounds, limit).await?));
        }
        let step = PEEK.max(limit);
        let mut keys = self.scan_statuses(&statuses(filter), bounds, step).await?;
        let ended = keys.len() < step as usize;
        let mut facets: Vec<i64> = keys.iter().map(|key| key.facet_id).collect();
        facets.sort_unstable();
        facets.dedup();
        let selected: HashSet<i64> = self.resolve_some(filter, &facets).await?.into_iter().map(|facet| facet.id).collect();
        keys.retain(|key| selected.contains(&key.facet_id));
        let full = keys.len() >= limit as usize;
        keys.truncate(limit as usize);
        Ok((full || ended).then_some(keys))
    }

    /// Keys that facets, statuses and times select, in order.
    pub(in crate::store) async fn scan(&self, plan: &Plan, bounds: Bounds, limit: u32) -> Result<Vec<Key>, StoreError> {
        if plan.is_empty() || limit == 0 {
            return Ok(Vec::new());
        }
        let Some(facets) = &plan.facets else { return self.scan_statuses(&plan.statuses, bounds, limit).await };
        let mut bounds = bounds;
        let mut found = Vec::new();
        if plan.prefers_ordered_scan(facets.len(), limit) {
            let mut passed_by = 0;
            while passed_by < PASSED_BY {
                let rows = self.scan_statuses(&plan.statuses, bounds, STEP.max(limit)).await?;
                let ended = rows.len() < STEP.max(limit) as usize;
                passed_by += rows.len();
                if let Some(last) = rows.last() {
                    bounds.after = (last.failed_at, last.id);
                }
                found.extend(rows.into_iter().filter(|key| facets.contains_key(&key.facet_id)));
                if ended || found.len() >= limit as usize {
                    found.truncate(limit as usize);
                    return Ok(found);
                }
            }
        }
        let wanted = limit - u32::try_from(found.len()).unwrap_or(limit);
        found.extend(self.scan_facets(plan, facets, bounds, wanted).await?);
        Ok(found)
    }

    /// One ordered scan per status, merged.
    async fn scan_statuses(&self, statuses: &[Status], bounds: Bounds, limit: u32) -> Result<Vec<Key>, StoreError> {
        let mut keys = Vec::new();
        for status in statuses {
            keys.extend(self.scan_one(*status, None, bounds, limit).await?);
        }
        if statuses.len() > 1 {
            keys.sort_unstable_by(|a, b| bounds.before(a, b));
            keys.truncate(limit as usize);
        }
        Ok(keys)
    }

    /// One ordered scan per facet and status, newest facets first, so that most of the others need no look.
    async fn scan_facets(&self, plan: &Plan, facets: &HashMap<i64, FacetRow>, bounds: Bounds, limit: u32) -> Result<Vec<Key>, StoreError> {
        let mut order: Vec<&FacetRow> = facets.values().collect();
        if bounds.newest_first {
            order.sort_unstable_by_key(|facet| std::cmp::Reverse((facet.last_seen, facet.id)));
        } else {
            order.sort_unstable_by_key(|facet| (facet.first_seen, facet.id));
        }
        let mut bounds = bounds;
        let mut keys: Vec<Key> = Vec::new();
        for facet in order {
            let outside = if bounds.newest_first {
                facet.last_seen < bounds.until || facet.first_seen > bounds.after.0
            } else {
                facet.first_seen > bounds.until || facet.last_seen < bounds.after.0
            };
            if outside {
                continue;
            }
            for status in plan.statuses.iter().filter(|status| facet.counts.of(**status) > 0) {
                keys.extend(self.scan_one(*status, Some(facet.id), bounds, limit).await?);
            }
            if keys.len() >= limit as usize {
                keys.sort_unstable_by(|a, b| bounds.before(a, b));
                keys.truncate(limit as usize);
                // Nothing beyond the last of a full page is wanted of the facets that follow.
                bounds.until = keys[keys.len() - 1].failed_at;
            }
        }
        keys.sort_unstable_by(|a, b| bounds.before(a, b));
        Ok(keys)
    }

    async fn scan_one(&self, status: Status, facet: Option<i64>, bounds: Bounds, limit: u32) -> Result<Vec<Key>, StoreError> {
        let statement = match (facet, bounds.newest_first) {
            (None, true) => BY_STATUS,
            (None, false) => BY_STATUS_UP,
            (Some(_), true) => BY_FACET,
            (Some(_), false) => BY_FACET_UP,
        };
        read!(self, |pool| {
            let query = sqlx::query_as(statement)
                .bind(status.code())
                .bind(bounds.until)
                .bind(bounds.after.0)
                .bind(bounds.after.1)
                .bind(i64::from(limit));
            let query = if let Some(facet) = facet { query.bind(facet) } else { query };
            query.fetch_all(pool).await?
        })
    }

    /// For what no index knows: looks at each row's presence, newest first, until the page is full or time is up.
    async fn select_by_looking(
        &self,
        plan: &Plan,
        presences: &[Presence],
        bounds: Bounds,
        limit: usize,
        deadline: Instant,
    ) -> Result<Selection, StoreError> {
        let (mut bounds, mut found) = (bounds, Vec::new());
        loop {
            let rows = self.scan(plan, bounds, STEP).await?;
            let ended = rows.len() < STEP as usize;
            let last = rows.last().copied();
            found.extend(self.with_presence(rows, presences).await?);
            if found.len() > limit {
                let mut selection = Selection::page(found, limit);
                selection.searched_back_to = selection.keys.last().map(|key| key.failed_at);
                return Ok(selection);
            }
            let Some(last) = last.filter(|_| !ended) else {
                return Ok(Selection { keys: found, complete: true, ..Selection::default() });
            };
            bounds.after = (last.failed_at, last.id);
            if Instant::now() >= deadline {
                let next = Some(Cursor { key: last.failed_at, id: last.id });
                return Ok(Selection { keys: found, next, searched_back_to: Some(last.failed_at), complete: false });
            }
        }
    }

    /// Those of some keys whose presence is wanted; all when none is named.
    pub(in crate::store) async fn with_presence(&self, keys: Vec<Key>, presences: &[Presence]) -> Result<Vec<Key>, StoreError> {
        if presences.is_empty() || keys.is_empty() {
            return Ok(keys);
        }
        let ids = id_list(&keys.iter().map(|key| key.id).collect::<Vec<_>>());
        let rows: Vec<(i64, i64)> = read!(self, |pool| sqlx::query_as(PRESENCES).bind(&ids).fetch_all(pool).await?)?;
        let wanted: HashSet<i64> = presences.iter().map(|presence| i64::from(presence.code())).collect();
        let kept: HashSet<i64> = rows.into_iter().filter(|(_, presence)| wanted.contains(presence)).map(|(id, _)| id).collect();
        Ok(keys.into_iter().filter(|key| kept.contains(&key.id)).collect())
    }
}
