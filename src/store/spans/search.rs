//! Searching noted spans, newest first: those of hot chunks, which are read one after the other from the one that reaches furthest, and
//! those of kept traces, which lie in rows of their own.

use std::collections::HashSet;

use super::read::NotedRow;
use crate::model::span::Operation;
use crate::model::trace::{NotedSpan, TraceFilter, noted_text};
use crate::model::{Cursor, Timestamp};
use crate::store::indexing::text_list;
use crate::store::rows::clean;
use crate::store::{Store, StoreError};

statements! {
    /// Hot chunks that may have what is wanted, by how far they reach.
    const CHUNKS = "select id, newest_start, noted from span_chunks where noted > 0 and newest_start >= $1 and oldest_start <= $2 \
        and (failed or not $3) and longest_us >= $4 and newest_start <= $5 and (newest_start < $5 or id > $6) \
        order by newest_start desc, id limit $7";
    const SCANNED = "select coalesce(min(s.started_at), 0), count(*) from (select started_at from noted_spans \
        where started_at <= $1 and started_at >= $2 order by started_at desc limit $3) s";
    const KEPT = "select trace_id, span_id, parent_id, started_at, duration_us, operation, failed, service, name, topic, partition, \
        record_offset, consumer_group, cluster_id, broker from noted_spans where started_at <= $1 and started_at >= $2 \
        and (cast($3 as text) is null or service = $3) and (cast($4 as text) is null or topic = $4) \
        and (cast($5 as text) is null or consumer_group = $5 or (consumer_group = '' and operation in (2, 3, 4) \
            and topic in (select value from json_each(cast($11 as text))))) and (cast($6 as smallint) is null or operation = $6) \
        and (cast($7 as boolean) is null or failed = $7) and duration_us >= $8 and (cast($10 as text) is null or topic in \
            (select g.topic from topic_generations g join buses b on b.id = g.bus_id where b.bus = cast($10 as text))) \
        and (cast($12 as text) is null or cluster_id in ('', cast($12 as text))) order by started_at desc, trace_id, span_id limit $9";
    /// Topics that one consumer group reads and no other: what is taken from there is its work, whether its instrumentation says so or not.
    const SOLE_TOPICS = "select t.topic from group_topics t join consumer_groups c on c.id = t.group_id where c.gone_at is null \
        group by c.bus_id, t.topic having min(c.id) = max(c.id) and min(c.id) in (select id from consumer_groups where name = $1)";
    const TOPICS_OF_BUS = "select distinct g.topic from topic_generations g join buses b on b.id = g.bus_id where b.bus = $1";
    const CLUSTER_OF_BUS = "select cluster_id from buses where bus = $1";
    const SERVICES_OF_KEPT = "select distinct service from (select service from noted_spans order by started_at desc limit 2000) s";
    const NEWEST_CHUNKS = "select id from span_chunks where noted > 0 order by newest_start desc limit 16";
}

/// Spans that one search looks at before it says how far it came.
const SCAN: i64 = 50_000;
/// Hot chunks that are listed, and read, at a time.
const LISTED: i64 = 256;
const READ: usize = 4;
/// Services of the menu.
const SERVICES: usize = 200;

/// What a search has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundSpans {
    /// Spans, newest first.
    pub spans: Vec<NotedSpan>,
    /// Where to go on; `None` at the end.
    pub next_cursor: Option<Cursor>,
    /// Everything that started at this time or later was looked at.
    pub searched_back_to: Option<Timestamp>,
}

/// What a search looks for, between two times (milliseconds since the Unix epoch, both included).
struct Search<'a> {
    filter: &'a TraceFilter,
    newest: i64,
    oldest: i64,
    /// Spans that are needed.
    most: usize,
    /// Topics of the wanted bus.
    topics: Option<HashSet<String>>,
    /// The wanted bus's cluster: a span of another one is of another bus's topic.
    cluster: Option<String>,
    /// Topics that only the wanted consumer group reads.
    sole: HashSet<String>,
}

/// Spans that were found, and since when everything was looked at.
type Looked = (Vec<NotedSpan>, i64);

impl Search<'_> {
    fn matches(&self, span: &NotedSpan) -> bool {
        let filter = self.filter;
        let is = |wanted: &Option<String>, value: Option<&str>| wanted.as_deref().is_none_or(|wanted| value == Some(wanted));
        (self.oldest..=self.newest).contains(&span.started_at.as_millis())
            && filter.failed.is_none_or(|failed| span.failed == failed)
            && filter.at_least_us.is_none_or(|least| span.duration_us >= least)
            && filter.operation.is_none_or(|operation| span.operation == operation)
            && is(&filter.service, Some(&span.service))
            && is(&filter.topic, span.topic.as_deref())
            && (is(&filter.consumer_group, span.consumer_group.as_deref()) || self.is_sole(span))
            && self.cluster.as_ref().zip(span.cluster_id.as_ref()).is_none_or(|(wanted, cluster)| wanted == cluster)
            && self.topics.as_ref().is_none_or(|topics| span.topic.as_ref().is_some_and(|topic| topics.contains(topic)))
    }
}

