//! Text search. Words are found by looking; what saves the looking is a signature per block of dead letters, written in the
//! transaction that indexes them, so a search never trails.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::dead_letters::select::{Bounds, Key, Plan, Selection};
use super::error::contradiction;
use super::indexing::id_list;
use super::{Store, StoreError, custody};
use crate::model::{Cursor, DeadLetterFilter};

pub(super) mod compact;
pub(super) mod signature;
pub(super) mod words;

use signature::Grams;
use words::{Found, Words, lower_into};

statements! {
    const TEXTS = "select d.id, d.message, f.exception_class from dead_letters d join facets f on f.id = d.facet_id \
        where d.id in (select cast(value as bigint) from json_each(cast($1 as text)))";
    const BLOCKS = "select id, first_id, last_id, newest, signature from search_blocks \
        where oldest <= $1 and newest >= $2 and newest <= $3 and (newest < $3 or id < $4) order by newest desc, id desc limit $5";
    const RANGE = "select failed_at, id, facet_id, status from dead_letters where id >= $1 and id <= $2";
}

/// Dead letters whose content is looked at in one step.
const STEP: usize = 512;
/// So few candidates are looked at without asking signatures.
const FEW: u64 = 2_000;
/// Blocks of the first step: words that are everywhere fill the page from these.
const FIRST_BLOCKS: i64 = 16;
/// Blocks per step later: a few MiB of signatures.
const MOST_BLOCKS: i64 = 512;
/// A step that takes longer is followed by a smaller one, so that the deadline is kept.
const QUICK: Duration = Duration::from_millis(150);

/// What a search looks for, and where.
#[derive(Clone, Copy)]
struct Search<'a> {
    plan: &'a Plan,
    filter: &'a DeadLetterFilter,
    bounds: Bounds,
    limit: usize,
    words: &'a Words,
    deadline: Instant,
}

#[derive(sqlx::FromRow)]
struct BlockRow {
    id: i64,
    first_id: i64,
    last_id: i64,
    newest: i64,
    signature: Vec<u8>,
}

/// Neighbouring ranges as one.
fn ranges(mut blocks: Vec<(i64, i64)>) -> Vec<(i64, i64)> {
    blocks.sort_unstable();
    let mut ranges: Vec<(i64, i64)> = Vec::new();
    for (first, last) in blocks {
        match ranges.last_mut() {
            Some(range) if first <= range.1.saturating_add(1) => range.1 = range.1.max(last),
            _ => ranges.push((first, last)),
        }
    }
    ranges
}

/// A full page was searched back to its last row.
fn searched(mut selection: Selection) -> Selection {
    if !selection.complete {
        selection.searched_back_to = selection.keys.last().map(|key| key.failed_at);
    }
    selection
}

impl Store {
    /// Dead letters that hold all words, newest first: by the blocks' signatures, or by looking at every candidate where these are few
    /// or the words too short for a signature.
    pub(super) async fn search(
        &self,
        plan: &Plan,
        filter: &DeadLetterFilter,
        bounds: Bounds,
        limit: usize,
        words: &Words,
        deadline: Instant,
    ) -> Result<Selection, StoreError> {
        let grams = Grams::of(words);
        let search = Search { plan, filter, bounds, limit, words, deadline };
        if grams.is_empty() || plan.selected() <= FEW { self.search_each(search).await } else { self.search_blocks(search, &grams).await }
    }

