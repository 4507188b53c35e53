//! Whole dead letters: custody put together again, and the neighbours in a list.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Bounds, Cursor, DeadLetterDetail, DeadLetterFilter, DeadLetterId, DeadLetterSummary, Key, Words, custody, id_list};
use crate::model::PageRequest;
use crate::store::custody::Content;
use crate::store::error::contradiction;
use crate::store::{Store, StoreError};

statements! {
    const CUSTODY = "select c.dead_letter_id, c.stack_trace_id, c.body from custody c \
        where c.dead_letter_id in (select cast(value as bigint) from json_each(cast($1 as text)))";
    const FRAMES = "select id, body from stack_traces where id in (select cast(value as bigint) from json_each(cast($1 as text)))";
}

/// Time for finding a neighbour in a list that is searched.
const NEIGHBOUR_TIME: Duration = Duration::from_millis(300);
/// Dead letters that are looked at for a newer neighbour in a list that is searched.
const NEIGHBOURS_LOOKED_AT: u32 = 1_000;
/// Whole dead letters in memory at once are read in steps of so many.
const EXPORT_STEP: usize = 100;

impl Store {
    /// One dead letter with its content and its neighbours under `filter`.
    pub async fn find_dead_letter(&self, id: DeadLetterId, filter: &DeadLetterFilter) -> Result<Option<DeadLetterDetail>, StoreError> {
        let Some(summary) = self.summaries(&[Key { failed_at: 0, id: id.0, facet_id: 0 }]).await?.pop() else { return Ok(None) };
        let at = Key { failed_at: summary.failed_at.as_millis(), id: id.0, facet_id: 0 };
        let Some(mut detail) = self.details(vec![summary]).await?.pop() else { return Ok(None) };
        detail.older = self.older(at, filter).await?;
        detail.newer = self.newer(at, filter).await?;
        Ok(Some(detail))
    }

    /// Whole dead letters in list order for an export, so many from a cursor. With `q`, a page may be empty and have a cursor.
    pub async fn list_for_export(
        &self,
        filter: &DeadLetterFilter,
        page: &PageRequest,
    ) -> Result<(Vec<DeadLetterDetail>, Option<Cursor>), StoreError> {
        let selection = self.select(filter, page, 1_000).await?;
        let mut details = Vec::with_capacity(selection.keys.len());
        for keys in selection.keys.chunks(EXPORT_STEP) {
            details.extend(self.details(self.summaries(keys).await?).await?);
        }
        Ok((details, selection.next))
    }

    /// Bodies of custody by dead letter, with the id of their frames.
    pub(in crate::store) async fn bodies(&self, keys: &[i64]) -> Result<Vec<(i64, Option<i64>, Vec<u8>)>, StoreError> {
        let ids = id_list(keys);
        read!(self, |pool| sqlx::query_as(CUSTODY).bind(&ids).fetch_all(pool).await?)
    }

    /// Frames of stack traces by id.
    pub(in crate::store) async fn frames(&self, wanted: impl Iterator<Item = i64>) -> Result<HashMap<i64, Arc<[u8]>>, StoreError> {
        let cache = &self.inner.caches.frames;
        let mut frames = HashMap::new();
        let mut missing = Vec::new();
        for id in wanted {
            match cache.get(&id) {
                Some(found) => drop(frames.insert(id, found)),
                None if !missing.contains(&id) => missing.push(id),
                None => {}
            }
        }
        if !missing.is_empty() {
            let ids = id_list(&missing);
            let rows: Vec<(i64, Vec<u8>)> = read!(self, |pool| sqlx::query_as(FRAMES).bind(&ids).fetch_all(pool).await?)?;
            for (id, body) in rows {
                frames.insert(id, Arc::from(custody::decompress(&body)?));
            }
            cache.extend(missing.iter().filter_map(|id| Some((*id, Arc::clone(frames.get(id)?)))));
        }
        Ok(frames)
    }

    async fn details(&self, summaries: Vec<DeadLetterSummary>) -> Result<Vec<DeadLetterDetail>, StoreError> {
        let rows = self.bodies(&summaries.iter().map(|summary| summary.id.0).collect::<Vec<_>>()).await?;
        let frames = self.frames(rows.iter().filter_map(|(_, frames, _)| *frames)).await?;
        let decode = move || {
            let mut bodies: HashMap<i64, Content> = HashMap::new();
            for (id, frames_id, body) in rows {
                let frames = frames_id.and_then(|id| frames.get(&id)).map(AsRef::as_ref);
                bodies.insert(id, custody::decode(&body, frames)?);
            }
            Ok::<_, StoreError>(bodies)
        };
        let decoded = tokio::task::spawn_blocking(decode).await;
        let mut bodies = decoded.map_err(|error| contradiction(format!("custody: {error}")))??;
        // A dead letter without a body was removed between the two reads.
        let details = summaries.into_iter().filter_map(|summary| {
            let content = bodies.remove(&summary.id.0)?;
            let (key, value) = content.resolved.unwrap_or((content.key, content.value));
            Some(DeadLetterDetail {
                summary,
                key,
                value,
                headers: content.headers,
                stack_trace: content.stack_trace,
                stage: content.stage,
                decode_problem: content.problem,
                newer: None,
                older: None,
            })
        });
        Ok(details.collect())
    }

    async fn older(&self, at: Key, filter: &DeadLetterFilter) -> Result<Option<DeadLetterId>, StoreError> {
        let page = PageRequest { cursor: Some(Cursor { key: at.failed_at, id: at.id }), limit: 1 };
        let millis = u64::try_from(NEIGHBOUR_TIME.as_millis()).unwrap_or(u64::MAX);
        Ok(self.select(filter, &page, millis).await?.keys.first().map(|key| DeadLetterId(key.id)))
    }

    async fn newer(&self, at: Key, filter: &DeadLetterFilter) -> Result<Option<DeadLetterId>, StoreError> {
        let times = Bounds::of(filter, None);
        let until = filter.to.map_or(i64::MAX, |to| to.as_millis().saturating_sub(1));
        let mut bounds = Bounds { newest_first: false, after: (at.failed_at, at.id), until };
        if at.failed_at < times.until {
            bounds.after = (times.until, i64::MIN);
        }
        if let Some(keys) = self.peek(filter, bounds, 1).await? {
            return Ok(keys.first().map(|key| DeadLetterId(key.id)));
        }
        let plan = self.plan(filter).await?;
        let words = filter.q.as_deref().and_then(Words::parse);
        if words.is_none() && filter.presence.is_empty() {
            return Ok(self.scan(&plan, bounds, 1).await?.first().map(|key| DeadLetterId(key.id)));
        }
        let deadline = Instant::now() + NEIGHBOUR_TIME;
        let keys = self.scan(&plan, bounds, NEIGHBOURS_LOOKED_AT).await?;
        for some in keys.chunks(50) {
            let some = self.with_presence(some.to_vec(), &filter.presence).await?;
            let some = match &words {
                Some(words) => self.with_words(&some, words).await?,
                None => some,
            };
            if let Some(key) = some.first() {
                return Ok(Some(DeadLetterId(key.id)));
            }
            if Instant::now() >= deadline {
                break;
            }
        }
        Ok(None)
    }
}