impl Search<'_> {
    /// Whether the span took a message from a topic that only the wanted consumer group reads, and does not say for whom.
    fn is_sole(&self, span: &NotedSpan) -> bool {
        span.consumer_group.is_none()
            && matches!(span.operation, Operation::Receive | Operation::Process | Operation::Settle)
            && span.topic.as_ref().is_some_and(|topic| self.sole.contains(topic))
    }
}

impl Store {
    /// Noted spans that match, newest first. Looks at a bounded number of them and says how far it came.
    pub async fn search_spans(&self, filter: &TraceFilter, cursor: Option<&Cursor>, limit: u32) -> Result<FoundSpans, StoreError> {
        let newest = cursor.map_or_else(|| filter.to.map_or(i64::MAX, |to| to.as_millis() - 1), |cursor| cursor.key);
        let shown = cursor.map_or(0, |cursor| usize::try_from(cursor.id).unwrap_or(0));
        let oldest = filter.from.map_or(i64::MIN, Timestamp::as_millis);
        let most = limit as usize + shown + 1;
        let (topics, cluster) = match &filter.bus {
            Some(bus) => (Some(self.topics_of_bus(bus).await?), self.cluster_of_bus(bus).await?),
            None => (None, None),
        };
        let noted = |text: &Option<String>| text.as_deref().map(|text| noted_text(text).into_owned());
        let (service, topic, consumer_group) = (noted(&filter.service), noted(&filter.topic), noted(&filter.consumer_group));
        let filter = TraceFilter { service, topic, consumer_group, ..filter.clone() };
        let sole = match &filter.consumer_group {
            Some(group) => self.topics_of_only(group).await?,
            None => HashSet::new(),
        };
        let mut search = Search { filter: &filter, newest, oldest, most, topics, cluster, sole };
        let (mut spans, kept_reach) = self.search_kept(&search).await?;
        search.oldest = kept_reach;
        let (hot, reached) = self.search_hot(&search).await?;
        spans.extend(hot);
        spans.retain(|span| span.started_at.as_millis() >= reached);
        spans.sort_unstable_by(|one, other| {
            (other.started_at, one.trace_id, one.span_id).cmp(&(one.started_at, other.trace_id, other.span_id))
        });
        spans.dedup_by_key(|span| (span.trace_id, span.span_id));
        // Of the millisecond where the page before ended, some were shown there.
        let mut spans: Vec<NotedSpan> = spans.into_iter().skip(shown).collect();
        let more = spans.len() > limit as usize;
        spans.truncate(limit as usize);
        let next_cursor = if let Some(last) = spans.last().filter(|_| more) {
            let at = last.started_at.as_millis();
            let of_it = spans.iter().filter(|span| span.started_at == last.started_at).count() + if at == newest { shown } else { 0 };
            Some(Cursor { key: at, id: i64::try_from(of_it).unwrap_or(i64::MAX) })
        } else if reached > oldest {
            Some(Cursor { key: reached - 1, id: 0 })
        } else {
            None
        };
        let searched_back_to = if more { spans.last().map(|span| span.started_at) } else { Some(Timestamp::from_millis(reached)) };
        Ok(FoundSpans { spans, next_cursor, searched_back_to: searched_back_to.filter(|at| at.as_millis() > i64::MIN) })
    }

    /// Among kept traces.
    async fn search_kept(&self, search: &Search<'_>) -> Result<Looked, StoreError> {
        let (newest, oldest, filter) = (search.newest, search.oldest, search.filter);
        let (reached, scanned): (i64, i64) =
            read!(self, |pool| sqlx::query_as(SCANNED).bind(newest).bind(oldest).bind(SCAN).fetch_one(pool).await?)?;
        let reached = if scanned < SCAN { oldest } else { reached };
        let bus = filter.bus.as_deref().map(clean);
        let most = i64::try_from(search.most).unwrap_or(i64::MAX);
        let sole = text_list(&search.sole.iter().map(String::as_str).collect::<Vec<_>>());
        let rows: Vec<NotedRow> = read!(self, |pool| {
            sqlx::query_as(KEPT)
                .bind(newest)
                .bind(reached)
                .bind(&filter.service)
                .bind(&filter.topic)
                .bind(&filter.consumer_group)
                .bind(filter.operation.map(Operation::code))
                .bind(filter.failed)
                .bind(filter.at_least_us.unwrap_or(0))
                .bind(most)
                .bind(&bus)
                .bind(&sole)
                .bind(search.cluster.as_deref().map(noted_text))
                .fetch_all(pool)
                .await?
        })?;
        Ok((rows.into_iter().filter_map(NotedRow::into_span).collect(), reached))
    }