    async fn search_each(&self, search: Search<'_>) -> Result<Selection, StoreError> {
        let Search { plan, filter, mut bounds, limit, words, deadline } = search;
        let mut found = Vec::new();
        loop {
            let rows = self.scan(plan, bounds, u32::try_from(STEP).unwrap_or(u32::MAX)).await?;
            let ended = rows.len() < STEP;
            let last = rows.last().copied();
            let rows = self.with_presence(rows, &filter.presence).await?;
            found.extend(self.with_words(&rows, words).await?);
            if found.len() > limit {
                return Ok(searched(Selection::page(found, limit)));
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

    /// Goes through the blocks by their newest dead letter. What was found is certain as far back as the newest of the blocks not yet
    /// looked at; a search only pauses where that has moved.
    async fn search_blocks(&self, search: Search<'_>, grams: &Grams) -> Result<Selection, StoreError> {
        let Search { bounds, limit, deadline, .. } = search;
        let (mut found, mut before, mut step) = (Vec::new(), (i64::MAX, i64::MAX), FIRST_BLOCKS);
        loop {
            let began = Instant::now();
            let blocks: Vec<BlockRow> = read!(self, |pool| sqlx::query_as(BLOCKS)
                .bind(bounds.after.0)
                .bind(bounds.until)
                .bind(before.0)
                .bind(before.1)
                .bind(step)
                .fetch_all(pool)
                .await?)?;
            let last = blocks.last().map(|block| (block.newest, block.id)).filter(|_| i64::try_from(blocks.len()) == Ok(step));
            let may = blocks.iter().filter(|block| signature::may_hold(&block.signature, grams));
            let ranges = ranges(may.map(|block| (block.first_id, block.last_id)).collect());
            found.extend(self.search_ranges(&search, ranges).await?);
            found.sort_unstable_by_key(|key: &Key| std::cmp::Reverse((key.failed_at, key.id)));
            found.dedup();
            // Only the newest can be on the page; the others are found again from its cursor.
            found.truncate(limit + 1);
            let Some(last) = last else {
                return Ok(searched(Selection::page(found, limit)));
            };
            let certain = found.iter().take_while(|key| key.failed_at > last.0).count();
            if certain > limit {
                found.truncate(certain);
                return Ok(searched(Selection::page(found, limit)));
            }
            if Instant::now() >= deadline && last.0 < bounds.after.0 {
                found.truncate(certain);
                let next = Some(Cursor { key: last.0, id: i64::MAX });
                return Ok(Selection { keys: found, next, searched_back_to: Some(last.0), complete: false });
            }
            before = last;
            // Signatures that let nearly everything pass cost much more per block than those that do not.
            step = if began.elapsed() < QUICK { (step * 2).min(MOST_BLOCKS) } else { (step / 2).max(FIRST_BLOCKS) };
        }
    }

    /// Looks at those dead letters of some ranges of ids that the filter selects.
    async fn search_ranges(&self, search: &Search<'_>, ranges: Vec<(i64, i64)>) -> Result<Vec<Key>, StoreError> {
        let Search { plan, filter, bounds, words, .. } = search;
        let mut found = Vec::new();
        for (first, last) in ranges {
            let rows: Vec<(i64, i64, i64, i16)> = read!(self, |pool| sqlx::query_as(RANGE).bind(first).bind(last).fetch_all(pool).await?)?;
            let wanted = rows.into_iter().filter(|(failed_at, id, facet, status)| {
                (*failed_at, *id) < bounds.after
                    && *failed_at >= bounds.until
                    && plan.statuses.iter().any(|wanted| wanted.code() == *status)
                    && plan.facets.as_ref().is_none_or(|facets| facets.contains_key(facet))
            });
            let keys: Vec<Key> = wanted.map(|(failed_at, id, facet_id, _)| Key { failed_at, id, facet_id }).collect();
            // Two steps at once: one reads while the other unpacks.
            for some in keys.chunks(2 * STEP) {
                let (one, two) = some.split_at(some.len().min(STEP));
                let (one, two) = tokio::try_join!(self.look_at(one, filter, words), self.look_at(two, filter, words))?;
                found.extend(one.into_iter().chain(two));
            }
        }
        Ok(found)
    }

    async fn look_at(&self, keys: &[Key], filter: &DeadLetterFilter, words: &Words) -> Result<Vec<Key>, StoreError> {
        let keys = self.with_presence(keys.to_vec(), &filter.presence).await?;
        self.with_words(&keys, words).await
    }

    /// Those of some keys whose content holds all words, in their order.
    pub(super) async fn with_words(&self, keys: &[Key], words: &Words) -> Result<Vec<Key>, StoreError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<i64> = keys.iter().map(|key| key.id).collect();
        let list = id_list(&ids);
        let texts: Vec<Text> = read!(self, |pool| sqlx::query_as(TEXTS).bind(&list).fetch_all(pool).await?)?;
        let bodies = self.bodies(&ids).await?;
        let frames = self.frames(bodies.iter().filter_map(|(_, frames, _)| *frames)).await?;
        let words = words.clone();
        let look = move || look(&words, &texts, &bodies, &frames);
        let looked = tokio::task::spawn_blocking(look).await;
        let holding = looked.map_err(|error| contradiction(format!("custody: {error}")))??;
        Ok(keys.iter().copied().filter(|key| holding.contains(&key.id)).collect())
    }
}

#[derive(sqlx::FromRow)]
struct Text {
    id: i64,
    message: Option<Vec<u8>>,
    exception_class: Option<Vec<u8>>,
}

/// Decompresses and looks, on a blocking thread.
fn look(
    words: &Words,
    texts: &[Text],
    bodies: &[(i64, Option<i64>, Vec<u8>)],
    frames: &HashMap<i64, Arc<[u8]>>,
) -> Result<HashSet<i64>, StoreError> {
    let mut lower = Vec::new();
    let mut find = |found: &mut Found, text: &[u8]| {
        lower.clear();
        lower_into(&mut lower, text);
        words.find(found, &lower);
    };
    // Frames are shared by thousands: looked at once.
    let mut in_frames: HashMap<i64, Found> = HashMap::new();
    for (id, frames) in frames {
        find(in_frames.entry(*id).or_default(), frames);
    }
    let texts: HashMap<i64, &Text> = texts.iter().map(|text| (text.id, text)).collect();
    let mut holding = HashSet::new();
    for (id, frames, body) in bodies {
        let mut found = frames.and_then(|id| in_frames.get(&id).copied()).unwrap_or_default();
        let text = texts.get(id).map(|text| [&text.message, &text.exception_class]);
        text.iter().flatten().filter_map(|text| text.as_deref()).for_each(|text| find(&mut found, text));
        if found != words.all() {
            let raw = custody::decompress(body)?;
            custody::visit_searchable(&raw, |text| find(&mut found, text)).ok_or_else(|| contradiction("custody"))?;
        }
        if found == words.all() {
            holding.insert(*id);
        }
    }
    Ok(holding)
}