    /// Among hot chunks. What reaches further into the present is read first, so whatever is newer than all that is unread is complete.
    async fn search_hot(&self, search: &Search<'_>) -> Result<Looked, StoreError> {
        let (mut found, mut seen) = (Vec::new(), HashSet::new());
        let (mut scanned, mut listed) = (0, (i64::MAX, 0));
        loop {
            let chunks = self.list_hot_chunks(search, listed).await?;
            listed = chunks.last().map_or(listed, |(id, newest, _)| (*newest, *id));
            for some in chunks.chunks(READ) {
                // All of them reach this far at most: what is newer is complete.
                let complete_after = some.first().map_or(i64::MAX, |(_, newest, _)| *newest);
                let complete = found.iter().filter(|span: &&NotedSpan| span.started_at.as_millis() > complete_after).count();
                if complete_after < search.newest && (complete >= search.most || scanned >= SCAN) {
                    return Ok((found, (complete_after + 1).max(search.oldest)));
                }
                scanned += some.iter().map(|(.., noted)| i64::from(*noted)).sum::<i64>();
                let ids: Vec<i64> = some.iter().map(|(id, ..)| *id).collect();
                for (_, chunk) in self.hot_chunks(&ids).await? {
                    let matching = chunk.spans.iter().filter(|span| search.matches(span));
                    found.extend(matching.filter(|span| seen.insert((span.trace_id, span.span_id))).cloned());
                }
            }
            if chunks.len() < usize::try_from(LISTED).unwrap_or(0) {
                return Ok((found, search.oldest));
            }
        }
    }

    async fn list_hot_chunks(&self, search: &Search<'_>, after: (i64, i64)) -> Result<Vec<(i64, i64, i32)>, StoreError> {
        read!(self, |pool| {
            sqlx::query_as(CHUNKS)
                .bind(search.oldest)
                .bind(search.newest)
                .bind(search.filter.failed == Some(true))
                .bind(search.filter.at_least_us.unwrap_or(0))
                .bind(after.0)
                .bind(after.1)
                .bind(LISTED)
                .fetch_all(pool)
                .await?
        })
    }

    async fn topics_of_bus(&self, bus: &str) -> Result<HashSet<String>, StoreError> {
        let bus = clean(bus);
        let rows: Vec<(String,)> = read!(self, |pool| sqlx::query_as(TOPICS_OF_BUS).bind(&bus).fetch_all(pool).await?)?;
        Ok(rows.into_iter().map(|(topic,)| topic).collect())
    }

    async fn cluster_of_bus(&self, bus: &str) -> Result<Option<String>, StoreError> {
        let bus = clean(bus);
        let row: Option<(Option<String>,)> = read!(self, |pool| sqlx::query_as(CLUSTER_OF_BUS).bind(&bus).fetch_optional(pool).await?)?;
        Ok(row.and_then(|(cluster,)| cluster))
    }

    async fn topics_of_only(&self, group: &str) -> Result<HashSet<String>, StoreError> {
        let rows: Vec<(String,)> = read!(self, |pool| sqlx::query_as(SOLE_TOPICS).bind(group.as_bytes()).fetch_all(pool).await?)?;
        Ok(rows.into_iter().map(|(topic,)| topic).collect())
    }

    /// Services that were seen lately, for the filter's menu.
    pub async fn list_span_services(&self) -> Result<Vec<String>, StoreError> {
        let ids: Vec<(i64,)> = read!(self, |pool| sqlx::query_as(NEWEST_CHUNKS).fetch_all(pool).await?)?;
        let hot = self.hot_chunks(&ids.into_iter().map(|(id,)| id).collect::<Vec<_>>()).await?;
        let kept: Vec<(String,)> = read!(self, |pool| sqlx::query_as(SERVICES_OF_KEPT).fetch_all(pool).await?)?;
        let of_hot = hot.iter().flat_map(|(_, chunk)| chunk.spans.iter().map(|span| span.service.clone()));
        let services: std::collections::BTreeSet<String> = of_hot.chain(kept.into_iter().map(|(service,)| service)).collect();
        Ok(services.into_iter().take(SERVICES).collect())
    }
}
